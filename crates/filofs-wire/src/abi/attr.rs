//! Attributes, as `struct stat` has them.

use super::layout::{flags, layout};

flags! {
    /// `fuse_attr.flags`.
    AttrFlags: u32 {
        /// The node is the root of a mount below (`FUSE_ATTR_SUBMOUNT`, 7.32).
        SUBMOUNT = 1 << 0;
        /// Use DAX for this file (`FUSE_ATTR_DAX`, 7.36).
        DAX = 1 << 1;
    }
}

flags! {
    /// `fuse_getattr_in.getattr_flags`.
    GetattrFlags: u32 {
        /// `open_id` is valid (`FUSE_GETATTR_FH`).
        OPEN_ID = 1 << 0;
    }
}

layout! {
    /// A node's attributes. Times are seconds and nanoseconds since the epoch; seconds are signed
    /// on both sides although the header says otherwise.
    Attr = "fuse_attr", 88 {
        /// Inode number.
        0 ino: u64,
        /// Size in bytes.
        8 size: u64,
        /// Space in units of 512 bytes.
        16 blocks: u64,
        /// Last access, seconds.
        24 atime: u64,
        /// Last change of content, seconds.
        32 mtime: u64,
        /// Last change of attributes, seconds.
        40 ctime: u64,
        /// Last access, nanoseconds.
        48 atimensec: u32,
        /// Last change of content, nanoseconds.
        52 mtimensec: u32,
        /// Last change of attributes, nanoseconds.
        56 ctimensec: u32,
        /// Kind and permissions, as `st_mode`.
        60 mode: u32,
        /// Number of names.
        64 nlink: u32,
        /// Owner.
        68 uid: u32,
        /// Group.
        72 gid: u32,
        /// Device number of a device file, in the kernel's 32-bit form (major << 8 and so on).
        76 rdev: u32,
        /// Preferred I/O size in bytes; 0 for the file system's.
        80 blksize: u32,
        /// See [`AttrFlags`].
        84 flags: AttrFlags,
    }
}

layout! {
    /// The body of GETATTR.
    GetattrIn = "fuse_getattr_in", 16 {
        /// Whether `open_id` is valid.
        0 getattr_flags: GetattrFlags,
        /// Zero.
        4 padding: u32,
        /// The open file description.
        8 open_id: u64,
    }
}

layout! {
    /// Answers GETATTR and SETATTR.
    AttrOut = "fuse_attr_out", 104 {
        /// How long the attributes stay valid, seconds.
        0 attr_valid: u64,
        /// The same, nanoseconds.
        8 attr_valid_nsec: u32,
        /// Zero.
        12 padding: u32,
        /// The attributes.
        16 attr: Attr,
    }
}
