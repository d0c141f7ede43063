//! filo's extension: its messages byte by byte, as docs/protocol.md has them, and what is refused.
//! Little-endian machines only.
#![cfg(target_endian = "little")]
#![expect(clippy::expect_used, reason = "a test may be blunt")]

#[path = "common/hex.rs"]
mod hex;

use filofs_wire::abi::{
    Attr, CALL_ID, EntryOut, ErrorIn, ExtattrctlFlags, ExtattrctlIn, ExtensionOffer, HandleFlags,
    HandleOfIn, InHeader, InitFlags, InitIn, Kstatfs, MountArguments, MountFlags, NodeOfIn,
    OfferFlags, Opcode, ResponseIn, SyncLaterIn, SyncLaterMode, UnmountFlags, UnmountIn,
};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::name::{BadName, XattrName};
use filofs_wire::request::{Operation, Reason, Request};
use hex::hex;
use zerocopy::IntoBytes;

const E2BIG: i32 = 7;
const EIO: i32 = 5;
const ERANGE: i32 = 34;

fn plain() -> Dialect {
    Dialect::new(45, InitFlags::empty()).expect("7.45 is spoken")
}

fn header() -> InHeader {
    InHeader { unique: 7, nodeid: 5, ..InHeader::default() }
}

/// The operation is these bytes after its length and opcode, in both directions.
#[track_caller]
fn golden(operation: Operation<'_>, front: &str, body: &str) {
    let rest = "0700000000000000 0500000000000000 00000000 00000000 00000000 00000000";
    let bytes = hex(&format!("{front} {rest} {body}"));
    let extended = plain().extended();
    let composed = compose::request(header(), &operation, &[], extended);
    assert_eq!(composed.as_ref(), Some(&bytes));
    let request = Request::parse(&bytes, extended).expect("valid");
    assert_eq!(request.operation, operation);
    // Without the extension nothing of it can be said or heard.
    assert_eq!(compose::request(header(), &operation, &[], plain()), None);
    assert!(Request::parse(&bytes, plain()).is_err());
}

#[test]
fn handle_of_request() {
    let arg = HandleOfIn { room: 128, padding: 0 };
    golden(Operation::HandleOf { arg }, "30000000 01110000", "80000000 00000000");
}

#[test]
fn node_of_request() {
    let operation = Operation::NodeOf { handle: b"abc" };
    golden(operation, "33000000 02110000", "03000000 00000000 616263");
    golden(Operation::NodeOf { handle: b"" }, "30000000 02110000", "00000000 00000000");
}

#[test]
fn sync_later_request() {
    for (mode, body) in
        [(SyncLaterMode::Begin, "01000000 00000000"), (SyncLaterMode::Lazy, "02000000 00000000")]
    {
        let arg = SyncLaterIn { mode: mode as u32, padding: 0 };
        golden(Operation::SyncLater { arg }, "30000000 03110000", body);
    }
}

#[test]
fn unmount_request() {
    let arg = UnmountIn { flags: UnmountFlags::FORCE, padding: 0 };
    golden(Operation::Unmount { arg }, "30000000 04110000", "01000000 00000000");
}

#[test]
fn extattrctl_request() {
    let flags = ExtattrctlFlags::HAS_NODE | ExtattrctlFlags::HAS_NAME;
    let arg = ExtattrctlIn { command: -1, namespace: 2, flags, padding: 0 };
    let name = Some(XattrName::new(b"ab").expect("a name"));
    golden(
        Operation::Extattrctl { arg, name },
        "3b000000 05110000",
        "ffffffff 02000000 03000000 00000000 616200",
    );
    let arg = ExtattrctlIn { command: 1, ..ExtattrctlIn::default() };
    golden(
        Operation::Extattrctl { arg, name: None },
        "38000000 05110000",
        "01000000 00000000 00000000 00000000",
    );
}

#[test]
fn error_request() {
    let arg = ErrorIn { opcode: 1, errno: -600, nodeid: 5, len: 2, padding: 0 };
    golden(
        Operation::Error { arg, text: b"no" },
        "42000000 06110000",
        "01000000 a8fdffff 0500000000000000 02000000 00000000 6e6f",
    );
}

#[test]
fn response_request() {
    let arg = ResponseIn { error: 0, padding: 0 };
    golden(
        Operation::Response { arg, data: &[100, 0, 0, 0, 4, 0, 0, 0] },
        "38000000 07110000",
        "00000000 00000000 64000000 04000000",
    );
    let arg = ResponseIn { error: 95, padding: 0 };
    golden(Operation::Response { arg, data: b"" }, "30000000 07110000", "5f000000 00000000");
}

#[test]
fn an_offer_in_init() {
    let mut arg = InitIn { major: 7, minor: 45, ..InitIn::default() };
    assert_eq!(arg.extension_offer(), None);
    let flags = OfferFlags::TAKES_FILES;
    let offer = ExtensionOffer {
        version: 1,
        max_message: 135_168,
        area_slots: 16,
        area_size: 1 << 20,
        flags,
    };
    arg.set_extension_offer(offer);
    assert_eq!(arg.extension_offer(), Some(offer));
    let expected = hex(&format!(
        "07000000 2d000000 00000000 00000000 00000000 6f6c6966 01000000 00100200 \
         10000000 00001000 01000000 {}",
        "00".repeat(20)
    ));
    assert_eq!(arg.as_bytes(), expected);
}

