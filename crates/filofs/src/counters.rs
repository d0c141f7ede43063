//! `Counters`: how often each operation of a mount was called, and failed.

use crate::Op;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

/// One pair of numbers for each operation. Read while they move: each is right, the sum is not
/// of one instant.
#[derive(Debug, Default)]
pub struct Counters {
    /// A thread counts in one of them, so that CPUs do not take turns with the same memory.
    shards: [Shard; Counters::SHARDS],
}

/// The counts of some threads, on cache lines of their own (two, since CPUs fetch them in pairs).
#[derive(Debug)]
#[repr(align(128))]
struct Shard {
    calls: [AtomicU64; Op::ALL.len()],
    errors: [AtomicU64; Op::ALL.len()],
    panics: AtomicU64,
}

impl Default for Shard {
    fn default() -> Self {
        Shard {
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
            panics: AtomicU64::new(0),
        }
    }
}

impl Counters {
    const SHARDS: usize = 16;

    #[inline]
    pub(crate) fn count(&self, op: Op, failed: bool) {
        let shard = self.mine();
        if let Some(calls) = shard.calls.get(op as usize) {
            calls.fetch_add(1, Relaxed);
        }
        if failed && let Some(errors) = shard.errors.get(op as usize) {
            errors.fetch_add(1, Relaxed);
        }
    }

    pub(crate) fn panicked(&self) {
        self.mine().panics.fetch_add(1, Relaxed);
    }

    /// How often it was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.sum(|shard| shard.calls.get(op as usize))
    }

    /// How often it failed.
    pub fn errors(&self, op: Op) -> u64 {
        self.sum(|shard| shard.errors.get(op as usize))
    }

    /// How many calls ended in a panic.
    pub fn panics(&self) -> u64 {
        self.sum(|shard| Some(&shard.panics))
    }

    fn sum(&self, number: impl Fn(&Shard) -> Option<&AtomicU64>) -> u64 {
        self.shards.iter().filter_map(number).map(|number| number.load(Relaxed)).sum()
    }

    /// The calling thread's: threads take turns when they first ask.
    #[inline]
    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn mine(&self) -> &Shard {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local! {
            static MINE: usize = NEXT.fetch_add(1, Relaxed);
        }
        // A thread that ends may still drop what calls an operation.
        let mine = MINE.try_with(|mine| *mine).unwrap_or_default();
        &self.shards[mine % Self::SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_each_thread_counts_is_added_up() {
        let counters = Counters::default();
        std::thread::scope(|scope| {
            for thread in 0..40 {
                let counters = &counters;
                scope.spawn(move || {
                    counters.count(Op::Read, thread % 4 == 0);
                    counters.count(Op::Write, false);
                });
            }
        });
        assert_eq!((counters.calls(Op::Read), counters.errors(Op::Read)), (40, 10));
        assert_eq!((counters.calls(Op::Write), counters.errors(Op::Write)), (40, 0));
        counters.panicked();
        assert_eq!((counters.panics(), counters.calls(Op::Open)), (1, 0));
    }
}
