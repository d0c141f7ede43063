//! `Directory`: the names in one directory, found by name and listed by offset.
//!
//! An offset is given once and never again: it grows with each name that is made. So a listing
//! that resumes after an offset misses nothing that was there all the time and lists nothing
//! twice. A name that gets another inode (rename over it, exchange) keeps its offset, for it is
//! there all the time.
//!
//! A listing goes as far as names had been made when it began ([`Horizon`]). Without that end,
//! whoever lists a directory and renames what it finds would find the new names, and never be done.

use super::inode::Inode;
use filofs::{DirOffset, Errno, Kind, Result};
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Default)]
pub(super) struct Directory {
    by_name: HashSet<ByName>,
    by_offset: BTreeMap<u64, Arc<Dent>>,
    /// How many offsets were given.
    given: u64,
    /// How many of the entries are directories.
    subdirs: u32,
    /// Taken out of the tree: nothing can come in any more.
    removed: bool,
}

/// A name and what it leads to.
pub(super) struct Dent {
    pub(super) inode: Arc<Inode>,
    pub(super) offset: DirOffset,
    name: Box<[u8]>,
}

impl Dent {
    pub(super) fn name(&self) -> &[u8] {
        &self.name
    }
}

/// How far the listing of an open directory goes: the last offset there was when it began.
///
/// The kernel puts the answers of several opens together in one cache, by offset: where one left
/// off another goes on, and its end is the end of all. So offsets carry what horizon they are of
/// in their upper bits, and whoever goes on from another's sees as far as there is.
pub(super) struct Horizon(AtomicU64);

impl Horizon {
    /// Bits of an offset that say where; above them 20 bits of the horizon.
    const PLACE_BITS: u32 = 42;
    const TAG_BITS: u32 = 20;

    pub(super) fn of(entries: &Directory) -> Horizon {
        Horizon(AtomicU64::new(entries.last()))
    }

    /// Where a listing goes on from an offset, and up to where.
    pub(super) fn range(&self, from: DirOffset, entries: &Directory) -> (DirOffset, DirOffset) {
        let mut end = self.0.load(Ordering::SeqCst);
        if from == DirOffset::START || from.0 >> Self::PLACE_BITS != Self::tag(end) {
            end = entries.last();
            self.0.store(end, Ordering::SeqCst);
        }
        (DirOffset(from.0 & ((1 << Self::PLACE_BITS) - 1)), DirOffset(end))
    }

    /// The offset after that place in a listing up to `end`.
    pub(super) fn offset(place: DirOffset, end: DirOffset) -> DirOffset {
        DirOffset(place.0 | Self::tag(end.0) << Self::PLACE_BITS)
    }

    fn tag(end: u64) -> u64 {
        end & ((1 << Self::TAG_BITS) - 1)
    }
}

struct ByName(Arc<Dent>);

impl Borrow<[u8]> for ByName {
    fn borrow(&self) -> &[u8] {
        &self.0.name
    }
}

impl Hash for ByName {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.name.hash(state);
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &ByName) -> bool {
        self.0.name == other.0.name
    }
}

impl Eq for ByName {}

impl Directory {
    /// Offsets stay below this: more names are made in a thousand years of one each millisecond
    /// only.
    const LAST_OFFSET: u64 = 1 << Horizon::PLACE_BITS;

    pub(super) fn len(&self) -> usize {
        self.by_offset.len()
    }

    pub(super) fn subdirs(&self) -> u32 {
        self.subdirs
    }

    pub(super) fn get(&self, name: &[u8]) -> Option<&Arc<Dent>> {
        self.by_name.get(name).map(|found| &found.0)
    }

    pub(super) fn is_removed(&self) -> bool {
        self.removed
    }

    /// Closes it for good. ENOTEMPTY.
    pub(super) fn remove_self(&mut self) -> Result<()> {
        if !self.by_offset.is_empty() {
            return Err(Errno::ENOTEMPTY);
        }
        self.removed = true;
        Ok(())
    }

    /// Whether a new name may come in: ENOENT in a directory that was removed, EEXIST when there
    /// is such a name, ENOSPC when the offsets are used up.
    pub(super) fn check_new(&self, name: &[u8]) -> Result<()> {
        if self.removed {
            return Err(Errno::ENOENT);
        }
        if self.by_name.contains(name) {
            return Err(Errno::EEXIST);
        }
        if self.last() + 1 >= Self::LAST_OFFSET { Err(Errno::ENOSPC) } else { Ok(()) }
    }

    /// Lets the name lead to that inode; answers what it led to before.
    #[must_use = "dropped after the directory is unlocked"]
    pub(super) fn put(&mut self, name: &[u8], inode: Arc<Inode>) -> Option<Arc<Dent>> {
        self.subdirs += u32::from(inode.kind == Kind::Directory);
        let old = self.by_name.take(name).map(|found| found.0);
        let offset = if let Some(old) = &old {
            self.subdirs -= u32::from(old.inode.kind == Kind::Directory);
            old.offset
        } else {
            self.given += 1;
            DirOffset(self.last())
        };
        let dent = Arc::new(Dent { inode, offset, name: name.into() });
        self.by_name.insert(ByName(dent.clone()));
        self.by_offset.insert(offset.0, dent);
        old
    }

