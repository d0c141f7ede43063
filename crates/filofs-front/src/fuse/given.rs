//! `/dev/fd/N`: descriptors that somebody opened for us, as mount.fuse3(8) does with
//! `drop_privileges`.
#![allow(unsafe_code)]

use super::MountError;
use rustix::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The descriptor's number, if the mount point is of that form.
pub(super) fn number(path: &Path) -> Option<i32> {
    let digits = path.as_os_str().as_bytes().strip_prefix(b"/dev/fd/")?;
    let all_digits = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(digits).ok().filter(|_| all_digits)?.parse().ok()
}

/// Takes over the descriptor of that number, which somebody gave to this process to serve over.
/// Not one of the standard three, and not one that anybody else in this process uses. Errors:
/// [`MountError::Descriptor`] if it is not open.
pub fn take_descriptor(number: i32) -> Result<OwnedFd, MountError> {
    take(number, &PathBuf::from(format!("/dev/fd/{number}")))
}

/// Takes the descriptor of that number over; it is closed with the session. Errors:
/// [`MountError::Descriptor`] if it is not open, or one of the standard three.
pub(super) fn take(number: i32, path: &Path) -> Result<OwnedFd, MountError> {
    let missing = || MountError::Descriptor { path: path.to_owned() };
    if number <= 2 {
        return Err(missing());
    }
    // SAFETY: the number is only asked about, and the answer for one that is not open is EBADF.
    let asked = unsafe { BorrowedFd::borrow_raw(number) };
    rustix::io::fcntl_getfd(asked).map_err(|_| missing())?;
    // Programs that a layer starts must not hold the mount alive.
    rustix::io::fcntl_setfd(asked, rustix::io::FdFlags::CLOEXEC).map_err(|_| missing())?;
    // SAFETY: it is open, and whoever passes it by name as a mount point gives it to us: that is
    // what the form `/dev/fd/N` means.
    let fd = unsafe { OwnedFd::from_raw_fd(number) };
    debug_assert_eq!(fd.as_raw_fd(), number);
    Ok(fd)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_exact_form_is_a_descriptor() {
        assert_eq!(number(Path::new("/dev/fd/17")), Some(17));
        for other in ["/dev/fd/", "/dev/fd/-1", "/dev/fd/+1", "/dev/fd/1x", "/mnt", "dev/fd/3"] {
            assert_eq!(number(Path::new(other)), None, "{other}");
        }
    }

    #[test]
    fn a_closed_descriptor_is_refused() {
        let path = Path::new("/dev/fd/987654");
        let refused = take(987_654, path).unwrap_err();
        assert_eq!(refused, MountError::Descriptor { path: path.to_owned() });
        assert!(take(1, path).is_err());
    }
}
