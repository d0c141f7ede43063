//! The list.

mod access;
mod attributes;
mod data;
mod directories;
mod kernel;
mod links;
mod locks;
mod names;
mod readonly;
mod rename;
mod space;
mod walk;
mod xattrs;

use crate::{Check, Fd, Subject};
use filofs::{Device, Errno, Kind, OpenFlags, RenameFlags, SetTime, Time};
use filofs_front::local::{O_CREAT, Stat};
use std::time::Duration;

/// Every check of a file system that can be written.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        walk::CHECKS,
        names::CHECKS,
        directories::CHECKS,
        rename::CHECKS,
        links::CHECKS,
        attributes::CHECKS,
        access::CHECKS,
        data::CHECKS,
        space::CHECKS,
        xattrs::CHECKS,
        locks::CHECKS,
        kernel::CHECKS,
    ]
    .into_iter()
    .flatten()
}

pub use readonly::prepare;

/// Every check of a file system that cannot be written, in the tree that [`prepare`] made.
pub fn readonly() -> impl Iterator<Item = &'static Check> {
    readonly::CHECKS.iter()
}

/// A list of checks: sentence, source, needs, function.
macro_rules! checks {
    ($($name:literal, $source:literal, $needs:expr, |$subject:ident| $body:block)*) => {
        pub(super) const CHECKS: &[$crate::Check] = &[$($crate::Check {
            name: $name,
            source: $source,
            needs: $needs,
            run: |$subject| $body,
        }),*];
    };
}
use checks;

const RO: OpenFlags = OpenFlags::RDONLY;
const WO: OpenFlags = OpenFlags::WRONLY;
const RW: OpenFlags = OpenFlags::RDWR;
const MAKE: OpenFlags = OpenFlags(OpenFlags::RDWR.0 | O_CREAT.0);
const NEW: OpenFlags = OpenFlags(MAKE.0 | OpenFlags::EXCL.0);
const PLAIN: RenameFlags = RenameFlags::empty();

/// Makes a file of mode 644 and leaves it open for reading and writing.
fn create(s: &dyn Subject, name: &[u8]) -> Fd {
    s.open(name, NEW, 0o644).unwrap()
}

/// Makes an empty file of mode 644.
fn touch(s: &dyn Subject, name: &[u8]) {
    let fd = create(s, name);
    s.close(fd).unwrap();
}

/// Makes one file of each kind that mknod, mkdir and symlink make, and answers their names.
fn one_of_each(s: &dyn Subject) -> [(&'static [u8], Kind); 7] {
    let device = Device { major: 1, minor: 3 };
    touch(s, b"file");
    s.mkdir(b"directory", 0o755).unwrap();
    s.symlink(b"file", b"symlink").unwrap();
    s.mknod(b"fifo", Kind::Fifo, 0o644, Device::default()).unwrap();
    s.mknod(b"socket", Kind::Socket, 0o644, Device::default()).unwrap();
    s.mknod(b"char", Kind::CharDevice, 0o644, device).unwrap();
    s.mknod(b"block", Kind::BlockDevice, 0o644, device).unwrap();
    [
        (b"file", Kind::Regular),
        (b"directory", Kind::Directory),
        (b"symlink", Kind::Symlink),
        (b"fifo", Kind::Fifo),
        (b"socket", Kind::Socket),
        (b"char", Kind::CharDevice),
        (b"block", Kind::BlockDevice),
    ]
}

/// The names in a directory but `.` and `..`, sorted.
fn names(s: &dyn Subject, dir: &[u8]) -> Vec<Vec<u8>> {
    let mut names: Vec<_> = s.readdir(dir).unwrap().into_iter().map(|e| e.name).collect();
    names.retain(|name| name != b"." && name != b"..");
    names.sort();
    names
}

/// `lstat` says that there is nothing.
fn gone(s: &dyn Subject, name: &[u8]) {
    assert_eq!(s.lstat(name).err(), Some(Errno::ENOENT), "{}", name.escape_ascii());
}

#[allow(clippy::unnecessary_wraps)] // as the calls that set times take it
fn at(secs: i64) -> Option<SetTime> {
    Some(SetTime::At(Time::new(secs, 0)))
}

const NOW: Option<SetTime> = Some(SetTime::Now);

/// Lets the clock of the file system move on: ten of the ticks it counts in.
fn pause() {
    std::thread::sleep(Duration::from_millis(40));
}

/// What a stat says, but for what reading may change and for how long it is believed.
fn facts(stat: &Stat) -> (u64, u64, u32, u32, u32, u32, u64, Device, Time, Time) {
    let a = &stat.attr;
    let owner = (a.uid.0, a.gid.0);
    (stat.dev, a.ino, a.st_mode(), a.nlink, owner.0, owner.1, a.size, a.rdev, a.mtime, a.ctime)
}

/// Whether data, metadata times moved from one stat to the next: (mtime, ctime).
fn moved(before: &Stat, after: &Stat) -> (bool, bool) {
    (before.mtime != after.mtime, before.ctime < after.ctime)
}

/// Runs something, and answers whether the times of a file moved meanwhile: (mtime, ctime).
fn times_moved(s: &dyn Subject, path: &[u8], run: impl FnOnce()) -> (bool, bool) {
    let before = s.lstat(path).unwrap();
    pause();
    run();
    moved(&before, &s.lstat(path).unwrap())
}

/// Bytes that repeat only after long, different for each seed.
fn pattern(len: usize, seed: u32) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2_654_435_761) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as u8
    };
    (0..len).map(|_| next()).collect()
}
