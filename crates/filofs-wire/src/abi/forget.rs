//! The return of references.

use super::layout::layout;

layout! {
    /// The body of FORGET.
    ForgetIn = "fuse_forget_in", 8 {
        /// How many references are given back.
        0 nlookup: u64,
    }
}

layout! {
    /// Begins the body of BATCH_FORGET; `count` [`ForgetOne`] follow.
    BatchForgetIn = "fuse_batch_forget_in", 8 {
        /// How many follow.
        0 count: u32,
        /// Zero.
        4 padding: u32,
    }
}

layout! {
    /// One node of a BATCH_FORGET.
    ForgetOne = "fuse_forget_one", 16 {
        /// The node.
        0 nodeid: u64,
        /// How many references are given back.
        8 nlookup: u64,
    }
}
