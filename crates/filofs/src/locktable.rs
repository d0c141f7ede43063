//! `LockTable`: advisory locks of the files of one file system, POSIX and flock.
//!
//! Lock order: the table's one mutex is innermost; nothing is called under it but
//! [`Thread::unpark`]. Nobody holds it while waiting: a request that must wait leaves a
//! [`Waiter`] in the file's queue, and whoever changes the file's locks decides it, in the order
//! of arrival. So a lock is handed over, not raced for, and nothing polls.
//!
//! References: fcntl(2) "Advisory record locking", flock(2).

use crate::{Context, Cookie, Errno, Lock, LockKind, LockOwner, Pid, Result, locked};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The locks of the files of one file system.
///
/// A file is named by its [`Cookie`], so a cookie that comes back for another file must have had
/// its locks released. POSIX locks and flocks of a file do not see each other, as on Linux.
#[derive(Default)]
pub struct LockTable {
    files: Mutex<HashMap<Cookie, File>>,
    /// How many files are in the map, to be read without the mutex: closing a file of which
    /// nobody holds a lock is the usual case.
    busy: AtomicUsize,
}

#[derive(Default)]
struct File {
    /// POSIX locks, ordered by first byte, then owner. Those of one owner never overlap, and
    /// those that touch are of different kinds.
    records: Vec<Record>,
    /// flocks. At most one for each owner.
    wholes: Vec<(LockOwner, LockKind)>,
    /// Who waits for either, in the order of arrival.
    queue: VecDeque<Waiter>,
}

#[derive(Clone, Copy)]
struct Record {
    owner: LockOwner,
    lock: Lock,
}

struct Waiter {
    owner: LockOwner,
    want: Want,
    decision: Arc<OnceLock<Result<()>>>,
    thread: Thread,
}

#[derive(Clone, Copy)]
enum Want {
    Record(Lock),
    Whole(LockKind),
}

impl LockTable {
    /// More POSIX locks on one file than this, or more flocks, or more callers waiting: ENOLCK.
    pub const MOST_PER_FILE: usize = 16_384;

    /// An empty table.
    pub fn new() -> LockTable {
        LockTable::default()
    }

    /// The lock of another owner that is in the way of this one: the one with the lowest first
    /// byte. Of kind Unlock, and otherwise as asked, when there is none.
    ///
    /// Errors: those of [`Lock::check`].
    pub fn test(&self, file: Cookie, owner: LockOwner, lock: Lock) -> Result<Lock> {
        let lock = lock.check()?;
        let files = locked(&self.files);
        let found = files.get(&file).and_then(|f| f.blockers(owner, lock).next().copied());
        Ok(found.map_or(Lock { kind: LockKind::Unlock, ..lock }, |record| record.lock))
    }

    /// The POSIX locks of an owner on a file, lowest first byte first.
    pub fn held(&self, file: Cookie, owner: LockOwner) -> Vec<Lock> {
        let files = locked(&self.files);
        let records = files.get(&file).map(|f| f.records.iter()).unwrap_or_default();
        records.filter(|record| record.owner == owner).map(|record| record.lock).collect()
    }

    /// Takes, converts or gives back a POSIX lock, as F_SETLK (and F_SETLKW with `wait`) does:
    /// the range becomes of that kind for this owner, whatever the owner held there before;
    /// neighbouring ranges of one kind become one. A lock without a pid gets the caller's.
    ///
    /// Errors: those of [`Lock::check`]; EAGAIN when another is in the way and `wait` is false;
    /// EDEADLK when an owner that is in the way waits, over however many others, for this one;
    /// EINTR when the caller gave up; ENOLCK over [`LockTable::MOST_PER_FILE`]. On an error
    /// nothing has changed.
    pub fn set(
        &self,
        cx: &Context<'_>,
        file: Cookie,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        let mut lock = lock.check()?;
        if lock.pid == Pid(0) {
            lock.pid = cx.pid;
        }
        self.take(cx, file, owner, Want::Record(lock), wait)
    }

