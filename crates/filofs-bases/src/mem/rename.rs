//! `rename`: renameat2(2).
//!
//! A name that moves between directories does so alone in the volume (`Volume::renames`), so the
//! way up from either directory is fixed while it is looked at, and no two renames can each put
//! its directory below the other's (A6). The two directories are locked the upper first, so that
//! this agrees with `rmdir`, which locks a directory and then the one in it.

use super::directory::Directory;
use super::exclusive;
use super::inode::{Folder, Inode};
use super::tree::{may_add, may_remove, whiteout};
use filofs::{Context, Errno, Kind, Name, RenameFlags, Result, locked};
use std::sync::{Arc, RwLockWriteGuard};

pub(super) fn rename(
    cx: &Context<'_>,
    dir: &Arc<Inode>,
    name: Name<'_>,
    to_dir: &Arc<Inode>,
    to_name: Name<'_>,
    flags: RenameFlags,
) -> Result<()> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    if RenameFlags::from_bits(flags.bits()).is_none()
        || exchange && flags.intersects(RenameFlags::NOREPLACE | RenameFlags::WHITEOUT)
    {
        return Err(Errno::EINVAL);
    }
    let (folder, to_folder) = (dir.folder()?, to_dir.folder()?);
    let within = Arc::ptr_eq(dir, to_dir);
    let turn = (!within).then(|| locked(&dir.volume.renames));
    let above = if within { Vec::new() } else { upward(dir) };
    let to_above = if within { Vec::new() } else { upward(to_dir) };
    let mut pair = if within {
        Pair::Same(exclusive(&folder.entries))
    } else if above.contains(&to_dir.ino) || !to_above.contains(&dir.ino) && to_dir.ino < dir.ino {
        let to = exclusive(&to_folder.entries);
        Pair::Two { from: exclusive(&folder.entries), to }
    } else {
        let from = exclusive(&folder.entries);
        Pair::Two { from, to: exclusive(&to_folder.entries) }
    };

    let (name, to_name) = (name.bytes(), to_name.bytes());
    let source = pair.from().get(name).ok_or(Errno::ENOENT)?.inode.clone();
    if pair.to().is_removed() {
        return Err(Errno::ENOENT);
    }
    let target = pair.to().get(to_name).map(|dent| dent.inode.clone());
    match &target {
        None if exchange => return Err(Errno::ENOENT),
        Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EEXIST),
        _ => {}
    }
    if to_above.contains(&source.ino) {
        return Err(Errno::EINVAL);
    }
    if target.as_ref().is_some_and(|target| above.contains(&target.ino)) {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &source)) {
        return Ok(());
    }
    may_remove(dir, &source)?;
    let moves_dir = source.kind == Kind::Directory;
    let over_dir = target.as_ref().is_some_and(|target| target.kind == Kind::Directory);
    match &target {
        None => may_add(to_dir)?,
        Some(target) => {
            may_remove(to_dir, target)?;
            if !exchange && moves_dir && !over_dir {
                return Err(Errno::ENOTDIR);
            }
            if !exchange && !moves_dir && over_dir {
                return Err(Errno::EISDIR);
            }
        }
    }
    let full = |entries: &Directory| entries.subdirs() >= Inode::MOST_LINKS - 2;
    if !within
        && (moves_dir && !over_dir && full(pair.to())
            || exchange && over_dir && !moves_dir && full(pair.from()))
    {
        return Err(Errno::EMLINK);
    }
    if target.is_none() {
        pair.to().check_new(to_name)?;
    }

    // What is left over is dropped when everything is unlocked.
    let mut gone = Vec::new();
    if let Some(target) = target.filter(|_| exchange) {
        gone.push(pair.to().put(to_name, source.clone()));
        gone.push(pair.from().put(name, target.clone()));
        if over_dir {
            target.folder()?.set_parent(dir);
        }
        target.touch_ctime();
    } else {
        let whiteout = flags.contains(RenameFlags::WHITEOUT).then(|| whiteout(cx, dir));
        let whiteout = whiteout.transpose()?;
        if over_dir && let Some(dent) = pair.to().get(to_name) {
            exclusive(&dent.inode.folder()?.entries).remove_self()?;
        }
        let replaced = pair.to().put(to_name, source.clone());
        if let Some(dent) = &replaced {
            dent.inode.unlinked();
        }
        gone.push(replaced);
        gone.push(match whiteout {
            Some(whiteout) => pair.from().put(name, whiteout),
            None => pair.from().remove(name),
        });
    }
    if moves_dir {
        source.folder()?.set_parent(to_dir);
    }
    source.touch_ctime();
    dir.touch();
    if !within {
        to_dir.touch();
    }
    drop(pair);
    drop(turn);
    drop(gone);
    Ok(())
}

