//! `Connection`: requests to one file server and what comes back.
//!
//! Many callers may wait at once, and nobody is needed between a caller and its answer: of those
//! who wait one reads the channel, for all. An answer of another's is left with that other
//! ([`Park`]), who is woken; when the one who reads has its own, it wakes one of the rest to go on.
//! While nobody waits, a watcher reads: notifications, calls, the end.
//!
//! What the server says unasked is never acted on by whoever reads it: that thread may hold what
//! the act needs (A121). It is handed to the worker.

use super::dump::Dump;
use super::fault::{Answer, Fault};
use super::frame::{Frame, Frames};
use super::park::{Entry, Outcome, Owner, Park, Parks};
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
use rustix::fd::OwnedFd;
use std::io::IoSlice;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::{SyncSender, TrySendError};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

/// Requests to one file server, and what comes back.
pub(super) struct Connection {
    /// What it is called in the log.
    name: String,
    channel: Channel,
    dialect: OnceLock<Dialect>,
    /// What the server said it does not have: it is not asked (C.4).
    lacking: OnceLock<Vec<Opcode>>,
    /// The largest message in bytes, either way.
    most: AtomicUsize,
    frames: Arc<Frames>,
    parks: Mutex<Parks>,
    /// Somebody reads the channel.
    led: AtomicBool,
    /// The id of the next request: even, as an INTERRUPT has the odd one after its request's.
    next: AtomicU64,
    worker: SyncSender<Unasked>,
    lies: AtomicU64,
    dump: Option<Dump>,
}

/// What the worker is to look after.
#[derive(Debug)]
pub(super) enum Unasked {
    /// A notification or call.
    Message(Frame),
    /// The answer to a request whose caller has given up.
    Late(Opcode, Frame, Option<OwnedFd>),
    /// The server is gone.
    End,
}

/// A successful answer.
#[derive(Debug)]
pub(super) struct Reply {
    frame: Frame,
    /// What came with it.
    pub(super) descriptor: Option<OwnedFd>,
}

impl Reply {
    /// What follows the header.
    pub(super) fn body(&self) -> &[u8] {
        self.frame.bytes().get(size_of::<OutHeader>()..).unwrap_or_default()
    }
}

/// A request in two pieces: what was written for it, and the caller's data where it lies.
struct Message<'d> {
    head: Vec<u8>,
    tail: &'d [u8],
}

/// The right to read the channel. One at a time; giving it up wakes the next.
struct Lead<'a>(&'a Connection);

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        self.0.led.store(false, Ordering::SeqCst);
        locked(&self.0.parks).wake_one();
    }
}

impl Connection {
    /// How often somebody who waits for a message looks whether it should still wait.
    const GLANCE: Duration = Duration::from_millis(20);

    /// How often somebody who is to be woken looks by itself.
    const NAP: Duration = Duration::from_secs(1);

