//! Nodes that are found again: by handle, by cookie, after their descriptors went.

use crate::ground::{Ground, is_root, n, node, root};
use filofs::{Errno, FileHandle, FileSystem, Mount, OpenFlags, Stack, Upward};
use filofs_bases::dir::{Dir, DirOptions};
use std::fs;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Whether the host gives handles to us: as root, on most file systems.
fn has_handles(g: &Ground, test: &str) -> bool {
    is_root(test) && {
        let has = g.dir.profile().exportable;
        if !has {
            let text = format!("{test}: skipped, the host gives no handles");
            assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "{text}");
            println!("{text}");
        }
        has
    }
}

#[test]
fn a_handle_leads_back_also_in_the_next_mount() {
    let g = Ground::new();
    if !has_handles(&g, "a_handle_leads_back_also_in_the_next_mount") {
        return;
    }
    fs::create_dir(g.at("d")).unwrap();
    fs::write(g.at("d/f"), "x").unwrap();
    std::os::unix::fs::symlink("x", g.at("d/l")).unwrap();
    for path in ["d", "d/f", "d/l"] {
        let handle = g.dir.handle_of(&root(), &g.walk(path).unwrap()).unwrap();
        let live = g.walk(path).unwrap();
        assert_eq!(g.dir.node_of(&root(), &handle).unwrap().cookie, live.cookie(), "{path}");
        let next = Dir::open(&g.path, DirOptions::default()).unwrap();
        let found = next.node_of(&root(), &handle).unwrap();
        assert_eq!((found.attr.ino, found.attr.kind), (g.attr(&live).ino, live.kind()));
        assert_ne!(found.generation, live.generation(), "mounts are told apart");
    }
    let handle = g.dir.handle_of(&root(), &g.walk("d/f").unwrap()).unwrap();
    fs::remove_file(g.at("d/f")).unwrap();
    let next = Dir::open(&g.path, DirOptions::default()).unwrap();
    // A child of another test may have it open still, from its fork to its exec.
    let until = Instant::now() + Duration::from_secs(30);
    while next.node_of(&root(), &handle).is_ok() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(next.node_of(&root(), &handle).unwrap_err(), Errno::ESTALE);
    for bad in [&b""[..], b"x", &[1; 13], &[255; 128]] {
        let bad = FileHandle::new(bad).unwrap();
        let answer = g.dir.node_of(&root(), &bad).unwrap_err();
        assert!(matches!(answer, Errno::EINVAL | Errno::ESTALE), "{bad:?}: {answer:?}");
    }
}

#[test]
fn a_directory_handle_does_not_lead_out() {
    let g = Ground::new();
    if !has_handles(&g, "a_directory_handle_does_not_lead_out") {
        return;
    }
    let around = Dir::open(g.path.parent().unwrap(), DirOptions::default()).unwrap();
    let top = node(&around.root(&root()).unwrap());
    let outside = around.handle_of(&root(), &top).unwrap();
    assert_eq!(g.dir.node_of(&root(), &outside).unwrap_err(), Errno::ESTALE);
    let ours = around.lookup(&root(), &top, n("root")).unwrap();
    let ours = around.handle_of(&root(), &node(&ours)).unwrap();
    assert_eq!(g.dir.node_of(&root(), &ours).unwrap().cookie, g.root().cookie());
}

#[test]
fn a_node_that_was_given_back_has_its_cookie_again() {
    let g = Ground::new();
    if !has_handles(&g, "a_node_that_was_given_back_has_its_cookie_again") {
        return;
    }
    fs::write(g.at("f"), "").unwrap();
    fs::write(g.at("gone"), "").unwrap();
    let file = g.walk("f").unwrap().cookie();
    let gone = g.walk("gone").unwrap().cookie();
    fs::remove_file(g.at("gone")).unwrap();
    assert_eq!(g.dir.recall(&root(), file).unwrap().cookie, file);
    assert_eq!(g.walk("f").unwrap().cookie(), file, "found by name it is the same");
    assert_eq!(g.dir.recall(&root(), file).unwrap().cookie, file, "and again");
    assert_eq!(g.dir.recall(&root(), gone).unwrap_err(), Errno::ESTALE);
    assert_eq!(g.dir.recall(&root(), filofs::Cookie(99_999)).unwrap_err(), Errno::ESTALE);
    assert_eq!(g.dir.recall(&root(), g.root().cookie()).unwrap().cookie, g.root().cookie());
}

#[test]
fn what_was_removed_is_not_recalled_while_it_is_being_forgotten() {
    let g = Ground::new();
    let top = g.root();
    let (file, _open) = g.create(&root(), &top, "f", 0o600).unwrap();
    g.dir.unlink(&root(), &top, n("f")).unwrap();
    assert_eq!(g.dir.recall(&root(), file.cookie()).unwrap_err(), Errno::ESTALE);
    assert_eq!(g.attr(&file).nlink, 0);
}

#[test]
fn as_many_are_remembered_as_was_asked_for() {
    let g = Ground::with(DirOptions { remember: 10, ..DirOptions::default() });
    if !has_handles(&g, "as_many_are_remembered_as_was_asked_for") {
        return;
    }
    let cookies: Vec<_> = (0..30)
        .map(|i| {
            fs::write(g.at(&i.to_string()), "").unwrap();
            g.walk(&i.to_string()).unwrap().cookie()
        })
        .collect();
    let recalled = cookies.iter().filter(|c| g.dir.recall(&root(), **c).is_ok()).count();
    assert_eq!(recalled, 10);
    assert!(g.dir.recall(&root(), cookies[29]).is_ok());
    assert!(g.dir.recall(&root(), cookies[0]).is_err());
}

