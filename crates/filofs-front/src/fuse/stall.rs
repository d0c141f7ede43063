//! `Stall`: a time in which requests wait and nothing moves, and whether it passes by itself.

use super::pulse::Pulse;
use std::time::{Duration, Instant};

/// A time in which nobody waits for requests and none is taken, as the steward sees it.
#[derive(Debug)]
pub(super) struct Stall {
    began: Instant,
    /// The workers when it began.
    pulses: Vec<(u32, Pulse)>,
}

impl Stall {
    /// So long a worker may starve. Beyond that another is sent, as for one that blocks: a mistake
    /// here must not stop a mount.
    const PATIENCE: Duration = Duration::from_millis(100);

    pub(super) fn new(workers: Vec<u32>) -> Stall {
        let pulses = workers.into_iter().filter_map(|worker| Some((worker, Pulse::of(worker)?)));
        Stall { began: Instant::now(), pulses: pulses.collect() }
    }

    /// Whether one of the workers only has to be let run.
    pub(super) fn passes_by_itself(&self) -> bool {
        let elapsed = self.began.elapsed();
        let mut pulses = self.pulses.iter();
        elapsed < Self::PATIENCE
            && pulses.any(|(worker, before)| {
                Pulse::of(*worker).is_some_and(|now| now.is_starved_since(*before, elapsed))
            })
    }
}
