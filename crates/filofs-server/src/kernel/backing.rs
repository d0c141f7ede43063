//! The file that a server gives with an open, so that the kernel reads, writes and maps it without
//! asking anybody: checked, since what the server says of it counts for nothing.
//!
//! # What a server could gain
//!
//! The kernel opens a file that it was given once for every open of the node, in the mode of that
//! open, and asks for no permission then; and it writes with rights of ours. So nothing is taken
//! but what the server itself has open for reading and writing: by lending its descriptor it lets
//! nobody do what it could not do for them. Where nothing can be written ([`Server::read_only`])
//! it may be open for reading alone, and opens for writing are refused here.
//!
//! Descriptors that open nothing (O_PATH) prove no right to anything. Files that may only be
//! appended to, or not be changed, are checked when they are opened by name, and not as the kernel
//! opens them here. Files of file systems that ask somebody else (FUSE, network file systems)
//! could keep callers waiting for ever, where nobody can interrupt them. Those of procfs and its
//! kin do what their readers and writers may. So there is a short list of those that only store.
//! A file of memfd_create(2) is one of tmpfs: its memory is counted for who writes, as on any.

use super::link::Link;
use super::remote::Remote;
use super::server::Server;
use super::told::Wrong;
use filofs::{Backing, OpenFlags};
use filofs_wire::abi::{BACKING_ID_ATTACHED, OpenOut};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{
    AtFlags, FileType, OFlags, StatxAttributes, StatxFlags, fcntl_getfl, fstatfs, statx,
};
use std::sync::Arc;

/// A file that may be made use of.
#[derive(Debug)]
pub(super) struct Given {
    backing: Backing,
    /// Device and inode number.
    id: (u64, u64),
}

impl Given {
    /// As the backing of a node, if that has none or the same.
    pub(super) fn of(self, remote: &Remote) -> Option<Backing> {
        remote.is_kept_in(self.id).then_some(self.backing)
    }
}

impl Server {
    /// What came with an open of those flags. `None` for nothing that can be made use of. Errors:
    /// for what no server may give.
    pub(super) fn given(
        &self,
        link: &Link,
        out: &OpenOut,
        enclosed: Option<OwnedFd>,
    ) -> Result<Option<Given>, Wrong> {
        match enclosed {
            None => Ok(None),
            Some(_) if out.backing_id != BACKING_ID_ATTACHED => {
                Err("a descriptor that it did not announce")
            }
            Some(file) => vetted(file, self.read_only && link.terms.profile.read_only),
        }
    }

    /// Whether opens of that kind are refused, whatever the server says: some of its files may be
    /// open for reading alone.
    pub(super) const fn refuses(&self, flags: OpenFlags) -> bool {
        self.read_only && flags.writes()
    }
}

/// A file that is what it has to be.
fn vetted(file: OwnedFd, read_only: bool) -> Result<Option<Given>, Wrong> {
    let flags = fcntl_getfl(&file).map_err(|_| "a descriptor of nothing")?;
    if flags.contains(OFlags::PATH) {
        return Err("a descriptor of a file that is not open");
    }
    let mode = flags & OFlags::RWMODE;
    if mode != OFlags::RDWR && !(read_only && mode == OFlags::RDONLY) {
        return Err("a file that is not open for reading and writing");
    }
    // Without asking anybody: it may be a file of a server that does not answer.
    let how = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let Ok(stat) = statx(&file, c"", how, StatxFlags::BASIC_STATS) else { return Ok(None) };
    if FileType::from_raw_mode(stat.stx_mode.into()) != FileType::RegularFile {
        return Err("a descriptor of what is no regular file");
    }
    let bound = StatxAttributes::APPEND | StatxAttributes::IMMUTABLE;
    // FUSE and network file systems do not know of these.
    let asks = !stat.stx_attributes_mask.contains(bound);
    if asks || stat.stx_attributes.intersects(bound) || !is_local(&file) {
        return Ok(None);
    }
    let dev = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
    let backing = Backing {
        mode: u32::from(stat.stx_mode) & 0o7777,
        size: stat.stx_size,
        file: Arc::new(file),
    };
    Ok(Some(Given { backing, id: (dev, stat.stx_ino) }))
}

/// Whether it is on a file system that only stores, on this machine.
fn is_local(file: impl AsFd) -> bool {
    fstatfs(file).is_ok_and(|found| filofs::is_local(found.f_type as u32))
}
