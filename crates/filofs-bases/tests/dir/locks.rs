//! Locks, among callers and against other processes.

use crate::ground::{Ground, root};
use filofs::{
    Cancel, Context, Errno, FileSystem, Lock, LockKind, LockOwner, Node, Open, OpenFlags, Pid,
};
use rustix::fs::FlockOperation;
use std::sync::Arc;

fn lock(kind: LockKind, start: u64, end: u64) -> Lock {
    Lock { kind, start, end, pid: Pid(0) }
}

struct File {
    g: Ground,
    node: Node,
    open: Open,
}

impl File {
    fn new() -> File {
        let g = Ground::new();
        let (node, open) = g.create(&root(), &g.root(), "f", 0o600).unwrap();
        File { g, node, open }
    }

    fn set(&self, owner: u64, lock: Lock) -> filofs::Result<()> {
        let cx = Context { pid: Pid(owner as u32), ..root() };
        self.g.dir.setlk(&cx, &self.node, &self.open, LockOwner(owner), lock, false)
    }

    fn get(&self, owner: u64, lock: Lock) -> Lock {
        self.g.dir.getlk(&root(), &self.node, &self.open, LockOwner(owner), lock).unwrap()
    }

    fn flock(
        &self,
        cx: &Context<'_>,
        open: &Open,
        kind: LockKind,
        wait: bool,
    ) -> filofs::Result<()> {
        let owner = LockOwner(std::ptr::from_ref(open) as u64);
        self.g.dir.flock(cx, &self.node, open, owner, kind, wait)
    }

    /// Another process' view: its own description of the file.
    fn outside(&self) -> std::fs::File {
        let mut options = std::fs::OpenOptions::new();
        options.read(true).write(true).open(self.g.at("f")).unwrap()
    }
}

/// Python is everywhere the tests run; a lock of fcntl(2) needs another process to be seen.
fn try_outside(file: &File, kind: &str, start: u64, len: u64) -> bool {
    let code = format!(
        "import fcntl,sys\nf=open(sys.argv[1],'r+')\n\
         try:\n fcntl.lockf(f,fcntl.{kind}|fcntl.LOCK_NB,{len},{start})\n\
         except OSError: sys.exit(7)"
    );
    let path = file.g.at("f");
    let status = std::process::Command::new("python3").arg("-c").arg(code).arg(path).status();
    match status.unwrap().code() {
        Some(0) => true,
        Some(7) => false,
        other => panic!("{other:?}"),
    }
}

#[test]
fn callers_and_other_processes_see_each_others_locks() {
    let file = File::new();
    file.set(1, lock(LockKind::Exclusive, 10, 19)).unwrap();
    assert_eq!(file.set(2, lock(LockKind::Shared, 15, 30)), Err(Errno::EAGAIN));
    assert!(!try_outside(&file, "LOCK_SH", 15, 1));
    assert!(try_outside(&file, "LOCK_EX", 20, 5));
    // Shared by two: it is gone when both have given it back.
    file.set(1, lock(LockKind::Shared, 10, 19)).unwrap();
    file.set(2, lock(LockKind::Shared, 15, 30)).unwrap();
    assert!(try_outside(&file, "LOCK_SH", 15, 1));
    file.set(1, lock(LockKind::Unlock, 0, Lock::TO_END)).unwrap();
    assert!(!try_outside(&file, "LOCK_EX", 15, 1));
    file.g.dir.flush(&root(), &file.node, &file.open, LockOwner(2)).unwrap();
    assert!(try_outside(&file, "LOCK_EX", 15, 1));
}

#[test]
fn locks_go_with_the_flush_of_an_open_for_reading_too() {
    let file = File::new();
    let reading = file.g.open(&root(), &file.node, OpenFlags::RDONLY).unwrap();
    file.set(1, lock(LockKind::Exclusive, 10, 19)).unwrap();
    assert!(!try_outside(&file, "LOCK_SH", 10, 1));
    file.g.dir.flush(&root(), &file.node, &reading, LockOwner(1)).unwrap();
    assert!(try_outside(&file, "LOCK_EX", 10, 1));
    file.set(2, lock(LockKind::Exclusive, 10, 19)).unwrap();
}