#[test]
fn what_was_removed_takes_no_room_among_the_remembered() {
    let g = Ground::with(DirOptions { remember: 1, ..DirOptions::default() });
    if !has_handles(&g, "what_was_removed_takes_no_room_among_the_remembered") {
        return;
    }
    fs::write(g.at("stays"), "").unwrap();
    let stays = g.walk("stays").unwrap().cookie();
    for name in ["a", "b"] {
        fs::write(g.at(name), "").unwrap();
        let (_held, node) = (fs::File::open(g.at(name)).unwrap(), g.walk(name).unwrap());
        let cookie = node.cookie();
        g.dir.unlink(&root(), &g.root(), n(name)).unwrap();
        drop(node);
        assert_eq!(g.dir.recall(&root(), cookie).unwrap_err(), Errno::ESTALE);
    }
    assert_eq!(g.dir.recall(&root(), stays).unwrap().cookie, stays);
}

#[test]
fn in_a_mount_every_node_is_given_back() {
    let g = Ground::new();
    for i in 0..100 {
        fs::write(g.at(&i.to_string()), "").unwrap();
    }
    let dir = Dir::open(&g.path, DirOptions::default()).unwrap();
    let identity = filofs::Identity::new("dir:", "filo", "/").unwrap();
    let mount = Mount::new(Stack::new(Arc::new(dir), []).unwrap(), identity).unwrap();
    mount.start(&Upward::channel().0).unwrap();
    let top = mount.root().clone();
    for _ in 0..2 {
        let nodes: Vec<_> = (0..100)
            .map(|i: i32| {
                let entry = mount.lookup(&root(), &top, n(&i.to_string())).unwrap();
                mount.adopt(&top, &entry).unwrap()
            })
            .collect();
        assert_eq!(mount.nodes().len(), 101);
        drop(nodes);
        assert_eq!(mount.nodes().len(), 1);
    }
}

#[test]
fn a_new_file_with_an_old_number_is_another_node() {
    let g = Ground::new();
    let top = g.root();
    let mut seen = std::collections::HashSet::new();
    for _ in 0..50 {
        // Hosts like to use the number again at once.
        let (file, open) = g.create(&root(), &top, "f", 0o600).unwrap();
        assert!(seen.insert(file.cookie()), "a cookie never comes again for another file");
        drop((open, file));
        fs::remove_file(g.at("f")).unwrap();
    }
    let held = g.walk("missing").map(drop);
    assert_eq!(held, Err(Errno::ENOENT));
    fs::write(g.at("f"), "").unwrap();
    let listed = {
        let open = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
        g.list(&top, &open, filofs::DirOffset::START, 10, true)
    };
    let old = node(listed[0].2.as_ref().unwrap());
    fs::remove_file(g.at("f")).unwrap();
    fs::create_dir(g.at("f")).unwrap();
    let new = g.lookup(&top, "f").unwrap();
    assert_ne!(new.cookie, old.cookie());
    assert_eq!(g.dir.getattr(&root(), &old, None).unwrap_err(), Errno::ESTALE);
}

#[test]
fn directories_that_go_with_their_last_file_are_remembered() {
    let g = Ground::new();
    if !has_handles(&g, "directories_that_go_with_their_last_file_are_remembered") {
        return;
    }
    fs::create_dir_all(g.at("a/b/c")).unwrap();
    let path = ["a", "b", "c"];
    let mut at = g.root();
    let mut cookies = Vec::new();
    for name in path {
        at = node(&g.lookup(&at, name).unwrap());
        cookies.push(at.cookie());
    }
    drop(at); // and with it, one after the other, what is above
    for cookie in cookies {
        assert_eq!(g.dir.recall(&root(), cookie).unwrap().cookie, cookie);
    }
}

#[test]
fn a_cookie_stays_the_files_while_it_comes_and_goes() {
    const ROUNDS: u32 = 3_000;
    let g = Ground::new();
    if !has_handles(&g, "a_cookie_stays_the_files_while_it_comes_and_goes") {
        return;
    }
    fs::create_dir_all(g.at("d/f")).unwrap();
    fs::write(g.at("f"), "x").unwrap();
    // Each gives the file back as soon as it has it, so that it goes while another looks it up.
    for (above, name) in [(None, "f"), (Some("d"), "f"), (None, "d")] {
        let dir = || above.map_or_else(|| g.root(), |above| g.walk(above).unwrap());
        let cookie = g.lookup(&dir(), name).unwrap().cookie;
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for round in 0..ROUNDS {
                        let found = g.lookup(&dir(), name).unwrap();
                        assert_eq!(found.cookie, cookie, "round {round}");
                        drop(found);
                        let recalled = g.dir.recall(&root(), cookie);
                        let recalled =
                            recalled.unwrap_or_else(|e| panic!("{above:?} {name} {round}: {e}"));
                        assert_eq!(recalled.cookie, cookie, "round {round}");
                        if recalled.attr.kind == filofs::Kind::Directory {
                            g.dir.parent(&root(), &node(&recalled)).unwrap();
                        }
                    }
                });
            }
        });
    }
}
