//! `Program`: a program to be started.

use super::door::{OWN_PROGRAM, Stage};
use super::{LaunchError, Plan, Profile, Running, Sandbox, report};
use filofs::locked;
use rustix::fd::OwnedFd;
use rustix::pipe::{PipeFlags, pipe_with};
use std::ffi::{OsStr, OsString};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long the way to the execution of a program may take.
const START_MAX: Duration = Duration::from_secs(30);

/// What was already said to be missing, so that it is said once.
static SAID: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// What no program sees from now on.
static HIDDEN: Mutex<Vec<PathBuf>> = Mutex::new(Vec::new());

/// Hides the file system mounted there from every program that is started as long as the answer
/// lives, if that has a mount namespace and is not an ordinary user's.
///
/// For mount points of this process: a program would keep what is mounted there in use after
/// somebody has unmounted it, and if it looked there, wait for itself.
pub fn hide(mountpoint: &Path) -> Hidden {
    let path = mountpoint.to_owned();
    locked(&HIDDEN).push(path.clone());
    Hidden(path)
}

/// A mount point that no program sees.
#[must_use = "it is hidden as long as this lives"]
#[derive(Debug)]
pub struct Hidden(PathBuf);

impl Drop for Hidden {
    fn drop(&mut self) {
        let mut hidden = locked(&HIDDEN);
        if let Some(at) = hidden.iter().position(|path| *path == self.0) {
            hidden.swap_remove(at);
        }
    }
}

/// A program to be started. See the text of [`crate::launch`] for what it finds.
#[derive(Debug)]
pub struct Program {
    name: String,
    plan: Plan,
    env: Vec<(OsString, OsString)>,
    channel: Option<OwnedFd>,
    directory: Option<PathBuf>,
    launcher: PathBuf,
}

impl Program {
    /// A program with its arguments: the first word is its path, or a name to be looked for in
    /// PATH. `name`: what it is called in messages.
    pub fn new<W: Into<OsString>>(name: &str, argv: impl IntoIterator<Item = W>) -> Program {
        let argv = argv.into_iter().map(Into::into).collect();
        Program {
            name: name.to_owned(),
            plan: Plan { argv, ..Plan::default() },
            env: Vec::new(),
            channel: None,
            directory: None,
            launcher: OWN_PROGRAM.into(),
        }
    }

    /// One more variable of its environment. The others are ours.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Program {
        self.env.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// What becomes its descriptor [`CHANNEL_FD`](super::CHANNEL_FD).
    pub fn channel(mut self, channel: OwnedFd) -> Program {
        self.channel = Some(channel);
        self
    }

    /// Its working directory; `None` for ours. For one that is started again after we have gone
    /// elsewhere.
    pub fn directory(mut self, path: Option<&Path>) -> Program {
        self.directory = path.map(Path::to_owned);
        self
    }

    /// What it may do.
    pub fn sandbox(mut self, sandbox: Sandbox) -> Program {
        self.plan.sandbox = sandbox;
        self
    }

    /// Starts it only in a mount namespace of its own; without the right to mount, also if there
    /// is no sandbox.
    pub fn needs_mount_namespace(mut self) -> Program {
        self.plan.mounts = true;
        self
    }

    /// Lets it see `source` in the place of `over`; both exist, and are both directories or both
    /// not. Needs a mount namespace.
    pub fn bind(mut self, source: &Path, over: &Path) -> Program {
        self.plan.binds.push((source.to_owned(), over.to_owned()));
        self.needs_mount_namespace()
    }

    /// What is removed when it has ended with all its descendants, also if we are gone by then: a
    /// file, or a directory that is empty then. A path in which no part is a link.
    pub fn litter(mut self, path: PathBuf) -> Program {
        self.plan.litter.push(path);
        self
    }

    /// A program that calls [`door`](super::door) first, if the caller's own does not.
    pub fn launcher(mut self, path: &Path) -> Program {
        path.clone_into(&mut self.launcher);
        self
    }

    /// Starts it. Once this returns it is being executed; it may have ended since.
    ///
    /// Errors: any [`LaunchError`].
    pub fn start(mut self) -> Result<Running, LaunchError> {
        let (sandbox, name) = (&self.plan.sandbox, &self.name);
        sandbox.check().map_err(|what| LaunchError::Sandbox { what })?;
        if self.plan.argv.is_empty() {
            return Err(LaunchError::NotFound { program: String::new(), searched: None });
        }
        self.plan.channel = self.channel.is_some();
        self.plan.hidden.clone_from(&locked(&HIDDEN));
        match self.attempt() {
            Err(LaunchError::Namespace { what }) if !self.plan.mounts => {
                if sandbox.profile() == Profile::Strict {
                    let what = format!("sandbox=strict needs namespaces: {what}");
                    return Err(LaunchError::Sandbox { what });
                }
                if !sandbox.has_network() {
                    let what = format!("net=no needs namespaces: {what}");
                    return Err(LaunchError::Sandbox { what });
                }
                say(name, &format!("no namespaces of its own: {what}"));
                // The other parts of the sandbox need none.
                self.plan.bare = true;
                self.attempt()
            }
            result => result,
        }
    }

    fn attempt(&self) -> Result<Running, LaunchError> {
        let (ours, theirs) =
            report::pair().map_err(|e| LaunchError::system("make a socket pair", e))?;
        let (words, error) =
            pipe_with(PipeFlags::CLOEXEC).map_err(|e| LaunchError::system("make a pipe", e))?;
        let channel = match &self.channel {
            Some(channel) => Stdio::from(
                channel
                    .try_clone()
                    .map_err(|e| LaunchError::system("duplicate a descriptor", e))?,
            ),
            None => Stdio::null(),
        };
        let mut command = Command::new(&self.launcher);
        if let Some(directory) = &self.directory {
            command.current_dir(directory);
        }
        let child = command
            .arg0(Stage::Launcher.name())
            .args(self.plan.words())
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(channel)
            .stdout(Stdio::from(theirs))
            .stderr(Stdio::from(error))
            .spawn()
            .map_err(|e| LaunchError::system("start a process", e))?;
        // It holds the other ends, and the launcher's death would not be seen.
        drop(command);
        let mut running = Running::new(&self.name, child, ours, words)?;
        running.starting(Instant::now() + START_MAX, |what| say(&self.name, what))?;
        Ok(running)
    }
}

/// Says that something of the sandbox is missing: once, for it is the machine's fault.
fn say(name: &str, what: &str) {
    let mut said = locked(&SAID);
    let new = !said.iter().any(|text| text == what);
    if new {
        said.push(what.to_owned());
    }
    drop(said);
    if new {
        log::warn!("{name}: its sandbox has {what}");
    }
}
