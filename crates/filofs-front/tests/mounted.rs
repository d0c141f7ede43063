//! A mount of the kernel's, as its users see it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs::Notice;
use filofs_front::fuse::{FuseOptions, MountError};
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::mpsc::channel;
use std::thread;
use support::{FOREVER, Mounted, Tiny, can_mount, errno, names, options, run, until};

const EIO: i32 = 5;
const ENXIO: i32 = 6;

#[test]
fn files_are_read_written_and_listed() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("files");
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
    assert_eq!(names(&on.place.0), ["hello", "gate", "panic"]);
    let data: Vec<u8> = (0..3_000_000u32).map(|n| (n.wrapping_mul(7) >> 3) as u8).collect();
    fs::write(on.join("big"), &data).unwrap();
    assert!(fs::read(on.join("big")).unwrap() == data);
    let file = File::options().read(true).write(true).open(on.join("big")).unwrap();
    file.write_all_at(b"xyz", 1_234_567).unwrap();
    let mut bytes = [0; 5];
    file.read_exact_at(&mut bytes, 1_234_566).unwrap();
    assert_eq!(&bytes[1..4], b"xyz");
    file.set_len(10).unwrap();
    assert_eq!(fs::metadata(on.join("big")).unwrap().len(), 10);
    drop(file);

    fs::create_dir(on.join("dir")).unwrap();
    std::os::unix::fs::symlink("../hello", on.join("dir/link")).unwrap();
    assert_eq!(fs::read_link(on.join("dir/link")).unwrap().to_str(), Some("../hello"));
    assert_eq!(fs::read(on.join("dir/link")).unwrap(), b"hello, world\n");
    fs::rename(on.join("big"), on.join("dir/small")).unwrap();
    assert_eq!(names(&on.join("dir")), ["small", "link"].map(String::from));
    assert_eq!(errno(fs::remove_dir(on.join("dir"))), 39, "ENOTEMPTY");
    assert_eq!(errno(fs::metadata(on.join("big"))), 2, "ENOENT");
    let numbers = rustix::fs::statvfs(&on.place.0).unwrap();
    assert_eq!((numbers.f_blocks, numbers.f_bfree, numbers.f_frsize), (1000, 500, 4096));
    assert_eq!(numbers.f_namemax, 255);
    let line = on.place.mounted().unwrap();
    assert!(line.contains(" - fuse.filo tiny: "), "{line}");
    assert!(line.contains("nosuid,nodev") && line.contains("default_permissions"), "{line}");
}

#[test]
fn a_large_directory_is_listed_once_and_whole() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("large");
    fs::create_dir(on.join("d")).unwrap();
    let made: Vec<String> =
        (0..3000).map(|n| format!("name-{n:05}-{}", "x".repeat(n % 60))).collect();
    for name in &made {
        fs::write(on.join("d").join(name), b"").unwrap();
    }
    assert!(names(&on.join("d")) == made);
    // With attributes, as readdirplus brings them.
    for entry in fs::read_dir(on.join("d")).unwrap() {
        assert_eq!(entry.unwrap().metadata().unwrap().len(), 0);
    }
    // "." and ".." with the numbers that stat shows.
    let dir = fs::metadata(on.join("d")).unwrap().ino();
    let root = fs::metadata(&on.place.0).unwrap().ino();
    assert_eq!(dots(&on.join("d")), [dir, root]);
    // Also after it has moved, and when the kernel has looked it up there.
    fs::create_dir(on.join("e")).unwrap();
    fs::rename(on.join("d"), on.join("e/d")).unwrap();
    let other = fs::metadata(on.join("e")).unwrap().ino();
    assert_eq!(dots(&on.join("e/d")), [dir, other]);
    assert_eq!(dots(&on.join("e")), [other, root]);
}

/// The inode numbers that a listing gives for "." and "..".
fn dots(dir: &std::path::Path) -> Vec<u64> {
    let (ok, text) = run(Command::new("ls").args(["-fia1"]).arg(dir));
    assert!(ok, "{text}");
    let line = |name: &'static str| {
        let found = text.lines().find_map(|line| line.trim().strip_suffix(name));
        found.unwrap().trim().parse().unwrap()
    };
    vec![line(" ."), line(" ..")]
}

