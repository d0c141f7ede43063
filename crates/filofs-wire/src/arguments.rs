//! What a server says of its file system when it is mounted, checked.

use core::fmt;

use bitflags::Flags;
use zerocopy::FromBytes;

use crate::abi::{
    EXTENSION_MAGIC, EXTENSION_VERSION, HandleFlags, MESSAGE_MIN, MountArguments, MountFlags,
    Opcode, ROOT_ID,
};
use crate::errno::ReplyErrno;
use crate::limits::{HANDLE_MAX, NFSV2_HANDLE_MAX, NFSV3_HANDLE_MAX, OFFSET_MAX};

/// Why a file system cannot be mounted. The text is for the log, with the number that is wrong;
/// the answer is always EINVAL.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadArguments {
    /// Fewer bytes than the structure has (A9).
    Short(usize),
    /// Something else than arguments.
    Magic(u32),
    /// Another version than [`EXTENSION_VERSION`] (A12).
    Version(u32),
    /// Bits of [`MountFlags`] that have no meaning (A13).
    Flags(u32),
    /// Bits of [`HandleFlags`] that have no meaning (A14).
    HandleFlags(u32),
    /// A spare word which is not zero (A15).
    Spare {
        /// Which one.
        index: usize,
        /// What it is.
        value: u32,
    },
    /// Handles longer than handles can be (A17), or than the version of NFS allows that the flags
    /// speak of (A18).
    HandleSize {
        /// The size in bytes that was given.
        size: u32,
        /// The largest possible one.
        max: u32,
    },
    /// The root's node id is not 1.
    RootNode(u64),
    /// The root's mode does not say what it is, or says what no file can be (A32, A33).
    RootMode(u32),
    /// The root's size is negative (A34).
    RootSize(u64),
}

impl MountArguments {
    /// Reads what a server sent, and makes of it the arguments that are in force: what a core
    /// keeps, shows, and gives back to a server that asks (A10, A23, A27). Reading those gives
    /// them again.
    ///
    /// Larger messages than `max_message` are not to be had; it is at least [`MESSAGE_MIN`].
    ///
    /// The checks are those of puffs, in its order, and the first that fails decides. Changed are:
    ///
    /// - with `PASSTHROUGH` the size of handles is whatever the protocol can carry (A16);
    /// - both names end within their fields; each byte which is not printable ASCII, or is a
    ///   backslash, is a dot, and nothing follows their end (A19, A20);
    /// - the largest message is within its limits (A22).
    ///
    /// The masks of operations may have any bytes (A37).
    pub fn read(bytes: &[u8], max_message: u32) -> Result<MountArguments, BadArguments> {
        let (mut arguments, _) = MountArguments::read_from_prefix(bytes)
            .map_err(|_| BadArguments::Short(bytes.len()))?;
        if arguments.magic != EXTENSION_MAGIC {
            return Err(BadArguments::Magic(arguments.magic));
        }
        if arguments.version != EXTENSION_VERSION {
            return Err(BadArguments::Version(arguments.version));
        }
        only_named(&arguments.flags, BadArguments::Flags)?;
        only_named(&arguments.handle_flags, BadArguments::HandleFlags)?;
        for (index, value) in arguments.spare.into_iter().enumerate() {
            if value != 0 {
                return Err(BadArguments::Spare { index, value });
            }
        }
        arguments.handle_size = handle_size(arguments.handle_size, arguments.handle_flags)?;
        sanitise(&mut arguments.type_name);
        sanitise(arguments.from_name.as_flattened_mut());
        arguments.max_message = message_size(arguments.max_message, max_message);
        arguments.check_root()?;
        Ok(arguments)
    }

    /// Arguments with those names, cleaned and cut as [`read`](Self::read) would, and all else
    /// zero: what a server begins with. The root still lacks its mode.
    pub fn named(type_name: &str, from_name: &str) -> MountArguments {
        let mut arguments = MountArguments {
            magic: EXTENSION_MAGIC,
            version: EXTENSION_VERSION,
            ..MountArguments::default()
        };
        arguments.root.nodeid = ROOT_ID;
        arguments.set_type_name(type_name);
        put(arguments.from_name.as_flattened_mut(), from_name);
        arguments
    }

    /// What kind of file system it is, up to the NUL: ASCII, in arguments that were
    /// [`read`](Self::read).
    pub fn type_name(&self) -> &str {
        text(&self.type_name)
    }

    /// Where its files come from, the same way.
    pub fn from_name(&self) -> &str {
        text(self.from_name.as_flattened())
    }

    /// Writes the name back that the mount really has (A21, A27), cleaned and cut.
    pub fn set_type_name(&mut self, name: &str) {
        put(&mut self.type_name, name);
    }

    /// Whether the server has an operation, or wants to be asked in any case (`ALL_OPS`).
    pub fn has_operation(&self, opcode: Opcode) -> bool {
        let (mask, index) = place(opcode);
        let mask = match mask {
            Mask::Fuse => self.operations.as_flattened(),
            Mask::Extension => &self.extended_operations,
        };
        self.flags.contains(MountFlags::ALL_OPS) || mask.get(index).is_some_and(|&byte| byte != 0)
    }

