//! Asking many that may not answer: all at the same time, and none of them for ever.

use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Most that are asked at the same time; more take another turn.
const MOST: usize = 256;

/// What each answers, in their order; `None` for one that has not within that time. Its thread is
/// left behind: nothing wakes somebody from a system call that a peer holds up.
pub(crate) fn ask<Q, A>(all: Vec<Q>, patience: Duration, ask: fn(Q) -> A) -> Vec<Option<A>>
where
    Q: Send + 'static,
    A: Send + 'static,
{
    let mut answers = Vec::new();
    let mut all = all.into_iter().peekable();
    while all.peek().is_some() {
        let (tell, hear) = mpsc::channel();
        let first = answers.len();
        for one in all.by_ref().take(MOST) {
            let (number, tell) = (answers.len() - first, tell.clone());
            answers.push(None);
            // Without a thread there is no answer either.
            let _ = thread::Builder::new().spawn(move || tell.send((number, ask(one))));
        }
        drop(tell);
        let until = Instant::now() + patience;
        while let Ok((number, answer)) =
            hear.recv_timeout(until.saturating_duration_since(Instant::now()))
        {
            if let Some(place) = answers.get_mut(first + number) {
                *place = Some(answer);
            }
        }
    }
    answers
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Barrier};

    const FOREVER: Duration = Duration::from_secs(60);

    #[test]
    fn who_does_not_answer_is_left_behind() {
        let never = |()| loop {
            thread::park();
        };
        assert_eq!(ask::<(), ()>(vec![()], Duration::from_millis(1), never), [None]);
    }

    #[test]
    fn all_are_asked_at_the_same_time() {
        // Each waits for the others.
        let barrier = Arc::new(Barrier::new(5));
        let all = (0..5).map(|number| (number, barrier.clone())).collect();
        let answers = ask(all, FOREVER, |(number, barrier)| {
            barrier.wait();
            number
        });
        assert_eq!(answers, [0, 1, 2, 3, 4].map(Some));
    }

    #[test]
    fn more_than_can_be_asked_at_once_are_asked_in_turns() {
        let all: Vec<_> = (0..=MOST).collect();
        let answers = ask(all.clone(), FOREVER, |number| number);
        assert_eq!(answers, all.into_iter().map(Some).collect::<Vec<_>>());
    }
}
