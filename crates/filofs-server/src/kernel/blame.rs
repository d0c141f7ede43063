//! `Blame`: which request it is that kills its server.
//!
//! Of all requests that were on their way when a server died, one may be what killed it. So each
//! of them is sent again alone: while it is on its way no other is, and if the server dies then,
//! nobody else is to blame. Who waits for a turn waits a second at most: a request that takes
//! long kills nobody at once, and must not hold up the rest.

use filofs::{Context, Errno, Result};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Who is on the way to a server, and whether it is one that goes alone.
#[derive(Debug, Default)]
pub(super) struct Blame {
    on_way: AtomicU64,
    /// The ticket of the one who goes alone; 0 for nobody.
    alone: AtomicU64,
    tickets: AtomicU64,
}

/// The leave to be on the way, for as long as it lives.
#[derive(Debug)]
pub(super) struct Going<'a> {
    blame: &'a Blame,
    /// 0 for one among others.
    ticket: u64,
}

impl Blame {
    /// How long anybody waits for a turn.
    const PATIENCE: Duration = Duration::from_secs(1);
    const GLANCE: Duration = Duration::from_millis(1);

    /// Goes with others, after whoever goes alone just now. EINTR.
    pub(super) fn go(&self, cx: &Context<'_>) -> Result<Going<'_>> {
        self.on_way.fetch_add(1, Ordering::SeqCst);
        let going = Going { blame: self, ticket: 0 };
        if self.alone.load(Ordering::SeqCst) == 0 {
            return Ok(going);
        }
        drop(going);
        Self::wait(cx, || self.alone.load(Ordering::SeqCst) == 0)?;
        // Nobody is alone any more, if there is still somebody.
        self.alone.store(0, Ordering::SeqCst);
        self.on_way.fetch_add(1, Ordering::SeqCst);
        Ok(Going { blame: self, ticket: 0 })
    }

    /// Goes alone, if there is an end to those who are on their way, and to those before it. EINTR.
    pub(super) fn go_alone(&self, cx: &Context<'_>) -> Result<Going<'_>> {
        let ticket = self.tickets.fetch_add(1, Ordering::SeqCst) + 1;
        let enter =
            || self.alone.compare_exchange(0, ticket, Ordering::SeqCst, Ordering::SeqCst).is_ok();
        if !Self::wait(cx, enter)? {
            self.alone.store(0, Ordering::SeqCst);
        }
        let going = Going { blame: self, ticket };
        self.on_way.fetch_add(1, Ordering::SeqCst);
        if !Self::wait(cx, || self.on_way.load(Ordering::SeqCst) == 1)? {
            going.leave_alone();
        }
        Ok(going)
    }

    /// Waits for something, but not for ever. Whether it came.
    fn wait(cx: &Context<'_>, came: impl Fn() -> bool) -> Result<bool> {
        let until = Instant::now() + Self::PATIENCE;
        while !came() {
            if cx.cancelled() {
                return Err(Errno::EINTR);
            }
            if Instant::now() >= until {
                return Ok(false);
            }
            cx.cancel.sleep(Self::GLANCE);
        }
        Ok(true)
    }
}

impl Going<'_> {
    /// Whether nobody else has been on the way since.
    pub(super) fn is_alone(&self) -> bool {
        self.ticket != 0 && self.blame.alone.load(Ordering::SeqCst) == self.ticket
    }

    fn leave_alone(&self) {
        let alone = &self.blame.alone;
        let _ = alone.compare_exchange(self.ticket, 0, Ordering::SeqCst, Ordering::SeqCst);
    }
}

impl Drop for Going<'_> {
    fn drop(&mut self) {
        self.blame.on_way.fetch_sub(1, Ordering::SeqCst);
        if self.ticket != 0 {
            self.leave_alone();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs::Cancel;
    use std::sync::atomic::AtomicBool;

    #[test]
    fn one_that_goes_alone_is_alone_until_others_lose_patience() {
        let blame = Blame::default();
        let cx = Context::internal();
        let alone = blame.go_alone(&cx).unwrap();
        assert!(alone.is_alone());
        let other = blame.go(&cx).unwrap();
        assert!(!alone.is_alone() && !other.is_alone());
        drop((alone, other));
        assert_eq!(blame.on_way.load(Ordering::SeqCst), 0);
        assert!(blame.go_alone(&cx).unwrap().is_alone());
    }

    #[test]
    fn who_is_not_left_alone_goes_with_the_others() {
        let blame = Blame::default();
        let cx = Context::internal();
        let other = blame.go(&cx).unwrap();
        let going = blame.go_alone(&cx).unwrap();
        assert!(!going.is_alone());
        drop((other, going));
        assert!(blame.go_alone(&cx).unwrap().is_alone());
    }

    #[test]
    fn who_gives_up_leaves_nothing_behind() {
        let blame = Blame::default();
        let cancel = Cancel::new();
        cancel.cancel();
        let cx = Context { cancel: &cancel, ..Context::internal() };
        let other = blame.go(&cx).unwrap();
        assert_eq!(blame.go_alone(&cx).unwrap_err(), Errno::EINTR);
        drop(other);
        let alone = blame.go_alone(&Context::internal()).unwrap();
        assert_eq!(blame.go(&cx).unwrap_err(), Errno::EINTR);
        assert_eq!(blame.go_alone(&cx).unwrap_err(), Errno::EINTR);
        assert!(alone.is_alone());
        drop(alone);
        assert_eq!(blame.on_way.load(Ordering::SeqCst), 0);
    }

    #[test]
    fn two_are_never_alone_at_once() {
        let (blame, inside) = (Blame::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (blame, inside) = (&blame, &inside);
                scope.spawn(move || {
                    let cx = Context::internal();
                    for round in 0..200 {
                        if (round + thread) % 3 > 0 {
                            drop(blame.go(&cx).unwrap());
                            continue;
                        }
                        let going = blame.go_alone(&cx).unwrap();
                        let others = inside.swap(true, Ordering::SeqCst);
                        assert!(!(others && going.is_alone()));
                        inside.store(false, Ordering::SeqCst);
                    }
                });
            }
        });
    }
}
