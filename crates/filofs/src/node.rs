//! `Node`: one file, live in a mount; and `Nodes`, the table of all of them.
//!
//! Lock order: a shard of [`Nodes`] is the innermost lock of the mount. Nothing is called and
//! nothing is dropped that has a `Drop` of somebody else's while one is held.

use crate::mix::Mix;
use crate::slots::{Slot, Slots};
use crate::{Cookie, Entry, Errno, Generation, Kind, Result, State, locked};
use std::collections::HashMap;
use std::collections::hash_map::Entry as MapEntry;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

/// One file, live in a mount.
///
/// A `Node` is a reference: whoever holds one keeps the file usable, unlinked or not, and gives
/// it back by dropping it. That is the one rule of reclaim; file systems and layers never count.
#[derive(Clone)]
pub struct Node(Arc<Inner>);

struct Inner {
    cookie: Cookie,
    generation: Generation,
    kind: Kind,
    /// Of the table's moves, how many there had been when `above` was noted.
    above_since: AtomicU32,
    ino: u64,
    /// See [`Node::above`]; 0 if it was never noted.
    above: AtomicU64,
    /// See [`Nodes::believe`].
    believed: AtomicU32,
    state: Option<State>,
    slots: Slots,
    slot_count: u32,
    home: Weak<Table>,
}

impl Node {
    /// A node that stands in no table: for tests, and for file systems that hold nodes of lower
    /// file systems themselves.
    pub fn detached(entry: &Entry) -> Node {
        Node(Arc::new(Inner::new(entry, 0, Weak::new())))
    }

    /// The file system's name for it.
    pub fn cookie(&self) -> Cookie {
        self.0.cookie
    }

    /// Tells it from an earlier node of the same cookie.
    pub fn generation(&self) -> Generation {
        self.0.generation
    }

    /// What kind of file it is.
    pub fn kind(&self) -> Kind {
        self.0.kind
    }

    /// The inode number that it was found with, as programs see it.
    pub fn ino(&self) -> u64 {
        self.0.ino
    }

    /// The inode number of the directory that it was last found in. `None` where that is not known,
    /// or may not be so any more because something has moved since ([`Nodes::moved`]).
    pub fn above(&self) -> Option<u64> {
        let moves = self.0.home.upgrade()?.moves.load(Ordering::Relaxed);
        let since = self.0.above_since.load(Ordering::Acquire);
        let above = self.0.above.load(Ordering::Relaxed);
        (above != 0 && since == moves).then_some(above)
    }

    /// Notes that it was found in that directory.
    pub(crate) fn found_in(&self, dir: &Node, moves: u32) {
        self.0.above.store(dir.ino(), Ordering::Relaxed);
        self.0.above_since.store(moves, Ordering::Release);
    }

    /// What the base put into [`Entry::state`], if it is a `T`.
    pub fn state<T: Send + Sync + 'static>(&self) -> Option<&T> {
        self.0.state.as_deref()?.downcast_ref()
    }

    /// The base's state to keep, beyond the life of the node.
    pub fn state_arc<T: Send + Sync + 'static>(&self) -> Option<Arc<T>> {
        self.0.state.clone()?.downcast().ok()
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

    /// Whether both are the same live node.
    pub fn is(&self, other: &Node) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl std::fmt::Debug for Node {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "node {}", self.0.cookie)
    }
}

impl Inner {
    fn new(entry: &Entry, slot_count: u32, home: Weak<Table>) -> Inner {
        Inner {
            cookie: entry.cookie,
            generation: entry.generation,
            kind: entry.attr.kind,
            above_since: AtomicU32::new(0),
            ino: entry.attr.ino,
            above: AtomicU64::new(0),
            believed: AtomicU32::new(0),
            state: entry.state.clone(),
            slots: Slots::default(),
            slot_count,
            home,
        }
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if let Some(table) = self.home.upgrade() {
            table.live.fetch_sub(1, Ordering::Relaxed);
            let mut shard = table.shard(self.cookie);
            if let MapEntry::Occupied(found) = shard.entry(self.cookie)
                && found.get().held.is_none()
                && found.get().node.strong_count() == 0
            {
                found.remove();
                // Millions of nodes may have come and gone, and their places are memory.
                if shard.capacity() > Table::PLACES_KEPT && shard.len() < shard.capacity() / 8 {
                    let places = 2 * shard.len();
                    shard.shrink_to(places);
                }
            }
        }
    }
}

