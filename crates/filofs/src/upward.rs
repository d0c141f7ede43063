//! `Upward`: the way of notices, from file systems and layers up to the front end.

use crate::notice::collapse;
use crate::{Context, Errno, Notice, Result, locked};
use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Thread;
use std::time::{Duration, Instant};

/// The upward end: given to file systems and layers when the mount starts.
///
/// Notices may be sent from anywhere, also from inside an operation; the front end delivers from
/// a thread of its own that holds no lock, because a kernel that is told to forget a file may
/// first have to finish an operation on that very file.
#[derive(Clone, Debug)]
pub struct Upward(Arc<Post>);

/// Where notices come out.
#[derive(Debug)]
pub struct Notices(Arc<Post>);

/// A notice on its way, to be answered. Dropped without an answer, it is answered ENXIO.
pub struct Delivery {
    notice: Notice,
    asker: Asker,
}

/// Who wants the answer to a notice.
enum Asker {
    Nobody,
    /// Somebody who waits for it.
    Waits(Arc<Sender>),
    /// Somebody who left word what to do with it.
    Then(Box<dyn FnOnce(Result<()>) + Send>),
}

#[derive(Debug, Default)]
struct Post {
    queue: Mutex<Queue>,
    came: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Delivery>,
    /// How many of them nobody waits for.
    loose: usize,
    /// Nobody listens any more.
    closed: bool,
    /// Whoever listens has nothing that could be out of date.
    answers_at_once: bool,
}

/// Somebody who waits for an answer.
#[derive(Debug)]
struct Sender {
    thread: Thread,
    state: Mutex<Wait>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Wait {
    Waits,
    Answered(Result<()>),
    Left,
}

impl Upward {
    /// How long [`Upward::deliver`] waits.
    pub const PATIENCE: Duration = Duration::from_secs(30);
    /// Most notices on their way that nobody waits for, see [`Upward::send`]; and most that
    /// somebody waits for: another is EAGAIN.
    pub const MOST: usize = 1024;

    /// An upward end and what comes out of it.
    pub fn channel() -> (Upward, Notices) {
        let post = Arc::<Post>::default();
        (Upward(post.clone()), Notices(post))
    }

    /// The same for a front end that keeps nothing which could be out of date: there each notice
    /// is answered as soon as it is sent.
    pub fn without_caches() -> (Upward, Notices) {
        let (up, notices) = Upward::channel();
        locked(&up.0.queue).answers_at_once = true;
        (up, notices)
    }

    /// Sends, without waiting. Without a listener the notice is dropped: there is nobody whose
    /// cache could be out of date.
    ///
    /// When more than [`Upward::MOST`] have not been delivered yet, those of one node become one
    /// of the whole node, those of names in one directory one of the directory, and if that does
    /// not help, all of them [`Notice::Everything`]. So a sender can flood nobody.
    pub fn send(&self, notice: Notice) {
        let mut queue = locked(&self.0.queue);
        if queue.closed {
            return;
        }
        queue.push(Delivery { notice, asker: Asker::Nobody });
        drop(queue);
        self.0.came.notify_one();
    }

    /// Sends, without waiting; the answer goes to `then`, which is run by whoever answers, and
    /// must not wait for anything. It is run in any case, here and now if there is no listener
    /// (ENXIO) or too many answers are awaited already (EAGAIN).
    pub fn send_then(&self, notice: Notice, then: impl FnOnce(Result<()>) + Send + 'static) {
        match self.enter(Delivery { notice, asker: Asker::Then(Box::new(then)) }) {
            Ok(()) => self.0.came.notify_one(),
            Err((errno, delivery)) => delivery.answer(Err(errno)),
        }
    }

    /// Sends, and waits for the answer: what the front end's client said.
    ///
    /// From inside an operation it may be called too, but not for what the operation itself
    /// holds up: Linux finishes a lookup before it forgets names of that directory, and a read
    /// before it forgets that data. Such a call ends with ETIMEDOUT.
    ///
    /// Errors: EINTR when the caller is cancelled; ETIMEDOUT after [`Upward::PATIENCE`]; ENXIO
    /// without a listener; EAGAIN when too many wait already; ENOENT for a node or name that the
    /// client does not know; EOPNOTSUPP for what it cannot do; what else it says.
    pub fn deliver(&self, cx: &Context<'_>, notice: Notice) -> Result<()> {
        let sender =
            Arc::new(Sender { thread: std::thread::current(), state: Mutex::new(Wait::Waits) });
        let delivery = Delivery { notice, asker: Asker::Waits(sender.clone()) };
        self.enter(delivery).map_err(|(errno, _)| errno)?;
        self.0.came.notify_one();
        sender.wait(cx)
    }

