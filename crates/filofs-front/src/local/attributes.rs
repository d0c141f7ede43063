//! stat and its kin, and what changes attributes.

use super::process::Description;
use super::walk::Place;
use super::{Fd, OrMissing, Process, Stat};
use filofs::{
    Access, Context, Errno, FileSystem, Gid, Identity, Kind, Open, Result, SetAttr, SetTime,
    Statfs, SyncMode, Uid, permission,
};

impl Process {
    /// What a path leads to, stat(2).
    pub fn stat(&self, path: impl AsRef<[u8]>) -> Result<Stat> {
        self.stat_path(path.as_ref(), true)
    }

    /// The same, of a symbolic link itself, lstat(2).
    pub fn lstat(&self, path: impl AsRef<[u8]>) -> Result<Stat> {
        self.stat_path(path.as_ref(), false)
    }

    /// Changes the mode, chmod(2).
    pub fn chmod(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        self.set_path(
            path.as_ref(),
            true,
            &SetAttr { mode: Some(mode & 0o7777), ..SetAttr::default() },
        )
    }

    /// The same of an open file, fchmod(2).
    pub fn fchmod(&self, fd: Fd, mode: u32) -> Result<()> {
        self.set_open(fd, &SetAttr { mode: Some(mode & 0o7777), ..SetAttr::default() })
    }

    /// Changes owner and group, chown(2). `None` leaves one as it is.
    pub fn chown(&self, path: impl AsRef<[u8]>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.set_path(path.as_ref(), true, &owner(uid, gid))
    }

    /// The same, of a symbolic link itself, lchown(2).
    pub fn lchown(&self, path: impl AsRef<[u8]>, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.set_path(path.as_ref(), false, &owner(uid, gid))
    }

    /// The same of an open file, fchown(2).
    pub fn fchown(&self, fd: Fd, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
        self.set_open(fd, &owner(uid, gid))
    }

    /// Sets times, utimensat(2). `None` (UTIME_OMIT) leaves one as it is.
    pub fn utimens(
        &self,
        path: impl AsRef<[u8]>,
        atime: Option<SetTime>,
        mtime: Option<SetTime>,
        follow: bool,
    ) -> Result<()> {
        if atime.is_none() && mtime.is_none() {
            return Ok(());
        }
        self.set_path(path.as_ref(), follow, &SetAttr { atime, mtime, ..SetAttr::default() })
    }

    /// The same of an open file, futimens(3).
    pub fn futimens(&self, fd: Fd, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
        if atime.is_none() && mtime.is_none() {
            return Ok(());
        }
        self.set_open(fd, &SetAttr { atime, mtime, ..SetAttr::default() })
    }

    /// Cuts or extends a file, truncate(2). EISDIR, EINVAL for what is no regular file.
    pub fn truncate(&self, path: impl AsRef<[u8]>, size: u64) -> Result<()> {
        let cx = self.cx();
        let size = in_range(size)?;
        let place = self.find(&cx, path.as_ref(), true)?;
        match place.attr.kind {
            Kind::Regular => {}
            Kind::Directory => return Err(Errno::EISDIR),
            _ => return Err(Errno::EINVAL),
        }
        self.walk(&cx).access(&place, Access::WRITE)?;
        self.resize(&cx, &place, None, size)
    }

    /// The same of an open file, ftruncate(2). EINVAL when it is not open for writing.
    pub fn ftruncate(&self, fd: Fd, size: u64) -> Result<()> {
        let cx = self.cx();
        let size = in_range(size)?;
        let file = self.file(fd)?;
        let open = file.opened()?;
        if !file.flags.writes() || file.node.kind() != Kind::Regular {
            return Err(Errno::EINVAL);
        }
        self.resize(&cx, &file.place, Some(open), size)
    }

    /// Whether the caller may, access(2): `mode` is a sum of 4 (read), 2 (write), 1 (execute or
    /// search), or 0 (exists). EINVAL for other bits, EACCES, EROFS.
    pub fn access(&self, path: impl AsRef<[u8]>, mode: u32) -> Result<()> {
        let want = Access::from_bits(mode).ok_or(Errno::EINVAL)?;
        let cx = self.cx();
        let place = self.find(&cx, path.as_ref(), true)?;
        self.walk(&cx).access(&place, want)?;
        // The file system may know more: that it is read-only.
        match self.mount().access(&cx, &place.node, want) {
            Err(Errno::MISSING) => Ok(()),
            answer => answer,
        }
    }

    /// Who the mount is, and how full its file system is, statvfs(3).
    pub fn statvfs(&self) -> Result<(&Identity, Statfs)> {
        let (identity, numbers) = self.mount().statvfs(&self.cx());
        numbers.or_missing(Errno::EOPNOTSUPP).map(|numbers| (identity, numbers))
    }

    /// Writes everything to stable storage, syncfs(2).
    pub fn sync(&self, mode: SyncMode) -> Result<()> {
        self.mount().sync(&self.cx(), mode).or_missing(Errno::EOPNOTSUPP)
    }

    fn stat_path(&self, path: &[u8], follow: bool) -> Result<Stat> {
        let cx = self.cx();
        Ok(self.stat_of(self.find(&cx, path, follow)?.attr))
    }

    fn set_path(&self, path: &[u8], follow: bool, set: &SetAttr) -> Result<()> {
        let cx = self.cx();
        let place = self.find(&cx, path, follow)?;
        self.set(&cx, &place, None, set)
    }

    fn set_open(&self, fd: Fd, set: &SetAttr) -> Result<()> {
        let cx = self.cx();
        let file: std::sync::Arc<Description> = self.file(fd)?;
        let open = file.opened()?;
        let attr = self.mount().getattr(&cx, &file.node, Some(open))?;
        self.set(&cx, &Place::alone(file.node.clone(), attr), Some(open), set)
    }

    fn set(
        &self,
        cx: &Context<'_>,
        place: &Place,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<()> {
        let acl = self.walk(cx).acl(place);
        let set = permission::set_attr(cx, &place.attr, acl.as_ref(), set)?;
        if set.is_empty() {
            return Ok(());
        }
        self.mount().setattr(cx, &place.node, open, &set).or_missing(Errno::EPERM).map(drop)
    }

    fn resize(
        &self,
        cx: &Context<'_>,
        place: &Place,
        open: Option<&Open>,
        size: u64,
    ) -> Result<()> {
        let kill_priv = permission::loses_set_id(cx);
        let set = SetAttr { size: Some(size), kill_priv, ..SetAttr::default() };
        self.mount().setattr(cx, &place.node, open, &set).or_missing(Errno::EPERM).map(drop)
    }
}

fn owner(uid: Option<u32>, gid: Option<u32>) -> SetAttr {
    SetAttr { uid: uid.map(Uid), gid: gid.map(Gid), ..SetAttr::default() }
}

fn in_range(size: u64) -> Result<u64> {
    if size > i64::MAX as u64 { Err(Errno::EINVAL) } else { Ok(size) }
}
