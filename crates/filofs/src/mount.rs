//! `Mount`: a stack that is in use: its state, its identity, its live nodes and open files.

use crate::{
    Context, Cookie, Counters, Entry, Errno, FileSystem, Identity, Kind, Node, Nodes, Op, Opens,
    ReleaseHow, Result, Slot, Stack, Statfs, SyncMode, UnmountFlags, Upward, locked,
};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};

/// Where a mount is in its life (A44). There is no way back from Dying.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum MountState {
    /// Being made: every operation is ENXIO, statfs is EINPROGRESS (A30, A69).
    Mounting = 1,
    /// In use.
    Running = 2,
    /// On its way out: every operation is ENXIO.
    Dying = 3,
}

/// A stack in use. Front ends hold it in an `Arc` and call its operations, which are those of
/// [`FileSystem`], guarded.
pub struct Mount {
    stack: Stack,
    state: AtomicU8,
    identity: Identity,
    root: Node,
    root_entry: Entry,
    /// The last numbers the file system gave, for callers that must not wait (A26).
    numbers: Mutex<Statfs>,
    nodes: Nodes,
    opens: Opens,
    counters: Counters,
}

impl Mount {
    /// Makes a mount, in state Mounting. The file system is asked for its root and for its first
    /// statfs numbers, and nothing after that until [`Mount::start`] (A41).
    ///
    /// Errors: what `root` answers; EPROTO for a root no mount can have.
    pub fn new(stack: Stack, mut identity: Identity) -> Result<Mount> {
        let cx = Context::internal();
        let root_entry = stack.root(&cx)?;
        let slots = stack.slots() + 1;
        let nodes = Nodes::new(slots);
        let root = nodes.adopt(&root_entry)?;
        let numbers = Mutex::new(stack.statfs(&cx, &root).unwrap_or_default());
        identity.number();
        Ok(Mount {
            state: AtomicU8::new(MountState::Mounting as u8),
            identity,
            root,
            root_entry,
            numbers,
            nodes,
            opens: Opens::new(slots),
            counters: Counters::default(),
            stack,
        })
    }

    /// A mount of one file system without layers, named as it names itself: for small programs
    /// and tests.
    pub fn of(base: impl FileSystem + 'static, mounted_on: &str) -> Result<Mount> {
        let type_name = format!("fuse.{}", base.name());
        let identity = Identity::new(&base.describe(), &type_name, mounted_on)?;
        Mount::new(Stack::new(Arc::new(base), []).ok_or(Errno::EINVAL)?, identity)
    }

    /// Mounting becomes Running: the only way to it (A43). `up` takes the notices of the file
    /// system from now on. EINVAL in another state.
    pub fn start(&self, up: &Upward) -> Result<()> {
        let (mounting, running) = (MountState::Mounting as u8, MountState::Running as u8);
        self.state
            .compare_exchange(mounting, running, Ordering::SeqCst, Ordering::SeqCst)
            .map_err(|_| Errno::EINVAL)?;
        self.stack.connect(up);
        Ok(())
    }

