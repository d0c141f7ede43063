//! Local file systems: those that this kernel keeps by itself, on this machine.
//!
//! Nobody changes them but through this kernel, so asking for attributes never goes anywhere;
//! their files do nothing at close(2), so it need not be asked for either; opening a regular file
//! of theirs does nothing else, and a read of one that is short has come to the end. Of others
//! (network file systems, FUSE, overlays of anything, the kernel's own like procfs) none of that
//! is known.

use rustix::fd::AsFd;
use rustix::fs::{Statx, StatxAttributes};

/// Their numbers in linux/magic.h. None has `flush` among its file operations, and all have times
/// of many grains (FS_MGTIME, see [`super::cached`]) or of whole seconds.
const LOCAL: [u32; 4] = [
    0xef53,      // ext2, ext3, ext4
    0x5846_5342, // xfs
    0x9123_683e, // btrfs
    0x0102_1994, // tmpfs
];

/// Whether what is open is on such a file system, and the kernel says where others are mounted on
/// it (Linux 5.8).
pub(super) fn is_local(fd: impl AsFd, stat: &Statx) -> bool {
    stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        && rustix::fs::fstatfs(fd).is_ok_and(|fs| LOCAL.contains(&(fs.f_type as u32)))
}
