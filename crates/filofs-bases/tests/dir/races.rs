//! Attacks from below: names that change under the walk.

use crate::ground::{Ground, n, node, root};
use filofs::{Errno, FileSystem, Kind, MakeHow, Node, OpenFlags, RenameFlags, SetAttr};
use std::fs;
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

const RESOLUTIONS: u64 = 20_000;

/// Eight threads swap a directory for a link to one outside while the rest walks through the
/// name, and makes, cuts, changes and removes below it. The outside stays as it was.
#[test]
fn no_swap_of_a_link_leads_outside() {
    let g = Ground::new();
    let outside = g.path.parent().unwrap().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("f"), "canary").unwrap();
    fs::create_dir(g.at("a")).unwrap();
    fs::write(g.at("a/f"), "inside").unwrap();
    symlink(&outside, g.at("b")).unwrap();
    let canary = fs::metadata(outside.join("f")).unwrap();
    let (stop, swaps) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !stop.load(Ordering::Relaxed) {
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    let (a, b) = (g.at("a"), g.at("b"));
                    let cwd = rustix::fs::CWD;
                    rustix::fs::renameat_with(cwd, &a, cwd, &b, flags).unwrap();
                    swaps.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let attack = scope.spawn(|| {
            let top = g.root();
            let (mut inside, mut links, mut stale) = (0u64, 0u64, 0u64);
            for i in 0..RESOLUTIONS {
                let entry = g.lookup(&top, "a").unwrap();
                let dir = node(&entry);
                if entry.attr.kind == Kind::Symlink {
                    links += 1;
                    let below = g.lookup(&dir, "f").unwrap_err();
                    assert!(matches!(below, Errno::ENOTDIR | Errno::ESTALE), "{below}");
                    let made = g.create(&root(), &dir, "new", 0o600).map(drop);
                    assert!(matches!(made, Err(Errno::ENOTDIR | Errno::ESTALE)), "{made:?}");
                    continue;
                }
                match beneath(&g, &dir, i) {
                    Ok(()) => inside += 1,
                    // It went elsewhere before it was used for the first time.
                    Err(Errno::ESTALE) => stale += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (inside, links, stale)
        });
        let attacked = attack.join();
        stop.store(true, Ordering::Relaxed);
        let (inside, links, stale) = attacked.unwrap();
        assert_eq!(inside + links + stale, RESOLUTIONS);
        let swaps = swaps.load(Ordering::Relaxed);
        println!("{inside} times inside, {links} links, {stale} stale, {swaps} swaps");
    });
    use std::os::unix::fs::MetadataExt;
    let after = fs::metadata(outside.join("f")).unwrap();
    assert_eq!(fs::read(outside.join("f")).unwrap(), b"canary");
    assert_eq!((after.ctime(), after.ctime_nsec()), (canary.ctime(), canary.ctime_nsec()));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
}

/// What is done below a directory that swaps places with a link.
fn beneath(g: &Ground, dir: &Node, i: u64) -> filofs::Result<()> {
    let file = node(&g.lookup(dir, "f")?);
    let open = g.open(&root(), &file, OpenFlags::RDWR)?;
    assert_eq!(g.read(&open, 0, 10)?, b"inside");
    match i % 4 {
        0 => g.create(&root(), dir, "new", 0o600).map(drop),
        1 => {
            let set = SetAttr { mode: Some(0o640), size: Some(6), ..SetAttr::default() };
            g.dir.setattr(&root(), &file, None, &set).map(drop)
        }
        2 => match g.dir.unlink(&root(), dir, n("new")) {
            Err(Errno::ENOENT) => Ok(()),
            gone => gone,
        },
        _ => {
            g.dir.mkdir(&root(), dir, n("d"), MakeHow::mode(0o700))?;
            g.dir.rmdir(&root(), dir, n("d"))
        }
    }
}

