//! Advisory locks, handles.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs::{Lock, LockKind};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

const ANY: Abilities = Abilities::empty();

fn range(kind: LockKind, start: u64, len: u64) -> Lock {
    Lock { kind, start, end: start + len - 1, ..Lock::whole(kind) }
}

checks! {
    "a record lock keeps another process out until it is given back", "D.6 fcntl_lock", ANY, |s| {
        let other = s.as_user(0, 0, &[]);
        let fd = create(s, b"f");
        let theirs = other.open(b"f", RW, 0).unwrap();
        let mine = range(LockKind::Exclusive, 100, 50);
        s.setlk(fd, mine, false).unwrap();
        s.setlk(fd, mine, false).unwrap();
        let last_byte = range(LockKind::Shared, 149, 10);
        assert_eq!(other.setlk(theirs, last_byte, false), Err(Errno::EAGAIN));
        other.setlk(theirs, range(LockKind::Exclusive, 150, 10), false).unwrap();
        other.setlk(theirs, range(LockKind::Exclusive, 0, 100), false).unwrap();
        s.setlk(fd, Lock { kind: LockKind::Unlock, ..mine }, false).unwrap();
        other.setlk(theirs, range(LockKind::Exclusive, 0, 200), false).unwrap();
        other.close(theirs).unwrap();
        s.close(fd).unwrap();
    }
    "shared locks share and exclusive ones do not", "fcntl(2)", ANY, |s| {
        let other = s.as_user(0, 0, &[]);
        let fd = create(s, b"f");
        let theirs = other.open(b"f", RW, 0).unwrap();
        s.setlk(fd, Lock::whole(LockKind::Shared), false).unwrap();
        other.setlk(theirs, Lock::whole(LockKind::Shared), false).unwrap();
        assert_eq!(s.setlk(fd, Lock::whole(LockKind::Exclusive), false), Err(Errno::EAGAIN));
        other.setlk(theirs, Lock::whole(LockKind::Unlock), false).unwrap();
        s.setlk(fd, Lock::whole(LockKind::Exclusive), false).unwrap();
        s.close(fd).unwrap();
        other.close(theirs).unwrap();
    }
    "asking for a lock tells who is in the way", "D.6 fcntl_getlock_pids", ANY, |s| {
        let fd = create(s, b"f");
        let holders: Vec<_> = (0..4).map(|_| s.as_user(0, 0, &[])).collect();
        let opened: Vec<_> = holders.iter().map(|h| h.open(b"f", RW, 0).unwrap()).collect();
        // Out of order, each a range of its own.
        for n in [2usize, 0, 3, 1] {
            let lock = range(LockKind::Exclusive, n as u64 * 10, 5);
            holders[n].setlk(opened[n], lock, false).unwrap();
        }
        for (n, holder) in holders.iter().enumerate() {
            let asked = range(LockKind::Exclusive, n as u64 * 10, 10);
            let found = s.getlk(fd, asked).unwrap();
            assert_eq!((found.kind, found.start), (LockKind::Exclusive, n as u64 * 10));
            assert_eq!(found.end, n as u64 * 10 + 4);
            assert_eq!(found.pid.0, holder.pid());
            let own = range(LockKind::Exclusive, n as u64 * 10, 5);
            let own = holder.getlk(opened[n], own).unwrap();
            assert_eq!(own.kind, LockKind::Unlock, "one's own is not in the way");
        }
        assert_eq!(s.getlk(fd, range(LockKind::Shared, 5, 5)).unwrap().kind, LockKind::Unlock);
        for (holder, fd) in holders.iter().zip(opened) {
            holder.close(fd).unwrap();
        }
        let all = s.getlk(fd, Lock::whole(LockKind::Exclusive)).unwrap();
        assert_eq!(all.kind, LockKind::Unlock, "closing gives locks back");
        s.close(fd).unwrap();
    }
    "unlocking the middle leaves both sides locked", "fcntl(2)", ANY, |s| {
        let other = s.as_user(0, 0, &[]);
        let fd = create(s, b"f");
        let theirs = other.open(b"f", RW, 0).unwrap();
        s.setlk(fd, range(LockKind::Exclusive, 0, 100), false).unwrap();
        s.setlk(fd, range(LockKind::Unlock, 40, 20), false).unwrap();
        other.setlk(theirs, range(LockKind::Exclusive, 40, 20), false).unwrap();
        for start in [39, 60] {
            let lock = range(LockKind::Exclusive, start, 1);
            assert_eq!(other.setlk(theirs, lock, false), Err(Errno::EAGAIN));
        }
        s.close(fd).unwrap();
        other.close(theirs).unwrap();
    }
    "closing any descriptor of the file gives a process' record locks back", "fcntl(2)", ANY, |s| {
        let other = s.as_user(0, 0, &[]);
        let fd = create(s, b"f");
        let second = s.open(b"f", RO, 0).unwrap();
        let theirs = other.open(b"f", RW, 0).unwrap();
        s.setlk(fd, Lock::whole(LockKind::Exclusive), false).unwrap();
        s.close(second).unwrap();
        other.setlk(theirs, Lock::whole(LockKind::Exclusive), false).unwrap();
        s.close(fd).unwrap();
        other.close(theirs).unwrap();
    }
    "a lock needs a file opened for it", "fcntl(2)", ANY, |s| {
        touch(s, b"f");
        let (ro, wo) = (s.open(b"f", RO, 0).unwrap(), s.open(b"f", WO, 0).unwrap());
        assert_eq!(s.setlk(ro, Lock::whole(LockKind::Exclusive), false), Err(Errno::EBADF));
        assert_eq!(s.setlk(wo, Lock::whole(LockKind::Shared), false), Err(Errno::EBADF));
        s.setlk(ro, Lock::whole(LockKind::Shared), false).unwrap();
        s.close(ro).unwrap();
        s.close(wo).unwrap();
    }
    "one who waits for a record lock gets it when it is free", "fcntl(2)", ANY, |s| {
        waits(s, |s, fd, kind, wait| s.setlk(fd, Lock::whole(kind), wait));
    }
    "one who waits for a flock gets it when it is free", "flock(2)", ANY, |s| {
        waits(s, |s, fd, kind, wait| s.flock(fd, kind, wait));
    }
    "one who waits for a record lock can be interrupted", "fcntl(2)", ANY, |s| {
        interrupted(s, |s, fd, kind, wait| s.setlk(fd, Lock::whole(kind), wait));
    }
    "one who waits for a flock can be interrupted", "flock(2)", ANY, |s| {
        interrupted(s, |s, fd, kind, wait| s.flock(fd, kind, wait));
    }
    "a flock belongs to the open file, not to the process", "flock(2)", ANY, |s| {
        let one = create(s, b"f");
        let two = s.open(b"f", RW, 0).unwrap();
        let dup = s.dup(one).unwrap();
        s.flock(one, LockKind::Exclusive, false).unwrap();
        assert_eq!(s.flock(two, LockKind::Exclusive, false), Err(Errno::EAGAIN));
        assert_eq!(s.flock(two, LockKind::Shared, false), Err(Errno::EAGAIN));
        s.flock(dup, LockKind::Exclusive, false).unwrap();
        s.close(one).unwrap();
        assert_eq!(s.flock(two, LockKind::Shared, false), Err(Errno::EAGAIN), "dup holds it");
        s.close(dup).unwrap();
        s.flock(two, LockKind::Exclusive, false).unwrap();
        s.close(two).unwrap();
    }
    "shared flocks share, and one becomes the other", "flock(2)", ANY, |s| {
        let one = create(s, b"f");
        let two = s.open(b"f", RO, 0).unwrap();
        s.flock(one, LockKind::Shared, false).unwrap();
        s.flock(two, LockKind::Shared, false).unwrap();
        assert_eq!(s.flock(one, LockKind::Exclusive, false), Err(Errno::EAGAIN));
        s.flock(two, LockKind::Unlock, false).unwrap();
        s.flock(one, LockKind::Exclusive, false).unwrap();
        s.close(one).unwrap();
        s.close(two).unwrap();
    }
    "two that wait for each other are told", "EDEADLK of fcntl(2)", Abilities::PIDS, |s| {
        let other = s.as_user(0, 0, &[]);
        let fd = create(s, b"f");
        let theirs = other.open(b"f", RW, 0).unwrap();
        let (first, second) = (range(LockKind::Exclusive, 0, 1), range(LockKind::Exclusive, 1, 1));
        s.setlk(fd, first, false).unwrap();
        other.setlk(theirs, second, false).unwrap();
        let told = std::thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                let answer = other.setlk(theirs, first, true);
                other.setlk(theirs, Lock::whole(LockKind::Unlock), false).unwrap();
                answer
            });
            let answer = s.setlk(fd, second, true);
            s.setlk(fd, Lock::whole(LockKind::Unlock), false).unwrap();
            [answer, waiter.join().unwrap()]
        });
        assert!(
            told == [Err(Errno::EDEADLK), Ok(())] || told == [Ok(()), Err(Errno::EDEADLK)],
            "{told:?}"
        );
        s.close(fd).unwrap();
        other.close(theirs).unwrap();
    }
    "a file is opened by its handle",
    "D.5 tfilehandle", Abilities::HANDLES.union(Abilities::USERS), |s| {
        s.write_file(b"f", b"by handle").unwrap();
        let handle = s.name_to_handle(b"f").unwrap();
        s.rename(b"f", b"g", PLAIN).unwrap();
        let fd = s.open_by_handle(&handle, RO).unwrap();
        let mut buffer = [0; 9];
        assert_eq!(s.read(fd, &mut buffer), Ok(9));
        assert_eq!(&buffer, b"by handle");
        assert_eq!(s.fstat(fd).unwrap().ino, s.stat(b"g").unwrap().ino);
        s.close(fd).unwrap();
        assert_eq!(s.name_to_handle(b"g").unwrap(), handle, "one handle for one file");
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.open_by_handle(&handle, RO).err(), Some(Errno::EPERM));
    }
    "the handle of a removed file is stale",
    "D.5 tfhremove", Abilities::HANDLES.union(Abilities::USERS), |s| {
        touch(s, b"f");
        let handle = s.name_to_handle(b"f").unwrap();
        s.unlink(b"f").unwrap();
        // A mount hears of a close after close(2) has returned; until then the file is open.
        let until = Instant::now() + Duration::from_secs(10);
        let stale = loop {
            match s.open_by_handle(&handle, RO) {
                Err(errno) => break errno,
                Ok(fd) => s.close(fd).unwrap(),
            }
            assert!(Instant::now() < until, "a file without a name or an open is still there");
            std::thread::sleep(Duration::from_millis(5));
        };
        assert_eq!(stale, Errno::ESTALE);
    }
    "bytes that are no handle are refused",
    "D.5 tfhinval", Abilities::HANDLES.union(Abilities::USERS), |s| {
        touch(s, b"f");
        let handle = s.name_to_handle(b"f").unwrap();
        for seed in 0..20 {
            // The first four bytes may be a type.
            let random = [&handle[..4], &pattern(handle.len() - 4, seed)[..]].concat();
            let answer = s.open_by_handle(&random, RO);
            assert!(matches!(answer, Err(Errno::ESTALE | Errno::EINVAL)), "{answer:?}");
        }
    }
}

