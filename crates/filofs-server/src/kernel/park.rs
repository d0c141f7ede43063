//! `Park`: one request on its way, and who waits for its answer; `Parks`: all of them.

use super::frame::Frame;
use filofs::locked;
use filofs_wire::abi::Opcode;
use rustix::fd::OwnedFd;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::thread::Thread;

/// What came for a request.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The whole message, header included, and a descriptor.
    Answered(Frame, Option<OwnedFd>),
    /// The server is gone.
    Died,
}

/// One request that was, or is about to be, sent, and whose caller waits.
#[derive(Debug)]
pub(super) struct Park {
    pub(super) unique: u64,
    pub(super) opcode: Opcode,
    waiter: Thread,
    outcome: Mutex<Option<Outcome>>,
}

impl Park {
    /// For the calling thread.
    pub(super) fn new(unique: u64, opcode: Opcode) -> Arc<Park> {
        let (waiter, outcome) = (std::thread::current(), Mutex::default());
        Arc::new(Park { unique, opcode, waiter, outcome })
    }

    /// Takes what came.
    pub(super) fn take(&self) -> Option<Outcome> {
        locked(&self.outcome).take()
    }

    /// Leaves what came, and wakes the waiter. It may not be waiting yet; then it will not.
    pub(super) fn put(&self, outcome: Outcome) {
        *locked(&self.outcome) = Some(outcome);
        self.wake();
    }

    fn wake(&self) {
        self.waiter.unpark();
    }
}

/// Every request of a connection that has no answer yet.
#[derive(Debug, Default)]
pub(super) struct Parks {
    /// Somebody waits for the answer.
    waiting: HashMap<u64, Arc<Park>>,
    /// Nobody does: the caller was interrupted. The answer, if it comes, is taken back.
    abandoned: HashMap<u64, Opcode>,
    /// Callers that wait until fewer are on their way, first come first.
    line: VecDeque<(u64, Thread)>,
    dead: bool,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Yes; it is parked.
    Entered,
    /// Not yet: too many are on their way. The caller stands in line, and is woken.
    InLine,
    /// The server is gone.
    Dead,
}

/// Whose answer that was.
#[derive(Debug)]
pub(super) enum Owner {
    /// This one's.
    Waiter(Arc<Park>),
    /// Of one that has given up.
    Nobody(Opcode),
    /// Nothing was asked, or it was answered before.
    Unknown,
}

impl Parks {
    /// Most requests on their way to one server, those given up included.
    pub(super) const MOST: usize = 512;

    /// Parks a request, or puts its caller in line; to be asked again until it is in.
    pub(super) fn enter(&mut self, park: &Arc<Park>) -> Entry {
        if self.dead {
            return Entry::Dead;
        }
        let first = self.line.front().is_none_or(|(unique, _)| *unique == park.unique);
        if first && self.waiting.len() + self.abandoned.len() < Self::MOST {
            self.leave_line(park.unique);
            self.waiting.insert(park.unique, park.clone());
            return Entry::Entered;
        }
        if !self.line.iter().any(|(unique, _)| *unique == park.unique) {
            self.line.push_back((park.unique, park.waiter.clone()));
        }
        Entry::InLine
    }

    /// The caller does not want to stand in line any longer.
    pub(super) fn leave_line(&mut self, unique: u64) {
        self.line.retain(|(other, _)| *other != unique);
        self.next_in_line();
    }

    /// Takes back a request that was not sent.
    pub(super) fn withdraw(&mut self, unique: u64) {
        self.waiting.remove(&unique);
        self.next_in_line();
    }

    /// The caller has given up; the server has the request. False if the answer came just now.
    pub(super) fn abandon(&mut self, park: &Park) -> bool {
        let waited = self.waiting.remove(&park.unique).is_some();
        if waited {
            self.abandoned.insert(park.unique, park.opcode);
        }
        waited
    }

    /// An answer has come.
    pub(super) fn claim(&mut self, unique: u64) -> Owner {
        let owner = if let Some(park) = self.waiting.remove(&unique) {
            Owner::Waiter(park)
        } else if let Some(opcode) = self.abandoned.remove(&unique) {
            Owner::Nobody(opcode)
        } else {
            return Owner::Unknown;
        };
        self.next_in_line();
        owner
    }

    /// The one whose request that is, while it waits.
    pub(super) fn find(&self, unique: u64) -> Option<&Arc<Park>> {
        self.waiting.get(&unique)
    }

    /// Wakes one caller that waits, to read for all.
    pub(super) fn wake_one(&self) {
        if let Some(park) = self.waiting.values().next() {
            park.wake();
        }
    }

    /// The server is gone: nobody waits any more, and nobody enters. Answers those that did.
    pub(super) fn die(&mut self) -> Vec<Arc<Park>> {
        self.dead = true;
        self.abandoned.clear();
        self.line.drain(..).for_each(|(_, thread)| thread.unpark());
        self.waiting.drain().map(|(_, park)| park).collect()
    }

    /// Whether the server is gone.
    pub(super) fn is_dead(&self) -> bool {
        self.dead
    }

    /// How many requests have no answer.
    pub(super) fn len(&self) -> usize {
        self.waiting.len() + self.abandoned.len()
    }

    fn next_in_line(&self) {
        if let Some((_, thread)) = self.line.front() {
            thread.unpark();
        }
    }
}