#[test]
fn a_blocked_operation_holds_nobody_up() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("slow");
    // Several at once: each takes a worker for as long as the gate is shut.
    let readers: Vec<_> = (0..8)
        .map(|_| {
            let path = on.join("gate");
            thread::spawn(move || {
                // Past the page cache, where readers of one page would wait for each other.
                let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECT;
                let fd = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
                let mut bytes = [0; 16];
                let len = File::from(fd).read(&mut bytes).unwrap();
                bytes[..len].to_vec()
            })
        })
        .collect();
    for _ in 0..8 {
        on.tiny.wait_at_gate();
    }
    // All are inside, and everything else goes on.
    for n in 0..100 {
        let path = on.join(&format!("file-{n}"));
        fs::write(&path, b"data").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"data");
        fs::remove_file(&path).unwrap();
    }
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    on.tiny.open_gate();
    for reader in readers {
        assert_eq!(reader.join().unwrap(), b"in\n");
    }
}

#[test]
fn a_computing_operation_holds_nobody_up() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("sum");
    fs::write(on.join("sum"), b"42\n").unwrap();
    let path = on.join("sum");
    let reader = thread::spawn(move || fs::read(path).unwrap());
    on.tiny.wait_at_gate();
    // It never sleeps, as little as one does that is only not let run; but it is let.
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
    assert!(!reader.is_finished());
    on.tiny.open_gate();
    assert_eq!(reader.join().unwrap(), b"42\n");
}

#[test]
fn a_panic_is_eio_once_and_the_mount_goes_on() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("panic");
    // Past the page cache, which would ask twice.
    let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECT;
    let fd = rustix::fs::open(on.join("panic"), flags, rustix::fs::Mode::empty()).unwrap();
    assert_eq!(errno(File::from(fd).read(&mut [0; 16])), EIO);
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
    assert_eq!(on.session.mount().counters().panics(), 1);
}

#[test]
fn a_caller_that_waits_for_a_lock_can_be_killed() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("lock");
    let lock = |seconds: &str| {
        // A process of its own: locks belong to processes.
        Command::new("python3")
            .args(["-c", LOCKER])
            .arg(on.join("hello"))
            .arg(seconds)
            .stdout(Stdio::piped())
            .stdin(Stdio::piped())
            .spawn()
            .unwrap()
    };
    const LOCKER: &str = "import fcntl, sys\n\
        f = open(sys.argv[1], 'r+b')\n\
        fcntl.lockf(f, fcntl.LOCK_EX)\n\
        print('got', flush=True)\n\
        sys.stdin.read()\n";
    let mut holder = lock("");
    let mut got = [0; 4];
    holder.stdout.as_mut().unwrap().read_exact(&mut got).unwrap();
    let mut waiter = lock("");
    until("the second waits", || on.tiny.waited() == 1);
    // The mount serves others meanwhile.
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
    waiter.kill().unwrap();
    let (told, tells) = channel();
    let reaper = thread::spawn(move || {
        let status = waiter.wait().unwrap();
        told.send(()).unwrap();
        status
    });
    tells.recv_timeout(FOREVER).expect("a killed waiter goes away");
    assert!(!reaper.join().unwrap().success());
    // The first still has it, and gives it back.
    drop(holder.stdin.take());
    assert!(holder.wait().unwrap().success());
    let mut third = lock("");
    third.stdout.as_mut().unwrap().read_exact(&mut got).unwrap();
    assert_eq!(&got, b"got\n");
    drop(third.stdin.take());
    assert!(third.wait().unwrap().success());
    assert_eq!(on.tiny.waited(), 1);
}