/// The live nodes of a mount: one for each cookie (A105, A107).
pub struct Nodes(Arc<Table>);

struct Table {
    slots: u32,
    live: AtomicUsize,
    /// How often something was moved from one directory to another.
    moves: AtomicU32,
    mix: Mix,
    shards: [Mutex<Shard>; Table::SHARDS],
}

type Shard = HashMap<Cookie, Record, Mix>;

struct Record {
    node: Weak<Inner>,
    /// Held by a client that counts: see [`Nodes::remember`].
    held: Option<Held>,
}

struct Held {
    node: Node,
    lookups: u64,
}

impl Table {
    const SHARDS: usize = 64;
    /// Places in a shard that are kept, however few are taken.
    const PLACES_KEPT: usize = 1024;

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn shard(&self, cookie: Cookie) -> MutexGuard<'_, Shard> {
        // Not the bits that the maps go by.
        let mixed = self.mix.of(cookie.0) >> 48;
        locked(&self.shards[mixed as usize % Self::SHARDS])
    }
}

impl Nodes {
    /// An empty table for nodes with that many slots.
    pub fn new(slots: usize) -> Nodes {
        let mix = Mix::default();
        Nodes(Arc::new(Table {
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            live: AtomicUsize::new(0),
            moves: AtomicU32::new(0),
            shards: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(mix.clone()))),
            mix,
        }))
    }

    /// The node of an entry: the live one of that cookie, or a new one.
    ///
    /// Concurrent callers with one cookie meet in one node (A107). When the cookie has passed to
    /// another file (a new generation) the old node lives on for those who hold it, but is found
    /// no more.
    ///
    /// Errors: EPROTO for cookie 0, or for the kind of a live node changing.
    pub fn adopt(&self, entry: &Entry) -> Result<Node> {
        if entry.cookie == Cookie(0) {
            return Err(Errno::EPROTO);
        }
        // Dropped after the shard is unlocked, which is why they are declared before it.
        let _replaced;
        let old;
        let mut shard = self.0.shard(entry.cookie);
        old = shard.get(&entry.cookie).and_then(|record| record.node.upgrade()).map(Node);
        if let Some(node) = &old
            && node.generation() == entry.generation
        {
            return if node.kind() == entry.attr.kind {
                Ok(node.clone())
            } else {
                Err(Errno::EPROTO)
            };
        }
        let node = Node(Arc::new(Inner::new(entry, self.0.slots, Arc::downgrade(&self.0))));
        self.0.live.fetch_add(1, Ordering::Relaxed);
        // A client that counts does so by cookie alone, and has not given the old node back yet:
        // what it owes stays noted, or its next `forget` would take from the new node.
        let held = shard.get_mut(&entry.cookie).and_then(|record| record.held.take());
        let record = Record { node: Arc::downgrade(&node.0), held };
        _replaced = shard.insert(entry.cookie, record);
        drop(shard);
        Ok(node)
    }

    /// Notes that a client which counts was told of the node once more, and keeps it until as
    /// many [`Nodes::forget`] have come (FUSE's lookup count).
    pub fn remember(&self, node: &Node) {
        let _replaced;
        let mut shard = self.0.shard(node.cookie());
        let record = shard
            .entry(node.cookie())
            .or_insert_with(|| Record { node: Arc::downgrade(&node.0), held: None });
        match &mut record.held {
            Some(held) if held.node.is(node) => held.lookups = held.lookups.saturating_add(1),
            held => {
                // What is owed for an earlier generation is owed for this one now.
                let owed = held.as_ref().map_or(0, |held| held.lookups);
                let lookups = owed.saturating_add(1);
                _replaced = held.replace(Held { node: node.clone(), lookups });
                record.node = Arc::downgrade(&node.0);
            }
        }
        drop(shard);
    }

    /// Notes that the client that counts believes what it was told of the node, its attributes too,
    /// until some time: whatever number the client's front end has for that.
    /// It wraps around: more than half of all numbers later the node may seem believed again.
    pub fn believe(&self, node: &Node, until: u32) {
        node.0.believed.store(until.max(1), Ordering::Relaxed);
    }

    /// Whether the client that counts holds the node of that cookie, and believes at some time
    /// what it was told of it ([`Nodes::believe`]).
    pub fn is_believed(&self, cookie: Cookie, at: u32) -> bool {
        let shard = self.0.shard(cookie);
        let held = shard.get(&cookie).and_then(|record| record.held.as_ref());
        let until = held.map(|held| held.node.0.believed.load(Ordering::Relaxed));
        until.is_some_and(|until| until != 0 && until.wrapping_sub(at).cast_signed() > 0)
    }

    /// Takes back `count` of what [`Nodes::remember`] noted. More than was noted is the client's
    /// mistake: it counts as all, and the answer is `false`.
    pub fn forget(&self, cookie: Cookie, count: u64) -> bool {
        let dropped;
        let honest;
        {
            let mut shard = self.0.shard(cookie);
            let Some(record) = shard.get_mut(&cookie) else { return count == 0 };
            let Some(held) = &mut record.held else { return count == 0 };
            honest = count <= held.lookups;
            held.lookups = held.lookups.saturating_sub(count);
            dropped = if held.lookups == 0 { record.held.take() } else { None };
        }
        drop(dropped);
        honest
    }

    /// The live node of that cookie: ESTALE when there is none.
    pub fn find(&self, cookie: Cookie) -> Result<Node> {
        let inner = self.0.shard(cookie).get(&cookie).and_then(|record| record.node.upgrade());
        inner.map(Node).ok_or(Errno::ESTALE)
    }

    /// Something was moved from one directory to another: what was noted of who is in which
    /// ([`Node::above`]) does not hold any more.
    pub fn moved(&self) {
        self.0.moves.fetch_add(1, Ordering::Relaxed);
    }

    /// How often something was moved.
    pub(crate) fn moves(&self) -> u32 {
        self.0.moves.load(Ordering::Relaxed)
    }

    /// How many nodes live.
    pub fn len(&self) -> usize {
        self.0.live.load(Ordering::Relaxed)
    }

    /// Whether none lives.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The sum of all lookup counts: what the client that counts still owes.
    pub fn lookups(&self) -> u64 {
        let shards = self.0.shards.iter();
        shards
            .map(|shard| {
                let shard = locked(shard);
                shard.values().filter_map(|r| r.held.as_ref()).map(|h| h.lookups).sum::<u64>()
            })
            .sum()
    }

    /// Some nodes of that kind that the client that counts holds: at most so many cookies.
    pub fn remembered(&self, kind: Kind, most: usize) -> Vec<Cookie> {
        let mut some = Vec::new();
        for shard in &self.0.shards {
            let shard = locked(shard);
            let held = shard.values().filter_map(|record| record.held.as_ref());
            let held = held.filter(|held| held.node.kind() == kind).map(|held| held.node.cookie());
            some.extend(held.take(most - some.len()));
            if some.len() == most {
                break;
            }
        }
        some
    }

    /// The cookies of all that live.
    pub fn cookies(&self) -> Vec<Cookie> {
        let mut all = Vec::new();
        for shard in &self.0.shards {
            all.extend(locked(shard).keys().copied());
        }
        all
    }

    /// Takes everything back that the client that counts still holds: it is gone. The nodes are
    /// answered, to be dropped.
    pub fn forget_all(&self) -> Vec<Node> {
        let mut all = Vec::new();
        for shard in &self.0.shards {
            let mut shard = locked(shard);
            let held = shard.values_mut().filter_map(|record| record.held.take());
            all.extend(held.map(|held| held.node));
        }
        all
    }
}

