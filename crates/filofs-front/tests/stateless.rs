//! A mount whose files are not opened: `mem` with `stateless=on`. open(2) and close(2) cost no
//! request, and everything else is as ever.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs::{FileSystem, Identity, Layer, Mount, Name, Next, Node, Op, Stack, layer};
use filofs_bases::mem::{Mem, Settings};
use filofs_front::fuse::{FuseOptions, Session};
use rustix::fs::{FlockOperation, OFlags, XattrFlags, flock};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use support::{Place, can_mount, errno, run};

const EACCES: i32 = 13;

struct Fast {
    mount: Arc<Mount>,
    session: Session,
    place: Place,
}

impl Fast {
    fn new(what: &str, options: &FuseOptions) -> Fast {
        let mount = mount(Vec::new());
        let place = Place::new(what);
        let session = Session::start(mount.clone(), &place.0, options).unwrap();
        Fast { mount, session, place }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}

fn mount(layers: Vec<Box<dyn Layer>>) -> Arc<Mount> {
    let settings = Settings { stateless: true, ..Settings::default() };
    let stack = Stack::new(Arc::new(Mem::new(settings)), layers).unwrap();
    Arc::new(Mount::new(stack, Identity::new("mem:", "filo", "").unwrap()).unwrap())
}

#[test]
fn opening_and_closing_asks_nothing() {
    if !can_mount() {
        return;
    }
    let on = Fast::new("stateless-count", &FuseOptions::default());
    let path = on.join("file");
    fs::write(&path, b"data").unwrap();
    drop(File::open(&path).unwrap()); // is told so, once
    let before = on.session.report().served;
    for _ in 0..100 {
        drop(File::open(&path).unwrap());
    }
    let asked = on.session.report().served - before;
    assert!(asked < 20, "{asked} requests for 100 times open and close");
    let calls = |op| on.mount.counters().calls(op);
    assert_eq!((calls(Op::Open), calls(Op::Flush), calls(Op::Release)), (0, 0, 0));
    assert!(on.mount.opens().is_empty());
    // Directories are opened: what a listing shows is what was there when it began.
    assert_eq!(fs::read_dir(&on.place.0).unwrap().count(), 1);
    assert_eq!(calls(Op::Open), 1);
}

#[test]
fn data_is_what_it_would_be() {
    if !can_mount() {
        return;
    }
    for options in [
        FuseOptions::default(),
        FuseOptions { writeback: Some(false), ..FuseOptions::default() },
        FuseOptions { direct_io: true, ..FuseOptions::default() },
    ] {
        let on = Fast::new("stateless-data", &options);
        let path = on.join("file");
        fs::write(&path, b"one and two").unwrap();
        // O_TRUNC, of what is there.
        fs::write(&path, b"three").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"three");
        drop(File::options().write(true).truncate(true).open(&path).unwrap());
        assert_eq!(fs::metadata(&path).unwrap().len(), 0);
        // O_APPEND, by two at once.
        let append = || File::options().append(true).open(&path).unwrap();
        let (mut one, mut other) = (append(), append());
        for _ in 0..100 {
            one.write_all(b"a").unwrap();
            other.write_all(b"bc").unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"abc".repeat(100));
        // An unlinked file lives on, and takes data.
        let mut file = File::options().read(true).write(true).open(&path).unwrap();
        fs::remove_file(&path).unwrap();
        file.write_all_at(b"xyz", 1).unwrap();
        file.set_len(5).unwrap();
        file.sync_all().unwrap();
        let mut text = String::new();
        file.seek(SeekFrom::Start(0)).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), file.metadata().unwrap().nlink()), ("axyzb", 0));
        drop((one, other, file));
        // One without a name gets one.
        let flags = OFlags::TMPFILE | OFlags::RDWR;
        let file = rustix::fs::open(&on.place.0, flags, 0o600.into()).unwrap();
        rustix::io::write(&file, b"named").unwrap();
        let (empty, at) = (c"", rustix::fs::AtFlags::EMPTY_PATH);
        rustix::fs::linkat(&file, empty, rustix::fs::CWD, on.join("named"), at).unwrap();
        drop(file);
        assert_eq!(fs::read(on.join("named")).unwrap(), b"named");
    }
}

