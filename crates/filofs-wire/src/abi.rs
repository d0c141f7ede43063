//! The structures, opcodes and flags of `linux/fuse.h` 7.45, one file per family.
//!
//! Fields have the header's names with words separated, and one difference: what the header calls
//! `fh` is `open_id` here, the name of an open file description, so that it is never mistaken for
//! a durable file handle. Integers are in the byte order of the machine, as the kernel writes
//! them. Padding is a field, `padding` or `unused`: written as zero, ignored when read.

mod attr;
mod dax;
mod device;
mod dirent;
mod entry;
mod extension;
mod filo;
mod forget;
mod header;
mod init;
mod io;
mod ioctl;
mod layout;
mod lock;
mod notify;
mod opcode;
mod open;
mod poll;
mod setattr;
mod statfs;
mod statx;
mod xattr;

pub use attr::{Attr, AttrFlags, AttrOut, GetattrFlags, GetattrIn};
pub use dax::{RemovemappingIn, RemovemappingOne, SetupmappingFlags, SetupmappingIn};
pub use device::{
    BackingMap, DEVICE_IOCTL_MAGIC, URING_HEADER_SIZE, UringCmd, UringCmdReq, UringEntInOut,
    UringReqHeader, ioctl_number,
};
pub use dirent::{DirentHeader, DirentPlusHeader, RECORD_ALIGN, record_size};
pub use entry::{EntryOut, LinkIn, MkdirIn, MknodIn, Rename2In, RenameIn};
pub use extension::{
    EXT_GROUPS, ExtHeader, MAX_NR_SECCTX, SecctxHeader, SecctxIn, SuppGroupsHeader,
};
pub use filo::{
    BACKING_ID_ATTACHED, CALL_ID, CallCode, EXTENSION_MAGIC, EXTENSION_VERSION, ErrorIn,
    ExtattrctlFlags, ExtattrctlIn, ExtensionOffer, FlushCall, FlushWhat, GroupsCall, HandleFlags,
    HandleOfIn, HandleOfOut, MESSAGE_HEAD, MESSAGE_MIN, MountArguments, MountFlags, NodeOfIn,
    OfferFlags, ResponseIn, SyncLaterIn, SyncLaterMode, UnmountFlags, UnmountIn,
};
pub use forget::{BatchForgetIn, ForgetIn, ForgetOne};
pub use header::{InHeader, OutHeader, ROOT_ID, UNIQUE_RESEND};
pub use init::{
    INIT_IN_SIZE_SHORT, INIT_OUT_SIZE_7_22, InitFlags, InitIn, InitOut, KERNEL_MINOR,
    KERNEL_VERSION, MIN_READ_BUFFER,
};
pub use io::{
    BmapIn, BmapOut, CopyFileRangeIn, CopyFileRangeOut, FallocateIn, FlushIn, FsyncFlags, FsyncIn,
    LseekIn, LseekOut, ReadFlags, ReadIn, SyncfsIn, WriteFlags, WriteIn, WriteOut,
};
pub use ioctl::{IoctlFlags, IoctlIn, IoctlIovec, IoctlOut};
pub use lock::{FileLock, LkFlags, LkIn, LkOut};
pub use notify::{
    NotifyCode, NotifyDeleteOut, NotifyInvalEntryFlags, NotifyInvalEntryOut, NotifyInvalInodeOut,
    NotifyPollWakeupOut, NotifyPruneOut, NotifyRetrieveIn, NotifyRetrieveOut, NotifyStoreOut,
};
pub use opcode::{Answer, InterruptIn, Opcode};
pub use open::{
    AccessIn, CreateIn, OpenIn, OpenInFlags, OpenOut, OpenOutFlags, ReleaseFlags, ReleaseIn,
};
pub use poll::{PollFlags, PollIn, PollOut};
pub use setattr::{SetattrIn, SetattrValid};
pub use statfs::{Kstatfs, StatfsOut};
pub use statx::{Statx, StatxIn, StatxOut, SxTime};
pub use xattr::{GetxattrIn, GetxattrOut, SETXATTR_IN_SIZE_SHORT, SetxattrFlags, SetxattrIn};
