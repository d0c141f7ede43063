//! `Listing`: an open directory, being read.
//!
//! Offsets are the host's own, which stay good while entries come and go. Only the three smallest
//! numbers, which mean something above, are moved to where no host has any.

use super::host::{Host, is_beside, stat_name};
use super::opened::opened;
use super::{Dir, inode, sys, up};
use filofs::{
    Context, DirEntry, DirOffset, DirSink, Entry, Errno, Kind, Name, Node, Open, Result, locked,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::SeekFrom;
use std::sync::Arc;

use super::inode::Inode;

/// Entries that were read from the host and not yet taken from here.
#[derive(Default)]
pub(super) struct Listing {
    buffer: Vec<u8>,
    /// What is left of it.
    from: usize,
    until: usize,
    /// The host's offset of what comes next here.
    offset: u64,
    /// Nothing was read from the host yet, or all: there it stands at the beginning, or the end.
    stands: Stands,
}

#[derive(Clone, Copy, PartialEq, Eq, Default)]
enum Stands {
    #[default]
    AtBeginning,
    Between,
    AtEnd,
}

/// How much is read from the host at once.
const BUFFER: usize = 32 * 1024;

impl Dir {
    /// With entries asked for, each costs one system call and no descriptor: its node is opened
    /// when somebody uses it.
    pub(super) fn do_readdir(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        open: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        if dir.kind() != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let parent = inode(dir)?;
        let open = opened(open)?;
        let mut listing = locked(&open.listing);
        listing.seek(open.fd(), host_offset(offset))?;
        loop {
            let Some(record) = listing.peek(open.fd())? else { return Ok(()) };
            let (ino, kind, next, len) = (record.ino, record.kind, record.next, record.len);
            let Ok(name) = Name::new(record.name) else {
                listing.take(len, next); // `.`, `..`, or what nobody could ask for by name
                continue;
            };
            let wanted = out.wants_entry_of(kind);
            let known = wanted.then(|| self.known(&parent, ino, name, kind, out)).flatten();
            let wanted = wanted && known.is_none();
            let entry = if wanted { self.listed(cx, &parent, open.fd(), name) } else { None };
            let entry = DirEntry {
                name,
                ino: known.or_else(|| Some(entry.as_ref()?.attr.ino)).unwrap_or(ino),
                kind: entry.as_ref().map(|e| e.attr.kind).or(kind),
                next: our_offset(next),
                entry,
            };
            if out.add(entry).is_err() {
                return Ok(());
            }
            listing.take(len, next);
        }
    }

    /// The inode number of a file that the caller has met by that name and still knows: the host
    /// is not asked for its attributes again. (Where a mount covers a name, the number is that of
    /// what is covered, which nobody has met by it.)
    fn known(
        &self,
        parent: &Arc<Inode>,
        ino: u64,
        name: Name<'_>,
        kind: Option<Kind>,
        out: &dyn DirSink,
    ) -> Option<u64> {
        if !parent.local || kind.is_none_or(|kind| kind == Kind::Directory) {
            return None;
        }
        let inode = self.host.inodes.at((parent.identity.dev, ino))?;
        let is_it = Some(inode.identity.kind) == kind && inode.is_at(parent, name);
        (is_it && out.knows(inode.cookie)).then(|| self.host.ino(&inode.identity))
    }

    /// The entry of a name, if the caller may look it up and it is still there.
    fn listed(
        &self,
        cx: &Context<'_>,
        parent: &Arc<Inode>,
        dir: &OwnedFd,
        name: Name<'_>,
    ) -> Option<Entry> {
        let host: &Host = &self.host;
        let stat = host.rights.as_caller(cx, || stat_name(parent, dir, name)).ok()?;
        if !is_beside(&stat) {
            // It may be ourselves.
            return self.find(cx, parent, dir, name).ok();
        }
        let inode = host.meet(&stat, None, parent.local, Some((parent, name))).ok()?;
        host.entry(inode, &stat).ok()
    }
}

/// One entry as getdents64(2) gives it.
struct Record<'a> {
    ino: u64,
    kind: Option<Kind>,
    name: &'a [u8],
    /// The host's offset after it.
    next: u64,
    /// How many bytes of the buffer it takes.
    len: usize,
}

