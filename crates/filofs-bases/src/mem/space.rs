//! `Space`: how many bytes and inodes a `mem` may have, and how many it has.

use super::pages::PAGE;
use filofs::{Errno, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes of data and attributes, and inodes. No locks: two counters that never pass their limits.
#[derive(Debug)]
pub(super) struct Space {
    /// Pages of data, extended attributes and symlink targets, in bytes.
    pub(super) bytes: Gauge,
    /// One for each inode, and one for each name of a file beyond its first: so that names are
    /// bounded too.
    pub(super) inodes: Gauge,
}

impl Space {
    pub(super) fn new(bytes: u64, inodes: u64) -> Space {
        Space { bytes: Gauge::new(bytes), inodes: Gauge::new(inodes) }
    }

    /// Takes as many pages as there are, up to `count`.
    pub(super) fn reserve(&self, count: u64) -> Reserved<'_> {
        Reserved { space: self, pages: self.bytes.take_units(count, PAGE as u64) }
    }
}

/// One counter with a limit.
#[derive(Debug)]
pub(super) struct Gauge {
    limit: u64,
    used: AtomicU64,
}

impl Gauge {
    fn new(limit: u64) -> Gauge {
        Gauge { limit, used: AtomicU64::new(0) }
    }

    pub(super) fn limit(&self) -> u64 {
        self.limit
    }

    pub(super) fn left(&self) -> u64 {
        self.limit - self.used.load(Ordering::Relaxed)
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// All of that, or ENOSPC and nothing.
    pub(super) fn take(&self, amount: u64) -> Result<()> {
        if self.take_units(1, amount) == 1 { Ok(()) } else { Err(Errno::ENOSPC) }
    }

    pub(super) fn give(&self, amount: u64) {
        self.used.fetch_sub(amount, Ordering::Relaxed);
    }

    /// As many units as there is room for, up to `count`; answers how many.
    fn take_units(&self, count: u64, unit: u64) -> u64 {
        let mut granted = 0;
        // Relaxed: the counter guards nothing but itself.
        let _ = self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |used| {
            let room = self.limit - used;
            granted = room.checked_div(unit).map_or(count, |units| units.min(count));
            Some(used + granted * unit)
        });
        granted
    }
}

/// Pages that were taken from the space and have no content yet. What is left goes back.
#[derive(Debug)]
pub(super) struct Reserved<'a> {
    space: &'a Space,
    pages: u64,
}

impl Reserved<'_> {
    pub(super) fn left(&self) -> u64 {
        self.pages
    }

    /// Whether one more page may be made.
    pub(super) fn spend(&mut self) -> bool {
        let some = self.pages > 0;
        self.pages -= u64::from(some);
        some
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        self.space.bytes.give(self.pages * PAGE as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_passes_the_limit_and_everything_comes_back() {
        let space = Space::new(10 * PAGE as u64 + 5, 2);
        let mut seven = space.reserve(7);
        assert_eq!(seven.left(), 7);
        let three = space.reserve(7);
        assert_eq!(three.left(), 3);
        assert_eq!(space.bytes.take(6), Err(Errno::ENOSPC));
        assert_eq!(space.bytes.take(5), Ok(()));
        assert!(seven.spend());
        drop((seven, three));
        assert_eq!(space.bytes.used(), PAGE as u64 + 5);
        assert_eq!(space.bytes.take(0), Ok(()));
        space.inodes.take(1).unwrap();
        space.inodes.take(1).unwrap();
        assert_eq!(space.inodes.take(1), Err(Errno::ENOSPC));
        assert_eq!(space.inodes.left(), 0);
    }
}
