//! `Mountpoint`: where a session is attached, and how it is taken away again.

use super::error::ours;
use super::{FuseOptions, MountError, given, helper};
use filofs::{Errno, Kind};
use rustix::fd::{AsRawFd, OwnedFd};
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use rustix::mount::{MountFlags, UnmountFlags};
use std::ffi::CString;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A place in the tree of files where a session is mounted.
#[derive(Debug)]
pub(super) struct Mountpoint {
    path: PathBuf,
    how: How,
    /// The kernel's number for the mount, so that another one at the same place is left alone.
    id: Option<u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum How {
    /// We mounted it ourselves.
    Direct,
    /// fusermount3 did.
    Helper,
    /// Somebody else did, and gave us the descriptor.
    Given,
}

impl Mountpoint {
    /// How often a mount that is in use is tried again, and how long after.
    const LOOKS: u32 = 10;
    const LOOK: Duration = Duration::from_millis(20);

    /// For a descriptor that came from somewhere: there is nothing to take away.
    pub(super) fn given(path: &Path) -> Mountpoint {
        Mountpoint { path: path.to_owned(), how: How::Given, id: None }
    }

    /// Opens a FUSE device and mounts it.
    ///
    /// mount(2) is simply tried: whether we may (as root, or in a user namespace of our own) only
    /// the kernel knows. When it says no, fusermount3 is asked. The device is opened here and not
    /// earlier, because the kernel wants it opened in the user namespace of the mount.
    pub(super) fn attach(
        path: &Path,
        options: &FuseOptions,
        root: Kind,
        source: &str,
    ) -> Result<(OwnedFd, Mountpoint), MountError> {
        if let Some(number) = given::number(path) {
            return Ok((given::take(number, path)?, Mountpoint::given(path)));
        }
        let path = check(path, root)?;
        let direct = open_device().and_then(|device| {
            mount(&device, &path, options, root, source)?;
            Ok(device)
        });
        let (device, how) = match direct {
            Ok(device) => (device, How::Direct),
            // The helper may open the device where we may not.
            Err(no @ (MountError::NoRights { .. } | MountError::DeviceDenied { .. })) => {
                match helper::mount(&path, options, source) {
                    Ok(Some(device)) => (device, How::Helper),
                    Ok(None) => return Err(no),
                    // It may not either: then the device is what must be seen to.
                    Err(MountError::Helper { text }) if text.contains(DEVICE) => return Err(no),
                    Err(error) => return Err(error),
                }
            }
            Err(error) => return Err(error),
        };
        let id = mount_id(&path);
        Ok((device, Mountpoint { path, how, id }))
    }

    /// Whether the mount is certainly still there.
    pub(super) fn there(&self) -> bool {
        self.id.is_some() && mount_id(&self.path) == self.id
    }

    /// Ends the connection in the kernel, so that whoever waits for an answer has an error at once.
    /// Whether that was possible; the mount may stay, and answers everybody with an error.
    pub(super) fn abort(&self) -> bool {
        if !self.there() {
            return false;
        }
        // That aborts the connection before it looks whether the mount is in use.
        let force = UnmountFlags::FORCE | UnmountFlags::NOFOLLOW;
        match rustix::mount::unmount(&self.path, force) {
            Ok(()) | Err(rustix::io::Errno::BUSY) => true,
            // We may not, where a helper has mounted. There is another way, if it is in its place.
            Err(_) => connection(&self.path).is_some_and(|number| {
                std::fs::write(format!("/sys/fs/fuse/connections/{number}/abort"), "1").is_ok()
            }),
        }
    }

