//! The numbers that name things. Each is a type of its own, so that one cannot pass for another.

use std::fmt;

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident($of:ty);)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
        pub struct $name(pub $of);

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }
    )*};
}

ids! {
    /// The file system's own name for a node: any 64-bit number but 0. Nobody above it looks
    /// inside. While a node lives its cookie names nothing else; a cookie used again for another
    /// file must come with another [`Generation`].
    Cookie(u64);
    /// Tells two files apart that had the same cookie, one after the other.
    Generation(u64);
    /// An open file description, as the front end's client names it. (FUSE: `fh`.)
    OpenId(u64);
    /// Where a directory read resumes. 0 is the beginning; any other value was handed out with
    /// an entry and means "after that entry". Opaque to everyone but the file system that made it.
    DirOffset(u64);
    /// One request of a front end, for logs and cancellation.
    RequestId(u64);
    /// Who owns a lock: for POSIX locks a process' file table, for flock an open file description.
    LockOwner(u64);
    /// A user. See credentials(7).
    Uid(u32);
    /// A group. See credentials(7).
    Gid(u32);
    /// The thread that asks, as seen from the mount's process-id namespace; 0 when it has no
    /// number there.
    Pid(u32);
}

impl Uid {
    /// The super-user.
    pub const ROOT: Uid = Uid(0);
    /// Somebody whom the front end cannot name, see [`crate::Profile::idmapped`].
    pub const UNKNOWN: Uid = Uid(u32::MAX);
}

impl Gid {
    /// The super-user's group.
    pub const ROOT: Gid = Gid(0);
    /// The group of [`Uid::UNKNOWN`].
    pub const UNKNOWN: Gid = Gid(u32::MAX);
}

impl DirOffset {
    /// The beginning of a directory.
    pub const START: DirOffset = DirOffset(0);
    /// The smallest that a file system may hand out: 1 and 2 stand for "after `.`" and "after
    /// `..`", which front ends list themselves.
    pub const FIRST: DirOffset = DirOffset(3);
}
