//! `Outbox`: what is to be told to a server that has no room for it just now.

use crate::channel::Unsent;
use std::collections::{BTreeMap, VecDeque};

/// What is to be told, and answered by nobody.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    messages: VecDeque<Vec<u8>>,
    /// Lookups to give back, by node: no more than there were nodes.
    forgets: BTreeMap<u64, u64>,
}

impl Outbox {
    /// Most messages that are kept, FORGETs not counted: hints, to a server that does not read.
    const MOST: usize = 1024;

    /// Keeps a whole message. False if there are too many.
    pub(super) fn push(&mut self, message: Vec<u8>) -> bool {
        let room = self.messages.len() < Self::MOST;
        if room {
            self.messages.push_back(message);
        }
        room
    }

    /// Keeps lookups to be given back.
    pub(super) fn forget(&mut self, nodeid: u64, nlookup: u64) {
        let owed = self.forgets.entry(nodeid).or_default();
        *owed = owed.saturating_add(nlookup);
    }

    /// Sends what it can: messages in their order, and then, as they may be about open files, the
    /// nodes. True when nothing is left.
    pub(super) fn send(
        &mut self,
        message: impl Fn(&[u8]) -> Result<(), Unsent>,
        forget: impl Fn(u64, u64) -> Result<(), Unsent>,
    ) -> bool {
        while let Some(first) = self.messages.front() {
            if message(first) == Err(Unsent::Full) {
                return false;
            }
            self.messages.pop_front();
        }
        while let Some(first) = self.forgets.first_entry() {
            if forget(*first.key(), *first.get()) == Err(Unsent::Full) {
                return false;
            }
            first.remove();
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::{Cell, RefCell};

    #[test]
    fn what_was_kept_goes_in_order_and_each_node_once() {
        let mut outbox = Outbox::default();
        outbox.forget(7, 2);
        assert!(outbox.push(vec![1]) && outbox.push(vec![2]));
        outbox.forget(5, 1);
        outbox.forget(7, 3);
        let (room, sent) = (Cell::new(1), RefCell::new(Vec::new()));
        let take = |text: String| {
            if room.get() == 0 {
                return Err(Unsent::Full);
            }
            room.set(room.get() - 1);
            sent.borrow_mut().push(text);
            Ok(())
        };
        let mut send =
            || outbox.send(|m| take(format!("{m:?}")), |node, n| take(format!("{node}-{n}")));
        assert!(!send());
        room.set(9);
        assert!(send() && send());
        assert_eq!(*sent.borrow(), ["[1]", "[2]", "5-1", "7-5"]);
    }

    #[test]
    fn hints_are_bounded_and_nodes_are_not_lost() {
        let mut outbox = Outbox::default();
        let kept = (0..5000).filter(|_| outbox.push(vec![0])).count();
        assert_eq!(kept, Outbox::MOST);
        (0..5000).for_each(|node| outbox.forget(node, 1));
        assert_eq!(outbox.forgets.len(), 5000);
    }
}
