//! Opening, creating, closing; ACCESS.

use super::layout::{flags, layout};

flags! {
    /// `open_flags` of OPEN and CREATE requests, `FUSE_OPEN_*`.
    OpenInFlags: u32 {
        /// Clear set-user-id, and set-group-id if the group may execute (7.33).
        KILL_SUIDGID = 1 << 0;
    }
}

flags! {
    /// `fuse_open_out.open_flags`, `FOPEN_*`.
    OpenOutFlags: u32 {
        /// Bypass the page cache.
        DIRECT_IO = 1 << 0;
        /// Keep what is cached already.
        KEEP_CACHE = 1 << 1;
        /// The file cannot seek.
        NONSEEKABLE = 1 << 2;
        /// Cache the names of this directory.
        CACHE_DIR = 1 << 3;
        /// The file has no position at all.
        STREAM = 1 << 4;
        /// Send no FLUSH (7.35; not with a writeback cache).
        NOFLUSH = 1 << 5;
        /// Direct writes to one inode may overlap in time (7.38).
        PARALLEL_DIRECT_WRITES = 1 << 6;
        /// Reads and writes go to the file registered as `backing_id` (7.40).
        PASSTHROUGH = 1 << 7;
    }
}

flags! {
    /// `fuse_release_in.release_flags`, `FUSE_RELEASE_*`.
    ReleaseFlags: u32 {
        /// Do what FLUSH would.
        FLUSH = 1 << 0;
        /// Drop the flock(2) lock of `lock_owner`.
        FLOCK_UNLOCK = 1 << 1;
    }
}

layout! {
    /// The body of OPEN and OPENDIR.
    OpenIn = "fuse_open_in", 8 {
        /// `O_*` of open(2), without `O_CREAT`, `O_EXCL` and `O_NOCTTY`.
        0 flags: u32,
        /// See [`OpenInFlags`].
        4 open_flags: OpenInFlags,
    }
}

layout! {
    /// Begins the body of CREATE and TMPFILE; a name follows.
    CreateIn = "fuse_create_in", 16 {
        /// `O_*` of open(2).
        0 flags: u32,
        /// Kind and permissions.
        4 mode: u32,
        /// The caller's umask.
        8 umask: u32,
        /// See [`OpenInFlags`].
        12 open_flags: OpenInFlags,
    }
}

layout! {
    /// Answers OPEN and OPENDIR, and after an [`EntryOut`](super::EntryOut) CREATE and TMPFILE.
    OpenOut = "fuse_open_out", 16 {
        /// The open file description, to be repeated in later requests.
        0 open_id: u64,
        /// See [`OpenOutFlags`].
        8 open_flags: OpenOutFlags,
        /// The backing file's id, with `PASSTHROUGH`; otherwise 0 (7.40). From a file server
        /// [`BACKING_ID_ATTACHED`](super::BACKING_ID_ATTACHED), or 0.
        12 backing_id: i32,
    }
}

layout! {
    /// The body of RELEASE and RELEASEDIR.
    ReleaseIn = "fuse_release_in", 24 {
        /// The open file description.
        0 open_id: u64,
        /// `O_*` it was opened with.
        8 flags: u32,
        /// See [`ReleaseFlags`].
        12 release_flags: ReleaseFlags,
        /// The owner of its flock(2) lock.
        16 lock_owner: u64,
    }
}

layout! {
    /// The body of ACCESS.
    AccessIn = "fuse_access_in", 8 {
        /// `R_OK`, `W_OK`, `X_OK` of access(2).
        0 mask: u32,
        /// Zero.
        4 padding: u32,
    }
}
