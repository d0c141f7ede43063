//! `Habits`: whether who lists a directory goes on to look at what is in it.
//!
//! Attributes that come with the names spare a LOOKUP each, where somebody looks: `ls -l`, `cp`,
//! `rm`. Where nobody does (`find`), they cost more than the listing itself. The kernel asks for
//! them with the first names of every directory. So each caller is watched: the first directory it
//! lists is answered in full; the next one by names alone, but for directories, which whoever walks
//! a tree enters. How many of its files are looked up decides for those that follow, and from time
//! to time a listing by names alone finds out whether it is still so.

use filofs::locked;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// What the callers of late do with the names they list. A caller who comes to the place of another
/// is a new one, and a directory that does is watched instead: nothing depends on it but speed.
#[derive(Debug)]
pub(super) struct Habits {
    callers: [Mutex<Caller>; Habits::PLACES],
    watched: [Watched; Habits::PLACES],
}

/// One thread that lists.
#[derive(Clone, Copy, Debug, Default)]
struct Caller {
    thread: u32,
    /// The directory that was listed by names alone, and how many files are in it.
    dir: u64,
    files: u32,
    /// So many listings are answered in full before the next is one by names alone.
    full: u32,
}

/// A directory that was listed by names alone.
#[derive(Debug, Default)]
struct Watched {
    dir: AtomicU64,
    /// How many files were looked up in it since.
    looked: AtomicU32,
}

impl Habits {
    const PLACES: usize = 64;
    /// Listings in full, once it is known that files are looked at.
    const FULL: u32 = 31;

    /// Whether a listing of that directory by that thread, which begins now or goes on, should tell
    /// what files are in it, and not only their names.
    pub(super) fn in_full(&self, thread: u32, dir: u64, begins: bool) -> bool {
        if thread == 0 {
            return true; // it has no number here, as others have none
        }
        let mut caller = locked(self.caller(thread));
        if !begins {
            // The kernel asks for more than names if something was looked up meanwhile.
            return (caller.thread, caller.dir) != (thread, dir) || self.are_looked_at(*caller);
        }
        if caller.thread != thread {
            *caller = Caller { thread, ..Caller::default() };
            return true;
        }
        if caller.full > 0 {
            caller.full -= 1;
            return true;
        }
        if self.are_looked_at(*caller) {
            *caller = Caller { thread, full: Self::FULL, ..Caller::default() };
            return true;
        }
        (caller.dir, caller.files) = (dir, 0);
        let watched = self.watched(dir);
        watched.looked.store(0, Relaxed);
        watched.dir.store(dir, Relaxed);
        false
    }

    /// Whether of the files that were listed by name alone more than a quarter was looked up since:
    /// attributes for all cost no more than that.
    fn are_looked_at(&self, caller: Caller) -> bool {
        let watched = self.watched(caller.dir);
        caller.files > 0
            && watched.dir.load(Relaxed) == caller.dir
            && watched.looked.load(Relaxed) > caller.files / 4
    }

    /// So many files were listed by name alone.
    pub(super) fn listed(&self, thread: u32, dir: u64, files: u32) {
        let mut caller = locked(self.caller(thread));
        if (caller.thread, caller.dir) == (thread, dir) {
            caller.files = caller.files.saturating_add(files);
        }
    }

    /// A file was looked up.
    #[inline]
    pub(super) fn looked_up(&self, dir: u64) {
        let watched = self.watched(dir);
        if watched.dir.load(Relaxed) == dir {
            watched.looked.fetch_add(1, Relaxed);
        }
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn caller(&self, thread: u32) -> &Mutex<Caller> {
        &self.callers[thread as usize % Self::PLACES]
    }

    #[allow(clippy::indexing_slicing)] // the same
    fn watched(&self, dir: u64) -> &Watched {
        &self.watched[dir as usize % Self::PLACES]
    }
}

impl Default for Habits {
    fn default() -> Self {
        Habits {
            callers: std::array::from_fn(|_| Mutex::default()),
            watched: std::array::from_fn(|_| Watched::default()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ME: u32 = 7;

    /// Lists a directory with ten files, and looks up so many of them.
    fn list(habits: &Habits, thread: u32, dir: u64, looked: u32) -> bool {
        let full = habits.in_full(thread, dir, true);
        if !full {
            habits.listed(thread, dir, 10);
            (0..looked).for_each(|_| habits.looked_up(dir));
        }
        full
    }

    #[test]
    fn who_only_wants_names_gets_only_names() {
        let habits = Habits::default();
        assert!(list(&habits, ME, 1, 0), "of a new caller nothing is known");
        for dir in 2..100 {
            assert!(!list(&habits, ME, dir, 2), "{dir}");
        }
        assert!(list(&habits, ME + 1, 1, 0), "another is another");
    }

    #[test]
    fn who_looks_at_files_is_told_what_they_are() {
        let habits = Habits::default();
        let full = (0..100).filter(|dir| list(&habits, ME, *dir, 8)).count();
        assert_eq!(full, 97, "but for a look now and then");
        // And one who stops is seen to.
        assert!((100..200).filter(|dir| list(&habits, ME, *dir, 0)).count() < 40);
    }

    #[test]
    fn a_listing_goes_on_as_its_files_are_treated() {
        let habits = Habits::default();
        assert!(habits.in_full(ME, 1, true) && habits.in_full(ME, 1, false));
        assert!(!list(&habits, ME, 2, 0) && !habits.in_full(ME, 2, false));
        assert!(!list(&habits, ME, 3, 5) && habits.in_full(ME, 3, false));
    }

    #[test]
    fn directories_alone_say_nothing() {
        let habits = Habits::default();
        assert!(habits.in_full(ME, 1, true));
        assert!(!habits.in_full(ME, 2, true));
        habits.listed(ME, 2, 0);
        assert!(!habits.in_full(ME, 3, true), "still not known");
    }
}
