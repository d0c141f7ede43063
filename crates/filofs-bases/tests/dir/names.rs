//! Names, data and listings.

use crate::ground::{Ground, mode, n, node, root};
use filofs::{
    DirOffset, Errno, FileSystem, Kind, MakeHow, OpenFlags, RenameFlags, SetAttr, VecSink,
};
use filofs_bases::dir::{Dir, DirOptions};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};

#[test]
fn a_file_is_made_written_read_renamed_and_removed() {
    let g = Ground::new();
    let top = g.root();
    let (file, open) = g.create(&root(), &top, "a", 0o640).unwrap();
    assert_eq!(g.write(&root(), &open, 0, b"hello").unwrap(), 5);
    assert_eq!(g.read(&open, 1, 100).unwrap(), b"ello");
    assert_eq!(fs::read(g.at("a")).unwrap(), b"hello");
    let attr = g.attr(&file);
    let host = fs::metadata(g.at("a")).unwrap();
    assert_eq!((attr.size, attr.mode, attr.ino), (5, 0o640, host.ino()));
    assert_eq!(attr.btime, Some(host.created().unwrap().into()));

    let sub = node(&g.dir.mkdir(&root(), &top, n("sub"), MakeHow::mode(0o755)).unwrap());
    g.dir.rename(&root(), &top, n("a"), &sub, n("b"), RenameFlags::empty()).unwrap();
    assert_eq!(g.lookup(&top, "a").unwrap_err(), Errno::ENOENT);
    assert_eq!(g.lookup(&sub, "b").unwrap().cookie, file.cookie());
    assert_eq!(g.dir.rmdir(&root(), &top, n("sub")).unwrap_err(), Errno::ENOTEMPTY);
    g.dir.unlink(&root(), &sub, n("b")).unwrap();
    // Open and without a name, it goes on.
    assert_eq!(g.read(&open, 0, 5).unwrap(), b"hello");
    assert_eq!(g.attr(&file).nlink, 0);
    g.dir.rmdir(&root(), &top, n("sub")).unwrap();
    assert_eq!(fs::read_dir(&g.path).unwrap().count(), 0);
}

#[test]
fn hard_links_meet_in_one_node() {
    let g = Ground::new();
    let top = g.root();
    let (file, _open) = g.create(&root(), &top, "a", 0o600).unwrap();
    let linked = g.dir.link(&root(), &file, &top, n("b")).unwrap();
    assert_eq!((linked.cookie, linked.attr.nlink), (file.cookie(), 2));
    fs::hard_link(g.at("a"), g.at("c")).unwrap();
    assert_eq!(g.lookup(&top, "c").unwrap().cookie, file.cookie());
    g.dir.unlink(&root(), &top, n("a")).unwrap();
    assert_eq!(g.attr(&file).nlink, 2);
    // Two links of one file: nothing happens.
    g.dir.rename(&root(), &top, n("b"), &top, n("c"), RenameFlags::empty()).unwrap();
    assert!(g.lookup(&top, "b").is_ok() && g.lookup(&top, "c").is_ok());
}

#[test]
fn symlinks_are_read_and_never_followed() {
    let g = Ground::new();
    let top = g.root();
    fs::write(g.path.parent().unwrap().join("outside"), "secret").unwrap();
    let link = g.dir.symlink(&root(), &top, n("l"), b"../outside").unwrap();
    assert_eq!(link.attr.kind, Kind::Symlink);
    let link = node(&link);
    let mut sink = VecSink::new(4096);
    g.dir.readlink(&root(), &link, &mut sink).unwrap();
    assert_eq!(sink.into_bytes(), b"../outside");
    assert_eq!(g.open(&root(), &link, OpenFlags::RDONLY).unwrap_err(), Errno::ELOOP);
    assert_eq!(g.create(&root(), &top, "l", 0o600).unwrap_err(), Errno::ELOOP);
    assert_eq!(g.lookup(&link, "x").unwrap_err(), Errno::ENOTDIR);
}

#[test]
fn rename_flags() {
    let g = Ground::new();
    let top = g.root();
    fs::write(g.at("a"), "a").unwrap();
    fs::write(g.at("b"), "b").unwrap();
    let (a, b) = (g.lookup(&top, "a").unwrap(), g.lookup(&top, "b").unwrap());
    let rename = |from, to, flags| g.dir.rename(&root(), &top, n(from), &top, n(to), flags);
    assert_eq!(rename("a", "b", RenameFlags::NOREPLACE), Err(Errno::EEXIST));
    rename("a", "b", RenameFlags::EXCHANGE).unwrap();
    assert_eq!(g.lookup(&top, "a").unwrap().cookie, b.cookie);
    assert_eq!(g.lookup(&top, "b").unwrap().cookie, a.cookie);
    assert_eq!(fs::read(g.at("a")).unwrap(), b"b");
    assert_eq!(rename("a", "c", RenameFlags::from_bits_retain(64)), Err(Errno::EINVAL));
    assert_eq!(rename("none", "c", RenameFlags::empty()), Err(Errno::ENOENT));
}

