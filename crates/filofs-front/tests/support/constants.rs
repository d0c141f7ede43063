//! `Constants`: a file system that knows its answers beforehand. What a request costs over it is
//! what the front end costs.

use filofs::{
    Attr, Context, Created, DirOffset, DirSink, Entry, Errno, FileSystem, MakeHow, Name, Node,
    Open, OpenHow, Opened, OpenedFlags, Profile, Result, Sink, Source, WriteFlags,
};

/// One file in one directory, and any number of others that are made and forgotten.
#[derive(Default)]
pub struct Constants {
    /// Nobody need open the file.
    pub stateless: bool,
}

/// The inode number of the root.
const ROOT: u64 = 1;
/// The inode number of the file.
const FILE: u64 = 2;
/// The name of the file.
pub const NAME: &[u8] = b"file";
/// Its content, again and again.
const DATA: [u8; 4096] = [b'x'; 4096];

impl FileSystem for Constants {
    fn name(&self) -> &'static str {
        "constants"
    }

    fn profile(&self) -> Profile {
        Profile { stateless: self.stateless, ..Profile::default() }
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(Attr::directory(ROOT)))
    }

    fn lookup(&self, _: &Context<'_>, _: &Node, name: Name<'_>) -> Result<Entry> {
        if name.bytes() == NAME { Ok(Entry::new(file())) } else { Err(Errno::ENOENT) }
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(if node.ino() == ROOT { Attr::directory(ROOT) } else { file() })
    }

    fn readdir(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        from: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        out.list(from, [("file", file())])
    }

    fn create(&self, _: &Context<'_>, _: &Node, _: Name<'_>, _: MakeHow) -> Result<Created> {
        Ok(Created { entry: Entry::new(Attr::regular(FILE + 1, 0)), opened: opened() })
    }

    fn unlink(&self, _: &Context<'_>, _: &Node, _: Name<'_>) -> Result<()> {
        Ok(())
    }

    fn open(&self, _: &Context<'_>, _: &Node, _: OpenHow) -> Result<Opened> {
        Ok(opened())
    }

    fn read(&self, _: &Context<'_>, _: &Node, _: &Open, _: u64, out: &mut dyn Sink) -> Result<()> {
        while out.put(&DATA) > 0 {}
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
}

fn file() -> Attr {
    Attr { mode: 0o666, ..Attr::regular(FILE, 1 << 30) }
}

fn opened() -> Opened {
    Opened { flags: OpenedFlags::NO_FLUSH, ..Opened::default() }
}
