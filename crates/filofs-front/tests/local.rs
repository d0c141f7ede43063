//! The in-process front end over file systems that can hardly do anything: what it makes of an
//! operation that is missing, and of answers that no file system may give.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

use filofs::{
    Attr, Context, Cookie, DirEntry, DirOffset, DirSink, Entry, Errno, FileSystem, Kind, Name,
    Node, Open, RenameFlags, Result, SetTime, Sink, Statfs, SyncMode, XattrFlags,
};
use filofs_front::local::{Local, Process, Whence};
use std::sync::Arc;

const HELLO: &[u8] = b"hello, world\n";

/// A root, a directory in it, and one file of root's in that. Nothing more is written.
struct Small {
    /// Where listing says to resume after an entry.
    next: u64,
    /// The number that the file is said to have.
    file: u64,
}

fn attr(ino: u64, kind: Kind) -> Attr {
    let mode = if kind == Kind::Directory { 0o755 } else { 0o644 };
    Attr { mode, size: HELLO.len() as u64, ..Attr::new(ino, kind) }
}

impl FileSystem for Small {
    fn name(&self) -> &'static str {
        "small"
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(attr(1, Kind::Directory)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(attr(node.cookie().0, node.kind()))
    }

    fn lookup(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        match (dir.cookie(), name.bytes()) {
            (Cookie(1), b"dir") => Ok(Entry::new(attr(2, Kind::Directory))),
            (Cookie(2), b"file") => Ok(Entry::new(attr(self.file, Kind::Regular))),
            _ => Err(Errno::ENOENT),
        }
    }

    fn readdir(
        &self,
        _: &Context<'_>,
        dir: &Node,
        _: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        let (name, ino): (&[u8], _) =
            if dir.cookie() == Cookie(1) { (b"dir", 2) } else { (b"file", self.file) };
        if offset == DirOffset::START {
            let (name, next) = (Name::new(name)?, DirOffset(self.next));
            let _ = out.add(DirEntry { name, ino, kind: None, next, entry: None });
        }
        Ok(())
    }

    fn read(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        out.put(HELLO.get(offset as usize..).unwrap_or_default());
        Ok(())
    }
}

fn process(small: Small) -> Process {
    Local::over(Arc::new(small)).unwrap().process()
}

fn small() -> Process {
    process(Small { next: 3, file: 3 })
}

#[test]
fn a_file_system_of_five_operations_can_be_read() {
    let p = small();
    assert_eq!(p.read_file("dir/file").unwrap(), HELLO);
    assert_eq!(p.stat("/dir/./file").unwrap().size, HELLO.len() as u64);
    let names: Vec<_> = p.readdir("dir").unwrap().into_iter().map(|e| e.name).collect();
    assert_eq!(names, [&b"."[..], b"..", b"file"]);
    let user = p.as_user(1000, 1000, &[]);
    assert_eq!(user.read_file("dir/file").unwrap(), HELLO);
    assert_eq!(user.access("dir/file", 2), Err(Errno::EACCES));
}

#[test]
fn the_way_down_leads_up_again_where_the_file_system_knows_no_parents() {
    let p = small();
    assert_eq!(p.stat("dir/../dir/..").unwrap().ino, 1);
    p.chdir("dir").unwrap();
    assert_eq!(p.stat("../dir/file").unwrap().ino, 3);
    assert_eq!(p.getcwd().unwrap(), b"/dir");
    p.chdir("../../..").unwrap();
    assert_eq!(p.getcwd().unwrap(), b"/");
}

#[test]
fn what_is_missing_is_said_in_the_words_of_each_call() {
    let p = small();
    assert_eq!(p.mkdir("new", 0o755), Err(Errno::EPERM));
    assert_eq!(p.symlink("x", "new"), Err(Errno::EPERM));
    assert_eq!(p.link("dir/file", "new"), Err(Errno::EPERM));
    assert_eq!(p.unlink("dir/file"), Err(Errno::EPERM));
    assert_eq!(p.rename("dir/file", "new", RenameFlags::empty()), Err(Errno::EPERM));
    assert_eq!(p.chmod("dir/file", 0o600), Err(Errno::EPERM));
    assert_eq!(p.utimens("dir/file", Some(SetTime::Now), None, true), Err(Errno::EPERM));
    assert_eq!(p.getxattr("dir/file", "user.x"), Err(Errno::EOPNOTSUPP));
    let flags = XattrFlags::empty();
    assert_eq!(p.setxattr("dir/file", "user.x", b"", flags), Err(Errno::EOPNOTSUPP));
    assert_eq!(p.name_to_handle("dir/file").unwrap_err(), Errno::EOPNOTSUPP);
    assert_eq!(p.creat("new", 0o644).unwrap_err(), Errno::EACCES);
    assert_eq!(p.statvfs().unwrap().1, Statfs::UNKNOWN);
    assert_eq!(p.sync(SyncMode::Wait), Ok(()));
}

