//! The worker: does what the server asks of the core, so that nobody who waits for the server has
//! to (A121).

use super::connection::Unasked;
use super::link::Link;
use super::server::Server;
use filofs::{Cookie, Notice};
use filofs_wire::abi::ROOT_ID;
use filofs_wire::incoming::{Incoming, Notification};
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
