//! Requests as bytes: the side that plays the kernel.
//!
//! The mirror of [`Request::parse`](crate::request::Request::parse), from the same structures. The
//! parts of an operation are written as they are given: that a size in a structure is the size of
//! the data beside it is for the caller to see to.

use zerocopy::{Immutable, IntoBytes};

use crate::abi::{BatchForgetIn, InHeader, NodeOfIn, RECORD_ALIGN, RemovemappingIn};
use crate::dialect::Dialect;
use crate::request::Operation;

/// The name that TMPFILE carries although the file has none, as Linux has it.
const TMPFILE_NAME: &[u8] = b"/";

/// One whole message that asks for `operation`; in `header`, the lengths and the opcode are filled
/// in. `extensions` are whole extensions, in bytes.
///
/// `None` as with [`split`], of which this is the convenient form: it copies the data.
pub fn request(
    header: InHeader,
    operation: &Operation<'_>,
    extensions: &[u8],
    dialect: Dialect,
) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let tail = split(&mut bytes, header, operation, extensions, dialect)?;
    bytes.extend_from_slice(tail);
    Some(bytes)
}

/// The same in two parts, to be sent with one sendmsg(2) or writev(2): the first is written into
/// `head`, whose content it replaces and whose memory is used again; what is returned, the data of
/// the operation where it lies, comes after it. Nothing but names is copied.
///
/// `None` where the message would be longer than its length fields can say, or `dialect` lacks the
/// operation or extensions, or the extensions are not a multiple of 8 bytes or would follow data:
/// only requests that make files have them. `head` is then of no use.
pub fn split<'a>(
    head: &mut Vec<u8>,
    header: InHeader,
    operation: &Operation<'a>,
    extensions: &[u8],
    dialect: Dialect,
) -> Option<&'a [u8]> {
    head.clear();
    let opcode = operation.opcode();
    if opcode.is_extension() && !dialect.is_extended() {
        return None;
    }
    head.extend_from_slice(header.as_bytes());
    let tail = Message { head, tail: &[] }.operation(operation, dialect).tail;
    let extendable = dialect.has_extensions() && tail.is_empty();
    if !extensions.len().is_multiple_of(RECORD_ALIGN) || !extendable && !extensions.is_empty() {
        return None;
    }
    head.extend_from_slice(extensions);
    let header = InHeader {
        len: u32::try_from(head.len().checked_add(tail.len())?).ok()?,
        opcode: opcode as u32,
        total_extlen: u16::try_from(extensions.len() / RECORD_ALIGN).ok()?,
        ..header
    };
    head.get_mut(..size_of::<InHeader>())?.copy_from_slice(header.as_bytes());
    Some(tail)
}

/// A message that grows at its end, but for its data, which stays where it lies.
struct Message<'h, 'a> {
    head: &'h mut Vec<u8>,
    tail: &'a [u8],
}

