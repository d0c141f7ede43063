//! How `dir` is called on the command line, and set up.

use super::descriptors::DESCRIPTORS;
use super::host::{HOLD, Host, stat};
use super::inode::{Cached, Identity, ROOT};
use super::local::is_local;
use super::rights::Rights;
use super::watch::Watch;
use super::{Dir, sys, up};
use filofs::{
    Definition, Errno, FileSystem, Generation, Kind, LockTable, OptionHelp, Options, Role,
    SetupError, locked,
};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags};
use std::hash::{BuildHasher, Hasher};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// `dir`, as the command knows it.
pub const DEFINITION: Definition = Definition {
    name: "dir",
    summary: "a directory of the host",
    argument: Some("the directory"),
    is_command: false,
    options: OPTIONS,
    role: Role::Base(build),
};

const OPTIONS: &[OptionHelp] = &[
    OptionHelp {
        key: "xdev",
        value: "deny|follow",
        help: "whether other file systems mounted below are shown (default follow)",
    },
    OptionHelp {
        key: "locks",
        value: "kernel|host",
        help: "who keeps file locks: the kernel above, for this mount alone, or the host, where \
               other programs meet them (default kernel)",
    },
    OptionHelp {
        key: "remember",
        value: "N",
        help: "how many files that are out of use are found again by number (default 262144)",
    },
    OptionHelp {
        key: "attr_ttl",
        value: "SECONDS",
        help: "how long attributes are believed without asking the host (default 1)",
    },
    OptionHelp {
        key: "entry_ttl",
        value: "SECONDS",
        help: "how long names are believed without asking the host (default 1)",
    },
    OptionHelp {
        key: "watch",
        value: "on|off",
        help: "have the host tell what others change, to be seen at once (default off)",
    },
];

/// How a directory is to be shown.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct DirOptions {
    /// Whether other file systems mounted below are refused with EXDEV.
    pub one_device: bool,
    /// Whether the host keeps locks, where programs outside of the mount meet them. If not, who
    /// is above keeps them, and this base is not asked.
    pub host_locks: bool,
    /// How many inodes that were given back are remembered, for `recall`.
    pub remember: usize,
    /// How long attributes may be believed.
    pub attr_ttl: Duration,
    /// How long names may be believed.
    pub entry_ttl: Duration,
    /// Whether what others change is told to the front end at once, fanotify(7).
    pub watch: bool,
}

impl Default for DirOptions {
    fn default() -> Self {
        DirOptions {
            one_device: false,
            host_locks: false,
            remember: 1 << 18,
            attr_ttl: Duration::from_secs(1),
            entry_ttl: Duration::from_secs(1),
            watch: false,
        }
    }
}

/// The options and what was found out about the host.
pub(super) struct Settings {
    pub(super) rights: Rights,
    pub(super) remember: usize,
    pub(super) generation: Generation,
    pub(super) entry_ttl: Duration,
    pub(super) attr_ttl: Duration,
    pub(super) one_device: bool,
    pub(super) host_locks: bool,
    pub(super) handles: bool,
    pub(super) dev: u64,
    pub(super) watch: Option<Watch>,
}

impl Dir {
    /// Shows a directory. It is opened once, here: what stands at the path later does not matter.
    ///
    /// The limit of open files is the process' to raise ([`raise_open_files`]), before this.
    pub fn open(path: &Path, options: DirOptions) -> Result<Dir, SetupError> {
        let wrong = |errno: Errno, what: &str| {
            SetupError::new(format!("{}: {what}: {}", path.display(), errno.text()))
        };
        let rights = Rights::of_process();
        DESCRIPTORS.measure();
        let flags = OFlags::PATH | OFlags::CLOEXEC;
        let root = rustix::fs::openat(CWD, path, flags, Mode::empty())
            .map_err(|e| wrong(up(e), "cannot be opened"))?;
        let root_stat = stat(&root).map_err(|e| wrong(e, "cannot be looked at"))?;
        let identity = Identity::of(&root_stat).map_err(|e| wrong(e, "cannot be looked at"))?;
        if identity.kind != Kind::Directory {
            return Err(SetupError::new(format!("{}: not a directory", path.display())));
        }
        let local = is_local(&root, &root_stat);
        let proc = open_proc()?;
        // For syncfs(2), which takes no O_PATH descriptor; without it, sync(2) is all there is.
        let sync = rustix::fs::openat(
            &root,
            c".",
            OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC,
            Mode::empty(),
        );
        let sync = sync.map_err(|e| wrong(up(e), "cannot be read"))?;
        let unwatched = |e| wrong(e, "watch=on: the host does not tell what changes in it");
        let handles = rights.opens_handles() && has_handles(&sync);
        let settings = Settings {
            rights,
            remember: options.remember,
            generation: Generation(random() & 0xffff_ffff | 1),
            entry_ttl: options.entry_ttl,
            attr_ttl: options.attr_ttl,
            one_device: options.one_device,
            host_locks: options.host_locks,
            handles,
            dev: identity.dev,
            watch: options.watch.then(Watch::new).transpose().map_err(unwatched)?,
        };
        let host = Arc::new_cyclic(|me| Host::new(me.clone(), proc, settings));
        host.keep_mount(&root, &identity);
        let (inode, _) = host.inodes.meet(identity, Some(ROOT), &host.me, local, None, None);
        if let Some(watch) = &host.watch {
            // What cannot be watched at the root is not worth the name.
            watch.add(&inode, root.as_fd()).map_err(unwatched)?;
            inode.watched.store(true, Ordering::Relaxed);
        }
        *locked(&inode.slot) = Some(Cached { fd: Arc::new(root), place: None });
        let shown = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        Ok(Dir { host, root: inode, sync, path: clean(&shown), locks: LockTable::new() })
    }
}

