//! `Parking`: where those wait who have asked something of a server, and how one of them reads
//! for all.
//!
//! Everything here happens under one lock, and nothing is done under it but counting and waking.
//! What keeps a waiter from being lost:
//!
//! 1. A caller takes its answer, becomes the reader, or is entered among the idle, in one step.
//!    Whoever brings an answer for an idle one wakes it.
//! 2. While nobody reads, the first of the idle has been woken and not yet come. So whoever stops
//!    reading wakes the first of them, and so does one who leaves while nobody reads: it may be
//!    the one that was woken.
//! 3. The same with the line: while there is room, the first in it has been woken.
//!
//! `tests/parking.rs` holds this against every order in which threads can run.

use super::sync::{Mutex, MutexGuard, Thread, current};
use std::collections::{BTreeMap, VecDeque};
use std::sync::PoisonError;

/// What comes for a request.
#[derive(Debug)]
pub(super) enum Outcome<A> {
    /// The answer.
    Answered(A),
    /// The server is gone.
    Died,
}

/// Whether a request may be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Yes; it is parked, and nobody stands in line.
    Entered,
    /// Yes; it is parked, but keeps the first place in line until it was sent: otherwise shorter
    /// ones, for which there is room more often, would go before it for ever.
    First,
    /// Not yet. The caller stands in line, and is woken.
    InLine,
    /// The server is gone.
    Dead,
}

/// Whose answer that was.
#[derive(Debug)]
pub(super) enum Delivered<Q, A> {
    /// It was left with whoever waits for it.
    Waiter,
    /// Of one that has given up.
    Late(Q, A),
    /// Nothing was asked, or it was answered before.
    Unknown,
}

/// All who have asked something and have no answer yet. `Q` is what was asked, `A` the answer.
#[derive(Debug)]
pub(super) struct Parking<Q, A> {
    state: Mutex<State<Q, A>>,
}

#[derive(Debug)]
struct State<Q, A> {
    /// Most requests on their way, those given up included.
    most: usize,
    parks: BTreeMap<u64, Park<Q, A>>,
    /// Nobody waits for these any more. The answer, if it comes, is taken back.
    abandoned: BTreeMap<u64, Q>,
    /// How many of the parks have nothing yet.
    unanswered: usize,
    /// Callers that wait until they may send, first come first.
    line: BTreeMap<u64, Thread>,
    /// Callers that sleep until they are answered, or may read.
    idle: VecDeque<u64>,
    /// Somebody reads.
    led: bool,
    dead: bool,
}

/// One request that was, or is about to be, sent.
#[derive(Debug)]
struct Park<Q, A> {
    asked: Q,
    waiter: Thread,
    /// What it is asked meanwhile.
    questions: Vec<u64>,
    outcome: Option<Outcome<A>>,
}

/// The right to read. One at a time; giving it up wakes the next.
pub(super) struct Lead<'a, Q, A>(&'a Parking<Q, A>);

impl<Q, A> Drop for Lead<'_, Q, A> {
    fn drop(&mut self) {
        let mut state = self.0.locked();
        state.led = false;
        state.wake_reader();
    }
}

/// What a waiter is to do next.
enum Turn<'a, Q, A> {
    Tell(Vec<u64>),
    Done(Outcome<A>),
    Read(Lead<'a, Q, A>),
    Sleep,
}

impl<Q, A> Parking<Q, A> {
    /// With room for that many.
    pub(super) fn new(most: usize) -> Parking<Q, A> {
        let state = State {
            most,
            parks: BTreeMap::new(),
            abandoned: BTreeMap::new(),
            unanswered: 0,
            line: BTreeMap::new(),
            idle: VecDeque::new(),
            led: false,
            dead: false,
        };
        Parking { state: Mutex::new(state) }
    }

    /// Parks a request of the calling thread, or puts the caller in line, to come again when it is
    /// woken. Ids are given in the order of coming.
    pub(super) fn enter(&self, unique: u64, asked: Q) -> Entry {
        let mut state = self.locked();
        if state.dead {
            return Entry::Dead;
        }
        let first = state.line.keys().next().is_none_or(|first| *first >= unique);
        if !first || !state.has_room() {
            state.line.insert(unique, current());
            return Entry::InLine;
        }
        state.park(unique, asked);
        if state.line.contains_key(&unique) { Entry::First } else { Entry::Entered }
    }

