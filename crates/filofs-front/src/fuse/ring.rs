//! `Ring`: requests over io_uring, the second transport (`CONFIG_FUSE_IO_URING`, Linux 6.14).
//!
//! # The protocol
//!
//! The kernel keeps a queue for each possible CPU, and puts a request into that of the CPU on which
//! it was made. We give a queue *entries*: memory for one request and its answer, REGISTERed by a
//! command that completes when a request has come in it. The answer is written into the same memory
//! and committed; COMMIT_AND_FETCH is the same system call that waits for the next request. What
//! waits in a queue goes to the entry that was free last.
//!
//! FORGET, INTERRUPT and notifications stay on the device, so a [`Crew`] of the first transport
//! works beside this one. Nothing is asked over the ring before every queue has an entry; until
//! then callers wait. So rings, memory and threads are made before INIT is answered, and if an
//! entry is refused after all, the kernel is made to give the ring up
//! ([`Prepared::enter`]): never a mount on which everybody waits.
//!
//! # Who waits for whom
//!
//! A worker is a thread with one entry. On each queue there is one at first, on the queue's CPU: a
//! request is served where it was made, which costs two switches and no wake-up of another CPU.
//! The rules are those of the crew: who takes a request that is known to take its time sees to it
//! first that another worker of the queue is free, or starts one; and where a queue has nobody and
//! takes nothing between two looks of the steward, the steward starts one and the operation counts
//! as slow. Workers that were started so stay: as the last to be free is the first to be asked,
//! they sleep until they are needed.
//!
//! A caller that was killed while its operation does not end is answered by a worker that takes
//! over the entry from the one that is stuck ([`Ring::let_go`]). That is possible while the
//! operation works in the worker's own memory, which holds for all that moves at most 16 KiB; what
//! moves more works in the entry's, and its caller waits.
//!
//! A worker that cannot begin is started again after a pause that grows ([`Backoff`]). Where the
//! kernel takes no entry of a queue any more, the connection is ended on both sides
//! ([`Crew::give_up`]): callers have an error, and the mount goes.
//!
//! Two workers on a queue are not for blocking alone: while one answers, the kernel has an entry to
//! put the next request into, which costs less processor time than a request that waits.

mod entry;
mod letter;
mod queue;
mod tray;
mod uring;
mod worker;

use super::backoff::Backoff;
use super::cpus;
use super::crew::Crew;
use super::device::Device;
use entry::Entry;
use filofs::{Kind, locked};
use filofs_wire::abi::ROOT_ID;
use filofs_wire::notify;
use queue::Queue;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use uring::Uring;
use worker::{Desk, First, Station, Worker};

/// The queues of one connection, and who works on them.
#[derive(Debug)]
pub(super) struct Ring {
    queues: Vec<Arc<Queue>>,
    /// Bytes of data that an entry has room for.
    payload: usize,
    /// Most workers.
    most: usize,
    /// Workers that live.
    total: AtomicUsize,
    desks: Mutex<Vec<Arc<Desk>>>,
    /// How often a queue was nudged.
    nudges: AtomicU64,
    /// Entries of stuck workers for which there was no thread yet.
    orphans: Mutex<Vec<Orphan>>,
    /// Since the last worker could not begin.
    backoff: Backoff,
    /// How often one was to.
    #[cfg(test)]
    starts: AtomicUsize,
}

/// An entry that was taken from a stuck worker, with the request that is to be let go.
#[derive(Debug)]
struct Orphan {
    queue: Arc<Queue>,
    unique: u64,
    entry: Entry,
}

/// A ring with all its first workers, which wait to be told for whom they work. Dropped, they go.
pub(super) struct Prepared {
    ring: Ring,
    seats: Vec<Sender<Call>>,
}

/// What a first worker is told: for whom it works, and whom to tell what became of its entry.
type Call = (Arc<Crew>, Sender<Result<(), Errno>>);

impl Ring {
    /// The most bytes of memory that the first workers may take, and others besides.
    const MEMORY_MAX: usize = 256 << 20;

    /// The most data in one request, so that a worker for each of so many queues stays within
    /// bounds; at least `least` bytes, at most `wanted`.
    pub(super) fn payload(queues: usize, least: usize, wanted: usize) -> usize {
        let page = rustix::param::page_size();
        let share = Self::MEMORY_MAX / queues.max(1) / page * page;
        wanted.min(share.max(least))
    }

