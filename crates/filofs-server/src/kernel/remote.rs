//! `Remote`: a node of the server's, as the core knows it; `Remotes`: all of them.
//!
//! Each node that a server names in an answer counts as one lookup, and the server keeps it until
//! as many have been given back. Here a node is a reference, so there is nothing to count but
//! this: a `Remote` adds up its lookups and gives them all back when it is dropped (C.7).
//!
//! Its cookie, toward the mount, is the server's id for it. Only after a restart, when the server
//! may give the same id to another file, do the two part.
//!
//! Lock order: the table, then one node.

use super::connection::Connection;
use super::link::Link;
use super::told::Wrong;
use filofs::{Kind, Name, RenameFlags, locked};
use filofs_wire::abi::{EntryOut, ROOT_ID};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// A node of the server's.
#[derive(Debug)]
pub(super) struct Remote {
    /// What the mount knows it by.
    pub(super) cookie: u64,
    pub(super) kind: Kind,
    /// What the mount knows it by besides its cookie: the generation that came with its first id.
    pub(super) generation: u64,
    bound: Mutex<Bound>,
    place: Mutex<Option<Place>>,
    /// The inode number that the server gives it, which is good over all its lives.
    ino: u64,
    /// The mode last seen.
    mode: AtomicU32,
    /// The size last heard of, in bytes.
    size: AtomicU64,
    /// The number of names last seen.
    links: AtomicU32,
    /// How often it is open.
    opens: AtomicU32,
    /// Somebody writes to its end.
    pub(super) appending: AtomicBool,
    /// Its durable name, if it was asked for.
    handle: OnceLock<Box<[u8]>>,
    home: Arc<Remotes>,
}

/// A place in the order in which nodes were learnt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Debug)]
pub(super) struct Moment(u64);

/// What the server knows it by.
#[derive(Clone, Debug)]
struct Bound {
    /// Through which connection; the lookups are to be given back there.
    connection: Weak<Connection>,
    epoch: u64,
    nodeid: u64,
    generation: u64,
    lookups: u64,
    /// When the server first named it by that id.
    learnt: Moment,
}

impl Bound {
    /// The epoch of what the server knows by no id. The first is 1.
    const NEVER: u64 = 0;
}

/// A name that leads to a node, the last one heard of.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) dir: Arc<Remote>,
    pub(super) name: Box<[u8]>,
}

impl Place {
    /// That name in that directory.
    pub(super) fn new(dir: &Arc<Remote>, name: Name<'_>) -> Place {
        Place { dir: dir.clone(), name: name.bytes().into() }
    }
}

/// The live nodes of a server.
#[derive(Debug, Default)]
pub(super) struct Remotes {
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    epoch: u64,
    /// When the last node was learnt.
    now: Moment,
    /// By the server's id, in this epoch.
    by_id: HashMap<u64, Weak<Remote>>,
    by_cookie: HashMap<u64, Weak<Remote>>,
    /// By inode number, the last one heard of.
    by_ino: HashMap<u64, Weak<Remote>>,
    /// By directory's cookie and name.
    by_place: HashMap<(u64, Box<[u8]>), Weak<Remote>>,
}

impl Remotes {
    /// Cookies of nodes whose id is taken by another's cookie. No server's ids are up there.
    const APART: u64 = 1 << 63;

    /// To be asked before a request whose answer must name a new node.
    pub(super) fn now(&self) -> Moment {
        locked(&self.table).now
    }

