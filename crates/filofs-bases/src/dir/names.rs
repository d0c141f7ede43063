//! Names: found, made, moved and taken away.

use super::host::{Found, HOLD, ProcPath, held, hold, stat, stat_name};
use super::inode::{Identity, Inode, Place};
use super::local::is_local;
use super::opened::{HostOpen, host_flags, new_open};
use super::rights::put_on_umask;
use super::{Dir, inode, sys, up};
use filofs::{
    Context, Created, Entry, Errno, Kind, MakeHow, Name, Node, OpenFlags, OpenHow, RenameFlags,
    Result, Sink,
};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs::{AtFlags, FileType, Mode, OFlags};
use std::sync::Arc;
use std::sync::atomic::Ordering;

impl Dir {
    /// One system call: the file is opened when somebody uses it.
    pub(super) fn do_lookup(&self, cx: &Context<'_>, dir: &Node, name: Name<'_>) -> Result<Entry> {
        let parent = inode(dir)?;
        let dir = self.host.descriptor(&parent)?;
        self.find(cx, &parent, &dir, name)
    }

    pub(super) fn find(
        &self,
        cx: &Context<'_>,
        parent: &Arc<Inode>,
        dir: &OwnedFd,
        name: Name<'_>,
    ) -> Result<Entry> {
        let look = || self.host.look(parent, dir.as_fd(), name);
        let Found { stat, fd, local } = self.host.rights.as_caller(cx, look)?;
        let inode = self.host.meet(&stat, fd, local, Some((parent, name)))?;
        self.host.entry(inode, &stat)
    }

    pub(super) fn do_parent(&self, dir: &Node) -> Result<Entry> {
        let child = inode(dir)?;
        if Arc::ptr_eq(&child, &self.root) {
            let stat = self.host.stat(&child)?;
            return self.host.entry(child, &stat);
        }
        if child.identity.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        let fd = self.host.descriptor(&child)?;
        self.host.rights.as_own()?;
        let fd = self.above(&fd, &child.identity)?;
        self.check_beneath(&fd)?;
        let stat = stat(&fd)?;
        let local = is_local(&fd, &stat);
        let inode = self.host.meet(&stat, Some(sys::duplicate(&fd)?), local, None)?;
        self.host.entry(inode, &stat)
    }

    /// ESTALE unless the way up from a directory leads to our root.
    pub(super) fn check_beneath(&self, dir: &Arc<OwnedFd>) -> Result<()> {
        const MOST_STEPS: usize = 65_536;
        let mut at = dir.clone();
        let mut here = Identity::of(&stat(&at)?)?;
        for _ in 0..MOST_STEPS {
            if here.key() == self.root.identity.key() {
                return Ok(());
            }
            let up = self.above(&at, &here)?;
            let there = Identity::of(&stat(&up)?)?;
            if there.key() == here.key() {
                return Err(Errno::ESTALE);
            }
            (at, here) = (up, there);
        }
        Err(Errno::ESTALE)
    }

    /// The directory that a directory is in. Where we know by which name we came that is asked
    /// first: `..` leads into what is mounted over our root, and that may be ourselves.
    fn above(&self, dir: &OwnedFd, identity: &Identity) -> Result<Arc<OwnedFd>> {
        let place = self.host.inodes.find(identity).and_then(|inode| inode.place());
        if let Some(Place { parent, name }) = place
            && let Some(fd) = held(&parent)
            && let Ok(stat) = stat_name(&parent, &fd, Name::new(&name)?)
            && Identity::of(&stat)?.agrees(identity)
        {
            return Ok(fd);
        }
        let up = rustix::fs::openat(dir, c"..", HOLD | OFlags::DIRECTORY, Mode::empty());
        up.map(Arc::new).map_err(super::up)
    }

    pub(super) fn do_readlink(&self, node: &Node, out: &mut dyn Sink) -> Result<()> {
        let inode = inode(node)?;
        if inode.identity.kind != Kind::Symlink {
            return Err(Errno::EINVAL);
        }
        let fd = self.host.descriptor(&inode)?;
        let target = rustix::fs::readlinkat(&fd, c"", Vec::with_capacity(256)).map_err(up)?;
        out.put(target.as_bytes());
        Ok(())
    }

    pub(super) fn do_mknod(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        kind: Kind,
        how: MakeHow,
    ) -> Result<Entry> {
        let kind = match kind {
            Kind::Regular => FileType::RegularFile,
            Kind::Fifo => FileType::Fifo,
            Kind::Socket => FileType::Socket,
            Kind::CharDevice => FileType::CharacterDevice,
            Kind::BlockDevice => FileType::BlockDevice,
            Kind::Directory | Kind::Symlink => return Err(Errno::EINVAL),
        };
        let device = rustix::fs::makedev(how.rdev.major, how.rdev.minor);
        self.make(cx, dir, name, how, |dir, mode| {
            rustix::fs::mknodat(dir, name.bytes(), kind, mode, device).map_err(up)
        })
    }

