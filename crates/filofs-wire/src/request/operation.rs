//! What a request asks: one variant per opcode, and the one place that says how each body looks.

use super::body::{Body, nanoseconds, range, within};
use super::{Reason, Records};
use crate::abi::{
    AccessIn, BatchForgetIn, BmapIn, CopyFileRangeIn, CreateIn, ErrorIn, ExtattrctlFlags,
    ExtattrctlIn, FallocateIn, FlushIn, ForgetIn, ForgetOne, FsyncIn, GetattrIn, GetxattrIn,
    HandleOfIn, INIT_IN_SIZE_SHORT, InitIn, InterruptIn, IoctlIn, LinkIn, LkIn, LseekIn, MkdirIn,
    MknodIn, NodeOfIn, NotifyRetrieveIn, Opcode, OpenIn, PollIn, ReadIn, ReleaseIn,
    RemovemappingIn, RemovemappingOne, Rename2In, RenameIn, ResponseIn, SETXATTR_IN_SIZE_SHORT,
    SetattrIn, SetattrValid, SetupmappingIn, SetxattrIn, StatxIn, SyncLaterIn, SyncfsIn, UnmountIn,
    WriteIn,
};
use crate::dialect::Dialect;
use crate::limits::{ERROR_TEXT_MAX, HANDLE_MAX, RESPONSE_MAX, TRANSFER_MAX, XATTR_SIZE_MAX};
use crate::name::{Name, XattrName};

