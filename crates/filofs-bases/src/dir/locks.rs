//! Advisory locks: among the callers of this mount, and against the processes of the host.
//!
//! Among callers the [`filofs::LockTable`] decides, in order of arrival and with deadlocks found
//! out.
//! What it grants is then taken on the host as well: a flock on the descriptor of the open it
//! belongs to, a POSIX lock as an open file description lock on a descriptor for each owner. A
//! lock that another process of the host holds is tried for again and again, because a system
//! call that waits could not be called off.
//!
//! Order: taken from the table first and then on the host, given back on the host first; so
//! whoever the table lets in finds the host free.

use super::descriptors::{DESCRIPTORS, Permit};
use super::inode::Inode;
use super::opened::{HostOpen, opened};
use super::{Dir, inode, sys, up};
use filofs::{Context, Errno, Lock, LockKind, LockOwner, Node, Open, Pid, Result, locked};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{FlockOperation, OFlags};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// Who holds POSIX locks of an inode.
#[derive(Default)]
pub(super) struct Holders(Mutex<HashMap<LockOwner, Arc<Holder>>>);

/// One owner's locks of one file on the host.
struct Holder {
    fd: Arc<OwnedFd>,
    writes: bool,
    /// Held for one step on the host with its step in the table.
    step: Mutex<()>,
    _permit: Permit,
}

impl Dir {
    pub(super) fn do_getlk(
        &self,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
    ) -> Result<Lock> {
        let inode = inode(node)?;
        let found = self.locks.test(inode.cookie, owner, lock)?;
        if found.kind != LockKind::Unlock {
            return Ok(found);
        }
        // An owner's own locks are in its way on every other descriptor.
        let holder = inode.holder(owner);
        let fd = holder.as_ref().map_or_else(|| opened(open).map(HostOpen::fd), |h| Ok(&h.fd))?;
        let mut asked = host_lock(lock);
        match sys::ofd_lock(fd.as_fd(), libc::F_OFD_GETLK, &mut asked) {
            Ok(()) => Ok(our_lock(&asked, lock)),
            Err(Errno::EINVAL | Errno::EOPNOTSUPP | Errno::EBADF) => Ok(found),
            Err(errno) => Err(errno),
        }
    }

    pub(super) fn do_setlk(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        let lock = lock.check()?;
        let inode = inode(node)?;
        let open = opened(open)?;
        let file = inode.cookie;
        match lock.kind {
            LockKind::Unlock => {
                let holder = inode.holder(owner);
                let _step = holder.as_ref().map(|holder| locked(&holder.step));
                if let Some(holder) = &holder {
                    holder.set(lock)?;
                }
                return self.locks.set(cx, file, owner, lock, false);
            }
            LockKind::Shared if !open.flags().reads() => return Err(Errno::EBADF),
            LockKind::Exclusive if !open.flags().writes() => return Err(Errno::EBADF),
            LockKind::Shared | LockKind::Exclusive => {}
        }
        // Before the table says yes, so that it need not be taken back for want of a descriptor.
        self.make_holder(&inode, open, owner, lock.kind)?;
        let before = self.locks.held(file, owner);
        self.locks.set(cx, file, owner, lock, wait)?;
        let taken = patiently(cx, wait, || {
            loop {
                let holder = self.make_holder(&inode, open, owner, lock.kind)?;
                let _step = locked(&holder.step);
                // A close by another thread of the owner may have taken the holder away, and the
                // lock with it or not, depending on which was first.
                if !inode.is_held_by(owner, &holder) {
                    continue;
                }
                let held = self.locks.held(file, owner);
                return if covers(&held, lock) { holder.set(lock) } else { Ok(()) };
            }
        });
        if taken.is_err() {
            let holder = inode.holder(owner);
            let _step = holder.as_ref().map(|holder| locked(&holder.step));
            let undo = Lock { kind: LockKind::Unlock, ..lock };
            let mut back = vec![undo];
            back.extend(before.iter().filter_map(|old| clip(old, lock)));
            for lock in back {
                // What somebody else took in the meantime is theirs.
                let _ = self.locks.set(cx, file, owner, lock, false);
            }
        }
        taken
    }

