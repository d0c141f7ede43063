//! `AttachError`: why a foreign program does not serve.

use crate::launch::{LaunchError, one_line};
use std::fmt;
use std::io;
use std::time::Duration;

/// Why a foreign program does not serve. Its text is one line.
#[derive(Debug)]
#[non_exhaustive]
pub enum AttachError {
    /// A quote in the command is not closed, or a backslash stands last.
    Quote {
        /// Which of the three.
        quote: char,
    },
    /// The command has no words.
    NoCommand,
    /// The command has no `{}`.
    NoMountPoint,
    /// The program could not be started, or ended before it asked to be mounted; with its last
    /// words.
    Launch(LaunchError),
    /// The program runs, but has not asked to be mounted.
    NeverAsked {
        /// Its name.
        program: String,
        /// For how long.
        after: Duration,
        /// The last that it wrote on standard error; may be empty.
        last_words: String,
    },
    /// A system call failed that usually does not.
    System {
        /// What was tried.
        what: &'static str,
        /// Why it failed.
        error: io::Error,
    },
}

impl fmt::Display for AttachError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            AttachError::Quote { quote: '\\' } => write!(f, "the command ends in a backslash"),
            AttachError::Quote { quote } => {
                write!(f, "the command has a quote that is not closed: {quote}")
            }
            AttachError::NoCommand => write!(f, "there is no command to start"),
            AttachError::NoMountPoint => write!(
                f,
                "the command needs a {{}} where its mount point belongs, as in \
                 'sshfs host:/data {{}}'"
            ),
            AttachError::Launch(error) => error.fmt(f),
            AttachError::NeverAsked { program, after, last_words } => {
                write!(f, "{program} has not mounted anything in {} s", after.as_secs())?;
                if last_words.is_empty() {
                    Ok(())
                } else {
                    write!(f, "; it said: {}", one_line(last_words))
                }
            }
            AttachError::System { what, error } => write!(f, "cannot {what}: {error}"),
        }
    }
}

impl std::error::Error for AttachError {}

impl From<LaunchError> for AttachError {
    fn from(error: LaunchError) -> AttachError {
        AttachError::Launch(error)
    }
}

/// For `map_err`: what was tried.
pub(super) fn system<E: Into<io::Error>>(what: &'static str) -> impl FnOnce(E) -> AttachError {
    move |error| AttachError::System { what, error: error.into() }
}