#[test]
fn a_killed_caller_goes_although_the_operation_does_not_end() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("stuck");
    // Past the page cache, whose waiters can be killed in any case.
    let mut reader = Command::new("dd")
        .args(["iflag=direct", "bs=4096"])
        .arg(format!("if={}", on.join("gate").display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    on.tiny.wait_at_gate();
    // A signal that is caught or ignored changes nothing.
    let child = rustix::process::Pid::from_child(&reader);
    rustix::process::kill_process(child, rustix::process::Signal::CHILD).unwrap();
    thread::sleep(std::time::Duration::from_millis(300));
    assert!(reader.try_wait().unwrap().is_none());
    reader.kill().unwrap();
    let (told, tells) = channel();
    thread::spawn(move || told.send(reader.wait().unwrap().success()));
    assert_eq!(tells.recv_timeout(FOREVER), Ok(false), "gone, and the gate is still shut");
    // What the operation says in the end harms nobody.
    on.tiny.open_gate();
    assert_eq!(fs::read(on.join("gate")).unwrap(), b"in\n");
    until("everything is released", || on.session.mount().opens().is_empty());
}

#[test]
fn a_storm_of_signals_leaves_no_lock_behind() {
    if !can_mount() {
        return;
    }
    // Each waits for the lock again and again, interrupted a thousand times a second; Python
    // waits on after EINTR.
    const STORM: &str = "import fcntl, signal, sys\n\
        f = open(sys.argv[1], 'r+b')\n\
        signal.signal(signal.SIGALRM, lambda *_: None)\n\
        signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001)\n\
        print('on', flush=True)\n\
        for n in range(int(sys.argv[2])):\n\
        \x20   fcntl.lockf(f, fcntl.LOCK_EX)\n\
        \x20   f.seek(0)\n\
        \x20   f.write(b'%d' % n)\n\
        \x20   fcntl.lockf(f, fcntl.LOCK_UN)\n\
        signal.setitimer(signal.ITIMER_REAL, 0)\n";
    let on = Mounted::new("storm");
    let start = |times: &str| {
        let mut command = Command::new("python3");
        command.args(["-c", STORM]).arg(on.join("hello")).arg(times);
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut line = [0; 3];
        child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
        child
    };
    let endless = || start("1000000000");
    let mut others: Vec<_> = (0..3).map(|_| endless()).collect();
    for _ in 0..8 {
        // Killed wherever it happens to be: before, in, or after waiting.
        let mut victim = endless();
        let waited = on.tiny.waited();
        until("somebody waits meanwhile", || on.tiny.waited() > waited);
        victim.kill().unwrap();
        victim.wait().unwrap();
    }
    for mut other in others.drain(..) {
        other.kill().unwrap();
        other.wait().unwrap();
    }
    let mut last = start("1");
    assert!(last.wait().unwrap().success(), "the lock is free");
    until("everything is released", || on.session.mount().opens().is_empty());
    on.session.unmount(false).unwrap();
    assert!(!on.session.wait().aborted);
}

#[test]
fn at_the_limit_of_workers_requests_wait_and_go_on() {
    if !can_mount() {
        return;
    }
    let options = FuseOptions { most_workers: 2, ..options() };
    let on = Mounted::with("limit", Tiny::new(), &options);
    let read = |name: &str| {
        let path = on.join(name);
        thread::spawn(move || {
            let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::DIRECT;
            let fd = rustix::fs::open(&path, flags, rustix::fs::Mode::empty()).unwrap();
            File::from(fd).read(&mut [0; 16]).unwrap()
        })
    };
    let first = read("gate");
    on.tiny.wait_at_gate();
    let second = read("gate");
    on.tiny.wait_at_gate();
    // Nobody is left to answer this one, until the gate opens.
    let third = read("hello");
    thread::sleep(std::time::Duration::from_millis(20));
    assert!(!third.is_finished());
    on.tiny.open_gate();
    assert_eq!(first.join().unwrap(), 3);
    assert_eq!(second.join().unwrap(), 3);
    assert_eq!(third.join().unwrap(), 13);
}

#[test]
fn what_the_kernel_was_told_it_gives_back() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("forget");
    let nodes = on.session.mount().nodes();
    assert_eq!(nodes.lookups(), 0, "the root is not counted");
    for round in 0..3 {
        let dir = on.join(&format!("dir-{round}"));
        fs::create_dir(&dir).unwrap();
        for n in 0..50 {
            fs::write(dir.join(format!("{n}")), b"x").unwrap();
        }
        for entry in fs::read_dir(&dir).unwrap() {
            entry.unwrap().metadata().unwrap();
        }
        assert!(nodes.lookups() >= 51);
        fs::remove_dir_all(&dir).unwrap();
        // Nodes without a name and a user are forgotten at once; the messages take their time.
        until("everything is forgotten", || nodes.lookups() == 0);
    }
    assert_eq!(nodes.len(), 1, "the root");
    assert!(
        on.session.mount().opens().is_empty() || {
            until("everything is released", || on.session.mount().opens().is_empty());
            true
        }
    );
    on.session.unmount(false).unwrap();
    let report = on.session.wait();
    assert_eq!((report.lookups, report.nodes, report.opens), (0, 1, 0));
    assert!(report.served > 300 && !report.aborted);
}