    /// All POSIX locks of an owner go, as with any close(2) of a descriptor of the file.
    pub(super) fn drop_locks(&self, inode: &Arc<Inode>, owner: LockOwner) {
        let Some(holders) = inode.holders.get() else { return };
        let holder = locked(&holders.0).remove(&owner);
        if let Some(holder) = holder {
            let _step = locked(&holder.step);
            // Nothing can be done about an error, and closing gives them back too.
            let _ = holder.set(Lock::whole(LockKind::Unlock));
            self.locks.release(inode.cookie, owner);
        }
    }

    /// A flock belongs to an open file description, above as below.
    pub(super) fn do_flock(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        kind: LockKind,
        wait: bool,
    ) -> Result<()> {
        let fd = opened(open)?.fd();
        let file = node.cookie();
        let flock = |how| rustix::fs::flock(fd, how).map_err(up);
        let how = match kind {
            LockKind::Unlock => {
                flock(FlockOperation::NonBlockingUnlock)?;
                self.locks.release_flock(file, owner);
                return Ok(());
            }
            LockKind::Shared => FlockOperation::NonBlockingLockShared,
            LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        let taken = self
            .locks
            .flock(cx, file, owner, kind, false)
            .or_else(|errno| {
                // A conversion gives the old lock back before it waits, flock(2).
                let _ = flock(FlockOperation::NonBlockingUnlock);
                match errno {
                    Errno::EAGAIN if wait => self.locks.flock(cx, file, owner, kind, true),
                    other => Err(other),
                }
            })
            .and_then(|()| patiently(cx, wait, || flock(how)));
        if taken.is_err() {
            let _ = flock(FlockOperation::NonBlockingUnlock);
            self.locks.release_flock(file, owner);
        }
        taken
    }

    /// The open is going, and its flock with it.
    pub(super) fn drop_flock(&self, node: &Node, open: &Open, owner: LockOwner) -> Result<()> {
        if !self.locks.is_empty() {
            let _ = rustix::fs::flock(opened(open)?.fd(), FlockOperation::NonBlockingUnlock);
            self.locks.release_flock(node.cookie(), owner);
        }
        Ok(())
    }

    /// The owner's descriptor for locks, good for locks of that kind.
    fn make_holder(
        &self,
        inode: &Arc<Inode>,
        open: &HostOpen,
        owner: LockOwner,
        kind: LockKind,
    ) -> Result<Arc<Holder>> {
        let old = inode.holder(owner);
        if let Some(holder) = &old
            && (holder.writes || kind == LockKind::Shared)
        {
            return Ok(holder.clone());
        }
        let permit = DESCRIPTORS.for_open().map_err(|_| Errno::ENOLCK)?;
        let writes = open.flags().writes();
        let how = match (open.flags().reads() || old.is_some(), writes) {
            (true, true) => OFlags::RDWR,
            (false, true) => OFlags::WRONLY,
            (_, false) => OFlags::RDONLY,
        };
        // The open is proof of the right. Where we are nobody special and the file's mode has
        // changed since, the open's own descriptor must do: owners that share it are then kept
        // apart by the table alone.
        self.host.rights.as_own()?;
        let fd = match self.host.reopen(open.fd().as_fd(), how | OFlags::NONBLOCK) {
            Ok(fd) => Arc::new(fd),
            Err(_) => open.fd().clone(),
        };
        let holder = Arc::new(Holder { fd, writes, step: Mutex::default(), _permit: permit });
        let holders = inode.holders.get_or_init(Box::default);
        let mut map = locked(&holders.0);
        if let Some(known) = map.get(&owner)
            && (known.writes || !writes)
        {
            return Ok(known.clone()); // another thread of the owner was faster
        }
        let replaced = map.insert(owner, holder.clone());
        drop(map);
        if let Some(old) = replaced {
            // Locks move to the descriptor that can have both kinds.
            let _step = locked(&old.step);
            old.set(Lock::whole(LockKind::Unlock))?;
            for lock in self.locks.held(inode.cookie, owner) {
                holder.set(lock)?;
            }
        }
        Ok(holder)
    }
}

impl Inode {
    fn holder(&self, owner: LockOwner) -> Option<Arc<Holder>> {
        locked(&self.holders.get()?.0).get(&owner).cloned()
    }

