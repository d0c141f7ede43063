//! `Process`: somebody who uses the mount.

use super::walk::{Place, Walk};
use super::{Local, Stat};
use filofs::{
    Attr, Cancel, Context, Errno, FileSystem, Gid, Kind, LockOwner, Mount, Name, Node, Open,
    OpenFlags, Pid, ReleaseHow, Result, Uid, locked,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// A file descriptor of a [`Process`]: the lowest number that is free, as dup(2) says.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Fd(pub u32);

/// Somebody who uses the mount: a user with groups, a umask, a working directory and open files.
///
/// May be used from several threads at once, as a process with threads. Its files are closed
/// when it is dropped.
#[derive(Debug)]
pub struct Process {
    pub(super) local: Local,
    uid: Uid,
    gid: Gid,
    groups: Vec<Gid>,
    pid: Pid,
    umask: AtomicU32,
    cwd: Mutex<Place>,
    files: Mutex<BTreeMap<Fd, Arc<Description>>>,
    cancel: Cancel,
}

/// An open file description, open(2): shared by the descriptors that dup(2) and fork(2) make.
#[derive(Debug)]
pub(super) struct Description {
    pub(super) mount: Arc<Mount>,
    pub(super) local: Local,
    pub(super) node: Node,
    pub(super) flags: OpenFlags,
    /// `None` when opened with O_PATH: the file system was not told.
    pub(super) open: Option<Open>,
    /// The file offset; a directory's resume point.
    pub(super) position: Mutex<u64>,
    /// The way it was reached, for walks that begin here.
    pub(super) place: Place,
}

impl Process {
    /// More open files than this in one process are EMFILE.
    pub const MOST_FILES: usize = 65_536;

    pub(super) fn new(local: Local, uid: Uid, gid: Gid, groups: Vec<Gid>) -> Process {
        Process {
            uid,
            gid,
            groups,
            pid: local.next_pid(),
            umask: AtomicU32::new(0o022),
            cwd: Mutex::new(Place::first(local.mount())),
            files: Mutex::default(),
            cancel: Cancel::new(),
            local,
        }
    }

    /// A new process of another user in the same directory, with the same umask and no open
    /// files.
    pub fn as_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Process {
        let groups = groups.iter().copied().map(Gid).collect();
        let other = Process::new(self.local.clone(), Uid(uid), Gid(gid), groups);
        other.umask.store(self.umask.load(Ordering::Relaxed), Ordering::Relaxed);
        *locked(&other.cwd) = locked(&self.cwd).clone();
        other
    }

    /// A child: the same user and directory, and the same open file descriptions, fork(2).
    pub fn fork(&self) -> Process {
        let groups: Vec<u32> = self.groups.iter().map(|g| g.0).collect();
        let child = self.as_user(self.uid.0, self.gid.0, &groups);
        locked(&child.files).clone_from(&locked(&self.files));
        child
    }

    /// The machine it runs on.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// Its number: what F_GETLK answers to others.
    pub fn getpid(&self) -> Pid {
        self.pid
    }

    /// Sets the umask and answers the old one, umask(2).
    pub fn umask(&self, mask: u32) -> u32 {
        self.umask.swap(mask & 0o777, Ordering::Relaxed)
    }

    /// Ends the call that waits at this moment (for a lock) with EINTR, as a signal that is
    /// caught does. Without one it does nothing. With several threads in calls the interrupt may
    /// be lost: whoever interrupts gives each thread a process of its own ([`Process::fork`]).
    pub fn interrupt(&self) {
        self.cancel.cancel();
    }

    /// Changes the working directory, chdir(2). Errors: ENOENT, ENOTDIR, EACCES.
    pub fn chdir(&self, path: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let mut walk = self.walk(&cx);
        let place = walk.find(&self.here(&cx, path.as_ref())?, path.as_ref(), true)?;
        walk.search(&place)?;
        let old = std::mem::replace(&mut *locked(&self.cwd), place);
        drop(old);
        Ok(())
    }

    /// Changes the working directory to an open one, fchdir(2). Errors: EBADF, ENOTDIR, EACCES.
    pub fn fchdir(&self, fd: Fd) -> Result<()> {
        let cx = self.cx();
        let file = self.file(fd)?;
        let place = file.place.again(&cx, self.mount())?;
        self.walk(&cx).search(&place)?;
        let old = std::mem::replace(&mut *locked(&self.cwd), place);
        drop(old);
        Ok(())
    }

    /// The absolute path of the working directory, getcwd(3): found by going up and looking for
    /// oneself. Errors: ENOENT when it was removed; EACCES.
    pub fn getcwd(&self) -> Result<Vec<u8>> {
        let cx = self.cx();
        let walk = self.walk(&cx);
        let mut here = self.here(&cx, b".")?;
        let mut path = Vec::new();
        while !here.node.is(self.mount().root()) {
            let up =
                walk.up(&here).map_err(|e| if e == Errno::ESTALE { Errno::ENOENT } else { e })?;
            let names = self.names_of(&cx, &up, here.attr.ino)?;
            let is_here = |name: &&Vec<u8>| {
                walk.child(&up, name).is_ok_and(|child| child.node.is(&here.node))
            };
            let name = names.iter().find(is_here).ok_or(Errno::ENOENT)?;
            path.splice(..0, std::iter::once(b'/').chain(name.iter().copied()));
            here = up;
        }
        Ok(if path.is_empty() { b"/".to_vec() } else { path })
    }

    /// Another descriptor of the same open file description, dup(2). Errors: EBADF, EMFILE.
    pub fn dup(&self, fd: Fd) -> Result<Fd> {
        let file = self.file(fd)?;
        self.install(file)
    }

    /// Closes a descriptor, close(2). Errors: EBADF; what the file system still had to report.
    pub fn close(&self, fd: Fd) -> Result<()> {
        let file = locked(&self.files).remove(&fd).ok_or(Errno::EBADF)?;
        self.closed(&file)
    }

    pub(super) fn mount(&self) -> &Mount {
        self.local.mount()
    }

    /// The context of one system call.
    pub(super) fn cx(&self) -> Context<'_> {
        self.cancel.reset();
        Context {
            request: self.local.next_request(),
            uid: self.uid,
            gid: self.gid,
            pid: self.pid,
            groups: &self.groups,
            cancel: &self.cancel,
            deadline: None,
        }
    }

    pub(super) fn mask(&self) -> u32 {
        self.umask.load(Ordering::Relaxed)
    }

    pub(super) fn walk<'a>(&'a self, cx: &'a Context<'a>) -> Walk<'a> {
        Walk::new(cx, self.mount())
    }

    /// Where a walk along that path begins: the working directory, as it is now. (An absolute
    /// path has no use for it, and works although the directory may be gone.)
    pub(super) fn here(&self, cx: &Context<'_>, path: &[u8]) -> Result<Place> {
        let place = locked(&self.cwd).clone();
        if path.starts_with(b"/") { Ok(place) } else { place.again(cx, self.mount()) }
    }

    /// The place of a path. Errors: as path_resolution(7) has them.
    pub(super) fn find(&self, cx: &Context<'_>, path: &[u8], follow: bool) -> Result<Place> {
        self.walk(cx).find(&self.here(cx, path)?, path, follow)
    }

    pub(super) fn file(&self, fd: Fd) -> Result<Arc<Description>> {
        locked(&self.files).get(&fd).cloned().ok_or(Errno::EBADF)
    }

    /// Gives a description the lowest free descriptor.
    pub(super) fn install(&self, file: Arc<Description>) -> Result<Fd> {
        let mut files = locked(&self.files);
        if files.len() >= Self::MOST_FILES {
            return Err(Errno::EMFILE);
        }
        let taken = files.keys().zip(0u32..).take_while(|(fd, n)| fd.0 == *n).count();
        let fd = Fd(taken as u32);
        files.insert(fd, file);
        Ok(fd)
    }

    /// How POSIX locks know this process.
    pub(super) fn lock_owner(&self) -> LockOwner {
        LockOwner(self.pid.0.into())
    }

    pub(super) fn stat_of(&self, attr: Attr) -> Stat {
        Stat { dev: self.mount().identity().fsid, attr }
    }

    /// The names in a directory that show that inode number.
    fn names_of(&self, cx: &Context<'_>, dir: &Place, ino: u64) -> Result<Vec<Vec<u8>>> {
        self.walk(cx).access(dir, filofs::Access::READ)?;
        let opened = self.mount().open(cx, &dir.node, filofs::OpenHow::default());
        let file = self.description(dir.clone(), OpenFlags::DIRECTORY, Some(opened?))?;
        let mut names = Vec::new();
        while let Some(batch) = file.list(cx)? {
            names.extend(batch.into_iter().filter(|e| e.ino == ino).map(|e| e.name));
        }
        names.retain(|name| Name::new(name).is_ok());
        Ok(names)
    }

    fn closed(&self, file: &Description) -> Result<()> {
        let Some(open) = &file.open else { return Ok(()) };
        if file.node.kind() == Kind::Directory {
            return Ok(());
        }
        let cx = self.cx();
        self.local.0.locks.release(file.node.cookie(), self.lock_owner());
        match self.mount().flush(&cx, &file.node, open, self.lock_owner()) {
            Err(Errno::MISSING) => Ok(()),
            answer => answer,
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let files = std::mem::take(&mut *locked(&self.files));
        for file in files.into_values() {
            let _ = self.closed(&file);
        }
    }
}

impl Drop for Description {
    fn drop(&mut self) {
        let Some(open) = &self.open else { return };
        let owner = LockOwner(open.id().0);
        self.local.0.locks.release_flock(self.node.cookie(), owner);
        if self.mount.opens().remove(open.id()).is_ok() {
            let how = ReleaseHow { owner: Some(owner) };
            let _ = self.mount.release(&Context::internal(), &self.node, open, how);
        }
    }
}
