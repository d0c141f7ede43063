//! `Host`: the way to files of the host: by descriptor, by handle, one name at a time.

use super::covered::pass_below;
use super::descriptors::{DESCRIPTORS, with_room};
use super::inode::{Cached, Identity, Inode, Place};
use super::inodes::Inodes;
use super::local::is_local;
use super::rights::Rights;
use super::sys::{self, HostHandle};
use super::up;
use super::watch::Watch;
use filofs::{
    Attr, Backed, Device, Entry, Errno, Generation, Gid, Kind, Name, Result, Time, Uid, locked,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{
    AtFlags, Mode, OFlags, ResolveFlags, Statx, StatxAttributes, StatxFlags, StatxTimestamp,
};
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::io::Write;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

/// What all inodes of one mounted directory share.
pub(super) struct Host {
    pub(super) me: Weak<Host>,
    pub(super) rights: Rights,
    pub(super) inodes: Inodes,
    pub(super) generation: Generation,
    pub(super) entry_ttl: Duration,
    pub(super) attr_ttl: Duration,
    /// Whether other file systems mounted below are refused.
    pub(super) one_device: bool,
    /// Whether locks are kept below, where other programs meet them.
    pub(super) keeps_locks: bool,
    /// Whether the host opens by handle, for us.
    pub(super) handles: bool,
    /// The device of the root.
    pub(super) dev: u64,
    /// Changes that others make are told at once.
    pub(super) watch: Option<Arc<Watch>>,
    /// /proc, opened and checked when the base was set up.
    proc: OwnedFd,
    /// A descriptor on each mount that handles were made of, with its device.
    mounts: Mutex<HashMap<i32, (u64, Arc<OwnedFd>)>>,
}

/// What a name led to.
pub(super) struct Found {
    pub(super) stat: Statx,
    /// Where it had to be opened to be looked at.
    pub(super) fd: Option<OwnedFd>,
    /// Whether its file system is local, see [`Inode::local`].
    pub(super) local: bool,
}

/// Handles of more mounts than this are not kept.
const MOST_MOUNTS: usize = 1024;

/// A chain of names to follow, longer than any that a path can have.
const MOST_STEPS: usize = 65_536;

/// Flags with which nodes are held.
pub(super) const HOLD: OFlags = OFlags::PATH.union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// What is asked of statx(2).
const ASK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);

impl Host {
    pub(super) fn new(me: Weak<Host>, proc: OwnedFd, set: super::setup::Settings) -> Host {
        Host {
            me,
            rights: set.rights,
            inodes: Inodes::new(set.remember),
            generation: set.generation,
            entry_ttl: set.entry_ttl,
            attr_ttl: set.attr_ttl,
            one_device: set.one_device,
            keeps_locks: set.host_locks,
            handles: set.handles,
            dev: set.dev,
            watch: set.watch.map(Arc::new),
            proc,
            mounts: Mutex::default(),
        }
    }

    /// The descriptor of an inode: the one it has, or a new one. May act with the process' own
    /// rights on the way, so it comes before [`Rights::as_caller`], never inside.
    pub(super) fn descriptor(&self, inode: &Arc<Inode>) -> Result<Arc<OwnedFd>> {
        let known = held(inode).or_else(|| inode.opened());
        let fd = match known {
            Some(fd) => fd,
            None => hold(inode, self.find_again(inode)?),
        };
        self.watch(inode, &fd);
        Ok(fd)
    }

    /// What an inode is now: one system call, by its descriptor or else by its name, with
    /// whatever rights the thread has where they are enough. May act with the process' own.
    pub(super) fn stat(&self, inode: &Arc<Inode>) -> Result<Statx> {
        if let Some(fd) = held(inode).or_else(|| inode.opened()) {
            return stat(fd);
        }
        // A directory that is watched has a descriptor, and so is marked.
        let is_watched = self.watch.is_some() && inode.identity.kind == Kind::Directory;
        if let Some(place) = inode.short_way().filter(|_| !is_watched) {
            let dir = self.descriptor(&place.parent)?;
            let name = Name::new(&place.name)?;
            let asked = self.as_anybody(|| stat_name(&place.parent, &dir, name));
            if let Ok(stat) = asked
                && is_beside(&stat)
                && inode.identity.agrees(&Identity::of(&stat)?)
            {
                return Ok(stat);
            }
        }
        stat(self.descriptor(inode)?)
    }

