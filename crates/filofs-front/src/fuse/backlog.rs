//! `Backlog`: requests that were read when no worker was free to serve them.

use filofs::locked;
use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

/// Messages in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    messages: Mutex<VecDeque<Vec<u8>>>,
    /// Their size in bytes.
    size: AtomicUsize,
}

impl Backlog {
    /// Most bytes; when there are more no more is read. Whoever waits then for an answer that is
    /// behind them has its own limit of time.
    const SIZE_MAX: usize = 32 << 20;
    /// What a message costs beside its bytes.
    const COST: usize = 64;

    /// Whether another message may be read.
    pub(super) fn has_room(&self) -> bool {
        self.size.load(SeqCst) < Self::SIZE_MAX
    }

    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.size.load(SeqCst) == 0
    }

    /// Keeps a message.
    pub(super) fn put(&self, message: &[u8]) {
        let mut messages = locked(&self.messages);
        self.size.fetch_add(message.len() + Self::COST, SeqCst);
        messages.push_back(message.to_vec());
    }

    /// Takes the oldest, into a room that is as large as that in which it was received. Its
    /// length.
    pub(super) fn take(&self, room: &mut [u8]) -> Option<usize> {
        if self.is_empty() {
            return None;
        }
        let message = {
            let mut messages = locked(&self.messages);
            let message = messages.pop_front()?;
            self.size.fetch_sub(message.len() + Self::COST, SeqCst);
            message
        };
        let len = message.len().min(room.len());
        room.get_mut(..len)?.copy_from_slice(message.get(..len)?);
        Some(len)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_in_first_out_and_no_more_than_fits() {
        let backlog = Backlog::default();
        let mut room = [0; 8];
        assert!(backlog.is_empty() && backlog.take(&mut room).is_none());
        backlog.put(b"first");
        backlog.put(b"second");
        assert_eq!(backlog.take(&mut room), Some(5));
        assert_eq!(&room[..5], b"first");
        assert!(!backlog.is_empty());
        assert_eq!(backlog.take(&mut room), Some(6));
        assert!(backlog.is_empty());
        let large = vec![0; 1 << 20];
        let taken = (0..100).take_while(|_| {
            let room = backlog.has_room();
            backlog.put(&large);
            room
        });
        assert_eq!(taken.count(), 32);
    }
}