fn build(options: &mut Options) -> Result<Arc<dyn FileSystem>, SetupError> {
    let path = options.argument().unwrap_or_default();
    if path.is_empty() {
        return Err(SetupError::new("which directory? say dir:PATH"));
    }
    let mut set = DirOptions::default();
    if let Some(deny) = choice(options, "xdev", "deny", "follow")? {
        set.one_device = deny;
    }
    if let Some(host) = choice(options, "locks", "host", "kernel")? {
        set.host_locks = host;
    }
    if let Some(on) = choice(options, "watch", "on", "off")? {
        set.watch = on;
    }
    if let Some(remember) = options.number("remember")? {
        set.remember = remember;
    }
    for (key, ttl) in [("attr_ttl", &mut set.attr_ttl), ("entry_ttl", &mut set.entry_ttl)] {
        if let Some(seconds) = options.number::<f64>(key)? {
            *ttl = Duration::try_from_secs_f64(seconds).map_err(|_| {
                SetupError::new(format!("option '{key}': '{seconds}' is no number of seconds"))
            })?;
        }
    }
    Ok(Arc::new(Dir::open(Path::new(&path), set)?))
}

/// The value of an option that knows two: whether it is the first.
fn choice(
    options: &mut Options,
    key: &'static str,
    first: &str,
    second: &str,
) -> Result<Option<bool>, SetupError> {
    let Some(value) = options.value(key)? else { return Ok(None) };
    if value == first || value == second {
        return Ok(Some(value == first));
    }
    let text = format!("option '{key}': '{value}' is neither {first} nor {second}");
    Err(SetupError::new(text))
}

/// Raises the limit of open files of this process, RLIMIT_NOFILE, to the hard limit; answers what
/// it is now. The command does so before it sets up a stack.
pub fn raise_open_files() -> u64 {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { raised } else { limit };
    now.current.unwrap_or(u64::MAX)
}

/// /proc, if it is that.
fn open_proc() -> Result<OwnedFd, SetupError> {
    let wrong = |why: &str| SetupError::new(format!("/proc: {why}; dir needs it to open files"));
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let proc =
        rustix::fs::openat(CWD, c"/proc", flags, Mode::empty()).map_err(|e| wrong(up(e).text()))?;
    // PROC_SUPER_MAGIC of linux/magic.h.
    let is_proc = rustix::fs::fstatfs(&proc).is_ok_and(|s| s.f_type as u64 == 0x9fa0);
    if is_proc { Ok(proc) } else { Err(wrong("is not a proc file system")) }
}

/// Whether handles of that file system can be made and opened, of files as well as of the
/// directory that is tried: in a user namespace of its own a process may open some only.
fn has_handles(dir: &OwnedFd) -> bool {
    let ids = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    if !ids.split_whitespace().eq(["0", "0", "4294967295"]) {
        return false;
    }
    sys::handle_of(dir.as_fd())
        .and_then(|(handle, _)| sys::open_handle(dir.as_fd(), &handle, HOLD.bits() as i32))
        .is_ok()
}

/// A number nobody else has: the hasher of the standard library is seeded by the system.
fn random() -> u64 {
    std::hash::RandomState::new().build_hasher().finish()
}

/// The path without `.` components.
fn clean(path: &Path) -> PathBuf {
    let clean: PathBuf = path.components().collect();
    if clean.as_os_str().as_bytes().is_empty() { path.to_owned() } else { clean }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn build_with(argument: Option<&str>, pairs: &[(&str, &str)]) -> Result<String, String> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), Some((*v).to_owned())));
        let mut options = Options::new(argument.map(str::to_owned), pairs.collect());
        let built = build(&mut options).map_err(|e| e.0)?;
        options.finish(OPTIONS).map_err(|e| e.0)?;
        Ok(built.describe())
    }

    #[test]
    fn errors_are_for_a_person() {
        assert_eq!(build_with(None, &[]).unwrap_err(), "which directory? say dir:PATH");
        assert_eq!(
            build_with(Some("/no/such"), &[]).unwrap_err(),
            "/no/such: cannot be opened: no such file or directory"
        );
        assert_eq!(
            build_with(Some("/proc/version"), &[]).unwrap_err(),
            "/proc/version: not a directory"
        );
        assert_eq!(
            build_with(Some("/"), &[("xdev", "maybe")]).unwrap_err(),
            "option 'xdev': 'maybe' is neither deny nor follow"
        );
        assert!(build_with(Some("/"), &[("attr_ttl", "-1")]).is_err());
    }

    #[test]
    fn it_is_described_by_its_absolute_path() {
        assert_eq!(build_with(Some("/"), &[("xdev", "deny")]).unwrap(), "dir:/");
        let here = std::env::current_dir().unwrap();
        assert_eq!(build_with(Some("."), &[]).unwrap(), format!("dir:{}", here.display()));
    }
}