#[test]
fn a_listing_has_each_name_once_whatever_comes_and_goes() {
    let g = Ground::new();
    let top = g.root();
    for i in 0..500 {
        fs::write(g.at(&format!("stays-{i}")), "").unwrap();
        fs::write(g.at(&format!("goes-{i}")), "").unwrap();
    }
    let open = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
    let mut seen = Vec::new();
    let mut at = DirOffset::START;
    for round in 0.. {
        let part = g.list(&top, &open, at, 7, round % 2 == 0);
        let Some((_, next, _)) = part.last() else { break };
        at = *next;
        seen.extend(part.into_iter().map(|(name, _, _)| name));
        let _ = fs::remove_file(g.at(&format!("goes-{round}")));
        fs::write(g.at(&format!("comes-{round}")), "").unwrap();
    }
    let stays: Vec<_> = seen.iter().filter(|name| name.starts_with("stays")).collect();
    assert_eq!(stays.len(), 500);
    assert_eq!(stays.iter().collect::<BTreeSet<_>>().len(), 500);
    assert!(!seen.iter().any(|name| name == "." || name == ".."));
}

#[test]
fn any_offset_handed_out_resumes_after_its_entry() {
    let g = Ground::new();
    let top = g.root();
    for i in 0..100 {
        fs::write(g.at(&format!("f{i}")), "").unwrap();
    }
    let open = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
    let all = g.list(&top, &open, DirOffset::START, 1000, false);
    assert_eq!(all.len(), 100);
    // Also in another open, backwards.
    let other = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
    for (i, (_, offset, _)) in all.iter().enumerate().rev() {
        assert!(*offset >= DirOffset::FIRST);
        let rest = g.list(&top, &other, *offset, 1, false);
        assert_eq!(rest.first().map(|r| &r.0), all.get(i + 1).map(|r| &r.0));
    }
}

#[test]
fn a_listing_with_entries_gives_nodes_that_work() {
    let g = Ground::new();
    let top = g.root();
    fs::write(g.at("f"), "data").unwrap();
    fs::create_dir(g.at("d")).unwrap();
    fs::write(g.at("d/x"), "").unwrap();
    let open = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
    for (name, _, entry) in g.list(&top, &open, DirOffset::START, 10, true) {
        let entry = entry.unwrap();
        assert_eq!(g.lookup(&top, &name).unwrap().cookie, entry.cookie);
        let node = node(&entry);
        if entry.attr.kind == Kind::Directory {
            assert!(g.lookup(&node, "x").is_ok());
        } else {
            let open = g.open(&root(), &node, OpenFlags::RDONLY).unwrap();
            assert_eq!(g.read(&open, 0, 9).unwrap(), b"data");
        }
    }
}

#[test]
fn a_listed_node_that_was_replaced_is_stale_not_another() {
    let g = Ground::new();
    let top = g.root();
    fs::write(g.at("f"), "old").unwrap();
    let open = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
    let listed = g.list(&top, &open, DirOffset::START, 10, true);
    let node = node(listed[0].2.as_ref().unwrap());
    fs::write(g.at("new"), "new").unwrap();
    fs::rename(g.at("new"), g.at("f")).unwrap();
    assert_eq!(g.dir.getattr(&root(), &node, None).unwrap_err(), Errno::ESTALE);
    assert_ne!(g.lookup(&top, "f").unwrap().cookie, node.cookie());
}

#[test]
fn attributes_are_set() {
    let g = Ground::new();
    let top = g.root();
    let (file, open) = g.create(&root(), &top, "a", 0o600).unwrap();
    let time = filofs::SetTime::At(filofs::Time::new(-5, 999_999_999));
    let set =
        SetAttr { mode: Some(0o4751), size: Some(10), mtime: Some(time), ..SetAttr::default() };
    let attr = g.dir.setattr(&root(), &file, Some(&open), &set).unwrap();
    assert_eq!((attr.mode, attr.size), (0o4751, 10));
    assert_eq!(attr.mtime, filofs::Time::new(-5, 999_999_999));
    assert_eq!(fs::metadata(g.at("a")).unwrap().mode() & 0o7777, 0o4751);
    let size = SetAttr { size: Some(1), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&root(), &top, None, &size).unwrap_err(), Errno::EISDIR);
}

