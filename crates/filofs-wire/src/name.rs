//! Names that have been checked.

use core::fmt;

use crate::limits::{NAME_MAX, XATTR_NAME_MAX};

/// One component of a path: 1 to 255 bytes, none of them NUL or '/'. It may be "." or ".." only
/// where a request says so; see [`Name::is_dots`].
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name<'a>(&'a [u8]);

/// The name of an extended attribute: 1 to 255 bytes, none of them NUL.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct XattrName<'a>(&'a [u8]);

/// Why bytes are no name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadName {
    /// No bytes at all.
    Empty,
    /// More than 255 bytes.
    TooLong,
    /// A '/' in a path component.
    Slash,
    /// A NUL.
    Nul,
}

impl<'a> Name<'a> {
    /// Checks the bytes.
    pub fn new(bytes: &'a [u8]) -> Result<Name<'a>, BadName> {
        check(bytes, NAME_MAX)?;
        if bytes.contains(&b'/') { Err(BadName::Slash) } else { Ok(Name(bytes)) }
    }

    /// The bytes, without a NUL.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// Whether the name is "." or "..", which no file can be given.
    pub fn is_dots(self) -> bool {
        self.0 == b"." || self.0 == b".."
    }
}

impl<'a> XattrName<'a> {
    /// Checks the bytes.
    pub fn new(bytes: &'a [u8]) -> Result<XattrName<'a>, BadName> {
        check(bytes, XATTR_NAME_MAX)?;
        Ok(XattrName(bytes))
    }

    /// The bytes, without a NUL.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }
}

impl fmt::Debug for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl fmt::Debug for XattrName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

fn check(bytes: &[u8], len_max: usize) -> Result<(), BadName> {
    if bytes.is_empty() {
        Err(BadName::Empty)
    } else if bytes.len() > len_max {
        Err(BadName::TooLong)
    } else if bytes.contains(&0) {
        Err(BadName::Nul)
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_one_component() {
        assert_eq!(Name::new(b""), Err(BadName::Empty));
        assert_eq!(Name::new(b"a/b"), Err(BadName::Slash));
        assert_eq!(Name::new(b"a\0b"), Err(BadName::Nul));
        assert_eq!(Name::new(&[b'x'; 256]), Err(BadName::TooLong));
        assert_eq!(Name::new(&[b'x'; 255]).map(|name| name.as_bytes().len()), Ok(255));
        assert!(Name::new(b"..").is_ok_and(Name::is_dots));
        assert!(Name::new(b"...").is_ok_and(|name| !name.is_dots()));
    }

    #[test]
    fn xattr_names_may_have_slashes() {
        assert_eq!(XattrName::new(b"user.a/b").map(XattrName::as_bytes), Ok(&b"user.a/b"[..]));
        assert_eq!(XattrName::new(b""), Err(BadName::Empty));
        assert_eq!(XattrName::new(&[b'x'; 256]), Err(BadName::TooLong));
    }

    #[test]
    fn debug_is_ascii() {
        assert_eq!(format!("{:?}", Name(b"a\xff\"")), "\"a\\xff\\\"\"");
    }
}
