//! `Frame`: the memory of one message that was received; `Frames`, where it comes from.

use filofs::locked;
use std::sync::{Arc, Mutex};

/// The bytes of one message. Its memory goes back to where it came from.
#[derive(Debug)]
pub(super) struct Frame {
    bytes: Vec<u8>,
    len: usize,
    home: Arc<Frames>,
}

impl Frame {
    /// Room for a message of at most that many bytes.
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        let most = most.min(self.bytes.len());
        self.bytes.get_mut(..most).unwrap_or_default()
    }

    /// The message has that many bytes.
    pub(super) fn cut(&mut self, len: usize) {
        self.len = len.min(self.bytes.len());
    }

    /// The message.
    pub(super) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }
}

impl Drop for Frame {
    fn drop(&mut self) {
        self.home.take_back(std::mem::take(&mut self.bytes));
    }
}

/// Memory of messages that nobody uses just now.
#[derive(Debug)]
pub(super) struct Frames {
    size: usize,
    free: Mutex<Vec<Vec<u8>>>,
}

impl Frames {
    /// What is kept for later; the rest is given back to the system.
    const MOST_FREE: usize = 8;

    /// Of messages of at most that many bytes.
    pub(super) fn new(size: usize) -> Arc<Frames> {
        Arc::new(Frames { size, free: Mutex::default() })
    }

    /// Memory for one message.
    pub(super) fn take(self: &Arc<Frames>) -> Frame {
        let bytes = locked(&self.free).pop().unwrap_or_else(|| vec![0; self.size]);
        Frame { bytes, len: 0, home: self.clone() }
    }

    fn take_back(&self, bytes: Vec<u8>) {
        let mut free = locked(&self.free);
        if free.len() < Self::MOST_FREE {
            free.push(bytes);
        }
    }
}