#[test]
fn an_unmount_drops_what_is_still_cached() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("unmount");
    fs::read(on.join("hello")).unwrap();
    let file = File::open(on.join("hello")).unwrap();
    let busy = on.session.unmount(false).unwrap_err();
    assert!(matches!(busy, MountError::Busy { .. }), "{busy}");
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n", "the mount goes on");
    // Out of sight, but alive until the last use.
    on.session.unmount(true).unwrap();
    assert_eq!(on.place.mounted(), None);
    let mut text = String::new();
    (&file).read_to_string(&mut text).unwrap();
    assert_eq!(text, "hello, world\n");
    drop(file);
    let report = on.session.wait();
    // Linux sends no FORGET for what it still had in its caches: the name that was looked up.
    assert_eq!(report.lookups, 1);
    assert_eq!(on.session.mount().nodes().lookups(), 0, "the end gives it back");
    // The last RELEASE may be lost with the connection as well: then the end makes up for it.
    assert!(report.opens <= 1);
    assert_eq!(on.tiny.releases.load(Ordering::SeqCst), 3);
    on.session.unmount(false).unwrap();
}

#[test]
fn dropping_a_session_leaves_no_mount() {
    if !can_mount() {
        return;
    }
    let Mounted { session, place, .. } = Mounted::new("drop");
    assert!(place.mounted().is_some());
    drop(session);
    assert_eq!(place.mounted(), None);
}

#[test]
fn notices_reach_the_kernel() {
    if !can_mount() {
        return;
    }
    let mut tiny = Tiny::new();
    tiny.ttl = FOREVER * 60;
    let options = FuseOptions { kernel_cache: true, ..options() };
    let on = Mounted::with("notice", tiny, &options);
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, world\n");
    let node = on.tiny.overwrite(b"hello", b"changed");
    // Reading asks for new attributes, because of the access time, but not for the content.
    assert_eq!(fs::read(on.join("hello")).unwrap(), b"hello, ", "cached for long");
    on.tiny.send(Notice::Changed { node, offset: 0, len: 0 });
    until("the new content is seen", || fs::read(on.join("hello")).unwrap() == b"changed");
    let dir = on.tiny.vanish(b"hello");
    assert!(fs::metadata(on.join("hello")).is_ok(), "cached for long");
    on.tiny.send(Notice::Renamed { dir, name: b"hello".to_vec() });
    until("the name is gone", || fs::metadata(on.join("hello")).is_err());
    // Bad ones do no harm.
    on.tiny.send(Notice::Renamed { dir, name: b"a/b".to_vec() });
    on.tiny.send(Notice::Changed { node: filofs::Cookie(999), offset: 0, len: 0 });
    on.tiny.send(Notice::Unmount);
    on.session.wait();
    assert_eq!(on.place.mounted(), None);
}