#[test]
fn mount_arguments() {
    let attr = Attr { ino: 9, mode: 0o040_755, ..Attr::default() };
    let arguments = MountArguments {
        flags: MountFlags::READ_ONLY | MountFlags::DEDUPLICATES,
        handle_flags: HandleFlags::PASSTHROUGH,
        handle_size: 16,
        max_message: 8192,
        negative_valid: 1_000_000_000,
        root: EntryOut { nodeid: 1, attr, ..EntryOut::default() },
        statfs: Kstatfs { blocks: 3, namelen: 255, ..Kstatfs::default() },
        ..MountArguments::named("ab", "cd")
    };
    let mut expected = hex("6f6c6966 01000000 12000000 08000000 10000000 00200000
         00ca9a3b00000000 0100000000000000");
    expected.resize(704, 0);
    expected[72] = 9; // 32 + 40 + 0: the root's inode number
    expected[132..136].copy_from_slice(&hex("ed410000")); // 32 + 40 + 60: its mode
    expected[160] = 3; // 160 + 0: blocks
    expected[204] = 255; // 160 + 44: longest name
    expected[240..242].copy_from_slice(b"ab");
    expected[272..274].copy_from_slice(b"cd");
    assert_eq!(arguments.as_bytes(), expected);
}

/// The request is refused for this reason, and answered so.
#[track_caller]
fn refused(opcode: Opcode, body: &[&[u8]], reason: Reason, errno: i32) {
    let bytes = message(opcode, body);
    let malformed = Request::parse(&bytes, plain().extended()).expect_err("a malformed request");
    assert_eq!((malformed.reason(), malformed.errno().number()), (reason, errno));
    assert_eq!(malformed.unique_to_answer(), opcode.wants_answer().then_some(7));
}

/// A message with a right header.
fn message(opcode: Opcode, body: &[&[u8]]) -> Vec<u8> {
    let body = body.concat();
    let len = (size_of::<InHeader>() + body.len()) as u32;
    let header = InHeader { len, opcode: opcode as u32, ..header() };
    [header.as_bytes(), &body].concat()
}

fn accepted(opcode: Opcode, body: &[&[u8]]) -> bool {
    Request::parse(&message(opcode, body), plain().extended()).is_ok()
}

#[test]
fn handles_have_their_limit() {
    // A17
    let node_of = |len| NodeOfIn { len, padding: 0 };
    let handle = [1; 1021];
    assert!(accepted(Opcode::NodeOf, &[node_of(1020).as_bytes(), &handle[..1020]]));
    for (len, reason, errno) in
        [(1021, Reason::TooLarge, E2BIG), (u32::MAX, Reason::TooLarge, E2BIG)]
    {
        refused(Opcode::NodeOf, &[node_of(len).as_bytes(), &handle], reason, errno);
    }
    refused(Opcode::NodeOf, &[node_of(3).as_bytes(), b"ab"], Reason::DataSize, EIO);
    refused(Opcode::NodeOf, &[node_of(1).as_bytes(), b"ab"], Reason::DataSize, EIO);
    refused(Opcode::HandleOf, &[&[0; 9]], Reason::Trailing, EIO);
}

#[test]
fn notices_have_their_limit() {
    let error = |len| ErrorIn { len, ..ErrorIn::default() };
    let text = [b'x'; 257];
    assert!(accepted(Opcode::Error, &[error(256).as_bytes(), &text[..256]]));
    refused(Opcode::Error, &[error(257).as_bytes(), &text], Reason::TooLarge, E2BIG);
    refused(Opcode::Error, &[error(2).as_bytes(), b"x"], Reason::DataSize, EIO);
}

#[test]
fn responses_have_their_limit() {
    let response = ResponseIn::default();
    let data = vec![0; (256 << 10) + 1];
    assert!(accepted(Opcode::Response, &[response.as_bytes(), &data[1..]]));
    refused(Opcode::Response, &[response.as_bytes(), &data], Reason::TooLarge, E2BIG);
}

#[test]
fn extattrctl_has_the_name_it_speaks_of() {
    // A111
    let arg = |flags| ExtattrctlIn { flags, ..ExtattrctlIn::default() };
    let (named, unnamed) = (arg(ExtattrctlFlags::HAS_NAME), arg(ExtattrctlFlags::HAS_NODE));
    let mut name = [b'x'; 257];
    name[256] = 0;
    assert!(accepted(Opcode::Extattrctl, &[named.as_bytes(), &name[1..]]));
    let too_long = Reason::XattrName(BadName::TooLong);
    refused(Opcode::Extattrctl, &[named.as_bytes(), &name], too_long, ERANGE);
    let empty = Reason::XattrName(BadName::Empty);
    refused(Opcode::Extattrctl, &[named.as_bytes(), b"\0"], empty, ERANGE);
    refused(Opcode::Extattrctl, &[named.as_bytes()], Reason::Unterminated, EIO);
    refused(Opcode::Extattrctl, &[unnamed.as_bytes(), b"a\0"], Reason::Trailing, EIO);
}

#[test]
fn the_id_of_a_response_is_the_servers() {
    // The same bit of another request's id says that it was sent before.
    let arg = ResponseIn::default();
    let response = Operation::Response { arg, data: b"" };
    for (operation, resent) in [(response, false), (Operation::Statfs, true)] {
        let header = InHeader { unique: CALL_ID | 3, ..header() };
        let bytes = compose::request(header, &operation, &[], plain().extended()).expect("short");
        let request = Request::parse(&bytes, plain().extended()).expect("valid");
        assert_eq!((request.header.unique, request.is_resent()), (CALL_ID | 3, resent));
    }
}