type Take = fn(&dyn Subject, Fd, LockKind, bool) -> filofs::Result<()>;

/// One holds, one waits; the holder gives it back and the other has it.
fn waits(s: &dyn Subject, take: Take) {
    let other = s.as_user(0, 0, &[]);
    let fd = create(s, b"f");
    let theirs = other.open(b"f", RW, 0).unwrap();
    take(s, fd, LockKind::Exclusive, false).unwrap();
    let released = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            take(&*other, theirs, LockKind::Exclusive, true).unwrap();
            assert!(released.load(Ordering::SeqCst), "it was not free yet");
        });
        pause();
        // A third still gets its answer while one waits.
        let third = s.as_user(0, 0, &[]);
        assert_eq!(third.stat(b"f").unwrap().size, 0);
        released.store(true, Ordering::SeqCst);
        take(s, fd, LockKind::Unlock, false).unwrap();
        waiter.join().unwrap();
    });
    assert_eq!(take(s, fd, LockKind::Shared, false), Err(Errno::EAGAIN));
    s.close(fd).unwrap();
    other.close(theirs).unwrap();
}

/// One holds, one waits and is interrupted: EINTR, and nothing is held.
fn interrupted(s: &dyn Subject, take: Take) {
    let other = s.as_user(0, 0, &[]);
    let fd = create(s, b"f");
    let theirs = other.open(b"f", RW, 0).unwrap();
    take(s, fd, LockKind::Exclusive, false).unwrap();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let waiter = scope.spawn(|| {
            let answer = take(&*other, theirs, LockKind::Exclusive, true);
            done.store(true, Ordering::SeqCst);
            answer
        });
        // The signal may come before the call waits; then it is sent again.
        while !done.load(Ordering::SeqCst) {
            other.interrupt();
            pause();
        }
        assert_eq!(waiter.join().unwrap(), Err(Errno::EINTR));
    });
    take(s, fd, LockKind::Unlock, false).unwrap();
    take(s, fd, LockKind::Exclusive, false).unwrap();
    s.close(fd).unwrap();
    // Closed by a process that may still be interrupted in-process.
    let _ = other.close(theirs);
}
