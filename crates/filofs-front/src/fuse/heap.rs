//! `Heap`: has memory given back to the machine that many nodes took, once they are gone.
//!
//! An allocator keeps what is freed piece by piece, and millions of nodes are freed so. That of
//! glibc gives back whole pages when it is asked to; how long that takes depends on how much is
//! free, and who wants memory meanwhile may wait. Hence it is asked seldom, and while nothing else
//! is.
#![allow(unsafe_code)]

/// What one mount has taken, in nodes.
#[derive(Debug, Default)]
pub(super) struct Heap {
    /// The most that lived since memory was last given back.
    most: usize,
    /// Looks since there is something to give back.
    due: u32,
}

impl Heap {
    /// So many nodes have to be gone: they took 20 MiB at least.
    const MANY: usize = 1 << 17;
    /// Looks after which memory is given back although there is something to do.
    const PATIENCE: u32 = 10_000;

    /// A look at how many nodes live, and whether nothing is asked. True if it is time to give
    /// memory back.
    pub(super) fn look(&mut self, nodes: usize, rests: bool) -> bool {
        self.most = self.most.max(nodes);
        // Of so many that it is worth looking through all that is free.
        if self.most - nodes < Self::MANY.max(self.most / 4) {
            self.due = 0;
            return false;
        }
        self.due += 1;
        let now = rests || self.due >= Self::PATIENCE;
        if now {
            *self = Heap { most: nodes, due: 0 };
        }
        now
    }

    /// Gives back what is free, in whole pages, of the whole process. Other allocators than that
    /// of glibc have ways of their own.
    pub(super) fn give_back() {
        #[cfg(target_env = "gnu")]
        {
            let began = std::time::Instant::now();
            // SAFETY: it takes a number, and touches only what nobody has allocated, under the
            // locks of the allocator.
            let some = unsafe { libc::malloc_trim(0) } != 0;
            log::debug!("memory of nodes given back: {some}, {:?}", began.elapsed());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_given_back_once_many_are_gone_and_nothing_is_asked() {
        const MANY: usize = Heap::MANY;
        let mut heap = Heap::default();
        assert!(!heap.look(MANY, true), "they live");
        assert!(!heap.look(1, true), "too few are gone");
        assert!(!heap.look(0, false), "there is something to do");
        assert!(heap.look(0, true));
        assert!(!heap.look(0, true), "once");
        assert!(!heap.look(10 * MANY, true));
        assert!(!heap.look(9 * MANY, true), "too few of so many");
        assert!(heap.look(7 * MANY, true));
        assert!(heap.look(0, true), "of those that were left");
    }

    #[test]
    fn who_is_never_at_rest_gives_back_in_the_end() {
        let mut heap = Heap::default();
        heap.look(Heap::MANY, false);
        let looks = (0..2 * Heap::PATIENCE).filter(|_| heap.look(0, false)).count();
        assert_eq!(looks, 1);
    }

    #[cfg(target_env = "gnu")]
    #[test]
    fn what_was_freed_in_pieces_goes_back() {
        // The last stay, and keep the end of the allocator's memory where it is.
        let made: Vec<Box<[u8; 100]>> = (0..1_000_000).map(|n| Box::new([n as u8; 100])).collect();
        let resident = || {
            let text = std::fs::read_to_string("/proc/self/statm").unwrap();
            let pages = text.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok());
            pages.unwrap() * rustix::param::page_size()
        };
        let full = resident();
        let kept: Vec<_> = made.into_iter().enumerate().filter(|(n, _)| *n >= 999_000).collect();
        Heap::give_back();
        let left = resident();
        assert!(left + (50 << 20) < full, "{left} of {full} bytes, with {} kept", kept.len());
    }
}