    /// Queues a notice whose answer is wanted, or has it answered at once where that is the way.
    fn enter(&self, mut delivery: Delivery) -> std::result::Result<(), (Errno, Delivery)> {
        let mut queue = locked(&self.0.queue);
        if queue.closed {
            return Err((Errno::ENXIO, delivery));
        }
        if queue.waiting.len() - queue.loose >= Self::MOST {
            return Err((Errno::EAGAIN, delivery));
        }
        if queue.answers_at_once {
            let asker = std::mem::replace(&mut delivery.asker, Asker::Nobody);
            queue.push(delivery);
            drop(queue);
            asker.say(Ok(()));
        } else {
            queue.push(delivery);
        }
        Ok(())
    }

    /// Nobody listens any more: what was not delivered is answered ENXIO (A63), and what is sent
    /// from now on too (A123).
    pub fn close(&self) {
        self.0.close();
    }
}

impl Notices {
    /// Waits for the next one. `None` when [`Upward::close`] was called.
    pub fn recv(&self) -> Option<Delivery> {
        let mut queue = locked(&self.0.queue);
        loop {
            if let Some(delivery) = queue.waiting.pop_front() {
                queue.loose -= usize::from(delivery.is_loose());
                return Some(delivery);
            }
            if queue.closed {
                return None;
            }
            queue = self.0.came.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// All that have come, answered with success.
    pub fn take(&self) -> Vec<Notice> {
        let all = {
            let mut queue = locked(&self.0.queue);
            queue.loose = 0;
            std::mem::take(&mut queue.waiting)
        };
        let taken = all.into_iter().map(|delivery| {
            let notice = delivery.notice.clone();
            delivery.answer(Ok(()));
            notice
        });
        taken.collect()
    }
}

impl Drop for Notices {
    fn drop(&mut self) {
        self.0.close();
    }
}

impl Delivery {
    /// What is said.
    pub fn notice(&self) -> &Notice {
        &self.notice
    }

    /// Whether somebody waits for the answer, still.
    pub fn is_awaited(&self) -> bool {
        match &self.asker {
            Asker::Nobody => false,
            Asker::Waits(sender) => *locked(&sender.state) == Wait::Waits,
            Asker::Then(_) => true,
        }
    }

    /// Answers it.
    pub fn answer(mut self, answer: Result<()>) {
        self.say(answer);
    }

    /// Nobody wanted an answer when it was sent.
    const fn is_loose(&self) -> bool {
        matches!(self.asker, Asker::Nobody)
    }

    fn say(&mut self, answer: Result<()>) {
        std::mem::replace(&mut self.asker, Asker::Nobody).say(answer);
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        self.say(Err(Errno::ENXIO));
    }
}

impl std::fmt::Debug for Delivery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}, awaited: {}", self.notice, self.is_awaited())
    }
}

impl Asker {
    fn say(self, answer: Result<()>) {
        match self {
            Asker::Nobody => {}
            Asker::Waits(sender) => {
                let mut state = locked(&sender.state);
                if *state == Wait::Waits {
                    *state = Wait::Answered(answer);
                    sender.thread.unpark();
                }
            }
            Asker::Then(then) => then(answer),
        }
    }
}

impl Sender {
    fn wait(&self, cx: &Context<'_>) -> Result<()> {
        let until = Instant::now() + Upward::PATIENCE;
        let until = cx.deadline.map_or(until, |deadline| deadline.min(until));
        loop {
            let left = until.saturating_duration_since(Instant::now());
            {
                let mut state = locked(&self.state);
                if let Wait::Answered(answer) = *state {
                    return answer;
                }
                if cx.cancelled() || left.is_zero() {
                    *state = Wait::Left;
                    return Err(if cx.cancelled() { Errno::EINTR } else { Errno::ETIMEDOUT });
                }
            }
            cx.cancel.sleep(left);
        }
    }
}

impl Post {
    fn close(&self) {
        let rest = {
            let mut queue = locked(&self.queue);
            (queue.closed, queue.loose) = (true, 0);
            std::mem::take(&mut queue.waiting)
        };
        self.came.notify_all();
        drop(rest);
    }
}

