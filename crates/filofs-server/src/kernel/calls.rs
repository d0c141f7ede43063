//! What a server says unasked, as far as whoever reads the channel may deal with it, and the
//! answers to its calls.
//!
//! The reader never waits, and does nothing that could need an operation to end which waits for
//! this very server (A121): the rest is the worker's.

use super::connection::Connection;
use filofs::{Context, Errno, Groups};
use filofs_wire::abi::{CALL_ID, NotifyRetrieveIn, ResponseIn};
use filofs_wire::incoming::{Call, Incoming, Notification};
use filofs_wire::request::Operation;
use std::sync::atomic::Ordering;
use zerocopy::IntoBytes;

impl Connection {
    /// Takes in what is no reply.
    pub(super) fn heard(&self, incoming: &Incoming<'_>, message: &[u8]) {
        match *incoming {
            Incoming::Reply { .. } => {}
            Incoming::Notification(Notification::Retrieve { unique, nodeid, offset, .. }) => {
                // Nothing is kept here that a server could want back.
                let arg = NotifyRetrieveIn { offset, ..NotifyRetrieveIn::default() };
                let operation = Operation::NotifyReply { arg, data: &[] };
                if unique != 0 {
                    self.tell_as(&Context::internal(), unique, nodeid, &operation);
                }
            }
            Incoming::Notification(_) => self.inbox.notified(message),
            Incoming::Call { id, call: Call::Groups { unique } } => {
                if let Some(id) = id {
                    self.ask_for_groups(id, unique);
                }
            }
            Incoming::Call { id, call: Call::Unmount } => {
                if self.leaves.swap(true, Ordering::SeqCst) {
                    self.answer_call(id, Err(Errno::ENXIO)); // A123
                    return;
                }
                // A65: the answer comes first, and then what was asked for.
                self.answer_call(id, Ok(&[]));
                self.inbox.unmount();
            }
            Incoming::Call { id, call } => {
                if self.leaves.load(Ordering::SeqCst) && call != Call::Arguments {
                    self.answer_call(id, Err(Errno::ENXIO)); // A123
                } else if !self.inbox.called(id, call) {
                    self.answer_call(id, Err(Errno::EAGAIN));
                }
            }
            Incoming::BadCall { id, errno } => {
                self.answer_call(id, Err(Errno::from_raw(errno.number())));
            }
        }
    }

    /// Answers a call, if an answer is wanted. E2BIG in the place of more than a message carries.
    pub(super) fn answer_call(&self, id: Option<u64>, answer: Result<&[u8], Errno>) {
        let Some(id) = id else { return };
        let (error, data) = match answer {
            Ok(data) if data.len() <= self.payload() => (0, data),
            Ok(_) => (Errno::E2BIG.raw(), [].as_slice()),
            Err(errno) => (errno.raw(), [].as_slice()),
        };
        let arg = ResponseIn { error: error as u32, padding: 0 };
        let operation = Operation::Response { arg, data };
        self.tell_as(&Context::internal(), id | CALL_ID, 0, &operation);
    }

    /// The caller of a request knows its groups, and waits: it is woken to tell them (C.10).
    /// ENOENT for a request that nobody waits for.
    fn ask_for_groups(&self, id: u64, unique: u64) {
        let by_slot = self.slots().is_some_and(|slots| slots.question(unique, id));
        if !by_slot && !self.parking.ask(unique, id) {
            self.answer_call(Some(id), Err(Errno::ENOENT));
        }
    }

    /// Tells the groups of a caller; ENOENT for one that waits no more. To be called by the
    /// thread that waits, as nobody else may ask for them.
    pub(super) fn tell_groups(&self, id: u64, groups: Option<&dyn Groups>) {
        let list = |groups: &dyn Groups| groups.list().iter().map(|gid| gid.0).collect();
        let groups: Option<Vec<u32>> = groups.map(list);
        let answer = groups.as_ref().map(|groups| groups.as_bytes());
        self.answer_call(Some(id), answer.ok_or(Errno::ENOENT));
    }
}
