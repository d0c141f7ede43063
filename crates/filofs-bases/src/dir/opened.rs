//! `HostOpen`: a file of the host, opened; and its data.

use super::cached::Stamp;
use super::descriptors::{DESCRIPTORS, Permit};
use super::host::{Host, open_name, stat};
use super::inode::{Identity, Inode};
use super::listing::Listing;
use super::{Dir, inode, sys, up};
use filofs::{
    Access, Backing, Context, CopyHow, Errno, FallocateFlags, Kind, LockOwner, Name, Node, Open,
    OpenFlags, OpenHow, Opened, OpenedFlags, ReleaseHow, Result, Seek, Sink, Source, WriteFlags,
    permission,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{OFlags, SeekFrom, Statx, StatxAttributes};
use rustix::io::ReadWriteFlags;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};

/// The state of an open.
pub(super) struct HostOpen {
    fd: Arc<OwnedFd>,
    flags: OpenFlags,
    /// The state of the file then.
    stamp: Stamp,
    /// See [`super::local`].
    local: bool,
    pub(super) listing: Mutex<Listing>,
    _permit: Permit,
}

/// At most this much is moved by one system call.
const STEP: usize = 1 << 20;

/// What the memory, offset and length of O_DIRECT requests are multiples of, at worst.
const DIRECT_ALIGN: usize = 4096;

impl HostOpen {
    pub(super) fn fd(&self) -> &Arc<OwnedFd> {
        &self.fd
    }

    pub(super) fn flags(&self) -> OpenFlags {
        self.flags
    }

    /// The answer to who opened it.
    pub(super) fn answer(mut self, host: &Host, inode: &Inode, stat: &Statx) -> Opened {
        inode.set_opened(&self.fd);
        self.stamp = Stamp::of(inode, stat);
        self.local = inode.local;
        let mut flags = OpenedFlags::empty();
        flags.set(OpenedFlags::KEEP_CACHE, inode.cached.is_as_new_as(self.stamp));
        if inode.identity.kind == Kind::Directory {
            flags.set(OpenedFlags::CACHE_DIR, self.stamp.is_sure());
        } else {
            // Locks go with a close, and so do errors of what was written, where there are any.
            let has_errors = self.flags.changes() && !inode.local;
            flags.set(OpenedFlags::NO_FLUSH, !host.keeps_locks && !has_errors);
        }
        // A mapping of a file that may only be appended to, or not be changed at all, is refused by
        // whoever sees that, which a kernel above us does not (chattr(1)).
        let bound = StatxAttributes::APPEND | StatxAttributes::IMMUTABLE;
        let is_bound = stat.stx_attributes.intersects(bound);
        let backing = (inode.identity.kind == Kind::Regular && !is_bound).then(|| Backing {
            file: self.fd.clone(),
            mode: u32::from(stat.stx_mode) & 0o7777,
            size: stat.stx_size,
        });
        Opened { state: Some(Arc::new(self)), flags, backing }
    }
}

/// The flags as this host has them. APPEND is not among them: an offset is right even so, and
/// [`Dir::do_write`] appends by request.
pub(super) fn host_flags(flags: OpenFlags) -> OFlags {
    let mut to = OFlags::from_bits_retain(flags.0 & 3);
    for (ours, host) in [
        (OpenFlags::NONBLOCK, OFlags::NONBLOCK),
        (OpenFlags::DSYNC, OFlags::DSYNC),
        (OpenFlags::SYNC, OFlags::SYNC),
        (OpenFlags::DIRECT, OFlags::DIRECT),
        (OpenFlags::NOATIME, OFlags::NOATIME),
    ] {
        if flags.has(ours) {
            to |= host;
        }
    }
    to
}

/// What an open of ours carries. EBADF for one that carries nothing.
pub(super) fn opened(open: &Open) -> Result<&HostOpen> {
    open.state().ok_or(Errno::EBADF)
}