    /// Where it is in its life.
    pub fn state(&self) -> MountState {
        match self.state.load(Ordering::SeqCst) {
            1 => MountState::Mounting,
            2 => MountState::Running,
            _ => MountState::Dying,
        }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What is mounted.
    pub fn stack(&self) -> &Stack {
        &self.stack
    }

    /// The front end's place on nodes and opens, beside those of the layers.
    pub fn slot(&self) -> Slot {
        Slot(self.stack.slots())
    }

    /// The root: no question to the file system (A67).
    pub fn root(&self) -> &Node {
        &self.root
    }

    /// What the file system said of the root when the mount was made.
    pub fn root_entry(&self) -> &Entry {
        &self.root_entry
    }

    /// The live nodes.
    pub fn nodes(&self) -> &Nodes {
        &self.nodes
    }

    /// The open files.
    pub fn opens(&self) -> &Opens {
        &self.opens
    }

    /// How often each operation was called and failed.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// The node of an entry that an operation on `dir` answered: the live one or a new one.
    ///
    /// Errors: EPROTO for what no file system may answer: cookie 0, the parent's own cookie
    /// (a file system cannot find a directory in itself), a live node's cookie with another kind.
    pub fn adopt(&self, dir: &Node, entry: &Entry) -> Result<Node> {
        if entry.cookie == dir.cookie() && entry.generation == dir.generation() {
            log::error!("{}: the answer for a name is its own directory", self.stack.name());
            return Err(Errno::EPROTO);
        }
        let node = self.nodes.adopt(entry)?;
        if node.kind() == Kind::Directory {
            node.found_in(dir, self.nodes.moves());
        }
        Ok(node)
    }

    /// statvfs(3) with the mount's identity, which is right even when the numbers are an error
    /// (A73, A75): EINPROGRESS while mounting (A69), ENXIO when dying, else the file system's.
    pub fn statvfs(&self, cx: &Context<'_>) -> (&Identity, Result<Statfs>) {
        if self.state() == MountState::Mounting {
            return (&self.identity, Err(Errno::EINPROGRESS));
        }
        let numbers = self.statfs(cx, &self.root);
        if let Ok(numbers) = &numbers {
            *locked(&self.numbers) = *numbers;
        }
        (&self.identity, numbers)
    }

    /// The same from memory, without asking the file system: for callers that must not wait. The
    /// first numbers are those given when the mount was made (A26).
    pub fn statvfs_cached(&self) -> (&Identity, Statfs) {
        (&self.identity, *locked(&self.numbers))
    }

    /// Unmounts: busy, then the question, then death (A46).
    ///
    /// Errors: EBUSY while files are open, without the file system being asked (A47); what it
    /// answers to the last sync, and then it is not asked either; what it answers when it refuses
    /// (A54); all only without FORCE. The mount then goes on. A mount that is dying already, or
    /// whose file system has gone (ENXIO), is Ok (A51).
    pub fn unmount_now(&self, cx: &Context<'_>, flags: UnmountFlags) -> Result<()> {
        if self.state() == MountState::Dying {
            return Ok(());
        }
        let force = flags.contains(UnmountFlags::FORCE);
        if !force && !self.opens.is_empty() {
            return Err(Errno::EBUSY);
        }
        if self.state() == MountState::Running {
            if force {
                self.release_all(cx);
            }
            let agreed = match self.sync(cx, SyncMode::Wait) {
                Err(errno) if !force => Err(errno),
                _ => self.unmount(cx, flags),
            };
            match agreed {
                // It has gone meanwhile: by itself, or somebody else unmounts (A51, A66).
                Ok(()) | Err(Errno::ENXIO) => {}
                Err(_) if force => {}
                Err(errno) => return Err(errno),
            }
            // Without force nothing was open when we looked; what was opened since goes only now
            // that the file system has agreed.
            self.release_all(cx);
        }
        self.die();
        Ok(())
    }

    /// The same when the file system has agreed already: it is not asked again.
    pub fn unmount_agreed(&self, cx: &Context<'_>) {
        if self.state() == MountState::Running {
            self.release_all(cx);
            let _ = self.sync(cx, SyncMode::Wait);
        }
        self.die();
    }

    fn release_all(&self, cx: &Context<'_>) {
        for open in self.opens.drain() {
            let _ = self.release(cx, open.node(), &open, ReleaseHow::default());
            let _ = self.caught("giving back an open file", || drop(open));
        }
    }

    /// Dying, without a question: the client is gone. The file system is told last of all.
    pub fn die(&self) {
        let dying = MountState::Dying as u8;
        let first = self.state.swap(dying, Ordering::SeqCst) != dying;
        for open in self.opens.drain() {
            let _ = self.caught("giving back an open file", || drop(open));
        }
        for node in self.nodes.forget_all() {
            let _ = self.caught("giving back a node", || drop(node));
        }
        if first {
            let _ = self.caught("disconnect", || self.stack.disconnect());
        }
    }

    /// [`Nodes::forget`], from which no panic comes: what it drops is the file system's, and this
    /// is no operation that could answer EIO.
    pub fn forget(&self, cookie: Cookie, count: u64) -> bool {
        self.caught("giving back a node", || self.nodes.forget(cookie, count)).unwrap_or(true)
    }

    /// Runs one operation: ENXIO unless the mount runs; a panic becomes EIO for this operation
    /// alone; an errno that means something to the caller's kernel beyond this one file
    /// (ENOSYS) becomes EOPNOTSUPP. The front end is left to say [`Errno::MISSING`] in its own
    /// way.
    #[inline]
    pub(crate) fn guard<T>(&self, op: Op, run: impl FnOnce() -> Result<T>) -> Result<T> {
        if self.state.load(Ordering::Acquire) != MountState::Running as u8 {
            return Err(Errno::ENXIO);
        }
        let answer = self.caught(op.name(), run).unwrap_or(Err(Errno::EIO));
        let answer = answer.map_err(|e| if e == Errno::ENOSYS { Errno::EOPNOTSUPP } else { e });
        self.counters.count(op, answer.is_err());
        answer
    }

    /// Runs code of the file system's. `None` when it panicked: that is counted and logged.
    #[inline]
    fn caught<T>(&self, what: &str, run: impl FnOnce() -> T) -> Option<T> {
        let answer = catch_unwind(AssertUnwindSafe(run));
        answer
            .inspect_err(|panic| {
                self.counters.panicked();
                log::error!("{}: {what} panicked: {}", self.stack.name(), panic_text(&**panic));
            })
            .ok()
    }
}

impl std::fmt::Debug for Mount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} on {} ({:?})", self.stack, self.identity.mounted_on, self.state())
    }
}

