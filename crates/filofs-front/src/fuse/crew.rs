//! `Crew`: the threads that serve one device.
//!
//! # Who reads
//!
//! Reading, working and answering happen in one thread, so that a quick request costs no wake-up.
//! What must not happen is that a slow request holds the others up: somebody has to be reading
//! while it is worked on. Always keeping two threads in read(2) would do, but then the kernel
//! wakes them in turn, which costs every quick request more than a microsecond. Hence:
//!
//! 1. A worker that takes a request which is known to take its time ([`Costs`]) lets another
//!    worker read *before* it begins: a rested one, or a new one.
//! 2. Any other request is begun at once with nobody reading. The steward, a thread that serves
//!    nothing, looks a thousand times a second while there is work; when nobody reads and nothing
//!    has been taken since it looked last, it sends a reader, and the operation counts as slow
//!    from then on. So no request ever waits longer for another than a look of the steward's,
//!    whatever blocks, up to the limit of workers. A worker that waits for nothing but is not let
//!    run, because others have the CPU, is not helped by one more: then the steward holds back,
//!    for a tenth of a second at most. (That one computes it sees a tick of the clock later.)
//! 3. A worker that is done goes on reading if nobody else does; otherwise, it rests. A single
//!    client with quick requests is therefore served by one thread alone.
//! 4. A handler may ask the core something and wait for the answer (A121). When all workers are at
//!    something and one of them waits so, the steward reads: it hands answers over, and keeps
//!    requests for the next worker that is free.
//! 5. Callers that were killed and still wait for an operation are let go by the steward.
//! 6. Who rests too long leaves; the steward sleeps while nothing is asked.
//!
//! Where requests come over a [`Ring`], its workers serve them by the same rules; what is left for
//! the crew is FORGET and INTERRUPT, and the steward looks after both: a quarter as often while it
//! finds somebody free at each queue.
//!
//! Lock order: `roster` is taken alone, and nothing is called under it.

use super::attendants::Attendants;
use super::backlog::Backlog;
use super::buffer::Buffer;
use super::costs::Costs;
use super::device::{Arrival, Device, Outlet};
use super::dispatch::Dispatch;
use super::flight::{Flight, Flights};
use super::heap::Heap;
use super::ring::Ring;
use super::stall::Stall;
use filofs::{Errno, locked};
use filofs_wire::errno::ReplyErrno;
use filofs_wire::reply;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

/// The workers of one device, and what they work with.
pub(super) struct Crew {
    pub(super) device: Device,
    pub(super) dispatch: Dispatch,
    most: usize,
    payload: usize,
    roster: Mutex<Roster>,
    changed: Condvar,
    backlog: Backlog,
    /// Workers that read, or are on their way to.
    readers: AtomicUsize,
    /// Requests taken, ever.
    taken: AtomicU64,
    /// The opcode taken last.
    last: AtomicU32,
    pub(super) costs: Costs,
    /// The other transport, if it is in use.
    ring: OnceLock<Ring>,
    /// The steward sleeps until it is woken.
    steward_sleeps: AtomicBool,
    /// Those who serve what comes by shared memory.
    pub(super) attendants: Option<Attendants>,
    ended: AtomicBool,
    aborted: AtomicBool,
    /// It is we who have ended it.
    given_up: AtomicBool,
}

#[derive(Debug, Default)]
struct Roster {
    /// Workers that live.
    total: usize,
    /// Workers that rest.
    resting: usize,
    /// How many of them have been called and have not woken yet.
    called: usize,
    steward: Option<Thread>,
    /// How often somebody who rests has woken.
    #[cfg(test)]
    woken: usize,
}

