//! `dir` with few descriptors: more live nodes than descriptors, and callers that take them all.
//! In a process of its own, because the limit is the process'. One test for each way of finding
//! nodes again: by handle (root) and by name (anybody).

#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing)]

use filofs::{Context, Errno, FileSystem, MakeHow, Name, Node, Open, OpenFlags, OpenHow};
use filofs_bases::dir::{Dir, DirOptions};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};

const LIMIT: u64 = 256;
const CHILD: &str = "FILO_TEST_LIMITS";

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn place(name: &str) -> Place {
    let name = format!("filo-limits-{}-{name}", std::process::id());
    let path = std::env::temp_dir().join(name);
    std::fs::create_dir(&path).unwrap();
    Place(path)
}

#[test]
fn few_descriptors_are_enough() {
    if let Some(path) = std::env::var_os(CHILD) {
        return with_few(Path::new(&path));
    }
    let root = rustix::process::geteuid().is_root();
    for user in if root { &[0, 65534][..] } else { &[u32::MAX][..] } {
        let place = place(&user.to_string());
        let mut child = {
            let program = place.0.join("tests");
            std::fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
            std::fs::set_permissions(&program, PermissionsExt::from_mode(0o755)).unwrap();
            std::process::Command::new(program)
        };
        let ground = place.0.join("ground");
        std::fs::create_dir(&ground).unwrap();
        for path in [&place.0, &ground] {
            std::fs::set_permissions(path, PermissionsExt::from_mode(0o777)).unwrap();
        }
        if root {
            child.uid(*user).gid(*user);
        }
        let run = child.env(CHILD, &ground).current_dir("/").output().unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        let out = String::from_utf8_lossy(&run.stdout);
        assert!(run.status.success(), "as {user}: {out}\n{said}");
    }
}

fn n(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

fn with_few(ground: &Path) {
    let cx = Context::internal();
    let hard = getrlimit(Resource::Nofile).maximum;
    setrlimit(Resource::Nofile, Rlimit { current: Some(LIMIT), maximum: hard }).unwrap();
    let dir = Dir::open(ground, DirOptions::default()).unwrap();
    let top = Node::detached(&dir.root(&cx).unwrap());

    // Many live nodes, in directories that lose their descriptors too.
    let mut nodes = Vec::new();
    for d in 0..40 {
        let made = dir.mkdir(&cx, &top, n(&format!("d{d}")), MakeHow::mode(0o755)).unwrap();
        let sub = Node::detached(&made);
        for f in 0..100 {
            let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(0o644) };
            let made = dir.create(&cx, &sub, n(&format!("f{f}")), how).unwrap();
            nodes.push((Node::detached(&made.entry), made.entry.attr.ino));
        }
        nodes.push((sub, made.attr.ino));
    }
    assert!(descriptors() < LIMIT as usize, "{}", descriptors());
    for (node, ino) in nodes.iter().chain(nodes.iter().rev()) {
        assert_eq!(dir.getattr(&cx, node, None).unwrap().ino, *ino);
    }
    // A moved directory takes its files along.
    let none = filofs::RenameFlags::empty();
    dir.rename(&cx, &top, n("d0"), &top, n("moved"), none).unwrap();
    for (node, ino) in &nodes {
        assert_eq!(dir.getattr(&cx, node, None).unwrap().ino, *ino);
    }
    // What is unlinked while it is used stays.
    let sub = Node::detached(&dir.lookup(&cx, &top, n("d1")).unwrap());
    let victim = Node::detached(&dir.lookup(&cx, &sub, n("f0")).unwrap());
    dir.unlink(&cx, &sub, n("f0")).unwrap();
    for (node, _) in nodes.iter().filter(|(node, _)| node.cookie() != victim.cookie()) {
        dir.getattr(&cx, node, None).unwrap();
    }
    assert_eq!(dir.getattr(&cx, &victim, None).unwrap().nlink, 0);

    // Callers open until EMFILE; the tree is walked all the same.
    let file = Node::detached(&dir.lookup(&cx, &sub, n("f1")).unwrap());
    let how = OpenHow { flags: OpenFlags::RDONLY, kill_priv: false };
    let mut opens = Vec::new();
    let errno = loop {
        match dir.open(&cx, &file, how) {
            Ok(opened) => opens.push(Open::detached(&file, how.flags, opened)),
            Err(errno) => break errno,
        }
    };
    assert_eq!(errno, Errno::EMFILE);
    assert!(opens.len() > LIMIT as usize / 2, "{}", opens.len());
    for (node, ino) in nodes.iter().filter(|(node, _)| node.cookie() != victim.cookie()) {
        assert_eq!(dir.getattr(&cx, node, None).map(|attr| attr.ino), Ok(*ino));
    }
    assert_eq!(dir.mkdir(&cx, &top, n("still"), MakeHow::mode(0o755)).unwrap().attr.nlink, 2);

    // Somebody else in the process takes the rest.
    let mut others = Vec::new();
    while let Ok(other) = std::fs::File::open("/dev/null") {
        others.push(other);
    }
    for (node, ino) in nodes.iter().filter(|(node, _)| node.cookie() != victim.cookie()).take(500) {
        assert_eq!(dir.getattr(&cx, node, None).unwrap().ino, *ino);
    }
    drop(others);
    opens.pop();
    assert!(dir.open(&cx, &file, how).is_ok());
    drop(opens);
    many_at_once(&dir, &top);
    drop((nodes, file, sub, victim));
    assert!(descriptors() < 20, "{} descriptors are left", descriptors());
}

/// Eight threads use, move, make and remove the same files, while descriptors come and go.
fn many_at_once(dir: &Dir, top: &Node) {
    let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
    println!("seed {seed}");
    std::thread::scope(|scope| {
        for thread in 0..8u64 {
            scope.spawn(move || {
                let cx = Context::internal();
                let mut random = seed ^ (thread << 32);
                let mut below = |n: u64| {
                    random ^= random << 13;
                    random ^= random >> 7;
                    random ^= random << 17;
                    random % n
                };
                let mut kept = Vec::new();
                for _ in 0..500 {
                    let d = format!("d{}", 2 + below(38));
                    let sub = Node::detached(&dir.lookup(&cx, top, n(&d)).unwrap());
                    let file = format!("f{}", below(100));
                    let other = format!("f{}", below(100));
                    match below(8) {
                        0 => {
                            let _ = dir.unlink(&cx, &sub, n(&file));
                        }
                        1 => {
                            let none = filofs::RenameFlags::empty();
                            let _ = dir.rename(&cx, &sub, n(&file), &sub, n(&other), none);
                        }
                        2 | 3 => {
                            let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(0o644) };
                            match dir.create(&cx, &sub, n(&file), how) {
                                Ok(made) => kept.push(Node::detached(&made.entry)),
                                Err(errno) => assert_eq!(errno, Errno::ESTALE),
                            }
                        }
                        _ => match dir.lookup(&cx, &sub, n(&file)) {
                            Ok(entry) => kept.push(Node::detached(&entry)),
                            Err(errno) => assert_eq!(errno, Errno::ENOENT),
                        },
                    }
                    if !kept.is_empty() {
                        let node = &kept[below(kept.len() as u64) as usize];
                        // It may have been removed by a thread that did not know of it.
                        match dir.getattr(&cx, node, None) {
                            Ok(attr) => assert_eq!(attr.kind, node.kind()),
                            Err(errno) => assert_eq!(errno, Errno::ESTALE),
                        }
                    }
                    if kept.len() > 500 {
                        kept.swap_remove(below(500) as usize);
                    }
                }
            });
        }
    });
}