#[test]
fn who_delivers_a_notice_has_the_kernels_answer() {
    // C.9, as far as Linux can
    if !can_mount() {
        return;
    }
    let mut tiny = Tiny::new();
    tiny.ttl = FOREVER * 60;
    let options = FuseOptions { kernel_cache: true, ..options() };
    let on = Mounted::with("deliver", tiny, &options);
    let read = || fs::read(on.join("hello")).unwrap();
    assert_eq!(read(), b"hello, world\n");
    let node = on.tiny.overwrite(b"hello", b"changed");
    // What is answered is done: nothing needs to be waited for.
    assert_eq!(on.tiny.deliver(Notice::ForgetData { node, start: 0, end: 0 }), Ok(()));
    assert_eq!(read(), b"changed");
    on.tiny.overwrite(b"hello", b"again, and longer");
    assert_eq!(on.tiny.deliver(Notice::Everything).map_err(|_| ()), Ok(()));
    assert_eq!(read(), b"again, and longer");
    assert_eq!(on.tiny.deliver(Notice::WriteData { node, start: 1, end: 3 }), Ok(()));
    // What the kernel does not know, and what is wrong.
    let nobody = filofs::Cookie(999);
    let unknown = Notice::Changed { node: nobody, offset: 0, len: 0 };
    assert_eq!(on.tiny.deliver(unknown), Err(filofs::Errno::ENOENT));
    let range = Notice::ForgetData { node, start: 3, end: 2 };
    assert_eq!(on.tiny.deliver(range), Err(filofs::Errno::EINVAL));
    let dir = on.tiny.vanish(b"hello");
    assert!(fs::metadata(on.join("hello")).is_ok(), "cached for long");
    match on.tiny.deliver(Notice::NamesIn { dir }) {
        Ok(()) => assert!(fs::metadata(on.join("hello")).is_err()),
        refused => assert_eq!(refused, Err(filofs::Errno::EOPNOTSUPP), "before Linux 6.16"),
    }
    assert_eq!(on.tiny.deliver(Notice::Unmount), Ok(()));
    on.session.wait();
    // A123
    assert_eq!(on.tiny.deliver(Notice::AllNames), Err(filofs::Errno::ENXIO));
}

#[test]
fn set_id_bits_die_with_a_write_by_another() {
    if !can_mount() {
        return;
    }
    let options = FuseOptions { allow_other: true, nosuid: false, ..options() };
    let on = Mounted::with("suid", Tiny::new(), &options);
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().mode() & 0o7777;
    let path = on.join("program");
    let write = |user: bool, script: &str| {
        let mut command = Command::new("sh");
        command.arg("-c").arg(script).arg("sh").arg(&path);
        if user {
            use std::os::unix::process::CommandExt;
            command.uid(1000).gid(1000);
        }
        let (ok, text) = run(&mut command);
        assert!(ok, "{text}");
    };
    for (user, script, after) in [
        (true, "printf x >> \"$1\"", 0o777),
        (false, "printf x >> \"$1\"", 0o6777),
        (true, ": > \"$1\"", 0o777),
        (false, "chown 7 \"$1\"", 0o777),
    ] {
        let _ = fs::remove_file(&path);
        fs::write(&path, b"#!").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o6777)).unwrap();
        assert_eq!(mode(&path), 0o6777);
        write(user, script);
        until("the bits are as they should", || mode(&path) == after);
    }
}

#[test]
fn callers_bring_their_groups() {
    if !can_mount() {
        return;
    }
    let options = FuseOptions { allow_other: true, ..options() };
    let on = Mounted::with("groups", Tiny::new(), &options);
    let (ok, text) = run(Command::new("setpriv")
        .args(["--reuid=0", "--regid=5", "--groups=7,4321,8", "mkdir"])
        .arg(on.join("d")));
    assert!(ok, "{text}");
    let mut groups: Vec<u32> = on.tiny.groups.lock().unwrap().iter().map(|gid| gid.0).collect();
    groups.sort_unstable();
    assert_eq!(groups, [7, 8, 4321]);
}

#[test]
fn extended_attributes_with_and_without_room() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("xattr");
    let path = on.join("hello");
    let none = rustix::fs::XattrFlags::empty();
    let value = [b'v'; 5000];
    rustix::fs::setxattr(&path, c"user.a", &value, none).unwrap();
    let mut small = [0u8; 100];
    let get = |buffer: &mut [u8]| rustix::fs::getxattr(&path, c"user.a", buffer);
    assert_eq!(rustix::fs::getxattr_query(&path, c"user.a"), Ok(5000));
    assert_eq!(get(&mut small), Err(rustix::io::Errno::RANGE));
    let mut large = [0u8; 6000];
    assert_eq!(get(&mut large), Ok(5000));
    assert_eq!(large[..5000], value);
    let missing = rustix::fs::getxattr(&path, c"user.b", &mut large);
    assert_eq!(missing, Err(rustix::io::Errno::NODATA));
}

