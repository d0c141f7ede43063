//! Operations on open files, and `setattr`, which cuts them.

use super::fileflags::FileFlags;
use super::inode::{Inode, Meta, may_set_gid};
use super::pages::LARGEST;
use super::{exclusive, now, shared};
use filofs::{
    Attr, Context, CopyHow, Errno, FallocateFlags, Gid, Kind, OpenFlags, Result, SetAttr, SetTime,
    Sink, SliceSource, Source, Time, Uid, VecSink, WriteFlags, locked,
};

/// Checks an open, and cuts the file with TRUNC: that counts as a change even of an empty file.
pub(super) fn open(
    cx: &Context<'_>,
    inode: &Inode,
    flags: OpenFlags,
    kill_priv: bool,
) -> Result<()> {
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
        locked(&inode.meta).written(cx, inode, kill_priv);
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
    cx: &Context<'_>,
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
    let append = flags.appends(open);
    let offset = if append { pages.size() } else { offset };
    let written = pages.write(&inode.volume.space, offset, data)?;
    locked(&inode.meta).written(cx, inode, flags.contains(WriteFlags::KILL_PRIV));
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
    // No flag says so here; whoever is not known to be the super-user keeps no set-id bits.
    locked(&inode.meta).written(cx, inode, cx.uid != Uid::ROOT);
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
        match write(cx, to, open, how.to + done, &mut SliceSource::new(&piece), kill) {
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
    let now = now();
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
    fn written(&mut self, cx: &Context<'_>, inode: &Inode, kill_priv: bool) {
        self.modified(now());
        if kill_priv {
            self.kill_privileges(cx, &inode.volume);
        } else {
            self.kill_capabilities(&inode.volume);
        }
    }

    /// EPERM for what an immutable or append-only file does not allow.
    fn guard(&self, set: &SetAttr) -> Result<()> {
        // A caller that keeps ctime itself says "now" in that way.
        let at = |time: Option<SetTime>| match time {
            Some(SetTime::At(time)) => set.ctime != Some(time),
            _ => false,
        };
        let owned = set.mode.is_some() || set.uid.is_some() || set.gid.is_some();
        // A cache brings the times of data it wrote before the flag was set.
        let mtime = set.mtime.filter(|_| set.ctime.is_none() || set.atime.is_some());
        let refused = if self.flags.contains(FileFlags::IMMUTABLE) {
            owned || set.size.is_some() || set.atime.is_some() || mtime.is_some()
        } else if self.flags.contains(FileFlags::APPEND) {
            owned || set.size.is_some() || at(set.atime) || at(mtime)
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
                self.kill_privileges(cx, &inode.volume);
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

#[cfg(test)]
mod tests {
    use super::super::testfs::{TestFs, name, tick};
    use super::*;
    use filofs::{FileSystem, MakeHow, Node, OpenHow, OpenedFlags, PollEvents, Seek, XattrFlags};

    const SECOND: Time = Time { secs: 1_000_000_000, nanos: 123_456_789 };
    const CAPABILITY: &str = "security.capability";

    fn size(size: u64) -> SetAttr {
        SetAttr { size: Some(size), ..SetAttr::default() }
    }

    #[test]
    fn attrs() {
        // D.6 attrs.
        let fs = TestFs::new();
        let node = fs.file("f", b"abc");
        let set = SetAttr {
            mode: Some(0o123),
            uid: Some(Uid(1)),
            gid: Some(Gid(2)),
            atime: Some(SetTime::At(SECOND)),
            mtime: Some(SetTime::At(Time::new(-5, 1))),
            ..SetAttr::default()
        };
        let before = fs.attr(&node).unwrap();
        tick();
        let attr = fs.set(&node, set).unwrap();
        assert_eq!((attr.mode, attr.uid, attr.gid), (0o123, Uid(1), Gid(2)));
        assert_eq!((attr.atime, attr.mtime), (SECOND, Time::new(-5, 1)));
        assert!(attr.ctime > before.ctime);
        assert_eq!(attr, fs.stat("f").unwrap());
        assert_eq!((attr.size, attr.blocks, attr.blksize), (3, 8, 4096));
        let same = fs.set(&node, SetAttr::default()).unwrap();
        assert_eq!(same, attr, "nothing was asked for");
        let ctime = SetAttr { ctime: Some(SECOND), ..SetAttr::default() };
        assert_eq!(fs.set(&node, ctime).unwrap().ctime, SECOND);
    }

    #[test]
    fn what_makes_no_sense_changes_nothing() {
        let fs = TestFs::new();
        let file = fs.file("f", b"abc");
        let dir = fs.mkdir("d");
        let symlink = fs.make("l", Kind::Symlink, MakeHow::default()).unwrap();
        let fifo = fs.make("p", Kind::Fifo, MakeHow::default()).unwrap();
        let before = fs.attr(&file).unwrap();
        assert_eq!(fs.set(&file, size(1 << 63)), Err(Errno::EFBIG));
        assert_eq!(fs.set(&dir, size(0)), Err(Errno::EISDIR));
        assert_eq!(fs.set(&symlink, size(0)), Err(Errno::EINVAL));
        assert_eq!(fs.chmod(&symlink, 0o600), Err(Errno::EOPNOTSUPP));
        let odd = Some(SetTime::At(Time { secs: 0, nanos: 1_000_000_000 }));
        let set = SetAttr { mode: Some(0), atime: odd, ..SetAttr::default() };
        assert_eq!(fs.set(&file, set), Err(Errno::EINVAL));
        let set = SetAttr { mode: Some(0), uid: Some(Uid(u32::MAX)), ..SetAttr::default() };
        assert_eq!(fs.set(&file, set), Err(Errno::EINVAL));
        assert_eq!(fs.attr(&file).unwrap(), before);
        assert_eq!(fs.set(&fifo, size(7)).unwrap().size, 0, "B12: ignored");
    }

    #[test]
    fn cutting_zeroes_the_tail_and_gives_back() {
        let fs = TestFs::new();
        let node = fs.file("f", &[b'x'; 10_000]);
        assert_eq!(fs.set(&node, size(5)).unwrap().blocks, 8);
        assert_eq!(fs.set(&node, size(9)).unwrap().size, 9);
        assert_eq!(fs.read(&node), b"xxxxx\0\0\0\0");
        let attr = fs.set(&node, size(LARGEST)).unwrap();
        assert_eq!((attr.size, attr.blocks), (LARGEST, 8));
        fs.unlink("f").unwrap();
        drop(node);
        fs.assert_empty();
    }

    #[test]
    fn appending_goes_to_the_end_whoever_else_does() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        std::thread::scope(|scope| {
            for byte in 1..=4u8 {
                let (fs, node) = (&fs, &node);
                scope.spawn(move || {
                    let flags = OpenFlags::RDWR.with(OpenFlags::APPEND);
                    for _ in 0..500 {
                        assert_eq!(fs.write(node, flags, 0, &[byte; 7]), Ok(7));
                    }
                });
            }
        });
        let bytes = fs.read(&node);
        assert_eq!(bytes.len(), 4 * 500 * 7);
        assert!(bytes.chunks(7).all(|record| record.iter().all(|byte| *byte == record[0])));
        // From a cache the offset is right.
        let open = fs.open(&node, OpenFlags::RDWR.with(OpenFlags::APPEND)).unwrap();
        let source = &mut SliceSource::new(b"zz");
        fs.mem.write(&fs.cx, &node, &open, 0, source, WriteFlags::CACHED).unwrap();
        assert_eq!(fs.attr(&node).unwrap().size, 4 * 500 * 7);
    }

    #[test]
    fn writes_move_the_times_and_empty_ones_do_not() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let times = || fs.attr(&node).map(|attr| (attr.mtime, attr.ctime)).unwrap();
        let before = times();
        tick();
        assert_eq!(fs.write(&node, OpenFlags::RDWR, 9, b""), Ok(0));
        assert_eq!(times(), before);
        fs.write(&node, OpenFlags::RDWR, 0, b"x").unwrap();
        let written = times();
        assert!(written.0 > before.0 && written.1 == written.0);
        tick();
        fs.set(&node, size(1)).unwrap();
        let cut = times();
        assert!(cut.0 > written.0 && cut.1 == cut.0);
        fs.set(&node, size(0)).unwrap();
        let cut = times();
        tick();
        fs.open(&node, OpenFlags::RDWR.with(OpenFlags::TRUNC)).unwrap();
        assert!(times().0 > cut.0, "cutting an empty file counts");
    }

    #[test]
    fn reading_moves_the_access_time_as_relatime_does() {
        let fs = TestFs::new();
        let node = fs.file("f", b"x");
        let at = |secs| Some(SetTime::At(Time::new(secs, 0)));
        let now = now().secs;
        let read = |flags, atime, mtime| {
            let ctime = Some(Time::new(0, 0));
            fs.set(&node, SetAttr { atime, mtime, ctime, ..SetAttr::default() }).unwrap();
            let before = fs.attr(&node).unwrap().atime;
            let open = fs.open(&node, flags).unwrap();
            fs.mem.read(&fs.cx, &node, &open, 0, &mut VecSink::new(9)).unwrap();
            fs.attr(&node).unwrap().atime > before
        };
        assert!(read(OpenFlags::RDONLY, at(now - 60), at(now - 60)), "not read since written");
        assert!(!read(OpenFlags::RDONLY, at(now - 60), at(now - 61)));
        assert!(read(OpenFlags::RDONLY, at(now - 24 * 3600 - 1), at(5)), "a day ago");
        assert!(!read(OpenFlags::RDONLY.with(OpenFlags::NOATIME), at(1), at(2)));
    }

    #[test]
    fn a_full_file_system_takes_what_fits() {
        let fs = TestFs::with(4 * 4096, 100);
        let node = fs.file("f", &[1; 3 * 4096]);
        assert_eq!(fs.mem.statfs(&fs.cx, &node).unwrap().bfree, 1);
        assert_eq!(fs.write(&node, OpenFlags::RDWR, 3 * 4096, &[2; 8192]), Ok(4096));
        assert_eq!(fs.write(&node, OpenFlags::RDWR, 4 * 4096, b"x"), Err(Errno::ENOSPC));
        assert_eq!(fs.attr(&node).unwrap().size, 4 * 4096);
        let long = fs.mem.symlink(&fs.cx, &fs.root(), name("l"), b"to").map(drop);
        assert_eq!(long, Err(Errno::ENOSPC));
        assert_eq!(fs.setxattr(&node, "user.a", b"v"), Err(Errno::ENOSPC));
        assert_eq!(fs.write(&node, OpenFlags::RDWR, 0, &[3; 4096]), Ok(4096), "what is there");
        fs.set(&node, size(0)).unwrap();
        assert_eq!(fs.mem.statfs(&fs.cx, &node).unwrap().bfree, 4);
    }

    #[test]
    fn fallocate_in_all_its_ways() {
        use FallocateFlags as F;
        let fs = TestFs::with(1 << 20, 100);
        let node = fs.file("f", &[b'x'; 12_288]);
        let open = fs.open(&node, OpenFlags::RDWR).unwrap();
        let call = |at, len, flags| fs.mem.fallocate(&fs.cx, &node, &open, at, len, flags);
        let shape = || fs.attr(&node).map(|attr| (attr.size, attr.blocks)).unwrap();
        call(4096, 4096, F::PUNCH_HOLE | F::KEEP_SIZE).unwrap();
        assert_eq!(shape(), (12_288, 16));
        let seek = |at, what| fs.mem.lseek(&fs.cx, &node, &open, at, what);
        assert_eq!(seek(0, Seek::Hole), Ok(4096));
        assert_eq!(seek(4097, Seek::Data), Ok(8192));
        assert_eq!(seek(8192, Seek::Hole), Ok(12_288));
        assert_eq!(seek(12_288, Seek::Data), Err(Errno::ENXIO));
        call(0, 20_000, F::KEEP_SIZE).unwrap();
        assert_eq!(shape(), (12_288, 40));
        call(0, 20_000, F::empty()).unwrap();
        assert_eq!(shape(), (20_000, 40));
        call(100, 30_000, F::ZERO_RANGE).unwrap();
        assert_eq!(shape(), (30_100, 64));
        let bytes = fs.read(&node);
        assert!(bytes[..100].iter().all(|b| *b == b'x') && bytes[100..].iter().all(|b| *b == 0));
        assert_eq!(call(0, 0, F::empty()), Err(Errno::EINVAL));
        assert_eq!(call(LARGEST, 1, F::empty()), Err(Errno::EFBIG));
        assert_eq!(call(u64::MAX, 2, F::empty()), Err(Errno::EFBIG));
        assert_eq!(call(0, LARGEST, F::empty()), Err(Errno::ENOSPC));
        for flags in [
            F::PUNCH_HOLE,
            F::COLLAPSE_RANGE,
            F::INSERT_RANGE,
            F::UNSHARE_RANGE,
            F::PUNCH_HOLE | F::ZERO_RANGE | F::KEEP_SIZE,
        ] {
            assert_eq!(call(0, 4096, flags), Err(Errno::EOPNOTSUPP));
        }
        assert_eq!(shape(), (30_100, 64));
        let dir = fs.root();
        let open = fs.open(&dir, OpenFlags::RDONLY).unwrap();
        let odd = fs.mem.fallocate(&fs.cx, &dir, &open, 0, 1, F::empty());
        assert_eq!(odd, Err(Errno::EISDIR));
    }

    #[test]
    fn copies_between_and_within_files() {
        let fs = TestFs::new();
        let bytes: Vec<u8> = (0..300_000u32).map(|i| (i / 7) as u8).collect();
        let (from, to) = (fs.file("a", &bytes), fs.file("b", b""));
        let copy = |node: &Node, to_node: &Node, from, to, len| {
            let open = fs.open(node, OpenFlags::RDWR).unwrap();
            let to_open = fs.open(to_node, OpenFlags::RDWR).unwrap();
            let how = CopyHow { from, to, len };
            fs.mem.copy_file_range(&fs.cx, node, &open, to_node, &to_open, how)
        };
        assert_eq!(copy(&from, &to, 5, 3, 1 << 40), Ok(299_995));
        assert!(fs.read(&to)[3..] == bytes[5..]);
        assert_eq!(copy(&from, &from, 0, 10, 11), Err(Errno::EINVAL));
        assert_eq!(copy(&from, &from, 0, 300_000, 1000), Ok(1000));
        assert_eq!(fs.read(&from)[300_000..], bytes[..1000]);
        assert_eq!(copy(&from, &to, 1 << 40, 0, 5), Ok(0));
        assert_eq!(copy(&from, &to, 0, u64::MAX, 5), Err(Errno::EOVERFLOW));
    }

    #[test]
    fn set_id_bits_and_capabilities_do_not_survive() {
        let fs = TestFs::new();
        let node = fs.file("f", b"x");
        let open = fs.open(&node, OpenFlags::RDWR).unwrap();
        let user = fs.by(1000, 0);
        let write = |flags| {
            let source = &mut SliceSource::new(b"y");
            fs.mem.write(&user.cx, &node, &open, 0, source, flags).map(drop)
        };
        let kill = SetAttr { kill_priv: true, ..SetAttr::default() };
        let trunc = OpenHow { flags: OpenFlags::RDWR.with(OpenFlags::TRUNC), kill_priv: true };
        let falloc =
            |fs: &TestFs| fs.mem.fallocate(&fs.cx, &node, &open, 0, 1, FallocateFlags::empty());
        type Act<'a> = &'a dyn Fn() -> Result<()>;
        let acts: [(&str, bool, Act<'_>); 8] = [
            ("write", true, &|| write(WriteFlags::KILL_PRIV)),
            ("write of the super-user", false, &|| write(WriteFlags::empty())),
            ("truncate", true, &|| fs.set(&node, SetAttr { ..kill.with_size(5) }).map(drop)),
            ("truncate of the super-user", false, &|| fs.set(&node, size(7)).map(drop)),
            ("open with O_TRUNC", true, &|| fs.mem.open(&user.cx, &node, trunc).map(drop)),
            ("fallocate", true, &|| falloc(&user)),
            ("fallocate of the super-user", false, &|| falloc(&fs)),
            ("chown", true, &|| {
                fs.set(&node, SetAttr { uid: Some(Uid(0)), ..SetAttr::default() }).map(drop)
            }),
        ];
        for (what, killed, act) in acts {
            for (before, after) in [(0o6777, 0o777), (0o6765, 0o2765)] {
                fs.chmod(&node, before).unwrap();
                fs.setxattr(&node, CAPABILITY, b"cap").unwrap();
                act().unwrap();
                let mode = fs.attr(&node).unwrap().mode;
                assert_eq!(mode, if killed { after } else { before }, "{what}");
                assert_eq!(fs.getxattr(&node, CAPABILITY), Err(Errno::ENODATA), "{what}");
            }
        }
        fs.chmod(&node, 0o6765).unwrap();
        let (stranger, source) = (fs.by(1000, 1000), &mut SliceSource::new(b"z"));
        fs.mem.write(&stranger.cx, &node, &open, 0, source, WriteFlags::KILL_PRIV).unwrap();
        assert_eq!(fs.attr(&node).unwrap().mode, 0o765, "not in the file's group");
        let dir = fs.mkdir("d");
        fs.chmod(&dir, 0o6777).unwrap();
        let owner = SetAttr { uid: Some(Uid(9)), ..SetAttr::default() };
        assert_eq!(fs.set(&dir, owner).unwrap().mode, 0o6777, "a directory keeps them");
    }

    trait WithSize {
        fn with_size(self, size: u64) -> SetAttr;
    }

    impl WithSize for SetAttr {
        fn with_size(self, size: u64) -> SetAttr {
            SetAttr { size: Some(size), ..self }
        }
    }

    #[test]
    fn nobody_sets_a_group_bit_for_a_group_not_theirs() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let owner = SetAttr { uid: Some(Uid(1000)), gid: Some(Gid(50)), ..SetAttr::default() };
        fs.set(&node, owner).unwrap();
        assert_eq!(fs.by(1000, 1000).chmod(&node, 0o2775).unwrap().mode, 0o775);
        assert_eq!(fs.by(1000, 50).chmod(&node, 0o2775).unwrap().mode, 0o2775);
        assert_eq!(fs.chmod(&node, 0o7775).unwrap().mode, 0o7775);
    }

    #[test]
    fn what_is_cached_stays_good_and_files_are_ready() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let open = fs.open(&node, OpenFlags::RDONLY).unwrap();
        assert_eq!(open.answer(), OpenedFlags::KEEP_CACHE);
        let asked = PollEvents::IN | PollEvents::PRI | PollEvents::OUT;
        let ready = fs.mem.poll(&fs.cx, &node, &open, asked).unwrap();
        assert_eq!(ready, PollEvents::IN | PollEvents::OUT);
        let set = fs.mem.setxattr(&fs.cx, &node, b"user.a", b"1", XattrFlags::CREATE);
        assert_eq!(set, Ok(()));
    }
}
