//! `Entry`, `Opened`, `Created`: answers that give the caller something to keep.

use crate::{Attr, Cookie, DirOffset, Generation, Kind, Name, OpenedFlags};
use std::any::Any;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::Duration;

/// What a file system wants to find again on a node or an open. The mount keeps it as long as
/// anybody holds the node (or the open) and drops it then: there is nothing to count, and the
/// `Drop` of the state is the reclaim.
pub type State = Arc<dyn Any + Send + Sync>;

/// A node found or made: the answer of `lookup`, `mknod`, `link` and their kin.
#[derive(Clone)]
pub struct Entry {
    /// The file system's name for the node.
    pub cookie: Cookie,
    /// Tells it from an earlier node of the same cookie.
    pub generation: Generation,
    /// What stat would say of it.
    pub attr: Attr,
    /// How long the name may be believed to lead to this node.
    pub ttl: Duration,
    /// What the file system wants to find on the node.
    pub state: Option<State>,
}

impl Entry {
    /// A node without state whose cookie is its inode number, believed as long as its attributes.
    pub fn new(attr: Attr) -> Entry {
        Entry {
            cookie: Cookie(attr.ino),
            generation: Generation(0),
            ttl: attr.ttl,
            attr,
            state: None,
        }
    }
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}.{} {:?}", self.cookie, self.generation, self.attr)
    }
}

/// A file opened.
#[derive(Clone, Default)]
pub struct Opened {
    /// What the file system wants to find on the open.
    pub state: Option<State>,
    /// How the file may be cached.
    pub flags: OpenedFlags,
    /// Where the data is, if a front end may go there by itself ([`Profile::backing`]).
    ///
    /// [`Profile::backing`]: crate::Profile::backing
    pub backing: Option<Backing>,
}

impl std::fmt::Debug for Opened {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}", self.flags)
    }
}

/// A regular file of the host whose data *are* the data of an open file, all of them and at the
/// same offsets: whoever reads, writes or maps the one has done it to the other.
///
/// Better one that was not opened for writing: that keeps the host from executing the file for as
/// long as somebody holds it, so front ends let go of it with the last open.
#[derive(Clone, Debug)]
pub struct Backing {
    /// A descriptor of it.
    pub file: Arc<OwnedFd>,
    /// Its permission bits at the time, set-id bits included.
    pub mode: u32,
    /// Its size in bytes at the time.
    pub size: u64,
}

impl AsFd for Backing {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// A file made (or found, without EXCL) and opened in one step.
#[derive(Clone, Debug)]
pub struct Created {
    /// The node.
    pub entry: Entry,
    /// The open.
    pub opened: Opened,
}

/// One entry of a directory, on its way to the caller.
#[derive(Debug)]
pub struct DirEntry<'a> {
    /// The name. `.` and `..` are not listed by file systems; front ends add them.
    pub name: Name<'a>,
    /// The inode number.
    pub ino: u64,
    /// The kind of file, if reading the directory tells it.
    pub kind: Option<Kind>,
    /// Where to resume after this entry; at least [`DirOffset::FIRST`].
    pub next: DirOffset,
    /// The node itself, if the caller asked for it and the file system has it at hand.
    pub entry: Option<Entry>,
}

/// Takes the entries of a directory, in order.
pub trait DirSink {
    /// Whether the caller has a use for [`DirEntry::entry`]: it would look each one up next.
    fn wants_entries(&self) -> bool;

    /// The same of a file of that kind, as far as reading the directory tells the kind: an entry
    /// that nobody has a use for need not be made.
    fn wants_entry_of(&self, kind: Option<Kind>) -> bool {
        let _ = kind;
        self.wants_entries()
    }

    /// Whether the caller knows the node of that cookie by this name, with attributes that it still
    /// believes: then it has no use for the entry either. Asked only where `wants_entry_of` says
    /// yes, and right before that entry is added.
    fn knows(&self, cookie: Cookie) -> bool {
        let _ = cookie;
        false
    }

    /// About how many bytes of names, with their attributes where they are wanted, there is room
    /// for: a hint how much to fetch from somewhere else at once.
    fn room(&self) -> usize {
        4096
    }

    /// Takes one entry, or says that it is full: then this entry was not taken, and the file
    /// system stops and answers `Ok`. It may stop earlier: the end of a directory is where not
    /// even one entry is added.
    fn add(&mut self, entry: DirEntry<'_>) -> std::result::Result<(), Full>;
}

impl dyn DirSink + '_ {
    /// Lists a directory whose few names are at hand: those that come after an offset, each at
    /// the next one. A name that is none ([`Name::new`]) is EINVAL.
    pub fn list<'a>(
        &mut self,
        from: DirOffset,
        names: impl IntoIterator<Item = (&'a str, Attr)>,
    ) -> crate::Result<()> {
        let numbered = (DirOffset::FIRST.0..).zip(names);
        for (next, (name, attr)) in numbered.filter(|(next, _)| *next > from.0) {
            let entry = DirEntry {
                name: Name::new(name.as_bytes())?,
                ino: attr.ino,
                kind: Some(attr.kind),
                next: DirOffset(next),
                entry: Some(Entry::new(attr)),
            };
            if self.add(entry).is_err() {
                break;
            }
        }
        Ok(())
    }
}

/// No room for another entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Full;

#[cfg(test)]
mod tests {
    use super::*;

    struct Two(Vec<(Vec<u8>, u64)>);

    impl DirSink for Two {
        fn wants_entries(&self) -> bool {
            false
        }

        fn add(&mut self, entry: DirEntry<'_>) -> std::result::Result<(), Full> {
            if self.0.len() == 2 {
                return Err(Full);
            }
            self.0.push((entry.name.bytes().to_vec(), entry.next.0));
            Ok(())
        }
    }

    #[test]
    fn a_small_directory_is_listed_in_pieces() {
        let names = || ["a", "b", "c"].map(|name| (name, Attr::new(9, Kind::Regular)));
        let mut sink = Two(Vec::new());
        (&mut sink as &mut dyn DirSink).list(DirOffset::START, names()).unwrap();
        assert_eq!(sink.0, [(b"a".to_vec(), 3), (b"b".to_vec(), 4)]);
        let mut sink = Two(Vec::new());
        (&mut sink as &mut dyn DirSink).list(DirOffset(4), names()).unwrap();
        assert_eq!(sink.0, [(b"c".to_vec(), 5)]);
        let mut sink = Two(Vec::new());
        let bad = (&mut sink as &mut dyn DirSink)
            .list(DirOffset::START, [("a/b", Attr::new(9, Kind::Regular))]);
        assert_eq!(bad, Err(crate::Errno::EINVAL));
    }
}
