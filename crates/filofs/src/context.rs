//! `Context`: who asks, on behalf of which request, and whether they still want the answer.

use crate::{Gid, Layer, Pid, RequestId, Uid, locked};
use std::fmt;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Waker;
use std::thread::Thread;
use std::time::{Duration, Instant};

/// Comes with every operation. Cheap to copy, so that a layer can pass a changed one down.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// The front end's number for the request; 0 for the mount's own.
    pub request: RequestId,
    /// The caller's file system user id.
    pub uid: Uid,
    /// The caller's file system group id.
    pub gid: Gid,
    /// The calling thread, 0 when it cannot be named.
    pub pid: Pid,
    /// The caller's supplementary groups, found out when somebody asks.
    pub groups: &'a dyn Groups,
    /// Whether the caller has given up.
    pub cancel: &'a Cancel,
    /// When the caller gives up by itself.
    pub deadline: Option<Instant>,
}

impl Context<'static> {
    /// The mount's own requests: the super-user, who waits for ever.
    pub const fn internal() -> Context<'static> {
        Context {
            request: RequestId(0),
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            pid: Pid(0),
            groups: &NoGroups,
            cancel: &NEVER,
            deadline: None,
        }
    }
}

impl Context<'_> {
    /// Whether an operation that waits should stop and answer EINTR: the caller was interrupted,
    /// or its time is over.
    pub fn cancelled(&self) -> bool {
        self.cancel.is_cancelled() || self.deadline.is_some_and(|at| Instant::now() >= at)
    }

    /// Whether the caller is in that group, by its own group id or a supplementary one.
    pub fn in_group(&self, gid: Gid) -> bool {
        self.gid == gid || self.groups.contains(gid)
    }
}

impl fmt::Debug for Context<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{} uid {} gid {} pid {}", self.request, self.uid, self.gid, self.pid)
    }
}

/// Supplementary groups of a caller. FUSE does not send them; finding them out may cost a walk
/// through /proc, so it happens only when an operation depends on them.
pub trait Groups: Sync {
    /// All of them. An empty list when they cannot be found out.
    fn list(&self) -> Vec<Gid>;

    /// Whether that one is among them.
    fn contains(&self, gid: Gid) -> bool {
        self.list().as_slice().contains(&gid)
    }
}

/// No supplementary groups.
#[derive(Clone, Copy, Debug)]
pub struct NoGroups;

impl Groups for NoGroups {
    fn list(&self) -> Vec<Gid> {
        Vec::new()
    }

    fn contains(&self, _: Gid) -> bool {
        false
    }
}

impl Groups for Vec<Gid> {
    fn list(&self) -> Vec<Gid> {
        self.clone()
    }

    fn contains(&self, gid: Gid) -> bool {
        self.as_slice().contains(&gid)
    }
}

/// The groups of a caller as what is below a layer knows them, see [`Layer::group_below`].
pub struct GroupsBelow<'a, L: Layer + ?Sized> {
    /// The layer.
    pub layer: &'a L,
    /// The groups that it was told.
    pub above: &'a dyn Groups,
}

impl<L: Layer + ?Sized> Groups for GroupsBelow<'_, L> {
    fn list(&self) -> Vec<Gid> {
        self.above.list().into_iter().map(|group| self.layer.group_below(group)).collect()
    }
}

/// Never cancelled: what requests of the mount's own carry.
static NEVER: Cancel = Cancel::new();

/// One request's "stop": set by the front end when the caller is interrupted, looked at by
/// whatever waits on the caller's behalf.
///
/// A front end may keep one for each of its threads and reuse it from request to request.
#[derive(Debug)]
pub struct Cancel {
    stop: AtomicBool,
    sleeper: Mutex<Option<Sleeper>>,
}

/// Who sleeps, and how it is woken.
#[derive(Clone, Debug)]
enum Sleeper {
    Parked(Thread),
    Other(Waker),
}

impl Cancel {
    /// Not cancelled.
    pub const fn new() -> Cancel {
        Cancel { stop: AtomicBool::new(false), sleeper: Mutex::new(None) }
    }

    /// Cancels, and wakes the thread that sleeps in [`Cancel::sleep`] or
    /// [`Cancel::sleep_until_woken`].
    pub fn cancel(&self) {
        self.stop.store(true, Ordering::SeqCst);
        let sleeper = locked(&self.sleeper).clone();
        match sleeper {
            Some(Sleeper::Parked(thread)) => thread.unpark(),
            Some(Sleeper::Other(waker)) => waker.wake(),
            None => {}
        }
    }

    /// Makes it good for the next request.
    pub fn reset(&self) {
        self.stop.store(false, Ordering::SeqCst);
    }

    /// Whether [`Cancel::cancel`] was called since.
    pub fn is_cancelled(&self) -> bool {
        self.stop.load(Ordering::SeqCst)
    }

    /// Sleeps until cancelled, until this thread is unparked, or for `at_most`. May return
    /// earlier without a reason, as thread parking may: look at your condition in a loop. One
    /// thread at a time: a request is worked on by one.
    pub fn sleep(&self, at_most: Duration) {
        *locked(&self.sleeper) = Some(Sleeper::Parked(std::thread::current()));
        if !self.is_cancelled() {
            std::thread::park_timeout(at_most);
        }
        *locked(&self.sleeper) = None;
    }

    /// The same for who sleeps in a way of its own, which `waker` ends; not at all, if it is
    /// cancelled already.
    pub fn sleep_until_woken(&self, waker: &Waker, sleep: impl FnOnce()) {
        *locked(&self.sleeper) = Some(Sleeper::Other(waker.clone()));
        if !self.is_cancelled() {
            sleep();
        }
        *locked(&self.sleeper) = None;
    }
}

impl Default for Cancel {
    fn default() -> Self {
        Cancel::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn a_sleeper_wakes_when_cancelled() {
        let cancel = Arc::new(Cancel::new());
        let other = cancel.clone();
        let sleeper = std::thread::spawn(move || {
            while !other.is_cancelled() {
                other.sleep(Duration::from_secs(60));
            }
        });
        cancel.cancel();
        sleeper.join().unwrap();
        cancel.reset();
        assert!(!cancel.is_cancelled());
    }

    #[test]
    fn a_deadline_in_the_past_cancels() {
        let cx = Context { deadline: Some(Instant::now()), ..Context::internal() };
        assert!(cx.cancelled());
        assert!(!Context::internal().cancelled());
    }
}
