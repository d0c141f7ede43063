//! A man in the middle: between a core and an honest file server, counting what is asked and
//! bending what is answered.

use filofs::FileSystem;
use filofs_front::fuse::Session;
use filofs_front::local::Local;
use filofs_server::channel::Channel;
use filofs_server::kernel::{KernelHalf, Settings};
use filofs_server::serve::Server;
use filofs_wire::abi::{ErrorIn, InHeader, InitOut, Opcode, OutHeader};
use rustix::fd::OwnedFd;
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, Shutdown, SocketFlags, SocketType, recv, send, shutdown,
    socketpair,
};
use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, IntoBytes};

/// Longer than anything here takes: a test that waits so long has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(60);

/// Runs something that must not hang. One that does ends the whole test program.
pub(crate) fn timely<T>(what: &str, run: impl FnOnce() -> T) -> T {
    let over = Arc::new((Mutex::new(false), Condvar::new()));
    let seen = over.clone();
    let what = what.to_owned();
    let guard = thread::spawn(move || {
        let over = seen.0.lock().unwrap();
        let waited = seen.1.wait_timeout_while(over, FOREVER, |over| !*over).unwrap();
        if waited.1.timed_out() {
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

/// A request that came by.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) unique: u64,
    pub(crate) opcode: u32,
    pub(crate) nodeid: u64,
    /// What followed the header.
    pub(crate) body: Vec<u8>,
}

impl Seen {
    pub(crate) fn is(&self, opcode: Opcode) -> bool {
        self.opcode == opcode as u32
    }
}

/// Does with a message of the server's what it likes: the messages in the list go to the core.
/// With it comes the request it answers.
pub(crate) type Tamper = Box<dyn FnMut(Option<&Seen>, &mut Vec<Vec<u8>>) + Send>;

/// The man in the middle.
#[derive(Clone)]
pub(crate) struct Middle(Arc<Shared>);

struct Shared {
    to_core: OwnedFd,
    to_server: OwnedFd,
    state: Mutex<State>,
    changed: Condvar,
    tamper: Mutex<Tamper>,
}

#[derive(Default)]
struct State {
    seen: Vec<Seen>,
    asked: HashMap<u64, Seen>,
    /// Nothing of the core's is read.
    deaf: bool,
    over: bool,
}

impl Middle {
    /// Everything that was asked so far.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.0.state.lock().unwrap().seen.clone()
    }

    /// How often that was asked.
    pub(crate) fn count(&self, opcode: Opcode) -> usize {
        self.seen().iter().filter(|seen| seen.is(opcode)).count()
    }

    /// How many lookups of that node were given back.
    pub(crate) fn forgotten(&self, nodeid: u64) -> u64 {
        let seen = self.seen();
        let forgets = seen.iter().filter(|seen| seen.is(Opcode::Forget) && seen.nodeid == nodeid);
        forgets.map(|seen| u64::read_from_bytes(&seen.body).unwrap()).sum()
    }

    /// The error notices: opcode, errno and text.
    pub(crate) fn notices(&self) -> Vec<(u32, i32, String)> {
        let seen = self.seen();
        let notices = seen.iter().filter(|seen| seen.is(Opcode::Error)).map(|seen| {
            let (arg, text) = ErrorIn::read_from_prefix(&seen.body).unwrap();
            (arg.opcode, arg.errno, String::from_utf8_lossy(text).into_owned())
        });
        notices.collect()
    }

    /// Forgets what was asked.
    pub(crate) fn clear(&self) {
        self.0.state.lock().unwrap().seen.clear();
    }

    /// Waits until it is so.
    pub(crate) fn wait(&self, what: &str, is_so: impl Fn(&Middle) -> bool) {
        let until = Instant::now() + FOREVER;
        while !is_so(self) {
            assert!(Instant::now() < until, "waited in vain: {what}; {:?}", self.seen());
            let state = self.0.state.lock().unwrap();
            drop(self.0.changed.wait_timeout(state, Duration::from_millis(5)).unwrap());
        }
    }

    /// From now on every answer goes through that.
    pub(crate) fn tamper(
        &self,
        tamper: impl FnMut(Option<&Seen>, &mut Vec<Vec<u8>>) + Send + 'static,
    ) {
        *self.0.tamper.lock().unwrap() = Box::new(tamper);
    }

    /// The answers to that operation are bent; all others are honest.
    pub(crate) fn bend(&self, opcode: Opcode, mut bend: impl FnMut(&mut Vec<u8>) + Send + 'static) {
        self.tamper(move |seen, messages| {
            if seen.is_some_and(|seen| seen.is(opcode)) {
                messages.iter_mut().for_each(&mut bend);
            }
        });
    }

    /// Honest from now on.
    pub(crate) fn be_honest(&self) {
        self.tamper(|_, _| {});
    }

    /// Reads nothing of the core's, or does so again.
    pub(crate) fn deaf(&self, deaf: bool) {
        self.0.state.lock().unwrap().deaf = deaf;
        self.0.changed.notify_all();
    }

    /// Says something to the core.
    pub(crate) fn say(&self, bytes: &[u8]) {
        let _ = send(&self.0.to_core, bytes, SendFlags::NOSIGNAL);
    }

    /// Closes the channel, as a server does that dies.
    pub(crate) fn die(&self) {
        self.deaf(false);
        let _ = shutdown(&self.0.to_core, Shutdown::Both);
        let _ = shutdown(&self.0.to_server, Shutdown::Both);
    }

    fn forward_requests(&self) {
        let mut room = vec![0; 1 << 20];
        loop {
            let state = self.0.state.lock().unwrap();
            drop(self.0.changed.wait_while(state, |state| state.deaf).unwrap());
            let len = match recv(&self.0.to_core, &mut room[..], RecvFlags::empty()) {
                Ok((len, _)) if len > 0 => len,
                _ => break,
            };
            let (header, body) = InHeader::read_from_prefix(&room[..len]).unwrap();
            let seen = Seen {
                unique: header.unique,
                opcode: header.opcode,
                nodeid: header.nodeid,
                body: body.to_vec(),
            };
            let mut state = self.0.state.lock().unwrap();
            state.asked.insert(header.unique, seen.clone());
            state.seen.push(seen);
            drop(state);
            self.0.changed.notify_all();
            if send(&self.0.to_server, &room[..len], SendFlags::NOSIGNAL).is_err() {
                break;
            }
        }
        self.die();
    }

    fn forward_answers(&self) {
        let mut room = vec![0; 1 << 20];
        loop {
            let len = match recv(&self.0.to_server, &mut room[..], RecvFlags::empty()) {
                Ok((len, _)) if len > 0 => len,
                _ => break,
            };
            let unique = OutHeader::read_from_prefix(&room[..len]).unwrap().0.unique;
            let asked = self.0.state.lock().unwrap().asked.remove(&unique);
            let mut messages = vec![room[..len].to_vec()];
            (self.0.tamper.lock().unwrap())(asked.as_ref(), &mut messages);
            for message in &messages {
                self.say(message);
            }
        }
        self.0.state.lock().unwrap().over = true;
        self.die();
    }
}

/// A mount of an honest file system with the man in the middle.
pub(crate) struct Ground {
    pub(crate) local: Local,
    pub(crate) half: Arc<KernelHalf>,
    pub(crate) middle: Middle,
    threads: Vec<JoinHandle<()>>,
}

/// How a ground is laid.
pub(crate) struct Plan {
    pub(crate) settings: Settings,
    /// The server does not know the extension.
    pub(crate) foreign: bool,
    /// What else it says to INIT.
    pub(crate) init: fn(&mut Vec<u8>),
}

impl Default for Plan {
    fn default() -> Plan {
        let settings = Settings { patience: Some(FOREVER / 2), ..Settings::default() };
        Plan { settings, foreign: false, init: |_| {} }
    }
}

/// A server with a man in the middle, and the core's end of the channel.
pub(crate) fn served(
    fs: Arc<dyn FileSystem>,
    tamper: Tamper,
) -> (Channel, Middle, Vec<JoinHandle<()>>) {
    let (core, to_core) = Channel::pair().unwrap();
    let (to_server, server) =
        socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap();
    // Both ends are widened, so that what one says whole the other passes on whole.
    Channel::over(to_server.try_clone().unwrap()).unwrap();
    let middle = Middle(Arc::new(Shared {
        to_core,
        to_server,
        state: Mutex::default(),
        changed: Condvar::new(),
        tamper: Mutex::new(tamper),
    }));
    let (requests, answers) = (middle.clone(), middle.clone());
    let threads = vec![
        thread::spawn(move || requests.forward_requests()),
        thread::spawn(move || answers.forward_answers()),
        thread::spawn(move || {
            let stack = filofs::Stack::new(fs, []).unwrap();
            let session: Result<Session, _> = Server::new().over(stack, server);
            if let Ok(session) = session {
                session.wait();
            }
        }),
    ];
    (core, middle, threads)
}

/// What an answer to INIT is made into first.
pub(crate) fn first(plan: &Plan) -> Tamper {
    let (foreign, init) = (plan.foreign, plan.init);
    Box::new(move |seen, messages| {
        if seen.is_some_and(|seen| seen.is(Opcode::Init)) {
            for message in messages {
                if foreign {
                    message.truncate(size_of::<OutHeader>() + size_of::<InitOut>());
                }
                init(message);
                fix_length(message);
            }
        }
    })
}

impl Ground {
    pub(crate) fn new() -> Ground {
        let mem = filofs_bases::mem::Mem::new(filofs_bases::mem::Settings::default());
        Ground::over(Arc::new(mem), &Plan::default())
    }

    pub(crate) fn foreign() -> Ground {
        let mem = filofs_bases::mem::Mem::new(filofs_bases::mem::Settings::default());
        Ground::over(Arc::new(mem), &Plan { foreign: true, ..Plan::default() })
    }

    pub(crate) fn over(fs: Arc<dyn FileSystem>, plan: &Plan) -> Ground {
        let (core, middle, threads) = served(fs, first(plan));
        let half = Arc::new(KernelHalf::over(core, &plan.settings).unwrap());
        middle.be_honest();
        let local = Local::over(half.clone()).unwrap();
        Ground { local, half, middle, threads }
    }

    /// Nothing is left of anything.
    pub(crate) fn end(self) {
        let Ground { local, half, middle, threads } = self;
        middle.be_honest();
        assert_eq!(local.mount().opens().len(), 0, "open files are left");
        assert_eq!(local.mount().counters().panics(), 0, "something panicked");
        middle.wait("answers", |_| half.outstanding() == 0);
        drop(local);
        middle.wait("nodes", |_| half.nodes() == 0);
        assert_eq!(Arc::strong_count(&half), 1);
        drop(half);
        middle.die();
        for thread in threads {
            thread.join().unwrap();
        }
    }
}

/// Writes the true length into the header.
pub(crate) fn fix_length(message: &mut [u8]) {
    let len = (message.len() as u32).to_ne_bytes();
    message[..4].copy_from_slice(&len);
}

/// An answer without a body, and with that number.
pub(crate) fn with_error(message: &mut Vec<u8>, error: i32) {
    message.truncate(size_of::<OutHeader>());
    message[4..8].copy_from_slice(&error.to_ne_bytes());
    fix_length(message);
}

/// Changes the structure at the beginning of an answer that is a success.
pub(crate) fn with_body<T: FromBytes + IntoBytes + zerocopy::Immutable>(
    message: &mut [u8],
    change: impl FnOnce(&mut T),
) {
    let (header, body) = OutHeader::read_from_prefix(message).unwrap();
    if header.error == 0 {
        let (mut value, _) = T::read_from_prefix(body).unwrap();
        change(&mut value);
        let from = size_of::<OutHeader>();
        message[from..from + size_of::<T>()].copy_from_slice(value.as_bytes());
    }
}
