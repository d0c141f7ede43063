//! Mounts a directory of very many files that take no memory below the front end: `names
//! MOUNTPOINT COUNT`. The files are `many/name00000`, `many/name00001` and so on, all empty. What
//! a file costs that was looked up is the front end's and the kernel's memory alone.

use filofs::{
    Attr, Context, DirEntry, DirOffset, DirSink, Entry, Errno, FileSystem, Mount, Name, Node, Open,
    Result,
};
use filofs_front::fuse::{FuseOptions, Session};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const ROOT: u64 = 1;
const MANY: u64 = 2;
/// The file with number 0.
const FIRST: u64 = 16;
/// How long the kernel believes names and attributes: longer than any run.
const BELIEVED: Duration = Duration::from_secs(1 << 20);

struct Names {
    count: u64,
}

impl Names {
    fn attr(number: u64) -> Attr {
        let is_dir = number == ROOT || number == MANY;
        let attr = if is_dir { Attr::directory(number) } else { Attr::regular(number, 0) };
        Attr { ttl: BELIEVED, ..attr }
    }

    /// The inode number of a file, by its name.
    fn number(&self, name: &[u8]) -> Option<u64> {
        let digits = std::str::from_utf8(name.strip_prefix(b"name")?).ok()?;
        let number = digits.parse::<u64>().ok().filter(|number| *number < self.count)?;
        (digits.len() >= 5).then_some(FIRST + number)
    }
}

impl FileSystem for Names {
    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(Self::attr(ROOT)))
    }

    fn lookup(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        let number = match (dir.cookie().0, name.bytes()) {
            (ROOT, b"many") => MANY,
            (MANY, name) => self.number(name).ok_or(Errno::ENOENT)?,
            _ => return Err(Errno::ENOENT),
        };
        Ok(Entry::new(Self::attr(number)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(Self::attr(node.cookie().0))
    }

    fn readdir(
        &self,
        _: &Context<'_>,
        dir: &Node,
        _: &Open,
        from: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        if dir.cookie().0 == ROOT {
            return out.list(from, [("many", Self::attr(MANY))]);
        }
        // The offset after file n is FIRST + n.
        for number in from.0.saturating_sub(DirOffset::FIRST.0 - 1)..self.count {
            let attr = Self::attr(FIRST + number);
            let name = format!("name{number:05}");
            let entry = DirEntry {
                name: Name::new(name.as_bytes())?,
                ino: attr.ino,
                kind: Some(attr.kind),
                next: DirOffset(DirOffset::FIRST.0 + number),
                entry: Some(Entry::new(attr)),
            };
            if out.add(entry).is_err() {
                break;
            }
        }
        Ok(())
    }
}

fn main() -> std::result::Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (place, count) = words.next().zip(words.next()).ok_or("names MOUNTPOINT COUNT")?;
    let mount = Mount::of(Names { count: count.parse()? }, &place).map_err(|errno| errno.text())?;
    let session = Session::start(Arc::new(mount), Path::new(&place), &FuseOptions::default())?;
    session.wait();
    Ok(())
}
