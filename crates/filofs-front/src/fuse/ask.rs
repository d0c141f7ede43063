//! `Ask`: one request while it is being answered.
//!
//! Each opcode is one operation of the mount. Whatever an answer would give the kernel (a node, an
//! open file) is noted in the [`Ledger`] before the answer is sent, since the kernel may come back
//! with it at once, and taken back if nobody gets the answer.

use super::answer::Answer;
use super::arguments::{create_flags, make_how, open_flags};
use super::face;
use super::ledger::Ledger;
use super::listing::{AFTER_DOT, AFTER_DOTS, Listing, take_back};
use crate::nouns::{decode_device, decode_lock, decode_setattr, encode_lock};
use filofs::{
    ACL_ACCESS, Access, Backing, Context, CopyHow, Created, DirOffset, Entry, Errno,
    FallocateFlags, FileSystem, Ioctl, Kind, Lock, LockKind, LockOwner, MakeHow, Name, Node, Open,
    OpenFlags, OpenHow, Opened, PollEvents, ReleaseHow, RenameFlags, Result, Seek, Sink, SliceSink,
    SliceSource, SyncMode, WriteFlags, XattrFlags,
};
use filofs_wire::abi;
use filofs_wire::limits::SYMLINK_MAX;
use filofs_wire::reply::{self, Message};
use filofs_wire::request::Operation;
use rustix::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use zerocopy::{Immutable, IntoBytes};

/// One request while it is being answered.
pub(super) struct Ask<'a> {
    pub(super) ledger: &'a Ledger,
    pub(super) nodeid: u64,
    pub(super) cx: Context<'a>,
    pub(super) answer: &'a Answer<'a>,
}

