//! The channel that whoever started this process has left open for it.
#![allow(unsafe_code)]

use super::{CHANNEL, ServeError};
use filofs_front::fuse::take_descriptor;
use rustix::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};

/// Takes over the channel that the environment names ([`CHANNEL`]); `None` if it names none. Once:
/// after that the number is somebody else's. For programs that do not leave that to
/// [`Server::serve`](super::Server::serve).
///
/// Errors: [`ServeError::NoNumber`]; [`ServeError::Mount`] if the descriptor is not open.
pub fn channel() -> Result<Option<OwnedFd>, ServeError> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    let Some(value) = std::env::var_os(CHANNEL) else { return Ok(None) };
    if TAKEN.swap(true, Ordering::SeqCst) {
        return Ok(None);
    }
    if threads() == Some(1) {
        // Programs that the file system starts are no servers of this channel.
        // SAFETY: this is the only thread, so nobody reads the environment meanwhile.
        unsafe { std::env::remove_var(CHANNEL) };
    }
    let number = value.to_str().and_then(|text| text.parse().ok());
    let number =
        number.ok_or_else(|| ServeError::NoNumber { value: value.to_string_lossy().into() })?;
    Ok(Some(take_descriptor(number)?))
}

/// How many threads this process has, if that can be known.
fn threads() -> Option<usize> {
    Some(std::fs::read_dir("/proc/self/task").ok()?.count())
}