/// A file swaps places with another, a link to one outside, a fifo and a directory, while it is
/// looked up, asked, opened, cut and changed: each operation reaches the file it means, or says
/// that it is gone, and none waits for the fifo.
#[test]
fn no_swap_of_a_file_reaches_another() {
    use std::os::unix::fs::MetadataExt;
    let g = Ground::new();
    let outside = g.path.parent().unwrap().join("outside");
    for (path, mode) in [(&outside, 0o600), (&g.at("f"), 0o644), (&g.at("other"), 0o600)] {
        fs::write(path, path.file_name().unwrap().as_encoded_bytes()).unwrap();
        fs::set_permissions(path, crate::ground::mode(mode)).unwrap();
    }
    symlink(&outside, g.at("link")).unwrap();
    fs::create_dir(g.at("directory")).unwrap();
    let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
    rustix::fs::mknodat(rustix::fs::CWD, g.at("fifo"), kind, mode, 0).unwrap();
    let state = |path| fs::metadata(path).map(|m| (m.ctime(), m.ctime_nsec(), m.size(), m.mode()));
    let canary = state(outside.clone()).unwrap();
    let meant = fs::metadata(g.at("f")).unwrap().ino();
    let stop = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for name in ["other", "link", "fifo", "directory"].iter().cycle() {
                for _ in 0..2 {
                    let (a, b, cwd) = (g.at("f"), g.at(name), rustix::fs::CWD);
                    let flags = rustix::fs::RenameFlags::EXCHANGE;
                    rustix::fs::renameat_with(cwd, &a, cwd, &b, flags).unwrap();
                }
                if stop.load(Ordering::Relaxed) {
                    return;
                }
            }
        });
        let attack = scope.spawn(|| {
            let top = g.root();
            let (mut reached, mut missed) = (0u64, 0u64);
            for i in 0..RESOLUTIONS / 4 {
                let entry = g.lookup(&top, "f").unwrap();
                if entry.attr.ino != meant {
                    missed += 1;
                    continue;
                }
                // A descriptor that it was given would lead to it wherever it is.
                match on_the_file(&g, &node(&entry), i) {
                    Ok(()) => reached += 1,
                    Err(Errno::ESTALE) => missed += 1,
                    Err(other) => panic!("{other}"),
                }
            }
            (reached, missed)
        });
        let attacked = attack.join();
        stop.store(true, Ordering::Relaxed);
        let (reached, missed) = attacked.unwrap();
        println!("{reached} times reached, {missed} missed");
        assert_eq!(reached + missed, RESOLUTIONS / 4);
    });
    assert_eq!(state(outside).unwrap(), canary);
    assert_eq!(fs::read(g.at("other")).unwrap(), b"other");
    assert_eq!(fs::metadata(g.at("other")).unwrap().mode() & 0o7777, 0o600);
    assert_eq!(fs::metadata(g.at("fifo")).unwrap().mode() & 0o7777, 0o400);
}

/// What is done to a file that swaps places with others.
fn on_the_file(g: &Ground, file: &Node, i: u64) -> filofs::Result<()> {
    let attr = g.dir.getattr(&root(), file, None)?;
    assert_eq!((attr.kind, attr.size), (Kind::Regular, 1));
    let set = match i % 4 {
        0 => SetAttr { mode: Some(0o640), ..SetAttr::default() },
        1 => SetAttr { size: Some(1), ..SetAttr::default() },
        how => {
            let flags = if how == 2 { OpenFlags::RDONLY } else { OpenFlags::RDWR };
            let open = g.open(&root(), file, flags)?;
            assert_eq!(g.read(&open, 0, 10)?, b"f");
            return Ok(());
        }
    };
    let attr = g.dir.setattr(&root(), file, None, &set)?;
    assert_eq!((attr.kind, attr.size), (Kind::Regular, 1));
    Ok(())
}

/// Threads rename the same few names to and fro through the base; each file keeps being itself.
#[test]
fn a_storm_of_renames_loses_nothing() {
    let g = Ground::new();
    let top = g.root();
    let mut files = Vec::new();
    for dir in ["x", "y"] {
        g.dir.mkdir(&root(), &top, n(dir), MakeHow::mode(0o755)).unwrap();
    }
    let dirs = [g.walk("x").unwrap(), g.walk("y").unwrap()];
    for i in 0..8 {
        let (file, open) = g.create(&root(), &dirs[i % 2], &format!("f{i}"), 0o600).unwrap();
        g.write(&root(), &open, 0, format!("{i}").as_bytes()).unwrap();
        files.push(file);
    }
    std::thread::scope(|scope| {
        for thread in 0..4usize {
            let (g, dirs) = (&g, &dirs);
            scope.spawn(move || {
                for step in 0..1000 {
                    let name = format!("f{}", (step * 5 + thread) % 8);
                    let (from, to) = (&dirs[step % 2], &dirs[(step + 1) % 2]);
                    let none = RenameFlags::NOREPLACE;
                    match g.dir.rename(&root(), from, n(&name), to, n(&name), none) {
                        Ok(()) | Err(Errno::ENOENT) => {}
                        other => panic!("{other:?}"),
                    }
                }
            });
        }
    });
    for (i, file) in files.iter().enumerate() {
        let open = g.open(&root(), file, OpenFlags::RDONLY).unwrap();
        assert_eq!(g.read(&open, 0, 9).unwrap(), format!("{i}").as_bytes());
        let name = format!("f{i}");
        let found = g.lookup(&dirs[0], &name).or_else(|_| g.lookup(&dirs[1], &name)).unwrap();
        assert_eq!(found.cookie, file.cookie());
    }
}
