//! The operations on names.

use super::connection::Reply;
use super::fault::{Answer, Fault};
use super::link::Link;
use super::remote::Remote;
use super::server::{Attempt, Server};
use super::told;
use filofs::{
    Context, Created, DirEntry, DirOffset, DirSink, Entry, Errno, Kind, MakeHow, Name, Node, Open,
    OpenFlags, RenameFlags, Result, Sink,
};
use filofs_wire::abi::{
    CreateIn, EntryOut, InitFlags, LinkIn, MkdirIn, MknodIn, Opcode, OpenInFlags, ReadIn,
    Rename2In, RenameIn,
};
use filofs_wire::dirent::{Dirent, read_dirents, read_dirents_plus};
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

/// The offsets 1 and 2 belong to the front end; a server's own are exchanged for two that no
/// directory has. Twice is nothing, so the same function goes both ways.
const fn swap_offset(offset: u64) -> u64 {
    const APART: u64 = 0x7fff_fff0_f110_0000;
    match offset {
        1 | 2 => offset + APART,
        _ if offset == APART + 1 || offset == APART + 2 => offset - APART,
        _ => offset,
    }
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
                let generation = filofs::Generation(place.dir.generation());
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
            let entry = self.entry_out(link, Opcode::Lookup, id, &reply)?;
            Ok(self.known(link, Opcode::Lookup, &entry, None)?.0)
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
        let mut from = swap_offset(offset.0);
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            let open_id = self.open_id(link, cx, open)?;
            loop {
                let can_plus = link.connection.dialect().flags();
                let plus = out.wants_entries()
                    && can_plus.contains(InitFlags::DO_READDIRPLUS)
                    && !self.lacks(link, Opcode::Readdirplus);
                let arg = ReadIn { open_id, offset: from, size: 4096, ..ReadIn::default() };
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
                match listing.pass(&reply, from, out)? {
                    Some(next) => from = next,
                    None => return Ok(()),
                }
            }
        })
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
                mode: kind.mode_bits() | self.mode(link, how),
                rdev: told::encode_device(how.rdev),
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
            let arg = MkdirIn { mode: self.mode(link, how), umask: how.umask };
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
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if let Some(made) = self.made_before(link, cx, &above, name)?
                && made.attr.ino == self.attributes_of(link, cx, &Self::remote(node)?, None)?.ino
            {
                return Ok(made);
            }
            let arg = LinkIn { oldnodeid: self.id(link, cx, node)? };
            let operation = Operation::Link { arg, new_name: wire(name)? };
            let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
            let entry = self.entry_out(link, Opcode::Link, id, &reply)?;
            let linked = self.named(link, Opcode::Link, &above, name.bytes(), &entry, false);
            linked.inspect_err(|_| self.undo(link, cx, id, name, false))
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
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if how.flags.has(OpenFlags::EXCL)
                && let Some(entry) = self.made_before(link, cx, &above, name)?
            {
                let remote = self.remote_of(&entry)?;
                let opened = self.open_remote(link, cx, &remote, how.flags, false)?;
                return Ok(Created { entry, opened });
            }
            let mut arg = self.create_in(link, how);
            arg.flags |= O_CREAT;
            let operation = Operation::Create { arg, name: wire(name)? };
            let reply = match self.ask(link, cx, id, &operation) {
                Err(Fault::Missing) => return self.make_and_open(link, cx, dir, name, how),
                reply => reply?,
            };
            let out: CreateOut = self.fixed(link, Opcode::Create, id, reply.body())?;
            let made = self.named(link, Opcode::Create, &above, name.bytes(), &out.entry, false);
            match made {
                Ok(entry) if entry.attr.kind == Kind::Regular => {
                    let remote = self.remote_of(&entry)?;
                    let opened = self.opened(link, &remote, how.flags, &out.open, reply.descriptor);
                    Ok(Created { entry, opened })
                }
                Ok(_) => {
                    self.release_unwanted(link, out.entry.nodeid, &out.open, false);
                    Err(link.connection.lie(Opcode::Create, 0, id, "no regular file"))
                }
                Err(fault) => {
                    self.release_unwanted(link, out.entry.nodeid, &out.open, false);
                    Err(fault)
                }
            }
        })
    }

    pub(super) fn tmpfile(&self, cx: &Context<'_>, dir: &Node, how: MakeHow) -> Result<Created> {
        self.run(cx, |link| {
            let id = self.id(link, cx, dir)?;
            let arg = self.create_in(link, how);
            let reply = self.ask(link, cx, id, &Operation::Tmpfile { arg }).map_err(unsupported)?;
            let out: CreateOut = self.fixed(link, Opcode::Tmpfile, id, reply.body())?;
            let (entry, known) = self.known(link, Opcode::Tmpfile, &out.entry, None)?;
            let remote = self.remote_of(&entry)?;
            if known {
                self.release_unwanted(link, out.entry.nodeid, &out.open, false);
                return Err(link.connection.lie(Opcode::Tmpfile, 0, id, "a node that exists"));
            }
            let opened = self.opened(link, &remote, how.flags, &out.open, reply.descriptor);
            Ok(Created { entry, opened })
        })
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
        self.run(cx, |link| {
            let (from, to) = (Self::remote(dir)?, Self::remote(to_dir)?);
            let id = self.id_of(link, cx, &from)?;
            let newdir = self.id_of(link, cx, &to)?;
            let (old, new) = (wire(name)?, wire(to_name)?);
            if link.again {
                if flags.intersects(RenameFlags::EXCHANGE | RenameFlags::WHITEOUT) {
                    return Err(Errno::EIO.into());
                }
                if self.find(link, cx, &from, name)?.is_none() {
                    self.nodes.moved((&from, name.bytes()), (&to, to_name.bytes()), flags);
                    return Ok(());
                }
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
            self.nothing(link, operation.opcode(), id, &reply)?;
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
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if let Some(made) = self.made_before(link, cx, &above, name)?
                && made.attr.kind == kind
            {
                return Ok(made);
            }
            let operation = operation(link, wire(name)?);
            let opcode = operation.opcode();
            let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
            let directory = kind == Kind::Directory;
            let made = self.entry_out(link, opcode, id, &reply).and_then(|entry| {
                let entry = self.named(link, opcode, &above, name.bytes(), &entry, true)?;
                if entry.attr.kind == kind {
                    return Ok(entry);
                }
                Err(link.connection.lie(opcode, 0, id, "another kind of file than was made"))
            });
            made.inspect_err(|_| self.undo(link, cx, id, name, directory))
        })
    }

    /// What an earlier try made before the server died, if it did.
    fn made_before(
        &self,
        link: &Attempt,
        cx: &Context<'_>,
        dir: &Arc<Remote>,
        name: Name<'_>,
    ) -> Answer<Option<Entry>> {
        if link.again { self.find(link, cx, dir, name) } else { Ok(None) }
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
        let entry = self.entry_out(link, Opcode::Lookup, id, &reply)?;
        if entry.nodeid == 0 {
            return Ok(None);
        }
        self.named(link, Opcode::Lookup, dir, name.bytes(), &entry, false).map(Some)
    }

    /// Takes away what was made and cannot be kept.
    fn undo(&self, link: &Link, cx: &Context<'_>, dir: u64, name: Name<'_>, directory: bool) {
        let Ok(name) = wire(name) else { return };
        let operation =
            if directory { Operation::Rmdir { name } } else { Operation::Unlink { name } };
        let _ = self.ask(link, cx, dir, &operation);
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
            mode: Kind::Regular.mode_bits() | self.mode(link, how),
            umask: how.umask,
            ..MknodIn::default()
        };
        let operation = Operation::Mknod { arg, name: wire(name)? };
        let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
        let entry = self.entry_out(link, Opcode::Mknod, id, &reply)?;
        let entry = self.named(link, Opcode::Mknod, &above, name.bytes(), &entry, true)?;
        let remote = self.remote_of(&entry)?;
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
        self.run(cx, |link| {
            let above = Self::remote(dir)?;
            let id = self.id_of(link, cx, &above)?;
            if link.again && self.find(link, cx, &above, name)?.is_none() {
                self.nodes.removed(&above, name.bytes());
                return Ok(());
            }
            let operation = operation(wire(name)?);
            let reply = self.ask(link, cx, id, &operation).map_err(unsupported)?;
            self.nothing(link, operation.opcode(), id, &reply)?;
            self.nodes.removed(&above, name.bytes());
            Ok(())
        })
    }

    /// Permission bits to make a file with: masked here for a server that does not do so itself.
    fn mode(&self, link: &Link, how: MakeHow) -> u32 {
        let masks_itself = link.connection.dialect().flags().contains(InitFlags::DONT_MASK);
        if masks_itself { how.mode } else { how.mode & !how.umask }
    }

    fn create_in(&self, link: &Link, how: MakeHow) -> CreateIn {
        let mut open_flags = OpenInFlags::empty();
        open_flags.set(OpenInFlags::KILL_SUIDGID, how.kill_priv);
        CreateIn {
            flags: how.flags.0,
            mode: Kind::Regular.mode_bits() | self.mode(link, how),
            umask: how.umask,
            open_flags,
        }
    }

    fn entry_out(&self, link: &Link, opcode: Opcode, id: u64, reply: &Reply) -> Answer<EntryOut> {
        self.fixed(link, opcode, id, reply.body())
    }

    fn remote_of(&self, entry: &Entry) -> Answer<Arc<Remote>> {
        let state = entry.state.clone();
        state.and_then(|state| state.downcast().ok()).ok_or(Fault::Errno(Errno::EIO))
    }
}

