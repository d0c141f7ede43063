//! `Tiny`: a file system in memory, just large enough to see what a front end does with one.
//!
//! Some names behave in their own way: reading `gate` says so and waits until it is let through,
//! reading `sum` does the same but computes meanwhile, reading `panic` panics, and every other file
//! is a file.

use filofs::{
    Attr, Context, Cookie, Created, DirEntry, DirOffset, DirSink, Entry, Errno, FileSystem, Gid,
    Kind, Lock, LockKind, LockOwner, MakeHow, Name, Node, Notice, Open, OpenHow, Opened, Profile,
    ReleaseHow, RenameFlags, Result, SetAttr, Sink, Source, Statfs, Uid, Upward, WriteFlags,
};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

const ROOT: u64 = 100;
/// The largest file, in bytes.
const LARGEST: u64 = 1 << 24;

pub struct Tiny {
    inodes: Mutex<BTreeMap<u64, Inode>>,
    next: AtomicU64,
    lock: Mutex<Option<LockOwner>>,
    /// Who asked for the lock while it was taken.
    waiting: AtomicU64,
    at_gate: (Sender<()>, Mutex<Receiver<()>>),
    open_gate: (Mutex<bool>, Condvar),
    up: OnceLock<Upward>,
    pub profile: Profile,
    pub ttl: Duration,
    pub releases: AtomicU64,
    /// The last caller's groups, as found out by `mkdir`.
    pub groups: Mutex<Vec<Gid>>,
}

struct Inode {
    attr: Attr,
    data: Vec<u8>,
    names: BTreeMap<Vec<u8>, u64>,
    parent: u64,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

impl Tiny {
    pub fn new() -> Tiny {
        let (sender, receiver) = channel();
        let tiny = Tiny {
            inodes: Mutex::default(),
            next: AtomicU64::new(ROOT),
            lock: Mutex::default(),
            waiting: AtomicU64::new(0),
            at_gate: (sender, Mutex::new(receiver)),
            open_gate: (Mutex::new(false), Condvar::new()),
            up: OnceLock::new(),
            profile: Profile { locks: true, ..Profile::default() },
            ttl: Duration::from_secs(1),
            releases: AtomicU64::new(0),
            groups: Mutex::default(),
        };
        tiny.make(ROOT, b"", Kind::Directory, 0o755, (Uid(0), Gid(0))).unwrap();
        for (name, data) in [("hello", "hello, world\n"), ("gate", "in\n"), ("panic", "never\n")] {
            let entry =
                tiny.make(ROOT, name.as_bytes(), Kind::Regular, 0o644, (Uid(0), Gid(0))).unwrap();
            let mut inodes = tiny.inodes();
            let inode = inodes.get_mut(&entry.cookie.0).unwrap();
            inode.data = data.as_bytes().to_vec();
            inode.attr.size = data.len() as u64;
        }
        tiny
    }

    /// One file and nothing else: a root that is no directory.
    pub fn file() -> Tiny {
        let tiny = Tiny::new();
        {
            let mut inodes = tiny.inodes();
            let root = inodes.get_mut(&ROOT).unwrap();
            root.attr = Attr { mode: 0o644, ..Attr::new(ROOT, Kind::Regular) };
            root.names.clear();
            root.data = b"alone\n".to_vec();
            root.attr.size = 6;
        }
        tiny
    }

    /// Waits until somebody reads `gate`.
    pub fn wait_at_gate(&self) {
        self.at_gate.1.lock().unwrap().recv_timeout(super::FOREVER).unwrap();
    }

    /// Lets everybody through who reads `gate`, from now on.
    pub fn open_gate(&self) {
        *self.open_gate.0.lock().unwrap() = true;
        self.open_gate.1.notify_all();
    }

    /// How often somebody had to wait for the lock.
    pub fn waited(&self) -> u64 {
        self.waiting.load(Ordering::SeqCst)
    }

    pub fn send(&self, notice: Notice) {
        self.up.get().unwrap().send(notice);
    }

    /// Sends a notice and answers what came of it.
    pub fn deliver(&self, notice: Notice) -> Result<()> {
        self.up.get().unwrap().deliver(&Context::internal(), notice)
    }

    /// Changes a file behind everybody's back; answers its cookie.
    pub fn overwrite(&self, name: &[u8], data: &[u8]) -> Cookie {
        let mut inodes = self.inodes();
        let number = inodes[&ROOT].names[name];
        let inode = inodes.get_mut(&number).unwrap();
        inode.data = data.to_vec();
        inode.attr.size = data.len() as u64;
        Cookie(number)
    }