#[test]
fn an_aborted_connection_leaves_no_dead_mount() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("abort");
    let line = on.place.mounted().unwrap();
    let minor = line.split(' ').nth(2).unwrap().split_once(':').unwrap().1;
    let control = support::Place::new("control");
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("none", &control.0, "fusectl", flags, None).unwrap();
    let abort = control.join(minor).join("abort");
    fs::write(abort, "1").unwrap();
    let report = on.session.wait();
    assert!(report.aborted);
    assert_eq!(on.place.mounted(), None);
}

#[test]
fn a_dying_mount_answers_with_an_error() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("dying");
    on.session.mount().die();
    assert_eq!(errno(fs::read(on.join("hello"))), ENXIO);
    on.session.unmount(true).unwrap();
    on.session.wait();
}

#[test]
fn mount_points_that_will_not_do() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("wrong");
    let tiny = std::sync::Arc::new(Tiny::new());
    let start = |path: &std::path::Path| {
        let mount = support::mount_of(&tiny);
        filofs_front::fuse::Session::start(mount, path, &options()).unwrap_err()
    };
    let error = start(&on.join("hello"));
    assert!(matches!(error, MountError::NotADirectory { .. }), "{error}");
    assert_eq!(error.exit_code(), 3);
    let error = start(std::path::Path::new("/no/such/place"));
    assert!(matches!(error, MountError::MountPoint { .. }), "{error}");
    let error = start(std::path::Path::new("/dev/fd/98765"));
    assert!(matches!(error, MountError::Descriptor { .. }), "{error}");
}

#[test]
fn a_root_that_is_a_file_is_mounted_on_a_file() {
    if !can_mount() {
        return;
    }
    let place = support::Place::file("single");
    let tiny = std::sync::Arc::new(Tiny::file());
    let mount = support::mount_of(&tiny);
    let session = filofs_front::fuse::Session::start(mount, &place.0, &options()).unwrap();
    assert_eq!(fs::read(&place.0).unwrap(), b"alone\n");
    fs::write(&place.0, b"written").unwrap();
    assert_eq!(fs::read(&place.0).unwrap(), b"written");
    until("all is closed", || session.mount().opens().is_empty());
    session.unmount(false).unwrap();
    session.wait();
    assert_eq!(fs::read(&place.0).unwrap(), b"", "what was there before");
}

#[test]
fn a_ready_descriptor_is_served() {
    if !can_mount() {
        return;
    }
    // As mount.fuse3 does with drop_privileges: it mounts, and passes the descriptor's number.
    let place = support::Place::new("given");
    let device = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let fd = std::os::fd::IntoRawFd::into_raw_fd(device);
    let data = format!("fd={fd},rootmode=40000,user_id=0,group_id=0");
    let data = std::ffi::CString::new(data).unwrap();
    let flags = rustix::mount::MountFlags::empty();
    rustix::mount::mount("given", &place.0, "fuse", flags, data.as_c_str()).unwrap();
    let tiny = std::sync::Arc::new(Tiny::new());
    let at = std::path::PathBuf::from(format!("/dev/fd/{fd}"));
    let mount = support::mount_of(&tiny);
    let session = filofs_front::fuse::Session::start(mount, &at, &options()).unwrap();
    assert_eq!(fs::read(place.join("hello")).unwrap(), b"hello, world\n");
    rustix::mount::unmount(&place.0, rustix::mount::UnmountFlags::empty()).unwrap();
    session.wait();
}

#[test]
fn quick_requests_are_not_spread_over_threads() {
    if !can_mount() {
        return;
    }
    let on = Mounted::new("quick");
    let mut file = File::create(on.join("f")).unwrap();
    for _ in 0..5000 {
        file.write_all(b"0123456789").unwrap();
    }
    let threads = fs::read_dir("/proc/self/task").unwrap().filter(|task| {
        let name = task.as_ref().unwrap().path().join("comm");
        fs::read_to_string(name).is_ok_and(|name| name.trim_end() == "filo-worker")
    });
    // Other tests of this program may mount at the same time: the pool of one is bounded by what
    // was slow in it.
    assert!(threads.count() < 200);
    assert_eq!(file.metadata().unwrap().len(), 50_000);
}
