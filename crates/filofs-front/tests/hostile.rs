//! A descriptor whose other end is no kernel: every message is answered or ignored, nothing
//! panics, and the end of the connection is the end of the session.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs_front::fuse::{FuseOptions, MountError, Report, Session};
use filofs_wire::abi::{InHeader, InitFlags, InitIn, Opcode, OutHeader};
use rustix::fd::OwnedFd;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use support::{FOREVER, Tiny, mount_of};
use zerocopy::{FromBytes, IntoBytes};

/// Numbers that look random; the same ones for the same seed.
struct Dice(u64);

impl Dice {
    /// From FILO_SEED, or new each time. Printed, so that a failure can be repeated.
    fn new() -> Dice {
        let seed = std::env::var("FILO_SEED").ok().and_then(|seed| seed.parse().ok());
        let now = || filofs::Time::now().nanos.into();
        let seed: u64 = seed.unwrap_or_else(now);
        println!("FILO_SEED={seed}");
        Dice(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit as u64) as usize
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

fn pair() -> (OwnedFd, OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

fn message(opcode: u32, unique: u64, nodeid: u64, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let len = (size_of::<InHeader>() + body.len()) as u32;
    let header = InHeader { len, opcode, unique, nodeid, ..InHeader::default() };
    [header.as_bytes(), &body].concat()
}

fn init(minor: u32) -> Vec<u8> {
    let (flags, flags2) =
        (InitFlags::from_bits_retain((1 << 43) - 1) - InitFlags::RESERVED).halves();
    let init =
        InitIn { major: 7, minor, max_readahead: 1 << 17, flags, flags2, ..InitIn::default() };
    message(Opcode::Init as u32, 2, 0, &[init.as_bytes()])
}

fn read(fd: &OwnedFd) -> Vec<u8> {
    let mut bytes = vec![0; 2 << 20];
    let len = rustix::io::read(fd, &mut bytes).unwrap_or(0);
    bytes.truncate(len);
    bytes
}

/// A session over one end, INIT done; the other end.
fn session(tiny: &Arc<Tiny>) -> (Session, OwnedFd) {
    let (ours, theirs) = pair();
    rustix::io::write(&theirs, &init(45)).unwrap();
    let session = Session::over(mount_of(tiny), ours, &FuseOptions::default()).unwrap();
    let answer = read(&theirs);
    let (header, _) = OutHeader::read_from_prefix(&answer).unwrap();
    assert_eq!((header.error, header.unique, header.len as usize), (0, 2, answer.len()));
    (session, theirs)
}

/// Waits for the end, but not for ever.
fn end(session: Session) -> Report {
    let (told, tells) = mpsc::channel();
    thread::spawn(move || told.send(session.wait()));
    tells.recv_timeout(FOREVER).expect("the session ends")
}

#[test]
fn the_end_of_the_connection_is_the_end_of_the_session() {
    let (session, theirs) = session(&Arc::new(Tiny::new()));
    drop(theirs);
    let report = end(session);
    assert_eq!((report.served, report.lookups, report.opens), (0, 0, 0));
}

#[test]
fn requests_before_init_are_refused_and_init_comes_once() {
    let (ours, theirs) = pair();
    rustix::io::write(&theirs, &message(Opcode::Statfs as u32, 8, 1, &[])).unwrap();
    rustix::io::write(&theirs, b"no request at all").unwrap();
    rustix::io::write(&theirs, &init(45)).unwrap();
    rustix::io::write(&theirs, &init(45)).unwrap();
    let mount = mount_of(&Arc::new(Tiny::new()));
    let session = Session::over(mount, ours, &FuseOptions::default()).unwrap();
    let mut answers = Vec::new();
    for _ in 0..3 {
        let (header, _) = OutHeader::read_from_prefix(&read(&theirs)).unwrap();
        answers.push((header.unique, header.error));
    }
    assert_eq!(answers, [(8, -5), (2, 0), (2, -5)]);
    drop(theirs);
    end(session);
}

#[test]
fn an_old_kernel_is_refused_in_words() {
    let (ours, theirs) = pair();
    rustix::io::write(&theirs, &init(30)).unwrap();
    let mount = mount_of(&Arc::new(Tiny::new()));
    let error = Session::over(mount, ours, &FuseOptions::default()).unwrap_err();
    assert!(matches!(error, MountError::Handshake { .. }));
    assert!(error.to_string().contains("7.30"), "{error}");
    let (header, _) = OutHeader::read_from_prefix(&read(&theirs)).unwrap();
    assert_eq!((header.unique, header.error), (2, -71));
}

#[test]
fn a_connection_that_ends_before_init_is_an_error() {
    let (ours, theirs) = pair();
    drop(theirs);
    let mount = mount_of(&Arc::new(Tiny::new()));
    let error = Session::over(mount, ours, &FuseOptions::default()).unwrap_err();
    assert!(matches!(error, MountError::Handshake { .. }), "{error}");
    // It is no kernel that has gone.
    let text = "the core and filo cannot agree: the connection ended before INIT";
    assert_eq!(error.to_string(), text);
}

#[test]
fn an_interrupt_of_an_unknown_request_is_to_come_again() {
    let (session, theirs) = session(&Arc::new(Tiny::new()));
    let interrupt = message(Opcode::Interrupt as u32, 11, 0, &[&10u64.to_ne_bytes()]);
    rustix::io::write(&theirs, &interrupt).unwrap();
    let (header, _) = OutHeader::read_from_prefix(&read(&theirs)).unwrap();
    assert_eq!((header.unique, header.error), (11, -11));
    drop(theirs);
    end(session);
}

#[test]
fn random_and_mutated_messages_are_answered_and_nothing_panics() {
    static PANICS: AtomicU64 = AtomicU64::new(0);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if thread::current().name() == Some("filo-worker") {
            PANICS.fetch_add(1, Ordering::SeqCst);
        }
        before(info);
    }));
    let mut dice = Dice::new();
    for _round in 0..10 {
        let tiny = Arc::new(Tiny::new());
        tiny.open_gate();
        tiny.vanish(b"panic");
        let (session, theirs) = session(&tiny);
        let theirs = Arc::new(theirs);
        // What was answered, as the other end's reader sees it.
        let known = Arc::new(Mutex::new(vec![0, 1, 100, u64::MAX]));
        let (told, tells) = mpsc::channel();
        let reader = {
            let (theirs, known) = (theirs.clone(), known.clone());
            thread::spawn(move || {
                loop {
                    let bytes = read(&theirs);
                    if bytes.is_empty() {
                        return;
                    }
                    let (header, rest) = OutHeader::read_from_prefix(&bytes).unwrap();
                    assert_eq!(header.len as usize, bytes.len());
                    assert!((-511..=0).contains(&header.error), "{header:?}");
                    assert!(header.error == 0 || rest.is_empty(), "{header:?}");
                    // Node ids and open ids are numbers in answers: good ones to ask with.
                    let numbers = rest.chunks_exact(8).take(24);
                    let mut known = known.lock().unwrap();
                    known
                        .extend(numbers.map(|bytes| u64::from_ne_bytes(bytes.try_into().unwrap())));
                    let surplus = known.len().saturating_sub(64);
                    known.drain(4..4 + surplus);
                    told.send(header.unique).unwrap();
                }
            })
        };
        let mut unanswered = HashSet::new();
        let mut unique = 2;
        for _ in 0..1000 {
            unique += 2;
            let opcode = dice.one(Opcode::ALL);
            let bytes = make(&mut dice, opcode, unique, &known.lock().unwrap());
            let honest = filofs_wire::request::Request::parse(&bytes, session_dialect());
            let wanted = match &honest {
                Ok(request) => request.wants_answer().then_some(request.header.unique),
                Err(malformed) => malformed.unique_to_answer(),
            };
            if let Some(unique) = wanted {
                unanswered.insert(unique);
            }
            rustix::io::write(&*theirs, &bytes).unwrap();
        }
        // Everything that waits is interrupted, again and again: a request may not have begun.
        while !unanswered.is_empty() {
            match tells.recv_timeout(std::time::Duration::from_millis(100)) {
                Ok(answered) => {
                    unanswered.remove(&answered);
                }
                Err(mpsc::RecvTimeoutError::Timeout) => {
                    for waiting in &unanswered {
                        let interrupt = message(
                            Opcode::Interrupt as u32,
                            waiting | 1,
                            0,
                            &[&waiting.to_ne_bytes()],
                        );
                        rustix::io::write(&*theirs, &interrupt).unwrap();
                    }
                }
                Err(gone) => panic!("{gone}: {unanswered:?}"),
            }
        }
        let shut = rustix::net::shutdown(&*theirs, rustix::net::Shutdown::Both);
        shut.unwrap();
        reader.join().unwrap();
        let mount = session.mount().clone();
        let report = end(session);
        assert!(report.served >= 900, "{report:?}");
        assert_eq!(mount.nodes().lookups(), 0, "the end gives everything back");
        assert_eq!(mount.opens().len(), 0);
        let calls = PANICS.load(Ordering::SeqCst);
        assert_eq!(calls, 0, "no panic, in the front end or below");
    }
}

