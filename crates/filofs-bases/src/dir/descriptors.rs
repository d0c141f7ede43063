//! `Descriptors`: how many descriptors of the process go to live nodes, and how many to opens.
//!
//! One budget for all directories of the process, because the limit, RLIMIT_NOFILE, is the
//! process' too. A part is kept for others and for the moment; of the rest opens take what they
//! need, and nodes have what is left, but never less than an eighth: callers that open until
//! EMFILE leave enough to walk the tree with.
//!
//! Which node loses its descriptor is found by a clock: a hand goes round, and a node that was
//! used since its last visit is spared once.

use super::host;
use super::inode::Inode;
use filofs::{Errno, Result, locked};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Resource, getrlimit};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};

/// The one budget.
pub(super) static DESCRIPTORS: Descriptors = Descriptors::new();

pub(super) struct Descriptors {
    /// For nodes and opens together.
    most: AtomicUsize,
    opens: AtomicUsize,
    clock: Mutex<Clock>,
}

struct Clock {
    places: Vec<Option<Weak<Inode>>>,
    free: Vec<u32>,
    hand: usize,
}

/// One open's share of the budget; given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(());

impl Drop for Permit {
    fn drop(&mut self) {
        DESCRIPTORS.opens.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Descriptors {
    const fn new() -> Descriptors {
        Descriptors {
            most: AtomicUsize::new(0),
            opens: AtomicUsize::new(0),
            clock: Mutex::new(Clock { places: Vec::new(), free: Vec::new(), hand: 0 }),
        }
    }

    /// Looks at the limit again: when a base is set up.
    pub(super) fn measure(&self) {
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(1 << 20).min(1 << 20) as usize;
        let reserve = (limit / 16).max(32);
        self.most.store(limit.saturating_sub(reserve).max(16), Ordering::Relaxed);
        widen(limit);
    }

    fn floor(&self) -> usize {
        (self.most.load(Ordering::Relaxed) / 8).max(8)
    }

    /// How many nodes may have a descriptor now.
    fn for_nodes(&self) -> usize {
        let most = self.most.load(Ordering::Relaxed);
        most.saturating_sub(self.opens.load(Ordering::Relaxed)).max(self.floor())
    }

    /// A share for one more open. EMFILE when opens have theirs.
    pub(super) fn for_open(&self) -> Result<Permit> {
        let most = self.most.load(Ordering::Relaxed).saturating_sub(self.floor());
        if self.opens.fetch_add(1, Ordering::Relaxed) >= most {
            self.opens.fetch_sub(1, Ordering::Relaxed);
            return Err(Errno::EMFILE);
        }
        let permit = Permit(());
        self.shrink(self.for_nodes());
        Ok(permit)
    }

    /// Enters a node that is given a descriptor; answers its place. The caller holds the node's
    /// descriptor lock, and calls [`Descriptors::settle`] when it does not any more.
    pub(super) fn enter(&self, inode: &Arc<Inode>) -> u32 {
        let mut clock = locked(&self.clock);
        let weak = Some(Arc::downgrade(inode));
        if let Some(free) = clock.free.pop() {
            if let Some(place) = clock.places.get_mut(free as usize) {
                *place = weak;
            }
            return free;
        }
        clock.places.push(weak);
        clock.places.len() as u32 - 1
    }

    /// Takes the node of that place out.
    pub(super) fn leave(&self, place: u32) {
        let _dropped;
        let mut clock = locked(&self.clock);
        if let Some(cell) = clock.places.get_mut(place as usize) {
            _dropped = cell.take();
            clock.free.push(place);
        }
        drop(clock);
    }

    /// Keeps to the budget.
    pub(super) fn settle(&self) {
        self.shrink(self.for_nodes());
    }

    /// Frees some, because the process has no descriptor left.
    pub(super) fn squeeze(&self) {
        let held = {
            let clock = locked(&self.clock);
            clock.places.len() - clock.free.len()
        };
        self.shrink(held.saturating_sub(held / 8 + 16));
    }

    fn shrink(&self, to: usize) {
        // Once round to clear the marks, once to take, and once more by force: then also nodes
        // that nobody may find again.
        for step in 0.. {
            let (candidate, force) = {
                let mut clock = locked(&self.clock);
                let all = clock.places.len();
                if all - clock.free.len() <= to || step > 3 * all {
                    return;
                }
                clock.hand = (clock.hand + 1) % all;
                let hand = clock.hand;
                (clock.places.get(hand).cloned().flatten(), step > 2 * all)
            };
            if let Some(inode) = candidate.and_then(|weak| weak.upgrade()) {
                host::evict(&inode, force);
            }
        }
    }
}

/// Makes the process' table of descriptors wide at once, by using a high number for a moment.
///
/// In a process with threads Linux waits for all processors (an RCU grace period, some ten
/// milliseconds) whenever that table doubles, and the request that needed one descriptor more
/// waits with it. It never becomes smaller, and a number takes eight bytes.
fn widen(limit: usize) {
    const ENOUGH: usize = 1 << 16;
    let highest = limit.min(ENOUGH).saturating_sub(1);
    // A number that is not to be had makes later requests slower, and nothing else.
    let root = rustix::fs::open(c"/", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    if let (Ok(root), Ok(highest)) = (root, i32::try_from(highest)) {
        let _ = rustix::io::fcntl_dupfd_cloexec(root, highest);
    }
}

/// Runs what makes a descriptor; when the process has none left, takes some from nodes and runs
/// it again.
pub(super) fn with_room<T>(mut make: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 0..3 {
        match make() {
            Err(Errno::EMFILE | Errno::ENFILE) => DESCRIPTORS.squeeze(),
            done => return done,
        }
    }
    make()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_wide_before_it_is_needed() {
        DESCRIPTORS.measure();
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let size = status.lines().find_map(|line| line.strip_prefix("FDSize:")).unwrap();
        assert!(size.trim().parse::<u64>().unwrap() >= limit.min(1 << 16), "{size} of {limit}");
    }
}