    /// Takes the mount away; lazily, it goes out of sight now and ends with its last use. A mount
    /// that is gone already is success.
    ///
    /// Errors: [`MountError::Busy`].
    pub(super) fn unmount(&self, lazy: bool) -> Result<(), MountError> {
        if self.id.is_some() && !self.there() {
            return Ok(());
        }
        match self.how {
            How::Given => Err(MountError::System {
                what: "unmount what somebody else mounted",
                errno: Errno::EPERM,
            }),
            How::Helper => helper::unmount(&self.path, lazy),
            How::Direct => {
                let mut flags = UnmountFlags::NOFOLLOW;
                flags.set(UnmountFlags::DETACH, lazy);
                // Whoever looks at the mount, as df(1) does, is in it for a moment.
                let mut unmounted = rustix::mount::unmount(&self.path, flags);
                for _ in 0..Self::LOOKS {
                    if unmounted != Err(rustix::io::Errno::BUSY) {
                        break;
                    }
                    std::thread::sleep(Self::LOOK);
                    unmounted = rustix::mount::unmount(&self.path, flags);
                }
                match unmounted {
                    // EINVAL: it is no mount point any more.
                    Ok(()) | Err(rustix::io::Errno::INVAL) => Ok(()),
                    Err(rustix::io::Errno::BUSY) => {
                        Err(MountError::Busy { path: self.path.clone() })
                    }
                    Err(errno) => Err(MountError::system("unmount", errno)),
                }
            }
        }
    }
}

/// Looks at the mount point: the path without links, of the same sort as the root.
fn check(path: &Path, root: Kind) -> Result<PathBuf, MountError> {
    let wrong = |errno| match errno {
        Errno::ENOTCONN => MountError::DeadMount { path: path.to_owned() },
        errno => MountError::MountPoint { path: path.to_owned(), errno },
    };
    let path = std::fs::canonicalize(path).map_err(|error| wrong(error.into()))?;
    let found = std::fs::metadata(&path).map_err(|error| wrong(error.into()))?;
    match (root == Kind::Directory, found.is_dir()) {
        (true, false) => Err(MountError::NotADirectory { path }),
        (false, true) => Err(MountError::IsADirectory { path }),
        _ => Ok(path),
    }
}

const DEVICE: &str = "/dev/fuse";

fn open_device() -> Result<OwnedFd, MountError> {
    let device = rustix::fs::open(DEVICE, OFlags::RDWR | OFlags::CLOEXEC, Mode::empty()).map_err(
        |errno| match errno {
            rustix::io::Errno::ACCESS | rustix::io::Errno::PERM => MountError::DeviceDenied {
                mode: rustix::fs::stat(DEVICE).ok().map(|stat| stat.st_mode & 0o7777),
            },
            rustix::io::Errno::MFILE | rustix::io::Errno::NFILE => {
                MountError::system("open /dev/fuse", errno)
            }
            errno => MountError::NoDevice { errno: ours(errno) },
        },
    )?;
    // Something else may stand in its place: mount(2) would only say EINVAL.
    let number = rustix::fs::fstat(&device).map(|stat| stat.st_rdev);
    if number == Ok(rustix::fs::makedev(10, 229)) {
        Ok(device)
    } else {
        Err(MountError::NoDevice { errno: Errno::ENODEV })
    }
}

/// Mounts by ourselves.
fn mount(
    device: &OwnedFd,
    path: &Path,
    options: &FuseOptions,
    root: Kind,
    source: &str,
) -> Result<(), MountError> {
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::RDONLY, options.read_only);
    flags.set(MountFlags::NOSUID, options.nosuid);
    flags.set(MountFlags::NODEV, options.nodev);
    flags.set(MountFlags::NOEXEC, options.noexec);
    flags.set(MountFlags::NOATIME, options.noatime);
    let kind = if options.subtype.is_empty() {
        "fuse".to_owned()
    } else {
        format!("fuse.{}", filofs::sanitise(&options.subtype))
    };
    let words = words(device.as_raw_fd(), options, root);
    let words = CString::new(words).map_err(|_| MountError::System {
        what: "spell the mount options",
        errno: Errno::EINVAL,
    })?;
    let source = filofs::sanitise(source);
    rustix::mount::mount(source.as_str(), path, kind.as_str(), flags, words.as_c_str()).map_err(
        |errno| match errno {
            rustix::io::Errno::PERM | rustix::io::Errno::ACCESS => {
                MountError::NoRights { path: path.to_owned(), errno: ours(errno) }
            }
            rustix::io::Errno::NODEV => MountError::NoDevice { errno: ours(errno) },
            rustix::io::Errno::BUSY => MountError::Busy { path: path.to_owned() },
            rustix::io::Errno::NOTDIR => MountError::NotADirectory { path: path.to_owned() },
            errno => MountError::system("mount", errno),
        },
    )
}

/// The options that the kernel's FUSE reads.
fn words(device: i32, options: &FuseOptions, root: Kind) -> String {
    let uid = rustix::process::geteuid().as_raw();
    let gid = rustix::process::getegid().as_raw();
    let rootmode = root.mode_bits();
    let mut words = vec![format!("fd={device},rootmode={rootmode:o},user_id={uid},group_id={gid}")];
    if options.allow_other || options.allow_root {
        words.push("allow_other".into());
    }
    if options.default_permissions != Some(false) {
        words.push("default_permissions".into());
    }
    if options.max_read > 0 {
        words.push(format!("max_read={}", options.max_read));
    }
    words.join(",")
}

/// The number of the mount at that place, without asking its file system anything.
fn mount_id(path: &Path) -> Option<u64> {
    let how = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = rustix::fs::statx(CWD, path, how, StatxFlags::MNT_ID).ok()?;
    let answered = StatxFlags::from_bits_retain(found.stx_mask).contains(StatxFlags::MNT_ID);
    answered.then_some(found.stx_mnt_id)
}

/// The kernel's number for the connection of what is mounted there, without asking it anything.
fn connection(path: &Path) -> Option<u32> {
    let how = AtFlags::STATX_DONT_SYNC | AtFlags::SYMLINK_NOFOLLOW | AtFlags::NO_AUTOMOUNT;
    let found = rustix::fs::statx(CWD, path, how, StatxFlags::empty()).ok()?;
    (found.stx_dev_major == 0).then_some(found.stx_dev_minor)
}

/// Takes away what is mounted there, whoever mounted it: ourselves if we may, else with the
/// help of fusermount3. Lazily, it goes out of sight now and ends with its last use.
///
/// Errors: [`MountError::Busy`]; what the helper says.
pub fn unmount(path: &Path, lazy: bool) -> Result<(), MountError> {
    let ours = Mountpoint { path: path.to_owned(), how: How::Direct, id: None };
    match ours.unmount(lazy) {
        Err(MountError::System { errno: Errno::EPERM, .. }) => helper::unmount(path, lazy),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_point_must_suit_the_root() {
        let dir = std::env::temp_dir();
        assert!(check(&dir, Kind::Directory).is_ok());
        assert!(matches!(check(&dir, Kind::Regular), Err(MountError::IsADirectory { .. })));
        let file = Path::new("/proc/self/status");
        assert!(check(file, Kind::Regular).is_ok());
        assert!(matches!(check(file, Kind::Directory), Err(MountError::NotADirectory { .. })));
        let missing = check(Path::new("/no/such/place"), Kind::Directory).unwrap_err();
        assert!(matches!(missing, MountError::MountPoint { errno: Errno::ENOENT, .. }));
    }

    #[test]
    fn the_kernels_options() {
        let options = FuseOptions { max_read: 65536, ..FuseOptions::default() };
        let words = words(9, &options, Kind::Directory);
        assert!(words.starts_with("fd=9,rootmode=40000,user_id="), "{words}");
        assert!(words.ends_with(",default_permissions,max_read=65536"), "{words}");
    }
}
