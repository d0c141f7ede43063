//! `Directory`: the names in one directory, found by name and listed by offset.
//!
//! An offset is given once and never again: it grows with each name that is made. So a listing
//! that resumes after an offset misses nothing that was there all the time and lists nothing
//! twice. A name that gets another inode (rename over it, exchange) keeps its offset, for it is
//! there all the time.

use super::inode::Inode;
use filofs::{DirOffset, Errno, Kind, Result};
use std::borrow::Borrow;
use std::collections::{BTreeMap, HashSet};
use std::hash::{Hash, Hasher};
use std::ops::Bound;
use std::sync::Arc;

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
    /// Offsets stay below this, so that they pass through signed and shifted ones unharmed.
    const LAST_OFFSET: u64 = 1 << 62;

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
        if self.given >= Self::LAST_OFFSET { Err(Errno::ENOSPC) } else { Ok(()) }
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
            DirOffset(self.given + DirOffset::FIRST.0)
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

    /// The next entries after an offset, at most that many.
    pub(super) fn after(&self, offset: DirOffset, most: usize) -> Vec<Arc<Dent>> {
        let range = (Bound::Excluded(offset.0), Bound::Unbounded);
        self.by_offset.range(range).take(most).map(|(_, dent)| dent.clone()).collect()
    }

    /// Everything in it, for taking a whole tree apart.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Arc<Dent>> + use<> {
        self.by_name.clear();
        std::mem::take(&mut self.by_offset).into_values()
    }
}
