//! `Ledger`: everything a successor process would have to know.

use super::backing::Backings;
use super::face::Face;
use super::flight::Flights;
use super::habits::Habits;
use super::lockers::Lockers;
use super::releases::Releases;
use super::terms::Terms;
use filofs::{
    Attr, Context, Cookie, Entry, Errno, FileSystem, Kind, Mount, Node, Open, OpenFlags, OpenId,
    Opened, Result,
};
use filofs_wire::abi;
use std::sync::{Arc, OnceLock};

/// What one connection with the kernel has promised: nodes with their lookup counts, open files,
/// INIT parameters, requests being worked on.
///
/// Dispatch keeps nothing of its own beside it. A process that took over the descriptor would
/// need these facts and no other: every id in here is an index with a generation or the file
/// system's own cookie, never an address, so that the storage behind this type may one day be
/// memory that outlives us. Locks are the file system's to keep (`Profile::locks`) or the
/// kernel's.
pub(super) struct Ledger {
    mount: Arc<Mount>,
    pub(super) face: Face,
    terms: OnceLock<Terms>,
    pub(super) flights: Flights,
    pub(super) lockers: Lockers,
    pub(super) releases: Releases,
    pub(super) habits: Habits,
    pub(super) backings: Backings,
}

/// For so many milliseconds at most what was told is not told again: later a list is the chance to
/// bring attributes up to date, however long they are believed.
const SPARING_MOST: u64 = 1000;

/// Milliseconds that have passed since some time: as the clock's last tick has it, which costs
/// next to nothing. The number wraps around.
pub(super) fn now() -> u32 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::MonotonicCoarse);
    millis(now.tv_sec.cast_unsigned(), now.tv_nsec as u32) as u32
}

fn millis(secs: u64, nanos: u32) -> u64 {
    // More than a clock has run, and as good as for ever.
    secs.min(u32::MAX.into()) * 1000 + u64::from(nanos / 1_000_000)
}

impl Ledger {
    /// The id of an open that nobody saw; of none that was seen.
    pub(super) const STATELESS: u64 = 0;

    /// For a connection that so many workers serve at most.
    pub(super) fn new(mount: Arc<Mount>, face: Face, most_workers: usize) -> Ledger {
        Ledger {
            backings: Backings::new(mount.slot()),
            mount,
            face,
            terms: OnceLock::new(),
            flights: Flights::new(most_workers),
            lockers: Lockers::default(),
            releases: Releases::default(),
            habits: Habits::default(),
        }
    }

    pub(super) const fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// What INIT settled; before it, terms under which only INIT is understood.
    pub(super) fn terms(&self) -> &Terms {
        self.terms.get().unwrap_or(&Terms::BEFORE_INIT)
    }

    /// INIT has settled it. False if it had before.
    pub(super) fn settle(&self, terms: Terms) -> bool {
        self.backings.allow(terms.passthrough);
        self.terms.set(terms).is_ok()
    }

    /// Whether INIT is over.
    pub(super) fn settled(&self) -> bool {
        self.terms.get().is_some()
    }

    /// The node of an id that the kernel was given.
    ///
    /// With exports the kernel asks for ids that it gave back long ago; the file system may still
    /// know them. ESTALE otherwise.
    pub(super) fn node(&self, cx: &Context<'_>, id: u64) -> Result<Node> {
        if id == abi::ROOT_ID {
            return Ok(self.mount.root().clone());
        }
        let cookie = self.face.cookie(id);
        match self.mount.nodes().find(cookie) {
            Err(Errno::ESTALE) if self.terms().exported => {
                let entry = self.mount.recall(cx, cookie).map_err(|_| Errno::ESTALE)?;
                // Another file's cookie would give the caller another file.
                if entry.cookie != cookie {
                    return Err(Errno::EPROTO);
                }
                self.mount.nodes().adopt(&entry)
            }
            found => found,
        }
    }

    /// Notes that the kernel was told of the node once more. To be taken back with
    /// [`Ledger::forget`] if the kernel does not get to know. The root is always there and is not
    /// counted: the kernel never gives it back.
    pub(super) fn tell(&self, node: &Node) {
        if !node.is(self.mount.root()) {
            self.mount.nodes().remember(node);
        }
    }