    /// Takes, converts or gives back a flock. As flock(2) warns, converting gives the old lock
    /// back first, so that a conversion that fails leaves none.
    ///
    /// Errors: EAGAIN, EINTR and ENOLCK as for [`LockTable::set`].
    pub fn flock(
        &self,
        cx: &Context<'_>,
        file: Cookie,
        owner: LockOwner,
        kind: LockKind,
        wait: bool,
    ) -> Result<()> {
        self.take(cx, file, owner, Want::Whole(kind), wait)
    }

    /// Gives back all POSIX locks of an owner on a file: close(2) of any of its descriptors.
    pub fn release(&self, file: Cookie, owner: LockOwner) {
        self.change(file, |f| f.records.retain(|record| record.owner != owner));
    }

    /// Gives back the flock of an owner on a file: its open is gone.
    pub fn release_flock(&self, file: Cookie, owner: LockOwner) {
        self.change(file, |f| f.wholes.retain(|(other, _)| *other != owner));
    }

    /// Gives back everything of an owner on every file: it died.
    pub fn release_owner(&self, owner: LockOwner) {
        let files: Vec<Cookie> = locked(&self.files).keys().copied().collect();
        for file in files {
            self.release(file, owner);
            self.release_flock(file, owner);
        }
    }

    /// Gives back everything on a file that is gone: nobody can name it any more, so nobody waits.
    pub fn remove(&self, file: Cookie) {
        self.change(file, |f| {
            f.records.clear();
            f.wholes.clear();
        });
    }

    /// Whether nobody holds or waits for a lock.
    pub fn is_empty(&self) -> bool {
        self.busy.load(Ordering::SeqCst) == 0
    }

    fn change(&self, file: Cookie, change: impl FnOnce(&mut File)) {
        if self.is_empty() {
            return;
        }
        let mut files = locked(&self.files);
        if let Some(f) = files.get_mut(&file) {
            change(f);
            f.settle();
        }
        self.tidy(&mut files, file);
    }

    /// Drops the record of a file that has nothing left.
    fn tidy(&self, files: &mut HashMap<Cookie, File>, file: Cookie) {
        if files.get(&file).is_some_and(File::is_empty) {
            files.remove(&file);
        }
        self.busy.store(files.len(), Ordering::SeqCst);
    }

    fn take(
        &self,
        cx: &Context<'_>,
        file: Cookie,
        owner: LockOwner,
        want: Want,
        wait: bool,
    ) -> Result<()> {
        let decision;
        {
            let mut files = locked(&self.files);
            let answer = Self::ask(&mut files, file, owner, want, wait);
            if let Some(f) = files.get_mut(&file) {
                f.settle();
            }
            self.tidy(&mut files, file);
            decision = match answer {
                Ok(None) => return Ok(()),
                Ok(Some(decision)) => decision,
                Err(errno) => return Err(errno),
            };
        }
        loop {
            if let Some(decided) = decision.get() {
                return *decided;
            }
            if cx.cancelled() {
                return self.give_up(file, &decision);
            }
            const LONG: Duration = Duration::from_secs(3600);
            let left = |at: Instant| at.saturating_duration_since(Instant::now());
            cx.cancel.sleep(cx.deadline.map_or(LONG, left));
        }
    }

    /// Grants at once (`None`), or queues: then the decision comes into the answer.
    fn ask(
        files: &mut HashMap<Cookie, File>,
        file: Cookie,
        owner: LockOwner,
        want: Want,
        wait: bool,
    ) -> Result<Option<Arc<OnceLock<Result<()>>>>> {
        let f = files.entry(file).or_default();
        if let Want::Whole(kind) = want {
            if f.wholes.contains(&(owner, kind)) {
                return Ok(None);
            }
            f.wholes.retain(|(other, _)| *other != owner);
        }
        if !f.blocked(owner, want) {
            return f.grant(owner, want).map(|()| None);
        }
        if !wait {
            return Err(Errno::EAGAIN);
        }
        if f.queue.len() >= Self::MOST_PER_FILE {
            return Err(Errno::ENOLCK);
        }
        if let Want::Record(lock) = want
            && waits_for_itself(files, file, owner, lock)
        {
            return Err(Errno::EDEADLK);
        }
        let decision = Arc::new(OnceLock::new());
        let waiter =
            Waiter { owner, want, decision: decision.clone(), thread: std::thread::current() };
        files.entry(file).or_default().queue.push_back(waiter);
        Ok(Some(decision))
    }

