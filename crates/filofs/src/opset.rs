//! `OpSet`: a set of operations.

use crate::Op;
use std::fmt;

/// A set of operations, one bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct OpSet(u64);

const _: () = assert!(Op::ALL.len() <= 64, "an OpSet has 64 bits");

impl OpSet {
    /// The empty set.
    pub const NONE: OpSet = OpSet(0);
    /// Every operation there is.
    pub const ALL: OpSet = OpSet::NONE.with_all();

    /// Those that open a regular file, or concern one that is open.
    pub const OF_OPENS: OpSet = OpSet::NONE
        .with(Op::Create)
        .with(Op::Tmpfile)
        .with(Op::Open)
        .with(Op::Flush)
        .with(Op::Release)
        .with(Op::Fsync)
        .with(Op::Read)
        .with(Op::Write)
        .with(Op::Fallocate)
        .with(Op::Lseek)
        .with(Op::CopyFileRange)
        .with(Op::Poll)
        .with(Op::Ioctl)
        .with(Op::Getlk)
        .with(Op::Setlk)
        .with(Op::Flock);

    /// This set and one more.
    pub const fn with(self, op: Op) -> OpSet {
        OpSet(self.0 | 1 << op as u8)
    }

    /// Every operation there is.
    pub const fn with_all(self) -> OpSet {
        OpSet(u64::MAX >> (64 - Op::ALL.len()))
    }

    /// What is in both.
    pub const fn and(self, other: OpSet) -> OpSet {
        OpSet(self.0 & other.0)
    }

    /// What is in this one alone.
    pub const fn but(self, other: OpSet) -> OpSet {
        OpSet(self.0 & !other.0)
    }

    /// Whether that one is in it.
    pub const fn has(self, op: Op) -> bool {
        self.0 >> op as u8 & 1 == 1
    }

    /// Its members, in the order of the table.
    pub fn iter(self) -> impl Iterator<Item = Op> {
        Op::ALL.iter().copied().filter(move |op| self.has(*op))
    }
}

impl fmt::Debug for OpSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter().map(Op::name)).finish()
    }
}
