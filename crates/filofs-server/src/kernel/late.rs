//! What was asked and given up: the answer, if it comes all the same, is taken back (C.3).

use super::connection::Connection;
use filofs::Context;
use filofs_wire::abi::{EntryOut, FileLock, LkIn, Opcode, OpenOut, ReleaseIn};
use filofs_wire::dirent::read_dirents_plus;
use filofs_wire::incoming::fixed;
use filofs_wire::reply::CreateOut;
use filofs_wire::request::Operation;

/// What must be known of a request when nobody else knows of it any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    pub(super) opcode: Opcode,
    nodeid: u64,
    /// The lock that was wanted.
    lock: Option<LkIn>,
}

impl Asked {
    /// Of anything but a lock.
    pub(super) const fn plain(opcode: Opcode, nodeid: u64) -> Asked {
        Asked { opcode, nodeid, lock: None }
    }

    /// Of a request about that node.
    pub(super) fn of(nodeid: u64, operation: &Operation<'_>) -> Asked {
        let lock = match operation {
            Operation::Setlk { arg } | Operation::Setlkw { arg } => Some(*arg),
            _ => None,
        };
        Asked { opcode: operation.opcode(), nodeid, lock }
    }
}

/// Gives back what a success gives that nobody waits for any more.
pub(super) fn take_back(connection: &Connection, asked: &Asked, body: &[u8]) {
    let give_back = |entry: &EntryOut| connection.give_back(entry);
    let release = |nodeid, out: &OpenOut, directory| {
        let arg = ReleaseIn { open_id: out.open_id, ..ReleaseIn::default() };
        let operation =
            if directory { Operation::Releasedir { arg } } else { Operation::Release { arg } };
        connection.send_unawaited(&Context::internal(), nodeid, &operation);
    };
    match asked.opcode {
        Opcode::Lookup
        | Opcode::Mknod
        | Opcode::Mkdir
        | Opcode::Symlink
        | Opcode::Link
        | Opcode::NodeOf => {
            if let Some(entry) = fixed(body) {
                give_back(&entry);
            }
        }
        Opcode::Create | Opcode::Tmpfile => {
            if let Some(CreateOut { entry, open }) = fixed(body) {
                release(entry.nodeid, &open, false);
                give_back(&entry);
            }
        }
        Opcode::Open | Opcode::Opendir => {
            if let Some(open) = fixed(body) {
                release(asked.nodeid, &open, asked.opcode == Opcode::Opendir);
            }
        }
        Opcode::Readdirplus => {
            let records = read_dirents_plus(body).map_while(Result::ok);
            let named = records.filter(|(_, dirent)| !dirent.name.is_dots());
            named.for_each(|(entry, _)| give_back(&entry));
        }
        Opcode::Setlk | Opcode::Setlkw => {
            // An earlier lock of the same owner in that range goes with it: GETLK tells nobody of
            // locks of their own, so what was there is not known. Better the loss of a lock to
            // whoever was interrupted than one that nobody knows of and that keeps others out.
            if let Some(mut arg) = asked.lock.filter(|arg| arg.lk.kind != FileLock::UNLOCK) {
                arg.lk.kind = FileLock::UNLOCK;
                let operation = Operation::Setlk { arg };
                connection.send_unawaited(&Context::internal(), asked.nodeid, &operation);
            }
        }
        _ => {}
    }
}
