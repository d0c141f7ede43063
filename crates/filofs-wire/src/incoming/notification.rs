//! What a server says unasked.

use super::BadIncoming;
use super::answer::{empty, fixed, with_data};
use crate::abi::{
    NotifyCode, NotifyDeleteOut, NotifyInvalEntryFlags, NotifyInvalEntryOut, NotifyInvalInodeOut,
    NotifyPollWakeupOut, NotifyPruneOut, NotifyRetrieveOut, NotifyStoreOut,
};
use crate::limits::{OFFSET_MAX, TRANSFER_MAX};
use crate::name::Name;
use crate::request::Records;

/// What a server may say unasked; see [`NotifyCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented by the structures they come from")]
pub enum Notification<'a> {
    /// A polled file may be ready.
    Poll { kh: u64 },
    /// Forget attributes and, unless `offset` is negative, data.
    InvalInode { nodeid: u64, offset: i64, len: i64 },
    /// Forget a name.
    InvalEntry { parent: u64, name: Name<'a>, expire_only: bool },
    /// Keep data that will be asked for. The range ends at or before the largest position.
    Store { nodeid: u64, offset: u64, data: &'a [u8] },
    /// Send data that is kept. The range ends at or before the largest position.
    Retrieve { unique: u64, nodeid: u64, offset: u64, size: u32 },
    /// A name has been removed.
    Delete { parent: u64, child: u64, name: Name<'a> },
    /// Send what was not answered again.
    Resend,
    /// Every name is out of date.
    IncEpoch,
    /// Drop these nodes where nobody uses them.
    Prune { nodeids: Records<'a, u64> },
}

impl<'a> Notification<'a> {
    pub(super) fn parse(code: i32, body: &'a [u8]) -> Result<Notification<'a>, BadIncoming> {
        let code = NotifyCode::from_number(code).ok_or(BadIncoming::UnknownNotification(code))?;
        Self::body(code, body).ok_or(BadIncoming::Body)
    }

    fn body(code: NotifyCode, body: &'a [u8]) -> Option<Notification<'a>> {
        Some(match code {
            NotifyCode::Poll => Notification::Poll { kh: fixed::<NotifyPollWakeupOut>(body)?.kh },
            NotifyCode::InvalInode => {
                let NotifyInvalInodeOut { ino, off, len } = fixed(body)?;
                Notification::InvalInode { nodeid: ino, offset: off, len }
            }
            NotifyCode::InvalEntry => {
                let (out, rest) = with_data::<NotifyInvalEntryOut>(body)?;
                let name = name(rest, out.namelen)?;
                let expire_only = out.flags.contains(NotifyInvalEntryFlags::EXPIRE_ONLY);
                Notification::InvalEntry { parent: out.parent, name, expire_only }
            }
            NotifyCode::Store => {
                let (out, data) = with_data::<NotifyStoreOut>(body)?;
                (data.len() == out.size as usize).then_some(())?;
                range(out.offset, out.size)?;
                Notification::Store { nodeid: out.nodeid, offset: out.offset, data }
            }
            NotifyCode::Retrieve => {
                let out: NotifyRetrieveOut = fixed(body)?;
                range(out.offset, out.size)?;
                Notification::Retrieve {
                    unique: out.notify_unique,
                    nodeid: out.nodeid,
                    offset: out.offset,
                    size: out.size,
                }
            }
            NotifyCode::Delete => {
                let (out, rest) = with_data::<NotifyDeleteOut>(body)?;
                let name = name(rest, out.namelen)?;
                Notification::Delete { parent: out.parent, child: out.child, name }
            }
            NotifyCode::Resend => empty(body).map(|()| Notification::Resend)?,
            NotifyCode::IncEpoch => empty(body).map(|()| Notification::IncEpoch)?,
            NotifyCode::Prune => {
                let (out, nodeids) = with_data::<NotifyPruneOut>(body)?;
                Notification::Prune { nodeids: Records::new(nodeids, out.count)? }
            }
        })
    }
}

/// The name after a structure: as long as it says, with a NUL after it.
fn name(rest: &[u8], len: u32) -> Option<Name<'_>> {
    let (name, end) = rest.split_at_checked(len as usize)?;
    (end == b"\0").then_some(())?;
    Name::new(name).ok().filter(|name| !name.is_dots())
}

/// A range whose size and end are within their limits.
fn range(offset: u64, size: u32) -> Option<()> {
    let end = offset.checked_add(u64::from(size))?;
    (size <= TRANSFER_MAX && end <= OFFSET_MAX).then_some(())
}
