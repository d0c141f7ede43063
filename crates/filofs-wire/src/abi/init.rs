//! INIT: version and abilities.

use super::layout::{flags, layout};

/// The major version, `FUSE_KERNEL_VERSION`.
pub const KERNEL_VERSION: u32 = 7;

/// The newest minor version this crate speaks, `FUSE_KERNEL_MINOR_VERSION`.
pub const KERNEL_MINOR: u32 = 45;

/// The smallest buffer Linux lets a server read requests into, bytes (`FUSE_MIN_READ_BUFFER`).
pub const MIN_READ_BUFFER: usize = 8192;

/// Size of an [`InitIn`] from a kernel before 7.36: up to `flags`.
pub const INIT_IN_SIZE_SHORT: usize = 16;

/// Size of an [`InitOut`] before 7.23: up to `max_write` (`FUSE_COMPAT_22_INIT_OUT_SIZE`). Only
/// servers older than this crate speaks send it.
pub const INIT_OUT_SIZE_7_22: usize = 24;

flags! {
    /// The abilities: `flags` in the low half, `flags2` in the high half.
    InitFlags: u64 {
        /// Reads may be asynchronous.
        ASYNC_READ = 1 << 0;
        /// The server does fcntl(2) locks.
        POSIX_LOCKS = 1 << 1;
        /// Attributes of open files come with their open id. Not in use.
        FILE_OPS = 1 << 2;
        /// OPEN carries `O_TRUNC`.
        ATOMIC_O_TRUNC = 1 << 3;
        /// LOOKUP of "." and ".." works for any node.
        EXPORT_SUPPORT = 1 << 4;
        /// Writes may be larger than a page.
        BIG_WRITES = 1 << 5;
        /// The server applies the umask itself.
        DONT_MASK = 1 << 6;
        /// The kernel can splice from the device.
        SPLICE_WRITE = 1 << 7;
        /// The kernel can move spliced pages.
        SPLICE_MOVE = 1 << 8;
        /// The kernel can splice to the device.
        SPLICE_READ = 1 << 9;
        /// The server does flock(2) locks.
        FLOCK_LOCKS = 1 << 10;
        /// IOCTL works on directories.
        HAS_IOCTL_DIR = 1 << 11;
        /// Drop cached data when size or modification time change.
        AUTO_INVAL_DATA = 1 << 12;
        /// The server does READDIRPLUS.
        DO_READDIRPLUS = 1 << 13;
        /// The kernel may choose between READDIR and READDIRPLUS.
        READDIRPLUS_AUTO = 1 << 14;
        /// Direct I/O may be asynchronous.
        ASYNC_DIO = 1 << 15;
        /// Writes are cached by the kernel.
        WRITEBACK_CACHE = 1 << 16;
        /// OPEN may be answered ENOSYS, and is then not sent again.
        NO_OPEN_SUPPORT = 1 << 17;
        /// Several operations at once in one directory.
        PARALLEL_DIROPS = 1 << 18;
        /// The server clears set-id bits and capabilities.
        HANDLE_KILLPRIV = 1 << 19;
        /// The server stores POSIX ACLs, the kernel obeys them.
        POSIX_ACL = 1 << 20;
        /// Reading the device after an abort gives ECONNABORTED.
        ABORT_ERROR = 1 << 21;
        /// `max_pages` is valid.
        MAX_PAGES = 1 << 22;
        /// READLINK's answers are cached.
        CACHE_SYMLINKS = 1 << 23;
        /// OPENDIR may be answered ENOSYS, and is then not sent again.
        NO_OPENDIR_SUPPORT = 1 << 24;
        /// Drop cached data only when told.
        EXPLICIT_INVAL_DATA = 1 << 25;
        /// `map_alignment` is valid.
        MAP_ALIGNMENT = 1 << 26;
        /// The kernel mounts [`AttrFlags::SUBMOUNT`](super::AttrFlags::SUBMOUNT) by itself (7.32).
        SUBMOUNTS = 1 << 27;
        /// As `HANDLE_KILLPRIV`, with the rules of the VFS (7.33).
        HANDLE_KILLPRIV_V2 = 1 << 28;
        /// SETXATTR has its long structure (7.33).
        SETXATTR_EXT = 1 << 29;
        /// `flags2` is valid (7.36).
        INIT_EXT = 1 << 30;
        /// Must not be set.
        RESERVED = 1 << 31;
        /// Requests that make files carry security contexts (7.36).
        SECURITY_CTX = 1 << 32;
        /// DAX is chosen per inode (7.36).
        HAS_INODE_DAX = 1 << 33;
        /// Requests that make files carry a supplementary group (7.38).
        CREATE_SUPP_GROUP = 1 << 34;
        /// INVAL_ENTRY knows `EXPIRE_ONLY` (7.38).
        HAS_EXPIRE_ONLY = 1 << 35;
        /// Shared mappings of direct-I/O files are allowed (7.39).
        DIRECT_IO_ALLOW_MMAP = 1 << 36;
        /// Files may be read and written past the server (7.40).
        PASSTHROUGH = 1 << 37;
        /// The server cannot find nodes by handle (7.40).
        NO_EXPORT_SUPPORT = 1 << 38;
        /// The kernel sends requests again on RESEND (7.40).
        HAS_RESEND = 1 << 39;
        /// The mount may be idmapped (7.41).
        ALLOW_IDMAP = 1 << 40;
        /// Requests come over io_uring (7.42).
        OVER_IO_URING = 1 << 41;
        /// `request_timeout` is valid (7.43).
        REQUEST_TIMEOUT = 1 << 42;
    }
}

