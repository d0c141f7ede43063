//! Directory buffers: what answers READDIR and READDIRPLUS, written and read in place.

use core::fmt;

use zerocopy::{FromBytes, IntoBytes};

use crate::abi::{DirentHeader, DirentPlusHeader, EntryOut, record_size};
use crate::name::Name;

/// One name in a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dirent<'a> {
    /// Inode number.
    pub ino: u64,
    /// Where the *next* entry is read from.
    pub next: u64,
    /// `DT_*` of readdir(3): the mode's kind bits, shifted right by 12.
    pub kind: u32,
    /// The name; "." and ".." are allowed.
    pub name: Name<'a>,
}

/// There is no room for an entry; the buffer is as it was. If it is empty, the reader's buffer is
/// too small for any answer: EINVAL, as getdents(2) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

/// Bytes which are no directory buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadDirent;

/// Writes the answer to READDIR into a lent buffer, of the size the request allows.
#[derive(Debug)]
pub struct DirentBuffer<'b> {
    records: RecordWriter<'b>,
}

/// Writes the answer to READDIRPLUS into a lent buffer, of the size the request allows.
#[derive(Debug)]
pub struct DirentPlusBuffer<'b> {
    records: RecordWriter<'b>,
}

impl<'b> DirentBuffer<'b> {
    /// Begins an answer in `buffer`.
    pub const fn new(buffer: &'b mut [u8]) -> DirentBuffer<'b> {
        DirentBuffer { records: RecordWriter { buffer, used: 0 } }
    }

    /// Adds an entry.
    pub fn push(&mut self, dirent: &Dirent<'_>) -> Result<(), Full> {
        self.records.push(dirent.header().as_bytes(), dirent.name)
    }

    /// How many bytes have been written: always a multiple of 8.
    pub const fn len(&self) -> usize {
        self.records.used
    }

    /// Whether there is no entry yet.
    pub const fn is_empty(&self) -> bool {
        self.records.used == 0
    }
}

impl<'b> DirentPlusBuffer<'b> {
    /// Begins an answer in `buffer`.
    pub const fn new(buffer: &'b mut [u8]) -> DirentPlusBuffer<'b> {
        DirentPlusBuffer { records: RecordWriter { buffer, used: 0 } }
    }

    /// Adds an entry. As with LOOKUP, the kernel then holds a reference to the node, unless its id
    /// is 0 or the name "." or "..".
    pub fn push(&mut self, entry: &EntryOut, dirent: &Dirent<'_>) -> Result<(), Full> {
        let header = DirentPlusHeader { entry_out: *entry, dirent: dirent.header() };
        self.records.push(header.as_bytes(), dirent.name)
    }

    /// Whether an entry with a name of this length would fit. Asked before a lookup, it saves
    /// taking a reference that must be given back at once.
    pub fn fits(&self, name_len: usize) -> bool {
        size_of::<DirentPlusHeader>()
            .checked_add(name_len)
            .and_then(record_size)
            .is_some_and(|size| size <= self.records.buffer.len() - self.records.used)
    }

    /// How many bytes have been written: always a multiple of 8.
    pub const fn len(&self) -> usize {
        self.records.used
    }

    /// Whether there is no entry yet.
    pub const fn is_empty(&self) -> bool {
        self.records.used == 0
    }
}

/// Reads the entries of a READDIR answer. Ends after the first error.
pub fn read_dirents(bytes: &[u8]) -> impl Iterator<Item = Result<Dirent<'_>, BadDirent>> {
    records(bytes, |bytes| {
        let (header, rest) = DirentHeader::read_from_prefix(bytes).ok()?;
        Dirent::read(&header, rest)
    })
}

/// Reads the entries of a READDIRPLUS answer. Ends after the first error.
pub fn read_dirents_plus(
    bytes: &[u8],
) -> impl Iterator<Item = Result<(EntryOut, Dirent<'_>), BadDirent>> {
    records(bytes, |bytes| {
        let (header, rest) = DirentPlusHeader::read_from_prefix(bytes).ok()?;
        let (dirent, len) = Dirent::read(&header.dirent, rest)?;
        Some(((header.entry_out, dirent), len + size_of::<EntryOut>()))
    })
}

impl<'a> Dirent<'a> {
    const fn header(&self) -> DirentHeader {
        DirentHeader {
            ino: self.ino,
            off: self.next,
            namelen: self.name.as_bytes().len() as u32,
            kind: self.kind,
        }
    }

    /// The entry whose header has been read and whose name begins `rest`; its length without
    /// padding.
    fn read(header: &DirentHeader, rest: &'a [u8]) -> Option<(Dirent<'a>, usize)> {
        let name = rest.get(..header.namelen as usize)?;
        let len = size_of::<DirentHeader>() + name.len();
        let name = Name::new(name).ok()?;
        Some((Dirent { ino: header.ino, next: header.off, kind: header.kind, name }, len))
    }
}

/// Appends records, each padded with zeros to a multiple of 8.
#[derive(Debug)]
struct RecordWriter<'b> {
    buffer: &'b mut [u8],
    used: usize,
}

impl RecordWriter<'_> {
    fn push(&mut self, header: &[u8], name: Name<'_>) -> Result<(), Full> {
        let name = name.as_bytes();
        let size = record_size(header.len() + name.len()).ok_or(Full)?;
        let end = self.used.checked_add(size).ok_or(Full)?;
        let record = self.buffer.get_mut(self.used..end).ok_or(Full)?;
        let (front, rest) = record.split_at_mut_checked(header.len()).ok_or(Full)?;
        let (middle, padding) = rest.split_at_mut_checked(name.len()).ok_or(Full)?;
        front.copy_from_slice(header);
        middle.copy_from_slice(name);
        padding.fill(0);
        self.used = end;
        Ok(())
    }
}

/// Applies `read`, which returns a record and its length without padding, up to the end.
fn records<'a, T: 'a>(
    mut bytes: &'a [u8],
    read: impl Fn(&'a [u8]) -> Option<(T, usize)>,
) -> impl Iterator<Item = Result<T, BadDirent>> {
    core::iter::from_fn(move || {
        if bytes.is_empty() {
            return None;
        }
        let record =
            read(bytes).and_then(|(record, len)| Some((record, bytes.get(record_size(len)?..)?)));
        let Some((record, rest)) = record else {
            bytes = &[];
            return Some(Err(BadDirent));
        };
        bytes = rest;
        Some(Ok(record))
    })
}

impl fmt::Display for Full {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no room for another directory entry")
    }
}

impl core::error::Error for Full {}

impl fmt::Display for BadDirent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("malformed directory entry")
    }
}

impl core::error::Error for BadDirent {}
