//! `Connection`: requests to one file server and what comes back.
//!
//! Many callers may wait at once, and nobody is needed between a caller and its answer: of those
//! who wait one reads the channel, for all ([`Parking`]). While nobody waits, a watcher reads:
//! notifications, calls, the end.
//!
//! Requests are sent in the order in which they came. Who finds no room stands in line, and is
//! not seen by the server if it gives up there. What nobody waits for is kept until there is room
//! ([`Outbox`]).
//!
//! What the server says unasked is never acted on by whoever reads it: that thread may hold what
//! the act needs (A121). It is handed to the worker, or to the caller it is about.

use super::dump::Dump;
use super::fault::{Answer, Fault};
use super::flood::Flood;
use super::frame::{Frame, Frames};
use super::inbox::Inbox;
use super::late::{self, Asked};
use super::outbox::Outbox;
use super::parking::{Delivered, Entry, Outcome, Parking};
use super::slots::Slots;
use crate::channel::{Arrival, Channel, Unsent};
use filofs::{Context, Errno, locked};
use filofs_wire::abi::{
    EntryOut, ErrorIn, ForgetIn, InHeader, InterruptIn, Opcode, OutHeader, ROOT_ID,
};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::errno::ReplyErrno;
use filofs_wire::incoming::{self, BadIncoming, Incoming};
use filofs_wire::request::Operation;
use rustix::fd::{BorrowedFd, OwnedFd};
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};
use zerocopy::FromBytes;

/// Requests to one file server, and what comes back.
pub(super) struct Connection {
    /// What it is called in the log.
    name: String,
    channel: Channel,
    dialect: OnceLock<Dialect>,
    /// What the server said it does not have: it is not asked (C.4).
    lacking: OnceLock<Vec<Opcode>>,
    /// Answers to opens may bring files.
    gives_files: AtomicBool,
    /// The largest message in bytes, either way.
    most: AtomicUsize,
    frames: Arc<Frames>,
    pub(super) parking: Parking<Asked, Came>,
    /// The memory that is shared with the server.
    slots: OnceLock<Slots>,
    outbox: Mutex<Outbox>,
    /// There is something in the outbox.
    owed: AtomicBool,
    /// The id of the next request: even, as an INTERRUPT has the odd one after its request's.
    next: AtomicU64,
    /// How many requests were asked over the channel.
    asked: AtomicU64,
    /// For the worker.
    pub(super) inbox: Inbox,
    /// The server has asked to be unmounted.
    pub(super) leaves: AtomicBool,
    lies: AtomicU64,
    flood: Flood,
    dump: Option<Dump>,
}

/// A message, and a descriptor that came with it.
pub(super) type Came = (Frame, Option<OwnedFd>);

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    frame: Frame,
    enclosed: Option<OwnedFd>,
}

impl Reply {
    /// What follows the header.
    pub(super) fn body(&self) -> &[u8] {
        self.frame.bytes().get(size_of::<OutHeader>()..).unwrap_or_default()
    }

    /// Takes the descriptor that came with it, once.
    pub(super) const fn take_enclosed(&mut self) -> Option<OwnedFd> {
        self.enclosed.take()
    }
}

/// A request in two pieces: what was written for it, and the caller's data where it lies.
pub(super) struct Message<'d> {
    pub(super) head: Vec<u8>,
    pub(super) tail: &'d [u8],
    enclosed: Option<BorrowedFd<'d>>,
}

impl Connection {
    /// How often somebody who waits for a message looks whether it should still wait.
    const GLANCE: Duration = Duration::from_millis(20);

    /// How often somebody who is to be woken looks by itself.
    const NAP: Duration = Duration::from_secs(1);

    /// Most requests on their way to one server, those given up included.
    const MOST: usize = 512;

    /// Most messages that are read between two looks at one's own business.
    const MOST_AT_ONCE: usize = 64;

    /// Room for what stands before the data of most requests, bytes.
    const HEAD: usize = 256;