    /// How many workers there can be: so many if memory allows.
    pub(super) fn most_workers(queues: usize, payload: usize, most: usize) -> usize {
        most.min(queues + Self::MEMORY_MAX / Entry::size(payload))
    }

    /// Makes everything that can fail: threads, rings, memory. Errors: in words.
    pub(super) fn prepare(
        device: &Device,
        queues: usize,
        payload: usize,
        most: usize,
    ) -> Result<Prepared, String> {
        let payload = payload.next_multiple_of(rustix::param::page_size());
        #[cfg(test)]
        let payload = tests::payload_given(payload);
        let queues: Vec<_> = (0..queues as u16).map(|id| Arc::new(Queue::new(id))).collect();
        let (made, answers) = channel();
        let mut seats = Vec::new();
        for queue in &queues {
            let (seat, calls) = channel();
            let (queue, made) = (queue.clone(), made.clone());
            let device = device.as_fd().try_clone_to_owned();
            let device = device.map_err(|error| format!("the device: {error}"))?;
            let work = move || first_worker(&queue, device, payload, &made, &calls);
            let thread = thread::Builder::new().name("filo-ring".into()).spawn(work);
            thread.map_err(|error| format!("no thread: {error}"))?;
            seats.push(seat);
        }
        drop(made);
        for _ in &queues {
            match answers.recv() {
                Ok(Ok(())) => {}
                Ok(Err(error)) => return Err(format!("no io_uring: {error}")),
                Err(_) => return Err("a thread has gone".into()),
            }
        }
        let ring = Ring {
            queues,
            payload,
            most,
            total: AtomicUsize::new(0),
            desks: Mutex::default(),
            nudges: AtomicU64::new(0),
            orphans: Mutex::default(),
            backoff: Backoff::default(),
            #[cfg(test)]
            starts: AtomicUsize::new(0),
        };
        Ok(Prepared { ring, seats })
    }

    /// How many workers live.
    pub(super) fn workers(&self) -> usize {
        self.total.load(SeqCst)
    }

    /// How many requests were taken.
    pub(super) fn taken(&self) -> u64 {
        self.queues.iter().map(|queue| queue.taken()).fold(0, u64::wrapping_add)
    }

    /// Whether a queue that is used has nobody free, or somebody waits to be let go.
    pub(super) fn wants_looking_after(&self) -> bool {
        self.queues.iter().any(|queue| queue.taken() > 0 && queue.busy())
            || !locked(&self.orphans).is_empty()
    }

    /// The steward looks: sends workers where nothing goes on.
    pub(super) fn look(&self, crew: &Arc<Crew>) {
        for queue in &self.queues {
            if let Some(opcode) = queue.stuck(|| self.workers_of(queue)) {
                crew.costs.condemn(opcode);
                self.grow(crew, queue);
            }
        }
        let orphans = std::mem::take(&mut *locked(&self.orphans));
        for orphan in orphans {
            self.adopt(crew, orphan);
        }
    }

    /// A worker begins a request and nobody else of its queue is free. If the request will take
    /// its time, or it is the first of all, another has to be there.
    fn begins(&self, crew: &Arc<Crew>, queue: &Arc<Queue>, opcode: u32, last: bool) {
        if last && (queue.workers() < 2 || crew.costs.slow(opcode)) {
            self.grow(crew, queue);
        }
        crew.wake_steward();
    }

    /// A worker is about to wait for requests of its own queue: somebody else has to serve them.
    /// False if nobody will.
    fn make_room(&self, crew: &Arc<Crew>, queue: &Arc<Queue>) -> bool {
        !queue.busy() || self.grow(crew, queue)
    }

    /// Starts another worker of a queue. False at the limit, or when the machine gives no thread.
    fn grow(&self, crew: &Arc<Crew>, queue: &Arc<Queue>) -> bool {
        // No queue keeps another from its share.
        let share = self.most / self.queues.len().max(1);
        if self.workers() >= self.most && queue.workers() >= share {
            return false;
        }
        let payload = self.payload;
        self.start(crew, queue, move |_, station| {
            let entry = Entry::new(payload);
            station.and_then(|station| Ok((station, First::Register(entry?))))
        })
    }

