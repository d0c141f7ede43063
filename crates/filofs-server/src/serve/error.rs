//! `ServeError`: why a file server does not serve.

use super::CHANNEL;
use filofs::Errno;
use filofs_front::fuse::MountError;
use std::fmt;
use std::path::{Path, PathBuf};

/// Why a file server does not serve. Its text is one line that says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum ServeError {
    /// Somebody started the program without a channel, and without a mount point.
    ByHand {
        /// What it was called by.
        program: Option<String>,
    },
    /// The variable that names the channel has a value that is no number of a descriptor.
    NoNumber {
        /// The value.
        value: String,
    },
    /// The file system gives no root.
    NoRoot {
        /// Its answer.
        errno: Errno,
    },
    /// There is no mount, or no agreement with the core.
    Mount(MountError),
    /// Somebody listens at that path already.
    Taken {
        /// Which.
        path: PathBuf,
    },
    /// At that path is something that is no socket.
    NoSocket {
        /// Which.
        path: PathBuf,
    },
    /// There is no listening at that path.
    Socket {
        /// Which.
        path: PathBuf,
        /// Why.
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

impl ServeError {
    /// The exit status for a program: 1 for a wrong call, 3 where the mount point is at fault, 4
    /// where a right is missing, 5 where the file system is.
    pub const fn exit_code(&self) -> u8 {
        match self {
            ServeError::ByHand { .. } | ServeError::NoNumber { .. } => 1,
            ServeError::NoRoot { .. } => 5,
            ServeError::Mount(error) => error.exit_code(),
            ServeError::Taken { .. } | ServeError::NoSocket { .. } | ServeError::Socket { .. } => 3,
            ServeError::System { .. } => 4,
        }
    }

    pub(super) fn socket(path: &Path, errno: rustix::io::Errno) -> ServeError {
        let path = path.to_owned();
        match errno {
            rustix::io::Errno::ADDRINUSE => ServeError::Taken { path },
            rustix::io::Errno::EXIST => ServeError::NoSocket { path },
            errno => ServeError::Socket { path, errno: Errno::from_raw(errno.raw_os_error()) },
        }
    }

    pub(super) fn system(what: &'static str, error: &std::io::Error) -> ServeError {
        let errno = error.raw_os_error().map_or(Errno::EIO, Errno::from_raw);
        ServeError::System { what, errno }
    }
}

impl From<MountError> for ServeError {
    fn from(error: MountError) -> ServeError {
        ServeError::Mount(error)
    }
}

impl fmt::Display for ServeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ServeError::ByHand { program } => {
                let program = program.as_deref().unwrap_or("/path/to/it");
                write!(
                    f,
                    "this is a file server: mount it with 'filo mount server:{program} \
                     MOUNTPOINT', or let it mount itself with '{program} MOUNTPOINT'"
                )
            }
            ServeError::NoNumber { value } => {
                write!(f, "{CHANNEL}={value}: not the number of a descriptor; unset it")
            }
            ServeError::NoRoot { errno } => write!(f, "the file system gives no root: {errno}"),
            ServeError::Mount(error) => error.fmt(f),
            ServeError::Taken { path } => {
                let path = path.display();
                write!(f, "socket '{path}': another server listens there; choose another path")
            }
            ServeError::NoSocket { path } => {
                write!(f, "socket '{}': something else is there; take it away", path.display())
            }
            ServeError::Socket { path, errno } => {
                write!(f, "socket '{}': {errno}", path.display())
            }
            ServeError::System { what, errno } => write!(f, "cannot {what}: {errno}"),
        }
    }
}

impl std::error::Error for ServeError {}
