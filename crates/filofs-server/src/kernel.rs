//! The kernel half: a file server in another process as a [`FileSystem`].
//!
//! ```text
//!  operation    getattr(node)                 (the stack above)
//!     |            ^
//!  server       which life of the server, which id there; what the answer must be
//!     |            ^
//!  connection   park, send, wait; one of those who wait reads for all
//!     |            ^
//!  channel      one message each way
//! ```
//!
//! It plays the kernel toward the server: it asks in the words of FUSE, and believes nothing of
//! what comes back before it is checked. What the server says unasked goes to the `worker`.

mod again;
mod append;
mod attributes;
mod backing;
mod blame;
mod calls;
mod connection;
mod dump;
mod fault;
mod files;
mod flood;
mod frame;
mod handles;
mod handshake;
mod inbox;
mod late;
mod life;
mod link;
mod listing;
mod locks;
mod names;
mod outbox;
mod parking;
mod remote;
mod server;
mod slots;
mod status;
mod told;
mod way;
mod whole;
mod worker;

/// What the parking is made of: other threads in its model.
mod sync {
    pub(super) use std::sync::{Mutex, MutexGuard};
    pub(super) use std::thread::{Thread, current};
}

use crate::channel::Channel;
use filofs::{
    Access, Attr, Context, Cookie, CopyHow, Created, DirOffset, DirSink, Entry, Errno, ExtattrCtl,
    Facts, FallocateFlags, FileHandle, FileSystem, Ioctl, Kind, Lock, LockKind, LockOwner, MakeHow,
    Name, Node, Open, OpenHow, Opened, PollEvents, Profile, ReleaseHow, RenameFlags, Result, Seek,
    SetAttr, Sink, Source, Statfs, SyncMode, UnmountFlags, Upward, WriteFlags, XattrFlags, locked,
};
use server::Server;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub use life::{OnExit, Started, Starter};
pub use link::Keep;
pub use status::{State, Status};

/// The target of the log under which messages are written, if they are.
pub const MESSAGES: &str = "filo_messages";

/// How a server is treated.
#[derive(Clone, Debug)]
pub struct Settings {
    /// What it is called in messages.
    pub name: String,
    /// How long it may take to answer INIT.
    pub start_patience: Duration,
    /// How long it may take to answer anything else but a lock that others hold; `None` for ever.
    pub patience: Option<Duration>,
    /// Whether it is told the callers' pids. To a server in a pid namespace of its own they would
    /// name other processes.
    pub tells_pids: bool,
    /// What its death means.
    pub on_exit: OnExit,
    /// With [`OnExit::Restart`]: after so many deaths in a minute callers are not kept waiting
    /// until it is there again, but told EIO. 1 to [`Settings::DEATHS_MAX`]. The first third of
    /// them are followed by a new start at once, the others by longer and longer pauses.
    pub most_deaths: u32,
    /// Whether every message is written to the log. Then no memory is shared.
    pub trace_messages: bool,
    /// Whether memory is shared with a server that makes use of it.
    pub shares_memory: bool,
    /// Whether it may give the files that its data is in, so that the kernel reads and writes them
    /// by itself. Not where every message is written to the log.
    pub takes_files: bool,
}

impl Settings {
    /// The most that [`Settings::most_deaths`] can be.
    pub const DEATHS_MAX: u32 = 100_000;
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            name: "server".into(),
            start_patience: Duration::from_secs(20),
            patience: Some(Duration::from_secs(60)),
            tells_pids: true,
            on_exit: OnExit::Unmount,
            most_deaths: 9,
            trace_messages: false,
            shares_memory: true,
            takes_files: true,
        }
    }
}

/// A file server in another process, as a file system.
#[derive(Debug)]
pub struct KernelHalf {
    server: Arc<Server>,
}

