//! `Flood`: whether a server sends so much that is no message that it is to be ended.

use filofs::locked;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Counts bad messages, second by second.
#[derive(Debug)]
pub(super) struct Flood {
    second: Mutex<(Instant, u32)>,
}

impl Flood {
    /// Most bad messages in a second. Each costs a line of the log at most, and a few microseconds
    /// of whoever reads; no server that only makes mistakes sends so many.
    const MOST: u32 = 10_000;
    const SECOND: Duration = Duration::from_secs(1);

    pub(super) fn new() -> Flood {
        Flood { second: Mutex::new((Instant::now(), 0)) }
    }

    /// One more. True if it is one too many.
    pub(super) fn rises(&self, now: Instant) -> bool {
        let mut second = locked(&self.second);
        if now.saturating_duration_since(second.0) >= Self::SECOND {
            *second = (now, 0);
        }
        second.1 += 1;
        second.1 > Self::MOST
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_in_a_second_and_no_more() {
        let flood = Flood::new();
        let now = Instant::now();
        assert!((0..Flood::MOST).all(|_| !flood.rises(now)));
        assert!(flood.rises(now));
        assert!(!flood.rises(now + Flood::SECOND));
    }
}