/// Counts and makes an open.
pub(super) fn new_open(
    flags: OpenFlags,
    make: impl FnMut() -> Result<OwnedFd>,
) -> Result<HostOpen> {
    let permit = DESCRIPTORS.for_open()?;
    let fd = Arc::new(super::descriptors::with_room(make)?);
    Ok(HostOpen {
        fd,
        flags,
        stamp: Stamp::NONE,
        local: false,
        listing: Mutex::default(),
        _permit: permit,
    })
}

/// Waits until a file is on stable storage.
pub(super) fn fsync(open: &Open, data_only: bool) -> Result<()> {
    let fd = opened(open)?.fd();
    if data_only { rustix::fs::fdatasync(fd) } else { rustix::fs::fsync(fd) }.map_err(up)
}

/// The next data or hole. The position that this moves is used by nobody: reads and writes name
/// theirs.
pub(super) fn lseek(open: &Open, offset: u64, what: Seek) -> Result<u64> {
    let to = match what {
        Seek::Data => SeekFrom::Data(offset),
        Seek::Hole => SeekFrom::Hole(offset),
    };
    rustix::fs::seek(opened(open)?.fd(), to).map_err(up)
}

/// Reads as much as there is room for, or to the end.
pub(super) fn read(open: &Open, offset: u64, out: &mut dyn Sink) -> Result<()> {
    let open = opened(open)?;
    let direct = open.flags.has(OpenFlags::DIRECT);
    let mut bounce = Vec::new();
    let mut at = offset;
    while out.room() > 0 {
        let want = out.room().min(STEP);
        let window = out.window(want);
        let got = if direct && !is_aligned(window) {
            let (start, end) = aligned(&mut bounce, window.len());
            let buffer = bounce.get_mut(start..end).unwrap_or_default();
            read_at(open.fd(), buffer, at).inspect(|&n| {
                if let (Some(to), Some(from)) = (window.get_mut(..n), buffer.get(..n)) {
                    to.copy_from_slice(from);
                }
            })
        } else {
            read_at(open.fd(), window, at)
        };
        match got {
            Ok(0) => break,
            Ok(n) => {
                out.commit(n);
                at += n as u64;
                if (direct || open.local) && n < want {
                    break; // the end (from there, direct I/O would not be aligned)
                }
            }
            Err(_) if at > offset => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

impl Dir {
    pub(super) fn do_open(&self, cx: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        let inode = inode(node)?;
        // The kind of what a descriptor holds never changes: nothing else can be opened below.
        match inode.identity.kind {
            Kind::Directory if how.flags.changes() => return Err(Errno::EISDIR),
            Kind::Regular | Kind::Directory => {}
            Kind::Symlink => return Err(Errno::ELOOP),
            _ => return Err(Errno::ENXIO),
        }
        let mut flags = host_flags(how.flags);
        if how.flags.has(OpenFlags::TRUNC) {
            flags |= OFlags::TRUNC;
        }
        if inode.identity.kind == Kind::Directory {
            flags = OFlags::DIRECTORY | (flags & OFlags::NOATIME);
        } else if how.flags.has(OpenFlags::DIRECTORY) {
            return Err(Errno::ENOTDIR);
        }
        let in_place = self.open_in_place(cx, &inode, how, flags);
        let (open, stat) = if let Some(opened) = in_place {
            opened
        } else {
            let open = self.open_held(cx, &inode, how, flags)?;
            let stat = stat(open.fd())?;
            (open, stat)
        };
        self.host.watch(&inode, open.fd());
        if how.kill_priv && flags.contains(OFlags::TRUNC) && self.host.rights.keeps_set_id(cx) {
            self.kill_priv(&inode, &open.fd)?;
        }
        Ok(open.answer(&self.host, &inode, &stat))
    }

    /// Two system calls: one opens the file by its name, one looks whether it is the one that is
    /// meant; both together cost less than the way through /proc. `None` where that is not the
    /// way, or not the file, or where that is refused. (A file is not cut before it was looked at.)
    fn open_in_place(
        &self,
        cx: &Context<'_>,
        inode: &Arc<Inode>,
        how: OpenHow,
        flags: OFlags,
    ) -> Option<(HostOpen, Statx)> {
        if flags.contains(OFlags::TRUNC) {
            return None;
        }
        let place = inode.short_way()?;
        let dir = self.host.descriptor(&place.parent).ok()?;
        let name = Name::new(&place.name).ok()?;
        let open = new_open(how.flags, || {
            let open = || open_name(&dir, name, flags);
            self.host.rights.as_caller(cx, open)
        });
        let open = open.ok()?;
        let stat = stat(open.fd()).ok()?;
        inode.identity.agrees(&Identity::of(&stat).ok()?).then_some((open, stat))
    }

    /// Through a descriptor that holds the file: whatever is refused here is refused.
    fn open_held(
        &self,
        cx: &Context<'_>,
        inode: &Arc<Inode>,
        how: OpenHow,
        flags: OFlags,
    ) -> Result<HostOpen> {
        let held = self.host.descriptor(inode)?;
        let rights = &self.host.rights;
        new_open(how.flags, || {
            let opened = rights.as_caller(cx, || match self.host.reopen(held.as_fd(), flags) {
                // An append-only file, chattr(1) +a, is opened in no other way.
                Err(Errno::EPERM) if how.flags.has(OpenFlags::APPEND) => {
                    self.host.reopen(held.as_fd(), flags | OFlags::APPEND)
                }
                opened => opened,
            });
            match opened {
                // Who may run a program need not be able to read it.
                Err(Errno::EACCES) if how.flags.has(OpenFlags::EXEC) => {
                    rights.as_caller(cx, || sys::access(held.as_fd(), Access::EXEC.bits()))?;
                    rights.as_own()?;
                    self.host.reopen(held.as_fd(), flags)
                }
                opened => opened,
            }
        })
    }

    /// A copy is closed: the host's own flush, and its late errors, happen then. Where nothing
    /// can have been written the host has nothing to tell, and only locks go.
    pub(super) fn do_flush(&self, node: &Node, open: &Open, owner: LockOwner) -> Result<()> {
        self.drop_locks(&inode(node)?, owner);
        let open = opened(open)?;
        if !open.flags.changes() {
            return Ok(());
        }
        sys::close(sys::duplicate(open.fd())?)
    }

    /// The descriptor goes with the state, and a flock with the descriptor.
    pub(super) fn do_release(&self, node: &Node, open: &Open, how: ReleaseHow) -> Result<()> {
        let inode = inode(node)?;
        inode.cached.is_from(opened(open)?.stamp);
        if let Some(owner) = how.owner {
            self.drop_locks(&inode, owner);
            self.drop_flock(node, open, owner)?;
        }
        Ok(())
    }

    /// As the caller: set-id bits, quotas and reserved blocks are counted for who writes.
    pub(super) fn do_write(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        data: &mut dyn Source,
        flags: WriteFlags,
    ) -> Result<usize> {
        let open = opened(open)?;
        if flags.contains(WriteFlags::KILL_PRIV) && self.host.rights.keeps_set_id(cx) {
            self.kill_priv(&inode(node)?, open.fd())?;
        }
        let append = flags.appends(open.flags);
        // What was stored through a mapping, in a file that may only be appended to (chattr +a):
        // this descriptor would append it.
        if !append && open.flags.has(OpenFlags::APPEND) {
            let host = rustix::fs::fcntl_getfl(open.fd()).map_err(up)?;
            if host.contains(OFlags::APPEND) {
                return Err(Errno::EPERM);
            }
        }
        let gather = append && data.chunk().len() < data.remaining();
        let direct = open.flags.has(OpenFlags::DIRECT);
        let mut written = 0;
        let mut gathered = Vec::new();
        if gather {
            // What is appended is appended in one piece.
            while data.remaining() > 0 {
                let chunk = data.chunk();
                let len = chunk.len();
                gathered.extend_from_slice(chunk);
                data.advance(len);
            }
            return self.host.rights.as_caller(cx, || write_at(open.fd(), &gathered, 0, true));
        }
        let mut bounce = Vec::new();
        while data.remaining() > 0 {
            let chunk = data.chunk();
            let len = chunk.len();
            if len == 0 {
                break;
            }
            let bytes = if direct && !is_aligned(chunk) {
                let (start, end) = aligned(&mut bounce, len);
                let buffer = bounce.get_mut(start..end).unwrap_or_default();
                buffer.copy_from_slice(chunk);
                &*buffer
            } else {
                chunk
            };
            let at = offset.saturating_add(written as u64);
            match self.host.rights.as_caller(cx, || write_at(open.fd(), bytes, at, append)) {
                Ok(0) => break,
                Ok(n) => {
                    data.advance(n);
                    written += n;
                    if n < len {
                        break;
                    }
                }
                Err(_) if written > 0 => break,
                Err(errno) => return Err(errno),
            }
        }
        Ok(written)
    }

    pub(super) fn do_fallocate(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        len: u64,
        flags: FallocateFlags,
    ) -> Result<()> {
        let fd = opened(open)?.fd();
        self.tame(cx, node, fd)?;
        let flags = rustix::fs::FallocateFlags::from_bits_retain(flags.bits());
        self.host.rights.as_caller(cx, || {
            rustix::io::retry_on_intr(|| rustix::fs::fallocate(fd, flags, offset, len)).map_err(up)
        })
    }

    pub(super) fn do_copy(
        &self,
        cx: &Context<'_>,
        from: &Open,
        to_node: &Node,
        to: &Open,
        how: CopyHow,
    ) -> Result<u64> {
        let (from, to) = (opened(from)?, opened(to)?);
        if to.flags.has(OpenFlags::APPEND) {
            return Err(Errno::EBADF);
        }
        self.tame(cx, to_node, to.fd())?;
        let len = usize::try_from(how.len).unwrap_or(usize::MAX).min(i32::MAX as usize & !4095);
        self.host.rights.as_caller(cx, || {
            let (mut read, mut write) = (how.from, how.to);
            let copied = rustix::fs::copy_file_range(
                from.fd(),
                Some(&mut read),
                to.fd(),
                Some(&mut write),
                len,
            );
            copied.map(|n| n as u64).map_err(up)
        })
    }
}

impl Dir {
    /// Before a change of data by an operation that does not say whether the caller may keep
    /// set-id bits: only the super-user may. Where the host does it for whoever acts, there is
    /// nothing to do.
    fn tame(&self, cx: &Context<'_>, node: &Node, fd: &OwnedFd) -> Result<()> {
        if permission::loses_set_id(cx) && self.host.rights.keeps_set_id(cx) {
            self.kill_priv(&inode(node)?, fd)?;
        }
        Ok(())
    }
}

fn read_at(fd: &OwnedFd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    rustix::io::retry_on_intr(|| rustix::io::pread(fd, &mut *buffer, offset)).map_err(up)
}

fn write_at(fd: &OwnedFd, bytes: &[u8], offset: u64, append: bool) -> Result<usize> {
    let write = || {
        if append {
            rustix::io::pwritev2(fd, &[IoSlice::new(bytes)], 0, ReadWriteFlags::APPEND)
        } else {
            rustix::io::pwrite(fd, bytes, offset)
        }
    };
    rustix::io::retry_on_intr(write).map_err(up)
}

fn is_aligned(bytes: &[u8]) -> bool {
    bytes.as_ptr().addr().is_multiple_of(DIRECT_ALIGN)
}

/// Makes the vector hold an aligned buffer of that length; answers where it is.
fn aligned(bytes: &mut Vec<u8>, len: usize) -> (usize, usize) {
    bytes.resize(len + DIRECT_ALIGN, 0);
    let start = bytes.as_ptr().addr().wrapping_neg() % DIRECT_ALIGN;
    (start, start + len)
}
