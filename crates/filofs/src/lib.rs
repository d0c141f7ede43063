//! The contract of filo: what a file system is, what a layer is, and how they stack.
//!
//! # What it is for
//!
//! A *stack* is a base at the bottom and any number of layers above it. Every operation of a
//! caller (lookup, read, rename ...) enters at the top, goes down by calls and comes up by
//! returns. A layer takes part in the operations it has something to say about; for the others
//! it is not there at all. The interface above a layer is the interface below it, so layers stack
//! in any order, and a whole stack is a file system again and can be the base of another.
//!
//! This crate holds the words for that and nothing else: it does no I/O, starts no thread, knows
//! no wire format and depends on none of its siblings.
//!
//! # The words
//!
//! | word | meaning |
//! |---|---|
//! | [`FileSystem`] | answers operations: a base, a stack, a union, a mount |
//! | [`Layer`] | stands over a lower file system; a missing method is the bypass |
//! | [`Stack`] | a base and layers, with a table of who takes part in what |
//! | [`Mount`] | a stack in use: state, identity, live nodes, open files |
//! | [`Node`] | one file, live in a mount; a reference |
//! | [`Cookie`], [`Generation`] | the file system's own name for a node |
//! | [`FileHandle`] | a node's durable name, good after a restart |
//! | [`Open`], [`OpenId`] | an open file description, and its name toward clients |
//! | [`DirOffset`] | where a directory read resumes |
//! | [`Context`] | who asks, and whether they still want the answer |
//! | [`Notice`] | the only thing that travels up unasked |
//!
//! # How an operation travels
//!
//! Take `stat("/mnt/sys")` on the stack `dir:/srv null trace`. The front end holds the root's
//! [`Node`] and calls [`FileSystem::lookup`] of the [`Mount`] with the name `sys`. The mount runs,
//! so it passes the call to its [`Stack`]. The stack's table says that of its layers only `trace`
//! takes part in lookup: `trace` is called, with [`Next`] for what is below it. It notes the time
//! and calls `next.lookup`. Below `trace` nobody takes part (`null` never does), so that call
//! arrives at `dir` in one step. `dir` finds the file and answers an [`Entry`]: a cookie, the
//! attributes, and an `Arc` of whatever it wants to find again on the node. `trace` writes its
//! line and returns the entry unchanged. The front end calls [`Mount::adopt`], which finds the
//! live node of that cookie or makes one, and holds it as long as its client may use it.
//!
//! # Whose the nodes are
//!
//! The framework's. A `Node` is a reference: whoever is given one keeps the file usable, and
//! gives it back by dropping it. A file system never counts: the state it hung on an entry is
//! dropped with the last reference, and that `Drop` is the reclaim. If the same file is looked up
//! again in that very moment, the file system either still has its state (a `Weak` in a table of
//! its own upgrades) or makes a new one; in both cases it is right.
//!
//! Layers keep the nodes of what is below. What a layer wants to remember of a node (or an open)
//! it keeps in its [`Slot`] there: [`Node::slot_or`].
//!
//! # Writing a file system
//!
//! Implement the methods it has; the others answer [`Errno::MISSING`].
//!
//! ```
//! use filofs::{Attr, Context, Entry, Errno, FileSystem, Name, Node, Open, Result, Sink};
//!
//! struct Hello;
//!
//! impl FileSystem for Hello {
//!     fn root(&self, _: &Context<'_>) -> Result<Entry> {
//!         Ok(Entry::new(Attr::directory(1)))
//!     }
//!     fn lookup(&self, _: &Context<'_>, _: &Node, name: Name<'_>) -> Result<Entry> {
//!         match name.bytes() {
//!             b"hello" => Ok(Entry::new(Attr::regular(2, 6))),
//!             _ => Err(Errno::ENOENT),
//!         }
//!     }
//!     fn read(
//!         &self,
//!         _: &Context<'_>,
//!         _: &Node,
//!         _: &Open,
//!         at: u64,
//!         out: &mut dyn Sink,
//!     ) -> Result<()> {
//!         out.put(b"world\n".get(at as usize..).unwrap_or_default());
//!         Ok(())
//!     }
//! }
//! # let mount = filofs::Mount::of(Hello, "/").unwrap();
//! # mount.start(&filofs::Upward::channel().0).unwrap();
//! # let cx = Context::internal();
//! # let entry = mount.lookup(&cx, mount.root(), Name::new(b"hello").unwrap()).unwrap();
//! # let node = mount.adopt(mount.root(), &entry).unwrap();
//! # let open = mount.opens().insert(&node, Default::default(), Default::default()).unwrap();
//! # let mut out = filofs::VecSink::new(100);
//! # mount.read(&cx, &node, &open, 2, &mut out).unwrap();
//! # assert_eq!(out.into_bytes(), b"rld\n");
//! ```
//!
//! Read data into [`Sink::window`] in place; it is the front end's reply buffer. Permissions are
//! checked above, by the kernel or by the checker of the in-process front end. What is made
//! belongs to the caller: [`Context::uid`], [`Context::gid`].
//!
//! # Writing a layer
//!
//! The whole null layer:
//!
//! ```
//! struct Null;
//!
//! #[filofs::layer]
//! impl filofs::Layer for Null {
//!     fn name(&self) -> &str {
//!         "null"
//!     }
//! }
//! ```
//!
//! Start from it. There are two ways to take part.
//!
//! **A method of its own**, for a layer that changes some operations. Do something, call the same
//! operation on `next` (or another one: `next` is a file system with all of them), do something
//! with the answer:
//!
//! ```
//! use filofs::{Attr, Context, FileSystem, Layer, Next, Node, Open, Result, layer};
//!
//! /// Shows every file as nobody's.
//! struct Nobody;
//!
//! #[layer]
//! impl Layer for Nobody {
//!     fn name(&self) -> &str {
//!         "nobody"
//!     }
//!     fn getattr(
//!         &self,
//!         next: Next<'_>,
//!         cx: &Context<'_>,
//!         node: &Node,
//!         open: Option<&Open>,
//!     ) -> Result<Attr> {
//!         let attr = next.getattr(cx, node, open)?;
//!         Ok(Attr { uid: filofs::Uid(65534), gid: filofs::Gid(65534), ..attr })
//!     }
//! }
//! ```
//!
//! (This one is not finished: `lookup` and its kin answer attributes too. A layer that changes
//! something wherever it occurs is better written with hooks.)
//!
//! **Hooks**, for a layer that touches every operation. `enter` sees each operation, described by
//! data ([`Call`]), before it goes down, and may refuse it or change its [`Context`] (the groups in
//! it by [`Layer::group_below`]: they are found out only when somebody asks); `leave` sees what
//! came up and may change that. A method of its own, beside hooks, takes its operation out of them.
//!
//! The rules:
//!
//! 1. Put [`layer`] on the `impl`. It reads off the code which operations the layer takes part
//!    in, so that no list can be forgotten.
//! 2. Hold no lock while you call `next`.
//! 3. A layer that guards decides by [`Op::effect`], so that an operation added to the table
//!    later does not slip through.
//! 4. Never answer [`Errno::ENOSYS`] or [`Errno::MISSING`] for one file.
//! 5. Transform data in the window: wrap the [`Sink`] or [`Source`] you were given.
//! 6. For work in the background keep the [`Lower`] that [`Layer::attach`] gives you.
//!
//! Enter it in the list of its crate with a [`Definition`], and it has a word on the command line.
//!
//! # Permissions
//!
//! A file system does not check who may do what; front ends do, each operation once: FUSE leaves
//! it to the kernel, the in-process front end asks the one checker of this crate.
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
mod facts;
mod flags;
mod handle;
mod identity;
mod ids;
mod local;
mod lock;
mod locked;
mod locktable;
mod mix;
mod mount;
mod name;
mod node;
mod notice;
mod open;
mod operations;
mod opset;
pub mod permission;
mod profile;
mod slots;
mod stack;
mod statfs;
mod upward;