/// What a panic said, if it said it in words.
fn panic_text(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no words")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Attr, Name, OpenFlags, OpenHow, Opened};
    use std::sync::atomic::{AtomicBool, AtomicU32};

    /// State that does not go quietly.
    struct Bomb;

    impl Drop for Bomb {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }

    /// A file system that counts what it is asked.
    #[derive(Default)]
    struct Asked {
        statfs: AtomicU32,
        unmount: AtomicU32,
        refuse: AtomicBool,
        disconnect: AtomicU32,
        /// Dropped, it counts.
        held: AtomicU32,
    }

    /// State of a node, that is counted when it is given back.
    struct Held(Arc<Asked>);

    impl Drop for Held {
        fn drop(&mut self) {
            assert_eq!(self.0.disconnect.load(Ordering::SeqCst), 0, "given back too late");
            self.0.held.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Base(Arc<Asked>);

    impl FileSystem for Base {
        fn name(&self) -> &'static str {
            "base"
        }

        fn root(&self, _: &Context<'_>) -> Result<Entry> {
            Ok(Entry::new(Attr::new(7, Kind::Directory)))
        }

        fn statfs(&self, _: &Context<'_>, _: &Node) -> Result<Statfs> {
            let asked = self.0.statfs.fetch_add(1, Ordering::SeqCst);
            Ok(Statfs { blocks: 1000 + u64::from(asked), ..Statfs::default() })
        }

        fn lookup(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
            match name.bytes() {
                b"self" => Ok(Entry::new(Attr::new(dir.cookie().0, Kind::Directory))),
                b"zero" => Ok(Entry::new(Attr::new(0, Kind::Regular))),
                b"panic" => panic!("on purpose"),
                b"enosys" => Err(Errno::ENOSYS),
                b"held" => {
                    let entry = Entry::new(Attr::new(10, Kind::Regular));
                    Ok(Entry { state: Some(Arc::new(Held(self.0.clone()))), ..entry })
                }
                b"bomb" => {
                    let entry = Entry::new(Attr::new(9, Kind::Regular));
                    Ok(Entry { state: Some(Arc::new(Bomb)), ..entry })
                }
                _ => Ok(Entry::new(Attr::new(8, Kind::Regular))),
            }
        }

        fn disconnect(&self) {
            self.0.disconnect.fetch_add(1, Ordering::SeqCst);
        }

        fn unmount(&self, _: &Context<'_>, _: UnmountFlags) -> Result<()> {
            self.0.unmount.fetch_add(1, Ordering::SeqCst);
            if self.0.refuse.load(Ordering::SeqCst) { Err(Errno::EBUSY) } else { Ok(()) }
        }
    }

    fn mount() -> (Arc<Asked>, Mount) {
        let asked = Arc::new(Asked::default());
        let mount = Mount::of(Base(asked.clone()), "/mnt").unwrap();
        (asked, mount)
    }

    fn running() -> (Arc<Asked>, Mount) {
        let (asked, mount) = mount();
        mount.start(&Upward::channel().0).unwrap();
        (asked, mount)
    }

    fn name(bytes: &[u8]) -> Name<'_> {
        Name::new(bytes).unwrap()
    }

    #[test]
    fn ops_during_mounting() {
        // A30, A69: nothing is let through, and statfs answers at once.
        let (asked, mount) = mount();
        let cx = Context::internal();
        assert_eq!(mount.state(), MountState::Mounting);
        assert_eq!(mount.getattr(&cx, mount.root(), None), Err(Errno::ENXIO));
        assert_eq!(mount.statvfs(&cx).1, Err(Errno::EINPROGRESS));
        // A26: the first numbers are known without another question.
        assert_eq!(mount.statvfs_cached().1.blocks, 1000);
        assert_eq!(asked.statfs.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn the_states_go_one_way() {
        // A43, A44
        let (_, mount) = mount();
        let up = Upward::channel().0;
        mount.start(&up).unwrap();
        assert_eq!(mount.start(&up), Err(Errno::EINVAL));
        assert_eq!(mount.state(), MountState::Running);
        mount.die();
        assert_eq!(mount.start(&up), Err(Errno::EINVAL));
        let cx = Context::internal();
        assert_eq!(mount.getattr(&cx, mount.root(), None), Err(Errno::ENXIO));
        let (identity, numbers) = mount.statvfs(&cx);
        assert_eq!(numbers, Err(Errno::ENXIO));
        assert_eq!(identity.mounted_on, "/mnt", "A75: identity holds on error too");
    }

    #[test]
    fn the_end_is_told_once_and_last() {
        let (asked, mount) = running();
        let cx = Context::internal();
        let entry = mount.lookup(&cx, mount.root(), name(b"held")).unwrap();
        mount.nodes().remember(&mount.adopt(mount.root(), &entry).unwrap());
        drop(entry);
        assert_eq!(mount.unmount_now(&cx, UnmountFlags::empty()), Ok(()));
        assert_eq!(asked.held.load(Ordering::SeqCst), 1, "the node was not given back");
        assert_eq!(asked.disconnect.load(Ordering::SeqCst), 1);
        mount.die();
        assert_eq!(asked.disconnect.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn fsid_unique() {
        // A42
        let fsid = |(_, m): (Arc<Asked>, Mount)| m.identity().fsid;
        assert_ne!(fsid(mount()), fsid(mount()));
    }

    #[test]
    fn statvfs_numbers_reach_caller() {
        // A74, A76: the server's numbers, kept for those who must not wait.
        let (_, mount) = running();
        assert_eq!(mount.statvfs(&Context::internal()).1.unwrap().blocks, 1001);
        assert_eq!(mount.statvfs_cached().1.blocks, 1001);
    }

    #[test]
    fn unmount_busy_not_asked() {
        // A47: an open file; the file system is not asked and nothing changes.
        let (asked, mount) = running();
        let cx = Context::internal();
        let opened = mount.open(&cx, mount.root(), OpenHow::default()).unwrap();
        let open = mount.opens().insert(mount.root(), OpenFlags::RDONLY, opened).unwrap();
        assert_eq!(mount.unmount_now(&cx, UnmountFlags::empty()), Err(Errno::EBUSY));
        assert_eq!(asked.unmount.load(Ordering::SeqCst), 0);
        assert_eq!(mount.state(), MountState::Running);
        // A48: force makes open files dead.
        assert_eq!(mount.unmount_now(&cx, UnmountFlags::FORCE), Ok(()));
        assert_eq!(asked.unmount.load(Ordering::SeqCst), 1);
        assert_eq!(mount.opens().find(open.id()).unwrap_err(), Errno::EBADF);
        assert_eq!(mount.getattr(&cx, mount.root(), None), Err(Errno::ENXIO));
        // A51: dying already.
        assert_eq!(mount.unmount_now(&cx, UnmountFlags::empty()), Ok(()));
        assert_eq!(asked.unmount.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn unmount_refused() {
        // A54: the refusal is the caller's answer, and the mount goes on. A55: force overrules.
        let (asked, mount) = running();
        let cx = Context::internal();
        asked.refuse.store(true, Ordering::SeqCst);
        assert_eq!(mount.unmount_now(&cx, UnmountFlags::empty()), Err(Errno::EBUSY));
        assert!(mount.lookup(&cx, mount.root(), name(b"x")).is_ok());
        assert_eq!(mount.unmount_now(&cx, UnmountFlags::FORCE), Ok(()));
    }

    #[test]
    fn who_has_agreed_is_not_asked_again() {
        let (asked, mount) = running();
        let cx = Context::internal();
        mount.unmount(&cx, UnmountFlags::empty()).unwrap();
        let opened = mount.open(&cx, mount.root(), OpenHow::default()).unwrap();
        mount.opens().insert(mount.root(), OpenFlags::RDONLY, opened).unwrap();
        mount.unmount_agreed(&cx);
        assert_eq!(asked.unmount.load(Ordering::SeqCst), 1);
        assert_eq!((mount.state(), mount.counters().calls(Op::Release)), (MountState::Dying, 1));
    }

    #[test]
    fn a_panic_is_eio_for_one_operation() {
        let (_, mount) = running();
        let cx = Context::internal();
        assert_eq!(mount.lookup(&cx, mount.root(), name(b"panic")).unwrap_err(), Errno::EIO);
        assert_eq!(mount.counters().panics(), 1);
        assert!(mount.lookup(&cx, mount.root(), name(b"x")).is_ok());
        assert_eq!(
            (mount.counters().calls(Op::Lookup), mount.counters().errors(Op::Lookup)),
            (2, 1)
        );
    }

    #[test]
    fn a_panic_while_state_is_dropped_harms_nobody() {
        let (_, mount) = running();
        let cx = Context::internal();
        let told = || {
            let entry = mount.lookup(&cx, mount.root(), name(b"bomb")).unwrap();
            mount.nodes().remember(&mount.adopt(mount.root(), &entry).unwrap());
        };
        told();
        assert!(mount.forget(Cookie(9), 1));
        assert_eq!((mount.counters().panics(), mount.nodes().len()), (1, 1));
        told();
        let opened = || Opened { state: Some(Arc::new(Bomb)), ..Opened::default() };
        for _ in 0..2 {
            mount.opens().insert(mount.root(), OpenFlags::RDONLY, opened()).unwrap();
        }
        mount.unmount_now(&cx, UnmountFlags::FORCE).unwrap();
        assert_eq!((mount.counters().panics(), mount.nodes().len()), (4, 1));
    }

    #[test]
    fn enosys_never_leaves_a_stack_for_one_file() {
        let (_, mount) = running();
        let cx = Context::internal();
        let answer = mount.lookup(&cx, mount.root(), name(b"enosys"));
        assert_eq!(answer.unwrap_err(), Errno::EOPNOTSUPP);
        // An operation the file system does not have at all is the front end's to tell.
        assert_eq!(mount.unlink(&cx, mount.root(), name(b"x")), Err(Errno::MISSING));
    }

    #[test]
    fn answers_no_file_system_may_give() {
        let (_, mount) = running();
        let cx = Context::internal();
        for bad in [&b"self"[..], b"zero"] {
            let entry = mount.lookup(&cx, mount.root(), name(bad)).unwrap();
            assert_eq!(mount.adopt(mount.root(), &entry).unwrap_err(), Errno::EPROTO);
        }
        let entry = mount.lookup(&cx, mount.root(), name(b"x")).unwrap();
        assert_eq!(mount.adopt(mount.root(), &entry).unwrap().cookie(), Cookie(8));
    }
}
