//! `Failure`: why the command ends, in one line, and with which exit code.

use std::fmt;

/// The exit codes of `filo`, as its manual lists them. A command run by `filo run` ends with its
/// own code, and with 128 + n after signal n, 127 when it was not found, 126 when it could not be
/// executed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub(crate) enum Exit {
    /// The command line makes no sense.
    Usage = 1,
    /// The stack or its configuration makes no sense.
    Config = 2,
    /// Something is wrong with the mount point.
    MountPoint = 3,
    /// A right is missing: /dev/fuse, mounting, allow_other.
    Permission = 4,
    /// A base or layer could not be set up.
    Layer = 5,
}

/// Why the command ends.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    pub(crate) text: String,
}

impl Failure {
    pub(crate) fn new(exit: Exit, text: impl Into<String>) -> Failure {
        Failure { exit, text: text.into() }
    }

    pub(crate) fn usage(text: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, text)
    }

    pub(crate) fn config(text: impl Into<String>) -> Failure {
        Failure::new(Exit::Config, text)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for Failure {}

/// The bits that mount(8) expects of a helper: 1 for a wrong call or missing rights, 32 for a
/// mount that failed.
pub(crate) fn mount_helper_code(exit: Exit) -> u8 {
    match exit {
        Exit::Usage | Exit::Config | Exit::Permission => 1,
        Exit::MountPoint | Exit::Layer => 32,
    }
}
