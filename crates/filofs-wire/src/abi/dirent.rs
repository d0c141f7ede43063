//! The records of a directory buffer.

use super::entry::EntryOut;
use super::layout::layout;

/// Every record begins at a multiple of this many bytes (`FUSE_REC_ALIGN`).
pub const RECORD_ALIGN: usize = 8;

/// The length of a record whose content has `len` bytes: rounded up to [`RECORD_ALIGN`], or
/// `None` where that overflows.
pub const fn record_size(len: usize) -> Option<usize> {
    len.checked_next_multiple_of(RECORD_ALIGN)
}

layout! {
    /// Begins one entry of a READDIR answer; the name follows, without a NUL, then zeros up to
    /// a multiple of 8.
    DirentHeader = "fuse_dirent", 24 {
        /// Inode number.
        0 ino: u64,
        /// Where the *next* entry is read from.
        8 off: u64,
        /// Length of the name in bytes.
        16 namelen: u32,
        /// `DT_*`: the mode's kind bits, shifted right by 12.
        20 kind: u32,
    }
}

layout! {
    /// Begins one entry of a READDIRPLUS answer. A node id of 0 says that nothing is known of the
    /// node, and takes no reference.
    DirentPlusHeader = "fuse_direntplus", 152 {
        /// As a LOOKUP would have answered.
        0 entry_out: EntryOut,
        /// The entry.
        128 dirent: DirentHeader,
    }
}
