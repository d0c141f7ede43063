//! Mode, owner, times, set-id bits, inode flags.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs::FallocateFlags;

const ANY: Abilities = Abilities::empty();
const USERS: Abilities = Abilities::USERS;

checks! {
    "owner, mode and times are read back exactly", "D.6 attrs", USERS, |s| {
        touch(s, b"f");
        s.chown(b"f", Some(1), Some(2)).unwrap();
        s.chmod(b"f", 0o123).unwrap();
        let atime = Some(SetTime::At(Time::new(1_000_000_000, 123_456_789)));
        let mtime = Some(SetTime::At(Time::new(1_200_000_000, 987_654_321)));
        s.utimens(b"f", atime, mtime, true).unwrap();
        let stat = s.stat(b"f").unwrap();
        assert_eq!((stat.uid.0, stat.gid.0, stat.mode), (1, 2, 0o123));
        assert_eq!(stat.atime, Time::new(1_000_000_000, 123_456_789));
        assert_eq!(stat.mtime, Time::new(1_200_000_000, 987_654_321));
    }
    "every mode can be set on files and directories", "chmod(2)", ANY, |s| {
        touch(s, b"f");
        s.mkdir(b"d", 0o755).unwrap();
        for mode in [0, 0o1, 0o777, 0o1777, 0o2755, 0o4755, 0o7777, 0o1644] {
            for name in [b"f", b"d"] {
                s.chmod(name, mode).unwrap();
                assert_eq!(s.stat(name).unwrap().mode, mode, "{mode:o}");
            }
        }
    }
    "one time can be set and the other left", "utimensat(2)", ANY, |s| {
        touch(s, b"f");
        s.utimens(b"f", at(100), at(200), true).unwrap();
        s.utimens(b"f", at(300), None, true).unwrap();
        let stat = s.stat(b"f").unwrap();
        assert_eq!((stat.atime.secs, stat.mtime.secs), (300, 200));
        s.utimens(b"f", None, at(400), true).unwrap();
        let stat = s.stat(b"f").unwrap();
        assert_eq!((stat.atime.secs, stat.mtime.secs), (300, 400));
        let before = s.stat(b"f").unwrap();
        s.utimens(b"f", None, None, true).unwrap();
        assert_eq!(facts(&s.stat(b"f").unwrap()), facts(&before));
        s.utimens(b"f", NOW, NOW, true).unwrap();
        let stat = s.stat(b"f").unwrap();
        assert!(stat.atime.secs > 1_000_000_000 && stat.mtime.secs > 1_000_000_000);
    }
    "times before 1970 and after 2038 are kept", "D.8 t_unpriv times", ANY, |s| {
        touch(s, b"f");
        for secs in [-1, 0, -1_000_000_000, 2_147_483_648, 4_294_967_296] {
            s.utimens(b"f", at(secs), at(secs), true).unwrap();
            let stat = s.stat(b"f").unwrap();
            assert_eq!((stat.atime.secs, stat.mtime.secs), (secs, secs));
        }
    }
    "an open file's attributes are changed through it", "fchmod(2)", USERS, |s| {
        let fd = create(s, b"f");
        s.fchmod(fd, 0o600).unwrap();
        s.fchown(fd, Some(5), Some(6)).unwrap();
        s.futimens(fd, at(7), at(8)).unwrap();
        for stat in [s.fstat(fd).unwrap(), s.stat(b"f").unwrap()] {
            assert_eq!((stat.mode, stat.uid.0, stat.gid.0), (0o600, 5, 6));
            assert_eq!((stat.atime.secs, stat.mtime.secs), (7, 8));
        }
        s.close(fd).unwrap();
    }
    "each change of attributes moves the attribute time and no other", "inode(7)", USERS, |s| {
        touch(s, b"f");
        assert_eq!(times_moved(s, b"f", || s.chmod(b"f", 0o600).unwrap()), (false, true), "chmod");
        let chown = || s.chown(b"f", Some(1), None).unwrap();
        assert_eq!(times_moved(s, b"f", chown), (false, true), "chown");
        let utimens = || s.utimens(b"f", at(1), None, true).unwrap();
        assert_eq!(times_moved(s, b"f", utimens), (false, true), "utimens");
    }
    "a write moves content and attribute time", "D.8 t_mtime_write", ANY, |s| {
        let fd = create(s, b"f");
        let write = || assert_eq!(s.write(fd, b"x"), Ok(1));
        assert_eq!(times_moved(s, b"f", write), (true, true));
        let nothing = || assert_eq!(s.write(fd, b""), Ok(0));
        assert_eq!(times_moved(s, b"f", nothing), (false, false), "of nothing changes nothing");
        s.close(fd).unwrap();
    }
    "O_TRUNC moves the times of a file that is empty already", "D.8 t_mtime_otrunc", ANY, |s| {
        touch(s, b"f");
        let trunc = || {
            let fd = s.open(b"f", WO.with(OpenFlags::TRUNC), 0).unwrap();
            s.close(fd).unwrap();
        };
        assert_eq!(times_moved(s, b"f", trunc), (true, true));
    }
    "truncation moves the times when the size changes", "truncate(2)", ANY, |s| {
        s.write_file(b"f", b"12345").unwrap();
        assert_eq!(times_moved(s, b"f", || s.truncate(b"f", 2).unwrap()), (true, true));
        let fd = s.open(b"f", RW, 0).unwrap();
        assert_eq!(times_moved(s, b"f", || s.ftruncate(fd, 9).unwrap()), (true, true));
        s.close(fd).unwrap();
    }
    "fallocate moves the attribute time", "fallocate(2)", ANY, |s| {
        let fd = create(s, b"f");
        let run = || s.fallocate(fd, FallocateFlags::empty(), 0, 10_000).unwrap();
        assert!(times_moved(s, b"f", run).1);
        s.close(fd).unwrap();
    }
    "reading moves no time but the access time", "inode(7)", ANY, |s| {
        s.write_file(b"f", b"12345").unwrap();
        let read = || assert_eq!(s.read_file(b"f").unwrap(), b"12345");
        assert_eq!(times_moved(s, b"f", read), (false, false));
    }
    "a write by an ordinary user clears set-id bits", "write(2)", USERS, |s| {
        for (mode, left) in [(0o6777, 0o777), (0o4777, 0o777), (0o2777, 0o777), (0o1777, 0o1777)] {
            touch(s, b"f");
            s.chmod(b"f", mode).unwrap();
            let user = s.as_user(1000, 1000, &[]);
            let fd = user.open(b"f", WO, 0).unwrap();
            assert_eq!(s.stat(b"f").unwrap().mode, mode, "opening clears nothing");
            user.write(fd, b"x").unwrap();
            assert_eq!(s.stat(b"f").unwrap().mode, left, "{mode:o}");
            user.close(fd).unwrap();
            s.unlink(b"f").unwrap();
        }
    }
    "a write by root keeps set-id bits", "write(2)", USERS, |s| {
        touch(s, b"f");
        s.chmod(b"f", 0o6755).unwrap();
        let fd = s.open(b"f", WO, 0).unwrap();
        s.write(fd, b"x").unwrap();
        s.close(fd).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o6755);
    }
    "truncation by an ordinary user clears set-id bits", "truncate(2)", USERS, |s| {
        let user = s.as_user(1000, 1000, &[]);
        s.write_file(b"f", b"12345").unwrap();
        s.chmod(b"f", 0o6777).unwrap();
        user.truncate(b"f", 2).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o777, "truncate");
        s.chmod(b"f", 0o6777).unwrap();
        let fd = user.open(b"f", WO.with(OpenFlags::TRUNC), 0).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o777, "O_TRUNC");
        s.chmod(b"f", 0o6777).unwrap();
        user.ftruncate(fd, 2).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o777, "ftruncate");
        user.close(fd).unwrap();
    }
    "fallocate by an ordinary user clears set-id bits", "fallocate(2)", USERS, |s| {
        touch(s, b"f");
        s.chmod(b"f", 0o6777).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let fd = user.open(b"f", WO, 0).unwrap();
        user.fallocate(fd, FallocateFlags::empty(), 0, 100).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o777);
        user.close(fd).unwrap();
    }
    "chown clears set-id bits of files, also for root, and not of directories",
    "chown(2)", USERS, |s| {
        touch(s, b"f");
        s.mkdir(b"d", 0o755).unwrap();
        for name in [b"f", b"d"] {
            s.chmod(name, 0o6755).unwrap();
            s.chown(name, Some(1000), Some(1000)).unwrap();
        }
        assert_eq!(s.stat(b"f").unwrap().mode, 0o755);
        assert_eq!(s.stat(b"d").unwrap().mode, 0o6755);
        let user = s.as_user(1000, 1000, &[50]);
        user.chmod(b"f", 0o6755).unwrap();
        user.chown(b"f", None, Some(50)).unwrap();
        let stat = s.stat(b"f").unwrap();
        assert_eq!((stat.mode, stat.gid.0), (0o755, 50));
    }
    "a set-group-id bit without group execution is no set-id bit", "inode(7)", USERS, |s| {
        touch(s, b"f");
        s.chmod(b"f", 0o2644).unwrap();
        s.chown(b"f", Some(5), None).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o2644);
    }
    "a set-group-id directory gives its group to what is made in it", "inode(7)", USERS, |s| {
        s.mkdir(b"d", 0o777).unwrap();
        s.chown(b"d", None, Some(77)).unwrap();
        s.chmod(b"d", 0o2777).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        touch(&*user, b"d/f");
        user.mkdir(b"d/sub", 0o755).unwrap();
        user.symlink(b"x", b"d/link").unwrap();
        let (file, sub) = (s.stat(b"d/f").unwrap(), s.stat(b"d/sub").unwrap());
        assert_eq!((file.gid.0, file.mode), (77, 0o644));
        assert_eq!((sub.gid.0, sub.mode), (77, 0o2755), "and the bit to directories");
        assert_eq!(s.lstat(b"d/link").unwrap().gid.0, 77);
        let fd = user.open(b"d/x", NEW, 0o2775).unwrap();
        user.close(fd).unwrap();
        assert_eq!(s.stat(b"d/x").unwrap().mode, 0o775, "no set-group-id for outsiders");
    }
    "only members of a file's group may set its set-group-id bit", "chmod(2)", USERS, |s| {
        touch(s, b"f");
        s.chown(b"f", Some(1000), Some(77)).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        user.chmod(b"f", 0o2755).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o755);
        let member = s.as_user(1000, 1000, &[77]);
        member.chmod(b"f", 0o2755).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o2755);
    }
    "attributes of special files can be changed", "B12", USERS, |s| {
        for (name, kind) in one_of_each(s) {
            if kind == Kind::Symlink {
                continue;
            }
            s.chmod(name, 0o600).unwrap();
            s.chown(name, Some(3), Some(4)).unwrap();
            s.utimens(name, at(5), at(6), true).unwrap();
            let stat = s.lstat(name).unwrap();
            let said = (stat.mode, stat.uid.0, stat.gid.0, stat.atime.secs, stat.mtime.secs);
            assert_eq!(said, (0o600, 3, 4, 5, 6), "{kind:?}");
        }
    }
    "inode flags are set and read back", "ioctl_iflags(2)", Abilities::CHATTR.union(USERS), |s| {
        const NODUMP: u32 = 0x40;
        let fd = create(s, b"f");
        let before = s.get_flags(fd).unwrap();
        s.set_flags(fd, before | NODUMP).unwrap();
        assert_eq!(s.get_flags(fd).unwrap() & NODUMP, NODUMP);
        s.set_flags(fd, before & !NODUMP).unwrap();
        assert_eq!(s.get_flags(fd).unwrap() & NODUMP, 0);
        s.close(fd).unwrap();
    }
    "an append-only file takes the time that is now and no other", "ioctl_iflags(2)",
    Abilities::CHATTR.union(USERS), |s| {
        const APPEND: u32 = 0x20;
        let fd = create(s, b"f");
        let flags = s.get_flags(fd).unwrap();
        s.set_flags(fd, flags | APPEND).unwrap();
        let now = s.utimens(b"f", NOW, NOW, true);
        let then = s.utimens(b"f", at(1), at(1), true);
        let mode = s.chmod(b"f", 0o600);
        s.set_flags(fd, flags).unwrap();
        assert_eq!((now, then, mode), (Ok(()), Err(Errno::EPERM), Err(Errno::EPERM)));
        s.close(fd).unwrap();
    }
    "inode flags are for the owner", "D.8 t_unpriv flags", Abilities::CHATTR.union(USERS), |s| {
        touch(s, b"f");
        let user = s.as_user(1000, 1000, &[]);
        let fd = user.open(b"f", RO, 0).unwrap();
        let flags = user.get_flags(fd).unwrap();
        assert!(matches!(user.set_flags(fd, flags | 0x40), Err(Errno::EPERM | Errno::EACCES)));
        user.close(fd).unwrap();
    }
}
