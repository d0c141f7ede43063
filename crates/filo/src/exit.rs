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
        Failure { exit, text: plain(&text.into()) }
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

/// The text without the numbers that the standard library adds to the system's errors: they say
/// nothing to a person that the words before them do not.
pub(crate) fn plain(text: &str) -> String {
    const BEFORE: &str = " (os error ";
    let mut pieces = text.split(BEFORE);
    let first = pieces.next().unwrap_or_default().to_owned();
    pieces.fold(first, |done, piece| match piece.split_once(')') {
        Some((number, rest)) if number.bytes().all(|b| b.is_ascii_digit()) => done + rest,
        _ => done + BEFORE + piece,
    })
}

/// The bits that mount(8) expects of a helper: 1 for a wrong call or missing rights, 32 for a
/// mount that failed.
pub(crate) fn mount_helper_code(exit: Exit) -> u8 {
    match exit {
        Exit::Usage | Exit::Config | Exit::Permission => 1,
        Exit::MountPoint | Exit::Layer => 32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_errors_are_left_out() {
        assert_eq!(plain("a: gone (os error 2); say b"), "a: gone; say b");
        assert_eq!(plain("(os error) (os error x)"), "(os error) (os error x)");
        assert_eq!(plain("x (os error 12"), "x (os error 12");
    }
}
