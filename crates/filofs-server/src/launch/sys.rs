//! System calls that no safe library has, for a process with one thread that owns no descriptors
//! yet or knows them by number.
#![allow(unsafe_code)]

use rustix::fd::{FromRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::thread::{UnshareFlags, unshare_unsafe};
use std::io;

/// Closes every descriptor but the standard three, close_range(2). Nobody in this process may own
/// one of them.
pub(super) fn close_all_but_standard() -> io::Result<()> {
    // SAFETY: called first in main, where no owner of a descriptor exists: what is open was
    // inherited by somebody's oversight.
    let closed = unsafe { libc::syscall(libc::SYS_close_range, 3_u32, u32::MAX, 0_u32) };
    if closed == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes over a descriptor known by its number, which whoever executed this program has put
/// there.
pub(super) fn take(number: i32) -> OwnedFd {
    // SAFETY: the program that executed this one left it open under that number, for this one to
    // take; nobody else here knows of it. It is taken once.
    unsafe { OwnedFd::from_raw_fd(number) }
}

/// unshare(2).
pub(super) fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    if flags.contains(UnshareFlags::FILES) {
        return Err(Errno::INVAL);
    }
    // SAFETY: the caution is about UnshareFlags::FILES, which is not among the flags.
    unsafe { unshare_unsafe(flags) }
}

/// Asks every process of this pid namespace to end, but for the caller, kill(2).
pub(super) fn terminate_all() {
    // SAFETY: it touches no memory. Nothing is to be done if nobody is there.
    unsafe { libc::kill(-1, libc::SIGTERM) };
}
