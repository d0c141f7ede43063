//! Every way in which bytes can fail to be a request, by its reason and errno.
#![expect(clippy::expect_used, reason = "a test may be blunt")]

use filofs_wire::abi::{
    BatchForgetIn, FallocateIn, ForgetOne, GetxattrIn, InHeader, InitFlags, IoctlIn, Opcode,
    ReadIn, SetattrIn, SetattrValid, SetxattrIn, WriteIn,
};
use filofs_wire::dialect::Dialect;
use filofs_wire::name::BadName;
use filofs_wire::request::{Reason, Request};
use zerocopy::IntoBytes;

const EIO: i32 = 5;
const E2BIG: i32 = 7;
const EINVAL: i32 = 22;
const ERANGE: i32 = 34;
const ENAMETOOLONG: i32 = 36;
const ENOSYS: i32 = 38;

const UNIQUE: u64 = 77;

fn dialect() -> Dialect {
    Dialect::new(45, InitFlags::SETXATTR_EXT).expect("7.45 is spoken")
}

/// A message with a right header.
fn message(opcode: Opcode, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let len = (size_of::<InHeader>() + body.len()) as u32;
    let header = InHeader { len, opcode: opcode as u32, unique: UNIQUE, ..InHeader::default() };
    [header.as_bytes(), &body].concat()
}

/// The message is refused for this reason, and answered so.
#[track_caller]
fn refused(bytes: &[u8], reason: Reason, errno: i32) {
    let malformed = Request::parse(bytes, dialect()).expect_err("a malformed request");
    assert_eq!((malformed.reason(), malformed.errno().number()), (reason, errno));
    assert_eq!(malformed.unique_to_answer(), Some(UNIQUE));
}

#[test]
fn shorter_than_a_header_cannot_be_answered() {
    let whole = message(Opcode::Statfs, &[]);
    for len in 0..40 {
        let bytes = whole.get(..len).expect("a part");
        let malformed = Request::parse(bytes, dialect()).expect_err("too short");
        assert_eq!(malformed.reason(), Reason::Header);
        assert_eq!(malformed.unique_to_answer(), None);
    }
    assert!(Request::parse(&whole, dialect()).is_ok());
}

#[test]
fn stated_length_is_the_real_one() {
    let mut longer = message(Opcode::Statfs, &[]);
    longer.push(0);
    refused(&longer, Reason::Length, EIO);
    let mut shorter = message(Opcode::Lookup, &[b"name\0"]);
    shorter.pop();
    refused(&shorter, Reason::Length, EIO);
}

#[test]
fn id_zero_is_never_answered() {
    // An answer would be taken for a notification.
    let header = InHeader { len: 40, opcode: 17, ..InHeader::default() };
    let malformed = Request::parse(header.as_bytes(), dialect()).expect_err("no id");
    assert_eq!(malformed.reason(), Reason::Unique);
    assert_eq!(malformed.unique_to_answer(), None);
}

#[test]
fn unknown_opcodes_are_enosys() {
    // Holes, the first after 7.45, CUSE_INIT, INIT in the other byte order.
    for opcode in [0, 7, 19, 54, 4096, 436_207_616, u32::MAX] {
        let header = InHeader { len: 40, opcode, unique: UNIQUE, ..InHeader::default() };
        refused(header.as_bytes(), Reason::UnknownOpcode, ENOSYS);
    }
}

#[test]
fn the_extension_is_unknown_where_it_was_not_agreed_on() {
    for &opcode in Opcode::ALL.iter().filter(|opcode| opcode.is_extension()) {
        let bytes = message(opcode, &[]);
        let known = Request::parse(&bytes, dialect().extended());
        assert_ne!(known.expect_err("it lacks its body").reason(), Reason::UnknownOpcode);
        let unknown = Request::parse(&bytes, dialect());
        assert_eq!(unknown.expect_err("Linux asked").reason(), Reason::UnknownOpcode);
    }
}

