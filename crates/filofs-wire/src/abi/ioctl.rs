//! IOCTL.

use super::layout::{flags, layout};

flags! {
    /// `flags` of [`IoctlIn`] and [`IoctlOut`], `FUSE_IOCTL_*`.
    IoctlFlags: u32 {
        /// A 32-bit caller on a 64-bit machine.
        COMPAT = 1 << 0;
        /// The server may ask for other memory (only CUSE).
        UNRESTRICTED = 1 << 1;
        /// In an answer: come again with these ranges.
        RETRY = 1 << 2;
        /// A 32-bit caller.
        IS_32BIT = 1 << 3;
        /// On a directory.
        DIR = 1 << 4;
        /// An x32 caller on a 64-bit machine.
        COMPAT_X32 = 1 << 5;
    }
}

layout! {
    /// Begins the body of IOCTL; `in_size` bytes follow.
    IoctlIn = "fuse_ioctl_in", 32 {
        /// The open file description.
        0 open_id: u64,
        /// See [`IoctlFlags`].
        8 flags: IoctlFlags,
        /// The command.
        12 cmd: u32,
        /// The caller's third argument; an address in the caller.
        16 arg: u64,
        /// How many bytes follow.
        24 in_size: u32,
        /// How many bytes the answer may have after its structure.
        28 out_size: u32,
    }
}

layout! {
    /// A range of the caller's memory, in an answer with `RETRY`.
    IoctlIovec = "fuse_ioctl_iovec", 16 {
        /// Address in the caller.
        0 base: u64,
        /// Length in bytes.
        8 len: u64,
    }
}

layout! {
    /// Begins the answer to IOCTL; data follows.
    IoctlOut = "fuse_ioctl_out", 16 {
        /// What ioctl(2) returns.
        0 result: i32,
        /// See [`IoctlFlags`].
        4 flags: IoctlFlags,
        /// With `RETRY`: how many ranges to read.
        8 in_iovs: u32,
        /// With `RETRY`: how many ranges to write.
        12 out_iovs: u32,
    }
}
