//! `filo mount`: mounts a stack and serves it, in the background unless told otherwise.

use crate::cli::{MountArgs, StackArgs};
use crate::config::Config;
use crate::control::Control;
use crate::exit::{Exit, Failure};
use crate::guardian::Guardian;
use crate::options::{self, MountOptions};
use crate::out::say;
use crate::signals::Endings;
use crate::spec::{StackSpec, definition};
use crate::{daemon, mounts, signals};
use filofs::{Identity, Mount};
use filofs_bases::dir::Covered;
use filofs_front::fuse::{MountError, Session};
use filofs_server::launch::{Hidden, hide};
use filofs_server::serve::ServeError;
use rustix::process::geteuid;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// What is to be mounted where, after files and options are read.
pub(crate) struct Plan {
    pub(crate) stack: StackSpec,
    pub(crate) mountpoint: PathBuf,
    pub(crate) options: MountOptions,
}

impl Plan {
    /// From what `filo mount` was given.
    fn of(args: &MountArgs) -> Result<Plan, Failure> {
        let (options, config) = read_options(&args.stack, false)?;
        Plan::new(args.words.clone(), options, config)
    }

    /// From words, of which the last is the mount point, and perhaps a stack file.
    pub(crate) fn new(
        mut words: Vec<String>,
        options: MountOptions,
        config: Option<Config>,
    ) -> Result<Plan, Failure> {
        let Some(config) = config else {
            if words.len() == 1 {
                let word = words.join("");
                return Err(Failure::usage(format!(
                    "'{word}' alone is not enough: say what to mount and where, \
                     as in 'filo mount dir:/srv null /mnt'"
                )));
            }
            let mountpoint = PathBuf::from(words.pop().unwrap_or_default());
            return Ok(Plan { stack: StackSpec::parse(&words)?, mountpoint, options });
        };
        if words.len() > 1 {
            return Err(Failure::usage("with a stack file, only a mount point can be given"));
        }
        let mountpoint = words.pop().or(config.mount).map(PathBuf::from).ok_or_else(|| {
            Failure::config("the stack file has no 'mount'; give a mount point after it")
        })?;
        Ok(Plan { stack: config.stack, mountpoint, options })
    }

    /// `--trace-messages`: tells the base.
    fn trace_messages(&mut self, args: &MountArgs) -> Result<(), Failure> {
        const KEY: &str = "trace_messages";
        let base = &mut self.stack.base;
        let known = definition(&base.name).map(|base| base.options).unwrap_or_default();
        if !known.iter().any(|option| option.key == KEY) {
            let text =
                format!("--trace-messages: base '{}' sends none: it is no server", base.name);
            return Err(Failure::usage(text));
        }
        if !args.foreground && args.log_file.is_none() {
            let text = "--trace-messages: say where to with '--log-file FILE', or '--foreground'";
            return Err(Failure::usage(text));
        }
        base.options.push((KEY.to_owned(), None));
        Ok(())
    }
}

/// The options of a stack, and the stack file if there is one: its options come first, those of
/// the command line overrule them.
pub(crate) fn read_options(
    args: &StackArgs,
    sloppy: bool,
) -> Result<(MountOptions, Option<Config>), Failure> {
    let mut told = MountOptions::default();
    args.options.iter().try_for_each(|list| told.read(list, sloppy))?;
    let file = args.config.clone().or(told.config.clone().map(PathBuf::from));
    let Some(file) = file else { return Ok((told, None)) };
    let config = Config::read(&file)?;
    let mut options = config.options.clone();
    args.options.iter().try_for_each(|list| options.read(list, sloppy))?;
    Ok((options, Some(config)))
}

/// The verb.
pub(crate) fn verb(args: &MountArgs) -> Result<ExitCode, Failure> {
    if args.stack.options.iter().any(|list| list == "help") {
        let lines = options::HELP.iter().map(|(option, help)| format!("  {option:<23} {help}\n"));
        return say(&lines.collect::<String>());
    }
    let mut plan = Plan::of(args)?;
    if args.trace_messages {
        plan.trace_messages(args)?;
    }
    serve_in(args.foreground, plan, args.log_file.as_deref())
}

/// Serves the plan in the foreground or the background.
pub(crate) fn serve_in(
    foreground: bool,
    plan: Plan,
    log_file: Option<&Path>,
) -> Result<ExitCode, Failure> {
    if !foreground && !daemon::is_child() {
        return daemon::start();
    }
    if let Some(file) = log_file {
        daemon::log_to(file)?;
    }
    if !foreground {
        daemon::leave_session();
    }
    let endings = Endings::hold()?;
    let served = Served::start(plan)?;
    endings.unmount(&served.session)?;
    if foreground {
        daemon::notify_systemd();
    } else {
        daemon::ready(log_file)
            .map_err(|e| Failure::new(Exit::Permission, format!("cannot report: {e}")))?;
        let _ = std::env::set_current_dir("/");
    }
    Ok(served.until_the_end())
}

/// A mount that is being served by this process.
pub(crate) struct Served {
    pub(crate) session: Arc<Session>,
    _control: Control,
    /// Dropped when the session has ended.
    _guardian: Option<Guardian>,
    /// From servers that are started again.
    _hidden: Option<Hidden>,
}

