//! `Inodes`: the live inodes of a mount by what they are, and the cookies of earlier ones.
//!
//! Lock order: a shard of `alive`, one of `cookies`, `memory`. No inode is dropped under them.

use super::cookies::{Cookies, Led};
use super::host::Host;
use super::inode::{Identity, Inode, Place};
use super::sys::HostHandle;
use filofs::{Cookie, Kind, Mix, Name, locked};
use std::collections::{HashMap, VecDeque};
use std::num::NonZeroU64;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Weak};

pub(super) struct Inodes {
    next: AtomicU64,
    alive: [Mutex<Shard>; SHARDS],
    cookies: Cookies,
    memory: Mutex<Memory>,
}

/// By device and inode number.
type Shard = HashMap<(u64, u64), Alive, Mix>;

/// An inode that lives, or is just going and not remembered yet.
struct Alive {
    inode: Weak<Inode>,
    cookie: Cookie,
    /// Of its identity, what its place does not say.
    born: Option<NonZeroU64>,
    kind: Kind,
}

const SHARDS: usize = 64;

impl Alive {
    /// Whether the file of its place is surely the one of that identity.
    fn is_surely(&self, identity: &Identity) -> bool {
        self.born.is_some() && (self.born, self.kind) == (identity.born, identity.kind)
    }

    /// Nobody holds it any more. (Where it lies tells nothing: a chain of inodes is moved out of
    /// its places to be dropped.)
    fn is_gone(&self) -> bool {
        self.inode.strong_count() == 0
    }
}

/// What a cookie leads to.
pub(super) enum Recalled {
    Alive(Arc<Inode>),
    Remembered(Box<Remembered>),
}

/// What is still known of an inode that was given back.
#[derive(Clone)]
pub(super) struct Remembered {
    pub(super) identity: Identity,
    pub(super) handle: (HostHandle, i32),
    turn: u64,
}

/// The last inodes that were given back, oldest forgotten first.
struct Memory {
    most: usize,
    turn: u64,
    known: HashMap<Cookie, Remembered, Mix>,
    keys: HashMap<(u64, u64), Cookie, Mix>,
    order: VecDeque<(u64, Cookie)>,
}

impl Inodes {
    /// The root's cookie is 1, given as a wish; others count from 2 and never come again.
    pub(super) fn new(remember: usize) -> Inodes {
        let mix = Mix::default();
        let memory = Memory {
            most: remember,
            turn: 0,
            known: HashMap::with_hasher(mix.clone()),
            keys: HashMap::with_hasher(mix.clone()),
            order: VecDeque::new(),
        };
        Inodes {
            next: AtomicU64::new(2),
            alive: std::array::from_fn(|_| Mutex::new(HashMap::with_hasher(mix.clone()))),
            cookies: Cookies::new(),
            memory: Mutex::new(memory),
        }
    }

