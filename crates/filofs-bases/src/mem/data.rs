//! Operations on open files, and `setattr`, which cuts them.

use super::fileflags::FileFlags;
use super::inode::{Inode, Meta, may_set_gid};
use super::pages::LARGEST;
use super::{exclusive, shared};
use filofs::{
    Attr, Context, CopyHow, Errno, FallocateFlags, Gid, Kind, OpenFlags, Result, SetAttr, SetTime,
    Sink, SliceSource, Source, Time, Uid, VecSink, WriteFlags, locked,
};

/// Checks an open, and cuts the file with TRUNC: that counts as a change even of an empty file.
pub(super) fn open(inode: &Inode, flags: OpenFlags, kill_priv: bool) -> Result<()> {
    if inode.kind == Kind::Symlink {
        return Err(Errno::ELOOP);
    }
    if flags.has(OpenFlags::DIRECTORY) && inode.kind != Kind::Directory {
        return Err(Errno::ENOTDIR);
    }
    if inode.kind == Kind::Directory && flags.changes() {
        return Err(Errno::EISDIR);
    }
    let set = locked(&inode.meta).flags;
    let truncates = flags.has(OpenFlags::TRUNC) && inode.kind == Kind::Regular;
    if set.contains(FileFlags::IMMUTABLE) && flags.changes()
        || set.contains(FileFlags::APPEND)
            && (truncates || flags.writes() && !flags.has(OpenFlags::APPEND))
    {
        return Err(Errno::EPERM);
    }
    if truncates {
        let mut pages = exclusive(inode.pages()?);
        pages.resize(&inode.volume.space, 0);
        locked(&inode.meta).written(inode, kill_priv);
    }
    Ok(())
}

pub(super) fn read(inode: &Inode, flags: OpenFlags, offset: u64, out: &mut dyn Sink) -> Result<()> {
    shared(inode.pages()?).read(offset, out);
    if !flags.has(OpenFlags::NOATIME) {
        inode.accessed();
    }
    Ok(())
}

/// Writes at an offset, or at the end, with nothing coming between finding the end and writing.
pub(super) fn write(
    inode: &Inode,
    open: OpenFlags,
    offset: u64,
    data: &mut dyn Source,
    flags: WriteFlags,
) -> Result<usize> {
    let mut pages = exclusive(inode.pages()?);
    if data.remaining() == 0 {
        return Ok(0);
    }
    let append = open.has(OpenFlags::APPEND) && !flags.contains(WriteFlags::CACHED);
    let offset = if append { pages.size() } else { offset };
    let written = pages.write(&inode.volume.space, offset, data)?;
    locked(&inode.meta).written(inode, flags.contains(WriteFlags::KILL_PRIV));
    Ok(written)
}

/// EINVAL for an empty range, EFBIG for one beyond [`LARGEST`], EOPNOTSUPP for what moves or
/// shares blocks, ENODEV for what has no data.
pub(super) fn fallocate(
    cx: &Context<'_>,
    inode: &Inode,
    offset: u64,
    len: u64,
    flags: FallocateFlags,
) -> Result<()> {
    if len == 0 {
        return Err(Errno::EINVAL);
    }
    let end = offset.checked_add(len).filter(|end| *end <= LARGEST).ok_or(Errno::EFBIG)?;
    let keep_size = flags.contains(FallocateFlags::KEEP_SIZE);
    let how = flags - FallocateFlags::KEEP_SIZE;
    let punch = how == FallocateFlags::PUNCH_HOLE && keep_size;
    let zero = how == FallocateFlags::ZERO_RANGE;
    if !(punch || zero || how.is_empty()) {
        return Err(Errno::EOPNOTSUPP);
    }
    let pages = inode.pages().map_err(|errno| match errno {
        Errno::EINVAL => Errno::ENODEV,
        other => other,
    })?;
    let mut pages = exclusive(pages);
    let set = locked(&inode.meta).flags;
    if set.contains(FileFlags::IMMUTABLE) || set.contains(FileFlags::APPEND) && !how.is_empty() {
        return Err(Errno::EPERM);
    }
    let space = &inode.volume.space;
    if punch {
        pages.punch(space, offset, end);
    } else {
        pages.allocate(space, offset, end, keep_size)?;
        if zero {
            pages.zero(offset, end);
        }
    }
    locked(&inode.meta).written(inode, cx.uid != Uid::ROOT);
    Ok(())
}

