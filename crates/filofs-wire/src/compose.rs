//! Requests as bytes: the side that plays the kernel.
//!
//! The mirror of [`Request::parse`](crate::request::Request::parse), from the same structures.

use zerocopy::{Immutable, IntoBytes};

use crate::abi::{
    BatchForgetIn, InHeader, NodeOfIn, RECORD_ALIGN, RemovemappingIn, SETXATTR_IN_SIZE_SHORT,
};
use crate::dialect::Dialect;
use crate::request::Operation;

/// The name that TMPFILE carries although the file has none, as Linux has it.
const TMPFILE_NAME: &[u8] = b"/";

/// One whole message that asks for `operation`; in `header`, the lengths and the opcode are filled
/// in. `extensions` are whole extensions, in bytes.
///
/// `None` where the message would be longer than its length fields can say, or the extensions are
/// not a multiple of 8 bytes.
pub fn request(
    header: InHeader,
    operation: &Operation<'_>,
    extensions: &[u8],
    dialect: Dialect,
) -> Option<Vec<u8>> {
    if !extensions.len().is_multiple_of(RECORD_ALIGN) {
        return None;
    }
    let mut message = Message { bytes: header.as_bytes().to_vec() };
    message.operation(operation, dialect);
    let mut bytes = message.bytes;
    bytes.extend_from_slice(extensions);
    let header = InHeader {
        len: u32::try_from(bytes.len()).ok()?,
        opcode: operation.opcode() as u32,
        total_extlen: u16::try_from(extensions.len() / RECORD_ALIGN).ok()?,
        ..header
    };
    bytes.get_mut(..size_of::<InHeader>())?.copy_from_slice(header.as_bytes());
    Some(bytes)
}

/// A message that grows at its end.
struct Message {
    bytes: Vec<u8>,
}

impl Message {
    fn fixed<T: IntoBytes + Immutable>(&mut self, arg: &T) -> &mut Message {
        self.data(arg.as_bytes())
    }

    fn string(&mut self, string: &[u8]) -> &mut Message {
        self.data(string).data(b"\0")
    }

    fn data(&mut self, data: &[u8]) -> &mut Message {
        self.bytes.extend_from_slice(data);
        self
    }

    /// The body of each operation: structure, names, data.
    fn operation(&mut self, operation: &Operation<'_>, dialect: Dialect) -> &mut Message {
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
                let arg = arg.as_bytes();
                let len = if dialect.long_setxattr() { arg.len() } else { SETXATTR_IN_SIZE_SHORT };
                let arg = arg.get(..len).unwrap_or(arg);
                self.data(arg).string(name.as_bytes()).data(value)
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
            Operation::Extattrctl { arg, name } => self.fixed(arg).string(name),
            Operation::Error { arg, text } => self.fixed(arg).data(text),
            Operation::Response { arg, data } => self.fixed(arg).data(data),
        }
    }
}