    /// The first in line was sent.
    pub(super) fn sent(&self, unique: u64) {
        let mut state = self.locked();
        state.line.remove(&unique);
        state.wake_first_in_line();
    }

    /// It could not be sent just now: it takes its place in line, if it has none.
    pub(super) fn step_back(&self, unique: u64) {
        let mut state = self.locked();
        if state.remove(unique) && !state.dead {
            state.line.insert(unique, current());
        }
    }

    /// It is not sent: the caller wants no more, in line or parked.
    pub(super) fn withdraw(&self, unique: u64) {
        let mut state = self.locked();
        state.line.remove(&unique);
        state.remove(unique);
        state.wake_first_in_line();
        if !state.led {
            state.wake_reader();
        }
    }

    /// Waits until there is an outcome. `read` reads one message for all, `sleep` sleeps until it
    /// is woken or `stop` may have changed its mind; both may return without a reason. `tell`
    /// answers each question of [`Parking::ask`], with true as long as this one waits.
    ///
    /// Errors: what `stop` says. From then on nobody waits for the answer.
    pub(super) fn wait<F>(
        &self,
        unique: u64,
        stop: impl Fn() -> Option<F>,
        read: impl Fn(),
        sleep: impl Fn(),
        tell: impl Fn(u64, bool),
    ) -> Result<Outcome<A>, F> {
        loop {
            let lead = match self.turn(unique) {
                Turn::Tell(questions) => {
                    for question in questions {
                        tell(question, true);
                    }
                    continue;
                }
                Turn::Done(outcome) => return Ok(outcome),
                Turn::Read(lead) => Some(lead),
                Turn::Sleep => None,
            };
            if let Some(fault) = stop() {
                let (questions, outcome) = self.give_up(unique, fault);
                for question in questions {
                    tell(question, false);
                }
                return outcome;
            }
            match lead {
                None => sleep(),
                Some(_lead) => {
                    while !self.has_news(unique) && stop().is_none() {
                        read();
                    }
                }
            }
        }
    }

    /// Asks whoever waits for that answer something that only it can tell. False if nobody does,
    /// or it is asked too much.
    pub(super) fn ask(&self, unique: u64, question: u64) -> bool {
        /// A server needs one answer.
        const MOST_QUESTIONS: usize = 8;
        let mut state = self.locked();
        let Some(park) = state.parks.get_mut(&unique).filter(|park| park.outcome.is_none()) else {
            return false;
        };
        if park.questions.len() >= MOST_QUESTIONS {
            return false;
        }
        park.questions.push(question);
        state.wake_if_idle(unique);
        true
    }

    /// An answer has come.
    pub(super) fn deliver(&self, unique: u64, answer: A) -> Delivered<Q, A> {
        let mut state = self.locked();
        if let Some(asked) = state.abandoned.remove(&unique) {
            state.wake_first_in_line();
            return Delivered::Late(asked, answer);
        }
        let Some(park) = state.parks.get_mut(&unique).filter(|park| park.outcome.is_none()) else {
            return Delivered::Unknown;
        };
        park.outcome = Some(Outcome::Answered(answer));
        state.unanswered -= 1;
        state.wake_if_idle(unique);
        state.wake_first_in_line();
        Delivered::Waiter
    }

    /// Something was sent whose answer nobody waits for, and it will come. False where the server
    /// is gone.
    pub(super) fn expect(&self, unique: u64, asked: Q) -> bool {
        let mut state = self.locked();
        if !state.dead {
            state.abandoned.insert(unique, asked);
        }
        !state.dead
    }

    /// Nobody waits any more for what is parked: the answer will come, unless it has.
    pub(super) fn abandon(&self, unique: u64) -> Option<Outcome<A>> {
        self.give_up(unique, ()).1.ok()
    }

    /// It has come another way.
    pub(super) fn expect_no_more(&self, unique: u64) {
        self.locked().abandoned.remove(&unique);
    }

