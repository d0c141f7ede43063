//! Attributes: asked and changed.

use super::host::{ProcPath, stat};
use super::inode::Inode;
use super::opened::HostOpen;
use super::{Dir, inode, sys, up};
use filofs::{Access, Attr, Context, Errno, Kind, Node, Open, Result, SetAttr, SetTime, Statfs};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, Uid};
use std::sync::Arc;

impl Dir {
    /// One system call, with whatever rights the thread has: knowing the node is right enough.
    pub(super) fn do_getattr(&self, node: &Node, open: Option<&Open>) -> Result<Attr> {
        match open.and_then(Open::state::<HostOpen>) {
            Some(open) => self.host.attr(&stat(open.fd())?),
            None => self.host.attr(&self.host.stat(&inode(node)?)?),
        }
    }

    /// In the order in which nothing undoes what came before: a new size or owner clears set-id
    /// bits that a new mode may set.
    pub(super) fn do_setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        let inode = inode(node)?;
        let open = open.and_then(Open::state::<HostOpen>);
        let fd = match open {
            Some(open) => open.fd().clone(),
            None => self.host.descriptor(&inode)?,
        };
        let rights = &self.host.rights;
        if let Some(size) = set.size {
            self.set_size(cx, &inode, &fd, open, size, set.kill_priv)?;
        }
        if (SetAttr { kill_priv: false, ..*set }).is_empty() {
            self.clear_privileges(cx, &fd)?;
        }
        if set.uid.is_some() || set.gid.is_some() {
            // The host clears the set-id bits itself, whoever does it. A bit for mandatory locks
            // (2000 without 0010) a member of the group keeps, if it is not anybody's to keep.
            let (uid, gid) =
                (set.uid.map(|id| Uid::from_raw(id.0)), set.gid.map(|id| Gid::from_raw(id.0)));
            let member = rights.puts_on_groups(cx) && stat(&fd)?.stx_mode & 0o2010 == 0o2000;
            rights.as_member(cx, member, || {
                rustix::fs::chownat(&fd, c"", uid, gid, AtFlags::EMPTY_PATH).map_err(up)
            })?;
        }
        if let Some(mode) = set.mode {
            // A caller that is in the file's group keeps the set-group-id bit.
            rights.as_member(cx, mode & 0o2000 != 0, || self.set_mode(&inode, &fd, mode))?;
        }
        if set.atime.is_some() || set.mtime.is_some() {
            let times =
                Timestamps { last_access: time(set.atime), last_modification: time(set.mtime) };
            rights.as_caller(cx, || {
                rustix::fs::utimensat(&fd, c"", &times, AtFlags::EMPTY_PATH).map_err(up)
            })?;
        }
        self.host.attr(&stat(&fd)?)
    }

    fn set_size(
        &self,
        cx: &Context<'_>,
        inode: &Arc<Inode>,
        fd: &OwnedFd,
        open: Option<&HostOpen>,
        size: u64,
        kill_priv: bool,
    ) -> Result<()> {
        match inode.identity.kind {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::EISDIR),
            _ => return Ok(()), // B12
        }
        if size > i64::MAX as u64 {
            return Err(Errno::EINVAL);
        }
        let rights = &self.host.rights;
        if let Some(open) = open
            && open.flags().writes()
        {
            rights.as_caller(cx, || rustix::fs::ftruncate(open.fd(), size).map_err(up))?;
        } else {
            rights.as_caller(cx, || {
                let fd = self.host.reopen(fd.as_fd(), OFlags::WRONLY | OFlags::NONBLOCK)?;
                rustix::fs::ftruncate(&fd, size).map_err(up)
            })?;
        }
        if kill_priv && rights.keeps_set_id(cx) {
            self.kill_priv(inode, fd)?;
        }
        Ok(())
    }

    /// Nothing is to be set: a chown(2) that leaves both owners as they are, or what the kernel
    /// does before somebody, not the owner perhaps, writes. Either has set-id bits and file
    /// capabilities cleared, and so has a chown by us. But the first is for the owner alone, and
    /// nobody can tell it from the second, for which a write by another does it again.
    fn clear_privileges(&self, cx: &Context<'_>, fd: &OwnedFd) -> Result<()> {
        let unlimited = [filofs::Uid::ROOT, filofs::Uid::UNKNOWN].contains(&cx.uid);
        if !unlimited && stat(fd)?.stx_uid != cx.uid.0 {
            return Ok(());
        }
        self.host.rights.as_own()?;
        match rustix::fs::chownat(fd, c"", None, None, AtFlags::EMPTY_PATH).map_err(up) {
            // We are nobody special, and the host clears them itself when we write.
            Err(Errno::EPERM) => Ok(()),
            done => done,
        }
    }

    /// Clears set-id bits and file capabilities, as the kernel does for who writes without
    /// CAP_FSETID. Whoever had it done may do it: this acts with the process' own rights.
    pub(super) fn kill_priv(&self, inode: &Arc<Inode>, fd: &OwnedFd) -> Result<()> {
        if inode.identity.kind != Kind::Regular {
            return Ok(());
        }
        self.host.rights.as_own()?;
        let mode = u32::from(stat(fd)?.stx_mode) & 0o7777;
        let group = if mode & 0o010 == 0 { 0 } else { 0o2000 };
        if mode & (0o4000 | group) != 0 {
            self.set_mode(inode, fd, mode & !(0o4000 | group))?;
        }
        let path = ProcPath::of(fd.as_fd());
        match sys::remove_xattr(self.host.proc(), path.as_c_str(), c"security.capability") {
            Ok(()) | Err(Errno::ENODATA | Errno::EOPNOTSUPP) => Ok(()),
            Err(errno) => Err(errno),
        }
    }

    /// Clears the set-group-id bit alone.
    pub(super) fn kill_sgid(&self, inode: &Arc<Inode>, fd: &OwnedFd) -> Result<()> {
        self.host.rights.as_own()?;
        let mode = u32::from(stat(fd)?.stx_mode) & 0o7777;
        if mode & 0o2000 == 0 { Ok(()) } else { self.set_mode(inode, fd, mode & !0o2000) }
    }

    fn set_mode(&self, inode: &Inode, fd: &OwnedFd, mode: u32) -> Result<()> {
        match sys::change_mode(fd.as_fd(), mode & 0o7777) {
            // Before Linux 6.6. A link's mode cannot be changed, and must not be the target's.
            Err(Errno::EOPNOTSUPP) if inode.identity.kind != Kind::Symlink => {
                let path = ProcPath::of(fd.as_fd());
                let mode = Mode::from_raw_mode(mode & 0o7777);
                rustix::fs::chmodat(self.host.proc(), path.as_c_str(), mode, AtFlags::empty())
                    .map_err(up)
            }
            done => done,
        }
    }

    pub(super) fn do_access(&self, cx: &Context<'_>, node: &Node, want: Access) -> Result<()> {
        let fd = self.host.descriptor(&inode(node)?)?;
        self.host.rights.as_caller(cx, || sys::access(fd.as_fd(), want.bits()))
    }

    pub(super) fn do_statfs(&self, node: &Node) -> Result<Statfs> {
        let s = rustix::fs::fstatvfs(self.host.descriptor(&inode(node)?)?).map_err(up)?;
        Ok(Statfs {
            blocks: s.f_blocks,
            bfree: s.f_bfree,
            bavail: s.f_bavail,
            files: s.f_files,
            ffree: s.f_ffree,
            bsize: s.f_bsize as u32,
            frsize: s.f_frsize as u32,
            namelen: s.f_namemax as u32,
        })
    }
}

fn time(set: Option<SetTime>) -> Timespec {
    match set {
        None => Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        Some(SetTime::Now) => Timespec { tv_sec: 0, tv_nsec: UTIME_NOW },
        Some(SetTime::At(time)) => Timespec { tv_sec: time.secs, tv_nsec: time.nanos.into() },
    }
}
