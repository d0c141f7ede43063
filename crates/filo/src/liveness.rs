//! `liveness`: whether the server of a mount is gone, asked by a process of its own.
//!
//! A server that has stopped, and gets requests over io_uring, holds whoever asks it beyond
//! SIGKILL: the request is the server's as soon as it is made. So the asking is left to a child
//! that nobody has to wait for. It goes when the server goes on, or goes.

use rustix::io::Errno;
use std::process::{Command, ExitCode, Stdio};

/// What the child is called by.
const DOOR: &str = "--is-dead";

/// The child's life, if this is it: 0 for a mount whose server is gone.
pub(crate) fn life(arguments: &[String]) -> Option<ExitCode> {
    let [_, door, mountpoint] = arguments else { return None };
    (door == DOOR).then(|| ExitCode::from(u8::from(!ask(mountpoint))))
}

/// Whether the server is gone. Waits for one that does not answer, but can be killed then.
pub(crate) fn is_dead(mountpoint: &str) -> bool {
    let mut child = Command::new("/proc/self/exe");
    let child = child.args([DOOR, mountpoint]).stdin(Stdio::null()).stdout(Stdio::null());
    child.stderr(Stdio::null()).status().is_ok_and(|status| status.success())
}

/// The kernel never answers statfs(2) from a cache. Without a server it answers at once: when that
/// has just gone, with what becomes of requests on their way.
fn ask(mountpoint: &str) -> bool {
    let gone = [Errno::NOTCONN, Errno::CONNABORTED, Errno::CANCELED];
    rustix::fs::statfs(mountpoint).err().is_some_and(|errno| gone.contains(&errno))
}
