//! The operations on open files.

use super::append::Append;
use super::backing::Given;
use super::fault::{Answer, Fault};
use super::link::Link;
use super::listing::Walk;
use super::remote::Remote;
use super::server::{Server, patient};
use super::told;
use filofs::{
    Context, CopyHow, Errno, FallocateFlags, Ioctl, Kind, LockOwner, Node, Open, OpenFlags,
    OpenHow, Opened, OpenedFlags, PollEvents, ReleaseHow, Result, Seek, SetAttr, Sink, Source,
    WriteFlags, locked,
};
use filofs_wire::abi::{
    self, BmapIn, BmapOut, CopyFileRangeIn, CopyFileRangeOut, FallocateIn, FlushIn, FsyncFlags,
    FsyncIn, InitFlags, IoctlFlags, IoctlIn, LseekIn, LseekOut, Opcode, OpenIn, OpenInFlags,
    OpenOut, PollIn, PollOut, ReadIn, ReleaseFlags, ReleaseIn, WriteIn, WriteOut,
};
use filofs_wire::incoming;
use filofs_wire::request::Operation;
use rustix::fd::OwnedFd;
use std::sync::{Arc, Mutex};

/// An open file of the server's.
#[derive(Debug)]
pub(super) struct RemoteOpen {
    remote: Arc<Remote>,
    /// What it is opened with again after a restart.
    flags: OpenFlags,
    bound: Mutex<Bound>,
    /// Where its reader is, of a directory.
    walk: Mutex<Walk>,
}

#[derive(Clone, Copy, Debug)]
struct Bound {
    epoch: u64,
    /// The server's id of the node it was opened at.
    nodeid: u64,
    /// What the server calls it; `None` where it has no opens.
    id: Option<u64>,
}

impl RemoteOpen {
    fn new(remote: &Arc<Remote>, flags: OpenFlags, bound: Bound) -> RemoteOpen {
        remote.opened();
        let walk = Mutex::new(Walk::from(0));
        RemoteOpen { remote: remote.clone(), flags, bound: Mutex::new(bound), walk }
    }
}

impl Drop for RemoteOpen {
    fn drop(&mut self) {
        self.remote.closed();
    }
}

impl Server {
    pub(super) fn open(&self, cx: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        self.run(cx, |link| {
            self.open_remote(link, cx, &Self::remote(node)?, how.flags, how.kill_priv)
        })
    }

    pub(super) fn open_remote(
        &self,
        link: &Link,
        cx: &Context<'_>,
        remote: &Arc<Remote>,
        flags: OpenFlags,
        kill_priv: bool,
    ) -> Answer<Opened> {
        if remote.kind == Kind::Regular && flags.writes() && self.lacks(link, Opcode::Write) {
            return Err(Errno::EROFS.into()); // C.4
        }
        if remote.kind == Kind::Regular && self.refuses(flags) {
            return Err(Errno::EROFS.into());
        }
        let id = self.id_of(link, cx, remote)?;
        let abilities = link.connection.dialect().flags();
        let mut wire_flags = flags;
        if flags.has(OpenFlags::TRUNC) && !abilities.contains(InitFlags::ATOMIC_O_TRUNC) {
            let set = SetAttr { size: Some(0), kill_priv, ..SetAttr::default() };
            self.set_attributes(link, cx, remote, None, &set)?;
            wire_flags = flags.without(OpenFlags::TRUNC);
        }
        match self.open_again(link, cx, remote, id, wire_flags, kill_priv)? {
            Some((out, enclosed)) => match self.given(link, &out, enclosed) {
                Ok(given) => Ok(self.opened(link, remote, id, flags, &out, given)),
                Err(wrong) => {
                    self.release_unwanted(link, id, &out, remote.kind == Kind::Directory);
                    Err(link.connection.lie(Opcode::Open, 0, id, wrong))
                }
            },
            None => Ok(Self::opened_without(link, remote, id, flags)),
        }
    }

