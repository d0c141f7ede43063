//! `dir`: a directory of the host.
//!
//! - **Nodes** are reached by descriptor, by file handle, or one name at a time from their
//!   parent (`host`); no path is ever put together, so no link and no rename below leads out.
//!   What a name leads to is compared with what it led to before (`Identity`); a file that is
//!   elsewhere now, and that no descriptor or handle leads to, is ESTALE.
//! - **Descriptors** are a bounded cache over any number of live nodes (`descriptors`). A node
//!   gets one when it is used beyond its attributes: as a directory to look in, to be changed.
//! - **System calls** are as few as this allows, on file systems that are `local`: one for a
//!   lookup, an entry of a listing, attributes; two for an open, a new file, a rename.
//! - **Rights** on the host are the caller's (`rights`). `getattr`, `read` and what else the
//!   host grants to any holder of a descriptor are done by whoever the thread happens to be.
//! - **Special files** are never opened: `open` of a fifo, socket or device is ENXIO. Kernels
//!   above handle them themselves.
//!
//! What else may change the files: anybody. Names and attributes are believed for a second, or
//! until the host tells that they have changed (`watch`).
//! A write that exceeds the limit RLIMIT_FSIZE of this process sends SIGXFSZ: the command ignores
//! that signal.

mod attributes;
mod cached;
mod cookies;
mod covered;
mod descriptors;
mod handles;
mod host;
mod inode;
mod inodes;
mod ioctls;
mod listing;
mod local;
mod locks;
mod names;
mod opened;
mod rights;
mod setup;
mod sys;
mod watch;
mod xattrs;

pub use covered::Covered;
pub use rights::own_rights;
pub use setup::{DEFINITION, DirOptions, raise_open_files};

use filofs::{
    Access, Attr, Context, Cookie, CopyHow, Created, DirOffset, DirSink, Entry, Errno,
    FallocateFlags, FileHandle, FileSystem, Ioctl, Kind, Lock, LockKind, LockOwner, LockTable,
    MakeHow, Name, Node, Open, OpenHow, Opened, Profile, ReleaseHow, RenameFlags, Result, Seek,
    SetAttr, Sink, Source, Statfs, SyncMode, Upward, WriteFlags, XattrFlags,
};
use host::Host;
use inode::Inode;
use rustix::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;

/// A directory of the host, as a base.
pub struct Dir {
    host: Arc<Host>,
    root: Arc<Inode>,
    /// The root, opened for reading: what syncfs(2) takes.
    sync: OwnedFd,
    /// For people.
    path: PathBuf,
    locks: LockTable,
}

/// The errno of the host, as it goes up. ENOSYS is said of one file here and would be believed of
/// all above.
fn up(errno: rustix::io::Errno) -> Errno {
    match Errno::from_raw(errno.raw_os_error()) {
        Errno::ENOSYS => Errno::EOPNOTSUPP,
        errno => errno,
    }
}

