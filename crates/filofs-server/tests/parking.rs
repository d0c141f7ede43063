//! The parking in every order in which its threads can run: nobody is lost, nobody gets another's
//! answer, nothing is left. The sleep here has no end of its own, as the real one has: a wake-up
//! that is missing is a deadlock, and the model says so.

#![allow(clippy::unwrap_used)] // tests may be blunt

mod sync {
    use loom::sync::{Arc, Condvar};
    pub(super) use loom::sync::{Mutex, MutexGuard};

    /// A thread that can be parked. Loom's own forgets a wake-up that finds the thread at a mutex.
    #[derive(Clone, Debug)]
    pub(super) struct Thread(Arc<(Mutex<bool>, Condvar)>);

    loom::thread_local! {
        static THIS: Thread = Thread(Arc::new((Mutex::new(false), Condvar::new())));
    }

    pub(super) fn current() -> Thread {
        THIS.with(Clone::clone)
    }

    pub(super) fn park() {
        let Thread(this) = current();
        let mut woken = this.0.lock().unwrap();
        while !*woken {
            woken = this.1.wait(woken).unwrap();
        }
        *woken = false;
    }

    impl Thread {
        pub(super) fn unpark(&self) {
            *self.0.0.lock().unwrap() = true;
            self.0.1.notify_all();
        }
    }
}

#[path = "../src/kernel/parking.rs"]
#[expect(dead_code, reason = "the model needs no watcher's view")]
mod parking;

use loom::sync::{Arc, Condvar, Mutex};
use loom::thread;
use parking::{Delivered, Entry, Outcome, Parking};
use std::collections::VecDeque;

/// What was asked: the id again. The answer is it, too.
type Lot = Parking<u64, u64>;

/// Set in what the server sends about a request in the place of its answer. Above it, who else is
/// answered when it is told.
const QUESTION: u64 = 1 << 32;

/// The socket between the core and a server that answers what it is sent.
#[derive(Default)]
struct Wire {
    state: Mutex<WireState>,
    changed: Condvar,
}

#[derive(Default)]
struct WireState {
    /// Answers under way to the core.
    answers: VecDeque<u64>,
    closed: bool,
    /// Which callers have been interrupted, as bits.
    stopped: u64,
    /// Whom an interrupt wakes.
    callers: Vec<(u64, sync::Thread)>,
}

impl Wire {
    fn answer(&self, unique: u64) {
        self.state.lock().unwrap().answers.push_back(unique);
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().unwrap().closed = true;
        self.changed.notify_all();
    }

    /// As `Cancel::cancel` does: the flag first, then the wake-up.
    fn stop(&self, unique: u64) {
        let mut state = self.state.lock().unwrap();
        state.stopped |= 1 << unique;
        let callers = state.callers.iter().filter(|caller| caller.0 == unique);
        let thread = callers.map(|caller| caller.1.clone()).next();
        drop(state);
        self.changed.notify_all();
        if let Some(thread) = thread {
            thread.unpark();
        }
    }

    fn is_stopped(&self, unique: u64) -> bool {
        self.state.lock().unwrap().stopped & (1 << unique) != 0
    }

    /// The same, whatever it is.
    fn read_one(&self, lot: &Lot, reader: u64) {
        let _ = self.read(lot, reader);
    }