/// What no server can do without: to a caller it is no more than "not supported".
fn unsupported(fault: Fault) -> Fault {
    if fault == Fault::Missing { Errno::MISSING.into() } else { fault }
}

/// One answer to READDIR or READDIRPLUS on its way up.
struct Listing<'a> {
    server: &'a Server,
    link: &'a Link,
    dir: &'a Arc<Remote>,
    opcode: Opcode,
    id: u64,
}

impl Listing<'_> {
    /// Passes the entries up, until there is no room. Where to go on; `None` at the end, or where
    /// there is no more room.
    fn pass(&self, reply: &Reply, from: u64, out: &mut dyn DirSink) -> Answer<Option<u64>> {
        let mut last = from;
        let mut full = false;
        let wrong = |text| self.link.connection.lie(self.opcode, 0, self.id, text);
        if self.opcode == Opcode::Readdirplus {
            // Each counts as looked up, so all are taken in, and those beyond the room dropped.
            for record in read_dirents_plus(reply.body()) {
                let (entry, dirent) = record.map_err(|_| wrong("no directory entry"))?;
                let known = self.take_in(&entry, &dirent);
                if !full {
                    full = !self.add(&dirent, known, &mut last, out)?;
                }
            }
        } else {
            for record in read_dirents(reply.body()) {
                let dirent = record.map_err(|_| wrong("no directory entry"))?;
                if !self.add(&dirent, None, &mut last, out)? {
                    full = true;
                    break;
                }
            }
        }
        Ok((!full && last != from).then_some(last))
    }

    fn take_in(&self, entry: &EntryOut, dirent: &Dirent<'_>) -> Option<Entry> {
        if entry.nodeid == 0 || dirent.name.is_dots() {
            return None;
        }
        let name = dirent.name.as_bytes();
        self.server.named(self.link, self.opcode, self.dir, name, entry, false).ok()
    }

    /// False when there is no room.
    fn add(
        &self,
        dirent: &Dirent<'_>,
        entry: Option<Entry>,
        last: &mut u64,
        out: &mut dyn DirSink,
    ) -> Answer<bool> {
        if dirent.next == *last || dirent.next == 0 {
            let text = "a directory entry that leads nowhere";
            return Err(self.link.connection.lie(self.opcode, 0, self.id, text));
        }
        if !dirent.name.is_dots() {
            let kind = Kind::from_mode(dirent.kind << 12);
            let name = Name::new(dirent.name.as_bytes())?;
            let next = DirOffset(swap_offset(dirent.next));
            let told = DirEntry { name, ino: dirent.ino, kind, next, entry };
            if out.add(told).is_err() {
                return Ok(false);
            }
        }
        *last = dirent.next;
        Ok(true)
    }
}