impl InitFlags {
    /// Joins the two halves of the wire. The high half counts only with `INIT_EXT`.
    pub const fn from_halves(flags: u32, flags2: u32) -> InitFlags {
        let low = InitFlags::from_bits_retain(flags as u64);
        if low.contains(InitFlags::INIT_EXT) {
            InitFlags::from_bits_retain(flags as u64 | (flags2 as u64) << 32)
        } else {
            low
        }
    }

    /// The two halves, `flags` and `flags2`.
    pub const fn halves(self) -> (u32, u32) {
        (self.bits() as u32, (self.bits() >> 32) as u32)
    }
}

layout! {
    /// The body of INIT. A kernel before 7.36 sends the first four fields.
    InitIn = "fuse_init_in", 64 {
        /// Major version.
        0 major: u32,
        /// Minor version.
        4 minor: u32,
        /// Read-ahead the kernel would do, bytes.
        8 max_readahead: u32,
        /// The low half of [`InitFlags`].
        12 flags: u32,
        /// The high half of [`InitFlags`].
        16 flags2: u32,
        /// Zero.
        20 unused: [u32; 11],
    }
}

layout! {
    /// Answers INIT.
    InitOut = "fuse_init_out", 64 {
        /// Major version.
        0 major: u32,
        /// Minor version.
        4 minor: u32,
        /// Read-ahead the kernel may do, bytes.
        8 max_readahead: u32,
        /// The low half of [`InitFlags`].
        12 flags: u32,
        /// How many background requests may be on their way; 0 for the kernel's choice.
        16 max_background: u16,
        /// At how many the device counts as congested; 0 for the kernel's choice.
        18 congestion_threshold: u16,
        /// Largest WRITE in bytes.
        20 max_write: u32,
        /// Granularity of times in nanoseconds, 1 to 1,000,000,000; 0 for 1.
        24 time_gran: u32,
        /// Largest request in pages, with `MAX_PAGES`.
        28 max_pages: u16,
        /// Alignment of DAX mappings as a power of two, with `MAP_ALIGNMENT`.
        30 map_alignment: u16,
        /// The high half of [`InitFlags`].
        32 flags2: u32,
        /// How many stacked file systems may be below, with `PASSTHROUGH` (7.40).
        36 max_stack_depth: u32,
        /// After how many seconds an unanswered request ends the mount (7.43).
        40 request_timeout: u16,
        /// Zero.
        42 unused: [u16; 11],
    }
}

impl InitIn {
    /// Both halves of the abilities.
    pub const fn init_flags(&self) -> InitFlags {
        InitFlags::from_halves(self.flags, self.flags2)
    }
}

impl InitOut {
    /// Both halves of the abilities.
    pub const fn init_flags(&self) -> InitFlags {
        InitFlags::from_halves(self.flags, self.flags2)
    }

    /// Sets both halves of the abilities, and `INIT_EXT` if the high half needs it.
    pub fn set_init_flags(&mut self, flags: InitFlags) {
        let flags = if flags.halves().1 == 0 { flags } else { flags | InitFlags::INIT_EXT };
        (self.flags, self.flags2) = flags.halves();
    }
}