    /// Over a channel; what comes unasked goes to `worker`.
    pub(super) fn new(
        name: &str,
        channel: Channel,
        most: usize,
        worker: SyncSender<Unasked>,
        dump: Option<Dump>,
    ) -> Result<Arc<Connection>, Errno> {
        let system = |errno: rustix::io::Errno| Errno::from_raw(errno.raw_os_error());
        channel.patience(Self::GLANCE).map_err(system)?;
        Ok(Arc::new(Connection {
            name: name.to_owned(),
            channel,
            dialect: OnceLock::new(),
            lacking: OnceLock::new(),
            most: AtomicUsize::new(most),
            frames: Frames::new(most),
            parks: Mutex::default(),
            led: AtomicBool::new(false),
            next: AtomicU64::new(2),
            worker,
            lies: AtomicU64::new(0),
            dump,
        }))
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
    pub(super) fn largest_message(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    /// The most data that one message carries, bytes.
    pub(super) fn payload(&self) -> usize {
        self.largest_message().saturating_sub(crate::channel::MESSAGE_HEAD)
    }

    /// Asks, and waits for the answer.
    ///
    /// Errors: the server's own errno; EINTR when the caller gave up (what the server answers
    /// later is taken back); [`Fault::Late`] when `patience` is over; [`Fault::Died`],
    /// [`Fault::Gone`]; [`Fault::Missing`], without a message if the server has said so before; EPROTO for an errno
    /// that is none.
    pub(super) fn call(
        &self,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Answer<Reply> {
        let opcode = operation.opcode();
        if self.lacks(opcode) {
            return Err(Fault::Missing);
        }
        if cx.cancelled() {
            return Err(Errno::EINTR.into());
        }
        let unique = self.next.fetch_add(2, Ordering::Relaxed);
        let until = patience.map(|patience| Instant::now() + patience);
        let park = Park::new(unique, opcode);
        self.enter(cx, &park, until)?;
        let sent = self
            .message(cx, unique, nodeid, operation)
            .and_then(|message| self.send(&message, || self.must_stop(cx, until)));
        if let Err(fault) = sent {
            locked(&self.parks).withdraw(unique);
            return Err(fault.unsent());
        }
        let (frame, descriptor) = match self.wait(cx, &park, until)? {
            Outcome::Answered(frame, descriptor) => (frame, descriptor),
            Outcome::Died => return Err(Fault::Died),
        };
        let Ok(Incoming::Reply { error, body, .. }) = self.parse(&frame) else {
            return Err(Errno::EPROTO.into()); // it was parsed once already
        };
        match incoming::outcome(error, body) {
            Some(Ok(_)) => Ok(Reply { frame, descriptor }),
            Some(Err(ReplyErrno::ENOSYS)) => Err(Fault::Missing),
            Some(Err(errno)) => Err(Errno::from_raw(errno.number()).into()),
            None => Err(self.lie(opcode, error, nodeid, "an errno that is none")),
        }
    }

    /// Tells, without waiting for an answer: what nobody answers, FORGET and its kin. Lost if the
    /// server is gone; false if it does not read.
    pub(super) fn tell(&self, cx: &Context<'_>, nodeid: u64, operation: &Operation<'_>) -> bool {
        let unique = self.next.fetch_add(2, Ordering::Relaxed);
        self.tell_as(cx, unique, nodeid, operation)
    }

    /// The same, with an id.
    pub(super) fn tell_as(
        &self,
        cx: &Context<'_>,
        unique: u64,
        nodeid: u64,
        operation: &Operation<'_>,
    ) -> bool {
        if self.lacks(operation.opcode()) {
            return true;
        }
        let Ok(message) = self.message(cx, unique, nodeid, operation) else { return true };
        self.try_send(&message) != Err(Unsent::Full)
    }

    /// Gives lookups of a node back.
    pub(super) fn forget(&self, nodeid: u64, nlookup: u64) -> bool {
        let arg = ForgetIn { nlookup };
        self.tell(&Context::internal(), nodeid, &Operation::Forget { arg })
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
        self.lies.fetch_add(1, Ordering::Relaxed);
        log::error!("{}: answers {} of node {nodeid} with {text}", self.name, opcode.name());
        if self.dialect().is_extended() {
            let arg = ErrorIn {
                opcode: opcode as u32,
                errno,
                nodeid,
                len: text.len() as u32,
                padding: 0,
            };
            self.tell(&Context::internal(), 0, &Operation::Error { arg, text: text.as_bytes() });
        }
        Errno::EPROTO.into()
    }

    /// How often the server answered what no server may.
    pub(super) fn lies(&self) -> u64 {
        self.lies.load(Ordering::Relaxed)
    }

    /// How many requests have no answer.
    pub(super) fn outstanding(&self) -> usize {
        locked(&self.parks).len()
    }

    /// Whether the server is gone.
    pub(super) fn is_dead(&self) -> bool {
        locked(&self.parks).is_dead()
    }

    /// Ends it: all who wait are told, and nobody is let in any more (A58).
    pub(super) fn die(&self) {
        let parks = {
            let mut parks = locked(&self.parks);
            if parks.is_dead() {
                return;
            }
            parks.die()
        };
        self.channel.shut();
        for park in parks {
            park.put(Outcome::Died);
        }
        // To end the worker's wait. If it has work for hours, it will look by itself.
        let _ = self.worker.try_send(Unasked::End);
    }

    /// Whether somebody still waits for the answer to that request.
    pub(super) fn awaited(&self, unique: u64) -> bool {
        locked(&self.parks).find(unique).is_some()
    }

    /// Reads while nobody waits for an answer, until the server is gone: to be run by a thread of
    /// its own. Those who wait read faster than somebody who would have to be woken for it.
    pub(super) fn watch(&self) {
        let mut seen = 0;
        while !self.is_dead() {
            let calls = self.next.load(Ordering::Relaxed);
            let quiet = calls == seen;
            seen = calls;
            let nap = if quiet { Self::NAP } else { Self::GLANCE * 2 };
            if !self.channel.wait(!quiet, nap) {
                continue;
            }
            match self.lead() {
                Some(_lead) => while self.receive(false) {},
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
    }

    fn must_stop(&self, cx: &Context<'_>, until: Option<Instant>) -> Option<Fault> {
        if self.is_dead() {
            Some(Fault::Died)
        } else if cx.cancelled() {
            Some(Errno::EINTR.into())
        } else {
            until.is_some_and(|at| Instant::now() >= at).then_some(Fault::Late)
        }
    }

    /// Waits until the request may be sent. Who gives up here was never seen by the server.
    fn enter(&self, cx: &Context<'_>, park: &Arc<Park>, until: Option<Instant>) -> Answer<()> {
        loop {
            match locked(&self.parks).enter(park) {
                Entry::Entered => return Ok(()),
                Entry::Dead => return Err(Fault::Gone),
                Entry::InLine => {}
            }
            if let Some(fault) = self.must_stop(cx, until) {
                locked(&self.parks).leave_line(park.unique);
                return Err(fault.unsent());
            }
            cx.cancel.sleep(Self::GLANCE * 5);
        }
    }

    fn message<'d>(
        &self,
        cx: &Context<'_>,
        unique: u64,
        nodeid: u64,
        operation: &Operation<'d>,
    ) -> Answer<Message<'d>> {
        let (uid, gid, pid) = (cx.uid.0, cx.gid.0, cx.pid.0);
        let header = InHeader { unique, nodeid, uid, gid, pid, ..InHeader::default() };
        let mut head = Vec::new();
        let tail = compose::split(&mut head, header, operation, &[], self.dialect());
        let message = tail.map(|tail| Message { head, tail });
        let most = self.most.load(Ordering::Relaxed);
        message.filter(|m| m.head.len() + m.tail.len() <= most).ok_or_else(|| Errno::E2BIG.into())
    }

    fn parse<'f>(&self, frame: &'f Frame) -> Result<Incoming<'f>, BadIncoming> {
        Incoming::parse(frame.bytes(), self.dialect())
    }

    fn try_send(&self, message: &Message<'_>) -> Result<(), Unsent> {
        let sent = self.channel.send(&[IoSlice::new(&message.head), IoSlice::new(message.tail)]);
        if let (Ok(()), Some(dump)) = (sent, &self.dump) {
            dump.sent(&[&message.head, message.tail].concat(), self.dialect());
        }
        sent
    }

    /// Sends, and waits for room as long as nothing stops it.
    fn send(&self, message: &Message<'_>, stop: impl Fn() -> Option<Fault>) -> Answer<()> {
        loop {
            match self.try_send(message) {
                Ok(()) => return Ok(()),
                Err(Unsent::Gone) => {
                    self.die();
                    return Err(Fault::Gone);
                }
                Err(Unsent::TooLong) => return Err(Errno::E2BIG.into()),
                Err(Unsent::Full) => {}
            }
            if let Some(fault) = stop() {
                return Err(fault);
            }
            // The server may be waiting for us to read what it has to say.
            if let Some(_lead) = self.lead() {
                while self.receive(false) {}
            }
            self.channel.wait_for_room(Self::GLANCE);
        }
    }

    fn lead(&self) -> Option<Lead<'_>> {
        let free = self.led.compare_exchange(false, true, Ordering::SeqCst, Ordering::SeqCst);
        free.is_ok().then_some(Lead(self))
    }