impl FileSystem for Dir {
    fn name(&self) -> &'static str {
        "dir"
    }

    fn describe(&self) -> String {
        format!("dir:{}", self.path.display())
    }

    fn profile(&self) -> Profile {
        Profile {
            locks: self.host.keeps_locks,
            exportable: self.host.handles,
            checks: true,
            backing: host::backed(&self.sync),
            ..Profile::default()
        }
    }

    fn connect(&self, up: &Upward) {
        let Some(watch) = self.host.watch.clone() else { return };
        let (host, up) = (self.host.me.clone(), up.clone());
        let tell = move || watch.tell(&host, &up);
        if let Err(error) = std::thread::Builder::new().name("filo-watch".into()).spawn(tell) {
            log::error!("changes of the directory are not seen at once: {error}");
        }
    }

    fn disconnect(&self) {
        self.host.watch.iter().for_each(|watch| watch.end());
    }

    fn root(&self, _cx: &Context<'_>) -> Result<Entry> {
        let stat = self.host.stat(&self.root)?;
        self.host.entry(self.root.clone(), &stat)
    }

    fn statfs(&self, _cx: &Context<'_>, node: &Node) -> Result<Statfs> {
        self.do_statfs(node)
    }

    fn sync(&self, _cx: &Context<'_>, mode: SyncMode) -> Result<()> {
        match mode {
            SyncMode::Wait => rustix::fs::syncfs(&self.sync).map_err(up),
            // The host writes by itself, soon.
            SyncMode::NoWait | SyncMode::Lazy => Ok(()),
        }
    }

    fn handle_of(&self, _cx: &Context<'_>, node: &Node) -> Result<FileHandle> {
        self.do_handle_of(node)
    }

    fn node_of(&self, _cx: &Context<'_>, handle: &FileHandle) -> Result<Entry> {
        self.do_node_of(handle)
    }

    fn recall(&self, _cx: &Context<'_>, cookie: Cookie) -> Result<Entry> {
        self.do_recall(cookie)
    }

    fn lookup(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        self.do_lookup(cx, dir, name)
    }

    fn parent(&self, _cx: &Context<'_>, dir: &Node) -> Result<Entry> {
        self.do_parent(dir)
    }

    fn readdir(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        open: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        self.do_readdir(cx, dir, open, offset, out)
    }

    fn readlink(&self, _cx: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<()> {
        self.do_readlink(node, out)
    }

    fn mknod(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        kind: Kind,
        how: MakeHow,
    ) -> Result<Entry> {
        self.do_mknod(cx, dir, name, kind, how)
    }

    fn mkdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>, how: MakeHow) -> Result<Entry> {
        self.do_mkdir(cx, dir, name, how)
    }

    fn symlink(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
    ) -> Result<Entry> {
        self.do_symlink(cx, dir, name, target)
    }

    fn link(&self, cx: &Context<'_>, node: &Node, dir: &Node, name: Name<'_>) -> Result<Entry> {
        self.do_link(cx, node, dir, name)
    }

    fn create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Created> {
        self.do_create(cx, dir, name, how)
    }

    fn tmpfile(&self, cx: &Context<'_>, dir: &Node, how: MakeHow) -> Result<Created> {
        self.do_tmpfile(cx, dir, how)
    }

    fn unlink(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.do_remove(cx, dir, name, rustix::fs::AtFlags::empty())
    }

    fn rmdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.do_remove(cx, dir, name, rustix::fs::AtFlags::REMOVEDIR)
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
        self.do_rename(cx, dir, name, to_dir, to_name, flags)
    }

    fn getattr(&self, _cx: &Context<'_>, node: &Node, open: Option<&Open>) -> Result<Attr> {
        self.do_getattr(node, open)
    }

    fn setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        self.do_setattr(cx, node, open, set)
    }

    fn access(&self, cx: &Context<'_>, node: &Node, want: Access) -> Result<()> {
        self.do_access(cx, node, want)
    }

    fn getxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        self.do_getxattr(cx, node, key, out)
    }

    fn setxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.do_setxattr(cx, node, key, value, flags)
    }

    fn listxattr(&self, cx: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<usize> {
        self.do_listxattr(cx, node, out)
    }

    fn removexattr(&self, cx: &Context<'_>, node: &Node, key: &[u8]) -> Result<()> {
        self.do_removexattr(cx, node, key)
    }

    fn open(&self, cx: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        self.do_open(cx, node, how)
    }

    fn flush(&self, _cx: &Context<'_>, node: &Node, open: &Open, owner: LockOwner) -> Result<()> {
        self.do_flush(node, open, owner)
    }

    fn release(&self, _cx: &Context<'_>, node: &Node, open: &Open, how: ReleaseHow) -> Result<()> {
        self.do_release(node, open, how)
    }

    fn fsync(&self, _cx: &Context<'_>, _node: &Node, open: &Open, data_only: bool) -> Result<()> {
        opened::fsync(open, data_only)
    }

    fn read(
        &self,
        _cx: &Context<'_>,
        _node: &Node,
        open: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        opened::read(open, offset, out)
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
        self.do_write(cx, node, open, offset, data, flags)
    }

    fn fallocate(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        len: u64,
        flags: FallocateFlags,
    ) -> Result<()> {
        self.do_fallocate(cx, node, open, offset, len, flags)
    }

    fn lseek(
        &self,
        _cx: &Context<'_>,
        _node: &Node,
        open: &Open,
        offset: u64,
        what: Seek,
    ) -> Result<u64> {
        opened::lseek(open, offset, what)
    }

    fn copy_file_range(
        &self,
        cx: &Context<'_>,
        _node: &Node,
        open: &Open,
        to_node: &Node,
        to_open: &Open,
        how: CopyHow,
    ) -> Result<u64> {
        self.do_copy(cx, open, to_node, to_open, how)
    }

    fn ioctl(
        &self,
        cx: &Context<'_>,
        _node: &Node,
        open: &Open,
        how: Ioctl<'_>,
        out: &mut dyn Sink,
    ) -> Result<i32> {
        self.do_ioctl(cx, open, how, out)
    }

    fn getlk(
        &self,
        _cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
    ) -> Result<Lock> {
        self.do_getlk(node, open, owner, lock)
    }

    fn setlk(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        self.do_setlk(cx, node, open, owner, lock, wait)
    }

    fn flock(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        kind: LockKind,
        wait: bool,
    ) -> Result<()> {
        self.do_flock(cx, node, open, owner, kind, wait)
    }
}

/// What a node of ours carries. EIO for a node of somebody else's.
fn inode(node: &Node) -> Result<Arc<Inode>> {
    node.state_arc().ok_or(Errno::EIO)
}
