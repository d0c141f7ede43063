//! `FileHandle`: a node's durable name.

use crate::{Errno, Result};
use std::fmt;

/// A node's name that is still good after a restart, as name_to_handle_at(2) makes them: bytes
/// that mean something only to the file system that made them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct FileHandle(Box<[u8]>);

impl FileHandle {
    /// The longest handle in bytes: what file servers may use (A17). Linux' own are no longer
    /// than MAX_HANDLE_SZ (128).
    pub const MAX: usize = 1020;

    /// A handle of those bytes. E2BIG over [`FileHandle::MAX`].
    pub fn new(bytes: &[u8]) -> Result<FileHandle> {
        if bytes.len() > Self::MAX {
            return Err(Errno::E2BIG);
        }
        Ok(FileHandle(bytes.into()))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for FileHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("handle ")?;
        self.bytes().iter().try_for_each(|b| write!(f, "{b:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back_and_too_many_are_refused() {
        assert_eq!(FileHandle::new(b"").unwrap().bytes(), b"");
        assert_eq!(FileHandle::new(b"abc").unwrap().bytes(), b"abc");
        assert_eq!(FileHandle::new(&[7; 1020]).unwrap().bytes(), [7; 1020]);
        assert_eq!(FileHandle::new(&[7; 1021]), Err(Errno::E2BIG));
        assert_eq!(format!("{:?}", FileHandle::new(&[0, 0x2f]).unwrap()), "handle 002f");
    }
}
