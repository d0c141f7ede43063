//! Extended attributes.

use super::layout::{flags, layout};

/// Size of a [`SetxattrIn`] where `InitFlags::SETXATTR_EXT` was not agreed on: `size` and `flags`
/// alone (`FUSE_COMPAT_SETXATTR_IN_SIZE`).
pub const SETXATTR_IN_SIZE_SHORT: usize = 8;

flags! {
    /// `fuse_setxattr_in.setxattr_flags`, `FUSE_SETXATTR_*`.
    SetxattrFlags: u32 {
        /// Clear set-group-id: an access ACL is set by someone outside the group.
        ACL_KILL_SGID = 1 << 0;
    }
}

layout! {
    /// Begins the body of SETXATTR; the name and `size` bytes of value follow.
    SetxattrIn = "fuse_setxattr_in", 16 {
        /// Length of the value in bytes.
        0 size: u32,
        /// `XATTR_CREATE`, `XATTR_REPLACE` of setxattr(2).
        4 flags: u32,
        /// See [`SetxattrFlags`] (7.33, only with `SETXATTR_EXT`).
        8 setxattr_flags: SetxattrFlags,
        /// Zero.
        12 padding: u32,
    }
}

layout! {
    /// Begins the body of GETXATTR, where a name follows, and of LISTXATTR.
    GetxattrIn = "fuse_getxattr_in", 8 {
        /// How many bytes the answer may have; 0 asks for the length.
        0 size: u32,
        /// Zero.
        4 padding: u32,
    }
}

layout! {
    /// Answers GETXATTR and LISTXATTR when `size` was 0.
    GetxattrOut = "fuse_getxattr_out", 8 {
        /// Length in bytes.
        0 size: u32,
        /// Zero.
        4 padding: u32,
    }
}
