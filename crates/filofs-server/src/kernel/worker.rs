//! The worker: does what the server asks of the core, so that nobody who waits for the server has
//! to (A121).

use super::connection::{Connection, Unasked};
use super::link::Link;
use super::server::Server;
use filofs::{Context, Cookie, Notice};
use filofs_wire::abi::{EntryOut, Opcode, OpenOut, OutHeader, ROOT_ID, ReleaseIn};
use filofs_wire::dirent::read_dirents_plus;
use filofs_wire::incoming::{Incoming, Notification, fixed};
use filofs_wire::reply::CreateOut;
use filofs_wire::request::Operation;
use std::sync::Weak;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::time::Duration;

/// What it gets to do.
pub(super) type Work = Receiver<Unasked>;

/// How often it looks whether it is still wanted.
const LOOK: Duration = Duration::from_secs(1);

/// Works until the server is gone.
pub(super) fn work(server: &Weak<Server>, link: &Link, work: &Work) {
    let connection = &link.connection;
    loop {
        match work.recv_timeout(LOOK) {
            Ok(Unasked::Message(frame)) => {
                let Some(server) = server.upgrade() else { return };
                if let Ok(Incoming::Notification(notification)) =
                    Incoming::parse(frame.bytes(), connection.dialect())
                {
                    heed(&server, link.epoch, &notification);
                }
            }
            Ok(Unasked::Late(opcode, frame, _)) => {
                let body = frame.bytes().get(size_of::<OutHeader>()..).unwrap_or_default();
                if let Ok(Incoming::Reply { error: 0, .. }) =
                    Incoming::parse(frame.bytes(), connection.dialect())
                {
                    take_back(connection, opcode, body);
                }
            }
            Ok(Unasked::End) | Err(RecvTimeoutError::Disconnected) => return,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if connection.is_dead() {
            return;
        }
    }
}

/// Passes up what the server says unasked.
fn heed(server: &Server, epoch: u64, notification: &Notification<'_>) {
    let Some(up) = server.up.get() else { return };
    let cookie = |nodeid| {
        if nodeid == ROOT_ID {
            return Some(Cookie(ROOT_ID));
        }
        server.nodes.by_id(epoch, nodeid).map(|remote| Cookie(remote.cookie))
    };
    match *notification {
        Notification::InvalInode { nodeid, offset, len } => {
            if let Some(node) = cookie(nodeid) {
                up.send(Notice::Changed { node, offset, len });
            }
        }
        Notification::Store { nodeid, offset, data } => {
            if let Some(node) = cookie(nodeid) {
                let (offset, len) = (offset as i64, data.len() as i64);
                up.send(Notice::Changed { node, offset, len });
            }
        }
        Notification::InvalEntry { parent, name, .. }
        | Notification::Delete { parent, name, .. } => {
            if let Some(dir) = cookie(parent) {
                up.send(Notice::Renamed { dir, name: name.as_bytes().to_vec() });
            }
        }
        _ => {}
    }
}

/// Takes back what an answer gives that nobody waits for any more.
fn take_back(connection: &Connection, opcode: Opcode, body: &[u8]) {
    let forget = |entry: &EntryOut| {
        if entry.nodeid > ROOT_ID {
            connection.forget(entry.nodeid, 1);
        }
    };
    let release = |out: &OpenOut, directory| {
        let arg = ReleaseIn { open_id: out.open_id, ..ReleaseIn::default() };
        let operation =
            if directory { Operation::Releasedir { arg } } else { Operation::Release { arg } };
        connection.tell(&Context::internal(), 0, &operation);
    };
    match opcode {
        Opcode::Lookup
        | Opcode::Mknod
        | Opcode::Mkdir
        | Opcode::Symlink
        | Opcode::Link
        | Opcode::NodeOf => {
            if let Some(entry) = fixed(body) {
                forget(&entry);
            }
        }
        Opcode::Create | Opcode::Tmpfile => {
            if let Some(CreateOut { entry, open }) = fixed(body) {
                release(&open, false);
                forget(&entry);
            }
        }
        Opcode::Open | Opcode::Opendir => {
            if let Some(open) = fixed(body) {
                release(&open, opcode == Opcode::Opendir);
            }
        }
        Opcode::Readdirplus => {
            read_dirents_plus(body).map_while(Result::ok).for_each(|(entry, _)| forget(&entry));
        }
        _ => {}
    }
}
