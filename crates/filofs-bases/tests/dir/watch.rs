//! `watch=on`: what others change is told at once.

use crate::ground::{Ground, is_root, root};
use filofs::{Cookie, FileSystem, Notice, Notices, OpenFlags, Upward};
use filofs_bases::dir::DirOptions;
use std::process::Command;
use std::time::{Duration, Instant};

struct Watched {
    ground: Ground,
    notices: Notices,
}

impl Watched {
    fn new() -> Watched {
        let ground = Ground::with(DirOptions { watch: true, ..DirOptions::default() });
        let (up, notices) = Upward::channel();
        ground.dir.connect(&up);
        Watched { ground, notices }
    }

    /// Somebody else does that in the directory.
    fn others(&self, script: &str) {
        let done = Command::new("sh").args(["-ec", script]).current_dir(&self.ground.path).status();
        assert!(done.unwrap().success(), "{script}");
    }

    /// Waits until all of that is told.
    fn told(&self, wanted: &[Notice]) {
        let until = Instant::now() + Duration::from_secs(10);
        let mut seen = Vec::new();
        while Instant::now() < until {
            seen.extend(self.notices.take());
            if wanted.iter().all(|notice| seen.contains(notice)) {
                return;
            }
            std::thread::yield_now();
        }
        panic!("{wanted:?} was not told, but {seen:?}");
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.ground.dir.disconnect();
    }
}

fn renamed(dir: Cookie, name: &str) -> Notice {
    Notice::Renamed { dir, name: name.into() }
}

#[test]
fn names_that_others_make_move_and_take_away() {
    let watched = Watched::new();
    let top = watched.ground.root().cookie();
    watched.others("echo 1 > new");
    watched.told(&[renamed(top, "new"), Notice::Changed { node: top, offset: 0, len: 0 }]);
    watched.others("mkdir sub; echo 2 > sub/old");
    let held = watched.ground.walk("sub").unwrap();
    watched.ground.lookup(&held, "old").unwrap();
    let sub = held.cookie();
    watched.others("mv new sub/newer; rm sub/old");
    watched.told(&[renamed(top, "new"), renamed(sub, "newer"), renamed(sub, "old")]);
    // A directory goes on being watched under another name.
    watched.others("mv sub elsewhere; rm elsewhere/newer");
    watched.told(&[renamed(sub, "newer")]);
}

#[test]
fn a_directory_that_is_only_listed_is_watched() {
    let watched = Watched::new();
    watched.others("mkdir sub");
    let held = watched.ground.walk("sub").unwrap();
    let open = watched.ground.open(&root(), &held, OpenFlags::RDONLY).unwrap();
    drop(open);
    watched.others("echo 1 > sub/new");
    watched.told(&[renamed(held.cookie(), "new")]);
}

#[test]
fn what_others_write_and_change() {
    let watched = Watched::new();
    watched.others("echo 1 > file");
    // Held: of what nobody holds nothing is cached.
    let held = watched.ground.walk("file").unwrap();
    let file = held.cookie();
    watched.notices.take();
    watched.others("echo 22 >> file");
    watched.told(&[Notice::Changed { node: file, offset: 0, len: 0 }]);
    watched.others("chmod 600 file");
    watched.told(&[Notice::Changed { node: file, offset: -1, len: 0 }]);
}

#[test]
fn what_we_change_is_no_news() {
    let watched = Watched::new();
    let top = watched.ground.root();
    let (file, open) = watched.ground.create(&root(), &top, "ours", 0o644).unwrap();
    watched.ground.write(&root(), &open, 0, b"data").unwrap();
    watched.ground.open(&root(), &file, OpenFlags::RDONLY).unwrap();
    // Events come in order: when this one is told, those of ours would have been.
    watched.others("echo 1 > theirs");
    let until = Instant::now() + Duration::from_secs(10);
    let theirs = renamed(top.cookie(), "theirs");
    let mut seen = Vec::new();
    while !seen.contains(&theirs) {
        assert!(Instant::now() < until, "{seen:?}");
        seen.extend(watched.notices.take());
    }
    let ours = |notice: &Notice| {
        *notice == renamed(top.cookie(), "ours")
            || matches!(notice, Notice::Changed { node, .. } if *node == file.cookie())
    };
    assert!(!seen.iter().any(ours), "{seen:?}");
}

#[test]
fn what_cannot_be_watched_is_refused() {
    if !is_root("what_cannot_be_watched_is_refused") {
        return;
    }
    // The kernel's own files change without a word.
    let refused = filofs_bases::dir::Dir::open(
        std::path::Path::new("/proc/sys"),
        DirOptions { watch: true, ..DirOptions::default() },
    );
    let text = refused.map(drop).unwrap_err().0;
    assert!(text.starts_with("/proc/sys: watch=on: the host does not tell"), "{text}");
}
