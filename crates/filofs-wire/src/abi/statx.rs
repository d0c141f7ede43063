//! STATX (7.39).

use super::attr::GetattrFlags;
use super::layout::layout;

layout! {
    /// A time, as `struct statx_timestamp`.
    SxTime = "fuse_sx_time", 16 {
        /// Seconds since the epoch.
        0 tv_sec: i64,
        /// Nanoseconds.
        8 tv_nsec: u32,
        /// Zero.
        12 reserved: i32,
    }
}

layout! {
    /// Attributes, as `struct statx`.
    Statx = "fuse_statx", 256 {
        /// Which fields are filled, `STATX_*`.
        0 mask: u32,
        /// Preferred I/O size in bytes.
        4 blksize: u32,
        /// `STATX_ATTR_*`.
        8 attributes: u64,
        /// Number of names.
        16 nlink: u32,
        /// Owner.
        20 uid: u32,
        /// Group.
        24 gid: u32,
        /// Kind and permissions.
        28 mode: u16,
        /// Zero.
        30 spare0: [u16; 1],
        /// Inode number.
        32 ino: u64,
        /// Size in bytes.
        40 size: u64,
        /// Space in units of 512 bytes.
        48 blocks: u64,
        /// Which bits of `attributes` mean something.
        56 attributes_mask: u64,
        /// Last access.
        64 atime: SxTime,
        /// Birth.
        80 btime: SxTime,
        /// Last change of attributes.
        96 ctime: SxTime,
        /// Last change of content.
        112 mtime: SxTime,
        /// Major number of a device file.
        128 rdev_major: u32,
        /// Minor number of a device file.
        132 rdev_minor: u32,
        /// Major number of the device the file is on.
        136 dev_major: u32,
        /// Minor number of the device the file is on.
        140 dev_minor: u32,
        /// Zero.
        144 spare2: [u64; 14],
    }
}

layout! {
    /// The body of STATX.
    StatxIn = "fuse_statx_in", 24 {
        /// Whether `open_id` is valid.
        0 getattr_flags: GetattrFlags,
        /// Zero.
        4 reserved: u32,
        /// The open file description.
        8 open_id: u64,
        /// `AT_STATX_*`.
        16 sx_flags: u32,
        /// Which fields are wanted, `STATX_*`.
        20 sx_mask: u32,
    }
}

layout! {
    /// Answers STATX.
    StatxOut = "fuse_statx_out", 288 {
        /// How long the attributes stay valid, seconds.
        0 attr_valid: u64,
        /// The same, nanoseconds.
        8 attr_valid_nsec: u32,
        /// Zero: no flag is defined.
        12 flags: u32,
        /// Zero.
        16 spare: [u64; 2],
        /// The attributes.
        32 stat: Statx,
    }
}

impl Statx {
    /// In `mask`: everything that stat(2) tells, `STATX_BASIC_STATS`.
    pub const BASIC_STATS: u32 = 0x7ff;
    /// In `mask`: the time of birth, `STATX_BTIME`.
    pub const BTIME: u32 = 0x800;
}