    /// Takes a name away behind everybody's back; answers the directory's cookie.
    pub fn vanish(&self, name: &[u8]) -> Cookie {
        self.inodes().get_mut(&ROOT).unwrap().names.remove(name).unwrap();
        Cookie(ROOT)
    }

    fn inodes(&self) -> MutexGuard<'_, BTreeMap<u64, Inode>> {
        self.inodes.lock().unwrap()
    }

    fn entry(&self, number: u64, inode: &Inode) -> Entry {
        let mut entry = Entry::new(inode.attr.clone());
        entry.attr.ttl = self.ttl;
        entry.ttl = self.ttl;
        entry.cookie = Cookie(number);
        entry
    }

    fn make(
        &self,
        dir: u64,
        name: &[u8],
        kind: Kind,
        mode: u32,
        owner: (Uid, Gid),
    ) -> Result<Entry> {
        let number = self.next.fetch_add(1, Ordering::SeqCst);
        let mut inodes = self.inodes();
        if number != dir {
            let names = &mut inodes.get_mut(&dir).ok_or(Errno::ESTALE)?.names;
            if names.contains_key(name) {
                return Err(Errno::EEXIST);
            }
            names.insert(name.to_vec(), number);
        }
        let mut attr = Attr::new(number, kind);
        (attr.mode, attr.uid, attr.gid) = (mode, owner.0, owner.1);
        attr.nlink = if kind == Kind::Directory { 2 } else { 1 };
        let (data, names, xattrs) = Default::default();
        let inode = Inode { attr, data, names, parent: dir, xattrs };
        let entry = self.entry(number, &inode);
        inodes.insert(number, inode);
        Ok(entry)
    }

    fn remove(&self, dir: &Node, name: Name<'_>, directory: bool) -> Result<()> {
        let mut inodes = self.inodes();
        let names = &inodes.get(&dir.cookie().0).ok_or(Errno::ESTALE)?.names;
        let number = *names.get(name.bytes()).ok_or(Errno::ENOENT)?;
        let inode = inodes.get_mut(&number).ok_or(Errno::ESTALE)?;
        match (inode.attr.kind == Kind::Directory, directory) {
            (true, false) => return Err(Errno::EISDIR),
            (false, true) => return Err(Errno::ENOTDIR),
            _ if !inode.names.is_empty() => return Err(Errno::ENOTEMPTY),
            _ => inode.attr.nlink = 0,
        }
        inodes.get_mut(&dir.cookie().0).ok_or(Errno::ESTALE)?.names.remove(name.bytes());
        Ok(())
    }

    fn name_of(&self, node: &Node) -> Vec<u8> {
        let inodes = self.inodes();
        let root = inodes[&ROOT].names.iter().find(|(_, number)| **number == node.cookie().0);
        root.map(|(name, _)| name.clone()).unwrap_or_default()
    }
}