impl Queue {
    fn push(&mut self, delivery: Delivery) {
        self.loose += usize::from(delivery.is_loose());
        self.waiting.push_back(delivery);
        if self.loose > Upward::MOST {
            let (loose, awaited): (VecDeque<_>, VecDeque<_>) =
                self.waiting.drain(..).partition(Delivery::is_loose);
            self.waiting = awaited;
            let few = collapse(loose.iter().map(Delivery::notice), Upward::MOST / 2);
            self.loose = few.len();
            // Before those that somebody waits for, which may have been sent after them.
            for notice in few.into_iter().rev() {
                self.waiting.push_front(Delivery { notice, asker: Asker::Nobody });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Cancel, Cookie};

    fn changed(node: u64, offset: i64) -> Notice {
        Notice::Changed { node: Cookie(node), offset, len: 1 }
    }

    #[test]
    fn a_flood_of_one_node_becomes_one_notice_of_it() {
        let (up, notices) = Upward::channel();
        up.send(Notice::Unmount);
        for at in 0..=Upward::MOST as i64 {
            up.send(changed(7, at));
            up.send(changed(8, -1));
            up.send(Notice::Renamed { dir: Cookie(1), name: at.to_string().into() });
        }
        let taken = notices.take();
        assert!(taken.len() <= Upward::MOST, "{}", taken.len());
        assert!(taken.contains(&Notice::Changed { node: Cookie(7), offset: 0, len: 0 }));
        assert!(taken.contains(&Notice::Changed { node: Cookie(8), offset: -1, len: 0 }));
        assert!(taken.contains(&Notice::NamesIn { dir: Cookie(1) }));
        assert!(taken.contains(&Notice::Unmount));
    }

    #[test]
    fn a_flood_of_many_nodes_becomes_everything() {
        let (up, notices) = Upward::channel();
        for node in 0..100_000 {
            up.send(changed(node, 0));
        }
        let taken = notices.take();
        assert!(taken.len() <= Upward::MOST, "{}", taken.len());
        assert_eq!(taken.first(), Some(&Notice::Everything));
        assert_eq!(taken.last(), Some(&changed(99_999, 0)));
    }

    #[test]
    fn who_delivers_has_the_answer() {
        let (up, notices) = Upward::channel();
        let listener = std::thread::spawn(move || {
            for answer in [Ok(()), Err(Errno::ENOENT)] {
                let delivery = notices.recv().unwrap();
                assert!(delivery.is_awaited());
                delivery.answer(answer);
            }
            // Dropped without one.
            notices.recv().unwrap();
        });
        let cx = Context::internal();
        assert_eq!(up.deliver(&cx, Notice::AllNames), Ok(()));
        assert_eq!(up.deliver(&cx, Notice::AllNames), Err(Errno::ENOENT));
        assert_eq!(up.deliver(&cx, Notice::AllNames), Err(Errno::ENXIO));
        listener.join().unwrap();
        // A123: nobody listens any more.
        assert_eq!(up.deliver(&cx, Notice::AllNames), Err(Errno::ENXIO));
    }

    #[test]
    fn an_answer_is_done_with_as_was_said() {
        let answers = Arc::new(Mutex::new(Vec::new()));
        let ask = |up: &Upward| {
            let answers = answers.clone();
            up.send_then(Notice::AllNames, move |answer| locked(&answers).push(answer));
        };
        let (up, notices) = Upward::channel();
        ask(&up);
        ask(&up);
        let delivery = notices.recv().unwrap();
        assert!(delivery.is_awaited());
        delivery.answer(Err(Errno::ENOENT));
        // Not delivered before the end, and sent after it.
        drop(notices);
        ask(&up);
        let (up, notices) = Upward::without_caches();
        ask(&up);
        assert_eq!(notices.take(), [Notice::AllNames]);
        let (up, _notices) = Upward::channel();
        for _ in 0..=Upward::MOST {
            ask(&up);
        }
        let expected =
            [Err(Errno::ENOENT), Err(Errno::ENXIO), Err(Errno::ENXIO), Ok(()), Err(Errno::EAGAIN)];
        assert_eq!(*locked(&answers), expected);
    }

    #[test]
    fn who_waits_is_woken_by_the_end_and_by_a_cancel() {
        // A63
        let (up, notices) = Upward::channel();
        let waiter = up.clone();
        let waits =
            std::thread::spawn(move || waiter.deliver(&Context::internal(), Notice::AllNames));
        let delivery = notices.recv().unwrap();
        up.close();
        drop(delivery);
        assert_eq!(waits.join().unwrap(), Err(Errno::ENXIO));
        assert!(notices.recv().is_none());

        let (up, notices) = Upward::channel();
        let cancel = Cancel::new();
        std::thread::scope(|scope| {
            let waits = scope.spawn(|| {
                let cx = Context { cancel: &cancel, ..Context::internal() };
                up.deliver(&cx, Notice::AllNames)
            });
            let delivery = notices.recv().unwrap();
            cancel.cancel();
            assert_eq!(waits.join().unwrap(), Err(Errno::EINTR));
            assert!(!delivery.is_awaited());
        });
    }

    #[test]
    fn where_nothing_is_cached_nobody_waits() {
        let (up, notices) = Upward::without_caches();
        assert_eq!(up.deliver(&Context::internal(), Notice::AllNames), Ok(()));
        assert_eq!(notices.take(), [Notice::AllNames]);
    }
}