impl Crew {
    /// How often the steward looks.
    const LOOK: Duration = Duration::from_millis(1);
    /// So many looks it leaves out where somebody was free at every queue of a ring.
    const SPARED: u32 = 3;
    /// After so many looks at a device that is read and has nothing to say the steward sleeps.
    const QUIET: u32 = 20;
    /// Every so many looks the steward asks whether callers that wait for long still live.
    const GRACE: u32 = 100;
    /// How long a worker rests before it leaves, unless it is the last that rests.
    const REST: Duration = Duration::from_millis(if cfg!(test) { 200 } else { 10_000 });
    /// How long the end waits for workers that are still at something.
    const FAREWELL: Duration = Duration::from_secs(10);

    /// At most `most` threads, the attendants included.
    pub(super) fn new(
        device: Device,
        dispatch: Dispatch,
        payload: usize,
        most: usize,
        attendants: Option<Attendants>,
    ) -> Crew {
        let apart = attendants.as_ref().map_or(0, Attendants::most);
        Crew {
            device,
            dispatch,
            most: most.saturating_sub(apart).max(1),
            payload,
            roster: Mutex::default(),
            changed: Condvar::new(),
            backlog: Backlog::default(),
            readers: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            last: AtomicU32::new(0),
            costs: Costs::default(),
            ring: OnceLock::new(),
            steward_sleeps: AtomicBool::new(false),
            attendants,
            ended: AtomicBool::new(false),
            aborted: AtomicBool::new(false),
            given_up: AtomicBool::new(false),
        }
    }

    /// Starts the first worker and the steward. When the connection has ended and the workers
    /// have left, the steward runs `finish`; before, if it is we who ended it, `abort`.
    pub(super) fn start(
        self: &Arc<Self>,
        abort: impl FnOnce() + Send + 'static,
        finish: impl FnOnce() + Send + 'static,
    ) -> std::io::Result<()> {
        // First, so that the steward does not take the only place for one.
        if !self.call() {
            return Err(std::io::Error::from_raw_os_error(rustix::io::Errno::AGAIN.raw_os_error()));
        }
        if let Some(attendants) = &self.attendants {
            attendants.call(self);
        }
        let crew = self.clone();
        let steward = thread::Builder::new().name("filo-steward".into()).spawn(move || {
            let mut heap = Heap::default();
            crew.watch(&mut heap);
            if crew.given_up.load(SeqCst) {
                abort();
            }
            crew.farewell();
            finish();
            crew.give_back(&mut heap, true);
        })?;
        locked(&self.roster).steward = Some(steward.thread().clone());
        // Whoever had a word for it before it had a place.
        steward.thread().unpark();
        Ok(())
    }

    /// Whether the connection has ended.
    pub(super) fn ended(&self) -> bool {
        self.ended.load(SeqCst)
    }

    /// Whether it ended by an abort.
    pub(super) fn aborted(&self) -> bool {
        self.aborted.load(SeqCst)
    }

    /// The connection has ended: nobody waits for any answer, so what waits is cancelled.
    pub(super) fn end(&self, aborted: bool) {
        self.aborted.fetch_or(aborted, SeqCst);
        if self.ended.swap(true, SeqCst) {
            return;
        }
        self.flights().interrupt_all();
        self.dispatch.calls.end();
        if let Some(attendants) = &self.attendants {
            attendants.end();
        }
        let roster = locked(&self.roster);
        self.changed.notify_all();
        if let Some(steward) = &roster.steward {
            steward.unpark();
        }
    }

    /// We cannot go on, of which the kernel does not know: what it waits for does not come.
    pub(super) fn give_up(&self) {
        self.given_up.store(true, SeqCst);
        self.end(true);
    }

    /// The other transport, if it is in use.
    pub(super) fn ring(&self) -> Option<&Ring> {
        self.ring.get()
    }

    /// Takes it in use. False if there is one.
    pub(super) fn put_on(&self, ring: Ring) -> bool {
        self.ring.set(ring).is_ok()
    }

    /// A worker of the ring has gone.
    pub(super) fn worker_left(&self) {
        if let Some(ring) = self.ring() {
            ring.left();
        }
        self.tell_who_waits_for_the_end();
    }