impl FileSystem for Tiny {
    fn name(&self) -> &'static str {
        "tiny"
    }

    fn profile(&self) -> Profile {
        self.profile
    }

    fn connect(&self, up: &Upward) {
        let _ = self.up.set(up.clone());
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(self.entry(ROOT, &self.inodes()[&ROOT]))
    }

    fn statfs(&self, _: &Context<'_>, _: &Node) -> Result<Statfs> {
        Ok(Statfs { blocks: 1000, bfree: 500, bsize: 4096, frsize: 4096, ..Statfs::default() })
    }

    fn recall(&self, _: &Context<'_>, cookie: Cookie) -> Result<Entry> {
        let inodes = self.inodes();
        inodes.get(&cookie.0).map(|inode| self.entry(cookie.0, inode)).ok_or(Errno::ESTALE)
    }

    fn lookup(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        let inodes = self.inodes();
        let names = &inodes.get(&dir.cookie().0).ok_or(Errno::ESTALE)?.names;
        let number = *names.get(name.bytes()).ok_or(Errno::ENOENT)?;
        Ok(self.entry(number, &inodes[&number]))
    }

    fn parent(&self, _: &Context<'_>, dir: &Node) -> Result<Entry> {
        let inodes = self.inodes();
        let parent = inodes.get(&dir.cookie().0).ok_or(Errno::ESTALE)?.parent;
        Ok(self.entry(parent, &inodes[&parent]))
    }

    fn readdir(
        &self,
        _: &Context<'_>,
        dir: &Node,
        _: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        let inodes = self.inodes();
        let names = &inodes.get(&dir.cookie().0).ok_or(Errno::ESTALE)?.names;
        // An offset is the number of the last inode listed: numbers grow, and are never reused.
        let mut listed: Vec<_> = names.iter().map(|(name, number)| (*number, name)).collect();
        listed.sort_unstable();
        for (number, name) in listed.into_iter().filter(|(number, _)| *number > offset.0) {
            let inode = &inodes[&number];
            let entry = DirEntry {
                name: Name::new(name)?,
                ino: number,
                kind: Some(inode.attr.kind),
                next: DirOffset(number),
                entry: out.wants_entry_of(Some(inode.attr.kind)).then(|| self.entry(number, inode)),
            };
            if out.add(entry).is_err() {
                break;
            }
        }
        Ok(())
    }

    fn mkdir(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>, how: MakeHow) -> Result<Entry> {
        *self.groups.lock().unwrap() = cx.groups.list();
        let mode = how.mode & !how.umask;
        self.make(dir.cookie().0, name.bytes(), Kind::Directory, mode, (cx.uid, cx.gid))
    }

    fn symlink(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
    ) -> Result<Entry> {
        let owner = (cx.uid, cx.gid);
        let entry = self.make(dir.cookie().0, name.bytes(), Kind::Symlink, 0o777, owner)?;
        self.inodes().get_mut(&entry.cookie.0).unwrap().data = target.to_vec();
        Ok(entry)
    }

    fn readlink(&self, _: &Context<'_>, node: &Node, out: &mut dyn Sink) -> Result<()> {
        out.put(&self.inodes()[&node.cookie().0].data);
        Ok(())
    }

    fn create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Created> {
        let mode = how.mode & !how.umask;
        let entry =
            self.make(dir.cookie().0, name.bytes(), Kind::Regular, mode, (cx.uid, cx.gid))?;
        Ok(Created { entry, opened: Opened::default() })
    }

    fn unlink(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.remove(dir, name, false)
    }

    fn rmdir(&self, _: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<()> {
        self.remove(dir, name, true)
    }

    fn rename(
        &self,
        _: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        to_dir: &Node,
        to_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        if flags.intersects(RenameFlags::EXCHANGE | RenameFlags::WHITEOUT) {
            return Err(Errno::EINVAL);
        }
        let mut inodes = self.inodes();
        let to = &inodes.get(&to_dir.cookie().0).ok_or(Errno::ESTALE)?.names;
        if flags.contains(RenameFlags::NOREPLACE) && to.contains_key(to_name.bytes()) {
            return Err(Errno::EEXIST);
        }
        let from = &mut inodes.get_mut(&dir.cookie().0).ok_or(Errno::ESTALE)?.names;
        let number = from.remove(name.bytes()).ok_or(Errno::ENOENT)?;
        inodes.get_mut(&number).ok_or(Errno::ESTALE)?.parent = to_dir.cookie().0;
        let to = &mut inodes.get_mut(&to_dir.cookie().0).ok_or(Errno::ESTALE)?.names;
        to.insert(to_name.bytes().to_vec(), number);
        Ok(())
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        let inodes = self.inodes();
        let inode = inodes.get(&node.cookie().0).ok_or(Errno::ESTALE)?;
        Ok(Attr { ttl: self.ttl, ..inode.attr.clone() })
    }

    fn setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        {
            let mut inodes = self.inodes();
            let inode = inodes.get_mut(&node.cookie().0).ok_or(Errno::ESTALE)?;
            let attr = &mut inode.attr;
            attr.mode = set.mode.unwrap_or(attr.mode);
            attr.uid = set.uid.unwrap_or(attr.uid);
            attr.gid = set.gid.unwrap_or(attr.gid);
            if set.kill_priv {
                attr.mode &= 0o1777;
            }
            if let Some(size) = set.size {
                if size > LARGEST {
                    return Err(Errno::EFBIG);
                }
                attr.size = size;
                inode.data.resize(size as usize, 0);
            }
        }
        self.getattr(cx, node, open)
    }

    fn getxattr(
        &self,
        _: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        let inodes = self.inodes();
        let value = inodes[&node.cookie().0].xattrs.get(key).ok_or(Errno::ENODATA)?;
        if out.room() > 0 && out.room() < value.len() {
            return Err(Errno::ERANGE);
        }
        out.put(value);
        Ok(value.len())
    }

    fn setxattr(
        &self,
        _: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        _: filofs::XattrFlags,
    ) -> Result<()> {
        let mut inodes = self.inodes();
        let inode = inodes.get_mut(&node.cookie().0).ok_or(Errno::ESTALE)?;
        inode.xattrs.insert(key.to_vec(), value.to_vec());
        Ok(())
    }

    fn open(&self, _: &Context<'_>, node: &Node, how: OpenHow) -> Result<Opened> {
        if how.flags.has(filofs::OpenFlags::TRUNC) {
            let mut inodes = self.inodes();
            let inode = inodes.get_mut(&node.cookie().0).ok_or(Errno::ESTALE)?;
            inode.data.clear();
            inode.attr.size = 0;
            if how.kill_priv {
                inode.attr.mode &= 0o1777;
            }
        }
        Ok(Opened::default())
    }

    fn release(&self, _: &Context<'_>, _: &Node, _: &Open, _: ReleaseHow) -> Result<()> {
        self.releases.fetch_add(1, Ordering::SeqCst);
        Ok(())
    }

    fn flush(&self, _: &Context<'_>, _: &Node, _: &Open, owner: LockOwner) -> Result<()> {
        let mut lock = self.lock.lock().unwrap();
        if *lock == Some(owner) {
            *lock = None;
        }
        Ok(())
    }

    fn read(
        &self,
        _: &Context<'_>,
        node: &Node,
        _: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        match &*self.name_of(node) {
            b"panic" => panic!("as it was asked to"),
            b"gate" => {
                self.at_gate.0.send(()).unwrap();
                let mut open = self.open_gate.0.lock().unwrap();
                while !*open {
                    open = self.open_gate.1.wait(open).unwrap();
                }
            }
            b"sum" => {
                self.at_gate.0.send(()).unwrap();
                let end = std::time::Instant::now() + super::FOREVER;
                while !*self.open_gate.0.lock().unwrap() && std::time::Instant::now() < end {
                    std::hint::spin_loop();
                }
            }
            _ => {}
        }
        let inodes = self.inodes();
        let data = &inodes.get(&node.cookie().0).ok_or(Errno::ESTALE)?.data;
        out.put(data.get(offset as usize..).unwrap_or_default());
        Ok(())
    }

    fn write(
        &self,
        _: &Context<'_>,
        node: &Node,
        _: &Open,
        offset: u64,
        data: &mut dyn Source,
        flags: WriteFlags,
    ) -> Result<usize> {
        let mut inodes = self.inodes();
        let inode = inodes.get_mut(&node.cookie().0).ok_or(Errno::ESTALE)?;
        if offset > LARGEST {
            return Err(Errno::EFBIG);
        }
        let mut written = 0;
        while data.remaining() > 0 {
            let chunk = data.chunk();
            let (at, len) = (offset as usize + written, chunk.len());
            if inode.data.len() < at + len {
                inode.data.resize(at + len, 0);
            }
            inode.data[at..at + len].copy_from_slice(chunk);
            data.advance(len);
            written += len;
        }
        inode.attr.size = inode.data.len() as u64;
        if flags.contains(WriteFlags::KILL_PRIV) {
            inode.attr.mode &= 0o1777;
        }
        Ok(written)
    }

    fn getlk(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        owner: LockOwner,
        lock: Lock,
    ) -> Result<Lock> {
        let held = *self.lock.lock().unwrap();
        let kind = if held.is_some_and(|other| other != owner) {
            LockKind::Exclusive
        } else {
            LockKind::Unlock
        };
        Ok(Lock { kind, ..lock })
    }

    /// One lock for all there is.
    fn setlk(
        &self,
        cx: &Context<'_>,
        _: &Node,
        _: &Open,
        owner: LockOwner,
        lock: Lock,
        wait: bool,
    ) -> Result<()> {
        let mut told = false;
        loop {
            {
                let mut held = self.lock.lock().unwrap();
                if lock.kind == LockKind::Unlock {
                    *held = held.filter(|other| *other != owner);
                    return Ok(());
                }
                if held.is_none_or(|other| other == owner) {
                    *held = Some(owner);
                    return Ok(());
                }
            }
            if !wait {
                return Err(Errno::EAGAIN);
            }
            if !std::mem::replace(&mut told, true) {
                self.waiting.fetch_add(1, Ordering::SeqCst);
            }
            if cx.cancelled() {
                return Err(Errno::EINTR);
            }
            cx.cancel.sleep(Duration::from_millis(10));
        }
    }
}
