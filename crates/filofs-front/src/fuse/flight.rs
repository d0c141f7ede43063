//! `Flight`: one request being worked on; `Flights`: all of them.

use super::caller::{is_dying, is_signalled, is_told_to_stop};
use filofs::{Cancel, locked};
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Mutex};

/// A worker's place for the request it works on. Used again for each of its requests.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The worker's thread; 0 for one that has no place among [`Flights`].
    worker: u32,
    state: Mutex<State>,
    /// Nobody else can answer it.
    held: AtomicBool,
    /// Its caller's "stop".
    pub(super) cancel: Cancel,
}

#[derive(Clone, Copy, Debug, Default)]
struct State {
    /// The request's id; 0 for none.
    unique: u64,
    /// The calling thread.
    thread: u32,
    /// How often somebody has looked whether the caller still lives.
    looks: u32,
    /// Somebody answers it, or has.
    claimed: bool,
    /// What a signal of the caller's does to it.
    yields: Yields,
    /// A signal has come, but none that ends it.
    signalled: bool,
}

/// Which signals end a request that waits.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) enum Yields {
    /// Those by which a user or the system tells a program to stop: SIGINT, SIGTERM, SIGKILL,
    /// SIGHUP and SIGQUIT, as with an interruptible NFS mount (C.3). No program expects EINTR of a
    /// file because a child or a timer of its own has come to an end.
    #[default]
    ToStopping,
    /// Any that is caught: fcntl(2) and flock(2) of whoever waits for a lock.
    ToAny,
}

impl Flight {
    /// Says of the next request, before it begins, whether the worker alone can answer it.
    pub(super) fn hold(&self, held: bool) {
        self.held.store(held, SeqCst);
    }

    /// Whether the one who asks this is to answer the request. It is answered once.
    pub(super) fn claim(&self) -> bool {
        !std::mem::replace(&mut locked(&self.state).claimed, true)
    }

    /// It has been answered.
    pub(super) fn end(&self) {
        let mut state = locked(&self.state);
        *state = State::default();
        // Under the lock: a late interrupt must not reach the next request.
        self.cancel.reset();
    }
}

/// All requests being worked on.
#[derive(Debug, Default)]
pub(super) struct Flights {
    all: Mutex<Vec<Arc<Flight>>>,
    /// The connection has ended.
    over: AtomicBool,
    /// How many wait for what another request has to bring, and how many may.
    waiting: AtomicUsize,
    most_waiting: AtomicUsize,
    /// Requests of which an interrupt came before they were begun, or after they had ended, and
    /// how often [`Flights::tend`] has seen it.
    early: Mutex<VecDeque<(u64, u32)>>,
    /// There is one.
    any_early: AtomicBool,
    /// Not every signal is told of.
    loses_signals: AtomicBool,
}

/// One request's leave to wait for another, see [`Flights::may_wait`].
#[derive(Debug)]
pub(super) struct Waiting<'a>(&'a AtomicUsize);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

impl Flights {
    /// How many interrupts are remembered of requests that nobody works on.
    const EARLY_MAX: usize = 64;
    /// After so many looks ([`Flights::tend`]) it is of a request that has ended.
    const EARLY_LOOKS: u32 = 30;

    /// Where that many workers serve at most.
    pub(super) fn new(most_workers: usize) -> Flights {
        let flights = Flights::default();
        flights.limit(most_workers);
        flights
    }

    /// So many workers serve at most, as it turns out.
    pub(super) fn limit(&self, most_workers: usize) {
        self.most_waiting.store(most_workers - most_workers.div_ceil(4), SeqCst);
    }