#[test]
fn what_wants_no_answer_gets_none_when_malformed_either() {
    for opcode in [Opcode::Forget, Opcode::BatchForget, Opcode::Interrupt, Opcode::NotifyReply] {
        let malformed =
            Request::parse(&message(opcode, &[]), dialect()).expect_err("it lacks its body");
        assert_eq!(malformed.reason(), Reason::Truncated);
        assert_eq!(malformed.unique_to_answer(), None, "{}", opcode.name());
    }
}

#[test]
fn every_body_is_whole() {
    for &opcode in Opcode::ALL {
        let bytes = message(opcode, &[]);
        let result = Request::parse(&bytes, dialect().extended());
        if matches!(opcode, Opcode::Readlink | Opcode::Statfs | Opcode::Destroy) {
            assert!(result.is_ok(), "{} has no body", opcode.name());
            continue;
        }
        let reason = result.expect_err("the body is missing").reason();
        assert!(matches!(reason, Reason::Truncated | Reason::Unterminated), "{}", opcode.name());
    }
}

#[test]
fn nothing_follows_the_body() {
    refused(&message(Opcode::Statfs, &[&[0]]), Reason::Trailing, EIO);
    refused(&message(Opcode::Lookup, &[b"a\0b\0"]), Reason::Trailing, EIO);
    refused(&message(Opcode::Getattr, &[&[0; 17]]), Reason::Trailing, EIO);
}

#[test]
fn names_are_names() {
    let lookup = |name: &[u8]| message(Opcode::Lookup, &[name]);
    refused(&lookup(b"name"), Reason::Unterminated, EIO);
    refused(&lookup(b"\0"), Reason::Name(BadName::Empty), EINVAL);
    refused(&lookup(b"a/b\0"), Reason::Name(BadName::Slash), EINVAL);
    refused(&lookup(b"/\0"), Reason::Name(BadName::Slash), EINVAL);
    let mut name = [b'x'; 257];
    name[256] = 0;
    refused(&lookup(&name), Reason::Name(BadName::TooLong), ENAMETOOLONG);
    assert!(Request::parse(&lookup(&name[1..]), dialect()).is_ok(), "255 bytes");
}

#[test]
fn dots_can_be_looked_up_and_nothing_else() {
    for dots in [&b".\0"[..], b"..\0"] {
        assert!(Request::parse(&message(Opcode::Lookup, &[dots]), dialect()).is_ok());
        for (opcode, fixed) in [
            (Opcode::Unlink, 0),
            (Opcode::Rmdir, 0),
            (Opcode::Mkdir, 8),
            (Opcode::Mknod, 16),
            (Opcode::Create, 16),
            (Opcode::Link, 8),
        ] {
            refused(&message(opcode, &[&vec![0; fixed], dots]), Reason::Dots, EINVAL);
        }
        refused(&message(Opcode::Symlink, &[dots, b"x\0"]), Reason::Dots, EINVAL);
        for (opcode, fixed) in [(Opcode::Rename, 8), (Opcode::Rename2, 16)] {
            let fixed = vec![0; fixed];
            refused(&message(opcode, &[&fixed, dots, b"x\0"]), Reason::Dots, EINVAL);
            refused(&message(opcode, &[&fixed, b"x\0", dots]), Reason::Dots, EINVAL);
        }
    }
}

#[test]
fn a_rename_has_two_names() {
    refused(&message(Opcode::Rename, &[&[0; 8], b"a\0"]), Reason::Unterminated, EIO);
    refused(&message(Opcode::Rename2, &[&[0; 16], b"a\0b"]), Reason::Unterminated, EIO);
}