/// The directories concerned, locked.
enum Pair<'a> {
    Same(RwLockWriteGuard<'a, Directory>),
    Two { from: RwLockWriteGuard<'a, Directory>, to: RwLockWriteGuard<'a, Directory> },
}

impl Pair<'_> {
    fn from(&mut self) -> &mut Directory {
        match self {
            Pair::Same(both) => both,
            Pair::Two { from, .. } => from,
        }
    }

    fn to(&mut self) -> &mut Directory {
        match self {
            Pair::Same(both) => both,
            Pair::Two { to, .. } => to,
        }
    }
}

/// The numbers of a directory and of all that it is in.
fn upward(dir: &Arc<Inode>) -> Vec<u64> {
    let mut way = Vec::new();
    let mut next = Some(dir.clone());
    while let Some(dir) = next {
        way.push(dir.ino);
        next = dir.folder().ok().and_then(Folder::parent);
    }
    way
}

#[cfg(test)]
mod tests {
    use super::super::testfs::{NONE, TestFs, name};
    use super::*;
    use filofs::{Device, FileSystem, Node, Nodes};

    #[test]
    fn rename_dir() {
        // D.6 rename_dir.
        let fs = TestFs::new();
        fs.mkdir("d");
        fs.file("d/f", b"x");
        let before = fs.stat("d/f").unwrap();
        fs.rename("d", "e", NONE).unwrap();
        assert_eq!(fs.stat("e/f").unwrap(), before);
        assert_eq!(fs.stat("d").unwrap_err(), Errno::ENOENT);
        fs.mkdir("e/child");
        fs.mkdir("e/child/grandchild");
        assert_eq!(fs.rename("e", "e/child/x", NONE), Err(Errno::EINVAL));
        assert_eq!(fs.rename("e", "e/x", NONE), Err(Errno::EINVAL));
        assert_eq!(fs.rename("e", "e/child/grandchild/x", NONE), Err(Errno::EINVAL));
        assert_eq!(fs.rename("e", "e/child", NONE), Err(Errno::EINVAL));
        assert_eq!(fs.rename("e/child", "e", NONE), Err(Errno::ENOTEMPTY));
        assert_eq!(fs.rename("e/child/grandchild", "e", NONE), Err(Errno::ENOTEMPTY));
        assert_eq!(fs.rename("e/f", "e", NONE), Err(Errno::ENOTEMPTY));
        fs.mkdir("g");
        assert_eq!(fs.rename("g", "e", NONE), Err(Errno::ENOTEMPTY));
        fs.rename("e/child", "g", NONE).unwrap(); // over an empty directory
        assert_eq!(fs.list("g"), ["grandchild"]);
        fs.rename("g/grandchild", "e/grandchild", NONE).unwrap();
        let of = |path: &str| fs.stat(path).unwrap().nlink;
        assert_eq!((of(""), of("e"), of("g")), (4, 3, 2));
        let inside = fs.walk("e/grandchild").unwrap();
        let parent = fs.mem.parent(&fs.cx, &inside).unwrap();
        assert_eq!(parent.cookie, fs.walk("e").unwrap().cookie());
    }

