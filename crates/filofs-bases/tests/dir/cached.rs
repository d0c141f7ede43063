//! What an open says about caches above: data and lists are kept while nothing has changed.

use crate::ground::{Ground, is_root, n, node, root};
use filofs::{Context, FileSystem, LockOwner, Node, OpenFlags, OpenHow, OpenedFlags, ReleaseHow};
use filofs_bases::dir::DirOptions;
use std::fs;

const READ: OpenFlags = OpenFlags::RDONLY;
const KEEP: OpenedFlags = OpenedFlags::KEEP_CACHE;

/// Whether the host is as fast as this takes: a file system of its own, and Linux 6.13.
fn can_tell(g: &Ground) -> bool {
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap();
    let mut numbers = release.split('.').map_while(|n| n.parse::<u32>().ok());
    let new = (numbers.next(), numbers.next()) >= (Some(6), Some(13));
    let magic = rustix::fs::statfs(&g.path).unwrap().f_type as u32;
    let able = new && [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994].contains(&magic);
    if !able {
        let text = "skipped: needs Linux 6.13 and ext4, xfs, btrfs or tmpfs";
        assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "{text}");
        println!("{text}");
    }
    able
}

/// Opens, asks what is said of caches, and releases.
fn said(g: &Ground, node: &Node, flags: OpenFlags) -> OpenedFlags {
    let opened = g.dir.open(&root(), node, OpenHow { flags, kill_priv: false }).unwrap();
    let said = opened.flags;
    let open = filofs::Open::detached(node, flags, opened);
    let how = ReleaseHow { owner: Some(LockOwner(1)) };
    g.dir.release(&root(), node, &open, how).unwrap();
    said
}

#[test]
fn data_is_kept_above_while_the_file_stays_as_it_is() {
    let g = Ground::new();
    if !can_tell(&g) {
        return;
    }
    fs::write(g.at("f"), "1").unwrap();
    let file = g.walk("f").unwrap();
    assert!(!said(&g, &file, READ).contains(KEEP), "nothing was cached");
    assert!(said(&g, &file, READ).contains(KEEP));
    for time_is_put_back in [false, true] {
        let time = fs::metadata(g.at("f")).unwrap().modified().unwrap();
        fs::write(g.at("f"), "2").unwrap();
        if time_is_put_back {
            let file = fs::File::options().write(true).open(g.at("f")).unwrap();
            file.set_modified(time).unwrap();
        }
        assert!(!said(&g, &file, READ).contains(KEEP), "put back: {time_is_put_back}");
        assert!(said(&g, &file, READ).contains(KEEP), "opened since: {time_is_put_back}");
    }
    // What another open may have cached before it is dropped is not kept.
    fs::write(g.at("f"), "4").unwrap();
    let opened = g.dir.open(&root(), &file, OpenHow { flags: READ, kill_priv: false }).unwrap();
    assert!(!said(&g, &file, READ).contains(KEEP), "the answer may be on its way");
    drop(opened);
}

#[test]
fn a_list_is_kept_above_while_the_directory_stays_as_it_is() {
    let g = Ground::new();
    if !can_tell(&g) {
        return;
    }
    let both = KEEP | OpenedFlags::CACHE_DIR;
    fs::create_dir(g.at("d")).unwrap();
    let dir = g.walk("d").unwrap();
    for dir in [&g.root(), &dir] {
        assert_eq!(said(&g, dir, READ) & both, OpenedFlags::CACHE_DIR);
        assert_eq!(said(&g, dir, READ) & both, both);
    }
    fs::write(g.at("d/new"), "").unwrap();
    assert_eq!(said(&g, &dir, READ) & both, OpenedFlags::CACHE_DIR);
    assert_eq!(said(&g, &dir, READ) & both, both);
    // Who copies a tree puts times back.
    let time = fs::metadata(g.at("d")).unwrap().modified().unwrap();
    fs::remove_file(g.at("d/new")).unwrap();
    fs::File::open(g.at("d")).unwrap().set_modified(time).unwrap();
    assert_eq!(said(&g, &dir, READ) & both, OpenedFlags::CACHE_DIR);
}

#[test]
fn a_close_is_told_only_where_it_means_something() {
    for host_locks in [false, true] {
        let g = Ground::with(DirOptions { host_locks, ..DirOptions::default() });
        assert_eq!(g.dir.profile().locks, host_locks);
        fs::write(g.at("f"), "").unwrap();
        let file = g.walk("f").unwrap();
        let told = |flags| !said(&g, &file, flags).contains(OpenedFlags::NO_FLUSH);
        assert_eq!(told(READ), host_locks, "nothing was written");
        if can_tell(&g) {
            assert_eq!(told(OpenFlags::RDWR), host_locks, "nothing can go wrong late");
        }
    }
    if !is_root("a_close_is_told_only_where_it_means_something") {
        return;
    }
    // The kernel's own file systems say nothing of themselves.
    let proc = filofs_bases::dir::Dir::open("/proc".as_ref(), DirOptions::default()).unwrap();
    let cx = Context::internal();
    let mut at = node(&proc.root(&cx).unwrap());
    for name in ["sys", "kernel", "hostname"] {
        at = node(&proc.lookup(&cx, &at, n(name)).unwrap());
    }
    let open = OpenHow { flags: OpenFlags::WRONLY, kill_priv: false };
    let said = proc.open(&cx, &at, open).unwrap().flags;
    assert_eq!(said, OpenedFlags::empty());
}