#[test]
fn symbolic_links_have_content() {
    let symlink = |target: &[u8]| message(Opcode::Symlink, &[b"a\0", target]);
    refused(&symlink(b"\0"), Reason::TargetEmpty, EINVAL);
    refused(&symlink(b"x"), Reason::Unterminated, EIO);
    let mut target = vec![b'x'; 4097];
    target[4096] = 0;
    refused(&symlink(&target), Reason::TargetTooLong, ENAMETOOLONG);
    assert!(Request::parse(&symlink(&target[1..]), dialect()).is_ok(), "4095 bytes");
}

#[test]
fn written_data_has_the_stated_size() {
    let write = |size, offset, data: &[u8]| {
        let arg = WriteIn { size, offset, ..WriteIn::default() };
        message(Opcode::Write, &[arg.as_bytes(), data])
    };
    refused(&write(3, 0, b"ab"), Reason::DataSize, EIO);
    refused(&write(1, 0, b"ab"), Reason::DataSize, EIO);
    refused(&write((256 << 20) + 1, 0, b"ab"), Reason::TooLarge, E2BIG);
    refused(&write(2, i64::MAX as u64 - 1, b"ab"), Reason::Range, EINVAL);
    refused(&write(2, u64::MAX, b"ab"), Reason::Range, EINVAL);
    assert!(Request::parse(&write(2, i64::MAX as u64 - 2, b"ab"), dialect()).is_ok());
}

#[test]
fn read_ranges_are_positions() {
    let read = |size, offset| {
        let arg = ReadIn { size, offset, ..ReadIn::default() };
        message(Opcode::Read, &[arg.as_bytes()])
    };
    refused(&read(u32::MAX, 0), Reason::TooLarge, E2BIG);
    refused(&read(1, i64::MAX as u64), Reason::Range, EINVAL);
    // A directory's position is the file system's own, any 64 bits.
    let arg = ReadIn { size: 4096, offset: u64::MAX, ..ReadIn::default() };
    assert!(Request::parse(&message(Opcode::Readdir, &[arg.as_bytes()]), dialect()).is_ok());
    let arg = FallocateIn { offset: 1, length: i64::MAX as u64, ..FallocateIn::default() };
    refused(&message(Opcode::Fallocate, &[arg.as_bytes()]), Reason::Range, EINVAL);
}

#[test]
fn extended_attributes() {
    let setxattr = |size, rest: &[u8]| {
        let arg = SetxattrIn { size, ..SetxattrIn::default() };
        message(Opcode::Setxattr, &[arg.as_bytes(), rest])
    };
    refused(&setxattr(2, b"user.a\0v"), Reason::DataSize, EIO);
    refused(&setxattr(0, b"user.a\0v"), Reason::DataSize, EIO);
    refused(&setxattr(65537, b"user.a\0v"), Reason::TooLarge, E2BIG);
    refused(&setxattr(0, b"\0"), Reason::XattrName(BadName::Empty), ERANGE);
    refused(&setxattr(0, b"user.a"), Reason::Unterminated, EIO);
    let mut name = [b'x'; 257];
    name[256] = 0;
    refused(&setxattr(0, &name), Reason::XattrName(BadName::TooLong), ERANGE);
    refused(&message(Opcode::Removexattr, &[&name]), Reason::XattrName(BadName::TooLong), ERANGE);
    let arg = GetxattrIn { size: 65537, padding: 0 };
    refused(&message(Opcode::Listxattr, &[arg.as_bytes()]), Reason::TooLarge, E2BIG);
    refused(&message(Opcode::Getxattr, &[arg.as_bytes(), b"a\0"]), Reason::TooLarge, E2BIG);
}

#[test]
fn batch_forget_has_the_stated_count() {
    for (count, records) in [(0, 1), (2, 1), (u32::MAX, 1)] {
        let arg = BatchForgetIn { count, padding: 0 };
        let nodes = vec![ForgetOne::default(); records];
        let bytes = message(Opcode::BatchForget, &[arg.as_bytes(), nodes.as_bytes()]);
        let malformed = Request::parse(&bytes, dialect()).expect_err("a wrong count");
        assert_eq!(malformed.reason(), Reason::Count);
        assert_eq!(malformed.unique_to_answer(), None);
    }
    refused(&message(Opcode::Removemapping, &[&[2, 0, 0, 0], &[0; 16]]), Reason::Count, EIO);
}

