//! `Volume`: what all inodes of one `mem` share.

use super::inode::Inode;
use super::space::Space;
use filofs::{Cookie, Errno, FileHandle, LockTable, Result, locked};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};

pub(super) struct Volume {
    pub(super) space: Space,
    pub(super) locks: LockTable,
    /// Held while a name moves between directories, so that the tree above any directory stands
    /// still for whoever holds it (A6).
    pub(super) renames: Mutex<()>,
    /// Tells handles of this file system from those of another `mem`.
    instance: u64,
    next: AtomicU64,
    /// Every live inode by number, for handles.
    index: [Mutex<HashMap<u64, Weak<Inode>>>; Volume::SHARDS],
}

impl Volume {
    /// The inode number of the root.
    pub(super) const ROOT: u64 = 1;

    const SHARDS: usize = 64;
    const MAGIC: [u8; 4] = *b"mem\x01";

    pub(super) fn new(space: Space) -> Volume {
        Volume {
            space,
            locks: LockTable::new(),
            renames: Mutex::default(),
            instance: RandomState::new().hash_one(0),
            next: AtomicU64::new(Self::ROOT),
            index: std::array::from_fn(|_| Mutex::default()),
        }
    }

    /// A number that no inode of this volume has had: so a cookie needs no generation.
    pub(super) fn number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    pub(super) fn enter(&self, inode: &Arc<Inode>) {
        locked(self.shard(inode.ino)).insert(inode.ino, Arc::downgrade(inode));
    }

    pub(super) fn leave(&self, ino: u64) {
        locked(self.shard(ino)).remove(&ino);
    }

    /// The live inode of that number; ESTALE when there is none.
    pub(super) fn find(&self, cookie: Cookie) -> Result<Arc<Inode>> {
        let found = locked(self.shard(cookie.0)).get(&cookie.0).and_then(Weak::upgrade);
        found.ok_or(Errno::ESTALE)
    }

    /// 4 bytes that say what it is, 8 of the instance, 8 of the inode number.
    pub(super) fn handle(&self, inode: &Inode) -> Result<FileHandle> {
        let parts: [&[u8]; 3] =
            [&Self::MAGIC, &self.instance.to_le_bytes(), &inode.ino.to_le_bytes()];
        FileHandle::new(&parts.concat())
    }

    /// The inode of a handle. EINVAL for what is none; ESTALE for one of another instance, and
    /// when the file is gone or has no name any more.
    pub(super) fn resolve(&self, handle: &FileHandle) -> Result<Arc<Inode>> {
        let rest = handle.bytes().strip_prefix(&Self::MAGIC).ok_or(Errno::EINVAL)?;
        let (instance, ino) = rest.split_first_chunk::<8>().ok_or(Errno::EINVAL)?;
        let ino = <[u8; 8]>::try_from(ino).map_err(|_| Errno::EINVAL)?;
        if u64::from_le_bytes(*instance) != self.instance {
            return Err(Errno::ESTALE);
        }
        let inode = self.find(Cookie(u64::from_le_bytes(ino)))?;
        if inode.links() == 0 { Err(Errno::ESTALE) } else { Ok(inode) }
    }

    #[allow(clippy::indexing_slicing)] // the index is a remainder
    fn shard(&self, ino: u64) -> &Mutex<HashMap<u64, Weak<Inode>>> {
        &self.index[ino as usize % Self::SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use super::super::testfs::TestFs;
    use super::*;
    use filofs::FileSystem;

    #[test]
    fn tfilehandle() {
        // D.5 tfilehandle, tfhremove, tfhinval.
        let fs = TestFs::new();
        let node = fs.file("f", b"bytes");
        let handle = fs.mem.handle_of(&fs.cx, &node).unwrap();
        let found = fs.mem.node_of(&fs.cx, &handle).unwrap();
        assert_eq!(found.cookie, node.cookie());
        let node_of =
            |bytes: &[u8]| fs.mem.node_of(&fs.cx, &FileHandle::new(bytes).unwrap()).unwrap_err();
        let bytes = handle.bytes();
        for cut in 0..bytes.len() {
            assert_eq!(node_of(&bytes[..cut]), Errno::EINVAL, "{cut}");
        }
        assert_eq!(node_of(&[bytes, b"x"].concat()), Errno::EINVAL);
        assert_eq!(node_of(&[0xff; 128]), Errno::EINVAL);
        let mut other = bytes.to_vec();
        other[12] ^= 0x80;
        assert_eq!(node_of(&other), Errno::ESTALE, "no such inode");
        other[4] ^= 1;
        assert_eq!(node_of(&other), Errno::ESTALE, "another instance");
        drop(found);
        fs.unlink("f").unwrap();
        assert_eq!(node_of(bytes), Errno::ESTALE, "it has no name, though it is held");
        let recalled = fs.mem.recall(&fs.cx, node.cookie()).unwrap();
        assert_eq!(recalled.attr.nlink, 0);
        let cookie = node.cookie();
        drop((recalled, node));
        assert_eq!(fs.mem.recall(&fs.cx, cookie).unwrap_err(), Errno::ESTALE);
        fs.assert_empty();
    }

    #[test]
    fn a_directory_without_a_name_is_stale() {
        let fs = TestFs::new();
        let dir = fs.mkdir("d");
        let handle = fs.mem.handle_of(&fs.cx, &dir).unwrap();
        assert!(fs.mem.node_of(&fs.cx, &handle).is_ok());
        fs.rmdir("d").unwrap();
        assert_eq!(fs.mem.node_of(&fs.cx, &handle).unwrap_err(), Errno::ESTALE);
        let root = fs.mem.handle_of(&fs.cx, &fs.root()).unwrap();
        assert_eq!(fs.mem.node_of(&fs.cx, &root).unwrap().cookie, Cookie(Volume::ROOT));
    }
}
