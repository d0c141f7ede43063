//! The operations on locks.

use super::fault::Answer;
use super::link::Link;
use super::server::Server;
use filofs::{Context, Lock, LockKind, LockOwner, Node, Open, Pid, Result};
use filofs_front::nouns::{decode_lock, encode_lock};
use filofs_wire::abi::{FileLock, LkFlags, LkIn, LkOut, Opcode};
use filofs_wire::request::Operation;

impl Server {
    pub(super) fn getlk(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
    ) -> Result<Lock> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let arg = lock_in(cx, open_id, owner, lock, LkFlags::empty());
            let reply = self.ask(link, cx, id, &Operation::Getlk { arg })?;
            let LkOut { lk } = Self::fixed(link, Opcode::Getlk, id, reply.body())?;
            // Of what is not in the way nothing else is looked at.
            if lk.kind == FileLock::UNLOCK {
                return Ok(Lock { kind: LockKind::Unlock, ..lock });
            }
            decode_lock(lk)
                .map_err(|_| link.connection.lie(Opcode::Getlk, 0, id, "a lock that is none"))
        })
    }

    pub(super) fn setlk(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let arg = lock_in(cx, open_id, owner, lock, LkFlags::empty());
            self.take_lock(link, cx, id, arg, wait)
        })
    }

    pub(super) fn flock(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        kind: LockKind,
        wait: bool,
    ) -> Result<()> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let arg = lock_in(cx, open_id, owner, Lock::whole(kind), LkFlags::FLOCK);
            self.take_lock(link, cx, id, arg, wait)
        })
    }

    /// Waits for the lock as long as the caller does: others may keep it for hours.
    fn take_lock(
        &self,
        link: &Link,
        cx: &Context<'_>,
        id: u64,
        arg: LkIn,
        wait: bool,
    ) -> Answer<()> {
        let (operation, patience) = if wait {
            (Operation::Setlkw { arg }, None)
        } else {
            (Operation::Setlk { arg }, self.settings.patience)
        };
        let reply = self.ask_within(link, cx, id, &operation, patience)?;
        Self::nothing(link, operation.opcode(), id, &reply)
    }
}

fn lock_in(cx: &Context<'_>, open_id: u64, owner: LockOwner, lock: Lock, flags: LkFlags) -> LkIn {
    let pid = if lock.pid == Pid(0) { cx.pid } else { lock.pid };
    let lk = encode_lock(Lock { pid, ..lock });
    LkIn { open_id, owner: owner.0, lk, lk_flags: flags, padding: 0 }
}
