//! `Herald`: carries notices of the file system up to the kernel, or to the core that plays it.
//!
//! A thread of its own, which holds no lock and serves no request: the kernel may have to finish
//! an operation on the very file before it can forget it. What a core is asked it answers later;
//! the herald does not wait for that.

use super::crew::Crew;
use super::ledger::Ledger;
use filofs::{Cookie, Delivery, Errno, Notice, Notices, Result};
use filofs_wire::abi::{FlushCall, FlushWhat};
use filofs_wire::name::Name;
use filofs_wire::reply::Message;
use filofs_wire::{call, notify};
use rustix::io::Errno as Raw;
use std::sync::Arc;
use zerocopy::{Immutable, IntoBytes};

/// Delivers notices until nobody listens any more. `leave` takes the mount away.
pub(super) fn deliver(notices: &Notices, crew: &Arc<Crew>, leave: impl Fn() -> Result<()>) {
    while let Some(delivery) = notices.recv() {
        Herald { crew }.tell(delivery, &leave);
    }
}

struct Herald<'a> {
    crew: &'a Arc<Crew>,
}

impl Herald<'_> {
    fn tell(&self, delivery: Delivery, leave: impl Fn() -> Result<()>) {
        let told = match (self.ledger().terms().dialect.is_extended(), delivery.notice()) {
            (_, Notice::Changed { node, offset, len }) => self.changed(*node, *offset, *len),
            (_, Notice::Renamed { dir, name }) => self.renamed(*dir, name),
            (true, _) => return self.ask(delivery),
            (
                false,
                Notice::ForgetData { node, start, end } | Notice::WriteData { node, start, end },
            ) => {
                // Linux writes out what it is to forget.
                range(*start, *end).and_then(|(at, len)| self.changed(*node, at, len))
            }
            (false, Notice::NamesIn { .. } | Notice::AllNames) => self.all_names(),
            (false, Notice::Everything) => self.everything().and_then(|()| self.all_names()),
            (false, Notice::Unmount) => leave(),
        };
        self.done(delivery, told);
    }

    /// A notice that only a core understands: it answers later, if somebody waits for it.
    fn ask(&self, delivery: Delivery) {
        let flush = |node: Cookie, what: FlushWhat, start, end| {
            let nodeid = self.ledger().face.swap(node.0);
            Ok(FlushCall { nodeid, what: what as u32, padding: 0, start, end })
        };
        let flush = match delivery.notice() {
            Notice::Unmount => return self.call(delivery, call::unmount),
            Notice::NamesIn { dir } => flush(*dir, FlushWhat::NamesInDirectory, 0, 0),
            Notice::ForgetData { node, start, end } => {
                flush(*node, FlushWhat::ForgetData, *start, *end)
            }
            Notice::WriteData { node, start, end } => {
                flush(*node, FlushWhat::WriteData, *start, *end)
            }
            Notice::Everything => {
                self.everything().and_then(|()| flush(Cookie(0), FlushWhat::AllNames, 0, 0))
            }
            _ => flush(Cookie(0), FlushWhat::AllNames, 0, 0),
        };
        match flush {
            Ok(flush) => self.call(delivery, |id| call::flush(id, flush)),
            Err(errno) => self.done(delivery, Err(errno)),
        }
    }

    fn call<T: IntoBytes + Immutable + Copy>(
        &self,
        delivery: Delivery,
        message: impl FnOnce(Option<u64>) -> Message<T>,
    ) {
        let send = |message: Message<T>| {
            self.crew.device.notify([message.as_bytes(), &[], &[]]).map_err(ours)
        };
        if !delivery.is_awaited() {
            let sent = send(message(None));
            return self.done(delivery, sent);
        }
        let calls = &self.crew.dispatch.calls;
        match calls.carry(delivery) {
            Ok(id) if send(message(Some(id))).is_err() => calls.lost(id),
            Ok(_) => {}
            // Who waits has been told.
            Err(errno) => log::warn!("a notice cannot be delivered: {errno}"),
        }
    }

    /// Answers a notice that is done with.
    fn done(&self, delivery: Delivery, told: Result<()>) {
        match told {
            // The kernel does not know the node or name: there is nothing to forget.
            Ok(()) | Err(Errno::ENOENT) => {}
            Err(_) if delivery.is_awaited() || self.crew.ended() => {}
            Err(errno) => {
                log::warn!("the kernel refuses a notice ({:?}): {errno}", delivery.notice());
            }
        }
        delivery.answer(told);
    }

    fn changed(&self, node: Cookie, offset: i64, len: i64) -> Result<()> {
        let nodeid = self.ledger().face.swap(node.0);
        self.crew.device.notify(notify::inval_inode(nodeid, offset, len).parts()).map_err(ours)
    }

    fn renamed(&self, dir: Cookie, name: &[u8]) -> Result<()> {
        let name = Name::new(name).map_err(|_| Errno::EINVAL)?;
        let nodeid = self.ledger().face.swap(dir.0);
        self.crew.device.notify(notify::inval_entry(nodeid, name).parts()).map_err(ours)
    }

    /// Linux, from 7.44 on.
    fn all_names(&self) -> Result<()> {
        const MINOR: u32 = 44;
        if self.ledger().terms().dialect.minor() < MINOR {
            return Err(Errno::EOPNOTSUPP);
        }
        self.crew.device.notify(notify::inc_epoch().parts()).map_err(ours)
    }

    /// Attributes and data of all nodes that the kernel may know.
    fn everything(&self) -> Result<()> {
        for cookie in self.ledger().mount().nodes().cookies() {
            // Not known, or in use just now, is no reason to stop.
            if let Err(errno @ (Errno::ENODEV | Errno::ENOTCONN)) = self.changed(cookie, 0, 0) {
                return Err(errno);
            }
        }
        Ok(())
    }

    fn ledger(&self) -> &Ledger {
        &self.crew.dispatch.ledger
    }
}

/// A range of a file as a first byte and a length; 0 for the rest. EINVAL for an empty one.
fn range(start: u64, end: u64) -> Result<(i64, i64)> {
    let at = i64::try_from(start).map_err(|_| Errno::EINVAL)?;
    if end == 0 {
        return Ok((at, 0));
    }
    let len = end.checked_sub(start).filter(|&len| len > 0).ok_or(Errno::EINVAL)?;
    Ok((at, i64::try_from(len).map_err(|_| Errno::EINVAL)?))
}

fn ours(errno: Raw) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_of_files() {
        // C.9
        assert_eq!(range(5, 0), Ok((5, 0)));
        assert_eq!(range(5, 9), Ok((5, 4)));
        for bad in [(5, 5), (9, 5), (u64::MAX, 0), (0, u64::MAX)] {
            assert_eq!(range(bad.0, bad.1), Err(Errno::EINVAL));
        }
    }
}
