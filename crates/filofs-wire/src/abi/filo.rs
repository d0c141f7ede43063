//! filo's extension: what puffs has and FUSE lacks. Agreed on in INIT, spoken between a core and
//! a file server which both know it, never toward Linux.

use super::entry::EntryOut;
use super::init::InitIn;
use super::layout::{codes, flags, layout};
use super::statfs::Kstatfs;

/// Says in the spare words of INIT, and at the head of [`MountArguments`], that this is meant:
/// "filo" in ASCII.
pub const EXTENSION_MAGIC: u32 = u32::from_be_bytes(*b"filo");

/// The one version there is. A peer of another is refused, with both numbers (A12).
pub const EXTENSION_VERSION: u32 = 1;

/// What a core says in INIT of the extension, in the first six words of
/// [`InitIn::unused`](InitIn#structfield.unused): [`EXTENSION_MAGIC`] and these five.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExtensionOffer {
    /// The version it speaks: [`EXTENSION_VERSION`].
    pub version: u32,
    /// The largest message in bytes that it takes or sends.
    pub max_message: u32,
    /// How many requests the shared memory holds whose descriptor comes with INIT; 0 for none.
    pub area_slots: u32,
    /// The largest message in bytes that goes by it.
    pub area_size: u32,
    /// What else it can do; of bits without a name nothing is known.
    pub flags: OfferFlags,
}

impl InitIn {
    /// The extension is offered.
    pub const fn set_extension_offer(&mut self, offer: ExtensionOffer) {
        let [magic, version, max_message, area_slots, area_size, flags, ..] = &mut self.unused;
        (*magic, *version, *max_message) = (EXTENSION_MAGIC, offer.version, offer.max_message);
        (*area_slots, *area_size) = (offer.area_slots, offer.area_size);
        *flags = offer.flags.bits();
    }

    /// What is offered. `None` from Linux and from every other core that knows no extension.
    pub const fn extension_offer(&self) -> Option<ExtensionOffer> {
        match self.unused {
            [EXTENSION_MAGIC, version, max_message, area_slots, area_size, flags, ..] => {
                let flags = OfferFlags::from_bits_retain(flags);
                Some(ExtensionOffer { version, max_message, area_slots, area_size, flags })
            }
            _ => None,
        }
    }
}

/// The smallest largest message, in bytes: a smaller one is raised to it (A22).
pub const MESSAGE_MIN: u32 = 8192;

/// What of the largest message is kept free of data, in bytes: for headers, structures and names
/// (A23).
pub const MESSAGE_HEAD: u32 = 4096;

/// Set in the id of what a server asks the core, so that it never is the id of a request (C.2).
pub const CALL_ID: u64 = 1 << 63;

/// The [`backing_id`](super::OpenOut::backing_id) which says that the answer brings the descriptor
/// of the backing file with it, where [`MountFlags::GIVES_FILES`] was agreed on.
pub const BACKING_ID_ATTACHED: i32 = 1;

flags! {
    /// What else a core can do. A server makes nothing of a bit that it does not know.
    OfferFlags: u32 {
        /// It takes the files of the host in which the data of open files is.
        TAKES_FILES = 1 << 0;
    }
}

flags! {
    /// How the core is to treat a mount. A bit without a name refuses the mount (A13).
    MountFlags: u32 {
        /// Nobody changes the files but through this server.
        OWNS_FILES = 1 << 0;
        /// Nothing can be changed.
        READ_ONLY = 1 << 1;
        /// The server has no use for who asks, but where something is made.
        IDMAPPED = 1 << 2;
        /// Ask the server for everything, whatever the mask of operations says (C.4, ALLOPS).
        ALL_OPS = 1 << 3;
        /// Requests sent twice, with the same id, are done once.
        DEDUPLICATES = 1 << 4;
        /// The shared memory that was offered is made use of.
        TAKES_AREA = 1 << 5;
        /// Answers to OPEN, CREATE and TMPFILE may bring the file that the data is in.
        GIVES_FILES = 1 << 6;
    }
}

flags! {
    /// What kind of file handles a server has. A bit without a name refuses the mount (A14).
    HandleFlags: u32 {
        /// Handles may be shorter than the size given.
        DYNAMIC = 1 << 0;
        /// They fit into NFS version 2.
        NFSV2 = 1 << 1;
        /// They fit into NFS version 3.
        NFSV3 = 1 << 2;
        /// The server sees whatever a caller gives, whole; the size given counts for nothing.
        PASSTHROUGH = 1 << 3;
    }
}

layout! {
    /// What a server says of its file system when it is mounted: follows its answer to INIT, and
    /// is what the answer to [`CallCode::Arguments`] has. To be read with
    /// [`read`](MountArguments::read). What follows it is ignored (A9).
    MountArguments = "filo_mount_arguments", 704 {
        /// [`EXTENSION_MAGIC`].
        0 magic: u32,
        /// [`EXTENSION_VERSION`].
        4 version: u32,
        /// See [`MountFlags`].
        8 flags: MountFlags,
        /// See [`HandleFlags`].
        12 handle_flags: HandleFlags,
        /// Longest file handle in bytes; 0 for none.
        16 handle_size: u32,
        /// Largest message in bytes, in either direction; 0 for as large as the core takes.
        20 max_message: u32,
        /// How long a name that was answered ENOENT stays so, nanoseconds.
        24 negative_valid: u64,
        /// The root: its node id is 1.
        32 root: EntryOut,
        /// The first numbers.
        160 statfs: Kstatfs,
        /// What kind of file system it is, ended by a NUL.
        240 type_name: [u8; 32],
        /// Where its files come from, ended by a NUL.
        272 from_name: [[u8; 32]; 8],
        /// Not 0 for each opcode below 64 that the server has (A37).
        528 operations: [[u8; 32]; 2],
        /// The same from the first opcode of the extension on.
        592 extended_operations: [u8; 32],
        /// Zero, or the mount is refused (A15).
        624 spare: [u32; 20],
    }
}

