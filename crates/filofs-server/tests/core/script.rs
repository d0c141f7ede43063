//! A file server that a test plays: it answers from a script and counts what it is asked.

use filofs::{Errno, FileSystem, Mount, Node, Notices, Open, OpenFlags, OpenHow, Stack, Upward};
use filofs_server::channel::Channel;
use filofs_server::kernel::{KernelHalf, Settings};
use filofs_wire::abi::{
    Attr, AttrOut, CALL_ID, EntryOut, InHeader, InitFlags, InitOut, Kstatfs, MountArguments,
    Opcode, OpenOut, OutHeader, ResponseIn, StatfsOut, WriteOut,
};
use filofs_wire::dialect::Dialect;
use filofs_wire::request::{Operation, Request};
use rustix::fd::{AsFd, OwnedFd};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::collections::HashMap;
use std::io::IoSlice;
use std::mem::MaybeUninit;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Longer than anything here takes: a test that waits so long has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(30);

/// The node of "f", a regular file of 100 bytes; names that begin with it are such files too.
pub(crate) const FILE: u64 = 100;
/// The node of "d", a directory.
pub(crate) const DIR: u64 = 101;
/// The node of "s", a symbolic link.
pub(crate) const LINK: u64 = 102;

/// What the server says to a request.
pub(crate) enum Said {
    /// Success and this after the header.
    Body(Vec<u8>),
    /// The same, and these descriptors.
    With(Vec<u8>, Vec<OwnedFd>),
    /// The number in the header, as it is.
    Error(i32),
    /// Nothing: it is answered later or never.
    Nothing,
}

impl Said {
    /// Success and a structure.
    pub(crate) fn one<T: IntoBytes + Immutable>(body: &T) -> Said {
        Said::Body(body.as_bytes().to_vec())
    }

    /// Success and nothing.
    pub(crate) const fn ok() -> Said {
        Said::Body(Vec::new())
    }

    /// A refusal.
    pub(crate) const fn no(errno: Errno) -> Said {
        Said::Error(-errno.raw())
    }
}

type Hook = Box<dyn FnMut(&Request<'_>, &Wire) -> Said + Send>;

/// How the server is to behave.
pub(crate) struct Script {
    arguments: Option<MountArguments>,
    flags: InitFlags,
    hooks: HashMap<Opcode, Hook>,
}

/// What the server has seen.
#[derive(Default)]
struct Seen {
    requests: Vec<Asked>,
    gone: bool,
}

/// A request that the server has seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Asked {
    pub(crate) opcode: Opcode,
    pub(crate) unique: u64,
    pub(crate) nodeid: u64,
    /// What follows the header.
    pub(crate) body: Vec<u8>,
}

/// The server's end of the channel.
pub(crate) struct Wire {
    fd: OwnedFd,
    seen: Mutex<Seen>,
    news: Condvar,
}

/// A core over a server that a test plays.
pub(crate) struct Played {
    pub(crate) mount: Arc<Mount>,
    pub(crate) kernel: Arc<KernelHalf>,
    pub(crate) wire: Arc<Wire>,
    up: Upward,
    /// Kept alive: without a listener notices are answered ENXIO.
    unheard: Option<Notices>,
}

/// Attributes of the tree there is.
pub(crate) fn attr(nodeid: u64) -> Attr {
    let mode = match nodeid {
        1 | DIR => 0o040_755,
        LINK => 0o120_777,
        _ => 0o100_644,
    };
    let size = if mode & 0o170_000 == 0o100_000 { 100 } else { 0 };
    Attr { ino: nodeid, mode, nlink: 1, size, ..Attr::default() }
}

pub(crate) fn entry(nodeid: u64) -> EntryOut {
    EntryOut { nodeid, generation: 1, attr: attr(nodeid), ..EntryOut::default() }
}

impl Script {
    /// A server without the extension.
    pub(crate) fn foreign() -> Script {
        let flags = InitFlags::EXPORT_SUPPORT
            | InitFlags::POSIX_LOCKS
            | InitFlags::FLOCK_LOCKS
            | InitFlags::DO_READDIRPLUS;
        Script { arguments: None, flags, hooks: HashMap::new() }
    }