    /// The live inode of that identity, or a new one; and whether it is new. A new one gets the
    /// cookie `wish`, or the one it had when it was last alive, or the next. It is found again by
    /// `place` or `handle`.
    pub(super) fn meet(
        &self,
        identity: Identity,
        wish: Option<Cookie>,
        home: &Weak<Host>,
        local: bool,
        place: Option<(&Arc<Inode>, Name<'_>)>,
        handle: Option<(HostHandle, i32)>,
    ) -> (Arc<Inode>, bool) {
        let known; // dropped after the shard is unlocked
        let mut alive = self.shard(identity.key());
        let found = alive.get(&identity.key());
        known = found.and_then(|alive| alive.inode.upgrade());
        if let Some(inode) = &known
            && (inode.identity.agrees(&identity) || inode.is_held())
        {
            // A file that is held by a descriptor keeps its number to itself.
            return (inode.clone(), false);
        }
        let going = found.filter(|alive| known.is_none() && alive.is_surely(&identity));
        let cookie = wish
            .or_else(|| going.map(|alive| alive.cookie))
            .or_else(|| locked(&self.memory).cookie_of(&identity))
            .unwrap_or_else(|| Cookie(self.next.fetch_add(1, Ordering::Relaxed)));
        let place =
            place.map(|(parent, name)| Place { parent: parent.clone(), name: name.bytes().into() });
        let inode = Arc::new(Inode::new(cookie, identity, home.clone(), local, place));
        // From now on others find it, before it has a descriptor.
        if handle.is_some() {
            let _ = inode.handle.set(handle.map(Box::new));
        }
        let Identity { born, kind, .. } = identity;
        alive.insert(identity.key(), Alive { inode: Arc::downgrade(&inode), cookie, born, kind });
        // In this order the cookie leads somewhere all the time.
        self.cookies.insert(cookie, &inode);
        locked(&self.memory).take(cookie);
        drop(alive);
        (inode, true)
    }

    /// The live inode of that identity, if there is one.
    pub(super) fn find(&self, identity: &Identity) -> Option<Arc<Inode>> {
        let inode = self.at(identity.key())?;
        inode.identity.agrees(identity).then_some(inode)
    }

    /// The live inode of a device and number, whatever file that is now.
    pub(super) fn at(&self, key: (u64, u64)) -> Option<Arc<Inode>> {
        self.shard(key).get(&key)?.inode.upgrade()
    }

    /// What is known of a cookie: its live inode, or what is remembered of it.
    pub(super) fn recall(&self, cookie: Cookie) -> Option<Recalled> {
        /// How often to look for what is about to be remembered.
        const LOOKS: u32 = 100_000;
        for _ in 0..LOOKS {
            // Under the lock: what is not here is there.
            let remembered = || locked(&self.memory).known.get(&cookie).cloned();
            match self.cookies.find(cookie, remembered) {
                (Led::To(inode), _) => return Some(Recalled::Alive(inode)),
                (_, Some(Some(remembered))) => {
                    return Some(Recalled::Remembered(Box::new(remembered)));
                }
                (Led::Nowhere, _) => return None,
                (Led::ToGone, _) => {}
            }
            // Whoever drops it is about to remember it, which takes two system calls at most.
            std::thread::yield_now();
        }
        None
    }

    /// The inode is going: takes it out and remembers it.
    pub(super) fn retire(&self, inode: &Inode, host: &Host) {
        // What has lost its last name is not to be found again: no need to ask for its handle.
        let remembers = !inode.orphan.load(Ordering::Relaxed) && locked(&self.memory).most > 0;
        let handle = if remembers { host.last_handle(inode) } else { None };
        let key = inode.identity.key();
        let mut alive = self.shard(key);
        match alive.get(&key) {
            Some(other) if other.cookie != inode.cookie => {} // another file has its number
            Some(again) if !again.is_gone() => return,
            _ => {
                alive.remove(&key);
                if let Some(handle) = handle {
                    locked(&self.memory).put(inode.cookie, inode.identity, handle);
                }
            }
        }
        // Last, so that the cookie leads somewhere all the time.
        self.cookies.remove(inode.cookie);
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn shard(&self, key: (u64, u64)) -> MutexGuard<'_, Shard> {
        let mixed = (key.0 ^ key.1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58;
        locked(&self.alive[mixed as usize % SHARDS])
    }
}

impl Memory {
    /// The cookie that a file had, if it is surely the same file: then it is its cookie again.
    fn cookie_of(&self, identity: &Identity) -> Option<Cookie> {
        let cookie = *self.keys.get(&identity.key())?;
        let same = self.known.get(&cookie).is_some_and(|r| r.identity.is_surely(identity));
        same.then_some(cookie)
    }

    /// What had that cookie lives again.
    fn take(&mut self, cookie: Cookie) {
        if let Some(old) = self.known.remove(&cookie)
            && self.keys.get(&old.identity.key()) == Some(&cookie)
        {
            self.keys.remove(&old.identity.key());
        }
    }

    fn put(&mut self, cookie: Cookie, identity: Identity, handle: (HostHandle, i32)) {
        self.turn += 1;
        let turn = self.turn;
        self.known.insert(cookie, Remembered { identity, handle, turn });
        self.keys.insert(identity.key(), cookie);
        self.order.push_back((turn, cookie));
        while self.known.len() > self.most || self.order.len() > 2 * self.most {
            let Some((turn, cookie)) = self.order.pop_front() else { return };
            if self.known.get(&cookie).is_some_and(|r| r.turn == turn) {
                self.take(cookie);
            }
        }
    }
}
