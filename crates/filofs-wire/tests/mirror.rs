//! What a server writes is what a core reads: messages of every kind, right, damaged and cut, from
//! a seed that is printed. `FILOFS_SEED` repeats a run.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may be blunt")]

#[path = "common/random.rs"]
mod random;
#[path = "common/server.rs"]
mod server;

use filofs_wire::abi::{
    AttrOut, BmapOut, CALL_ID, CallCode, CopyFileRangeOut, EntryOut, FlushCall, FlushWhat,
    HandleOfOut, InitOut, IoctlFlags, IoctlOut, Kstatfs, LkOut, LseekOut, MountArguments,
    NotifyCode, OpenOut, OutHeader, PollOut, StatfsOut, StatxOut, WriteOut,
};
use filofs_wire::call;
use filofs_wire::dialect::Dialect;
use filofs_wire::errno::ReplyErrno;
use filofs_wire::incoming::{self, Call, Incoming};
use filofs_wire::reply::{self, CreateOut};
use random::Random;
use zerocopy::{FromBytes, IntoBytes};

const ROUNDS: usize = 20_000;

/// Any value of a structure.
fn any<T: FromBytes>(random: &mut Random) -> T {
    T::read_from_bytes(&random.bytes(size_of::<T>())).expect("as many bytes as it has")
}

/// The body of a reply of that id, which must be a success.
#[track_caller]
fn body(bytes: &[u8], unique: u64) -> &[u8] {
    let dialect = Dialect::BEFORE_INIT;
    let Ok(Incoming::Reply { unique: id, error, body }) = Incoming::parse(bytes, dialect) else {
        panic!("no reply");
    };
    assert_eq!(id, unique);
    incoming::outcome(error, body).expect("a number that may be sent").expect("success")
}

#[test]
fn what_replies_say_is_read_back() {
    /// One kind of answer that is a structure and nothing else.
    macro_rules! mirrored {
        ($random:ident, $unique:ident, $write:expr, $type:ty) => {
            let out: $type = any($random);
            let message = $write(out);
            assert_eq!(incoming::fixed(body(message.as_bytes(), $unique)), Some(out));
        };
    }
    let random = &mut Random::from_environment();
    for _ in 0..500 {
        let unique = random.next() | 1;
        mirrored!(random, unique, |out| reply::entry(unique, out), EntryOut);
        mirrored!(random, unique, |out| reply::attr(unique, out), AttrOut);
        mirrored!(random, unique, |out| reply::statx(unique, out), StatxOut);
        mirrored!(random, unique, |out| reply::open(unique, out), OpenOut);
        mirrored!(
            random,
            unique,
            |out: CreateOut| reply::create(unique, out.entry, out.open),
            CreateOut
        );
        mirrored!(random, unique, |out: StatfsOut| reply::statfs(unique, out.st), StatfsOut);
        mirrored!(random, unique, |out: LkOut| reply::lk(unique, out.lk), LkOut);
        mirrored!(random, unique, |out: LseekOut| reply::lseek(unique, out.offset), LseekOut);
        mirrored!(random, unique, |out: BmapOut| reply::bmap(unique, out.block), BmapOut);
        mirrored!(
            random,
            unique,
            |out: CopyFileRangeOut| reply::copy_file_range_64(unique, out.bytes_copied),
            CopyFileRangeOut
        );

        let size = random.next() as u32 >> 16;
        let written = reply::write(unique, size);
        let out: WriteOut = incoming::fixed(body(written.as_bytes(), unique)).expect("8 bytes");
        assert_eq!(out.size, size);
        let polled = reply::poll(unique, size);
        let out: PollOut = incoming::fixed(body(polled.as_bytes(), unique)).expect("8 bytes");
        assert_eq!(out.revents, size);
        let sized = reply::xattr_size(unique, size);
        assert_eq!(incoming::xattr_size(body(sized.as_bytes(), unique)), Some(size));
        let empty = reply::empty(unique);
        assert_eq!(incoming::empty(body(empty.as_bytes(), unique)), Some(()));

        let init: InitOut = any(random);
        let message = reply::init(unique, init);
        assert_eq!(incoming::init(body(message.as_bytes(), unique)), Some((init, &[][..])));

        let len = random.below(100);
        let content = random.bytes(len);
        let head = reply::data(unique, len).expect("short");
        let bytes = [head.as_bytes(), &content].concat();
        let read = incoming::data(body(&bytes, unique), len as u32);
        assert_eq!(read, Some(content.as_slice()));
        let out = IoctlOut { flags: IoctlFlags::empty(), ..any(random) };
        let head = reply::ioctl(unique, out, len).expect("short");
        let bytes = [head.as_bytes(), &content].concat();
        let read = incoming::ioctl(body(&bytes, unique), len as u32);
        assert_eq!(read, Some((out, content.as_slice())));

        let errno = ReplyErrno::or_eproto(1 + random.below(511) as i32);
        let bytes = reply::error(unique, errno);
        let Ok(Incoming::Reply { error, body, .. }) =
            Incoming::parse(bytes.as_bytes(), Dialect::BEFORE_INIT.extended())
        else {
            panic!("no reply");
        };
        assert_eq!(incoming::outcome(error, body), Some(Err(errno)));
    }
}

