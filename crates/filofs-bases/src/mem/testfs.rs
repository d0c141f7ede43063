//! `TestFs`: a small `mem` that takes paths, for tests.

use super::{Mem, Settings};
use filofs::{
    Attr, Context, DirEntry, DirOffset, DirSink, Errno, FileSystem, Full, Gid, Kind, MakeHow, Name,
    Node, Open, OpenFlags, OpenHow, RenameFlags, Result, SetAttr, SliceSource, Uid, VecSink,
    WriteFlags, XattrFlags,
};
use std::sync::Arc;

pub(super) struct TestFs {
    pub(super) mem: Arc<Mem>,
    pub(super) cx: Context<'static>,
}

pub(super) const NONE: RenameFlags = RenameFlags::empty();

impl TestFs {
    pub(super) fn new() -> TestFs {
        TestFs::with(1 << 30, 1 << 20)
    }

    pub(super) fn with(size: u64, inodes: u64) -> TestFs {
        let (mode, uid, gid) = (0o755, Uid(0), Gid(0));
        let settings = Settings { size, inodes, mode, uid, gid, stateless: false };
        TestFs { mem: Arc::new(Mem::new(settings)), cx: Context::internal() }
    }

    /// The same file system, used by somebody else.
    pub(super) fn by(&self, uid: u32, gid: u32) -> TestFs {
        let cx = Context { uid: Uid(uid), gid: Gid(gid), ..self.cx };
        TestFs { mem: self.mem.clone(), cx }
    }

    pub(super) fn root(&self) -> Node {
        Node::detached(&self.mem.root(&self.cx).unwrap())
    }

    pub(super) fn walk(&self, path: &str) -> Result<Node> {
        path.split('/').filter(|part| !part.is_empty()).try_fold(self.root(), |dir, part| {
            Ok(Node::detached(&self.mem.lookup(&self.cx, &dir, name(part))?))
        })
    }

