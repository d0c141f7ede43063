//! `Tray`: where an answer waits until its entry is committed.

use super::super::crew::Crew;
use super::super::device::Outlet;
use super::super::registrar::Whose;
use super::queue::Queue;
use filofs::locked;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

/// Takes the answer of one request after the other. Nothing is copied that lies in the memory that
/// was lent for it.
pub(super) struct Tray {
    crew: Arc<Crew>,
    queue: Arc<Queue>,
    answer: Mutex<Answer>,
}

/// The data of an answer that waits.
#[derive(Debug)]
pub(super) enum Staged {
    /// There, in the lent memory.
    Lent(Range<usize>),
    /// These bytes, which lay elsewhere.
    Apart(Vec<u8>),
}

/// One answer.
struct Answer {
    /// Header and structure.
    head: [u8; Answer::HEAD_MAX],
    len: usize,
    data: Staged,
    /// Where the lent memory is, as addresses.
    lent: Range<usize>,
}

impl Answer {
    /// More than the largest structure of any answer takes with its header.
    const HEAD_MAX: usize = 512;

    fn none(lent: Range<usize>) -> Answer {
        Answer { head: [0; Answer::HEAD_MAX], len: 0, data: Staged::Lent(0..0), lent }
    }

    /// Header and structure, and the data; `None` if there is no answer.
    fn get(&self) -> Option<(&[u8], &Staged)> {
        let head = self.head.get(..self.len).filter(|head| !head.is_empty())?;
        Some((head, &self.data))
    }

    /// Takes an answer; false if it is none that there can be.
    fn take(&mut self, head: &[u8], data: &[u8]) -> bool {
        let Some(place) = self.head.get_mut(..head.len()) else { return false };
        place.copy_from_slice(head);
        self.len = head.len();
        let at = data.as_ptr().addr();
        self.data = if data.is_empty() {
            Staged::Lent(0..0)
        } else if self.lent.start <= at && at + data.len() <= self.lent.end {
            let from = at - self.lent.start;
            Staged::Lent(from..from + data.len())
        } else {
            Staged::Apart(data.to_vec())
        };
        true
    }
}

impl Tray {
    pub(super) fn new(crew: Arc<Crew>, queue: Arc<Queue>) -> Tray {
        Tray { crew, queue, answer: Mutex::new(Answer::none(0..0)) }
    }

    /// Makes ready for the next request, whose answer may lie in that memory.
    pub(super) fn lend(&mut self, window: &[u8]) {
        let answer = self.answer.get_mut().unwrap_or_else(PoisonError::into_inner);
        let start = window.as_ptr().addr();
        answer.lent = start..start + window.len();
        answer.len = 0;
    }

    /// What was answered: header and structure, and the data.
    pub(super) fn staged(&mut self) -> Option<(&[u8], &Staged)> {
        self.answer.get_mut().unwrap_or_else(PoisonError::into_inner).get()
    }
}

impl Outlet for Tray {
    fn send(&self, head: &[u8], data: &[u8]) -> bool {
        let taken = locked(&self.answer).take(head, data);
        if !taken {
            log::error!("an answer of {} bytes before its data fits no tray", head.len());
        }
        taken
    }

    fn collect(&self, nodeid: u64) -> Result<(), Errno> {
        // The kernel writes out from here, by requests of this very CPU.
        if !self.may_wait() {
            return Err(Errno::BUSY);
        }
        self.crew.device.collect(nodeid)
    }

    fn catch_up(&self) -> bool {
        // Nobody else of this CPU waits along.
        let waits = self.may_wait();
        if waits {
            self.crew.catch_up();
        }
        waits
    }

    fn may_wait(&self) -> bool {
        self.crew.ring().is_none_or(|ring| ring.make_room(&self.crew, &self.queue))
    }

    fn doubt(&self, nodeid: u64) {
        self.crew.device.doubt(nodeid);
    }

    fn register(&self, file: BorrowedFd<'_>, whose: Whose) -> Result<i32, Errno> {
        self.crew.device.register(file, whose)
    }

    fn unregister(&self, id: i32) {
        self.crew.device.unregister(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_in_the_lent_memory_is_told_from_other_data() {
        let window = [7; 64];
        let start = window.as_ptr().addr();
        let mut answer = Answer::none(start..start + window.len());
        assert!(answer.get().is_none());
        assert!(answer.take(&[1; 16], &window[8..24]));
        let (head, data) = answer.get().unwrap();
        assert_eq!(head, [1; 16]);
        assert!(matches!(data, Staged::Lent(range) if *range == (8..24)));
        assert!(answer.take(&[2; 20], &[9; 5]));
        assert!(matches!(answer.get(), Some((_, Staged::Apart(bytes))) if bytes == &[9; 5]));
        assert!(answer.take(&[3; 16], &[]));
        assert!(matches!(answer.get(), Some((_, Staged::Lent(range))) if range.is_empty()));
        assert!(!answer.take(&[0; Answer::HEAD_MAX + 1], &[]));
    }
}