    /// Most lies that are logged one by one; of more, every so many.
    const MOST_LOGGED: u64 = 100;

    /// What is said of a descriptor that came with anything else than what may bring one.
    const UNASKED: &str = "a descriptor that nobody asked for";

    /// Over a channel.
    pub(super) fn new(
        name: &str,
        channel: Channel,
        most: usize,
        dump: Option<Dump>,
    ) -> Result<Arc<Connection>, Errno> {
        let system = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
        channel.patience(Self::GLANCE).map_err(system)?;
        Ok(Arc::new(Connection {
            name: name.to_owned(),
            channel,
            dialect: OnceLock::new(),
            lacking: OnceLock::new(),
            gives_files: AtomicBool::new(false),
            most: AtomicUsize::new(most),
            frames: Frames::new(most),
            parking: Parking::new(Self::MOST),
            outbox: Mutex::default(),
            owed: AtomicBool::new(false),
            slots: OnceLock::new(),
            next: AtomicU64::new(2),
            asked: AtomicU64::new(0),
            inbox: Inbox::default(),
            leaves: AtomicBool::new(false),
            lies: AtomicU64::new(0),
            flood: Flood::new(),
            dump,
        }))
    }

    /// The server makes use of shared memory.
    pub(super) fn share(&self, slots: Slots) {
        let _ = self.slots.set(slots);
    }

    /// The memory that is shared with the server.
    pub(super) fn slots(&self) -> Option<&Slots> {
        self.slots.get()
    }

    /// INIT has settled that answers to opens may bring files.
    pub(super) fn take_files(&self) {
        self.gives_files.store(true, Ordering::Relaxed);
    }

    /// Whether the answer to that may bring a file, and then comes over the channel.
    pub(super) fn may_bring_file(&self, opcode: Opcode) -> bool {
        matches!(opcode, Opcode::Open | Opcode::Create | Opcode::Tmpfile)
            && self.gives_files.load(Ordering::Relaxed)
    }

    /// What it is called in the log.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What INIT settled.
    pub(super) fn dialect(&self) -> Dialect {
        self.dialect.get().copied().unwrap_or(Dialect::BEFORE_INIT)
    }

    /// INIT has settled it: the dialect, the largest message in bytes, and what the server lacks.
    pub(super) fn settle(&self, dialect: Dialect, most: usize, lacking: Vec<Opcode>) {
        let _ = self.lacking.set(lacking);
        let _ = self.dialect.set(dialect);
        self.most.store(most, Ordering::Relaxed);
    }

    /// Whether the server has said that it does not have that operation (C.4).
    pub(super) fn lacks(&self, opcode: Opcode) -> bool {
        self.lacking.get().is_some_and(|lacking| lacking.contains(&opcode))
    }

