//! `local`: the front end without a kernel. Programs, and above all tests, use a mount by calling
//! it.
//!
//! [`Local`] is the machine with the mount as its root directory; a [`Process`] is somebody who
//! uses it: a user with groups, a umask, a working directory and open files. Its methods are
//! named as the system calls they stand for, and walk paths, check permissions and choose errnos
//! as Linux does (path_resolution(7)), with the mount's file system asked for the rest. Where
//! Linux's own path walk answers before any file system is asked (rename of `dir/.`), the answer
//! here is the one that BSD file systems give.
//!
//! ```
//! # fn main() -> filofs::Result<()> {
//! # struct Empty;
//! # impl filofs::FileSystem for Empty {
//! #     fn name(&self) -> &str { "empty" }
//! #     fn root(&self, _: &filofs::Context<'_>) -> filofs::Result<filofs::Entry> {
//! #         let kind = filofs::Kind::Directory;
//! #         Ok(filofs::Entry::new(filofs::Attr { mode: 0o755, ..filofs::Attr::new(1, kind) }))
//! #     }
//! #     fn getattr(&self, cx: &filofs::Context<'_>, _: &filofs::Node, _: Option<&filofs::Open>)
//! #         -> filofs::Result<filofs::Attr> { Ok(self.root(cx)?.attr) }
//! #     fn lookup(&self, _: &filofs::Context<'_>, _: &filofs::Node, _: filofs::Name<'_>)
//! #         -> filofs::Result<filofs::Entry> { Err(filofs::Errno::ENOENT) }
//! # }
//! use filofs_front::local::Local;
//! let root = Local::over(std::sync::Arc::new(Empty))?.process();
//! assert_eq!(root.stat("hello").unwrap_err(), filofs::Errno::ENOENT);
//! # Ok(()) }
//! ```

mod attributes;
mod directory;
mod files;
mod locks;
mod names;
mod process;
mod walk;
mod xattrs;

pub use directory::Dirent;
pub use files::{O_CREAT, O_PATH, O_TMPFILE, Whence};
pub use process::{Fd, Process};

use filofs::{
    Attr, Errno, FileSystem, Identity, LockTable, Mount, Notice, Notices, RequestId, Result, Stack,
    Uid, Upward,
};
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// A mount as the root directory of a machine of its own. Cheap to clone: all clones are one.
#[derive(Clone)]
pub struct Local(Arc<Machine>);

struct Machine {
    mount: Arc<Mount>,
    requests: AtomicU64,
    pids: AtomicU32,
    /// For a file system that keeps none.
    locks: LockTable,
    /// What the file system said unasked, when the mount was started here.
    notices: Mutex<Option<Notices>>,
}

impl Local {
    /// Uses a mount that runs.
    pub fn new(mount: Arc<Mount>) -> Local {
        Local(Arc::new(Machine {
            mount,
            requests: AtomicU64::new(1),
            pids: AtomicU32::new(1),
            locks: LockTable::new(),
            notices: Mutex::new(None),
        }))
    }

    /// Makes a mount of a base without layers, starts it and uses it.
    ///
    /// Errors: what the base answers when it is asked for its root.
    pub fn over(base: Arc<dyn FileSystem>) -> Result<Local> {
        Local::over_stack(Stack::new(base, []).ok_or(Errno::E2BIG)?)
    }

    /// Makes a mount of a stack, starts it and uses it. Errors: as [`Local::over`].
    pub fn over_stack(stack: Stack) -> Result<Local> {
        let identity = Identity::new(&stack.describe(), "filo.local", "/")?;
        let mount = Arc::new(Mount::new(stack, identity)?);
        let (up, notices) = Upward::without_caches();
        mount.start(&up)?;
        let local = Local::new(mount);
        *filofs::locked(&local.0.notices) = Some(notices);
        Ok(local)
    }

    /// The mount in use.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.0.mount
    }

    /// The super-user, umask 022, in the root directory.
    pub fn process(&self) -> Process {
        Process::new(self.clone(), Uid::ROOT, filofs::Gid::ROOT, Vec::new())
    }

    /// What the file system has said unasked since the last time ([`Local::over`] only).
    pub fn notices(&self) -> Vec<Notice> {
        let notices = filofs::locked(&self.0.notices);
        notices.as_ref().map(Notices::take).unwrap_or_default()
    }

    fn next_request(&self) -> RequestId {
        RequestId(self.0.requests.fetch_add(1, Ordering::Relaxed))
    }

    fn next_pid(&self) -> filofs::Pid {
        filofs::Pid(self.0.pids.fetch_add(1, Ordering::Relaxed))
    }
}

impl std::fmt::Debug for Local {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.mount.fmt(f)
    }
}

/// What stat(2) answers: the attributes, and the mount's own number as the device (B14).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stat {
    /// The fsid of the mount.
    pub dev: u64,
    /// The rest.
    pub attr: Attr,
}

impl std::ops::Deref for Stat {
    type Target = Attr;

    fn deref(&self) -> &Attr {
        &self.attr
    }
}

/// "The file system has no such operation", in the words of the system call that wanted it.
trait OrMissing<T> {
    fn or_missing(self, errno: Errno) -> Result<T>;
}

impl<T> OrMissing<T> for Result<T> {
    fn or_missing(self, errno: Errno) -> Result<T> {
        self.map_err(|e| if e == Errno::MISSING { errno } else { e })
    }
}