    /// OPEN or OPENDIR, and the descriptor that came with the answer. `None` from a server that
    /// needs none.
    fn open_again(
        &self,
        link: &Link,
        cx: &Context<'_>,
        remote: &Remote,
        id: u64,
        flags: OpenFlags,
        kill_priv: bool,
    ) -> Answer<Option<(OpenOut, Option<OwnedFd>)>> {
        let mut open_flags = OpenInFlags::empty();
        open_flags.set(OpenInFlags::KILL_SUIDGID, kill_priv);
        let arg = OpenIn { flags: flags.0, open_flags };
        let operation = if remote.kind == Kind::Directory {
            Operation::Opendir { arg }
        } else {
            Operation::Open { arg }
        };
        match self.ask(link, cx, id, &operation) {
            Err(Fault::Missing) => Ok(None),
            Ok(mut reply) => {
                let out = Self::fixed(link, operation.opcode(), id, reply.body())?;
                Ok(Some((out, reply.take_enclosed())))
            }
            Err(fault) => Err(fault),
        }
    }

    pub(super) fn opened(
        &self,
        link: &Link,
        remote: &Arc<Remote>,
        nodeid: u64,
        flags: OpenFlags,
        out: &OpenOut,
        given: Option<Given>,
    ) -> Opened {
        let bound = Bound { epoch: link.epoch, nodeid, id: Some(out.open_id) };
        let flags = flags.without(OpenFlags::TRUNC).without(OpenFlags::EXCL);
        let state = RemoteOpen::new(remote, flags, bound);
        let mut said = told::opened(out.open_flags);
        if self.lacks(link, Opcode::Flush) {
            said |= OpenedFlags::NO_FLUSH; // Linux, too, asks such a server once
        }
        let backing = given.and_then(|given| given.of(remote));
        Opened { state: Some(Arc::new(state)), flags: said, backing }
    }

    fn opened_without(link: &Link, remote: &Arc<Remote>, nodeid: u64, flags: OpenFlags) -> Opened {
        let bound = Bound { epoch: link.epoch, nodeid, id: None };
        let state = RemoteOpen::new(remote, flags, bound);
        Opened { state: Some(Arc::new(state)), ..Opened::default() }
    }

    /// The way on of whoever reads that directory from there.
    pub(super) fn walk_of(open: &Open, from: u64) -> Walk {
        let walk = open.state::<RemoteOpen>().map(|state| *locked(&state.walk));
        walk.filter(|walk| walk.at() == from).unwrap_or(Walk::from(from))
    }

    /// The reader of that directory has come so far.
    pub(super) fn keep_walk(open: &Open, walk: Walk) {
        if let Some(state) = open.state::<RemoteOpen>() {
            *locked(&state.walk) = walk;
        }
    }

    /// The server's id of an open file, which is opened again if the server was started since.
    pub(super) fn open_id(&self, link: &Link, cx: &Context<'_>, open: &Open) -> Answer<u64> {
        let state = open.state::<RemoteOpen>().ok_or(Fault::Errno(Errno::EBADF))?;
        let bound = *locked(&state.bound);
        if bound.epoch == link.epoch {
            return Ok(bound.id.unwrap_or(0));
        }
        let id = self.id_of(link, cx, &state.remote)?;
        // A file is not needed again: the kernel keeps the one that it has.
        let again = self.open_again(link, cx, &state.remote, id, state.flags, false)?;
        let again = again.map(|(out, _)| out);
        let mut bound = locked(&state.bound);
        if bound.epoch > link.epoch {
            return Err(Fault::Died);
        }
        if bound.epoch == link.epoch {
            let earlier = bound.id.unwrap_or(0);
            drop(bound);
            if let Some(out) = again {
                let directory = state.remote.kind == Kind::Directory;
                self.release_unwanted(link, id, &out, directory);
            }
            return Ok(earlier);
        }
        *bound = Bound { epoch: link.epoch, nodeid: id, id: again.map(|out| out.open_id) };
        Ok(bound.id.unwrap_or(0))
    }

