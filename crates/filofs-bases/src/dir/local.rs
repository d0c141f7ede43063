//! What is spared on local file systems ([`filofs::is_local`]): asking for attributes never goes
//! anywhere; their files do nothing at close(2), so it need not be asked for either; opening a
//! regular file of theirs does nothing else, and a read of one that is short has come to the end.

use rustix::fd::AsFd;
use rustix::fs::{Statx, StatxAttributes};

/// Whether what is open is on such a file system, and the kernel says where others are mounted on
/// it (Linux 5.8). All of them have times of many grains (FS_MGTIME, see [`super::cached`]) or of
/// whole seconds.
pub(super) fn is_local(fd: impl AsFd, stat: &Statx) -> bool {
    stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        && rustix::fs::fstatfs(fd).is_ok_and(|fs| filofs::is_local(fs.f_type as u32))
}
