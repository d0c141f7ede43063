//! Names: making them, finding them, taking them away.

use super::fileflags::FileFlags;
use super::inode::{Body, Inode};
use super::{exclusive, now, shared};
use filofs::{Context, Device, Errno, Kind, MakeHow, Name, Node, OpenFlags, Result, locked};
use std::sync::Arc;

/// The longest target of a symbolic link, in bytes (PATH_MAX without its NUL).
const LONGEST_TARGET: usize = 4095;

/// Makes a file of any kind but symlink.
pub(super) fn make(
    cx: &Context<'_>,
    dir: &Node,
    name: Name<'_>,
    kind: Kind,
    how: &MakeHow,
) -> Result<Arc<Inode>> {
    add(&Inode::arc_of(dir)?, name, |dir| Inode::new_in(dir, cx, kind, how, Body::Plain))
}

pub(super) fn symlink(
    cx: &Context<'_>,
    dir: &Node,
    name: Name<'_>,
    target: &[u8],
) -> Result<Arc<Inode>> {
    if target.len() > LONGEST_TARGET {
        return Err(Errno::ENAMETOOLONG);
    }
    add(&Inode::arc_of(dir)?, name, |dir| {
        let body = Body::Symlink(target.into());
        Inode::new_in(dir, cx, Kind::Symlink, &MakeHow::default(), body)
    })
}

