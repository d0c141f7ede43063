//! `Answer`: the way back of one request.

use super::device::Outlet;
use super::flight::Flight;
use filofs::{Errno, Result};
use filofs_wire::errno::ReplyErrno;
use filofs_wire::reply::{self, Message};
use rustix::fd::BorrowedFd;
use std::cell::Cell;
use zerocopy::{Immutable, IntoBytes};

/// The way an answer goes: at most once.
pub(super) struct Answer<'a> {
    outlet: &'a dyn Outlet,
    /// The request's id.
    pub(super) unique: u64,
    /// Somebody else may answer in our place; without one, nobody does.
    flight: Option<&'a Flight>,
    sent: Cell<bool>,
}

impl<'a> Answer<'a> {
    pub(super) const fn new(
        outlet: &'a dyn Outlet,
        unique: u64,
        flight: Option<&'a Flight>,
    ) -> Answer<'a> {
        Answer { outlet, unique, flight, sent: Cell::new(false) }
    }

    /// Where it goes.
    pub(super) const fn outlet(&self) -> &'a dyn Outlet {
        self.outlet
    }

    /// Whether it was sent, or could not be.
    pub(super) fn given(&self) -> bool {
        self.sent.get()
    }

    /// Sends; false when nobody got it.
    pub(super) fn send<T: IntoBytes + Immutable + Copy>(
        &self,
        message: &Message<T>,
        data: &[u8],
    ) -> bool {
        !self.sent.replace(true)
            && self.flight.is_none_or(Flight::claim)
            && self.outlet.send(message.as_bytes(), data)
    }

    /// Sends a message without data, and a file with it.
    pub(super) fn with_file<T: IntoBytes + Immutable + Copy>(
        &self,
        message: &Message<T>,
        file: BorrowedFd<'_>,
    ) -> bool {
        !self.sent.replace(true)
            && self.flight.is_none_or(Flight::claim)
            && self.outlet.send_with(message.as_bytes(), file)
    }

    /// Has the peer hand over what it holds back of a node's written data, see
    /// [`Outlet::collect`].
    pub(super) fn collect(&self, nodeid: u64) -> Result<()> {
        self.outlet.collect(nodeid).map_err(|errno| Errno::from_raw(errno.raw_os_error()))
    }

    /// What the kernel knows of the node's attributes is out of date.
    pub(super) fn doubt(&self, nodeid: u64) {
        self.outlet.doubt(nodeid);
    }

    /// An error.
    pub(super) fn error(&self, errno: Errno) {
        self.send(&reply::error(self.unique, wire(errno)), &[]);
    }

    /// A message without data.
    pub(super) fn plain<T: IntoBytes + Immutable + Copy>(&self, message: &Message<T>) -> bool {
        self.send(message, &[])
    }

    /// Success with nothing to say.
    pub(super) fn empty(&self) -> bool {
        self.plain(&reply::empty(self.unique))
    }

    /// Sends the first `len` bytes of the window.
    pub(super) fn data(&self, window: &[u8], len: usize) -> Result<bool> {
        let data = window.get(..len).ok_or(Errno::EIO)?;
        let message = reply::data(self.unique, len).map_err(|_| Errno::EIO)?;
        Ok(self.send(&message, data))
    }
}

/// The errno that a core said. EPROTO for a number that is none.
pub(super) fn ours(number: u32) -> Errno {
    let number = i32::try_from(number).unwrap_or_default();
    Errno::from_raw(ReplyErrno::or_eproto(number).number())
}

/// "No such operation, never ask again", toward the kernel.
fn wire(errno: Errno) -> ReplyErrno {
    if errno == Errno::MISSING { ReplyErrno::ENOSYS } else { ReplyErrno::or_eproto(errno.raw()) }
}
