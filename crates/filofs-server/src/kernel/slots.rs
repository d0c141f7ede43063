//! `Slots`: the requests of one connection that go by shared memory, and who waits for them.
//!
//! Whose slot it is stands here, in memory of our own, and nowhere else. What the server writes
//! into the other can spoil nothing but its answers.

use crate::channel::MESSAGE_MAX;
use filofs::{Cancel, locked};
use filofs_front::area::{Area, Shape, Spin};
use std::cell::Cell;
use std::sync::{Arc, Mutex};
use std::task::{Wake, Waker};
use std::time::Duration;

/// The slots of one connection.
pub(super) struct Slots {
    area: Arc<Area>,
    wakers: Vec<Waker>,
    spin: Spin,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Slots that nobody has; the last one is taken first, so that as little memory as possible
    /// is used.
    free: Vec<u32>,
    /// Slots whose callers wait no more, a bit for each: free when the server has answered.
    given_up: u32,
    /// Of each slot, who waits.
    stays: Vec<Stay>,
    /// What was asked of those who had just gone.
    stray: Vec<u64>,
}

#[derive(Clone, Debug, Default)]
struct Stay {
    /// The request's id; 0 for none.
    unique: u64,
    /// What its caller is asked meanwhile.
    questions: Vec<u64>,
}

/// A slot that is the caller's.
pub(super) struct Slot<'a> {
    slots: &'a Slots,
    /// The request's id.
    pub(super) unique: u64,
    index: u32,
    /// The server has it, and nobody waits.
    left: Cell<bool>,
}

/// Wakes who waits at one slot.
struct Bell(Arc<Area>, u32);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.nudge(self.1);
    }
}

impl Slots {
    /// What is offered to a server: messages of 1 MiB, which Linux sends and takes, and no more
    /// memory than 16 MiB. Pages that nothing was ever written to are none.
    pub(super) const SHAPE: Shape = Shape { slots: 16, size: (1 << 20) + 4096 };

    /// No longer does anybody sleep before looking around. A server could keep every wake-up to
    /// itself, by sleeping at the same word before us or by having us sleep at another.
    const NAP: Duration = Duration::from_secs(1);

    /// So often in one wait is somebody woken without a pause in between: a server that wakes
    /// callers for nothing burns its own time, not ours.
    const MOST_TURNS: u32 = 64;

    /// A server needs one answer.
    const MOST_QUESTIONS: usize = 8;

    /// Of that area.
    pub(super) fn new(area: Area) -> Slots {
        let area = Arc::new(area);
        let count = area.shape().slots;
        let wakers = (0..count).map(|slot| Waker::from(Arc::new(Bell(area.clone(), slot))));
        let stays = vec![Stay::default(); count as usize];
        let state =
            State { free: (0..count).rev().collect(), given_up: 0, stays, stray: Vec::new() };
        Slots { wakers: wakers.collect(), area, spin: Spin::default(), state: Mutex::new(state) }
    }

    /// A free one, for the request of that id.
    pub(super) fn take(&self, unique: u64) -> Option<Slot<'_>> {
        let mut state = locked(&self.state);
        if state.free.is_empty() {
            state.find_answered(&self.area);
        }
        let index = state.free.pop()?;
        if let Some(stay) = state.stays.get_mut(index as usize) {
            stay.unique = unique;
        }
        Some(Slot { slots: self, unique, index, left: Cell::new(false) })
    }

    /// The longest message, bytes.
    pub(super) fn size(&self) -> usize {
        self.area.shape().size as usize
    }

    /// How many requests wait for their answer.
    pub(super) fn outstanding(&self) -> usize {
        locked(&self.state).stays.iter().filter(|stay| stay.unique != 0).count()
    }

    /// Asks whoever waits for that answer something that only it can tell. False if nobody does,
    /// or it is asked too much.
    pub(super) fn question(&self, unique: u64, question: u64) -> bool {
        let mut state = locked(&self.state);
        let mut stays = state.stays.iter_mut().zip(0..);
        let Some((stay, slot)) = stays.find(|(stay, _)| unique != 0 && stay.unique == unique)
        else {
            return false;
        };
        let fits = stay.questions.len() < Self::MOST_QUESTIONS;
        if fits {
            stay.questions.push(question);
            self.area.nudge(slot);
        }
        fits
    }

    /// Says what is left to be said to the server: answers to questions that came when nobody
    /// waited any more. To be called now and then. True if any wait.
    pub(super) fn tend(&self, tell: impl Fn(u64)) -> bool {
        let mut state = locked(&self.state);
        let waits = state.stays.iter().any(|stay| stay.unique != 0);
        let stray = std::mem::take(&mut state.stray);
        drop(state);
        stray.into_iter().for_each(tell);
        waits
    }

    /// Has all who wait look around: the server is gone.
    pub(super) fn wake_all(&self) {
        (0..self.area.shape().slots).for_each(|slot| self.area.nudge(slot));
    }
}

