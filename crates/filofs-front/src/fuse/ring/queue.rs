//! `Queue`: what is known of one of the kernel's queues, and whom it has got.

use super::super::stall::Stall;
use filofs::locked;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::SeqCst};

/// One queue: the requests of one CPU.
#[derive(Debug)]
pub(super) struct Queue {
    /// Its number, which is that of the CPU.
    pub(super) id: u16,
    /// Workers that live.
    workers: AtomicUsize,
    /// Workers that wait for a request, or are on their way to.
    free: AtomicUsize,
    /// Requests taken, ever.
    taken: AtomicU64,
    /// The opcode taken last.
    last: AtomicU32,
    /// A worker has come, and what waited before it has not been handed over.
    expects: AtomicBool,
    /// What `taken` was when the steward looked last.
    seen: AtomicU64,
    /// What the steward has seen since nothing moves.
    stall: Mutex<Option<Stall>>,
    /// The kernel is told a number that it does not have, and refuses whatever it is given: by
    /// anybody, or by those who come.
    #[cfg(test)]
    pub(super) astray: AtomicBool,
    #[cfg(test)]
    pub(super) closed: AtomicBool,
}

impl Queue {
    pub(super) const fn new(id: u16) -> Queue {
        Queue {
            id,
            workers: AtomicUsize::new(0),
            free: AtomicUsize::new(0),
            taken: AtomicU64::new(0),
            last: AtomicU32::new(0),
            expects: AtomicBool::new(false),
            seen: AtomicU64::new(0),
            stall: Mutex::new(None),
            #[cfg(test)]
            astray: AtomicBool::new(false),
            #[cfg(test)]
            closed: AtomicBool::new(false),
        }
    }

    /// Its number, as the kernel is told; by one who comes, or who is there.
    #[cfg_attr(not(test), expect(unused_variables, reason = "tests tell them apart"))]
    pub(super) fn number(&self, comes: bool) -> u16 {
        #[cfg(test)]
        if self.astray.load(SeqCst) || comes && self.closed.load(SeqCst) {
            return u16::MAX;
        }
        self.id
    }

    /// A worker comes.
    pub(super) fn come(&self) {
        self.workers.fetch_add(1, SeqCst);
        self.release();
    }

    /// Something may wait that is not handed over by itself.
    pub(super) fn expect(&self) {
        self.expects.store(true, SeqCst);
    }

    /// Whether it still may: nothing was taken since.
    pub(super) fn expects(&self) -> bool {
        self.expects.load(SeqCst)
    }

    /// A worker goes that is free.
    pub(super) fn leave(&self) {
        self.free.fetch_sub(1, SeqCst);
        self.workers.fetch_sub(1, SeqCst);
    }

    /// A worker goes that has taken a request, and leaves the answer to somebody else.
    pub(super) fn give_up(&self) {
        self.workers.fetch_sub(1, SeqCst);
    }

    /// A worker has answered.
    pub(super) fn release(&self) {
        self.free.fetch_add(1, SeqCst);
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers.load(SeqCst)
    }

    /// A worker has taken a request. True if no other is free for the next.
    pub(super) fn take(&self, opcode: u32) -> bool {
        self.taken.fetch_add(1, SeqCst);
        self.last.store(opcode, SeqCst);
        if self.expects() {
            self.expects.store(false, SeqCst);
        }
        self.free.fetch_sub(1, SeqCst) == 1
    }

    /// Whether nobody is free.
    pub(super) fn busy(&self) -> bool {
        self.free.load(SeqCst) == 0
    }

    /// Whether all are free. In this order, who comes meanwhile does not make it so.
    pub(super) fn rests(&self) -> bool {
        let free = self.free.load(SeqCst);
        free == self.workers.load(SeqCst)
    }

    pub(super) fn taken(&self) -> u64 {
        self.taken.load(SeqCst)
    }

    /// The steward looks. If nobody is free, nothing was taken since the last look, and that does
    /// not pass by itself: the opcode that holds it up. `threads` are those of its workers.
    pub(super) fn stuck(&self, threads: impl FnOnce() -> Vec<u32>) -> Option<u32> {
        let taken = self.taken();
        let still = self.seen.swap(taken, SeqCst) == taken;
        let mut stall = locked(&self.stall);
        if !still || taken == 0 || !self.busy() {
            *stall = None;
            return None;
        }
        let stall = stall.get_or_insert_with(|| Stall::new(threads()));
        (!stall.passes_by_itself()).then(|| self.last.load(SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queue_is_stuck_when_it_has_nobody_and_took_nothing_since_the_last_look() {
        let queue = Queue::new(0);
        assert!(queue.busy() && queue.stuck(Vec::new).is_none(), "nobody has come yet");
        queue.come();
        assert!(queue.rests());
        assert!(queue.take(15));
        assert!(!queue.rests());
        assert_eq!(queue.stuck(Vec::new), None, "taken since");
        assert_eq!(queue.stuck(Vec::new), Some(15));
        queue.release();
        assert_eq!(queue.stuck(Vec::new), None, "somebody is free");
        assert!(queue.take(3) && queue.workers() == 1);
        queue.give_up();
        assert_eq!(queue.workers(), 0);
    }
}
