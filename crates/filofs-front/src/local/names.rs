//! Making, removing, linking and renaming names.

use super::process::Description;
use super::walk::{Last, Parent, Place, Walk};
use super::{Fd, OrMissing, Process};
use filofs::{
    Access, Context, Device, Errno, FileHandle, FileSystem, Kind, MakeHow, Name, OpenFlags,
    RenameFlags, Result, VecSink, permission,
};
use std::sync::Arc;

/// Where a new name is to be.
struct Vacant {
    dir: Place,
    name: Vec<u8>,
}

impl Process {
    /// Makes a directory, mkdir(2).
    pub fn mkdir(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let Vacant { dir, name } = self.vacant(&mut walk, path.as_ref(), true)?;
        let how = MakeHow { umask: self.mask(), ..MakeHow::mode(mode & 0o1777) };
        let made = self.mount().mkdir(&cx, &dir.node, Name::new(&name)?, how);
        walk.adopt(&dir, &made.or_missing(Errno::EPERM)?).map(drop)
    }

    /// Makes a file of any kind but directory and symlink, mknod(2). EPERM for a directory, and
    /// for a device unless the caller is root or the device is 0/0; EINVAL for a symlink.
    pub fn mknod(&self, path: impl AsRef<[u8]>, kind: Kind, mode: u32, rdev: Device) -> Result<()> {
        match kind {
            Kind::Directory => return Err(Errno::EPERM),
            Kind::Symlink => return Err(Errno::EINVAL),
            _ => {}
        }
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let Vacant { dir, name } = self.vacant(&mut walk, path.as_ref(), false)?;
        let device = matches!(kind, Kind::CharDevice | Kind::BlockDevice);
        let whiteout = kind == Kind::CharDevice && rdev == Device::default();
        if device && !whiteout && !permission::privileged(&cx) {
            return Err(Errno::EPERM);
        }
        let rdev = if device { rdev } else { Device::default() };
        let how = MakeHow { umask: self.mask(), rdev, ..MakeHow::mode(mode & 0o7777) };
        let made = self.mount().mknod(&cx, &dir.node, Name::new(&name)?, kind, how);
        walk.adopt(&dir, &made.or_missing(Errno::EPERM)?).map(drop)
    }

    /// Makes a symbolic link, symlink(2). An empty target is for the file system to judge.
    pub fn symlink(&self, target: impl AsRef<[u8]>, path: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let Vacant { dir, name } = self.vacant(&mut walk, path.as_ref(), false)?;
        let made = self.mount().symlink(&cx, &dir.node, Name::new(&name)?, target.as_ref());
        walk.adopt(&dir, &made.or_missing(Errno::EPERM)?).map(drop)
    }

    /// The target of a symbolic link, readlink(2). EINVAL for another kind.
    pub fn readlink(&self, path: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        let cx = self.cx();
        let place = self.find(&cx, path.as_ref(), false)?;
        if place.attr.kind != Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        let mut target = VecSink::new(4096);
        self.mount().readlink(&cx, &place.node, &mut target).or_missing(Errno::EINVAL)?;
        Ok(target.into_bytes())
    }

    /// Gives a file another name, link(2): a symbolic link itself, not where it leads.
    pub fn link(&self, old: impl AsRef<[u8]>, new: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let place = self.find(&cx, old.as_ref(), false)?;
        self.link_place(&cx, &place, new.as_ref())
    }

    /// Gives an open file a name: linkat(2) with AT_EMPTY_PATH, for files made by O_TMPFILE.
    pub fn flink(&self, fd: Fd, new: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let file: Arc<Description> = self.file(fd)?;
        if !permission::privileged(&cx) {
            return Err(Errno::ENOENT);
        }
        let attr = self.mount().getattr(&cx, &file.node, file.open.as_ref())?;
        self.link_place(&cx, &Place::alone(file.node.clone(), attr), new.as_ref())
    }

    /// Takes a name away, unlink(2). EISDIR for a directory.
    pub fn unlink(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let Parent { dir, last, slash } =
            walk.parent(&self.here(&cx, path.as_ref())?, path.as_ref())?;
        let Last::Name(name) = last else { return Err(Errno::EISDIR) };
        let victim = walk.child(&dir, &name)?;
        let directory = victim.attr.kind == Kind::Directory;
        if slash {
            return Err(if directory { Errno::EISDIR } else { Errno::ENOTDIR });
        }
        walk.may_delete(&dir, &victim)?;
        if directory {
            return Err(Errno::EISDIR);
        }
        self.mount().unlink(&cx, &dir.node, Name::new(&name)?).or_missing(Errno::EPERM)
    }