#[test]
fn what_the_extension_says_is_read_back() {
    let random = &mut Random::from_environment();
    for _ in 0..500 {
        let (id, unique) = (random.next() >> 1 | 1, random.next());
        let flush = FlushCall { what: random.below(5) as u32, ..any(random) };
        let what = FlushWhat::from_number(flush.what).expect("below 5");
        let FlushCall { nodeid, start, end, .. } = flush;
        let flushed = Call::Flush { nodeid, what, start, end };
        for (message, id, call) in [
            (call::flush(Some(id), flush).as_bytes().to_vec(), Some(id), flushed),
            (call::flush(None, flush).as_bytes().to_vec(), None, flushed),
            (call::unmount(Some(id)).as_bytes().to_vec(), Some(id), Call::Unmount),
            (call::unmount(None).as_bytes().to_vec(), None, Call::Unmount),
            (call::arguments(id).as_bytes().to_vec(), Some(id), Call::Arguments),
            (call::groups(id, unique).as_bytes().to_vec(), Some(id), Call::Groups { unique }),
        ] {
            let id = id.map(|id| CALL_ID | id);
            let read = Incoming::parse(&message, Dialect::BEFORE_INIT.extended());
            assert_eq!(read, Ok(Incoming::Call { id, call }));
        }

        let (init, arguments) = (any(random), arguments(random));
        let message = reply::init_extended(id, init, arguments);
        let read = incoming::init(body(message.as_bytes(), id));
        assert_eq!(read, Some((init, arguments.as_bytes())));

        let len = random.below(100) as u32;
        let handle = random.bytes(len as usize);
        let head = reply::handle_of(id, len, true).expect("short");
        let bytes = [head.as_bytes(), &handle].concat();
        let read = incoming::handle_of(body(&bytes, id), len);
        assert_eq!(read, Some((len, Some(handle.as_slice()))));
        let head = reply::handle_of(id, len + 1, false).expect("short");
        let read = incoming::handle_of(body(head.as_bytes(), id), len);
        assert_eq!(read, Some((len + 1, None)));
    }
}

/// A message of a server's: a reply, notification or call of the right shape more often than not.
fn message(random: &mut Random) -> Vec<u8> {
    let (error, unique, body) = match random.below(3) {
        0 => reply_parts(random),
        1 => notification_parts(random),
        _ => call_parts(random),
    };
    let len = (size_of::<OutHeader>() + body.len()) as u32;
    [OutHeader { len, error, unique }.as_bytes(), &body].concat()
}

fn reply_parts(random: &mut Random) -> (i32, u64, Vec<u8>) {
    let unique = random.next() | 1;
    let body = match random.below(8) {
        0 => return (-(random.below(600) as i32), unique, Vec::new()),
        1 => any::<EntryOut>(random).as_bytes().to_vec(),
        2 => b"user.a\0user.b\0".to_vec(),
        3 => {
            let handle = random.bytes(9);
            [HandleOfOut { len: 9, padding: 0 }.as_bytes(), &handle].concat()
        }
        4 => [any::<InitOut>(random).as_bytes(), arguments(random).as_bytes()].concat(),
        5 => arguments(random).as_bytes().to_vec(),
        _ => {
            let len = random.below(40);
            random.bytes(len)
        }
    };
    (0, unique, body)
}

