//! What passes beside the messages: ioctls on the device, and the io_uring transport.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

use super::layout::layout;

/// The ioctls' magic number, `FUSE_DEV_IOC_MAGIC`.
pub const DEVICE_IOCTL_MAGIC: u8 = 229;

/// Numbers of the device's ioctls under [`DEVICE_IOCTL_MAGIC`].
pub mod ioctl_number {
    /// `FUSE_DEV_IOC_CLONE`: reads the `u32` descriptor of the device to share.
    pub const CLONE: u8 = 0;
    /// `FUSE_DEV_IOC_BACKING_OPEN`: writes a [`BackingMap`](super::BackingMap), returns an id
    /// (7.40).
    pub const BACKING_OPEN: u8 = 1;
    /// `FUSE_DEV_IOC_BACKING_CLOSE`: writes the `u32` id (7.40).
    pub const BACKING_CLOSE: u8 = 2;
    /// `FUSE_DEV_IOC_SYNC_INIT`: mount(2) waits for INIT; no argument (Linux 6.18).
    pub const SYNC_INIT: u8 = 3;
}

/// Size of each of the two byte areas of a [`UringReqHeader`].
pub const URING_HEADER_SIZE: usize = 128;

layout! {
    /// Registers a file for passthrough.
    BackingMap = "fuse_backing_map", 16 {
        /// A descriptor of the file.
        0 fd: i32,
        /// Zero.
        4 flags: u32,
        /// Zero.
        8 padding: u64,
    }
}

layout! {
    /// Ends a [`UringReqHeader`].
    UringEntInOut = "fuse_uring_ent_in_out", 32 {
        /// Zero.
        0 flags: u64,
        /// What the commit of the answer must carry.
        8 commit_id: u64,
        /// How many bytes of the payload are used.
        16 payload_sz: u32,
        /// Zero.
        20 padding: u32,
        /// Zero.
        24 reserved: u64,
    }
}

/// `struct fuse_uring_req_header`, 288 bytes.
///
/// The first buffer of each ring entry; the second one is the payload.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
pub struct UringReqHeader {
    /// An [`InHeader`](super::InHeader), or in the answer an [`OutHeader`](super::OutHeader).
    pub in_out: [u8; URING_HEADER_SIZE],
    /// The structure that begins the request's body.
    pub op_in: [u8; URING_HEADER_SIZE],
    /// The entry's own fields.
    pub ring_ent_in_out: UringEntInOut,
}

const _: () = assert!(size_of::<UringReqHeader>() == 288);
const _: () = assert!(core::mem::offset_of!(UringReqHeader, in_out) == 0);
const _: () = assert!(core::mem::offset_of!(UringReqHeader, op_in) == 128);
const _: () = assert!(core::mem::offset_of!(UringReqHeader, ring_ent_in_out) == 256);

layout! {
    /// Stands in the command area of a 128-byte submission entry.
    UringCmdReq = "fuse_uring_cmd_req", 24 {
        /// Zero.
        0 flags: u64,
        /// The entry that is answered.
        8 commit_id: u64,
        /// The queue.
        16 qid: u16,
        /// Zero.
        18 padding: [u8; 6],
    }
}

/// `enum fuse_uring_cmd`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u32)]
pub enum UringCmd {
    /// Gives the kernel an entry's buffers, and waits for a request.
    Register = 1,
    /// Commits an answer, and waits for the next request.
    CommitAndFetch = 2,
}
