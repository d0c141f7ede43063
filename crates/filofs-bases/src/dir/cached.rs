//! `Stamp`: what is cached above of a file, or of a directory's list, and whether it is still good.
//!
//! A front end drops at each open what it has cached of the file, unless it is told that this is
//! all there is still. It is when nothing has changed since an earlier open, by the time of the
//! last change (ctime, which nobody can set), and since that open had everything older dropped.
//! The latter is sure when the open is released: by then its answer has arrived.

use super::inode::{Inode, nanos};
use filofs::Kind;
use rustix::fs::Statx;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The state of a file, of which two differ if anything of it does. None where that is not sure.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Stamp(u64);

/// The state of a file that all that is cached of it is as new as.
#[derive(Default, Debug)]
pub(super) struct Cached(AtomicU64);

impl Stamp {
    pub(super) const NONE: Stamp = Stamp(0);

    /// The state of a file at an open.
    pub(super) fn of(inode: &Inode, stat: &Statx) -> Stamp {
        let time = stat.stx_ctime;
        // Where times are whole seconds, two changes have the same.
        // What is stored through a mapping changes the times of a file when it is written to its
        // disk, and where there is none (tmpfs, whose device numbers have no major) never.
        let may_be_mapped = inode.identity.kind == Kind::Regular && stat.stx_dev_major == 0;
        if !inode.local || may_be_mapped || time.tv_nsec == 0 || !*DISTINCT_TIMES {
            return Stamp::NONE;
        }
        Stamp(nanos(&time))
    }

    pub(super) fn is_sure(self) -> bool {
        self != Stamp::NONE
    }
}

impl Cached {
    /// Whether what is cached is as new as that.
    pub(super) fn is_as_new_as(&self, stamp: Stamp) -> bool {
        stamp.is_sure() && self.0.load(Ordering::Relaxed) == stamp.0
    }

    /// What is cached is as new as an open, which is over.
    pub(super) fn is_from(&self, stamp: Stamp) {
        self.0.store(stamp.0, Ordering::Relaxed);
    }
}

/// Whether the kernel gives a change a time of its own if somebody has asked for the time since
/// the change before, on the file systems that are [`super::local`]: from Linux 6.13.
static DISTINCT_TIMES: LazyLock<bool> = LazyLock::new(|| {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    has_distinct_times(&release)
});

fn has_distinct_times(release: &str) -> bool {
    let numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    let numbers: Vec<u32> = numbers.map_while(Result::ok).take(2).collect();
    numbers >= vec![6, 13]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_told_apart() {
        for (release, distinct) in [
            ("6.13.0", true),
            ("6.18.44-fc", true),
            ("7.0-rc1", true),
            ("10.1", true),
            ("6.12.9", false),
            ("5.15", false),
            ("", false),
            ("unknown", false),
        ] {
            assert_eq!(has_distinct_times(release), distinct, "{release}");
        }
    }

    #[test]
    fn nothing_is_as_new_as_what_is_not_known() {
        let cached = Cached::default();
        assert!(!cached.is_as_new_as(Stamp::NONE) && !cached.is_as_new_as(Stamp(1)));
        cached.is_from(Stamp(1));
        assert!(cached.is_as_new_as(Stamp(1)) && !cached.is_as_new_as(Stamp(2)));
    }
}
