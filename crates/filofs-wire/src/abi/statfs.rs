//! STATFS.

use super::layout::layout;

layout! {
    /// The file system's numbers.
    Kstatfs = "fuse_kstatfs", 80 {
        /// Size, in units of `frsize`.
        0 blocks: u64,
        /// Free, in units of `frsize`.
        8 bfree: u64,
        /// Free for ordinary users, in units of `frsize`.
        16 bavail: u64,
        /// Number of inodes.
        24 files: u64,
        /// Free inodes.
        32 ffree: u64,
        /// Preferred I/O size in bytes.
        40 bsize: u32,
        /// Longest name in bytes.
        44 namelen: u32,
        /// The unit of the counts, bytes.
        48 frsize: u32,
        /// Zero.
        52 padding: u32,
        /// Zero.
        56 spare: [u32; 6],
    }
}

layout! {
    /// Answers STATFS.
    StatfsOut = "fuse_statfs_out", 80 {
        /// The numbers.
        0 st: Kstatfs,
    }
}