    /// Waits for the answer, and reads the channel if nobody else does.
    fn wait(&self, cx: &Context<'_>, park: &Park, until: Option<Instant>) -> Answer<Outcome> {
        loop {
            if let Some(outcome) = park.take() {
                return Ok(outcome);
            }
            if let Some(fault) = self.must_stop(cx, until) {
                return self.abandon(park, fault);
            }
            let Some(_lead) = self.lead() else {
                let left = until.map_or(Self::NAP, |at| at - Instant::now().min(at));
                cx.cancel.sleep(left.min(Self::NAP));
                continue;
            };
            loop {
                if let Some(outcome) = park.take() {
                    return Ok(outcome);
                }
                if let Some(fault) = self.must_stop(cx, until) {
                    return self.abandon(park, fault);
                }
                self.receive(true);
            }
        }
    }

    /// The caller gives up: the server is told, and what it answers all the same is taken back.
    fn abandon(&self, park: &Park, fault: Fault) -> Answer<Outcome> {
        if !locked(&self.parks).abandon(park) {
            // It came just now, or the end did.
            return park.take().ok_or(fault);
        }
        let arg = InterruptIn { unique: park.unique };
        let operation = Operation::Interrupt { arg };
        self.tell_as(&Context::internal(), park.unique | 1, 0, &operation);
        Err(fault)
    }