impl Served {
    /// Sets up the stack, mounts it, and waits until it answers INIT and a first statfs.
    pub(crate) fn start(plan: Plan) -> Result<Served, Failure> {
        let Plan { stack: spec, mountpoint, mut options } = plan;
        spec.check_options()?;
        options.check()?;
        let shown = spec.to_string();
        if options.fuse.fsname.is_empty() {
            options.fuse.fsname.clone_from(&shown);
        }
        let mountpoint = check_mountpoint(&mountpoint, &spec, &options)?;
        // Every file that callers hold open may need a descriptor of ours.
        filofs_bases::dir::raise_open_files();
        signals::survive_file_limits()?;
        let root = geteuid().is_root();
        options.fuse.nosuid = !options.suid.unwrap_or(root);
        options.fuse.nodev = !options.dev.unwrap_or(root);
        options.fuse.allow_other |= root && !options.fuse.allow_root && !options.alone;
        let stack = spec.build()?;
        let type_name = format!("fuse.{}", options.fuse.subtype);
        let identity = Identity::new(&shown, &type_name, &mountpoint.to_string_lossy())
            .map_err(|e| Failure::new(Exit::MountPoint, e.to_string()))?;
        let mount = Mount::new(stack, identity).map_err(|e| {
            Failure::new(Exit::Layer, format!("base '{}' gives no root: {e}", spec.base.name))
        })?;
        let mount = Arc::new(mount);
        let given = mountpoint.starts_with("/dev/fd");
        // Only a directory can be shown together with the mount itself.
        let covered = if spec.base.name == "dir" && !given {
            Some(Covered::before(&mountpoint).map_err(|e| cannot_look(&mountpoint, e))?)
        } else {
            None
        };
        let session = Session::start(mount, &mountpoint, &options.fuse)?;
        // Dropping the session on an error from here on unmounts.
        let hidden = (!given).then(|| hide(&mountpoint));
        if let Some(covered) = covered {
            covered.by_own_mount(&mountpoint).map_err(|e| cannot_look(&mountpoint, e))?;
        }
        let device = if given { None } else { mounts::device_of(&mountpoint) };
        let device = device.unwrap_or_default();
        let guardian = (options.auto_unmount && !given)
            .then(|| Guardian::start(&mountpoint, &device))
            .transpose()?;
        let session = Arc::new(session);
        let control = Control::serve(&session, shown, device)?;
        if !given {
            rustix::fs::statfs(&mountpoint).map_err(|e| {
                let at = mountpoint.display();
                Failure::new(
                    Exit::MountPoint,
                    format!("'{at}' is mounted but does not answer: {e}"),
                )
            })?;
        }
        Ok(Served { session, _control: control, _guardian: guardian, _hidden: hidden })
    }

    /// Serves until somebody unmounts it or a signal comes.
    fn until_the_end(self) -> ExitCode {
        let report = self.session.wait();
        log::info!("served {} requests", report.served);
        ExitCode::SUCCESS
    }
}

impl From<ServeError> for Failure {
    fn from(error: ServeError) -> Failure {
        let exit = match error.exit_code() {
            1 => Exit::Usage,
            4 => Exit::Permission,
            5 => Exit::Layer,
            _ => Exit::MountPoint,
        };
        Failure::new(exit, error.to_string())
    }
}

impl From<MountError> for Failure {
    fn from(error: MountError) -> Failure {
        ServeError::from(error).into()
    }
}

/// Whether something can be mounted there. Answers the path without symbolic links.
fn check_mountpoint(
    path: &Path,
    spec: &StackSpec,
    options: &MountOptions,
) -> Result<PathBuf, Failure> {
    let nonempty = options.nonempty;
    let source = filofs::sanitise(&options.fuse.fsname);
    if path.starts_with("/dev/fd") {
        return Ok(path.to_owned());
    }
    let shown = path.display();
    let wrong =
        |text: String| Failure::new(Exit::MountPoint, format!("mount point '{shown}': {text}"));
    // Of stat(2) the kernel might remember what a server said that is gone; not of this.
    if rustix::fs::statfs(path).err() == Some(rustix::io::Errno::NOTCONN) {
        return Err(wrong(format!(
            "is a mount whose server is gone; take it away with 'filo umount {shown}'"
        )));
    }
    let found = std::fs::metadata(path).map_err(|e| match e.kind() {
        std::io::ErrorKind::NotFound => wrong("does not exist; make the directory first".into()),
        _ => wrong(e.to_string()),
    })?;
    if !found.is_dir() {
        return Err(wrong("is not a directory".into()));
    }
    // A directory mounted over itself is the way to put layers on it in place.
    let in_place = spec.base.name == "dir"
        && spec.base.argument.as_ref().is_some_and(|base| same_file(Path::new(base), path));
    if !nonempty && !in_place {
        let mut files = std::fs::read_dir(path).map_err(|e| wrong(e.to_string()))?;
        if files.next().is_some() {
            return Err(wrong("is not empty; '-o nonempty' mounts over it all the same".into()));
        }
    }
    let path = path.canonicalize().map_err(|e| wrong(e.to_string()))?;
    let top = mounts::top(&path.to_string_lossy());
    if !nonempty && top.is_some_and(|m| m.is_ours() && m.source == source) {
        return Err(wrong(format!(
            "this is mounted there already; 'filo umount {shown}' first, or mount a second one \
             over it with '-o nonempty'"
        )));
    }
    Ok(path)
}

fn cannot_look(path: &Path, errno: filofs::Errno) -> Failure {
    let text = format!("mount point '{}': {}", path.display(), errno.text());
    Failure::new(Exit::MountPoint, text)
}

fn same_file(a: &Path, b: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (std::fs::metadata(a), std::fs::metadata(b)) {
        (Ok(a), Ok(b)) => (a.dev(), a.ino()) == (b.dev(), b.ino()),
        _ => false,
    }
}
