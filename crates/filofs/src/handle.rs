//! `FileHandle`: a node's durable name.

use crate::{Errno, Result};
use std::fmt;

/// A node's name that is still good after a restart, as name_to_handle_at(2) makes them: bytes
/// that mean something only to the file system that made them.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct FileHandle {
    len: u8,
    bytes: [u8; FileHandle::MAX],
}

impl FileHandle {
    /// The longest handle in bytes: what fits beside a length and type into Linux'
    /// MAX_HANDLE_SZ (128).
    pub const MAX: usize = 128;

    /// A handle of those bytes. E2BIG over [`FileHandle::MAX`].
    pub fn new(bytes: &[u8]) -> Result<FileHandle> {
        let mut handle = FileHandle { len: bytes.len() as u8, bytes: [0; Self::MAX] };
        handle.bytes.get_mut(..bytes.len()).ok_or(Errno::E2BIG)?.copy_from_slice(bytes);
        Ok(handle)
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or_default()
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
        assert_eq!(FileHandle::new(b"abc").unwrap().bytes(), b"abc");
        assert_eq!(FileHandle::new(&[7; 128]).unwrap().bytes(), [7; 128]);
        assert_eq!(FileHandle::new(&[7; 129]), Err(Errno::E2BIG));
        assert_eq!(FileHandle::new(&[7; 256]), Err(Errno::E2BIG));
    }
}