    /// A worker's life. It begins as a reader.
    fn work(self: &Arc<Self>) {
        let flight = self.flights().join();
        let mut buffer = Buffer::new(self.payload);
        while !self.ended() {
            let arrival = match self.backlog.take(buffer.inlet()) {
                Some(len) => Arrival::Message(len),
                None => self.device.receive(buffer.inlet()),
            };
            match arrival {
                Arrival::Message(len) => {
                    let (message, window) = buffer.split(len);
                    let opcode = opcode_of(message);
                    self.stop_reading(opcode);
                    let began = Instant::now();
                    self.dispatch.serve([message, &[]], window, &flight, &self.device);
                    let slow = self.costs.note(opcode, began.elapsed());
                    if !self.read_again(slow) {
                        break;
                    }
                }
                Arrival::Nothing => {}
                Arrival::End => self.end(false),
                Arrival::Aborted => self.end(true),
            }
        }
        self.flights().leave(&flight);
        locked(&self.roster).total -= 1;
        self.tell_who_waits_for_the_end();
    }

    /// A worker has left. While the connection lasts nobody waits for that, and those who rest
    /// are let rest.
    fn tell_who_waits_for_the_end(&self) {
        if self.ended() {
            let _roster = locked(&self.roster);
            self.changed.notify_all();
        }
    }

    /// A request was taken: sees to it that somebody reads, at once or in time.
    fn stop_reading(self: &Arc<Self>, opcode: u32) {
        self.taken.fetch_add(1, SeqCst);
        self.last.store(opcode, SeqCst);
        let last = self.readers.fetch_sub(1, SeqCst) == 1;
        if last && self.costs.slow(opcode) {
            self.call();
        }
        self.wake_steward();
    }

    /// Wakes the steward if it sleeps. Either the caller sees that it does, or the steward, before
    /// it sleeps, sees what the caller has done.
    pub(super) fn wake_steward(&self) {
        if self.steward_sleeps.load(SeqCst)
            && let Some(steward) = &locked(&self.roster).steward
        {
            steward.unpark();
        }
    }

    /// A request is answered: reads on, or rests until called. False if the worker is to leave.
    fn read_again(&self, slow: bool) -> bool {
        // Where requests are slow, a second reader spares calling one each time.
        let enough = if slow { 2 } else { 1 };
        if self.readers.load(SeqCst) < enough {
            self.readers.fetch_add(1, SeqCst);
            return true;
        }
        let until = Instant::now() + Self::REST;
        let mut roster = locked(&self.roster);
        roster.resting += 1;
        loop {
            if roster.called > 0 {
                // Counted as a reader by whoever called.
                roster.called -= 1;
                roster.resting -= 1;
                return true;
            }
            if self.ended() {
                roster.resting -= 1;
                return false;
            }
            roster = if roster.resting == 1 {
                // The last stays, and nothing wakes it for nothing.
                self.changed.wait(roster).unwrap_or_else(PoisonError::into_inner)
            } else if let Some(left) = until.checked_duration_since(Instant::now()) {
                let waited = self.changed.wait_timeout(roster, left);
                waited.unwrap_or_else(PoisonError::into_inner).0
            } else {
                roster.resting -= 1;
                return false;
            };
            #[cfg(test)]
            {
                roster.woken += 1;
            }
        }
    }

    /// Sends another worker to read: one that rests, or a new one. False at the limit, or when
    /// the machine gives no thread.
    fn call(self: &Arc<Self>) -> bool {
        {
            let mut roster = locked(&self.roster);
            if roster.resting > roster.called {
                roster.called += 1;
                self.readers.fetch_add(1, SeqCst);
                self.changed.notify_one();
                return true;
            }
            // Who reads is at nothing: it must not keep what was read before waiting.
            let idle = if self.backlog.is_empty() { 0 } else { self.readers.load(SeqCst) };
            if roster.total >= self.most + idle {
                return false;
            }
            roster.total += 1;
            self.readers.fetch_add(1, SeqCst);
        }
        let crew = self.clone();
        let spawned = thread::Builder::new().name("filo-worker".into()).spawn(move || crew.work());
        if let Err(error) = spawned {
            log::warn!("no thread for another worker: {error}");
            self.readers.fetch_sub(1, SeqCst);
            locked(&self.roster).total -= 1;
            return false;
        }
        true
    }

