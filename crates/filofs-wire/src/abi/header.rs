//! The headers that begin every message.

use super::layout::layout;

/// The node id of the root, `FUSE_ROOT_ID`.
pub const ROOT_ID: u64 = 1;

/// The bit of `unique` that marks a request sent again, `FUSE_UNIQUE_RESEND` (7.40). The answer
/// carries it too.
pub const UNIQUE_RESEND: u64 = 1 << 63;

layout! {
    /// Begins every request.
    InHeader = "fuse_in_header", 40 {
        /// Length of the whole message in bytes, this header included.
        0 len: u32,
        /// What is asked: see [`Opcode`](super::Opcode).
        4 opcode: u32,
        /// The request's id, to be repeated in the answer. Never 0 in a request.
        8 unique: u64,
        /// The node the request is about; 0 where it is about none.
        16 nodeid: u64,
        /// The caller's user id, or `u32::MAX` where the kernel does not tell (7.41, idmapped
        /// mounts, operations that create nothing).
        24 uid: u32,
        /// The caller's group id, or `u32::MAX` as for `uid`.
        28 gid: u32,
        /// The caller's thread id; 0 where it lies outside this pid namespace.
        32 pid: u32,
        /// Length of the extensions at the end of the message, in units of 8 bytes (7.38).
        36 total_extlen: u16,
        /// Zero.
        38 padding: u16,
    }
}

layout! {
    /// Begins every reply, and every notification.
    OutHeader = "fuse_out_header", 16 {
        /// Length of the whole message in bytes, this header included.
        0 len: u32,
        /// 0 or a negated errno; in a notification, its code.
        4 error: i32,
        /// The id of the request that is answered; 0 in a notification.
        8 unique: u64,
    }
}