fn notification_parts(random: &mut Random) -> (i32, u64, Vec<u8>) {
    let code = NotifyCode::ALL[random.below(NotifyCode::ALL.len())];
    // Small numbers, so that offsets and sizes are mostly within their limits.
    let number = |random: &mut Random| (random.next() >> random.below(64)).to_ne_bytes();
    let mut body = Vec::new();
    let numbers = match code {
        NotifyCode::Poll | NotifyCode::InvalEntry => 1,
        NotifyCode::InvalInode | NotifyCode::Retrieve => 3,
        NotifyCode::Store | NotifyCode::Delete => 2,
        NotifyCode::Resend | NotifyCode::IncEpoch | NotifyCode::Prune => 0,
    };
    (0..numbers).for_each(|_| body.extend_from_slice(&number(random)));
    match code {
        NotifyCode::InvalEntry | NotifyCode::Delete => {
            let name = random.name();
            body.extend_from_slice(&(name.len() as u32).to_ne_bytes());
            body.extend_from_slice(&(random.below(2) as u32).to_ne_bytes());
            body.extend_from_slice(&name);
            body.push(0);
        }
        NotifyCode::Store => {
            let len = random.below(30);
            body.extend_from_slice(&(len as u64).to_ne_bytes());
            body.extend_from_slice(&random.bytes(len));
        }
        NotifyCode::Retrieve => {
            body.extend_from_slice(&(random.below(1 << 29) as u64).to_ne_bytes());
        }
        NotifyCode::Prune => {
            let count = random.below(5);
            body.extend_from_slice(&(count as u32).to_ne_bytes());
            body.extend_from_slice(&random.bytes(12 + 8 * count));
        }
        _ => {}
    }
    (code as i32, 0, body)
}

fn call_parts(random: &mut Random) -> (i32, u64, Vec<u8>) {
    let code = CallCode::ALL[random.below(CallCode::ALL.len())];
    let body = match code {
        CallCode::Flush => {
            let what = random.below(6) as u32;
            FlushCall { what, ..any(random) }.as_bytes().to_vec()
        }
        CallCode::Groups => random.bytes(8),
        CallCode::Unmount | CallCode::Arguments => Vec::new(),
    };
    (code as i32, CALL_ID | random.below(2) as u64, body)
}

/// Arguments that are right but for what chance makes of them.
fn arguments(random: &mut Random) -> MountArguments {
    let text: String = random.name().iter().map(|&byte| byte as char).collect();
    let mut arguments = MountArguments::named(&text, &text);
    arguments.handle_size = random.below(1040) as u32;
    arguments.max_message = random.next() as u32 >> random.below(32);
    arguments.root.attr.mode = (random.below(16) as u32) << 12;
    arguments.root.attr.size = random.next() >> random.below(3);
    arguments.statfs = any::<Kstatfs>(random);
    arguments
}

#[test]
fn the_reader_keeps_its_promises() {
    let mut random = Random::from_environment();
    let dialects = [Dialect::BEFORE_INIT, Dialect::BEFORE_INIT.extended()];
    let (mut right, mut wrong) = (0, 0);
    for round in 0..ROUNDS * 5 {
        let mut bytes = message(&mut random);
        if random.one_in(2) {
            random.damage(&mut bytes);
            // Otherwise nearly everything would stop at the length.
            let len = (bytes.len() as u32).to_ne_bytes();
            if let Some(place) = bytes.get_mut(..4).filter(|_| round % 8 != 0) {
                place.copy_from_slice(&len);
            }
        }
        let counter = if server::check_incoming(&bytes, dialects[round % 2]) {
            &mut right
        } else {
            &mut wrong
        };
        *counter += 1;
    }
    // The test is worth nothing if its messages are all good or all bad.
    assert!(right > ROUNDS && wrong > ROUNDS / 4, "{right} right, {wrong} wrong");
}

#[test]
fn every_cut_of_every_message_is_an_error_or_a_message() {
    let mut random = Random::from_environment();
    for _ in 0..1_000 {
        let mut bytes = message(&mut random);
        while bytes.pop().is_some() {
            server::check_incoming(&bytes, Dialect::BEFORE_INIT.extended());
            let len = (bytes.len() as u32).to_ne_bytes();
            if let Some(place) = bytes.get_mut(..4) {
                place.copy_from_slice(&len);
            }
            server::check_incoming(&bytes, Dialect::BEFORE_INIT.extended());
        }
    }
}

#[test]
fn arguments_keep_their_promises() {
    let mut random = Random::from_environment();
    let (mut right, mut wrong) = (0, 0);
    for _ in 0..ROUNDS {
        let mut bytes = arguments(&mut random).as_bytes().to_vec();
        if random.one_in(2) {
            random.damage(&mut bytes);
        }
        let counter = if server::check_arguments(&bytes) { &mut right } else { &mut wrong };
        *counter += 1;
    }
    assert!(right > ROUNDS / 10 && wrong > ROUNDS / 10, "{right} right, {wrong} wrong");
    // Any bytes in place of all that is free, so that the names and numbers are.
    for _ in 0..ROUNDS {
        let whole = arguments(&mut random);
        let chance: MountArguments = any(&mut random);
        let (type_name, from_name) = (chance.type_name, chance.from_name);
        let (operations, max_message) = (chance.operations, chance.max_message);
        let free = MountArguments { type_name, from_name, operations, max_message, ..whole };
        server::check_arguments(free.as_bytes());
    }
}
