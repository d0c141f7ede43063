//! Answers: a header and a structure in one value, ready to be written.
//!
//! Each function makes a [`Message`], on the stack and without allocation. Where data follows
//! (READ, READLINK, READDIR, the values of extended attributes, IOCTL), the message's header
//! already counts it, and the caller writes both with one writev(2).
//!
//! A successful answer has exactly the length its operation asks for, or Linux gives the caller
//! EIO; see [`Opcode::answer`](crate::abi::Opcode::answer). Every size is that of 7.31 and later.

use core::fmt;

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned};

use crate::abi::{
    AttrOut, BmapOut, CopyFileRangeOut, EntryOut, FileLock, GetxattrOut, HandleOfOut, InitOut,
    IoctlOut, Kstatfs, LkOut, LseekOut, MountArguments, OpenOut, OutHeader, PollOut, StatfsOut,
    StatxOut, WriteOut,
};
use crate::errno::ReplyErrno;
use crate::limits::TRANSFER_MAX;
use crate::name::Name;

/// A header, and the structure that follows it. See [`as_bytes`](Message::as_bytes).
#[derive(Clone, Copy, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C, packed)]
pub struct Message<T> {
    header: OutHeader,
    body: T,
}

/// What answers CREATE and TMPFILE: two structures.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct CreateOut {
    /// The new node.
    pub entry: EntryOut,
    /// The open file description.
    pub open: OpenOut,
}

/// What answers INIT where the extension is agreed on: two structures.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable,
)]
#[repr(C)]
pub struct ExtendedInitOut {
    /// What every server answers.
    pub init: InitOut,
    /// What the server says of its file system.
    pub arguments: MountArguments,
}

/// A reply would carry more data than [`TRANSFER_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong;

/// An error.
pub fn error(unique: u64, errno: ReplyErrno) -> Message<()> {
    Message {
        header: OutHeader { len: size_of::<OutHeader>() as u32, error: -errno.number(), unique },
        body: (),
    }
}

/// Success with nothing to say.
pub fn empty(unique: u64) -> Message<()> {
    Message::new(0, unique, ())
}

/// Success; `len` bytes follow. Answers READ, READLINK, READDIR, READDIRPLUS, and GETXATTR and
/// LISTXATTR with a size.
pub fn data(unique: u64, len: usize) -> Result<Message<()>, TooLong> {
    Message::with_data(0, unique, (), len)
}

/// Answers LOOKUP, SYMLINK, MKNOD, MKDIR, LINK.
pub fn entry(unique: u64, entry: EntryOut) -> Message<EntryOut> {
    Message::new(0, unique, entry)
}

/// Answers GETATTR, SETATTR.
pub fn attr(unique: u64, attr: AttrOut) -> Message<AttrOut> {
    Message::new(0, unique, attr)
}

/// Answers STATX.
pub fn statx(unique: u64, statx: StatxOut) -> Message<StatxOut> {
    Message::new(0, unique, statx)
}

/// Answers OPEN, OPENDIR.
pub fn open(unique: u64, open: OpenOut) -> Message<OpenOut> {
    Message::new(0, unique, open)
}

/// Answers CREATE, TMPFILE.
pub fn create(unique: u64, entry: EntryOut, open: OpenOut) -> Message<CreateOut> {
    Message::new(0, unique, CreateOut { entry, open })
}

/// Answers WRITE, COPY_FILE_RANGE: the number of bytes taken.
pub fn write(unique: u64, size: u32) -> Message<WriteOut> {
    Message::new(0, unique, WriteOut { size, padding: 0 })
}

/// Answers COPY_FILE_RANGE_64: the number of bytes copied.
pub fn copy_file_range_64(unique: u64, bytes_copied: u64) -> Message<CopyFileRangeOut> {
    Message::new(0, unique, CopyFileRangeOut { bytes_copied })
}

