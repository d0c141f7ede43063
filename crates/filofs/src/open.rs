//! `Open`: an open file description; and `Opens`, the table of all of them.

use crate::slots::{Slot, Slots};
use crate::{Errno, Node, OpenFlags, OpenId, Opened, OpenedFlags, Result, State, locked};
use std::sync::{Arc, Mutex, MutexGuard};

/// A file opened, as open(2) means it. Like a [`Node`] a reference: as long as somebody holds
/// it the base's state lives.
#[derive(Clone)]
pub struct Open(Arc<Inner>);

struct Inner {
    id: OpenId,
    node: Node,
    flags: OpenFlags,
    answer: OpenedFlags,
    state: Option<State>,
    slots: Slots,
    slot_count: u32,
}

impl Open {
    /// An open that stands in no table: for tests, and for file systems that open files of lower
    /// file systems themselves.
    pub fn detached(node: &Node, flags: OpenFlags, opened: Opened) -> Open {
        Open::make(OpenId(0), node, flags, opened, 0)
    }

    fn make(id: OpenId, node: &Node, flags: OpenFlags, opened: Opened, slot_count: u32) -> Open {
        let Opened { state, flags: answer, backing: _ } = opened;
        Open(Arc::new(Inner {
            id,
            node: node.clone(),
            flags,
            answer,
            state,
            slots: Slots::default(),
            slot_count,
        }))
    }

    /// Its name toward clients.
    pub fn id(&self) -> OpenId {
        self.0.id
    }

    /// The file that is open.
    pub fn node(&self) -> &Node {
        &self.0.node
    }

    /// How it was opened.
    pub fn flags(&self) -> OpenFlags {
        self.0.flags
    }

    /// What the file system said of it.
    pub fn answer(&self) -> OpenedFlags {
        self.0.answer
    }

    /// What the base put into [`Opened::state`], if it is a `T`.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.state.as_deref()?.downcast_ref()
    }

    /// What the layer of that slot keeps here, if anything yet.
    pub fn slot<T: 'static>(&self, slot: Slot) -> Option<&T> {
        self.0.slots.get(slot)
    }

    /// What the layer of that slot keeps here, made now if there is nothing yet. `None` if the
    /// slot holds another type or belongs to another mount.
    pub fn slot_or<T: Send + Sync + 'static>(
        &self,
        slot: Slot,
        make: impl FnOnce() -> T,
    ) -> Option<&T> {
        self.0.slots.get_or_init(slot, self.0.slot_count, make)
    }
}

impl std::fmt::Debug for Open {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "open {:#x}", self.0.id.0)
    }
}

/// The open files of a mount. An [`OpenId`] is an index and a generation, never a pointer, so
/// that a stale or invented one is found out (EBADF) and a successor process can make it again.
#[derive(Debug)]
pub struct Opens {
    slots: u32,
    shards: [Mutex<Shard>; Opens::SHARDS],
}

#[derive(Debug, Default)]
struct Shard {
    cells: Vec<Cell>,
    free: Vec<u32>,
}

#[derive(Debug, Default)]
struct Cell {
    generation: u32,
    open: Option<Open>,
}

impl Opens {
    const SHARDS: usize = 16;
    /// More files open at once than this is ENFILE: an index has 28 bits.
    const MOST_PER_SHARD: usize = 1 << 24;

    /// An empty table for opens with that many slots.
    pub fn new(slots: usize) -> Opens {
        let slots = u32::try_from(slots).unwrap_or(u32::MAX);
        Opens { slots, shards: std::array::from_fn(|_| Mutex::default()) }
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn shard(&self, number: usize) -> MutexGuard<'_, Shard> {
        locked(&self.shards[number % Self::SHARDS])
    }

