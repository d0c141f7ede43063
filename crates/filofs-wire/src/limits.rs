//! The largest sizes and counts that are accepted from a peer.

/// Longest name of one component in bytes, `NAME_MAX`. FUSE would carry longer ones; no file
/// system below does.
pub const NAME_MAX: usize = 255;

/// Longest name of an extended attribute in bytes, `XATTR_NAME_MAX`.
pub const XATTR_NAME_MAX: usize = 255;

/// Longest value of an extended attribute, and longest list of their names, in bytes
/// (`XATTR_SIZE_MAX`, `XATTR_LIST_MAX`).
pub const XATTR_SIZE_MAX: u32 = 65536;

/// Longest content of a symbolic link in bytes: `PATH_MAX` without its NUL.
pub const SYMLINK_MAX: usize = 4095;

/// Most bytes that one request may carry or ask for. Linux stays far below: 65,535 pages is what
/// `InitOut::max_pages` can express, and 256 pages the default.
pub const TRANSFER_MAX: u32 = 256 << 20;

/// Largest position in a file, bytes: `loff_t` is signed.
pub const OFFSET_MAX: u64 = i64::MAX as u64;

/// Most memory ranges in the answer to an IOCTL (`FUSE_IOCTL_MAX_IOV`).
pub const IOCTL_MAX_IOV: usize = 256;

/// Smallest and largest errno a reply may carry. Linux refuses a reply with any other, and leaves
/// the caller waiting (A117).
pub const ERRNO_RANGE: core::ops::RangeInclusive<i32> = 1..=511;

/// Longest file handle of a file server in bytes: 1024 less the four of a length (A17).
pub const HANDLE_MAX: u32 = 1020;

/// Longest file handle that NFS version 2 carries, in bytes: 32 less the four of a length (A18).
pub const NFSV2_HANDLE_MAX: u32 = 28;

/// Longest file handle that NFS version 3 carries, in bytes: 64 less the four of a length (A18).
pub const NFSV3_HANDLE_MAX: u32 = 60;

/// Most supplementary groups of a caller (`NGROUPS_MAX`).
pub const GROUPS_MAX: usize = 65536;

/// Longest text of an error notice in bytes, as in puffs.
pub const ERROR_TEXT_MAX: u32 = 256;

/// Most bytes that answer a call of a server's: the longest is a whole list of groups.
pub const RESPONSE_MAX: usize = GROUPS_MAX * size_of::<u32>();
