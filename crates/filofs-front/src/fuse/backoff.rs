//! `Backoff`: how long to leave alone what has just failed.

use filofs::locked;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// How long to leave alone what has just failed: longer with each failure in a row.
#[derive(Debug, Default)]
pub(super) struct Backoff(Mutex<Failures>);

#[derive(Debug, Default)]
struct Failures {
    in_a_row: u32,
    /// Until then nothing is tried.
    until: Option<Instant>,
}

impl Backoff {
    const FIRST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(1);

    /// Whether it may be tried.
    pub(super) fn is_over(&self) -> bool {
        self.is_over_at(Instant::now())
    }

    /// It was tried and has failed.
    pub(super) fn failed(&self) {
        self.failed_at(Instant::now());
    }

    /// It was tried and has succeeded.
    pub(super) fn succeeded(&self) {
        *locked(&self.0) = Failures::default();
    }

    fn is_over_at(&self, now: Instant) -> bool {
        locked(&self.0).until.is_none_or(|until| until <= now)
    }

    fn failed_at(&self, now: Instant) {
        let mut failures = locked(&self.0);
        // Several that were tried at once have failed once.
        if failures.until.is_none_or(|until| until <= now) {
            let pause = Self::FIRST.saturating_mul(1 << failures.in_a_row.min(16));
            failures.in_a_row = failures.in_a_row.saturating_add(1);
            failures.until = now.checked_add(pause.min(Self::LONGEST));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fails_again_is_left_alone_for_longer() {
        let backoff = Backoff::default();
        let mut now = Instant::now();
        assert!(backoff.is_over_at(now));
        for pause in [10, 20, 40, 80, 160, 320, 640, 1000, 1000] {
            backoff.failed_at(now);
            backoff.failed_at(now);
            now += Duration::from_millis(pause - 1);
            assert!(!backoff.is_over_at(now), "{pause}");
            now += Duration::from_millis(1);
            assert!(backoff.is_over_at(now), "{pause}");
        }
        backoff.failed_at(now);
        backoff.succeeded();
        assert!(backoff.is_over_at(now));
        backoff.failed_at(now);
        assert!(backoff.is_over_at(now + Backoff::FIRST), "it begins afresh");
    }
}
