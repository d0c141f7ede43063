//! `Lock`: an advisory record lock, fcntl(2).

use crate::{Errno, Pid, Result};

/// What a lock keeps others from doing.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub enum LockKind {
    /// Nothing: in a request, "unlock"; in an answer, "nothing is in the way".
    Unlock,
    /// Others may read too, F_RDLCK.
    Shared,
    /// Nobody else may, F_WRLCK.
    Exclusive,
}

/// A lock on a range of bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct Lock {
    /// What it keeps others from doing.
    pub kind: LockKind,
    /// The first byte.
    pub start: u64,
    /// The last byte, inclusive; [`Lock::TO_END`] for "however long the file gets".
    pub end: u64,
    /// The process that holds it, in answers.
    pub pid: Pid,
}

impl Lock {
    /// The `end` of a lock that reaches beyond any end of file (OFFSET_MAX).
    pub const TO_END: u64 = i64::MAX as u64;

    /// The whole file.
    pub const fn whole(kind: LockKind) -> Lock {
        Lock { kind, start: 0, end: Self::TO_END, pid: Pid(0) }
    }

    /// Checks the range: EINVAL when it ends before it starts, EOVERFLOW beyond
    /// [`Lock::TO_END`].
    pub fn check(self) -> Result<Lock> {
        if self.end > Self::TO_END || self.start > Self::TO_END {
            return Err(Errno::EOVERFLOW);
        }
        if self.end < self.start { Err(Errno::EINVAL) } else { Ok(self) }
    }

    /// Whether both hold a byte in common.
    pub const fn overlaps(&self, other: &Lock) -> bool {
        self.start <= other.end && other.start <= self.end
    }
}
