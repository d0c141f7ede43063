//! `Remotes`: the live nodes of a server.

use super::{Bound, Moment, Place, Remote};
use crate::kernel::link::Link;
use crate::kernel::told::Wrong;
use filofs::{Kind, RenameFlags, locked};
use filofs_wire::abi::{EntryOut, ROOT_ID};
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The live nodes of a server.
#[derive(Debug, Default)]
pub(in crate::kernel) struct Remotes {
    pub(super) table: Mutex<Table>,
}

/// The nodes in the ways in which they are looked for.
#[derive(Debug, Default)]
pub(super) struct Table {
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
    pub(in crate::kernel) fn now(&self) -> Moment {
        locked(&self.table).now
    }

    /// A node that the server named in an answer: the one known by that id, or a new one; one
    /// lookup more.
    ///
    /// With `since` it must be new: not known before that moment. Known since then it may be: a
    /// lookup by somebody else may overtake the answer of whoever made it. Refused, with the
    /// reason, is one that is not, or that is known as another kind of file; then nothing counts.
    pub(in crate::kernel) fn learn(
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
            kept_in: OnceLock::new(),
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
    pub(in crate::kernel) fn at(&self, dir: &Remote, name: &[u8]) -> Option<Arc<Remote>> {
        locked(&self.table).at(dir, name)
    }

    /// A node that the server has not named since it was started again, and that may be what it
    /// names now for the first time.
    pub(in crate::kernel) fn lost_twin(&self, epoch: u64, entry: &EntryOut) -> Option<Arc<Remote>> {
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
    pub(in crate::kernel) fn by_id(&self, epoch: u64, nodeid: u64) -> Option<Arc<Remote>> {
        let table = locked(&self.table);
        if table.epoch != epoch {
            return None;
        }
        table.by_id.get(&nodeid).and_then(Weak::upgrade)
    }

    /// A name was taken away.
    pub(in crate::kernel) fn removed(&self, dir: &Remote, name: &[u8]) {
        let found;
        let mut spent = Vec::new();
        let mut table = locked(&self.table);
        found = table.at(dir, name);
        if let Some(remote) = &found {
            table.put(remote, None, &mut spent);
        }
    }

    /// A name became another, or with EXCHANGE two were swapped.
    pub(in crate::kernel) fn moved(
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
    pub(in crate::kernel) fn len(&self) -> usize {
        locked(&self.table).by_cookie.len()
    }
}

impl Table {
    fn tick(&mut self) -> Moment {
        self.now.0 += 1;
        self.now
    }

    /// The server was started again: its ids mean nothing any more. False if that epoch is over.
    pub(super) fn enter_epoch(&mut self, epoch: u64) -> bool {
        if self.epoch < epoch {
            self.epoch = epoch;
            self.by_id.clear();
        }
        self.epoch == epoch
    }

    /// The server knows a node by another id since it was started again.
    pub(super) fn bind(&mut self, remote: &Arc<Remote>, link: &Link, entry: &EntryOut) {
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
    pub(super) fn vacate(&mut self, place: &Place, remote: *const Remote) {
        let key = (place.dir.cookie, place.name.clone());
        if self.by_place.get(&key).is_some_and(|weak| weak.as_ptr() == remote) {
            self.by_place.remove(&key);
        }
    }

    /// That node goes: it is found no more.
    pub(super) fn drop_node(&mut self, remote: &Remote, nodeid: u64) {
        let this: *const Remote = remote;
        let mine = |found: Option<&Weak<Remote>>| found.is_some_and(|w| w.as_ptr() == this);
        for (table, key) in [
            (&mut self.by_id, nodeid),
            (&mut self.by_cookie, remote.cookie),
            (&mut self.by_ino, remote.ino),
        ] {
            if mine(table.get(&key)) {
                table.remove(&key);
            }
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
