//! A core that a test plays: it composes requests and reads what the server sends.

use filofs::FileSystem;
use filofs_server::serve::{Server, Session};
use filofs_wire::abi::{
    EXTENSION_MAGIC, EXTENSION_VERSION, InHeader, InitFlags, InitIn, InitOut, MountArguments,
    OpenIn, OpenOut, ResponseIn,
};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming::{self, Call, Incoming};
use filofs_wire::name::Name;
use filofs_wire::request::Operation;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::thread;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

/// Longer than anything here takes: a test that waits so long has failed.
pub(crate) const FOREVER: Duration = Duration::from_secs(30);

/// What a core takes that says nothing else.
pub(crate) const LONGEST: u32 = 256 << 10;

/// The uid of whoever asks.
pub(crate) const CALLER: u32 = 4711;

/// The core's end of a channel.
pub(crate) struct Core {
    fd: OwnedFd,
    next: u64,
    pub(crate) dialect: Dialect,
    /// The longest message that was received.
    pub(crate) longest: usize,
}

/// What the server said to INIT.
#[derive(Debug)]
pub(crate) struct Agreed {
    pub(crate) init: InitOut,
    pub(crate) arguments: Option<MountArguments>,
}

/// A message of the server's that is no reply.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Heard {
    Reply(u64, i32, Vec<u8>),
    Call(Option<u64>, Call),
    Other(String),
}

pub(crate) fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

impl Core {
    /// Over that end. Nothing takes longer than [`FOREVER`].
    pub(crate) fn new(fd: OwnedFd) -> Core {
        set_socket_timeout(&fd, Timeout::Recv, Some(FOREVER)).unwrap();
        Core { fd, next: 2, dialect: Dialect::BEFORE_INIT, longest: 0 }
    }

    /// A server of that file system in this process, and the core it serves.
    pub(crate) fn with(fs: impl FileSystem + 'static, server: &Server) -> (Core, Session, Agreed) {
        Core::limited(fs, server, LONGEST)
    }

    /// The same for messages of at most so many bytes.
    pub(crate) fn limited(
        fs: impl FileSystem + 'static,
        server: &Server,
        longest: u32,
    ) -> (Core, Session, Agreed) {
        let (ours, theirs) = pair();
        let mut core = Core::new(ours);
        let (session, agreed) = thread::scope(|scope| {
            let session = scope.spawn(|| server.over(fs, theirs).unwrap());
            let agreed = core.init(Some((EXTENSION_VERSION, longest)));
            (session.join().unwrap(), agreed)
        });
        (core, session, agreed)
    }

    /// INIT, with an offer of the extension: version and longest message.
    pub(crate) fn init(&mut self, offer: Option<(u32, u32)>) -> Agreed {
        let all = InitFlags::from_bits_retain((1 << 43) - 1) - InitFlags::RESERVED;
        let (flags, flags2) = all.halves();
        let mut arg = InitIn { major: 7, minor: 45, flags, flags2, ..InitIn::default() };
        if let Some((version, longest)) = offer {
            arg.unused[..3].copy_from_slice(&[EXTENSION_MAGIC, version, longest]);
        }
        let body = self.ask(0, &Operation::Init { arg }).unwrap();
        let (init, rest) = incoming::init(&body).unwrap();
        let longest = offer.map_or(0, |(_, longest)| longest);
        let arguments =
            (!rest.is_empty()).then(|| MountArguments::read(rest, longest).expect("in order"));
        self.dialect = Dialect::settled(&init, all).unwrap();
        if arguments.is_some() {
            self.dialect = self.dialect.extended();
        }
        Agreed { init, arguments }
    }

    /// Sends a request; its id.
    pub(crate) fn send(&mut self, nodeid: u64, operation: &Operation<'_>) -> u64 {
        let unique = self.next;
        self.next += 2;
        let header = InHeader { unique, nodeid, uid: CALLER, gid: CALLER, ..InHeader::default() };
        self.post(header, operation);
        unique
    }

    pub(crate) fn post(&self, header: InHeader, operation: &Operation<'_>) {
        let message = compose::request(header, operation, &[], self.dialect).unwrap();
        self.raw(&message);
    }

    pub(crate) fn raw(&self, message: &[u8]) {
        assert_eq!(rustix::io::write(&self.fd, message).unwrap(), message.len());
    }

    /// What the server says next; `None` at the end of the channel.
    pub(crate) fn hear(&mut self) -> Option<Heard> {
        let mut bytes = vec![0; 2 << 20];
        let len = rustix::io::read(&self.fd, &mut bytes).expect("the server says something");
        self.longest = self.longest.max(len);
        let bytes = bytes.get(..len).filter(|bytes| !bytes.is_empty())?;
        Some(match Incoming::parse(bytes, self.dialect).unwrap() {
            Incoming::Reply { unique, error, body } => Heard::Reply(unique, error, body.to_vec()),
            Incoming::Call { id, call } => Heard::Call(id, call),
            other => Heard::Other(format!("{other:?}")),
        })
    }

    /// Whether the server has said something that was not heard yet.
    pub(crate) fn has_word(&self) -> bool {
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, Some(&Timespec::default())).is_ok_and(|ready| ready > 0)
    }

    /// The answer to a request, if it comes next.
    pub(crate) fn answer(&mut self, wanted: u64) -> Result<Vec<u8>, i32> {
        match self.hear() {
            Some(Heard::Reply(unique, error, body)) if unique == wanted => match error {
                0 => Ok(body),
                error => Err(-error),
            },
            other => panic!("not the answer to {wanted}: {other:?}"),
        }
    }

    /// Asks and waits for the answer, which must come next.
    pub(crate) fn ask(&mut self, nodeid: u64, operation: &Operation<'_>) -> Result<Vec<u8>, i32> {
        let unique = self.send(nodeid, operation);
        self.answer(unique)
    }

    /// The same, for an answer that is one structure.
    pub(crate) fn get<T: FromBytes>(
        &mut self,
        nodeid: u64,
        operation: &Operation<'_>,
    ) -> Result<T, i32> {
        self.ask(nodeid, operation).map(|body| T::read_from_bytes(&body).unwrap())
    }

    /// Answers a call.
    pub(crate) fn respond(&self, id: u64, error: u32, data: &[u8]) {
        let header = InHeader { unique: id, ..InHeader::default() };
        let arg = ResponseIn { error, padding: 0 };
        self.post(header, &Operation::Response { arg, data });
    }

    pub(crate) fn open(&mut self, nodeid: u64, flags: u32) -> u64 {
        let arg = OpenIn { flags, ..OpenIn::default() };
        self.get::<OpenOut>(nodeid, &Operation::Open { arg }).unwrap().open_id
    }
}

pub(crate) fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

pub(crate) fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap();
    String::from_utf8(field[..end].to_vec()).unwrap()
}

pub(crate) fn bytes_of<T: IntoBytes + zerocopy::Immutable>(value: &T) -> &[u8] {
    value.as_bytes()
}
