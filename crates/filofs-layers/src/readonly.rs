//! `readonly`: nothing below can be changed through it.
//!
//! A guard: it decides by what an operation may change ([`Effect`]), so that an operation added
//! to the table later cannot slip through. Devices, fifos and sockets may be opened and written
//! as on any read-only mount: their content is not the file system's.

use filofs::{
    Access, Attr, Call, Context, Definition, Effect, Errno, FileSystem, Ioctl, Layer, Next, Node,
    Op, OpSet, Open, OpenHow, Opened, Profile, Result, Role, SetAttr, Sink, Visit, layer,
};

/// Refuses every change with EROFS.
#[derive(Debug)]
pub struct ReadOnly;

#[layer]
impl Layer for ReadOnly {
    fn name(&self) -> &'static str {
        "readonly"
    }

    fn profile(&self, below: Profile) -> Profile {
        Profile { read_only: true, ..below }
    }

    /// What changes nothing passes by itself.
    fn only(&self) -> OpSet {
        let harmless = |op: &Op| matches!(op.effect(), Effect::Look | Effect::Own);
        Op::ALL.iter().filter(|op| !harmless(op)).fold(OpSet::NONE, |set, op| set.with(*op))
    }

    /// What exists answers EEXIST to whoever would make it, as without the layer (B10).
    fn enter(&self, next: Next<'_>, call: &Call<'_>, visit: &mut Visit<'_>) -> Result<()> {
        match (call.op.effect(), call.nodes().last(), call.names().last()) {
            (Effect::Make, Some(dir), Some(name)) if next.lookup(&visit.cx, dir, name).is_ok() => {
                Err(Errno::EEXIST)
            }
            _ => Err(Errno::EROFS),
        }
    }

    /// The size of a special file is ignored (B12); anything else is a change (B13).
    fn setattr(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        let rest = SetAttr { size: None, ..*set };
        if !node.kind().is_special() || !rest.is_empty() {
            return Err(Errno::EROFS);
        }
        next.getattr(cx, node, open)
    }

    fn access(&self, next: Next<'_>, cx: &Context<'_>, node: &Node, want: Access) -> Result<()> {
        if want.contains(Access::WRITE) && !node.kind().is_special() {
            return Err(Errno::EROFS);
        }
        next.access(cx, node, want)
    }

    fn open(&self, next: Next<'_>, cx: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        if how.flags.changes() && !node.kind().is_special() {
            return Err(Errno::EROFS);
        }
        next.open(cx, node, how)
    }

    fn ioctl(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        how: Ioctl<'_>,
        out: &mut dyn Sink,
    ) -> Result<i32> {
        match how.command {
            Ioctl::GETFLAGS | Ioctl::GETVERSION | Ioctl::FSGETXATTR => {
                next.ioctl(cx, node, open, how, out)
            }
            Ioctl::SETFLAGS | Ioctl::SETVERSION | Ioctl::FSSETXATTR => Err(Errno::EROFS),
            _ => Err(Errno::ENOTTY),
        }
    }
}

/// Its line on the command line.
pub const DEFINITION: Definition = Definition {
    name: "readonly",
    summary: "refuses every change with EROFS; special files stay usable",
    argument: None,
    is_command: false,
    options: &[],
    role: Role::Layer(|_| Ok(Box::new(ReadOnly))),
};
