//! What a file server sends to whoever plays the kernel: replies, notifications, calls.
//!
//! The mirror of [`reply`](crate::reply) and [`notify`](crate::notify). As with requests, no bytes
//! make it panic, and what comes out has been checked against the bytes that are really there.

use zerocopy::FromBytes;

use crate::abi::{
    CALL_ID, CallCode, FlushCall, FlushWhat, GroupsCall, INIT_OUT_SIZE_7_22, InitOut, NotifyCode,
    NotifyDeleteOut, NotifyInvalEntryFlags, NotifyInvalEntryOut, NotifyInvalInodeOut,
    NotifyPollWakeupOut, NotifyPruneOut, NotifyRetrieveOut, NotifyStoreOut, OutHeader,
};
use crate::name::Name;

/// One message of a server's. It borrows the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Answers the request of that id.
    Reply {
        /// The request's id, not 0.
        unique: u64,
        /// The number in the header as it came: 0 or a negated errno, if the server is honest.
        error: i32,
        /// What follows the header. To be read with [`fixed`] and its kin.
        body: &'a [u8],
    },
    /// Nobody asked for it.
    Notification(Notification<'a>),
    /// The server asks the core (extension).
    Call {
        /// Its id, to be repeated in the RESPONSE; `None` if none is awaited.
        id: Option<u64>,
        /// What.
        call: Call,
    },
    /// The same, but what is asked cannot be understood: to be answered EOPNOTSUPP (an unknown
    /// code) or EINVAL.
    BadCall {
        /// Its id.
        id: Option<u64>,
        /// Whether the code is known.
        known: bool,
    },
}

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
    /// Keep data that will be asked for.
    Store { nodeid: u64, offset: u64, data: &'a [u8] },
    /// Send data that is kept.
    Retrieve { unique: u64, nodeid: u64, offset: u64, size: u32 },
    /// A name has been removed.
    Delete { parent: u64, child: u64, name: Name<'a> },
    /// Send what was not answered again.
    Resend,
    /// Every name is out of date.
    IncEpoch,
    /// Drop what is not used. The bytes are 64-bit node ids, a whole number of them.
    Prune { nodeids: &'a [u8] },
}

/// What a server asks the core to do; see [`CallCode`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the fields are documented by the structures they come from")]
pub enum Call {
    /// Forget or write out what is cached.
    Flush { nodeid: u64, what: FlushWhat, start: u64, end: u64 },
    /// Unmount me.
    Unmount,
    /// Which arguments are in force?
    Arguments,
    /// Which supplementary groups has the caller of that request?
    Groups { unique: u64 },
}

/// Bytes that are no message a server may send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIncoming {
    /// Shorter than a header.
    Short,
    /// The header states another length.
    Length,
    /// A notification of an unknown kind.
    UnknownNotification,
    /// A notification whose body is not what its kind asks for.
    Body,
}

impl<'a> Incoming<'a> {
    /// Reads one whole message.
    pub fn parse(bytes: &'a [u8]) -> Result<Incoming<'a>, BadIncoming> {
        let (header, body) = OutHeader::read_from_prefix(bytes).map_err(|_| BadIncoming::Short)?;
        if header.len as usize != bytes.len() {
            return Err(BadIncoming::Length);
        }
        if header.unique == 0 {
            return Notification::parse(header.error, body).map(Incoming::Notification);
        }
        if header.unique & CALL_ID != 0 && header.error > 0 {
            let id = Some(header.unique).filter(|&id| id != CALL_ID);
            return Ok(match CallCode::from_number(header.error) {
                None => Incoming::BadCall { id, known: false },
                Some(code) => match Call::parse(code, body) {
                    Some(call) => Incoming::Call { id, call },
                    None => Incoming::BadCall { id, known: true },
                },
            });
        }
        Ok(Incoming::Reply { unique: header.unique, error: header.error, body })
    }
}

impl<'a> Notification<'a> {
    fn parse(code: i32, body: &'a [u8]) -> Result<Notification<'a>, BadIncoming> {
        let code = NotifyCode::from_number(code).ok_or(BadIncoming::UnknownNotification)?;
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
                Notification::Store { nodeid: out.nodeid, offset: out.offset, data }
            }
            NotifyCode::Retrieve => {
                let out: NotifyRetrieveOut = fixed(body)?;
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
                let bytes = u64::from(out.count) * size_of::<u64>() as u64;
                (nodeids.len() as u64 == bytes).then_some(())?;
                Notification::Prune { nodeids }
            }
        })
    }
}

impl Call {
    fn parse(code: CallCode, body: &[u8]) -> Option<Call> {
        Some(match code {
            CallCode::Flush => {
                let call: FlushCall = fixed(body)?;
                let what = FlushWhat::from_number(call.what)?;
                Call::Flush { nodeid: call.nodeid, what, start: call.start, end: call.end }
            }
            CallCode::Unmount => empty(body).map(|()| Call::Unmount)?,
            CallCode::Arguments => empty(body).map(|()| Call::Arguments)?,
            CallCode::Groups => Call::Groups { unique: fixed::<GroupsCall>(body)?.unique },
        })
    }
}

/// A body that is that structure and nothing else.
pub fn fixed<T: FromBytes>(body: &[u8]) -> Option<T> {
    T::read_from_bytes(body).ok()
}

/// A body that begins with that structure; what follows it.
pub fn with_data<T: FromBytes>(body: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(body).ok()
}

/// A body that says nothing.
pub fn empty(body: &[u8]) -> Option<()> {
    body.is_empty().then_some(())
}

/// The answer to INIT: shorter from a server that speaks less than 7.23. What follows it is
/// filo's [`MountArguments`](crate::abi::MountArguments), or nothing.
pub fn init(body: &[u8]) -> Option<(InitOut, &[u8])> {
    if body.len() == INIT_OUT_SIZE_7_22 {
        let mut whole = [0; size_of::<InitOut>()];
        whole.get_mut(..INIT_OUT_SIZE_7_22)?.copy_from_slice(body);
        return fixed(&whole).map(|out| (out, [].as_slice()));
    }
    with_data(body)
}

/// The name after a structure: as long as it says, with a NUL after it.
fn name(rest: &[u8], len: u32) -> Option<Name<'_>> {
    let (name, end) = rest.split_at_checked(len as usize)?;
    (end == b"\0").then_some(())?;
    Name::new(name).ok().filter(|name| !name.is_dots())
}