    /// A node that the server named in an answer: the one known by that id, or a new one; one
    /// lookup more.
    ///
    /// With `since` it must be new: not known before that moment. Known since then it may be: a
    /// lookup by somebody else may overtake the answer of whoever made it. Refused, with the
    /// reason, is one that is not, or that is known as another kind of file; then nothing counts.
    pub(super) fn learn(
        self: &Arc<Remotes>,
        link: &Link,
        entry: &EntryOut,
        kind: Kind,
        place: Option<Place>,
        since: Option<Moment>,
    ) -> Result<Arc<Remote>, Wrong> {
        let nodeid = entry.nodeid;
        // There is one root as long as there is a server.
        let generation = if nodeid == ROOT_ID { 0 } else { entry.generation };
        // What goes here must go after the table is unlocked: a node locks it when it is dropped.
        let (found, lost);
        let mut spent = Vec::new();
        let mut table = locked(&self.table);
        // The answer of a life that is over by now names nothing by its id.
        let present = table.enter_epoch(link.epoch);
        found = table.by_id.get(&nodeid).filter(|_| present).and_then(Weak::upgrade);
        if let Some(remote) = &found
            && let Some(learnt) = remote.bound_since(link.epoch, nodeid, generation)
        {
            if remote.kind != kind {
                return Err("a known node as another kind of file");
            }
            if since.is_some_and(|since| learnt <= since) {
                return Err("a node that exists already");
            }
            locked(&remote.bound).lookups += u64::from(nodeid != ROOT_ID);
            remote.saw(entry.attr.mode, entry.attr.nlink, entry.attr.size);
            if place.is_some() {
                table.put(remote, place, &mut spent);
            }
            return Ok(remote.clone());
        }
        // One that the server has not named since it was started again, and names now.
        lost = place.as_ref().and_then(|place| table.at(&place.dir, &place.name));
        if let Some(lost) = &lost
            && since.is_none()
            && found.is_none()
            && lost.may_be(entry, link.terms.is_ours())
            && (!present || locked(&lost.bound).epoch < link.epoch)
        {
            if present {
                table.bind(lost, link, entry);
            }
            lost.saw(entry.attr.mode, entry.attr.nlink, entry.attr.size);
            return Ok(lost.clone());
        }
        if let Some(earlier) = &found {
            // The id is another file's now: the earlier one must not be asked about by it (A91).
            locked(&earlier.bound).epoch = Bound::NEVER;
            table.put(earlier, None, &mut spent);
        }
        let cookie = table.free_cookie(nodeid);
        let remote = Arc::new(Remote {
            cookie,
            kind,
            generation,
            bound: Mutex::new(Bound {
                connection: Arc::downgrade(&link.connection),
                epoch: if present { link.epoch } else { Bound::NEVER },
                nodeid,
                generation,
                lookups: u64::from(nodeid != ROOT_ID),
                learnt: table.tick(),
            }),
            place: Mutex::default(),
            ino: entry.attr.ino,
            mode: AtomicU32::new(entry.attr.mode),
            size: AtomicU64::new(entry.attr.size),
            links: AtomicU32::new(entry.attr.nlink),
            opens: AtomicU32::new(0),
            appending: AtomicBool::new(false),
            handle: OnceLock::new(),
            home: self.clone(),
        });
        if present {
            table.by_id.insert(nodeid, Arc::downgrade(&remote));
        }
        table.by_cookie.insert(cookie, Arc::downgrade(&remote));
        table.by_ino.insert(remote.ino, Arc::downgrade(&remote));
        table.put(&remote, place, &mut spent);
        Ok(remote)
    }

    /// The node that was last heard of under that name.
    pub(super) fn at(&self, dir: &Remote, name: &[u8]) -> Option<Arc<Remote>> {
        locked(&self.table).at(dir, name)
    }

    /// A node that the server has not named since it was started again, and that may be what it
    /// names now for the first time.
    pub(super) fn lost_twin(&self, epoch: u64, entry: &EntryOut) -> Option<Arc<Remote>> {
        let twin = {
            let table = locked(&self.table);
            if table.epoch == epoch && table.by_id.contains_key(&entry.nodeid) {
                return None;
            }
            table.by_ino.get(&entry.attr.ino).and_then(Weak::upgrade)?
        };
        (twin.nodeid(epoch).is_none() && twin.may_be(entry, true)).then_some(twin)
    }

    /// The live node that the server knows by that id.
    pub(super) fn by_id(&self, epoch: u64, nodeid: u64) -> Option<Arc<Remote>> {
        let table = locked(&self.table);
        if table.epoch != epoch {
            return None;
        }
        table.by_id.get(&nodeid).and_then(Weak::upgrade)
    }

    /// A name was taken away.
    pub(super) fn removed(&self, dir: &Remote, name: &[u8]) {
        let found;
        let mut spent = Vec::new();
        let mut table = locked(&self.table);
        found = table.at(dir, name);
        if let Some(remote) = &found {
            table.put(remote, None, &mut spent);
        }
    }

    /// A name became another, or with EXCHANGE two were swapped.
    pub(super) fn moved(
        &self,
        (dir, name): (&Arc<Remote>, &[u8]),
        (to_dir, to_name): (&Arc<Remote>, &[u8]),
        flags: RenameFlags,
    ) {
        let (moved, replaced);
        let mut spent = Vec::new();
        let place = |dir: &Arc<Remote>, name: &[u8]| Place { dir: dir.clone(), name: name.into() };
        let mut table = locked(&self.table);
        (moved, replaced) = (table.at(dir, name), table.at(to_dir, to_name));
        // Two names of one file: nothing has happened.
        if let (Some(moved), Some(replaced)) = (&moved, &replaced)
            && Arc::ptr_eq(moved, replaced)
        {
            return;
        }
        let swapped = flags.contains(RenameFlags::EXCHANGE).then(|| place(dir, name));
        if let Some(remote) = &replaced {
            table.put(remote, swapped, &mut spent);
        }
        if let Some(remote) = &moved {
            table.put(remote, Some(place(to_dir, to_name)), &mut spent);
        }
    }

