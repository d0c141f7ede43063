//! A file system that does what a test wants, and a server of it that shares memory with its core.

use filofs::{
    Attr, Backed, Backing, Cancel, Context, Entry, Errno, FileSystem, Gid, Kind, Name, Node, Open,
    OpenFlags, OpenHow, Opened, Profile, ReleaseHow, Result, Sink, Source, WriteFlags,
};
use filofs_front::local::Local;
use filofs_server::channel::{Arrival, Channel};
use filofs_server::kernel::{KernelHalf, OnExit, Settings};
use filofs_server::serve::{Server, Session};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::MemfdFlags;
use std::io::IoSlice;
use std::os::unix::fs::MetadataExt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// Longer than anything here takes: a test that waits so long has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// A file whose bytes say where they are.
pub(crate) const FILE: &str = "file";
/// The size of the file that comes with an open.
pub(crate) const BACKED: u64 = 1 << 20;
/// So a file is opened when the gate is open.
pub(crate) const SLOWLY: OpenFlags = OpenFlags(OpenFlags::RDWR.0 | OpenFlags::NONBLOCK.0);
/// A name whose lookup ends when the gate is open.
pub(crate) const SLOW: &str = "slow";
/// A name that there is only for members of group 77.
pub(crate) const MEMBERS: &str = "members";

/// What the file system was asked, and what it waits for.
#[derive(Default)]
pub(crate) struct Told {
    /// Sizes of the reads and writes.
    pub(crate) sizes: Mutex<Vec<usize>>,
    /// How often a file was opened, and closed.
    pub(crate) opened: AtomicUsize,
    pub(crate) released: AtomicUsize,
    file: OnceLock<Arc<OwnedFd>>,
    gate: Mutex<Gate>,
    changed: Condvar,
}

#[derive(Default)]
struct Gate {
    open: bool,
    waiting: usize,
}

impl Told {
    /// Lets all lookups of [`SLOW`] end.
    pub(crate) fn open_gate(&self) {
        self.gate.lock().unwrap().open = true;
        self.changed.notify_all();
    }

    fn pass_gate(&self) {
        let mut gate = self.gate.lock().unwrap();
        gate.waiting += 1;
        self.changed.notify_all();
        drop(self.changed.wait_while(gate, |gate| !gate.open).unwrap());
    }

    /// Keeps those that come from now on.
    pub(crate) fn shut_gate(&self) {
        *self.gate.lock().unwrap() = Gate::default();
    }

    /// Waits until so many lookups of [`SLOW`] are under way.
    pub(crate) fn wait_for_slow(&self, many: usize) {
        let gate = self.gate.lock().unwrap();
        let waited = self.changed.wait_timeout_while(gate, FOREVER, |gate| gate.waiting < many);
        assert!(!waited.unwrap().1.timed_out(), "{many} slow lookups never came");
    }
}

pub(crate) struct Toy(pub(crate) Arc<Told>);

/// The byte at that place of the file.
pub(crate) fn byte_at(offset: u64) -> u8 {
    (offset.wrapping_mul(0x9e37_79b9) >> 24) as u8
}

impl FileSystem for Toy {
    fn profile(&self) -> Profile {
        Profile { backing: Backed::ByFiles, ..Profile::default() }
    }

    /// With a file of the host, which has other bytes, so that it is known where they come from.
    fn open(&self, _: &Context<'_>, _: &Node, how: OpenHow) -> Result<Opened> {
        if how.flags.has(OpenFlags::NONBLOCK) {
            self.0.pass_gate();
        }
        self.0.opened.fetch_add(1, Ordering::SeqCst);
        let file = self.0.file.get_or_init(|| {
            let file = rustix::fs::memfd_create(c"toy", MemfdFlags::CLOEXEC).unwrap();
            rustix::fs::ftruncate(&file, BACKED).unwrap();
            Arc::new(file)
        });
        let backing = Backing { file: file.clone(), mode: 0o600, size: BACKED };
        Ok(Opened { backing: Some(backing), ..Opened::default() })
    }

