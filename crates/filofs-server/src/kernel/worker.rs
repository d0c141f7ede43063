//! The worker: does what the server asks of the core, so that nobody who waits for the server has
//! to (A121).

use super::connection::Connection;
use super::inbox::Unasked;
use super::link::Link;
use super::remote::Remote;
use super::server::Server;
use filofs::{Cookie, Errno, Kind, Notice, Result, Upward};
use filofs_wire::abi::FlushWhat;
use filofs_wire::incoming::{Call, Incoming, Notification};
use std::sync::{Arc, Weak};
use zerocopy::IntoBytes;

/// Works until the server is gone.
pub(super) fn work(server: &Weak<Server>, link: &Link) {
    while let Some(unasked) = link.connection.inbox.next() {
        let Some(server) = server.upgrade() else { return };
        let worker = Worker { server: &server, link };
        match unasked {
            Unasked::Notification(message) => worker.heed(&message),
            Unasked::Everything => worker.send(Notice::Everything),
            Unasked::Unmount => worker.send(Notice::Unmount),
            Unasked::Call(id, Call::Flush { nodeid, what, start, end }) => {
                worker.flush(id, nodeid, what, start, end);
            }
            Unasked::Call(id, Call::Arguments) => worker.tell_arguments(id),
            // Answered by whoever reads the channel.
            Unasked::Call(_, Call::Unmount | Call::Groups { .. }) => {}
        }
    }
}

struct Worker<'a> {
    server: &'a Server,
    link: &'a Link,
}

impl Worker<'_> {
    fn up(&self) -> Option<&Upward> {
        self.server.up.get()
    }

    fn send(&self, notice: Notice) {
        if let Some(up) = self.up() {
            up.send(notice);
        }
    }

    /// A node that is known; one that is not is not made for this (A106).
    fn node(&self, nodeid: u64) -> Option<Arc<Remote>> {
        self.server.nodes.by_id(self.link.epoch, nodeid)
    }

    /// Passes a notification up. One of a node that nobody knows is none.
    fn heed(&self, message: &[u8]) {
        let dialect = self.link.connection.dialect();
        let Ok(Incoming::Notification(notification)) = Incoming::parse(message, dialect) else {
            return;
        };
        let cookie = |nodeid| self.node(nodeid).map(|remote| Cookie(remote.cookie));
        let notice = match notification {
            Notification::InvalInode { nodeid, offset, len } => {
                cookie(nodeid).map(|node| Notice::Changed { node, offset, len })
            }
            // The data is not kept here: it is asked for when it is wanted.
            Notification::Store { nodeid, offset, data } => {
                let (offset, len) = (offset as i64, data.len() as i64);
                cookie(nodeid).map(|node| Notice::Changed { node, offset, len })
            }
            Notification::InvalEntry { parent, name, .. }
            | Notification::Delete { parent, name, .. } => {
                let name = name.as_bytes().to_vec();
                cookie(parent).map(|dir| Notice::Renamed { dir, name })
            }
            Notification::IncEpoch => Some(Notice::AllNames),
            // POLL: nobody has asked to be told. PRUNE: a node is held here as long as it is held
            // above. RESEND was not offered. RETRIEVE was answered.
            Notification::Poll { .. }
            | Notification::Prune { .. }
            | Notification::Resend
            | Notification::Retrieve { .. } => None,
        };
        if let Some(notice) = notice {
            self.send(notice);
        }
    }

    /// A FLUSH (C.9). The answer is that of the front end, which may take its time.
    fn flush(&self, id: Option<u64>, nodeid: u64, what: FlushWhat, start: u64, end: u64) {
        let connection = self.link.connection.clone();
        let notice = self.flush_notice(nodeid, what, start, end);
        match (notice, self.up()) {
            (Err(errno), _) => connection.answer_call(id, Err(errno)),
            // A30, A63: nobody listens.
            (Ok(_), None) => connection.answer_call(id, Err(Errno::ENXIO)),
            (Ok(notice), Some(up)) if id.is_none() => up.send(notice),
            (Ok(notice), Some(up)) => up.send_then(notice, move |answer| {
                let answer = match answer {
                    // It is known here; above nothing is cached of it.
                    Ok(()) | Err(Errno::ENOENT) => Ok(&[][..]),
                    Err(errno) => Err(errno),
                };
                connection.answer_call(id, answer);
            }),
        }
    }

    fn flush_notice(&self, nodeid: u64, what: FlushWhat, start: u64, end: u64) -> Result<Notice> {
        if what == FlushWhat::AllNames {
            return Ok(Notice::AllNames);
        }
        if what == FlushWhat::NamesOfNode {
            return Err(Errno::EINVAL);
        }
        let remote = self.node(nodeid).ok_or(Errno::ENOENT)?;
        let node = Cookie(remote.cookie);
        let range = || {
            let empty = end != 0 && start >= end;
            let fits = remote.kind == Kind::Regular && end <= remote.size() && !empty;
            if fits { Ok(()) } else { Err(Errno::EINVAL) }
        };
        match what {
            FlushWhat::NamesInDirectory if remote.kind == Kind::Directory => {
                Ok(Notice::NamesIn { dir: node })
            }
            FlushWhat::ForgetData => range().map(|()| Notice::ForgetData { node, start, end }),
            FlushWhat::WriteData => range().map(|()| Notice::WriteData { node, start, end }),
            _ => Err(Errno::EINVAL),
        }
    }

    /// What is in force (A10, A27).
    fn tell_arguments(&self, id: Option<u64>) {
        let connection: &Connection = &self.link.connection;
        let arguments = self.link.terms.arguments.as_deref().ok_or(Errno::EOPNOTSUPP);
        connection.answer_call(id, arguments.map(IntoBytes::as_bytes));
    }
}