/// An operation with its arguments. `arg` is the structure that begins the body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are the request's parts, documented by their types")]
pub enum Operation<'a> {
    /// Finds `name` in the directory. It may be "." or "..", with `EXPORT_SUPPORT`.
    Lookup { name: Name<'a> },
    /// Gives back references to the node. No reply.
    Forget { arg: ForgetIn },
    /// Reads attributes.
    Getattr { arg: GetattrIn },
    /// Changes attributes. Nanoseconds of times to be set are below a second.
    Setattr { arg: SetattrIn },
    /// Reads a symbolic link.
    Readlink,
    /// Makes a symbolic link: 1 to 4095 bytes of content.
    Symlink { name: Name<'a>, target: &'a [u8] },
    /// Makes a file or special file.
    Mknod { arg: MknodIn, name: Name<'a> },
    /// Makes a directory.
    Mkdir { arg: MkdirIn, name: Name<'a> },
    /// Removes a name which is not a directory's.
    Unlink { name: Name<'a> },
    /// Removes a directory.
    Rmdir { name: Name<'a> },
    /// Renames `name` in the directory to `new_name` in another.
    Rename { arg: RenameIn, name: Name<'a>, new_name: Name<'a> },
    /// Gives `arg.oldnodeid` another name in the directory.
    Link { arg: LinkIn, new_name: Name<'a> },
    /// Opens a file.
    Open { arg: OpenIn },
    /// Reads data. The range ends at or before the largest position.
    Read { arg: ReadIn },
    /// Writes data, `arg.size` bytes. The range ends at or before the largest position.
    Write { arg: WriteIn, data: &'a [u8] },
    /// Reads the file system's numbers.
    Statfs,
    /// Closes an open file for good.
    Release { arg: ReleaseIn },
    /// Brings a file to stable storage.
    Fsync { arg: FsyncIn },
    /// Sets an extended attribute to `arg.size` bytes, at most 65,536.
    Setxattr { arg: SetxattrIn, name: XattrName<'a>, value: &'a [u8] },
    /// Reads an extended attribute.
    Getxattr { arg: GetxattrIn, name: XattrName<'a> },
    /// Lists extended attributes.
    Listxattr { arg: GetxattrIn },
    /// Removes an extended attribute.
    Removexattr { name: XattrName<'a> },
    /// One of a file's descriptors is closed.
    Flush { arg: FlushIn },
    /// The first request. Fields that an older kernel does not send are zero.
    Init { arg: InitIn },
    /// Opens a directory.
    Opendir { arg: OpenIn },
    /// Reads names. `arg.offset` is whatever an entry carried.
    Readdir { arg: ReadIn },
    /// Closes a directory.
    Releasedir { arg: ReleaseIn },
    /// Brings a directory to stable storage.
    Fsyncdir { arg: FsyncIn },
    /// Asks for a conflicting lock.
    Getlk { arg: LkIn },
    /// Takes or drops a lock, without waiting.
    Setlk { arg: LkIn },
    /// Takes a lock, waiting for it.
    Setlkw { arg: LkIn },
    /// Asks what the caller may do.
    Access { arg: AccessIn },
    /// Makes and opens a file.
    Create { arg: CreateIn, name: Name<'a> },
    /// A caller no longer waits for the request named. No reply.
    Interrupt { arg: InterruptIn },
    /// Maps a block of a file to one of its device.
    Bmap { arg: BmapIn },
    /// The mount has gone.
    Destroy,
    /// Device control, with `arg.in_size` bytes.
    Ioctl { arg: IoctlIn, data: &'a [u8] },
    /// Asks for readiness.
    Poll { arg: PollIn },
    /// The data a RETRIEVE notification asked for, `arg.size` bytes. No reply.
    NotifyReply { arg: NotifyRetrieveIn, data: &'a [u8] },
    /// Gives back references to many nodes. No reply.
    BatchForget { nodes: Records<'a, ForgetOne> },
    /// Allocates or frees space. The range ends at or before the largest position.
    Fallocate { arg: FallocateIn },
    /// Reads names with their attributes. `arg.offset` is whatever an entry carried.
    Readdirplus { arg: ReadIn },
    /// Renames with flags.
    Rename2 { arg: Rename2In, name: Name<'a>, new_name: Name<'a> },
    /// Finds data or holes.
    Lseek { arg: LseekIn },
    /// Copies between files; answered with a 32-bit count.
    CopyFileRange { arg: CopyFileRangeIn },
    /// Maps a file into a DAX window.
    Setupmapping { arg: SetupmappingIn },
    /// Unmaps parts of a DAX window.
    Removemapping { parts: Records<'a, RemovemappingOne> },
    /// Brings the file system to stable storage.
    Syncfs { arg: SyncfsIn },
    /// Makes and opens a file without a name, in the directory. The name Linux sends all the same
    /// ("/") is dropped.
    Tmpfile { arg: CreateIn },
    /// Reads attributes of the statx(2) kind.
    Statx { arg: StatxIn },
    /// Copies between files; answered with a 64-bit count.
    CopyFileRange64 { arg: CopyFileRangeIn },
    /// Asks for a node's durable name. Extension.
    HandleOf { arg: HandleOfIn },
    /// Asks for the node of a durable name. Extension.
    NodeOf { handle: &'a [u8] },
    /// Brings the file system to stable storage; nobody waits. No reply. Extension.
    SyncLater { arg: SyncLaterIn },
    /// The unmount question. Extension.
    Unmount { arg: UnmountIn },
    /// Switches extended attributes. There is a name if `arg.flags` says so. Extension.
    Extattrctl { arg: ExtattrctlIn, name: Option<XattrName<'a>> },
    /// Tells the server what it answered wrongly, in at most 256 bytes. No reply. Extension.
    Error { arg: ErrorIn, text: &'a [u8] },
    /// Answers a call of the server's, with at most 256 KiB. No reply. Extension.
    Response { arg: ResponseIn, data: &'a [u8] },
}

impl<'a> Operation<'a> {
    /// The operation without its arguments.
    pub const fn opcode(&self) -> Opcode {
        match self {
            Operation::Lookup { .. } => Opcode::Lookup,
            Operation::Forget { .. } => Opcode::Forget,
            Operation::Getattr { .. } => Opcode::Getattr,
            Operation::Setattr { .. } => Opcode::Setattr,
            Operation::Readlink => Opcode::Readlink,
            Operation::Symlink { .. } => Opcode::Symlink,
            Operation::Mknod { .. } => Opcode::Mknod,
            Operation::Mkdir { .. } => Opcode::Mkdir,
            Operation::Unlink { .. } => Opcode::Unlink,
            Operation::Rmdir { .. } => Opcode::Rmdir,
            Operation::Rename { .. } => Opcode::Rename,
            Operation::Link { .. } => Opcode::Link,
            Operation::Open { .. } => Opcode::Open,
            Operation::Read { .. } => Opcode::Read,
            Operation::Write { .. } => Opcode::Write,
            Operation::Statfs => Opcode::Statfs,
            Operation::Release { .. } => Opcode::Release,
            Operation::Fsync { .. } => Opcode::Fsync,
            Operation::Setxattr { .. } => Opcode::Setxattr,
            Operation::Getxattr { .. } => Opcode::Getxattr,
            Operation::Listxattr { .. } => Opcode::Listxattr,
            Operation::Removexattr { .. } => Opcode::Removexattr,
            Operation::Flush { .. } => Opcode::Flush,
            Operation::Init { .. } => Opcode::Init,
            Operation::Opendir { .. } => Opcode::Opendir,
            Operation::Readdir { .. } => Opcode::Readdir,
            Operation::Releasedir { .. } => Opcode::Releasedir,
            Operation::Fsyncdir { .. } => Opcode::Fsyncdir,
            Operation::Getlk { .. } => Opcode::Getlk,
            Operation::Setlk { .. } => Opcode::Setlk,
            Operation::Setlkw { .. } => Opcode::Setlkw,
            Operation::Access { .. } => Opcode::Access,
            Operation::Create { .. } => Opcode::Create,
            Operation::Interrupt { .. } => Opcode::Interrupt,
            Operation::Bmap { .. } => Opcode::Bmap,
            Operation::Destroy => Opcode::Destroy,
            Operation::Ioctl { .. } => Opcode::Ioctl,
            Operation::Poll { .. } => Opcode::Poll,
            Operation::NotifyReply { .. } => Opcode::NotifyReply,
            Operation::BatchForget { .. } => Opcode::BatchForget,
            Operation::Fallocate { .. } => Opcode::Fallocate,
            Operation::Readdirplus { .. } => Opcode::Readdirplus,
            Operation::Rename2 { .. } => Opcode::Rename2,
            Operation::Lseek { .. } => Opcode::Lseek,
            Operation::CopyFileRange { .. } => Opcode::CopyFileRange,
            Operation::Setupmapping { .. } => Opcode::Setupmapping,
            Operation::Removemapping { .. } => Opcode::Removemapping,
            Operation::Syncfs { .. } => Opcode::Syncfs,
            Operation::Tmpfile { .. } => Opcode::Tmpfile,
            Operation::Statx { .. } => Opcode::Statx,
            Operation::CopyFileRange64 { .. } => Opcode::CopyFileRange64,
            Operation::HandleOf { .. } => Opcode::HandleOf,
            Operation::NodeOf { .. } => Opcode::NodeOf,
            Operation::SyncLater { .. } => Opcode::SyncLater,
            Operation::Unmount { .. } => Opcode::Unmount,
            Operation::Extattrctl { .. } => Opcode::Extattrctl,
            Operation::Error { .. } => Opcode::Error,
            Operation::Response { .. } => Opcode::Response,
        }
    }

    /// Reads the body of a request, which must end where the operation does.
    pub(super) fn parse(
        opcode: Opcode,
        mut body: Body<'a>,
        dialect: Dialect,
    ) -> Result<Operation<'a>, Reason> {
        let body = &mut body;
        // Fields are read in the order in which they are written here.
        let operation = match opcode {
            Opcode::Lookup => Operation::Lookup { name: body.name()? },
            Opcode::Forget => Operation::Forget { arg: body.fixed()? },
            Opcode::Getattr => Operation::Getattr { arg: body.fixed()? },
            Opcode::Setattr => Operation::Setattr { arg: setattr(body)? },
            Opcode::Readlink => Operation::Readlink,
            Opcode::Symlink => {
                Operation::Symlink { name: body.name_but_dots()?, target: body.target()? }
            }
            Opcode::Mknod => Operation::Mknod { arg: body.fixed()?, name: body.name_but_dots()? },
            Opcode::Mkdir => Operation::Mkdir { arg: body.fixed()?, name: body.name_but_dots()? },
            Opcode::Unlink => Operation::Unlink { name: body.name_but_dots()? },
            Opcode::Rmdir => Operation::Rmdir { name: body.name_but_dots()? },
            Opcode::Rename => Operation::Rename {
                arg: body.fixed()?,
                name: body.name_but_dots()?,
                new_name: body.name_but_dots()?,
            },
            Opcode::Link => Operation::Link { arg: body.fixed()?, new_name: body.name_but_dots()? },
            Opcode::Open => Operation::Open { arg: body.fixed()? },
            Opcode::Read => {
                let arg: ReadIn = read(body)?;
                range(arg.offset, u64::from(arg.size))?;
                Operation::Read { arg }
            }
            Opcode::Write => {
                let arg: WriteIn = body.fixed()?;
                within(arg.size, TRANSFER_MAX)?;
                range(arg.offset, u64::from(arg.size))?;
                Operation::Write { arg, data: body.data(arg.size)? }
            }
            Opcode::Statfs => Operation::Statfs,
            Opcode::Release => Operation::Release { arg: body.fixed()? },
            Opcode::Fsync => Operation::Fsync { arg: body.fixed()? },
            Opcode::Setxattr => {
                let arg: SetxattrIn = if dialect.long_setxattr() {
                    body.fixed()?
                } else {
                    body.fixed_short(SETXATTR_IN_SIZE_SHORT)?
                };
                within(arg.size, XATTR_SIZE_MAX)?;
                Operation::Setxattr { arg, name: body.xattr_name()?, value: body.data(arg.size)? }
            }
            Opcode::Getxattr => {
                Operation::Getxattr { arg: getxattr(body)?, name: body.xattr_name()? }
            }
            Opcode::Listxattr => Operation::Listxattr { arg: getxattr(body)? },
            Opcode::Removexattr => Operation::Removexattr { name: body.xattr_name()? },
            Opcode::Flush => Operation::Flush { arg: body.fixed()? },
            Opcode::Init => Operation::Init { arg: init(body)? },
            Opcode::Opendir => Operation::Opendir { arg: body.fixed()? },
            Opcode::Readdir => Operation::Readdir { arg: read(body)? },
            Opcode::Releasedir => Operation::Releasedir { arg: body.fixed()? },
            Opcode::Fsyncdir => Operation::Fsyncdir { arg: body.fixed()? },
            Opcode::Getlk => Operation::Getlk { arg: body.fixed()? },
            Opcode::Setlk => Operation::Setlk { arg: body.fixed()? },
            Opcode::Setlkw => Operation::Setlkw { arg: body.fixed()? },
            Opcode::Access => Operation::Access { arg: body.fixed()? },
            Opcode::Create => Operation::Create { arg: body.fixed()?, name: body.name_but_dots()? },
            Opcode::Interrupt => Operation::Interrupt { arg: body.fixed()? },
            Opcode::Bmap => Operation::Bmap { arg: body.fixed()? },
            Opcode::Destroy => Operation::Destroy,
            Opcode::Ioctl => {
                let arg: IoctlIn = body.fixed()?;
                within(arg.in_size, TRANSFER_MAX)?;
                within(arg.out_size, TRANSFER_MAX)?;
                Operation::Ioctl { arg, data: body.data(arg.in_size)? }
            }
            Opcode::Poll => Operation::Poll { arg: body.fixed()? },
            Opcode::NotifyReply => {
                let arg: NotifyRetrieveIn = body.fixed()?;
                within(arg.size, TRANSFER_MAX)?;
                range(arg.offset, u64::from(arg.size))?;
                Operation::NotifyReply { arg, data: body.data(arg.size)? }
            }
            Opcode::BatchForget => {
                let arg: BatchForgetIn = body.fixed()?;
                let nodes = Records::new(body.remainder(), arg.count).ok_or(Reason::Count)?;
                Operation::BatchForget { nodes }
            }
            Opcode::Fallocate => {
                let arg: FallocateIn = body.fixed()?;
                range(arg.offset, arg.length)?;
                Operation::Fallocate { arg }
            }
            Opcode::Readdirplus => Operation::Readdirplus { arg: read(body)? },
            Opcode::Rename2 => Operation::Rename2 {
                arg: body.fixed()?,
                name: body.name_but_dots()?,
                new_name: body.name_but_dots()?,
            },
            Opcode::Lseek => Operation::Lseek { arg: body.fixed()? },
            Opcode::CopyFileRange => Operation::CopyFileRange { arg: body.fixed()? },
            Opcode::Setupmapping => Operation::Setupmapping { arg: body.fixed()? },
            Opcode::Removemapping => {
                let arg: RemovemappingIn = body.fixed()?;
                let parts = Records::new(body.remainder(), arg.count).ok_or(Reason::Count)?;
                Operation::Removemapping { parts }
            }
            Opcode::Syncfs => Operation::Syncfs { arg: body.fixed()? },
            Opcode::Tmpfile => {
                let arg = body.fixed()?;
                body.string()?;
                Operation::Tmpfile { arg }
            }
            Opcode::Statx => Operation::Statx { arg: body.fixed()? },
            Opcode::CopyFileRange64 => Operation::CopyFileRange64 { arg: body.fixed()? },
            Opcode::HandleOf => Operation::HandleOf { arg: body.fixed()? },
            Opcode::NodeOf => {
                let arg: NodeOfIn = body.fixed()?;
                within(arg.len, HANDLE_MAX)?;
                Operation::NodeOf { handle: body.data(arg.len)? }
            }
            Opcode::SyncLater => Operation::SyncLater { arg: body.fixed()? },
            Opcode::Unmount => Operation::Unmount { arg: body.fixed()? },
            Opcode::Extattrctl => {
                let arg: ExtattrctlIn = body.fixed()?;
                let named = arg.flags.contains(ExtattrctlFlags::HAS_NAME);
                let name = if named { Some(body.xattr_name()?) } else { None };
                Operation::Extattrctl { arg, name }
            }
            Opcode::Error => {
                let arg: ErrorIn = body.fixed()?;
                within(arg.len, ERROR_TEXT_MAX)?;
                Operation::Error { arg, text: body.data(arg.len)? }
            }
            Opcode::Response => {
                let arg = body.fixed()?;
                Operation::Response { arg, data: body.remainder_within(RESPONSE_MAX)? }
            }
        };
        body.end()?;
        Ok(operation)
    }
}

/// Times that are to be set to a value have a valid one.
fn setattr(body: &mut Body<'_>) -> Result<SetattrIn, Reason> {
    let arg: SetattrIn = body.fixed()?;
    for (flag, nsec) in [
        (SetattrValid::ATIME, arg.atimensec),
        (SetattrValid::MTIME, arg.mtimensec),
        (SetattrValid::CTIME, arg.ctimensec),
    ] {
        if arg.valid.contains(flag) {
            nanoseconds(nsec)?;
        }
    }
    if arg.valid.contains(SetattrValid::SIZE) {
        range(arg.size, 0)?;
    }
    Ok(arg)
}

fn read(body: &mut Body<'_>) -> Result<ReadIn, Reason> {
    let arg: ReadIn = body.fixed()?;
    within(arg.size, TRANSFER_MAX)?;
    Ok(arg)
}

fn getxattr(body: &mut Body<'_>) -> Result<GetxattrIn, Reason> {
    let arg: GetxattrIn = body.fixed()?;
    within(arg.size, XATTR_SIZE_MAX)?;
    Ok(arg)
}

/// INIT alone is read before anything is agreed on: shorter from an older kernel, perhaps longer
/// from a newer one.
fn init(body: &mut Body<'_>) -> Result<InitIn, Reason> {
    let bytes = body.remainder();
    let size =
        if bytes.len() < size_of::<InitIn>() { INIT_IN_SIZE_SHORT } else { size_of::<InitIn>() };
    Body::new(bytes, &[]).fixed_short(size)
}
