//! The one table of operations, and what is made from it.
//!
//! Each row is one operation: its effect, name, arguments and answer. From the rows the macro
//! makes the [`FileSystem`] trait (a missing method answers [`Errno::MISSING`]), the [`Layer`]
//! trait (a missing method is the bypass: straight to the layer below), the [`Op`] enum and
//! [`OpSet`], the dispatch of a [`Stack`] through its skip table, and the guarded face of a
//! [`Mount`]. Adding an operation is adding a row; nobody can forget to forward it.

#![allow(clippy::too_many_arguments)] // rename has five of its own, and a row is a row

use crate::call::{Answer, Argument, Call, Outcome, Visit};
use crate::context::GroupsBelow;
use crate::{
    Access, Attr, Context, CopyHow, Created, DirOffset, DirSink, Entry, Errno, ExtattrCtl, Facts,
    FallocateFlags, FileHandle, Gid, Ioctl, Lock, LockOwner, Lower, MakeHow, Mount, Name, Next,
    Node, OpSet, Open, OpenHow, Opened, PollEvents, Profile, ReleaseHow, RenameFlags, Result, Seek,
    SetAttr, Sink, Slot, Source, Stack, Statfs, SyncMode, UnmountFlags, Upward, WriteFlags,
    XattrFlags,
};

/// Whether an operation may change something that others see.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Effect {
    /// Reads. (An access time may move.)
    Look,
    /// Makes a name: the last directory and name among the arguments.
    Make,
    /// May change names, data or attributes otherwise.
    Change,
    /// The arguments decide: `open` for writing, `ioctl`, `access`.
    Either,
    /// Concerns what the caller itself holds: its opens, its locks, data it already wrote.
    Own,
}

