//! Making and removing files and directories.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs_front::local::O_TMPFILE;

const ANY: Abilities = Abilities::empty();
const USERS: Abilities = Abilities::USERS;

checks! {
    "every kind of file can be made and says what it is", "mknod(2)", USERS, |s| {
        for (name, kind) in one_of_each(s) {
            let stat = s.lstat(name).unwrap();
            assert_eq!(stat.kind, kind);
            let expected = match kind {
                Kind::Symlink => 0o777,
                Kind::Directory => 0o755,
                _ => 0o644,
            };
            assert_eq!(stat.mode, expected, "{kind:?}");
            assert_eq!(stat.nlink, if kind == Kind::Directory { 2 } else { 1 }, "{kind:?}");
            assert_eq!((stat.uid.0, stat.gid.0), (0, 0), "{kind:?}");
            if matches!(kind, Kind::CharDevice | Kind::BlockDevice) {
                assert_eq!(stat.rdev, Device { major: 1, minor: 3 });
            }
        }
        let listed = s.readdir(b".").unwrap();
        for (name, kind) in [(&b"fifo"[..], Kind::Fifo), (b"char", Kind::CharDevice)] {
            let entry = listed.iter().find(|e| e.name == name).unwrap();
            assert!(entry.kind.is_none_or(|told| told == kind));
        }
    }
    "device numbers as large as Linux has them come back", "makedev(3)", USERS, |s| {
        let device = Device { major: 4095, minor: 1_048_575 };
        s.mknod(b"dev", Kind::CharDevice, 0o600, device).unwrap();
        assert_eq!(s.lstat(b"dev").unwrap().rdev, device);
    }
    "the umask is taken off the mode of everything that is made", "umask(2)", ANY, |s| {
        assert_eq!(s.umask(0o027), 0);
        let fd = s.open(b"file", NEW, 0o666).unwrap();
        s.close(fd).unwrap();
        s.mkdir(b"dir", 0o777).unwrap();
        s.mknod(b"fifo", Kind::Fifo, 0o666, Device::default()).unwrap();
        s.mknod(b"reg", Kind::Regular, 0o777, Device::default()).unwrap();
        assert_eq!(s.umask(0), 0o027);
        let modes = [(&b"file"[..], 0o640), (b"dir", 0o750), (b"fifo", 0o640), (b"reg", 0o750)];
        for (name, mode) in modes {
            assert_eq!(s.stat(name).unwrap().mode, mode, "{}", name.escape_ascii());
        }
    }
    "what an ordinary user makes belongs to that user", "credentials(7)", USERS, |s| {
        s.chmod(b".", 0o777).unwrap();
        let user = s.as_user(1234, 5678, &[]);
        touch(&*user, b"file");
        user.mkdir(b"dir", 0o755).unwrap();
        user.symlink(b"x", b"link").unwrap();
        user.mknod(b"fifo", Kind::Fifo, 0o644, Device::default()).unwrap();
        user.mknod(b"sock", Kind::Socket, 0o644, Device::default()).unwrap();
        user.mknod(b"reg", Kind::Regular, 0o644, Device::default()).unwrap();
        let fd = user.open(b".", O_TMPFILE.with(RW), 0o600).unwrap();
        let made = user.fstat(fd).unwrap();
        assert_eq!((made.uid.0, made.gid.0), (1234, 5678));
        user.close(fd).unwrap();
        for name in [&b"file"[..], b"dir", b"link", b"fifo", b"sock", b"reg"] {
            let stat = s.lstat(name).unwrap();
            assert_eq!((stat.uid.0, stat.gid.0), (1234, 5678), "{}", name.escape_ascii());
        }
    }
    "O_EXCL makes new files only", "D.6 create_exist", ANY, |s| {
        touch(s, b"f");
        s.unlink(b"f").unwrap();
        touch(s, b"f");
        assert_eq!(s.open(b"f", NEW, 0o644).err(), Some(Errno::EEXIST));
        let fd = s.open(b"f", MAKE, 0o600).unwrap();
        assert_eq!(s.fstat(fd).unwrap().mode, 0o644, "what exists keeps its mode");
        s.close(fd).unwrap();
    }
    "a file that is made may be written whatever its mode", "open(2)", USERS, |s| {
        s.chmod(b".", 0o777).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let fd = user.open(b"f", NEW, 0o000).unwrap();
        assert_eq!(user.write(fd, b"abc"), Ok(3));
        assert_eq!(user.pread(fd, &mut [0; 3], 0), Ok(3));
        user.close(fd).unwrap();
        assert_eq!(user.open(b"f", RO, 0).err(), Some(Errno::EACCES));
    }
    "a name may hold every byte but a slash and NUL", "D.6 create_nonalphanum", ANY, |s| {
        for byte in (1..=255u8).filter(|b| *b != b'/' && *b != b'.') {
            touch(s, &[byte]);
        }
        assert_eq!(names(s, b".").len(), 253);
        for byte in (1..=255u8).filter(|b| *b != b'/' && *b != b'.') {
            s.unlink(&[byte]).unwrap();
        }
        assert!(names(s, b".").is_empty());
    }
    "names that differ in case are different", "path_resolution(7)", ANY, |s| {
        touch(s, b"name");
        touch(s, b"NAME");
        assert_ne!(s.stat(b"name").unwrap().ino, s.stat(b"NAME").unwrap().ino);
    }
    "a name that is taken is refused by everything that makes one", "mkdir(2)", USERS, |s| {
        one_of_each(s);
        for (name, kind) in one_of_each_names() {
            assert_eq!(s.mkdir(name, 0o755), Err(Errno::EEXIST), "{kind:?}");
            assert_eq!(s.symlink(b"x", name), Err(Errno::EEXIST), "{kind:?}");
            assert_eq!(
                s.mknod(name, Kind::Fifo, 0o644, Device::default()),
                Err(Errno::EEXIST),
                "{kind:?}"
            );
            assert_eq!(s.link(b"file", name), Err(Errno::EEXIST), "{kind:?}");
            assert_eq!(s.open(name, NEW, 0o644).err(), Some(Errno::EEXIST), "{kind:?}");
        }
        assert_eq!(s.mkdir(b".", 0o755), Err(Errno::EEXIST));
        assert_eq!(s.mkdir(b"..", 0o755), Err(Errno::EEXIST));
        assert_eq!(s.mkdir(b"directory/", 0o755), Err(Errno::EEXIST));
    }
    "a trailing slash is for directories only", "path_resolution(7)", ANY, |s| {
        s.mkdir(b"dir/", 0o755).unwrap();
        touch(s, b"file");
        assert_eq!(s.symlink(b"x", b"new/"), Err(Errno::ENOENT));
        assert_eq!(s.link(b"file", b"new/"), Err(Errno::ENOENT));
        assert_eq!(s.mknod(b"new/", Kind::Fifo, 0o644, Device::default()), Err(Errno::ENOENT));
        assert_eq!(s.unlink(b"dir/"), Err(Errno::EISDIR));
        assert_eq!(s.rmdir(b"file/"), Err(Errno::ENOTDIR));
        s.rmdir(b"dir/").unwrap();
    }
    "a directory comes and goes", "D.6 dir_simple", ANY, |s| {
        s.mkdir(b"dir", 0o700).unwrap();
        let stat = s.stat(b"dir").unwrap();
        assert_eq!((stat.kind, stat.mode, stat.nlink), (Kind::Directory, 0o700, 2));
        s.rmdir(b"dir").unwrap();
        gone(s, b"dir");
        assert_eq!(s.rmdir(b"dir"), Err(Errno::ENOENT));
    }
    "a directory with something in it stays", "D.6 dir_notempty", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        touch(s, b"dir/file");
        assert_eq!(s.rmdir(b"dir"), Err(Errno::ENOTEMPTY));
        s.unlink(b"dir/file").unwrap();
        s.rmdir(b"dir").unwrap();
    }
    "rmdir of dots and of files is refused", "rmdir(2)", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        s.mkdir(b"dir/sub", 0o755).unwrap();
        touch(s, b"file");
        s.symlink(b"dir", b"link").unwrap();
        assert_eq!(s.rmdir(b"dir/."), Err(Errno::EINVAL));
        assert_eq!(s.rmdir(b"dir/sub/.."), Err(Errno::ENOTEMPTY));
        assert_eq!(s.rmdir(b"file"), Err(Errno::ENOTDIR));
        assert_eq!(s.rmdir(b"link"), Err(Errno::ENOTDIR));
        assert_eq!(s.unlink(b"dir"), Err(Errno::EISDIR));
    }
    "a directory counts its subdirectories in its links", "D.6 rename_dir", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        for (number, name) in [b"dir/a", b"dir/b", b"dir/c"].into_iter().enumerate() {
            s.mkdir(name, 0o755).unwrap();
            assert_eq!(s.stat(b"dir").unwrap().nlink as usize, number + 3);
        }
        s.rmdir(b"dir/b").unwrap();
        assert_eq!(s.stat(b"dir").unwrap().nlink, 4);
        touch(s, b"dir/f");
        assert_eq!(s.stat(b"dir").unwrap().nlink, 4, "files do not count");
    }
    "an unlinked file lives on while it is open", "unlink(2)", ANY, |s| {
        let fd = create(s, b"f");
        s.write(fd, b"still here").unwrap();
        s.unlink(b"f").unwrap();
        gone(s, b"f");
        let stat = s.fstat(fd).unwrap();
        assert_eq!((stat.nlink, stat.size), (0, 10));
        touch(s, b"f");
        assert_ne!(s.stat(b"f").unwrap().ino, stat.ino, "another file");
        let mut buffer = [0; 10];
        assert_eq!(s.pread(fd, &mut buffer, 0), Ok(10));
        assert_eq!(&buffer, b"still here");
        s.ftruncate(fd, 3).unwrap();
        s.fchmod(fd, 0o600).unwrap();
        s.futimens(fd, at(1), at(2)).unwrap();
        let stat = s.fstat(fd).unwrap();
        assert_eq!((stat.size, stat.mode, stat.mtime.secs), (3, 0o600, 2));
        s.close(fd).unwrap();
    }
    "a removed directory that is open is empty and takes nothing", "rmdir(2)", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        let fd = s.open(b"dir", OpenFlags::DIRECTORY, 0).unwrap();
        s.rmdir(b"dir").unwrap();
        let stat = s.fstat(fd).unwrap();
        assert_eq!(stat.nlink, 0);
        assert_eq!(s.openat(fd, b"x", NEW, 0o644).err(), Some(Errno::ENOENT));
        s.close(fd).unwrap();
    }
    "a file without a name can be given one", "O_TMPFILE of open(2)", USERS, |s| {
        let fd = s.open(b".", O_TMPFILE.with(RW), 0o640).unwrap();
        assert!(names(s, b".").is_empty());
        let stat = s.fstat(fd).unwrap();
        assert_eq!((stat.nlink, stat.mode, stat.kind), (0, 0o640, Kind::Regular));
        s.write(fd, b"content").unwrap();
        s.flink(fd, b"named").unwrap();
        assert_eq!(s.fstat(fd).unwrap().nlink, 1);
        s.close(fd).unwrap();
        assert_eq!(s.read_file(b"named").unwrap(), b"content");
    }
    "a file without a name that is only read makes no sense", "O_TMPFILE of open(2)", ANY, |s| {
        assert_eq!(s.open(b".", O_TMPFILE, 0o640).err(), Some(Errno::EINVAL));
        assert_eq!(s.open(b"none", O_TMPFILE.with(RW), 0o640).err(), Some(Errno::ENOENT));
    }
    "with O_EXCL a file without a name never gets one", "O_TMPFILE of open(2)", USERS, |s| {
        let flags = O_TMPFILE.with(RW).with(OpenFlags::EXCL);
        let fd = s.open(b".", flags, 0o600).unwrap();
        assert_eq!(s.flink(fd, b"named"), Err(Errno::ENOENT));
        s.close(fd).unwrap();
        gone(s, b"named");
    }
    "making a name changes the times of its directory", "inode(7)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        touch(s, b"f");
        assert_eq!(times_moved(s, b"d", || touch(s, b"d/a")), (true, true), "create");
        assert_eq!(times_moved(s, b"d", || s.mkdir(b"d/b", 0o755).unwrap()), (true, true), "mkdir");
        let symlink = || s.symlink(b"x", b"d/c").unwrap();
        assert_eq!(times_moved(s, b"d", symlink), (true, true), "symlink");
        let fifo = || s.mknod(b"d/e", Kind::Fifo, 0o644, Device::default()).unwrap();
        assert_eq!(times_moved(s, b"d", fifo), (true, true), "mknod");
        assert_eq!(times_moved(s, b"d", || s.link(b"f", b"d/l").unwrap()), (true, true), "link");
        assert_eq!(times_moved(s, b"d", || s.unlink(b"d/l").unwrap()), (true, true), "unlink");
        assert_eq!(times_moved(s, b"d", || s.rmdir(b"d/b").unwrap()), (true, true), "rmdir");
        let rename = || s.rename(b"d/a", b"d/z", PLAIN).unwrap();
        assert_eq!(times_moved(s, b"d", rename), (true, true), "rename");
    }
    "a name that fails to be made changes no time", "inode(7)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        touch(s, b"d/a");
        let fail = || assert_eq!(s.mkdir(b"d/a", 0o755), Err(Errno::EEXIST));
        assert_eq!(times_moved(s, b"d", fail), (false, false));
        let fail = || assert_eq!(s.unlink(b"d/none"), Err(Errno::ENOENT));
        assert_eq!(times_moved(s, b"d", fail), (false, false));
    }
}

/// The names that `one_of_each` makes.
fn one_of_each_names() -> [(&'static [u8], Kind); 7] {
    [
        (b"file", Kind::Regular),
        (b"directory", Kind::Directory),
        (b"symlink", Kind::Symlink),
        (b"fifo", Kind::Fifo),
        (b"socket", Kind::Socket),
        (b"char", Kind::CharDevice),
        (b"block", Kind::BlockDevice),
    ]
}