    /// How many nodes live.
    pub(super) fn len(&self) -> usize {
        locked(&self.table).by_cookie.len()
    }
}

impl Table {
    fn tick(&mut self) -> Moment {
        self.now.0 += 1;
        self.now
    }

    /// The server was started again: its ids mean nothing any more. False if that epoch is over.
    fn enter_epoch(&mut self, epoch: u64) -> bool {
        if self.epoch < epoch {
            self.epoch = epoch;
            self.by_id.clear();
        }
        self.epoch == epoch
    }

    /// The server knows a node by another id since it was started again.
    fn bind(&mut self, remote: &Arc<Remote>, link: &Link, entry: &EntryOut) {
        *locked(&remote.bound) = Bound {
            connection: Arc::downgrade(&link.connection),
            epoch: link.epoch,
            nodeid: entry.nodeid,
            generation: if entry.nodeid == ROOT_ID { 0 } else { entry.generation },
            lookups: u64::from(entry.nodeid != ROOT_ID),
            learnt: self.tick(),
        };
        self.by_id.insert(entry.nodeid, Arc::downgrade(remote));
    }

    /// The node that was last heard of under that name.
    fn at(&self, dir: &Remote, name: &[u8]) -> Option<Arc<Remote>> {
        self.by_place.get(&(dir.cookie, name.into())).and_then(Weak::upgrade)
    }

    /// Gives a node another place, or none. What goes to `spent` is to be dropped when the table is
    /// unlocked.
    fn put(&mut self, remote: &Arc<Remote>, place: Option<Place>, spent: &mut Vec<Place>) {
        let place = place.filter(|place| !Arc::ptr_eq(&place.dir, remote));
        spent.extend(place.as_ref().and_then(|place| self.part(remote, place)));
        let key = place.as_ref().map(|place| (place.dir.cookie, place.name.clone()));
        let old = std::mem::replace(&mut *locked(&remote.place), place);
        if let Some(old) = &old {
            self.vacate(old, Arc::as_ptr(remote));
        }
        if let Some(key) = key {
            self.by_place.insert(key, Arc::downgrade(remote));
        }
        spent.extend(old);
    }

    /// Before a directory gets a place below itself: takes what is in it, and leads there, out of
    /// its own. A server may lie, and where others move directories about this is how it looks.
    /// Were there a circle, its nodes would live for ever, and who goes up in it without end.
    fn part(&mut self, remote: &Arc<Remote>, place: &Place) -> Option<Place> {
        let stays =
            |old: &Option<Place>| old.as_ref().is_some_and(|old| Arc::ptr_eq(&old.dir, &place.dir));
        if remote.kind != Kind::Directory || stays(&locked(&remote.place)) {
            return None;
        }
        // Each is held by the place below it, and the first by the caller: none goes here.
        let mut below = place.dir.clone();
        loop {
            let dir = below.place()?.dir;
            if Arc::ptr_eq(&dir, remote) {
                break;
            }
            below = dir;
        }
        let parted = locked(&below.place).take();
        if let Some(place) = &parted {
            self.vacate(place, Arc::as_ptr(&below));
        }
        parted
    }

    /// That node is no longer at that place.
    fn vacate(&mut self, place: &Place, remote: *const Remote) {
        let key = (place.dir.cookie, place.name.clone());
        if self.by_place.get(&key).is_some_and(|weak| weak.as_ptr() == remote) {
            self.by_place.remove(&key);
        }
    }

    fn free_cookie(&self, nodeid: u64) -> u64 {
        let free = |cookie| self.by_cookie.get(&cookie).is_none_or(|r| r.strong_count() == 0);
        if free(nodeid) {
            return nodeid;
        }
        let mut apart = nodeid | Remotes::APART;
        while !free(apart) {
            apart = apart.wrapping_add(1) | Remotes::APART;
        }
        apart
    }
}

impl Remote {
    /// The server's id for it, if the server has heard of it since it was last started.
    pub(super) fn nodeid(&self, epoch: u64) -> Option<u64> {
        let bound = locked(&self.bound);
        (bound.epoch == epoch).then_some(bound.nodeid)
    }

