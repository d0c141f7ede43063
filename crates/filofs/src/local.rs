//! Local file systems of the host: those that its kernel keeps by itself, on this machine.

/// Whether a file system of that number (`f_type` of statfs(2), linux/magic.h) is one of the few
/// that are known to store only: ext2 to ext4, xfs, btrfs, tmpfs.
///
/// Nobody changes them but through this kernel, and they ask nobody else, so that no operation on
/// them waits for ever. None has `flush` among its file operations. Of others (network file
/// systems, FUSE, overlays of anything, the kernel's own like procfs) none of that is known.
pub const fn is_local(magic: u32) -> bool {
    matches!(magic, 0xef53 | 0x5846_5342 | 0x9123_683e | 0x0102_1994)
}