    /// Reads one message and gives it to whom it belongs. False if there was none.
    fn receive(&self, wait: bool) -> bool {
        let mut frame = self.frames.take();
        let (len, descriptor) = match self.channel.receive(frame.room(), wait) {
            Arrival::Message(len, descriptor) => (len, descriptor),
            Arrival::Nothing => return false,
            Arrival::End => {
                self.die();
                return false;
            }
            Arrival::Unfit => {
                self.bad_message("longer than was agreed on, or with too many descriptors");
                return true;
            }
        };
        frame.cut(len);
        if let Some(dump) = &self.dump {
            dump.received(frame.bytes(), self.dialect());
        }
        match self.parse(&frame) {
            Err(bad) => self.bad_message(&format!("a {bad}")),
            Ok(Incoming::Reply { unique, .. }) => self.deliver(unique, frame, descriptor),
            Ok(_) => self.hand_over(Unasked::Message(frame)),
        }
        true
    }

    fn deliver(&self, unique: u64, frame: Frame, fd: Option<OwnedFd>) {
        let owner = locked(&self.parks).claim(unique);
        match owner {
            Owner::Waiter(park) => park.put(Outcome::Answered(frame, fd)),
            Owner::Nobody(opcode) => self.hand_over(Unasked::Late(opcode, frame, fd)),
            // The answer to an INTERRUPT: the request was answered meanwhile.
            Owner::Unknown if unique & 1 == 1 => {}
            Owner::Unknown => self.bad_message("the answer to what was not asked"),
        }
    }

    fn hand_over(&self, unasked: Unasked) {
        if let Err(TrySendError::Full(_)) = self.worker.try_send(unasked) {
            self.bad_message("so many messages that nobody asked for that one was dropped");
        }
    }

    fn bad_message(&self, text: &str) {
        self.lies.fetch_add(1, Ordering::Relaxed);
        log::error!("{}: sent {text}", self.name);
        let arg = ErrorIn { len: text.len() as u32, ..ErrorIn::default() };
        if self.dialect().is_extended() {
            self.tell(&Context::internal(), 0, &Operation::Error { arg, text: text.as_bytes() });
        }
    }
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "connection to {} ({} outstanding)", self.name, self.outstanding())
    }
}