layout! {
    /// The body of HANDLE_OF.
    HandleOfIn = "filo_handle_of_in", 8 {
        /// Longest handle that the caller can take, bytes.
        0 room: u32,
        /// Zero.
        4 padding: u32,
    }
}

layout! {
    /// Begins the answer to HANDLE_OF; the handle follows, if it fits into the room.
    HandleOfOut = "filo_handle_of_out", 8 {
        /// Length of the handle in bytes, also where it does not fit.
        0 len: u32,
        /// Zero.
        4 padding: u32,
    }
}

layout! {
    /// Begins the body of NODE_OF; the handle follows.
    NodeOfIn = "filo_node_of_in", 8 {
        /// Length of the handle in bytes.
        0 len: u32,
        /// Zero.
        4 padding: u32,
    }
}

codes! {
    /// When a sync that nobody waits for is to be done (A79, A80).
    SyncLaterMode: u32 {
        /// Now: sync(2) without waiting.
        Begin = 1;
        /// At leisure.
        Lazy = 2;
    }
}

layout! {
    /// The body of SYNC_LATER.
    SyncLaterIn = "filo_sync_later_in", 8 {
        /// See [`SyncLaterMode`].
        0 mode: u32,
        /// Zero.
        4 padding: u32,
    }
}

flags! {
    /// The flags of the unmount question.
    UnmountFlags: u32 {
        /// It will happen, whatever the answer.
        FORCE = 1 << 0;
    }
}

layout! {
    /// The body of UNMOUNT.
    UnmountIn = "filo_unmount_in", 8 {
        /// See [`UnmountFlags`].
        0 flags: UnmountFlags,
        /// Zero.
        4 padding: u32,
    }
}

flags! {
    /// What an EXTATTRCTL comes with.
    ExtattrctlFlags: u32 {
        /// The header's node is meant.
        HAS_NODE = 1 << 0;
        /// The name of an extended attribute follows.
        HAS_NAME = 1 << 1;
    }
}

layout! {
    /// Begins the body of EXTATTRCTL; with `HAS_NAME` the name and a NUL follow.
    ExtattrctlIn = "filo_extattrctl_in", 16 {
        /// The command.
        0 command: i32,
        /// The namespace.
        4 namespace: i32,
        /// See [`ExtattrctlFlags`].
        8 flags: ExtattrctlFlags,
        /// Zero.
        12 padding: u32,
    }
}

layout! {
    /// Begins the body of ERROR; `len` bytes of text follow.
    ErrorIn = "filo_error_in", 24 {
        /// The opcode of the request whose answer was wrong; 0 for none.
        0 opcode: u32,
        /// The number that was wrong where an errno was; else what the caller was told, positive.
        4 errno: i32,
        /// The node the request was about; 0 for none.
        8 nodeid: u64,
        /// Length of the text in bytes, at most [`ERROR_TEXT_MAX`](crate::limits::ERROR_TEXT_MAX).
        16 len: u32,
        /// Zero.
        20 padding: u32,
    }
}

layout! {
    /// Begins the body of RESPONSE, whose id is that of the server's call; what was asked for
    /// follows.
    ResponseIn = "filo_response_in", 8 {
        /// 0, or an errno, positive; then nothing follows.
        0 error: u32,
        /// Zero.
        4 padding: u32,
    }
}

codes! {
    /// What a server asks the core to do: in the error field of a message whose id has [`CALL_ID`].
    /// With no other bit in the id, nobody awaits the RESPONSE and none comes.
    CallCode: i32 {
        /// Forget or write out what is cached.
        Flush = 0x1101;
        /// Unmount me.
        Unmount = 0x1102;
        /// Which arguments are in force? Answered with [`MountArguments`].
        Arguments = 0x1103;
        /// Which supplementary groups has the caller of this request? Answered with 32-bit numbers.
        Groups = 0x1104;
    }
}

layout! {
    /// The body of FLUSH.
    FlushCall = "filo_flush_call", 32 {
        /// Which node.
        0 nodeid: u64,
        /// See [`FlushWhat`].
        8 what: u32,
        /// Zero.
        12 padding: u32,
        /// First byte.
        16 start: u64,
        /// The byte after the last; 0 for the end of the file.
        24 end: u64,
    }
}

codes! {
    /// What a FLUSH is about (C.9).
    FlushWhat: u32 {
        /// The names that lead to the node: not to be had, EINVAL.
        NamesOfNode = 0;
        /// The names in the directory.
        NamesInDirectory = 1;
        /// All names.
        AllNames = 2;
        /// Forget cached data; what was not written is lost where the cache can do so.
        ForgetData = 3;
        /// Begin to write cached data out.
        WriteData = 4;
    }
}

layout! {
    /// The body of GROUPS.
    GroupsCall = "filo_groups_call", 8 {
        /// The id of a request that has not been answered yet.
        0 unique: u64,
    }
}
