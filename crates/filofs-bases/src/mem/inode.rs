//! `Inode`: one file: what it holds and what stat says of it.
//!
//! Lock order, outermost first; each later one may be taken while the earlier are held:
//!
//!   1. `Volume::renames`
//!   2. entries of directories: a directory before those in it; two that are not one in the other
//!      only with (1) held, which is where a second one would come from
//!   3. `Inode::pages` of one file
//!   4. `Inode::meta` of one inode
//!   5. `Folder::parent` of one directory, a shard of the index, the lock table
//!
//! The end of an inode takes locks of 5, so none is dropped under 4 or 5. A directory's entries
//! are the only thing that holds another inode, and only downward, so what is unlinked goes when
//! its last user goes.

use super::directory::Directory;
use super::fileflags::FileFlags;
use super::pages::{PAGE, Pages};
use super::volume::Volume;
use super::xattr::Extras;
use super::{exclusive, now, shared, trusted};
use filofs::{
    Attr, Context, Cookie, Device, Entry, Errno, Generation, Gid, Kind, MakeHow, Node, Result,
    Time, Uid, locked,
};
use std::sync::{Arc, Mutex, RwLock, Weak};
use std::time::Duration;

pub(super) struct Inode {
    pub(super) ino: u64,
    pub(super) kind: Kind,
    pub(super) volume: Arc<Volume>,
    pub(super) meta: Mutex<Meta>,
    content: Content,
    btime: Time,
}

/// What chmod, chown, utimes and their kin change.
pub(super) struct Meta {
    pub(super) mode: u32,
    pub(super) uid: Uid,
    pub(super) gid: Gid,
    /// Names; of a directory counted from its entries instead.
    pub(super) nlink: u32,
    /// Made without a name, and may be given one.
    pub(super) linkable: bool,
    pub(super) flags: FileFlags,
    pub(super) atime: Time,
    pub(super) mtime: Time,
    pub(super) ctime: Time,
    pub(super) extras: Option<Box<Extras>>,
}

/// What an inode is made with, beyond its kind.
pub(super) enum Body {
    Plain,
    Symlink(Box<[u8]>),
}

enum Content {
    File(RwLock<Pages>),
    Directory(Box<Folder>),
    Symlink(Box<[u8]>),
    Special(Device),
}

/// A directory and where it is.
pub(super) struct Folder {
    pub(super) entries: RwLock<Directory>,
    /// The directory it is in; nobody's for the root. Changes only under `Volume::renames`.
    parent: Mutex<Weak<Inode>>,
}

impl Inode {
    /// No inode gets more names, and no directory more subdirectories. (As in tmpfs(5) there is
    /// no small limit; `inodes=` ends it long before.)
    pub(super) const MOST_LINKS: u32 = i32::MAX as u32;

    /// The kernel may believe names and attributes for a day: nobody changes them but through the
    /// mount, which knows what it changes. It is a day and not for ever so that a mistake heals.
    pub(super) const TTL: Duration = Duration::from_secs(24 * 3600);

    /// An inode in a directory, with owner, mode and ACLs as inode(7) and acl(5) want them. It has
    /// one name, which the caller makes. ENOSPC.
    pub(super) fn new_in(
        dir: &Arc<Inode>,
        cx: &Context<'_>,
        kind: Kind,
        how: &MakeHow,
        body: Body,
    ) -> Result<Arc<Inode>> {
        let mut meta = {
            let dir = locked(&dir.meta);
            let set_gid = dir.mode & 0o2000 != 0;
            let gid = if set_gid { dir.gid } else { cx.gid };
            let mut mode = how.mode & 0o7777;
            match kind {
                Kind::Directory => mode |= dir.mode & 0o2000,
                Kind::Symlink => mode = 0o777,
                // Nobody makes a program of a group that is not theirs.
                _ if set_gid && mode & 0o2010 == 0o2010 && !may_set_gid(cx, gid) => {
                    mode &= !0o2000;
                }
                _ => {}
            }
            let (mode, extras) = match &dir.extras {
                _ if kind == Kind::Symlink => (mode, None),
                Some(extras) if extras.default_acl().is_some() => extras.inherit(kind, mode),
                _ => (mode & !(how.umask & 0o777), None),
            };
            Meta { flags: dir.flags.inherited(), extras, ..Meta::new(cx.uid, gid, mode) }
        };
        let content = match (kind, body) {
            (Kind::Regular, _) => Content::File(RwLock::default()),
            (Kind::Directory, _) => Content::Directory(Box::new(Folder {
                entries: RwLock::default(),
                parent: Mutex::new(Arc::downgrade(dir)),
            })),
            (Kind::Symlink, Body::Symlink(target)) => Content::Symlink(target),
            (Kind::Symlink, Body::Plain) => return Err(Errno::EINVAL),
            (Kind::CharDevice | Kind::BlockDevice, _) => Content::Special(how.rdev),
            (Kind::Fifo | Kind::Socket, _) => Content::Special(Device::default()),
        };
        let space = &dir.volume.space;
        let bytes = meta.charged() + content.charged();
        space.inodes.take(1)?;
        if let Err(errno) = space.bytes.take(bytes) {
            space.inodes.give(1);
            return Err(errno);
        }
        let btime = now();
        (meta.atime, meta.mtime, meta.ctime) = (btime, btime, btime);
        Ok(Inode::enter(&dir.volume, kind, meta, content, btime))
    }

