//! Durable names of nodes.

use super::host::{hold, stat};
use super::inode::Identity;
use super::inodes::Recalled;
use super::local::is_local;
use super::sys::HostHandle;
use super::{Dir, inode, sys};
use filofs::{Cookie, Entry, Errno, FileHandle, Kind, Node, Result};
use rustix::fd::OwnedFd;
use std::sync::Arc;

/// The layout: a byte that says so, the host's type (4 bytes), the device (8), the host's bytes.
const LAYOUT: u8 = 1;
const HEAD: usize = 13;

impl Dir {
    /// The host's handle, and the device it is on. EOPNOTSUPP where the host has none, or gives
    /// us none.
    pub(super) fn do_handle_of(&self, node: &Node) -> Result<FileHandle> {
        let inode = inode(node)?;
        let known = if let Some(known) = inode.handle.get() {
            known
        } else {
            let fd = self.host.descriptor(&inode)?;
            let made = self.host.handle(&fd);
            inode.handle.get_or_init(|| made.map(Box::new))
        };
        let (handle, _) = known.as_deref().ok_or(Errno::EOPNOTSUPP)?;
        let mut bytes = Vec::with_capacity(HEAD + handle.bytes.len());
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&handle.kind.to_le_bytes());
        bytes.extend_from_slice(&inode.identity.dev.to_le_bytes());
        bytes.extend_from_slice(&handle.bytes);
        FileHandle::new(&bytes).map_err(|_| Errno::EOPNOTSUPP)
    }

    /// Only what is beneath the root: of a directory that is seen, by the way up from it. Of
    /// other files the host keeps no way up; who can invent handles can name any such file of the
    /// device. So handles are for who keeps them from callers (a journal), or checks them.
    pub(super) fn do_node_of(&self, handle: &FileHandle) -> Result<Entry> {
        let (kind, dev, bytes) = parse(handle.bytes()).ok_or(Errno::EINVAL)?;
        if !self.host.handles {
            return Err(Errno::EOPNOTSUPP);
        }
        if self.host.one_device && dev != self.host.dev {
            return Err(Errno::ESTALE);
        }
        let mount = self.host.mount_of(dev).ok_or(Errno::ESTALE)?;
        let handle = HostHandle { kind, bytes: bytes.into() };
        // The host says EINVAL of bytes that it did not make; they may as well be old.
        let fd = self.host.open_handle(&handle, mount).map_err(|errno| match errno {
            Errno::EINVAL | Errno::ENOENT => Errno::ESTALE,
            other => other,
        })?;
        self.found(fd, None, (handle, mount))
    }

    pub(super) fn do_recall(&self, cookie: Cookie) -> Result<Entry> {
        let known = match self.host.inodes.recall(cookie).ok_or(Errno::ESTALE)? {
            Recalled::Alive(inode) => {
                let stat = self.host.stat(&inode)?;
                // Whoever still used it would not have to ask: the file is gone, even if its
                // release and its forgetting are still under way.
                if stat.stx_nlink == 0 {
                    return Err(Errno::ESTALE);
                }
                return self.host.entry(inode, &stat);
            }
            Recalled::Remembered(known) => known,
        };
        let (handle, mount) = &known.handle;
        let fd = self.host.open_handle(handle, *mount)?;
        if !Identity::of(&stat(&fd)?)?.agrees(&known.identity) {
            return Err(Errno::ESTALE);
        }
        self.found(fd, Some(cookie), known.handle.clone())
    }

    fn found(
        &self,
        fd: OwnedFd,
        cookie: Option<Cookie>,
        handle: (HostHandle, i32),
    ) -> Result<Entry> {
        let stat = stat(&fd)?;
        let identity = Identity::of(&stat)?;
        let fd = Arc::new(fd);
        if identity.kind == Kind::Directory {
            self.check_beneath(&fd)?;
        } else if stat.stx_nlink == 0 {
            return Err(Errno::ESTALE);
        }
        let local = is_local(&fd, &stat);
        let host = &self.host;
        let (inode, _) = host.inodes.meet(identity, cookie, &host.me, local, None, Some(handle));
        hold(&inode, sys::duplicate(&fd)?);
        self.host.entry(inode, &stat)
    }
}

fn parse(bytes: &[u8]) -> Option<(i32, u64, &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let (layout, head) = head.split_first()?;
    let (kind, dev) = head.split_at_checked(4)?;
    let kind = i32::from_le_bytes(kind.try_into().ok()?);
    let dev = u64::from_le_bytes(dev.try_into().ok()?);
    (*layout == LAYOUT).then_some((kind, dev, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_handle_is_not_parsed() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(&[LAYOUT; 12]), None);
        assert_eq!(parse(&[2; 20]), None);
        assert_eq!(parse(&[1, 5, 0, 0, 0, 7, 0, 0, 0, 0, 0, 0, 0, 9]), Some((5, 7, &[9u8][..])));
    }
}