    pub(super) fn do_mkdir(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Entry> {
        self.make(cx, dir, name, how, |dir, mode| {
            rustix::fs::mkdirat(dir, name.bytes(), mode).map_err(up)
        })
    }

    pub(super) fn do_symlink(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        target: &[u8],
    ) -> Result<Entry> {
        self.make(cx, dir, name, MakeHow::mode(0o777), |dir, _| {
            rustix::fs::symlinkat(target, dir, name.bytes()).map_err(up)
        })
    }

    /// Makes something under a name, as the caller, and finds it.
    fn make(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
        act: impl Fn(&OwnedFd, Mode) -> Result<()>,
    ) -> Result<Entry> {
        let parent = inode(dir)?;
        let dir = self.host.descriptor(&parent)?;
        let mode = self.masked(&dir, how);
        self.host.rights.as_member(cx, member_matters(how), || act(&dir, mode))?;
        self.find(cx, &parent, &dir, name)
    }

    /// The mode to make something with, the umask put on the thread or else applied here.
    fn masked(&self, dir: &OwnedFd, how: MakeHow) -> Mode {
        let mode = how.mode & 0o7777;
        if put_on_umask(how.umask) {
            return Mode::from_raw_mode(mode);
        }
        let path = ProcPath::of(dir.as_fd());
        let key = c"system.posix_acl_default";
        let has_acl = sys::get_xattr(self.host.proc(), path.as_c_str(), key, &mut []).is_ok();
        Mode::from_raw_mode(if has_acl { mode } else { mode & !how.umask })
    }

    pub(super) fn do_link(
        &self,
        cx: &Context<'_>,
        node: &Node,
        dir: &Node,
        name: Name<'_>,
    ) -> Result<Entry> {
        let (inode, parent) = (inode(node)?, inode(dir)?);
        let fd = self.host.descriptor(&inode)?;
        let dir = self.host.descriptor(&parent)?;
        let path = ProcPath::of(fd.as_fd());
        let proc = self.host.proc();
        self.host.rights.as_caller(cx, || {
            let follow = AtFlags::SYMLINK_FOLLOW;
            rustix::fs::linkat(proc, path.as_c_str(), &dir, name.bytes(), follow).map_err(up)
        })?;
        inode.orphan.store(false, Ordering::Relaxed);
        inode.set_place(&parent, name);
        let stat = stat(&fd)?;
        self.host.entry(inode, &stat)
    }

    pub(super) fn do_create(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        how: MakeHow,
    ) -> Result<Created> {
        let parent = inode(dir)?;
        let dir = self.host.descriptor(&parent)?;
        let mode = self.masked(&dir, how);
        let flags = host_flags(how.flags)
            | OFlags::CREATE
            | OFlags::EXCL
            | OFlags::NOFOLLOW
            | OFlags::CLOEXEC
            | OFlags::NOCTTY;
        // Without EXCL what exists may be opened; but only what is found to be a regular file.
        for _ in 0..TRIES {
            let made = new_open(how.flags, || {
                self.host.rights.as_member(cx, member_matters(how), || {
                    rustix::fs::openat(&dir, name.bytes(), flags, mode).map_err(up)
                })
            });
            match made {
                Ok(open) => {
                    let stat = stat(open.fd())?;
                    let inode = self.host.meet(&stat, None, parent.local, Some((&parent, name)))?;
                    return self.created(inode, &stat, open);
                }
                Err(Errno::EEXIST) if !how.flags.has(OpenFlags::EXCL) => {}
                Err(errno) => return Err(errno),
            }
            let entry = match self.find(cx, &parent, &dir, name) {
                Err(Errno::ENOENT) => continue,
                found => found?,
            };
            match entry.attr.kind {
                Kind::Symlink => return Err(Errno::ELOOP),
                Kind::Directory => return Err(Errno::EISDIR),
                _ => {}
            }
            let node = Node::detached(&entry);
            let open = OpenHow { flags: how.flags, kill_priv: how.kill_priv };
            let opened = match self.do_open(cx, &node, open) {
                Err(Errno::ESTALE) => continue, // it went elsewhere meanwhile
                opened => opened?,
            };
            let inode = inode(&node)?;
            let stat = self.host.stat(&inode)?;
            return Ok(Created { entry: self.host.entry(inode, &stat)?, opened });
        }
        Err(Errno::EAGAIN)
    }

    pub(super) fn do_tmpfile(&self, cx: &Context<'_>, dir: &Node, how: MakeHow) -> Result<Created> {
        let parent = inode(dir)?;
        let dir = self.host.descriptor(&parent)?;
        let mode = self.masked(&dir, how);
        let mut flags = host_flags(how.flags) | OFlags::TMPFILE | OFlags::CLOEXEC;
        if how.flags.has(OpenFlags::EXCL) {
            flags |= OFlags::EXCL;
        }
        let open = new_open(how.flags, || {
            self.host.rights.as_member(cx, member_matters(how), || {
                rustix::fs::openat(&dir, c".", flags, mode).map_err(up)
            })
        })?;
        let stat = stat(open.fd())?;
        let inode = self.host.meet(&stat, None, parent.local, None)?;
        self.created(inode, &stat, open)
    }

    fn created(
        &self,
        inode: Arc<Inode>,
        stat: &rustix::fs::Statx,
        open: HostOpen,
    ) -> Result<Created> {
        let opened = open.answer(&self.host, &inode, stat);
        Ok(Created { entry: self.host.entry(inode, stat)?, opened })
    }

    pub(super) fn do_remove(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        flags: AtFlags,
    ) -> Result<()> {
        let parent = inode(dir)?;
        let dir = self.host.descriptor(&parent)?;
        let victim = self.victim(cx, dir.as_fd(), name);
        self.host
            .rights
            .as_caller(cx, || rustix::fs::unlinkat(&dir, name.bytes(), flags).map_err(up))?;
        if let Some(victim) = victim {
            victim.lose(&parent, name);
        }
        Ok(())
    }

    /// The live node that a name is about to be taken from. It gets a descriptor first: when it
    /// was its last name, nothing else leads to it.
    fn victim(&self, cx: &Context<'_>, dir: BorrowedFd<'_>, name: Name<'_>) -> Option<Victim> {
        let fd = self.host.rights.as_caller(cx, || self.host.step(dir, name)).ok()?;
        let stat = stat(&fd).ok()?;
        let identity = Identity::of(&stat).ok()?;
        let inode = self.host.inodes.find(&identity)?;
        hold(&inode, fd);
        let last = identity.kind == Kind::Directory || stat.stx_nlink <= 1;
        Some(Victim { inode, last })
    }

    pub(super) fn do_rename(
        &self,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
        to_dir: &Node,
        to_name: Name<'_>,
        flags: RenameFlags,
    ) -> Result<()> {
        if !RenameFlags::all().contains(flags) {
            return Err(Errno::EINVAL);
        }
        let (parent, to_parent) = (inode(dir)?, inode(to_dir)?);
        let dir = self.host.descriptor(&parent)?;
        let to_dir = self.host.descriptor(&to_parent)?;
        let rename = |flags: RenameFlags| {
            let flags = rustix::fs::RenameFlags::from_bits_retain(flags.bits());
            self.host.rights.as_caller(cx, || {
                let (from, to) = (name.bytes(), to_name.bytes());
                rustix::fs::renameat_with(&dir, from, &to_dir, to, flags).map_err(up)
            })
        };
        let mut victim = None;
        let plain = !flags.intersects(RenameFlags::EXCHANGE | RenameFlags::NOREPLACE);
        // Mostly nothing is in the way, and then there is no victim to look for.
        match if plain { rename(flags | RenameFlags::NOREPLACE) } else { Err(Errno::EEXIST) } {
            // Not every host knows the flag.
            Err(Errno::EEXIST | Errno::EINVAL | Errno::EOPNOTSUPP) => {
                if !flags.contains(RenameFlags::NOREPLACE) {
                    victim = self.victim(cx, to_dir.as_fd(), to_name);
                }
                rename(flags)?;
            }
            done => done?,
        }
        let moved = self.live(cx, &to_parent, &to_dir, to_name);
        let Some(victim) = victim else {
            if let Some(moved) = moved {
                moved.set_place(&to_parent, to_name);
            }
            return Ok(());
        };
        if flags.contains(RenameFlags::EXCHANGE) {
            victim.inode.set_place(&parent, name);
        } else if moved.as_ref().is_some_and(|moved| Arc::ptr_eq(moved, &victim.inode)) {
            return Ok(()); // two links of one file: nothing happened
        } else {
            victim.lose(&to_parent, to_name);
        }
        if let Some(moved) = moved {
            moved.set_place(&to_parent, to_name);
        }
        Ok(())
    }

    /// The live node that a name leads to, as far as one can see.
    fn live(
        &self,
        cx: &Context<'_>,
        parent: &Inode,
        dir: &OwnedFd,
        name: Name<'_>,
    ) -> Option<Arc<Inode>> {
        let stat = self.host.rights.as_caller(cx, || stat_name(parent, dir, name)).ok()?;
        self.host.inodes.find(&Identity::of(&stat).ok()?)
    }
}

/// How often `create` without EXCL looks for what was there a moment ago.
const TRIES: usize = 16;

/// A node that is losing a name.
struct Victim {
    inode: Arc<Inode>,
    /// Whether it is the last.
    last: bool,
}

impl Victim {
    fn lose(&self, parent: &Arc<Inode>, name: Name<'_>) {
        self.inode.lose_place(parent, name);
        if self.last {
            self.inode.orphan.store(true, Ordering::Relaxed);
        }
    }
}

/// Whether the caller's groups decide on the set-group-id bit: for what is made executable with
/// it, in a directory that hands its group down, inode(7).
const fn member_matters(how: MakeHow) -> bool {
    how.mode & 0o2010 == 0o2010
}