macro_rules! operations {
    ($(
        $(#[$doc:meta])*
        [$effect:ident] $op:ident: $name:ident($($arg:ident: $type:ty),*) -> $answer:ty
            $(, missing $missing:expr)?;
    )*) => {
        /// An operation, as a value.
        #[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
        #[repr(u8)]
        pub enum Op { $($(#[$doc])* $op),* }

        impl Op {
            /// Every operation, in the order of the table.
            pub const ALL: &'static [Op] = &[$(Op::$op),*];

            /// The name as the traits spell it.
            pub const fn name(self) -> &'static str {
                match self { $(Op::$op => stringify!($name)),* }
            }

            /// Whether it may change something.
            pub const fn effect(self) -> Effect {
                match self { $(Op::$op => Effect::$effect),* }
            }

            /// The operation of that name.
            pub fn from_name(name: &str) -> Option<Op> {
                Op::ALL.iter().copied().find(|op| op.name() == name)
            }
        }

        /// Answers operations: a base, a whole stack, a union, a mount.
        ///
        /// A method that is not written answers [`Errno::MISSING`], but for those whose absence
        /// means that there is nothing to do (`open`, `access`, `flush`, `fsync`, `release`,
        /// `sync` and the unmount question: success) or to tell (`statfs`).
        ///
        /// Operations are blocking calls and may come from many threads at once. The caller has
        /// been let in: permissions are checked above. Names are checked ([`Name`]). A node or
        /// open handed in was handed out by this same file system.
        pub trait FileSystem: Send + Sync {
            /// What it is called: one word, as on the command line. The name of its type, if it
            /// does not say.
            fn name(&self) -> &str {
                std::any::type_name::<Self>().rsplit(':').next().unwrap_or_default()
            }

            /// One line for a person: what it is and where it gets its files.
            fn describe(&self) -> String {
                self.name().to_owned()
            }

            /// What front ends should know of it before the first operation.
            fn profile(&self) -> Profile {
                Profile::default()
            }

            /// How many slots its layers need on each node and open; only stacks have any.
            fn slots(&self) -> usize {
                0
            }

            /// Called once when the mount starts: keeps the way up for [`crate::Notice`]s.
            fn connect(&self, _up: &Upward) {}

            /// Called once when the mount has ended, after the last operation and the last node
            /// that was given back: nobody will ask any more. What it has outside of this process
            /// ends now.
            fn disconnect(&self) {}

            /// How each of its parts is that has something to say of that: other processes it
            /// depends on. Answered from memory, at any time, without waiting for anybody.
            fn facts(&self) -> Vec<Facts> {
                Vec::new()
            }

            $(
                $(#[$doc])*
                fn $name(&self, cx: &Context<'_>, $($arg: $type),*) -> Result<$answer> {
                    let _ = (cx, $(&$arg),*);
                    operations!(@missing $($missing)?)
                }
            )*
        }

        /// Stands over a lower file system and takes part in some operations.
        ///
        /// A method that is not written is the bypass. The manual for writing one is the text at
        /// the top of this crate. Put [`crate::layer`] on the `impl`: it derives from the methods
        /// present which operations the layer takes part in, and a stack skips it for the others.
        pub trait Layer: Send + Sync {
            /// What it is called: one word, as on the command line.
            fn name(&self) -> &str;

            /// One line for a person: the name and how it is set up.
            fn describe(&self) -> String {
                self.name().to_owned()
            }

            /// What front ends should know of the stack up to here, given what they should know
            /// of what is below.
            fn profile(&self, below: Profile) -> Profile {
                below
            }

            /// Called once when the stack is built: an owned way down for work in the background,
            /// and the layer's place on nodes and opens.
            fn attach(&self, _lower: Lower, _slot: Slot) {}

            /// Of the operations that its code takes part in, those that it takes part in as it is
            /// set up: the stack skips it for the others. All of them, unless it says otherwise.
            ///
            /// A layer that takes part in `read` or `write` sees all data, and so costs the
            /// stack the short way to it ([`Stack::passes_data`]).
            fn only(&self) -> OpSet {
                OpSet::ALL
            }

            /// Which operations it takes part in. Written by [`crate::layer`], not by hand.
            #[doc(hidden)]
            fn intercepts(&self) -> OpSet;

            /// Before each operation that has no method of its own in this layer: may change the
            /// context that it goes down with, or end it here with an errno (then `leave` is not
            /// called). `next` is for other questions to what is below.
            fn enter(
                &self,
                _next: Next<'_>,
                _call: &Call<'_>,
                _visit: &mut Visit<'_>,
            ) -> Result<()> {
                Ok(())
            }

            /// A supplementary group of the caller, as what is below is to know it. Asked when
            /// something below asks for groups, which is seldom.
            fn group_below(&self, group: Gid) -> Gid {
                group
            }

            /// After each operation that `enter` let through, with what came up from below.
            fn leave(&self, _call: &Call<'_>, _visit: &Visit<'_>, _outcome: Outcome<'_>) {}

            $(
                $(#[$doc])*
                fn $name(&self, next: Next<'_>, cx: &Context<'_>, $($arg: $type),*)
                    -> Result<$answer>
                {
                    let arguments: &[(&'static str, &dyn Argument)] =
                        &[$((stringify!($arg), &$arg)),*];
                    let groups = GroupsBelow { layer: self, above: cx.groups };
                    let mut visit = Visit { cx: Context { groups: &groups, ..*cx }, mark: 0 };
                    self.enter(next, &Call { op: Op::$op, arguments }, &mut visit)?;
                    let mut answer = next.$name(&visit.cx, $($arg),*);
                    let arguments: &[(&'static str, &dyn Argument)] =
                        &[$((stringify!($arg), &$arg)),*];
                    let outcome = answer.as_mut().map(|a| a as &mut dyn Answer);
                    self.leave(&Call { op: Op::$op, arguments }, &visit, outcome);
                    answer
                }
            )*
        }

        /// The rest of the stack, seen from a layer: the same operations.
        impl FileSystem for Next<'_> {
            operations!(@facts self => self.base());
            $(
                #[inline]
                fn $name(&self, cx: &Context<'_>, $($arg: $type),*) -> Result<$answer> {
                    match self.step(Op::$op) {
                        Some((layer, below)) => layer.$name(below, cx, $($arg),*),
                        None => self.base().$name(cx, $($arg),*),
                    }
                }
            )*
        }

        impl FileSystem for Stack {
            fn name(&self) -> &str {
                self.base().name()
            }

            fn describe(&self) -> String {
                self.spelled()
            }

            fn profile(&self) -> Profile {
                let below = self.base().profile();
                let profile = self.layers().fold(below, |below, layer| layer.profile(below));
                // Who takes part in what happens to open files must see them opened.
                let unseen = self.intercepted().iter().all(|op| !OpSet::OF_OPENS.has(op));
                Profile { stateless: profile.stateless && unseen, ..profile }
            }

            fn slots(&self) -> usize {
                self.slot_count()
            }

            fn connect(&self, up: &Upward) {
                self.base().connect(up);
            }

            fn disconnect(&self) {
                self.base().disconnect();
            }

            fn facts(&self) -> Vec<Facts> {
                self.base().facts()
            }

            $(
                #[inline]
                fn $name(&self, cx: &Context<'_>, $($arg: $type),*) -> Result<$answer> {
                    self.top().$name(cx, $($arg),*)
                }
            )*
        }

        /// The operations of the mounted stack, guarded: refused unless the mount runs, counted,
        /// their errnos checked, a panic below turned into EIO. What front ends call.
        impl FileSystem for Mount {
            operations!(@facts self => self.stack());
            $(
                #[inline]
                fn $name(&self, cx: &Context<'_>, $($arg: $type),*) -> Result<$answer> {
                    self.guard(Op::$op, move || self.stack().$name(cx, $($arg),*))
                }
            )*
        }
    };

    (@missing) => { Err(Errno::MISSING) };
    (@missing $answer:expr) => { Ok($answer) };

    (@facts $self:ident => $below:expr) => {
        fn name(&$self) -> &str {
            $below.name()
        }

        fn describe(&$self) -> String {
            $below.describe()
        }

        fn profile(&$self) -> Profile {
            $below.profile()
        }

        fn slots(&$self) -> usize {
            $below.slots()
        }

        fn connect(&$self, up: &Upward) {
            $below.connect(up);
        }

        fn disconnect(&$self) {
            $below.disconnect();
        }

        fn facts(&$self) -> Vec<Facts> {
            $below.facts()
        }
    };
}

operations! {
    // The file system as a whole.

    /// The root of the tree: any kind of file. Asked once, when the mount is made (A67).
    [Look] Root: root() -> Entry;
    /// How full it is, statvfs(3).
    [Look] Statfs: statfs(node: &Node) -> Statfs, missing Statfs::UNKNOWN;
    /// Writes to stable storage what is not there yet, sync(2).
    [Own] Sync: sync(mode: SyncMode) -> (), missing ();
    /// The durable name of a node. EOPNOTSUPP where there are none.
    [Look] HandleOf: handle_of(node: &Node) -> FileHandle;
    /// The node of a durable name. ESTALE when the file is gone; EINVAL for bytes that are no
    /// handle of this file system.
    [Look] NodeOf: node_of(handle: &FileHandle) -> Entry;
    /// The live or remembered node of a cookie that was handed out earlier in this mount and has
    /// been given back since: what an exported mount asks after its caches were dropped. ESTALE
    /// when the file is gone or the cookie is no longer remembered.
    [Look] Recall: recall(cookie: crate::Cookie) -> Entry;
    /// Switches a file system's extended attributes on or off (puffs; A110-A114).
    [Change] Extattrctl: extattrctl(node: Option<&Node>, how: ExtattrCtl<'_>) -> ();
    /// May the mount go? An errno is a no, unless it is forced (A52-A55).
    [Own] Unmount: unmount(flags: UnmountFlags) -> (), missing ();

    // Names.

    /// The node of a name. ENOENT when there is none; ENOTDIR in what is not a directory.
    [Look] Lookup: lookup(dir: &Node, name: Name<'_>) -> Entry;
    /// The directory that a directory is in: what `..` means. The root's is the root; it never
    /// leads out of the tree.
    [Look] Parent: parent(dir: &Node) -> Entry;
    /// Lists a directory from an offset on, in a stable order: an entry that is there all the
    /// time is listed exactly once, whatever comes and goes beside it. No `.` and `..`.
    [Look] Readdir:
        readdir(dir: &Node, open: &Open, offset: DirOffset, out: &mut dyn DirSink) -> ();
    /// The target of a symbolic link, readlink(2). EINVAL for another kind.
    [Look] Readlink: readlink(node: &Node, out: &mut dyn Sink) -> ();
    /// Makes a file of any kind but directory and symlink, mknod(2). EEXIST.
    [Make] Mknod: mknod(dir: &Node, name: Name<'_>, kind: crate::Kind, how: MakeHow) -> Entry;
    /// Makes a directory, mkdir(2). EEXIST, EMLINK.
    [Make] Mkdir: mkdir(dir: &Node, name: Name<'_>, how: MakeHow) -> Entry;
    /// Makes a symbolic link, symlink(2). EEXIST; ENAMETOOLONG for a target over 4095 bytes.
    [Make] Symlink: symlink(dir: &Node, name: Name<'_>, target: &[u8]) -> Entry;
    /// Gives a node another name, link(2). EEXIST, EMLINK; EPERM for a directory.
    [Make] Link: link(node: &Node, dir: &Node, name: Name<'_>) -> Entry;
    /// Makes a regular file and opens it, or opens the one that is there (EEXIST with EXCL).
    [Make] Create: create(dir: &Node, name: Name<'_>, how: MakeHow) -> Created;
    /// Makes a regular file without a name and opens it: O_TMPFILE of open(2). With EXCL in the
    /// flags it can never be given one.
    [Change] Tmpfile: tmpfile(dir: &Node, how: MakeHow) -> Created;
    /// Takes a name away, unlink(2). EISDIR for a directory. The file lives on while it is open.
    [Change] Unlink: unlink(dir: &Node, name: Name<'_>) -> ();
    /// Takes an empty directory away, rmdir(2). ENOTDIR, ENOTEMPTY.
    [Change] Rmdir: rmdir(dir: &Node, name: Name<'_>) -> ();
    /// Renames, renameat2(2). Between two links of one file nothing happens. EINVAL for a
    /// directory into itself; ENOTEMPTY, EISDIR, ENOTDIR, EEXIST as the manual page has them.
    [Change] Rename: rename(
        dir: &Node, name: Name<'_>, to_dir: &Node, to_name: Name<'_>, flags: RenameFlags
    ) -> ();

    // Attributes.

    /// What stat says. With an open, of what is open.
    [Look] Getattr: getattr(node: &Node, open: Option<&Open>) -> Attr;
    /// Changes attributes: chmod(2), chown(2), truncate(2), utimensat(2) in one step. EISDIR for
    /// the size of a directory; the size of a special file is ignored (B12).
    [Change] Setattr: setattr(node: &Node, open: Option<&Open>, set: &SetAttr) -> Attr;
    /// Whether the caller may: asked only where the front end does not know by itself.
    [Either] Access: access(node: &Node, want: Access) -> (), missing ();
    /// An extended attribute's value, getxattr(2). Puts nothing into a sink without room; the
    /// answer is the size of the value. ERANGE when it does not fit into a sink with room;
    /// ENODATA when there is no such attribute.
    [Look] Getxattr: getxattr(node: &Node, key: &[u8], out: &mut dyn Sink) -> usize;
    /// Sets an extended attribute, setxattr(2). EEXIST, ENODATA by the flags.
    [Change] Setxattr: setxattr(node: &Node, key: &[u8], value: &[u8], flags: XattrFlags) -> ();
    /// The names of all extended attributes, each ended by a NUL, listxattr(2). Sizes as for
    /// getxattr.
    [Look] Listxattr: listxattr(node: &Node, out: &mut dyn Sink) -> usize;
    /// Takes an extended attribute away. ENODATA.
    [Change] Removexattr: removexattr(node: &Node, key: &[u8]) -> ();

    // Open files.

    /// Opens a node, directories too.
    [Either] Open: open(node: &Node, how: OpenHow) -> Opened, missing Opened::default();
    /// A descriptor of this open was closed, close(2): the last moment to report a late error.
    /// Comes once for each descriptor; POSIX locks of the owner go.
    [Own] Flush: flush(node: &Node, open: &Open, owner: LockOwner) -> (), missing ();
    /// The open is gone: its last descriptor and mapping. Comes exactly once.
    [Own] Release: release(node: &Node, open: &Open, how: ReleaseHow) -> (), missing ();
    /// Waits until the file is on stable storage, fsync(2), fdatasync(2) with `data_only`.
    [Own] Fsync: fsync(node: &Node, open: &Open, data_only: bool) -> (), missing ();
    /// Reads as much as the sink has room for, or to the end of the file.
    [Look] Read: read(node: &Node, open: &Open, offset: u64, out: &mut dyn Sink) -> ();
    /// Writes what the source has; answers how many bytes. With APPEND among the open's flags it
    /// writes at the end, unless its flags say that the offset is right ([`WriteFlags::appends`]).
    [Change] Write: write(
        node: &Node, open: &Open, offset: u64, data: &mut dyn Source, flags: WriteFlags
    ) -> usize;
    /// Allocates, punches or zeroes a range, fallocate(2).
    [Change] Fallocate: fallocate(
        node: &Node, open: &Open, offset: u64, len: u64, flags: FallocateFlags
    ) -> ();
    /// Where the next data or hole begins, lseek(2). ENXIO beyond the end.
    [Look] Lseek: lseek(node: &Node, open: &Open, offset: u64, what: Seek) -> u64;
    /// Copies a range between two open files, copy_file_range(2); answers how many bytes.
    [Change] CopyFileRange: copy_file_range(
        node: &Node, open: &Open, to_node: &Node, to_open: &Open, how: CopyHow
    ) -> u64;
    /// Which of those events stand, poll(2).
    [Look] Poll: poll(node: &Node, open: &Open, events: PollEvents) -> PollEvents;
    /// A device-like request, ioctl(2). Puts the bytes that the command number says it writes;
    /// answers ioctl's return value. ENOTTY for a command it does not know.
    [Either] Ioctl: ioctl(node: &Node, open: &Open, how: Ioctl<'_>, out: &mut dyn Sink) -> i32;
    /// The device block of a file's block, for swap files and boot loaders (FIBMAP).
    [Look] Bmap: bmap(node: &Node, block: u64, block_size: u32) -> u64;

    // Locks.

    /// A POSIX lock of another owner that is in the way of this one, or one of kind Unlock.
    [Own] Getlk: getlk(node: &Node, open: &Open, owner: LockOwner, lock: Lock) -> Lock;
    /// Takes or gives back a POSIX lock, fcntl(2). EAGAIN when another is in the way and `wait`
    /// is false; EINTR when cancelled; EDEADLK when waiting would never end.
    [Own] Setlk: setlk(node: &Node, open: &Open, owner: LockOwner, lock: Lock, wait: bool) -> ();
    /// Takes or gives back a flock(2): of the whole file, owned by an open.
    [Own] Flock: flock(
        node: &Node, open: &Open, owner: LockOwner, kind: crate::LockKind, wait: bool
    ) -> ();
}
