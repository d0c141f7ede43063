//! `Peer`: plays the kernel toward a session, over a socket: one request after the other, from
//! memory that was allocated beforehand.

use filofs::{FileSystem, Identity, Layer, Mount, Stack};
use filofs_front::fuse::{FuseOptions, Session};
use filofs_wire::abi::{self, InHeader, InitFlags, InitIn, Opcode, OutHeader};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, send, socketpair};
use std::sync::Arc;
use zerocopy::{FromBytes, IntoBytes};

/// One side of a connection, and the session at the other.
pub struct Peer {
    socket: OwnedFd,
    unique: u64,
    message: Vec<u8>,
    answer: Vec<u8>,
    pub session: Session,
}

impl Peer {
    /// The most data in a request.
    const PAYLOAD: usize = 1 << 17;

    /// Serves that file system, with these layers over it, and says INIT.
    pub fn new(base: Arc<dyn FileSystem>, layers: Vec<Box<dyn Layer>>) -> Peer {
        let flags = SocketFlags::CLOEXEC;
        let pair = socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, flags, None);
        let (socket, served) = pair.unwrap();
        let (flags, flags2) = (InitFlags::all() - InitFlags::MAX_PAGES).halves();
        let init = InitIn { major: 7, minor: 45, flags, flags2, ..InitIn::default() };
        let len = (size_of::<InHeader>() + size_of::<InitIn>()) as u32;
        let opcode = Opcode::Init as u32;
        let header = InHeader { len, opcode, unique: 2, ..InHeader::default() };
        let message = [header.as_bytes(), init.as_bytes()].concat();
        send(&socket, &message, SendFlags::empty()).unwrap();

        let stack = Stack::new(base, layers).unwrap();
        let identity = Identity::new("peer:", "filo", "").unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let session = Session::over(mount, served, &FuseOptions::default()).unwrap();
        let room = Self::PAYLOAD + 4096;
        let (message, answer) = (Vec::with_capacity(room), vec![0; room]);
        let mut peer = Peer { socket, unique: 2, message, answer, session };
        peer.receive().unwrap();
        peer
    }

    /// Sends a request and waits for its answer: what follows the header, or the errno.
    pub fn ask(
        &mut self,
        opcode: Opcode,
        nodeid: u64,
        body: &[&[u8]],
    ) -> std::result::Result<&[u8], i32> {
        self.say(opcode, nodeid, body);
        self.receive()
    }

    /// Sends a request that has no answer.
    pub fn say(&mut self, opcode: Opcode, nodeid: u64, body: &[&[u8]]) {
        self.unique += 2;
        let len = size_of::<InHeader>() + body.iter().map(|part| part.len()).sum::<usize>();
        let header = InHeader {
            len: len as u32,
            opcode: opcode as u32,
            unique: self.unique,
            nodeid,
            ..InHeader::default()
        };
        self.message.clear();
        self.message.extend_from_slice(header.as_bytes());
        for part in body {
            self.message.extend_from_slice(part);
        }
        send(&self.socket, &self.message, SendFlags::empty()).unwrap();
    }

    fn receive(&mut self) -> std::result::Result<&[u8], i32> {
        let len = rustix::io::read(&self.socket, &mut self.answer).unwrap();
        let (header, body) = OutHeader::read_from_prefix(&self.answer[..len]).unwrap();
        assert_eq!((header.unique, header.len as usize), (self.unique, len));
        if header.error == 0 { Ok(body) } else { Err(-header.error) }
    }

    /// The node of a name in the root.
    pub fn lookup(&mut self, name: &[u8]) -> u64 {
        let answer = self.ask(Opcode::Lookup, abi::ROOT_ID, &[name, b"\0"]).unwrap();
        abi::EntryOut::read_from_bytes(answer).unwrap().nodeid
    }

    /// Opens a file or a directory.
    pub fn open(&mut self, opcode: Opcode, nodeid: u64, flags: u32) -> u64 {
        let arg = abi::OpenIn { flags, ..abi::OpenIn::default() };
        let answer = self.ask(opcode, nodeid, &[arg.as_bytes()]).unwrap();
        abi::OpenOut::read_from_bytes(answer).unwrap().open_id
    }

    /// Makes a file in the root and opens it: node and open.
    pub fn create(&mut self, name: &[u8]) -> (u64, u64) {
        let arg = abi::CreateIn { flags: 2, mode: 0o666, ..abi::CreateIn::default() };
        let body: [&[u8]; 3] = [arg.as_bytes(), name, b"\0"];
        let answer = self.ask(Opcode::Create, abi::ROOT_ID, &body).unwrap();
        let (entry, open) = abi::EntryOut::read_from_prefix(answer).unwrap();
        (entry.nodeid, abi::OpenOut::read_from_bytes(open).unwrap().open_id)
    }

    /// Gives an open back.
    pub fn release(&mut self, opcode: Opcode, nodeid: u64, open_id: u64) {
        let arg = abi::ReleaseIn { open_id, ..abi::ReleaseIn::default() };
        self.ask(opcode, nodeid, &[arg.as_bytes()]).unwrap();
    }

    /// Gives one lookup of a node back.
    pub fn forget(&mut self, nodeid: u64) {
        self.say(Opcode::Forget, nodeid, &[abi::ForgetIn { nlookup: 1 }.as_bytes()]);
    }
}

