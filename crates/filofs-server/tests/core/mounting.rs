//! The mount's arguments and what is known without a question (A26, A30, A32-A34, A41, A69-A76).

use crate::script::{Said, Script, cx, entry};
use filofs::{Errno, FileSystem, Kind, MountState, SyncMode};
use filofs_wire::abi::{Opcode, SyncLaterIn};
use zerocopy::FromBytes;

/// What a person is told of every mount that the arguments refuse.
const REFUSED: &str = "the mount arguments of played are refused";

#[test]
fn mount_sends_no_messages() {
    // A41, A67: the root and the first numbers come with INIT. A26: the numbers are the server's.
    let played = Script::new().mounting();
    assert_eq!(played.mount.state(), MountState::Mounting);
    assert_eq!(played.mount.statvfs_cached().1.blocks, 1000);
    assert_eq!(played.mount.root().kind(), Kind::Directory);
    // A30, A69
    assert_eq!(played.mount.getattr(&cx(), played.mount.root(), None), Err(Errno::ENXIO));
    assert_eq!(played.mount.statvfs(&cx()).1, Err(Errno::EINPROGRESS));
    let (up, _notices) = filofs::Upward::channel();
    played.mount.start(&up).unwrap();
    assert_eq!(played.wire.opcodes(), []);
}

#[test]
fn a_foreign_server_is_asked_for_its_root_and_no_more() {
    // What the arguments would say has to be asked for (A41).
    let played = Script::foreign().running();
    assert_eq!(played.wire.opcodes(), [Opcode::Getattr, Opcode::Statfs]);
}

#[test]
fn root_type_matrix() {
    // A32: any kind of file. A33: none, and what is no kind, refuse the mount.
    for kind in [0o04, 0o10, 0o06, 0o02, 0o12, 0o14, 0o01] {
        let mode = kind << 12 | 0o644;
        let script = Script::new().arguments(|arguments| arguments.root.attr.mode = mode);
        let (kernel, _) = script.kernel();
        let kernel = kernel.unwrap();
        assert_eq!(kernel.root(&cx()).unwrap().attr.st_mode(), mode);
        assert_eq!(kernel.root_kind(), Kind::from_mode(mode));
    }
    for kind in [0, 0o03, 0o05, 0o07, 0o11, 0o13, 0o15, 0o16, 0o17] {
        let script = Script::new().arguments(|arguments| arguments.root.attr.mode = kind << 12);
        let (kernel, wire) = script.kernel();
        assert_eq!(kernel.unwrap_err(), REFUSED, "{kind:#o}");
        wire.wait_for_end();
    }
}

#[test]
fn a_refused_mount_ends_the_channel() {
    // A12, A13, A14, A15, A17: what cannot be mounted is told goodbye.
    let script = || Script::new();
    for script in [
        script().arguments(|arguments| arguments.version = 2),
        script().arguments(|arguments| arguments.spare[19] = 1),
        script().arguments(|arguments| arguments.handle_size = 1021),
        script().arguments(|arguments| arguments.root = entry(2)),
    ] {
        let (kernel, wire) = script.kernel();
        assert_eq!(kernel.unwrap_err(), REFUSED);
        wire.wait_for_end();
    }
}

#[test]
fn statvfs_one_message_each() {
    // A70, A74: one message each, and the server's numbers. A73: the mount's identity.
    let played = Script::new().running();
    for count in 1..=3 {
        let (identity, numbers) = played.mount.statvfs(&cx());
        assert_eq!(numbers.unwrap().blocks, 2000);
        assert_eq!((&*identity.type_name, &*identity.mounted_on), ("fuse.played", "/mnt"));
        assert_eq!(played.wire.count(Opcode::Statfs), count);
    }
    // A76: whoever must not wait gets what was known last.
    assert_eq!(played.mount.statvfs_cached().1.blocks, 2000);
    assert_eq!(played.wire.count(Opcode::Statfs), 3);
}

#[test]
fn statvfs_error_keeps_identity() {
    // A71, A75: an error, and one that is none; the identity holds, and the numbers of before.
    for (said, heard) in [(-Errno::EIO.raw(), Errno::EIO), (-12345, Errno::EPROTO)] {
        let script = Script::new().on(Opcode::Statfs, move |_, _| Said::Error(said));
        let played = script.running();
        let (identity, numbers) = played.mount.statvfs(&cx());
        assert_eq!(numbers, Err(heard));
        assert_eq!(identity.mounted_on, "/mnt");
        assert_eq!(played.mount.statvfs_cached().1.blocks, 1000);
    }
}

#[test]
fn sync_modes_keep_their_meaning() {
    // A79, A80, A82: who waits gets an answer; the others await none.
    let script = Script::new().on(Opcode::Syncfs, |_, _| Said::no(Errno::ENOSPC));
    let played = script.running();
    assert_eq!(played.mount.sync(&cx(), SyncMode::Wait), Err(Errno::ENOSPC));
    played.mount.sync(&cx(), SyncMode::NoWait).unwrap();
    played.mount.sync(&cx(), SyncMode::Lazy).unwrap();
    let asked = played.wire.until("syncs", |seen| seen.len() == 4);
    let later = asked.iter().filter(|asked| asked.opcode == Opcode::SyncLater);
    let modes: Vec<u32> =
        later.map(|asked| SyncLaterIn::read_from_bytes(&asked.body).unwrap().mode).collect();
    assert_eq!(modes, [1, 2]);
}

#[test]
fn a_foreign_server_knows_one_sync() {
    let played = Script::foreign().running();
    played.mount.sync(&cx(), SyncMode::NoWait).unwrap();
    played.mount.sync(&cx(), SyncMode::Lazy).unwrap();
    assert_eq!(played.wire.count(Opcode::Syncfs), 0);
    played.mount.sync(&cx(), SyncMode::Wait).unwrap();
    assert_eq!(played.wire.count(Opcode::Syncfs), 1);
}