/// The inode of that name, or a new regular file; and whether it is new.
pub(super) fn create(
    cx: &Context<'_>,
    dir: &Node,
    name: Name<'_>,
    how: &MakeHow,
) -> Result<(Arc<Inode>, bool)> {
    loop {
        match make(cx, dir, name, Kind::Regular, how) {
            Ok(inode) => return Ok((inode, true)),
            Err(Errno::EEXIST) if !how.flags.has(OpenFlags::EXCL) => {}
            Err(errno) => return Err(errno),
        }
        match lookup(dir, name) {
            Ok(inode) => return Ok((inode, false)),
            // It went in between.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A regular file without a name.
pub(super) fn tmpfile(cx: &Context<'_>, dir: &Node, how: &MakeHow) -> Result<Arc<Inode>> {
    let dir = Inode::arc_of(dir)?;
    if shared(&dir.folder()?.entries).is_removed() {
        return Err(Errno::ENOENT);
    }
    may_add(&dir)?;
    let inode = Inode::new_in(&dir, cx, Kind::Regular, how, Body::Plain)?;
    let mut meta = locked(&inode.meta);
    meta.nlink = 0;
    meta.linkable = !how.flags.has(OpenFlags::EXCL);
    drop(meta);
    Ok(inode)
}

pub(super) fn lookup(dir: &Node, name: Name<'_>) -> Result<Arc<Inode>> {
    let entries = shared(&Inode::of(dir)?.folder()?.entries);
    entries.get(name.bytes()).map(|dent| dent.inode.clone()).ok_or(Errno::ENOENT)
}

/// The directory that a directory is in. ENOENT for one that was removed.
pub(super) fn parent(dir: &Node) -> Result<Arc<Inode>> {
    let dir = Inode::arc_of(dir)?;
    let folder = dir.folder()?;
    if shared(&folder.entries).is_removed() {
        return Err(Errno::ENOENT);
    }
    Ok(folder.parent().unwrap_or(dir))
}

pub(super) fn link(node: &Node, dir: &Node, name: Name<'_>) -> Result<Arc<Inode>> {
    let inode = Inode::arc_of(node)?;
    if inode.kind == Kind::Directory {
        return Err(Errno::EPERM);
    }
    add(&Inode::arc_of(dir)?, name, |_| {
        let mut meta = locked(&inode.meta);
        if meta.flags.frozen() {
            return Err(Errno::EPERM);
        }
        match meta.nlink {
            0 if !meta.linkable => return Err(Errno::ENOENT),
            // Its one inode is paid for.
            0 => meta.linkable = false,
            Inode::MOST_LINKS => return Err(Errno::EMLINK),
            _ => inode.volume.space.inodes.take(1)?,
        }
        meta.nlink += 1;
        meta.ctime = now();
        drop(meta);
        Ok(inode.clone())
    })
}

pub(super) fn unlink(dir: &Node, name: Name<'_>) -> Result<()> {
    let dir = Inode::of(dir)?;
    let mut entries = exclusive(&dir.folder()?.entries);
    let dent = entries.get(name.bytes()).ok_or(Errno::ENOENT)?;
    if dent.inode.kind == Kind::Directory {
        return Err(Errno::EISDIR);
    }
    may_remove(dir, &dent.inode)?;
    let gone = entries.remove(name.bytes());
    if let Some(dent) = &gone {
        dent.inode.unlinked();
    }
    dir.touch();
    drop(entries);
    drop(gone); // frees the data, if it was the last
    Ok(())
}

pub(super) fn rmdir(dir: &Node, name: Name<'_>) -> Result<()> {
    let dir = Inode::of(dir)?;
    let mut entries = exclusive(&dir.folder()?.entries);
    let dent = entries.get(name.bytes()).ok_or(Errno::ENOENT)?;
    let folder = dent.inode.folder()?;
    may_remove(dir, &dent.inode)?;
    exclusive(&folder.entries).remove_self()?;
    let gone = entries.remove(name.bytes());
    if let Some(dent) = &gone {
        dent.inode.unlinked();
    }
    dir.touch();
    drop(entries);
    drop(gone);
    Ok(())
}

/// Lets a new name in a directory lead to what `child` answers, which is asked when nothing else
/// is in the way.
fn add(
    dir: &Arc<Inode>,
    name: Name<'_>,
    child: impl FnOnce(&Arc<Inode>) -> Result<Arc<Inode>>,
) -> Result<Arc<Inode>> {
    let mut entries = exclusive(&dir.folder()?.entries);
    entries.check_new(name.bytes())?;
    may_add(dir)?;
    let child = child(dir)?;
    if child.kind == Kind::Directory && entries.subdirs() >= Inode::MOST_LINKS - 2 {
        drop(entries);
        return Err(Errno::EMLINK);
    }
    let none = entries.put(name.bytes(), child.clone());
    dir.touch();
    drop(entries);
    drop(none);
    Ok(child)
}

/// EPERM in an immutable directory.
pub(super) fn may_add(dir: &Inode) -> Result<()> {
    let flags = locked(&dir.meta).flags;
    if flags.contains(FileFlags::IMMUTABLE) { Err(Errno::EPERM) } else { Ok(()) }
}

/// EPERM when the directory or the file must stay as it is.
pub(super) fn may_remove(dir: &Inode, inode: &Inode) -> Result<()> {
    let dir = locked(&dir.meta).flags;
    let inode = locked(&inode.meta).flags;
    if dir.frozen() || inode.frozen() { Err(Errno::EPERM) } else { Ok(()) }
}

/// What overlay file systems leave in the place of a name: a character device 0/0.
pub(super) fn whiteout(cx: &Context<'_>, dir: &Arc<Inode>) -> Result<Arc<Inode>> {
    let how = MakeHow { rdev: Device::default(), ..MakeHow::mode(0) };
    Inode::new_in(dir, cx, Kind::CharDevice, &how, Body::Plain)
}

#[cfg(test)]
mod tests {
    use super::super::testfs::{NONE, TestFs, name, tick};
    use super::*;
    use filofs::{Cookie, FileSystem, Gid, OpenHow, ReleaseHow, SetAttr, Uid};

    const KINDS: [Kind; 7] = [
        Kind::Regular,
        Kind::Directory,
        Kind::Symlink,
        Kind::Fifo,
        Kind::Socket,
        Kind::CharDevice,
        Kind::BlockDevice,
    ];

    #[test]
    fn every_kind_is_made_found_and_taken_away() {
        let fs = TestFs::new().by(7, 8);
        for kind in KINDS {
            let rdev = Device { major: 5, minor: 300 };
            let how = MakeHow { rdev, umask: 0o027, ..MakeHow::mode(0o7777) };
            let made = fs.make("x", kind, how).unwrap();
            assert_eq!(fs.make("x", kind, how).unwrap_err(), Errno::EEXIST);
            let attr = fs.stat("x").unwrap();
            assert_eq!((attr.kind, attr.uid, attr.gid), (kind, Uid(7), Gid(8)));
            assert_eq!(attr.nlink, if kind == Kind::Directory { 2 } else { 1 });
            assert_eq!(attr.mode, if kind == Kind::Symlink { 0o777 } else { 0o7750 });
            let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
            assert_eq!(attr.rdev, if device { rdev } else { Device::default() });
            assert_eq!(attr.size, if kind == Kind::Symlink { 6 } else { 0 });
            assert_eq!(attr, fs.attr(&made).unwrap());
            if kind == Kind::Directory {
                assert_eq!(fs.unlink("x"), Err(Errno::EISDIR));
                fs.rmdir("x").unwrap();
            } else {
                assert_eq!(fs.rmdir("x"), Err(Errno::ENOTDIR));
                assert_eq!(fs.make("x/y", Kind::Regular, how).unwrap_err(), Errno::ENOTDIR);
                fs.unlink("x").unwrap();
            }
            assert_eq!(fs.attr(&made).unwrap().nlink, 0);
        }
        let how = MakeHow::default();
        let root = fs.root();
        let odd = fs.mem.mknod(&fs.cx, &root, name("d"), Kind::Directory, how);
        assert_eq!(odd.unwrap_err(), Errno::EPERM);
        fs.assert_empty();
    }

    #[test]
    fn symlink_long() {
        // D.6 symlink_long, symlink_zerolen, lstat_symlink.
        let fs = TestFs::new();
        let symlink = |len: usize| {
            let made = fs.mem.symlink(&fs.cx, &fs.root(), name("l"), &vec![b'x'; len]);
            made.map(|entry| {
                fs.unlink("l").unwrap();
                entry.attr.size
            })
        };
        for k in 0..=16 {
            for len in [(1 << k) - 1, 1 << k, (1 << k) + 1] {
                let expected = if len < 4096 { Ok(len as u64) } else { Err(Errno::ENAMETOOLONG) };
                assert_eq!(symlink(len), expected);
            }
        }
        fs.assert_empty();
    }

    #[test]
    fn dir_notempty() {
        // D.6 dir_simple, dir_notempty.
        let fs = TestFs::new();
        fs.mkdir("d");
        fs.file("d/f", b"");
        assert_eq!(fs.rmdir("d"), Err(Errno::ENOTEMPTY));
        fs.unlink("d/f").unwrap();
        fs.rmdir("d").unwrap();
        assert_eq!(fs.rmdir("d"), Err(Errno::ENOENT));
        fs.assert_empty();
    }

    #[test]
    fn nothing_comes_into_a_directory_that_was_removed() {
        // D.6 dir_rmdirdotdot.
        let fs = TestFs::new();
        fs.mkdir("a");
        let dir = fs.mkdir("a/b");
        let file = fs.file("f", b"");
        fs.rmdir("a/b").unwrap();
        fs.rmdir("a").unwrap();
        let cx = &fs.cx;
        assert_eq!(fs.mem.parent(cx, &dir).unwrap_err(), Errno::ENOENT);
        let how = MakeHow::mode(0o755);
        assert_eq!(fs.mem.mkdir(cx, &dir, name("x"), how).unwrap_err(), Errno::ENOENT);
        assert_eq!(fs.mem.link(cx, &file, &dir, name("x")).unwrap_err(), Errno::ENOENT);
        assert_eq!(fs.mem.tmpfile(cx, &dir, how).unwrap_err(), Errno::ENOENT);
        let moved = fs.mem.rename(cx, &fs.root(), name("f"), &dir, name("x"), NONE);
        assert_eq!(moved, Err(Errno::ENOENT));
        assert_eq!(fs.attr(&dir).unwrap().nlink, 0);
        drop((dir, file));
        fs.unlink("f").unwrap();
        fs.assert_empty();
    }

    #[test]
    fn parents_are_found_and_counted() {
        let fs = TestFs::new();
        let (a, b) = (fs.mkdir("a"), fs.mkdir("a/b"));
        let parent = |node: &Node| fs.mem.parent(&fs.cx, node).unwrap().cookie;
        assert_eq!(parent(&b), a.cookie());
        assert_eq!(parent(&a), Cookie(1));
        assert_eq!(parent(&fs.root()), Cookie(1));
        assert_eq!(fs.stat("a").unwrap().nlink, 3);
        fs.file("a/f", b"");
        assert_eq!(fs.stat("a").unwrap().nlink, 3);
        fs.rmdir("a/b").unwrap();
        assert_eq!(fs.stat("a").unwrap().nlink, 2);
        let file = fs.walk("a/f").unwrap();
        assert_eq!(fs.mem.parent(&fs.cx, &file).unwrap_err(), Errno::ENOTDIR);
    }

    #[test]
    fn names_of_one_file() {
        let fs = TestFs::new();
        let file = fs.file("a", b"data");
        fs.link(&file, "b").unwrap();
        assert_eq!(fs.link(&file, "b"), Err(Errno::EEXIST));
        let attr = fs.stat("b").unwrap();
        assert_eq!((attr.ino, attr.nlink), (file.cookie().0, 2));
        fs.unlink("a").unwrap();
        assert_eq!(fs.stat("b").unwrap().nlink, 1);
        fs.unlink("b").unwrap();
        assert_eq!(fs.link(&file, "c"), Err(Errno::ENOENT), "it has had its last name");
        assert_eq!(fs.read(&file), b"data", "open files live on");
        let dir = fs.mkdir("d");
        assert_eq!(fs.link(&dir, "e"), Err(Errno::EPERM));
        fs.rmdir("d").unwrap();
        drop(file);
        drop(dir);
        fs.assert_empty();
    }

    #[test]
    fn links_and_subdirectories_have_a_limit() {
        let fs = TestFs::new();
        let file = fs.file("a", b"");
        locked(&Inode::of(&file).unwrap().meta).nlink = Inode::MOST_LINKS;
        assert_eq!(fs.link(&file, "b"), Err(Errno::EMLINK));
        locked(&Inode::of(&file).unwrap().meta).nlink = 1;
        fs.link(&file, "b").unwrap();
    }

    #[test]
    fn inodes_and_further_names_have_a_limit() {
        let fs = TestFs::with(1 << 20, 4);
        let file = fs.file("a", b"");
        fs.link(&file, "b").unwrap();
        fs.make("s", Kind::Symlink, MakeHow::default()).unwrap();
        assert_eq!(fs.link(&file, "c"), Err(Errno::ENOSPC));
        let full = fs.make("c", Kind::Fifo, MakeHow::default());
        assert_eq!(full.unwrap_err(), Errno::ENOSPC);
        assert_eq!(fs.mem.statfs(&fs.cx, &file).unwrap().ffree, 0);
        assert_eq!(fs.stat("a").unwrap().nlink, 2);
        for path in ["a", "b", "s"] {
            fs.unlink(path).unwrap();
        }
        drop(file);
        fs.assert_empty();
    }

    #[test]
    fn create_exist() {
        // D.6 create_exist.
        let fs = TestFs::new();
        let create = |path: &str, flags: OpenFlags| {
            let how = MakeHow { flags, ..MakeHow::mode(0o644) };
            fs.mem.create(&fs.cx, &fs.root(), name(path), how).map(|made| made.entry)
        };
        let excl = OpenFlags::RDWR.with(OpenFlags::EXCL);
        let first = create("f", excl).unwrap().cookie;
        fs.unlink("f").unwrap();
        let second = create("f", excl).unwrap().cookie;
        assert_ne!(first, second);
        assert_eq!(create("f", excl).unwrap_err(), Errno::EEXIST);
        assert_eq!(create("f", OpenFlags::RDWR).unwrap().cookie, second);
        let node = fs.walk("f").unwrap();
        fs.write(&node, OpenFlags::RDWR, 0, b"bytes").unwrap();
        let cut = create("f", OpenFlags::RDWR.with(OpenFlags::TRUNC)).unwrap();
        assert_eq!((cut.cookie, cut.attr.size), (second, 0));
        fs.mkdir("d");
        assert_eq!(create("d", OpenFlags::RDWR).unwrap_err(), Errno::EISDIR);
        fs.make("l", Kind::Symlink, MakeHow::default()).unwrap();
        assert_eq!(create("l", OpenFlags::RDWR).unwrap_err(), Errno::ELOOP);
    }

    #[test]
    fn files_without_a_name() {
        let fs = TestFs::new();
        let tmpfile = |flags| {
            let how = MakeHow { flags, ..MakeHow::mode(0o600) };
            Node::detached(&fs.mem.tmpfile(&fs.cx, &fs.root(), how).unwrap().entry)
        };
        let open = tmpfile(OpenFlags::RDWR);
        assert_eq!(fs.attr(&open).unwrap().nlink, 0);
        fs.write(&open, OpenFlags::RDWR, 0, b"kept").unwrap();
        fs.link(&open, "f").unwrap();
        assert_eq!(fs.stat("f").unwrap().nlink, 1);
        assert_eq!(fs.read(&fs.walk("f").unwrap()), b"kept");
        fs.unlink("f").unwrap();
        assert_eq!(fs.link(&open, "f"), Err(Errno::ENOENT));
        let closed = tmpfile(OpenFlags::RDWR.with(OpenFlags::EXCL));
        assert_eq!(fs.link(&closed, "f"), Err(Errno::ENOENT));
        drop((open, closed));
        fs.assert_empty();
    }

    #[test]
    fn the_group_of_a_directory_with_its_bit_is_inherited() {
        let fs = TestFs::new();
        let dir = fs.mkdir("d");
        let group = SetAttr { gid: Some(Gid(50)), mode: Some(0o2777), ..SetAttr::default() };
        fs.set(&dir, group).unwrap();
        let user = fs.by(1000, 1000);
        user.file("d/f", b"");
        user.mkdir("d/sub");
        let of = |path: &str| fs.stat(path).map(|attr| (attr.gid, attr.mode)).unwrap();
        assert_eq!(of("d/f"), (Gid(50), 0o644));
        assert_eq!(of("d/sub"), (Gid(50), 0o2755));
        // A program that would run with the group of others, made by somebody not in it.
        let how = MakeHow::mode(0o2755);
        user.make("d/p", Kind::Regular, how).unwrap();
        assert_eq!(of("d/p"), (Gid(50), 0o755));
        fs.by(1000, 50).make("d/q", Kind::Regular, how).unwrap();
        assert_eq!(of("d/q"), (Gid(50), 0o2755));
        user.make("d/m", Kind::Regular, MakeHow::mode(0o2644)).unwrap();
        assert_eq!(of("d/m"), (Gid(50), 0o2644), "no program");
    }

    #[test]
    fn names_change_the_times_of_their_directory() {
        let fs = TestFs::new();
        let dir = fs.mkdir("d");
        let file = fs.file("f", b"");
        let moves = |what: &str, act: &dyn Fn()| {
            tick();
            let before = fs.attr(&dir).unwrap();
            act();
            let after = fs.attr(&dir).unwrap();
            assert!(after.mtime > before.mtime, "{what}");
            assert_eq!(after.ctime, after.mtime, "{what}");
            assert_eq!(after.btime, before.btime, "{what}");
        };
        moves("link", &|| fs.link(&file, "d/l").unwrap());
        moves("mkdir", &|| drop(fs.mkdir("d/s")));
        moves("rename", &|| fs.rename("d/l", "d/k", NONE).unwrap());
        moves("rename out", &|| fs.rename("d/k", "k", NONE).unwrap());
        moves("rename in", &|| fs.rename("k", "d/k", NONE).unwrap());
        let before = fs.attr(&file).unwrap().ctime;
        tick();
        moves("unlink", &|| fs.unlink("d/k").unwrap());
        assert!(fs.attr(&file).unwrap().ctime > before, "it has a name fewer");
        moves("rmdir", &|| fs.rmdir("d/s").unwrap());
    }

    #[test]
    fn a_tree_of_any_depth_is_dropped() {
        let fs = TestFs::new();
        let mut dir = fs.root();
        for _ in 0..100_000 {
            let entry = fs.mem.mkdir(&fs.cx, &dir, name("d"), MakeHow::mode(0o755)).unwrap();
            dir = Node::detached(&entry);
        }
        drop(dir);
        let volume = fs.mem.volume.clone();
        assert_eq!(volume.space.inodes.used(), 100_001);
        drop(fs);
        assert_eq!(volume.space.inodes.used(), 0);
    }

    #[test]
    fn locks_go_with_their_owners() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let open = fs.open(&node, OpenFlags::RDWR).unwrap();
        let owner = filofs::LockOwner(3);
        let whole = filofs::Lock::whole(filofs::LockKind::Exclusive);
        fs.mem.setlk(&fs.cx, &node, &open, owner, whole, false).unwrap();
        fs.mem.flock(&fs.cx, &node, &open, owner, whole.kind, false).unwrap();
        let other = filofs::LockOwner(4);
        let in_the_way = fs.mem.getlk(&fs.cx, &node, &open, other, whole).unwrap();
        assert_eq!(in_the_way.kind, filofs::LockKind::Exclusive);
        fs.mem.flush(&fs.cx, &node, &open, owner).unwrap();
        fs.mem.setlk(&fs.cx, &node, &open, other, whole, false).unwrap();
        fs.mem.flush(&fs.cx, &node, &open, other).unwrap();
        fs.mem.release(&fs.cx, &node, &open, ReleaseHow { owner: Some(owner) }).unwrap();
        // A client that died without a word: they go with the file.
        fs.mem.setlk(&fs.cx, &node, &open, other, whole, false).unwrap();
        fs.unlink("f").unwrap();
        drop((node, open));
        fs.assert_empty();
    }

    #[test]
    fn a_directory_is_opened_to_be_read_only() {
        let fs = TestFs::new();
        let open = |path: &str, flags| {
            let how = OpenHow { flags, kill_priv: false };
            fs.mem.open(&fs.cx, &fs.walk(path).unwrap(), how).map(drop)
        };
        fs.file("f", b"");
        fs.make("l", Kind::Symlink, MakeHow::default()).unwrap();
        assert_eq!(open("", OpenFlags::DIRECTORY), Ok(()));
        assert_eq!(open("", OpenFlags::RDWR), Err(Errno::EISDIR));
        assert_eq!(open("f", OpenFlags::DIRECTORY), Err(Errno::ENOTDIR));
        assert_eq!(open("l", OpenFlags::RDONLY), Err(Errno::ELOOP));
    }
}