    /// Leaves the queue; the decision, if it fell in the meantime, stands.
    fn give_up(&self, file: Cookie, decision: &Arc<OnceLock<Result<()>>>) -> Result<()> {
        let mut files = locked(&self.files);
        if let Some(f) = files.get_mut(&file) {
            f.queue.retain(|waiter| !Arc::ptr_eq(&waiter.decision, decision));
        }
        self.tidy(&mut files, file);
        decision.get().copied().unwrap_or(Err(Errno::EINTR))
    }
}

impl std::fmt::Debug for LockTable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "locks on {} files", self.busy.load(Ordering::SeqCst))
    }
}

impl File {
    fn is_empty(&self) -> bool {
        self.records.is_empty() && self.wholes.is_empty() && self.queue.is_empty()
    }

    /// The records of others that are in the way of a POSIX lock, lowest first byte first.
    fn blockers(&self, owner: LockOwner, lock: Lock) -> impl Iterator<Item = &Record> {
        self.records.iter().take_while(move |record| record.lock.start <= lock.end).filter(
            move |record| {
                record.owner != owner
                    && record.lock.overlaps(&lock)
                    && excludes(record.lock.kind, lock.kind)
            },
        )
    }

    fn blocked(&self, owner: LockOwner, want: Want) -> bool {
        match want {
            Want::Record(lock) => self.blockers(owner, lock).next().is_some(),
            Want::Whole(kind) => {
                self.wholes.iter().any(|(other, held)| *other != owner && excludes(*held, kind))
            }
        }
    }

    /// Makes it so. ENOLCK, and no change, when it would be too many.
    fn grant(&mut self, owner: LockOwner, want: Want) -> Result<()> {
        match want {
            Want::Record(lock) => self.grant_record(owner, lock),
            Want::Whole(LockKind::Unlock) => Ok(()),
            Want::Whole(_) if self.wholes.len() >= LockTable::MOST_PER_FILE => Err(Errno::ENOLCK),
            Want::Whole(kind) => {
                self.wholes.retain(|(other, _)| *other != owner);
                self.wholes.push((owner, kind));
                Ok(())
            }
        }
    }

    fn grant_record(&mut self, owner: LockOwner, lock: Lock) -> Result<()> {
        let goes = |record: &Record| {
            record.owner == owner
                && (record.lock.overlaps(&lock)
                    || record.lock.kind == lock.kind && touches(&record.lock, &lock))
        };
        // What of the owner's records goes comes back as one range with the new lock where the
        // kinds agree, and otherwise as what sticks out of it on either side.
        let mut whole = lock;
        let mut back = Vec::with_capacity(3);
        let mut gone = 0;
        let near = self.records.iter().take_while(|record| record.lock.start <= lock.end + 1);
        for Record { lock: old, .. } in near.filter(|record| goes(record)) {
            gone += 1;
            if old.kind == lock.kind {
                whole.start = whole.start.min(old.start);
                whole.end = whole.end.max(old.end);
                continue;
            }
            if old.start < lock.start {
                back.push(Lock { end: lock.start - 1, ..*old });
            }
            if old.end > lock.end {
                back.push(Lock { start: lock.end + 1, ..*old });
            }
        }
        if lock.kind != LockKind::Unlock {
            back.push(whole);
        }
        if back.len() > gone && self.records.len() - gone + back.len() > LockTable::MOST_PER_FILE {
            return Err(Errno::ENOLCK);
        }
        if gone > 0 {
            self.records.retain(|record| !goes(record));
        }
        for lock in back {
            let place = self
                .records
                .partition_point(|record| (record.lock.start, record.owner) < (lock.start, owner));
            self.records.insert(place, Record { owner, lock });
        }
        Ok(())
    }

