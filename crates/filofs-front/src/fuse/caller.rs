//! `Caller`: what has to be found out about whoever asks.

use filofs::{Gid, Groups};
use filofs_wire::request::Records;
use std::sync::OnceLock;

/// Finds out a caller's groups when an operation asks for them, and at most once.
pub(super) struct Caller<'a> {
    /// The calling thread, 0 when it has no number in our pid namespace.
    thread: u32,
    /// The group that the kernel itself vouches for (7.38), with requests that make files.
    vouched: Option<Records<'a, u32>>,
    found: OnceLock<Vec<Gid>>,
}

impl<'a> Caller<'a> {
    pub(super) const fn new(thread: u32, vouched: Option<Records<'a, u32>>) -> Caller<'a> {
        Caller { thread, vouched, found: OnceLock::new() }
    }

    fn found(&self) -> &[Gid] {
        self.found.get_or_init(|| {
            let mut groups = of_thread(self.thread);
            let vouched = self.vouched.iter().flat_map(Records::iter).map(Gid);
            for gid in vouched {
                if !groups.as_slice().contains(&gid) {
                    groups.push(gid);
                }
            }
            groups
        })
    }
}

impl Groups for Caller<'_> {
    fn list(&self) -> Vec<Gid> {
        self.found().to_vec()
    }

    fn contains(&self, gid: Gid) -> bool {
        // What the kernel says itself spares the walk through /proc.
        self.vouched.iter().flat_map(Records::iter).any(|vouched| vouched == gid.0)
            || self.found().contains(&gid)
    }
}

/// Whether the thread has been killed and cannot go before it has what it waits for. False for
/// one that cannot be seen.
pub(super) fn is_dying(thread: u32) -> bool {
    const SIGKILL: u64 = 1 << 8;
    // Whatever the fatal signal was, the kernel makes it this one for each thread.
    let pending = status_line(thread, "SigPnd:");
    u64::from_str_radix(pending.trim(), 16).is_ok_and(|pending| pending & SIGKILL != 0)
}

/// The groups of a thread; none if it is gone.
fn of_thread(thread: u32) -> Vec<Gid> {
    let line = status_line(thread, "Groups:");
    line.split_ascii_whitespace().filter_map(|gid| gid.parse().ok()).map(Gid).collect()
}

/// A line of what /proc shows of a thread, proc_pid_status(5); empty if there is none.
fn status_line(thread: u32, name: &str) -> String {
    if thread == 0 {
        return String::new();
    }
    // A thread has a directory of its own in /proc, although listing /proc does not show it.
    let status = std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default();
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_groups_are_found() {
        let mine = rustix::process::getgroups().unwrap();
        let caller = Caller::new(rustix::thread::gettid().as_raw_nonzero().get() as u32, None);
        let list = caller.list();
        assert_eq!(list.len(), mine.len());
        assert!(mine.iter().all(|gid| caller.contains(Gid(gid.as_raw()))));
    }

    #[test]
    fn a_caller_without_a_number_has_none() {
        assert_eq!(Caller::new(0, None).list(), []);
        assert_eq!(Caller::new(u32::MAX, None).list(), []);
    }
}
