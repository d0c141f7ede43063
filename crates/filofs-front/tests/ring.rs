//! What is a ring's own: queues, who waits for whom, payloads, the end. All else is in
//! `mounted_ring.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs_front::fuse::{FuseOptions, Transport};
use rustix::fs::{Mode, OFlags};
use rustix::thread::{CpuSet, sched_setaffinity};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use support::{FOREVER, Mounted, Tiny, can_mount, options, until};

/// Past the page cache: each read is one request of its own.
fn direct(path: &Path, flags: OFlags) -> File {
    rustix::fs::open(path, flags | OFlags::DIRECT, Mode::empty()).unwrap().into()
}

/// The calling thread asks from this CPU alone.
fn on_cpu(cpu: usize) {
    let mut set = CpuSet::new();
    set.set(cpu);
    sched_setaffinity(None, &set).unwrap();
}

#[test]
fn a_session_says_how_its_requests_come() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("says");
    let said = on.session.transport();
    assert!(said.starts_with("ring (") && said.ends_with(" queues)"), "{said}");
    let classic = FuseOptions { transport: Transport::Classic, ..options() };
    let on = Mounted::with("says", Tiny::new(), &classic);
    assert_eq!(on.session.transport(), "classic (asked for)");
    // Too few for a queue each and somebody beside.
    let few = FuseOptions { most_workers: 1, ..options() };
    let on = Mounted::with("says", Tiny::new(), &few);
    assert_eq!(on.session.transport(), "classic (fewer workers than a ring takes)");
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
}

#[test]
fn a_process_that_is_bound_to_a_cpu_reads_the_device() {
    if !can_mount() {
        return;
    }
    let auto = FuseOptions { transport: Transport::Auto, ..options() };
    let on = Mounted::with("bound", Tiny::new(), &auto);
    let free = on.session.transport().to_owned();
    drop(on);
    let bound = thread::spawn(move || {
        on_cpu(0);
        Mounted::with("bound", Tiny::new(), &auto).session.transport().to_owned()
    });
    let bound = bound.join().unwrap();
    // A machine with one CPU, or a test run that is bound itself, has no ring in either case.
    if free.starts_with("ring") {
        assert_eq!(bound, "classic (not all CPUs may be used)");
    } else {
        assert!(bound.starts_with("classic"), "{free}, {bound}");
    }
}

/// Many operations that block, all of one CPU, and others of that CPU which are answered
/// meanwhile. No time decides: the gate stays shut until they were.
#[test]
fn operations_that_block_hold_up_nobody_of_their_cpu() {
    if !can_mount() {
        return;
    }
    const BLOCKED: usize = 40;
    let on = Mounted::new("line");
    let readers: Vec<_> = (0..BLOCKED)
        .map(|_| {
            let path = on.join("gate");
            thread::spawn(move || {
                on_cpu(0);
                direct(&path, OFlags::RDONLY).read(&mut [0; 4096]).unwrap()
            })
        })
        .collect();
    for _ in 0..BLOCKED {
        on.tiny.wait_at_gate();
    }
    let root = on.place.0.clone();
    let others = thread::spawn(move || {
        on_cpu(0);
        for n in 0..100 {
            let path = root.join(format!("file-{n}"));
            fs::write(&path, b"data").unwrap();
            assert_eq!(fs::read(&path).unwrap(), b"data");
            fs::remove_file(&path).unwrap();
        }
    });
    others.join().unwrap();
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    on.tiny.open_gate();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 3);
    }
    on.session.unmount(false).unwrap();
    assert!(!on.session.wait().aborted);
}