impl KernelHalf {
    /// Starts a server, and greets it. It is started again when it dies, if the settings say so.
    ///
    /// Errors: why not, for a person.
    pub fn start(
        starter: Box<dyn Starter>,
        settings: &Settings,
    ) -> std::result::Result<KernelHalf, String> {
        let link = life::begin(&*starter, settings, 1)?;
        let server = Arc::new(Server::new(settings, link.clone(), Some(starter)));
        life::attend(&server, &link)
            .inspect_err(|_| server.goodbye())
            .map_err(|errno| format!("a thread cannot be started: {errno}"))?;
        Ok(KernelHalf { server })
    }

    /// Over a channel whose other end is a file server's: greets it. When it has gone it stays
    /// away.
    ///
    /// Errors: as [`KernelHalf::start`].
    pub fn over(channel: Channel, settings: &Settings) -> std::result::Result<KernelHalf, String> {
        let once = Once(Mutex::new(Some(channel)));
        let on_exit = match settings.on_exit {
            OnExit::Restart => OnExit::Fail,
            other => other,
        };
        KernelHalf::start(Box::new(once), &Settings { on_exit, ..settings.clone() })
    }

    /// The kind of file that the root is, if the server has said.
    pub fn root_kind(&self) -> Option<Kind> {
        self.server.root_kind()
    }

    /// How often the server answered what no server may, in all its lives.
    pub fn lies(&self) -> u64 {
        self.server.lies()
    }

    /// How many requests have no answer, those included whose callers have given up.
    pub fn outstanding(&self) -> usize {
        self.server.now().connection.outstanding()
    }

    /// How many nodes of the server's are held.
    pub fn nodes(&self) -> usize {
        self.server.nodes.len()
    }

    /// How the server is now.
    pub fn status(&self) -> Status {
        Status::of(&self.server)
    }
}

/// Starts what runs already.
struct Once(Mutex<Option<Channel>>);

impl Starter for Once {
    fn start(&self) -> std::result::Result<Started, String> {
        let channel = locked(&self.0).take().ok_or("its channel is used up")?;
        Ok(Started::new(channel, Box::new(())))
    }
}

impl Drop for KernelHalf {
    fn drop(&mut self) {
        self.server.goodbye();
    }
}

fn thread(what: &str, run: impl FnOnce() + Send + 'static) -> Result<()> {
    let builder = std::thread::Builder::new().name(format!("filo-server-{what}"));
    builder.spawn(run).map(drop).map_err(Errno::from)
}

impl FileSystem for KernelHalf {
    fn name(&self) -> &str {
        &self.server.name
    }

    fn profile(&self) -> Profile {
        self.server.profile()
    }

    fn connect(&self, up: &Upward) {
        let _ = self.server.up.set(up.clone());
    }

    fn disconnect(&self) {
        self.server.goodbye();
    }

    fn facts(&self) -> Vec<Facts> {
        vec![self.status().facts()]
    }

    fn root(&self, cx: &Context<'_>) -> Result<Entry> {
        self.server.root(cx)
    }

    fn statfs(&self, cx: &Context<'_>, node: &Node) -> Result<Statfs> {
        self.server.statfs(cx, node)
    }

    fn sync(&self, cx: &Context<'_>, mode: SyncMode) -> Result<()> {
        self.server.sync(cx, mode)
    }

    fn handle_of(&self, cx: &Context<'_>, node: &Node) -> Result<FileHandle> {
        self.server.handle_of(cx, node)
    }

    fn node_of(&self, cx: &Context<'_>, handle: &FileHandle) -> Result<Entry> {
        self.server.node_of(cx, handle)
    }

    fn recall(&self, cx: &Context<'_>, cookie: Cookie) -> Result<Entry> {
        self.server.recall(cx, cookie)
    }

    fn extattrctl(&self, cx: &Context<'_>, node: Option<&Node>, how: ExtattrCtl<'_>) -> Result<()> {
        self.server.extattrctl(cx, node, how)
    }

    fn unmount(&self, cx: &Context<'_>, flags: UnmountFlags) -> Result<()> {
        self.server.unmount(cx, flags)
    }

    fn lookup(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        self.server.lookup(cx, dir, name)
    }

    fn parent(&self, cx: &Context<'_>, dir: &Node) -> Result<Entry> {
        self.server.parent(cx, dir)
    }

