//! What a server sends: calls byte by byte, and every way to be wrong.
#![cfg(target_endian = "little")]
#![expect(clippy::expect_used, reason = "a test may be blunt")]

#[path = "common/hex.rs"]
mod hex;

use filofs_wire::abi::{
    CALL_ID, FlushWhat, GetxattrOut, HandleOfOut, InitFlags, IoctlFlags, IoctlOut, MountArguments,
    OpenOut,
};
use filofs_wire::dialect::Dialect;
use filofs_wire::errno::ReplyErrno;
use filofs_wire::incoming::{self, BadIncoming, Call, Incoming, Notification};
use filofs_wire::name::Name;
use hex::hex;
use zerocopy::IntoBytes;

fn plain() -> Dialect {
    Dialect::new(45, InitFlags::empty()).expect("7.45 is spoken")
}

/// A message of a server's with a right length.
fn message(error: i32, unique: u64, body: &[u8]) -> Vec<u8> {
    let len = 16 + body.len() as u32;
    [&len.to_ne_bytes(), &error.to_ne_bytes(), &unique.to_ne_bytes()[..], body].concat()
}

#[track_caller]
fn called(bytes: &[u8], id: Option<u64>, call: Call) {
    assert_eq!(Incoming::parse(bytes, plain().extended()), Ok(Incoming::Call { id, call }));
    // A server without the extension cannot call.
    assert!(matches!(Incoming::parse(bytes, plain()), Ok(Incoming::Reply { .. })));
}

#[test]
fn calls() {
    let flush = "0500000000000000 03000000 00000000 0010000000000000 0020000000000000";
    let (start, end) = (4096, 8192);
    called(
        &hex(&format!("30000000 01110000 0900000000000080 {flush}")),
        Some(CALL_ID | 9),
        Call::Flush { nodeid: 5, what: FlushWhat::ForgetData, start, end },
    );
    // C.9: fire and forget.
    called(
        &hex(&format!("30000000 01110000 0000000000000080 {flush}")),
        None,
        Call::Flush { nodeid: 5, what: FlushWhat::ForgetData, start, end },
    );
    called(&hex("10000000 02110000 0900000000000080"), Some(CALL_ID | 9), Call::Unmount);
    called(&hex("10000000 03110000 0900000000000080"), Some(CALL_ID | 9), Call::Arguments);
    called(
        &hex("18000000 04110000 0900000000000080 0400000000000000"),
        Some(CALL_ID | 9),
        Call::Groups { unique: 4 },
    );
}

#[test]
fn calls_that_cannot_be_understood() {
    // C.2: an unknown class is EOPNOTSUPP, a wrong size EINVAL.
    let flush = |what: u32| {
        let mut body = [0; 32];
        body[8..12].copy_from_slice(&what.to_ne_bytes());
        body
    };
    for (code, body, errno) in [
        (1, &[][..], ReplyErrno::EOPNOTSUPP),
        (0x1100, &[], ReplyErrno::EOPNOTSUPP),
        (0x1105, &[], ReplyErrno::EOPNOTSUPP),
        (i32::MAX, &[], ReplyErrno::EOPNOTSUPP),
        (0x1101, &flush(0)[1..], ReplyErrno::EINVAL),
        (0x1101, &[0; 33], ReplyErrno::EINVAL),
        (0x1101, &flush(5), ReplyErrno::EINVAL),
        (0x1102, &[0], ReplyErrno::EINVAL),
        (0x1103, &[0], ReplyErrno::EINVAL),
        (0x1104, &[0; 7], ReplyErrno::EINVAL),
        (0x1104, &[0; 9], ReplyErrno::EINVAL),
    ] {
        for (unique, id) in [(CALL_ID, None), (CALL_ID | 1, Some(CALL_ID | 1))] {
            let bytes = message(code, unique, body);
            let expected = Ok(Incoming::BadCall { id, errno });
            assert_eq!(Incoming::parse(&bytes, plain().extended()), expected, "{code:#x}");
        }
    }
}

