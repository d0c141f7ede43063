//! `Spin`: whether it pays to look for a short while before one sleeps.
//!
//! To wake a thread on another processor that is idle costs 30 to 45 microseconds on virtual
//! machines, and a fraction of one if it is still looking. It looks only where whoever it waits
//! for is on another processor, no longer than such a wake-up costs, and after a few times in vain
//! only now and then.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// How often somebody has looked in vain.
#[derive(Debug, Default)]
pub struct Spin {
    /// Since it last helped.
    lost: AtomicU32,
}

impl Spin {
    /// How long one looks.
    pub const TIME: Duration = Duration::from_micros(20);
    /// So often in vain, and it is not done each time.
    const MOST_LOST: u32 = 8;
    /// Then it is every so many times.
    const NOW_AND_THEN: u32 = 256;

    /// Looks until `found`, for a short while, if it may pay. False if it did not look, or found
    /// nothing.
    pub fn until<T>(&self, found: impl Fn() -> Option<T>) -> Option<T> {
        let lost = self.lost.load(Relaxed);
        if lost >= Self::MOST_LOST && !lost.is_multiple_of(Self::NOW_AND_THEN) {
            self.lost.store(lost.wrapping_add(1), Relaxed);
            return None;
        }
        let began = Instant::now();
        loop {
            if let Some(found) = found() {
                self.lost.store(0, Relaxed);
                return Some(found);
            }
            if began.elapsed() >= Self::TIME {
                self.lost.store(lost.wrapping_add(1), Relaxed);
                return None;
            }
            std::hint::spin_loop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn who_looks_in_vain_looks_less() {
        let spin = Spin::default();
        let looks = |spin: &Spin, times: u32| {
            let looked = Cell::new(0);
            for _ in 0..times {
                let before = looked.get();
                let none = spin.until(|| {
                    looked.set(before + 1);
                    None::<()>
                });
                assert_eq!(none, None);
            }
            looked.get()
        };
        assert_eq!(looks(&spin, Spin::MOST_LOST), Spin::MOST_LOST);
        let many = 4 * Spin::NOW_AND_THEN;
        assert_eq!(looks(&spin, many), 4);
        while spin.until(|| Some(7)).is_none() {}
        assert_eq!(looks(&spin, Spin::MOST_LOST), Spin::MOST_LOST, "it has helped since");
    }
}
