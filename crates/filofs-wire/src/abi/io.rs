//! Reading, writing and what else is done to the content of an open file.

use super::layout::{flags, layout};

flags! {
    /// `fuse_read_in.read_flags`, `FUSE_READ_*`.
    ReadFlags: u32 {
        /// `lock_owner` is valid.
        LOCKOWNER = 1 << 1;
    }
}

flags! {
    /// `fuse_write_in.write_flags`, `FUSE_WRITE_*`.
    WriteFlags: u32 {
        /// A delayed write from the page cache: `open_id` is a guess, the caller nobody in
        /// particular.
        CACHE = 1 << 0;
        /// `lock_owner` is valid.
        LOCKOWNER = 1 << 1;
        /// Clear set-user-id, and set-group-id if the group may execute.
        KILL_SUIDGID = 1 << 2;
    }
}

flags! {
    /// `fuse_fsync_in.fsync_flags`, `FUSE_FSYNC_*`.
    FsyncFlags: u32 {
        /// Data only, as fdatasync(2).
        FDATASYNC = 1 << 0;
    }
}

layout! {
    /// The body of READ, READDIR and READDIRPLUS.
    ReadIn = "fuse_read_in", 40 {
        /// The open file description.
        0 open_id: u64,
        /// Position in bytes; in a directory, the position that an entry carried.
        8 offset: u64,
        /// How many bytes the answer may have.
        16 size: u32,
        /// See [`ReadFlags`].
        20 read_flags: ReadFlags,
        /// Owner of mandatory locks.
        24 lock_owner: u64,
        /// `O_*` of the open file description.
        32 flags: u32,
        /// Zero.
        36 padding: u32,
    }
}

layout! {
    /// Begins the body of WRITE; `size` bytes follow.
    WriteIn = "fuse_write_in", 40 {
        /// The open file description.
        0 open_id: u64,
        /// Position in bytes.
        8 offset: u64,
        /// How many bytes follow.
        16 size: u32,
        /// See [`WriteFlags`].
        20 write_flags: WriteFlags,
        /// Owner of mandatory locks.
        24 lock_owner: u64,
        /// `O_*` of the open file description.
        32 flags: u32,
        /// Zero.
        36 padding: u32,
    }
}

layout! {
    /// Answers WRITE and COPY_FILE_RANGE.
    WriteOut = "fuse_write_out", 8 {
        /// How many bytes were taken.
        0 size: u32,
        /// Zero.
        4 padding: u32,
    }
}

layout! {
    /// The body of FLUSH.
    FlushIn = "fuse_flush_in", 24 {
        /// The open file description.
        0 open_id: u64,
        /// Zero.
        8 unused: u32,
        /// Zero.
        12 padding: u32,
        /// Whose POSIX locks fall.
        16 lock_owner: u64,
    }
}

layout! {
    /// The body of FSYNC and FSYNCDIR.
    FsyncIn = "fuse_fsync_in", 16 {
        /// The open file description.
        0 open_id: u64,
        /// See [`FsyncFlags`].
        8 fsync_flags: FsyncFlags,
        /// Zero.
        12 padding: u32,
    }
}

layout! {
    /// The body of SYNCFS.
    SyncfsIn = "fuse_syncfs_in", 8 {
        /// Zero.
        0 padding: u64,
    }
}

layout! {
    /// The body of FALLOCATE.
    FallocateIn = "fuse_fallocate_in", 32 {
        /// The open file description.
        0 open_id: u64,
        /// Position in bytes.
        8 offset: u64,
        /// Length in bytes.
        16 length: u64,
        /// `FALLOC_FL_*` of fallocate(2).
        24 mode: u32,
        /// Zero.
        28 padding: u32,
    }
}

layout! {
    /// The body of LSEEK.
    LseekIn = "fuse_lseek_in", 24 {
        /// The open file description.
        0 open_id: u64,
        /// Position in bytes.
        8 offset: u64,
        /// `SEEK_DATA` or `SEEK_HOLE`.
        16 whence: u32,
        /// Zero.
        20 padding: u32,
    }
}

layout! {
    /// Answers LSEEK.
    LseekOut = "fuse_lseek_out", 8 {
        /// Position in bytes.
        0 offset: u64,
    }
}

layout! {
    /// The body of COPY_FILE_RANGE and COPY_FILE_RANGE_64. The header's node is the source.
    CopyFileRangeIn = "fuse_copy_file_range_in", 56 {
        /// The source's open file description.
        0 open_id_in: u64,
        /// Position in the source, bytes.
        8 off_in: u64,
        /// The target's node.
        16 nodeid_out: u64,
        /// The target's open file description.
        24 open_id_out: u64,
        /// Position in the target, bytes.
        32 off_out: u64,
        /// Length in bytes.
        40 len: u64,
        /// Flags of copy_file_range(2): none is defined.
        48 flags: u64,
    }
}

layout! {
    /// Answers COPY_FILE_RANGE_64 (7.45).
    CopyFileRangeOut = "fuse_copy_file_range_out", 8 {
        /// How many bytes were copied.
        0 bytes_copied: u64,
    }
}

layout! {
    /// The body of BMAP.
    BmapIn = "fuse_bmap_in", 16 {
        /// Block of the file, in units of `blocksize`.
        0 block: u64,
        /// Bytes in a block.
        8 blocksize: u32,
        /// Zero.
        12 padding: u32,
    }
}

layout! {
    /// Answers BMAP.
    BmapOut = "fuse_bmap_out", 8 {
        /// Block of the device; 0 for a hole.
        0 block: u64,
    }
}