    /// Answers EINTR to a request whose worker does not come back; another takes the entry over,
    /// and the stuck one goes when it can. False for a request that is none of the ring's, or is
    /// answered this moment.
    pub(super) fn let_go(&self, crew: &Arc<Crew>, unique: u64) -> bool {
        let desks = locked(&self.desks).clone();
        let taken = desks.iter().find_map(|desk| Some((desk.queue.clone(), desk.take(unique)?)));
        let Some((queue, entry)) = taken else { return false };
        self.adopt(crew, Orphan { queue, unique, entry });
        true
    }

    fn adopt(&self, crew: &Arc<Crew>, orphan: Orphan) {
        // In a place of its own, so that it is still there when there is no thread.
        let queue = orphan.queue.clone();
        let cradle = Arc::new(Mutex::new(Some(orphan)));
        let given = cradle.clone();
        let started = self.start(crew, &queue, move |crew, station| {
            let orphan = locked(&given).take();
            match (station, orphan) {
                (Ok(station), Some(Orphan { unique, entry, .. })) => {
                    Ok((station, First::LetGo(unique, entry)))
                }
                (station, orphan) => {
                    if let (Some(ring), Some(orphan)) = (crew.ring(), orphan) {
                        locked(&ring.orphans).push(orphan);
                        crew.wake_steward();
                    }
                    station.and(Err(io::Error::from(io::ErrorKind::NotFound)))
                }
            }
        });
        if !started && let Some(orphan) = locked(&cradle).take() {
            locked(&self.orphans).push(orphan);
            crew.wake_steward();
        }
    }

    /// Starts a worker of a queue, which counts it as free from now on. False when there are far
    /// too many, the machine gives no thread, or the last one could not begin a moment ago.
    fn start(
        &self,
        crew: &Arc<Crew>,
        queue: &Arc<Queue>,
        prepare: impl FnOnce(&Arc<Crew>, io::Result<Station>) -> io::Result<(Station, First)>
        + Send
        + 'static,
    ) -> bool {
        if !self.backoff.is_over() {
            return false;
        }
        #[cfg(test)]
        self.starts.fetch_add(1, SeqCst);
        // Beyond the most that there are by growth are shares of queues that came late, and those
        // who take over an entry that is there already.
        if self.total.fetch_add(1, SeqCst) >= 3 * self.most {
            self.total.fetch_sub(1, SeqCst);
            return false;
        }
        queue.come();
        let (crew, of) = (crew.clone(), queue.clone());
        let work = move || {
            let station = Station::new(of.clone(), &crew.device);
            let made = prepare(&crew, station).map_err(|error| error.to_string());
            let begun = made.and_then(|(station, first)| {
                // The answer to a request fetches the next by itself.
                let fetches = matches!(first, First::LetGo(..));
                let begun = Worker::begin(crew.clone(), station, first);
                begun.map(|worker| (worker, fetches)).map_err(|errno| errno.to_string())
            });
            match begun {
                Ok((worker, fetches)) => {
                    if let Some(ring) = crew.ring() {
                        ring.backoff.succeeded();
                    }
                    if !fetches {
                        hand_over(&crew, &of);
                    }
                    worker.work();
                }
                Err(error) => {
                    if !crew.ended() {
                        log::warn!("no other worker for queue {}: {error}", of.id);
                    }
                    if let Some(ring) = crew.ring() {
                        ring.backoff.failed();
                    }
                    of.leave();
                    crew.wake_steward();
                }
            }
            crew.worker_left();
        };
        let spawned = thread::Builder::new().name("filo-ring".into()).spawn(work);
        if let Err(error) = &spawned {
            log::warn!("no thread for another worker: {error}");
            self.backoff.failed();
            queue.leave();
            self.total.fetch_sub(1, SeqCst);
        }
        spawned.is_ok()
    }

