//! The operations, by number and by name.

use super::layout::layout;

layout! {
    /// The body of INTERRUPT.
    InterruptIn = "fuse_interrupt_in", 8 {
        /// The request that its caller no longer waits for.
        0 unique: u64,
    }
}

/// What a successful reply to a request consists of, after its header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// No reply is ever sent; Linux would refuse it.
    Never,
    /// The header alone.
    Empty,
    /// A structure of this many bytes.
    Fixed(usize),
    /// Any number of bytes up to what the request allows.
    Data,
    /// A structure of this many bytes, and data after it.
    FixedAndData(usize),
}

/// One row per operation: Rust name, number, the name a trace shows, what answers it.
macro_rules! opcodes {
    ($( $(#[$meta:meta])* $name:ident = $number:literal, $text:literal, $answer:expr; )+) => {
        /// `enum fuse_opcode`: what a request asks.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[repr(u32)]
        pub enum Opcode {
            $( $(#[$meta])* $name = $number, )+
        }

        impl Opcode {
            /// Every operation, in the order of its number.
            pub const ALL: &'static [Opcode] = &[ $( Opcode::$name, )+ ];

            /// The operation of this number, if the protocol has one.
            pub const fn from_number(number: u32) -> Option<Opcode> {
                match number {
                    $( $number => Some(Opcode::$name), )+
                    _ => None,
                }
            }

            /// The name in upper case, as `linux/fuse.h` has it without its prefix.
            pub const fn name(self) -> &'static str {
                match self { $( Opcode::$name => $text, )+ }
            }

            /// What a successful reply consists of.
            pub const fn answer(self) -> Answer {
                use super::*;
                match self { $( Opcode::$name => $answer, )+ }
            }
        }
    };
}

opcodes! {
    /// Finds a name in a directory.
    Lookup = 1, "LOOKUP", Answer::Fixed(size_of::<EntryOut>());
    /// Gives back references to a node.
    Forget = 2, "FORGET", Answer::Never;
    /// Reads attributes.
    Getattr = 3, "GETATTR", Answer::Fixed(size_of::<AttrOut>());
    /// Changes attributes.
    Setattr = 4, "SETATTR", Answer::Fixed(size_of::<AttrOut>());
    /// Reads a symbolic link.
    Readlink = 5, "READLINK", Answer::Data;
    /// Makes a symbolic link.
    Symlink = 6, "SYMLINK", Answer::Fixed(size_of::<EntryOut>());
    /// Makes a file or special file.
    Mknod = 8, "MKNOD", Answer::Fixed(size_of::<EntryOut>());
    /// Makes a directory.
    Mkdir = 9, "MKDIR", Answer::Fixed(size_of::<EntryOut>());
    /// Removes a name which is not a directory's.
    Unlink = 10, "UNLINK", Answer::Empty;
    /// Removes a directory.
    Rmdir = 11, "RMDIR", Answer::Empty;
    /// Renames, without flags.
    Rename = 12, "RENAME", Answer::Empty;
    /// Makes a hard link.
    Link = 13, "LINK", Answer::Fixed(size_of::<EntryOut>());
    /// Opens a file.
    Open = 14, "OPEN", Answer::Fixed(size_of::<OpenOut>());
    /// Reads data.
    Read = 15, "READ", Answer::Data;
    /// Writes data.
    Write = 16, "WRITE", Answer::Fixed(size_of::<WriteOut>());
    /// Reads the file system's numbers.
    Statfs = 17, "STATFS", Answer::Fixed(size_of::<StatfsOut>());
    /// Closes an open file for good.
    Release = 18, "RELEASE", Answer::Empty;
    /// Brings a file to stable storage.
    Fsync = 20, "FSYNC", Answer::Empty;
    /// Sets an extended attribute.
    Setxattr = 21, "SETXATTR", Answer::Empty;
    /// Reads an extended attribute: its value, or with size 0 a `GetxattrOut`.
    Getxattr = 22, "GETXATTR", Answer::Data;
    /// Lists extended attributes: the names, or with size 0 a `GetxattrOut`.
    Listxattr = 23, "LISTXATTR", Answer::Data;
    /// Removes an extended attribute.
    Removexattr = 24, "REMOVEXATTR", Answer::Empty;
    /// One of a file's descriptors is closed.
    Flush = 25, "FLUSH", Answer::Empty;
    /// The first request: version and abilities.
    Init = 26, "INIT", Answer::Fixed(size_of::<InitOut>());
    /// Opens a directory.
    Opendir = 27, "OPENDIR", Answer::Fixed(size_of::<OpenOut>());
    /// Reads names.
    Readdir = 28, "READDIR", Answer::Data;
    /// Closes a directory.
    Releasedir = 29, "RELEASEDIR", Answer::Empty;
    /// Brings a directory to stable storage.
    Fsyncdir = 30, "FSYNCDIR", Answer::Empty;
    /// Asks for a conflicting lock.
    Getlk = 31, "GETLK", Answer::Fixed(size_of::<LkOut>());
    /// Takes or drops a lock, without waiting.
    Setlk = 32, "SETLK", Answer::Empty;
    /// Takes a lock, waiting for it.
    Setlkw = 33, "SETLKW", Answer::Empty;
    /// Asks what the caller may do.
    Access = 34, "ACCESS", Answer::Empty;
    /// Makes and opens a file.
    Create = 35, "CREATE", Answer::Fixed(size_of::<EntryOut>() + size_of::<OpenOut>());
    /// A caller no longer waits. Only ENOSYS and EAGAIN may be answered, and nothing need be.
    Interrupt = 36, "INTERRUPT", Answer::Never;
    /// Maps a block of a file to one of its device.
    Bmap = 37, "BMAP", Answer::Fixed(size_of::<BmapOut>());
    /// The mount has gone.
    Destroy = 38, "DESTROY", Answer::Empty;
    /// Device control.
    Ioctl = 39, "IOCTL", Answer::FixedAndData(size_of::<IoctlOut>());
    /// Asks for readiness.
    Poll = 40, "POLL", Answer::Fixed(size_of::<PollOut>());
    /// The data a RETRIEVE notification asked for.
    NotifyReply = 41, "NOTIFY_REPLY", Answer::Never;
    /// Gives back references to many nodes.
    BatchForget = 42, "BATCH_FORGET", Answer::Never;
    /// Allocates or frees space.
    Fallocate = 43, "FALLOCATE", Answer::Empty;
    /// Reads names with their attributes.
    Readdirplus = 44, "READDIRPLUS", Answer::Data;
    /// Renames with flags.
    Rename2 = 45, "RENAME2", Answer::Empty;
    /// Finds data or holes.
    Lseek = 46, "LSEEK", Answer::Fixed(size_of::<LseekOut>());
    /// Copies between files; 32-bit answer.
    CopyFileRange = 47, "COPY_FILE_RANGE", Answer::Fixed(size_of::<WriteOut>());
    /// Maps a file into a DAX window.
    Setupmapping = 48, "SETUPMAPPING", Answer::Empty;
    /// Unmaps parts of a DAX window.
    Removemapping = 49, "REMOVEMAPPING", Answer::Empty;
    /// Brings the file system to stable storage (7.34).
    Syncfs = 50, "SYNCFS", Answer::Empty;
    /// Makes and opens a file without a name (7.37).
    Tmpfile = 51, "TMPFILE", Answer::Fixed(size_of::<EntryOut>() + size_of::<OpenOut>());
    /// Reads extended attributes of the statx(2) kind (7.39).
    Statx = 52, "STATX", Answer::Fixed(size_of::<StatxOut>());
    /// Copies between files; 64-bit answer (7.45).
    CopyFileRange64 = 53, "COPY_FILE_RANGE_64", Answer::Fixed(size_of::<CopyFileRangeOut>());
    /// The durable name of a node. Extension.
    HandleOf = 0x1101, "HANDLE_OF", Answer::FixedAndData(size_of::<HandleOfOut>());
    /// The node of a durable name; counts as a lookup. Extension.
    NodeOf = 0x1102, "NODE_OF", Answer::Fixed(size_of::<EntryOut>());
    /// A sync that nobody waits for. Extension.
    SyncLater = 0x1103, "SYNC_LATER", Answer::Never;
    /// May the mount go? Extension.
    Unmount = 0x1104, "UNMOUNT", Answer::Empty;
    /// Switches extended attributes of a file system. Extension.
    Extattrctl = 0x1105, "EXTATTRCTL", Answer::Empty;
    /// The server has answered what no server may. Extension.
    Error = 0x1106, "ERROR", Answer::Never;
    /// Answers what the server asked the core. Extension.
    Response = 0x1107, "RESPONSE", Answer::Never;
}

impl Opcode {
    /// The first opcode of filo's extension.
    pub const EXTENSION: u32 = 0x1100;

    /// Whether Linux does not know it: it is spoken where INIT agreed on the extension.
    pub const fn is_extension(self) -> bool {
        self as u32 >= Self::EXTENSION
    }

    /// Whether the sender waits for a reply.
    pub const fn wants_answer(self) -> bool {
        !matches!(self.answer(), Answer::Never)
    }
}
