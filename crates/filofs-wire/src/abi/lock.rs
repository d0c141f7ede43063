//! Locks of fcntl(2) and flock(2).

use super::layout::{flags, layout};

flags! {
    /// `fuse_lk_in.lk_flags`, `FUSE_LK_*`.
    LkFlags: u32 {
        /// A flock(2) lock, on the whole file.
        FLOCK = 1 << 0;
    }
}

layout! {
    /// A range and the lock on it.
    FileLock = "fuse_file_lock", 24 {
        /// First byte.
        0 start: u64,
        /// Last byte, included; `i64::MAX` for the end of the file.
        8 end: u64,
        /// [`FileLock::SHARED`], [`FileLock::EXCLUSIVE`] or [`FileLock::UNLOCK`].
        16 kind: u32,
        /// The process (not thread) that holds it.
        20 pid: u32,
    }
}

impl FileLock {
    /// `F_RDLCK`: shared with others.
    pub const SHARED: u32 = 0;
    /// `F_WRLCK`: for one alone.
    pub const EXCLUSIVE: u32 = 1;
    /// `F_UNLCK`: none.
    pub const UNLOCK: u32 = 2;
}

layout! {
    /// The body of GETLK, SETLK and SETLKW.
    LkIn = "fuse_lk_in", 48 {
        /// The open file description.
        0 open_id: u64,
        /// Who locks.
        8 owner: u64,
        /// What is asked.
        16 lk: FileLock,
        /// See [`LkFlags`].
        40 lk_flags: LkFlags,
        /// Zero.
        44 padding: u32,
    }
}

layout! {
    /// Answers GETLK.
    LkOut = "fuse_lk_out", 24 {
        /// The lock in the way, or kind `F_UNLCK`.
        0 lk: FileLock,
    }
}