impl std::fmt::Debug for Nodes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} nodes", self.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Attr;

    fn entry(cookie: u64, generation: u64, kind: Kind) -> Entry {
        let mut entry = Entry::new(Attr::new(cookie, kind));
        entry.generation = Generation(generation);
        entry
    }

    #[test]
    fn one_node_for_each_cookie() {
        let nodes = Nodes::new(0);
        let a = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        let b = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        assert!(a.is(&b));
        assert_eq!(nodes.len(), 1);
        drop((a, b));
        assert_eq!(nodes.len(), 0);
        assert_eq!(nodes.find(Cookie(7)).unwrap_err(), Errno::ESTALE);
    }

    #[test]
    fn concurrent_lookup_same_cookie() {
        // A107: creators of one cookie meet in one node.
        let nodes = Nodes::new(0);
        let barrier = std::sync::Barrier::new(4);
        let found: Vec<Node> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..4)
                .map(|_| {
                    scope.spawn(|| {
                        barrier.wait();
                        nodes.adopt(&entry(9, 0, Kind::Regular)).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        assert!(found.iter().all(|n| n.is(&found[0])));
        assert_eq!(nodes.len(), 1);
    }

    #[test]
    fn a_counting_client_holds_its_nodes() {
        let nodes = Nodes::new(0);
        let node = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        nodes.remember(&node);
        nodes.remember(&node);
        drop(node);
        assert_eq!((nodes.len(), nodes.lookups()), (1, 2));
        assert!(nodes.forget(Cookie(7), 1));
        assert!(nodes.find(Cookie(7)).is_ok());
        assert!(nodes.forget(Cookie(7), 1));
        assert_eq!(nodes.len(), 0);
        assert!(!nodes.forget(Cookie(7), 1), "nothing is left to give back");
    }

    #[test]
    fn a_node_takes_no_more_than_it_has_to() {
        // With the two counts of its `Arc` and what an allocator adds, 112 bytes.
        assert!(size_of::<Inner>() <= 88, "{} bytes", size_of::<Inner>());
        assert!(size_of::<(Cookie, Record)>() <= 32, "{}", size_of::<(Cookie, Record)>());
    }

    #[test]
    fn what_is_given_back_is_not_believed() {
        let nodes = Nodes::new(0);
        let node = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        nodes.remember(&node);
        assert!(!nodes.is_believed(Cookie(7), 0), "nothing was told");
        nodes.believe(&node, 5);
        assert!(nodes.is_believed(Cookie(7), 4));
        assert!(!nodes.is_believed(Cookie(7), 5), "too late");
        assert!(!nodes.is_believed(Cookie(8), 4), "another");
        nodes.believe(&node, 3);
        assert!(nodes.is_believed(Cookie(7), u32::MAX), "the numbers went round");
        nodes.forget(Cookie(7), 1);
        assert!(!nodes.is_believed(Cookie(7), 4), "it lives, but nobody counts it");
    }

    #[test]
    fn places_of_nodes_that_are_gone_are_given_back() {
        let nodes = Nodes::new(0);
        let many = 20 * (Table::SHARDS * Table::PLACES_KEPT) as u64;
        let made = |cookie| nodes.adopt(&entry(cookie, 0, Kind::Regular)).unwrap();
        let live: Vec<Node> = (1..=many).map(made).collect();
        let places = || nodes.0.shards.iter().map(|s| locked(s).capacity()).sum::<usize>();
        assert!(places() >= live.len());
        drop(live);
        assert!(places() <= 2 * Table::SHARDS * Table::PLACES_KEPT, "{}", places());
    }

    #[test]
    fn some_of_what_a_client_holds_is_found_by_its_kind() {
        let nodes = Nodes::new(0);
        let made = [(7, Kind::Regular), (8, Kind::Directory), (9, Kind::Regular)];
        let made = made.map(|(cookie, kind)| nodes.adopt(&entry(cookie, 0, kind)).unwrap());
        assert_eq!(nodes.remembered(Kind::Regular, 9), [], "they live, but nobody counts");
        for node in &made {
            nodes.remember(node);
        }
        assert_eq!(nodes.remembered(Kind::Directory, 9), [Cookie(8)]);
        assert_eq!(nodes.remembered(Kind::Regular, 9).len(), 2);
        assert_eq!(nodes.remembered(Kind::Regular, 1).len(), 1);
    }

    #[test]
    fn forgetting_too_much_takes_all_and_says_so() {
        let nodes = Nodes::new(0);
        let node = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        nodes.remember(&node);
        assert!(!nodes.forget(Cookie(7), u64::MAX));
        assert_eq!(nodes.lookups(), 0);
    }

    #[test]
    fn a_new_generation_is_another_node() {
        let nodes = Nodes::new(0);
        let old = nodes.adopt(&entry(7, 1, Kind::Regular)).unwrap();
        nodes.remember(&old);
        let new = nodes.adopt(&entry(7, 2, Kind::Directory)).unwrap();
        assert!(!old.is(&new));
        assert!(nodes.find(Cookie(7)).unwrap().is(&new));
        drop(old);
        assert_eq!(nodes.len(), 2, "the client that counts has not given it back");
        assert!(nodes.forget(Cookie(7), 1));
        assert_eq!(nodes.len(), 1, "the old one is held by nobody");
        assert!(nodes.find(Cookie(7)).unwrap().is(&new), "its end does not take the new one along");
    }

    #[test]
    fn a_late_forget_of_an_earlier_generation_takes_nothing_from_the_next() {
        let nodes = Nodes::new(0);
        let old = nodes.adopt(&entry(7, 1, Kind::Regular)).unwrap();
        nodes.remember(&old);
        nodes.remember(&old);
        drop(old);
        let new = nodes.adopt(&entry(7, 2, Kind::Regular)).unwrap();
        nodes.remember(&new);
        drop(new);
        assert!(nodes.forget(Cookie(7), 2), "of the old one");
        assert_eq!(nodes.find(Cookie(7)).unwrap().generation(), Generation(2));
        assert!(nodes.forget(Cookie(7), 1));
        assert_eq!((nodes.len(), nodes.lookups()), (0, 0));
        assert_eq!(nodes.find(Cookie(7)).unwrap_err(), Errno::ESTALE);
    }

    #[test]
    fn bad_entries_are_refused() {
        let nodes = Nodes::new(0);
        assert_eq!(nodes.adopt(&entry(0, 0, Kind::Regular)).unwrap_err(), Errno::EPROTO);
        let _live = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        assert_eq!(nodes.adopt(&entry(7, 0, Kind::Directory)).unwrap_err(), Errno::EPROTO);
    }

    #[test]
    fn slots_hold_a_value_for_each_layer() {
        let nodes = Nodes::new(2);
        let node = nodes.adopt(&entry(7, 0, Kind::Regular)).unwrap();
        assert_eq!(node.slot::<u32>(Slot(0)), None);
        assert_eq!(node.slot_or(Slot(0), || 5u32), Some(&5));
        assert_eq!(node.slot_or(Slot(0), || 6u32), Some(&5));
        assert_eq!(node.slot_or(Slot(1), || "x"), Some(&"x"));
        assert_eq!(node.slot_or(Slot(0), || "x"), None, "another type");
        assert_eq!(node.slot_or(Slot(2), || 1u8), None, "another mount's slot");
    }
}
