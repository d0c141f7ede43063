//! `mem`: a complete POSIX file system in memory.
//!
//! What it promises beyond the contract:
//!
//! - Everything a Linux file system can do but quotas and moving blocks (COLLAPSE, INSERT): all
//!   kinds of file, hard links, sparse files, extended attributes, ACLs, O_TMPFILE, the three ways
//!   of renaming, chattr(1)'s immutable and append-only, locks, handles.
//! - A size limit that is exact: a page (4 KiB) of data, a byte of an extended attribute or of a
//!   symlink's target. A write takes what fits; ENOSPC when nothing does. Holes cost nothing.
//! - Names are looked up, made and removed in constant or logarithmic time, and a listing is
//!   exact whatever comes and goes beside it.
//! - An empty file costs about 400 bytes, its name included (the example `mem_cost` measures).
//! - Access times move as under relatime. Inode numbers are never used again.
//!
//! Who may do what is decided above, as for any base; but what depends on who asks and is no
//! question of permission is decided here: owners and groups of new files, set-id bits and file
//! capabilities that must not survive.
//!
//! Locks: one for each directory's names, each file's pages and each inode's attributes; the
//! order stands at the head of `inode`.

mod data;
mod directory;
mod fileflags;
mod inode;
mod pages;
mod rename;
mod settings;
mod space;
#[cfg(test)]
mod testfs;
mod tree;
mod volume;
mod xattr;

pub use settings::{DEFINITION, Settings};

use directory::Horizon;
use fileflags::FileFlags;
use filofs::{
    Attr, Context, Cookie, CopyHow, Created, DirEntry, DirOffset, DirSink, Entry, Errno,
    FallocateFlags, FileHandle, FileSystem, Ioctl, Kind, Lock, LockKind, LockOwner, MakeHow, Name,
    Node, Open, OpenFlags, OpenHow, Opened, OpenedFlags, PollEvents, Profile, ReleaseHow,
    RenameFlags, Result, Seek, SetAttr, Sink, Source, Statfs, Time, Uid, WriteFlags, XattrFlags,
};
use inode::Inode;
use pages::PAGE;
use space::Space;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use volume::Volume;

/// A file system in memory. It goes when the last node and open of it are dropped.
pub struct Mem {
    volume: Arc<Volume>,
    root: Arc<Inode>,
    settings: Settings,
}

impl Mem {
    /// An empty one.
    pub fn new(settings: Settings) -> Mem {
        let volume = Arc::new(Volume::new(Space::new(settings.size, settings.inodes)));
        let root = Inode::new_root(&volume, settings.uid, settings.gid, settings.mode);
        Mem { volume, root, settings }
    }
}

