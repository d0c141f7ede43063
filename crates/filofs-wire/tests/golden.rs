//! Messages written out byte by byte: what this machine's byte order makes of the layouts in
//! `linux/fuse.h`. Little-endian machines only.
#![cfg(target_endian = "little")]
#![expect(clippy::expect_used, reason = "a test may be blunt")]

#[path = "common/hex.rs"]
mod hex;

use filofs_wire::abi::{
    Answer, Attr, AttrOut, EntryOut, FileLock, InHeader, InitFlags, InitOut, IoctlFlags, IoctlOut,
    Kstatfs, Opcode, OpenOut, OpenOutFlags, SetxattrFlags, SetxattrIn, StatxOut,
};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::dirent::{Dirent, DirentBuffer, DirentPlusBuffer, Full};
use filofs_wire::errno::ReplyErrno;
use filofs_wire::name::{Name, XattrName};
use filofs_wire::notify;
use filofs_wire::reply;
use filofs_wire::request::{Operation, Request};
use hex::hex;

fn name(bytes: &[u8]) -> Name<'_> {
    Name::new(bytes).expect("a name")
}

fn dialect(flags: InitFlags) -> Dialect {
    Dialect::new(45, flags).expect("7.45 is spoken")
}

#[test]
fn lookup_request() {
    let bytes = hex(
        "2d000000 01000000 0807060504030201 0100000000000000 e8030000 64000000 d2040000 0000 0000
         68656c6c 00",
    );
    let request = Request::parse(&bytes, dialect(InitFlags::empty())).expect("valid");
    assert_eq!(request.header.unique, 0x0102_0304_0506_0708);
    assert_eq!(request.header.nodeid, 1);
    assert_eq!((request.header.uid, request.header.gid, request.header.pid), (1000, 100, 1234));
    assert_eq!(request.operation, Operation::Lookup { name: name(b"hell") });
    assert!(request.wants_answer() && !request.is_resent());
    let composed =
        compose::request(request.header, &request.operation, &[], dialect(InitFlags::empty()));
    assert_eq!(composed, Some(bytes));
}

#[test]
fn init_request_long_and_short() {
    let head = "1a000000 0200000000000000 0000000000000000 00000000 00000000 00000000 0000 0000";
    let long = hex(&format!(
        "68000000 {head} 07000000 2d000000 00000200 01000040 80000000 {}",
        "00".repeat(44)
    ));
    let Ok(Request { operation: Operation::Init { arg }, .. }) =
        Request::parse(&long, Dialect::BEFORE_INIT)
    else {
        panic!("a valid INIT");
    };
    assert_eq!((arg.major, arg.minor, arg.max_readahead), (7, 45, 131_072));
    let flags = InitFlags::ASYNC_READ | InitFlags::INIT_EXT | InitFlags::HAS_RESEND;
    assert_eq!(arg.init_flags(), flags);

    // A kernel before 7.36.
    let short = hex(&format!("38000000 {head} 07000000 1f000000 00000200 01000000"));
    let Ok(Request { operation: Operation::Init { arg }, .. }) =
        Request::parse(&short, Dialect::BEFORE_INIT)
    else {
        panic!("a valid INIT");
    };
    assert_eq!((arg.minor, arg.init_flags()), (31, InitFlags::ASYNC_READ));

    // One from the future, longer than ours.
    let longer = hex(&format!(
        "70000000 {head} 07000000 2d000000 00000200 01000040 80000000 {}",
        "ff".repeat(52)
    ));
    let request = Request::parse(&longer, Dialect::BEFORE_INIT).expect("valid");
    assert!(matches!(request.operation, Operation::Init { arg } if arg.init_flags() == flags));
}

