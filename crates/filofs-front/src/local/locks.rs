//! Advisory locks: fcntl(2) records and flock(2).
//!
//! A file system that keeps locks itself is asked; for the others they are kept here, as the
//! kernel does for its mounts.

use super::process::Description;
use super::{Fd, Process};
use filofs::{
    Context, Cookie, Errno, FileSystem, Lock, LockKind, LockOwner, Node, Open, Result, locked,
};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

impl Process {
    /// A lock of another process that is in the way of this one, or one of kind Unlock, F_GETLK.
    pub fn getlk(&self, fd: Fd, lock: Lock) -> Result<Lock> {
        let (file, lock) = (self.file(fd)?, lock.check()?);
        let open = file.opened()?;
        let owner = self.lock_owner();
        if !self.mount().profile().locks {
            return Ok(self.local.0.locks.conflict(&file.node, Sort::Record, owner, lock));
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
            return self.local.0.locks.take(&cx, &file.node, Sort::Record, owner, lock, wait);
        }
        self.mount().setlk(&cx, &file.node, open, owner, lock, wait)
    }

    /// Takes or gives back the lock of an open file description, flock(2).
    ///
    /// Errors: EAGAIN when another holds it and `wait` is false; EINTR.
    pub fn flock(&self, fd: Fd, kind: LockKind, wait: bool) -> Result<()> {
        let file: Arc<Description> = self.file(fd)?;
        let open: &Open = file.opened()?;
        let (cx, owner) = (self.cx(), LockOwner(open.id().0));
        if !self.mount().profile().locks {
            let lock = Lock::whole(kind);
            return self.local.0.locks.take(&cx, &file.node, Sort::Whole, owner, lock, wait);
        }
        self.mount().flock(&cx, &file.node, open, owner, kind, wait)
    }
}

/// The two sorts of locks do not see each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Sort {
    Record,
    Whole,
}

#[derive(Clone, Copy, Debug)]
struct Held {
    sort: Sort,
    owner: LockOwner,
    lock: Lock,
}

/// The locks on the files of a mount whose file system keeps none.
#[derive(Debug, Default)]
pub(super) struct Table {
    files: Mutex<HashMap<Cookie, Vec<Held>>>,
    changed: Condvar,
}

impl Table {
    /// A waiting caller looks at least that often whether it was interrupted.
    const PATIENCE: Duration = Duration::from_millis(50);

    /// Lets those who wait look again.
    pub(super) fn wake(&self) {
        self.changed.notify_all();
    }

    pub(super) fn forget_process(&self, node: &Node, owner: LockOwner) {
        self.forget(node, Sort::Record, owner);
    }

    pub(super) fn forget_open(&self, node: &Node, owner: LockOwner) {
        self.forget(node, Sort::Whole, owner);
    }

    fn forget(&self, node: &Node, sort: Sort, owner: LockOwner) {
        let mut files = locked(&self.files);
        if let Some(held) = files.get_mut(&node.cookie()) {
            held.retain(|h| h.sort != sort || h.owner != owner);
            if held.is_empty() {
                files.remove(&node.cookie());
            }
            self.changed.notify_all();
        }
    }

    fn conflict(&self, node: &Node, sort: Sort, owner: LockOwner, lock: Lock) -> Lock {
        let files = locked(&self.files);
        let held = files.get(&node.cookie()).map(Vec::as_slice).unwrap_or_default();
        let first =
            held.iter().filter(|h| in_the_way(h, sort, owner, &lock)).min_by_key(|h| h.lock.start);
        first.map_or(Lock { kind: LockKind::Unlock, ..lock }, |h| h.lock)
    }

    fn take(
        &self,
        cx: &Context<'_>,
        node: &Node,
        sort: Sort,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        let mut files = locked(&self.files);
        loop {
            let held = files.entry(node.cookie()).or_default();
            if lock.kind == LockKind::Unlock
                || !held.iter().any(|h| in_the_way(h, sort, owner, &lock))
            {
                replace(held, Held { sort, owner, lock });
                if held.is_empty() {
                    files.remove(&node.cookie());
                }
                self.changed.notify_all();
                return Ok(());
            }
            if !wait {
                return Err(Errno::EAGAIN);
            }
            if cx.cancelled() {
                return Err(Errno::EINTR);
            }
            let woken = self.changed.wait_timeout(files, Self::PATIENCE);
            files = woken.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

fn in_the_way(held: &Held, sort: Sort, owner: LockOwner, lock: &Lock) -> bool {
    held.sort == sort
        && held.owner != owner
        && held.lock.overlaps(lock)
        && (held.lock.kind == LockKind::Exclusive || lock.kind == LockKind::Exclusive)
}

/// Puts a lock in the place of what its owner held in that range.
fn replace(held: &mut Vec<Held>, new: Held) {
    let mut kept = Vec::with_capacity(held.len() + 2);
    for old in held.drain(..) {
        if old.sort != new.sort || old.owner != new.owner || !old.lock.overlaps(&new.lock) {
            kept.push(old);
            continue;
        }
        if old.lock.start < new.lock.start {
            let lock = Lock { end: new.lock.start - 1, ..old.lock };
            kept.push(Held { lock, ..old });
        }
        if old.lock.end > new.lock.end {
            let lock = Lock { start: new.lock.end + 1, ..old.lock };
            kept.push(Held { lock, ..old });
        }
    }
    if new.lock.kind != LockKind::Unlock {
        kept.push(new);
    }
    *held = kept;
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lock(kind: LockKind, start: u64, end: u64) -> Lock {
        Lock { kind, start, end, ..Lock::whole(kind) }
    }

    #[test]
    fn unlocking_the_middle_splits_a_lock() {
        let held = |lock| Held { sort: Sort::Record, owner: LockOwner(1), lock };
        let mut all = vec![held(lock(LockKind::Exclusive, 0, 99))];
        replace(&mut all, held(lock(LockKind::Unlock, 40, 59)));
        let ranges: Vec<_> = all.iter().map(|h| (h.lock.start, h.lock.end)).collect();
        assert_eq!(ranges, [(0, 39), (60, 99)]);
        replace(&mut all, held(lock(LockKind::Shared, 30, 69)));
        assert_eq!(all.len(), 3);
        replace(&mut all, held(lock(LockKind::Unlock, 0, Lock::TO_END)));
        assert!(all.is_empty());
    }
}
