//! `LaunchError`: why a program does not run, for whoever wanted it to.

use rustix::io::Errno;
use std::fmt;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Why a program does not run, or no longer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LaunchError {
    /// There is no such program.
    NotFound {
        /// As it was given.
        program: String,
        /// The PATH it was looked for in; none if it was given with a `/`.
        searched: Option<String>,
    },
    /// It is there and cannot be executed.
    NotExecutable {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// What it needs of namespaces(7) is not to be had.
    Namespace {
        /// What, and what the kernel said.
        what: String,
    },
    /// A sandbox that cannot be had was asked for, or one that contradicts itself.
    Sandbox {
        /// What of it.
        what: String,
    },
    /// It ran, and has ended.
    Ended {
        /// The name it is known by.
        name: String,
        /// How.
        status: ExitStatus,
        /// The last it wrote on standard error; may be empty.
        last_words: String,
    },
    /// It could not be started within the time for that.
    Late {
        /// The name it is known by.
        name: String,
    },
    /// A system call failed that usually does not.
    System {
        /// What was tried.
        what: String,
        /// Why it failed.
        errno: Errno,
    },
}

impl LaunchError {
    pub(super) fn system(what: &str, error: impl Into<std::io::Error>) -> LaunchError {
        // Without a number: a NUL byte in an argument.
        let errno = Errno::from_io_error(&error.into()).unwrap_or(Errno::INVAL);
        LaunchError::System { what: what.to_owned(), errno }
    }
}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaunchError::NotFound { program, searched: Some(_) } => {
                write!(f, "{program}: no such program in PATH; say where it is, as ./{program}")
            }
            LaunchError::NotFound { program, searched: None } => {
                write!(f, "{program}: no such program")
            }
            LaunchError::NotExecutable { path, why } => {
                write!(f, "{} cannot be executed: {why}", path.display())
            }
            LaunchError::Namespace { what } => write!(
                f,
                "{what} (sysctl user.max_user_namespaces, kernel.unprivileged_userns_clone or \
                 kernel.apparmor_restrict_unprivileged_userns may forbid it)"
            ),
            LaunchError::Sandbox { what } => f.write_str(what),
            LaunchError::Ended { name, status, last_words } if last_words.is_empty() => {
                write!(f, "{name} ended ({status}) and left no word on standard error")
            }
            LaunchError::Ended { name, status, last_words } => {
                write!(f, "{name} ended ({status}); its last words: {}", one_line(last_words))
            }
            LaunchError::Late { name } => write!(f, "{name} could not be started in time"),
            LaunchError::System { what, errno } => write!(f, "cannot {what}: {errno}"),
        }
    }
}

impl std::error::Error for LaunchError {}

/// Several lines as one.
pub(crate) fn one_line(text: &str) -> String {
    text.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("; ")
}