    /// Closes what was opened and nobody gets.
    pub(super) fn release_unwanted(&self, link: &Link, id: u64, out: &OpenOut, directory: bool) {
        let arg = ReleaseIn { open_id: out.open_id, ..ReleaseIn::default() };
        let operation =
            if directory { Operation::Releasedir { arg } } else { Operation::Release { arg } };
        let _ = self.ask(link, &Context::internal(), id, &operation);
    }

    pub(super) fn flush(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        owner: LockOwner,
    ) -> Result<()> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let arg = FlushIn { open_id, lock_owner: owner.0, ..FlushIn::default() };
            self.own(link, cx, id, &Operation::Flush { arg })
        })
    }

    pub(super) fn release(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        how: ReleaseHow,
    ) -> Result<()> {
        let Some(state) = open.state::<RemoteOpen>() else { return Ok(()) };
        self.run(cx, |link| {
            let bound = *locked(&state.bound);
            // What an earlier life of the server had open is closed.
            let Some(open_id) = bound.id.filter(|_| bound.epoch == link.epoch) else {
                return Ok(());
            };
            let mut release_flags = ReleaseFlags::empty();
            release_flags.set(ReleaseFlags::FLOCK_UNLOCK, how.owner.is_some());
            let arg = ReleaseIn {
                open_id,
                flags: state.flags.0,
                release_flags,
                lock_owner: how.owner.map_or(0, |owner| owner.0),
            };
            let operation = if node.kind() == Kind::Directory {
                Operation::Releasedir { arg }
            } else {
                Operation::Release { arg }
            };
            // As it was opened: what has become of the node since must not keep it open.
            self.own(link, &patient(cx), bound.nodeid, &operation)
        })
    }

    pub(super) fn fsync(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        data_only: bool,
    ) -> Result<()> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let mut fsync_flags = FsyncFlags::empty();
            fsync_flags.set(FsyncFlags::FDATASYNC, data_only);
            let arg = FsyncIn { open_id, fsync_flags, padding: 0 };
            let operation = if node.kind() == Kind::Directory {
                Operation::Fsyncdir { arg }
            } else {
                Operation::Fsync { arg }
            };
            self.own(link, cx, id, &operation)
        })
    }

    pub(super) fn read(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            // What went up before the server was started again stays there.
            while out.room() > 0 {
                let way = link.connection.way(Opcode::Read);
                let size = out.room().min(way.payload()).min(link.most_read());
                let arg = ReadIn {
                    open_id,
                    offset: offset + out.taken() as u64,
                    size: size as u32,
                    flags: open.flags().0,
                    ..ReadIn::default()
                };
                let patience = self.settings.patience;
                let came = self.noting(link, cx, Opcode::Read, |cx| {
                    link.connection.read_by(&way, cx, id, arg, patience, out)
                })?;
                if came < size {
                    break;
                }
            }
            Ok(())
        })
    }

    pub(super) fn write(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        data: &mut dyn Source,
        flags: WriteFlags,
    ) -> Result<usize> {
        let mut written = 0;
        let mut append = None;
        if self.restarts() && flags.appends(open.flags()) {
            let remote = node.state_arc::<Remote>().ok_or(Errno::EBADF)?;
            append = Some(Append::begin(cx, remote)?);
        }
        let done = self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            if let Some(append) = &mut append {
                let size = |remote: &Arc<Remote>| {
                    Ok(self.attributes_of(link, cx, remote, Some(open))?.size)
                };
                append.resume(size, offset, &mut written, data)?;
            }
            let abilities = link.connection.dialect().flags();
            if flags.contains(WriteFlags::KILL_PRIV)
                && !abilities.contains(InitFlags::HANDLE_KILLPRIV_V2)
            {
                self.kill_privileges(link, cx, &Self::remote(node)?)?;
            }
            let mut open_flags = open.flags();
            if flags.intersects(WriteFlags::AT_OFFSET) {
                open_flags = open_flags.without(OpenFlags::APPEND);
            }
            let mut write_flags = abi::WriteFlags::empty();
            write_flags.set(abi::WriteFlags::CACHE, flags.contains(WriteFlags::CACHED));
            write_flags.set(abi::WriteFlags::KILL_SUIDGID, flags.contains(WriteFlags::KILL_PRIV));
            while data.remaining() > 0 {
                let way = link.connection.way(Opcode::Write);
                let chunk = data.chunk();
                let chunk = chunk.get(..chunk.len().min(way.payload()));
                let chunk = chunk.unwrap_or_default();
                let arg = WriteIn {
                    open_id,
                    offset: offset + written as u64,
                    size: chunk.len() as u32,
                    write_flags,
                    flags: open_flags.0,
                    ..WriteIn::default()
                };
                let (operation, patience) =
                    (Operation::Write { arg, data: chunk }, self.settings.patience);
                let reply = self.noting(link, cx, Opcode::Write, |cx| {
                    link.connection.call_by(way, cx, id, &operation, patience)
                })?;
                let out: WriteOut = Self::fixed(link, Opcode::Write, id, reply.body())?;
                let taken = out.size as usize;
                if taken > chunk.len() {
                    let text = "more written than was given";
                    return Err(link.connection.lie(Opcode::Write, 0, id, text));
                }
                let short = taken < chunk.len();
                data.advance(taken);
                written += taken;
                let end = offset.saturating_add(written as u64);
                let end = append.as_ref().map_or(end, |append| append.end(written));
                Self::remote(node)?.reaches(end);
                if short {
                    break;
                }
            }
            Ok(())
        });
        // What was written is written.
        if written > 0 { Ok(written) } else { done.map(|()| 0) }
    }

    pub(super) fn fallocate(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        length: u64,
        flags: FallocateFlags,
    ) -> Result<()> {
        let moves = FallocateFlags::COLLAPSE_RANGE | FallocateFlags::INSERT_RANGE;
        self.run(cx, |link| {
            if link.again && flags.intersects(moves) {
                return Err(Errno::EIO.into());
            }
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let arg = FallocateIn { open_id, offset, length, mode: flags.bits(), padding: 0 };
            let reply = self.ask(link, cx, id, &Operation::Fallocate { arg })?;
            Self::nothing(link, Opcode::Fallocate, id, &reply)
        })
    }

    pub(super) fn lseek(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        what: Seek,
    ) -> Result<u64> {
        const SEEK_DATA: u32 = 3;
        const SEEK_HOLE: u32 = 4;
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let whence = if what == Seek::Data { SEEK_DATA } else { SEEK_HOLE };
            let arg = LseekIn { open_id, offset, whence, padding: 0 };
            let reply = self.ask(link, cx, id, &Operation::Lseek { arg })?;
            let out: LseekOut = Self::fixed(link, Opcode::Lseek, id, reply.body())?;
            if out.offset < offset || out.offset > i64::MAX as u64 {
                let text = "a position before the one it began at";
                return Err(link.connection.lie(Opcode::Lseek, 0, id, text));
            }
            Ok(out.offset)
        })
    }

    pub(super) fn copy_file_range(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        to_node: &Node,
        to_open: &Open,
        how: CopyHow,
    ) -> Result<u64> {
        self.run(cx, |link| {
            let (id, open_id_in) = self.opened_ids(link, cx, node, open)?;
            let (nodeid_out, open_id_out) = self.opened_ids(link, cx, to_node, to_open)?;
            let mut arg = CopyFileRangeIn {
                open_id_in,
                off_in: how.from,
                nodeid_out,
                open_id_out,
                off_out: how.to,
                len: how.len,
                flags: 0,
            };
            let long = Operation::CopyFileRange64 { arg };
            let wide = link.connection.dialect().minor() >= 45 && !self.lacks(link, long.opcode());
            let long = if wide { self.ask(link, cx, id, &long) } else { Err(Fault::Missing) };
            let copied = match long {
                Err(Fault::Missing) => {
                    arg.len = arg.len.min(0xffff_f000);
                    let reply = self.ask(link, cx, id, &Operation::CopyFileRange { arg })?;
                    let opcode = Opcode::CopyFileRange;
                    let out: WriteOut = Self::fixed(link, opcode, id, reply.body())?;
                    u64::from(out.size)
                }
                reply => {
                    let (reply, opcode) = (reply?, Opcode::CopyFileRange64);
                    let out: CopyFileRangeOut = Self::fixed(link, opcode, id, reply.body())?;
                    out.bytes_copied
                }
            };
            if copied > arg.len {
                let text = "more copied than was asked for";
                return Err(link.connection.lie(Opcode::CopyFileRange, 0, id, text));
            }
            Ok(copied)
        })
    }

    pub(super) fn poll(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        events: PollEvents,
    ) -> Result<PollEvents> {
        self.run(cx, |link| {
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let arg = PollIn { open_id, events: events.bits(), ..PollIn::default() };
            let reply = self.ask(link, cx, id, &Operation::Poll { arg })?;
            let out: PollOut = Self::fixed(link, Opcode::Poll, id, reply.body())?;
            Ok(PollEvents::from_bits_truncate(out.revents))
        })
    }

    pub(super) fn ioctl(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        how: Ioctl<'_>,
        out: &mut dyn Sink,
    ) -> Result<i32> {
        self.run(cx, |link| {
            // What a command does, only the server knows.
            if link.again {
                return Err(Errno::EIO.into());
            }
            let (id, open_id) = self.opened_ids(link, cx, node, open)?;
            let directory = node.kind() == Kind::Directory;
            let abilities = link.connection.dialect().flags();
            if directory && !abilities.contains(InitFlags::HAS_IOCTL_DIR) {
                return Err(Errno::ENOTTY.into());
            }
            let room = out.room().min(link.connection.payload());
            let mut flags = IoctlFlags::empty();
            flags.set(IoctlFlags::DIR, directory);
            let arg = IoctlIn {
                open_id,
                flags,
                cmd: how.command,
                arg: how.argument,
                in_size: how.input.len() as u32,
                out_size: room as u32,
            };
            let operation = Operation::Ioctl { arg, data: how.input };
            let reply = match self.ask(link, cx, id, &operation) {
                Err(Fault::Missing) => return Err(Errno::ENOTTY.into()),
                reply => reply?,
            };
            let Some((answer, data)) = incoming::ioctl(reply.body(), room as u32) else {
                return Err(link.connection.lie(Opcode::Ioctl, 0, id, "no answer to an ioctl"));
            };
            out.put(data);
            Ok(answer.result)
        })
    }

    pub(super) fn bmap(
        &self,
        cx: &Context<'_>,
        node: &Node,
        block: u64,
        blocksize: u32,
    ) -> Result<u64> {
        self.run(cx, |link| {
            let id = self.id(link, cx, node)?;
            let arg = BmapIn { block, blocksize, padding: 0 };
            let reply = self.ask(link, cx, id, &Operation::Bmap { arg })?;
            let out: BmapOut = Self::fixed(link, Opcode::Bmap, id, reply.body())?;
            Ok(out.block)
        })
    }

    /// The server's ids of a node and an open file of it.
    pub(super) fn opened_ids(
        &self,
        link: &Link,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
    ) -> Answer<(u64, u64)> {
        Ok((self.id(link, cx, node)?, self.open_id(link, cx, open)?))
    }

    /// Asks what is a success where the server has no such operation.
    fn own(&self, link: &Link, cx: &Context<'_>, id: u64, operation: &Operation<'_>) -> Answer<()> {
        match self.ask(link, cx, id, operation) {
            Err(Fault::Missing) => Ok(()),
            reply => Self::nothing(link, operation.opcode(), id, &reply?),
        }
    }
}