    #[test]
    fn rename_reg_nodir() {
        // D.6 rename_reg_nodir.
        let fs = TestFs::new();
        let a = fs.file("a", b"a");
        let b = fs.file("b", b"b");
        fs.rename("a", "b", NONE).unwrap();
        assert_eq!(fs.stat("b").unwrap().ino, a.cookie().0);
        assert_eq!(fs.attr(&b).unwrap().nlink, 0);
        assert_eq!(fs.list(""), ["b"]);
        fs.link(&a, "c").unwrap();
        fs.rename("b", "c", NONE).unwrap();
        assert_eq!(fs.list(""), ["b", "c"], "two links of one file: nothing happens");
        assert_eq!(fs.rename("x", "y", NONE), Err(Errno::ENOENT));
        fs.rename("b", "b", NONE).unwrap();
        drop((a, b));
        fs.unlink("b").unwrap();
        fs.unlink("c").unwrap();
        fs.assert_empty();
    }

    #[test]
    fn kinds_must_agree() {
        let fs = TestFs::new();
        fs.file("f", b"");
        fs.mkdir("d");
        fs.mkdir("e");
        assert_eq!(fs.rename("f", "d", NONE), Err(Errno::EISDIR));
        assert_eq!(fs.rename("d", "f", NONE), Err(Errno::ENOTDIR));
        assert_eq!(fs.rename("f/x", "y", NONE), Err(Errno::ENOTDIR));
        fs.rename("d", "e", NONE).unwrap();
        assert_eq!(fs.list(""), ["f", "e"]);
        assert_eq!(fs.stat("").unwrap().nlink, 3);
    }

    #[test]
    fn flags() {
        let fs = TestFs::new();
        fs.file("f", b"");
        fs.file("g", b"");
        let both = RenameFlags::EXCHANGE | RenameFlags::NOREPLACE;
        assert_eq!(fs.rename("f", "g", both), Err(Errno::EINVAL));
        let both = RenameFlags::EXCHANGE | RenameFlags::WHITEOUT;
        assert_eq!(fs.rename("f", "g", both), Err(Errno::EINVAL));
        assert_eq!(fs.rename("f", "g", RenameFlags::from_bits_retain(8)), Err(Errno::EINVAL));
        assert_eq!(fs.rename("f", "g", RenameFlags::NOREPLACE), Err(Errno::EEXIST));
        assert_eq!(fs.rename("f", "f", RenameFlags::NOREPLACE), Err(Errno::EEXIST));
        fs.rename("f", "h", RenameFlags::NOREPLACE).unwrap();
        assert_eq!(fs.rename("h", "x", RenameFlags::EXCHANGE), Err(Errno::ENOENT));
    }

    #[test]
    fn exchange() {
        let fs = TestFs::new();
        fs.mkdir("d");
        fs.mkdir("e");
        let inner = fs.mkdir("d/x");
        fs.file("e/y", b"");
        let (x, y) = (fs.stat("d/x").unwrap().ino, fs.stat("e/y").unwrap().ino);
        fs.rename("d/x", "e/y", RenameFlags::EXCHANGE).unwrap();
        assert_eq!((fs.stat("d/x").unwrap().ino, fs.stat("e/y").unwrap().ino), (y, x));
        assert_eq!((fs.stat("d").unwrap().nlink, fs.stat("e").unwrap().nlink), (2, 3));
        let parent = fs.mem.parent(&fs.cx, &inner).unwrap().cookie;
        assert_eq!(parent, fs.walk("e").unwrap().cookie());
        assert_eq!(fs.rename("e", "e/y", RenameFlags::EXCHANGE), Err(Errno::EINVAL));
        assert_eq!(fs.rename("e/y", "e", RenameFlags::EXCHANGE), Err(Errno::EINVAL));
        fs.rename("d", "e", RenameFlags::EXCHANGE).unwrap();
        assert_eq!(fs.list("d"), ["y"]);
        assert_eq!(fs.stat("").unwrap().nlink, 4);
    }

