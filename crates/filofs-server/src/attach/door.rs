//! The stand-in: what foreign programs find in the place of fusermount3(1).
//!
//! It asks filo for the program's end of a channel, over the socket beside the mount point, and
//! passes it to the program as fusermount3 passes `/dev/fuse`. The program does not see the
//! difference, and the kernel mounts nothing. The way to filo is in the mount point's path alone:
//! go-fuse calls fusermount3 with an empty environment.

use super::comm_fd;
use super::fusermount::{Call, Mount, NAMES};
use super::options::OPTIONS_MAX;
use super::place::SOCKET;
use super::slip::{self, Ask, SLIP_MAX};
use crate::channel::{Arrival, Channel};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::sockopt;
use std::ffi::{OsStr, OsString};
use std::io::{Write, stderr, stdout};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// How long filo, or the program, may take to answer. They have nothing else to do.
const PATIENCE: Duration = Duration::from_secs(20);

/// Does the work of the stand-in, where the program is called by one of its names; `None` for any
/// other name, which is what `main` goes on with. To be called first in `main`, with the whole
/// command line: a few system calls, no thread, nothing kept open.
pub fn door(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let mut arguments = arguments.into_iter();
    let name = PathBuf::from(arguments.next()?);
    let name = name.file_name()?.to_str().filter(|name| NAMES.contains(name))?;
    let done = match Call::parse(arguments) {
        Call::Version => {
            let version = env!("CARGO_PKG_VERSION");
            writeln!(stdout(), "{name} version: {version} (filo)").map_err(|e| e.to_string())
        }
        Call::Mount(wanted) => mount(&wanted),
        Call::Unmount { at, quiet } => {
            unmount(&at).or_else(|why| if quiet { Ok(()) } else { Err(why) })
        }
        // The end of the program is what ends the mount, here in any case.
        Call::Watch => Ok(()),
        Call::Nothing => Err("no mount point is given".into()),
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            // Whoever has closed standard error does not want to know.
            let _ = writeln!(stderr(), "{name}: {why}");
            ExitCode::FAILURE
        }
    })
}

fn mount(wanted: &Mount) -> Result<(), String> {
    let number = wanted.comm_fd.clone().or_else(|| std::env::var_os("_FUSE_COMMFD"));
    let number = number.ok_or("_FUSE_COMMFD is not set: to be called by programs only")?;
    let number = number.to_str().and_then(|number| number.parse().ok());
    let program = comm_fd::socket(number.ok_or("_FUSE_COMMFD is no number")?)
        .map_err(|errno| format!("the descriptor of _FUSE_COMMFD: {errno}"))?;
    let options = wanted.options.as_bytes();
    if options.len() > OPTIONS_MAX {
        return Err(format!("the mount options are longer than {OPTIONS_MAX} bytes"));
    }
    let end = ask(&wanted.at, &Ask::Mount { options })?.ok_or("no descriptor came")?;
    // One byte: a descriptor cannot travel without.
    slip::send(&program, &[0], Some(end.as_fd()))
        .map_err(|errno| format!("cannot pass the descriptor on: {errno}"))?;
    drop(end);
    if wanted.in_two_steps { second_step(&program) } else { Ok(()) }
}

/// The program says that it is ready to answer, and hears that it is mounted: four bytes, an errno.
fn second_step(program: &OwnedFd) -> Result<(), String> {
    sockopt::set_socket_timeout(program, sockopt::Timeout::Recv, Some(PATIENCE))
        .map_err(|errno| format!("the descriptor of _FUSE_COMMFD: {errno}"))?;
    let mut ready = [0];
    match rustix::io::retry_on_intr(|| rustix::io::read(program, &mut ready)) {
        Ok(1) => slip::send(program, &0_i32.to_ne_bytes(), None)
            .map_err(|errno| format!("cannot say that it is mounted: {errno}")),
        _ => Err("the program has changed its mind".into()),
    }
}

fn unmount(at: &OsStr) -> Result<(), String> {
    ask(at, &Ask::Unmount).map(drop)
}

/// Asks filo, and answers the descriptor that came back.
fn ask(at: &OsStr, what: &Ask<'_>) -> Result<Option<OwnedFd>, String> {
    let at = Path::new(at);
    let filo = connect(&at.with_file_name(SOCKET))
        .map_err(|errno| format!("{} is no mount point of filo: {errno}", at.display()))?;
    filo.send(&what.pieces()).map_err(|unsent| format!("filo does not listen: {unsent:?}"))?;
    let mut room = [0; SLIP_MAX];
    match filo.receive(&mut room, true) {
        Arrival::Message(len, end) => {
            slip::answer(room.get(..len).unwrap_or_default())?;
            Ok(end)
        }
        Arrival::Nothing => Err(format!("filo has not answered for {} s", PATIENCE.as_secs())),
        Arrival::End | Arrival::Unfit => Err("filo does not answer".into()),
    }
}

pub(super) fn connect(path: &Path) -> Result<Channel, rustix::io::Errno> {
    let filo = Channel::dial(path, PATIENCE)?;
    filo.patience(PATIENCE)?;
    Ok(filo)
}
