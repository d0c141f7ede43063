//! `_FUSE_COMMFD`: a socket that is known only by its number.
#![allow(unsafe_code)]

use rustix::fd::{BorrowedFd, OwnedFd, RawFd};
use rustix::io::Errno;

/// A duplicate of the socket of that number. EBADF if none is open, ENOTSOCK for another file.
pub(super) fn socket(number: RawFd) -> Result<OwnedFd, Errno> {
    if number < 0 {
        return Err(Errno::BADF);
    }
    // SAFETY: the number is not -1, and it is used only here, for one system call that answers
    // EBADF where it is not open.
    let named = unsafe { BorrowedFd::borrow_raw(number) };
    let socket = rustix::io::fcntl_dupfd_cloexec(named, 3)?;
    rustix::net::sockopt::socket_type(&socket)?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fd::AsRawFd;

    #[test]
    fn only_an_open_socket_is_taken() {
        let (ours, _theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        assert!(socket(ours.as_raw_fd()).is_ok());
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(socket(file.as_raw_fd()).unwrap_err(), Errno::NOTSOCK);
        assert_eq!(socket(987_654).unwrap_err(), Errno::BADF);
        assert_eq!(socket(-1).unwrap_err(), Errno::BADF);
    }
}