    /// Whether that is the owner's holder still.
    fn is_held_by(&self, owner: LockOwner, holder: &Arc<Holder>) -> bool {
        self.holder(owner).is_some_and(|now| Arc::ptr_eq(&now, holder))
    }
}

impl Holder {
    /// One step on the host. EAGAIN when another process is in the way. A host that has no such
    /// locks has no such processes either.
    fn set(&self, lock: Lock) -> Result<()> {
        match sys::ofd_lock(self.fd.as_fd(), libc::F_OFD_SETLK, &mut host_lock(lock)) {
            Err(Errno::EACCES) => Err(Errno::EAGAIN),
            Err(Errno::EINVAL | Errno::EOPNOTSUPP) => Ok(()),
            done => done,
        }
    }
}

/// Tries until it is no longer EAGAIN; EINTR when the caller gives up.
fn patiently<T>(cx: &Context<'_>, wait: bool, mut act: impl FnMut() -> Result<T>) -> Result<T> {
    let mut pause = Duration::from_micros(100);
    loop {
        match act() {
            Err(Errno::EAGAIN) if wait => {}
            done => return done,
        }
        if cx.cancelled() {
            return Err(Errno::EINTR);
        }
        cx.cancel.sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(20));
    }
}

/// Whether an owner that holds those holds all of that.
fn covers(held: &[Lock], lock: Lock) -> bool {
    held.iter().any(|h| h.kind == lock.kind && h.start <= lock.start && lock.end <= h.end)
}

/// The part of an old lock that lies where a new one was to be.
fn clip(old: &Lock, new: Lock) -> Option<Lock> {
    let (start, end) = (old.start.max(new.start), old.end.min(new.end));
    (start <= end).then_some(Lock { start, end, ..*old })
}

/// struct flock of fcntl(2): a length of 0 is "to the end".
fn host_lock(lock: Lock) -> libc::flock {
    let len = if lock.end >= Lock::TO_END { 0 } else { lock.end - lock.start + 1 };
    libc::flock {
        l_type: match lock.kind {
            LockKind::Unlock => libc::F_UNLCK,
            LockKind::Shared => libc::F_RDLCK,
            LockKind::Exclusive => libc::F_WRLCK,
        } as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: lock.start as libc::off_t,
        l_len: len as libc::off_t,
        l_pid: 0,
    }
}

/// What the host found in the way. Another's open file description lock has no process (-1): 0.
fn our_lock(found: &libc::flock, asked: Lock) -> Lock {
    let kind = match libc::c_int::from(found.l_type) {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        _ => return Lock { kind: LockKind::Unlock, ..asked },
    };
    let start = found.l_start as u64;
    let end = match found.l_len {
        0 => Lock::TO_END,
        len => start + (len as u64).saturating_sub(1),
    };
    Lock { kind, start, end, pid: Pid(found.l_pid.max(0) as u32) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_come_back() {
        for (start, end) in [(0, 0), (5, 9), (7, Lock::TO_END), (0, Lock::TO_END)] {
            let lock = Lock { start, end, ..Lock::whole(LockKind::Exclusive) };
            assert_eq!(our_lock(&host_lock(lock), Lock::whole(LockKind::Shared)), lock);
        }
        let asked = Lock::whole(LockKind::Shared);
        let free = host_lock(Lock { kind: LockKind::Unlock, ..asked });
        assert_eq!(our_lock(&free, asked).kind, LockKind::Unlock);
    }

    #[test]
    fn what_was_there_is_clipped() {
        let lock = |start, end| Lock { start, end, ..Lock::whole(LockKind::Shared) };
        assert_eq!(clip(&lock(0, 10), lock(5, 20)), Some(lock(5, 10)));
        assert_eq!(clip(&lock(0, 4), lock(5, 20)), None);
        assert!(covers(&[lock(0, 10)], lock(3, 10)) && !covers(&[lock(0, 10)], lock(3, 11)));
    }
}
