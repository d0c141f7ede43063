//! What follows the body of a request that makes a file: security contexts, groups (7.38).

use core::fmt;

use zerocopy::FromBytes;

use super::{Reason, Records};
use crate::abi::{
    EXT_GROUPS, ExtHeader, MAX_NR_SECCTX, RECORD_ALIGN, SecctxIn, SuppGroupsHeader, record_size,
};
use crate::name::XattrName;

/// The extensions of one request. Unknown kinds are skipped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extensions<'a> {
    /// Labels the new file must carry from its beginning.
    pub security: Option<SecurityContexts<'a>>,
    /// Supplementary groups of the caller, as far as they matter: Linux sends the parent
    /// directory's group if the caller is in it, so that the new file may get it.
    pub groups: Option<Records<'a, u32>>,
}

/// The labels of a new file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct SecurityContexts<'a> {
    /// Walked to its end once, so that the iterator meets no error.
    bytes: &'a [u8],
    count: u32,
}

/// One label of a new file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SecurityContext<'a> {
    /// The extended attribute, such as `security.selinux`.
    pub name: XattrName<'a>,
    /// Its value, with the NUL that the security module may have put at its end.
    pub value: &'a [u8],
}

impl<'a> Extensions<'a> {
    /// Reads all extensions; `Reason::Extension` for one that is cut short, comes twice, or does
    /// not agree with itself.
    pub(super) fn parse(mut bytes: &'a [u8]) -> Result<Extensions<'a>, Reason> {
        let mut extensions = Extensions::default();
        while !bytes.is_empty() {
            bytes = extensions.parse_one(bytes).ok_or(Reason::Extension)?;
        }
        Ok(extensions)
    }

    /// Whether there is none.
    pub const fn is_empty(&self) -> bool {
        self.security.is_none() && self.groups.is_none()
    }

    /// Reads the first extension; returns what follows it.
    fn parse_one(&mut self, bytes: &'a [u8]) -> Option<&'a [u8]> {
        let (header, _) = ExtHeader::read_from_prefix(bytes).ok()?;
        let size = header.size as usize;
        if !size.is_multiple_of(RECORD_ALIGN) {
            return None;
        }
        let (this, rest) = bytes.split_at_checked(size)?;
        // A size below that of the header ends here, and with it the danger of an endless loop.
        let content = this.get(size_of::<ExtHeader>()..)?;
        if header.kind <= MAX_NR_SECCTX {
            let contexts = SecurityContexts::parse(content, header.kind)?;
            if self.security.replace(contexts).is_some() {
                return None;
            }
        } else if header.kind == EXT_GROUPS && self.groups.replace(groups(content)?).is_some() {
            return None;
        }
        Some(rest)
    }
}

impl<'a> SecurityContexts<'a> {
    /// Checks every one of `count` contexts.
    fn parse(bytes: &'a [u8], count: u32) -> Option<SecurityContexts<'a>> {
        let mut rest = bytes;
        for _ in 0..count {
            rest = SecurityContext::parse(rest)?.1;
        }
        rest.is_empty().then_some(SecurityContexts { bytes, count })
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.count as usize
    }

    /// Whether there is none: the kernel says so in words if no security module labels the file.
    pub const fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Each in turn.
    pub fn iter(&self) -> impl Iterator<Item = SecurityContext<'a>> + use<'a> {
        let mut rest = self.bytes;
        (0..self.count).map_while(move |_| {
            let (context, after) = SecurityContext::parse(rest)?;
            rest = after;
            Some(context)
        })
    }
}

impl fmt::Debug for SecurityContexts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'a> SecurityContext<'a> {
    /// Reads the first context, padded to a multiple of 8; returns what follows it.
    fn parse(bytes: &'a [u8]) -> Option<(SecurityContext<'a>, &'a [u8])> {
        let (header, rest) = SecctxIn::read_from_prefix(bytes).ok()?;
        let (name, rest) = rest.split_at_checked(rest.iter().position(|&byte| byte == 0)?)?;
        let value = rest.get(1..)?.get(..header.size as usize)?;
        let used = size_of::<SecctxIn>() + name.len() + 1 + value.len();
        let after = bytes.get(record_size(used)?..)?;
        Some((SecurityContext { name: XattrName::new(name).ok()?, value }, after))
    }
}

/// Reads the group list; up to 7 bytes of padding may follow it.
fn groups(content: &[u8]) -> Option<Records<'_, u32>> {
    let (header, rest) = SuppGroupsHeader::read_from_prefix(content).ok()?;
    let len = size_of::<u32>().checked_mul(header.nr_groups as usize)?;
    let (list, padding) = rest.split_at_checked(len)?;
    if padding.len() >= RECORD_ALIGN {
        return None;
    }
    Records::new(list, header.nr_groups)
}