    /// The right to read, if nobody has it.
    pub(super) fn lead(&self) -> Option<Lead<'_, Q, A>> {
        let mut state = self.locked();
        if state.led {
            return None;
        }
        state.led = true;
        Some(Lead(self))
    }

    /// The server is gone: nobody waits any more, and nobody enters. False if that was known.
    pub(super) fn die(&self) -> bool {
        let mut state = self.locked();
        if state.dead {
            return false;
        }
        state.dead = true;
        state.unanswered = 0;
        state.abandoned.clear();
        for (_, thread) in std::mem::take(&mut state.line) {
            thread.unpark();
        }
        for park in state.parks.values_mut().filter(|park| park.outcome.is_none()) {
            park.outcome = Some(Outcome::Died);
            park.waiter.unpark();
        }
        true
    }

    /// Whether the server is gone.
    pub(super) fn is_dead(&self) -> bool {
        self.locked().dead
    }

    /// Whether somebody still waits for the answer to that request.
    pub(super) fn awaits(&self, unique: u64) -> bool {
        self.locked().parks.get(&unique).is_some_and(|park| park.outcome.is_none())
    }

    /// How many requests have no answer.
    pub(super) fn outstanding(&self) -> usize {
        self.locked().outstanding()
    }

    fn turn(&self, unique: u64) -> Turn<'_, Q, A> {
        let mut state = self.locked();
        let questions = state.questions(unique);
        if !questions.is_empty() {
            // It does not sleep now, and will come again.
            state.leave_the_idle(unique);
            return Turn::Tell(questions);
        }
        if let Some(outcome) = state.take(unique) {
            return Turn::Done(outcome);
        }
        if !state.led {
            state.led = true;
            state.idle.retain(|other| *other != unique);
            return Turn::Read(Lead(self));
        }
        if !state.idle.contains(&unique) {
            state.idle.push_back(unique);
        }
        Turn::Sleep
    }

    fn has_news(&self, unique: u64) -> bool {
        let news = |park: &Park<Q, A>| park.outcome.is_some() || !park.questions.is_empty();
        self.locked().parks.get(&unique).is_none_or(news)
    }

    /// What it was still asked, and the outcome after all, if it has come just now.
    fn give_up<F>(&self, unique: u64, fault: F) -> (Vec<u64>, Result<Outcome<A>, F>) {
        let mut state = self.locked();
        let questions = state.questions(unique);
        if let Some(outcome) = state.take(unique) {
            return (questions, Ok(outcome));
        }
        if let Some(park) = state.parks.remove(&unique) {
            state.unanswered -= 1;
            state.abandoned.insert(unique, park.asked);
        }
        state.leave_the_idle(unique);
        (questions, Err(fault))
    }

    fn locked(&self) -> MutexGuard<'_, State<Q, A>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<Q, A> State<Q, A> {
    fn outstanding(&self) -> usize {
        self.unanswered + self.abandoned.len()
    }

    fn has_room(&self) -> bool {
        self.outstanding() < self.most
    }

    fn park(&mut self, unique: u64, asked: Q) {
        self.parks.insert(
            unique,
            Park { asked, waiter: current(), questions: Vec::new(), outcome: None },
        );
        self.unanswered += 1;
    }

    /// Takes a park out, whatever has come for it. False if there is none.
    fn remove(&mut self, unique: u64) -> bool {
        let removed = self.parks.remove(&unique);
        self.unanswered -= usize::from(removed.as_ref().is_some_and(|park| park.outcome.is_none()));
        removed.is_some()
    }

    /// Takes what a waiter is asked.
    fn questions(&mut self, unique: u64) -> Vec<u64> {
        self.parks
            .get_mut(&unique)
            .map(|park| std::mem::take(&mut park.questions))
            .unwrap_or_default()
    }

    /// The outcome, with the park, if there is one.
    fn take(&mut self, unique: u64) -> Option<Outcome<A>> {
        let outcome = self.parks.get_mut(&unique)?.outcome.take()?;
        self.parks.remove(&unique);
        self.leave_the_idle(unique);
        Some(outcome)
    }

    fn leave_the_idle(&mut self, unique: u64) {
        self.idle.retain(|other| *other != unique);
        if !self.led {
            self.wake_reader();
        }
    }

    fn wake_reader(&self) {
        if let Some(first) = self.idle.front() {
            self.wake(*first);
        }
    }

    /// Who is not idle has not looked yet, or reads.
    fn wake_if_idle(&self, unique: u64) {
        if self.idle.contains(&unique) {
            self.wake(unique);
        }
    }

    fn wake(&self, unique: u64) {
        if let Some(park) = self.parks.get(&unique) {
            park.waiter.unpark();
        }
    }

    fn wake_first_in_line(&self) {
        if self.has_room()
            && let Some(thread) = self.line.values().next()
        {
            thread.unpark();
        }
    }
}
