//! SETATTR.

use super::layout::{flags, layout};

flags! {
    /// `fuse_setattr_in.valid`: which fields are to be set, `FATTR_*`.
    SetattrValid: u32 {
        /// `mode`.
        MODE = 1 << 0;
        /// `uid`.
        UID = 1 << 1;
        /// `gid`.
        GID = 1 << 2;
        /// `size`: truncate or extend.
        SIZE = 1 << 3;
        /// `atime` and `atimensec`.
        ATIME = 1 << 4;
        /// `mtime` and `mtimensec`.
        MTIME = 1 << 5;
        /// `open_id` is valid (`FATTR_FH`).
        OPEN_ID = 1 << 6;
        /// Set the access time to now; comes with `ATIME`.
        ATIME_NOW = 1 << 7;
        /// Set the modification time to now; comes with `MTIME`.
        MTIME_NOW = 1 << 8;
        /// `lock_owner` is valid.
        LOCKOWNER = 1 << 9;
        /// `ctime` and `ctimensec`.
        CTIME = 1 << 10;
        /// Clear set-user-id, and set-group-id if the group may execute (7.33).
        KILL_SUIDGID = 1 << 11;
    }
}

layout! {
    /// The body of SETATTR.
    SetattrIn = "fuse_setattr_in", 88 {
        /// Which of the fields below are to be set.
        0 valid: SetattrValid,
        /// Zero.
        4 padding: u32,
        /// The open file description, for ftruncate(2).
        8 open_id: u64,
        /// Size in bytes.
        16 size: u64,
        /// Owner of mandatory locks.
        24 lock_owner: u64,
        /// Access time, seconds.
        32 atime: u64,
        /// Modification time, seconds.
        40 mtime: u64,
        /// Change time, seconds.
        48 ctime: u64,
        /// Access time, nanoseconds.
        56 atimensec: u32,
        /// Modification time, nanoseconds.
        60 mtimensec: u32,
        /// Change time, nanoseconds.
        64 ctimensec: u32,
        /// Permissions.
        68 mode: u32,
        /// Zero.
        72 unused4: u32,
        /// Owner.
        76 uid: u32,
        /// Group.
        80 gid: u32,
        /// Zero.
        84 unused5: u32,
    }
}