    /// Does what needs a right to search at most: with the rights the thread has, then with the
    /// process' own.
    fn as_anybody<T>(&self, mut act: impl FnMut() -> Result<T>) -> Result<T> {
        match act() {
            Err(Errno::EACCES | Errno::EPERM) => {
                self.rights.as_own()?;
                act()
            }
            done => done,
        }
    }

    /// The inode of what was found under a name. A descriptor is kept if one is given.
    pub(super) fn meet(
        &self,
        stat: &Statx,
        fd: Option<OwnedFd>,
        local: bool,
        place: Option<(&Arc<Inode>, Name<'_>)>,
    ) -> Result<Arc<Inode>> {
        let identity = Identity::of(stat)?;
        let (inode, new) = self.inodes.meet(identity, None, &self.me, local, place, None);
        if let Some((parent, name)) = place
            && !new
        {
            inode.set_place(parent, name);
        }
        if let Some(fd) = fd {
            if new && identity.dev != self.dev && identity.kind == Kind::Directory {
                self.keep_mount(&fd, &identity);
            }
            hold(&inode, fd);
        }
        Ok(inode)
    }

    /// The answer for an inode.
    pub(super) fn entry(&self, inode: Arc<Inode>, stat: &Statx) -> Result<Entry> {
        Ok(Entry {
            cookie: inode.cookie,
            generation: self.generation,
            attr: self.attr(stat)?,
            ttl: self.entry_ttl,
            state: Some(inode),
        })
    }

    /// What stat says, in our words.
    pub(super) fn attr(&self, stat: &Statx) -> Result<Attr> {
        let identity = Identity::of(stat)?;
        let time = |t: StatxTimestamp| Time::new(t.tv_sec, t.tv_nsec);
        Ok(Attr {
            ino: self.ino(&identity),
            kind: identity.kind,
            mode: u32::from(stat.stx_mode) & 0o7777,
            nlink: stat.stx_nlink,
            uid: Uid(stat.stx_uid),
            gid: Gid(stat.stx_gid),
            size: stat.stx_size,
            blocks: stat.stx_blocks,
            blksize: stat.stx_blksize,
            rdev: Device { major: stat.stx_rdev_major, minor: stat.stx_rdev_minor },
            atime: time(stat.stx_atime),
            mtime: time(stat.stx_mtime),
            ctime: time(stat.stx_ctime),
            btime: has_birth(stat).then(|| time(stat.stx_btime)),
            ttl: self.attr_ttl,
        })
    }

    /// The inode number shown: the host's, but on other devices than the root's one that is
    /// mixed with the device, because a mount has one device number for all.
    pub(super) fn ino(&self, identity: &Identity) -> u64 {
        if identity.dev == self.dev {
            return identity.ino;
        }
        let mixed =
            (identity.ino ^ identity.dev.rotate_left(20)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (mixed ^ mixed >> 29) | 1 << 63
    }

    /// What a name in a directory leads to, itself if it is a link: one system call, with the
    /// rights of the thread. Never follows a link, never leaves the directory.
    pub(super) fn look(
        &self,
        parent: &Inode,
        dir: BorrowedFd<'_>,
        name: Name<'_>,
    ) -> Result<Found> {
        if parent.local {
            let stat = stat_name(parent, dir, name)?;
            // Without a birth time only a descriptor keeps a file and its number together.
            if is_beside(&stat) && Identity::of(&stat)?.born.is_some() {
                return Ok(Found { stat, fd: None, local: true });
            }
        }
        let fd = self.step(dir, name)?;
        let stat = stat(&fd)?;
        let local = if is_beside(&stat) { parent.local } else { is_local(&fd, &stat) };
        Ok(Found { stat, fd: Some(fd), local })
    }

    /// Opens one name, to hold it. Never follows a link, never leaves the directory.
    pub(super) fn step(&self, dir: BorrowedFd<'_>, name: Name<'_>) -> Result<OwnedFd> {
        let open = |resolve| {
            with_room(|| {
                rustix::fs::openat2(dir, name.bytes(), HOLD, Mode::empty(), resolve).map_err(up)
            })
        };
        let resolve =
            ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
        // Only a mount point is looked at twice.
        match open(resolve | ResolveFlags::NO_XDEV) {
            Err(Errno::EXDEV) if !self.one_device => pass_below(open(resolve)?),
            found => found,
        }
    }

    /// Opens what a descriptor holds, for I/O, with the rights of the thread.
    pub(super) fn reopen(&self, fd: BorrowedFd<'_>, flags: OFlags) -> Result<OwnedFd> {
        let path = ProcPath::of(fd);
        let flags = flags | OFlags::CLOEXEC | OFlags::NOCTTY;
        with_room(|| {
            rustix::fs::openat(&self.proc, path.as_c_str(), flags, Mode::empty()).map_err(up)
        })
    }

    /// /proc, from where a [`ProcPath`] goes.
    pub(super) fn proc(&self) -> BorrowedFd<'_> {
        self.proc.as_fd()
    }

    /// The handle of what is open, and of its mount. `None` where the host has none, or the mount
    /// is not one that is kept to hand.
    pub(super) fn handle(&self, fd: &impl AsFd) -> Option<(HostHandle, i32)> {
        if !self.handles {
            return None;
        }
        let found = sys::handle_of(fd.as_fd()).ok()?;
        locked(&self.mounts).contains_key(&found.1).then_some(found)
    }

    /// Keeps a mount to hand, by a directory on it: opening by handle takes no O_PATH descriptor.
    pub(super) fn keep_mount(&self, dir: &impl AsFd, identity: &Identity) {
        let Some((_, mount)) = self.handles.then(|| sys::handle_of(dir.as_fd()).ok()).flatten()
        else {
            return;
        };
        let known = {
            let mounts = locked(&self.mounts);
            mounts.contains_key(&mount) || mounts.len() >= MOST_MOUNTS
        };
        if known || self.rights.as_own().is_err() {
            return;
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(fd) = rustix::fs::openat(dir, c".", flags, Mode::empty()) {
            locked(&self.mounts).insert(mount, (identity.dev, Arc::new(fd)));
        }
    }

    /// The handle of an inode that goes: of its descriptor or, if it has none, of its name.
    /// Whether that name still led to the same file is found out when the handle is opened.
    pub(super) fn last_handle(&self, inode: &Inode) -> Option<(HostHandle, i32)> {
        if let Some(known) = inode.handle.get() {
            return known.as_deref().cloned();
        }
        if let Some(cached) = &*locked(&inode.slot) {
            return self.handle(&cached.fd);
        }
        let Place { parent, name } = inode.place().filter(|_| self.handles)?;
        let name = CString::new(&*name).ok()?;
        let dir = self.descriptor(&parent).ok()?;
        let (handle, mount) = self.as_anybody(|| sys::handle_at(dir.as_fd(), &name)).ok()?;
        locked(&self.mounts).contains_key(&mount).then_some((handle, mount))
    }

    /// Opens a handle, to hold what it names. ESTALE when that is gone.
    pub(super) fn open_handle(&self, handle: &HostHandle, mount: i32) -> Result<OwnedFd> {
        let on = locked(&self.mounts).get(&mount).map(|(_, fd)| fd.clone()).ok_or(Errno::ESTALE)?;
        self.rights.as_own()?;
        // O_NOFOLLOW lets a symbolic link itself be held.
        let flags = HOLD.bits() as i32;
        with_room(|| sys::open_handle(on.as_fd(), handle, flags))
    }

    /// A mount of that device that handles were made of.
    pub(super) fn mount_of(&self, dev: u64) -> Option<i32> {
        locked(&self.mounts).iter().find(|(_, (d, _))| *d == dev).map(|(mount, _)| *mount)
    }

    /// A new descriptor for an inode that has none. ESTALE when it is not to be found.
    fn find_again(&self, inode: &Arc<Inode>) -> Result<OwnedFd> {
        let mut down = Vec::new();
        let mut at = inode.clone();
        let mut fd = loop {
            if let Some((handle, mount)) = at.handle.get().and_then(Option::as_deref) {
                let fd = self.open_handle(handle, *mount)?;
                check(&at, fd.as_fd())?;
                break Arc::new(fd);
            }
            let place = at.place().ok_or(Errno::ESTALE)?;
            down.push((at, place.name));
            if down.len() > MOST_STEPS {
                return Err(Errno::ESTALE);
            }
            at = place.parent;
            if let Some(fd) = held(&at) {
                break fd;
            }
        };
        while let Some((inode, name)) = down.pop() {
            let name = Name::new(&name)?;
            let next =
                self.as_anybody(|| self.step(fd.as_fd(), name)).map_err(|errno| match errno {
                    Errno::ENOENT | Errno::ENOTDIR => Errno::ESTALE,
                    other => other,
                })?;
            check(&inode, next.as_fd())?;
            fd = if down.is_empty() { Arc::new(next) } else { hold(&inode, next) };
        }
        match Arc::try_unwrap(fd) {
            Ok(fd) => Ok(fd),
            Err(shared) => sys::duplicate(&shared),
        }
    }

    /// Whether an inode is found again after its descriptor was closed.
    ///
    /// What it looked at comes back in `place`, to be dropped without a lock: it may be the last
    /// reference to an inode.
    fn is_findable(&self, inode: &Inode, fd: &OwnedFd, place: &mut Option<Place>) -> bool {
        if inode.orphan.load(Ordering::Relaxed) {
            return false;
        }
        if inode.handle.get_or_init(|| self.handle(fd).map(Box::new)).is_some() {
            return true;
        }
        *place = inode.place();
        let Some(place) = place else { return false };
        // Not waited for: the parent's lock may be held by who waits for this inode's.
        let Ok(slot) = place.parent.slot.try_lock() else { return true };
        let Some(cached) = &*slot else { return true };
        let Ok(name) = Name::new(&place.name) else { return false };
        // Ourselves may be mounted there, and whoever would answer may wait for these locks.
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        match rustix::fs::statx(&cached.fd, name.bytes(), flags, ASK) {
            Ok(stat) => Identity::of(&stat).is_ok_and(|found| inode.identity.agrees(&found)),
            Err(errno) => errno != rustix::io::Errno::NOENT,
        }
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        self.watch.iter().for_each(|watch| watch.end());
    }
}

/// Takes an inode's descriptor away, if it was not used of late and the inode is found again
/// without it. By force: whatever that means for the inode.
pub(super) fn evict(inode: &Arc<Inode>, force: bool) {
    let Some(host) = inode.home.upgrade() else { return };
    if inode.used.swap(false, Ordering::Relaxed) && !force {
        return;
    }
    let mut place_seen = None;
    let closed;
    {
        let mut slot = locked(&inode.slot);
        let Some(Cached { fd, place: Some(place) }) = &*slot else { return };
        if !force && (Arc::strong_count(fd) > 1 || !host.is_findable(inode, fd, &mut place_seen)) {
            return;
        }
        DESCRIPTORS.leave(*place);
        closed = slot.take();
    }
    drop(closed);
}

/// Gives an inode a descriptor, unless it has one.
pub(super) fn hold(inode: &Arc<Inode>, fd: OwnedFd) -> Arc<OwnedFd> {
    let held = {
        let mut slot = locked(&inode.slot);
        inode.used.store(true, Ordering::Relaxed);
        if let Some(cached) = &*slot {
            return cached.fd.clone();
        }
        let fd = Arc::new(fd);
        let place = Some(DESCRIPTORS.enter(inode));
        *slot = Some(Cached { fd: fd.clone(), place });
        fd
    };
    DESCRIPTORS.settle();
    held
}

/// The descriptor that an inode has.
pub(super) fn held(inode: &Inode) -> Option<Arc<OwnedFd>> {
    let slot = locked(&inode.slot);
    let cached = slot.as_ref()?;
    inode.used.store(true, Ordering::Relaxed);
    Some(cached.fd.clone())
}

/// ESTALE unless that is open there.
fn check(inode: &Inode, fd: BorrowedFd<'_>) -> Result<()> {
    let found = Identity::of(&stat(fd)?)?;
    if inode.identity.agrees(&found) { Ok(()) } else { Err(Errno::ESTALE) }
}

/// Whether it says when the file was made.
pub(super) const fn has_birth(stat: &Statx) -> bool {
    stat.stx_mask & StatxFlags::BTIME.bits() != 0
}

/// What is open there: one system call, whoever asks.
pub(super) fn stat(fd: impl AsFd) -> Result<Statx> {
    rustix::fs::statx(fd, c"", AtFlags::EMPTY_PATH, ASK).map_err(up)
}

/// What a name in a directory leads to, itself if it is a link.
pub(super) fn stat_name(parent: &Inode, dir: impl AsFd, name: Name<'_>) -> Result<Statx> {
    let mut flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    if parent.local {
        // There it changes nothing, and what is mounted there, ourselves perhaps, is not asked.
        flags |= AtFlags::STATX_DONT_SYNC;
    }
    rustix::fs::statx(dir, name.bytes(), flags, ASK).map_err(up)
}

/// Opens a regular file or directory by its name, with the rights of the thread. Never follows a
/// link, never leaves the directory, never waits for a fifo's other end.
pub(super) fn open_name(dir: impl AsFd, name: Name<'_>, flags: OFlags) -> Result<OwnedFd> {
    let never = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_XDEV | ResolveFlags::NO_SYMLINKS;
    with_room(|| {
        rustix::fs::openat2(&dir, name.bytes(), flags | never, Mode::empty(), resolve).map_err(up)
    })
}

/// Whether what a name led to is on the same mount as its directory.
pub(super) fn is_beside(stat: &Statx) -> bool {
    stat.stx_attributes_mask.contains(StatxAttributes::MOUNT_ROOT)
        && !stat.stx_attributes.contains(StatxAttributes::MOUNT_ROOT)
}

/// In what files of the host the data below a directory is, for those who would read them
/// directly.
pub(super) fn backed(dir: &OwnedFd) -> Backed {
    // Numbers of linux/magic.h: overlayfs, FUSE, ecryptfs.
    const STACKED: [u64; 3] = [0x794c_7630, 0x6573_5546, 0xf15f];
    match rustix::fs::fstatfs(dir) {
        Ok(found) if STACKED.contains(&(found.f_type as u64 & 0xffff_ffff)) => {
            Backed::ByStackedFiles
        }
        Ok(_) => Backed::ByFiles,
        Err(_) => Backed::No,
    }
}

/// `self/fd/N`, to be followed from /proc: the one way to a file itself for calls that take no
/// descriptor. Following it needs no rights: it leads to what we have open.
pub(super) struct ProcPath([u8; 24]);

impl ProcPath {
    pub(super) fn of(fd: BorrowedFd<'_>) -> ProcPath {
        use rustix::fd::AsRawFd;
        let mut path = [0; 24];
        let mut rest = path.as_mut_slice();
        // "self/fd/" and at most 11 digits.
        let _ = write!(rest, "self/fd/{}", fd.as_raw_fd());
        ProcPath(path)
    }

    pub(super) fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(&self.0).unwrap_or_default()
    }
}