    /// Says that the server has an operation.
    pub fn set_operation(&mut self, opcode: Opcode) {
        let (mask, index) = place(opcode);
        let mask = match mask {
            Mask::Fuse => self.operations.as_flattened_mut(),
            Mask::Extension => self.extended_operations.as_mut_slice(),
        };
        if let Some(byte) = mask.get_mut(index) {
            *byte = 1;
        }
    }

    fn check_root(&self) -> Result<(), BadArguments> {
        const FIFO: u32 = 0o01;
        const CHARACTER: u32 = 0o02;
        const DIRECTORY: u32 = 0o04;
        const BLOCK: u32 = 0o06;
        const REGULAR: u32 = 0o10;
        const SYMLINK: u32 = 0o12;
        const SOCKET: u32 = 0o14;

        if self.root.nodeid != ROOT_ID {
            return Err(BadArguments::RootNode(self.root.nodeid));
        }
        let mode = self.root.attr.mode;
        match mode >> 12 {
            REGULAR | DIRECTORY | BLOCK | CHARACTER | SYMLINK | SOCKET | FIFO => {}
            _ => return Err(BadArguments::RootMode(mode)),
        }
        if self.root.attr.size > OFFSET_MAX {
            return Err(BadArguments::RootSize(self.root.attr.size));
        }
        Ok(())
    }
}

/// Which mask of operations.
enum Mask {
    Fuse,
    Extension,
}

/// Where the byte of an operation stands.
const fn place(opcode: Opcode) -> (Mask, usize) {
    match (opcode as u32).checked_sub(Opcode::EXTENSION) {
        Some(index) => (Mask::Extension, index as usize),
        None => (Mask::Fuse, opcode as usize),
    }
}

/// Only bits that have a name are set.
fn only_named<F: Flags<Bits = u32>>(
    flags: &F,
    bad: impl FnOnce(u32) -> BadArguments,
) -> Result<(), BadArguments> {
    let mut names = flags.iter_names();
    names.by_ref().for_each(drop);
    match names.remaining().bits() {
        0 => Ok(()),
        bits => Err(bad(bits)),
    }
}

/// The size of handles that is in force (A16, A17, A18).
fn handle_size(size: u32, flags: HandleFlags) -> Result<u32, BadArguments> {
    if flags.contains(HandleFlags::PASSTHROUGH) {
        return Ok(HANDLE_MAX);
    }
    let limits = [
        (HandleFlags::empty(), HANDLE_MAX),
        (HandleFlags::NFSV2, NFSV2_HANDLE_MAX),
        (HandleFlags::NFSV3, NFSV3_HANDLE_MAX),
    ];
    match limits.into_iter().find(|&(flag, max)| flags.contains(flag) && size > max) {
        Some((_, max)) => Err(BadArguments::HandleSize { size, max }),
        None => Ok(size),
    }
}

/// The largest message that is in force (A22).
fn message_size(size: u32, max: u32) -> u32 {
    let max = max.max(MESSAGE_MIN);
    if size == 0 { max } else { size.clamp(MESSAGE_MIN, max) }
}

/// Ends a name within its field, and makes a dot of each byte which is not printable ASCII, or
/// could begin an escape in a mount table (A19, A20). What follows its end becomes zero.
fn sanitise(field: &mut [u8]) {
    if let Some(last) = field.last_mut() {
        *last = 0;
    }
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(0);
    for (at, byte) in field.iter_mut().enumerate() {
        if at >= end {
            *byte = 0;
        } else if !matches!(*byte, b' '..=b'~') || *byte == b'\\' {
            *byte = b'.';
        }
    }
}

/// Puts a name into its field.
fn put(field: &mut [u8], name: &str) {
    field.fill(0);
    field.iter_mut().zip(name.bytes()).for_each(|(place, byte)| *place = byte);
    sanitise(field);
}

/// The name in a field; empty if it is not clean.
fn text(field: &[u8]) -> &str {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    field.get(..end).and_then(|name| core::str::from_utf8(name).ok()).unwrap_or_default()
}

impl BadArguments {
    /// What the mount fails with.
    pub const fn errno(self) -> ReplyErrno {
        ReplyErrno::EINVAL
    }
}

impl fmt::Display for BadArguments {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadArguments::Short(len) => write!(
                f,
                "mount arguments of {len} bytes instead of {}",
                size_of::<MountArguments>()
            ),
            BadArguments::Magic(magic) => write!(f, "no mount arguments: they begin {magic:#x}"),
            BadArguments::Version(version) => write!(
                f,
                "mount arguments of version {version}; version {EXTENSION_VERSION} is spoken"
            ),
            BadArguments::Flags(bits) => write!(f, "unknown mount flags {bits:#x}"),
            BadArguments::HandleFlags(bits) => write!(f, "unknown handle flags {bits:#x}"),
            BadArguments::Spare { index, value } => {
                write!(f, "spare word {index} of the mount arguments is {value:#x}, not 0")
            }
            BadArguments::HandleSize { size, max } => {
                write!(f, "file handles of {size} bytes; at most {max} can be")
            }
            BadArguments::RootNode(node) => write!(f, "the root is node {node}, not {ROOT_ID}"),
            BadArguments::RootMode(mode) => write!(f, "a root of mode {mode:#o}"),
            BadArguments::RootSize(size) => write!(f, "a root of {size} bytes"),
        }
    }
}

impl core::error::Error for BadArguments {}
