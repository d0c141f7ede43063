//! `Releases`: closes on their way, which others may be waiting for without knowing it.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

/// How many RELEASE requests are being served.
///
/// close(2) does not wait for RELEASE, and with it goes a flock. Whoever asks for that lock next
/// may be served first, by another worker, and find it taken by a file that is closed.
#[derive(Debug, Default)]
pub(super) struct Releases(AtomicUsize);

/// One RELEASE being served.
#[derive(Debug)]
pub(super) struct Release<'a>(&'a AtomicUsize);

impl Releases {
    /// How long between two looks: longer than a worker needs from reading a request to saying so
    /// here.
    const LOOK: Duration = Duration::from_millis(1);
    /// A base that takes longer to close a file is not waited for.
    const LOOKS: u32 = 100;

    /// One begins.
    pub(super) fn begin(&self) -> Release<'_> {
        self.0.fetch_add(1, SeqCst);
        Release(&self.0)
    }

    /// Waits until those that came before are over.
    pub(super) fn settle(&self) {
        for _ in 0..Self::LOOKS {
            std::thread::sleep(Self::LOOK);
            if self.0.load(SeqCst) == 0 {
                return;
            }
        }
    }
}

impl Drop for Release<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_begun_is_waited_for() {
        let releases = Releases::default();
        let over = std::sync::atomic::AtomicBool::new(false);
        let one = releases.begin();
        std::thread::scope(|scope| {
            let (over, releases) = (&over, &releases);
            let waits = scope.spawn(move || {
                releases.settle();
                assert!(over.load(SeqCst));
            });
            std::thread::sleep(Duration::from_millis(10));
            over.store(true, SeqCst);
            drop(one);
            waits.join().unwrap();
        });
    }
}
