//! Names: making them, finding them, taking them away.

use super::exclusive;
use super::fileflags::FileFlags;
use super::inode::{Body, Inode};
use filofs::{Context, Device, Errno, Kind, MakeHow, Name, Node, OpenFlags, Result, Time, locked};
use std::sync::Arc;

/// The longest target of a symbolic link, in bytes (PATH_MAX without its NUL).
const LONGEST_TARGET: usize = 4095;

/// Makes a file of any kind but symlink.
pub(super) fn make(
    cx: &Context<'_>,
    dir: &Node,
    name: Name<'_>,
    kind: Kind,
    how: &MakeHow,
) -> Result<Arc<Inode>> {
    add(&Inode::arc_of(dir)?, name, |dir| Inode::new_in(dir, cx, kind, how, Body::Plain))
}

pub(super) fn symlink(
    cx: &Context<'_>,
    dir: &Node,
    name: Name<'_>,
    target: &[u8],
) -> Result<Arc<Inode>> {
    if target.len() > LONGEST_TARGET {
        return Err(Errno::ENAMETOOLONG);
    }
    add(&Inode::arc_of(dir)?, name, |dir| {
        let body = Body::Symlink(target.into());
        Inode::new_in(dir, cx, Kind::Symlink, &MakeHow::default(), body)
    })
}

/// The inode of that name, or a new regular file; and whether it is new.
pub(super) fn create(
    cx: &Context<'_>,
    dir: &Node,
    name: Name<'_>,
    how: &MakeHow,
) -> Result<(Arc<Inode>, bool)> {
    loop {
        match make(cx, dir, name, Kind::Regular, how) {
            Ok(inode) => return Ok((inode, true)),
            Err(Errno::EEXIST) if !how.flags.has(OpenFlags::EXCL) => {}
            Err(errno) => return Err(errno),
        }
        match lookup(dir, name) {
            Ok(inode) => return Ok((inode, false)),
            // It went in between.
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
    }
}

/// A regular file without a name.
pub(super) fn tmpfile(cx: &Context<'_>, dir: &Node, how: &MakeHow) -> Result<Arc<Inode>> {
    let dir = Inode::arc_of(dir)?;
    if super::shared(&dir.folder()?.entries).is_removed() {
        return Err(Errno::ENOENT);
    }
    may_add(&dir)?;
    let inode = Inode::new_in(&dir, cx, Kind::Regular, how, Body::Plain)?;
    let mut meta = locked(&inode.meta);
    meta.nlink = 0;
    meta.linkable = !how.flags.has(OpenFlags::EXCL);
    drop(meta);
    Ok(inode)
}

pub(super) fn lookup(dir: &Node, name: Name<'_>) -> Result<Arc<Inode>> {
    let entries = super::shared(&Inode::of(dir)?.folder()?.entries);
    entries.get(name.bytes()).map(|dent| dent.inode.clone()).ok_or(Errno::ENOENT)
}

/// The directory that a directory is in. ENOENT for one that was removed.
pub(super) fn parent(dir: &Node) -> Result<Arc<Inode>> {
    let dir = Inode::arc_of(dir)?;
    let folder = dir.folder()?;
    if super::shared(&folder.entries).is_removed() {
        return Err(Errno::ENOENT);
    }
    Ok(folder.parent().unwrap_or(dir))
}

pub(super) fn link(node: &Node, dir: &Node, name: Name<'_>) -> Result<Arc<Inode>> {
    let inode = Inode::arc_of(node)?;
    if inode.kind == Kind::Directory {
        return Err(Errno::EPERM);
    }
    add(&Inode::arc_of(dir)?, name, |_| {
        let mut meta = locked(&inode.meta);
        if meta.flags.frozen() {
            return Err(Errno::EPERM);
        }
        match meta.nlink {
            0 if !meta.linkable => return Err(Errno::ENOENT),
            // Its one inode is paid for.
            0 => meta.linkable = false,
            Inode::MOST_LINKS => return Err(Errno::EMLINK),
            _ => inode.volume.space.inodes.take(1)?,
        }
        meta.nlink += 1;
        meta.ctime = Time::now();
        drop(meta);
        Ok(inode.clone())
    })
}

pub(super) fn unlink(dir: &Node, name: Name<'_>) -> Result<()> {
    let dir = Inode::of(dir)?;
    let mut entries = exclusive(&dir.folder()?.entries);
    let dent = entries.get(name.bytes()).ok_or(Errno::ENOENT)?;
    if dent.inode.kind == Kind::Directory {
        return Err(Errno::EISDIR);
    }
    may_remove(dir, &dent.inode)?;
    let gone = entries.remove(name.bytes());
    if let Some(dent) = &gone {
        dent.inode.unlinked();
    }
    dir.touch();
    drop(entries);
    drop(gone); // frees the data, if it was the last
    Ok(())
}

pub(super) fn rmdir(dir: &Node, name: Name<'_>) -> Result<()> {
    let dir = Inode::of(dir)?;
    let mut entries = exclusive(&dir.folder()?.entries);
    let dent = entries.get(name.bytes()).ok_or(Errno::ENOENT)?;
    let folder = dent.inode.folder()?;
    may_remove(dir, &dent.inode)?;
    exclusive(&folder.entries).remove_self()?;
    let gone = entries.remove(name.bytes());
    if let Some(dent) = &gone {
        dent.inode.unlinked();
    }
    dir.touch();
    drop(entries);
    drop(gone);
    Ok(())
}

/// Lets a new name in a directory lead to what `child` answers, which is asked when nothing else
/// is in the way.
fn add(
    dir: &Arc<Inode>,
    name: Name<'_>,
    child: impl FnOnce(&Arc<Inode>) -> Result<Arc<Inode>>,
) -> Result<Arc<Inode>> {
    let mut entries = exclusive(&dir.folder()?.entries);
    entries.check_new(name.bytes())?;
    may_add(dir)?;
    let child = child(dir)?;
    if child.kind == Kind::Directory && entries.subdirs() >= Inode::MOST_LINKS - 2 {
        drop(entries);
        return Err(Errno::EMLINK);
    }
    let none = entries.put(name.bytes(), child.clone());
    dir.touch();
    drop(entries);
    drop(none);
    Ok(child)
}

/// EPERM in an immutable directory.
pub(super) fn may_add(dir: &Inode) -> Result<()> {
    let flags = locked(&dir.meta).flags;
    if flags.contains(FileFlags::IMMUTABLE) { Err(Errno::EPERM) } else { Ok(()) }
}

/// EPERM when the directory or the file must stay as it is.
pub(super) fn may_remove(dir: &Inode, inode: &Inode) -> Result<()> {
    let dir = locked(&dir.meta).flags;
    let inode = locked(&inode.meta).flags;
    if dir.frozen() || inode.frozen() { Err(Errno::EPERM) } else { Ok(()) }
}

/// What overlay file systems leave in the place of a name: a character device 0/0.
pub(super) fn whiteout(cx: &Context<'_>, dir: &Arc<Inode>) -> Result<Arc<Inode>> {
    let how = MakeHow { rdev: Device::default(), ..MakeHow::mode(0) };
    Inode::new_in(dir, cx, Kind::CharDevice, &how, Body::Plain)
}