/// A kind of request, asked again and again in a steady state.
pub type Act = Box<dyn FnMut(&mut Peer)>;

/// The requests that can be asked of a root with one file of that name, by name; each with what
/// it needs made ready.
pub fn acts(peer: &mut Peer, name: &'static [u8]) -> Vec<(&'static str, Act)> {
    let file = peer.lookup(name);
    let open = peer.open(Opcode::Open, file, 2);
    let dir = peer.open(Opcode::Opendir, abi::ROOT_ID, 0);
    let io = abi::ReadIn { open_id: open, size: 4096, ..abi::ReadIn::default() };
    let list = abi::ReadIn { open_id: dir, size: 4096, ..abi::ReadIn::default() };
    let put = abi::WriteIn { open_id: open, size: 4096, ..abi::WriteIn::default() };
    let page = [b'y'; 4096];
    let act = |act: fn(&mut Peer, u64), node: u64| -> Act { Box::new(move |peer| act(peer, node)) };
    vec![
        (
            "getattr",
            act(
                |peer, node| {
                    peer.ask(Opcode::Getattr, node, &[abi::GetattrIn::default().as_bytes()])
                        .unwrap();
                },
                file,
            ),
        ),
        (
            "lookup",
            Box::new(move |peer| {
                let node = peer.lookup(name);
                peer.forget(node);
            }),
        ),
        (
            "absent",
            act(
                |peer, root| {
                    peer.ask(Opcode::Lookup, root, &[b"no such name\0"]).unwrap_err();
                },
                abi::ROOT_ID,
            ),
        ),
        (
            "open",
            act(
                |peer, node| {
                    let open = peer.open(Opcode::Open, node, 0);
                    peer.release(Opcode::Release, node, open);
                },
                file,
            ),
        ),
        (
            "create",
            Box::new(|peer| {
                let (node, open) = peer.create(b"new");
                peer.release(Opcode::Release, node, open);
                peer.ask(Opcode::Unlink, abi::ROOT_ID, &[b"new\0"]).unwrap();
                peer.forget(node);
            }),
        ),
        (
            "read",
            Box::new(move |peer| {
                peer.ask(Opcode::Read, file, &[io.as_bytes()]).unwrap();
            }),
        ),
        (
            "write",
            Box::new(move |peer| {
                peer.ask(Opcode::Write, file, &[put.as_bytes(), &page]).unwrap();
            }),
        ),
        (
            "readdir",
            Box::new(move |peer| {
                peer.ask(Opcode::Readdir, abi::ROOT_ID, &[list.as_bytes()]).unwrap();
            }),
        ),
    ]
}
