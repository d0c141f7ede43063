//! `Socket`: a listening socket at a path.

use super::ServeError;
use rustix::fd::OwnedFd;
use rustix::fs::{FileType, FlockOperation, Mode, OFlags, flock, open};
use rustix::io::Errno as Raw;
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, accept_with, bind, connect, listen,
    socket_with,
};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// How often, and with what pauses, it is tried to lock a directory. Who has it locked needs a
/// moment.
const LOCK_TRIES: u32 = 200;
const LOCK_PAUSE: Duration = Duration::from_millis(10);

/// A Unix socket of type SOCK_SEQPACKET that others connect to. Its file goes with it.
#[derive(Debug)]
pub(super) struct Socket {
    fd: OwnedFd,
    path: PathBuf,
    /// Device and inode of the file, so that another one at the same place is left alone.
    id: (u64, u64),
}

impl Socket {
    /// How many may wait to be let in.
    const BACKLOG: i32 = 16;

    /// Listens at that path, with those permission bits. A socket that was left there by a server
    /// that is gone is replaced; nothing else is.
    ///
    /// Errors: [`ServeError::Taken`], [`ServeError::NoSocket`], [`ServeError::Socket`].
    pub(super) fn listen(path: &Path, mode: u32) -> Result<Socket, ServeError> {
        let wrong = |errno: Raw| ServeError::socket(path, errno);
        let address = SocketAddrUnix::new(path).map_err(wrong)?;
        let fd = fresh(SocketFlags::empty()).map_err(wrong)?;
        // Two servers that find the same remains must not both take them away.
        let _alone = lock(path).map_err(wrong)?;
        match bind(&fd, &address) {
            Err(Raw::ADDRINUSE) => {
                clear(path, &address).map_err(wrong)?;
                bind(&fd, &address).map_err(wrong)?;
            }
            bound => bound.map_err(wrong)?,
        }
        let found = rustix::fs::lstat(path).map_err(wrong)?;
        let id = (found.st_dev, found.st_ino);
        let socket = Socket { fd, path: path.to_owned(), id };
        // From here on the file goes when something fails. Nobody can connect yet.
        rustix::fs::chmod(path, Mode::from_raw_mode(mode)).map_err(wrong)?;
        listen(&socket.fd, Self::BACKLOG).map_err(wrong)?;
        Ok(socket)
    }

    /// Waits for the next who connects. ECONNABORTED for one that is gone already; EINVAL after
    /// [`Socket::close`].
    pub(super) fn accept(&self) -> Result<OwnedFd, Raw> {
        accept_with(&self.fd, SocketFlags::CLOEXEC)
    }

    /// The file goes, and then nobody is let in any more. Any number of times.
    pub(super) fn close(&self) {
        let here = rustix::fs::lstat(&self.path);
        if here.is_ok_and(|found| (found.st_dev, found.st_ino) == self.id) {
            let _ = rustix::fs::unlink(&self.path);
        }
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.close();
    }
}

fn fresh(more: SocketFlags) -> Result<OwnedFd, Raw> {
    let flags = SocketFlags::CLOEXEC | more;
    socket_with(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None)
}

/// The directory of the path, locked until the value is dropped. EAGAIN if somebody else keeps
/// it locked.
fn lock(path: &Path) -> Result<OwnedFd, Raw> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = open(dir.unwrap_or(Path::new(".")), flags, Mode::empty())?;
    // In a directory that others can open they can lock it, too, and for ever.
    for _ in 0..LOCK_TRIES {
        match flock(&dir, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => return Ok(dir),
            Err(Raw::AGAIN) => std::thread::sleep(LOCK_PAUSE),
            Err(errno) => return Err(errno),
        }
    }
    Err(Raw::AGAIN)
}

/// Takes away the socket of a server that is gone.
fn clear(path: &Path, address: &SocketAddrUnix) -> Result<(), Raw> {
    let found = rustix::fs::lstat(path)?;
    if FileType::from_raw_mode(found.st_mode) != FileType::Socket {
        return Err(Raw::EXIST);
    }
    match connect(&fresh(SocketFlags::NONBLOCK)?, address) {
        Err(Raw::CONNREFUSED) => rustix::fs::unlink(path),
        // Of another type, or busy, but somebody's.
        Ok(()) | Err(Raw::PROTOTYPE | Raw::AGAIN) => Err(Raw::ADDRINUSE),
        Err(errno) => Err(errno),
    }
}
