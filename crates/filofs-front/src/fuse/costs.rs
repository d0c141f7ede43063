//! `Costs`: what each kind of request has cost lately, by which a worker knows whether somebody
//! else has to be ready before it begins.

use filofs_wire::abi::Opcode;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// What each kind of request has cost lately.
#[derive(Debug)]
pub(super) struct Costs([AtomicU32; Costs::OPCODES]);

impl Costs {
    /// Places for the opcodes of Linux, and as many for those of the extension.
    const OPCODES: usize = 2 * Self::HALF;
    const HALF: usize = 64;
    /// A request that takes longer, in nanoseconds, is worth a wake-up of another thread.
    const SLOW: u32 = 50_000;
    /// No request counts for more: on a busy machine one now and then takes milliseconds because
    /// its thread was not let run, and says nothing of the next.
    const MOST: u32 = 4 * Self::SLOW;

    /// Whether a request of that kind will probably take its time.
    pub(super) fn slow(&self, opcode: u32) -> bool {
        // Who waits for a lock waits for somebody's next request.
        opcode == Opcode::Setlkw as u32 || self.of(opcode).load(SeqCst) > Self::SLOW
    }

    /// Takes note of what one cost; answers whether its kind is slow now.
    pub(super) fn note(&self, opcode: u32, took: Duration) -> bool {
        let took = u32::try_from(took.as_nanos()).unwrap_or(u32::MAX).min(Self::MOST);
        let cost = self.of(opcode);
        let before = cost.load(SeqCst);
        let after = before - before / 8 + took / 8;
        // Two at once may lose one note; nothing depends on it.
        cost.store(after, SeqCst);
        after > Self::SLOW
    }

    /// One of that kind is known to block, although it has not ended yet.
    pub(super) fn condemn(&self, opcode: u32) {
        self.of(opcode).fetch_max(Self::MOST, SeqCst);
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder, and half of the places more
    fn of(&self, opcode: u32) -> &AtomicU32 {
        let half = if opcode < Opcode::EXTENSION { 0 } else { Self::HALF };
        &self.0[half + opcode as usize % Self::HALF]
    }
}

impl Default for Costs {
    fn default() -> Self {
        Costs(std::array::from_fn(|_| AtomicU32::new(0)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_request_becomes_slow_and_quick_again() {
        let costs = Costs::default();
        let read = Opcode::Read as u32;
        assert!(!costs.slow(read));
        assert!(costs.slow(Opcode::Setlkw as u32), "always");
        for quick in [true, true, false] {
            assert_eq!(costs.note(read, Duration::from_millis(1)), !quick, "not by one alone");
        }
        assert!(costs.slow(read) && !costs.slow(Opcode::Write as u32));
        costs.condemn(Opcode::HandleOf as u32);
        assert!(!costs.slow(Opcode::Lookup as u32), "they share no place");
        for _ in 0..64 {
            costs.note(read, Duration::from_micros(2));
        }
        assert!(!costs.slow(read));
        costs.condemn(read);
        assert!(costs.slow(read));
    }

    #[test]
    fn any_number_is_an_opcode() {
        Costs::default().note(u32::MAX, Duration::MAX);
    }
}
