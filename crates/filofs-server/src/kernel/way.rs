//! `Way`: how one request gets to the server, and the answer back: by shared memory where there is
//! some and a slot of it is free, else over the channel.

use super::connection::{Connection, Reply};
use super::fault::{Answer, Fault};
use super::late::Asked;
use super::parking::{Entry, Outcome};
use super::slots::Slot;
use filofs::{Context, Errno, Sink};
use filofs_wire::abi::{InterruptIn, MESSAGE_HEAD, Opcode, OutHeader, ReadIn};
use filofs_wire::request::Operation;
use std::time::{Duration, Instant};
use zerocopy::{FromZeros, IntoBytes};

/// How one request goes.
pub(super) struct Way<'c> {
    slot: Option<Slot<'c>>,
    longest: usize,
}

impl Way<'_> {
    /// The most data that goes this way in one message, bytes.
    pub(super) fn payload(&self) -> usize {
        self.longest.saturating_sub(MESSAGE_HEAD as usize)
    }
}

impl Connection {
    /// The way of a request.
    pub(super) fn way(&self, opcode: Opcode) -> Way<'_> {
        // What waits for others may do so for ever, and must not keep a slot. The last words come
        // after all that was told.
        let by_channel =
            matches!(opcode, Opcode::Init | Opcode::Setlkw | Opcode::Unmount | Opcode::Destroy);
        let slots = self.slots().filter(|_| !by_channel && self.has_room());
        match slots.and_then(|slots| slots.take(self.next_id())) {
            Some(slot) => Way { longest: slot.size(), slot: Some(slot) },
            None => Way { longest: self.max_message(), slot: None },
        }
    }

    /// Asks that way, and waits for the answer. Errors as [`Connection::call`].
    pub(super) fn call_by(
        &self,
        way: Way<'_>,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Answer<Reply> {
        let opcode = operation.opcode();
        let Some(slot) = way.slot else {
            return self.call_by_channel(cx, nodeid, operation, patience, None);
        };
        if self.may_bring_file(opcode) {
            return self.open_by(slot, cx, nodeid, operation, patience);
        }
        self.ask_by(&slot, cx, nodeid, operation, patience)?;
        self.take_in(&slot, opcode, nodeid)
    }

    /// Asks in a slot what is answered there, or over the channel together with a file. The latter
    /// may come before the slot says so: it is parked before it is asked.
    fn open_by(
        &self,
        slot: Slot<'_>,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Answer<Reply> {
        let (opcode, unique) = (operation.opcode(), slot.unique);
        let until = patience.map(|patience| Instant::now() + patience);
        match self.parking.enter(unique, Asked::of(nodeid, operation)) {
            Entry::Entered | Entry::First => {}
            Entry::InLine => {
                self.parking.withdraw(unique);
                drop(slot);
                return self.call_by_channel(cx, nodeid, operation, patience, None);
            }
            Entry::Dead => return Err(Fault::Gone),
        }
        match self.await_slot(&slot, cx, nodeid, operation, patience) {
            Waited::Answered if slot.answer_len() == Some(0) => {
                drop(slot);
                self.note_asked();
                self.await_parked(cx, unique, opcode, nodeid, until)
            }
            Waited::Answered => {
                self.parking.withdraw(unique);
                self.take_in(&slot, opcode, nodeid)
            }
            Waited::Unsent(fault) => {
                self.parking.withdraw(unique);
                Err(fault.unsent())
            }
            Waited::Left(fault) => {
                match self.parking.abandon(unique) {
                    Some(Outcome::Answered(came)) => {
                        slot.give_up();
                        return self.judge(opcode, nodeid, unique, came);
                    }
                    Some(Outcome::Died) => return Err(Fault::Died),
                    None => {}
                }
                if slot.give_up() && slot.answer_len() != Some(0) {
                    self.parking.expect_no_more(unique);
                    return self.take_in(&slot, opcode, nodeid);
                }
                self.interrupt(unique);
                Err(fault)
            }
        }
    }

    /// The answer in a slot.
    fn take_in(&self, slot: &Slot<'_>, opcode: Opcode, nodeid: u64) -> Answer<Reply> {
        let mut frame = self.frame();
        let len = slot.answer_len().unwrap_or(usize::MAX);
        let room = frame.room(len);
        if room.len() != len || !slot.copy(0, room) {
            return Err(self.lie(opcode, 0, nodeid, "a message longer than was agreed on"));
        }
        frame.cut(len);
        self.judge(opcode, nodeid, slot.unique, (frame, None))
    }

    /// READs that way into a sink, as much as goes into one message, of which the size is filled
    /// in. How much came. Errors as [`Connection::call`].
    pub(super) fn read_by(
        &self,
        way: &Way<'_>,
        cx: &Context<'_>,
        nodeid: u64,
        arg: ReadIn,
        patience: Option<Duration>,
        out: &mut dyn Sink,
    ) -> Answer<usize> {
        const HEAD: usize = size_of::<OutHeader>();
        let size = arg.size as usize;
        let operation = Operation::Read { arg };
        let too_much = || self.lie(Opcode::Read, 0, nodeid, "more than was asked for");
        let Some(slot) = &way.slot else {
            let reply = self.call_by_channel(cx, nodeid, &operation, patience, None)?;
            let data = reply.body();
            return if data.len() <= size { Ok(out.put(data)) } else { Err(too_much()) };
        };
        self.ask_by(slot, cx, nodeid, &operation, patience)?;
        // Of data only the header is looked at: what the rest is was the server's to say anyway.
        let mut header = OutHeader::new_zeroed();
        slot.copy(0, header.as_mut_bytes());
        let data = (header.len as usize).saturating_sub(HEAD);
        if header.unique != slot.unique || header.error != 0 || data == 0 {
            let reply = self.take_in(slot, Opcode::Read, nodeid)?;
            return if reply.body().is_empty() { Ok(0) } else { Err(too_much()) };
        }
        if data > size {
            return Err(too_much());
        }
        let window = out.window(data);
        let len = window.len();
        slot.copy(HEAD, window);
        out.commit(len);
        Ok(len)
    }

    /// Asks in a slot, and waits until the answer is there.
    fn ask_by(
        &self,
        slot: &Slot<'_>,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Answer<()> {
        let unique = slot.unique;
        match self.await_slot(slot, cx, nodeid, operation, patience) {
            Waited::Answered => Ok(()),
            Waited::Unsent(fault) => Err(fault.unsent()),
            Waited::Left(fault) => {
                // From here on the answer comes over the channel, unless it is there.
                if !self.parking.expect(unique, Asked::of(nodeid, operation)) {
                    return Err(Fault::Died);
                }
                if slot.give_up() {
                    self.parking.expect_no_more(unique);
                    return Ok(());
                }
                self.interrupt(unique);
                Err(fault)
            }
        }
    }

    fn interrupt(&self, unique: u64) {
        let operation = Operation::Interrupt { arg: InterruptIn { unique } };
        self.tell_as(&Context::internal(), unique | 1, 0, &operation);
    }

    /// Asks in a slot, and waits.
    fn await_slot(
        &self,
        slot: &Slot<'_>,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Waited {
        if self.lacks(operation.opcode()) {
            return Waited::Unsent(Fault::Missing);
        }
        if cx.cancelled() {
            return Waited::Unsent(Errno::EINTR.into());
        }
        let until = patience.map(|patience| Instant::now() + patience);
        // Only data goes beyond what was agreed on for the socket.
        let is_data = matches!(operation, Operation::Write { .. });
        let most = if is_data { slot.size() } else { slot.size().min(self.max_message()) };
        let message = match self.message(cx, slot.unique, nodeid, operation, most) {
            Ok(message) => message,
            Err(fault) => return Waited::Unsent(fault),
        };
        if self.is_dead() {
            return Waited::Unsent(Fault::Gone);
        }
        if !slot.ask(&message.head, message.tail) {
            return Waited::Unsent(Errno::E2BIG.into());
        }
        let waited = slot.wait(
            cx.cancel,
            || self.must_stop(cx, until),
            || until.map(Self::time_until),
            |call| self.tell_groups(call, Some(cx.groups)),
        );
        match waited {
            Ok(()) => Waited::Answered,
            Err(fault) if slot.withdraw() => Waited::Unsent(fault),
            Err(fault) => Waited::Left(fault),
        }
    }
}

/// How waiting for the answer in a slot has ended.
enum Waited {
    /// It is there.
    Answered,
    /// For that reason the server has not seen the request, and will not.
    Unsent(Fault),
    /// For that reason nobody waits any more, and the server has the request.
    Left(Fault),
}