pub use acl::{ACL_ACCESS, ACL_DEFAULT, Acl, AclEntry, AclTag};
pub use attr::{Attr, Device, Kind, SetAttr, SetTime, Time};
pub use call::{Answer, Argument, Call, Outcome, Visit};
pub use context::{Cancel, Context, Groups, GroupsBelow, NoGroups};
pub use counters::Counters;
pub use data::{ShortSource, Sink, SliceSink, SliceSource, Source, VecSink};
pub use definition::{Definition, OptionHelp, Options, Role, SetupError, nearest};
pub use entry::{Backing, Created, DirEntry, DirSink, Entry, Full, Opened, State};
pub use errno::{Errno, Result};
pub use facts::{Fact, Facts};
pub use filofs_macros::layer;
pub use flags::{
    Access, CopyHow, ExtattrCtl, FallocateFlags, Ioctl, MakeHow, OpenFlags, OpenHow, OpenedFlags,
    PollEvents, ReleaseHow, RenameFlags, Seek, SyncMode, UnmountFlags, WriteFlags, XattrFlags,
};
pub use handle::FileHandle;
pub use identity::{Identity, sanitise};
pub use ids::{Cookie, DirOffset, Generation, Gid, LockOwner, OpenId, Pid, RequestId, Uid};
pub use local::is_local;
pub use lock::{Lock, LockKind};
pub use locked::locked;
pub use locktable::LockTable;
pub use mix::{Mix, Mixed};
pub use mount::{Mount, MountState};
pub use name::Name;
pub use node::{Node, Nodes};
pub use notice::Notice;
pub use open::{Open, Opens};
pub use operations::{Effect, FileSystem, Layer, Op};
pub use opset::OpSet;
pub use profile::{Backed, Profile};
pub use slots::Slot;
pub use stack::{Lower, Next, Stack};
pub use statfs::Statfs;
pub use upward::{Delivery, Notices, Upward};
