//! `Peer`: who made the other end of a socket.
#![allow(unsafe_code)]

use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;

/// The process that called connect(2), listen(2) or socketpair(2), as it was then.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Peer {
    /// Its process id; none if it is in a pid namespace that ours does not see. It may have ended
    /// since, and the number be another's.
    pub pid: Option<u32>,
    /// Its effective user.
    pub uid: u32,
}

impl Peer {
    /// SO_PEERCRED of unix(7). ENOTSOCK for what is none.
    ///
    /// Not by the function of a library, whose type for a pid has no place for the 0 that the
    /// kernel tells of a process in another pid namespace.
    pub fn of(socket: impl AsFd) -> Result<Peer, Errno> {
        let mut found = libc::ucred { pid: 0, uid: u32::MAX, gid: u32::MAX };
        let mut len = size_of::<libc::ucred>() as libc::socklen_t;
        // SAFETY: the descriptor is borrowed for the call; the kernel writes at most `len` bytes
        // to `found`, in which any bytes are a value, and the length to `len`.
        let answer = unsafe {
            libc::getsockopt(
                socket.as_fd().as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_PEERCRED,
                (&raw mut found).cast(),
                &raw mut len,
            )
        };
        if answer != 0 {
            let error = std::io::Error::last_os_error();
            return Err(Errno::from_io_error(&error).unwrap_or(Errno::IO));
        }
        if len as usize != size_of::<libc::ucred>() {
            return Err(Errno::PROTO);
        }
        Ok(Peer { pid: u32::try_from(found.pid).ok().filter(|pid| *pid != 0), uid: found.uid })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_of_a_pair_is_ours() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        let uid = rustix::process::geteuid().as_raw();
        assert_eq!(Peer::of(&one), Ok(Peer { pid: Some(std::process::id()), uid }));
        let file = std::fs::File::open("/dev/null").unwrap();
        assert_eq!(Peer::of(&file), Err(Errno::NOTSOCK));
        // Never connected: nobody.
        let lonely = std::os::unix::net::UnixDatagram::unbound().unwrap();
        assert_eq!(Peer::of(&lonely), Ok(Peer { pid: None, uid: u32::MAX }));
    }
}