    /// One that has everything.
    pub(crate) fn new() -> Script {
        let mut arguments = MountArguments::named("played", "a test");
        arguments.root = entry(1);
        arguments.root.generation = 0;
        arguments.statfs = Kstatfs { blocks: 1000, bsize: 4096, ..Kstatfs::default() };
        for opcode in Opcode::ALL {
            arguments.set_operation(*opcode);
        }
        Script { arguments: Some(arguments), ..Script::foreign() }
    }

    /// Changes what it says of its mount.
    pub(crate) fn arguments(mut self, change: impl FnOnce(&mut MountArguments)) -> Script {
        change(self.arguments.as_mut().unwrap());
        self
    }

    /// It lacks those operations.
    pub(crate) fn without(self, opcodes: &[Opcode]) -> Script {
        self.arguments(|arguments| {
            for opcode in opcodes {
                match (*opcode as u32).checked_sub(Opcode::EXTENSION) {
                    Some(at) => arguments.extended_operations[at as usize] = 0,
                    None => arguments.operations.as_flattened_mut()[*opcode as usize] = 0,
                }
            }
        })
    }

    /// What it says to those requests instead of what it says by default.
    pub(crate) fn on(
        mut self,
        opcode: Opcode,
        hook: impl FnMut(&Request<'_>, &Wire) -> Said + Send + 'static,
    ) -> Script {
        self.hooks.insert(opcode, Box::new(hook));
        self
    }

    /// Runs it. What the core makes of it, not mounted yet.
    pub(crate) fn kernel(self) -> (Result<KernelHalf, String>, Arc<Wire>) {
        let (ours, theirs) = Channel::pair().unwrap();
        set_socket_timeout(&theirs, Timeout::Recv, Some(FOREVER)).unwrap();
        let wire = Arc::new(Wire { fd: theirs, seen: Mutex::default(), news: Condvar::new() });
        let server = wire.clone();
        std::thread::spawn(move || self.serve(&server));
        let settings = Settings {
            name: "played".into(),
            start_patience: FOREVER,
            patience: Some(FOREVER),
            ..Settings::default()
        };
        (KernelHalf::over(ours, &settings), wire)
    }

    /// The same, mounted, in state Mounting.
    pub(crate) fn mounting(self) -> Played {
        let (kernel, wire) = self.kernel();
        let kernel = Arc::new(kernel.unwrap());
        let stack = Stack::new(kernel.clone(), []).unwrap();
        let identity = filofs::Identity::new("a test", "fuse.played", "/mnt").unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        Played { mount, kernel, wire, up: Upward::channel().0, unheard: None }
    }

    /// The same, running.
    pub(crate) fn running(self) -> Played {
        let (mut played, notices) = self.heard();
        played.unheard = Some(notices);
        played
    }

    /// The same, and what comes up unasked.
    pub(crate) fn heard(self) -> (Played, Notices) {
        let mut played = self.mounting();
        let (up, notices) = Upward::channel();
        played.mount.start(&up).unwrap();
        played.up = up;
        (played, notices)
    }

    fn serve(mut self, wire: &Wire) {
        let mut dialect = Dialect::BEFORE_INIT;
        let mut room = vec![0; 1 << 20];
        loop {
            let len = match rustix::io::read(&wire.fd, &mut room) {
                Ok(len) if len > 0 => len,
                _ => break,
            };
            let request = Request::parse(&room[..len], dialect).unwrap();
            wire.note(&request, &room[size_of::<InHeader>()..len]);
            let said = match (self.hooks.get_mut(&request.opcode), request.operation) {
                (Some(hook), _) => hook(&request, wire),
                (None, Operation::Init { .. }) => self.init(),
                (None, operation) => usual(&operation, request.header.nodeid),
            };
            if request.opcode == Opcode::Init {
                let out = InitOut { major: 7, minor: 45, ..InitOut::default() };
                let offered = InitFlags::all();
                let mut out = out;
                out.set_init_flags(self.flags);
                dialect = Dialect::settled(&out, offered).unwrap();
                if self.arguments.is_some() {
                    dialect = dialect.extended();
                }
            }
            if request.wants_answer() {
                wire.answer(request.header.unique, said);
            }
        }
        wire.seen.lock().unwrap().gone = true;
        wire.news.notify_all();
    }

    fn init(&self) -> Said {
        let mut out = InitOut { major: 7, minor: 45, max_write: 65536, ..InitOut::default() };
        out.set_init_flags(self.flags);
        let mut body = out.as_bytes().to_vec();
        if let Some(arguments) = &self.arguments {
            body.extend_from_slice(arguments.as_bytes());
        }
        Said::Body(body)
    }
}

/// What a server of that small tree says.
fn usual(operation: &Operation<'_>, nodeid: u64) -> Said {
    match operation {
        Operation::Lookup { name } => match name.as_bytes() {
            [b'f', rest @ ..] => {
                Said::one(&entry(FILE + 1000 * rest.iter().map(|&b| u64::from(b)).sum::<u64>()))
            }
            b"d" => Said::one(&entry(DIR)),
            b"s" => Said::one(&entry(LINK)),
            b"." => Said::one(&entry(nodeid)),
            b".." => Said::one(&entry(1)),
            _ => Said::no(Errno::ENOENT),
        },
        Operation::Getattr { .. } | Operation::Setattr { .. } => {
            Said::one(&AttrOut { attr: attr(nodeid), ..AttrOut::default() })
        }
        Operation::Open { .. } | Operation::Opendir { .. } => {
            Said::one(&OpenOut { open_id: 7, ..OpenOut::default() })
        }
        Operation::Write { data, .. } => {
            Said::one(&WriteOut { size: data.len() as u32, padding: 0 })
        }
        Operation::Statfs => {
            let st = Kstatfs { blocks: 2000, bsize: 4096, ..Kstatfs::default() };
            Said::one(&StatfsOut { st })
        }
        Operation::Read { .. }
        | Operation::Readdir { .. }
        | Operation::Readdirplus { .. }
        | Operation::Release { .. }
        | Operation::Releasedir { .. }
        | Operation::Flush { .. }
        | Operation::Fsync { .. }
        | Operation::Syncfs { .. }
        | Operation::Access { .. }
        | Operation::Unmount { .. }
        | Operation::Unlink { .. }
        | Operation::Rmdir { .. }
        | Operation::Extattrctl { .. }
        | Operation::Destroy => Said::ok(),
        _ => Said::no(Errno::ENOSYS),
    }
}

impl Wire {
    fn note(&self, request: &Request<'_>, body: &[u8]) {
        let asked = Asked {
            opcode: request.opcode,
            unique: request.header.unique,
            nodeid: request.header.nodeid,
            body: body.to_vec(),
        };
        self.seen.lock().unwrap().requests.push(asked);
        self.news.notify_all();
    }