impl FileSystem for Mem {
    fn name(&self) -> &'static str {
        "mem"
    }

    fn describe(&self) -> String {
        format!("mem:{}", self.settings)
    }

    fn profile(&self) -> Profile {
        Profile {
            owns_files: true,
            negative_ttl: Inode::TTL,
            locks: true,
            exportable: true,
            stateless: self.settings.stateless,
            // It could be; but then FUSE says who asks only where something is made.
            ..Profile::default()
        }
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(self.root.entry())
    }

    fn statfs(&self, _: &Context<'_>, _: &Node) -> Result<Statfs> {
        let Space { bytes, inodes } = &self.volume.space;
        let free = bytes.left() / PAGE as u64;
        Ok(Statfs {
            blocks: bytes.limit() / PAGE as u64,
            bfree: free,
            bavail: free,
            files: inodes.limit(),
            ffree: inodes.left(),
            bsize: PAGE as u32,
            frsize: PAGE as u32,
            namelen: Name::MAX as u32,
        })
    }

    fn handle_of(&self, _: &Context<'_>, node: &Node) -> Result<FileHandle> {
        self.volume.handle(Inode::of(node)?)
    }

    fn node_of(&self, _: &Context<'_>, handle: &FileHandle) -> Result<Entry> {
        Ok(self.volume.resolve(handle)?.entry())
    }

    fn recall(&self, _: &Context<'_>, cookie: Cookie) -> Result<Entry> {
        Ok(self.volume.find(cookie)?.entry())
    }

    fn lookup(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        Ok(tree::lookup(dir, name)?.entry())
    }

    fn parent(&self, _: &Context<'_>, dir: &Node) -> Result<Entry> {
        Ok(tree::parent(dir)?.entry())
    }

    fn readdir(
        &self,
        _: &Context<'_>,
        dir: &Node,
        open: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        /// Entries copied out in one go: the sink is never called with the directory locked.
        const BATCH: usize = 128;
        let dir = Inode::of(dir)?;
        let folder = dir.folder()?;
        if !open.flags().has(OpenFlags::NOATIME) {
            dir.accessed();
        }
        let (mut place, end) = {
            let entries = shared(&folder.entries);
            match open.state::<Horizon>() {
                Some(horizon) => horizon.range(offset, &entries),
                None => Horizon::of(&entries).range(offset, &entries),
            }
        };
        loop {
            let batch = shared(&folder.entries).after(place, end, BATCH);
            for dent in &batch {
                let entry = DirEntry {
                    name: Name::new(dent.name())?,
                    ino: dent.inode.ino,
                    kind: Some(dent.inode.kind),
                    next: Horizon::offset(dent.offset, end),
                    entry: out.wants_entry_of(Some(dent.inode.kind)).then(|| dent.inode.entry()),
                };
                if out.add(entry).is_err() {
                    return Ok(());
                }
                place = dent.offset;
            }
            if batch.len() < BATCH {
                return Ok(());
            }
        }
    }

    fn readlink(&self, _: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<()> {
        let inode = Inode::of(node)?;
        out.put(inode.target()?);
        inode.accessed();
        Ok(())
    }

    fn mknod(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        kind: Kind,
        how: MakeHow,
    ) -> Result<Entry> {
        match kind {
            Kind::Directory | Kind::Symlink => Err(Errno::EPERM),
            _ => Ok(tree::make(cx, dir, name, kind, &how)?.entry()),
        }
    }

    fn mkdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>, how: MakeHow) -> Result<Entry> {
        Ok(tree::make(cx, dir, name, Kind::Directory, &how)?.entry())
    }

    fn symlink(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
    ) -> Result<Entry> {
        Ok(tree::symlink(cx, dir, name, target)?.entry())
    }

    fn link(&self, _: &Context<'_>, node: &Node, dir: &Node, name: Name<'_>) -> Result<Entry> {
        Ok(tree::link(node, dir, name)?.entry())
    }

    fn create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Created> {
        let (inode, new) = tree::create(cx, dir, name, &how)?;
        if !new {
            if inode.kind == Kind::Directory {
                return Err(Errno::EISDIR);
            }
            data::open(cx, &inode, how.flags, how.kill_priv)?;
        }
        Ok(Created { entry: inode.entry(), opened: opened(&inode) })
    }

    fn tmpfile(&self, cx: &Context<'_>, dir: &Node, how: MakeHow) -> Result<Created> {
        let inode = tree::tmpfile(cx, dir, &how)?;
        Ok(Created { entry: inode.entry(), opened: opened(&inode) })
    }

    fn unlink(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        tree::unlink(dir, name)
    }

    fn rmdir(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        tree::rmdir(dir, name)
    }

    fn rename(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        to_dir: &Node,
        to_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        rename::rename(cx, &Inode::arc_of(dir)?, name, &Inode::arc_of(to_dir)?, to_name, flags)
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(Inode::of(node)?.attr())
    }

    fn setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        _: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        data::setattr(cx, Inode::of(node)?, set)
    }

    fn getxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        xattr::getxattr(cx, Inode::of(node)?, key, out)
    }

    fn setxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        xattr::setxattr(cx, Inode::of(node)?, key, value, flags)
    }

    fn listxattr(&self, cx: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<usize> {
        xattr::listxattr(cx, Inode::of(node)?, out)
    }

    fn removexattr(&self, cx: &Context<'_>, node: &Node, key: &[u8]) -> Result<()> {
        xattr::removexattr(cx, Inode::of(node)?, key)
    }

    fn open(&self, cx: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        let inode = Inode::of(node)?;
        data::open(cx, inode, how.flags, how.kill_priv)?;
        Ok(opened(inode))
    }

    fn flush(&self, _: &Context<'_>, node: &Node, _: &Open, owner: LockOwner) -> Result<()> {
        self.volume.locks.release(node.cookie(), owner);
        Ok(())
    }

    fn release(&self, _: &Context<'_>, node: &Node, _: &Open, how: ReleaseHow) -> Result<()> {
        if let Some(owner) = how.owner {
            self.volume.locks.release_flock(node.cookie(), owner);
        }
        Ok(())
    }

    fn read(
        &self,
        _: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        data::read(Inode::of(node)?, open.flags(), offset, out)
    }

    fn write(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        data: &mut dyn Source,
        flags: WriteFlags,
    ) -> Result<usize> {
        data::write(cx, Inode::of(node)?, open.flags(), offset, data, flags)
    }

    fn fallocate(
        &self,
        cx: &Context<'_>,
        node: &Node,
        _: &Open,
        offset: u64,
        len: u64,
        flags: FallocateFlags,
    ) -> Result<()> {
        data::fallocate(cx, Inode::of(node)?, offset, len, flags)
    }

    fn lseek(
        &self,
        _: &Context<'_>,
        node: &Node,
        _: &Open,
        offset: u64,
        what: Seek,
    ) -> Result<u64> {
        shared(Inode::of(node)?.pages()?).seek(offset, what)
    }

    fn copy_file_range(
        &self,
        cx: &Context<'_>,
        node: &Node,
        _: &Open,
        to_node: &Node,
        to_open: &Open,
        how: CopyHow,
    ) -> Result<u64> {
        data::copy(cx, Inode::of(node)?, Inode::of(to_node)?, to_open.flags(), how)
    }

    /// Files in memory are always ready.
    fn poll(&self, _: &Context<'_>, _: &Node, _: &Open, events: PollEvents) -> Result<PollEvents> {
        let ready = PollEvents::IN | PollEvents::OUT | PollEvents::RDNORM | PollEvents::WRNORM;
        Ok(events & ready)
    }

    fn ioctl(
        &self,
        cx: &Context<'_>,
        node: &Node,
        _: &Open,
        how: Ioctl<'_>,
        out: &mut dyn Sink,
    ) -> Result<i32> {
        // Those that open(2) would have to see to need one that is asked.
        let guarded = FileFlags::IMMUTABLE | FileFlags::APPEND;
        let kept =
            if self.settings.stateless { FileFlags::all() - guarded } else { FileFlags::all() };
        fileflags::ioctl(cx, Inode::of(node)?, how, kept, out)
    }

    fn getlk(
        &self,
        _: &Context<'_>,
        node: &Node,
        _: &Open,
        owner: LockOwner,
        lock: Lock,
    ) -> Result<Lock> {
        self.volume.locks.test(node.cookie(), owner, lock)
    }

    fn setlk(
        &self,
        cx: &Context<'_>,
        node: &Node,
        _: &Open,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        self.volume.locks.set(cx, node.cookie(), owner, lock, wait)
    }

    fn flock(
        &self,
        cx: &Context<'_>,
        node: &Node,
        _: &Open,
        owner: LockOwner,
        kind: LockKind,
        wait: bool,
    ) -> Result<()> {
        self.volume.locks.flock(cx, node.cookie(), owner, kind, wait)
    }
}

