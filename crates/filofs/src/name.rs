//! `Name`: one component of a path.

use crate::{Errno, Result};
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;

/// One component of a path: 1 to 255 bytes, no `/`, no NUL, and neither `.` nor `..`.
///
/// The two dots are walked by front ends (`.` is the node itself, `..` is asked with the
/// `parent` operation), so that no file system can be led upward by a name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a [u8]);

impl<'a> Name<'a> {
    /// The longest name in bytes (NAME_MAX of Linux).
    pub const MAX: usize = 255;

    /// Checks the bytes.
    ///
    /// Errors: ENAMETOOLONG over 255 bytes; ENOENT when empty; EINVAL for a `/` or NUL, and for
    /// `.` and `..`.
    pub fn new(bytes: &'a [u8]) -> Result<Name<'a>> {
        match bytes {
            [] => Err(Errno::ENOENT),
            b"." | b".." => Err(Errno::EINVAL),
            _ if bytes.len() > Self::MAX => Err(Errno::ENAMETOOLONG),
            _ if bytes.iter().any(|b| matches!(b, 0 | b'/')) => Err(Errno::EINVAL),
            _ => Ok(Name(bytes)),
        }
    }

    /// The bytes, without a terminator.
    pub fn bytes(self) -> &'a [u8] {
        self.0
    }

    /// As the standard library names files.
    pub fn as_os_str(self) -> &'a OsStr {
        OsStr::from_bytes(self.0)
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_one_component_is_refused() {
        assert_eq!(Name::new(b""), Err(Errno::ENOENT));
        assert_eq!(Name::new(b"."), Err(Errno::EINVAL));
        assert_eq!(Name::new(b".."), Err(Errno::EINVAL));
        assert_eq!(Name::new(b"a/b"), Err(Errno::EINVAL));
        assert_eq!(Name::new(b"a\0"), Err(Errno::EINVAL));
        assert_eq!(Name::new(&[b'x'; 256]), Err(Errno::ENAMETOOLONG));
        assert!(Name::new(&[b'x'; 255]).is_ok());
        assert!(Name::new(b"...").is_ok());
    }

    #[test]
    fn every_other_byte_may_stand_in_a_name() {
        // D.6 create_nonalphanum
        for byte in (1..=255u8).filter(|b| *b != b'/' && *b != b'.') {
            assert!(Name::new(&[byte]).is_ok(), "{byte}");
        }
    }
}