#[test]
fn without_an_lseek_a_file_is_data_to_its_end() {
    let p = small();
    let fd = p.open("dir/file", filofs::OpenFlags::RDONLY, 0).unwrap();
    assert_eq!(p.lseek(fd, 5, Whence::Data), Ok(5));
    assert_eq!(p.lseek(fd, 5, Whence::Hole), Ok(HELLO.len() as u64));
    assert_eq!(p.lseek(fd, HELLO.len() as i64, Whence::Data), Err(Errno::ENXIO));
    assert_eq!(p.fsync(fd, false), Ok(()));
    p.close(fd).unwrap();
}

#[test]
fn locks_are_kept_for_a_file_system_that_keeps_none() {
    use filofs::{Lock, LockKind};
    let one = small();
    let other = one.as_user(0, 0, &[]);
    let a = one.open("dir/file", filofs::OpenFlags::RDONLY, 0).unwrap();
    let b = other.open("dir/file", filofs::OpenFlags::RDONLY, 0).unwrap();
    one.flock(a, LockKind::Exclusive, false).unwrap();
    assert_eq!(other.flock(b, LockKind::Shared, false), Err(Errno::EAGAIN));
    one.setlk(a, Lock::whole(LockKind::Shared), false).unwrap();
    let found = other.getlk(b, Lock::whole(LockKind::Exclusive)).unwrap();
    assert_eq!((found.kind, found.pid), (LockKind::Shared, one.getpid()));
    drop(one);
    other.flock(b, LockKind::Exclusive, false).unwrap();
    let found = other.getlk(b, Lock::whole(LockKind::Exclusive)).unwrap();
    assert_eq!(found.kind, LockKind::Unlock, "both went with the process");
}

#[test]
fn an_offset_that_stands_for_the_dots_is_refused() {
    for next in [0, 1, 2] {
        let p = process(Small { next, file: 3 });
        assert_eq!(p.readdir("dir").unwrap_err(), Errno::EPROTO, "{next}");
    }
}

#[test]
fn a_file_that_is_its_own_directory_is_refused() {
    // A73 and its kin: no file system may answer that.
    assert_eq!(process(Small { next: 3, file: 2 }).stat("dir/file").unwrap_err(), Errno::EPROTO);
    assert_eq!(process(Small { next: 3, file: 0 }).stat("dir/file").unwrap_err(), Errno::EPROTO);
}

/// A root, in it a file, and a link to it, which is made a node of its own, of that kind.
struct Linking(Kind);

impl FileSystem for Linking {
    fn name(&self) -> &'static str {
        "linking"
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(attr(1, Kind::Directory)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(attr(node.cookie().0, node.kind()))
    }

    fn lookup(&self, _: &Context<'_>, _: &Node, name: Name<'_>) -> Result<Entry> {
        if name.bytes() != b"file" {
            return Err(Errno::ENOENT);
        }
        Ok(Entry::new(attr(2, Kind::Regular)))
    }

    fn link(&self, _: &Context<'_>, _: &Node, _: &Node, _: Name<'_>) -> Result<Entry> {
        Ok(Entry::new(attr(3, self.0)))
    }
}

/// Servers that know files by their names make a node for each: libfuse does.
#[test]
fn a_link_may_be_a_node_of_its_own_but_no_other_kind_of_file() {
    let link = |kind| Local::over(Arc::new(Linking(kind))).unwrap().process().link("file", "new");
    assert_eq!(link(Kind::Regular), Ok(()));
    assert_eq!(link(Kind::Fifo), Err(Errno::EPROTO));
}

#[test]
fn nothing_is_held_when_nobody_holds_anything() {
    let p = small();
    let local = p.local().clone();
    assert_eq!(local.mount().nodes().len(), 1);
    for _ in 0..3 {
        p.read_file("dir/file").unwrap();
        p.readdir("dir").unwrap();
    }
    assert_eq!(local.mount().nodes().len(), 1, "B1: nodes are made on demand and given back");
    let fd = p.open("dir/file", filofs::OpenFlags::RDONLY, 0).unwrap();
    assert!(local.mount().nodes().len() >= 2);
    assert_eq!(local.mount().opens().len(), 1);
    let again = p.dup(fd).unwrap();
    p.close(fd).unwrap();
    assert_eq!(local.mount().opens().len(), 1, "one descriptor is left");
    p.close(again).unwrap();
    assert_eq!(local.mount().opens().len(), 0);
    drop(p);
    assert_eq!(local.mount().nodes().len(), 1);
}

#[test]
fn descriptors_are_the_lowest_that_are_free() {
    let p = small();
    let open = || p.open("dir/file", filofs::OpenFlags::RDONLY, 0).unwrap();
    let fds = [open(), open(), open()];
    assert_eq!(fds.map(|fd| fd.0), [0, 1, 2]);
    p.close(fds[1]).unwrap();
    assert_eq!(p.close(fds[1]), Err(Errno::EBADF));
    assert_eq!(open().0, 1);
    assert_eq!(open().0, 3);
}
