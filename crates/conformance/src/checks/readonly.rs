//! What a file system that cannot be written answers (D.8 t_ro; B10, B12, B13, B15).

use super::{Device, Errno, Kind, MAKE, NEW, NOW, OpenFlags, PLAIN, RO, RW, Subject, WO, at};
use super::{create, names};
use crate::Abilities;
use filofs::{LockKind, XattrFlags};
use filofs_front::local::O_TMPFILE;

const ANY: Abilities = Abilities::empty();
const ROFS: Errno = Errno::EROFS;

/// Makes the tree that the checks expect, while it can still be written.
pub fn prepare(s: &dyn Subject) {
    let fd = create(s, b"file");
    assert_eq!(s.write(fd, b"content"), Ok(7));
    s.close(fd).unwrap();
    s.mkdir(b"dir", 0o755).unwrap();
    s.mkdir(b"dir/empty", 0o755).unwrap();
    s.link(b"file", b"dir/second").unwrap();
    s.symlink(b"file", b"link").unwrap();
    s.mknod(b"fifo", Kind::Fifo, 0o666, Device::default()).unwrap();
    s.setxattr(b"file", b"user.a", b"1", XattrFlags::empty()).unwrap();
}

super::checks! {
    "a read-only file system is read", "D.8 t_ro", ANY, |s| {
        assert_eq!(s.read_file(b"file").unwrap(), b"content");
        assert_eq!(s.read_file(b"link").unwrap(), b"content");
        assert_eq!(s.readlink(b"link").unwrap(), b"file");
        assert_eq!(names(s, b"dir"), [&b"empty"[..], b"second"]);
        assert_eq!(s.getxattr(b"file", b"user.a").unwrap(), b"1");
        assert_eq!(s.stat(b"dir/second").unwrap().nlink, 2);
        assert!(s.statvfs().is_ok());
    }
    "no file is made on it", "D.8 t_ro create", ANY, |s| {
        assert_eq!(s.open(b"new", MAKE, 0o644).err(), Some(ROFS));
        assert_eq!(s.open(b"new", NEW, 0o644).err(), Some(ROFS));
        assert_eq!(s.open(b".", O_TMPFILE.with(RW), 0o644).err(), Some(ROFS));
        assert_eq!(s.stat(b"new").err(), Some(Errno::ENOENT));
    }
    "what exists there answers EEXIST to whoever would make it", "B10", ANY, |s| {
        assert_eq!(s.open(b"file", NEW, 0o644).err(), Some(Errno::EEXIST));
        assert_eq!(s.mkdir(b"dir", 0o755), Err(Errno::EEXIST));
        assert_eq!(s.symlink(b"x", b"link"), Err(Errno::EEXIST));
        assert_eq!(s.mknod(b"fifo", Kind::Fifo, 0o644, Device::default()), Err(Errno::EEXIST));
        assert_eq!(s.link(b"file", b"dir/second"), Err(Errno::EEXIST));
    }
    "no directory, fifo, symlink or link is made on it",
    "D.8 t_ro createdir, createfifo, createsymlink, createlink", ANY, |s| {
        assert_eq!(s.mkdir(b"new", 0o755), Err(ROFS));
        assert_eq!(s.mknod(b"new", Kind::Fifo, 0o644, Device::default()), Err(ROFS));
        assert_eq!(s.mknod(b"new", Kind::Regular, 0o644, Device::default()), Err(ROFS));
        assert_eq!(s.symlink(b"x", b"new"), Err(ROFS));
        assert_eq!(s.link(b"file", b"new"), Err(ROFS));
    }
    "nothing is removed from it or renamed on it", "D.8 t_ro rmfile", ANY, |s| {
        assert_eq!(s.unlink(b"file"), Err(ROFS));
        assert_eq!(s.unlink(b"link"), Err(ROFS));
        assert_eq!(s.rmdir(b"dir/empty"), Err(ROFS));
        assert_eq!(s.rename(b"file", b"other", PLAIN), Err(ROFS));
        assert_eq!(s.rename(b"dir/empty", b"moved", PLAIN), Err(ROFS));
    }
    "no file on it is opened for writing, cut or extended", "D.8 t_ro fileio", ANY, |s| {
        assert_eq!(s.open(b"file", WO, 0).err(), Some(ROFS));
        assert_eq!(s.open(b"file", RW, 0).err(), Some(ROFS));
        assert_eq!(s.open(b"file", OpenFlags::TRUNC, 0).err(), Some(ROFS));
        assert_eq!(s.open(b"file", MAKE, 0o644).err(), Some(ROFS));
        assert_eq!(s.truncate(b"file", 0), Err(ROFS));
        assert_eq!(s.truncate(b"file", 100), Err(ROFS));
        assert_eq!(s.stat(b"file").unwrap().size, 7);
    }
    "no attribute on it is changed, each alone", "B13, D.8 t_ro attrs", ANY, |s| {
        assert_eq!(s.chmod(b"file", 0o600), Err(ROFS));
        assert_eq!(s.chown(b"file", Some(1), None), Err(ROFS));
        assert_eq!(s.chown(b"file", None, Some(1)), Err(ROFS));
        assert_eq!(s.lchown(b"link", Some(1), None), Err(ROFS));
        assert_eq!(s.utimens(b"file", at(1), None, true), Err(ROFS));
        assert_eq!(s.utimens(b"file", None, at(1), true), Err(ROFS));
        assert_eq!(s.utimens(b"file", NOW, NOW, true), Err(ROFS));
        assert_eq!(s.chmod(b"fifo", 0o600), Err(ROFS), "special files too");
    }
    "no attribute is changed through an open file", "D.8 t_ro attrs", ANY, |s| {
        let fd = s.open(b"file", RO, 0).unwrap();
        assert_eq!(s.fchmod(fd, 0o600), Err(ROFS));
        assert_eq!(s.fchown(fd, Some(1), Some(1)), Err(ROFS));
        assert_eq!(s.futimens(fd, at(1), at(1)), Err(ROFS));
        s.close(fd).unwrap();
    }
    "no extended attribute is changed", "B13", ANY, |s| {
        assert_eq!(s.setxattr(b"file", b"user.b", b"", XattrFlags::empty()), Err(ROFS));
        assert_eq!(s.removexattr(b"file", b"user.a"), Err(ROFS));
    }
    "no inode flag is changed", "ioctl_iflags(2)", Abilities::CHATTR, |s| {
        let fd = s.open(b"file", RO, 0).unwrap();
        let flags = s.get_flags(fd).unwrap();
        assert_eq!(s.set_flags(fd, flags | 0x40), Err(ROFS));
        s.close(fd).unwrap();
    }
    "access says that it cannot be written, but for special files", "B15", ANY, |s| {
        assert_eq!(s.access(b"file", 4), Ok(()));
        assert_eq!(s.access(b"file", 2), Err(ROFS));
        assert_eq!(s.access(b"dir", 2), Err(ROFS));
        assert_eq!(s.access(b"dir", 5), Ok(()));
        assert_eq!(s.access(b"fifo", 6), Ok(()));
    }
    "files on it are locked", "flock(2)", ANY, |s| {
        let one = s.open(b"file", RO, 0).unwrap();
        let two = s.open(b"file", RO, 0).unwrap();
        s.flock(one, LockKind::Exclusive, false).unwrap();
        assert_eq!(s.flock(two, LockKind::Shared, false), Err(Errno::EAGAIN));
        s.close(one).unwrap();
        s.close(two).unwrap();
    }
}
