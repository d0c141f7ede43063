//! The operations on names.

use super::again::is_linked;
use super::connection::Reply;
use super::fault::{Answer, Fault};
use super::link::Link;
use super::listing::{Listing, Passed, swap_offset};
use super::remote::{Moment, Place, Remote};
use super::server::{Attempt, Server, patient};
use filofs::{
    Context, Created, DirOffset, DirSink, Entry, Errno, Kind, MakeHow, Name, Node, Open, OpenFlags,
    RenameFlags, Result, Sink,
};
use filofs_front::nouns::encode_device;
use filofs_wire::abi::{
    CreateIn, EntryOut, InitFlags, LinkIn, MkdirIn, MknodIn, Opcode, OpenInFlags, ReadIn,
    Rename2In, RenameIn,
};
use filofs_wire::incoming;
use filofs_wire::limits::SYMLINK_MAX;
use filofs_wire::name::Name as WireName;
use filofs_wire::reply::CreateOut;
use filofs_wire::request::Operation;
use std::sync::Arc;

/// A name for the wire. The mount has checked it; the rules are the same.
fn wire(name: Name<'_>) -> Answer<WireName<'_>> {
    WireName::new(name.bytes()).map_err(|_| Errno::EINVAL.into())
}

impl Server {
    pub(super) fn lookup(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        self.run(cx, |link| {
            let found = self.find(link, cx, &Self::remote(dir)?, name)?;
            found.ok_or_else(|| Errno::ENOENT.into())
        })
    }

    pub(super) fn parent(&self, cx: &Context<'_>, dir: &Node) -> Result<Entry> {
        self.run(cx, |link| {
            let remote = Self::remote(dir)?;
            let id = self.id_of(link, cx, &remote)?;
            // What the core knows by itself needs no question (CACHE_DOTDOT).
            if let Some(place) = remote.place() {
                let attr = self.attributes_of(link, cx, &place.dir, None)?;
                let generation = filofs::Generation(place.dir.generation);
                let cookie = filofs::Cookie(place.dir.cookie);
                return Ok(Entry {
                    cookie,
                    generation,
                    state: Some(place.dir),
                    ..Entry::new(attr)
                });
            }
            let name = WireName::new(b"..").map_err(|_| Fault::Errno(Errno::EINVAL))?;
            let reply = self.ask(link, cx, id, &Operation::Lookup { name })?;
            let entry = Self::entry_out(link, Opcode::Lookup, id, &reply)?;
            if entry.nodeid == 0 {
                return Err(Errno::ESTALE.into());
            }
            let above = self.vet(link, &entry, None, Some(Kind::Directory), None);
            above.map_err(|wrong| Self::refuse(link, Opcode::Lookup, id, &entry, wrong))
        })
    }

    pub(super) fn readdir(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        open: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        // Answers in a row without a name that count as an endless directory.
        const MOST_EMPTY: u32 = 16;
        // What Linux asks for at least, bytes.
        const LEAST: usize = 4096;
        let mut walk = Self::walk_of(open, swap_offset(offset.0));
        let done = self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            let open_id = self.open_id(link, cx, open)?;
            let mut empty = 0;
            loop {
                let can_plus = link.connection.dialect().flags();
                let plus = out.wants_entries()
                    && can_plus.contains(InitFlags::DO_READDIRPLUS)
                    && !self.lacks(link, Opcode::Readdirplus);
                let size =
                    out.room().min(link.most_read().min(link.connection.payload())).max(LEAST)
                        as u32;
                let arg = ReadIn { open_id, offset: walk.at(), size, ..ReadIn::default() };
                let operation =
                    if plus { Operation::Readdirplus { arg } } else { Operation::Readdir { arg } };
                let reply = match self.ask(link, cx, id, &operation) {
                    Err(Fault::Missing) if plus => continue,
                    reply => reply.map_err(unsupported)?,
                };
                let opcode = operation.opcode();
                if reply.body().len() > arg.size as usize {
                    return Err(link.connection.lie(opcode, 0, id, "more than was asked for"));
                }
                let listing = Listing { server: self, link, dir: &above, opcode, id };
                empty = match listing.pass(&reply, &mut walk, out)? {
                    Passed::All(0) => empty + 1,
                    // Were more asked for now, most of it would not fit.
                    Passed::End | Passed::Full | Passed::All(_) => return Ok(()),
                };
                if empty == MOST_EMPTY {
                    return Err(link.connection.lie(opcode, 0, id, "a directory without an end"));
                }
            }
        });
        Self::keep_walk(open, walk);
        done
    }

    pub(super) fn readlink(&self, cx: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<()> {
        self.run(cx, |link| {
            let id = self.id(link, cx, node)?;
            let reply = self.ask(link, cx, id, &Operation::Readlink).map_err(unsupported)?;
            let target = incoming::link_target(reply.body())
                .ok_or_else(|| link.connection.lie(Opcode::Readlink, 0, id, "no link's content"))?;
            out.put(target);
            Ok(())
        })
    }

    pub(super) fn mknod(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        kind: Kind,
        how: MakeHow,
    ) -> Result<Entry> {
        self.make(cx, dir, name, kind, |link, name| {
            let arg = MknodIn {
                mode: kind.mode_bits() | Self::mode(link, how),
                rdev: encode_device(how.rdev),
                umask: how.umask,
                padding: 0,
            };
            Operation::Mknod { arg, name }
        })
    }

    pub(super) fn mkdir(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Entry> {
        self.make(cx, dir, name, Kind::Directory, |link, name| {
            let arg = MkdirIn { mode: Self::mode(link, how), umask: how.umask };
            Operation::Mkdir { arg, name }
        })
    }

    pub(super) fn symlink(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
    ) -> Result<Entry> {
        // As Linux has it, which asks no file system for these.
        match target.len() {
            0 => return Err(Errno::ENOENT),
            1..=SYMLINK_MAX => {}
            _ => return Err(Errno::ENAMETOOLONG),
        }
        self.make(cx, dir, name, Kind::Symlink, |_, name| Operation::Symlink { name, target })
    }

    pub(super) fn link(
        &self,
        cx: &Context<'_>,
        node: &Node,
        dir: &Node,
        name: Name<'_>,
    ) -> Result<Entry> {
        let before = self.known(dir, name);
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            // Before the other name is looked up, which leads to the same node.
            let oldnodeid = self.id(link, cx, node)?;
            if let Some(made) = self.made_before(link, cx, &above, name, before.as_ref())?
                && {
                    let old = self.attributes_of(link, cx, &Self::remote(node)?, None)?;
                    is_linked(&made.attr, &old, link.terms.is_ours())
                }
            {
                return Ok(made);
            }
            let arg = LinkIn { oldnodeid };
            let operation = Operation::Link { arg, new_name: wire(name)? };
            let opcode = operation.opcode();
            let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
            let new = New { opcode, dir: &above, id, name, kind: node.kind(), since: None };
            self.accept_new(link, cx, &new, &reply)
        })
    }

    pub(super) fn create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Created> {
        const O_CREAT: u32 = 0o100;
        if self.refuses(how.flags) {
            return Err(Errno::EROFS);
        }
        let before = self.known(dir, name);
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if how.flags.has(OpenFlags::EXCL)
                && let Some(entry) = self.made_before(link, cx, &above, name, before.as_ref())?
            {
                let remote = Self::remote_of(&entry)?;
                let opened = self.open_remote(link, cx, &remote, how.flags, false)?;
                return Ok(Created { entry, opened });
            }
            let mut arg = Self::create_in(link, how);
            arg.flags |= O_CREAT;
            let operation = Operation::Create { arg, name: wire(name)? };
            // Otherwise it may have been there, and then it is not ours to take away.
            let exclusive = how.flags.has(OpenFlags::EXCL);
            let since = exclusive.then(|| self.nodes.now());
            let reply = match self.ask(link, cx, id, &operation) {
                Err(Fault::Missing) => return self.make_and_open(link, cx, dir, name, how),
                reply => reply?,
            };
            let place = Some(Place::new(&above, name));
            self.created(link, Opcode::Create, id, reply, how, place, since, || {
                if exclusive {
                    self.undo(link, cx, id, name, false);
                }
            })
        })
    }

    pub(super) fn tmpfile(&self, cx: &Context<'_>, dir: &Node, how: MakeHow) -> Result<Created> {
        self.run(cx, |link| {
            let id = self.id(link, cx, dir)?;
            let arg = Self::create_in(link, how);
            let since = Some(self.nodes.now());
            let reply = self.ask(link, cx, id, &Operation::Tmpfile { arg }).map_err(unsupported)?;
            self.created(link, Opcode::Tmpfile, id, reply, how, None, since, || {})
        })
    }

    /// A regular file that was made and opened in one step. What cannot be kept is closed, undone
    /// and given back.
    #[expect(clippy::too_many_arguments, reason = "one answer and all that was asked for it")]
    fn created(
        &self,
        link: &Link,
        opcode: Opcode,
        dir: u64,
        mut reply: Reply,
        how: MakeHow,
        place: Option<Place>,
        since: Option<Moment>,
        undo: impl Fn(),
    ) -> Answer<Created> {
        let out = Self::fixed(link, opcode, dir, reply.body());
        let out: CreateOut = out.inspect_err(|_| undo())?;
        let given = self.given(link, &out.open, reply.take_enclosed());
        let vetted = given.and_then(|given| {
            let entry = self.vet(link, &out.entry, place, Some(Kind::Regular), since)?;
            Ok((entry, given))
        });
        match vetted {
            Ok((entry, given)) => {
                let remote = Self::remote_of(&entry)?;
                let nodeid = out.entry.nodeid;
                let opened = self.opened(link, &remote, nodeid, how.flags, &out.open, given);
                Ok(Created { entry, opened })
            }
            Err(wrong) => {
                self.release_unwanted(link, out.entry.nodeid, &out.open, false);
                undo();
                Err(Self::refuse(link, opcode, dir, &out.entry, wrong))
            }
        }
    }

    pub(super) fn unlink(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.take_away(cx, dir, name, |name| Operation::Unlink { name })
    }

    pub(super) fn rmdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.take_away(cx, dir, name, |name| Operation::Rmdir { name })
    }

    pub(super) fn rename(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        to_dir: &Node,
        to_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        let source = self.known(dir, name);
        self.run(cx, |link| {
            let (from, to) = (Self::remote(dir)?, Self::remote(to_dir)?);
            let id = self.id_of(link, cx, &from)?;
            let newdir = self.id_of(link, cx, &to)?;
            let (old, new) = (wire(name)?, wire(to_name)?);
            if link.again {
                if flags.intersects(RenameFlags::EXCHANGE | RenameFlags::WHITEOUT) {
                    return Err(Errno::EIO.into());
                }
                if !self.is_still(link, cx, &from, name, source.as_ref())? {
                    self.find(link, cx, &to, to_name)?.ok_or(Errno::ENOENT)?;
                    self.nodes.moved((&from, name.bytes()), (&to, to_name.bytes()), flags);
                    return Ok(());
                }
            }
            if !flags.contains(RenameFlags::EXCHANGE) {
                self.keep_handle(link, cx, &to, to_name);
            }
            let operation = if flags.is_empty() {
                Operation::Rename { arg: RenameIn { newdir }, name: old, new_name: new }
            } else {
                let arg = Rename2In { newdir, flags: flags.bits(), padding: 0 };
                Operation::Rename2 { arg, name: old, new_name: new }
            };
            let reply = match self.ask(link, cx, id, &operation) {
                // Linux' own answer where a file system has no flags.
                Err(Fault::Missing) if !flags.is_empty() => return Err(Errno::EINVAL.into()),
                reply => reply.map_err(unsupported)?,
            };
            Self::nothing(link, operation.opcode(), id, &reply)?;
            self.nodes.moved((&from, name.bytes()), (&to, to_name.bytes()), flags);
            Ok(())
        })
    }

    /// A node for a new name, of which the server must answer that it is new.
    fn make<'n>(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'n>,
        kind: Kind,
        operation: impl Fn(&Link, WireName<'n>) -> Operation<'n>,
    ) -> Result<Entry> {
        let before = self.known(dir, name);
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if let Some(made) = self.made_before(link, cx, &above, name, before.as_ref())?
                && made.attr.kind == kind
            {
                return Ok(made);
            }
            let operation = operation(link, wire(name)?);
            let (opcode, since) = (operation.opcode(), Some(self.nodes.now()));
            let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
            let new = New { opcode, dir: &above, id, name, kind, since };
            self.accept_new(link, cx, &new, &reply)
        })
    }

    /// The node of a new name. Where the answer cannot be believed, what was made is taken away
    /// and given back (C.7).
    fn accept_new(
        &self,
        link: &Link,
        cx: &Context<'_>,
        new: &New<'_>,
        reply: &Reply,
    ) -> Answer<Entry> {
        let New { opcode, dir, id, name, kind, since } = *new;
        let undo = || self.undo(link, cx, id, name, kind == Kind::Directory);
        let entry = Self::entry_out(link, opcode, id, reply).inspect_err(|_| undo())?;
        if entry.nodeid == 0 {
            // Nothing was made: C.2.
            return Err(Errno::EOPNOTSUPP.into());
        }
        let made = self.vet(link, &entry, Some(Place::new(dir, name)), Some(kind), since);
        made.map_err(|wrong| {
            undo();
            Self::refuse(link, opcode, id, &entry, wrong)
        })
    }

    /// What is known under a name before anything is asked.
    fn known(&self, dir: &Node, name: Name<'_>) -> Option<Arc<Remote>> {
        let dir = Self::remote(dir).ok()?;
        self.nodes.at(&dir, name.bytes())
    }

    /// What an earlier try made before the server died, if it did: not what was there `before`.
    fn made_before(
        &self,
        link: &Attempt,
        cx: &Context<'_>,
        dir: &Arc<Remote>,
        name: Name<'_>,
        before: Option<&Arc<Remote>>,
    ) -> Answer<Option<Entry>> {
        if !link.again {
            return Ok(None);
        }
        let found = self.find(link, cx, dir, name)?;
        Ok(found.filter(|found| before.is_none_or(|before| !is_node(found, before))))
    }

    /// Whether a name still leads to what it led to `before`, or to anything where that is not
    /// known. If not, an earlier try took it away; what is there now is somebody else's.
    fn is_still(
        &self,
        link: &Link,
        cx: &Context<'_>,
        dir: &Arc<Remote>,
        name: Name<'_>,
        before: Option<&Arc<Remote>>,
    ) -> Answer<bool> {
        let found = self.find(link, cx, dir, name)?;
        Ok(found.is_some_and(|found| before.is_none_or(|before| is_node(&found, before))))
    }

    /// The node of a name, if there is one.
    fn find(
        &self,
        link: &Link,
        cx: &Context<'_>,
        dir: &Arc<Remote>,
        name: Name<'_>,
    ) -> Answer<Option<Entry>> {
        let id = self.id_of(link, cx, dir)?;
        let reply = match self.ask(link, cx, id, &Operation::Lookup { name: wire(name)? }) {
            Err(Fault::Errno(Errno::ENOENT)) => return Ok(None),
            reply => reply.map_err(unsupported)?,
        };
        let entry = Self::entry_out(link, Opcode::Lookup, id, &reply)?;
        if entry.nodeid == 0 {
            return Ok(None);
        }
        self.named(link, Opcode::Lookup, dir, name, &entry).map(Some)
    }

    /// Takes away what was made and cannot be kept, also for a caller that wants nothing any more.
    fn undo(&self, link: &Link, cx: &Context<'_>, dir: u64, name: Name<'_>, directory: bool) {
        let Ok(name) = wire(name) else { return };
        let operation =
            if directory { Operation::Rmdir { name } } else { Operation::Unlink { name } };
        let _ = self.ask(link, &patient(cx), dir, &operation);
    }

    /// For servers that cannot do both in one step.
    fn make_and_open(
        &self,
        link: &Link,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Answer<Created> {
        let above = Self::remote(dir)?;
        let id = self.id_of(link, cx, &above)?;
        let arg = MknodIn {
            mode: Kind::Regular.mode_bits() | Self::mode(link, how),
            umask: how.umask,
            ..MknodIn::default()
        };
        let operation = Operation::Mknod { arg, name: wire(name)? };
        let (opcode, since) = (Opcode::Mknod, Some(self.nodes.now()));
        let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
        let new = New { opcode, dir: &above, id, name, kind: Kind::Regular, since };
        let entry = self.accept_new(link, cx, &new, &reply)?;
        let remote = Self::remote_of(&entry)?;
        let opened = self.open_remote(link, cx, &remote, how.flags, how.kill_priv)?;
        Ok(Created { entry, opened })
    }

    fn take_away<'n>(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'n>,
        operation: impl Fn(WireName<'n>) -> Operation<'n>,
    ) -> Result<()> {
        let before = self.known(dir, name);
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if link.again && !self.is_still(link, cx, &above, name, before.as_ref())? {
                self.nodes.removed(&above, name.bytes());
                return Ok(());
            }
            self.keep_handle(link, cx, &above, name);
            let operation = operation(wire(name)?);
            let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
            Self::nothing(link, operation.opcode(), id, &reply)?;
            self.nodes.removed(&above, name.bytes());
            Ok(())
        })
    }

    /// Permission bits to make a file with: masked here for a server that does not do so itself.
    fn mode(link: &Link, how: MakeHow) -> u32 {
        let masks_itself = link.connection.dialect().flags().contains(InitFlags::DONT_MASK);
        if masks_itself { how.mode } else { how.mode & !how.umask }
    }

    fn create_in(link: &Link, how: MakeHow) -> CreateIn {
        let mut open_flags = OpenInFlags::empty();
        open_flags.set(OpenInFlags::KILL_SUIDGID, how.kill_priv);
        CreateIn {
            flags: how.flags.0,
            mode: Kind::Regular.mode_bits() | Self::mode(link, how),
            umask: how.umask,
            open_flags,
        }
    }

    fn entry_out(link: &Link, opcode: Opcode, id: u64, reply: &Reply) -> Answer<EntryOut> {
        Self::fixed(link, opcode, id, reply.body())
    }

    fn remote_of(entry: &Entry) -> Answer<Arc<Remote>> {
        let state = entry.state.clone();
        state.and_then(|state| state.downcast().ok()).ok_or(Fault::Errno(Errno::EIO))
    }
}

/// Whether an answer names that very node.
fn is_node(entry: &Entry, node: &Arc<Remote>) -> bool {
    let named = entry.state.clone().and_then(|state| state.downcast::<Remote>().ok());
    named.is_some_and(|named| Arc::ptr_eq(&named, node))
}

/// What no server can do without: to a caller it is no more than "not supported".
fn unsupported(fault: Fault) -> Fault {
    if fault == Fault::Missing { Errno::MISSING.into() } else { fault }
}

/// What an answer that names a new name's node is held against.
#[derive(Clone, Copy)]
struct New<'a> {
    opcode: Opcode,
    dir: &'a Arc<Remote>,
    /// The server's id of the directory.
    id: u64,
    name: Name<'a>,
    kind: Kind,
    /// A node known before that is none that was made.
    since: Option<Moment>,
}
