//! `Inode`: what this base keeps of a live node.
//!
//! An inode is found again by its descriptor, else by its handle, else by its place: a name in
//! another inode, one step at a time.
//!
//! Lock order: a shard of [`super::inodes`], then an inode's `slot`, then the clock of
//! [`super::descriptors`]. Of two inodes no two locks are waited for together.

use super::cached;
use super::descriptors::DESCRIPTORS;
use super::host::{Host, has_birth};
use super::locks::Holders;
use super::sys::HostHandle;
use filofs::{Cookie, Errno, Kind, Name, Result, locked};
use rustix::fd::OwnedFd;
use rustix::fs::{Statx, StatxTimestamp};
use std::num::NonZeroU64;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The cookie of the root; others count on from there.
pub(super) const ROOT: Cookie = Cookie(1);

/// A file of the host, live in this mount. The state of its node.
pub(super) struct Inode {
    pub(super) cookie: Cookie,
    pub(super) identity: Identity,
    pub(super) home: Weak<Host>,
    /// Whether its file system is [`super::local`].
    pub(super) local: bool,
    /// The descriptor, O_PATH, while the budget has one for it.
    pub(super) slot: Mutex<Option<Cached>>,
    /// What front ends have cached of it.
    pub(super) cached: cached::Cached,
    /// Used since the clock's hand came by.
    pub(super) used: AtomicBool,
    /// Has lost its last name through us: only a descriptor leads to it.
    pub(super) orphan: AtomicBool,
    /// The handle and the mount it is on, once somebody needed it; `None`: the host has none.
    pub(super) handle: OnceLock<Option<Box<(HostHandle, i32)>>>,
    place: Mutex<Option<Place>>,
    /// The descriptor of an open of it: as good as one of its own.
    opened: Mutex<Weak<OwnedFd>>,
    pub(super) holders: OnceLock<Box<Holders>>,
    /// Changes in it are told, if it is a directory.
    pub(super) watched: AtomicBool,
}

/// What a file of the host is told from others by.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Identity {
    pub(super) dev: u64,
    pub(super) ino: u64,
    pub(super) kind: Kind,
    /// When it was made, a number for each time: tells files apart that had the same inode number
    /// one after the other.
    pub(super) born: Option<NonZeroU64>,
}

/// A descriptor that is kept.
pub(super) struct Cached {
    pub(super) fd: Arc<OwnedFd>,
    /// Its place in the clock; `None` for the root's, which stays.
    pub(super) place: Option<u32>,
}

/// A name that led to a file.
#[derive(Clone)]
pub(super) struct Place {
    pub(super) parent: Arc<Inode>,
    pub(super) name: Box<[u8]>,
}

impl Identity {
    /// What statx(2) says. EIO for a kind that does not exist.
    pub(super) fn of(stat: &Statx) -> Result<Identity> {
        Ok(Identity {
            dev: u64::from(stat.stx_dev_major) << 32 | u64::from(stat.stx_dev_minor),
            ino: stat.stx_ino,
            kind: Kind::from_mode(u32::from(stat.stx_mode)).ok_or(Errno::EIO)?,
            born: NonZeroU64::new(nanos(&stat.stx_btime)).filter(|_| has_birth(stat)),
        })
    }

    pub(super) const fn key(&self) -> (u64, u64) {
        (self.dev, self.ino)
    }

    /// Whether both can be one file. Without a birth time a number that was used again for a
    /// file of the same kind is not noticed.
    pub(super) fn agrees(&self, other: &Identity) -> bool {
        let born = match (self.born, other.born) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
        self.key() == other.key() && self.kind == other.kind && born
    }

    /// Whether both are one file, beyond doubt.
    pub(super) fn is_surely(&self, other: &Identity) -> bool {
        self.born.is_some() && self == other
    }
}

/// A time as one number: its nanoseconds, of which 584 years have different ones.
pub(super) fn nanos(time: &StatxTimestamp) -> u64 {
    time.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.into())
}

