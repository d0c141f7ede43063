//! `Statfs`: how full a file system is.

/// The numbers of statvfs(3). Who the file system is (fsid, names) is the mount's to say, see
/// [`crate::Identity`]: a file system cannot fake that (A73).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Statfs {
    /// Total, in units of `frsize`.
    pub blocks: u64,
    /// Free, in units of `frsize`.
    pub bfree: u64,
    /// Free for ordinary users, in units of `frsize`.
    pub bavail: u64,
    /// Files there can be.
    pub files: u64,
    /// Files that can still be made.
    pub ffree: u64,
    /// The size of request that suits, in bytes.
    pub bsize: u32,
    /// The unit of the block counts, in bytes.
    pub frsize: u32,
    /// The longest name, in bytes.
    pub namelen: u32,
}

impl Statfs {
    /// Of a file system that does not say: nothing is counted, and names are as long as usual.
    pub const UNKNOWN: Statfs = Statfs {
        blocks: 0,
        bfree: 0,
        bavail: 0,
        files: 0,
        ffree: 0,
        bsize: 4096,
        frsize: 4096,
        namelen: 255,
    };
}