    /// The steward's life.
    fn watch(self: &Arc<Self>, heap: &mut Heap) {
        let mut seen = 0;
        let mut heard = 0;
        let mut quiet = 0;
        let mut looks = 0u32;
        let mut stall = None;
        while !self.ended() {
            let taken = self.taken.load(SeqCst);
            let still = std::mem::replace(&mut seen, taken) == taken;
            let asked = self.asked();
            let calm = std::mem::replace(&mut heard, asked) == asked;
            let read = self.readers.load(SeqCst) > 0;
            if still && !read {
                let stall = stall.get_or_insert_with(|| Stall::new(self.flights().at_work()));
                if !stall.passes_by_itself() {
                    self.costs.condemn(self.last.load(SeqCst));
                    if !self.call() && self.dispatch.calls.awaited() {
                        self.relieve();
                    }
                }
            } else if !self.backlog.is_empty() {
                self.call();
            }
            if !still || read {
                stall = None;
            }
            if let Some(ring) = self.ring() {
                ring.look(self);
            }
            if looks >= Self::GRACE {
                looks = 0;
                self.release_the_dying();
            }
            let idle = self.attended() && self.backlog.is_empty();
            // Of a queue with two workers both must block before anybody waits for them.
            let pause = if idle && self.ring().is_some() { 1 + Self::SPARED } else { 1 };
            looks += pause;
            quiet = if calm && idle { quiet + pause } else { 0 };
            self.give_back(heap, quiet >= Self::QUIET);
            if quiet < Self::QUIET {
                thread::sleep(Self::LOOK * pause);
                continue;
            }
            self.steward_sleeps.store(true, SeqCst);
            if self.attended() && self.asked() == asked && !self.ended() {
                if self.flights().aloft() {
                    thread::park_timeout(Self::LOOK * Self::GRACE);
                    self.release_the_dying();
                } else {
                    thread::park();
                }
            }
            self.steward_sleeps.store(false, SeqCst);
            quiet = if self.asked() == asked { Self::QUIET } else { 0 };
        }
    }

    /// Has memory of nodes that are gone given back, when it is time.
    fn give_back(&self, heap: &mut Heap, rests: bool) {
        if heap.look(self.dispatch.ledger.mount().nodes().len(), rests) {
            Heap::give_back();
        }
    }

    /// Waits until somebody reads the device and nothing is in there, but not for ever.
    pub(super) fn catch_up(&self) {
        /// So many looks.
        const MOST: u32 = 100;
        for _ in 0..MOST {
            thread::sleep(Self::LOOK);
            if self.ended() || self.readers.load(SeqCst) > 0 && !self.device.is_readable() {
                return;
            }
        }
    }

    /// How many requests were taken, whatever way they came.
    fn asked(&self) -> u64 {
        self.taken.load(SeqCst).wrapping_add(self.ring().map_or(0, Ring::taken))
    }

    /// Whether somebody is there for the next request, whatever way it comes.
    fn attended(&self) -> bool {
        let ring = self.ring().is_some_and(Ring::wants_looking_after);
        self.readers.load(SeqCst) > 0 && !ring
    }

    /// Reads in the place of the workers, while one of them waits for an answer and none reads.
    fn relieve(self: &Arc<Self>) {
        let mut buffer = Buffer::new(self.payload);
        let flight = Flight::default();
        while !self.ended()
            && self.readers.load(SeqCst) == 0
            && self.dispatch.calls.awaited()
            && self.backlog.has_room()
        {
            match self.device.receive_within(buffer.inlet(), Self::LOOK) {
                Arrival::Message(len) => {
                    let (message, window) = buffer.split(len);
                    self.taken.fetch_add(1, SeqCst);
                    if Dispatch::is_quick(opcode_of(message)) {
                        self.dispatch.serve([message, &[]], window, &flight, &self.device);
                    } else {
                        self.backlog.put(message);
                        // One may rest by now.
                        self.call();
                    }
                }
                Arrival::Nothing => {}
                Arrival::End => self.end(false),
                Arrival::Aborted => self.end(true),
            }
        }
    }