/// Answers STATFS.
pub fn statfs(unique: u64, st: Kstatfs) -> Message<StatfsOut> {
    Message::new(0, unique, StatfsOut { st })
}

/// Answers GETXATTR and LISTXATTR without a size: the length there is, in bytes.
pub fn xattr_size(unique: u64, size: u32) -> Message<GetxattrOut> {
    Message::new(0, unique, GetxattrOut { size, padding: 0 })
}

/// Answers GETLK.
pub fn lk(unique: u64, lk: FileLock) -> Message<LkOut> {
    Message::new(0, unique, LkOut { lk })
}

/// Answers LSEEK.
pub fn lseek(unique: u64, offset: u64) -> Message<LseekOut> {
    Message::new(0, unique, LseekOut { offset })
}

/// Answers BMAP.
pub fn bmap(unique: u64, block: u64) -> Message<BmapOut> {
    Message::new(0, unique, BmapOut { block })
}

/// Answers POLL.
pub fn poll(unique: u64, revents: u32) -> Message<PollOut> {
    Message::new(0, unique, PollOut { revents, padding: 0 })
}

/// Answers IOCTL; `len` bytes follow.
pub fn ioctl(unique: u64, ioctl: IoctlOut, len: usize) -> Result<Message<IoctlOut>, TooLong> {
    Message::with_data(0, unique, ioctl, len)
}

/// Answers INIT.
pub fn init(unique: u64, init: InitOut) -> Message<InitOut> {
    Message::new(0, unique, init)
}

/// Answers INIT of a core that offered the extension.
pub fn init_extended(
    unique: u64,
    init: InitOut,
    arguments: MountArguments,
) -> Message<ExtendedInitOut> {
    Message::new(0, unique, ExtendedInitOut { init, arguments })
}

/// Answers HANDLE_OF for a handle of `len` bytes. With `follows` the handle follows; without, the
/// caller learns how much room it needs.
pub fn handle_of(unique: u64, len: u32, follows: bool) -> Result<Message<HandleOfOut>, TooLong> {
    let out = HandleOfOut { len, padding: 0 };
    Message::with_data(0, unique, out, if follows { len as usize } else { 0 })
}

impl<T: IntoBytes + Immutable + Copy> Message<T> {
    /// A message with nothing after its structure.
    pub(crate) fn new(error: i32, unique: u64, body: T) -> Message<T> {
        let len = (size_of::<OutHeader>() + size_of::<T>()) as u32;
        Message { header: OutHeader { len, error, unique }, body }
    }

    /// A message with `data_len` bytes after its structure.
    pub(crate) fn with_data(
        error: i32,
        unique: u64,
        body: T,
        data_len: usize,
    ) -> Result<Message<T>, TooLong> {
        let data_len = u32::try_from(data_len).map_err(|_| TooLong)?;
        if data_len > TRANSFER_MAX {
            return Err(TooLong);
        }
        let len = (size_of::<OutHeader>() + size_of::<T>()) as u32 + data_len;
        Ok(Message { header: OutHeader { len, error, unique }, body })
    }

    /// A notification with a name and its NUL after its structure.
    pub(crate) fn with_name(code: i32, body: T, name: Name<'_>) -> Message<T> {
        let mut message = Message::new(code, 0, body);
        message.header.len += name.as_bytes().len() as u32 + 1;
        message
    }

    /// Header and structure, as they are written.
    pub fn as_bytes(&self) -> &[u8] {
        IntoBytes::as_bytes(self)
    }

    /// The header.
    pub const fn header(&self) -> OutHeader {
        self.header
    }

    /// The structure.
    pub const fn body(&self) -> T {
        self.body
    }
}

impl<T: fmt::Debug + Copy> fmt::Debug for Message<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (header, body) = (self.header, self.body);
        f.debug_struct("Message").field("header", &header).field("body", &body).finish()
    }
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "more than {TRANSFER_MAX} bytes of data in a reply")
    }
}

impl core::error::Error for TooLong {}
