//! File handles (A85-A104).

use crate::script::{FILE, Played, Said, Script, cx, entry};
use filofs::{Errno, FileHandle, FileSystem};
use filofs_wire::abi::{HandleFlags, HandleOfOut, Opcode};
use filofs_wire::request::Operation;
use zerocopy::IntoBytes;

/// A server with handles of that size and kind, whose handles have `len` bytes.
fn server(size: u32, flags: HandleFlags, len: usize) -> Script {
    let script = Script::new().arguments(|arguments| {
        arguments.handle_size = size;
        arguments.handle_flags = flags;
    });
    let script = script.on(Opcode::HandleOf, move |request, _| {
        let Operation::HandleOf { arg } = request.operation else { unreachable!() };
        let mut body = HandleOfOut { len: len as u32, padding: 0 }.as_bytes().to_vec();
        if len <= arg.room as usize {
            body.extend(std::iter::repeat_n(7, len));
        }
        Said::Body(body)
    });
    script.on(Opcode::NodeOf, |_, _| Said::one(&entry(FILE)))
}

fn handle_of(played: &Played) -> filofs::Result<FileHandle> {
    played.mount.handle_of(&cx(), &played.node("f"))
}

fn node_of(played: &Played, len: usize) -> Result<u64, Errno> {
    let handle = FileHandle::new(&vec![7; len]).unwrap();
    played.mount.node_of(&cx(), &handle).map(|entry| entry.cookie.0)
}

#[test]
fn fh_unsupported() {
    // A85, A94: a server that did not ask for handles is not asked.
    let played = server(0, HandleFlags::DYNAMIC, 3).running();
    assert_eq!(handle_of(&played), Err(Errno::EOPNOTSUPP));
    assert_eq!(node_of(&played, 3), Err(Errno::EOPNOTSUPP));
    let foreign = Script::foreign().running();
    assert_eq!(handle_of(&foreign), Err(Errno::EOPNOTSUPP));
    assert_eq!(node_of(&foreign, 3), Err(Errno::EOPNOTSUPP));
    for wire in [&played.wire, &foreign.wire] {
        assert_eq!(wire.count(Opcode::HandleOf) + wire.count(Opcode::NodeOf), 0);
    }
}

#[test]
fn fh_length_rules() {
    // A87, A88: wrong lengths are not sent. A16, A86: passed through goes whatever is given.
    let (fixed, dynamic) = (HandleFlags::empty(), HandleFlags::DYNAMIC);
    let through = HandleFlags::PASSTHROUGH;
    for (flags, good, bad) in [
        (fixed, &[16][..], &[0, 1, 3, 15, 17, 1020][..]),
        (dynamic, &[0, 3, 16], &[17, 1020]),
        (through, &[0, 3, 16, 17, 1020], &[]),
    ] {
        let played = server(16, flags, 16).running();
        for len in good {
            assert_eq!(node_of(&played, *len), Ok(FILE), "{flags:?} {len}");
        }
        for len in bad {
            assert_eq!(node_of(&played, *len), Err(Errno::EINVAL), "{flags:?} {len}");
        }
        assert_eq!(played.wire.count(Opcode::NodeOf), good.len(), "{flags:?}");
    }
}

#[test]
fn fh_static_server_lies() {
    // A98, A102: no more is taken than was announced, and a lie is told to the server.
    for len in [0, 15, 17, 1020] {
        let played = server(16, HandleFlags::empty(), len).running();
        assert_eq!(handle_of(&played), Err(Errno::EPROTO), "{len}");
        assert_eq!(played.kernel.lies(), 1);
        played.wire.wait_for(Opcode::Error);
    }
    let played = server(16, HandleFlags::empty(), 16).running();
    assert_eq!(handle_of(&played).unwrap().bytes(), [7; 16]);
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn fh_server_claims_too_much() {
    // A100: longer than any handle can be, however it was announced.
    for flags in [HandleFlags::empty(), HandleFlags::DYNAMIC, HandleFlags::PASSTHROUGH] {
        let played = server(16, flags, 1021).running();
        assert_eq!(handle_of(&played), Err(Errno::EPROTO), "{flags:?}");
        let notice = played.wire.wait_for(Opcode::Error);
        assert!(notice.body.ends_with(b"file handle too big"));
        assert_eq!(notice.body[4..8], Errno::E2BIG.raw().to_ne_bytes());
    }
}

#[test]
fn fh_dynamic_and_passed_through_lengths() {
    let dynamic = server(16, HandleFlags::DYNAMIC, 3).running();
    assert_eq!(handle_of(&dynamic).unwrap().bytes(), [7; 3]);
    let dynamic = server(16, HandleFlags::DYNAMIC, 17).running();
    assert_eq!(handle_of(&dynamic), Err(Errno::EPROTO));
    let through = server(0, HandleFlags::PASSTHROUGH, 1020).running();
    assert_eq!(handle_of(&through).unwrap().bytes(), [7; 1020]);
}

#[test]
fn fh_lookup_counts() {
    // A91: a node found by its handle was looked up, and is given back as often.
    let played = server(16, HandleFlags::DYNAMIC, 16).running();
    let live = played.node("f");
    let handle = FileHandle::new(&[7; 16]).unwrap();
    let found = played.mount.node_of(&cx(), &handle).unwrap();
    assert_eq!(found.cookie, live.cookie());
    assert!(played.wire.asked().iter().all(|asked| asked.opcode != Opcode::Forget));
    drop((found, live));
    let forget = played.wire.wait_for(Opcode::Forget);
    assert_eq!((forget.nodeid, forget.body), (FILE, 2u64.to_ne_bytes().to_vec()));
}

#[test]
fn fh_removed_estale() {
    // A90: what the server says is what the caller hears.
    let script = server(16, HandleFlags::DYNAMIC, 16);
    let played = script.on(Opcode::NodeOf, |_, _| Said::no(Errno::ESTALE)).running();
    assert_eq!(node_of(&played, 16), Err(Errno::ESTALE));
    // No node at all is no less stale.
    let script = server(16, HandleFlags::DYNAMIC, 16);
    let played = script.on(Opcode::NodeOf, |_, _| Said::one(&entry(0))).running();
    assert_eq!(node_of(&played, 16), Err(Errno::ESTALE));
}
