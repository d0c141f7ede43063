//! `Cookies`: the live inodes of a mount by their cookies.
//!
//! Cookies are given out one after the other, and files that are met together are asked for
//! together: so they lie in pages, each a short run of cookies, and only pages are hashed.

use super::inode::Inode;
use filofs::{Cookie, Mix, locked};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

pub(super) struct Cookies {
    shards: [Mutex<Shard>; SHARDS],
}

type Shard = HashMap<u64, Box<Page>, Mix>;

const SHARDS: usize = 64;

/// Cookies of a page.
const RUN: u64 = 64;

struct Page {
    taken: u32,
    inodes: [Option<Weak<Inode>>; RUN as usize],
}

/// What a cookie leads to.
pub(super) enum Led {
    /// An inode that lives.
    To(Arc<Inode>),
    /// One that is just going.
    ToGone,
    Nowhere,
}

impl Cookies {
    pub(super) fn new() -> Cookies {
        let mix = Mix::default();
        let shard = |_| Mutex::new(HashMap::with_hasher(mix.clone()));
        Cookies { shards: std::array::from_fn(shard) }
    }

    /// From now on a cookie leads to an inode.
    pub(super) fn insert(&self, cookie: Cookie, inode: &Arc<Inode>) {
        let mut shard = locked(self.shard(cookie));
        let page = shard.entry(cookie.0 / RUN).or_insert_with(Page::empty);
        if page.place(cookie).replace(Arc::downgrade(inode)).is_none() {
            page.taken += 1;
        }
    }

    /// A cookie leads nowhere any more.
    pub(super) fn remove(&self, cookie: Cookie) {
        let mut shard = locked(self.shard(cookie));
        let Some(page) = shard.get_mut(&(cookie.0 / RUN)) else { return };
        if page.place(cookie).take().is_some() {
            page.taken -= 1;
        }
        if page.taken == 0 {
            shard.remove(&(cookie.0 / RUN));
            // Millions may have come and gone, and their places are memory.
            if shard.capacity() > PLACES_KEPT && shard.len() < shard.capacity() / 8 {
                let places = 2 * shard.len();
                shard.shrink_to(places);
            }
        }
    }

    /// What a cookie leads to. Where it leads to nothing that lives, `otherwise` is done before
    /// that can change.
    pub(super) fn find<T>(
        &self,
        cookie: Cookie,
        otherwise: impl FnOnce() -> T,
    ) -> (Led, Option<T>) {
        let shard = locked(self.shard(cookie));
        let found = shard.get(&(cookie.0 / RUN)).and_then(|page| page.inode(cookie));
        match found.map(Weak::upgrade) {
            Some(Some(inode)) => (Led::To(inode), None),
            Some(None) => (Led::ToGone, Some(otherwise())),
            None => (Led::Nowhere, Some(otherwise())),
        }
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn shard(&self, cookie: Cookie) -> &Mutex<Shard> {
        &self.shards[(cookie.0 / RUN) as usize % SHARDS]
    }
}

/// Places in a shard that are kept, however few are taken.
const PLACES_KEPT: usize = 64;

impl Page {
    fn empty() -> Box<Page> {
        Box::new(Page { taken: 0, inodes: [const { None }; RUN as usize] })
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn place(&mut self, cookie: Cookie) -> &mut Option<Weak<Inode>> {
        &mut self.inodes[(cookie.0 % RUN) as usize]
    }

    #[allow(clippy::indexing_slicing)] // the same
    fn inode(&self, cookie: Cookie) -> Option<&Weak<Inode>> {
        self.inodes[(cookie.0 % RUN) as usize].as_ref()
    }
}

#[cfg(test)]
mod tests {
    use super::super::inode::Identity;
    use super::*;
    use filofs::Kind;

    fn inode(cookie: u64) -> Arc<Inode> {
        let identity = Identity { dev: 1, ino: cookie, kind: Kind::Regular, born: None };
        Arc::new(Inode::new(Cookie(cookie), identity, Weak::new(), true, None))
    }

    #[test]
    fn each_cookie_leads_to_its_own() {
        let cookies = Cookies::new();
        let numbers = || (1..200).chain([u64::MAX - 1, u64::MAX]);
        let inodes: Vec<_> = numbers().map(inode).collect();
        for inode in &inodes {
            cookies.insert(inode.cookie, inode);
        }
        for inode in &inodes {
            let (Led::To(found), None) = cookies.find(inode.cookie, || ()) else { panic!() };
            assert!(Arc::ptr_eq(&found, inode));
        }
        assert!(matches!(cookies.find(Cookie(200), || 7), (Led::Nowhere, Some(7))));
        drop(inodes);
        for number in numbers() {
            assert!(matches!(cookies.find(Cookie(number), || 7), (Led::ToGone, Some(7))));
            cookies.remove(Cookie(number));
            cookies.remove(Cookie(number)); // and no other with it
            assert!(matches!(cookies.find(Cookie(number), || 7), (Led::Nowhere, Some(7))));
        }
        assert!(cookies.shards.iter().all(|shard| locked(shard).is_empty()));
    }

    #[test]
    fn a_cookie_that_comes_again_is_counted_once() {
        let cookies = Cookies::new();
        let (first, again) = (inode(5), inode(5));
        cookies.insert(Cookie(5), &first);
        cookies.insert(Cookie(5), &again);
        let (Led::To(found), _) = cookies.find(Cookie(5), || ()) else { panic!() };
        assert!(Arc::ptr_eq(&found, &again));
        cookies.remove(Cookie(5));
        assert!(cookies.shards.iter().all(|shard| locked(shard).is_empty()));
    }

    #[test]
    fn pages_that_are_gone_are_given_back() {
        let cookies = Cookies::new();
        let some = inode(1);
        let many = 40 * (SHARDS * PLACES_KEPT) as u64;
        (0..many).for_each(|page| cookies.insert(Cookie(page * RUN), &some));
        (0..many).for_each(|page| cookies.remove(Cookie(page * RUN)));
        let places = cookies.shards.iter().map(|shard| locked(shard).capacity()).sum::<usize>();
        assert!(places <= 4 * SHARDS * PLACES_KEPT, "{places}");
    }
}