impl Listing {
    /// Goes to an offset, if it is not there.
    fn seek(&mut self, fd: &OwnedFd, offset: u64) -> Result<()> {
        // From the beginning the host is asked again, whatever was read before.
        let rewinds = offset == 0 && self.stands != Stands::AtBeginning;
        if offset != self.offset || rewinds {
            rustix::fs::seek(fd, SeekFrom::Start(offset)).map_err(up)?;
            *self =
                Listing { buffer: std::mem::take(&mut self.buffer), offset, ..Listing::default() };
        }
        Ok(())
    }

    /// The next entry; `None` at the end.
    fn peek(&mut self, fd: &OwnedFd) -> Result<Option<Record<'_>>> {
        if self.from >= self.until && self.stands != Stands::AtEnd {
            self.buffer.resize(BUFFER, 0);
            self.until = match sys::read_entries(fd.as_fd(), &mut self.buffer) {
                Err(Errno::ENOENT) => 0, // the directory was removed: nothing is left in it
                read => read?,
            };
            self.from = 0;
            self.stands = if self.until == 0 { Stands::AtEnd } else { Stands::Between };
        }
        // Who comes back to the end is told so again: what is made meanwhile need not be listed.
        if self.stands == Stands::AtEnd {
            return Ok(None);
        }
        let bytes = self.buffer.get(self.from..self.until).unwrap_or_default();
        Record::parse(bytes).map(Some).ok_or(Errno::EIO)
    }

    fn take(&mut self, len: usize, next: u64) {
        self.from += len;
        self.offset = next;
    }
}

impl<'a> Record<'a> {
    /// struct linux_dirent64 of getdents(2): ino, off, reclen, type, name up to a NUL.
    fn parse(bytes: &'a [u8]) -> Option<Record<'a>> {
        let number = |at: usize| bytes.get(at..at + 8)?.try_into().ok().map(u64::from_ne_bytes);
        let len = usize::from(u16::from_ne_bytes(bytes.get(16..18)?.try_into().ok()?));
        let name = bytes.get(19..len)?;
        let end = name.iter().position(|b| *b == 0)?;
        Some(Record {
            ino: number(0)?,
            kind: Kind::from_mode(u32::from(*bytes.get(18)?) << 12),
            name: name.get(..end)?,
            next: number(8)?,
            len,
        })
    }
}

/// Where the host's offsets 0, 1 and 2 are moved: near the end of what an offset can be, but not
/// the very end, which ext4 uses.
const MOVED: u64 = i64::MAX as u64 - 16;

/// The host's offset after an entry, as it goes up.
const fn our_offset(host: u64) -> DirOffset {
    DirOffset(if host < DirOffset::FIRST.0 { MOVED + host } else { host })
}

/// And as it comes back. 1 and 2, "after the dots", are the beginning: dots are skipped.
const fn host_offset(ours: DirOffset) -> u64 {
    match ours.0 {
        0..3 => 0,
        moved if moved >= MOVED && moved < MOVED + DirOffset::FIRST.0 => moved - MOVED,
        host => host,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_come_back_and_keep_clear_of_the_dots() {
        for host in [0, 1, 2, 3, 4, 1 << 40, i64::MAX as u64 - 1, i64::MAX as u64] {
            let ours = our_offset(host);
            assert!(ours >= DirOffset::FIRST && i64::try_from(ours.0).is_ok());
            assert_eq!(host_offset(ours), host);
        }
        for dots in 0..3 {
            assert_eq!(host_offset(DirOffset(dots)), 0);
        }
    }

    #[test]
    fn records_that_are_cut_short_are_none() {
        let mut bytes = vec![0u8; 24];
        bytes[16] = 24;
        bytes[18] = 8;
        bytes[19] = b'x';
        let record = Record::parse(&bytes).unwrap();
        assert_eq!((record.name, record.kind, record.len), (&b"x"[..], Some(Kind::Regular), 24));
        for len in 0..24 {
            assert!(Record::parse(&bytes[..len]).is_none(), "{len}");
        }
        bytes[16] = 18;
        assert!(Record::parse(&bytes).is_none(), "a name that begins after its end");
    }
}