    /// Grants what nothing is in the way of any more, in order of arrival. Again after each
    /// grant, because a grant may convert a lock to a weaker one.
    fn settle(&mut self) {
        let mut next = 0;
        while let Some(Waiter { owner, want, .. }) = self.queue.get(next) {
            let (owner, want) = (*owner, *want);
            if self.blocked(owner, want) {
                next += 1;
                continue;
            }
            let decided = self.grant(owner, want);
            if let Some(waiter) = self.queue.remove(next) {
                let _first = waiter.decision.set(decided);
                waiter.thread.unpark();
            }
            next = 0;
        }
    }
}

fn excludes(one: LockKind, other: LockKind) -> bool {
    one != LockKind::Unlock
        && other != LockKind::Unlock
        && (one == LockKind::Exclusive || other == LockKind::Exclusive)
}

/// Whether one ends right before the other begins. (No end is over i64::MAX.)
fn touches(one: &Lock, other: &Lock) -> bool {
    one.end + 1 == other.start || other.end + 1 == one.start
}

/// Whether an owner that waited for this lock would, over others that wait too, wait for itself.
/// Locks are given to owners, not threads, so an owner with several threads may be told so
/// although another of its threads would have freed it; Linux does the same.
fn waits_for_itself(
    files: &HashMap<Cookie, File>,
    file: Cookie,
    owner: LockOwner,
    lock: Lock,
) -> bool {
    let mut waits: HashMap<LockOwner, Vec<(Cookie, Lock)>> = HashMap::new();
    for (cookie, f) in files {
        for waiter in &f.queue {
            if let Want::Record(lock) = waiter.want {
                waits.entry(waiter.owner).or_default().push((*cookie, lock));
            }
        }
    }
    let mut seen = HashSet::new();
    let mut ahead = vec![(owner, file, lock)];
    while let Some((who, file, lock)) = ahead.pop() {
        let Some(f) = files.get(&file) else { continue };
        for Record { owner: blocker, .. } in f.blockers(who, lock) {
            if *blocker == owner {
                return true;
            }
            if seen.insert(*blocker) {
                let further = waits.get(blocker).into_iter().flatten();
                ahead.extend(further.map(|(file, lock)| (*blocker, *file, *lock)));
            }
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Cancel;
    use LockKind::{Exclusive, Shared, Unlock};

    const FILE: Cookie = Cookie(7);

    fn range(kind: LockKind, start: u64, end: u64) -> Lock {
        Lock { kind, start, end, pid: Pid(0) }
    }

    fn cx(pid: u32) -> Context<'static> {
        Context { pid: Pid(pid), ..Context::internal() }
    }

    fn try_set(table: &LockTable, owner: u64, lock: Lock) -> Result<()> {
        table.set(&cx(owner as u32), FILE, LockOwner(owner), lock, false)
    }

    /// Until that many wait. They will: the caller started them.
    fn until_queued(table: &LockTable, count: usize) {
        while locked(&table.files).values().map(|f| f.queue.len()).sum::<usize>() != count {
            std::thread::yield_now();
        }
    }

    #[test]
    fn fcntl_lock() {
        // D.6 fcntl_lock: the second process gets EAGAIN, and after the unlock the lock.
        let table = LockTable::new();
        try_set(&table, 1, range(Exclusive, 100, 199)).unwrap();
        assert_eq!(try_set(&table, 2, range(Exclusive, 150, 150)), Err(Errno::EAGAIN));
        assert_eq!(try_set(&table, 2, range(Shared, 0, 100)), Err(Errno::EAGAIN));
        try_set(&table, 2, range(Exclusive, 0, 99)).unwrap();
        try_set(&table, 1, range(Unlock, 100, 199)).unwrap();
        try_set(&table, 2, range(Exclusive, 150, 150)).unwrap();
        table.release(FILE, LockOwner(2));
        assert!(table.is_empty());
    }

    #[test]
    fn fcntl_getlock_pids() {
        // D.6 fcntl_getlock_pids: four lock four ranges out of order; everybody sees the others'.
        let table = LockTable::new();
        for (owner, start) in [(13, 20), (11, 0), (14, 30), (12, 10)] {
            try_set(&table, owner, range(Exclusive, start, start + 9)).unwrap();
        }
        for owner in [11, 12, 13, 14, 15] {
            let mut seen = Vec::new();
            let mut from = 0;
            loop {
                let ask = range(Exclusive, from, Lock::TO_END);
                let found = table.test(FILE, LockOwner(owner), ask).unwrap();
                if found.kind == Unlock {
                    assert_eq!(found, range(Unlock, from, Lock::TO_END));
                    break;
                }
                seen.push((u64::from(found.pid.0), found.start, found.end));
                from = found.end + 1;
            }
            let all = [(11, 0, 9), (12, 10, 19), (13, 20, 29), (14, 30, 39)];
            let others: Vec<_> = all.into_iter().filter(|(pid, ..)| *pid != owner).collect();
            assert_eq!(seen, others);
        }
    }

    #[test]
    fn ranges_are_checked() {
        let table = LockTable::new();
        assert_eq!(try_set(&table, 1, range(Shared, 5, 4)), Err(Errno::EINVAL));
        assert_eq!(try_set(&table, 1, range(Shared, 0, u64::MAX)), Err(Errno::EOVERFLOW));
        try_set(&table, 1, Lock::whole(Shared)).unwrap();
        try_set(&table, 1, range(Shared, Lock::TO_END, Lock::TO_END)).unwrap();
        assert_eq!(table.test(FILE, LockOwner(2), range(Shared, 9, 1)), Err(Errno::EINVAL));
    }

    /// The locks of four owners on 32 bytes, byte by byte.
    struct Model([[LockKind; 32]; 4]);

    impl Model {
        fn first_blocker(&self, owner: usize, lock: Lock) -> Option<(usize, Lock)> {
            let mut found: Vec<(u64, usize, Lock)> = Vec::new();
            for (other, bytes) in self.0.iter().enumerate().filter(|(o, _)| *o != owner) {
                let mut start = 0;
                while start < 32 {
                    let kind = bytes[start];
                    let run = bytes[start..].iter().take_while(|k| **k == kind).count();
                    let held = range(kind, start as u64, (start + run - 1) as u64);
                    if held.overlaps(&lock) && excludes(kind, lock.kind) {
                        found.push((held.start, other, held));
                    }
                    start += run;
                }
            }
            found.sort_by_key(|(start, other, _)| (*start, *other));
            found.first().map(|(_, other, held)| (*other, *held))
        }
    }

    #[test]
    fn it_does_what_an_array_of_bytes_does() {
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        let mut random = seed;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let table = LockTable::new();
        let mut model = Model([[Unlock; 32]; 4]);
        for step in 0..20_000 {
            let owner = below(4) as usize;
            let start = below(32);
            let end = start + below(32 - start);
            let kind = [Unlock, Unlock, Shared, Shared, Exclusive][below(5) as usize];
            let lock = range(kind, start, end);
            let blocker = model.first_blocker(owner, lock);
            let seen = table.test(FILE, LockOwner(owner as u64), lock).unwrap();
            match blocker {
                None => assert_eq!(seen, Lock { kind: Unlock, ..lock }, "step {step}"),
                Some((other, held)) => {
                    assert_eq!(seen, Lock { pid: Pid(other as u32), ..held }, "step {step}");
                }
            }
            let done = try_set(&table, owner as u64, lock);
            assert_eq!(done.is_ok(), blocker.is_none(), "step {step}");
            if done.is_ok() {
                model.0[owner][start as usize..=end as usize].fill(kind);
            }
        }
        for owner in 0..4 {
            table.release_owner(LockOwner(owner));
        }
        assert!(table.is_empty());
    }

    #[test]
    fn too_many_are_refused_and_change_nothing() {
        let table = LockTable::new();
        for i in (0..LockTable::MOST_PER_FILE as u64).rev() {
            try_set(&table, 1, range(Shared, i * 4, i * 4 + 2)).unwrap();
        }
        assert_eq!(try_set(&table, 1, range(Shared, 1 << 40, 1 << 40)), Err(Errno::ENOLCK));
        assert_eq!(try_set(&table, 1, range(Unlock, 1, 1)), Err(Errno::ENOLCK), "a split");
        let held = table.test(FILE, LockOwner(2), range(Exclusive, 1, 1)).unwrap();
        assert_eq!((held.start, held.end), (0, 2));
        try_set(&table, 1, range(Shared, 3, 3)).unwrap();
        try_set(&table, 1, range(Unlock, 20, 20)).unwrap();
        table.release(FILE, LockOwner(1));
        assert!(table.is_empty());
    }

    #[test]
    fn flocks_convert_by_giving_back_first() {
        let table = LockTable::new();
        let flock =
            |owner, kind| table.flock(&Context::internal(), FILE, LockOwner(owner), kind, false);
        flock(1, Shared).unwrap();
        flock(2, Shared).unwrap();
        assert_eq!(flock(1, Exclusive), Err(Errno::EAGAIN));
        flock(2, Exclusive).unwrap(); // the first one's is gone
        assert_eq!(flock(1, Shared), Err(Errno::EAGAIN));
        flock(2, Shared).unwrap();
        flock(1, Shared).unwrap();
        try_set(&table, 9, Lock::whole(Exclusive)).unwrap(); // they do not see each other
        flock(1, Unlock).unwrap();
        table.release_flock(FILE, LockOwner(2));
        assert!(!table.is_empty());
        try_set(&table, 9, Lock::whole(Unlock)).unwrap();
        assert!(table.is_empty());
    }

    #[test]
    fn a_waiter_is_given_the_lock_and_in_order() {
        let table = LockTable::new();
        try_set(&table, 1, Lock::whole(Exclusive)).unwrap();
        let order = Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for owner in 2..6u64 {
                let (table, order) = (&table, &order);
                scope.spawn(move || {
                    let lock = Lock::whole(Exclusive);
                    table.set(&cx(owner as u32), FILE, LockOwner(owner), lock, true).unwrap();
                    locked(order).push(owner);
                    try_set(table, owner, Lock::whole(Unlock)).unwrap();
                });
                until_queued(table, owner as usize - 1);
            }
            try_set(&table, 1, Lock::whole(Unlock)).unwrap();
        });
        assert_eq!(*locked(&order), [2, 3, 4, 5]);
        assert!(table.is_empty());
    }

    #[test]
    fn a_blocked_waiter_is_cancelled() {
        let table = LockTable::new();
        try_set(&table, 1, Lock::whole(Shared)).unwrap();
        table.flock(&Context::internal(), FILE, LockOwner(1), Exclusive, false).unwrap();
        table.remove(Cookie(8)); // another file's
        let cancels = [Cancel::new(), Cancel::new()];
        std::thread::scope(|scope| {
            let waits = [
                scope.spawn(|| {
                    let cx = Context { cancel: &cancels[0], ..Context::internal() };
                    table.set(&cx, FILE, LockOwner(2), Lock::whole(Exclusive), true)
                }),
                scope.spawn(|| {
                    let cx = Context { cancel: &cancels[1], ..Context::internal() };
                    table.flock(&cx, FILE, LockOwner(2), Shared, true)
                }),
            ];
            until_queued(&table, 2);
            cancels.iter().for_each(Cancel::cancel);
            for wait in waits {
                assert_eq!(wait.join().unwrap(), Err(Errno::EINTR));
            }
        });
        until_queued(&table, 0);
        let past = Context { deadline: Some(Instant::now()), ..Context::internal() };
        let late = table.set(&past, FILE, LockOwner(2), Lock::whole(Exclusive), true);
        assert_eq!(late, Err(Errno::EINTR), "its time is over");
        try_set(&table, 3, Lock::whole(Shared)).unwrap();
        table.remove(FILE);
        assert!(table.is_empty());
    }

    #[test]
    fn waiting_in_a_circle_is_refused() {
        let table = LockTable::new();
        let wait = |owner: u64, file, start| {
            let lock = range(Exclusive, start, start);
            table.set(&cx(owner as u32), Cookie(file), LockOwner(owner), lock, true)
        };
        // Three owners, two files: 1 waits for 2, 2 for 3, and 3 must not for 1.
        wait(1, 5, 0).unwrap();
        wait(2, 5, 1).unwrap();
        wait(3, 6, 0).unwrap();
        std::thread::scope(|scope| {
            let one = scope.spawn(|| wait(1, 5, 1));
            until_queued(&table, 1);
            let two = scope.spawn(|| wait(2, 6, 0));
            until_queued(&table, 2);
            assert_eq!(wait(3, 5, 0), Err(Errno::EDEADLK));
            table.release_owner(LockOwner(3));
            assert_eq!(two.join().unwrap(), Ok(()));
            table.release_owner(LockOwner(2));
            assert_eq!(one.join().unwrap(), Ok(()));
        });
        table.release_owner(LockOwner(1));
        assert!(table.is_empty());
    }

    #[test]
    fn a_weaker_lock_lets_those_in_that_came_before() {
        // The second waiter's grant turns its exclusive byte into a shared one, for which the
        // first waits.
        let table = LockTable::new();
        try_set(&table, 1, range(Exclusive, 0, 0)).unwrap();
        try_set(&table, 2, range(Exclusive, 1, 1)).unwrap();
        std::thread::scope(|scope| {
            let wait = |owner: u64, lock| table.set(&cx(0), FILE, LockOwner(owner), lock, true);
            let first = scope.spawn(move || wait(3, range(Shared, 1, 1)));
            until_queued(&table, 1);
            let second = scope.spawn(move || wait(2, range(Shared, 0, 1)));
            until_queued(&table, 2);
            table.release(FILE, LockOwner(1));
            assert_eq!(second.join().unwrap(), Ok(()));
            assert_eq!(first.join().unwrap(), Ok(()));
        });
        for owner in [2, 3] {
            table.release(FILE, LockOwner(owner));
        }
        assert!(table.is_empty());
    }

    #[test]
    fn a_storm_leaves_nothing_behind() {
        let table = LockTable::new();
        let inside = std::array::from_fn::<AtomicUsize, 8, _>(|_| AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for owner in 1..=8u64 {
                let (table, inside) = (&table, &inside);
                scope.spawn(move || {
                    for round in 0..2_000u64 {
                        let byte = owner.wrapping_mul(round.wrapping_mul(7) + 3) % 8;
                        let lock = range(Exclusive, byte, byte);
                        table.set(&cx(0), FILE, LockOwner(owner), lock, true).unwrap();
                        let place = &inside[byte as usize];
                        assert_eq!(place.fetch_add(1, Ordering::SeqCst), 0);
                        place.fetch_sub(1, Ordering::SeqCst);
                        try_set(table, owner, range(Unlock, byte, byte)).unwrap();
                        let kind = if round % 3 == 0 { Exclusive } else { Shared };
                        table.flock(&cx(0), FILE, LockOwner(owner), kind, true).unwrap();
                        table.release_flock(FILE, LockOwner(owner));
                    }
                });
            }
        });
        assert!(table.is_empty());
        assert!(locked(&table.files).is_empty());
    }
}
