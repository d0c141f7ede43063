//! `Pulse`: what the scheduler does with a thread of ours.

use std::fs::read_to_string;
use std::time::Duration;

/// What the scheduler has done with a thread, at one moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Pulse {
    /// It would run if it were let: it waits for nothing.
    runnable: bool,
    /// How long it was let run, ever.
    ran: Duration,
}

impl Pulse {
    /// Of a thread of this process, by its number. `None` when it is gone, or the kernel does not
    /// tell (proc_pid_schedstat(5)).
    pub(super) fn of(thread: u32) -> Option<Pulse> {
        let stat = read_to_string(format!("/proc/self/task/{thread}/stat")).ok()?;
        // The name stands in brackets before it, and may hold brackets.
        let (_, state) = stat.rsplit_once(") ")?;
        let schedule = read_to_string(format!("/proc/self/task/{thread}/schedstat")).ok()?;
        let ran = schedule.split_ascii_whitespace().next()?.parse().ok()?;
        Some(Pulse { runnable: state.starts_with('R'), ran: Duration::from_nanos(ran) })
    }

    /// Whether the thread would go on, and was hardly let since that earlier moment: others had the
    /// CPU. One that waits for something is not starved, and neither is one that computes; but that
    /// shows only after a tick of the scheduler's clock, 10 ms at most.
    pub(super) fn is_starved_since(self, earlier: Pulse, elapsed: Duration) -> bool {
        self.runnable && self.ran.saturating_sub(earlier.ran) < elapsed / 2
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    fn me() -> u32 {
        rustix::thread::gettid().as_raw_nonzero().get() as u32
    }

    #[test]
    fn who_looks_runs() {
        let pulse = Pulse::of(me()).unwrap();
        assert!(pulse.runnable);
        let more = std::iter::repeat_with(|| Pulse::of(me()).unwrap());
        let ran = more.take(10_000_000).any(|later| later.ran > pulse.ran);
        assert!(ran, "it computes");
    }

    #[test]
    fn who_waits_does_not_run() {
        let (tell, told) = channel();
        let (end, ended) = channel::<()>();
        let sleeper = std::thread::spawn(move || {
            tell.send(me()).unwrap();
            let _ = ended.recv();
        });
        let thread = told.recv().unwrap();
        let rests = std::iter::repeat_with(|| {
            std::thread::yield_now();
            Pulse::of(thread).unwrap()
        });
        let pulse = rests.take(1_000_000).find(|pulse| !pulse.runnable).unwrap();
        let later = Pulse::of(thread).unwrap();
        assert!(!later.is_starved_since(pulse, Duration::from_millis(1)), "it waits");
        drop(end);
        sleeper.join().unwrap();
        assert_eq!(Pulse::of(u32::MAX), None);
    }

    #[test]
    fn starved_is_who_would_run_and_is_not_let() {
        let starved = |runnable: bool, micros: u64| {
            let [before, now] = [(true, 1000), (runnable, 1000 + micros)]
                .map(|(runnable, micros)| Pulse { runnable, ran: Duration::from_micros(micros) });
            now.is_starved_since(before, Duration::from_millis(2))
        };
        assert!(starved(true, 0) && starved(true, 999));
        assert!(!starved(true, 1000), "it computes");
        assert!(!starved(false, 0), "it waits");
    }
}