    #[test]
    fn whiteout() {
        let fs = TestFs::with(1 << 20, 3);
        fs.file("f", b"");
        fs.rename("f", "g", RenameFlags::WHITEOUT).unwrap();
        let left = fs.stat("f").unwrap();
        assert_eq!((left.kind, left.mode, left.rdev), (Kind::CharDevice, 0, Device::default()));
        let full = fs.rename("g", "h", RenameFlags::WHITEOUT);
        assert_eq!(full, Err(Errno::ENOSPC));
        assert_eq!(fs.list(""), ["f", "g"]);
    }

    #[test]
    fn crossing_renames_never_build_a_loop() {
        // A6, and the race test of the same name: b into a while a into b.
        const ROUNDS: usize = 2_000;
        let fs = TestFs::new();
        let nodes = Nodes::new(0);
        let root = nodes.adopt(&fs.mem.root(&fs.cx).unwrap()).unwrap();
        fs.mkdir("a");
        fs.mkdir("b");
        let find = |dir: &Node, child: &str| {
            nodes.adopt(&fs.mem.lookup(&fs.cx, dir, name(child)).ok()?).ok()
        };
        std::thread::scope(|scope| {
            for (one, other) in [("a", "b"), ("b", "a"), ("a", "b"), ("b", "a")] {
                let (find, root, fs) = (&find, &root, &fs);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        if let Some(into) = find(root, other) {
                            let _ = fs.mem.rename(&fs.cx, root, name(one), &into, name("x"), NONE);
                        }
                        if let Some(into) = find(root, other) {
                            let _ = fs.mem.rename(&fs.cx, &into, name("x"), root, name(one), NONE);
                            let _ = fs.mem.rmdir(&fs.cx, &into, name("x"));
                        }
                        let how = filofs::MakeHow::mode(0o755);
                        let _ = fs.mem.mkdir(&fs.cx, root, name(one), how);
                    }
                });
            }
        });
        // Everything that lives is reached from the root, once.
        let mut reached = 0;
        let mut ahead = vec![String::new()];
        while let Some(path) = ahead.pop() {
            reached += 1;
            let names = fs.list(&path);
            let attr = fs.stat(&path).unwrap();
            assert_eq!(attr.nlink as usize, names.len() + 2, "{path}");
            ahead.extend(names.iter().map(|name| format!("{path}/{name}")));
            assert!(reached < 100, "a loop");
        }
        assert_eq!(fs.mem.volume.space.inodes.used(), reached);
        drop(root);
        assert!(nodes.is_empty());
    }

    #[test]
    fn a_storm_of_renames_and_removals_ends() {
        // Every pair of directories of a small tree, in both directions, by four threads, while
        // directories come and go: no deadlock, and the books balance.
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        let fs = TestFs::new();
        let paths = ["a", "b", "c", "a/d", "b/d", "a/d/e", "b/d/e", "c/d", "c/d/e"];
        std::thread::scope(|scope| {
            for thread in 1..=4u64 {
                let fs = &fs;
                scope.spawn(move || {
                    let mut random = seed.wrapping_mul(thread) | 1;
                    let mut below = |n: usize| {
                        random ^= random << 13;
                        random ^= random >> 7;
                        random ^= random << 17;
                        random as usize % n
                    };
                    for _ in 0..4_000 {
                        let (one, two) = (paths[below(9)], paths[below(9)]);
                        let how = filofs::MakeHow::mode(0o755);
                        match below(6) {
                            0 => drop(fs.rmdir(one)),
                            1 | 2 => drop(fs.make(one, Kind::Directory, how)),
                            3 => drop(fs.rename(one, two, RenameFlags::EXCHANGE)),
                            _ => drop(fs.rename(one, two, NONE)),
                        }
                    }
                });
            }
        });
        let mut reached = 0;
        let mut ahead = vec![String::new()];
        while let Some(path) = ahead.pop() {
            reached += 1;
            let names = fs.list(&path);
            assert_eq!(fs.stat(&path).unwrap().nlink as usize, names.len() + 2, "{path}");
            ahead.extend(names.iter().map(|name| format!("{path}/{name}")));
        }
        assert_eq!(fs.mem.volume.space.inodes.used(), reached);
    }
}
