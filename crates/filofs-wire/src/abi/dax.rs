//! DAX windows (virtiofs).

use super::layout::{flags, layout};

flags! {
    /// `fuse_setupmapping_in.flags`.
    SetupmappingFlags: u64 {
        /// The window may be written.
        WRITE = 1 << 0;
        /// The window may be read.
        READ = 1 << 1;
    }
}

layout! {
    /// The body of SETUPMAPPING.
    SetupmappingIn = "fuse_setupmapping_in", 40 {
        /// The open file description.
        0 open_id: u64,
        /// Position in the file, bytes.
        8 foffset: u64,
        /// Length in bytes.
        16 len: u64,
        /// See [`SetupmappingFlags`].
        24 flags: SetupmappingFlags,
        /// Position in the window, bytes.
        32 moffset: u64,
    }
}

layout! {
    /// Begins the body of REMOVEMAPPING; `count` [`RemovemappingOne`] follow.
    RemovemappingIn = "fuse_removemapping_in", 4 {
        /// How many follow.
        0 count: u32,
    }
}

layout! {
    /// One part of a window.
    RemovemappingOne = "fuse_removemapping_one", 16 {
        /// Position in the window, bytes.
        0 moffset: u64,
        /// Length in bytes.
        8 len: u64,
    }
}