    /// Answers a request.
    pub(crate) fn answer(&self, unique: u64, said: Said) {
        let (error, body, enclosed) = match said {
            Said::Body(body) => (0, body, Vec::new()),
            Said::With(body, enclosed) => (0, body, enclosed),
            Said::Error(error) => (error, Vec::new(), Vec::new()),
            Said::Nothing => return,
        };
        let len = (size_of::<OutHeader>() + body.len()) as u32;
        let mut message = OutHeader { len, error, unique }.as_bytes().to_vec();
        message.extend_from_slice(&body);
        self.say_with(&message, &enclosed);
    }

    /// Makes a call, and waits for its answer: the errno, or what came with it.
    pub(crate) fn call(&self, id: u64, message: &[u8]) -> Result<Vec<u8>, Errno> {
        self.say(message);
        self.response(id)
    }

    /// Waits for the answer to a call of that id.
    pub(crate) fn response(&self, id: u64) -> Result<Vec<u8>, Errno> {
        let unique = id | CALL_ID;
        let is = |asked: &Asked| asked.opcode == Opcode::Response && asked.unique == unique;
        let all = self.until("response", |seen| seen.iter().any(is));
        let body = all.into_iter().find(is).unwrap().body;
        let (head, data) = body.split_at(size_of::<ResponseIn>());
        match ResponseIn::read_from_bytes(head).unwrap().error {
            0 => Ok(data.to_vec()),
            error => {
                assert!(data.is_empty(), "nothing follows an error");
                Err(Errno::from_raw(error as i32))
            }
        }
    }