impl<'a> Message<'_, 'a> {
    fn fixed<T: IntoBytes + Immutable>(&mut self, arg: &T) -> &mut Self {
        self.head.extend_from_slice(arg.as_bytes());
        self
    }

    fn string(&mut self, string: &[u8]) -> &mut Self {
        self.head.extend_from_slice(string);
        self.head.push(0);
        self
    }

    /// Ends the body.
    const fn data(&mut self, data: &'a [u8]) -> &mut Self {
        self.tail = data;
        self
    }

    /// The body of each operation: structure, names, data.
    fn operation(&mut self, operation: &Operation<'a>, dialect: Dialect) -> &mut Self {
        match operation {
            Operation::Readlink | Operation::Statfs | Operation::Destroy => self,
            Operation::Lookup { name } | Operation::Unlink { name } | Operation::Rmdir { name } => {
                self.string(name.as_bytes())
            }
            Operation::Forget { arg } => self.fixed(arg),
            Operation::Getattr { arg } => self.fixed(arg),
            Operation::Setattr { arg } => self.fixed(arg),
            Operation::Symlink { name, target } => self.string(name.as_bytes()).string(target),
            Operation::Mknod { arg, name } => self.fixed(arg).string(name.as_bytes()),
            Operation::Mkdir { arg, name } => self.fixed(arg).string(name.as_bytes()),
            Operation::Rename { arg, name, new_name } => {
                self.fixed(arg).string(name.as_bytes()).string(new_name.as_bytes())
            }
            Operation::Rename2 { arg, name, new_name } => {
                self.fixed(arg).string(name.as_bytes()).string(new_name.as_bytes())
            }
            Operation::Link { arg, new_name } => self.fixed(arg).string(new_name.as_bytes()),
            Operation::Open { arg } | Operation::Opendir { arg } => self.fixed(arg),
            Operation::Read { arg }
            | Operation::Readdir { arg }
            | Operation::Readdirplus { arg } => self.fixed(arg),
            Operation::Write { arg, data } => self.fixed(arg).data(data),
            Operation::Release { arg } | Operation::Releasedir { arg } => self.fixed(arg),
            Operation::Fsync { arg } | Operation::Fsyncdir { arg } => self.fixed(arg),
            Operation::Setxattr { arg, name, value } => {
                if dialect.long_setxattr() {
                    self.fixed(arg);
                } else {
                    // The structure as it was: size and flags.
                    self.fixed(&[arg.size, arg.flags]);
                }
                self.string(name.as_bytes()).data(value)
            }
            Operation::Getxattr { arg, name } => self.fixed(arg).string(name.as_bytes()),
            Operation::Listxattr { arg } => self.fixed(arg),
            Operation::Removexattr { name } => self.string(name.as_bytes()),
            Operation::Flush { arg } => self.fixed(arg),
            Operation::Init { arg } => self.fixed(arg),
            Operation::Getlk { arg } | Operation::Setlk { arg } | Operation::Setlkw { arg } => {
                self.fixed(arg)
            }
            Operation::Access { arg } => self.fixed(arg),
            Operation::Create { arg, name } => self.fixed(arg).string(name.as_bytes()),
            Operation::Interrupt { arg } => self.fixed(arg),
            Operation::Bmap { arg } => self.fixed(arg),
            Operation::Ioctl { arg, data } => self.fixed(arg).data(data),
            Operation::Poll { arg } => self.fixed(arg),
            Operation::NotifyReply { arg, data } => self.fixed(arg).data(data),
            Operation::BatchForget { nodes } => {
                let arg = BatchForgetIn { count: nodes.len() as u32, padding: 0 };
                self.fixed(&arg).data(nodes.as_bytes())
            }
            Operation::Fallocate { arg } => self.fixed(arg),
            Operation::Lseek { arg } => self.fixed(arg),
            Operation::CopyFileRange { arg } | Operation::CopyFileRange64 { arg } => {
                self.fixed(arg)
            }
            Operation::Setupmapping { arg } => self.fixed(arg),
            Operation::Removemapping { parts } => {
                let arg = RemovemappingIn { count: parts.len() as u32 };
                self.fixed(&arg).data(parts.as_bytes())
            }
            Operation::Syncfs { arg } => self.fixed(arg),
            Operation::Tmpfile { arg } => self.fixed(arg).string(TMPFILE_NAME),
            Operation::Statx { arg } => self.fixed(arg),
            Operation::HandleOf { arg } => self.fixed(arg),
            Operation::NodeOf { handle } => {
                self.fixed(&NodeOfIn { len: handle.len() as u32, padding: 0 }).data(handle)
            }
            Operation::SyncLater { arg } => self.fixed(arg),
            Operation::Unmount { arg } => self.fixed(arg),
            Operation::Extattrctl { arg, name: None } => self.fixed(arg),
            Operation::Extattrctl { arg, name: Some(name) } => {
                self.fixed(arg).string(name.as_bytes())
            }
            Operation::Error { arg, text } => self.fixed(arg).data(text),
            Operation::Response { arg, data } => self.fixed(arg).data(data),
        }
    }
}
