//! `Lockers`: who has taken POSIX locks through which open file.
//!
//! The locks of a process go with its close(2), of which FLUSH tells. Those of an open file
//! description (F_OFD_SETLK, fcntl(2)) go with its last copy, and of that the kernel tells only
//! where it keeps the locks itself: a RELEASE names no owner of records. So whoever locked through
//! an open and has not flushed it is given up when it is released.

use filofs::{LockOwner, OpenId, locked};
use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

/// The owners, by the open they locked through.
#[derive(Default)]
pub(super) struct Lockers {
    opens: Mutex<HashMap<OpenId, Vec<LockOwner>>>,
    /// Whether there ever was one, to be read without the mutex: mostly nobody locks.
    any: AtomicBool,
}

impl Lockers {
    /// More owners of one open than this are not remembered. A description has one; processes
    /// that share it after a fork(2) have one each, and flush.
    const MOST: usize = 4096;

    /// That one is about to lock through that open.
    pub(super) fn add(&self, open: OpenId, owner: LockOwner) {
        self.any.store(true, Ordering::SeqCst);
        let mut opens = locked(&self.opens);
        let owners = opens.entry(open).or_default();
        if !owners.contains(&owner) && owners.len() < Self::MOST {
            owners.push(owner);
        }
    }

    /// That one's locks are gone.
    pub(super) fn remove(&self, open: OpenId, owner: LockOwner) {
        if !self.any.load(Ordering::SeqCst) {
            return;
        }
        let mut opens = locked(&self.opens);
        if let Some(owners) = opens.get_mut(&open) {
            owners.retain(|other| *other != owner);
            if owners.is_empty() {
                opens.remove(&open);
            }
        }
    }

    /// The open goes: who is left.
    pub(super) fn take(&self, open: OpenId) -> Vec<LockOwner> {
        if !self.any.load(Ordering::SeqCst) {
            return Vec::new();
        }
        locked(&self.opens).remove(&open).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_has_not_flushed_is_left() {
        let lockers = Lockers::default();
        assert_eq!(lockers.take(OpenId(1)), []);
        for owner in [5, 6, 5] {
            lockers.add(OpenId(1), LockOwner(owner));
        }
        lockers.add(OpenId(2), LockOwner(5));
        lockers.remove(OpenId(1), LockOwner(5));
        lockers.remove(OpenId(3), LockOwner(5));
        assert_eq!(lockers.take(OpenId(1)), [LockOwner(6)]);
        assert_eq!(lockers.take(OpenId(1)), []);
        assert_eq!(lockers.take(OpenId(2)), [LockOwner(5)]);
        assert!(locked(&lockers.opens).is_empty());
    }
}
