//! A file system that does what a test tells it to.

use filofs::{
    Attr, Context, Cookie, DirOffset, DirSink, Entry, Errno, ExtattrCtl, FileHandle, FileSystem,
    Gid, Kind, Name, Node, Notice, Open, Profile, Result, Sink, Source, SyncMode, UnmountFlags,
    Upward, WriteFlags,
};
use std::sync::atomic::{AtomicI32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, OnceLock};

/// The node id of the file.
pub(crate) const FILE: u64 = 2;
/// A name whose lookup delivers a notice about its directory and answers what came of it.
pub(crate) const DELIVERS: &str = "delivers";
/// A name whose lookup asks for its caller's groups.
pub(crate) const GROUPS: &str = "groups";

/// What it was asked beside the ordinary, and what it is to answer.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) asked: Mutex<Vec<String>>,
    pub(crate) groups: Mutex<Vec<Gid>>,
    /// What the unmount question is answered: 0, or an errno.
    pub(crate) unmount: AtomicI32,
    pub(crate) up: OnceLock<Upward>,
}

impl Told {
    pub(crate) fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

/// One directory, one file, names that do something.
#[derive(Default)]
pub(crate) struct Toy(pub(crate) Arc<Told>);

impl Toy {
    pub(crate) fn new() -> (Toy, Arc<Told>) {
        let told = Arc::<Told>::default();
        (Toy(told.clone()), told)
    }
}

fn attr(node: u64) -> Attr {
    if node == 1 { Attr::directory(1) } else { Attr::new(node, Kind::Regular) }
}

impl FileSystem for Toy {
    fn name(&self) -> &'static str {
        "toy"
    }

    fn profile(&self) -> Profile {
        Profile { exportable: true, ..Profile::default() }
    }

    fn connect(&self, up: &Upward) {
        let _ = self.0.up.set(up.clone());
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(attr(1)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(attr(node.cookie().0))
    }

    fn lookup(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        if name.bytes() == DELIVERS.as_bytes() {
            let notice = Notice::NamesIn { dir: dir.cookie() };
            self.0.up.get().unwrap().deliver(cx, notice)?;
        } else if name.bytes() == GROUPS.as_bytes() {
            *self.0.groups.lock().unwrap() = cx.groups.list();
            assert!(!cx.in_group(Gid(99_999)), "asked for once");
        }
        Ok(Entry::new(attr(FILE)))
    }

    fn readdir(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        at: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        let names: Vec<_> = (0..1000).map(|i| format!("{i:0>200}")).collect();
        out.list(at, names.iter().map(|name| (name.as_str(), attr(FILE))))
    }

    fn read(&self, _: &Context<'_>, _: &Node, _: &Open, _: u64, out: &mut dyn Sink) -> Result<()> {
        let len = out.room();
        out.window(len).fill(7);
        out.commit(len);
        Ok(())
    }

    fn write(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        _: u64,
        data: &mut dyn Source,
        _: WriteFlags,
    ) -> Result<usize> {
        Ok(data.remaining())
    }

    fn getxattr(&self, _: &Context<'_>, _: &Node, key: &[u8], out: &mut dyn Sink) -> Result<usize> {
        let len = std::str::from_utf8(key).unwrap().parse().unwrap();
        match out.room() {
            0 => Ok(len),
            room if room < len => Err(Errno::ERANGE),
            _ => Ok(out.put(&vec![1; len])),
        }
    }

    fn sync(&self, _: &Context<'_>, mode: SyncMode) -> Result<()> {
        self.0.note(format!("sync {mode:?}"));
        Ok(())
    }

    fn handle_of(&self, _: &Context<'_>, node: &Node) -> Result<FileHandle> {
        FileHandle::new(format!("toy {}", node.cookie().0).as_bytes())
    }

    fn node_of(&self, _: &Context<'_>, handle: &FileHandle) -> Result<Entry> {
        match handle.bytes() {
            b"toy 1" => Ok(Entry::new(attr(1))),
            b"toy 2" => Ok(Entry::new(attr(FILE))),
            b"toy 3" => Err(Errno::ESTALE),
            _ => Err(Errno::EINVAL),
        }
    }

    fn extattrctl(&self, _: &Context<'_>, node: Option<&Node>, how: ExtattrCtl<'_>) -> Result<()> {
        let node = node.map(Node::cookie);
        let name = how.name.map(|name| String::from_utf8_lossy(name).into_owned());
        self.0.note(format!("extattrctl {} {} {node:?} {name:?}", how.command, how.namespace));
        Ok(())
    }

    fn unmount(&self, _: &Context<'_>, flags: UnmountFlags) -> Result<()> {
        self.0.note(format!("unmount {}", flags.contains(UnmountFlags::FORCE)));
        match self.0.unmount.load(SeqCst) {
            0 => Ok(()),
            errno => Err(Errno::from_raw(errno)),
        }
    }
}

pub(crate) const fn cookie(number: u64) -> Cookie {
    Cookie(number)
}
