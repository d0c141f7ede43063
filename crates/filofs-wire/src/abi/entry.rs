//! Names: what finds, makes, links and renames them.

use super::attr::Attr;
use super::layout::layout;

layout! {
    /// Answers LOOKUP and everything that makes a name. A node id of 0 says that the name does
    /// not exist and that this may be remembered.
    EntryOut = "fuse_entry_out", 128 {
        /// The node's id.
        0 nodeid: u64,
        /// With `nodeid` unique for the file system's life.
        8 generation: u64,
        /// How long the name stays valid, seconds.
        16 entry_valid: u64,
        /// How long the attributes stay valid, seconds.
        24 attr_valid: u64,
        /// How long the name stays valid, nanoseconds.
        32 entry_valid_nsec: u32,
        /// How long the attributes stay valid, nanoseconds.
        36 attr_valid_nsec: u32,
        /// The node's attributes.
        40 attr: Attr,
    }
}

layout! {
    /// Begins the body of MKNOD; the name follows.
    MknodIn = "fuse_mknod_in", 16 {
        /// Kind and permissions.
        0 mode: u32,
        /// Device number, in the kernel's 32-bit form.
        4 rdev: u32,
        /// The caller's umask.
        8 umask: u32,
        /// Zero.
        12 padding: u32,
    }
}

layout! {
    /// Begins the body of MKDIR; the name follows.
    MkdirIn = "fuse_mkdir_in", 8 {
        /// Permissions.
        0 mode: u32,
        /// The caller's umask.
        4 umask: u32,
    }
}

layout! {
    /// Begins the body of RENAME; the old and the new name follow.
    RenameIn = "fuse_rename_in", 8 {
        /// The directory the new name is in.
        0 newdir: u64,
    }
}

layout! {
    /// Begins the body of RENAME2; the old and the new name follow.
    Rename2In = "fuse_rename2_in", 16 {
        /// The directory the new name is in.
        0 newdir: u64,
        /// `RENAME_*` of renameat2(2).
        8 flags: u32,
        /// Zero.
        12 padding: u32,
    }
}

layout! {
    /// Begins the body of LINK; the new name follows. The header's node is its directory.
    LinkIn = "fuse_link_in", 8 {
        /// The node that gets another name.
        0 oldnodeid: u64,
    }
}
