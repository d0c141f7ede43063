//! Advisory locks: fcntl(2) records and flock(2).
//!
//! A file system that keeps locks itself is asked; for the others they are kept here, as the
//! kernel does for its mounts.

use super::{Fd, Process};
use filofs::{Errno, FileSystem, Lock, LockKind, LockOwner, Result};

impl Process {
    /// A lock of another process that is in the way of this one, or one of kind Unlock, F_GETLK.
    pub fn getlk(&self, fd: Fd, lock: Lock) -> Result<Lock> {
        let (file, lock) = (self.file(fd)?, lock.check()?);
        let open = file.opened()?;
        let owner = self.lock_owner();
        if !self.mount().profile().locks {
            return self.local.0.locks.test(file.node.cookie(), owner, lock);
        }
        let found = self.mount().getlk(&self.cx(), &file.node, open, owner, lock)?;
        Ok(if found.kind == LockKind::Unlock {
            Lock { kind: LockKind::Unlock, ..lock }
        } else {
            found
        })
    }

    /// Takes or gives back a record lock, F_SETLK; with `wait` F_SETLKW.
    ///
    /// Errors: EAGAIN, EBADF for a kind the file is not open for, EINTR, EDEADLK.
    pub fn setlk(&self, fd: Fd, lock: Lock, wait: bool) -> Result<()> {
        let file = self.file(fd)?;
        let open = file.opened()?;
        let lock = Lock { pid: self.getpid(), ..lock.check()? };
        match lock.kind {
            LockKind::Shared if !file.flags.reads() => return Err(Errno::EBADF),
            LockKind::Exclusive if !file.flags.writes() => return Err(Errno::EBADF),
            _ => {}
        }
        let (cx, owner) = (self.cx(), self.lock_owner());
        if !self.mount().profile().locks {
            return self.local.0.locks.set(&cx, file.node.cookie(), owner, lock, wait);
        }
        self.mount().setlk(&cx, &file.node, open, owner, lock, wait)
    }

    /// Takes or gives back the lock of an open file description, flock(2).
    ///
    /// Errors: EAGAIN when another holds it and `wait` is false; EINTR.
    pub fn flock(&self, fd: Fd, kind: LockKind, wait: bool) -> Result<()> {
        let file = self.file(fd)?;
        let open = file.opened()?;
        let (cx, owner) = (self.cx(), LockOwner(open.id().0));
        if !self.mount().profile().locks {
            return self.local.0.locks.flock(&cx, file.node.cookie(), owner, kind, wait);
        }
        self.mount().flock(&cx, &file.node, open, owner, kind, wait)
    }
}
