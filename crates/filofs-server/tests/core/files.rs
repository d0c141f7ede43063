//! Files that a server gives with an open, so that the kernel reads and writes them by itself.

use crate::script::{FILE, FOREVER, Played, Said, Script, cx, entry};
use filofs::{Backed, Errno, FileSystem, MakeHow, Name, OpenFlags, OpenHow, Opened, Result};
use filofs_wire::abi::{BACKING_ID_ATTACHED, MountFlags, Opcode, OpenOut, OutHeader};
use filofs_wire::reply::CreateOut;
use rustix::fd::OwnedFd;
use rustix::fs::{MemfdFlags, Mode, OFlags};
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use zerocopy::IntoBytes;

/// What is given with the next answers, one after the other.
type Gifts = Arc<Mutex<Vec<Vec<OwnedFd>>>>;

const LEN: u64 = 7000;

/// A file of tmpfs, which is local everywhere, open like that; with a word in its name.
fn named(word: &str, flags: OFlags) -> OwnedFd {
    let name = format!("/dev/shm/filo-{word}-{}-{:?}", std::process::id(), Instant::now());
    File::create(&name).unwrap().set_len(LEN).unwrap();
    let fd = rustix::fs::open(&name, flags | OFlags::CLOEXEC, Mode::empty()).unwrap();
    std::fs::remove_file(&name).unwrap();
    fd
}

fn file(flags: OFlags) -> OwnedFd {
    named("given", flags)
}

fn good() -> OwnedFd {
    file(OFlags::RDWR)
}

fn open_out(backing_id: i32) -> OpenOut {
    OpenOut { open_id: 7, backing_id, ..OpenOut::default() }
}

/// A server that gives with its opens what is in the list, and says of it that.
fn giving(flags: MountFlags, backing_id: i32, gifts: Vec<Vec<OwnedFd>>) -> Played {
    let gifts: Gifts = Arc::new(Mutex::new(gifts));
    let (of_open, of_create) = (gifts.clone(), gifts);
    let next = |gifts: &Gifts| {
        let mut gifts = gifts.lock().unwrap();
        if gifts.is_empty() { Vec::new() } else { gifts.remove(0) }
    };
    Script::new()
        .arguments(|arguments| arguments.flags |= flags)
        .on(Opcode::Open, move |_, _| {
            Said::With(open_out(backing_id).as_bytes().to_vec(), next(&of_open))
        })
        .on(Opcode::Create, move |_, _| {
            let made = CreateOut { entry: entry(FILE + 5000), open: open_out(backing_id) };
            Said::With(made.as_bytes().to_vec(), next(&of_create))
        })
        .running()
}

fn given(gifts: Vec<Vec<OwnedFd>>) -> Played {
    giving(MountFlags::GIVES_FILES, BACKING_ID_ATTACHED, gifts)
}

fn open(played: &Played, name: &str, flags: OpenFlags) -> Result<Opened> {
    let node = played.node(name);
    played.mount.open(&cx(), &node, OpenHow { flags, kill_priv: false })
}

fn create(played: &Played) -> Result<Opened> {
    let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::default() };
    let name = Name::new(b"new").unwrap();
    played.mount.create(&cx(), played.mount.root(), name, how).map(|created| created.opened)
}

/// Waits until nobody in this process has a file of that name open.
fn none_is_left(word: &str) {
    let is_such = |link: std::path::PathBuf| link.to_string_lossy().contains(word);
    let count = || {
        let all = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        all.filter_map(|fd| std::fs::read_link(fd.path()).ok())
            .filter(|l| is_such(l.clone()))
            .count()
    };
    let until = Instant::now() + FOREVER;
    while count() > 0 {
        assert!(Instant::now() < until, "{} descriptors are left", count());
        std::thread::yield_now();
    }
}

