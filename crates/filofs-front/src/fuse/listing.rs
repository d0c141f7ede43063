//! `Listing`: a directory buffer being filled.

use super::ledger::{Ledger, now};
use filofs::{Cookie, DirEntry, DirOffset, DirSink, Full, Kind, Node};
use filofs_wire::abi::EntryOut;
use filofs_wire::dirent::{Dirent, DirentBuffer, DirentPlusBuffer, read_dirents_plus};
use filofs_wire::name::Name;
use std::cell::Cell;

/// After `.`, and after `..`: the offsets that file systems leave to us.
pub(super) const AFTER_DOT: u64 = 1;
pub(super) const AFTER_DOTS: u64 = 2;
const _: () = assert!(DirOffset::FIRST.0 == AFTER_DOTS + 1);

/// Takes the entries of a directory into the window of an answer.
pub(super) struct Listing<'b> {
    out: Out<'b>,
    /// Of the window, bytes.
    size: usize,
    ledger: &'b Ledger,
    dir: &'b Node,
    /// With attributes: of files too, and not only of directories.
    files: bool,
    /// Files that the kernel knows at this time are listed by their names alone.
    spares_known: Option<u32>,
    /// What is added next is such a file.
    is_known: Cell<bool>,
    /// So many files that the kernel does not know were listed by their names alone.
    bare: u32,
    /// Something did not fit.
    full: bool,
}

enum Out<'b> {
    Plain(DirentBuffer<'b>),
    /// With attributes: each entry with a node counts as looked up.
    Plus(DirentPlusBuffer<'b>),
}

impl<'b> Listing<'b> {
    pub(super) fn new(
        ledger: &'b Ledger,
        dir: &'b Node,
        plus: bool,
        window: &'b mut [u8],
    ) -> Listing<'b> {
        let size = window.len();
        let out = if plus {
            Out::Plus(DirentPlusBuffer::new(window))
        } else {
            Out::Plain(DirentBuffer::new(window))
        };
        Listing {
            out,
            size,
            ledger,
            dir,
            files: true,
            spares_known: None,
            is_known: Cell::new(false),
            bare: 0,
            full: false,
        }
    }

    /// Lists files by their names alone, though attributes are asked for; directories as they are.
    pub(super) const fn spare_files(&mut self) {
        self.files = false;
    }

    /// Lists files that the kernel knows by their names alone.
    pub(super) fn spare_known(&mut self) {
        self.spares_known = Some(now());
    }

    /// So many files that the kernel does not know were listed by their names alone.
    pub(super) const fn bare(&self) -> u32 {
        self.bare
    }

    /// Adds `.` or `..`. False if there is no room.
    pub(super) fn add_dots(&mut self, name: &[u8], ino: u64, next: u64) -> bool {
        let Ok(name) = Name::new(name) else { return false };
        let kind = u32::from(Kind::Directory.dirent_type());
        let dirent = Dirent { ino, next, kind, name };
        let added = match &mut self.out {
            Out::Plain(buffer) => buffer.push(&dirent),
            // The kernel takes no reference for these, and wants no node.
            Out::Plus(buffer) => buffer.push(&EntryOut::default(), &dirent),
        };
        self.full |= added.is_err();
        added.is_ok()
    }

    /// How many bytes were written.
    pub(super) fn len(&self) -> usize {
        match &self.out {
            Out::Plain(buffer) => buffer.len(),
            Out::Plus(buffer) => buffer.len(),
        }
    }

    /// Whether not even one entry fitted: an empty answer would mean the end.
    pub(super) fn too_small(&self) -> bool {
        self.full && self.len() == 0
    }
}

impl DirSink for Listing<'_> {
    fn wants_entries(&self) -> bool {
        matches!(self.out, Out::Plus(_))
    }

    fn wants_entry_of(&self, kind: Option<Kind>) -> bool {
        self.wants_entries() && (self.files || kind.is_none_or(|kind| kind == Kind::Directory))
    }

    fn knows(&self, cookie: Cookie) -> bool {
        let nodes = self.ledger.mount().nodes();
        let knows = self.spares_known.is_some_and(|now| nodes.is_believed(cookie, now));
        self.is_known.set(knows);
        knows
    }

    fn room(&self) -> usize {
        self.size - self.len()
    }

    fn add(&mut self, entry: DirEntry<'_>) -> Result<(), Full> {
        if self.full {
            return Err(Full);
        }
        let name = Name::new(entry.name.bytes()).map_err(|_| Full)?;
        let kind = entry.kind.or_else(|| entry.entry.as_ref().map(|entry| entry.attr.kind));
        let kind = u32::from(kind.map_or(0, Kind::dirent_type));
        // An offset below the first would begin the listing again, for ever.
        let next = entry.next.max(DirOffset::FIRST).0;
        let dirent = Dirent { ino: entry.ino, next, kind, name };
        let added = match &mut self.out {
            Out::Plain(buffer) => buffer.push(&dirent),
            Out::Plus(buffer) if !buffer.fits(entry.name.bytes().len()) => {
                Err(filofs_wire::dirent::Full)
            }
            Out::Plus(buffer) => {
                // An entry that cannot be told is listed by its name alone, and looked up later.
                let told = entry.entry.and_then(|entry| {
                    let node = self.ledger.mount().adopt(self.dir, &entry).ok()?;
                    let out = self.ledger.entry(&node, &entry).ok()?;
                    self.ledger.tell_all(&node, &out);
                    Some(out)
                });
                let is_dir = kind == u32::from(Kind::Directory.dirent_type());
                let is_known = self.is_known.take();
                self.bare += u32::from(told.is_none() && !is_dir && !is_known);
                buffer.push(&told.unwrap_or_default(), &dirent)
            }
        };
        self.full |= added.is_err();
        added.map_err(|_| Full)
    }
}

/// Takes back the nodes of a READDIRPLUS answer that nobody got.
pub(super) fn take_back(ledger: &Ledger, answer: &[u8]) {
    for (entry, _) in read_dirents_plus(answer).map_while(Result::ok) {
        if entry.nodeid != 0 {
            ledger.forget(ledger.face.cookie(entry.nodeid), 1);
        }
    }
}
