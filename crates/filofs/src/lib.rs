//! The contract of filo.
#![forbid(unsafe_code)]

#[allow(unused_extern_crates)] // so that `#[layer]` works inside this crate too
extern crate self as filofs;

mod acl;
mod attr;
mod call;
mod context;
mod counters;
mod data;
mod definition;
mod entry;
mod errno;
mod flags;
mod handle;
mod identity;
mod ids;
mod lock;
mod locked;
mod mount;
mod name;
mod node;
mod notice;
mod open;
mod operations;
mod opset;
mod profile;
mod slots;
mod stack;
mod statfs;

pub use acl::{ACL_ACCESS, ACL_DEFAULT, Acl, AclEntry, AclTag};
pub use attr::{Attr, Device, Kind, SetAttr, SetTime, Time};
pub use call::{Answer, Argument, Call, Outcome, Visit};
pub use context::{Cancel, Context, Groups, NoGroups};
pub use counters::Counters;
pub use data::{ShortSource, Sink, SliceSink, SliceSource, Source, VecSink};
pub use definition::{Definition, OptionHelp, Options, Role, SetupError, nearest};
pub use entry::{Created, DirEntry, DirSink, Entry, Full, Opened, State};
pub use errno::{Errno, Result};
pub use filofs_macros::layer;
pub use flags::{
    Access, CopyHow, ExtattrCtl, FallocateFlags, Ioctl, MakeHow, OpenFlags, OpenHow, OpenedFlags,
    PollEvents, ReleaseHow, RenameFlags, Seek, SyncMode, UnmountFlags, WriteFlags, XattrFlags,
};
pub use handle::FileHandle;
pub use identity::{Identity, sanitise};
pub use ids::{Cookie, DirOffset, Generation, Gid, LockOwner, OpenId, Pid, RequestId, Uid};
pub use lock::{Lock, LockKind};
pub use locked::locked;
pub use mount::{Mount, MountState};
pub use name::Name;
pub use node::{Node, Nodes};
pub use notice::{Notice, Upward};
pub use open::{Open, Opens};
pub use operations::{Effect, FileSystem, Layer, Op};
pub use opset::OpSet;
pub use profile::Profile;
pub use slots::Slot;
pub use stack::{Lower, Next, Stack};
pub use statfs::Statfs;
