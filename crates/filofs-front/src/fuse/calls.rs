//! `Calls`: what a server has asked its core and awaits the answer to.

use super::answer::ours;
use super::device::Outlet;
use filofs::{Cancel, Delivery, Errno, Result, locked};
use filofs_wire::abi::CALL_ID;
use filofs_wire::reply::Message;
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::thread::Thread;
use std::time::{Duration, Instant};
use zerocopy::{Immutable, IntoBytes};

/// All calls of one connection that were not answered yet.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: AtomicU64,
    open: Mutex<Open>,
}

#[derive(Debug, Default)]
struct Open {
    by_id: HashMap<u64, Caller>,
    /// The connection has ended.
    over: bool,
}

/// Who awaits an answer.
#[derive(Debug)]
enum Caller {
    /// A thread that sleeps.
    Sleeper(Arc<Sleeper>),
    /// Whoever sent a notice.
    Notice(Delivery),
}

#[derive(Debug)]
struct Sleeper {
    thread: Thread,
    answer: Mutex<Option<Result<Vec<u8>>>>,
}

impl Calls {
    /// Most calls that are not answered at once; another is EAGAIN.
    const MOST: usize = 4096;
    /// How long an answer is awaited. A core that takes longer is at fault; it must not keep a
    /// request of its own for ever.
    const PATIENCE: Duration = Duration::from_secs(10);

    /// Whether somebody sleeps until an answer comes, which somebody has to read.
    pub(super) fn awaited(&self) -> bool {
        locked(&self.open).by_id.values().any(Caller::waits)
    }

    /// Asks, and waits for what the core answers.
    ///
    /// Errors: EINTR when cancelled, ETIMEDOUT, EAGAIN, ENXIO when the connection has ended; what
    /// the core says.
    pub(super) fn ask<T: IntoBytes + Immutable + Copy>(
        &self,
        outlet: &dyn Outlet,
        cancel: &Cancel,
        message: impl FnOnce(u64) -> Message<T>,
    ) -> Result<Vec<u8>> {
        let sleeper =
            Arc::new(Sleeper { thread: std::thread::current(), answer: Mutex::default() });
        let id = self.enter(Caller::Sleeper(sleeper.clone()))?;
        let answer = if outlet.send(message(id).as_bytes(), &[]) {
            sleeper.wait(cancel, Self::PATIENCE)
        } else {
            Err(Errno::ENXIO)
        };
        locked(&self.open).by_id.remove(&(id | CALL_ID));
        answer
    }

    /// An id for a call that says a notice. The core's answer is the notice's.
    pub(super) fn carry(&self, delivery: Delivery) -> Result<u64> {
        self.enter(Caller::Notice(delivery))
    }

    /// The call of that id could not be sent.
    pub(super) fn lost(&self, id: u64) {
        let lost = locked(&self.open).by_id.remove(&(id | CALL_ID));
        drop(lost);
    }

    /// The core has answered. An id that nobody knows is ignored (C.2).
    pub(super) fn answered(&self, id: u64, error: u32, data: &[u8]) {
        let caller = locked(&self.open).by_id.remove(&id);
        let answer = if error == 0 { Ok(()) } else { Err(ours(error)) };
        match caller {
            Some(Caller::Sleeper(sleeper)) => sleeper.wake(answer.map(|()| data.to_vec())),
            Some(Caller::Notice(delivery)) => delivery.answer(answer),
            None => log::debug!("the core answers call {id:#x}, which nobody awaits"),
        }
    }

    /// The connection has ended: nothing is answered any more.
    pub(super) fn end(&self) {
        let all = {
            let mut open = locked(&self.open);
            open.over = true;
            std::mem::take(&mut open.by_id)
        };
        for caller in all.into_values() {
            match caller {
                Caller::Sleeper(sleeper) => sleeper.wake(Err(Errno::ENXIO)),
                Caller::Notice(delivery) => delivery.answer(Err(Errno::ENXIO)),
            }
        }
    }

    /// A number for the call: without the bit that tells it from a request's.
    fn enter(&self, caller: Caller) -> Result<u64> {
        let mut open = locked(&self.open);
        if open.over {
            return Err(Errno::ENXIO);
        }
        if open.by_id.len() >= Self::MOST {
            // Whoever sent a notice may have stopped waiting.
            open.by_id.retain(|_, caller| caller.waits());
        }
        if open.by_id.len() >= Self::MOST {
            return Err(Errno::EAGAIN);
        }
        let id = self.next.fetch_add(1, SeqCst) + 1;
        open.by_id.insert(id | CALL_ID, caller);
        Ok(id)
    }
}