#[test]
fn setxattr_request_in_both_sizes() {
    let head = "15000000 0300000000000000 0100000000000000 00000000 00000000 00000000 0000 0000";
    let tail = "757365722e6100 6162";
    let short = hex(&format!("39000000 {head} 02000000 01000000 {tail}"));
    let long = hex(&format!("41000000 {head} 02000000 01000000 01000000 00000000 {tail}"));
    let attribute = XattrName::new(b"user.a").expect("a name");
    let arg = |setxattr_flags| SetxattrIn { size: 2, flags: 1, setxattr_flags, padding: 0 };
    for (bytes, flags, setxattr_flags) in [
        (&short, InitFlags::empty(), SetxattrFlags::empty()),
        (&long, InitFlags::SETXATTR_EXT, SetxattrFlags::ACL_KILL_SGID),
    ] {
        let request = Request::parse(bytes, dialect(flags)).expect("valid");
        let arg = arg(setxattr_flags);
        assert_eq!(request.operation, Operation::Setxattr { arg, name: attribute, value: b"ab" });
        let composed = compose::request(request.header, &request.operation, &[], dialect(flags));
        assert_eq!(composed.as_ref(), Some(bytes));
        // In the other dialect the same bytes are not silently taken for something else.
        let other = flags ^ InitFlags::SETXATTR_EXT;
        assert!(Request::parse(bytes, dialect(other)).is_err());
    }
}

#[test]
fn batch_forget_request() {
    let bytes = hex(
        "50000000 2a000000 0400000000000000 0000000000000000 00000000 00000000 00000000 0000 0000
         02000000 00000000 0500000000000000 0100000000000000 0600000000000000 0a00000000000000",
    );
    let request = Request::parse(&bytes, dialect(InitFlags::empty())).expect("valid");
    assert!(!request.wants_answer());
    let Operation::BatchForget { nodes } = request.operation else {
        panic!("a BATCH_FORGET");
    };
    let nodes: Vec<_> = nodes.iter().map(|node| (node.nodeid, node.nlookup)).collect();
    assert_eq!(nodes, [(5, 1), (6, 10)]);
}

#[test]
fn mkdir_request_with_extensions() {
    // 24 + 16 + 16 bytes of extensions: a label, a group, and a kind nobody knows.
    let bytes = hex(
        "6a000000 09000000 0500000000000080 0100000000000000 00000000 00000000 01000000 0700 0000
         ed010000 12000000 6400
         18000000 01000000 03000000 00000000 612e6200 780000 00
         10000000 20000000 01000000 64000000
         10000000 63000000 0000000000000000",
    );
    let request = Request::parse(&bytes, dialect(InitFlags::SECURITY_CTX)).expect("valid");
    assert!(request.is_resent());
    assert!(matches!(request.operation, Operation::Mkdir { arg, name: n }
            if arg.mode == 0o755 && arg.umask == 0o22 && n == name(b"d")));
    let security = request.extensions.security.expect("a label");
    assert_eq!(security.len(), 1);
    let contexts: Vec<_> =
        security.iter().map(|context| (context.name.as_bytes(), context.value)).collect();
    assert_eq!(contexts, [(&b"a.b"[..], &b"x\0\0"[..])]);
    let groups = request.extensions.groups.expect("a group");
    assert_eq!(groups.iter().collect::<Vec<u32>>(), [100]);
    // 7.37 has no such field: the same bytes are a body with something after it.
    let old = Dialect::new(37, InitFlags::empty()).expect("7.37 is spoken");
    assert!(Request::parse(&bytes, old).is_err());
}

#[test]
fn tmpfile_request_as_linux_sends_it() {
    let bytes = hex(
        "3a000000 33000000 0600000000000000 0100000000000000 00000000 00000000 01000000 0000 0000
         02004100 a4810000 12000000 00000000 2f00",
    );
    let request = Request::parse(&bytes, dialect(InitFlags::empty())).expect("valid");
    assert!(matches!(request.operation, Operation::Tmpfile { arg } if arg.mode == 0o100_644));
}

#[test]
fn error_and_empty_replies() {
    assert_eq!(
        reply::error(7, ReplyErrno::ENOSYS).as_bytes(),
        hex("10000000 daffffff 0700000000000000")
    );
    assert_eq!(reply::empty(7).as_bytes(), hex("10000000 00000000 0700000000000000"));
    assert_eq!(
        reply::data(7, 4096).expect("short").as_bytes(),
        hex("10100000 00000000 0700000000000000")
    );
    assert_eq!(reply::data(7, (256 << 20) + 1).err(), Some(reply::TooLong));
}