    /// Leave to wait for what only another request can bring: a lock that is given back, data that
    /// is written out. `None` when so many wait already that soon no worker would be left for the
    /// request they all wait for.
    pub(super) fn may_wait(&self) -> Option<Waiting<'_>> {
        let waiting = Waiting(&self.waiting);
        (self.waiting.fetch_add(1, SeqCst) < self.most_waiting.load(SeqCst)).then_some(waiting)
    }

    /// A request begins, asked by that thread.
    pub(super) fn begin(&self, flight: &Flight, unique: u64, thread: u32, yields: Yields) {
        *locked(&flight.state) = State { unique, thread, yields, ..State::default() };
        // Either the end finds it begun, or it finds the end.
        if self.over.load(SeqCst) {
            flight.cancel.cancel();
        }
        // Either the interrupt finds it begun, or it finds the interrupt.
        if self.any_early.load(SeqCst) && self.was_early(unique) {
            self.interrupt(unique);
        }
    }

    /// Requests come over a ring: Linux (6.18) forgets to tell of a signal that comes before the
    /// request is handed over, so the steward looks for those too.
    pub(super) fn look_for_signals(&self) {
        self.loses_signals.store(true, SeqCst);
    }

    /// A place for a new worker: the calling thread.
    pub(super) fn join(&self) -> Arc<Flight> {
        let worker = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        let flight = Arc::new(Flight { worker, ..Flight::default() });
        locked(&self.all).push(flight.clone());
        flight
    }

    /// The worker goes.
    pub(super) fn leave(&self, flight: &Arc<Flight>) {
        locked(&self.all).retain(|other| !Arc::ptr_eq(other, flight));
    }

    /// A signal has come for the caller of that request: cancels it, if the signal is one to which
    /// the request yields. Linux tells of the first signal alone; the steward looks for later ones
    /// ([`Flights::tend`]). False when nobody works on it: not yet, or not any more.
    pub(super) fn interrupt(&self, wanted: u64) -> bool {
        if wanted == 0 {
            return false; // what rests has that number
        }
        let found = self.find(wanted).or_else(|| {
            // Over a ring Linux tells of it once, be it before the worker has begun.
            self.expect(wanted);
            self.find(wanted)
        });
        let Some((flight, seen)) = found else { return false };
        // /proc is read with nothing locked.
        let ends = seen.yields == Yields::ToAny || is_told_to_stop(seen.thread);
        let mut state = locked(&flight.state);
        if state.unique != wanted {
            return false;
        }
        state.signalled = true;
        if ends {
            flight.cancel.cancel();
        }
        true
    }

    /// Remembers an interrupt for a request that may be about to begin. What has ended instead is
    /// forgotten with time: no request has its number again.
    fn expect(&self, unique: u64) {
        let mut early = locked(&self.early);
        if early.len() == Self::EARLY_MAX {
            early.pop_front();
        }
        early.push_back((unique, 0));
        self.any_early.store(true, SeqCst);
    }

    /// Whether an interrupt came for a request before it began.
    fn was_early(&self, unique: u64) -> bool {
        let mut early = locked(&self.early);
        let place = early.iter().position(|(other, _)| *other == unique);
        let was = place.is_some_and(|place| early.remove(place).is_some());
        // Under the lock, as it is set.
        self.any_early.store(!early.is_empty(), SeqCst);
        was
    }

    /// Forgets interrupts of what has ended.
    fn forget_early(&self) {
        if self.any_early.load(SeqCst) {
            let mut early = locked(&self.early);
            early.retain_mut(|(_, looks)| {
                *looks += 1;
                *looks < Self::EARLY_LOOKS
            });
            self.any_early.store(!early.is_empty(), SeqCst);
        }
    }

    fn find(&self, unique: u64) -> Option<(Arc<Flight>, State)> {
        locked(&self.all).iter().find_map(|flight| {
            let state = *locked(&flight.state);
            (state.unique == unique).then(|| (flight.clone(), state))
        })
    }

    /// Cancels all, and those that begin from now on: the connection has ended, and their callers
    /// are gone.
    pub(super) fn interrupt_all(&self) {
        self.over.store(true, SeqCst);
        for flight in locked(&self.all).iter() {
            let state = locked(&flight.state);
            if state.unique != 0 {
                flight.cancel.cancel();
            }
        }
    }

    /// The threads that work on a request.
    pub(super) fn at_work(&self) -> Vec<u32> {
        let all = locked(&self.all);
        let busy = all.iter().filter(|flight| locked(&flight.state).unique != 0);
        busy.map(|flight| flight.worker).collect()
    }

    /// Whether any request waits for its answer.
    pub(super) fn aloft(&self) -> bool {
        locked(&self.all).iter().any(|flight| locked(&flight.state).waits())
    }

    /// Claims the requests whose callers were killed but cannot die before they have an answer,
    /// because the operation does not look at its "stop", or because the kernel does not tell us
    /// (it sends no INTERRUPT for direct I/O), and that can be answered by somebody else than the
    /// worker. Whoever calls this answers them; what the operation
    /// says later is swallowed, and taken back. They are cancelled too, so that an operation that
    /// does look ends, and its worker is free.
    ///
    /// A caller that merely caught a signal is left to wait, unless that tells it to stop: then its
    /// operation is cancelled. A request is looked at from the third call of this on.
    pub(super) fn tend(&self) -> Vec<u64> {
        self.forget_early();
        let mut long = Vec::new();
        for flight in locked(&self.all).iter() {
            let mut state = locked(&flight.state);
            if state.waits() {
                state.looks = state.looks.saturating_add(1);
                if state.looks >= State::PATIENCE {
                    long.push((flight.clone(), *state));
                }
            }
        }
        for (flight, seen) in &long {
            if (seen.signalled || self.loses_signals.load(SeqCst)) && seen.is_to_end() {
                let state = locked(&flight.state);
                if state.unique == seen.unique {
                    flight.cancel.cancel();
                }
            }
        }
        let dying = long.into_iter().filter(|(_, state)| is_dying(state.thread));
        let claimed = dying.filter(|(flight, seen)| {
            let mut state = locked(&flight.state);
            let still = state.unique == seen.unique && state.waits();
            if still {
                flight.cancel.cancel();
            }
            let free = still && !flight.held.load(SeqCst);
            state.claimed |= free;
            free
        });
        claimed.map(|(_, seen)| seen.unique).collect()
    }
}

impl State {
    const PATIENCE: u32 = 3;

