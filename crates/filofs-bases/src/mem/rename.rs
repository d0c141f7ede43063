//! `rename`: renameat2(2).
//!
//! A name that moves between directories does so alone in the volume (`Volume::renames`), so the
//! way up from either directory is fixed while it is looked at, and no two renames can each put
//! its directory below the other's (A6). The two directories are locked the upper first, so that
//! this agrees with `rmdir`, which locks a directory and then the one in it.

use super::directory::Directory;
use super::exclusive;
use super::inode::{Folder, Inode};
use super::tree::{may_add, may_remove, whiteout};
use filofs::{Context, Errno, Kind, Name, RenameFlags, Result, locked};
use std::sync::{Arc, RwLockWriteGuard};

pub(super) fn rename(
    cx: &Context<'_>,
    dir: &Arc<Inode>,
    name: Name<'_>,
    to_dir: &Arc<Inode>,
    to_name: Name<'_>,
    flags: RenameFlags,
) -> Result<()> {
    let exchange = flags.contains(RenameFlags::EXCHANGE);
    if RenameFlags::from_bits(flags.bits()).is_none()
        || exchange && flags.intersects(RenameFlags::NOREPLACE | RenameFlags::WHITEOUT)
    {
        return Err(Errno::EINVAL);
    }
    let (folder, to_folder) = (dir.folder()?, to_dir.folder()?);
    let within = Arc::ptr_eq(dir, to_dir);
    let turn = (!within).then(|| locked(&dir.volume.renames));
    let above = if within { Vec::new() } else { upward(dir) };
    let to_above = if within { Vec::new() } else { upward(to_dir) };
    let mut pair = if within {
        Pair::Same(exclusive(&folder.entries))
    } else if above.contains(&to_dir.ino) || !to_above.contains(&dir.ino) && to_dir.ino < dir.ino {
        let to = exclusive(&to_folder.entries);
        Pair::Two { from: exclusive(&folder.entries), to }
    } else {
        let from = exclusive(&folder.entries);
        Pair::Two { from, to: exclusive(&to_folder.entries) }
    };

    let (name, to_name) = (name.bytes(), to_name.bytes());
    let source = pair.from().get(name).ok_or(Errno::ENOENT)?.inode.clone();
    if pair.to().is_removed() {
        return Err(Errno::ENOENT);
    }
    let target = pair.to().get(to_name).map(|dent| dent.inode.clone());
    match &target {
        None if exchange => return Err(Errno::ENOENT),
        Some(_) if flags.contains(RenameFlags::NOREPLACE) => return Err(Errno::EEXIST),
        _ => {}
    }
    if to_above.contains(&source.ino) {
        return Err(Errno::EINVAL);
    }
    if target.as_ref().is_some_and(|target| above.contains(&target.ino)) {
        return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
    }
    if target.as_ref().is_some_and(|target| Arc::ptr_eq(target, &source)) {
        return Ok(());
    }
    may_remove(dir, &source)?;
    let moves_dir = source.kind == Kind::Directory;
    let over_dir = target.as_ref().is_some_and(|target| target.kind == Kind::Directory);
    match &target {
        None => may_add(to_dir)?,
        Some(target) => {
            may_remove(to_dir, target)?;
            if !exchange && moves_dir && !over_dir {
                return Err(Errno::ENOTDIR);
            }
            if !exchange && !moves_dir && over_dir {
                return Err(Errno::EISDIR);
            }
        }
    }
    let full = |entries: &Directory| entries.subdirs() >= Inode::MOST_LINKS - 2;
    if !within
        && (moves_dir && !over_dir && full(pair.to())
            || exchange && over_dir && !moves_dir && full(pair.from()))
    {
        return Err(Errno::EMLINK);
    }
    if target.is_none() {
        pair.to().check_new(to_name)?;
    }

    // What is left over is dropped when everything is unlocked.
    let mut gone = Vec::new();
    if let Some(target) = target.filter(|_| exchange) {
        gone.push(pair.to().put(to_name, source.clone()));
        gone.push(pair.from().put(name, target.clone()));
        if over_dir {
            target.folder()?.set_parent(dir);
        }
        target.touch_ctime();
    } else {
        let whiteout = flags.contains(RenameFlags::WHITEOUT).then(|| whiteout(cx, dir));
        let whiteout = whiteout.transpose()?;
        if over_dir && let Some(dent) = pair.to().get(to_name) {
            exclusive(&dent.inode.folder()?.entries).remove_self()?;
        }
        let replaced = pair.to().put(to_name, source.clone());
        if let Some(dent) = &replaced {
            dent.inode.unlinked();
        }
        gone.push(replaced);
        gone.push(match whiteout {
            Some(whiteout) => pair.from().put(name, whiteout),
            None => pair.from().remove(name),
        });
    }
    if moves_dir {
        source.folder()?.set_parent(to_dir);
    }
    source.touch_ctime();
    dir.touch();
    if !within {
        to_dir.touch();
    }
    drop(pair);
    drop(turn);
    drop(gone);
    Ok(())
}

/// The directories concerned, locked.
enum Pair<'a> {
    Same(RwLockWriteGuard<'a, Directory>),
    Two { from: RwLockWriteGuard<'a, Directory>, to: RwLockWriteGuard<'a, Directory> },
}

impl Pair<'_> {
    fn from(&mut self) -> &mut Directory {
        match self {
            Pair::Same(both) => both,
            Pair::Two { from, .. } => from,
        }
    }

    fn to(&mut self) -> &mut Directory {
        match self {
            Pair::Same(both) => both,
            Pair::Two { to, .. } => to,
        }
    }
}

/// The numbers of a directory and of all that it is in.
fn upward(dir: &Arc<Inode>) -> Vec<u64> {
    let mut way = Vec::new();
    let mut next = Some(dir.clone());
    while let Some(dir) = next {
        way.push(dir.ino);
        next = dir.folder().ok().and_then(Folder::parent);
    }
    way
}