#[test]
fn the_bit_of_a_call_is_also_that_of_a_request_sent_again() {
    for (error, unique) in [(0, CALL_ID | 4), (-5, CALL_ID | 4), (5, 4), (i32::MIN, 4)] {
        let bytes = message(error, unique, b"");
        let reply = Ok(Incoming::Reply { unique, error, body: &[] });
        assert_eq!(Incoming::parse(&bytes, plain().extended()), reply);
        assert_eq!(Incoming::parse(&bytes, plain()), reply);
    }
}

#[test]
fn a_message_has_its_length() {
    let whole = message(0, 7, b"data");
    for len in 0..16 {
        assert_eq!(Incoming::parse(&whole[..len], plain()), Err(BadIncoming::Short));
    }
    for len in 16..20 {
        assert_eq!(Incoming::parse(&whole[..len], plain()), Err(BadIncoming::Length));
    }
    let longer = [whole.as_slice(), b"x"].concat();
    assert_eq!(Incoming::parse(&longer, plain()), Err(BadIncoming::Length));
    assert_eq!(
        Incoming::parse(&whole, plain()),
        Ok(Incoming::Reply { unique: 7, error: 0, body: b"data" })
    );
}

#[test]
fn notifications_are_what_their_kind_asks_for() {
    let parse = |code, body: &[u8]| match Incoming::parse(&message(code, 0, body), plain()) {
        Ok(Incoming::Notification(_)) => Ok(()),
        Ok(other) => panic!("{other:?}"),
        Err(bad) => Err(bad),
    };
    for code in [i32::MIN, -1, 0, 10, 0x1101, i32::MAX] {
        assert_eq!(parse(code, b""), Err(BadIncoming::UnknownNotification(code)));
    }
    let entry = |name: &[u8], len: u32| [&[0; 8], &len.to_ne_bytes()[..], &[0; 4], name].concat();
    let delete = |name: &[u8], len: u32| [&[0; 16], &len.to_ne_bytes()[..], &[0; 4], name].concat();
    for (good, name, len) in [
        (true, &b"ab\0"[..], 2),
        (false, b"ab\0", 1),
        (false, b"ab\0", 3),
        (false, b"ab\0", u32::MAX),
        (false, b"abc", 2),
        (false, b"ab", 2),
        (false, b"\0", 0),
        (false, b"a/\0", 2),
        (false, b"a\0\0", 2),
        (false, b".\0", 1),
        (false, b"..\0", 2),
        (true, b"...\0", 3),
        (true, &[[b'x'; 255].as_slice(), b"\0"].concat(), 255),
        (false, &[[b'x'; 256].as_slice(), b"\0"].concat(), 256),
    ] {
        let expected = if good { Ok(()) } else { Err(BadIncoming::Body) };
        assert_eq!(parse(3, &entry(name, len)), expected, "{name:?} {len}");
        assert_eq!(parse(6, &delete(name, len)), expected, "{name:?} {len}");
    }
    let store = |offset: u64, size: u32, data: &[u8]| {
        [&[0; 8], &offset.to_ne_bytes()[..], &size.to_ne_bytes(), &[0; 4], data].concat()
    };
    let retrieve = |offset: u64, size: u32| {
        [&[0; 16], &offset.to_ne_bytes()[..], &size.to_ne_bytes(), &[0; 4]].concat()
    };
    let prune =
        |count: u32, ids: usize| [&count.to_ne_bytes()[..], &[0; 12], &vec![1; ids * 8]].concat();
    let most = i64::MAX as u64;
    for (good, code, body) in [
        (true, 4, store(0, 2, b"ab")),
        (false, 4, store(0, 1, b"ab")),
        (false, 4, store(0, 3, b"ab")),
        (true, 4, store(most - 2, 2, b"ab")),
        (false, 4, store(most - 1, 2, b"ab")),
        (false, 4, store(u64::MAX, 2, b"ab")),
        (true, 5, retrieve(0, 256 << 20)),
        (false, 5, retrieve(0, (256 << 20) + 1)),
        (false, 5, retrieve(u64::MAX, 1)),
        (true, 9, prune(2, 2)),
        (true, 9, prune(0, 0)),
        (false, 9, prune(1, 2)),
        (false, 9, prune(2, 1)),
        (false, 9, prune(u32::MAX, 1)),
        (false, 1, vec![0; 7]),
        (false, 1, vec![0; 9]),
        (false, 2, vec![0; 23]),
        (false, 2, vec![0; 25]),
        (true, 7, vec![]),
        (false, 7, vec![0]),
        (true, 8, vec![]),
        (false, 8, vec![0]),
    ] {
        let expected = if good { Ok(()) } else { Err(BadIncoming::Body) };
        assert_eq!(parse(code, &body), expected, "{code} {body:?}");
    }
}