    /// Sends bytes. The core may be gone.
    pub(crate) fn say(&self, message: &[u8]) {
        let _ = rustix::io::write(&self.fd, message);
    }

    /// Sends bytes, and descriptors.
    pub(crate) fn say_with(&self, message: &[u8], enclosed: &[OwnedFd]) {
        let files: Vec<_> = enclosed.iter().map(AsFd::as_fd).collect();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(8))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        if !files.is_empty() {
            assert!(control.push(SendAncillaryMessage::ScmRights(&files)));
        }
        let _ = sendmsg(&self.fd, &[IoSlice::new(message)], &mut control, SendFlags::NOSIGNAL);
    }

    /// The server goes, as by SIGKILL.
    pub(crate) fn die(&self) {
        let _ = rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both);
    }

    /// Whether the core has closed its end.
    pub(crate) fn is_cut(&self) -> bool {
        self.seen.lock().unwrap().gone
    }

    /// Everything that was asked so far, INIT left out.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        let seen = self.seen.lock().unwrap();
        seen.requests.iter().filter(|asked| asked.opcode != Opcode::Init).cloned().collect()
    }

    /// The opcodes of all that.
    pub(crate) fn opcodes(&self) -> Vec<Opcode> {
        self.asked().iter().map(|asked| asked.opcode).collect()
    }

    /// How many requests of that kind were seen.
    pub(crate) fn count(&self, opcode: Opcode) -> usize {
        self.opcodes().iter().filter(|seen| **seen == opcode).count()
    }

    /// Waits until that holds of what was asked.
    pub(crate) fn until(&self, what: &str, holds: impl Fn(&[Asked]) -> bool) -> Vec<Asked> {
        let deadline = Instant::now() + FOREVER;
        let mut seen = self.seen.lock().unwrap();
        while !holds(&seen.requests) {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what}; seen: {:?}", seen.requests);
            (seen, _) = self.news.wait_timeout(seen, left).unwrap();
        }
        seen.requests.clone()
    }

    /// Waits for a request of that kind: the first.
    pub(crate) fn wait_for(&self, opcode: Opcode) -> Asked {
        let all = self.until(opcode.name(), |seen| seen.iter().any(|a| a.opcode == opcode));
        all.into_iter().find(|asked| asked.opcode == opcode).unwrap()
    }

    /// Waits until the core has closed its end.
    pub(crate) fn wait_for_end(&self) {
        let deadline = Instant::now() + FOREVER;
        let mut seen = self.seen.lock().unwrap();
        while !seen.gone {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "the core does not go");
            (seen, _) = self.news.wait_timeout(seen, left).unwrap();
        }
    }
}

impl Drop for Played {
    fn drop(&mut self) {
        self.up.close();
    }
}

impl Played {
    /// The node of a name in the root.
    pub(crate) fn node(&self, name: &str) -> Node {
        let name = filofs::Name::new(name.as_bytes()).unwrap();
        let entry = self.mount.lookup(&cx(), self.mount.root(), name).unwrap();
        self.mount.adopt(self.mount.root(), &entry).unwrap()
    }

    /// An open file.
    pub(crate) fn open(&self, node: &Node, flags: OpenFlags) -> filofs::Result<Open> {
        let opened = self.mount.open(&cx(), node, OpenHow { flags, kill_priv: false })?;
        self.mount.opens().insert(node, flags, opened)
    }
}

pub(crate) fn cx() -> filofs::Context<'static> {
    filofs::Context::internal()
}
