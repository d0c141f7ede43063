//! `filo run`: a command that sees the stack, in a mount namespace of its own.

use crate::cli::RunArgs;
use crate::exit::{Exit, Failure, plain};
use crate::mount::{Plan, Served, read_options};
use crate::namespace;
use crate::spec::StackSpec;
use rustix::process::{Resource, Rlimit, getrlimit, prlimit};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, ExitStatus};

/// The verb.
pub(crate) fn verb(args: &RunArgs) -> Result<ExitCode, Failure> {
    let (mut options, config) = read_options(&args.stack, false)?;
    let stack = match config {
        Some(_) if !args.words.is_empty() => {
            return Err(Failure::usage("a stack file and a stack on the command line: only one"));
        }
        Some(config) => config.stack,
        None => StackSpec::parse(&args.words)?,
    };
    let place = Place::choose(args.at.as_deref(), &stack)?;
    let inside = place.inside();
    namespace::enter()?;
    // The mount is ours alone, so it takes nothing away and lets nobody in.
    options.nonempty = true;
    // The namespace ends with the last process in it, and the mount with the namespace.
    options.auto_unmount = false;
    options.fuse.allow_other = !options.fuse.allow_root && !options.alone;
    let mountpoint = place.path.clone();
    let limit = getrlimit(Resource::Nofile);
    let served = Served::start(Plan { stack, mountpoint, options })?;
    let status = run(&args.command, &place.path, &inside, limit);
    // What the command left running loses its files when this process ends, as it would without
    // the lazy unmount; but no mount point stays behind.
    if served.session.unmount(false).is_err() {
        served.session.unmount(true)?;
    } else {
        // Until what is outside of this process has ended, too.
        served.session.wait();
    }
    drop(place);
    status.map(code)
}

/// Where the command sees the stack.
struct Place {
    path: PathBuf,
    /// Made by us, to be taken away.
    made: bool,
}

impl Place {
    /// The directory that was asked for; or that of the base; or a new one.
    fn choose(at: Option<&Path>, stack: &StackSpec) -> Result<Place, Failure> {
        if let Some(path) = at {
            return Ok(Place { path: path.to_owned(), made: false });
        }
        if let ("dir", Some(base)) = (stack.base.name.as_str(), &stack.base.argument) {
            let base = Path::new(base);
            let path = base.canonicalize().map_err(|e| {
                Failure::new(Exit::Layer, format!("base 'dir': '{}': {e}", base.display()))
            })?;
            return Ok(Place { path, made: false });
        }
        let path = std::env::temp_dir().join(format!("filo-run-{}", std::process::id()));
        std::fs::create_dir(&path).map_err(|e| {
            let text = format!(
                "cannot make '{}' to mount on: {e}; say where with '--at DIRECTORY' or TMPDIR",
                path.display()
            );
            Failure::new(Exit::MountPoint, text)
        })?;
        Ok(Place { path, made: true })
    }

    /// Where in it the command begins: where we are, if that is inside, else at the top.
    fn inside(&self) -> PathBuf {
        let here = std::env::current_dir().unwrap_or_default();
        here.strip_prefix(&self.path).map(Path::to_owned).unwrap_or_default()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if self.made {
            let _ = std::fs::remove_dir(&self.path);
        }
    }
}

/// Runs the command and waits for it.
fn run(
    command: &[std::ffi::OsString],
    mountpoint: &Path,
    inside: &Path,
    limit: Rlimit,
) -> Result<ExitStatus, Failure> {
    let Some((program, arguments)) = command.split_first() else {
        return Err(Failure::usage("no command was given after '--'"));
    };
    let wrong =
        |e: std::io::Error| Failure::new(Exit::Permission, format!("cannot wait for signals: {e}"));
    // From the terminal the command gets its signals itself; those sent to us alone are passed on.
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP]).map_err(wrong)?;
    let spawned = Command::new(program)
        .args(arguments)
        .current_dir(mountpoint.join(inside))
        .env("FILO_MOUNT", mountpoint)
        .spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(e) => {
            let found = e.kind() != std::io::ErrorKind::NotFound;
            let why = plain(&e.to_string());
            eprintln!("filo: cannot run '{}': {why}", Path::new(program).display());
            return Ok(ExitStatus::from_raw((if found { 126 } else { 127 }) << 8));
        }
    };
    let handle = signals.handle();
    let pid = rustix::process::Pid::from_child(&child);
    // The limit of open files was raised for us, not for the command.
    let _ = prlimit(Some(pid), Resource::Nofile, limit);
    let forwarder = std::thread::Builder::new().name("filo-signals".into()).spawn(move || {
        for signal in signals.forever() {
            if let (SIGTERM | SIGHUP, Some(signal)) =
                (signal, rustix::process::Signal::from_named_raw(signal))
            {
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
    });
    let status = wait(&mut child);
    handle.close();
    if let Ok(forwarder) = forwarder {
        let _ = forwarder.join();
    }
    status
}

fn wait(child: &mut Child) -> Result<ExitStatus, Failure> {
    child.wait().map_err(|e| Failure::new(Exit::Layer, format!("cannot wait for the command: {e}")))
}

/// The exit code that says how the command ended.
fn code(status: ExitStatus) -> ExitCode {
    let code = status.code().or(status.signal().map(|signal| 128 + signal));
    ExitCode::from(code.and_then(|code| u8::try_from(code).ok()).unwrap_or(u8::MAX))
}
