//! `Backings`: files of the host that the kernel reads, writes and maps without us
//! (FUSE_PASSTHROUGH).
//!
//! # One file, one mode
//!
//! The kernel has one mode for each node as long as any open of it lives: its page cache, filled
//! by us, or one backing file. An open in the other mode would be EIO to its caller. So the first
//! open decides, and all others get what it got. An open that must not pass although its node does
//! (it appends, it has become a set-id program, or the file system says DIRECT) is told both
//! PASSTHROUGH and DIRECT_IO: then its reads and writes come to us, past the page cache, and only
//! its mappings are of the backing file.
//!
//! Opens are counted from the decision, before the kernel hears of it, until the open is dropped:
//! at RELEASE, which the kernel sends when it has left the mode, or when nobody got the answer.
//!
//! What the page cache has of a file is dropped with each open that passes (it is not told
//! KEEP_CACHE), and nothing comes into it while one does: older data is never seen after it.
//!
//! # Ids
//!
//! A backing file is registered with the kernel under an id, once for a node, and stays so beyond
//! the last close, until the node is forgotten or too many others want a place
//! ([`Backings::MOST`]). Files that would gain nothing are not registered, see
//! [`Backings::LEAST`]. Ids of descriptors that are open for writing go with the last close: they
//! would keep the host from executing the file.
//!
//! # Set-id bits
//!
//! With FUSE_HANDLE_KILLPRIV_V2 it is on us to take the set-id bits off a file that is written, and
//! of these writes we never hear. The host takes them off instead (see [`super::registrar`] for why
//! it does so), and what it does with security.capability is the same for any writer. But the
//! kernel above would go on showing the bits it knows of. So a file that has them does not pass;
//! where one gets them while it passes, its attributes are told with a time-out of zero
//! ([`Backings::doubts`]).

use super::device::Outlet;
use super::registrar::{self, Whose};
use filofs::{Attr, Backing, Kind, Node, Open, OpenFlags, Slot, locked};
use filofs_wire::abi::OpenOutFlags;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::OFlags;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// S_ISUID and S_ISGID.
const SET_ID: u32 = 0o6000;

/// The registered files of one connection.
pub(super) struct Backings {
    /// Where the record of a node is kept, and the share of an open in it.
    slot: Slot,
    /// INIT has agreed to it, and nothing has shown since that it cannot be.
    on: AtomicBool,
    /// The core takes files; and whether none of them can be written.
    gives: OnceLock<bool>,
    /// A two-bit saturating counter, as branch predictors have it: whether files that are made
    /// become large, by the last ones that did or did not.
    large: AtomicU8,
    shelf: Arc<Shelf>,
}

/// What the records of all nodes share.
#[derive(Default)]
struct Shelf {
    /// How many ids the kernel knows.
    ids: AtomicUsize,
    /// Records with an id and no open, oldest first. Some may be in use again, or gone.
    idle: Mutex<VecDeque<Weak<Record>>>,
    /// Ids to be taken back at the next chance.
    gone: Mutex<Vec<i32>>,
}

/// What is known of one node. Its lock is held across no system call.
struct Record {
    shelf: Arc<Shelf>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// How many opens live, in the one mode of all of them.
    opens: u32,
    passes: bool,
    /// Has passed once. A mapping made then outlives every open, and sees the backing file: so does
    /// whoever opens the node from now on.
    passed: bool,
    id: Option<Id>,
    /// Was opened since the clock's hand came by.
    used: bool,
    /// Stands among the idle.
    idle: bool,
    /// Has set-id bits, as far as is known.
    set_id: bool,
    /// Cannot be registered.
    refused: bool,
}

/// A file that the kernel knows.
#[derive(Clone, Copy)]
struct Id {
    number: i32,
    /// May be kept while no open lives.
    keeps: bool,
}

/// One open's part in the record of its node.
struct Share {
    record: Arc<Record>,
    /// The file was empty when it was opened for writing.
    was_empty: bool,
    /// What is written comes by here.
    is_seen: bool,
    /// The end of what was written by here.
    end: AtomicU64,
}

/// What came of the attempt to register a file.
enum Tried {
    Registered(Id),
    /// It has set-id bits.
    SetId,
    /// It never will be.
    Refused,
    /// Not this time.
    NotNow,
}

impl Backings {
    /// More ids than this are not kept for nodes that nobody has open: each holds a file of the
    /// host open in the kernel.
    const MOST: usize = 4096;