    /// The largest message, bytes, either way (A23).
    pub(super) fn max_message(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// The most data that one message carries, bytes.
    pub(super) fn payload(&self) -> usize {
        self.max_message().saturating_sub(filofs_wire::abi::MESSAGE_HEAD as usize)
    }

    /// Asks, and waits for the answer.
    ///
    /// Errors: the server's own errno; EINTR when the caller gave up (what the server answers
    /// later is taken back); [`Fault::Late`] when `patience` is over; [`Fault::Died`],
    /// [`Fault::Gone`]; [`Fault::Missing`], without a message if the server has said so before;
    /// EPROTO for an errno that is none.
    pub(super) fn call(
        &self,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Answer<Reply> {
        self.call_by(self.way(operation.opcode()), cx, nodeid, operation, patience)
    }

    /// The same over the channel, with a descriptor if need be.
    pub(super) fn call_by_channel(
        &self,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
        enclosed: Option<BorrowedFd<'_>>,
    ) -> Answer<Reply> {
        let opcode = operation.opcode();
        if self.lacks(opcode) {
            return Err(Fault::Missing);
        }
        if cx.cancelled() {
            return Err(Errno::EINTR.into());
        }
        let unique = self.next_id();
        self.note_asked();
        let until = patience.map(|patience| Instant::now() + patience);
        let stop = || self.must_stop(cx, until);
        let message = self.message(cx, unique, nodeid, operation, self.max_message())?;
        let message = Message { enclosed, ..message };
        self.send_parked(cx, unique, Asked::of(nodeid, operation), &message, stop)?;
        self.await_parked(cx, unique, opcode, nodeid, until)
    }

    /// Somebody is about to wait for the channel, and reads it.
    pub(super) fn note_asked(&self) {
        self.asked.fetch_add(1, Ordering::Relaxed);
    }

    /// Waits for the answer to a request that is parked.
    pub(super) fn await_parked(
        &self,
        cx: &Context<'_>,
        unique: u64,
        opcode: Opcode,
        nodeid: u64,
        until: Option<Instant>,
    ) -> Answer<Reply> {
        let outcome = self.parking.wait(
            unique,
            || self.must_stop(cx, until),
            || {
                self.receive(true);
            },
            || cx.cancel.sleep(until.map_or(Self::NAP, Self::time_until).min(Self::NAP)),
            |call, waits| self.tell_groups(call, waits.then_some(cx.groups)),
        );
        let outcome = outcome.inspect_err(|_| {
            let operation = Operation::Interrupt { arg: InterruptIn { unique } };
            self.tell_as(&Context::internal(), unique | 1, 0, &operation);
        });
        match outcome? {
            Outcome::Answered(came) => self.judge(opcode, nodeid, unique, came),
            Outcome::Died => Err(Fault::Died),
        }
    }

    /// What an answer means to who asked.
    pub(super) fn judge(
        &self,
        opcode: Opcode,
        nodeid: u64,
        asked: u64,
        (frame, enclosed): Came,
    ) -> Answer<Reply> {
        let (error, body) = match self.parse(&frame) {
            Ok(Incoming::Reply { unique, error, body }) if unique == asked => (error, body),
            _ => return Err(self.lie(opcode, 0, nodeid, "a message that is none")),
        };
        let outcome = incoming::outcome(error, body);
        if enclosed.is_some() && !(self.may_bring_file(opcode) && matches!(outcome, Some(Ok(_)))) {
            if let Some(Ok(body)) = outcome {
                late::take_back(self, &Asked::plain(opcode, nodeid), body);
            }
            return Err(self.lie(opcode, error, nodeid, Self::UNASKED));
        }
        match outcome {
            Some(Ok(_)) => Ok(Reply { frame, enclosed }),
            Some(Err(ReplyErrno::ENOSYS)) => Err(Fault::Missing),
            Some(Err(errno)) => Err(Errno::from_raw(errno.number()).into()),
            None if error == 0 || (-511..0).contains(&error) => {
                Err(self.lie(opcode, error, nodeid, "an error and more"))
            }
            None => Err(self.lie(opcode, error, nodeid, "an errno that is none")),
        }
    }

    /// Tells, without waiting: what nobody answers. It is kept while there is no room for it.
    pub(super) fn tell(&self, cx: &Context<'_>, nodeid: u64, operation: &Operation<'_>) {
        self.tell_as(cx, self.next_id(), nodeid, operation);
    }

    /// The same, with an id.
    pub(super) fn tell_as(
        &self,
        cx: &Context<'_>,
        unique: u64,
        nodeid: u64,
        operation: &Operation<'_>,
    ) {
        if self.lacks(operation.opcode()) {
            return;
        }
        let message = self.message(cx, unique, nodeid, operation, self.max_message());
        let Ok(message) = message else { return };
        if self.pay() && self.try_send(&message) != Err(Unsent::Full) {
            return;
        }
        let mut outbox = locked(&self.outbox);
        if outbox.push([&message.head, message.tail].concat()) {
            self.owed.store(true, Ordering::SeqCst);
        }
    }

    /// Asks, and waits for nothing: the answer is swallowed when it comes.
    pub(super) fn send_unawaited(&self, cx: &Context<'_>, nodeid: u64, operation: &Operation<'_>) {
        let unique = self.next_id();
        let asked = Asked::of(nodeid, operation);
        if !self.lacks(asked.opcode) && self.parking.expect(unique, asked) {
            self.tell_as(cx, unique, nodeid, operation);
        }
    }

    /// Gives lookups of a node back.
    pub(super) fn forget(&self, nodeid: u64, nlookup: u64) {
        if self.lacks(Opcode::Forget) {
            return;
        }
        if self.pay() && self.try_forget(nodeid, nlookup) != Err(Unsent::Full) {
            return;
        }
        let mut outbox = locked(&self.outbox);
        outbox.forget(nodeid, nlookup);
        self.owed.store(true, Ordering::SeqCst);
    }

    fn try_forget(&self, nodeid: u64, nlookup: u64) -> Result<(), Unsent> {
        let operation = Operation::Forget { arg: ForgetIn { nlookup } };
        let (cx, most) = (Context::internal(), self.max_message());
        match self.message(&cx, self.next_id(), nodeid, &operation, most) {
            Ok(message) => self.try_send(&message),
            Err(_) => Ok(()),
        }
    }

    /// Sends what is kept. True when nothing is left.
    fn pay(&self) -> bool {
        if !self.owed.load(Ordering::SeqCst) {
            return true;
        }
        let mut outbox = locked(&self.outbox);
        let paid = outbox.send(
            |message| self.try_send(&Message { head: Vec::new(), tail: message, enclosed: None }),
            |nodeid, nlookup| self.try_forget(nodeid, nlookup),
        );
        self.owed.store(!paid, Ordering::SeqCst);
        paid
    }

    /// Gives back a node that an answer named and that is not taken in.
    pub(super) fn give_back(&self, entry: &EntryOut) {
        if entry.nodeid > ROOT_ID {
            self.forget(entry.nodeid, 1);
        }
    }

    /// The server answered what no server may: counts it, logs it and tells it, if it listens.
    /// What the caller is told.
    pub(super) fn lie(&self, opcode: Opcode, errno: i32, nodeid: u64, text: &str) -> Fault {
        self.note_lie(&format!("answers {} of node {nodeid} with {text}", opcode.name()));
        let len = text.len() as u32;
        let arg = ErrorIn { opcode: opcode as u32, errno, nodeid, len, padding: 0 };
        self.tell_error(arg, text);
        Errno::EPROTO.into()
    }

    fn note_lie(&self, text: &str) {
        let lies = self.lies.fetch_add(1, Ordering::Relaxed) + 1;
        if lies <= Self::MOST_LOGGED || lies.is_multiple_of(Self::MOST_LOGGED) {
            log::error!("{}: {text} ({lies})", self.name);
        }
    }

    fn tell_error(&self, arg: ErrorIn, text: &str) {
        if self.dialect().is_extended() {
            self.tell(&Context::internal(), 0, &Operation::Error { arg, text: text.as_bytes() });
        }
    }

    /// How often the server answered what no server may.
    pub(super) fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }

    /// How many requests have no answer.
    pub(super) fn outstanding(&self) -> usize {
        self.parking.outstanding() + self.slots().map_or(0, Slots::outstanding)
    }

    /// Whether another request may be asked.
    pub(super) fn has_room(&self) -> bool {
        self.parking.outstanding() < Self::MOST
    }

    /// Whether the server is gone.
    pub(super) fn is_dead(&self) -> bool {
        self.parking.is_dead()
    }

    /// Ends it: all who wait are told, and nobody is let in any more (A58).
    pub(super) fn die(&self) {
        if !self.parking.die() {
            return;
        }
        self.channel.shut();
        if let Some(slots) = self.slots() {
            slots.wake_all();
        }
        self.inbox.end();
    }

    /// Reads while nobody waits for an answer, until the server is gone: to be run by a thread of
    /// its own. Those who wait read faster than somebody who would have to be woken for it.
    pub(super) fn watch(&self) {
        let mut seen = 0;
        while !self.is_dead() {
            // Who waits at shared memory does not read.
            let calls = self.asked.load(Ordering::Relaxed);
            let quiet = calls == seen;
            seen = calls;
            if !self.pay() {
                self.channel.wait_for_room(Self::GLANCE);
            }
            let busy = !quiet || self.owed.load(Ordering::SeqCst);
            let tended = self
                .slots()
                .is_some_and(|slots| slots.tend(|question| self.tell_groups(question, None)));
            let nap = if busy {
                Self::GLANCE * 2
            } else if tended {
                Self::GLANCE * 5
            } else {
                Self::NAP
            };
            if self.channel.wait(!quiet, nap) && !self.read_some() {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
    }

    /// Reads what is there, but not for ever. False if somebody else does.
    fn read_some(&self) -> bool {
        let Some(_lead) = self.parking.lead() else { return false };
        let _ = (0..Self::MOST_AT_ONCE).take_while(|_| self.receive(false)).count();
        true
    }

    pub(super) fn must_stop(&self, cx: &Context<'_>, until: Option<Instant>) -> Option<Fault> {
        if self.is_dead() {
            Some(Fault::Died)
        } else if cx.cancelled() {
            Some(Errno::EINTR.into())
        } else {
            until.is_some_and(|at| Instant::now() >= at).then_some(Fault::Late)
        }
    }

    /// The id of a new request.
    pub(super) fn next_id(&self) -> u64 {
        self.next.fetch_add(2, Ordering::Relaxed)
    }

    /// Memory for one message.
    pub(super) fn frame(&self) -> Frame {
        self.frames.take()
    }

    /// How long until then.
    pub(super) fn time_until(at: Instant) -> Duration {
        at.saturating_duration_since(Instant::now())
    }

    /// Parks a request and sends it, in its turn and when there is room. Who gives up here was
    /// never seen by the server.
    fn send_parked(
        &self,
        cx: &Context<'_>,
        unique: u64,
        asked: Asked,
        message: &Message<'_>,
        stop: impl Fn() -> Option<Fault>,
    ) -> Answer<()> {
        loop {
            let fault = match self.parking.enter(unique, asked) {
                Entry::Dead => Some(Fault::Gone),
                Entry::InLine => {
                    let fault = stop();
                    if fault.is_none() {
                        cx.cancel.sleep(Self::GLANCE * 5);
                    }
                    fault
                }
                entry @ (Entry::Entered | Entry::First) => match self.pay_and_send(message) {
                    Ok(()) => {
                        if entry == Entry::First {
                            self.parking.sent(unique);
                        }
                        return Ok(());
                    }
                    Err(Unsent::Gone) => {
                        self.die();
                        Some(Fault::Gone)
                    }
                    Err(Unsent::TooLong) => Some(Errno::E2BIG.into()),
                    Err(Unsent::Full) => {
                        self.parking.step_back(unique);
                        let fault = stop();
                        if fault.is_none() {
                            // The server may be waiting for us to read what it has to say.
                            self.read_some();
                            self.channel.wait_for_room(Self::GLANCE);
                        }
                        fault
                    }
                },
            };
            if let Some(fault) = fault {
                self.parking.withdraw(unique);
                return Err(fault.unsent());
            }
        }
    }

    fn pay_and_send(&self, message: &Message<'_>) -> Result<(), Unsent> {
        if self.pay() { self.try_send(message) } else { Err(Unsent::Full) }
    }

    /// A request of at most so many bytes; E2BIG for a longer one.
    pub(super) fn message<'d>(
        &self,
        cx: &Context<'_>,
        unique: u64,
        nodeid: u64,
        operation: &Operation<'d>,
        most: usize,
    ) -> Answer<Message<'d>> {
        let (uid, gid, pid) = (cx.uid.0, cx.gid.0, cx.pid.0);
        let header = InHeader { unique, nodeid, uid, gid, pid, ..InHeader::default() };
        let mut head = Vec::with_capacity(Self::HEAD);
        let tail = compose::split(&mut head, header, operation, &[], self.dialect());
        let message = tail.map(|tail| Message { head, tail, enclosed: None });
        message.filter(|m| m.head.len() + m.tail.len() <= most).ok_or_else(|| Errno::E2BIG.into())
    }

    fn parse<'f>(&self, frame: &'f Frame) -> Result<Incoming<'f>, BadIncoming> {
        Incoming::parse(frame.bytes(), self.dialect())
    }

    fn try_send(&self, message: &Message<'_>) -> Result<(), Unsent> {
        let pieces = [IoSlice::new(&message.head), IoSlice::new(message.tail)];
        let sent = self.channel.send_with(&pieces, message.enclosed);
        if let (Ok(()), Some(dump)) = (sent, &self.dump) {
            dump.sent(&[&message.head, message.tail].concat(), self.dialect());
        }
        sent
    }

    /// Reads one message and gives it to whom it belongs. False if there was none.
    fn receive(&self, wait: bool) -> bool {
        let mut frame = self.frames.take();
        let most = self.most.load(Ordering::Relaxed);
        let (len, descriptor) = match self.channel.receive(frame.room(most), wait) {
            Arrival::Message(len, descriptor) => (len, descriptor),
            Arrival::Nothing => return false,
            Arrival::End => {
                self.die();
                return false;
            }
            Arrival::Unfit => {
                frame.cut(size_of::<OutHeader>());
                self.bad_answer(frame, "a message longer than was agreed on, or with descriptors");
                return true;
            }
        };
        frame.cut(len);
        if let Some(dump) = &self.dump {
            dump.received(frame.bytes(), self.dialect());
        }
        match self.parse(&frame) {
            Err(bad) => self.bad_answer(frame, &format!("a {bad}")),
            Ok(Incoming::Reply { unique, .. }) => self.deliver(unique, frame, descriptor),
            Ok(incoming) => {
                self.heard(&incoming, frame.bytes());
                if descriptor.is_some() {
                    self.bad_message(Self::UNASKED);
                }
            }
        }
        true
    }

    fn deliver(&self, unique: u64, frame: Frame, fd: Option<OwnedFd>) {
        match self.parking.deliver(unique, (frame, fd)) {
            Delivered::Waiter => {}
            Delivered::Late(asked, (frame, _)) => {
                if let Ok(Incoming::Reply { error: 0, body, .. }) = self.parse(&frame) {
                    late::take_back(self, &asked, body);
                }
            }
            // The answer to an INTERRUPT: the request was answered meanwhile.
            Delivered::Unknown if unique & 1 == 1 => {}
            Delivered::Unknown => self.bad_message("the answer to what was not asked"),
        }
    }

    /// A message that is none. If it begins as the answer to a request, that is over.
    fn bad_answer(&self, mut frame: Frame, text: &str) {
        let header = OutHeader::read_from_prefix(frame.bytes());
        let unique = header.map_or(0, |(header, _)| header.unique);
        if self.parking.awaits(unique) {
            frame.cut(0);
            self.deliver(unique, frame, None);
        } else {
            self.bad_message(text);
        }
    }

    fn bad_message(&self, text: &str) {
        self.note_lie(&format!("sent {text}"));
        if self.flood.rises(Instant::now()) {
            log::error!("{}: sends nothing but garbage, and is ended", self.name);
            return self.die();
        }
        self.tell_error(ErrorIn { len: text.len() as u32, ..ErrorIn::default() }, text);
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection to {} ({} outstanding)", self.name, self.outstanding())
    }
}