fn session_dialect() -> filofs_wire::dialect::Dialect {
    filofs_wire::dialect::Dialect::new(
        45,
        InitFlags::INIT_EXT | InitFlags::SETXATTR_EXT | InitFlags::CREATE_SUPP_GROUP,
    )
    .unwrap()
}

/// A message of that opcode: sometimes right, sometimes wrong, sometimes anything.
fn make(dice: &mut Dice, opcode: Opcode, unique: u64, known: &[u64]) -> Vec<u8> {
    const NAMES: &[&[u8]] = &[
        b"hello\0",
        b"dir\0",
        b"new\0",
        b".\0",
        b"..\0",
        b"\0",
        b"a/b\0",
        b"no end",
        &[b'x'; 300],
    ];
    // The fixed part of most operations: numbers that were seen, and small ones.
    let words = dice.below(12);
    let mut fixed = Vec::new();
    for _ in 0..words {
        let small = dice.next() % 5000;
        let word = match dice.below(4) {
            0 => dice.next(),
            1 => small,
            2 => (small << 32) | (dice.next() % 8),
            _ => dice.one(known),
        };
        fixed.extend_from_slice(&word.to_ne_bytes());
    }
    // Bodies of the right length, so that the operations are reached.
    #[allow(clippy::match_same_arms)] // a list
    let size = match opcode {
        Opcode::Getattr | Opcode::Mknod | Opcode::Rename2 | Opcode::Fsync | Opcode::Fsyncdir => 16,
        Opcode::Create | Opcode::Tmpfile | Opcode::Bmap | Opcode::Setxattr => 16,
        Opcode::Setattr => 88,
        Opcode::Mkdir | Opcode::Rename | Opcode::Link | Opcode::Open | Opcode::Opendir => 8,
        Opcode::Access | Opcode::Syncfs | Opcode::Forget | Opcode::Getxattr => 8,
        Opcode::Listxattr | Opcode::Interrupt | Opcode::BatchForget => 8,
        Opcode::Read | Opcode::Write | Opcode::Readdir | Opcode::Readdirplus => 40,
        Opcode::Release | Opcode::Releasedir | Opcode::Flush | Opcode::Poll => 24,
        Opcode::Lseek | Opcode::Statx => 24,
        Opcode::Getlk | Opcode::Setlk | Opcode::Setlkw => 48,
        Opcode::Ioctl | Opcode::Fallocate => 32,
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => 56,
        _ => 0,
    };
    if dice.below(8) > 0 {
        fixed.resize(size, 0);
        if fixed.len() >= 24 && dice.below(4) > 0 {
            // Sizes that are no nonsense, where sizes stand.
            fixed[16..24].copy_from_slice(&(dice.next() % 9000).to_ne_bytes());
        }
    }
    let named = matches!(
        opcode,
        Opcode::Lookup
            | Opcode::Mknod
            | Opcode::Mkdir
            | Opcode::Unlink
            | Opcode::Rmdir
            | Opcode::Link
            | Opcode::Create
            | Opcode::Tmpfile
            | Opcode::Getxattr
            | Opcode::Removexattr
    );
    let two = matches!(opcode, Opcode::Rename | Opcode::Rename2 | Opcode::Symlink);
    let (a, b) = (dice.one(NAMES), dice.one(NAMES));
    let first = if named || two || dice.below(16) == 0 { a } else { b"" };
    let second = if two { b } else { b"" };
    let nodeid = dice.one(known);
    let mut bytes = message(opcode as u32, unique, nodeid, &[&fixed, first, second]);
    if dice.below(4) == 0 {
        for _ in 0..=dice.below(4) {
            // The id stays, so that the answer is recognised.
            let at = dice.below(bytes.len());
            if !(8..16).contains(&at) {
                bytes[at] = dice.next() as u8;
            }
        }
        if dice.below(4) == 0 {
            bytes.truncate(dice.below(bytes.len()).max(1));
        }
    }
    bytes
}

#[test]
fn a_session_of_one_thread_always_begins() {
    for _ in 0..200 {
        let (ours, theirs) = pair();
        rustix::io::write(&theirs, &init(45)).unwrap();
        let options = FuseOptions { most_workers: 1, ..FuseOptions::default() };
        let session = Session::over(mount_of(&Arc::new(Tiny::new())), ours, &options).unwrap();
        drop(theirs);
        end(session);
    }
}