impl Ask<'_> {
    /// Runs the operation and answers it. An error is left to the caller to answer.
    pub(super) fn run(&self, operation: &Operation<'_>, window: &mut [u8]) -> Result<()> {
        let Ask { ledger, nodeid, ref cx, answer } = *self;
        let mount = &**ledger.mount();
        let unique = answer.unique;
        match *operation {
            Operation::Lookup { name } => return self.lookup(name.as_bytes()),
            Operation::Getattr { arg } => {
                let with = arg.getattr_flags.contains(abi::GetattrFlags::OPEN_ID);
                let (node, open) = self.node_and_open(with, arg.open_id)?;
                let attr = mount.getattr(cx, &node, open.as_ref())?;
                answer.plain(&reply::attr(unique, ledger.attr(&node, &attr)?));
            }
            Operation::Statx { arg } => {
                let with = arg.getattr_flags.contains(abi::GetattrFlags::OPEN_ID);
                let (node, open) = self.node_and_open(with, arg.open_id)?;
                let attr = mount.getattr(cx, &node, open.as_ref())?;
                answer.plain(&reply::statx(unique, ledger.statx(&node, &attr)?));
            }
            Operation::Setattr { arg } => {
                let with = arg.valid.contains(abi::SetattrValid::OPEN_ID);
                let (node, open) = self.node_and_open(with, arg.open_id)?;
                let set = decode_setattr(node.kind(), &arg);
                let attr = mount.setattr(cx, &node, open.as_ref(), &set)?;
                if let (Some(open), Some(size)) = (&open, set.size) {
                    ledger.backings.wrote(open, size);
                }
                answer.plain(&reply::attr(unique, ledger.attr(&node, &attr)?));
            }
            Operation::Readlink => {
                let node = self.node()?;
                // A longer target than a path may be is one that nobody can follow.
                let room = SYMLINK_MAX.min(window.len());
                let mut sink = SliceSink::new(window.get_mut(..room).unwrap_or_default());
                mount.readlink(cx, &node, &mut sink)?;
                let len = sink.taken();
                answer.data(window, len)?;
            }
            Operation::Symlink { name, target } => {
                let (dir, name) = (self.node()?, Name::new(name.as_bytes())?);
                let entry = mount.symlink(cx, &dir, name, target)?;
                return self.entry(&dir, &entry);
            }
            Operation::Mknod { arg, name } => {
                let (dir, name) = (self.node()?, Name::new(name.as_bytes())?);
                // mknod(2): no kind at all means a regular file.
                let kind = match arg.mode & 0o170_000 {
                    0 => Kind::Regular,
                    _ => Kind::from_mode(arg.mode).ok_or(Errno::EINVAL)?,
                };
                if matches!(kind, Kind::Directory | Kind::Symlink) {
                    return Err(Errno::EPERM);
                }
                let how = MakeHow {
                    rdev: decode_device(arg.rdev),
                    ..make_how(arg.mode, arg.umask, OpenFlags(0))
                };
                let entry = mount.mknod(cx, &dir, name, kind, how)?;
                return self.entry(&dir, &entry);
            }
            Operation::Mkdir { arg, name } => {
                let (dir, name) = (self.node()?, Name::new(name.as_bytes())?);
                let how = make_how(arg.mode, arg.umask, OpenFlags(0));
                let entry = mount.mkdir(cx, &dir, name, how)?;
                return self.entry(&dir, &entry);
            }
            Operation::Unlink { name } => {
                mount.unlink(cx, &self.node()?, Name::new(name.as_bytes())?)?;
                answer.empty();
            }
            Operation::Rmdir { name } => {
                mount.rmdir(cx, &self.node()?, Name::new(name.as_bytes())?)?;
                answer.empty();
            }
            Operation::Rename { arg, name, new_name } => {
                return self.rename(name, arg.newdir, new_name, 0);
            }
            Operation::Rename2 { arg, name, new_name } => {
                return self.rename(name, arg.newdir, new_name, arg.flags);
            }
            Operation::Link { arg, new_name } => {
                let (dir, name) = (self.node()?, Name::new(new_name.as_bytes())?);
                let node = ledger.node(cx, arg.oldnodeid)?;
                let entry = mount.link(cx, &node, &dir, name)?;
                return self.entry(&dir, &entry);
            }
            Operation::Open { arg } | Operation::Opendir { arg } => {
                return self.open(arg);
            }
            Operation::Create { arg, name } => {
                let (dir, name) = (self.node()?, Name::new(name.as_bytes())?);
                let how = self.create_how(&arg);
                let created = mount.create(cx, &dir, name, how)?;
                return self.created(&dir, &created, how.flags);
            }
            Operation::Tmpfile { arg } => {
                let dir = self.node()?;
                let how = self.create_how(&arg);
                let created = mount.tmpfile(cx, &dir, how)?;
                return self.created(&dir, &created, how.flags);
            }
            Operation::Read { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let room = (arg.size as usize).min(window.len());
                let mut sink = SliceSink::new(window.get_mut(..room).unwrap_or_default());
                mount.read(cx, open.node(), &open, arg.offset, &mut sink)?;
                let len = sink.taken();
                answer.data(window, len)?;
            }
            Operation::Write { arg, data } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let mut flags = WriteFlags::empty();
                flags.set(WriteFlags::CACHED, arg.write_flags.contains(abi::WriteFlags::CACHE));
                flags.set(
                    WriteFlags::KILL_PRIV,
                    arg.write_flags.contains(abi::WriteFlags::KILL_SUIDGID),
                );
                // As the open file is now: fcntl(2) changes it without a word to us.
                let appends = open_flags(arg.flags).has(OpenFlags::APPEND);
                flags.set(WriteFlags::AT_OFFSET, !appends);
                let mut source = SliceSource::new(data);
                let size = mount.write(cx, open.node(), &open, arg.offset, &mut source, flags)?;
                // More than was given is no count of it.
                if size > data.len() {
                    return Err(Errno::EPROTO);
                }
                ledger.backings.wrote(&open, arg.offset.saturating_add(size as u64));
                answer.plain(&reply::write(unique, size as u32));
            }
            Operation::Statfs => {
                let node = ledger.node(cx, nodeid).unwrap_or_else(|_| mount.root().clone());
                let numbers = mount.statfs(cx, &node)?;
                answer.plain(&reply::statfs(unique, face::numbers(&numbers)));
            }
            Operation::Release { arg } | Operation::Releasedir { arg } => {
                let _release = ledger.releases.begin();
                let open = ledger.opened(arg.open_id, nodeid)?;
                ledger.backings.closes(&open, || {
                    mount.getattr(cx, open.node(), Some(&open)).map_or(0, |attr| attr.size)
                });
                ledger.close(arg.open_id)?;
                for owner in ledger.lockers.take(open.id()) {
                    // Of an open file description, whose locks go only now. The bases know no
                    // other word for it than this one.
                    let _ = mount.flush(cx, open.node(), &open, owner);
                }
                let unlock = arg.release_flags.contains(abi::ReleaseFlags::FLOCK_UNLOCK);
                let owner = unlock.then_some(LockOwner(arg.lock_owner));
                mount.release(cx, open.node(), &open, ReleaseHow { owner })?;
                answer.empty();
                drop(open);
                ledger.backings.sweep(answer.outlet());
            }
            Operation::Flush { arg } if arg.open_id == Ledger::STATELESS && self.stateless() => {
                return Err(Errno::MISSING); // and never ask again
            }
            Operation::Flush { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let owner = LockOwner(arg.lock_owner);
                ledger.lockers.remove(open.id(), owner);
                mount.flush(cx, open.node(), &open, owner)?;
                answer.empty();
            }
            Operation::Fsync { arg } | Operation::Fsyncdir { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let data_only = arg.fsync_flags.contains(abi::FsyncFlags::FDATASYNC);
                mount.fsync(cx, open.node(), &open, data_only)?;
                if ledger.terms().writeback {
                    // Before the writes came the file may have used no storage; Linux asks again
                    // after a close, and after this only when it is told to.
                    answer.doubt(nodeid);
                }
                answer.empty();
            }
            Operation::Setxattr { arg, name, value } => {
                let mut flags = XattrFlags::from_bits(arg.flags).ok_or(Errno::EINVAL)?;
                if flags.contains(XattrFlags::KILL_SGID) {
                    return Err(Errno::EINVAL); // our own bit, not one of setxattr(2)
                }
                let kill = arg.setxattr_flags.contains(abi::SetxattrFlags::ACL_KILL_SGID);
                flags.set(XattrFlags::KILL_SGID, kill);
                mount.setxattr(cx, &self.node()?, name.as_bytes(), value, flags)?;
                self.doubt_mode(name.as_bytes());
                answer.empty();
            }
            Operation::Getxattr { arg, name } => {
                let node = self.node()?;
                return self.xattr(arg.size, window, |sink| {
                    mount.getxattr(cx, &node, name.as_bytes(), sink)
                });
            }
            Operation::Listxattr { arg } => {
                let node = self.node()?;
                return self.xattr(arg.size, window, |sink| mount.listxattr(cx, &node, sink));
            }
            Operation::Removexattr { name } => {
                mount.removexattr(cx, &self.node()?, name.as_bytes())?;
                self.doubt_mode(name.as_bytes());
                answer.empty();
            }
            Operation::Readdir { arg } => return self.list(&arg, false, window),
            Operation::Readdirplus { arg } => return self.list(&arg, true, window),
            Operation::Getlk { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let lock = decode_lock(arg.lk)?;
                let found =
                    mount.getlk(cx, open.node(), &open, LockOwner(arg.owner), lock)?.check()?;
                answer.plain(&reply::lk(unique, encode_lock(found)));
            }
            Operation::Setlk { arg } => return self.set_lock(&arg, false),
            Operation::Setlkw { arg } => return self.set_lock(&arg, true),
            Operation::Access { arg } => {
                mount.access(cx, &self.node()?, Access::from_bits_truncate(arg.mask))?;
                answer.empty();
            }
            Operation::Bmap { arg } => {
                let block = mount.bmap(cx, &self.node()?, arg.block, arg.blocksize)?;
                answer.plain(&reply::bmap(unique, block));
            }
            Operation::Ioctl { arg, data } => return self.ioctl(&arg, data, window),
            Operation::Poll { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let events = PollEvents::from_bits_truncate(arg.events);
                let ready = mount.poll(cx, open.node(), &open, events)?;
                answer.plain(&reply::poll(unique, ready.bits()));
            }
            Operation::Fallocate { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                let flags = FallocateFlags::from_bits(arg.mode).ok_or(Errno::EOPNOTSUPP)?;
                mount.fallocate(cx, open.node(), &open, arg.offset, arg.length, flags)?;
                ledger.backings.wrote(&open, arg.offset.saturating_add(arg.length));
                answer.empty();
            }
            Operation::Lseek { arg } => {
                let open = ledger.opened(arg.open_id, nodeid)?;
                const SEEK_DATA: u32 = 3;
                const SEEK_HOLE: u32 = 4;
                let what = match arg.whence {
                    SEEK_DATA => Seek::Data,
                    SEEK_HOLE => Seek::Hole,
                    _ => return Err(Errno::EINVAL),
                };
                if ledger.terms().writeback {
                    // The kernel asks without having written out what it holds back: that would
                    // look like a hole.
                    let _waiting = ledger.flights.may_wait().ok_or(Errno::EBUSY)?;
                    answer.collect(nodeid)?;
                }
                let at = mount.lseek(cx, open.node(), &open, arg.offset, what)?;
                answer.plain(&reply::lseek(unique, at));
            }
            Operation::CopyFileRange { arg } => {
                // The answer has 32 bits, and Linux moves no more than this at once anyway.
                let len = arg.len.min(0x7fff_f000);
                let copied = self.copy(&arg, len)?;
                answer.plain(&reply::write(unique, copied as u32));
            }
            Operation::CopyFileRange64 { arg } => {
                let copied = self.copy(&arg, arg.len)?;
                answer.plain(&reply::copy_file_range_64(unique, copied));
            }
            Operation::Syncfs { .. } => {
                mount.sync(cx, SyncMode::Wait)?;
                answer.empty();
            }
            Operation::SyncLater { arg } => self.sync_later(arg)?,
            Operation::HandleOf { arg } => return self.handle_of(arg),
            Operation::NodeOf { handle } => return self.node_of(handle),
            Operation::Extattrctl { arg, name } => return self.extattrctl(arg, name),
            Operation::Destroy => {
                answer.empty();
            }
            // DAX is for virtiofs; the others were answered before.
            _ => return Err(Errno::MISSING),
        }
        Ok(())
    }

    fn stateless(&self) -> bool {
        self.ledger.terms().stateless
    }

    pub(super) fn node(&self) -> Result<Node> {
        self.ledger.node(&self.cx, self.nodeid)
    }

    /// The node, and its open if the request names one.
    fn node_and_open(&self, with: bool, open_id: u64) -> Result<(Node, Option<Open>)> {
        if !with || open_id == Ledger::STATELESS && self.stateless() {
            return Ok((self.node()?, None));
        }
        let open = self.ledger.opened(open_id, self.nodeid)?;
        Ok((open.node().clone(), Some(open)))
    }

    fn lookup(&self, name: &[u8]) -> Result<()> {
        let Ask { ledger, ref cx, answer, .. } = *self;
        let mount = ledger.mount();
        let dir = self.node()?;
        // What an exported mount asks: a node that is known by its id alone, and its parent.
        if name == b"." {
            let attr = mount.getattr(cx, &dir, None)?;
            // The kernel has nobody who holds it, or it would not ask: what has no name either is
            // gone, although its FORGET may still be under way.
            if attr.nlink == 0 {
                return Err(Errno::ESTALE);
            }
            let mut entry = Entry::new(attr);
            (entry.cookie, entry.generation) = (dir.cookie(), dir.generation());
            return self.told(&dir, &entry);
        }
        if name == b".." {
            let entry = mount.parent(cx, &dir)?;
            let parent = mount.nodes().adopt(&entry)?;
            return self.told(&parent, &entry);
        }
        match (mount.lookup(cx, &dir, Name::new(name)?), ledger.face.absent()) {
            (Ok(entry), _) => {
                if entry.attr.kind != Kind::Directory {
                    ledger.habits.looked_up(self.nodeid);
                }
                self.entry(&dir, &entry)
            }
            (Err(Errno::ENOENT), Some(absent)) => {
                answer.plain(&reply::entry(answer.unique, absent));
                Ok(())
            }
            (Err(errno), _) => Err(errno),
        }
    }

    /// Answers with the node of a name in `dir`.
    fn entry(&self, dir: &Node, entry: &Entry) -> Result<()> {
        let node = self.ledger.mount().adopt(dir, entry)?;
        self.told(&node, entry)
    }

    /// Answers with a node.
    pub(super) fn told(&self, node: &Node, entry: &Entry) -> Result<()> {
        let out = self.ledger.entry(node, entry)?;
        self.ledger.tell_all(node, &out);
        if !self.answer.plain(&reply::entry(self.answer.unique, out)) {
            self.ledger.forget(node.cookie(), 1);
        }
        Ok(())
    }

    fn rename(
        &self,
        name: filofs_wire::name::Name<'_>,
        to_dir: u64,
        to_name: filofs_wire::name::Name<'_>,
        flags: u32,
    ) -> Result<()> {
        let flags = RenameFlags::from_bits(flags).ok_or(Errno::EINVAL)?;
        let (dir, to_dir) = (self.node()?, self.ledger.node(&self.cx, to_dir)?);
        let (name, to_name) = (Name::new(name.as_bytes())?, Name::new(to_name.as_bytes())?);
        let mount = self.ledger.mount();
        mount.rename(&self.cx, &dir, name, &to_dir, to_name, flags)?;
        if !dir.is(&to_dir) {
            mount.nodes().moved();
        }
        self.answer.empty();
        Ok(())
    }

    fn open(&self, arg: abi::OpenIn) -> Result<()> {
        let Ask { ledger, ref cx, answer, .. } = *self;
        let node = self.node()?;
        if ledger.is_stateless(&node) {
            return Err(Errno::MISSING); // and never ask again
        }
        let asked = open_flags(arg.flags);
        let kill_priv = arg.open_flags.contains(abi::OpenInFlags::KILL_SUIDGID);
        let wanted = self.cached_flags(&node, asked);
        let mut flags = ledger.face.quiet(wanted);
        let mut opened = ledger.mount().open(cx, &node, OpenHow { flags, kill_priv });
        // Only the owner may leave the access time alone. And what is not readable below: then
        // the kernel's reads of half-written pages will fail, and the writer is better off than
        // without a file.
        for fewer in [wanted, asked] {
            if flags != fewer && matches!(opened, Err(Errno::EACCES | Errno::EPERM)) {
                flags = fewer;
                opened = ledger.mount().open(cx, &node, OpenHow { flags, kill_priv });
            }
        }
        let mut opened = opened?;
        let backing = opened.backing.take();
        let open = ledger.open(cx, &node, flags, opened)?;
        let (out, given) = self.open_out(&open, backing.as_ref());
        if !self.opened(&reply::open(answer.unique, out), given) {
            self.take_open_back(&open);
        }
        Ok(())
    }

    fn created(&self, dir: &Node, created: &Created, flags: OpenFlags) -> Result<()> {
        let Ask { ledger, ref cx, answer, .. } = *self;
        let mount = ledger.mount();
        let node = match mount.adopt(dir, &created.entry) {
            Ok(node) => node,
            Err(errno) => {
                let stray = Node::detached(&created.entry);
                let open = Open::detached(&stray, flags, created.opened.clone());
                let _ = mount.release(cx, &stray, &open, ReleaseHow::default());
                return Err(errno);
            }
        };
        if ledger.is_stateless(&node) {
            return self.told_with(&node, &created.entry, &created.opened);
        }
        let mut opened = created.opened.clone();
        let backing = opened.backing.take();
        let open = ledger.open(cx, &node, flags, opened)?;
        let entry = match ledger.entry(&node, &created.entry) {
            Ok(entry) => entry,
            Err(errno) => {
                self.take_open_back(&open);
                return Err(errno);
            }
        };
        ledger.tell(&node);
        let (out, given) = self.open_out(&open, backing.as_ref());
        if !self.opened(&reply::create(answer.unique, entry, out), given) {
            ledger.forget(node.cookie(), 1);
            self.take_open_back(&open);
        }
        Ok(())
    }

    /// Answers with a node and an open that is none: there will be no RELEASE either.
    fn told_with(&self, node: &Node, entry: &Entry, opened: &Opened) -> Result<()> {
        let Ask { ledger, answer, .. } = *self;
        let entry = ledger.face.entry(entry)?;
        let open_flags = ledger.face.opened(node.kind(), opened.flags);
        let open = abi::OpenOut { open_id: Ledger::STATELESS, open_flags, backing_id: 0 };
        ledger.tell(node);
        if !answer.plain(&reply::create(answer.unique, entry, open)) {
            ledger.forget(node.cookie(), 1);
        }
        Ok(())
    }

    /// What is said of an open, and the file that goes with it to a core that takes some.
    fn open_out(
        &self,
        open: &Open,
        backing: Option<&Backing>,
    ) -> (abi::OpenOut, Option<Arc<OwnedFd>>) {
        let (open_id, backings) = (open.id().0, &self.ledger.backings);
        let said = self.ledger.face.opened(open.node().kind(), open.answer());
        if let Some(given) = backings.given(open, backing) {
            let backing_id = abi::BACKING_ID_ATTACHED;
            return (abi::OpenOut { open_id, open_flags: said, backing_id }, Some(given));
        }
        let outlet = self.answer.outlet();
        let (open_flags, backing_id) = backings.opened(outlet, open, said, backing);
        (abi::OpenOut { open_id, open_flags, backing_id }, None)
    }

    /// Answers an open. False when nobody got it.
    fn opened<T: IntoBytes + Immutable + Copy>(
        &self,
        message: &Message<T>,
        given: Option<Arc<OwnedFd>>,
    ) -> bool {
        match given {
            Some(file) => self.answer.with_file(message, file.as_fd()),
            None => self.answer.plain(message),
        }
    }

    /// Nobody got to know of the open.
    fn take_open_back(&self, open: &Open) {
        if let Ok(open) = self.ledger.close(open.id().0) {
            let how = ReleaseHow::default();
            let _ = self.ledger.mount().release(&self.cx, open.node(), &open, how);
        }
    }

    /// A kernel that keeps written data back reads the rest of a page that is half written, so
    /// what it writes it must be able to read.
    fn cached_flags(&self, node: &Node, asked: OpenFlags) -> OpenFlags {
        let both = self.ledger.terms().writeback
            && node.kind() == Kind::Regular
            && asked.writes()
            && !asked.reads();
        if both { OpenFlags(asked.0 & !3).with(OpenFlags::RDWR) } else { asked }
    }

    fn create_how(&self, arg: &abi::CreateIn) -> MakeHow {
        let mut flags = create_flags(arg.flags);
        if self.ledger.terms().writeback && flags.writes() {
            flags = OpenFlags(flags.0 & !3).with(OpenFlags::RDWR);
        }
        let kill_priv = arg.open_flags.contains(abi::OpenInFlags::KILL_SUIDGID);
        MakeHow { kill_priv, ..make_how(arg.mode, arg.umask, flags) }
    }

    /// An extended attribute, or the list of them, or the size of either.
    fn xattr(
        &self,
        size: u32,
        window: &mut [u8],
        get: impl FnOnce(&mut dyn Sink) -> Result<usize>,
    ) -> Result<()> {
        let room = (size as usize).min(window.len());
        let mut sink = SliceSink::new(window.get_mut(..room).unwrap_or_default());
        let len = match get(&mut sink) {
            // There is room for it, but not in a message of the size agreed on (C.10).
            Err(Errno::ERANGE) if room < size as usize => return Err(Errno::E2BIG),
            len => len?,
        };
        let taken = sink.taken();
        if size == 0 {
            let len = u32::try_from(len).map_err(|_| Errno::EPROTO)?;
            self.answer.plain(&reply::xattr_size(self.answer.unique, len));
        } else if len > room {
            return Err(if room < size as usize { Errno::E2BIG } else { Errno::ERANGE });
        } else {
            self.answer.data(window, taken)?;
        }
        Ok(())
    }

    /// An access ACL is half of a mode. A kernel that does not obey ACLs itself does not know that.
    fn doubt_mode(&self, key: &[u8]) {
        let obeys = self.ledger.terms().dialect.flags().contains(abi::InitFlags::POSIX_ACL);
        if key == ACL_ACCESS && !obeys {
            self.answer.doubt(self.nodeid);
        }
    }

    fn list(&self, arg: &abi::ReadIn, plus: bool, window: &mut [u8]) -> Result<()> {
        let Ask { ledger, nodeid, ref cx, answer } = *self;
        let mount = ledger.mount();
        let open = ledger.opened(arg.open_id, nodeid)?;
        let dir = open.node();
        let room = (arg.size as usize).min(window.len());
        let used;
        {
            let window = window.get_mut(..room).unwrap_or_default();
            let mut listing = Listing::new(ledger, dir, plus, window);
            // A core has its own ways, and its callers' numbers are not ours.
            let watches = plus && !ledger.terms().dialect.is_extended();
            let (habits, caller) = (&ledger.habits, cx.pid.0);
            let begins = arg.offset == 0;
            if watches {
                listing.spare_known();
            }
            if watches && !habits.in_full(caller, nodeid, begins) {
                listing.spare_files();
            }
            let mut more = true;
            if arg.offset < AFTER_DOTS {
                let own = dir.ino();
                if arg.offset < AFTER_DOT {
                    more = listing.add_dots(b".", own, AFTER_DOT);
                }
                if more {
                    let above = if dir.is(mount.root()) {
                        own // what the mount point is in, only the kernel knows
                    } else {
                        let ask = || mount.parent(cx, dir).map_or(own, |parent| parent.attr.ino);
                        dir.above().unwrap_or_else(ask)
                    };
                    more = listing.add_dots(b"..", above, AFTER_DOTS);
                }
            }
            let from = if arg.offset <= AFTER_DOTS { 0 } else { arg.offset };
            let listed = if more {
                mount.readdir(cx, dir, &open, DirOffset(from), &mut listing)
            } else {
                Ok(())
            };
            used = listing.len();
            if watches {
                habits.listed(caller, nodeid, listing.bare());
            }
            let too_small = listing.too_small();
            // What is already in the window may count as looked up, so it is told, error or not;
            // the error comes again with the next read.
            if used == 0 {
                listed?;
                if too_small {
                    return Err(Errno::EINVAL);
                }
            }
        }
        let sent = answer.data(window, used);
        if plus && !matches!(sent, Ok(true)) {
            take_back(ledger, window.get(..used).unwrap_or_default());
        }
        sent.map(drop)
    }

    fn set_lock(&self, arg: &abi::LkIn, wait: bool) -> Result<()> {
        let Ask { ledger, nodeid, ref cx, answer } = *self;
        let open = ledger.opened(arg.open_id, nodeid)?;
        let lock = decode_lock(arg.lk)?;
        let owner = LockOwner(arg.owner);
        // Were every worker to wait for a lock, nobody would read the request that gives it back.
        let wait_here = wait && answer.outlet().may_wait();
        let waiting = if wait_here { ledger.flights.may_wait() } else { None };
        let waits = waiting.is_some();
        let flock = arg.lk_flags.contains(abi::LkFlags::FLOCK);
        if !flock && lock.kind != LockKind::Unlock {
            ledger.lockers.add(open.id(), owner);
        }
        let take = |lock: Lock, waits| {
            if flock {
                ledger.mount().flock(cx, open.node(), &open, owner, lock.kind, waits)
            } else {
                ledger.mount().setlk(cx, open.node(), &open, owner, lock, waits)
            }
        };
        let mut taken = take(lock, waits);
        if taken == Err(Errno::EAGAIN) && !wait {
            // Whoever has it may have closed the file already.
            ledger.releases.settle();
            taken = take(lock, false);
        }
        match taken {
            Err(Errno::EAGAIN) if wait && !waits => return Err(Errno::ENOLCK),
            taken => taken?,
        }
        if !answer.empty() && lock.kind != LockKind::Unlock {
            // The waiter was killed in the moment in which it got the lock.
            let _ = take(Lock { kind: LockKind::Unlock, ..lock }, false);
        }
        Ok(())
    }

    fn ioctl(&self, arg: &abi::IoctlIn, data: &[u8], window: &mut [u8]) -> Result<()> {
        let Ask { ledger, nodeid, ref cx, answer } = *self;
        // Only character devices in user space may reach into their caller's memory.
        if arg.flags.contains(abi::IoctlFlags::UNRESTRICTED) {
            return Err(Errno::ENOTTY);
        }
        let open = ledger.opened(arg.open_id, nodeid)?;
        let room = (arg.out_size as usize).min(window.len());
        let mut sink = SliceSink::new(window.get_mut(..room).unwrap_or_default());
        let how = Ioctl { command: arg.cmd, argument: arg.arg, input: data };
        let result = ledger.mount().ioctl(cx, open.node(), &open, how, &mut sink)?;
        let taken = sink.taken();
        let out = abi::IoctlOut { result, ..abi::IoctlOut::default() };
        let message = reply::ioctl(answer.unique, out, taken).map_err(|_| Errno::EIO)?;
        answer.send(&message, window.get(..taken).unwrap_or_default());
        Ok(())
    }

    fn copy(&self, arg: &abi::CopyFileRangeIn, len: u64) -> Result<u64> {
        if arg.flags != 0 {
            return Err(Errno::EINVAL);
        }
        let from = self.ledger.opened(arg.open_id_in, self.nodeid)?;
        let to = self.ledger.opened(arg.open_id_out, arg.nodeid_out)?;
        let how = CopyHow { from: arg.off_in, to: arg.off_out, len };
        let mount = self.ledger.mount();
        let copied = mount.copy_file_range(&self.cx, from.node(), &from, to.node(), &to, how)?;
        if copied > len {
            return Err(Errno::EPROTO);
        }
        self.ledger.backings.wrote(&to, arg.off_out.saturating_add(copied));
        Ok(copied)
    }
}