#[test]
fn the_kernel_checks_who_opens() {
    if !can_mount() {
        return;
    }
    let options = FuseOptions { allow_other: true, nosuid: false, ..FuseOptions::default() };
    let on = Fast::new("stateless-rights", &options);
    fs::set_permissions(&on.place.0, fs::Permissions::from_mode(0o777)).unwrap();
    let path = on.join("file");
    fs::write(&path, b"#!/bin/sh\nexit 7\n").unwrap();
    let user = |script: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg("sh").arg(&path).uid(1000).gid(1000);
        run(&mut command).0
    };
    for (mode, reads, writes) in [(0o600, false, false), (0o604, true, false), (0o602, false, true)]
    {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(user("cat \"$1\""), reads, "{mode:o}");
        assert_eq!(user(": >> \"$1\""), writes, "{mode:o}");
    }
    assert_eq!(errno(Command::new(&path).status()), EACCES, "nobody may execute it");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
    assert_eq!(Command::new(&path).status().unwrap().code(), Some(7));
    assert!(user("printf x >> \"$1\""));
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o777, "set-id bits die");
}

#[test]
fn locks_are_the_kernels() {
    if !can_mount() {
        return;
    }
    let on = Fast::new("stateless-locks", &FuseOptions::default());
    let path = on.join("file");
    let lock = |file: &File| flock(file, FlockOperation::NonBlockingLockExclusive);
    let (one, other) = (File::create(&path).unwrap(), File::open(&path).unwrap());
    assert_eq!(lock(&one), Ok(()));
    assert_eq!(lock(&other), Err(rustix::io::Errno::WOULDBLOCK));
    drop(one);
    assert_eq!(lock(&other), Ok(()), "given back with the close, at once");
    assert_eq!(on.mount.counters().calls(Op::Flock), 0);
}

#[test]
fn what_an_open_would_have_to_see_to_is_refused() {
    if !can_mount() {
        return;
    }
    let on = Fast::new("stateless-chattr", &FuseOptions::default());
    let path = on.join("file");
    fs::write(&path, b"").unwrap();
    let file = File::open(&path).unwrap();
    let set = |flags| rustix::fs::ioctl_setflags(&file, flags);
    assert_eq!(set(rustix::fs::IFlags::NODUMP), Ok(()));
    let guarded = [rustix::fs::IFlags::IMMUTABLE, rustix::fs::IFlags::APPEND];
    assert_eq!(guarded.map(set), [Err(rustix::io::Errno::OPNOTSUPP); 2]);
    rustix::fs::setxattr(&path, c"user.a", b"v", XattrFlags::empty()).unwrap();
}

struct Looks;

#[layer]
impl Layer for Looks {
    fn name(&self) -> &'static str {
        "looks"
    }

    fn lookup(
        &self,
        next: Next<'_>,
        cx: &filofs::Context<'_>,
        dir: &Node,
        name: Name<'_>,
    ) -> filofs::Result<filofs::Entry> {
        next.lookup(cx, dir, name)
    }
}

struct Releases;

#[layer]
impl Layer for Releases {
    fn name(&self) -> &'static str {
        "releases"
    }

    fn release(
        &self,
        next: Next<'_>,
        cx: &filofs::Context<'_>,
        node: &Node,
        open: &filofs::Open,
        how: filofs::ReleaseHow,
    ) -> filofs::Result<()> {
        next.release(cx, node, open, how)
    }
}

#[test]
fn a_layer_that_takes_part_in_open_files_sees_them_opened() {
    assert!(mount(Vec::new()).profile().stateless);
    assert!(mount(vec![Box::new(Looks)]).profile().stateless);
    assert!(!mount(vec![Box::new(Looks), Box::new(Releases)]).profile().stateless);
}
