//! Opening files, and what is done with open ones.

use super::process::Description;
use super::walk::{Last, Parent, Place, Walk};
use super::{Fd, OrMissing, Process, Stat};
use filofs::{
    Access, Context, CopyHow, Errno, FallocateFlags, FileSystem, Ioctl, Kind, MakeHow, Name, Open,
    OpenFlags, OpenHow, Opened, PollEvents, Result, Seek, SetAttr, SliceSink, SliceSource, VecSink,
    WriteFlags, locked, permission,
};
use std::sync::{Arc, Mutex};

/// Make the file if there is none, open(2).
pub const O_CREAT: OpenFlags = OpenFlags(0o100);
/// Only name the file: neither read nor write it, open(2).
pub const O_PATH: OpenFlags = OpenFlags(0o10_000_000);
/// Make a file without a name in the directory given, open(2).
pub const O_TMPFILE: OpenFlags = OpenFlags(0o20_000_000 | OpenFlags::DIRECTORY.0);

/// What an offset of lseek(2) counts from, or looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whence {
    /// The beginning.
    Set,
    /// Where the file offset is.
    Current,
    /// The end of the file.
    End,
    /// The next data.
    Data,
    /// The next hole.
    Hole,
}

/// The largest file offset.
const OFFSET_MAX: u64 = i64::MAX as u64;
/// The most that one read or write moves (MAX_RW_COUNT).
const MOST_BYTES: usize = 0x7fff_f000;

/// Walks to a file that is to be opened, and again when it went elsewhere between being found and
/// being opened (ESTALE), as Linux does.
fn looked_for_again<T>(open: impl Fn() -> Result<T>) -> Result<T> {
    const TRIES: u32 = 16;
    for _ in 1..TRIES {
        match open() {
            Err(Errno::ESTALE) => {}
            done => return done,
        }
    }
    open()
}

impl Process {
    /// Opens a file, open(2). With [`O_CREAT`] or [`O_TMPFILE`], `mode` is what a new file gets,
    /// less the umask. Special files are ENXIO: nobody is at the other end here.
    pub fn open(&self, path: impl AsRef<[u8]>, flags: OpenFlags, mode: u32) -> Result<Fd> {
        let cx = self.cx();
        looked_for_again(|| {
            self.open_from(&cx, &self.here(&cx, path.as_ref())?, path.as_ref(), flags, mode)
        })
    }

