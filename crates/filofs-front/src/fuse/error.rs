//! `MountError`: why there is no mount, and what to do about it.

use filofs::Errno;
use std::fmt;
use std::path::PathBuf;

/// Why a mount could not be made or taken away. Its text is one line that says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum MountError {
    /// The mount point cannot be looked at.
    MountPoint {
        /// Which.
        path: PathBuf,
        /// Why.
        errno: Errno,
    },
    /// The mount point is a FUSE mount whose server is gone.
    DeadMount {
        /// Which.
        path: PathBuf,
    },
    /// The root is a directory, the mount point is not.
    NotADirectory {
        /// Which.
        path: PathBuf,
    },
    /// The root is no directory, the mount point is one.
    IsADirectory {
        /// Which.
        path: PathBuf,
    },
    /// It is in use: files are open or somebody works in it.
    Busy {
        /// Which.
        path: PathBuf,
    },
    /// This kernel has no FUSE device here.
    NoDevice {
        /// What opening it said.
        errno: Errno,
    },
    /// The FUSE device is there, but not for us.
    DeviceDenied {
        /// Its permission bits, where they can be seen.
        mode: Option<u32>,
    },
    /// Neither the right to mount nor a helper who has it.
    NoRights {
        /// Where.
        path: PathBuf,
        /// What mount(2) said.
        errno: Errno,
    },
    /// `allow_other` is not for ordinary users on this machine.
    AllowOther,
    /// The helper refused.
    Helper {
        /// Its words.
        text: String,
    },
    /// A mount point `/dev/fd/N` that is no open descriptor.
    Descriptor {
        /// As it was given.
        path: PathBuf,
    },
    /// The kernel, or the core at the other end of a socket, and we could not agree.
    Handshake {
        /// Who it is.
        peer: &'static str,
        /// About what.
        why: String,
    },
    /// The file system would not start, or not go.
    FileSystem {
        /// Its answer.
        errno: Errno,
    },
    /// A system call failed that usually does not.
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        errno: Errno,
    },
}

impl MountError {
    /// The exit status for a command: 3 where the mount point is at fault, 4 where a right or the
    /// device is missing, 5 where the file system is.
    pub const fn exit_code(&self) -> u8 {
        match self {
            MountError::MountPoint { .. }
            | MountError::DeadMount { .. }
            | MountError::NotADirectory { .. }
            | MountError::IsADirectory { .. }
            | MountError::Busy { .. }
            | MountError::Descriptor { .. } => 3,
            MountError::NoDevice { .. }
            | MountError::DeviceDenied { .. }
            | MountError::NoRights { .. }
            | MountError::AllowOther
            | MountError::Helper { .. }
            | MountError::Handshake { .. }
            | MountError::System { .. } => 4,
            MountError::FileSystem { .. } => 5,
        }
    }

    /// The errno that says most nearly the same.
    pub(super) const fn errno(&self) -> Errno {
        match self {
            MountError::MountPoint { errno, .. }
            | MountError::NoDevice { errno }
            | MountError::NoRights { errno, .. }
            | MountError::FileSystem { errno }
            | MountError::System { errno, .. } => *errno,
            MountError::Busy { .. } => Errno::EBUSY,
            MountError::DeviceDenied { .. } | MountError::AllowOther => Errno::EPERM,
            _ => Errno::EIO,
        }
    }

    /// That system call failed.
    pub(super) fn system(what: &'static str, errno: rustix::io::Errno) -> MountError {
        MountError::System { what, errno: ours(errno) }
    }
}

/// The contract's errno for one of the system's.
pub(super) fn ours(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MountError::MountPoint { path, errno } => {
                write!(f, "cannot mount on {}: {errno}", path.display())
            }
            MountError::DeadMount { path } => write!(
                f,
                "{path} is a mount whose server is gone: take it away with \"umount -l {path}\" or \
                 \"fusermount3 -uz {path}\"",
                path = path.display()
            ),
            MountError::NotADirectory { path } => {
                write!(f, "{} is not a directory, but what is mounted is one", path.display())
            }
            MountError::IsADirectory { path } => write!(
                f,
                "{} is a directory, but what is mounted is a file: name a file to mount on",
                path.display()
            ),
            MountError::Busy { path } => write!(
                f,
                "{} is in use: close its files and leave it (\"fuser -vm\" shows who), or unmount \
                 lazily",
                path.display()
            ),
            MountError::NoDevice { errno } => write!(
                f,
                "no FUSE device: cannot open /dev/fuse: {errno}; load the module (\"modprobe \
                 fuse\"), or pass the device into the container"
            ),
            MountError::DeviceDenied { mode } => {
                f.write_str("/dev/fuse may not be opened")?;
                if let Some(mode) = mode {
                    write!(f, ": its mode is {mode:04o}")?;
                }
                f.write_str("; let root do \"chmod 0666 /dev/fuse\", or mount as root")
            }
            MountError::NoRights { path, errno } => write!(
                f,
                "no right to mount on {}: {errno}; install fusermount3 (package fuse3), or run as \
                 root or in a user namespace",
                path.display()
            ),
            MountError::AllowOther => f.write_str(
                "allow_other is not permitted: let root add the line \"user_allow_other\" to \
                 /etc/fuse.conf",
            ),
            MountError::Helper { text } => write!(f, "fusermount3 refused: {text}"),
            MountError::Descriptor { path } => {
                write!(f, "{} is not an open FUSE descriptor", path.display())
            }
            MountError::Handshake { peer, why } => {
                write!(f, "{peer} and filo cannot agree: {why}")
            }
            MountError::FileSystem { errno } => write!(f, "the file system refused: {errno}"),
            MountError::System { what, errno } => {
                write!(f, "cannot {what}: {errno}{}", remedy(*errno))
            }
        }
    }
}

/// What to do about an errno that says of which thing there is not enough.
const fn remedy(errno: Errno) -> &'static str {
    match errno {
        Errno::EMFILE => "; raise the limit of open files (\"ulimit -n\")",
        Errno::ENFILE => "; let root raise fs.file-max (sysctl)",
        Errno::EAGAIN => {
            "; raise the limit of threads (\"ulimit -u\", the control group's pids.max)"
        }
        Errno::ENOSPC => "; let root raise fs.mount-max (sysctl)",
        _ => "",
    }
}

impl std::error::Error for MountError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_text_is_one_line_that_says_what_to_do() {
        let path = || PathBuf::from("/mnt/x");
        for (error, code, word) in [
            (MountError::DeadMount { path: path() }, 3, "umount -l /mnt/x"),
            (MountError::Busy { path: path() }, 3, "lazily"),
            (MountError::AllowOther, 4, "\"user_allow_other\""),
            (MountError::DeviceDenied { mode: Some(0o600) }, 4, "mode is 0600"),
            (MountError::NoDevice { errno: Errno::ENOENT }, 4, "modprobe fuse"),
            (MountError::NoRights { path: path(), errno: Errno::EPERM }, 4, "fusermount3"),
            (MountError::FileSystem { errno: Errno::EIO }, 5, "EIO"),
            (MountError::System { what: "open", errno: Errno::EMFILE }, 4, "ulimit -n"),
            (MountError::System { what: "start", errno: Errno::EAGAIN }, 4, "pids.max"),
            (MountError::System { what: "mount", errno: Errno::ENOSPC }, 4, "fs.mount-max"),
        ] {
            let text = error.to_string();
            assert!(text.contains(word) && !text.contains('\n'), "{text}");
            assert_eq!(error.exit_code(), code);
        }
    }
}