impl Inode {
    pub(super) fn new(
        cookie: Cookie,
        identity: Identity,
        home: Weak<Host>,
        local: bool,
        place: Option<Place>,
    ) -> Inode {
        Inode {
            cookie,
            identity,
            home,
            local,
            slot: Mutex::new(None),
            cached: cached::Cached::default(),
            used: AtomicBool::new(true),
            orphan: AtomicBool::new(false),
            handle: OnceLock::new(),
            place: Mutex::new(place),
            opened: Mutex::new(Weak::new()),
            holders: OnceLock::new(),
            watched: AtomicBool::new(false),
        }
    }

    /// The name that last led here.
    pub(super) fn place(&self) -> Option<Place> {
        locked(&self.place).clone()
    }

    /// The name that last led here, where asking by it costs least: what it leads to is compared
    /// with this inode's identity, for which it takes a birth time.
    pub(super) fn short_way(&self) -> Option<Place> {
        let is_known = self.local && self.identity.born.is_some();
        self.place().filter(|place| is_known && place.parent.local)
    }

    /// Whether that is the name that last led here.
    pub(super) fn is_at(&self, parent: &Arc<Inode>, name: Name<'_>) -> bool {
        let place = locked(&self.place);
        place.as_ref().is_some_and(|p| Arc::ptr_eq(&p.parent, parent) && *p.name == *name.bytes())
    }

    /// Notes the name that led here.
    ///
    /// The root has none: seen again further down (a bind mount), it would hold itself for ever.
    pub(super) fn set_place(&self, parent: &Arc<Inode>, name: Name<'_>) {
        if self.cookie != ROOT && !self.is_at(parent, name) {
            let place = Place { parent: parent.clone(), name: name.bytes().into() };
            let _old = locked(&self.place).replace(place);
        }
    }

    /// That name leads here no more.
    pub(super) fn lose_place(&self, parent: &Arc<Inode>, name: Name<'_>) {
        if self.is_at(parent, name) {
            let _old = locked(&self.place).take();
        }
    }

    /// Whether it has a descriptor of its own.
    pub(super) fn has_descriptor(&self) -> bool {
        locked(&self.slot).is_some()
    }

    /// Whether a descriptor of ours keeps the file, and its number, from going.
    pub(super) fn is_held(&self) -> bool {
        self.has_descriptor() || self.opened().is_some()
    }

    /// The descriptor of an open of it, if there is one.
    pub(super) fn opened(&self) -> Option<Arc<OwnedFd>> {
        locked(&self.opened).upgrade()
    }

    /// Notes the descriptor of an open.
    pub(super) fn set_opened(&self, fd: &Arc<OwnedFd>) {
        *locked(&self.opened) = Arc::downgrade(fd);
    }
}

impl Drop for Inode {
    fn drop(&mut self) {
        if let Some(host) = self.home.upgrade() {
            host.inodes.retire(self, &host);
        }
        let slot = self.slot.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(Cached { place: Some(place), .. }) = slot.take() {
            DESCRIPTORS.leave(place);
        }
        // A chain of directories is let go one by one: it may be longer than the stack is deep.
        let mut next = take_parent(self);
        while let Some(mut inode) = next.and_then(Arc::into_inner) {
            next = take_parent(&mut inode);
        }
    }
}

fn take_parent(inode: &mut Inode) -> Option<Arc<Inode>> {
    let place = inode.place.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
    place.take().map(|place| place.parent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_longer_than_the_stack_is_let_go() {
        let identity = Identity { dev: 1, ino: 1, kind: Kind::Directory, born: None };
        let make = |place| Arc::new(Inode::new(Cookie(1), identity, Weak::new(), true, place));
        let mut last = make(None);
        for _ in 0..200_000 {
            last = make(Some(Place { parent: last, name: Box::from(*b"d") }));
        }
        drop(last);
    }

    #[test]
    fn files_are_told_apart_by_their_birth_where_it_is_known() {
        let born = NonZeroU64::new;
        let file = Identity { dev: 1, ino: 2, kind: Kind::Regular, born: born(1) };
        assert!(file.agrees(&file));
        assert!(file.agrees(&Identity { born: None, ..file }));
        assert!(!file.agrees(&Identity { born: born(2), ..file }));
        assert!(!file.agrees(&Identity { kind: Kind::Fifo, ..file }));
    }
}