    fn readdir(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        open: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        self.server.readdir(cx, dir, open, offset, out)
    }

    fn readlink(&self, cx: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<()> {
        self.server.readlink(cx, node, out)
    }

    fn mknod(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        kind: Kind,
        how: MakeHow,
    ) -> Result<Entry> {
        self.server.mknod(cx, dir, name, kind, how)
    }

    fn mkdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>, how: MakeHow) -> Result<Entry> {
        self.server.mkdir(cx, dir, name, how)
    }

    fn symlink(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
    ) -> Result<Entry> {
        self.server.symlink(cx, dir, name, target)
    }

    fn link(&self, cx: &Context<'_>, node: &Node, dir: &Node, name: Name<'_>) -> Result<Entry> {
        self.server.link(cx, node, dir, name)
    }

    fn create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Created> {
        self.server.create(cx, dir, name, how)
    }

    fn tmpfile(&self, cx: &Context<'_>, dir: &Node, how: MakeHow) -> Result<Created> {
        self.server.tmpfile(cx, dir, how)
    }

    fn unlink(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.server.unlink(cx, dir, name)
    }

    fn rmdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.server.rmdir(cx, dir, name)
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
        self.server.rename(cx, dir, name, to_dir, to_name, flags)
    }

    fn getattr(&self, cx: &Context<'_>, node: &Node, open: Option<&Open>) -> Result<Attr> {
        self.server.getattr(cx, node, open)
    }

    fn setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        self.server.setattr(cx, node, open, set)
    }

    fn access(&self, cx: &Context<'_>, node: &Node, want: Access) -> Result<()> {
        self.server.access(cx, node, want)
    }

    fn getxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        self.server.getxattr(cx, node, key, out)
    }

    fn setxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.server.setxattr(cx, node, key, value, flags)
    }

    fn listxattr(&self, cx: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<usize> {
        self.server.listxattr(cx, node, out)
    }

    fn removexattr(&self, cx: &Context<'_>, node: &Node, key: &[u8]) -> Result<()> {
        self.server.removexattr(cx, node, key)
    }

    fn open(&self, cx: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        self.server.open(cx, node, how)
    }

    fn flush(&self, cx: &Context<'_>, node: &Node, open: &Open, owner: LockOwner) -> Result<()> {
        self.server.flush(cx, node, open, owner)
    }

    fn release(&self, cx: &Context<'_>, node: &Node, open: &Open, how: ReleaseHow) -> Result<()> {
        self.server.release(cx, node, open, how)
    }

    fn fsync(&self, cx: &Context<'_>, node: &Node, open: &Open, data_only: bool) -> Result<()> {
        self.server.fsync(cx, node, open, data_only)
    }

    fn read(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        self.server.read(cx, node, open, offset, out)
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
        self.server.write(cx, node, open, offset, data, flags)
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
        self.server.fallocate(cx, node, open, offset, len, flags)
    }

    fn lseek(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        what: Seek,
    ) -> Result<u64> {
        self.server.lseek(cx, node, open, offset, what)
    }

    fn copy_file_range(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        to_node: &Node,
        to_open: &Open,
        how: CopyHow,
    ) -> Result<u64> {
        self.server.copy_file_range(cx, node, open, to_node, to_open, how)
    }

    fn poll(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        events: PollEvents,
    ) -> Result<PollEvents> {
        self.server.poll(cx, node, open, events)
    }

    fn ioctl(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        how: Ioctl<'_>,
        out: &mut dyn Sink,
    ) -> Result<i32> {
        self.server.ioctl(cx, node, open, how, out)
    }

    fn bmap(&self, cx: &Context<'_>, node: &Node, block: u64, block_size: u32) -> Result<u64> {
        self.server.bmap(cx, node, block, block_size)
    }

    fn getlk(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
        lock: Lock,
    ) -> Result<Lock> {
        self.server.getlk(cx, node, open, owner, lock)
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
        self.server.setlk(cx, node, open, owner, lock, wait)
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
        self.server.flock(cx, node, open, owner, kind, wait)
    }
}