/// At the limit of workers some wait, and go on.
#[test]
fn beyond_the_limit_requests_wait_and_go_on() {
    if !can_mount() {
        return;
    }
    let cpus = thread::available_parallelism().unwrap().get();
    let few = FuseOptions { most_workers: 2 * cpus + 2, ..options() };
    let on = Mounted::with("few", Tiny::new(), &few);
    assert!(on.session.transport().starts_with("ring"), "{}", on.session.transport());
    let readers: Vec<_> = (0..4 * cpus + 4)
        .map(|_| {
            let path = on.join("gate");
            thread::spawn(move || direct(&path, OFlags::RDONLY).read(&mut [0; 4096]).unwrap())
        })
        .collect();
    on.tiny.wait_at_gate();
    on.tiny.open_gate();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), 3);
    }
}

#[test]
fn a_payload_may_be_as_large_as_was_agreed_on() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("payload");
    let path = on.join("big");
    fs::write(&path, b"").unwrap();
    let file = direct(&path, OFlags::RDWR);
    // More than the largest request, and all around what passes through the worker's memory.
    for len in [1usize, 4096, 16 << 10, (16 << 10) + 1, 128 << 10, 1 << 20, (1 << 20) + 1, 3 << 20]
    {
        let data: Vec<u8> = (0..len as u32).map(|n| (n.wrapping_mul(41) >> 5) as u8).collect();
        file.write_all_at(&data, 0).unwrap();
        let mut read = vec![0; len];
        file.read_exact_at(&mut read, 0).unwrap();
        assert!(read == data, "{len} bytes");
    }
}

/// Who moves little can be killed although the operation does not end (`mounted.rs`); who moves
/// much waits for its end, and then goes.
#[test]
fn a_killed_caller_with_a_large_buffer_goes_when_its_operation_ends() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("large");
    let mut reader = Command::new("dd")
        .args(["iflag=direct", "bs=65536"])
        .arg(format!("if={}", on.join("gate").display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    on.tiny.wait_at_gate();
    reader.kill().unwrap();
    let (told, tells) = channel();
    thread::spawn(move || told.send(reader.wait().unwrap().success()));
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
    on.tiny.open_gate();
    assert_eq!(tells.recv_timeout(FOREVER), Ok(false));
    until("everything is released", || on.session.mount().opens().is_empty());
}

#[test]
fn many_clients_each_get_their_own_answers() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("many");
    let clients: Vec<_> = (0..64)
        .map(|client| {
            let dir = on.join(&format!("client-{client}"));
            thread::spawn(move || {
                fs::create_dir(&dir).unwrap();
                for round in 0..20 {
                    let (path, data) = (dir.join("file"), format!("{client} {round}"));
                    fs::write(&path, &data).unwrap();
                    assert_eq!(fs::read_to_string(&path).unwrap(), data);
                    fs::rename(&path, dir.join("other")).unwrap();
                    assert_eq!(fs::metadata(dir.join("other")).unwrap().len(), data.len() as u64);
                }
                fs::remove_dir_all(&dir).unwrap();
            })
        })
        .collect();
    for client in clients {
        client.join().unwrap();
    }
    let nodes = on.session.mount().nodes();
    until("everything is forgotten", || nodes.lookups() == 0);
    on.session.unmount(false).unwrap();
    let report = on.session.wait();
    assert_eq!((report.lookups, report.nodes, report.opens), (0, 1, 0));
}

#[test]
fn an_unmount_under_load_leaves_nothing() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("load");
    let enough = Arc::new(AtomicBool::new(false));
    let (busy, begun) = channel();
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (path, enough) = (on.join(&format!("file-{client}")), enough.clone());
            let busy = busy.clone();
            thread::spawn(move || {
                while !enough.load(Ordering::SeqCst) {
                    // After the unmount these are files of the directory below, or errors.
                    let _ = fs::metadata(&path).and_then(|_| fs::read(&path));
                    let _ = busy.send(());
                }
            })
        })
        .collect();
    for _ in 0..1000 {
        begun.recv_timeout(FOREVER).unwrap();
    }
    on.session.unmount(true).unwrap();
    enough.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().unwrap();
    }
    let report = on.session.wait();
    assert_eq!((report.opens, report.aborted), (0, false));
    assert!(on.place.mounted().is_none());
}
