//! The flag words and small argument records of operations.

use crate::{Device, LockOwner};
use bitflags::bitflags;

/// How a file is to be opened: the flags of open(2), Linux numbers of x86-64 and the generic ABI.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct OpenFlags(pub u32);

impl OpenFlags {
    /// Read only.
    pub const RDONLY: OpenFlags = OpenFlags(0);
    /// Write only.
    pub const WRONLY: OpenFlags = OpenFlags(0o1);
    /// Read and write.
    pub const RDWR: OpenFlags = OpenFlags(0o2);
    /// The name must be new.
    pub const EXCL: OpenFlags = OpenFlags(0o200);
    /// Cut the file to nothing.
    pub const TRUNC: OpenFlags = OpenFlags(0o1000);
    /// Each write goes to the end.
    pub const APPEND: OpenFlags = OpenFlags(0o2000);
    /// Do not wait.
    pub const NONBLOCK: OpenFlags = OpenFlags(0o4000);
    /// Each write is on disk, with what is needed to read it, when it returns.
    pub const DSYNC: OpenFlags = OpenFlags(0o10000);
    /// Opened to be run, by execve(2): takes the right to execute and none to read. Said by kernels
    /// alone (`__FMODE_EXEC`); a program that opens a file does not get it through.
    pub const EXEC: OpenFlags = OpenFlags(0o40);
    /// Bypass caches.
    pub const DIRECT: OpenFlags = OpenFlags(0o40000);
    /// Must be a directory.
    pub const DIRECTORY: OpenFlags = OpenFlags(0o200_000);
    /// Must not be a symbolic link.
    pub const NOFOLLOW: OpenFlags = OpenFlags(0o400_000);
    /// Reading does not change the access time.
    pub const NOATIME: OpenFlags = OpenFlags(0o1_000_000);
    /// As DSYNC, and all attributes.
    pub const SYNC: OpenFlags = OpenFlags(0o4_010_000);

    const ACCESS: u32 = 0o3;

    /// Whether all of those flags are set. Not for RDONLY, which is no bit.
    pub const fn has(self, flags: OpenFlags) -> bool {
        self.0 & flags.0 == flags.0
    }

    /// Both together.
    pub const fn with(self, flags: OpenFlags) -> OpenFlags {
        OpenFlags(self.0 | flags.0)
    }

    /// These without those.
    pub const fn without(self, flags: OpenFlags) -> OpenFlags {
        OpenFlags(self.0 & !flags.0)
    }

    /// Whether data may be read through it. (Access mode 3 is Linux' "for ioctl": neither.)
    pub const fn reads(self) -> bool {
        matches!(self.0 & Self::ACCESS, 0 | 2)
    }

    /// Whether data may be written through it.
    pub const fn writes(self) -> bool {
        matches!(self.0 & Self::ACCESS, 1 | 2)
    }

    /// Whether opening so may change the file: for writing, or cutting it.
    pub const fn changes(self) -> bool {
        self.writes() || self.has(Self::TRUNC)
    }
}

impl std::fmt::Debug for OpenFlags {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#o}", self.0)
    }
}

/// How to open a node that exists.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct OpenHow {
    /// The caller's flags, without O_CREAT, O_EXCL and O_NOCTTY.
    pub flags: OpenFlags,
    /// With TRUNC: the caller may not keep set-id bits and file capabilities; clear them.
    pub kill_priv: bool,
}

/// How to make a node, and for `create` and `tmpfile` also how to open it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct MakeHow {
    /// Permission, set-id and sticky bits as the caller gave them.
    pub mode: u32,
    /// The caller's umask. It applies only where the directory has no default ACL, acl(5), so
    /// the file system applies it.
    pub umask: u32,
    /// How to open it; `create` looks at EXCL: the name must be new (EEXIST).
    pub flags: OpenFlags,
    /// Which device a device node names.
    pub rdev: Device,
    /// With `create` of a file that exists, and TRUNC: as in [`OpenHow`].
    pub kill_priv: bool,
}

impl MakeHow {
    /// That mode, nothing masked.
    pub const fn mode(mode: u32) -> MakeHow {
        MakeHow {
            mode,
            umask: 0,
            flags: OpenFlags(0),
            rdev: Device { major: 0, minor: 0 },
            kill_priv: false,
        }
    }
}