    /// The size in bytes of a file that is registered for a reader, or when it is made. A smaller
    /// one comes with one request, for about the price of registering it (two changes of the
    /// thread's capabilities, one ioctl(2), and the kernel's own open), and is read from the page
    /// cache after that. Files with data that are opened for writing are registered whatever
    /// their size: they are databases, more often than not, and written in small pieces.
    const LEAST: u64 = 128 << 10;

    /// Of a connection whose front end has that place on nodes and opens.
    pub(super) fn new(slot: Slot) -> Backings {
        Backings {
            slot,
            on: AtomicBool::new(false),
            gives: OnceLock::new(),
            large: AtomicU8::new(2),
            shelf: Arc::default(),
        }
    }

    /// What INIT has agreed on.
    pub(super) fn allow(&self, on: bool) {
        self.on.store(on, Ordering::Relaxed);
    }

    /// Whether files pass, as far as is known.
    pub(super) fn is_on(&self) -> bool {
        self.on.load(Ordering::Relaxed)
    }

    /// The core takes files, and of a file system that is `read_only` also those that can only be
    /// read.
    pub(super) fn give(&self, read_only: bool) {
        let _ = self.gives.set(read_only);
    }

    /// How many files the kernel knows by an id.
    pub(super) fn ids(&self) -> usize {
        self.shelf.ids.load(Ordering::Relaxed)
    }

    /// Decides how an open is answered: its flags, of which `said` are those without passthrough,
    /// and the id of its backing file, or 0.
    pub(super) fn opened(
        &self,
        outlet: &dyn Outlet,
        open: &Open,
        said: OpenOutFlags,
        backing: Option<&Backing>,
    ) -> (OpenOutFlags, i32) {
        if !self.is_on() || open.node().kind() != Kind::Regular {
            return (said, 0);
        }
        let Some(record) = self.record(open) else { return (said, 0) };
        let tried = match backing {
            Some(backing) if record.lacks_id() => {
                self.register(outlet, open, backing, record.has_passed())
            }
            _ => Tried::NotNow,
        };
        let mut state = locked(&record.state);
        match tried {
            Tried::Registered(id) => {
                state.set_id = backing.is_some_and(|backing| backing.mode & SET_ID != 0);
                // Somebody else was as quick, or its bits have gone.
                match state.id {
                    Some(_) => self.shelf.discard(id),
                    None => state.id = Some(id),
                }
            }
            Tried::SetId => state.set_id = true,
            Tried::Refused => state.refused = true,
            Tried::NotNow => {}
        }
        let may_pass = backing.is_some() && !state.set_id;
        // The kernel's own open of the file keeps O_APPEND, whatever fcntl(2) makes of ours.
        let appends = open.flags().writes() && open.flags().has(OpenFlags::APPEND);
        let direct = said.contains(OpenOutFlags::DIRECT_IO);
        if state.opens == 0 {
            state.passes = state.id.is_some() && (state.passed || may_pass && !direct);
        }
        let answer = match state.id {
            Some(id) if state.passes => {
                // The kernel takes no other flags together with this one.
                let mut flags = OpenOutFlags::PASSTHROUGH | (said & OpenOutFlags::NOFLUSH);
                flags.set(OpenOutFlags::DIRECT_IO, direct || appends || !may_pass);
                state.passed = true;
                (flags, id.number)
            }
            // Not what the kernel has cached: a mapping may know better.
            _ if state.passed => ((said | OpenOutFlags::DIRECT_IO) - OpenOutFlags::KEEP_CACHE, 0),
            _ => (said, 0),
        };
        state.opens += 1;
        state.used = true;
        drop(state);
        self.count(open, record, backing, answer.1 == 0);
        answer
    }