    /// Has what waits in the queue of this CPU handed over to a worker that has come to it. False
    /// if the kernel did not take the word.
    ///
    /// Linux (6.18) gives a new entry only requests that are made from then on. What was made
    /// before waits until some worker of the queue commits an answer, and all of them may be
    /// stuck. So the new one is sent a request that it answers at once, which Linux makes on this
    /// CPU when it is asked for no bytes of a file's pages. It has to be a regular file that the
    /// kernel knows, and any will do; but it may just be giving one back. (Before it was asked to
    /// be regular, the root will do.)
    fn nudge(&self, crew: &Crew) -> bool {
        /// Above all ids that the kernel gives. Even: of an odd one it takes the last bit off.
        const FIRST: u64 = 1 << 62;
        /// So many files are tried.
        const TRIES: usize = 16;
        let ledger = &crew.dispatch.ledger;
        let files = ledger.mount().nodes().remembered(Kind::Regular, TRIES);
        let files = files.into_iter().map(|cookie| ledger.face.swap(cookie.0));
        for nodeid in files.chain([ROOT_ID]) {
            let unique = FIRST + 2 * self.nudges.fetch_add(1, SeqCst);
            if crew.device.notify(notify::retrieve(unique, nodeid, 0, 0).parts()).is_ok() {
                return true;
            }
        }
        false
    }

    /// The threads of a queue.
    fn workers_of(&self, queue: &Arc<Queue>) -> Vec<u32> {
        let desks = locked(&self.desks);
        desks
            .iter()
            .filter(|desk| Arc::ptr_eq(&desk.queue, queue))
            .map(|desk| desk.thread)
            .collect()
    }

    fn sit_down(&self, desk: &Arc<Desk>) {
        locked(&self.desks).push(desk.clone());
    }

    fn stand_up(&self, desk: &Arc<Desk>) {
        locked(&self.desks).retain(|other| !Arc::ptr_eq(other, desk));
    }

    /// One worker less.
    pub(super) fn left(&self) {
        self.total.fetch_sub(1, SeqCst);
    }
}

impl Prepared {
    /// INIT has been answered: every worker registers its entry. Errors: in words; then the kernel
    /// has been told to do without a ring, and asks over the device.
    pub(super) fn enter(self, crew: &Arc<Crew>) -> Result<(), String> {
        #[cfg_attr(not(test), expect(unused_mut, reason = "tests take one away"))]
        let Prepared { ring, mut seats } = self;
        #[cfg(test)]
        seats.truncate(tests::seats_taken(seats.len()));
        let queues = ring.queues.len();
        ring.total.store(seats.len(), SeqCst);
        if !crew.put_on(ring) {
            return Err("there is a ring already".into());
        }
        let (told, tells) = channel();
        for seat in &seats {
            let _ = seat.send((crew.clone(), told.clone()));
        }
        drop(told);
        // All are heard, so that nobody registers any more when the kernel is told.
        let heard: Vec<_> = tells.iter().collect();
        let why = match heard.iter().find_map(|registered| registered.err()) {
            Some(errno) => format!("the kernel takes no entry: {errno}"),
            None if heard.len() < queues => "a thread has gone".into(),
            None => return Ok(()),
        };
        refuse(&crew.device);
        Err(why)
    }
}

/// Sees to it that what waits in a queue reaches the worker that has just come to it. On a thread
/// of its own on that CPU: the kernel may have somebody wait who asks it for a file.
fn hand_over(crew: &Arc<Crew>, queue: &Arc<Queue>) {
    const LONGEST: Duration = Duration::from_millis(100);
    queue.expect();
    let (crew, queue) = (crew.clone(), queue.clone());
    let work = move || {
        cpus::stay_on(queue.id.into());
        let mut pause = Duration::from_millis(1);
        let mut rested = false;
        // Whoever of the queue takes a request fetches the next with the answer.
        while queue.expects() && !crew.ended() {
            if crew.ring().is_some_and(|ring| ring.nudge(&crew)) {
                return;
            }
            // No regular file is known to the kernel. One may be soon, or there is no need: whoever
            // was at something has answered, and so fetched what waited.
            let rests = queue.rests();
            if rests && rested {
                return;
            }
            rested = rests;
            thread::sleep(pause);
            pause = (2 * pause).min(LONGEST);
        }
    };
    if let Err(error) = thread::Builder::new().name("filo-ring-nudge".into()).spawn(work) {
        log::warn!("requests may wait for the next one: no thread: {error}");
    }
}

