//! What a server without an operation means (C.4): no message, and what the table says.

use crate::script::{Script, cx};
use filofs::{
    Access, Errno, FileSystem, Kind, LockOwner, MakeHow, Name, OpenFlags, ReleaseHow, SetAttr,
    SliceSink, SliceSource, SyncMode, UnmountFlags, WriteFlags, XattrFlags,
};
use filofs_wire::abi::{MountFlags, Opcode};

fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

#[test]
fn an_operation_the_server_lacks_is_not_asked() {
    let gone = [
        Opcode::Mknod,
        Opcode::Create,
        Opcode::Tmpfile,
        Opcode::Getattr,
        Opcode::Statx,
        Opcode::Setattr,
        Opcode::Unlink,
        Opcode::Link,
        Opcode::Rename,
        Opcode::Rename2,
        Opcode::Mkdir,
        Opcode::Rmdir,
        Opcode::Symlink,
        Opcode::Readdir,
        Opcode::Readdirplus,
        Opcode::Readlink,
        Opcode::Getxattr,
        Opcode::Setxattr,
        Opcode::Listxattr,
        Opcode::Removexattr,
        Opcode::Read,
        Opcode::Fallocate,
    ];
    let played = Script::new().without(&gone).running();
    let (mount, cx) = (&played.mount, cx());
    let (file, dir, link) = (played.node("f"), played.node("d"), played.node("s"));
    let root = mount.root();
    let open = played.open(&file, OpenFlags::RDONLY).unwrap();
    let list = played.open(&dir, OpenFlags::RDONLY).unwrap();
    let how = MakeHow::default();
    let mut room = [0; 16];
    let mut sink = SliceSink::new(&mut room);
    let missing = [
        mount.mknod(&cx, root, name("n"), Kind::Regular, how).map(drop),
        mount.create(&cx, root, name("n"), how).map(drop),
        mount.tmpfile(&cx, root, how).map(drop),
        mount.getattr(&cx, &file, None).map(drop),
        mount.setattr(&cx, &file, None, &SetAttr::default()).map(drop),
        mount.unlink(&cx, root, name("f")),
        mount.link(&cx, &file, root, name("n")).map(drop),
        mount.rename(&cx, root, name("f"), root, name("n"), filofs::RenameFlags::empty()),
        mount.mkdir(&cx, root, name("n"), how).map(drop),
        mount.rmdir(&cx, root, name("d")),
        mount.symlink(&cx, root, name("n"), b"x").map(drop),
        mount.readlink(&cx, &link, &mut sink),
        mount.getxattr(&cx, &file, b"user.x", &mut sink).map(drop),
        mount.setxattr(&cx, &file, b"user.x", b"", XattrFlags::empty()),
        mount.listxattr(&cx, &file, &mut sink).map(drop),
        mount.removexattr(&cx, &file, b"user.x"),
        mount.read(&cx, &file, &open, 0, &mut sink),
        mount.fallocate(&cx, &file, &open, 0, 1, filofs::FallocateFlags::empty()),
        mount.readdir(&cx, &dir, &list, filofs::DirOffset::FIRST, &mut Nothing),
    ];
    // What the front end says in its own way: EOPNOTSUPP to programs.
    assert_eq!(missing, [Err(Errno::MISSING); 19]);
    let asked = played.wire.opcodes();
    assert!(!asked.iter().any(|opcode| gone.contains(opcode)), "{asked:?}");
}

struct Nothing;

impl filofs::DirSink for Nothing {
    fn wants_entries(&self) -> bool {
        true
    }

    fn add(&mut self, _: filofs::DirEntry<'_>) -> Result<(), filofs::Full> {
        Ok(())
    }
}

#[test]
fn what_is_a_success_without_the_server() {
    let gone = [
        Opcode::Open,
        Opcode::Opendir,
        Opcode::Access,
        Opcode::Flush,
        Opcode::Release,
        Opcode::Releasedir,
        Opcode::Fsync,
        Opcode::Fsyncdir,
        Opcode::Syncfs,
        Opcode::SyncLater,
        Opcode::Forget,
        Opcode::Unmount,
        Opcode::Destroy,
    ];
    let played = Script::new().without(&gone).running();
    let (mount, cx) = (&played.mount, cx());
    let file = played.node("f");
    let open = played.open(&file, OpenFlags::RDWR).unwrap();
    mount.access(&cx, &file, Access::READ | Access::WRITE).unwrap();
    let written =
        mount.write(&cx, &file, &open, 0, &mut SliceSource::new(b"x"), WriteFlags::empty());
    assert_eq!(written, Ok(1));
    mount.flush(&cx, &file, &open, LockOwner(1)).unwrap();
    mount.fsync(&cx, &file, &open, false).unwrap();
    mount.release(&cx, &file, &open, ReleaseHow::default()).unwrap();
    for mode in [SyncMode::Wait, SyncMode::NoWait, SyncMode::Lazy] {
        mount.sync(&cx, mode).unwrap();
    }
    drop((open, file));
    mount.unmount_now(&cx, UnmountFlags::FORCE).unwrap();
    let asked = played.wire.opcodes();
    assert_eq!(asked, [Opcode::Lookup, Opcode::Write]);
}

#[test]
fn without_write_nothing_is_opened_for_writing() {
    let played = Script::new().without(&[Opcode::Write]).running();
    let (file, dir, link) = (played.node("f"), played.node("d"), played.node("s"));
    for flags in [OpenFlags::WRONLY, OpenFlags::RDWR] {
        assert_eq!(played.open(&file, flags).err(), Some(Errno::EROFS));
    }
    played.open(&file, OpenFlags::RDONLY).unwrap();
    for node in [&file, &dir, &link] {
        let access = |want| played.mount.access(&cx(), node, want);
        assert_eq!(access(Access::WRITE), Err(Errno::EROFS));
        assert_eq!(access(Access::READ), Ok(()));
    }
    assert_eq!(played.wire.count(Opcode::Open), 1);
    assert_eq!(played.wire.count(Opcode::Access), 3);
}

#[test]
fn all_ops_ignores_the_mask() {
    let script = Script::new().without(Opcode::ALL);
    let script = script.arguments(|arguments| arguments.flags |= MountFlags::ALL_OPS);
    let played = script.running();
    let file = played.node("f");
    played.open(&file, OpenFlags::RDWR).unwrap();
    // An operation that it turns out not to have is asked for once.
    for _ in 0..3 {
        let answer = played.mount.mkdir(&cx(), played.mount.root(), name("n"), MakeHow::default());
        assert_eq!(answer.unwrap_err(), Errno::MISSING);
    }
    assert_eq!(played.wire.opcodes(), [Opcode::Lookup, Opcode::Open, Opcode::Mkdir]);
}

#[test]
fn locks_of_a_server_without_them_are_kept_by_the_front_end() {
    assert!(Script::new().running().mount.profile().locks);
    assert!(Script::foreign().running().mount.profile().locks);
    for opcode in [Opcode::Getlk, Opcode::Setlk, Opcode::Setlkw] {
        assert!(!Script::new().without(&[opcode]).running().mount.profile().locks);
    }
}