/// Copies through a buffer, a piece at a time, so that no two files are locked at once.
pub(super) fn copy(
    cx: &Context<'_>,
    from: &Inode,
    to: &Inode,
    open: OpenFlags,
    how: CopyHow,
) -> Result<u64> {
    const PIECE: u64 = 128 * 1024;
    let end_of = |start: u64| start.checked_add(how.len).ok_or(Errno::EOVERFLOW);
    let (from_end, to_end) = (end_of(how.from)?, end_of(how.to)?);
    if std::ptr::eq(from, to) && how.from < to_end && how.to < from_end {
        return Err(Errno::EINVAL);
    }
    if open.has(OpenFlags::APPEND) {
        return Err(Errno::EBADF);
    }
    let kill = if cx.uid == Uid::ROOT { WriteFlags::empty() } else { WriteFlags::KILL_PRIV };
    let mut done = 0;
    while done < how.len && !(done > 0 && cx.cancelled()) {
        let mut piece = VecSink::new((how.len - done).min(PIECE) as usize);
        read(from, OpenFlags::RDONLY, how.from + done, &mut piece)?;
        let piece = piece.into_bytes();
        if piece.is_empty() {
            break;
        }
        match write(to, open, how.to + done, &mut SliceSource::new(&piece), kill) {
            Ok(written) => {
                done += written as u64;
                if written < piece.len() {
                    break;
                }
            }
            Err(errno) if done == 0 => return Err(errno),
            Err(_) => break,
        }
    }
    Ok(done)
}

/// chmod(2), chown(2), truncate(2), utimensat(2): all of it or, on an error, nothing.
pub(super) fn setattr(cx: &Context<'_>, inode: &Inode, set: &SetAttr) -> Result<Attr> {
    check(inode, set)?;
    let now = Time::now();
    if let Some((size, Ok(pages))) = set.size.map(|size| (size, inode.pages())) {
        let mut pages = exclusive(pages);
        let mut meta = locked(&inode.meta);
        meta.guard(set)?;
        pages.resize(&inode.volume.space, size);
        meta.mtime = now;
        meta.set(cx, inode, set, now);
    } else {
        let mut meta = locked(&inode.meta);
        meta.guard(set)?;
        meta.set(cx, inode, set, now);
    }
    Ok(inode.attr())
}

fn check(inode: &Inode, set: &SetAttr) -> Result<()> {
    match (set.size, inode.kind) {
        (Some(_), Kind::Directory) => return Err(Errno::EISDIR),
        (Some(_), Kind::Symlink) => return Err(Errno::EINVAL),
        (Some(size), _) if size > LARGEST => return Err(Errno::EFBIG),
        _ => {}
    }
    if set.mode.is_some() && inode.kind == Kind::Symlink {
        return Err(Errno::EOPNOTSUPP);
    }
    let odd = |time: Option<SetTime>| match time {
        Some(SetTime::At(time)) => time.nanos > 999_999_999,
        _ => false,
    };
    let no_one = set.uid == Some(Uid(u32::MAX)) || set.gid == Some(Gid(u32::MAX));
    if no_one || odd(set.atime) || odd(set.mtime) || odd(set.ctime.map(SetTime::At)) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

impl Meta {
    /// The content was changed now.
    fn written(&mut self, inode: &Inode, kill_priv: bool) {
        self.modified(Time::now());
        if kill_priv {
            self.kill_privileges(&inode.volume);
        } else {
            self.kill_capabilities(&inode.volume);
        }
    }

    /// EPERM for what an immutable or append-only file does not allow.
    fn guard(&self, set: &SetAttr) -> Result<()> {
        let at = |time: Option<SetTime>| matches!(time, Some(SetTime::At(_)));
        let owned = set.mode.is_some() || set.uid.is_some() || set.gid.is_some();
        let refused = if self.flags.contains(FileFlags::IMMUTABLE) {
            owned || set.size.is_some() || set.atime.is_some() || set.mtime.is_some()
        } else if self.flags.contains(FileFlags::APPEND) {
            owned || set.size.is_some() || at(set.atime) || at(set.mtime)
        } else {
            false
        };
        if refused { Err(Errno::EPERM) } else { Ok(()) }
    }

    fn set(&mut self, cx: &Context<'_>, inode: &Inode, set: &SetAttr, now: Time) {
        if set.is_empty() {
            return;
        }
        let chown = set.uid.is_some() || set.gid.is_some();
        if inode.kind != Kind::Directory {
            // As Linux, chown clears set-id bits whoever calls it.
            if chown || set.kill_priv {
                if chown && !may_set_gid(cx, self.gid) {
                    self.mode &= !0o2000;
                }
                self.kill_privileges(&inode.volume);
            } else if set.size.is_some() {
                self.kill_capabilities(&inode.volume);
            }
        }
        self.uid = set.uid.unwrap_or(self.uid);
        self.gid = set.gid.unwrap_or(self.gid);
        if let Some(mode) = set.mode {
            self.mode = mode & 0o7777;
            if self.mode & 0o2000 != 0 && !may_set_gid(cx, self.gid) {
                self.mode &= !0o2000;
            }
            if let Some(extras) = &mut self.extras {
                extras.chmod(self.mode);
            }
        }
        let when = |time: SetTime| match time {
            SetTime::Now => now,
            SetTime::At(time) => time,
        };
        self.atime = set.atime.map_or(self.atime, when);
        self.mtime = set.mtime.map_or(self.mtime, when);
        self.ctime = set.ctime.unwrap_or(now);
    }
}