    /// The same, with what it was told: its name and attributes are believed for a while. What is
    /// listed in the first quarter of that time, and soon, need not be told again, and is still
    /// believed when somebody asks for what was listed. Of directories this is not noted: their
    /// attributes change with what is in them.
    pub(super) fn tell_all(&self, node: &Node, out: &abi::EntryOut) {
        self.tell(node);
        if node.kind() != Kind::Directory {
            let name = millis(out.entry_valid, out.entry_valid_nsec);
            let attributes = millis(out.attr_valid, out.attr_valid_nsec);
            let sparing = (name.min(attributes) / 4).min(SPARING_MOST);
            self.mount.nodes().believe(node, now().wrapping_add(sparing as u32));
        }
    }

    /// The kernel gives `count` of what it was told back.
    pub(super) fn forget(&self, cookie: Cookie, count: u64) {
        if cookie == self.mount.root().cookie() {
            return;
        }
        if !self.mount.forget(cookie, count) {
            log::warn!("the kernel gives node {cookie} back {count} times, more often than it had");
        }
    }

    /// What the kernel is told of a node whose name it asked for.
    pub(super) fn entry(&self, node: &Node, entry: &Entry) -> Result<abi::EntryOut> {
        let mut out = self.face.entry(entry)?;
        if self.backings.doubts(node, &entry.attr) {
            (out.attr_valid, out.attr_valid_nsec) = (0, 0);
        }
        Ok(out)
    }

    /// What the kernel is told of a node's attributes.
    pub(super) fn attr(&self, node: &Node, attr: &Attr) -> Result<abi::AttrOut> {
        let mut out = self.face.attr(node.kind(), attr)?;
        if self.backings.doubts(node, attr) {
            (out.attr_valid, out.attr_valid_nsec) = (0, 0);
        }
        Ok(out)
    }

    /// The same in statx(2)'s form.
    pub(super) fn statx(&self, node: &Node, attr: &Attr) -> Result<abi::StatxOut> {
        let mut out = self.face.statx(node.kind(), attr)?;
        if self.backings.doubts(node, attr) {
            (out.attr_valid, out.attr_valid_nsec) = (0, 0);
        }
        Ok(out)
    }

    /// An open file, noted as told to the kernel. On failure the file system is told to release.
    pub(super) fn open(
        &self,
        cx: &Context<'_>,
        node: &Node,
        flags: OpenFlags,
        opened: Opened,
    ) -> Result<Open> {
        self.mount.opens().insert(node, flags, opened.clone()).inspect_err(|_| {
            let open = Open::detached(node, flags, opened);
            let _ = self.mount.release(cx, node, &open, filofs::ReleaseHow::default());
        })
    }

    /// The open of that id, of the node of that other id. EBADF if there is none.
    pub(super) fn opened(&self, id: u64, nodeid: u64) -> Result<Open> {
        if id == Self::STATELESS && self.terms().stateless {
            return self.unseen(nodeid);
        }
        let open = self.mount.opens().find(OpenId(id))?;
        if open.node().cookie() == self.face.cookie(nodeid) { Ok(open) } else { Err(Errno::EBADF) }
    }

    /// An open that no file system saw: whoever has it may do what the kernel lets through.
    fn unseen(&self, nodeid: u64) -> Result<Open> {
        let node = self.mount.nodes().find(self.face.cookie(nodeid))?;
        if node.kind() != Kind::Regular {
            return Err(Errno::EBADF);
        }
        let flags = self.face.quiet(OpenFlags::RDWR);
        Ok(Open::detached(&node, flags, Opened::default()))
    }

    /// Whether a node is one that is not opened, see [`Terms::stateless`].
    pub(super) fn is_stateless(&self, node: &Node) -> bool {
        self.terms().stateless && node.kind() == Kind::Regular
    }

    /// The open of that id goes.
    pub(super) fn close(&self, id: u64) -> Result<Open> {
        self.mount.opens().remove(OpenId(id))
    }
}
