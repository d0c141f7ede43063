//! `Caller`: what has to be found out about whoever asks.

use super::calls::Calls;
use super::device::Outlet;
use filofs::{Cancel, Gid, Groups};
use filofs_wire::call;
use filofs_wire::limits::GROUPS_MAX;
use filofs_wire::request::Records;
use std::sync::OnceLock;

/// Finds out a caller's groups when an operation asks for them, and at most once.
pub(super) struct Caller<'a> {
    source: Source<'a>,
    /// The group that the kernel itself vouches for (7.38), with requests that make files.
    vouched: Option<Records<'a, u32>>,
    found: OnceLock<Vec<Gid>>,
}

/// Who knows the groups.
pub(super) enum Source<'a> {
    /// /proc, of the calling thread; 0 when it has no number in our pid namespace.
    Thread(u32),
    /// The core: its caller may live in a pid namespace that is not ours.
    Core {
        calls: &'a Calls,
        outlet: &'a dyn Outlet,
        /// The request's id.
        unique: u64,
        /// The request's "stop".
        cancel: &'a Cancel,
    },
}

impl<'a> Caller<'a> {
    pub(super) const fn new(source: Source<'a>, vouched: Option<Records<'a, u32>>) -> Caller<'a> {
        Caller { source, vouched, found: OnceLock::new() }
    }

    fn found(&self) -> &[Gid] {
        self.found.get_or_init(|| {
            let mut groups = match self.source {
                Source::Thread(thread) => of_thread(thread),
                Source::Core { calls, outlet, unique, cancel } => {
                    of_core(calls.ask(outlet, cancel, |id| call::groups(id, unique)))
                }
            };
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

/// The groups in a core's answer; none if there was no answer, or it is no list of groups.
fn of_core(answer: filofs::Result<Vec<u8>>) -> Vec<Gid> {
    let bytes = answer.unwrap_or_else(|errno| {
        log::warn!("the core does not tell the groups of a caller: {errno}");
        Vec::new()
    });
    if bytes.len() > GROUPS_MAX * size_of::<u32>() {
        return Vec::new();
    }
    let (groups, rest) = bytes.as_chunks();
    let groups = if rest.is_empty() { groups } else { &[] };
    groups.iter().map(|bytes| Gid(u32::from_ne_bytes(*bytes))).collect()
}

/// Whether a signal waits for the thread, and is let through, that tells it to stop: SIGHUP,
/// SIGINT, SIGQUIT, SIGKILL or SIGTERM. True for one that cannot be seen: then any signal counts.
pub(super) fn is_told_to_stop(thread: u32) -> bool {
    const STOPPING: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 8 | 1 << 14;
    signals(thread).is_none_or(|signals| signals & STOPPING != 0)
}

/// Whether any signal waits for the thread, and is let through. False for one that cannot be seen.
pub(super) fn is_signalled(thread: u32) -> bool {
    signals(thread).is_some_and(|signals| signals != 0)
}

/// The signals that wait for a thread and are let through.
fn signals(thread: u32) -> Option<u64> {
    let status = status(thread);
    let set = |name| u64::from_str_radix(line(&status, name).trim(), 16).ok();
    let (own, shared, blocked) = (set("SigPnd:")?, set("ShdPnd:")?, set("SigBlk:")?);
    Some((own | shared) & !blocked)
}

/// The groups of a thread; none if it is gone.
fn of_thread(thread: u32) -> Vec<Gid> {
    let line = status_line(thread, "Groups:");
    line.split_ascii_whitespace().filter_map(|gid| gid.parse().ok()).map(Gid).collect()
}

/// A line of what /proc shows of a thread; empty if there is none.
fn status_line(thread: u32, name: &str) -> String {
    line(&status(thread), name).to_owned()
}

/// What /proc shows of a thread, proc_pid_status(5); empty if it cannot be seen.
fn status(thread: u32) -> String {
    if thread == 0 {
        return String::new();
    }
    // A thread has a directory of its own in /proc, although listing /proc does not show it.
    std::fs::read_to_string(format!("/proc/{thread}/status")).unwrap_or_default()
}

fn line<'s>(status: &'s str, name: &str) -> &'s str {
    status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_groups_are_found() {
        let mine = rustix::process::getgroups().unwrap();
        let caller = Caller::new(
            Source::Thread(rustix::thread::gettid().as_raw_nonzero().get() as u32),
            None,
        );
        let list = caller.list();
        assert_eq!(list.len(), mine.len());
        assert!(mine.iter().all(|gid| caller.contains(Gid(gid.as_raw()))));
    }

    #[test]
    fn a_caller_without_a_number_has_none() {
        assert_eq!(Caller::new(Source::Thread(0), None).list(), []);
        assert_eq!(Caller::new(Source::Thread(u32::MAX), None).list(), []);
    }

    #[test]
    fn only_whole_numbers_are_groups() {
        let two = [7u32, 9].map(u32::to_ne_bytes).concat();
        assert_eq!(of_core(Ok(two.clone())), [Gid(7), Gid(9)]);
        assert_eq!(of_core(Ok(two[..7].to_vec())), []);
        assert_eq!(of_core(Ok(vec![0; 4 * (GROUPS_MAX + 1)])), []);
        assert_eq!(of_core(Err(filofs::Errno::ENOENT)), []);
    }
}
