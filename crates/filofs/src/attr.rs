//! `Attr`: what stat says of a file, and `SetAttr`: what a caller wants changed.

use crate::{Gid, Uid};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What kind of file a node is. It never changes while the node lives.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Kind {
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A symbolic link.
    Symlink,
    /// A named pipe, fifo(7).
    Fifo,
    /// A Unix socket's name, unix(7).
    Socket,
    /// A character device.
    CharDevice,
    /// A block device.
    BlockDevice,
}

impl Kind {
    /// The S_IFMT bits of st_mode, inode(7).
    pub const fn mode_bits(self) -> u32 {
        match self {
            Kind::Fifo => 0o010_000,
            Kind::CharDevice => 0o020_000,
            Kind::Directory => 0o040_000,
            Kind::BlockDevice => 0o060_000,
            Kind::Regular => 0o100_000,
            Kind::Symlink => 0o120_000,
            Kind::Socket => 0o140_000,
        }
    }

    /// The kind that the S_IFMT bits of a mode say, or `None` for bits that mean nothing.
    pub const fn from_mode(mode: u32) -> Option<Kind> {
        Some(match mode & 0o170_000 {
            0o010_000 => Kind::Fifo,
            0o020_000 => Kind::CharDevice,
            0o040_000 => Kind::Directory,
            0o060_000 => Kind::BlockDevice,
            0o100_000 => Kind::Regular,
            0o120_000 => Kind::Symlink,
            0o140_000 => Kind::Socket,
            _ => return None,
        })
    }

    /// The d_type of a directory entry, getdents(2).
    pub const fn dirent_type(self) -> u8 {
        (self.mode_bits() >> 12) as u8
    }

    /// A fifo, socket or device: a file whose content is not kept by the file system.
    pub const fn is_special(self) -> bool {
        matches!(self, Kind::Fifo | Kind::Socket | Kind::CharDevice | Kind::BlockDevice)
    }
}

/// A point in time: seconds since 1970 (may be negative) and nanoseconds, 0..=999_999_999.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub struct Time {
    /// Whole seconds, rounded toward the past.
    pub secs: i64,
    /// Nanoseconds after `secs`.
    pub nanos: u32,
}

impl Time {
    /// That many seconds and nanoseconds; nanoseconds beyond a second are cut to 999_999_999.
    pub const fn new(secs: i64, nanos: u32) -> Time {
        Time { secs, nanos: if nanos > 999_999_999 { 999_999_999 } else { nanos } }
    }

    /// The clock on the wall (CLOCK_REALTIME).
    pub fn now() -> Time {
        SystemTime::now().into()
    }
}

impl From<SystemTime> for Time {
    fn from(time: SystemTime) -> Time {
        match time.duration_since(UNIX_EPOCH) {
            Ok(after) => Time::new(after.as_secs() as i64, after.subsec_nanos()),
            Err(before) => {
                let before = before.duration();
                match before.subsec_nanos() {
                    0 => Time::new(-(before.as_secs() as i64), 0),
                    n => Time::new(-(before.as_secs() as i64) - 1, 1_000_000_000 - n),
                }
            }
        }
    }
}

/// A device number, split as makedev(3) does.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Device {
    /// The driver.
    pub major: u32,
    /// Which of the driver's devices.
    pub minor: u32,
}

/// The attributes of a file: stat(2), with the birth time of statx(2).
///
/// There is no device of the file system in here: a mount has one identity, and the front end
/// adds it (B14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attr {
    /// The inode number shown to programs. One number for all hard links of a file.
    pub ino: u64,
    /// What kind of file.
    pub kind: Kind,
    /// Permission, set-id and sticky bits, 0..=0o7777.
    pub mode: u32,
    /// Number of names.
    pub nlink: u32,
    /// Owner.
    pub uid: Uid,
    /// Group.
    pub gid: Gid,
    /// Size in bytes, at most i64::MAX.
    pub size: u64,
    /// Storage used, in units of 512 bytes.
    pub blocks: u64,
    /// The size of request that suits the file system, in bytes.
    pub blksize: u32,
    /// Which device a device node names.
    pub rdev: Device,
    /// Last read.
    pub atime: Time,
    /// Last change of the content.
    pub mtime: Time,
    /// Last change of content or attributes.
    pub ctime: Time,
    /// Creation, where the file system knows it.
    pub btime: Option<Time>,
    /// How long whoever asked may believe this without asking again.
    pub ttl: Duration,
}

