//! `Remote`: a node of the server's, as the core knows it.
//!
//! Each node that a server names in an answer counts as one lookup, and the server keeps it until
//! as many have been given back. Here a node is a reference, so there is nothing to count but
//! this: a `Remote` adds up its lookups and gives them all back when it is dropped (C.7).
//!
//! Its cookie, toward the mount, is the server's id for it. Only after a restart, when the server
//! may give the same id to another file, do the two part.
//!
//! Lock order: the table, then one node.

mod remotes;

use super::connection::Connection;
use super::link::Link;
use filofs::{Kind, Name, locked};
use filofs_wire::abi::{EntryOut, ROOT_ID};
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

pub(super) use remotes::Remotes;

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
    /// The file of the host that its data is in, once the server has given it: device and inode
    /// number.
    kept_in: OnceLock<(u64, u64)>,
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

    /// Whether its data is in that file, as far as is known: what the kernel has of it stays that
    /// one.
    pub(super) fn is_kept_in(&self, file: (u64, u64)) -> bool {
        *self.kept_in.get_or_init(|| file) == file
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
        let mut above = self.leave();
        locked(&self.home.table).drop_node(self, bound.nodeid);
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