/// What is cached above stays good from open to open: nobody else changes it.
fn opened(inode: &Inode) -> Opened {
    match inode.folder() {
        Ok(folder) => Opened {
            state: Some(Arc::new(Horizon::of(&shared(&folder.entries)))),
            flags: OpenedFlags::KEEP_CACHE | OpenedFlags::CACHE_DIR,
            ..Opened::default()
        },
        Err(_) => Opened { flags: OpenedFlags::KEEP_CACHE, ..Opened::default() },
    }
}

/// Takes a lock to look, whoever panicked with it (see [`filofs::locked`]).
fn shared<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

/// Takes a lock to change, whoever panicked with it.
fn exclusive<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

/// The time as files keep it: the kernel's tick (CLOCK_REALTIME_COARSE), not the finer clock. A
/// kernel that keeps written data back stamps such files itself, from its tick; from the finer
/// clock a file made before would seem younger than one written after, and make(1) go wrong.
fn now() -> Time {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
    Time::new(time.tv_sec, time.tv_nsec as u32)
}

/// Whether the caller has the super-user's rights, as far as it can be told. `u32::MAX` is what
/// FUSE says in most requests where idmapped mounts are possible; then the kernel, which knows
/// who it is, has checked what it can.
fn trusted(cx: &Context<'_>) -> bool {
    cx.uid == Uid::ROOT || cx.uid == Uid(u32::MAX)
}
