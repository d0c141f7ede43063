//! What may follow the body of a request that makes a file (7.38).

use super::layout::layout;

/// Types up to this one are not types but counts: the extension is a [`SecctxHeader`]
/// (`FUSE_MAX_NR_SECCTX`).
pub const MAX_NR_SECCTX: u32 = 31;

/// The type of an extension that holds supplementary groups (`FUSE_EXT_GROUPS`).
pub const EXT_GROUPS: u32 = 32;

layout! {
    /// Begins every extension.
    ExtHeader = "fuse_ext_header", 8 {
        /// Length in bytes, this header and the padding to a multiple of 8 included.
        0 size: u32,
        /// What it is.
        4 kind: u32,
    }
}

layout! {
    /// Begins the security contexts; `nr_secctx` times [`SecctxIn`], name and value follow.
    SecctxHeader = "fuse_secctx_header", 8 {
        /// Length of all contexts in bytes, this header included.
        0 size: u32,
        /// How many there are.
        4 nr_secctx: u32,
    }
}

layout! {
    /// Begins one security context: a NUL-terminated name and the value follow.
    SecctxIn = "fuse_secctx", 8 {
        /// Length of the value in bytes.
        0 size: u32,
        /// Zero.
        4 padding: u32,
    }
}

layout! {
    /// Begins the supplementary groups; `nr_groups` 32-bit group ids follow.
    SuppGroupsHeader = "fuse_supp_groups", 4 {
        /// How many follow.
        0 nr_groups: u32,
    }
}