    pub(super) fn new_root(volume: &Arc<Volume>, uid: Uid, gid: Gid, mode: u32) -> Arc<Inode> {
        let btime = now();
        let meta =
            Meta { atime: btime, mtime: btime, ctime: btime, ..Meta::new(uid, gid, mode & 0o7777) };
        let folder = Folder { entries: RwLock::default(), parent: Mutex::new(Weak::new()) };
        // The settings see to it that there is room for one.
        let _ = volume.space.inodes.take(1);
        Inode::enter(volume, Kind::Directory, meta, Content::Directory(Box::new(folder)), btime)
    }

    fn enter(
        volume: &Arc<Volume>,
        kind: Kind,
        meta: Meta,
        content: Content,
        btime: Time,
    ) -> Arc<Inode> {
        let inode = Arc::new(Inode {
            ino: volume.number(),
            kind,
            volume: volume.clone(),
            meta: Mutex::new(meta),
            content,
            btime,
        });
        volume.enter(&inode);
        inode
    }

    /// The inode that a node stands for. ESTALE for a node of somebody else's.
    pub(super) fn of(node: &Node) -> Result<&Inode> {
        node.state::<Inode>().ok_or(Errno::ESTALE)
    }

    /// The same, to keep.
    pub(super) fn arc_of(node: &Node) -> Result<Arc<Inode>> {
        node.state_arc::<Inode>().ok_or(Errno::ESTALE)
    }

    /// As a directory. ENOTDIR.
    pub(super) fn folder(&self) -> Result<&Folder> {
        match &self.content {
            Content::Directory(folder) => Ok(folder),
            _ => Err(Errno::ENOTDIR),
        }
    }