bitflags! {
    /// The flags of renameat2(2).
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct RenameFlags: u32 {
        /// EEXIST when the new name exists.
        const NOREPLACE = 1;
        /// Swap the two names.
        const EXCHANGE = 2;
        /// Leave a whiteout (character device 0/0) under the old name.
        const WHITEOUT = 4;
    }

    /// What a caller wants to do with a file, access(2). No bit: does it exist.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Access: u32 {
        /// Execute a file, search a directory.
        const EXEC = 1;
        /// Write.
        const WRITE = 2;
        /// Read.
        const READ = 4;
    }

    /// How a write goes.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct WriteFlags: u32 {
        /// The bytes come from the caller's page cache, later than the write(2) that made them:
        /// the offset is right even when the file was opened for append.
        const CACHED = 1;
        /// The caller may not keep set-id bits and file capabilities; clear them.
        const KILL_PRIV = 2;
        /// The caller has taken O_APPEND off since it opened the file, fcntl(2): the offset is
        /// right.
        const AT_OFFSET = 4;
    }

    /// The flags of fallocate(2). No bit: allocate and extend.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct FallocateFlags: u32 {
        /// The size stays as it is.
        const KEEP_SIZE = 1;
        /// Make a hole. Only with KEEP_SIZE.
        const PUNCH_HOLE = 2;
        /// Remove the range and close up.
        const COLLAPSE_RANGE = 8;
        /// Make the range read as zeroes.
        const ZERO_RANGE = 16;
        /// Open a gap.
        const INSERT_RANGE = 32;
        /// Give shared blocks of their own.
        const UNSHARE_RANGE = 64;
    }

    /// How setxattr(2) goes.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct XattrFlags: u32 {
        /// EEXIST when the attribute exists.
        const CREATE = 1;
        /// ENODATA when it does not.
        const REPLACE = 2;
        /// The attribute is an access ACL and the caller may not keep the set-group-id bit.
        const KILL_SGID = 4;
    }

    /// What poll(2) asks and says: POLLIN and its kin, Linux numbers.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct PollEvents: u32 {
        /// Can be read.
        const IN = 1;
        /// Urgent data.
        const PRI = 2;
        /// Can be written.
        const OUT = 4;
        /// An error stands.
        const ERR = 8;
        /// The other end is gone.
        const HUP = 16;
        /// Normal data can be read.
        const RDNORM = 0x40;
        /// Normal data can be written.
        const WRNORM = 0x100;
    }

    /// What the answer of an open says about caching the file.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct OpenedFlags: u32 {
        /// Reads and writes must each come to the file system; nothing is kept above.
        const DIRECT = 1;
        /// What was cached from earlier opens is still good.
        const KEEP_CACHE = 2;
        /// The file has no positions.
        const NONSEEKABLE = 4;
        /// A directory's entries may be kept above.
        const CACHE_DIR = 8;
        /// There is nothing to tell at close: `flush` need not be called.
        const NO_FLUSH = 16;
    }

    /// The flags of the unmount question.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct UnmountFlags: u32 {
        /// It happens whatever the answer.
        const FORCE = 1;
    }
}

impl WriteFlags {
    /// Whether the write goes to the end of the file, whatever the offset: of a file opened so.
    pub const fn appends(self, open: OpenFlags) -> bool {
        open.has(OpenFlags::APPEND) && !self.intersects(Self::CACHED.union(Self::AT_OFFSET))
    }
}

/// What lseek(2) looks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Seek {
    /// The next byte that is not in a hole.
    Data,
    /// The next hole; the end of the file counts as one.
    Hole,
}

/// How long a sync waits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncMode {
    /// Until everything is on stable storage.
    Wait,
    /// Writing is started, nobody waits.
    NoWait,
    /// Write when convenient; errors stay unseen until an fsync.
    Lazy,
}

/// One ioctl(2).
#[derive(Clone, Copy, Debug)]
pub struct Ioctl<'a> {
    /// The command number.
    pub command: u32,
    /// The third argument as the caller gave it.
    pub argument: u64,
    /// The bytes that the command number says it reads.
    pub input: &'a [u8],
}

/// The commands that concern a file itself and not a device: file flags as chattr(1) sets them,
/// and their extended form. Numbers of linux/fs.h for a 64-bit caller.
impl Ioctl<'_> {
    /// FS_IOC_GETFLAGS: reads the file flags.
    pub const GETFLAGS: u32 = 0x8008_6601;
    /// FS_IOC_SETFLAGS: sets them.
    pub const SETFLAGS: u32 = 0x4008_6602;
    /// FS_IOC_GETVERSION: reads the generation of the inode.
    pub const GETVERSION: u32 = 0x8008_7601;
    /// FS_IOC_SETVERSION: sets it.
    pub const SETVERSION: u32 = 0x4008_7602;
    /// FS_IOC_FSGETXATTR: reads the flags as `struct fsxattr`.
    pub const FSGETXATTR: u32 = 0x801c_581f;
    /// FS_IOC_FSSETXATTR: sets them so.
    pub const FSSETXATTR: u32 = 0x401c_5820;
}

/// Both ends of a copy_file_range(2) are nodes and opens of their own; this is the rest.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CopyHow {
    /// Where to read.
    pub from: u64,
    /// Where to write.
    pub to: u64,
    /// How many bytes at most.
    pub len: u64,
}

/// How a file description goes away.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ReleaseHow {
    /// Whose locks go with it: a flock is released with its last open.
    pub owner: Option<LockOwner>,
}

/// What puffs' extattrctl is asked: turn extended attributes of a file system on or off.
#[derive(Clone, Copy, Debug)]
pub struct ExtattrCtl<'a> {
    /// The command, EXTATTRCTL of NetBSD.
    pub command: i32,
    /// The namespace.
    pub namespace: i32,
    /// The attribute, if one is meant.
    pub name: Option<&'a [u8]>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn access_modes() {
        assert!(OpenFlags::RDONLY.reads() && !OpenFlags::RDONLY.writes());
        assert!(OpenFlags::RDWR.reads() && OpenFlags::RDWR.writes());
        assert!(!OpenFlags(3).reads() && !OpenFlags(3).writes());
        assert!(OpenFlags::TRUNC.changes() && !OpenFlags::APPEND.changes());
        assert!(OpenFlags::SYNC.has(OpenFlags::DSYNC) && !OpenFlags::DSYNC.has(OpenFlags::SYNC));
    }
}
