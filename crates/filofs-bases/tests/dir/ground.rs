//! What the tests stand on: a directory of their own, and short words for operations.

use filofs::{
    Attr, Context, DirEntry, DirOffset, DirSink, Entry, FileSystem, Full, Gid, MakeHow, Name, Node,
    Open, OpenFlags, OpenHow, Result, SliceSource, Uid, VecSink, WriteFlags,
};
use filofs_bases::dir::{Dir, DirOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// A directory that goes when the test does.
pub(crate) struct Ground {
    pub(crate) path: PathBuf,
    pub(crate) dir: Dir,
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A new directory under the system's place for such.
pub(crate) fn new_path() -> PathBuf {
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let path = std::env::temp_dir().join(format!("filo-dir-{}-{number}", std::process::id()));
    std::fs::create_dir(&path).unwrap();
    path
}

impl Ground {
    pub(crate) fn new() -> Ground {
        Ground::with(DirOptions::default())
    }

    /// With room around: the root is `path`, the test owns `path/..` as well.
    pub(crate) fn with(options: DirOptions) -> Ground {
        let path = new_path().join("root");
        std::fs::create_dir(&path).unwrap();
        let open = |path: &Path| std::fs::set_permissions(path, mode(0o755)).unwrap();
        open(path.parent().unwrap());
        open(&path);
        Ground { dir: Dir::open(&path, options).unwrap(), path }
    }

    pub(crate) fn root(&self) -> Node {
        node(&self.dir.root(&root()).unwrap())
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn lookup(&self, dir: &Node, name: &str) -> Result<Entry> {
        self.dir.lookup(&root(), dir, n(name))
    }

    /// The node of a path with slashes.
    pub(crate) fn walk(&self, path: &str) -> Result<Node> {
        path.split('/').try_fold(self.root(), |at, name| Ok(node(&self.lookup(&at, name)?)))
    }

    pub(crate) fn attr(&self, node: &Node) -> Attr {
        self.dir.getattr(&root(), node, None).unwrap()
    }

    pub(crate) fn open(&self, cx: &Context<'_>, node: &Node, flags: OpenFlags) -> Result<Open> {
        let opened = self.dir.open(cx, node, OpenHow { flags, kill_priv: false })?;
        Ok(Open::detached(node, flags, opened))
    }

    pub(crate) fn create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: &str,
        mode: u32,
    ) -> Result<(Node, Open)> {
        let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(mode) };
        let created = self.dir.create(cx, dir, n(name), how)?;
        let node = node(&created.entry);
        let open = Open::detached(&node, OpenFlags::RDWR, created.opened);
        Ok((node, open))
    }

    pub(crate) fn write(
        &self,
        cx: &Context<'_>,
        open: &Open,
        at: u64,
        data: &[u8],
    ) -> Result<usize> {
        let mut source = SliceSource::new(data);
        self.dir.write(cx, open.node(), open, at, &mut source, WriteFlags::empty())
    }

    pub(crate) fn read(&self, open: &Open, at: u64, len: usize) -> Result<Vec<u8>> {
        let mut sink = VecSink::new(len);
        self.dir.read(&root(), open.node(), open, at, &mut sink)?;
        Ok(sink.into_bytes())
    }

    /// The names from an offset on, each with the offset after it; at most `most`.
    pub(crate) fn list(
        &self,
        dir: &Node,
        open: &Open,
        from: DirOffset,
        most: usize,
        plus: bool,
    ) -> Vec<(String, DirOffset, Option<Entry>)> {
        let mut out = List { plus, most, taken: Vec::new() };
        self.dir.readdir(&root(), dir, open, from, &mut out).unwrap();
        out.taken
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        let _ = filofs_bases::dir::own_rights();
        let _ = std::fs::remove_dir_all(self.path.parent().unwrap());
    }
}

struct List {
    plus: bool,
    most: usize,
    taken: Vec<(String, DirOffset, Option<Entry>)>,
}

impl DirSink for List {
    fn wants_entries(&self) -> bool {
        self.plus
    }

    fn add(&mut self, entry: DirEntry<'_>) -> std::result::Result<(), Full> {
        if self.taken.len() >= self.most {
            return Err(Full);
        }
        self.taken.push((format!("{}", entry.name), entry.next, entry.entry));
        Ok(())
    }
}

/// The super-user.
pub(crate) fn root() -> Context<'static> {
    Context::internal()
}

/// An ordinary user without further groups.
pub(crate) fn user(uid: u32) -> Context<'static> {
    Context { uid: Uid(uid), gid: Gid(uid), ..Context::internal() }
}

pub(crate) fn n(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

pub(crate) fn node(entry: &Entry) -> Node {
    Node::detached(entry)
}

pub(crate) fn mode(mode: u32) -> std::fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    std::fs::Permissions::from_mode(mode)
}

/// Whether the test can run: it needs root. Says so when not, and fails under FILO_REQUIRE=1.
pub(crate) fn is_root(test: &str) -> bool {
    let root = rustix::process::geteuid().is_root();
    if !root {
        let text = format!("{test}: skipped, it needs root");
        assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "{text}");
        eprintln!("{text}");
    }
    root
}