#[test]
fn a_file_is_taken_and_looked_at() {
    let file = good();
    let ino = rustix::fs::fstat(&file).unwrap().st_ino;
    rustix::fs::fchmod(&file, Mode::from_raw_mode(0o4640)).unwrap();
    let again = file.try_clone().unwrap();
    let played = given(vec![vec![file], vec![again]]);
    assert_eq!(played.kernel.profile().backing, Backed::ByFiles);
    for opened in [open(&played, "f", OpenFlags::RDONLY), create(&played)] {
        let backing = opened.unwrap().backing.expect("it was given");
        // Of 100 bytes and mode 644, as the server has it.
        assert_eq!((backing.size, backing.mode), (LEN, 0o4640));
        let file = File::from(backing.file.try_clone().unwrap());
        assert_eq!(file.metadata().unwrap().ino(), ino);
    }
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn what_is_no_file_that_the_server_may_write_is_a_lie() {
    let pipe = || rustix::pipe::pipe().unwrap().1;
    let dir = || rustix::fs::open("/dev/shm", OFlags::RDONLY, Mode::empty()).unwrap();
    let null = || rustix::fs::open("/dev/null", OFlags::RDWR, Mode::empty()).unwrap();
    let socket = || {
        rustix::net::socket(rustix::net::AddressFamily::UNIX, rustix::net::SocketType::STREAM, None)
            .unwrap()
    };
    let makes: [(&str, &dyn Fn() -> OwnedFd); 7] = [
        ("O_PATH", &|| file(OFlags::PATH)),
        ("to be read", &|| file(OFlags::RDONLY)),
        ("to be written", &|| file(OFlags::WRONLY)),
        ("a pipe", &pipe),
        ("a directory", &dir),
        ("a device", &null),
        ("a socket", &socket),
    ];
    for (what, make) in makes {
        let played = given(vec![vec![make()], vec![make()], vec![good()]]);
        assert_eq!(open(&played, "f", OpenFlags::RDONLY).unwrap_err(), Errno::EPROTO, "{what}");
        assert_eq!(create(&played).unwrap_err(), Errno::EPROTO, "{what}");
        assert_eq!(played.kernel.lies(), 2, "{what}");
        // What it has opened in vain it is to close, and it hears of what was wrong.
        assert_eq!(played.wire.count(Opcode::Release), 2, "{what}");
        played.wire.wait_for(Opcode::Error);
        assert!(open(&played, "f", OpenFlags::RDONLY).unwrap().backing.is_some(), "{what}");
    }
}

#[test]
fn where_nothing_can_be_written_files_may_be_open_to_be_read() {
    let flags = MountFlags::GIVES_FILES | MountFlags::READ_ONLY;
    let gifts = vec![vec![file(OFlags::RDONLY)], vec![good()], vec![file(OFlags::RDONLY)]];
    let played = giving(flags, BACKING_ID_ATTACHED, gifts);
    for name in ["f", "fa"] {
        assert!(open(&played, name, OpenFlags::RDONLY).unwrap().backing.is_some());
    }
    // The kernel would open them to be written, whatever the descriptor is good for.
    for flags in [OpenFlags::WRONLY, OpenFlags::RDWR] {
        assert_eq!(open(&played, "f", flags).unwrap_err(), Errno::EROFS);
    }
    assert_eq!(create(&played).unwrap_err(), Errno::EROFS);
    assert_eq!(played.wire.count(Opcode::Open), 2);
}

#[test]
fn files_of_file_systems_that_may_ask_others_are_not_made_use_of() {
    let proc = || rustix::fs::open("/proc/self/oom_score_adj", OFlags::RDWR, Mode::empty());
    let played = given(vec![vec![proc().unwrap()]]);
    let opened = open(&played, "f", OpenFlags::RDONLY).unwrap();
    assert!(opened.backing.is_none());
    assert_eq!(played.kernel.lies(), 0);
    // What has no name is a file of tmpfs like others.
    let memfd = rustix::fs::memfd_create(c"x", MemfdFlags::CLOEXEC).unwrap();
    let played = given(vec![vec![memfd]]);
    assert!(open(&played, "f", OpenFlags::RDONLY).unwrap().backing.is_some());
}

#[test]
fn a_node_has_one_file() {
    let (first, other) = (good(), good());
    let again = first.try_clone().unwrap();
    let played = given(vec![vec![first], vec![other], vec![again]]);
    let node = played.node("f");
    let how = OpenHow { flags: OpenFlags::RDONLY, kill_priv: false };
    let taken = [(); 3].map(|()| played.mount.open(&cx(), &node, how).unwrap().backing.is_some());
    assert_eq!(taken, [true, false, true]);
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn a_file_that_is_announced_and_does_not_come_is_done_without() {
    let played = given(Vec::new());
    assert!(open(&played, "f", OpenFlags::RDWR).unwrap().backing.is_none());
    assert!(create(&played).unwrap().backing.is_none());
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn a_file_that_was_not_announced_is_a_lie() {
    let played = giving(MountFlags::GIVES_FILES, 0, vec![vec![good()], vec![good()]]);
    assert_eq!(open(&played, "f", OpenFlags::RDONLY).unwrap_err(), Errno::EPROTO);
    assert_eq!(create(&played).unwrap_err(), Errno::EPROTO);
    assert_eq!(played.kernel.lies(), 2);
    assert_eq!(played.wire.count(Opcode::Release), 2);
    // Nor may one come that was not agreed on, in whatever mount.
    let played = giving(MountFlags::empty(), BACKING_ID_ATTACHED, vec![vec![good()]]);
    assert_eq!(played.kernel.profile().backing, Backed::No);
    assert_eq!(open(&played, "f", OpenFlags::RDONLY).unwrap_err(), Errno::EPROTO);
    assert_eq!(played.kernel.lies(), 1);
    played.wire.wait_for(Opcode::Release);
    let played = Script::foreign()
        .on(Opcode::Open, |_, _| {
            Said::With(open_out(BACKING_ID_ATTACHED).as_bytes().to_vec(), vec![good()])
        })
        .running();
    assert_eq!(open(&played, "f", OpenFlags::RDONLY).unwrap_err(), Errno::EPROTO);
}

#[test]
fn nothing_else_brings_a_file() {
    let played = Script::new()
        .arguments(|arguments| arguments.flags |= MountFlags::GIVES_FILES)
        .on(Opcode::Statfs, |_, _| {
            let st = filofs_wire::abi::Kstatfs { bsize: 4096, ..Default::default() };
            let out = filofs_wire::abi::StatfsOut { st };
            Said::With(out.as_bytes().to_vec(), vec![good()])
        })
        .on(Opcode::Opendir, |_, _| {
            Said::With(open_out(BACKING_ID_ATTACHED).as_bytes().to_vec(), vec![good()])
        })
        .running();
    let root = played.mount.root().clone();
    assert_eq!(played.mount.statfs(&cx(), &root).unwrap_err(), Errno::EPROTO);
    let how = OpenHow { flags: OpenFlags::RDONLY, kill_priv: false };
    assert_eq!(played.mount.open(&cx(), &root, how).unwrap_err(), Errno::EPROTO);
    assert_eq!(played.kernel.lies(), 2);
}

#[test]
fn two_files_are_a_lie_and_both_are_closed() {
    let some = |many: usize| (0..many).map(|_| named("twin", OFlags::RDWR)).collect();
    let played = given(vec![some(2), some(3), some(1)]);
    let node = played.node("f");
    let how = OpenHow { flags: OpenFlags::RDWR, kill_priv: false };
    for _ in 0..2 {
        assert_eq!(played.mount.open(&cx(), &node, how).unwrap_err(), Errno::EPROTO);
    }
    assert_eq!(played.kernel.lies(), 2);
    assert!(played.mount.open(&cx(), &node, how).unwrap().backing.is_some());
    none_is_left("twin");
}

#[test]
fn a_flood_of_files_ends_its_server_and_leaves_none() {
    let played = given(Vec::new());
    played.node("f");
    // A notification of nothing, over and over.
    let header = OutHeader { len: 40, error: 2, unique: 0 };
    let message = [header.as_bytes(), &[0; 24]].concat();
    let file = [named("flood", OFlags::RDWR)];
    let until = Instant::now() + FOREVER;
    while !played.wire.is_cut() {
        assert!(Instant::now() < until, "it is never ended");
        played.wire.say_with(&message, &file);
    }
    drop(file);
    assert!(played.kernel.lies() > 0);
    none_is_left("flood");
}