#[test]
fn what_a_notification_says() {
    let bytes = message(
        9,
        0,
        &hex("02000000 00000000 0000000000000000 05000000 00000000 06000000 00000000"),
    );
    let Ok(Incoming::Notification(Notification::Prune { nodeids })) =
        Incoming::parse(&bytes, plain())
    else {
        panic!("a PRUNE");
    };
    assert_eq!(nodeids.iter().collect::<Vec<u64>>(), [5, 6]);
    let bytes = message(3, 0, &hex("0100000000000000 02000000 01000000 616200"));
    let name = Name::new(b"ab").expect("a name");
    assert_eq!(
        Incoming::parse(&bytes, plain()),
        Ok(Incoming::Notification(Notification::InvalEntry { parent: 1, name, expire_only: true }))
    );
}

#[test]
fn server_bad_errno() {
    // A117, and A118: an error has nothing after it.
    assert_eq!(incoming::outcome(0, b"x"), Some(Ok(&b"x"[..])));
    for errno in 1..=511 {
        assert_eq!(incoming::outcome(-errno, b""), ReplyErrno::new(errno).map(Err));
        assert_eq!(incoming::outcome(-errno, b"x"), None);
    }
    for error in [1, 5, 511, i32::MAX, -512, -4096, i32::MIN + 1, i32::MIN] {
        assert_eq!(incoming::outcome(error, b""), None, "{error}");
    }
}

#[test]
fn answers_are_exact() {
    // A118: reply_truncated, reply_oversized.
    for len in [0, 15, 17, 32] {
        assert_eq!(incoming::fixed::<OpenOut>(&vec![0; len]), None, "{len}");
    }
    assert_eq!(incoming::fixed::<OpenOut>(&[0; 16]), Some(OpenOut::default()));
    assert_eq!(incoming::empty(b""), Some(()));
    assert_eq!(incoming::empty(b"x"), None);
    assert_eq!(incoming::data(b"abc", 3), Some(&b"abc"[..]));
    assert_eq!(incoming::data(b"", 3), Some(&b""[..]));
    assert_eq!(incoming::data(b"abc", 2), None, "more than was asked for");
}

#[test]
fn init_in_all_sizes() {
    let long: Vec<u8> = (0..64).collect();
    for len in (0..64).filter(|&len| len != 24) {
        assert_eq!(incoming::init(&long[..len]), None, "{len}");
    }
    let (whole, rest) = incoming::init(&long).expect("64 bytes");
    assert_eq!((whole.as_bytes(), rest), (long.as_slice(), &b""[..]));
    let (old, rest) = incoming::init(&long[..24]).expect("a server before 7.23");
    assert_eq!((&old.as_bytes()[..24], rest), (&long[..24], &b""[..]));
    assert!(old.as_bytes()[24..].iter().all(|&byte| byte == 0));
    // The extension's arguments.
    let arguments = MountArguments::named("t", "f");
    let extended = [long.as_slice(), arguments.as_bytes()].concat();
    let (out, rest) = incoming::init(&extended).expect("64 bytes, and more");
    assert_eq!((out, rest), (whole, arguments.as_bytes()));
}