    fn above<'a>(&self, path: &'a str) -> Result<(Node, Name<'a>)> {
        let (dir, last) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.walk(dir)?, name(last)))
    }

    pub(super) fn make(&self, path: &str, kind: Kind, how: MakeHow) -> Result<Node> {
        let (dir, name) = self.above(path)?;
        let entry = match kind {
            Kind::Directory => self.mem.mkdir(&self.cx, &dir, name, how),
            Kind::Symlink => self.mem.symlink(&self.cx, &dir, name, b"target"),
            _ => self.mem.mknod(&self.cx, &dir, name, kind, how),
        };
        Ok(Node::detached(&entry?))
    }

    pub(super) fn mkdir(&self, path: &str) -> Node {
        self.make(path, Kind::Directory, MakeHow::mode(0o755)).unwrap()
    }

    /// Makes a file of those bytes.
    pub(super) fn file(&self, path: &str, bytes: &[u8]) -> Node {
        let node = self.make(path, Kind::Regular, MakeHow::mode(0o644)).unwrap();
        assert_eq!(self.write(&node, OpenFlags::RDWR, 0, bytes), Ok(bytes.len()));
        node
    }

    pub(super) fn open(&self, node: &Node, flags: OpenFlags) -> Result<Open> {
        let opened = self.mem.open(&self.cx, node, OpenHow { flags, kill_priv: false })?;
        Ok(Open::detached(node, flags, opened))
    }

    pub(super) fn write(
        &self,
        node: &Node,
        flags: OpenFlags,
        at: u64,
        bytes: &[u8],
    ) -> Result<usize> {
        let open = self.open(node, flags)?;
        let source = &mut SliceSource::new(bytes);
        self.mem.write(&self.cx, node, &open, at, source, WriteFlags::empty())
    }

    pub(super) fn read(&self, node: &Node) -> Vec<u8> {
        let open = self.open(node, OpenFlags::RDONLY).unwrap();
        let mut sink = VecSink::new(1 << 24);
        self.mem.read(&self.cx, node, &open, 0, &mut sink).unwrap();
        sink.into_bytes()
    }

    pub(super) fn stat(&self, path: &str) -> Result<Attr> {
        self.attr(&self.walk(path)?)
    }

    pub(super) fn attr(&self, node: &Node) -> Result<Attr> {
        self.mem.getattr(&self.cx, node, None)
    }

    pub(super) fn set(&self, node: &Node, set: SetAttr) -> Result<Attr> {
        self.mem.setattr(&self.cx, node, None, &set)
    }

    pub(super) fn chmod(&self, node: &Node, mode: u32) -> Result<Attr> {
        self.set(node, SetAttr { mode: Some(mode), ..SetAttr::default() })
    }

    pub(super) fn link(&self, node: &Node, path: &str) -> Result<()> {
        let (dir, name) = self.above(path)?;
        self.mem.link(&self.cx, node, &dir, name).map(drop)
    }

    pub(super) fn unlink(&self, path: &str) -> Result<()> {
        let (dir, name) = self.above(path)?;
        self.mem.unlink(&self.cx, &dir, name)
    }

    pub(super) fn rmdir(&self, path: &str) -> Result<()> {
        let (dir, name) = self.above(path)?;
        self.mem.rmdir(&self.cx, &dir, name)
    }

    pub(super) fn rename(&self, from: &str, to: &str, flags: RenameFlags) -> Result<()> {
        let (dir, name) = self.above(from)?;
        let (to_dir, to_name) = self.above(to)?;
        self.mem.rename(&self.cx, &dir, name, &to_dir, to_name, flags)
    }

    pub(super) fn list(&self, path: &str) -> Vec<String> {
        let mut names = List::new(usize::MAX);
        self.list_into(&self.walk(path).unwrap(), DirOffset::START, &mut names);
        names.names.into_iter().map(|(name, _)| name).collect()
    }

    pub(super) fn list_into(&self, dir: &Node, from: DirOffset, list: &mut List) {
        let open = self.open(dir, OpenFlags::DIRECTORY).unwrap();
        self.mem.readdir(&self.cx, dir, &open, from, list).unwrap();
    }

    pub(super) fn setxattr(&self, node: &Node, key: &str, value: &[u8]) -> Result<()> {
        self.mem.setxattr(&self.cx, node, key.as_bytes(), value, XattrFlags::empty())
    }

    pub(super) fn getxattr(&self, node: &Node, key: &str) -> Result<Vec<u8>> {
        let mut sink = VecSink::new(1 << 16);
        self.mem.getxattr(&self.cx, node, key.as_bytes(), &mut sink)?;
        Ok(sink.into_bytes())
    }

    /// Asserts that nothing but the root is left, and nothing charged.
    pub(super) fn assert_empty(&self) {
        let space = &self.mem.volume.space;
        assert_eq!((space.bytes.used(), space.inodes.used()), (0, 1));
        assert!(self.mem.volume.locks.is_empty());
    }
}

/// Takes entries up to a number.
pub(super) struct List {
    pub(super) names: Vec<(String, DirOffset)>,
    pub(super) inos: Vec<u64>,
    most: usize,
}

impl List {
    pub(super) fn new(most: usize) -> List {
        List { names: Vec::new(), inos: Vec::new(), most }
    }
}

impl DirSink for List {
    fn wants_entries(&self) -> bool {
        true
    }

    fn add(&mut self, entry: DirEntry<'_>) -> Result<(), Full> {
        if self.names.len() >= self.most {
            return Err(Full);
        }
        let node = entry.entry.unwrap();
        assert_eq!((node.attr.ino, Some(node.attr.kind)), (entry.ino, entry.kind));
        assert!(entry.next >= DirOffset::FIRST);
        self.names.push((entry.name.to_string(), entry.next));
        self.inos.push(entry.ino);
        Ok(())
    }
}

pub(super) fn name(text: &str) -> Name<'_> {
    Name::new(text.as_bytes()).unwrap()
}

/// Until the clock has moved.
pub(super) fn tick() {
    let before = super::now();
    while super::now() == before {
        std::thread::yield_now();
    }
}

#[test]
fn an_empty_one_has_a_root() {
    let fs = TestFs::new();
    let root = fs.stat("").unwrap();
    assert_eq!((root.ino, root.kind, root.mode, root.nlink), (1, Kind::Directory, 0o755, 2));
    assert_eq!(fs.stat("x").unwrap_err(), Errno::ENOENT);
    fs.assert_empty();
}