#[test]
fn fcntl_getlock_pids() {
    // D.6 fcntl_getlock_pids
    let file = File::new();
    for (owner, start) in [(13, 20), (11, 0), (14, 30), (12, 10)] {
        file.set(owner, lock(LockKind::Exclusive, start, start + 9)).unwrap();
    }
    for asks in [11, 12, 13, 14, 15] {
        let mut seen = Vec::new();
        let mut from = 0;
        loop {
            let found = file.get(asks, lock(LockKind::Exclusive, from, Lock::TO_END));
            if found.kind == LockKind::Unlock {
                break;
            }
            seen.push((u64::from(found.pid.0), found.start, found.end));
            from = found.end + 1;
        }
        let all = [(11, 0, 9), (12, 10, 19), (13, 20, 29), (14, 30, 39)];
        let others: Vec<_> = all.into_iter().filter(|(owner, ..)| *owner != asks).collect();
        assert_eq!(seen, others, "as {asks} sees it");
    }
}

#[test]
fn what_another_process_holds_is_found_and_leaves_earlier_locks_alone() {
    let file = File::new();
    let path = file.g.at("f");
    let code = "import fcntl,sys,time\nf=open(sys.argv[1],'r+')\n\
                fcntl.lockf(f,fcntl.LOCK_EX,10,100)\nprint('held',flush=True)\nsys.stdin.read()";
    let mut other = std::process::Command::new("python3")
        .args(["-c", code])
        .arg(path)
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut out = std::io::BufReader::new(other.stdout.take().unwrap());
    std::io::BufRead::read_line(&mut out, &mut line).unwrap();
    file.set(1, lock(LockKind::Shared, 90, 99)).unwrap();
    assert_eq!(file.set(1, lock(LockKind::Exclusive, 95, 105)), Err(Errno::EAGAIN));
    let found = file.get(1, lock(LockKind::Exclusive, 0, 200));
    assert_eq!((found.pid.0, found.start, found.end), (other.id(), 100, 109));
    // The shared lock is as it was, for us and for others.
    assert_eq!(file.get(2, lock(LockKind::Exclusive, 95, 95)).start, 90);
    assert_eq!(file.get(2, lock(LockKind::Exclusive, 99, 99)).kind, LockKind::Shared);
    assert!(!try_outside(&file, "LOCK_EX", 95, 1));
    // Who waits is called off.
    let cancel = Arc::new(Cancel::new());
    std::thread::scope(|scope| {
        let cancelled = cancel.clone();
        let file = &file;
        let waits = scope.spawn(move || {
            let cx = Context { cancel: &cancelled, ..root() };
            let want = lock(LockKind::Exclusive, 100, 100);
            file.g.dir.setlk(&cx, &file.node, &file.open, LockOwner(3), want, true)
        });
        cancel.cancel();
        assert_eq!(waits.join().unwrap(), Err(Errno::EINTR));
    });
    // And who waits gets it.
    std::thread::scope(|scope| {
        let file = &file;
        let waits = scope.spawn(move || {
            let want = lock(LockKind::Exclusive, 100, 100);
            file.g.dir.setlk(&root(), &file.node, &file.open, LockOwner(3), want, true)
        });
        drop(other.stdin.take());
        other.wait().unwrap();
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
}

#[test]
fn a_read_only_owner_that_comes_to_write_keeps_its_locks() {
    let file = File::new();
    let reads = file.g.open(&root(), &file.node, OpenFlags::RDONLY).unwrap();
    let set =
        |open: &Open, want| file.g.dir.setlk(&root(), &file.node, open, LockOwner(1), want, false);
    assert_eq!(set(&reads, lock(LockKind::Exclusive, 0, 9)), Err(Errno::EBADF));
    set(&reads, lock(LockKind::Shared, 0, 9)).unwrap();
    set(&file.open, lock(LockKind::Exclusive, 20, 29)).unwrap();
    assert!(!try_outside(&file, "LOCK_EX", 0, 1));
    assert!(try_outside(&file, "LOCK_SH", 0, 1));
    assert!(!try_outside(&file, "LOCK_SH", 20, 1));
}

#[test]
fn a_deadlock_is_found() {
    let file = File::new();
    file.set(1, lock(LockKind::Exclusive, 0, 0)).unwrap();
    file.set(2, lock(LockKind::Exclusive, 1, 1)).unwrap();
    std::thread::scope(|scope| {
        let file = &file;
        let wait = move |owner, at| {
            let want = lock(LockKind::Exclusive, at, at);
            let dir = &file.g.dir;
            let got = dir.setlk(&root(), &file.node, &file.open, LockOwner(owner), want, true);
            if got == Err(Errno::EDEADLK) {
                dir.flush(&root(), &file.node, &file.open, LockOwner(owner)).unwrap();
            }
            got
        };
        let both = [scope.spawn(move || wait(1, 1)), scope.spawn(move || wait(2, 0))];
        let mut both = both.map(|thread| thread.join().unwrap());
        both.sort();
        assert_eq!(both, [Ok(()), Err(Errno::EDEADLK)]);
    });
}

#[test]
fn flocks_exclude_opens_and_other_processes() {
    let file = File::new();
    let other = file.g.open(&root(), &file.node, OpenFlags::RDONLY).unwrap();
    let outside = file.outside();
    file.flock(&root(), &file.open, LockKind::Shared, false).unwrap();
    file.flock(&root(), &other, LockKind::Shared, false).unwrap();
    assert!(rustix::fs::flock(&outside, FlockOperation::NonBlockingLockExclusive).is_err());
    assert_eq!(file.flock(&root(), &other, LockKind::Exclusive, false), Err(Errno::EAGAIN));
    // The conversion has cost `other` its lock.
    file.flock(&root(), &file.open, LockKind::Unlock, false).unwrap();
    rustix::fs::flock(&outside, FlockOperation::NonBlockingLockExclusive).unwrap();
    assert_eq!(file.flock(&root(), &other, LockKind::Shared, false), Err(Errno::EAGAIN));
    let cancel = Cancel::new();
    cancel.cancel();
    let cx = Context { cancel: &cancel, ..root() };
    assert_eq!(file.flock(&cx, &other, LockKind::Shared, true), Err(Errno::EINTR));
    drop(outside);
    file.flock(&root(), &other, LockKind::Shared, true).unwrap();
}

#[test]
fn a_lock_that_comes_after_a_close_is_a_whole_one() {
    // One thread waits for a lock; another closes a second descriptor of the file, which gives
    // back all that the process holds; then the first gets its lock.
    let file = File::new();
    let whole = lock(LockKind::Exclusive, 0, Lock::TO_END);
    file.set(1, whole).unwrap();
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let file = &file;
        let cancel = &cancel;
        let waits = scope.spawn(move || {
            let cx = Context { cancel, ..root() };
            file.g.dir.setlk(&cx, &file.node, &file.open, LockOwner(2), whole, true)
        });
        // Time for it to begin to wait. Where it comes later there is nothing to see.
        std::thread::sleep(std::time::Duration::from_millis(50));
        file.g.dir.flush(&root(), &file.node, &file.open, LockOwner(2)).unwrap();
        file.set(1, lock(LockKind::Unlock, 0, Lock::TO_END)).unwrap();
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
    assert!(!try_outside(&file, "LOCK_SH", 0, 1), "the host knows of it");
    assert_eq!(file.set(3, whole), Err(Errno::EAGAIN));
    file.set(2, lock(LockKind::Unlock, 0, Lock::TO_END)).unwrap();
    file.set(3, whole).unwrap();
    file.g.dir.flush(&root(), &file.node, &file.open, LockOwner(3)).unwrap();
    assert!(try_outside(&file, "LOCK_EX", 0, 1));
}