    /// Takes an empty directory away, rmdir(2). EINVAL for a last component `.`, ENOTEMPTY for
    /// `..`, EBUSY for the root.
    pub fn rmdir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let Parent { dir, last, .. } =
            walk.parent(&self.here(&cx, path.as_ref())?, path.as_ref())?;
        let name = match last {
            Last::Name(name) => name,
            Last::Dot => return Err(Errno::EINVAL),
            Last::DotDot => return Err(Errno::ENOTEMPTY),
            Last::Root => return Err(Errno::EBUSY),
        };
        let victim = walk.child(&dir, &name)?;
        walk.may_delete(&dir, &victim)?;
        if victim.attr.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        self.mount().rmdir(&cx, &dir.node, Name::new(&name)?).or_missing(Errno::EPERM)
    }

    /// Renames, renameat2(2). A last component of `.` or `..` is EINVAL, a new name `.` EISDIR,
    /// as file systems answer that are asked (Linux says EBUSY before it asks any).
    pub fn rename(
        &self,
        old: impl AsRef<[u8]>,
        new: impl AsRef<[u8]>,
        flags: RenameFlags,
    ) -> Result<()> {
        let exchange = flags.contains(RenameFlags::EXCHANGE);
        let no_replace = flags.contains(RenameFlags::NOREPLACE);
        let exclusive = RenameFlags::NOREPLACE | RenameFlags::WHITEOUT;
        if RenameFlags::from_bits(flags.bits()).is_none()
            || (exchange && flags.intersects(exclusive))
        {
            return Err(Errno::EINVAL);
        }
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let from = walk.parent(&self.here(&cx, old.as_ref())?, old.as_ref())?;
        let to = self.walk(&cx).parent(&self.here(&cx, new.as_ref())?, new.as_ref())?;
        let old = match from.last {
            Last::Name(name) => name,
            Last::Dot | Last::DotDot => return Err(Errno::EINVAL),
            Last::Root => return Err(Errno::EBUSY),
        };
        let new = match to.last {
            Last::Name(name) => name,
            Last::Dot => return Err(if no_replace { Errno::EEXIST } else { Errno::EISDIR }),
            Last::DotDot => return Err(if no_replace { Errno::EEXIST } else { Errno::EINVAL }),
            Last::Root => return Err(if no_replace { Errno::EEXIST } else { Errno::EBUSY }),
        };
        let source = walk.child(&from.dir, &old)?;
        let target = match walk.child(&to.dir, &new) {
            Ok(target) => Some(target),
            Err(Errno::ENOENT) => None,
            Err(errno) => return Err(errno),
        };
        let moves_dir = source.attr.kind == Kind::Directory;
        if no_replace && target.is_some() {
            return Err(Errno::EEXIST);
        }
        if exchange {
            let target = target.as_ref().ok_or(Errno::ENOENT)?;
            if to.slash && target.attr.kind != Kind::Directory {
                return Err(Errno::ENOTDIR);
            }
        }
        if !moves_dir && (from.slash || (!exchange && to.slash)) {
            return Err(Errno::ENOTDIR);
        }
        if moves_dir && walk.is_above(&source, &to.dir)? {
            return Err(Errno::EINVAL);
        }
        if let Some(target) = &target {
            if target.attr.kind == Kind::Directory && walk.is_above(target, &from.dir)? {
                return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
            if target.node.is(&source.node) {
                return Ok(());
            }
        }
        walk.may_delete(&from.dir, &source)?;
        match &target {
            None => walk.may_create(&to.dir)?,
            Some(target) => {
                walk.may_delete(&to.dir, target)?;
                let replaces_dir = target.attr.kind == Kind::Directory;
                if !exchange && moves_dir != replaces_dir {
                    return Err(if moves_dir { Errno::ENOTDIR } else { Errno::EISDIR });
                }
                if exchange && replaces_dir && !from.dir.node.is(&to.dir.node) {
                    walk.access(target, Access::WRITE)?;
                }
            }
        }
        // Its `..` changes.
        if moves_dir && !from.dir.node.is(&to.dir.node) {
            walk.access(&source, Access::WRITE)?;
        }
        let (old, new) = (Name::new(&old)?, Name::new(&new)?);
        let answer = self.mount().rename(&cx, &from.dir.node, old, &to.dir.node, new, flags);
        answer.or_missing(Errno::EPERM)
    }

    /// The durable name of a file, name_to_handle_at(2). EOPNOTSUPP where there are none.
    pub fn name_to_handle(&self, path: impl AsRef<[u8]>) -> Result<FileHandle> {
        let cx = self.cx();
        let place = self.find(&cx, path.as_ref(), false)?;
        self.mount().handle_of(&cx, &place.node).or_missing(Errno::EOPNOTSUPP)
    }

    /// Opens a file by its durable name, open_by_handle_at(2). EPERM but for root; ESTALE when
    /// the file is gone.
    pub fn open_by_handle(&self, handle: &FileHandle, flags: OpenFlags) -> Result<Fd> {
        let cx = self.cx();
        if !permission::privileged(&cx) {
            return Err(Errno::EPERM);
        }
        let entry = self.mount().node_of(&cx, handle).or_missing(Errno::EOPNOTSUPP)?;
        let node = self.mount().nodes().adopt(&entry)?;
        self.open_place(&cx, Place::alone(node, entry.attr), flags)
    }

    fn link_place(&self, cx: &Context<'_>, place: &Place, new: &[u8]) -> Result<()> {
        let mut walk = self.walk(cx);
        let Vacant { dir, name } = self.vacant(&mut walk, new, false)?;
        if place.attr.kind == Kind::Directory {
            return Err(Errno::EPERM);
        }
        let made = self.mount().link(cx, &place.node, &dir.node, Name::new(&name)?);
        let made = walk.adopt(&dir, &made.or_missing(Errno::EPERM)?)?;
        // Another node it may be: who knows files by their names has one for each (libfuse).
        if made.attr.kind == place.attr.kind { Ok(()) } else { Err(Errno::EPROTO) }
    }

    /// Where a path that does not exist yet may come to exist.
    ///
    /// Errors: EEXIST, also for a last component that is no name; ENOENT for a trailing slash
    /// where no directory is to be made; EACCES.
    fn vacant(&self, walk: &mut Walk<'_>, path: &[u8], directory: bool) -> Result<Vacant> {
        let here = self.here(walk.cx, path)?;
        let Parent { dir, last, slash } = walk.parent(&here, path)?;
        let Last::Name(name) = last else { return Err(Errno::EEXIST) };
        match walk.child(&dir, &name) {
            Ok(_) => return Err(Errno::EEXIST),
            Err(Errno::ENOENT) => {}
            Err(errno) => return Err(errno),
        }
        if slash && !directory {
            return Err(Errno::ENOENT);
        }
        walk.may_create(&dir)?;
        Ok(Vacant { dir, name })
    }
}
