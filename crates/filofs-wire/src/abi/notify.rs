//! What a server tells the kernel unasked.

use super::layout::{codes, flags, layout};

codes! {
    /// `enum fuse_notify_code`, in the error field of a message whose `unique` is 0.
    NotifyCode: i32 {
        /// A polled file may be ready.
        Poll = 1;
        /// Forget cached attributes and data of a node.
        InvalInode = 2;
        /// Forget a cached name.
        InvalEntry = 3;
        /// Put data into the page cache.
        Store = 4;
        /// Send data out of the page cache.
        Retrieve = 5;
        /// A name has been removed behind the kernel's back.
        Delete = 6;
        /// Send every unanswered request again (7.40).
        Resend = 7;
        /// Every cached name is out of date (7.44).
        IncEpoch = 8;
        /// Drop unused nodes from the cache (7.45).
        Prune = 9;
    }
}

flags! {
    /// `fuse_notify_inval_entry_out.flags`.
    NotifyInvalEntryFlags: u32 {
        /// Ask again at the next use, but do not drop what is below (`FUSE_EXPIRE_ONLY`, 7.38).
        EXPIRE_ONLY = 1 << 0;
    }
}

layout! {
    /// The body of a POLL notification.
    NotifyPollWakeupOut = "fuse_notify_poll_wakeup_out", 8 {
        /// What the POLL request gave.
        0 kh: u64,
    }
}

layout! {
    /// The body of INVAL_INODE.
    NotifyInvalInodeOut = "fuse_notify_inval_inode_out", 24 {
        /// The node id.
        0 ino: u64,
        /// First byte; negative for attributes only.
        8 off: i64,
        /// Length in bytes; 0 or less for all that follow.
        16 len: i64,
    }
}

layout! {
    /// Begins the body of INVAL_ENTRY; the name and a NUL follow.
    NotifyInvalEntryOut = "fuse_notify_inval_entry_out", 16 {
        /// The directory's node id.
        0 parent: u64,
        /// Length of the name in bytes, without the NUL.
        8 namelen: u32,
        /// See [`NotifyInvalEntryFlags`].
        12 flags: NotifyInvalEntryFlags,
    }
}

layout! {
    /// Begins the body of DELETE; the name and a NUL follow.
    NotifyDeleteOut = "fuse_notify_delete_out", 24 {
        /// The directory's node id.
        0 parent: u64,
        /// The node id the name led to.
        8 child: u64,
        /// Length of the name in bytes, without the NUL.
        16 namelen: u32,
        /// Zero.
        20 padding: u32,
    }
}

layout! {
    /// Begins the body of STORE; `size` bytes follow.
    NotifyStoreOut = "fuse_notify_store_out", 24 {
        /// The node id.
        0 nodeid: u64,
        /// Position in bytes.
        8 offset: u64,
        /// How many bytes follow.
        16 size: u32,
        /// Zero.
        20 padding: u32,
    }
}

layout! {
    /// The body of RETRIEVE.
    NotifyRetrieveOut = "fuse_notify_retrieve_out", 32 {
        /// The `unique` of the NOTIFY_REPLY that will bring the data.
        0 notify_unique: u64,
        /// The node id.
        8 nodeid: u64,
        /// Position in bytes.
        16 offset: u64,
        /// Length in bytes.
        24 size: u32,
        /// Zero.
        28 padding: u32,
    }
}

layout! {
    /// Begins the body of NOTIFY_REPLY; `size` bytes follow. Laid out like a WRITE.
    NotifyRetrieveIn = "fuse_notify_retrieve_in", 40 {
        /// Zero.
        0 dummy1: u64,
        /// Position in bytes.
        8 offset: u64,
        /// How many bytes follow.
        16 size: u32,
        /// Zero.
        20 dummy2: u32,
        /// Zero.
        24 dummy3: u64,
        /// Zero.
        32 dummy4: u64,
    }
}

layout! {
    /// Begins the body of PRUNE; `count` 64-bit node ids follow.
    NotifyPruneOut = "fuse_notify_prune_out", 16 {
        /// How many follow.
        0 count: u32,
        /// Zero.
        4 padding: u32,
        /// Zero.
        8 spare: u64,
    }
}
