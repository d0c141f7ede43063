//! Going into the background: the same program once more, which tells by its standard output
//! that the mount answers, or by its standard error and exit code why not.

use crate::exit::{Exit, Failure};
use rustix::fs::{Mode, OFlags};
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};

/// Set for the process in the background.
const MARK: &str = "FILO_IN_BACKGROUND";
/// What it says when the mount answers.
const READY: &[u8] = b"ready\n";

/// Whether this process is the one in the background.
pub(crate) fn is_child() -> bool {
    std::env::var_os(MARK).is_some()
}

/// Starts the process in the background and waits until its mount answers or it ends. The code
/// is what this process should end with.
pub(crate) fn start() -> Result<ExitCode, Failure> {
    let wrong = |e: std::io::Error| {
        Failure::new(Exit::Permission, format!("cannot start a process in the background: {e}"))
    };
    let mut arguments = std::env::args_os();
    let mut command = Command::new(std::env::current_exe().map_err(wrong)?);
    command.arg0(arguments.next().unwrap_or_else(|| "filo".into()));
    command.args(arguments).env(MARK, "1").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().map_err(wrong)?;
    let mut said = Vec::new();
    if let Some(out) = &mut child.stdout {
        out.take(READY.len() as u64).read_to_end(&mut said).map_err(wrong)?;
    }
    if said == READY {
        return Ok(ExitCode::SUCCESS);
    }
    let status = child.wait().map_err(wrong)?;
    // It has told why on the standard error it shares with us.
    let code = status.code().and_then(|c| u8::try_from(c).ok()).filter(|c| *c != 0);
    Ok(ExitCode::from(code.unwrap_or(Exit::Layer as u8)))
}

/// In the background: leaves the terminal behind. Before anything else is done.
pub(crate) fn leave_session() {
    // Not being a group leader, as a fresh child, it can only succeed.
    let _ = rustix::process::setsid();
}

/// In the background: says that the mount answers, and closes the three standard streams; what
/// is logged from now on goes to that file, if there is one.
pub(crate) fn ready(log_file: Option<&Path>) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(READY)?;
    out.flush()?;
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
    rustix::stdio::dup2_stdout(&null)?;
    if log_file.is_none() {
        rustix::stdio::dup2_stderr(&null)?;
    }
    Ok(())
}

/// Sends what is logged to that file.
pub(crate) fn log_to(path: &Path) -> Result<(), Failure> {
    let wrong = |e: std::io::Error| {
        Failure::new(Exit::Permission, format!("log file '{}': {e}", path.display()))
    };
    let file = std::fs::OpenOptions::new().append(true).create(true).open(path).map_err(wrong)?;
    rustix::stdio::dup2_stderr(&file).map_err(|e| wrong(e.into()))
}

/// Tells systemd that the mount answers, sd_notify(3), if it asked to be told.
pub(crate) fn notify_systemd() {
    let Some(path) = std::env::var_os("NOTIFY_SOCKET") else { return };
    let told = std::os::unix::net::UnixDatagram::unbound().and_then(|socket| {
        use std::os::linux::net::SocketAddrExt;
        use std::os::unix::ffi::OsStrExt;
        match path.as_bytes().strip_prefix(b"@") {
            Some(name) => {
                let address = std::os::unix::net::SocketAddr::from_abstract_name(name)?;
                socket.send_to_addr(b"READY=1\n", &address)
            }
            None => socket.send_to(b"READY=1\n", Path::new(&path)),
        }
    });
    if let Err(e) = told {
        log::warn!("cannot tell the service manager that the mount is ready: {e}");
    }
}
