//! Who may do what.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;

const USERS: Abilities = Abilities::USERS;

checks! {
    "owner, group and others each have their own bits", "D.8 t_unpriv dirperms", USERS, |s| {
        s.write_file(b"f", b"x").unwrap();
        s.chown(b"f", Some(1000), Some(50)).unwrap();
        let owner = s.as_user(1000, 1000, &[]);
        let member = s.as_user(2000, 2000, &[50]);
        let other = s.as_user(3000, 3000, &[]);
        for (mode, who, may_read, may_write) in [
            (0o400, &owner, true, false),
            (0o200, &owner, false, true),
            (0o077, &owner, false, false),
            (0o040, &member, true, false),
            (0o020, &member, false, true),
            (0o707, &member, false, false),
            (0o004, &other, true, false),
            (0o002, &other, false, true),
            (0o770, &other, false, false),
        ] {
            s.chmod(b"f", mode).unwrap();
            let both = may_read && may_write;
            for (flags, bit, may) in [(RO, 4, may_read), (WO, 2, may_write), (RW, 6, both)] {
                let expected = if may { None } else { Some(Errno::EACCES) };
                let answer = who.open(b"f", flags, 0);
                assert_eq!(answer.err(), expected, "{mode:o} {flags:?}");
                assert_eq!(who.access(b"f", bit).err(), expected, "{mode:o} access {bit}");
                if let Ok(fd) = answer {
                    who.close(fd).unwrap();
                }
            }
        }
    }
    "root reads and writes everything but executes only what somebody may",
    "access(2)", USERS, |s| {
        s.write_file(b"f", b"x").unwrap();
        s.chown(b"f", Some(1000), Some(1000)).unwrap();
        s.chmod(b"f", 0).unwrap();
        assert_eq!(s.read_file(b"f").unwrap(), b"x");
        assert_eq!(s.access(b"f", 6), Ok(()));
        assert_eq!(s.access(b"f", 1), Err(Errno::EACCES));
        s.chmod(b"f", 0o010).unwrap();
        assert_eq!(s.access(b"f", 1), Ok(()));
        s.mkdir(b"d", 0).unwrap();
        assert_eq!(s.access(b"d", 7), Ok(()));
    }
    "every directory on a path must be searchable", "path_resolution(7)", USERS, |s| {
        s.mkdir(b"a", 0o755).unwrap();
        s.mkdir(b"a/b", 0o755).unwrap();
        touch(s, b"a/b/f");
        let user = s.as_user(1000, 1000, &[]);
        assert!(user.stat(b"a/b/f").is_ok());
        s.chmod(b"a", 0o744).unwrap();
        assert_eq!(user.stat(b"a/b/f").err(), Some(Errno::EACCES));
        assert_eq!(user.stat(b"a/none").err(), Some(Errno::EACCES));
        assert_eq!(user.stat(b"a/.").err(), Some(Errno::EACCES));
        assert_eq!(names(&*user, b"a"), [b"b"], "reading is not searching");
        s.chmod(b"a", 0o711).unwrap();
        assert!(user.stat(b"a/b/f").is_ok());
        assert_eq!(user.readdir(b"a").err(), Some(Errno::EACCES), "searching is not reading");
        assert_eq!(user.chdir(b"a"), Ok(()));
    }
    "a directory that may not be searched cannot be entered", "chdir(2)", USERS, |s| {
        s.mkdir(b"d", 0o700).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.chdir(b"d"), Err(Errno::EACCES));
    }
    "names in a foreign directory cannot be changed", "D.8 t_unpriv dirperms", USERS, |s| {
        touch(s, b"f");
        s.mkdir(b"d", 0o755).unwrap();
        s.mkdir(b"open", 0o777).unwrap();
        touch(s, b"open/g");
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.open(b"new", MAKE, 0o644).err(), Some(Errno::EACCES));
        assert_eq!(user.mkdir(b"new", 0o755), Err(Errno::EACCES));
        assert_eq!(user.symlink(b"x", b"new"), Err(Errno::EACCES));
        assert_eq!(user.mknod(b"new", Kind::Fifo, 0o644, Device::default()), Err(Errno::EACCES));
        assert_eq!(user.unlink(b"f"), Err(Errno::EACCES));
        assert_eq!(user.rmdir(b"d"), Err(Errno::EACCES));
        assert_eq!(user.rename(b"f", b"g", PLAIN), Err(Errno::EACCES));
        assert_eq!(user.rename(b"open/g", b"g", PLAIN), Err(Errno::EACCES));
        assert_eq!(user.rename(b"f", b"open/f", PLAIN), Err(Errno::EACCES));
        assert_eq!(names(s, b"."), [&b"d"[..], b"f", b"open"]);
    }
    "a name that exists is reported before a missing permission", "mkdir(2)", USERS, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.mkdir(b"d", 0o755), Err(Errno::EEXIST));
        assert_eq!(user.open(b"d", NEW, 0o644).err(), Some(Errno::EEXIST));
    }
    "a sticky directory protects the files of others", "inode(7)", USERS, |s| {
        s.mkdir(b"tmp", 0o1777).unwrap();
        s.chmod(b"tmp", 0o1777).unwrap();
        let (one, two) = (s.as_user(1000, 1000, &[]), s.as_user(2000, 2000, &[]));
        touch(&*one, b"tmp/f");
        one.mkdir(b"tmp/d", 0o777).unwrap();
        touch(&*two, b"tmp/mine");
        assert_eq!(two.unlink(b"tmp/f"), Err(Errno::EPERM));
        assert_eq!(two.rmdir(b"tmp/d"), Err(Errno::EPERM));
        assert_eq!(two.rename(b"tmp/f", b"tmp/g", PLAIN), Err(Errno::EPERM));
        assert_eq!(two.rename(b"tmp/mine", b"tmp/f", PLAIN), Err(Errno::EPERM));
        two.rename(b"tmp/mine", b"tmp/mine2", PLAIN).unwrap();
        one.rename(b"tmp/f", b"tmp/g", PLAIN).unwrap();
        one.unlink(b"tmp/g").unwrap();
        one.rmdir(b"tmp/d").unwrap();
        s.unlink(b"tmp/mine2").unwrap();
    }
    "the owner of a sticky directory may empty it", "inode(7)", USERS, |s| {
        s.mkdir(b"tmp", 0o755).unwrap();
        s.chown(b"tmp", Some(1000), None).unwrap();
        s.chmod(b"tmp", 0o1777).unwrap();
        let (owner, other) = (s.as_user(1000, 1000, &[]), s.as_user(2000, 2000, &[]));
        touch(&*other, b"tmp/f");
        owner.unlink(b"tmp/f").unwrap();
    }
    "chmod is for the owner", "D.8 t_unpriv owner", USERS, |s| {
        touch(s, b"f");
        s.mkdir(b"d", 0o777).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.chmod(b"f", 0o777), Err(Errno::EPERM));
        assert_eq!(user.chmod(b"d", 0o777), Err(Errno::EPERM));
        s.chown(b"f", Some(1000), None).unwrap();
        user.chmod(b"f", 0o600).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o600);
    }
    "chown is for root, and a change of group for members", "D.8 t_unpriv owner", USERS, |s| {
        touch(s, b"f");
        s.chown(b"f", Some(1000), Some(1000)).unwrap();
        let user = s.as_user(1000, 1000, &[50]);
        assert_eq!(user.chown(b"f", Some(2000), None), Err(Errno::EPERM));
        assert_eq!(user.chown(b"f", None, Some(51)), Err(Errno::EPERM));
        user.chown(b"f", Some(1000), Some(50)).unwrap();
        assert_eq!(s.stat(b"f").unwrap().gid.0, 50);
        let other = s.as_user(2000, 50, &[]);
        assert_eq!(other.chown(b"f", None, Some(50)), Err(Errno::EPERM));
        assert_eq!(other.chown(b"f", Some(2000), None), Err(Errno::EPERM));
    }
    "times are for the owner, and now for writers too", "D.8 t_unpriv times", USERS, |s| {
        touch(s, b"f");
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.utimens(b"f", NOW, NOW, true), Err(Errno::EACCES));
        assert_eq!(user.utimens(b"f", at(1), at(1), true), Err(Errno::EPERM));
        s.chmod(b"f", 0o666).unwrap();
        user.utimens(b"f", NOW, NOW, true).unwrap();
        assert_eq!(user.utimens(b"f", at(1), at(1), true), Err(Errno::EPERM));
        assert_eq!(user.utimens(b"f", NOW, None, true), Err(Errno::EPERM));
        s.chown(b"f", Some(1000), None).unwrap();
        s.chmod(b"f", 0).unwrap();
        for secs in [i32::MIN as i64, 0, i32::MAX as i64] {
            user.utimens(b"f", at(secs), at(secs), true).unwrap();
            assert_eq!(s.stat(b"f").unwrap().mtime.secs, secs);
        }
    }
    "truncate needs write permission and ftruncate an open for writing", "truncate(2)", USERS, |s| {
        s.write_file(b"f", b"12345").unwrap();
        s.chmod(b"f", 0o644).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.truncate(b"f", 0), Err(Errno::EACCES));
        let fd = user.open(b"f", RO, 0).unwrap();
        assert_eq!(user.ftruncate(fd, 0), Err(Errno::EINVAL));
        assert_eq!(user.write(fd, b"x"), Err(Errno::EBADF));
        user.close(fd).unwrap();
        let fd = s.open(b"f", WO, 0).unwrap();
        assert_eq!(s.read(fd, &mut [0; 1]), Err(Errno::EBADF));
        s.close(fd).unwrap();
        assert_eq!(s.stat(b"f").unwrap().size, 5);
    }
    "permission is decided when a file is opened", "open(2)", USERS, |s| {
        s.write_file(b"f", b"12345").unwrap();
        s.chmod(b"f", 0o666).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let fd = user.open(b"f", RW, 0).unwrap();
        s.chmod(b"f", 0).unwrap();
        assert_eq!(user.pread(fd, &mut [0; 5], 0), Ok(5));
        assert_eq!(user.pwrite(fd, b"x", 0), Ok(1));
        assert_eq!(user.ftruncate(fd, 3), Ok(()));
        assert_eq!(user.open(b"f", RO, 0).err(), Some(Errno::EACCES));
        user.close(fd).unwrap();
    }
    "a chown that changes nothing clears set-id bits", "chown(2)", Abilities::empty(), |s| {
        touch(s, b"f");
        s.chmod(b"f", 0o6755).unwrap();
        s.chown(b"f", None, None).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o755);
        s.mkdir(b"d", 0o755).unwrap();
        s.chmod(b"d", 0o6755).unwrap();
        s.chown(b"d", None, None).unwrap();
        assert_eq!(s.stat(b"d").unwrap().mode, 0o6755);
    }
    "set-group-id without execution survives only who could set it", "inode(7)", USERS, |s| {
        for (gid, left) in [(50, 0o2666), (1000, 0o666)] {
            let user = s.as_user(1000, gid, &[]);
            s.write_file(b"f", b"12345").unwrap();
            s.chown(b"f", Some(1001), Some(50)).unwrap();
            s.chmod(b"f", 0o2666).unwrap();
            let fd = user.open(b"f", RW, 0).unwrap();
            assert_eq!(user.pwrite(fd, b"x", 0), Ok(1));
            user.close(fd).unwrap();
            assert_eq!(s.stat(b"f").unwrap().mode, left, "write");
            s.chmod(b"f", 0o2666).unwrap();
            user.truncate(b"f", 2).unwrap();
            assert_eq!(s.stat(b"f").unwrap().mode, left, "truncate");
        }
    }
    "O_NOATIME is for the owner", "open(2)", USERS, |s| {
        touch(s, b"f");
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.open(b"f", OpenFlags::NOATIME, 0).err(), Some(Errno::EPERM));
        let fd = s.open(b"f", OpenFlags::NOATIME, 0).unwrap();
        s.close(fd).unwrap();
    }
    "devices are made by root only", "mknod(2)", USERS, |s| {
        s.chmod(b".", 0o777).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let null = Device { major: 1, minor: 3 };
        assert_eq!(user.mknod(b"c", Kind::CharDevice, 0o666, null), Err(Errno::EPERM));
        assert_eq!(user.mknod(b"b", Kind::BlockDevice, 0o666, null), Err(Errno::EPERM));
        assert!(names(s, b".").is_empty());
    }
    "a supplementary group counts as much as the first", "credentials(7)", USERS, |s| {
        s.mkdir(b"d", 0o770).unwrap();
        s.chown(b"d", None, Some(50)).unwrap();
        let member = s.as_user(1000, 1000, &[7, 50]);
        touch(&*member, b"d/f");
        let other = s.as_user(1000, 1000, &[7, 51]);
        assert_eq!(other.stat(b"d/f").err(), Some(Errno::EACCES));
    }
    "unlink needs no permission on the file itself", "unlink(2)", USERS, |s| {
        s.chmod(b".", 0o777).unwrap();
        touch(s, b"f");
        s.chmod(b"f", 0).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        user.unlink(b"f").unwrap();
        gone(s, b"f");
    }
}