#[test]
fn entry_reply() {
    let attr = Attr { ino: 9, size: 3, mode: 0o100_644, nlink: 1, ..Attr::default() };
    let entry = EntryOut { nodeid: 2, generation: 1, attr_valid: 1, attr, ..EntryOut::default() };
    let expected = hex("90000000 00000000 0700000000000000
         0200000000000000 0100000000000000 0000000000000000 0100000000000000 00000000 00000000
         0900000000000000 0300000000000000 0000000000000000
         0000000000000000 0000000000000000 0000000000000000 00000000 00000000 00000000
         a4810000 01000000 00000000 00000000 00000000 00000000 00000000");
    assert_eq!(reply::entry(7, entry).as_bytes(), expected);
    let open = OpenOut { open_id: 5, open_flags: OpenOutFlags::KEEP_CACHE, ..OpenOut::default() };
    let mut created = expected;
    created.splice(..4, hex("a0000000"));
    created.extend(hex("0500000000000000 02000000 00000000"));
    assert_eq!(reply::create(7, entry, open).as_bytes(), created);
}

#[test]
fn init_reply() {
    let mut init = InitOut { major: 7, minor: 45, max_write: 1 << 20, ..InitOut::default() };
    init.set_init_flags(InitFlags::ASYNC_READ | InitFlags::OVER_IO_URING);
    init.max_pages = 256;
    init.time_gran = 1;
    init.request_timeout = 3;
    let expected = hex(&format!(
        "50000000 00000000 0200000000000000
         07000000 2d000000 00000000 01000040 0000 0000 00001000 01000000 0001 0000 00020000
         00000000 0300 {}",
        "00".repeat(22)
    ));
    assert_eq!(reply::init(2, init).as_bytes(), expected);
    assert_eq!(
        init.init_flags(),
        InitFlags::ASYNC_READ | InitFlags::OVER_IO_URING | InitFlags::INIT_EXT
    );
}

#[test]
fn replies_have_the_size_their_operation_asks_for() {
    let replies = [
        (Opcode::Lookup, reply::entry(1, EntryOut::default()).as_bytes().len(), 144),
        (Opcode::Getattr, reply::attr(1, AttrOut::default()).as_bytes().len(), 120),
        (Opcode::Unlink, reply::empty(1).as_bytes().len(), 16),
        (Opcode::Open, reply::open(1, OpenOut::default()).as_bytes().len(), 32),
        (Opcode::Write, reply::write(1, 0).as_bytes().len(), 24),
        (Opcode::Statfs, reply::statfs(1, Kstatfs::default()).as_bytes().len(), 96),
        (Opcode::Init, reply::init(1, InitOut::default()).as_bytes().len(), 80),
        (Opcode::Getlk, reply::lk(1, FileLock::default()).as_bytes().len(), 40),
        (
            Opcode::Create,
            reply::create(1, EntryOut::default(), OpenOut::default()).as_bytes().len(),
            160,
        ),
        (Opcode::Bmap, reply::bmap(1, 0).as_bytes().len(), 24),
        (Opcode::Poll, reply::poll(1, 0).as_bytes().len(), 24),
        (Opcode::Lseek, reply::lseek(1, 0).as_bytes().len(), 24),
        (Opcode::Statx, reply::statx(1, StatxOut::default()).as_bytes().len(), 304),
        (Opcode::CopyFileRange64, reply::copy_file_range_64(1, 0).as_bytes().len(), 24),
    ];
    for (opcode, len, expected) in replies {
        assert_eq!(len, expected, "{}", opcode.name());
        let body = match opcode.answer() {
            Answer::Empty => 0,
            Answer::Fixed(size) => size,
            other => panic!("{} is answered by {other:?}", opcode.name()),
        };
        assert_eq!(len, 16 + body, "{}", opcode.name());
    }
    assert_eq!(reply::xattr_size(1, 0).as_bytes().len(), 24);
    let ioctl = IoctlOut { result: -1, flags: IoctlFlags::RETRY, in_iovs: 1, out_iovs: 0 };
    let message = reply::ioctl(1, ioctl, 16).expect("short");
    assert_eq!(
        message.as_bytes(),
        hex("30000000 00000000 0100000000000000 ffffffff 04000000 01000000 00000000")
    );
    assert_eq!(message.header().len, 48);
    assert_eq!(message.body(), ioctl);
}

#[test]
fn directory_buffers() {
    let mut bytes = [0xff; 64];
    let mut buffer = DirentBuffer::new(&mut bytes);
    assert!(buffer.is_empty());
    let dirent = |text| Dirent { ino: 3, next: 1, kind: 8, name: name(text) };
    assert_eq!(buffer.push(&dirent(b"abc")), Ok(()));
    assert_eq!(buffer.push(&dirent(b"abcdefghi")), Err(Full));
    assert_eq!(buffer.len(), 32);
    assert_eq!(buffer.push(&dirent(b"abcdefgh")), Ok(()));
    assert_eq!(buffer.push(&dirent(b"a")), Err(Full));
    let expected = hex("0300000000000000 0100000000000000 03000000 08000000 6162630000000000
         0300000000000000 0100000000000000 08000000 08000000 6162636465666768");
    assert_eq!(bytes.as_slice(), expected);

    let mut bytes = [0xff; 160];
    let mut buffer = DirentPlusBuffer::new(&mut bytes);
    assert!(!buffer.fits(9) && buffer.fits(8));
    let entry = EntryOut { nodeid: 4, ..EntryOut::default() };
    assert_eq!(buffer.push(&entry, &dirent(b"a")), Ok(()));
    assert_eq!(buffer.len(), 160);
    let mut expected = hex("0400000000000000");
    expected.resize(128, 0);
    expected.extend(hex("0300000000000000 0100000000000000 01000000 08000000 6100000000000000"));
    assert_eq!(bytes.as_slice(), expected);
}

#[test]
fn notifications() {
    let bytes = |parts: [&[u8]; 3]| parts.concat();
    assert_eq!(
        bytes(notify::poll_wakeup(3).parts()),
        hex("18000000 01000000 0000000000000000 0300000000000000")
    );
    assert_eq!(
        bytes(notify::inval_inode(2, -1, 0).parts()),
        hex(
            "28000000 02000000 0000000000000000 0200000000000000 ffffffffffffffff 0000000000000000"
        )
    );
    assert_eq!(
        bytes(notify::inval_entry(1, name(b"ab")).parts()),
        hex("23000000 03000000 0000000000000000 0100000000000000 02000000 00000000 616200")
    );
    assert_eq!(
        bytes(notify::expire_entry(1, name(b"ab")).parts()),
        hex("23000000 03000000 0000000000000000 0100000000000000 02000000 01000000 616200")
    );
    assert_eq!(
        bytes(notify::delete(1, 2, name(b"a")).parts()),
        hex("2a000000 06000000 0000000000000000
             0100000000000000 0200000000000000 01000000 00000000 6100")
    );
    assert_eq!(
        bytes(notify::store(2, 8, b"xy").expect("short").parts()),
        hex("2a000000 04000000 0000000000000000
             0200000000000000 0800000000000000 02000000 00000000 7879")
    );
    assert_eq!(
        bytes(notify::retrieve(9, 2, 8, 16).parts()),
        hex("30000000 05000000 0000000000000000
             0900000000000000 0200000000000000 0800000000000000 10000000 00000000")
    );
    assert_eq!(bytes(notify::resend().parts()), hex("10000000 07000000 0000000000000000"));
    assert_eq!(bytes(notify::inc_epoch().parts()), hex("10000000 08000000 0000000000000000"));
    assert_eq!(
        bytes(notify::prune(&[2, 3]).expect("short").parts()),
        hex("30000000 09000000 0000000000000000 02000000 00000000 0000000000000000
             0200000000000000 0300000000000000")
    );
}

#[test]
fn headers_are_not_trusted_with_lengths_when_composed() {
    let header = InHeader { len: 1, opcode: 99, unique: 1, ..InHeader::default() };
    let bytes = compose::request(header, &Operation::Statfs, &[], Dialect::BEFORE_INIT)
        .expect("it is short");
    assert_eq!(Request::parse(&bytes, Dialect::BEFORE_INIT).map(|r| r.header.len), Ok(40));
    assert_eq!(
        compose::request(header, &Operation::Statfs, &[0; 7], Dialect::BEFORE_INIT),
        None,
        "extensions are whole units of 8 bytes"
    );
}