    /// Whether a signal waits for the caller that ends it. Nobody has told of one, so somebody who
    /// cannot be seen has none.
    fn is_to_end(&self) -> bool {
        is_signalled(self.thread) && (self.yields == Yields::ToAny || is_told_to_stop(self.thread))
    }

    const fn waits(&self) -> bool {
        self.unique != 0 && !self.claimed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_reaches_its_request_and_no_other() {
        let flights = Flights::new(8);
        let (a, b) = (flights.join(), flights.join());
        flights.begin(&a, 10, 0, Yields::ToAny);
        flights.begin(&b, 12, 0, Yields::ToAny);
        assert!(flights.interrupt(12));
        assert!(b.cancel.is_cancelled() && !a.cancel.is_cancelled());
        b.end();
        assert!(!b.cancel.is_cancelled(), "the next request starts afresh");
        assert!(!flights.interrupt(12), "answered already");
        assert!(!flights.interrupt(99));
        assert!(!flights.interrupt(0) && !b.cancel.is_cancelled(), "who rests is left to rest");
        flights.leave(&a);
        assert!(!flights.interrupt(10));
    }

    #[test]
    fn an_interrupt_may_come_before_its_request_begins() {
        let flights = Flights::new(8);
        let (a, b) = (flights.join(), flights.join());
        assert!(!flights.interrupt(10), "not begun");
        flights.begin(&a, 12, 0, Yields::ToAny);
        assert!(!a.cancel.is_cancelled());
        flights.begin(&b, 10, 0, Yields::ToAny);
        assert!(b.cancel.is_cancelled());
        a.end();
        b.end();
        // However many come for what has ended, they take no more room.
        for unique in 0..1000 {
            flights.interrupt(2 * unique + 100);
        }
        assert_eq!(locked(&flights.early).len(), Flights::EARLY_MAX);
    }

    #[test]
    fn where_no_interrupt_is_left_nobody_looks_for_one() {
        let flights = Flights::new(8);
        let flight = flights.join();
        flights.interrupt(10);
        assert!(flights.any_early.load(SeqCst));
        flights.begin(&flight, 10, 0, Yields::ToAny);
        assert!(flight.cancel.is_cancelled() && !flights.any_early.load(SeqCst));
        flight.end();
        // Of what has ended it goes with time.
        flights.interrupt(10);
        for _ in 1..Flights::EARLY_LOOKS {
            flights.tend();
        }
        assert!(flights.any_early.load(SeqCst));
        flights.tend();
        assert!(!flights.any_early.load(SeqCst) && locked(&flights.early).is_empty());
    }

    #[test]
    fn what_begins_after_the_end_is_cancelled_too() {
        let flights = Flights::new(8);
        let (early, late) = (flights.join(), flights.join());
        flights.begin(&early, 10, 0, Yields::ToAny);
        flights.interrupt_all();
        assert!(early.cancel.is_cancelled() && !late.cancel.is_cancelled());
        flights.begin(&late, 12, 0, Yields::ToAny);
        assert!(late.cancel.is_cancelled());
    }

    #[test]
    fn some_workers_are_never_left_to_wait() {
        for (workers, may) in [(1, 0), (2, 1), (4, 3), (512, 384)] {
            let flights = Flights::new(workers);
            let waiting: Vec<_> = std::iter::from_fn(|| flights.may_wait()).collect();
            assert_eq!(waiting.len(), may, "{workers}");
            drop(waiting);
            assert_eq!(flights.may_wait().is_some(), may > 0, "all of it comes back");
        }
    }

    #[test]
    fn who_lives_goes_on_waiting() {
        let flights = Flights::new(8);
        let flight = flights.join();
        let me = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        flights.begin(&flight, 10, me, Yields::ToStopping);
        assert!(flights.aloft());
        for _ in 0..5 {
            assert_eq!(flights.tend(), []);
        }
        assert!(flight.claim() && !flight.claim(), "answered once");
        assert!(!flights.aloft());
        // A thread that is gone altogether waits for nothing.
        flights.begin(&flight, 12, u32::MAX, Yields::ToStopping);
        for _ in 0..5 {
            assert_eq!(flights.tend(), []);
        }
        flight.end();
        assert!(!flights.aloft());
    }

    #[test]
    fn a_signal_that_does_not_tell_to_stop_ends_a_wait_for_a_lock_and_nothing_else() {
        let flights = Flights::new(8);
        let flight = flights.join();
        let me = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        for (yields, ends) in [(Yields::ToStopping, false), (Yields::ToAny, true)] {
            flights.begin(&flight, 10, me, yields);
            assert!(flights.interrupt(10), "it is known");
            assert_eq!(flight.cancel.is_cancelled(), ends, "{yields:?}");
            for _ in 0..5 {
                assert_eq!(flights.tend(), []);
            }
            assert_eq!(flight.cancel.is_cancelled(), ends, "{yields:?}");
            flight.end();
        }
        // Of a caller who cannot be looked at any signal is taken for one that does.
        flights.begin(&flight, 12, 0, Yields::ToStopping);
        assert!(flights.interrupt(12) && flight.cancel.is_cancelled());
    }
}