#[test]
fn links_have_content() {
    assert_eq!(incoming::link_target(b"a/b"), Some(&b"a/b"[..]));
    assert_eq!(incoming::link_target(b""), None);
    assert_eq!(incoming::link_target(b"a\0b"), None);
    assert_eq!(incoming::link_target(b"ab\0"), None);
    assert!(incoming::link_target(&[b'x'; 4095]).is_some());
    assert_eq!(incoming::link_target(&[b'x'; 4096]), None);
}

#[test]
fn extended_attributes() {
    let size = |size| incoming::xattr_size(GetxattrOut { size, padding: 0 }.as_bytes());
    assert_eq!((size(0), size(65536), size(65537)), (Some(0), Some(65536), None));
    assert_eq!(incoming::xattr_size(&[0; 7]), None);
    let names = |list| {
        incoming::xattr_names(list)
            .map(|names| names.map(|name| name.as_bytes().to_vec()).collect::<Vec<_>>())
    };
    assert_eq!(names(b""), Some(vec![]));
    assert_eq!(names(b"user.a\0b\0"), Some(vec![b"user.a".to_vec(), b"b".to_vec()]));
    for bad in [&b"a"[..], b"\0", b"a\0\0", b"\0a\0", b"a\0b"] {
        assert_eq!(names(bad), None, "{bad:?}");
    }
    let mut long = [b'x'; 257];
    long[256] = 0;
    assert_eq!(names(&long), None);
    assert_eq!(names(&long[1..]).map(|names| names.len()), Some(1));
}

#[test]
fn ioctl_answers() {
    let ioctl = |flags, data: &[u8], size| {
        let out = IoctlOut { result: 3, flags, in_iovs: 0, out_iovs: 0 };
        let body = [out.as_bytes(), data].concat();
        incoming::ioctl(&body, size).map(|(out, data)| (out.result, data.to_vec()))
    };
    assert_eq!(ioctl(IoctlFlags::empty(), b"ab", 2), Some((3, b"ab".to_vec())));
    assert_eq!(ioctl(IoctlFlags::empty(), b"", 2), Some((3, vec![])));
    assert_eq!(ioctl(IoctlFlags::empty(), b"ab", 1), None);
    assert_eq!(ioctl(IoctlFlags::RETRY, b"", 1), None, "other memory of the caller's");
    assert_eq!(incoming::ioctl(&[0; 15], 0), None);
}

#[test]
fn fh_static_server_lies() {
    // A99, A102: what follows is the handle, whole, or nothing where it does not fit.
    let handle_of = |len, handle: &[u8], room| {
        let body = [HandleOfOut { len, padding: 0 }.as_bytes(), handle].concat();
        incoming::handle_of(&body, room).map(|(len, handle)| (len, handle.map(<[u8]>::to_vec)))
    };
    assert_eq!(handle_of(2, b"ab", 2), Some((2, Some(b"ab".to_vec()))));
    assert_eq!(handle_of(2, b"ab", 128), Some((2, Some(b"ab".to_vec()))));
    assert_eq!(handle_of(0, b"", 0), Some((0, Some(vec![]))));
    assert_eq!(handle_of(2, b"", 1), Some((2, None)), "the size alone");
    assert_eq!(handle_of(u32::MAX, b"", 1), Some((u32::MAX, None)));
    assert_eq!(handle_of(2, b"ab", 1), None);
    assert_eq!(handle_of(2, b"a", 2), None);
    assert_eq!(handle_of(2, b"abc", 4), None);
    assert_eq!(handle_of(2, b"", 2), None);
    assert_eq!(handle_of(u32::MAX, b"ab", u32::MAX), None);
    assert_eq!(incoming::handle_of(&[0; 7], 0), None);
}

#[test]
fn each_fault_has_its_text() {
    for (bad, text) in [
        (BadIncoming::Short, "message shorter than a header"),
        (BadIncoming::Length, "message whose length is not the stated one"),
        (BadIncoming::UnknownNotification(-3), "unknown notification -3"),
        (BadIncoming::Body, "malformed notification"),
    ] {
        assert_eq!(bad.to_string(), text);
    }
}