    /// Enters an open. ENFILE when the table is full.
    pub fn insert(&self, node: &Node, flags: OpenFlags, opened: Opened) -> Result<Open> {
        let number = (node.cookie().0.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 60) as usize;
        let mut shard = self.shard(number);
        let index = match shard.free.pop() {
            Some(index) => index as usize,
            None if shard.cells.len() >= Self::MOST_PER_SHARD => return Err(Errno::ENFILE),
            None => {
                shard.cells.push(Cell::default());
                shard.cells.len() - 1
            }
        };
        let cell = shard.cells.get_mut(index).ok_or(Errno::ENFILE)?;
        // Generation 0 never occurs, and so the id 0 does not either.
        cell.generation = cell.generation.checked_add(1).unwrap_or(1);
        let low = ((index << 4) | (number % Self::SHARDS)) as u64;
        let id = OpenId((u64::from(cell.generation) << 32) | low);
        let open = Open::make(id, node, flags, opened, self.slots);
        cell.open = Some(open.clone());
        Ok(open)
    }

    /// The open of that id; EBADF when there is none.
    pub fn find(&self, id: OpenId) -> Result<Open> {
        let low = id.0 as u32 as usize;
        let shard = self.shard(low % Self::SHARDS);
        let cell = shard.cells.get(low >> 4).ok_or(Errno::EBADF)?;
        if cell.generation != (id.0 >> 32) as u32 {
            return Err(Errno::EBADF);
        }
        cell.open.clone().ok_or(Errno::EBADF)
    }

    /// Takes the open of that id out; EBADF when there is none. The caller tells the file system
    /// (`release`) and drops it.
    pub fn remove(&self, id: OpenId) -> Result<Open> {
        let low = id.0 as u32 as usize;
        let mut shard = self.shard(low % Self::SHARDS);
        let cell = shard.cells.get_mut(low >> 4).ok_or(Errno::EBADF)?;
        if cell.generation != (id.0 >> 32) as u32 {
            return Err(Errno::EBADF);
        }
        let open = cell.open.take().ok_or(Errno::EBADF)?;
        shard.free.push((low >> 4) as u32);
        Ok(open)
    }

    /// Takes all of them out.
    pub fn drain(&self) -> Vec<Open> {
        let mut all = Vec::new();
        for number in 0..Self::SHARDS {
            let mut shard = self.shard(number);
            let Shard { cells, free } = &mut *shard;
            for (index, cell) in cells.iter_mut().enumerate() {
                if let Some(open) = cell.open.take() {
                    free.push(index as u32);
                    all.push(open);
                }
            }
        }
        all
    }

    /// How many files are open.
    pub fn len(&self) -> usize {
        (0..Self::SHARDS)
            .map(|number| {
                let shard = self.shard(number);
                shard.cells.len() - shard.free.len()
            })
            .sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attr, Entry, Kind};

    fn node() -> Node {
        Node::detached(&Entry::new(Attr::new(7, Kind::Regular)))
    }

    #[test]
    fn ids_are_found_until_removed_and_never_come_back() {
        let opens = Opens::new(0);
        let first = opens.insert(&node(), OpenFlags::RDWR, Opened::default()).unwrap().id();
        assert_eq!(opens.find(first).unwrap().flags(), OpenFlags::RDWR);
        opens.remove(first).unwrap();
        assert_eq!(opens.find(first).unwrap_err(), Errno::EBADF);
        let second = opens.insert(&node(), OpenFlags::RDONLY, Opened::default()).unwrap().id();
        assert_ne!(first, second);
        assert_eq!(
            opens.find(first).unwrap_err(),
            Errno::EBADF,
            "the place is used, the id is not"
        );
        assert_eq!(opens.len(), 1);
    }

    #[test]
    fn invented_ids_are_ebadf() {
        let opens = Opens::new(0);
        for id in [0, 1, 1 << 32, u64::MAX, 0xffff_ffff] {
            assert_eq!(opens.find(OpenId(id)).unwrap_err(), Errno::EBADF);
            assert_eq!(opens.remove(OpenId(id)).unwrap_err(), Errno::EBADF);
        }
    }
}
