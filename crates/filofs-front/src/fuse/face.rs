//! `Face`: how nodes and attributes look on the wire.

use super::FuseOptions;
use crate::nouns::encode_device;
use filofs::{
    Attr, Cookie, Entry, Errno, Kind, Name, OpenFlags, OpenedFlags, Profile, Result, Statfs, Time,
};
use filofs_wire::abi::{self, OpenOutFlags};
use std::time::Duration;

/// Turns what operations answer into what the kernel is told.
///
/// # Node ids
///
/// A node's id toward the kernel is its cookie, with one exchange: the kernel calls the root 1,
/// so the root's cookie and 1 are swapped. Swapping twice is nothing, so the same function goes
/// both ways, no two nodes share an id, and no table is needed (a successor process needs none
/// either). 0 is neither a cookie nor an id.
#[derive(Debug)]
pub(super) struct Face {
    root: Cookie,
    negative_ttl: Duration,
    entry_ttl: Option<Duration>,
    attr_ttl: Option<Duration>,
    uid: Option<u32>,
    gid: Option<u32>,
    /// Of directories and of others: show as permission bits those that this mask lacks.
    masks: [Option<u32>; 2],
    /// What every open answers beside what the file system says.
    open: OpenOutFlags,
    noatime: bool,
}

impl Face {
    pub(super) fn new(root: Cookie, profile: &Profile, options: &FuseOptions) -> Face {
        let mut open = OpenOutFlags::empty();
        open.set(OpenOutFlags::DIRECT_IO, options.direct_io);
        open.set(OpenOutFlags::KEEP_CACHE, options.kernel_cache && !options.direct_io);
        Face {
            root,
            negative_ttl: options.negative_timeout.unwrap_or(profile.negative_ttl),
            entry_ttl: options.entry_timeout,
            attr_ttl: options.attr_timeout,
            uid: options.uid,
            gid: options.gid,
            masks: [options.dmask.or(options.umask), options.fmask.or(options.umask)],
            open,
            noatime: options.noatime,
        }
    }

    /// The flags to open with. The kernel leaves access times to the file system, whatever the
    /// mount says: so does what reads there.
    pub(super) fn quiet(&self, flags: OpenFlags) -> OpenFlags {
        if self.noatime { flags.with(OpenFlags::NOATIME) } else { flags }
    }

    /// The node id of a cookie, and the cookie of a node id.
    pub(super) fn swap(&self, id: u64) -> u64 {
        if id == abi::ROOT_ID {
            self.root.0
        } else if id == self.root.0 {
            abi::ROOT_ID
        } else {
            id
        }
    }

    /// The cookie of a node id.
    pub(super) fn cookie(&self, id: u64) -> Cookie {
        Cookie(self.swap(id))
    }

    /// A name that leads to a node. EPROTO for attributes that no file has.
    pub(super) fn entry(&self, entry: &Entry) -> Result<abi::EntryOut> {
        let (entry_valid, entry_valid_nsec) = valid(self.entry_ttl.unwrap_or(entry.ttl));
        let (attr_valid, attr_valid_nsec) = valid(self.attr_ttl.unwrap_or(entry.attr.ttl));
        let nodeid = self.swap(entry.cookie.0);
        // The kernel wants no generation of the root.
        let generation = if nodeid == abi::ROOT_ID { 0 } else { entry.generation.0 };
        let attr = self.attributes(&entry.attr)?;
        Ok(abi::EntryOut {
            nodeid,
            generation,
            entry_valid,
            attr_valid,
            entry_valid_nsec,
            attr_valid_nsec,
            attr,
        })
    }

    /// How long a name that was not found may be believed absent.
    pub(super) const fn negative_ttl(&self) -> Duration {
        self.negative_ttl
    }

    /// "There is no such name, and you may believe it for a while." `None` if it may not.
    pub(super) fn absent(&self) -> Option<abi::EntryOut> {
        let (entry_valid, entry_valid_nsec) = valid(self.negative_ttl);
        let entry = abi::EntryOut { entry_valid, entry_valid_nsec, ..abi::EntryOut::default() };
        (self.negative_ttl > Duration::ZERO).then_some(entry)
    }

    /// What GETATTR and SETATTR answer of a node of that kind. EPROTO for attributes that no file
    /// has, or another kind: the kernel would give up the whole node.
    pub(super) fn attr(&self, kind: Kind, attr: &Attr) -> Result<abi::AttrOut> {
        if attr.kind != kind {
            return Err(Errno::EPROTO);
        }
        let (attr_valid, attr_valid_nsec) = valid(self.attr_ttl.unwrap_or(attr.ttl));
        Ok(abi::AttrOut { attr_valid, attr_valid_nsec, padding: 0, attr: self.attributes(attr)? })
    }

    /// The same in statx(2)'s form, with the time of birth if there is one.
    pub(super) fn statx(&self, kind: Kind, attr: &Attr) -> Result<abi::StatxOut> {
        let out = self.attr(kind, attr)?;
        let stat = abi::Statx {
            mask: abi::Statx::BASIC_STATS
                | if attr.btime.is_some() { abi::Statx::BTIME } else { 0 },
            blksize: out.attr.blksize,
            nlink: out.attr.nlink,
            uid: out.attr.uid,
            gid: out.attr.gid,
            mode: out.attr.mode as u16,
            ino: out.attr.ino,
            size: out.attr.size,
            blocks: out.attr.blocks,
            atime: sx_time(attr.atime),
            btime: attr.btime.map(sx_time).unwrap_or_default(),
            ctime: sx_time(attr.ctime),
            mtime: sx_time(attr.mtime),
            rdev_major: attr.rdev.major,
            rdev_minor: attr.rdev.minor,
            ..abi::Statx::default()
        };
        let (attr_valid, attr_valid_nsec) = (out.attr_valid, out.attr_valid_nsec);
        Ok(abi::StatxOut { attr_valid, attr_valid_nsec, flags: 0, spare: [0; 2], stat })
    }