    /// Takes a name out.
    #[must_use = "dropped after the directory is unlocked"]
    pub(super) fn remove(&mut self, name: &[u8]) -> Option<Arc<Dent>> {
        let old = self.by_name.take(name)?.0;
        self.by_offset.remove(&old.offset.0);
        self.subdirs -= u32::from(old.inode.kind == Kind::Directory);
        Some(old)
    }

    /// The last offset that was given.
    const fn last(&self) -> u64 {
        self.given + DirOffset::FIRST.0
    }

    /// The next entries after an offset and up to another, at most that many.
    pub(super) fn after(&self, offset: DirOffset, end: DirOffset, most: usize) -> Vec<Arc<Dent>> {
        if offset >= end {
            return Vec::new();
        }
        let range = (Bound::Excluded(offset.0), Bound::Included(end.0));
        self.by_offset.range(range).take(most).map(|(_, dent)| dent.clone()).collect()
    }

    /// Everything in it, for taking a whole tree apart.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Dent>> + use<> {
        self.by_name.clear();
        std::mem::take(&mut self.by_offset).into_values()
    }
}

#[cfg(test)]
mod tests {
    use super::super::shared;
    use super::super::testfs::{List, NONE, TestFs, name};
    use super::*;
    use filofs::{FileSystem, MakeHow, RenameFlags};
    use std::collections::HashMap;

    #[test]
    fn create_many() {
        // D.6 create_many.
        let fs = TestFs::new();
        let names: Vec<String> = (0..2324).map(|i| format!("file{i}")).collect();
        for name in &names {
            fs.file(name, b"");
        }
        assert_eq!(fs.list(""), names);
        for name in &names {
            fs.unlink(name).unwrap();
        }
        assert!(fs.list("").is_empty());
        fs.assert_empty();
    }

    #[test]
    fn a_name_that_gets_another_file_keeps_its_place() {
        let fs = TestFs::new();
        for name in ["a", "b", "c", "d"] {
            fs.file(name, b"");
        }
        let root = fs.root();
        let mut first = List::new(2);
        fs.list_into(&root, DirOffset::START, &mut first);
        assert_eq!(first.names.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["a", "b"]);
        // Under the reader: d over b, and a exchanged with c.
        fs.rename("d", "b", NONE).unwrap();
        fs.rename("a", "c", RenameFlags::EXCHANGE).unwrap();
        fs.file("e", b"");
        let mut rest = List::new(9);
        fs.list_into(&root, first.names[1].1, &mut rest);
        assert_eq!(rest.names.iter().map(|(name, _)| name).collect::<Vec<_>>(), ["c", "e"]);
    }

    #[test]
    fn offsets_hold_while_names_come_and_go() {
        // Names that are there all the time are listed exactly once, the others at most once for
        // each time they were made; resumed at every odd place.
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        let mut random = seed;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let fs = TestFs::new();
        let root = fs.root();
        for i in 0..400 {
            fs.file(&format!("stays{i}"), b"");
            fs.file(&format!("goes{i}"), b"");
        }
        let mut seen: HashMap<String, u32> = HashMap::new();
        let mut offset = DirOffset::START;
        let mut last = DirOffset::START;
        loop {
            let mut list = List::new(1 + below(20) as usize);
            fs.list_into(&root, offset, &mut list);
            if list.names.is_empty() {
                break;
            }
            for (name, next) in list.names {
                assert!(next > last, "offsets grow");
                (offset, last) = (next, next);
                *seen.entry(name).or_default() += 1;
            }
            for _ in 0..5 {
                let name = format!("goes{}", below(400));
                if fs.unlink(&name).is_err() && below(4) == 0 {
                    fs.file(&name, b"");
                }
            }
        }
        for i in 0..400 {
            assert_eq!(seen.get(&format!("stays{i}")), Some(&1));
        }
    }

    #[test]
    fn a_million_names() {
        const MANY: usize = 1_000_000;
        let fs = TestFs::with(1 << 30, 2 * MANY as u64);
        let dir = fs.mkdir("d");
        let target = fs.file("f", b"");
        let cx = &fs.cx;
        for i in 0..MANY {
            fs.mem.link(cx, &target, &dir, name(&i.to_string())).unwrap();
        }
        assert_eq!(fs.attr(&target).unwrap().nlink as usize, MANY + 1);
        assert_eq!(fs.attr(&dir).unwrap().size as usize, 20 * MANY);
        // From the middle, while the first half goes.
        let folder = Inode::of(&dir).unwrap().folder().unwrap();
        let middle = shared(&folder.entries).get(b"500000").unwrap().offset;
        for i in 0..MANY / 2 {
            fs.mem.unlink(cx, &dir, name(&i.to_string())).unwrap();
        }
        let mut list = List::new(1000);
        fs.list_into(&dir, middle, &mut list);
        let expected: Vec<String> = (500_001..501_001).map(|i| i.to_string()).collect();
        assert_eq!(list.names.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>(), expected);
        let how = MakeHow::mode(0o644);
        let made = fs.mem.mknod(cx, &dir, name("0"), Kind::Regular, how).unwrap();
        let mut list = List::new(9);
        let near_end = DirOffset(middle.0 + MANY as u64 / 2 - 1);
        fs.list_into(&dir, near_end, &mut list);
        assert_eq!(list.names.len(), 1);
        assert_eq!(list.inos, [made.attr.ino]);
    }
}