    /// As a file with data. EISDIR, EINVAL.
    pub(super) fn pages(&self) -> Result<&RwLock<Pages>> {
        match &self.content {
            Content::File(pages) => Ok(pages),
            Content::Directory(_) => Err(Errno::EISDIR),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Where a symbolic link leads. EINVAL.
    pub(super) fn target(&self) -> Result<&[u8]> {
        match &self.content {
            Content::Symlink(target) => Ok(target),
            _ => Err(Errno::EINVAL),
        }
    }

    /// How many names it has; of a directory, how many others have it for `..`, and itself.
    pub(super) fn links(&self) -> u32 {
        match &self.content {
            Content::Directory(folder) => folder.links(),
            _ => locked(&self.meta).nlink,
        }
    }

    pub(super) fn attr(&self) -> Attr {
        let (size, stored, links, rdev) = match &self.content {
            Content::File(pages) => {
                let pages = shared(pages);
                (pages.size(), pages.stored(), None, Device::default())
            }
            Content::Directory(folder) => {
                // As tmpfs shows it: 20 for each entry.
                let size = shared(&folder.entries).len() as u64 * 20;
                (size, 0, Some(folder.links()), Device::default())
            }
            Content::Symlink(target) => (target.len() as u64, 0, None, Device::default()),
            Content::Special(rdev) => (0, 0, None, *rdev),
        };
        let meta = locked(&self.meta);
        Attr {
            ino: self.ino,
            kind: self.kind,
            mode: meta.mode,
            nlink: links.unwrap_or(meta.nlink),
            uid: meta.uid,
            gid: meta.gid,
            size,
            blocks: stored / 512,
            blksize: PAGE as u32,
            rdev,
            atime: meta.atime,
            mtime: meta.mtime,
            ctime: meta.ctime,
            btime: Some(self.btime),
            ttl: Self::TTL,
        }
    }

    pub(super) fn entry(self: &Arc<Self>) -> Entry {
        Entry {
            cookie: Cookie(self.ino),
            generation: Generation(0),
            attr: self.attr(),
            ttl: Self::TTL,
            state: Some(self.clone()),
        }
    }

    /// The content changed now.
    pub(super) fn touch(&self) {
        locked(&self.meta).modified(now());
    }

    /// The attributes changed now.
    pub(super) fn touch_ctime(&self) {
        locked(&self.meta).ctime = now();
    }

    /// It was read now: moves the access time as the kernel's default, relatime, does.
    pub(super) fn accessed(&self) {
        const DAY: i64 = 24 * 3600;
        let mut meta = locked(&self.meta);
        if meta.flags.contains(FileFlags::NOATIME) {
            return;
        }
        let now = now();
        if meta.atime <= meta.mtime || meta.atime <= meta.ctime || now.secs - meta.atime.secs >= DAY
        {
            meta.atime = now;
        }
    }

    /// One name fewer. The inode lives on as long as somebody holds it.
    pub(super) fn unlinked(&self) {
        let mut meta = locked(&self.meta);
        meta.ctime = now();
        if self.kind != Kind::Directory {
            meta.nlink = meta.nlink.saturating_sub(1);
            if meta.nlink > 0 {
                self.volume.space.inodes.give(1);
            }
        }
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        // One after the other, however deep the tree: each is emptied before it is dropped.
        let mut ahead: Vec<Arc<Inode>> = self.children();
        while let Some(inode) = ahead.pop() {
            if let Some(mut inode) = Arc::into_inner(inode) {
                ahead.append(&mut inode.children());
            }
        }
        let stored = match &mut self.content {
            Content::File(pages) => shared(pages).stored(),
            other => other.charged(),
        };
        let meta = self.meta.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        let names = match self.kind {
            Kind::Directory => 1,
            _ => u64::from(meta.nlink).max(1),
        };
        self.volume.space.bytes.give(stored + meta.charged());
        self.volume.space.inodes.give(names);
        self.volume.locks.remove(Cookie(self.ino));
        self.volume.leave(self.ino);
    }
}

impl Inode {
    /// Takes out what is in it, if it is a directory.
    fn children(&mut self) -> Vec<Arc<Inode>> {
        match &mut self.content {
            Content::Directory(folder) => {
                let dents = exclusive(&folder.entries).drain();
                dents.filter_map(Arc::into_inner).map(|dent| dent.inode).collect()
            }
            _ => Vec::new(),
        }
    }
}

impl Content {
    /// Bytes taken from the space at birth.
    fn charged(&self) -> u64 {
        match self {
            Content::Symlink(target) => target.len() as u64,
            _ => 0,
        }
    }
}

impl Folder {
    fn links(&self) -> u32 {
        let entries = shared(&self.entries);
        if entries.is_removed() { 0 } else { entries.subdirs() + 2 }
    }

    pub(super) fn parent(&self) -> Option<Arc<Inode>> {
        locked(&self.parent).upgrade()
    }

    pub(super) fn set_parent(&self, parent: &Arc<Inode>) {
        *locked(&self.parent) = Arc::downgrade(parent);
    }
}

impl Meta {
    fn new(uid: Uid, gid: Gid, mode: u32) -> Meta {
        Meta {
            mode,
            uid,
            gid,
            nlink: 1,
            linkable: false,
            flags: FileFlags::empty(),
            atime: Time::default(),
            mtime: Time::default(),
            ctime: Time::default(),
            extras: None,
        }
    }

    pub(super) fn modified(&mut self, now: Time) {
        self.mtime = now;
        self.ctime = now;
    }

    /// Bytes taken from the space for extended attributes.
    fn charged(&self) -> u64 {
        self.extras.as_ref().map_or(0, |extras| extras.charged())
    }

    /// Takes away what a change of content or owner must not leave: set-id bits and file
    /// capabilities. Where the group may not execute, its bit means something different (mandatory
    /// locks, once), and goes only if the caller could not set it.
    pub(super) fn kill_privileges(&mut self, cx: &Context<'_>, volume: &Volume) {
        self.mode &= !0o4000;
        if self.mode & 0o010 != 0 || self.mode & 0o2000 != 0 && !may_set_gid(cx, self.gid) {
            self.mode &= !0o2000;
        }
        self.kill_capabilities(volume);
    }

    /// File capabilities do not survive a change of content, whoever makes it.
    pub(super) fn kill_capabilities(&mut self, volume: &Volume) {
        if let Some(extras) = &mut self.extras {
            let freed = extras.kill_capabilities();
            volume.space.bytes.give(freed);
        }
    }
}

/// Whether the caller may let a file run with that group (CAP_FSETID, as far as it can be told).
pub(super) fn may_set_gid(cx: &Context<'_>, gid: Gid) -> bool {
    trusted(cx) || cx.in_group(gid)
}