    /// What an open answers about caching.
    pub(super) fn opened(&self, kind: Kind, said: OpenedFlags) -> OpenOutFlags {
        let mut flags = OpenOutFlags::empty();
        flags.set(OpenOutFlags::KEEP_CACHE, said.contains(OpenedFlags::KEEP_CACHE));
        if kind == Kind::Directory {
            flags.set(OpenOutFlags::CACHE_DIR, said.contains(OpenedFlags::CACHE_DIR));
            return flags;
        }
        flags |= self.open;
        flags.set(OpenOutFlags::NONSEEKABLE, said.contains(OpenedFlags::NONSEEKABLE));
        flags.set(OpenOutFlags::NOFLUSH, said.contains(OpenedFlags::NO_FLUSH));
        if said.contains(OpenedFlags::DIRECT) {
            flags |= OpenOutFlags::DIRECT_IO;
        }
        if flags.contains(OpenOutFlags::DIRECT_IO) {
            flags -= OpenOutFlags::KEEP_CACHE;
        }
        flags
    }

    fn attributes(&self, attr: &Attr) -> Result<abi::Attr> {
        // Linux answers EIO for more, which would hide whose fault it is.
        if attr.size > i64::MAX as u64 {
            return Err(Errno::EPROTO);
        }
        let [of_directories, of_others] = self.masks;
        let mask = if attr.kind == Kind::Directory { of_directories } else { of_others };
        let mode = match mask {
            Some(mask) => attr.kind.mode_bits() | (0o777 & !mask),
            None => attr.st_mode(),
        };
        Ok(abi::Attr {
            ino: attr.ino,
            size: attr.size,
            blocks: attr.blocks,
            atime: attr.atime.secs as u64,
            mtime: attr.mtime.secs as u64,
            ctime: attr.ctime.secs as u64,
            atimensec: attr.atime.nanos,
            mtimensec: attr.mtime.nanos,
            ctimensec: attr.ctime.nanos,
            mode,
            nlink: attr.nlink,
            uid: self.uid.unwrap_or(attr.uid.0),
            gid: self.gid.unwrap_or(attr.gid.0),
            rdev: encode_device(attr.rdev),
            blksize: attr.blksize,
            flags: abi::AttrFlags::empty(),
        })
    }
}

/// The numbers of statfs.
pub(super) fn numbers(said: &Statfs) -> abi::Kstatfs {
    // Programs divide by these, and cut names at this.
    let or = |number: u32, otherwise: u32| if number == 0 { otherwise } else { number };
    abi::Kstatfs {
        blocks: said.blocks,
        bfree: said.bfree,
        bavail: said.bavail,
        files: said.files,
        ffree: said.ffree,
        bsize: or(said.bsize, 4096),
        namelen: or(said.namelen, Name::MAX as u32),
        frsize: or(said.frsize, 4096),
        ..abi::Kstatfs::default()
    }
}

fn valid(ttl: Duration) -> (u64, u32) {
    (ttl.as_secs(), ttl.subsec_nanos())
}

fn sx_time(time: Time) -> abi::SxTime {
    abi::SxTime { tv_sec: time.secs, tv_nsec: time.nanos, reserved: 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn face(root: u64, options: &FuseOptions) -> Face {
        Face::new(Cookie(root), &Profile::default(), options)
    }

    #[test]
    fn node_ids_and_cookies_are_a_bijection() {
        for root in [1, 2, 77, u64::MAX] {
            let face = face(root, &FuseOptions::default());
            assert_eq!(face.swap(root), 1);
            assert_eq!(face.cookie(1), Cookie(root));
            for id in [1, 2, 3, 77, root, u64::MAX - 1, u64::MAX] {
                assert_eq!(face.swap(face.swap(id)), id, "root {root}, id {id}");
            }
        }
    }

    #[test]
    fn attributes_no_file_has_are_eproto() {
        let face = face(1, &FuseOptions::default());
        let mut attr = Attr::new(5, Kind::Regular);
        attr.size = i64::MAX as u64;
        assert!(face.attr(Kind::Regular, &attr).is_ok());
        assert_eq!(face.attr(Kind::Directory, &attr).unwrap_err(), Errno::EPROTO);
        attr.size += 1;
        assert_eq!(face.attr(Kind::Regular, &attr).unwrap_err(), Errno::EPROTO);
    }

    #[test]
    fn shown_owner_and_masks() {
        let options = FuseOptions {
            uid: Some(7),
            umask: Some(0o022),
            fmask: Some(0o133),
            ..FuseOptions::default()
        };
        let face = face(1, &options);
        let mut attr = Attr::new(5, Kind::Regular);
        attr.mode = 0o4700;
        let file = face.attr(Kind::Regular, &attr).unwrap().attr;
        assert_eq!((file.mode, file.uid, file.gid), (0o100_644, 7, 0));
        attr.kind = Kind::Directory;
        let dir = face.attr(Kind::Directory, &attr).unwrap().attr;
        assert_eq!(dir.mode, 0o040_755);
    }

    #[test]
    fn an_absent_name_is_told_only_if_it_may_be_believed() {
        assert_eq!(face(1, &FuseOptions::default()).absent(), None);
        let options = FuseOptions {
            negative_timeout: Some(Duration::from_millis(1500)),
            ..FuseOptions::default()
        };
        let absent = face(1, &options).absent().unwrap();
        assert_eq!(
            (absent.nodeid, absent.entry_valid, absent.entry_valid_nsec),
            (0, 1, 500_000_000)
        );
    }
}
