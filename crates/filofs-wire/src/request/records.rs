//! Structures of one kind in a row, read where they lie.

use core::fmt;
use core::marker::PhantomData;

use zerocopy::FromBytes;

/// A number of `T`s which follow each other in a message, at any alignment.
pub struct Records<'a, T> {
    bytes: &'a [u8],
    kind: PhantomData<T>,
}

impl<'a, T: FromBytes + 'a> Records<'a, T> {
    /// Exactly `count` records in exactly these bytes.
    pub fn new(bytes: &'a [u8], count: u32) -> Option<Records<'a, T>> {
        let len = size_of::<T>().checked_mul(count as usize)?;
        (bytes.len() == len).then_some(Records { bytes, kind: PhantomData })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.bytes.len() / size_of::<T>()
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Their bytes, as they stand in the message.
    pub const fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = T> + use<'a, T> {
        self.bytes.chunks_exact(size_of::<T>()).filter_map(|bytes| T::read_from_bytes(bytes).ok())
    }
}

// Not derived: a derive would ask the same of T.
impl<T> Clone for Records<'_, T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Records<'_, T> {}

impl<T> PartialEq for Records<'_, T> {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl<T> Eq for Records<'_, T> {}

impl<T: FromBytes + fmt::Debug> fmt::Debug for Records<'_, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
