//! Attacks from below: names that change under the walk.

use crate::ground::{Ground, n, node, root};
use filofs::{Errno, FileSystem, Kind, MakeHow, OpenFlags, RenameFlags, SetAttr};
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
            let (mut inside, mut links) = (0u64, 0u64);
            for i in 0..RESOLUTIONS {
                let entry = g.lookup(&top, "a").unwrap();
                let dir = node(&entry);
                if entry.attr.kind == Kind::Symlink {
                    links += 1;
                    assert_eq!(g.lookup(&dir, "f").unwrap_err(), Errno::ENOTDIR);
                    let made = g.create(&root(), &dir, "new", 0o600).map(drop);
                    assert_eq!(made, Err(Errno::ENOTDIR));
                    continue;
                }
                let file = node(&g.lookup(&dir, "f").unwrap());
                let open = g.open(&root(), &file, OpenFlags::RDWR).unwrap();
                assert_eq!(g.read(&open, 0, 10).unwrap(), b"inside");
                match i % 4 {
                    0 => drop(g.create(&root(), &dir, "new", 0o600).unwrap()),
                    1 => {
                        let set =
                            SetAttr { mode: Some(0o640), size: Some(6), ..SetAttr::default() };
                        g.dir.setattr(&root(), &file, None, &set).unwrap();
                    }
                    2 => {
                        let gone = g.dir.unlink(&root(), &dir, n("new"));
                        assert!(matches!(gone, Ok(()) | Err(Errno::ENOENT)));
                    }
                    _ => {
                        g.dir.mkdir(&root(), &dir, n("d"), MakeHow::mode(0o700)).unwrap();
                        g.dir.rmdir(&root(), &dir, n("d")).unwrap();
                    }
                }
                inside += 1;
            }
            (inside, links)
        });
        let attacked = attack.join();
        stop.store(true, Ordering::Relaxed);
        let (inside, links) = attacked.unwrap();
        assert_eq!(inside + links, RESOLUTIONS);
        println!("{inside} times inside, {links} links, {} swaps", swaps.load(Ordering::Relaxed));
    });
    use std::os::unix::fs::MetadataExt;
    let after = fs::metadata(outside.join("f")).unwrap();
    assert_eq!(fs::read(outside.join("f")).unwrap(), b"canary");
    assert_eq!((after.ctime(), after.ctime_nsec()), (canary.ctime(), canary.ctime_nsec()));
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
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
