//! Path resolution, path_resolution(7).

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs_front::local::{O_PATH, O_TMPFILE};

const ANY: Abilities = Abilities::empty();

checks! {
    "the same directory by two paths has the same attributes", "D.6 lookup_simple", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        let direct = s.stat(b"dir").unwrap();
        assert_eq!(facts(&s.stat(b"dir/../dir").unwrap()), facts(&direct));
        assert_eq!(facts(&s.stat(b"dir/./../dir").unwrap()), facts(&direct));
    }
    "dots and doubled slashes change nothing", "D.6 lookup_complex", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        let direct = s.stat(b"dir").unwrap();
        for path in [&b"./dir/../././dir/."[..], b"dir/", b"dir//", b".//dir///.", b"dir/.//"] {
            assert_eq!(facts(&s.stat(path).unwrap()), facts(&direct), "{}", path.escape_ascii());
        }
    }
    "the empty path is no path", "path_resolution(7)", ANY, |s| {
        assert_eq!(s.stat(b"").err(), Some(Errno::ENOENT));
        assert_eq!(s.open(b"", MAKE, 0o644).err(), Some(Errno::ENOENT));
        assert_eq!(s.mkdir(b"", 0o755), Err(Errno::ENOENT));
        assert_eq!(s.unlink(b""), Err(Errno::ENOENT));
    }
    "a name of 255 bytes is allowed and one of 256 is too long",
    "D.6 create_nametoolong", ANY, |s| {
        let (most, more) = ([b'n'; 255], [b'n'; 256]);
        touch(s, &most);
        assert_eq!(names(s, b"."), [most.to_vec()]);
        assert_eq!(s.stat(&more).err(), Some(Errno::ENAMETOOLONG));
        assert_eq!(s.open(&more, MAKE, 0o644).err(), Some(Errno::ENAMETOOLONG));
        assert_eq!(s.mkdir(&more, 0o755), Err(Errno::ENAMETOOLONG));
        assert_eq!(s.symlink(b"x", &more), Err(Errno::ENAMETOOLONG));
        assert_eq!(s.link(&most, &more), Err(Errno::ENAMETOOLONG));
        assert_eq!(s.unlink(&more), Err(Errno::ENAMETOOLONG));
        assert_eq!(s.rmdir(&more), Err(Errno::ENAMETOOLONG));
        s.unlink(&most).unwrap();
    }
    "a rename to a name that is too long fails and changes nothing",
    "D.6 rename_nametoolong", ANY, |s| {
        touch(s, b"a");
        assert_eq!(s.rename(b"a", &[b'n'; 256], PLAIN), Err(Errno::ENAMETOOLONG));
        assert_eq!(names(s, b"."), [b"a"]);
    }
    "a path of 4095 bytes works and one of 4096 is too long", "PATH_MAX", ANY, |s| {
        touch(s, b"f");
        let mut path = b"./".repeat(2047);
        path.push(b'f');
        assert_eq!(path.len(), 4095);
        assert!(s.stat(&path).is_ok());
        path.insert(0, b'.');
        path.insert(1, b'/');
        path.remove(4095);
        assert_eq!(path.len(), 4096);
        assert_eq!(s.stat(&path).err(), Some(Errno::ENAMETOOLONG));
    }
    "directories nest deeper than one path can say", "PATH_MAX", ANY, |s| {
        // 20 levels of 250 bytes: 5000 bytes of path.
        let name = [b'd'; 250];
        for _ in 0..20 {
            s.mkdir(&name, 0o755).unwrap();
            s.chdir(&name).unwrap();
        }
        s.write_file(b"deep", b"down here").unwrap();
        assert_eq!(s.read_file(b"deep").unwrap(), b"down here");
        s.rename(b"deep", b"deeper", PLAIN).unwrap();
        assert_eq!(s.stat(b"deeper").unwrap().nlink, 1);
        s.unlink(b"deeper").unwrap();
        for _ in 0..20 {
            s.chdir(b"..").unwrap();
            s.rmdir(&name).unwrap();
        }
    }
    "what is no directory is not walked through", "path_resolution(7)", ANY, |s| {
        touch(s, b"file");
        s.symlink(b"file", b"link").unwrap();
        for path in [&b"file/x"[..], b"file/", b"file/.", b"file/..", b"link/", b"link/x"] {
            assert_eq!(s.stat(path).err(), Some(Errno::ENOTDIR), "{}", path.escape_ascii());
        }
        assert_eq!(s.open(b"file/x", MAKE, 0o644).err(), Some(Errno::ENOTDIR));
        assert_eq!(s.mkdir(b"file/x", 0o755), Err(Errno::ENOTDIR));
        assert_eq!(s.unlink(b"file/"), Err(Errno::ENOTDIR));
        assert_eq!(s.stat(b"none/x").err(), Some(Errno::ENOENT));
        assert_eq!(s.stat(b"none/..").err(), Some(Errno::ENOENT));
    }
    "forty symbolic links in a row are followed and the forty-first is a loop",
    "path_resolution(7)", ANY, |s| {
        touch(s, b"l0");
        for n in 1..=41u32 {
            let (to, name) = (format!("l{}", n - 1), format!("l{n}"));
            s.symlink(to.as_bytes(), name.as_bytes()).unwrap();
        }
        assert_eq!(s.stat(b"l40").unwrap().ino, s.stat(b"l0").unwrap().ino);
        assert_eq!(s.stat(b"l41").err(), Some(Errno::ELOOP));
        assert_eq!(s.open(b"l41", RO, 0).err(), Some(Errno::ELOOP));
        assert_eq!(s.lstat(b"l41").unwrap().kind, Kind::Symlink);
    }
    "a symbolic link to itself is a loop", "path_resolution(7)", ANY, |s| {
        s.symlink(b"me", b"me").unwrap();
        assert_eq!(s.stat(b"me").err(), Some(Errno::ELOOP));
        assert_eq!(s.chmod(b"me", 0o600), Err(Errno::ELOOP));
        assert_eq!(s.open(b"me", MAKE, 0o644).err(), Some(Errno::ELOOP));
        assert_eq!(s.readlink(b"me").unwrap(), b"me");
    }
    "symbolic links in the middle of a path are followed, also by lstat",
    "path_resolution(7)", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        s.mkdir(b"dir/sub", 0o755).unwrap();
        s.write_file(b"dir/sub/f", b"x").unwrap();
        s.symlink(b"dir/sub", b"there").unwrap();
        s.symlink(b"../..", b"dir/sub/back").unwrap();
        assert_eq!(s.lstat(b"there/f").unwrap().size, 1);
        assert_eq!(s.read_file(b"there/back/there/f").unwrap(), b"x");
        // `..` is the directory's own parent, not where the link stands.
        assert_eq!(s.stat(b"there/..").unwrap().ino, s.stat(b"dir").unwrap().ino);
        assert_eq!(s.lstat(b"there/").unwrap().kind, Kind::Directory);
    }
    "a link that leads nowhere is ENOENT, and O_CREAT makes its target", "open(2)", ANY, |s| {
        s.symlink(b"target", b"link").unwrap();
        assert_eq!(s.stat(b"link").err(), Some(Errno::ENOENT));
        assert_eq!(s.open(b"link", RO, 0).err(), Some(Errno::ENOENT));
        assert_eq!(s.open(b"link", NEW, 0o644).err(), Some(Errno::EEXIST));
        let fd = s.open(b"link", MAKE, 0o644).unwrap();
        s.close(fd).unwrap();
        assert_eq!(s.lstat(b"target").unwrap().kind, Kind::Regular);
        assert_eq!(s.lstat(b"link").unwrap().kind, Kind::Symlink);
    }
    "O_NOFOLLOW opens no symbolic link", "open(2)", ANY, |s| {
        touch(s, b"file");
        s.symlink(b"file", b"link").unwrap();
        s.symlink(b".", b"here").unwrap();
        assert_eq!(s.open(b"link", OpenFlags::NOFOLLOW, 0).err(), Some(Errno::ELOOP));
        let fd = s.open(b"here/file", OpenFlags::NOFOLLOW, 0).unwrap();
        s.close(fd).unwrap();
        let fd = s.open(b"link", O_PATH.with(OpenFlags::NOFOLLOW), 0).unwrap();
        assert_eq!(s.fstat(fd).unwrap().kind, Kind::Symlink);
        assert_eq!(s.read(fd, &mut [0; 1]), Err(Errno::EBADF));
        s.close(fd).unwrap();
    }
    "O_DIRECTORY opens directories only", "open(2)", ANY, |s| {
        touch(s, b"file");
        s.mkdir(b"dir", 0o755).unwrap();
        assert_eq!(s.open(b"file", OpenFlags::DIRECTORY, 0).err(), Some(Errno::ENOTDIR));
        let fd = s.open(b"dir", OpenFlags::DIRECTORY, 0).unwrap();
        s.close(fd).unwrap();
        assert_eq!(s.open(b"dir", WO, 0).err(), Some(Errno::EISDIR));
        assert_eq!(s.open(b"dir", RW, 0).err(), Some(Errno::EISDIR));
        assert_eq!(s.open(b"dir", MAKE, 0o644).err(), Some(Errno::EISDIR));
        assert_eq!(s.open(b"dir", OpenFlags::TRUNC, 0).err(), Some(Errno::EISDIR));
        assert_eq!(s.open(b"new/", MAKE, 0o644).err(), Some(Errno::EISDIR));
        assert_eq!(s.open(b".", MAKE, 0o644).err(), Some(Errno::EISDIR));
        assert_eq!(s.open(b".", NEW, 0o644).err(), Some(Errno::EEXIST));
        assert_eq!(s.open(b"file", O_TMPFILE.with(RW), 0o644).err(), Some(Errno::ENOTDIR));
    }
    "a file opened under an open directory is that directory's", "openat(2)", ANY, |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        let dir = s.open(b"dir", OpenFlags::DIRECTORY, 0).unwrap();
        let fd = s.openat(dir, b"f", NEW, 0o644).unwrap();
        s.rename(b"dir", b"moved", PLAIN).unwrap();
        let other = s.openat(dir, b"g", NEW, 0o644).unwrap();
        assert_eq!(names(s, b"moved"), [b"f", b"g"]);
        for fd in [fd, other, dir] {
            s.close(fd).unwrap();
        }
    }
    "the working directory has a path, also after it was renamed", "getcwd(3)", ANY, |s| {
        s.mkdir(b"a", 0o755).unwrap();
        s.mkdir(b"a/b", 0o755).unwrap();
        s.chdir(b"a/b").unwrap();
        assert!(s.getcwd().unwrap().ends_with(b"/a/b"));
        s.rename(b"../../a", b"../../c", PLAIN).unwrap();
        assert!(s.getcwd().unwrap().ends_with(b"/c/b"));
        s.chdir(b"..").unwrap();
        assert_eq!(names(s, b"."), [b"b"]);
        assert_eq!(s.chdir(b"none"), Err(Errno::ENOENT));
        touch(s, b"file");
        assert_eq!(s.chdir(b"file"), Err(Errno::ENOTDIR));
    }
    "nothing can be made in a working directory that was removed", "D.6 dir_rmdirdotdot", ANY, |s| {
        s.mkdir(b"test", 0o755).unwrap();
        s.mkdir(b"test/sub", 0o755).unwrap();
        s.chdir(b"test/sub").unwrap();
        s.rmdir(b"../../test/sub").unwrap();
        assert_eq!(s.open(b"x", MAKE, 0o644).err(), Some(Errno::ENOENT));
        assert_eq!(s.mkdir(b"x", 0o755), Err(Errno::ENOENT));
        assert_eq!(s.symlink(b"x", b"y"), Err(Errno::ENOENT));
        assert_eq!(s.stat(b"x").err(), Some(Errno::ENOENT));
        assert_eq!(s.stat(b".").unwrap().nlink, 0);
    }
    "chdir through a link to the root works", "D.6 symlink_root", ANY, |s| {
        s.symlink(b"/", b"root").unwrap();
        s.chdir(b"root").unwrap();
        assert_eq!(s.getcwd().unwrap(), b"/");
        let (root, above) = (s.stat(b".").unwrap(), s.stat(b"..").unwrap());
        assert_eq!((root.dev, root.ino), (above.dev, above.ino), "the root's parent is the root");
    }
    "the parent shows in .. after the directory moved", "rename(2)", ANY, |s| {
        for dir in [&b"a"[..], b"b", b"a/child"] {
            s.mkdir(dir, 0o755).unwrap();
        }
        s.rename(b"a/child", b"b/child", PLAIN).unwrap();
        assert_eq!(s.stat(b"b/child/..").unwrap().ino, s.stat(b"b").unwrap().ino);
        let up = s.readdir(b"b/child").unwrap().into_iter().find(|e| e.name == b"..").unwrap();
        assert_eq!(up.ino, s.stat(b"b").unwrap().ino);
    }
    "access refuses bits that mean nothing", "D.6 access_simple", ANY, |s| {
        touch(s, b"file");
        assert_eq!(s.access(b"file", 0), Ok(()));
        assert_eq!(s.access(b"none", 0), Err(Errno::ENOENT));
        for bits in [8, 16, 0o777, 1 << 30] {
            assert_eq!(s.access(b"file", bits), Err(Errno::EINVAL), "{bits:#o}");
        }
    }
}
