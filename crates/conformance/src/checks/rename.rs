//! rename(2) and renameat2(2).

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;

const ANY: Abilities = Abilities::empty();
const USERS: Abilities = Abilities::USERS;
const NOREPLACE: RenameFlags = RenameFlags::NOREPLACE;
const EXCHANGE: RenameFlags = RenameFlags::EXCHANGE;

checks! {
    "a renamed file keeps its number and content", "D.6 rename_reg_nodir", ANY, |s| {
        s.mknod(b"a", Kind::Regular, 0o644, Device::default()).unwrap();
        s.write_file(b"a", b"content").unwrap();
        let before = s.stat(b"a").unwrap();
        s.rename(b"a", b"b", PLAIN).unwrap();
        gone(s, b"a");
        assert_eq!(s.stat(b"b").unwrap().ino, before.ino);
        assert_eq!(s.read_file(b"b").unwrap(), b"content");
        assert_eq!(s.rename(b"a", b"b", PLAIN), Err(Errno::ENOENT));
    }
    "a file renamed onto another takes its place", "D.6 rename_reg_nodir", ANY, |s| {
        s.write_file(b"a", b"one").unwrap();
        s.write_file(b"b", b"two").unwrap();
        let fd = s.open(b"b", RO, 0).unwrap();
        let before = s.stat(b"a").unwrap();
        s.rename(b"a", b"b", PLAIN).unwrap();
        assert_eq!(s.stat(b"b").unwrap().ino, before.ino);
        assert_eq!(s.read_file(b"b").unwrap(), b"one");
        assert_eq!(s.fstat(fd).unwrap().nlink, 0);
        let mut buffer = [0; 3];
        s.read(fd, &mut buffer).unwrap();
        assert_eq!(&buffer, b"two", "the replaced file lives on while open");
        s.close(fd).unwrap();
        assert_eq!(names(s, b"."), [b"b"]);
    }
    "a rename onto another link of the same file does nothing",
    "D.6 rename_reg_nodir, as Linux", ANY, |s| {
        touch(s, b"a");
        s.link(b"a", b"b").unwrap();
        s.rename(b"a", b"b", PLAIN).unwrap();
        assert_eq!(names(s, b"."), [b"a", b"b"]);
        assert_eq!(s.stat(b"a").unwrap().nlink, 2);
        s.rename(b"a", b"a", PLAIN).unwrap();
        assert_eq!(s.stat(b"a").unwrap().nlink, 2);
    }
    "a renamed directory keeps what is in it", "D.6 rename_dir", ANY, |s| {
        s.mkdir(b"dir1", 0o755).unwrap();
        touch(s, b"dir1/file");
        let before = s.stat(b"dir1/file").unwrap();
        s.rename(b"dir1", b"dir2", PLAIN).unwrap();
        gone(s, b"dir1");
        assert_eq!(facts(&s.stat(b"dir2/file").unwrap()), facts(&before));
    }
    "a directory does not go into itself", "D.6 rename_dir", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        s.mkdir(b"dir/sub", 0o755).unwrap();
        assert_eq!(s.rename(b"dir", b"dir/x", PLAIN), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir", b"dir/sub/x", PLAIN), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir", b"dir/sub", PLAIN), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir/sub", b"dir", PLAIN), Err(Errno::ENOTEMPTY));
        assert_eq!(s.rename(b"dir", b"dir/sub", EXCHANGE), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir/sub", b"dir", EXCHANGE), Err(Errno::EINVAL));
    }
    "a directory goes only over an empty directory", "D.6 rename_dir", ANY, |s| {
        for dir in [&b"a"[..], b"b", b"empty"] {
            s.mkdir(dir, 0o755).unwrap();
        }
        touch(s, b"b/file");
        assert_eq!(s.rename(b"a", b"b", PLAIN), Err(Errno::ENOTEMPTY));
        s.rename(b"b", b"empty", PLAIN).unwrap();
        assert_eq!(names(s, b"."), [&b"a"[..], b"empty"]);
        assert_eq!(names(s, b"empty"), [b"file"]);
    }
    "files and directories do not replace each other", "rename(2)", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        touch(s, b"file");
        s.symlink(b"dir", b"link").unwrap();
        assert_eq!(s.rename(b"file", b"dir", PLAIN), Err(Errno::EISDIR));
        assert_eq!(s.rename(b"dir", b"file", PLAIN), Err(Errno::ENOTDIR));
        assert_eq!(s.rename(b"dir", b"link", PLAIN), Err(Errno::ENOTDIR));
        assert_eq!(s.rename(b"link", b"dir", PLAIN), Err(Errno::EISDIR));
        s.rename(b"link", b"file", PLAIN).unwrap();
        assert_eq!(s.lstat(b"file").unwrap().kind, Kind::Symlink);
    }
    "a trailing slash in a rename is for directories", "rename(2)", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        touch(s, b"file");
        assert_eq!(s.rename(b"file/", b"x", PLAIN), Err(Errno::ENOTDIR));
        assert_eq!(s.rename(b"file", b"x/", PLAIN), Err(Errno::ENOTDIR));
        s.rename(b"dir/", b"x/", PLAIN).unwrap();
        assert_eq!(names(s, b"."), [&b"file"[..], b"x"]);
    }
    "link counts follow a directory from parent to parent", "D.6 rename_dir", ANY, |s| {
        for dir in [&b"from"[..], b"from/dir", b"to", b"to/empty"] {
            s.mkdir(dir, 0o755).unwrap();
        }
        s.rename(b"from/dir", b"to/dir", PLAIN).unwrap();
        assert_eq!(s.stat(b"from").unwrap().nlink, 2);
        assert_eq!(s.stat(b"to").unwrap().nlink, 4);
        s.rename(b"to/dir", b"to/empty", PLAIN).unwrap();
        assert_eq!(s.stat(b"to").unwrap().nlink, 3, "one was replaced");
        s.rename(b"to/empty", b"to/../up", PLAIN).unwrap();
        assert_eq!(s.stat(b"to").unwrap().nlink, 2);
    }
    "dots as last component of a rename are answered as file systems do",
    "D.6 rename_dir, rename_dotdot", Abilities::BARE, |s| {
        for dir in [&b"dir1"[..], b"dir2", b"dir3"] {
            s.mkdir(dir, 0o755).unwrap();
        }
        assert_eq!(s.rename(b"dir3/.", b"dir3", PLAIN), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir3", b"dir3/.", PLAIN), Err(Errno::EISDIR));
        assert_eq!(s.rename(b"dir1", b"dir1/..", PLAIN), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir1/..", b"new", PLAIN), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"dir1", b"dir2/..", PLAIN), Err(Errno::EINVAL));
    }
    "dots as last component of a rename are busy to Linux",
    "D.6 rename_dotdot, as Linux", Abilities::KERNEL, |s| {
        s.mkdir(b"dir1", 0o755).unwrap();
        assert_eq!(s.rename(b"dir1/.", b"dir2", PLAIN), Err(Errno::EBUSY));
        assert_eq!(s.rename(b"dir1/..", b"new", PLAIN), Err(Errno::EBUSY));
        assert_eq!(s.rename(b"dir1", b"dir1/..", PLAIN), Err(Errno::EBUSY));
    }
    "NOREPLACE replaces nothing", "renameat2(2)", ANY, |s| {
        touch(s, b"a");
        touch(s, b"b");
        s.mkdir(b"d", 0o755).unwrap();
        assert_eq!(s.rename(b"a", b"b", NOREPLACE), Err(Errno::EEXIST));
        assert_eq!(s.rename(b"a", b"d", NOREPLACE), Err(Errno::EEXIST));
        assert_eq!(s.rename(b"a", b"a", NOREPLACE), Err(Errno::EEXIST));
        s.rename(b"a", b"c", NOREPLACE).unwrap();
        s.rename(b"d", b"e", NOREPLACE).unwrap();
        assert_eq!(names(s, b"."), [b"b", b"c", b"e"]);
    }
    "EXCHANGE swaps two files", "renameat2(2)", ANY, |s| {
        s.write_file(b"a", b"one").unwrap();
        s.write_file(b"b", b"two").unwrap();
        s.rename(b"a", b"b", EXCHANGE).unwrap();
        assert_eq!(s.read_file(b"a").unwrap(), b"two");
        assert_eq!(s.read_file(b"b").unwrap(), b"one");
        assert_eq!(s.rename(b"a", b"none", EXCHANGE), Err(Errno::ENOENT));
        assert_eq!(s.rename(b"none", b"a", EXCHANGE), Err(Errno::ENOENT));
    }
    "EXCHANGE swaps a file and a full directory, and link counts follow", "renameat2(2)", ANY, |s| {
        for dir in [&b"one"[..], b"two", b"one/dir"] {
            s.mkdir(dir, 0o755).unwrap();
        }
        touch(s, b"one/dir/inside");
        touch(s, b"two/file");
        s.rename(b"one/dir", b"two/file", EXCHANGE).unwrap();
        assert_eq!(s.stat(b"one/dir").unwrap().kind, Kind::Regular);
        assert_eq!(names(s, b"two/file"), [b"inside"]);
        assert_eq!(s.stat(b"one").unwrap().nlink, 2);
        assert_eq!(s.stat(b"two").unwrap().nlink, 3);
        assert_eq!(s.stat(b"two/file/..").unwrap().ino, s.stat(b"two").unwrap().ino);
    }
    "flags that exclude each other are EINVAL", "renameat2(2)", ANY, |s| {
        touch(s, b"a");
        touch(s, b"b");
        assert_eq!(s.rename(b"a", b"b", EXCHANGE | NOREPLACE), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"a", b"b", EXCHANGE | RenameFlags::WHITEOUT), Err(Errno::EINVAL));
        assert_eq!(s.rename(b"a", b"b", RenameFlags::from_bits_retain(64)), Err(Errno::EINVAL));
        assert_eq!(names(s, b"."), [b"a", b"b"]);
    }
    "WHITEOUT leaves a character device 0/0 behind",
    "renameat2(2)", USERS.union(Abilities::WHITEOUT), |s| {
        touch(s, b"a");
        s.rename(b"a", b"b", RenameFlags::WHITEOUT).unwrap();
        let whiteout = s.lstat(b"a").unwrap();
        assert_eq!((whiteout.kind, whiteout.rdev), (Kind::CharDevice, Device::default()));
        assert_eq!(s.lstat(b"b").unwrap().kind, Kind::Regular);
        s.unlink(b"a").unwrap();
    }
    "a rename changes the times of both directories and of the file's attributes",
    "inode(7)", ANY, |s| {
        s.mkdir(b"from", 0o755).unwrap();
        s.mkdir(b"to", 0o755).unwrap();
        touch(s, b"from/f");
        let before = [s.stat(b"from").unwrap(), s.stat(b"to").unwrap(), s.stat(b"from/f").unwrap()];
        pause();
        s.rename(b"from/f", b"to/g", PLAIN).unwrap();
        assert_eq!(moved(&before[0], &s.stat(b"from").unwrap()), (true, true));
        assert_eq!(moved(&before[1], &s.stat(b"to").unwrap()), (true, true));
        assert_eq!(moved(&before[2], &s.stat(b"to/g").unwrap()), (false, true));
    }
    "a rename that replaces drops one link of the file replaced", "rename(2)", ANY, |s| {
        touch(s, b"a");
        touch(s, b"b");
        s.link(b"b", b"other").unwrap();
        s.rename(b"a", b"b", PLAIN).unwrap();
        assert_eq!(s.stat(b"other").unwrap().nlink, 1);
        assert_eq!(s.stat(b"b").unwrap().nlink, 1);
    }
    "an open directory that is renamed stays usable", "rename(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        let fd = s.open(b"d", OpenFlags::DIRECTORY, 0).unwrap();
        s.rename(b"d", b"e", PLAIN).unwrap();
        touch(s, b"e/new");
        let listed: Vec<_> = s.getdents(fd).unwrap().into_iter().map(|e| e.name).collect();
        assert!(listed.contains(&b"new".to_vec()));
        s.close(fd).unwrap();
    }
    "a foreign directory cannot be moved to another parent", "rename(2)", USERS, |s| {
        s.chmod(b".", 0o777).unwrap();
        s.mkdir(b"from", 0o777).unwrap();
        s.mkdir(b"to", 0o777).unwrap();
        s.mkdir(b"from/dir", 0o755).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let answer = user.rename(b"from/dir", b"to/dir", PLAIN);
        assert_eq!(answer, Err(Errno::EACCES), "its .. changes");
        user.rename(b"from/dir", b"from/other", PLAIN).unwrap();
    }
}
