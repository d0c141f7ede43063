//! Advisory locks.

use super::inode::Inode;
use super::opened::opened;
use super::{Dir, up};
use filofs::{Context, Errno, Lock, LockKind, LockOwner, Node, Open, Result};
use rustix::fs::FlockOperation;
use std::sync::Arc;
use std::time::Duration;

/// Who holds POSIX locks of an inode.
#[derive(Default)]
pub(super) struct Holders;

impl Dir {
    pub(super) fn drop_locks(&self, _inode: &Arc<Inode>, _owner: LockOwner) {}

    pub(super) fn do_getlk(&self, _: &Node, _: &Open, _: LockOwner, _: Lock) -> Result<Lock> {
        Err(Errno::EOPNOTSUPP)
    }

    pub(super) fn do_setlk(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        _: LockOwner,
        _: Lock,
        _: bool,
    ) -> Result<()> {
        Err(Errno::EOPNOTSUPP)
    }

    /// A flock belongs to an open file description, above as below: the host's does.
    pub(super) fn do_flock(
        &self,
        cx: &Context<'_>,
        open: &Open,
        kind: LockKind,
        wait: bool,
    ) -> Result<()> {
        let fd = opened(open)?.fd();
        let how = match kind {
            LockKind::Unlock => FlockOperation::NonBlockingUnlock,
            LockKind::Shared => FlockOperation::NonBlockingLockShared,
            LockKind::Exclusive => FlockOperation::NonBlockingLockExclusive,
        };
        patiently(cx, wait, || rustix::fs::flock(fd, how).map_err(up))
    }
}

/// Tries until it is no longer EAGAIN; EINTR when the caller gives up. A system call that waits
/// could not be called off.
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