    /// Answers those who were killed while they wait for an operation that does not end. Linux
    /// keeps them until then, whatever has killed them.
    fn release_the_dying(self: &Arc<Self>) {
        for unique in self.flights().tend() {
            log::warn!("request {unique}: its caller was killed and the operation goes on");
            if self.ring().is_some_and(|ring| ring.let_go(self, unique)) {
                continue;
            }
            let eintr = ReplyErrno::or_eproto(Errno::EINTR.raw());
            self.device.send(reply::error(unique, eintr).as_bytes(), &[]);
        }
    }

    pub(super) fn flights(&self) -> &Flights {
        &self.dispatch.ledger.flights
    }

    /// Waits for the workers to leave. One that is stuck in the file system is left behind: it
    /// holds nothing that the kernel waits for.
    fn farewell(&self) {
        let until = Instant::now() + Self::FAREWELL;
        if let Some(attendants) = &self.attendants {
            attendants.farewell(until);
        }
        let mut roster = locked(&self.roster);
        loop {
            let total = roster.total + self.ring().map_or(0, Ring::workers);
            if total == 0 {
                return;
            }
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                log::error!("{total} workers are stuck in the file system");
                return;
            };
            let waited = self.changed.wait_timeout(roster, left);
            roster = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// The opcode of a message, before anybody has looked whether it is one.
fn opcode_of(message: &[u8]) -> u32 {
    message.get(4..8).and_then(|bytes| bytes.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::super::face::Face;
    use super::super::ledger::Ledger;
    use super::super::{Complaints, FuseOptions};
    use super::*;
    use filofs::{FileSystem, Mount};
    use filofs_bases::mem::{Mem, Settings};
    use filofs_wire::abi::{InHeader, Opcode};
    use zerocopy::IntoBytes;

    #[test]
    fn any_bytes_have_an_opcode() {
        assert_eq!(opcode_of(&[]), 0);
        assert_eq!(opcode_of(&[0; 7]), 0);
        let mut header = [0; 40];
        header[4..8].copy_from_slice(&u32::MAX.to_ne_bytes());
        assert_eq!(opcode_of(&header), u32::MAX);
    }

    #[test]
    fn workers_that_rest_leave_without_waking_each_other() {
        const MANY: usize = 16;
        let (device, kernel) = rustix::net::socketpair(
            rustix::net::AddressFamily::UNIX,
            rustix::net::SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let (mem, options) = (Mem::new(Settings::default()), FuseOptions::default());
        let mount = Arc::new(Mount::of(mem, "mem:").unwrap());
        let face = Face::new(mount.root().cookie(), &mount.profile(), &options);
        let dispatch =
            Dispatch::new(Ledger::new(mount, face, MANY), &options, Complaints::default());
        let crew = Arc::new(Crew::new(Device::new(device), dispatch, 4096, MANY, None));
        for _ in 0..MANY {
            assert!(crew.call());
        }
        // Each takes one and goes to rest, but for the last.
        let header = InHeader { len: 40, opcode: Opcode::Forget as u32, ..InHeader::default() };
        for _ in 1..MANY {
            rustix::io::write(&kernel, header.as_bytes()).unwrap();
        }
        let wait_for = |total: usize| {
            let until = Instant::now() + Duration::from_secs(60);
            while locked(&crew.roster).total > total {
                assert!(Instant::now() < until, "{:?}", locked(&crew.roster));
                thread::sleep(Duration::from_millis(5));
            }
        };
        wait_for(2);
        let woken = locked(&crew.roster).woken;
        assert!(woken <= 2 * MANY, "woken {woken} times");
        drop(kernel);
        wait_for(0);
    }
}
