//! Listing directories, getdents(2).

use super::process::Description;
use super::walk::Place;
use super::{Fd, Process};
use filofs::{
    Context, DirEntry, DirOffset, DirSink, Errno, FileSystem, Full, Kind, OpenFlags, Result, locked,
};

/// One entry of a directory.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Dirent {
    /// The name: also `.` and `..`, which come first.
    pub name: Vec<u8>,
    /// The inode number.
    pub ino: u64,
    /// The kind of file, if reading the directory tells it.
    pub kind: Option<Kind>,
    /// Where to resume after this entry: what telldir(3) answers and lseek takes.
    pub next: u64,
}

/// How many entries one call lists at most.
const BATCH: usize = 512;
/// After `.`, and after `..`.
const AFTER_DOT: u64 = 1;
const AFTER_DOTDOT: u64 = 2;

impl Process {
    /// The next entries of an open directory, getdents(2); none at the end. Errors: EBADF,
    /// ENOTDIR.
    pub fn getdents(&self, fd: Fd) -> Result<Vec<Dirent>> {
        let file = self.file(fd)?;
        let cx = self.cx();
        Ok(file.list(&cx)?.unwrap_or_default())
    }

    /// All entries of a directory, `.` and `..` first, scandir(3) without sorting.
    pub fn readdir(&self, path: impl AsRef<[u8]>) -> Result<Vec<Dirent>> {
        let fd = self.open(path, OpenFlags::DIRECTORY, 0)?;
        let mut all = Vec::new();
        let answer = loop {
            match self.getdents(fd) {
                Ok(batch) if batch.is_empty() => break Ok(all),
                Ok(batch) => all.extend(batch),
                Err(errno) => break Err(errno),
            }
        };
        self.close(fd)?;
        answer
    }
}

impl Description {
    /// The next entries from the position on, which moves; `None` at the end.
    pub(super) fn list(&self, cx: &Context<'_>) -> Result<Option<Vec<Dirent>>> {
        let open = self.opened()?;
        if self.node.kind() != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let mut position = locked(&self.position);
        let mut batch = Batch::default();
        if *position < AFTER_DOT {
            batch.dot(b".", self.place.attr.ino, AFTER_DOT);
        }
        if *position < AFTER_DOTDOT {
            let ino = self.parent(cx).map_or(self.place.attr.ino, |up| up.attr.ino);
            batch.dot(b"..", ino, AFTER_DOTDOT);
        }
        let from = if *position <= AFTER_DOTDOT { DirOffset::START } else { DirOffset(*position) };
        match self.mount.readdir(cx, &self.node, open, from, &mut batch) {
            Err(Errno::MISSING) => return Err(Errno::ENOTDIR),
            // What is there is given first; the error comes with the next call.
            Err(errno) if batch.entries.is_empty() => return Err(errno),
            Ok(()) | Err(_) => {}
        }
        if batch.bad {
            return Err(Errno::EPROTO);
        }
        if let Some(last) = batch.entries.last() {
            *position = last.next;
        }
        Ok(if batch.entries.is_empty() { None } else { Some(batch.entries) })
    }

    fn parent(&self, cx: &Context<'_>) -> Result<Place> {
        super::walk::Walk::new(cx, &self.mount).up(&self.place)
    }
}

#[derive(Default)]
struct Batch {
    entries: Vec<Dirent>,
    /// The file system handed out an offset that it may not.
    bad: bool,
}

impl Batch {
    fn dot(&mut self, name: &[u8], ino: u64, next: u64) {
        self.entries.push(Dirent { name: name.to_vec(), ino, kind: Some(Kind::Directory), next });
    }
}

impl DirSink for Batch {
    fn wants_entries(&self) -> bool {
        false
    }

    fn add(&mut self, entry: DirEntry<'_>) -> std::result::Result<(), Full> {
        if self.entries.len() >= BATCH {
            return Err(Full);
        }
        self.bad |= entry.next < DirOffset::FIRST;
        self.entries.push(Dirent {
            name: entry.name.bytes().to_vec(),
            ino: entry.ino,
            kind: entry.kind,
            next: entry.next.0,
        });
        Ok(())
    }
}
