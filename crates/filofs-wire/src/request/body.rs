//! Reads a body from its beginning to its end.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use super::Reason;
use crate::limits::{OFFSET_MAX, SYMLINK_MAX};
use crate::name::{Name, XattrName};

/// What is left of a body.
pub(super) struct Body<'a> {
    rest: &'a [u8],
    /// Data at its end that lies elsewhere.
    apart: &'a [u8],
}

impl<'a> Body<'a> {
    pub(super) const fn new(rest: &'a [u8], apart: &'a [u8]) -> Body<'a> {
        Body { rest, apart }
    }

    /// A structure.
    pub(super) fn fixed<T: FromBytes>(&mut self) -> Result<T, Reason> {
        let (value, rest) = T::read_from_prefix(self.rest).map_err(|_| Reason::Truncated)?;
        self.rest = rest;
        Ok(value)
    }

    /// The first `size` bytes of a structure which has grown since; zeros in the place of the
    /// others.
    pub(super) fn fixed_short<T>(&mut self, size: usize) -> Result<T, Reason>
    where
        T: FromBytes + FromZeros + IntoBytes,
    {
        let (short, rest) = self.rest.split_at_checked(size).ok_or(Reason::Truncated)?;
        let mut value = T::new_zeroed();
        if let Some(front) = value.as_mut_bytes().get_mut(..size) {
            front.copy_from_slice(short);
        }
        self.rest = rest;
        Ok(value)
    }

    /// A NUL-terminated path component.
    pub(super) fn name(&mut self) -> Result<Name<'a>, Reason> {
        Name::new(self.string()?).map_err(Reason::Name)
    }

    /// A NUL-terminated path component which is to be made or removed.
    pub(super) fn name_but_dots(&mut self) -> Result<Name<'a>, Reason> {
        let name = self.name()?;
        if name.is_dots() { Err(Reason::Dots) } else { Ok(name) }
    }

    /// A NUL-terminated name of an extended attribute.
    pub(super) fn xattr_name(&mut self) -> Result<XattrName<'a>, Reason> {
        XattrName::new(self.string()?).map_err(Reason::XattrName)
    }

    /// The NUL-terminated content of a symbolic link.
    pub(super) fn target(&mut self) -> Result<&'a [u8], Reason> {
        let target = self.string()?;
        if target.is_empty() {
            Err(Reason::TargetEmpty)
        } else if target.len() > SYMLINK_MAX {
            Err(Reason::TargetTooLong)
        } else {
            Ok(target)
        }
    }

    /// Bytes up to a NUL, which is read but not returned.
    pub(super) fn string(&mut self) -> Result<&'a [u8], Reason> {
        let end = self.rest.iter().position(|&byte| byte == 0).ok_or(Reason::Unterminated)?;
        let (string, rest) = self.rest.split_at_checked(end).ok_or(Reason::Unterminated)?;
        self.rest = rest.get(1..).ok_or(Reason::Unterminated)?;
        Ok(string)
    }

    /// All that is left, which must be `size` bytes.
    pub(super) fn data(&mut self, size: u32) -> Result<&'a [u8], Reason> {
        let data =
            if self.rest.is_empty() { core::mem::take(&mut self.apart) } else { self.remainder() };
        if data.len() == size as usize { Ok(data) } else { Err(Reason::DataSize) }
    }

    /// All that is left.
    pub(super) fn remainder(&mut self) -> &'a [u8] {
        core::mem::take(&mut self.rest)
    }

    /// All that is left, which must be at most `max` bytes.
    pub(super) fn remainder_within(&mut self, max: usize) -> Result<&'a [u8], Reason> {
        if self.rest.len() <= max { Ok(self.remainder()) } else { Err(Reason::TooLarge) }
    }

    /// Nothing is left.
    pub(super) const fn end(&self) -> Result<(), Reason> {
        if self.rest.is_empty() && self.apart.is_empty() { Ok(()) } else { Err(Reason::Trailing) }
    }
}

/// A size is within its limit.
pub(super) const fn within(size: u32, max: u32) -> Result<(), Reason> {
    if size <= max { Ok(()) } else { Err(Reason::TooLarge) }
}

/// A range of a file ends at or before the largest position.
pub(super) const fn range(offset: u64, len: u64) -> Result<(), Reason> {
    match offset.checked_add(len) {
        Some(end) if end <= OFFSET_MAX => Ok(()),
        _ => Err(Reason::Range),
    }
}

/// Nanoseconds are fewer than a second has.
pub(super) const fn nanoseconds(nsec: u32) -> Result<(), Reason> {
    if nsec < 1_000_000_000 { Ok(()) } else { Err(Reason::Nanoseconds) }
}