#[test]
fn ioctl_data_has_the_stated_size() {
    let ioctl = |in_size, out_size| {
        let arg = IoctlIn { in_size, out_size, ..IoctlIn::default() };
        message(Opcode::Ioctl, &[arg.as_bytes(), b"data"])
    };
    refused(&ioctl(5, 0), Reason::DataSize, EIO);
    refused(&ioctl(u32::MAX, 0), Reason::TooLarge, E2BIG);
    refused(&ioctl(4, u32::MAX), Reason::TooLarge, E2BIG);
    assert!(Request::parse(&ioctl(4, 4), dialect()).is_ok());
}

#[test]
fn times_to_be_set_are_times() {
    let setattr = |valid, nsec| {
        let arg = SetattrIn { valid, atimensec: nsec, mtimensec: nsec, ..SetattrIn::default() };
        message(Opcode::Setattr, &[arg.as_bytes()])
    };
    refused(&setattr(SetattrValid::ATIME, 1_000_000_000), Reason::Nanoseconds, EINVAL);
    refused(&setattr(SetattrValid::MTIME, u32::MAX), Reason::Nanoseconds, EINVAL);
    assert!(Request::parse(&setattr(SetattrValid::CTIME, u32::MAX), dialect()).is_ok());
    assert!(Request::parse(&setattr(SetattrValid::MTIME, 999_999_999), dialect()).is_ok());
    let arg = SetattrIn { valid: SetattrValid::SIZE, size: 1 << 63, ..SetattrIn::default() };
    refused(&message(Opcode::Setattr, &[arg.as_bytes()]), Reason::Range, EINVAL);
}

#[test]
fn extensions_agree_with_themselves() {
    /// A MKDIR with these 32-bit words as its extensions.
    fn mkdir(words: &[u32], total_extlen: u16) -> Vec<u8> {
        let body = [&[0; 8], &b"d\0"[..], words.as_bytes()].concat();
        let header = InHeader {
            len: (size_of::<InHeader>() + body.len()) as u32,
            opcode: Opcode::Mkdir as u32,
            unique: UNIQUE,
            total_extlen,
            ..InHeader::default()
        };
        [header.as_bytes(), &body].concat()
    }
    let cases: [(&str, &[u32]); 10] = [
        ("size 0", &[0, 32]),
        ("size below a header", &[4, 32]),
        ("size not a multiple of 8", &[12, 32, 0, 0]),
        ("size beyond the message", &[24, 32, 0, 0]),
        ("no room for the group count", &[8, 32]),
        ("more groups than bytes", &[16, 32, 2, 0]),
        ("more padding than there may be", &[24, 32, 0, 0, 0, 0]),
        ("groups twice", &[16, 32, 0, 0, 16, 32, 0, 0]),
        ("a label that is missing", &[8, 1]),
        ("a label without end", &[24, 1, 0, 0, u32::MAX, u32::MAX]),
    ];
    for (what, words) in cases {
        let bytes = mkdir(words, (words.len() / 2) as u16);
        let malformed = Request::parse(&bytes, dialect()).expect_err(what);
        assert_eq!(malformed.reason(), Reason::Extension, "{what}");
    }
    refused(&mkdir(&[], 100), Reason::Extension, EIO);
    // No label, said in words; and a group.
    assert!(Request::parse(&mkdir(&[8, 0, 16, 32, 1, 5], 3), dialect()).is_ok());
}

#[test]
fn the_text_names_operation_and_reason() {
    let bytes = message(Opcode::Unlink, &[b"..\0"]);
    let malformed = Request::parse(&bytes, dialect()).expect_err("dots");
    assert_eq!(malformed.to_string(), "malformed UNLINK, id 77: name is \".\" or \"..\"");
}
