//! Hard and symbolic links.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;

const ANY: Abilities = Abilities::empty();

checks! {
    "link counts are right at once after link and unlink", "link(2)", ANY, |s| {
        let fd = create(s, b"a");
        for (number, name) in [b"b", b"c", b"d"].into_iter().enumerate() {
            s.link(b"a", name).unwrap();
            let expected = number as u32 + 2;
            assert_eq!(s.stat(b"a").unwrap().nlink, expected);
            assert_eq!(s.stat(name).unwrap().nlink, expected);
            assert_eq!(s.fstat(fd).unwrap().nlink, expected);
        }
        s.unlink(b"a").unwrap();
        assert_eq!(s.stat(b"b").unwrap().nlink, 3);
        assert_eq!(s.fstat(fd).unwrap().nlink, 3);
        s.close(fd).unwrap();
    }
    "all links of a file are one file", "link(2)", ANY, |s| {
        s.write_file(b"a", b"one").unwrap();
        s.mkdir(b"d", 0o755).unwrap();
        s.link(b"a", b"d/b").unwrap();
        assert_eq!(facts(&s.stat(b"a").unwrap()), facts(&s.stat(b"d/b").unwrap()));
        s.write_file(b"d/b", b"changed").unwrap();
        assert_eq!(s.read_file(b"a").unwrap(), b"changed");
        s.chmod(b"d/b", 0o600).unwrap();
        assert_eq!(s.stat(b"a").unwrap().mode, 0o600);
    }
    "a link changes the file's attribute time but not its content's", "inode(7)", ANY, |s| {
        touch(s, b"a");
        assert_eq!(times_moved(s, b"a", || s.link(b"a", b"b").unwrap()), (false, true));
        assert_eq!(times_moved(s, b"a", || s.unlink(b"b").unwrap()), (false, true));
    }
    "a directory has no second name", "link(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        assert_eq!(s.link(b"d", b"e"), Err(Errno::EPERM));
        assert_eq!(s.link(b".", b"e"), Err(Errno::EPERM));
        assert_eq!(s.link(b"none", b"e"), Err(Errno::ENOENT));
        gone(s, b"e");
    }
    "every kind but a directory can have a second name", "link(2)", Abilities::USERS, |s| {
        for (name, kind) in one_of_each(s) {
            if kind == Kind::Directory {
                continue;
            }
            let other = [name, b"-2"].concat();
            s.link(name, &other).unwrap();
            let stat = s.lstat(&other).unwrap();
            assert_eq!((stat.kind, stat.nlink), (kind, 2), "the link itself, not where it leads");
            assert_eq!(stat.ino, s.lstat(name).unwrap().ino);
        }
    }
    "a symbolic link's size is the length of its target", "D.6 lstat_symlink", ANY, |s| {
        s.symlink(b"some/target", b"link").unwrap();
        let stat = s.lstat(b"link").unwrap();
        assert_eq!((stat.size, stat.kind, stat.mode), (11, Kind::Symlink, 0o777));
        assert_eq!(s.readlink(b"link").unwrap(), b"some/target");
    }
    "symbolic links hold targets up to 4095 bytes and no more", "D.6 symlink_long", ANY, |s| {
        let mut lengths = vec![4094, 4095, 4096];
        for power in 0..=16 {
            let length = 1usize << power;
            lengths.extend([length - 1, length, length + 1]);
        }
        lengths.retain(|length| *length > 0);
        for length in lengths {
            let target = vec![b't'; length];
            match s.symlink(&target, b"link") {
                Ok(()) => {
                    assert!(length <= 4095, "{length}");
                    assert_eq!(s.readlink(b"link").unwrap(), target);
                    assert_eq!(s.lstat(b"link").unwrap().size, length as u64);
                    s.unlink(b"link").unwrap();
                }
                Err(errno) => {
                    assert_eq!(errno, Errno::ENAMETOOLONG, "{length}");
                    assert!(length > 4000, "{length} is not too long");
                }
            }
        }
    }
    "an empty target is refused or kept", "D.6 symlink_zerolen", ANY, |s| {
        let answer = s.symlink(b"", b"link");
        // Linux answers ENOENT itself, before a file system is asked.
        assert!(matches!(answer, Ok(()) | Err(Errno::ENAMETOOLONG | Errno::ENOENT)), "{answer:?}");
    }
    "a symbolic link's target is any bytes", "symlink(2)", ANY, |s| {
        let target: Vec<u8> = (1..=255).collect();
        s.symlink(&target, b"link").unwrap();
        assert_eq!(s.readlink(b"link").unwrap(), target);
    }
    "only symbolic links have a target", "readlink(2)", ANY, |s| {
        touch(s, b"file");
        assert_eq!(s.readlink(b"file").err(), Some(Errno::EINVAL));
        assert_eq!(s.readlink(b".").err(), Some(Errno::EINVAL));
        assert_eq!(s.readlink(b"none").err(), Some(Errno::ENOENT));
    }
    "a symbolic link's owner and times are its own", "lchown(2)", Abilities::USERS, |s| {
        touch(s, b"file");
        s.symlink(b"file", b"link").unwrap();
        s.lchown(b"link", Some(7), Some(8)).unwrap();
        s.utimens(b"link", at(10), at(20), false).unwrap();
        let (link, file) = (s.lstat(b"link").unwrap(), s.stat(b"link").unwrap());
        assert_eq!((link.uid.0, link.gid.0, link.atime.secs, link.mtime.secs), (7, 8, 10, 20));
        assert_eq!((file.uid.0, file.gid.0), (0, 0));
        assert_ne!(file.mtime.secs, 20);
    }
    "what goes through a symbolic link happens to its target", "symlink(7)", ANY, |s| {
        s.write_file(b"file", b"12345").unwrap();
        s.symlink(b"file", b"link").unwrap();
        s.chmod(b"link", 0o600).unwrap();
        s.truncate(b"link", 2).unwrap();
        s.utimens(b"link", at(1), at(2), true).unwrap();
        let file = s.lstat(b"file").unwrap();
        assert_eq!((file.mode, file.size, file.mtime.secs), (0o600, 2, 2));
        s.unlink(b"link").unwrap();
        assert!(s.lstat(b"file").is_ok(), "but unlink is of the link");
    }
    "anybody may link a file that is theirs", "D.8 hardlink_sameuser", Abilities::USERS, |s| {
        s.chmod(b".", 0o777).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        touch(&*user, b"a");
        user.link(b"a", b"b").unwrap();
        assert_eq!(user.stat(b"b").unwrap().nlink, 2);
        s.link(b"a", b"c").unwrap();
        assert_eq!(user.stat(b"a").unwrap().nlink, 3, "root may link everybody's");
    }
}