impl Attr {
    /// A file of that number and kind with everything else at its plainest: mode 0, one name,
    /// root's, empty, the beginning of time, believed for one second.
    pub const fn new(ino: u64, kind: Kind) -> Attr {
        const ZERO: Time = Time { secs: 0, nanos: 0 };
        Attr {
            ino,
            kind,
            mode: 0,
            nlink: 1,
            uid: Uid::ROOT,
            gid: Gid::ROOT,
            size: 0,
            blocks: 0,
            blksize: 4096,
            rdev: Device { major: 0, minor: 0 },
            atime: ZERO,
            mtime: ZERO,
            ctime: ZERO,
            btime: None,
            ttl: Duration::from_secs(1),
        }
    }

    /// A directory that everybody may read (mode 0755), else as [`Attr::new`].
    pub const fn directory(ino: u64) -> Attr {
        Attr { mode: 0o755, nlink: 2, ..Attr::new(ino, Kind::Directory) }
    }

    /// A regular file of that size that everybody may read (mode 0644), else as [`Attr::new`].
    pub const fn regular(ino: u64, size: u64) -> Attr {
        let blocks = size.div_ceil(512);
        Attr { mode: 0o644, size, blocks, ..Attr::new(ino, Kind::Regular) }
    }

    /// st_mode: kind and permission bits together.
    pub const fn st_mode(&self) -> u32 {
        self.kind.mode_bits() | (self.mode & 0o7777)
    }
}

/// A time to set, utimensat(2).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SetTime {
    /// The file system's own clock, at the moment it acts (UTIME_NOW).
    Now,
    /// This time.
    At(Time),
}

/// Which attributes to change. What is `None` stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct SetAttr {
    /// Permission, set-id and sticky bits.
    pub mode: Option<u32>,
    /// Owner.
    pub uid: Option<Uid>,
    /// Group.
    pub gid: Option<Gid>,
    /// Size in bytes: cut, or extend with zeroes.
    pub size: Option<u64>,
    /// Last read.
    pub atime: Option<SetTime>,
    /// Last change of the content.
    pub mtime: Option<SetTime>,
    /// Last change of the attributes; only a caller that caches writes may say it. Otherwise any
    /// change sets it to now.
    pub ctime: Option<Time>,
    /// The caller may not keep set-id bits and file capabilities: clear them with the change of
    /// size or owner (the rules of chown(2) and truncate(2) for a caller without CAP_FSETID).
    pub kill_priv: bool,
}

impl SetAttr {
    /// Asks for nothing.
    pub const fn is_empty(&self) -> bool {
        self.mode.is_none()
            && self.uid.is_none()
            && self.gid.is_none()
            && self.size.is_none()
            && self.atime.is_none()
            && self.mtime.is_none()
            && self.ctime.is_none()
            && !self.kill_priv
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_mode_bits_agree() {
        for kind in [
            Kind::Regular,
            Kind::Directory,
            Kind::Symlink,
            Kind::Fifo,
            Kind::Socket,
            Kind::CharDevice,
            Kind::BlockDevice,
        ] {
            assert_eq!(Kind::from_mode(kind.mode_bits() | 0o644), Some(kind));
        }
        assert_eq!(Kind::from_mode(0o644), None);
        assert_eq!(Kind::Directory.dirent_type(), 4);
    }

    #[test]
    fn times_before_1970_round_toward_the_past() {
        let half_before = UNIX_EPOCH - Duration::from_millis(500);
        assert_eq!(Time::from(half_before), Time { secs: -1, nanos: 500_000_000 });
        assert_eq!(Time::from(UNIX_EPOCH - Duration::from_secs(2)), Time { secs: -2, nanos: 0 });
    }
}