    /// Reads one answer for whoever it is; returns, too, when the reader is interrupted.
    fn read(&self, lot: &Lot, reader: u64) -> Option<Delivered<u64, u64>> {
        let mut state = self.state.lock().unwrap();
        loop {
            if let Some(unique) = state.answers.pop_front() {
                drop(state);
                if unique & QUESTION != 0 {
                    assert!(lot.ask(unique & 0xff, unique >> 40), "nobody waits");
                    return None;
                }
                return Some(lot.deliver(unique, unique));
            }
            if state.closed {
                drop(state);
                lot.die();
                return None;
            }
            if state.stopped & (1 << reader) != 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap();
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    Answered,
    Died,
    Stopped,
    Never,
}

/// One caller from its coming to its going.
fn call(lot: &Lot, wire: &Wire, unique: u64, send: impl Fn(u64)) -> End {
    wire.state.lock().unwrap().callers.push((unique, sync::current()));
    loop {
        match lot.enter(unique, unique) {
            Entry::Entered => break send(unique),
            Entry::First => {
                send(unique);
                break lot.sent(unique);
            }
            Entry::Dead => return End::Never,
            Entry::InLine => sync::park(),
        }
    }
    let stop = || wire.is_stopped(unique).then_some(());
    let tell = |other, waits: bool| {
        assert!(waits, "it has not given up");
        wire.answer(unique);
        wire.answer(other);
    };
    match lot.wait(unique, stop, || wire.read_one(lot, unique), sync::park, tell) {
        Ok(Outcome::Answered(answer)) => {
            assert_eq!(answer, unique, "another's answer");
            End::Answered
        }
        Ok(Outcome::Died) => End::Died,
        Err(()) => End::Stopped,
    }
}

fn model(check: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    // How often a thread is taken off the processor against its will, in one run. What two do not
    // find is rare, and with more it takes hours; LOOM_MAX_PREEMPTIONS says otherwise.
    builder.preemption_bound = builder.preemption_bound.or(Some(2));
    builder.check(check);
}

fn lot(most: usize) -> (Arc<Lot>, Arc<Wire>) {
    (Arc::new(Lot::new(most)), Arc::new(Wire::default()))
}

/// A caller in a thread of its own, answered at once.
fn caller(lot: &Arc<Lot>, wire: &Arc<Wire>, unique: u64, answer: bool) -> thread::JoinHandle<End> {
    let (lot, wire) = (lot.clone(), wire.clone());
    thread::spawn(move || {
        let to = wire.clone();
        call(&lot, &wire, unique, move |unique| {
            if answer {
                to.answer(unique);
            }
        })
    })
}

#[test]
fn two_callers_and_their_answers_in_any_order() {
    model(|| {
        let (lot, wire) = lot(9);
        let other = caller(&lot, &wire, 4, true);
        assert_eq!(call(&lot, &wire, 2, |unique| wire.answer(unique)), End::Answered);
        assert_eq!(other.join().unwrap(), End::Answered);
        assert_eq!(lot.outstanding(), 0);
    });
}

#[test]
fn who_is_asked_meanwhile_tells_although_another_still_reads() {
    model(|| {
        let (lot, wire) = lot(9);
        let asked = std::cell::Cell::new(None);
        let long = call(&lot, &wire, 4, |long| {
            let (lot, wire) = (lot.clone(), wire.clone());
            asked.set(Some(thread::spawn(move || {
                call(&lot, &wire, 6, |unique| wire.answer(unique | QUESTION | long << 40))
            })));
        });
        assert_eq!(long, End::Answered);
        assert_eq!(asked.take().unwrap().join().unwrap(), End::Answered);
        assert_eq!(lot.outstanding(), 0);
        assert!(!lot.ask(6, 0), "it waits no more");
    });
}

#[test]
fn the_one_who_reads_hands_over_to_each_of_the_others() {
    model(|| {
        let (lot, wire) = lot(9);
        let others = [caller(&lot, &wire, 4, true), caller(&lot, &wire, 6, true)];
        assert_eq!(call(&lot, &wire, 2, |unique| wire.answer(unique)), End::Answered);
        for other in others {
            assert_eq!(other.join().unwrap(), End::Answered);
        }
        assert_eq!(lot.outstanding(), 0);
    });
}

#[test]
fn who_is_answered_goes_although_another_still_reads() {
    model(|| {
        let (lot, wire) = lot(9);
        let long = caller(&lot, &wire, 2, false);
        let short = caller(&lot, &wire, 4, true);
        assert_eq!(short.join().unwrap(), End::Answered);
        wire.answer(2);
        assert_ne!(long.join().unwrap(), End::Stopped);
    });
}

#[test]
fn who_is_interrupted_goes_and_the_rest_are_answered() {
    model(|| {
        let (lot, wire) = lot(9);
        let first = caller(&lot, &wire, 2, false);
        let second = caller(&lot, &wire, 4, true);
        wire.stop(2);
        assert_eq!(first.join().unwrap(), End::Stopped);
        assert_eq!(second.join().unwrap(), End::Answered);
        // The late answer is nobody's, once.
        assert!(matches!(lot.deliver(2, 2), Delivered::Late(2, 2)));
        assert!(matches!(lot.deliver(2, 2), Delivered::Unknown));
        assert_eq!(lot.outstanding(), 0);
    });
}

#[test]
fn an_answer_and_an_interrupt_at_once_are_one_of_both() {
    model(|| {
        let (lot, wire) = lot(9);
        let only = caller(&lot, &wire, 2, true);
        wire.stop(2);
        let end = only.join().unwrap();
        if end == End::Stopped {
            let late = wire.read(&lot, 63);
            assert!(matches!(late, Some(Delivered::Late(2, 2))), "{late:?}");
        } else {
            assert_eq!(end, End::Answered);
        }
        assert_eq!(lot.outstanding(), 0);
    });
}

#[test]
fn the_end_reaches_all_who_wait_and_all_who_come() {
    model(|| {
        let (lot, wire) = lot(9);
        let callers = [caller(&lot, &wire, 2, false), caller(&lot, &wire, 4, false)];
        wire.close();
        lot.die();
        for caller in callers {
            assert!(matches!(caller.join().unwrap(), End::Died | End::Never));
        }
        assert_eq!(lot.outstanding(), 0);
        assert_eq!(lot.enter(6, 6), Entry::Dead);
    });
}

#[test]
fn who_stands_in_line_is_let_in() {
    model(|| {
        let (lot, wire) = lot(1);
        let callers = [caller(&lot, &wire, 2, true), caller(&lot, &wire, 4, true)];
        for caller in callers {
            assert_eq!(caller.join().unwrap(), End::Answered);
        }
        assert_eq!(lot.outstanding(), 0);
    });
}

#[test]
fn who_leaves_the_line_lets_the_next_one_in() {
    model(|| {
        let (lot, wire) = lot(1);
        assert_eq!(lot.enter(2, 2), Entry::Entered);
        assert_eq!(lot.enter(4, 4), Entry::InLine);
        let next = caller(&lot, &wire, 6, true);
        let leaver = {
            let lot = lot.clone();
            thread::spawn(move || lot.withdraw(4))
        };
        assert!(matches!(lot.deliver(2, 2), Delivered::Waiter));
        leaver.join().unwrap();
        assert_eq!(next.join().unwrap(), End::Answered);
    });
}

#[test]
fn a_watcher_that_reads_now_and_then_loses_nobody() {
    model(|| {
        let (lot, wire) = lot(9);
        let caller = caller(&lot, &wire, 2, true);
        if let Some(_lead) = lot.lead() {
            let came = wire.state.lock().unwrap().answers.pop_front();
            if let Some(unique) = came {
                assert!(matches!(lot.deliver(unique, unique), Delivered::Waiter));
            }
        }
        assert_eq!(caller.join().unwrap(), End::Answered);
    });
}

#[test]
fn all_are_let_in_for_whom_there_is_room() {
    model(|| {
        let (lot, wire) = lot(2);
        assert_eq!((lot.enter(2, 2), lot.enter(4, 4)), (Entry::Entered, Entry::Entered));
        let long = caller(&lot, &wire, 6, false);
        let short = caller(&lot, &wire, 8, true);
        for unique in [2, 4] {
            assert!(matches!(lot.deliver(unique, unique), Delivered::Waiter));
        }
        assert_eq!(short.join().unwrap(), End::Answered);
        wire.answer(6);
        assert_eq!(long.join().unwrap(), End::Answered);
    });
}

#[test]
fn reply_before_wait() {
    model(|| {
        let (lot, wire) = lot(9);
        assert_eq!(lot.enter(2, 2), Entry::Entered);
        assert!(matches!(lot.deliver(2, 2), Delivered::Waiter));
        let came = lot.wait(2, || None::<()>, || wire.read_one(&lot, 2), sync::park, |_, _| {});
        assert!(matches!(came, Ok(Outcome::Answered(2))), "{came:?}");
    });
}

#[test]
fn fifo_order() {
    model(|| {
        let (lot, _) = lot(1);
        let enter = |unique| lot.enter(unique, unique);
        assert_eq!([enter(2), enter(6), enter(4)], [Entry::Entered, Entry::InLine, Entry::InLine]);
        assert!(matches!(lot.deliver(2, 2), Delivered::Waiter));
        // Who came first goes first.
        assert_eq!([enter(8), enter(6), enter(4)], [Entry::InLine, Entry::InLine, Entry::First]);
        // There was no room in the socket: it is still the first, also while it tries.
        lot.step_back(4);
        assert_eq!([enter(6), enter(4), enter(10)], [Entry::InLine, Entry::First, Entry::InLine]);
        lot.sent(4);
        assert!(matches!(lot.deliver(4, 4), Delivered::Waiter));
        lot.withdraw(6);
        assert_eq!(enter(8), Entry::First);
    });
}
