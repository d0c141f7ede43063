//! `Counters`: how often each operation of a mount was called, and failed.

use crate::Op;
use std::sync::atomic::{AtomicU64, Ordering};

/// One pair of numbers for each operation. Read while they move: each is right, the sum is not
/// of one instant.
#[derive(Debug)]
pub struct Counters {
    calls: [AtomicU64; Op::ALL.len()],
    errors: [AtomicU64; Op::ALL.len()],
    panics: AtomicU64,
}

impl Default for Counters {
    fn default() -> Self {
        Counters {
            calls: std::array::from_fn(|_| AtomicU64::new(0)),
            errors: std::array::from_fn(|_| AtomicU64::new(0)),
            panics: AtomicU64::new(0),
        }
    }
}

impl Counters {
    #[inline]
    pub(crate) fn count(&self, op: Op, failed: bool) {
        if let Some(calls) = self.calls.get(op as usize) {
            calls.fetch_add(1, Ordering::Relaxed);
        }
        if failed && let Some(errors) = self.errors.get(op as usize) {
            errors.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(crate) fn panicked(&self) {
        self.panics.fetch_add(1, Ordering::Relaxed);
    }

    /// How often it was called.
    pub fn calls(&self, op: Op) -> u64 {
        self.calls.get(op as usize).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// How often it failed.
    pub fn errors(&self, op: Op) -> u64 {
        self.errors.get(op as usize).map_or(0, |n| n.load(Ordering::Relaxed))
    }

    /// How many calls ended in a panic.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }
}
