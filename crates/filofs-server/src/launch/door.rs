//! The way into the processes between whoever starts a program and the program.

use super::{CHANNEL_FD, LaunchError, Plan, Report, confine, keeper, namespaces, sys};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::stdio::{stdin, stdout};
use std::ffi::{CString, OsString};
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

/// This program, whatever has become of its file.
pub(super) const OWN_PROGRAM: &str = "/proc/self/exe";

/// One of the processes that are this program once more. Each is called by its name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Stage {
    /// Makes namespaces.
    Launcher,
    /// Is the first process in them, and starts, reaps and kills.
    Keeper,
    /// Gives up rights and becomes the program.
    Program,
}

impl Stage {
    const ALL: [Stage; 3] = [Stage::Launcher, Stage::Keeper, Stage::Program];

    pub(super) const fn name(self) -> &'static str {
        match self {
            Stage::Launcher => "filo-launcher",
            Stage::Keeper => "filo-keeper",
            Stage::Program => "filo-program",
        }
    }

    /// The next stage: this program under that name.
    pub(super) fn command(self, plan: &Plan) -> Command {
        let mut command = Command::new(OWN_PROGRAM);
        command.arg0(self.name()).args(plan.words());
        command
    }
}

/// Lives the life of a launcher if this process is meant to be one; `None` if not.
///
/// To be called first in `main` by every program that uses [`Program`](super::Program), before
/// there are threads or open files: a program is started by starting the caller's own executable
/// once more, under another name.
pub fn door() -> Option<ExitCode> {
    let mut arguments = std::env::args_os();
    let name = arguments.next()?;
    let stage = Stage::ALL.into_iter().find(|stage| name == stage.name())?;
    Some(enter(stage, arguments))
}

fn enter(stage: Stage, arguments: impl Iterator<Item = OsString>) -> ExitCode {
    let Some(plan) = Plan::parse(arguments) else {
        // Somebody tries it by hand; there is nobody to report to.
        return ExitCode::from(2);
    };
    // As ps(1) shows it; it would be "exe".
    if let Ok(name) = CString::new(stage.name()) {
        let _ = rustix::thread::set_name(&name);
    }
    match stage {
        Stage::Launcher => {
            let code = launch(&plan).unwrap_or_else(fail);
            // Here, for whoever started this may have been killed.
            super::remove(&plan.litter);
            code
        }
        Stage::Keeper => keeper::life(&plan, true, plan.channel.then(|| sys::take(CHANNEL_FD))),
        Stage::Program => confine::life(&plan),
    }
}

/// Standard input is the channel, standard output the socket to whoever started this, standard
/// error the program's.
fn launch(plan: &Plan) -> Result<ExitCode, LaunchError> {
    sys::close_all_but_standard().map_err(|e| LaunchError::system("close descriptors", e))?;
    // Not in the session of a terminal: what that sends ends whoever started this, who then ends
    // the program in good order.
    let _ = rustix::process::setsid();
    let channel = if plan.channel { Some(channel()?) } else { None };
    if !namespaces::enter(plan)? {
        return Ok(keeper::life(plan, false, channel));
    }
    let mut keeper = Stage::Keeper
        .command(plan)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|e| LaunchError::system("start the first process of a namespace", e))?;
    drop(channel);
    // The end of the first process is that of the namespace, and that is waited for.
    keeper.wait().map_err(|e| LaunchError::system("wait", e))?;
    Ok(ExitCode::SUCCESS)
}

/// Standard input under the number that the program knows, and not closed on exec.
fn channel() -> Result<OwnedFd, LaunchError> {
    let channel =
        rustix::io::dup(stdin()).map_err(|e| LaunchError::system("duplicate the channel", e))?;
    // dup(2) takes the lowest that is free, and everything above the standard three is.
    if channel.as_raw_fd() != CHANNEL_FD {
        return Err(LaunchError::system("number the channel", rustix::io::Errno::BADF));
    }
    // The other end is to be told when the program's end of the channel is closed: none must be
    // left here.
    let null =
        std::fs::File::open("/dev/null").map_err(|e| LaunchError::system("open /dev/null", e))?;
    rustix::stdio::dup2_stdin(&null)
        .map_err(|e| LaunchError::system("replace standard input", e))?;
    Ok(channel)
}

/// Tells it to whoever started this.
pub(super) fn fail(error: LaunchError) -> ExitCode {
    Report::Failed(error).send(stdout());
    ExitCode::FAILURE
}