/// The life of a queue's first worker.
fn first_worker(
    queue: &Arc<Queue>,
    device: OwnedFd,
    payload: usize,
    made: &Sender<io::Result<()>>,
    calls: &Receiver<Call>,
) {
    let station = Station::new(queue.clone(), &device);
    drop(device);
    let (station, entry) = match station.and_then(|made| Ok((made, Entry::new(payload)?))) {
        Ok(both) => both,
        Err(error) => {
            let _ = made.send(Err(error));
            return;
        }
    };
    let _ = made.send(Ok(()));
    // Nobody calls where INIT failed.
    let Ok((crew, told)) = calls.recv() else { return };
    queue.come();
    match Worker::begin(crew.clone(), station, First::Register(entry)) {
        Ok(worker) => {
            let _ = told.send(Ok(()));
            drop(told); // who listens waits until all have spoken
            worker.work();
        }
        Err(errno) => {
            queue.leave();
            let _ = told.send(Err(errno));
        }
    }
    crew.worker_left();
}

/// Makes the kernel do without a ring: it gives up at the first entry it cannot take, and no queue
/// has this number.
fn refuse(device: &Device) {
    const TRIES: u32 = 100;
    let mut last = None;
    for _ in 0..TRIES {
        let refused = Uring::new(device).and_then(|mut uring| {
            let refused = uring.register(u16::MAX, Entry::new(0)?);
            Ok(refused.err())
        });
        match refused {
            // That is of its own state, not of what it was told.
            Ok(None | Some(Errno::AGAIN | Errno::INTR | Errno::NOMEM)) | Err(_) => {}
            Ok(Some(_)) => return,
        }
        last = Some(refused);
        thread::sleep(Duration::from_millis(1));
    }
    log::error!("the kernel waits for a ring that it does not get: {last:?}");
}

#[cfg(test)]
mod tests {
    use super::super::{FuseOptions, Session, Transport};
    use super::*;
    use filofs::{Identity, Mount, Stack};
    use filofs_bases::mem::{Mem, Settings};
    use rustix::fs::{FlockOperation, flock};
    use std::cell::Cell;
    use std::fs;
    use std::path::PathBuf;
    use std::time::Instant;

    /// What goes wrong with rings that this thread makes.
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum Fault {
        None,
        /// The kernel refuses every entry.
        Short,
        /// One queue gets no entry.
        Absent,
    }

    thread_local! {
        static FAULT: Cell<Fault> = const { Cell::new(Fault::None) };
    }

    pub(super) fn payload_given(payload: usize) -> usize {
        if FAULT.get() == Fault::Short { 4096 } else { payload }
    }

    pub(super) fn seats_taken(seats: usize) -> usize {
        if FAULT.get() == Fault::Absent { seats - 1 } else { seats }
    }

    /// Whether there can be a ring; skipped otherwise, as in the other tests of mounts.
    fn can() -> bool {
        let on = fs::read_to_string("/sys/module/fuse/parameters/enable_uring");
        let can = rustix::process::geteuid().is_root() && on.is_ok_and(|on| on.trim() == "Y");
        if !can {
            let what = "root and FUSE over io_uring";
            assert_ne!(std::env::var("FILO_REQUIRE").as_deref(), Ok("1"), "this needs {what}");
            println!("skipped: this needs {what}");
        }
        can
    }