    /// The server, started again, names it by that id, with one lookup. The id that it has now; if
    /// that is another, somebody else has found it out before, and the lookup is the caller's to
    /// give back. `None` if that life of the server is over.
    pub(super) fn bind(self: &Arc<Self>, link: &Link, entry: &EntryOut) -> Option<u64> {
        let mut table = locked(&self.home.table);
        if !table.enter_epoch(link.epoch) {
            return None;
        }
        {
            let mut bound = locked(&self.bound);
            if bound.epoch == link.epoch {
                let same = bound.nodeid == entry.nodeid && entry.nodeid != ROOT_ID;
                bound.lookups += u64::from(same);
                return Some(bound.nodeid);
            }
        }
        table.bind(self, link, entry);
        Some(entry.nodeid)
    }

    /// Whether it may be what the server tells of, after it was started again: by the kind, and by
    /// the inode number, where that is known to be good over all lives.
    pub(super) fn may_be(&self, entry: &EntryOut, same_ino: bool) -> bool {
        let is_root = self.cookie == ROOT_ID;
        let same_kind = is_root || Kind::from_mode(entry.attr.mode) == Some(self.kind);
        is_root == (entry.nodeid == ROOT_ID)
            && same_kind
            && (is_root || !same_ino || entry.attr.ino == self.ino)
    }

    /// A name that leads to it.
    pub(super) fn place(&self) -> Option<Place> {
        locked(&self.place).clone()
    }

    /// It is at no place any more. The directory where it was, to be dropped with nothing locked.
    fn leave(&self) -> Option<Arc<Remote>> {
        let mut table = locked(&self.home.table);
        let place = locked(&self.place).take()?;
        table.vacate(&place, self);
        Some(place.dir)
    }

    /// Whether it is one of those.
    pub(super) fn is_among(&self, nodes: &Arc<Remotes>) -> bool {
        Arc::ptr_eq(&self.home, nodes)
    }

    /// It was written up to there.
    pub(super) fn reaches(&self, end: u64) {
        self.size.fetch_max(end, Ordering::Relaxed);
    }

    /// The size last heard of, in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size.load(Ordering::Relaxed)
    }

    /// The server said what its mode and size are and how many names it has.
    pub(super) fn saw(&self, mode: u32, links: u32, size: u64) {
        self.mode.store(mode, Ordering::Relaxed);
        self.links.store(links, Ordering::Relaxed);
        self.size.store(size, Ordering::Relaxed);
    }

    /// It was opened.
    pub(super) fn opened(&self) {
        self.opens.fetch_add(1, Ordering::Relaxed);
    }

    /// It was closed as often.
    pub(super) fn closed(&self) {
        self.opens.fetch_sub(1, Ordering::Relaxed);
    }

    /// Whether it is still needed when the name that is known of it is gone.
    pub(super) fn outlives_name(&self) -> bool {
        let names = self.links.load(Ordering::Relaxed);
        self.opens.load(Ordering::Relaxed) > 0 || (names > 1 && self.kind != Kind::Directory)
    }

    /// Its durable name, if it is known.
    pub(super) fn handle(&self) -> Option<Box<[u8]>> {
        self.handle.get().cloned()
    }

    /// Its durable name.
    pub(super) fn keep_handle(&self, handle: &[u8]) {
        let _ = self.handle.set(handle.into());
    }

    /// Whether it had set-id bits when it was last looked at.
    pub(super) fn is_set_id(&self) -> bool {
        self.mode.load(Ordering::Relaxed) & 0o6000 != 0
    }

    /// Since when the server knows it by that id, if it does.
    fn bound_since(&self, epoch: u64, nodeid: u64, generation: u64) -> Option<Moment> {
        let bound = locked(&self.bound);
        let same = (bound.epoch, bound.nodeid, bound.generation) == (epoch, nodeid, generation);
        same.then_some(bound.learnt)
    }
}

impl Drop for Remote {
    fn drop(&mut self) {
        let bound = locked(&self.bound).clone();
        let this: *const Remote = self;
        let mut above = self.leave();
        {
            let mut table = locked(&self.home.table);
            let mine = |found: Option<&Weak<Remote>>| found.is_some_and(|w| w.as_ptr() == this);
            if mine(table.by_id.get(&bound.nodeid)) {
                table.by_id.remove(&bound.nodeid);
            }
            if mine(table.by_cookie.get(&self.cookie)) {
                table.by_cookie.remove(&self.cookie);
            }
            if mine(table.by_ino.get(&self.ino)) {
                table.by_ino.remove(&self.ino);
            }
        }
        // One after the other: a tree may be deeper than the stack.
        while let Some(dir) = above.take().and_then(Arc::into_inner) {
            above = dir.leave();
        }
        // The root is never given back (A50).
        if bound.lookups > 0
            && let Some(connection) = bound.connection.upgrade()
        {
            connection.forget(bound.nodeid, bound.lookups);
        }
    }
}
