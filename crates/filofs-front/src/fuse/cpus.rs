//! The CPUs of this machine, and which of them a thread may run on.

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

/// How many CPUs the machine can have, plugged in or not: the kernel wants a queue for each.
/// `None` where that is not to be seen.
pub(super) fn possible() -> Option<usize> {
    listed("possible").map(|cpus| cpus.len()).filter(|count| *count > 0)
}

/// Whether this process may run on every CPU that works now.
pub(super) fn all_allowed() -> bool {
    let Ok(allowed) = sched_getaffinity(None) else { return false };
    listed("online").is_some_and(|online| online.into_iter().all(|cpu| has(&allowed, cpu)))
}

/// Keeps the calling thread on one CPU. One that is off, or that we may not use, leaves the thread
/// where it is.
pub(super) fn stay_on(cpu: usize) {
    if cpu < CpuSet::MAX_CPU {
        let mut set = CpuSet::new();
        set.set(cpu);
        let _ = sched_setaffinity(None, &set);
    }
}

fn has(set: &CpuSet, cpu: usize) -> bool {
    cpu < CpuSet::MAX_CPU && set.is_set(cpu)
}

/// The CPUs in one of the lists below /sys/devices/system/cpu.
fn listed(name: &str) -> Option<Vec<usize>> {
    parse(&std::fs::read_to_string(format!("/sys/devices/system/cpu/{name}")).ok()?)
}

/// A list such as `0-3,8`.
fn parse(list: &str) -> Option<Vec<usize>> {
    /// More than Linux can be built for.
    const MOST: usize = 1 << 16;
    let mut cpus = Vec::new();
    for part in list.trim().split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (usize, usize) = (first.parse().ok()?, last.parse().ok()?);
        if last >= MOST {
            return None;
        }
        cpus.extend(first..=last);
    }
    Some(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_as_the_kernel_writes_them() {
        assert_eq!(parse("0\n"), Some(vec![0]));
        assert_eq!(parse("0-3,8,10-11\n"), Some(vec![0, 1, 2, 3, 8, 10, 11]));
        for none in ["", "a", "1-", "0-99999999"] {
            assert_eq!(parse(none), None, "{none:?}");
        }
    }

    #[test]
    fn a_thread_that_stays_on_one_cpu_may_not_use_the_others() {
        assert!(possible().unwrap() >= 1);
        let first = listed("online").unwrap()[0];
        let alone = std::thread::spawn(move || {
            stay_on(usize::MAX);
            stay_on(first);
            let set = sched_getaffinity(None).unwrap();
            (set.count(), set.is_set(first), all_allowed())
        });
        let online = listed("online").unwrap().len();
        assert_eq!(alone.join().unwrap(), (1, true, online == 1));
    }
}