    /// The file that goes to the core with the answer to an open: where the core would have its
    /// kernel read and write it, if it decides as we do.
    ///
    /// The kernel opens a file that it was given once for readers and once for writers, with no
    /// question asked, so the core takes none that is not open for both: see
    /// [`registrar::reopen`]. A program that nobody wants to write is left alone: as long as
    /// somebody may, the host does not execute it.
    pub(super) fn given(&self, open: &Open, backing: Option<&Backing>) -> Option<Arc<OwnedFd>> {
        /// S_IXUSR, S_IXGRP and S_IXOTH.
        const EXECUTABLE: u32 = 0o111;
        let read_only = *self.gives.get()?;
        if open.node().kind() != Kind::Regular {
            return None;
        }
        let record = self.record(open)?;
        let mut state = locked(&record.state);
        let worth = |backing: &Backing| {
            let set_id = backing.mode & SET_ID != 0;
            !set_id && self.expected(open, backing) >= Self::LEAST
        };
        if state.opens == 0 {
            state.passes = state.passed || backing.is_some_and(worth);
        }
        state.opens += 1;
        state.passed |= state.passes;
        let passes = state.passes;
        drop(state);
        self.count(open, record, backing, !passes);
        let runs = |backing: &Backing| backing.mode & EXECUTABLE != 0 && !open.flags().writes();
        let backing = backing.filter(|backing| passes && (read_only || !runs(backing)))?;
        let mode = rustix::fs::fcntl_getfl(backing).ok()? & OFlags::RWMODE;
        match mode {
            OFlags::RDWR => Some(backing.file.clone()),
            OFlags::RDONLY if read_only => Some(backing.file.clone()),
            _ if read_only => None,
            _ => registrar::reopen(backing.as_fd()).ok().map(Arc::new),
        }
    }

    /// What is known of the node of an open.
    fn record<'o>(&self, open: &'o Open) -> Option<&'o Arc<Record>> {
        let new = || Arc::new(Record { shelf: self.shelf.clone(), state: Mutex::default() });
        open.node().slot_or(self.slot, new)
    }

    /// Counts an open as long as it lives. `is_seen`: what is written comes by here.
    fn count(&self, open: &Open, record: &Arc<Record>, backing: Option<&Backing>, is_seen: bool) {
        let was_empty = open.flags().writes() && backing.is_some_and(|backing| backing.size == 0);
        let end = AtomicU64::new(0);
        let share = Share { record: record.clone(), was_empty, is_seen, end };
        let _ = open.slot_or(self.slot, || share);
    }

    /// How large the file will be, at a guess, in bytes.
    fn expected(&self, open: &Open, backing: &Backing) -> u64 {
        if !open.flags().writes() {
            backing.size
        } else if backing.size == 0 {
            self.grows()
        } else {
            u64::MAX
        }
    }

    /// The size that a file is expected to have in the end which is empty now: 0, or `u64::MAX`.
    fn grows(&self) -> u64 {
        if self.large.load(Ordering::Relaxed) > 1 { u64::MAX } else { 0 }
    }

    /// Data was written by way of an open, or made room for, up to that offset.
    #[inline]
    pub(super) fn wrote(&self, open: &Open, end: u64) {
        if let Some(share) = open.slot::<Share>(self.slot).filter(|share| share.was_empty) {
            share.end.fetch_max(end, Ordering::Relaxed);
        }
    }

    /// An open is closed: the last chance to learn how large its file has become. The file itself
    /// is asked for its `size` where the kernel has written it without us.
    pub(super) fn closes(&self, open: &Open, size: impl FnOnce() -> u64) {
        if let Some(share) = open.slot::<Share>(self.slot).filter(|share| share.was_empty) {
            let end = share.end.load(Ordering::Relaxed);
            self.learn(if share.is_seen { end } else { size() });
        }
    }

    /// A file that was empty when it was opened has that size when it is closed.
    fn learn(&self, size: u64) {
        let large = self.large.load(Ordering::Relaxed);
        let next = if size < Self::LEAST { large.saturating_sub(1) } else { (large + 1).min(3) };
        self.large.store(next, Ordering::Relaxed);
    }

    /// Whether what is told of a node's attributes must not be believed: it may lose its set-id
    /// bits by a write of which nobody hears.
    pub(super) fn doubts(&self, node: &Node, attr: &Attr) -> bool {
        if attr.mode & SET_ID == 0 || !self.is_on() {
            return false;
        }
        let Some(record) = node.slot::<Arc<Record>>(self.slot) else { return false };
        let mut state = locked(&record.state);
        state.set_id = true;
        state.opens > 0 && state.passes
    }

    /// Takes back the ids that nobody needs any more.
    pub(super) fn sweep(&self, outlet: &dyn Outlet) {
        if !self.is_on() || locked(&self.shelf.gone).is_empty() {
            return;
        }
        let gone = std::mem::take(&mut *locked(&self.shelf.gone));
        for id in gone {
            outlet.unregister(id);
        }
    }

    /// Registers a file, if it is one that passes and is better off so, or has `passed` already.
    fn register(&self, outlet: &dyn Outlet, open: &Open, backing: &Backing, passed: bool) -> Tried {
        if backing.mode & SET_ID != 0 && !passed {
            return Tried::SetId;
        }
        if self.expected(open, backing) < Self::LEAST && !passed {
            return Tried::NotNow;
        }
        let file = backing.as_fd();
        let Some(whose) = whose(file) else { return Tried::Refused };
        self.shelf.make_room();
        self.sweep(outlet);
        match outlet.register(file, whose) {
            Ok(number) => {
                self.shelf.ids.fetch_add(1, Ordering::Relaxed);
                let writes = OFlags::WRONLY | OFlags::RDWR;
                let flags = rustix::fs::fcntl_getfl(file);
                let keeps = flags.is_ok_and(|flags| !flags.intersects(writes));
                Tried::Registered(Id { number, keeps })
            }
            // Of all files: no right to, or an older kernel than takes O_PATH descriptors.
            Err(errno @ (Errno::PERM | Errno::BADF)) => {
                if self.on.swap(false, Ordering::Relaxed) {
                    log::debug!("passthrough: not here: {errno}");
                }
                Tried::Refused
            }
            Err(Errno::NOMEM | Errno::NOSPC | Errno::NFILE) => Tried::NotNow,
            Err(errno) => {
                log::debug!("passthrough: not {:?}: {errno}", open.node());
                Tried::Refused
            }
        }
    }
}