    fn release(&self, _: &Context<'_>, _: &Node, _: &Open, _: ReleaseHow) -> Result<()> {
        self.0.released.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(Attr::directory(1)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(Attr { size: 1 << 40, ..Attr::new(node.cookie().0, node.kind()) })
    }

    fn lookup(&self, cx: &Context<'_>, _: &Node, name: Name<'_>) -> Result<Entry> {
        let file = Entry::new(Attr { size: 1 << 40, ..Attr::new(2, Kind::Regular) });
        match name.bytes() {
            b"file" => Ok(file),
            b"members" if cx.in_group(Gid(77)) => Ok(file),
            b"slow" => {
                self.0.pass_gate();
                Ok(Entry::new(Attr::new(3, Kind::Regular)))
            }
            _ => Err(Errno::ENOENT),
        }
    }

    fn read(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        let len = out.room();
        self.0.sizes.lock().unwrap().push(len);
        let window = out.window(len);
        for (byte, at) in window.iter_mut().zip(offset..) {
            *byte = byte_at(at);
        }
        out.commit(len);
        Ok(())
    }

    fn write(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        offset: u64,
        data: &mut dyn Source,
        _: WriteFlags,
    ) -> Result<usize> {
        let chunk = data.chunk();
        self.0.sizes.lock().unwrap().push(chunk.len());
        if chunk.iter().zip(offset..).any(|(byte, at)| *byte != byte_at(at)) {
            return Err(Errno::EIO);
        }
        let len = chunk.len();
        data.advance(len);
        Ok(len)
    }
}

/// A core and a server, and the memory between them.
pub(crate) struct Ground {
    pub(crate) half: Arc<KernelHalf>,
    pub(crate) local: Local,
    pub(crate) told: Arc<Told>,
    /// The file of the memory: whoever has it may write into it.
    pub(crate) shared: OwnedFd,
    pub(crate) session: Arc<Session>,
    to_core: Arc<Channel>,
    threads: Vec<JoinHandle<()>>,
}

impl Ground {
    pub(crate) fn new(patience: Duration) -> Ground {
        let settings =
            Settings { patience: Some(patience), on_exit: OnExit::Fail, ..Settings::default() };
        let told = Arc::<Told>::default();
        let (core, ours) = Channel::pair().unwrap();
        let (theirs, server) = Channel::pair().unwrap();
        let toy = Toy(told.clone());
        let serves = thread::spawn(move || Arc::new(Server::new().over(toy, server).unwrap()));
        let ours = Channel::over(ours).unwrap();
        let (tells, shared) = std::sync::mpsc::channel();
        let (to_core, to_server) = (Arc::new(ours), Arc::new(theirs));
        let (from, to) = (to_core.clone(), to_server.clone());
        let requests = thread::spawn(move || pass_on(&from, &to, |fd| drop(tells.send(fd))));
        let (from, to) = (to_server, to_core.clone());
        let answers = thread::spawn(move || pass_on(&from, &to, drop));
        let half = Arc::new(KernelHalf::over(core, &settings).unwrap());
        let shared = shared.recv_timeout(FOREVER).expect("no memory was offered");
        let session = serves.join().unwrap();
        let local = Local::over(half.clone()).unwrap();
        let threads = vec![requests, answers];
        Ground { half, local, told, shared, session, to_core, threads }
    }

    /// Opens a node. What came with it has to be what the file system gives.
    pub(crate) fn open(&self, cx: &Context<'_>, node: &Node, flags: OpenFlags) -> Result<Open> {
        let how = OpenHow { flags, kill_priv: false };
        let mut opened = self.local.mount().open(cx, node, how)?;
        let backing = opened.backing.take().expect("it brings a file");
        let ino = |file: &OwnedFd| rustix::fs::fstat(file).unwrap().st_ino;
        assert_eq!(ino(&backing.file), ino(self.told.file.get().unwrap()));
        assert_eq!(backing.size, BACKED);
        Ok(Open::detached(node, flags, opened))
    }