    /// A mount of memory over a ring, and where.
    fn mounted(name: &str) -> (PathBuf, Session) {
        let place = std::env::temp_dir().join(format!("filo-{name}-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        let stack = Stack::new(Arc::new(Mem::new(Settings::default())), []).unwrap();
        let identity = Identity::new("mem:", "filo", "").unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let options = FuseOptions { transport: Transport::Ring, ..FuseOptions::default() };
        let session = Session::start(mount, &place, &options).unwrap();
        (place, session)
    }

    #[test]
    fn where_we_end_the_connection_nobody_waits_for_an_answer() {
        if !can() {
            return;
        }
        let (place, session) = mounted("astray");
        for queue in &session.crew().ring().unwrap().queues {
            queue.astray.store(true, SeqCst);
        }
        let (tell, told) = channel();
        let path = place.join("file");
        let asks = thread::spawn(move || tell.send(fs::metadata(path).map(drop)));
        // Without an end it would wait for ever.
        let answer = told.recv_timeout(Duration::from_secs(60)).expect("it waits");
        let errno = answer.unwrap_err().raw_os_error().map(Errno::from_raw_os_error);
        let ended = [Errno::CONNABORTED, Errno::NOTCONN];
        assert!(errno.is_some_and(|errno| ended.contains(&errno)), "{errno:?}");
        asks.join().unwrap().unwrap();
        assert!(session.wait().aborted);
        fs::remove_dir(&place).unwrap();
    }

    #[test]
    fn a_worker_that_cannot_begin_is_not_started_over_and_over() {
        if !can() {
            return;
        }
        let (place, session) = mounted("backoff");
        let path = place.join("file");
        fs::write(&path, []).unwrap();
        let holder = fs::File::open(&path).unwrap();
        let waiters: Vec<_> = (0..8).map(|_| fs::File::open(&path).unwrap()).collect();
        flock(&holder, FlockOperation::LockExclusive).unwrap();
        // A second of each queue's came with its first request.
        let ring = session.crew().ring().unwrap();
        while ring.queues.iter().any(|queue| queue.taken() > 0 && queue.workers() < 2) {
            thread::yield_now();
        }
        let close = |closed| ring.queues.iter().for_each(|q| q.closed.store(closed, SeqCst));
        close(true);
        let (before, began) = (ring.starts.load(SeqCst), Instant::now());
        let wait = |file| thread::spawn(move || flock(file, FlockOperation::LockExclusive));
        let waiters: Vec<_> = waiters.into_iter().map(wait).collect();
        // Who waits for a lock has another start, and the steward sees that nobody comes.
        while began.elapsed() < Duration::from_millis(300) {
            thread::sleep(Duration::from_millis(10));
        }
        close(false);
        let pauses = began.elapsed().as_millis() as usize / 10;
        let starts = ring.starts.load(SeqCst) - before;
        assert!((1..=pauses + 2).contains(&starts), "{starts} times in {pauses} pauses");
        drop(holder);
        for waiter in waiters {
            let locked = waiter.join().unwrap();
            assert!(matches!(locked, Ok(()) | Err(Errno::NOLCK)), "{locked:?}");
        }
        session.unmount(false).unwrap();
        session.wait();
        fs::remove_dir(&place).unwrap();
    }

    #[test]
    fn nobody_nudges_a_queue_at_which_nobody_waits() {
        if !can() {
            return;
        }
        let place = std::env::temp_dir().join(format!("filo-nudge-{}", std::process::id()));
        fs::create_dir(&place).unwrap();
        // Without a regular file, which a nudge takes.
        let mem = Mem::new(Settings::default());
        let options = FuseOptions { transport: Transport::Ring, ..FuseOptions::default() };
        let mount = Arc::new(Mount::of(mem, "mem:").unwrap());
        let session = Session::start(mount, &place, &options).unwrap();
        // One request at each queue, which has it start its second worker.
        for cpu in 0..cpus::possible().unwrap() {
            let place = place.clone();
            let ask = move || {
                cpus::stay_on(cpu);
                rustix::fs::statvfs(&place).unwrap();
            };
            thread::spawn(ask).join().unwrap();
        }
        let nudges = || {
            let threads = fs::read_dir("/proc/self/task").unwrap().flatten();
            let names = threads.filter_map(|thread| fs::read(thread.path().join("comm")).ok());
            names.filter(|name| name.starts_with(b"filo-ring-nudge")).count()
        };
        let until = std::time::Instant::now() + Duration::from_secs(60);
        // Twice, a good while apart: it may not have begun yet.
        for _ in 0..2 {
            thread::sleep(Duration::from_millis(300));
            while nudges() > 0 {
                assert!(std::time::Instant::now() < until, "{} nudge for ever", nudges());
                thread::sleep(Duration::from_millis(10));
            }
        }
        session.unmount(false).unwrap();
        session.wait();
        fs::remove_dir(&place).unwrap();
    }

    #[test]
    fn a_ring_that_fails_after_init_leaves_a_mount_that_answers() {
        if !can() {
            return;
        }
        for (fault, begin) in [
            (Fault::Short, "classic (the kernel takes no entry"),
            (Fault::Absent, "classic (a thread has gone)"),
            (Fault::None, "ring ("),
        ] {
            FAULT.set(fault);
            let (place, session) = mounted("fallback");
            assert!(session.transport().starts_with(begin), "{}", session.transport());
            for n in 0..20 {
                let path = place.join(n.to_string());
                fs::write(&path, b"data").unwrap();
                assert_eq!(fs::read(&path).unwrap(), b"data");
                fs::remove_file(&path).unwrap();
            }
            session.unmount(false).unwrap();
            assert!(!session.wait().aborted);
            fs::remove_dir(&place).unwrap();
        }
    }
}