#[test]
fn special_files_are_not_opened() {
    let g = Ground::new();
    let top = g.root();
    for (name, kind) in [("p", Kind::Fifo), ("s", Kind::Socket)] {
        let made = g.dir.mknod(&root(), &top, n(name), kind, MakeHow::mode(0o600)).unwrap();
        assert_eq!(made.attr.kind, kind);
        let made = node(&made);
        assert_eq!(g.open(&root(), &made, OpenFlags::RDONLY).unwrap_err(), Errno::ENXIO);
        assert_eq!(g.create(&root(), &top, name, 0o600).unwrap_err(), Errno::ENXIO);
        let size = SetAttr { size: Some(1), ..SetAttr::default() };
        assert!(g.dir.setattr(&root(), &made, None, &size).is_ok(), "B12");
    }
}

#[test]
fn the_root_is_its_own_parent_and_what_left_the_tree_has_none() {
    let g = Ground::new();
    let top = g.root();
    assert_eq!(g.dir.parent(&root(), &top).unwrap().cookie, top.cookie());
    fs::create_dir_all(g.at("a/b")).unwrap();
    let (a, b) = (g.walk("a").unwrap(), g.walk("a/b").unwrap());
    assert_eq!(g.dir.parent(&root(), &b).unwrap().cookie, a.cookie());
    assert_eq!(g.dir.parent(&root(), &a).unwrap().cookie, top.cookie());
    fs::rename(g.at("a"), g.path.parent().unwrap().join("a")).unwrap();
    assert_eq!(g.dir.parent(&root(), &a).unwrap_err(), Errno::ESTALE);
    assert_eq!(g.dir.parent(&root(), &b).unwrap_err(), Errno::ESTALE);
}

#[test]
fn appending_ignores_the_offset_and_caches_do_not() {
    let g = Ground::new();
    fs::write(g.at("f"), "0123456789").unwrap();
    let file = g.walk("f").unwrap();
    let open = g.open(&root(), &file, OpenFlags::WRONLY.with(OpenFlags::APPEND)).unwrap();
    g.write(&root(), &open, 0, b"ab").unwrap();
    let mut data = filofs::SliceSource::new(b"X");
    let cached = filofs::WriteFlags::CACHED;
    g.dir.write(&root(), &file, &open, 1, &mut data, cached).unwrap();
    assert_eq!(fs::read(g.at("f")).unwrap(), b"0X23456789ab");
}

#[test]
fn a_temporary_file_can_be_given_a_name_unless_exclusive() {
    let g = Ground::new();
    let top = g.root();
    for excl in [false, true] {
        let flags = if excl { OpenFlags::RDWR.with(OpenFlags::EXCL) } else { OpenFlags::RDWR };
        let how = MakeHow { flags, ..MakeHow::mode(0o600) };
        let made = g.dir.tmpfile(&root(), &top, how).unwrap();
        let file = node(&made.entry);
        let open = filofs::Open::detached(&file, flags, made.opened);
        g.write(&root(), &open, 0, b"x").unwrap();
        assert_eq!(made.entry.attr.nlink, 0);
        let linked = g.dir.link(&root(), &file, &top, n("t"));
        if excl {
            assert_eq!(linked.unwrap_err(), Errno::ENOENT);
        } else {
            assert_eq!(linked.unwrap().cookie, file.cookie());
            assert_eq!(fs::read(g.at("t")).unwrap(), b"x");
            fs::remove_file(g.at("t")).unwrap();
        }
    }
}

#[test]
fn a_directory_nobody_may_search_is_still_the_super_users() {
    let g = Ground::new();
    fs::create_dir(g.at("d")).unwrap();
    fs::write(g.at("d/f"), "").unwrap();
    fs::set_permissions(g.at("d"), mode(0)).unwrap();
    if rustix::process::geteuid().is_root() {
        assert!(g.walk("d/f").is_ok());
    } else {
        assert_eq!(g.walk("d/f").unwrap_err(), Errno::EACCES);
    }
    assert_eq!(fs::metadata(g.at("d")).unwrap().permissions().mode() & 0o777, 0);
    fs::set_permissions(g.at("d"), mode(0o700)).unwrap();
}

#[test]
fn other_file_systems_are_shown_or_refused() {
    // Every machine has /proc mounted in /.
    let open = |one_device| {
        let options = DirOptions { one_device, ..DirOptions::default() };
        Dir::open(std::path::Path::new("/"), options).unwrap()
    };
    let (follows, denies) = (open(false), open(true));
    let top = node(&follows.root(&root()).unwrap());
    let proc = follows.lookup(&root(), &top, n("proc")).unwrap();
    assert!(proc.attr.ino >> 63 == 1, "a number of its own, not that of a file of the root's");
    assert!(follows.lookup(&root(), &node(&proc), n("version")).is_ok());
    let top = node(&denies.root(&root()).unwrap());
    assert_eq!(denies.lookup(&root(), &top, n("proc")).unwrap_err(), Errno::EXDEV);
    assert!(denies.lookup(&root(), &top, n("etc")).is_ok());
}