    /// Opens a file under an open directory, openat(2). Errors: EBADF besides those of `open`.
    pub fn openat(
        &self,
        dir: Fd,
        path: impl AsRef<[u8]>,
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Fd> {
        let cx = self.cx();
        let from = self.file(dir)?.place.again(&cx, self.mount())?;
        looked_for_again(|| self.open_from(&cx, &from, path.as_ref(), flags, mode))
    }

    /// Makes a file and opens it for writing, creat(2).
    pub fn creat(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<Fd> {
        self.open(path, OpenFlags::WRONLY.with(O_CREAT).with(OpenFlags::TRUNC), mode)
    }

    /// Reads at the file offset and moves it, read(2).
    pub fn read(&self, fd: Fd, buffer: &mut [u8]) -> Result<usize> {
        let file = self.file(fd)?;
        let mut position = locked(&file.position);
        let len = self.read_at(&file, buffer, *position)?;
        *position += len as u64;
        Ok(len)
    }

    /// Reads at an offset, pread(2).
    pub fn pread(&self, fd: Fd, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let file = self.file(fd)?;
        self.read_at(&file, buffer, offset)
    }

    /// Writes at the file offset, or at the end with O_APPEND, and moves it, write(2).
    pub fn write(&self, fd: Fd, bytes: &[u8]) -> Result<usize> {
        let file = self.file(fd)?;
        let mut position = locked(&file.position);
        let len = self.write_at(&file, bytes, *position)?;
        *position = if file.flags.has(OpenFlags::APPEND) && len > 0 {
            self.mount().getattr(&self.cx(), &file.node, file.open.as_ref())?.size
        } else {
            *position + len as u64
        };
        Ok(len)
    }

    /// Writes at an offset, pwrite(2). With O_APPEND at the end all the same, as Linux does.
    pub fn pwrite(&self, fd: Fd, bytes: &[u8], offset: u64) -> Result<usize> {
        let file = self.file(fd)?;
        self.write_at(&file, bytes, offset)
    }

    /// Moves the file offset, lseek(2). In a directory offsets are those of [`super::Dirent`].
    pub fn lseek(&self, fd: Fd, offset: i64, whence: Whence) -> Result<u64> {
        let cx = self.cx();
        let file = self.file(fd)?;
        let open = file.opened()?;
        let mut position = locked(&file.position);
        let size = || Ok::<_, Errno>(self.mount().getattr(&cx, &file.node, Some(open))?.size);
        let base = match whence {
            Whence::Set => 0,
            Whence::Current => *position as i64,
            Whence::End => size()? as i64,
            Whence::Data | Whence::Hole => {
                let what = if whence == Whence::Data { Seek::Data } else { Seek::Hole };
                let from = u64::try_from(offset).map_err(|_| Errno::ENXIO)?;
                let found = match self.mount().lseek(&cx, &file.node, open, from, what) {
                    Err(Errno::MISSING) => match size()? {
                        size if from >= size => Err(Errno::ENXIO),
                        size => Ok(if what == Seek::Data { from } else { size }),
                    },
                    answer => answer,
                }?;
                *position = found;
                return Ok(found);
            }
        };
        let to = base.checked_add(offset).ok_or(Errno::EOVERFLOW)?;
        *position = u64::try_from(to).map_err(|_| Errno::EINVAL)?;
        Ok(*position)
    }

    /// Waits until a file is on stable storage, fsync(2); with `data_only` fdatasync(2).
    pub fn fsync(&self, fd: Fd, data_only: bool) -> Result<()> {
        let file = self.file(fd)?;
        self.mount()
            .fsync(&self.cx(), &file.node, file.opened()?, data_only)
            .or_missing(Errno::EINVAL)
    }

    /// Allocates, punches or zeroes a range, fallocate(2).
    pub fn fallocate(&self, fd: Fd, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
        use FallocateFlags as F;
        let file = self.file(fd)?;
        let open = file.opened()?;
        let end = offset.checked_add(len).filter(|end| *end <= OFFSET_MAX);
        if offset > OFFSET_MAX || len == 0 || len > OFFSET_MAX {
            return Err(Errno::EINVAL);
        }
        let main = flags.difference(F::KEEP_SIZE | F::UNSHARE_RANGE);
        if main.bits().count_ones() > 1 || F::from_bits(flags.bits()).is_none() {
            return Err(Errno::EOPNOTSUPP);
        }
        if main == F::PUNCH_HOLE && !flags.contains(F::KEEP_SIZE) {
            return Err(Errno::EOPNOTSUPP);
        }
        if !file.flags.writes() {
            return Err(Errno::EBADF);
        }
        match file.node.kind() {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::EISDIR),
            Kind::Fifo => return Err(Errno::ESPIPE),
            _ => return Err(Errno::ENODEV),
        }
        end.ok_or(Errno::EFBIG)?;
        let cx = self.cx();
        let answer = self.mount().fallocate(&cx, &file.node, open, offset, len, flags);
        answer.or_missing(Errno::EOPNOTSUPP)?;
        self.drop_set_id(&cx, &file, open)
    }

    /// Copies a range between two open files, copy_file_range(2), each end at its own offset.
    /// Where the file system has no such operation, or the two files do not suit it, the bytes
    /// are read and written.
    pub fn copy_file_range(&self, from: Fd, at: u64, to: Fd, to_at: u64, len: u64) -> Result<u64> {
        let cx = self.cx();
        let (from, to) = (self.file(from)?, self.file(to)?);
        let (open, to_open) = (from.opened()?, to.opened()?);
        for file in [&from, &to] {
            match file.node.kind() {
                Kind::Regular => {}
                Kind::Directory => return Err(Errno::EISDIR),
                _ => return Err(Errno::EINVAL),
            }
        }
        if !from.flags.reads() || !to.flags.writes() || to.flags.has(OpenFlags::APPEND) {
            return Err(Errno::EBADF);
        }
        let fits = |start: u64| start.checked_add(len).is_some_and(|end| end <= OFFSET_MAX);
        if !fits(at) || !fits(to_at) {
            return Err(Errno::EOVERFLOW);
        }
        let size = self.mount().getattr(&cx, &from.node, Some(open))?.size;
        let len = len.min(size.saturating_sub(at));
        if from.node.is(&to.node)
            && at < to_at.saturating_add(len)
            && to_at < at.saturating_add(len)
        {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(0);
        }
        let how = CopyHow { from: at, to: to_at, len };
        match self.mount().copy_file_range(&cx, &from.node, open, &to.node, to_open, how) {
            Err(Errno::MISSING | Errno::EOPNOTSUPP | Errno::EXDEV) => {
                let mut buffer = vec![0; len.min(1 << 20) as usize];
                let got = self.read_at(&from, &mut buffer, at)?;
                let data = buffer.get(..got).unwrap_or_default();
                Ok(self.write_at(&to, data, to_at)? as u64)
            }
            Ok(done) => {
                self.drop_set_id(&cx, &to, to_open)?;
                Ok(done.min(len))
            }
            errno => errno,
        }
    }

    /// Which of those events stand now, poll(2) with no waiting.
    pub fn poll(&self, fd: Fd, events: PollEvents) -> Result<PollEvents> {
        let ready = PollEvents::IN | PollEvents::OUT | PollEvents::RDNORM | PollEvents::WRNORM;
        let file = self.file(fd)?;
        match self.mount().poll(&self.cx(), &file.node, file.opened()?, events) {
            Err(Errno::MISSING) => Ok(events & ready),
            answer => answer,
        }
    }

    /// A device-like request, ioctl(2): its answer and the bytes it wrote, `room` of them at
    /// most.
    pub fn ioctl(&self, fd: Fd, how: Ioctl<'_>, room: usize) -> Result<(i32, Vec<u8>)> {
        let file = self.file(fd)?;
        let mut out = VecSink::new(room);
        let answer = self.mount().ioctl(&self.cx(), &file.node, file.opened()?, how, &mut out);
        let answer = match answer {
            Err(Errno::MISSING | Errno::EOPNOTSUPP) => Err(Errno::ENOTTY),
            answer => answer,
        }?;
        Ok((answer, out.into_bytes()))
    }

    /// What is open, fstat(2).
    pub fn fstat(&self, fd: Fd) -> Result<Stat> {
        let file = self.file(fd)?;
        Ok(self.stat_of(self.mount().getattr(&self.cx(), &file.node, file.open.as_ref())?))
    }

    /// A whole file, for tests and small programs.
    pub fn read_file(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let fd = self.open(path, OpenFlags::RDONLY, 0)?;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        let answer = loop {
            match self.read(fd, &mut buffer) {
                Ok(0) => break Ok(bytes),
                Ok(len) => bytes.extend_from_slice(buffer.get(..len).unwrap_or_default()),
                Err(errno) => break Err(errno),
            }
        };
        self.close(fd)?;
        answer
    }

    /// Makes a file of mode 666 less the umask, or empties the one that is there, and writes it.
    pub fn write_file(&self, path: impl AsRef<[u8]>, bytes: &[u8]) -> Result<()> {
        let fd = self.creat(path, 0o666)?;
        let mut rest = bytes;
        let mut answer = Ok(());
        while !rest.is_empty() && answer.is_ok() {
            match self.write(fd, rest) {
                Ok(len) => rest = rest.get(len..).unwrap_or_default(),
                Err(errno) => answer = Err(errno),
            }
        }
        let closed = self.close(fd);
        answer.and(closed)
    }

    pub(super) fn description(
        &self,
        place: Place,
        flags: OpenFlags,
        opened: Option<Opened>,
    ) -> Result<Arc<Description>> {
        let node = place.node.clone();
        let insert = |opened| self.mount().opens().insert(&node, flags, opened);
        Ok(Arc::new(Description {
            mount: self.local.mount().clone(),
            local: self.local.clone(),
            open: opened.map(insert).transpose()?,
            node,
            flags,
            position: Mutex::new(0),
            place,
        }))
    }

    /// Opens a node that was reached without a path. The permissions are checked.
    pub(super) fn open_place(
        &self,
        cx: &Context<'_>,
        place: Place,
        flags: OpenFlags,
    ) -> Result<Fd> {
        let walk = self.walk(cx);
        self.install(self.open_found(&walk, place, flags)?)
    }

    fn open_from(
        &self,
        cx: &Context<'_>,
        from: &Place,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Fd> {
        let mut walk = self.walk(cx);
        let flags = flags.without(OpenFlags::EXEC); // nobody is run here
        let file = if flags.has(O_PATH) {
            let keep = O_PATH.with(OpenFlags::DIRECTORY).with(OpenFlags::NOFOLLOW);
            let flags = OpenFlags(flags.0 & keep.0);
            let place = walk.find(from, path, !flags.has(OpenFlags::NOFOLLOW))?;
            if flags.has(OpenFlags::DIRECTORY) && place.attr.kind != Kind::Directory {
                return Err(Errno::ENOTDIR);
            }
            self.description(place, flags, None)?
        } else if flags.has(O_TMPFILE) {
            self.open_tmpfile(&mut walk, from, path, flags, mode)?
        } else if flags.has(O_CREAT) {
            if flags.has(OpenFlags::DIRECTORY) {
                return Err(Errno::EINVAL);
            }
            self.open_or_make(&mut walk, from, path, flags, mode)?
        } else {
            let place = walk.find(from, path, !flags.has(OpenFlags::NOFOLLOW))?;
            self.open_found(&walk, place, flags)?
        };
        self.install(file)
    }

    fn open_or_make(
        &self,
        walk: &mut Walk<'_>,
        from: &Place,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Arc<Description>> {
        let (mut from, mut path) = (from.clone(), path.to_vec());
        loop {
            let Parent { dir, last, slash } = walk.parent(&from, &path)?;
            let Last::Name(name) = last else {
                let exclusive = flags.has(OpenFlags::EXCL);
                return Err(if exclusive { Errno::EEXIST } else { Errno::EISDIR });
            };
            if slash {
                return Err(Errno::EISDIR);
            }
            match walk.child(&dir, &name) {
                Ok(_) if flags.has(OpenFlags::EXCL) => return Err(Errno::EEXIST),
                Ok(link) if link.attr.kind == Kind::Symlink => {
                    if flags.has(OpenFlags::NOFOLLOW) {
                        return Err(Errno::ELOOP);
                    }
                    path = walk.target(&link)?;
                    from = dir;
                }
                Ok(place) if place.attr.kind == Kind::Directory => return Err(Errno::EISDIR),
                Ok(place) => return self.open_found(walk, place, flags),
                Err(Errno::ENOENT) => {
                    walk.may_create(&dir)?;
                    return self.make_and_open(walk, &dir, Name::new(&name)?, flags, mode);
                }
                Err(errno) => return Err(errno),
            }
        }
    }

    fn make_and_open(
        &self,
        walk: &Walk<'_>,
        dir: &Place,
        name: Name<'_>,
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Arc<Description>> {
        let (mount, cx) = (self.mount(), walk.cx);
        let how = MakeHow {
            flags: flags.without(O_CREAT),
            umask: self.mask(),
            kill_priv: permission::loses_set_id(cx),
            ..MakeHow::mode(mode & 0o7777)
        };
        match mount.create(cx, &dir.node, name, how) {
            Ok(created) => {
                let place = walk.adopt(dir, &created.entry)?;
                self.description(place, flags, Some(created.opened))
            }
            Err(Errno::MISSING) => {
                let made = mount.mknod(cx, &dir.node, name, Kind::Regular, how);
                let place = walk.adopt(dir, &made.or_missing(Errno::EACCES)?)?;
                // The maker may write what it made, whatever the mode says.
                let how = OpenHow { flags: how.flags.without(OpenFlags::TRUNC), kill_priv: false };
                let opened = mount.open(cx, &place.node, how)?;
                self.description(place, flags, Some(opened))
            }
            Err(errno) => Err(errno),
        }
    }

    fn open_tmpfile(
        &self,
        walk: &mut Walk<'_>,
        from: &Place,
        path: &[u8],
        flags: OpenFlags,
        mode: u32,
    ) -> Result<Arc<Description>> {
        if !flags.writes() || flags.has(O_CREAT) {
            return Err(Errno::EINVAL);
        }
        let dir = walk.find(from, path, true)?;
        if dir.attr.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        walk.may_create(&dir)?;
        let open_flags = flags.without(O_TMPFILE);
        let umask = self.mask();
        let how = MakeHow { flags: open_flags, umask, ..MakeHow::mode(mode & 0o7777) };
        let made = self.mount().tmpfile(walk.cx, &dir.node, how).or_missing(Errno::EOPNOTSUPP)?;
        let place = walk.adopt(&dir, &made.entry)?;
        self.description(place, open_flags, Some(made.opened))
    }

    /// Opens what is there.
    fn open_found(
        &self,
        walk: &Walk<'_>,
        place: Place,
        flags: OpenFlags,
    ) -> Result<Arc<Description>> {
        let changes = flags.changes();
        match place.attr.kind {
            Kind::Symlink => return Err(Errno::ELOOP),
            Kind::Directory if changes => return Err(Errno::EISDIR),
            Kind::Directory | Kind::Regular => {}
            _ if flags.has(OpenFlags::DIRECTORY) => return Err(Errno::ENOTDIR),
            _ => {}
        }
        if flags.has(OpenFlags::DIRECTORY) && place.attr.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut want = Access::empty();
        // Access mode 3, "for ioctl", wants both.
        want.set(Access::READ, flags.reads() || !flags.writes());
        want.set(Access::WRITE, changes || (!flags.reads() && !flags.writes()));
        walk.access(&place, want)?;
        if flags.has(OpenFlags::NOATIME) && !permission::owns(walk.cx, &place.attr) {
            return Err(Errno::EPERM);
        }
        if place.attr.kind.is_special() {
            return Err(Errno::ENXIO);
        }
        let how = OpenHow {
            flags: flags.without(O_CREAT).without(OpenFlags::EXCL),
            kill_priv: flags.has(OpenFlags::TRUNC) && permission::loses_set_id(walk.cx),
        };
        let opened = self.mount().open(walk.cx, &place.node, how).or_missing(Errno::EOPNOTSUPP)?;
        self.description(place, flags, Some(opened))
    }

    fn read_at(&self, file: &Description, buffer: &mut [u8], offset: u64) -> Result<usize> {
        let open = file.opened()?;
        if !file.flags.reads() {
            return Err(Errno::EBADF);
        }
        if file.node.kind() == Kind::Directory {
            return Err(Errno::EISDIR);
        }
        if offset > OFFSET_MAX {
            return Err(Errno::EINVAL);
        }
        let room = buffer.len().min(MOST_BYTES);
        let mut sink = SliceSink::new(buffer.get_mut(..room).unwrap_or_default());
        self.mount()
            .read(&self.cx(), &file.node, open, offset, &mut sink)
            .or_missing(Errno::EINVAL)?;
        Ok(filofs::Sink::taken(&sink))
    }

    fn write_at(&self, file: &Description, bytes: &[u8], offset: u64) -> Result<usize> {
        let open = file.opened()?;
        if !file.flags.writes() {
            return Err(Errno::EBADF);
        }
        if offset > OFFSET_MAX {
            return Err(Errno::EINVAL);
        }
        let room = (OFFSET_MAX - offset).min(MOST_BYTES as u64) as usize;
        let bytes = bytes.get(..bytes.len().min(room)).unwrap_or_default();
        if bytes.is_empty() {
            return if room == 0 { Err(Errno::EFBIG) } else { Ok(0) };
        }
        let cx = self.cx();
        let mut flags = WriteFlags::empty();
        flags.set(WriteFlags::KILL_PRIV, permission::loses_set_id(&cx));
        let mut source = SliceSource::new(bytes);
        let answer = self.mount().write(&cx, &file.node, open, offset, &mut source, flags);
        match answer.or_missing(Errno::EINVAL)? {
            len if len <= bytes.len() => Ok(len),
            _ => Err(Errno::EPROTO),
        }
    }

    /// After a change of data by an operation that carries no such flag itself: takes set-id
    /// bits away as a write would have.
    fn drop_set_id(&self, cx: &Context<'_>, file: &Description, open: &Open) -> Result<()> {
        if !permission::loses_set_id(cx) {
            return Ok(());
        }
        let attr = self.mount().getattr(cx, &file.node, Some(open))?;
        if permission::without_set_id(cx, &attr) == attr.mode {
            return Ok(());
        }
        let mode = Some(permission::without_set_id(cx, &attr));
        let set = SetAttr { mode, ..SetAttr::default() };
        self.mount().setattr(cx, &file.node, Some(open), &set).map(drop)
    }
}

impl Description {
    /// The open that the file system knows: EBADF for one made with O_PATH.
    pub(super) fn opened(&self) -> Result<&Open> {
        self.open.as_ref().ok_or(Errno::EBADF)
    }
}