impl Caller {
    /// Still.
    fn waits(&self) -> bool {
        match self {
            Caller::Sleeper(_) => true,
            Caller::Notice(delivery) => delivery.is_awaited(),
        }
    }
}

impl Sleeper {
    fn wake(&self, answer: Result<Vec<u8>>) {
        *locked(&self.answer) = Some(answer);
        self.thread.unpark();
    }

    fn wait(&self, cancel: &Cancel, at_most: Duration) -> Result<Vec<u8>> {
        let until = Instant::now() + at_most;
        loop {
            if let Some(answer) = locked(&self.answer).take() {
                return answer;
            }
            if cancel.is_cancelled() {
                return Err(Errno::EINTR);
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Errno::ETIMEDOUT);
            }
            cancel.sleep(left);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs::{Context, Notice, Upward};
    use filofs_wire::call;
    use std::sync::mpsc;

    /// Tells of each message its id.
    struct Post(mpsc::Sender<u64>);

    impl Outlet for Post {
        fn send(&self, head: &[u8], _: &[u8]) -> bool {
            let id = head.get(8..16).and_then(|bytes| bytes.try_into().ok()).unwrap();
            self.0.send(u64::from_ne_bytes(id)).is_ok()
        }

        fn collect(&self, _: u64) -> std::result::Result<(), rustix::io::Errno> {
            Ok(())
        }
    }

    #[test]
    fn each_answer_reaches_its_call() {
        // C.2: ids of calls have their highest bit set, and an unknown one is ignored.
        let calls = Calls::default();
        let cancel = Cancel::new();
        let (told, tells) = mpsc::channel();
        let post = Post(told);
        std::thread::scope(|scope| {
            let ask = |unique| {
                let calls = &calls;
                let (post, cancel) = (Post(post.0.clone()), Cancel::new());
                scope.spawn(move || calls.ask(&post, &cancel, |id| call::groups(id, unique)))
            };
            let first = ask(10);
            let id = tells.recv().unwrap();
            assert!(calls.awaited() && id & CALL_ID != 0);
            calls.answered(77, 0, b"x");
            let second = ask(12);
            let other = tells.recv().unwrap();
            calls.answered(other, 2, b"");
            assert_eq!(second.join().unwrap(), Err(Errno::ENOENT));
            calls.answered(id, 0, b"abcd");
            assert_eq!(first.join().unwrap(), Ok(b"abcd".to_vec()));
            assert!(!calls.awaited());
        });
        cancel.cancel();
        assert_eq!(calls.ask(&post, &cancel, call::arguments), Err(Errno::EINTR));
        drop(tells);
        assert_eq!(calls.ask(&post, &Cancel::new(), call::arguments), Err(Errno::ENXIO));
        assert!(locked(&calls.open).by_id.is_empty());
    }

    #[test]
    fn an_errno_that_is_none_is_eproto() {
        let (up, notices) = Upward::channel();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| up.deliver(&Context::internal(), Notice::AllNames));
            let calls = Calls::default();
            let id = calls.carry(notices.recv().unwrap()).unwrap();
            calls.answered(id | CALL_ID, u32::MAX, b"");
            assert_eq!(waits.join().unwrap(), Err(Errno::EPROTO));
        });
    }

    #[test]
    fn the_end_answers_all() {
        let calls = Arc::new(Calls::default());
        let (told, tells) = mpsc::channel();
        let asks = calls.clone();
        let waits =
            std::thread::spawn(move || asks.ask(&Post(told), &Cancel::new(), call::arguments));
        tells.recv().unwrap();
        calls.end();
        assert_eq!(waits.join().unwrap(), Err(Errno::ENXIO));
        let (told, _tells) = mpsc::channel();
        assert_eq!(calls.ask(&Post(told), &Cancel::new(), call::arguments), Err(Errno::ENXIO));
    }

    #[test]
    fn answers_that_never_come_are_not_kept_for_ever() {
        let (up, notices) = Upward::channel();
        let calls = Calls::default();
        for _ in 0..Calls::MOST {
            up.send(Notice::AllNames);
            calls.carry(notices.recv().unwrap()).unwrap();
        }
        up.send(Notice::AllNames);
        calls.carry(notices.recv().unwrap()).unwrap();
        assert_eq!(locked(&calls.open).by_id.len(), 1);
    }
}
