//! What a server tells of nodes, checked: bytes of the wire become what the operations answer, or
//! a text that says what is wrong with them.

use filofs::{Attr, Device, Gid, Kind, OpenedFlags, Statfs, Time, Uid};
use filofs_front::nouns::decode_device;
use filofs_wire::abi::{self, OpenOutFlags};
use std::time::Duration;

/// What is wrong with an answer, in a few words.
pub(super) type Wrong = &'static str;

/// Attributes that a file can have.
pub(super) fn attributes(attr: &abi::Attr, ttl: Duration) -> Result<Attr, Wrong> {
    let kind = Kind::from_mode(attr.mode).ok_or("a kind of file that is none")?;
    let time = |secs: u64, nanos| Ok(Time { secs: secs as i64, nanos: nanoseconds(nanos)? });
    Ok(Attr {
        ino: attr.ino,
        kind,
        mode: attr.mode & 0o7777,
        nlink: attr.nlink,
        uid: Uid(attr.uid),
        gid: Gid(attr.gid),
        size: size(attr.size)?,
        blocks: attr.blocks,
        blksize: block_size(attr.blksize),
        rdev: decode_device(attr.rdev),
        atime: time(attr.atime, attr.atimensec)?,
        mtime: time(attr.mtime, attr.mtimensec)?,
        ctime: time(attr.ctime, attr.ctimensec)?,
        btime: None,
        ttl,
    })
}

/// The same in statx(2)'s form, with the time of birth.
pub(super) fn statx(out: &abi::StatxOut) -> Result<Attr, Wrong> {
    let stat = &out.stat;
    let kind = Kind::from_mode(u32::from(stat.mode)).ok_or("a kind of file that is none")?;
    let time =
        |time: abi::SxTime| Ok(Time { secs: time.tv_sec, nanos: nanoseconds(time.tv_nsec)? });
    let btime = (stat.mask & abi::Statx::BTIME != 0).then_some(stat.btime);
    Ok(Attr {
        ino: stat.ino,
        kind,
        mode: u32::from(stat.mode) & 0o7777,
        nlink: stat.nlink,
        uid: Uid(stat.uid),
        gid: Gid(stat.gid),
        size: size(stat.size)?,
        blocks: stat.blocks,
        blksize: block_size(stat.blksize),
        rdev: Device { major: stat.rdev_major, minor: stat.rdev_minor },
        atime: time(stat.atime)?,
        mtime: time(stat.mtime)?,
        ctime: time(stat.ctime)?,
        btime: btime.map(time).transpose()?,
        ttl: lifetime(out.attr_valid, out.attr_valid_nsec)?,
    })
}

/// How long something may be believed. Longer than an age is an age, so that it can be added to
/// any time.
pub(super) fn lifetime(secs: u64, nanos: u32) -> Result<Duration, Wrong> {
    const AGE: u64 = i32::MAX as u64;
    Ok(Duration::new(secs.min(AGE), nanoseconds(nanos)?))
}

/// Of the attributes in an answer for a name.
pub(super) fn entry_attributes(entry: &abi::EntryOut) -> Result<Attr, Wrong> {
    attributes(&entry.attr, lifetime(entry.attr_valid, entry.attr_valid_nsec)?)
}

/// What an open says about caching.
pub(super) fn opened(flags: OpenOutFlags) -> OpenedFlags {
    let mut opened = OpenedFlags::empty();
    opened.set(OpenedFlags::DIRECT, flags.contains(OpenOutFlags::DIRECT_IO));
    opened.set(OpenedFlags::KEEP_CACHE, flags.contains(OpenOutFlags::KEEP_CACHE));
    opened.set(OpenedFlags::CACHE_DIR, flags.contains(OpenOutFlags::CACHE_DIR));
    opened.set(OpenedFlags::NO_FLUSH, flags.contains(OpenOutFlags::NOFLUSH));
    let stream = OpenOutFlags::NONSEEKABLE | OpenOutFlags::STREAM;
    opened.set(OpenedFlags::NONSEEKABLE, flags.intersects(stream));
    opened
}

/// The numbers of a file system.
pub(super) fn statfs(st: &abi::Kstatfs) -> Statfs {
    Statfs {
        blocks: st.blocks,
        bfree: st.bfree.min(st.blocks),
        bavail: st.bavail.min(st.blocks),
        files: st.files,
        ffree: st.ffree.min(st.files),
        bsize: block_size(st.bsize),
        frsize: if st.frsize == 0 { block_size(st.bsize) } else { st.frsize },
        namelen: st.namelen,
    }
}

const fn nanoseconds(nanos: u32) -> Result<u32, Wrong> {
    if nanos < 1_000_000_000 { Ok(nanos) } else { Err("more nanoseconds than a second has") }
}

const fn size(size: u64) -> Result<u64, Wrong> {
    if size <= i64::MAX as u64 { Ok(size) } else { Err("a size that no file has") }
}

/// Servers leave it 0 to say nothing.
const fn block_size(size: u32) -> u32 {
    if size == 0 { 4096 } else { size }
}