/// As whom the kernel is to read and write a file. `None`: as nobody but the callers themselves,
/// since its file system asks a server elsewhere, for each of them.
fn whose(file: BorrowedFd<'_>) -> Option<Whose> {
    // Numbers of linux/magic.h; those of ceph, cifs and smb2 are in their sources.
    const FUSE: u64 = 0x6573_5546;
    const EXT: u64 = 0xef53;
    const F2FS: u64 = 0xf2f5_2010;
    const ASKING: [u64; 6] =
        [0x6969, 0xff53_4d42, 0xfe53_4d42, 0x0102_1997, 0x00c3_6400, 0x5346_414f];
    let kind = rustix::fs::fstatfs(file).ok()?.f_type as u64 & 0xffff_ffff;
    match kind {
        FUSE => Some(Whose::Ours),
        EXT | F2FS => Some(Whose::Nobodys),
        kind if ASKING.contains(&kind) => None,
        _ => Some(Whose::Anybodys),
    }
}

impl Record {
    /// Whether an open that decides the mode would have to register the file first.
    fn lacks_id(&self) -> bool {
        let state = locked(&self.state);
        state.opens == 0 && !state.refused && (state.id.is_none() || state.set_id)
    }

    /// Whether an open of it has passed before.
    fn has_passed(&self) -> bool {
        locked(&self.state).passed
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let Record { shelf, state } = &*self.record;
        let mut state = locked(state);
        state.opens = state.opens.saturating_sub(1);
        if state.opens > 0 {
            return;
        }
        match state.id {
            Some(id) if !id.keeps => {
                state.id = None;
                shelf.discard(id);
            }
            Some(_) if !state.idle => {
                state.idle = true;
                shelf.put(&self.record);
            }
            _ => {}
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(id) = state.id.take() {
            self.shelf.discard(id);
        }
    }
}

impl Shelf {
    /// That id is needed no more.
    fn discard(&self, id: Id) {
        self.ids.fetch_sub(1, Ordering::Relaxed);
        locked(&self.gone).push(id.number);
    }

    /// That record has no open any more.
    fn put(&self, record: &Arc<Record>) {
        let mut idle = locked(&self.idle);
        if idle.len() >= 2 * Backings::MOST {
            // Forgotten nodes leave an empty place behind.
            idle.retain(|record| record.strong_count() > 0);
        }
        idle.push_back(Arc::downgrade(record));
    }

    /// Gives up the id of a node that was not opened for long, if there are too many.
    fn make_room(&self) {
        while self.ids.load(Ordering::Relaxed) >= Backings::MOST {
            let Some(next) = locked(&self.idle).pop_front() else { return };
            let Some(record) = next.upgrade() else { continue };
            let mut state = locked(&record.state);
            if state.opens > 0 {
                state.idle = false;
            } else if std::mem::take(&mut state.used) {
                drop(state);
                self.put(&record);
            } else {
                state.idle = false;
                if let Some(id) = state.id.take() {
                    self.discard(id);
                }
            }
        }
    }
}