    pub(crate) fn close(&self, open: &Open) {
        let (mount, how) = (self.local.mount(), ReleaseHow::default());
        mount.release(&Context::internal(), open.node(), open, how).unwrap();
    }

    pub(crate) fn look_up(&self, cx: &Context<'_>, name: &str) -> Result<Node> {
        let mount = self.local.mount();
        let entry = mount.lookup(cx, mount.root(), Name::new(name.as_bytes())?)?;
        mount.nodes().adopt(&entry)
    }

    /// The connection ends, as when the server dies.
    pub(crate) fn cut(&self) {
        self.to_core.shut();
    }

    /// The connection ends, and nothing is left of anything.
    pub(crate) fn end(self) {
        let Ground { half, local, told, shared, session, to_core, threads } = self;
        told.open_gate();
        assert_eq!(local.mount().counters().panics(), 0, "something panicked");
        let file = rustix::fs::fstat(&shared).unwrap().st_ino;
        assert!(is_held(file));
        drop((local, half, shared, to_core));
        session.wait();
        drop(session);
        for thread in threads {
            thread.join().unwrap();
        }
        wait_until("the memory is nobody's", || !is_held(file));
    }
}

/// Whether this process has that file open or mapped.
fn is_held(file: u64) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let mapped = |line: &str| line.split_whitespace().nth(4) == Some(&file.to_string());
    let descriptors = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
    let mut opened = descriptors.filter_map(|entry| std::fs::metadata(entry.path()).ok());
    maps.lines().any(|line| line.contains("filo-area") && mapped(line))
        || opened.any(|of| of.ino() == file && of.nlink() == 0)
}

/// The same, where the core offers no memory.
pub(crate) fn offers_nothing() -> (Local, Arc<Told>) {
    let told = Arc::<Told>::default();
    let (core, server) = Channel::pair().unwrap();
    let toy = Toy(told.clone());
    thread::spawn(move || Server::new().over(toy, server).unwrap().wait());
    let settings = Settings { shares_memory: false, ..Settings::default() };
    let half = Arc::new(KernelHalf::over(core, &settings).unwrap());
    (Local::over(half).unwrap(), told)
}

/// Passes messages on, with their descriptors, of which it tells.
fn pass_on(from: &Channel, to: &Channel, tell: impl Fn(OwnedFd)) {
    let mut room = vec![0; 1 << 20];
    from.patience(Duration::from_millis(100)).unwrap();
    loop {
        match from.receive(&mut room, true) {
            Arrival::Message(len, fd) => {
                let message = [IoSlice::new(&room[..len])];
                while to.send_with(&message, fd.as_ref().map(AsFd::as_fd))
                    == Err(filofs_server::channel::Unsent::Full)
                {
                    to.wait_for_room(Duration::from_millis(10));
                }
                if let Some(fd) = fd {
                    tell(fd);
                }
            }
            Arrival::Nothing | Arrival::Unfit => {}
            Arrival::End => break,
        }
    }
    to.shut();
}

/// Waits until it is so.
pub(crate) fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let until = Instant::now() + FOREVER;
    while !is_so() {
        assert!(Instant::now() < until, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// Runs something that must not hang. One that does ends the whole test program.
pub(crate) fn timely<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let over = Arc::new((Mutex::new(false), Condvar::new()));
    let (seen, what) = (over.clone(), what.to_owned());
    let guard = thread::spawn(move || {
        let over = seen.0.lock().unwrap();
        if seen.1.wait_timeout_while(over, 2 * FOREVER, |over| !*over).unwrap().1.timed_out() {
            eprintln!("{what}: hangs");
            std::process::abort();
        }
    });
    let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(run));
    *over.0.lock().unwrap() = true;
    over.1.notify_all();
    guard.join().unwrap();
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// A context that can be cancelled.
pub(crate) fn cancelled_by(cancel: &Cancel) -> Context<'_> {
    Context { cancel, ..Context::internal() }
}