impl State {
    /// Takes back the slots of those who gave up, as far as they were answered.
    fn find_answered(&mut self, area: &Area) {
        for slot in 0..area.shape().slots {
            if self.given_up & 1 << slot != 0 && area.look_at(slot).is_answered() {
                self.given_up &= !(1 << slot);
                self.free.push(slot);
            }
        }
    }
}

impl Slot<'_> {
    /// The longest message, bytes.
    pub(super) fn size(&self) -> usize {
        self.slots.size()
    }

    /// Asks. False if the message is too long.
    pub(super) fn ask(&self, head: &[u8], tail: &[u8]) -> bool {
        self.slots.area.ask(self.index, head, tail)
    }

    /// Waits for the answer. `tell` answers each question of [`Slots::question`].
    ///
    /// Errors: what `stop` says.
    pub(super) fn wait<F>(
        &self,
        cancel: &Cancel,
        stop: impl Fn() -> Option<F>,
        time_left: impl Fn() -> Option<Duration>,
        tell: impl Fn(u64),
    ) -> Result<(), F> {
        let Slot { slots: Slots { area, wakers, .. }, index, .. } = self;
        let waker = wakers.get(*index as usize).unwrap_or(Waker::noop());
        area.await_briefly(*index, &self.slots.spin);
        let mut turns = 0u32;
        loop {
            let seen = area.look_at(*index);
            if seen.is_answered() {
                return Ok(());
            }
            if seen.is_nudged() {
                self.questions().into_iter().for_each(&tell);
            }
            if let Some(fault) = stop() {
                return Err(fault);
            }
            turns = turns.saturating_add(1);
            if turns > Slots::MOST_TURNS {
                cancel.sleep(Duration::from_millis(1));
            }
            let at_most = time_left().map_or(Slots::NAP, |left| left.min(Slots::NAP));
            cancel.sleep_until_woken(waker, || area.sleep(*index, seen, Some(at_most)));
        }
    }

    /// Takes the request back, if the server has not seen it.
    pub(super) fn withdraw(&self) -> bool {
        self.slots.area.withdraw(self.index)
    }

    /// Leaves the slot to the server until it has answered. True if it just has: then it is kept.
    pub(super) fn give_up(&self) -> bool {
        let answered = self.slots.area.give_up(self.index);
        self.left.set(!answered);
        answered
    }

    /// The length of the answer that is there, in bytes, to be read once. `None` for one that
    /// cannot be.
    pub(super) fn answer_len(&self) -> Option<usize> {
        self.slots.area.message_len(self.index)
    }

    /// Copies a part of the answer, from an offset on. False if there cannot be so much.
    pub(super) fn copy(&self, from: usize, into: &mut [u8]) -> bool {
        self.slots.area.copy(self.index, from, into)
    }

    fn questions(&self) -> Vec<u64> {
        let mut state = locked(&self.slots.state);
        let stay = state.stays.get_mut(self.index as usize);
        stay.map(|stay| std::mem::take(&mut stay.questions)).unwrap_or_default()
    }
}

impl Drop for Slot<'_> {
    fn drop(&mut self) {
        let mut state = locked(&self.slots.state);
        let state = &mut *state;
        if let Some(stay) = state.stays.get_mut(self.index as usize) {
            state.stray.append(&mut stay.questions);
            *stay = Stay::default();
        }
        if self.left.get() {
            state.given_up |= 1 << self.index;
        } else {
            state.free.push(self.index);
        }
    }
}

const _: () = assert!(Slots::SHAPE.is_sound() && Slots::SHAPE.size as usize >= MESSAGE_MAX);
