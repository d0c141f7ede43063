//! Extended attributes, of every namespace that the host and the caller's rights allow. POSIX
//! ACLs are two of them.

use super::host::ProcPath;
use super::inode::Inode;
use super::{Dir, inode, sys, up};
use filofs::{Context, Errno, Node, Result, Sink, XattrFlags};
use rustix::fd::{AsFd, OwnedFd};
use std::ffi::{CStr, CString};
use std::sync::Arc;

/// The longest value, XATTR_SIZE_MAX of linux/limits.h.
const VALUE_MAX: usize = 65_536;

/// The longest key, XATTR_NAME_MAX.
const KEY_MAX: usize = 255;

const ACCESS_ACL: &[u8] = b"system.posix_acl_access";

/// The way to a file's attributes: a descriptor that is really open, if there is one. Those that
/// only hold a file (O_PATH) are good for no call of these, and the way through /proc costs four
/// times as much.
enum Way {
    Open(Arc<OwnedFd>),
    Held(Arc<OwnedFd>, ProcPath),
}

impl Way {
    fn fd(&self) -> &OwnedFd {
        match self {
            Way::Open(fd) | Way::Held(fd, _) => fd,
        }
    }
}

impl Dir {
    fn way(&self, inode: &Arc<Inode>) -> Result<Way> {
        if let Some(fd) = inode.opened() {
            self.host.watch(inode, &fd);
            return Ok(Way::Open(fd));
        }
        let fd = self.host.descriptor(inode)?;
        let path = ProcPath::of(fd.as_fd());
        Ok(Way::Held(fd, path))
    }

    fn get(&self, way: &Way, key: &CStr, out: &mut [u8]) -> Result<usize> {
        match way {
            Way::Open(fd) => sys::get_xattr_of(fd.as_fd(), key, out),
            Way::Held(_, path) => sys::get_xattr(self.host.proc(), path.as_c_str(), key, out),
        }
    }

    pub(super) fn do_getxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        let key = checked(key)?;
        let way = self.way(&inode(node)?)?;
        self.host.rights.as_caller(cx, || fill(out, |buffer| self.get(&way, &key, buffer)))
    }

    pub(super) fn do_setxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        let is_access_acl = key == ACCESS_ACL;
        let key = checked(key)?;
        if value.len() > VALUE_MAX {
            return Err(Errno::E2BIG);
        }
        let inode = inode(node)?;
        let way = self.way(&inode)?;
        let host_flags = (flags & (XattrFlags::CREATE | XattrFlags::REPLACE)).bits();
        // An ACL of a caller outside the file's group takes the set-group-id bit along.
        self.host.rights.as_member(cx, is_access_acl, || match &way {
            Way::Open(fd) => {
                let flags = rustix::fs::XattrFlags::from_bits_retain(host_flags);
                rustix::fs::fsetxattr(fd, &key, value, flags).map_err(up)
            }
            Way::Held(_, path) => {
                sys::set_xattr(self.host.proc(), path.as_c_str(), &key, value, host_flags)
            }
        })?;
        if flags.contains(XattrFlags::KILL_SGID) && self.host.rights.keeps_set_id(cx) {
            self.kill_sgid(&inode, way.fd())?;
        }
        Ok(())
    }

    pub(super) fn do_listxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        out: &mut dyn Sink,
    ) -> Result<usize> {
        let way = self.way(&inode(node)?)?;
        let list = |buffer: &mut [u8]| match &way {
            Way::Open(fd) => sys::list_xattr_of(fd.as_fd(), buffer),
            Way::Held(_, path) => sys::list_xattr(self.host.proc(), path.as_c_str(), buffer),
        };
        self.host.rights.as_caller(cx, || fill(out, list))
    }

    pub(super) fn do_removexattr(&self, cx: &Context<'_>, node: &Node, key: &[u8]) -> Result<()> {
        let key = checked(key)?;
        let way = self.way(&inode(node)?)?;
        let remove = || match &way {
            Way::Open(fd) => rustix::fs::fremovexattr(fd, &*key).map_err(up),
            Way::Held(_, path) => sys::remove_xattr(self.host.proc(), path.as_c_str(), &key),
        };
        // File capabilities die with anybody's write, and the kernel above says so by removing
        // them in the writer's name. It lets nobody else do it without the right to.
        if key.to_bytes() == b"security.capability" {
            self.host.rights.as_own()?;
            return remove();
        }
        self.host.rights.as_caller(cx, remove)
    }
}

/// Lets the host fill the sink's window, and answers the size. Without room: asks for the size.
fn fill(out: &mut dyn Sink, get: impl Fn(&mut [u8]) -> Result<usize>) -> Result<usize> {
    let room = out.room().min(VALUE_MAX);
    if room == 0 {
        return get(&mut []);
    }
    let len = get(out.window(room))?;
    out.commit(len);
    Ok(len)
}

/// A key for the host. ERANGE for one that is empty or too long, as setxattr(2) has it; EINVAL
/// for one with a NUL.
fn checked(key: &[u8]) -> Result<CString> {
    if key.is_empty() || key.len() > KEY_MAX {
        return Err(Errno::ERANGE);
    }
    CString::new(key).map_err(|_| Errno::EINVAL)
}
