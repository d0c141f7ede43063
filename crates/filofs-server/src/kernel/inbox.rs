//! `Inbox`: what a server says unasked, until the worker looks at it.

use filofs::locked;
use filofs_wire::incoming::Call;
use std::collections::VecDeque;
use std::sync::{Condvar, Mutex, PoisonError};

/// Something for the worker.
#[derive(PartialEq, Eq, Debug)]
pub(super) enum Unasked {
    /// A notification: the whole message.
    Notification(Vec<u8>),
    /// The server asks, and wants an answer if there is an id.
    Call(Option<u64>, Call),
    /// More was said than anybody can keep: nothing that is cached is certain.
    Everything,
    /// The server wants to be unmounted.
    Unmount,
}

/// Filled by whoever reads the channel, who never waits; emptied by the worker.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    state: Mutex<State>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct State {
    waiting: VecDeque<Unasked>,
    /// Of the notifications, in bytes.
    size: usize,
    everything: bool,
    unmount: bool,
    over: bool,
}

impl Inbox {
    /// Most entries.
    pub(super) const MOST: usize = 1024;
    /// Most bytes of notifications.
    const SIZE_MAX: usize = 1 << 20;

    /// A notification. Where there is no room, it and those that wait become "everything": a
    /// server may flood the core, but no invalidation is ever lost.
    pub(super) fn notified(&self, message: &[u8]) {
        let mut state = locked(&self.state);
        if state.waiting.len() < Self::MOST && state.size + message.len() <= Self::SIZE_MAX {
            state.size += message.len();
            state.waiting.push_back(Unasked::Notification(message.to_vec()));
        } else {
            state.waiting.retain(|unasked| matches!(unasked, Unasked::Call(Some(_), _)));
            (state.size, state.everything) = (0, true);
        }
        self.came.notify_one();
    }

    /// A call. False if there is no room for one that wants an answer; one that wants none
    /// becomes "everything" then.
    pub(super) fn called(&self, id: Option<u64>, call: Call) -> bool {
        let mut state = locked(&self.state);
        let fits = state.waiting.len() < Self::MOST;
        if fits {
            state.waiting.push_back(Unasked::Call(id, call));
        } else if id.is_none() {
            state.everything = true;
        }
        self.came.notify_one();
        fits || id.is_none()
    }

    /// The server wants to be unmounted: there is always room for that.
    pub(super) fn unmount(&self) {
        locked(&self.state).unmount = true;
        self.came.notify_one();
    }

    /// The server is gone.
    pub(super) fn end(&self) {
        let mut state = locked(&self.state);
        (state.over, state.waiting) = (true, VecDeque::new());
        self.came.notify_one();
    }

    /// Waits for something. `None` when the server is gone.
    pub(super) fn next(&self) -> Option<Unasked> {
        let mut state = locked(&self.state);
        loop {
            if state.over {
                return None;
            }
            if std::mem::take(&mut state.unmount) {
                return Some(Unasked::Unmount);
            }
            if std::mem::take(&mut state.everything) {
                return Some(Unasked::Everything);
            }
            if let Some(unasked) = state.waiting.pop_front() {
                if let Unasked::Notification(message) = &unasked {
                    state.size -= message.len();
                }
                return Some(unasked);
            }
            state = self.came.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_becomes_everything_and_no_unmount_is_lost() {
        for message in [vec![1; 16], vec![1; 100_000]] {
            let inbox = Inbox::default();
            assert!(inbox.called(Some(7), Call::Arguments));
            for _ in 0..=Inbox::MOST {
                inbox.notified(&message);
            }
            inbox.unmount();
            assert_eq!(inbox.next(), Some(Unasked::Unmount));
            assert_eq!(inbox.next(), Some(Unasked::Everything));
            assert_eq!(inbox.next(), Some(Unasked::Call(Some(7), Call::Arguments)));
            // What came after it is whole, and the room is free again.
            let more = || {
                let state = locked(&inbox.state);
                state.everything || !state.waiting.is_empty()
            };
            while more() {
                inbox.next();
            }
            assert_eq!(locked(&inbox.state).size, 0);
            inbox.notified(&message);
            assert_eq!(inbox.next(), Some(Unasked::Notification(message)));
        }
    }

    #[test]
    fn calls_that_find_no_room() {
        let inbox = Inbox::default();
        for id in 0..Inbox::MOST as u64 {
            assert!(inbox.called(Some(id), Call::Arguments));
        }
        assert!(!inbox.called(Some(1 << 20), Call::Arguments));
        assert!(inbox.called(None, Call::Arguments));
        assert_eq!(inbox.next(), Some(Unasked::Everything));
        assert_eq!(inbox.next(), Some(Unasked::Call(Some(0), Call::Arguments)));
        inbox.end();
        assert_eq!(inbox.next(), None);
    }
}
