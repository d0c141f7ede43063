//! `Call`: an operation described by data, for hooks that touch every operation.

use crate::{
    Access, Attr, Context, Cookie, CopyHow, Created, DirOffset, DirSink, Entry, Errno, ExtattrCtl,
    FallocateFlags, FileHandle, Ioctl, Kind, Lock, LockKind, LockOwner, MakeHow, Name, Node, Op,
    Open, OpenHow, Opened, PollEvents, ReleaseHow, RenameFlags, Seek, SetAttr, Sink, Source,
    Statfs, SyncMode, UnmountFlags, WriteFlags, XattrFlags,
};
use std::fmt;

/// An operation on its way through a layer: which, and with what.
pub struct Call<'a> {
    /// Which operation.
    pub op: Op,
    /// Its arguments with their names, in the order of the table.
    pub arguments: &'a [(&'static str, &'a dyn Argument)],
}

impl<'a> Call<'a> {
    /// The nodes among the arguments, in order.
    pub fn nodes(&self) -> impl Iterator<Item = &'a Node> {
        self.arguments.iter().filter_map(|(_, a)| a.node())
    }

    /// The names among the arguments, in order.
    pub fn names(&self) -> impl Iterator<Item = Name<'a>> {
        self.arguments.iter().filter_map(|(_, a)| a.file_name())
    }
}

/// `lookup dir=node 1 name="x"`: as a line of a log shows it.
impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.name())?;
        for (name, argument) in self.arguments {
            write!(f, " {name}=")?;
            argument.show(f)?;
        }
        Ok(())
    }
}

/// One argument of an operation, as hooks see it.
pub trait Argument {
    /// Writes it for a person: short, one line, no data bytes.
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    /// The node, if it is one.
    fn node(&self) -> Option<&Node> {
        None
    }

    /// The name, if it is one.
    fn file_name(&self) -> Option<Name<'_>> {
        None
    }
}

/// One passage of an operation through a layer, from `enter` to `leave`.
#[derive(Debug)]
pub struct Visit<'c> {
    /// The context to go down with. Its groups are those that the layer has for what is below
    /// ([`crate::Layer::group_below`]), all else is the caller's until `enter` changes it.
    pub cx: Context<'c>,
    /// A number of the layer's own: when it began, which one it is.
    pub mark: u64,
}

/// What came up: the answer, or the errno, either of which `leave` may change.
pub type Outcome<'a> = Result<&'a mut dyn Answer, &'a mut Errno>;

/// The answer of an operation, as hooks see it.
pub trait Answer {
    /// The attributes in it, if it has any.
    fn attr_mut(&mut self) -> Option<&mut Attr> {
        None
    }
}

impl Answer for Attr {
    fn attr_mut(&mut self) -> Option<&mut Attr> {
        Some(self)
    }
}

impl Answer for Entry {
    fn attr_mut(&mut self) -> Option<&mut Attr> {
        Some(&mut self.attr)
    }
}

impl Answer for Created {
    fn attr_mut(&mut self) -> Option<&mut Attr> {
        Some(&mut self.entry.attr)
    }
}

macro_rules! plain_answers {
    ($($type:ty),*) => { $(impl Answer for $type {})* };
}

plain_answers!((), usize, u64, i32, Statfs, FileHandle, Opened, PollEvents, Lock);

impl Argument for &Node {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }

    fn node(&self) -> Option<&Node> {
        Some(self)
    }
}

impl Argument for Option<&Node> {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(node) => node.show(f),
            None => f.write_str("-"),
        }
    }

    fn node(&self) -> Option<&Node> {
        *self
    }
}

impl Argument for Name<'_> {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }

    fn file_name(&self) -> Option<Name<'_>> {
        Some(*self)
    }
}

impl Argument for Option<&Open> {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Some(open) => open.show(f),
            None => f.write_str("-"),
        }
    }
}

impl Argument for &[u8] {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 64;
        let (head, more) = self.split_at(self.len().min(SHOWN));
        write!(f, "\"{}\"{}", head.escape_ascii(), if more.is_empty() { "" } else { ".." })
    }
}

impl Argument for &mut (dyn Sink + '_) {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}", self.taken(), self.room())
    }
}

impl Argument for &mut (dyn Source + '_) {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.remaining())
    }
}

impl Argument for &mut (dyn DirSink + '_) {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.wants_entries() { "entries" } else { "names" })
    }
}

impl Argument for &SetAttr {
    fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_set();
        macro_rules! fields {
            ($($field:ident),*) => {
                $(if let Some(value) = &self.$field {
                    shown.entry(&format_args!(concat!(stringify!($field), "={:?}"), value));
                })*
            };
        }
        fields!(uid, gid, size, atime, mtime, ctime);
        if let Some(mode) = self.mode {
            shown.entry(&format_args!("mode={mode:#o}"));
        }
        shown.finish()
    }
}

macro_rules! debug_arguments {
    ($($type:ty),*) => {$(
        impl Argument for $type {
            fn show(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{self:?}")
            }
        }
    )*};
}

debug_arguments!(
    u64,
    u32,
    bool,
    &Open,
    &FileHandle,
    Cookie,
    DirOffset,
    Kind,
    LockOwner,
    LockKind,
    Lock,
    Seek,
    SyncMode,
    MakeHow,
    OpenHow,
    ReleaseHow,
    CopyHow,
    Ioctl<'_>,
    ExtattrCtl<'_>,
    Access,
    WriteFlags,
    RenameFlags,
    FallocateFlags,
    XattrFlags,
    PollEvents,
    UnmountFlags
);
