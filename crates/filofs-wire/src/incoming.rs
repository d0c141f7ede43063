//! What a file server sends to whoever plays the kernel: replies, notifications, calls.
//!
//! The mirror of [`reply`](crate::reply) and [`notify`](crate::notify). As with requests, no bytes
//! make it panic, and what comes out has been checked against the bytes that are really there.
//!
//! A reply is read in three steps, because only the caller knows what it asked:
//! [`Incoming::parse`] finds the request by its id, [`outcome`] tells success from an error, and
//! [`fixed`] and its kin read what a success consists of. `None` in any of them means that the
//! server lies: EPROTO for the caller (A117, A118).

mod answer;
mod call;
mod notification;

use core::fmt;

use zerocopy::FromBytes;

use crate::abi::{CALL_ID, CallCode, OutHeader};
use crate::dialect::Dialect;
use crate::errno::ReplyErrno;

pub use answer::{
    data, empty, fixed, handle_of, init, ioctl, link_target, outcome, xattr_names, xattr_size,
};
pub use call::Call;
pub use notification::Notification;

/// One message of a server's. It borrows the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incoming<'a> {
    /// Answers the request of that id.
    Reply {
        /// The request's id, not 0.
        unique: u64,
        /// The number in the header as it came: 0 or a negated errno, if the server is honest.
        error: i32,
        /// What follows the header.
        body: &'a [u8],
    },
    /// Nobody asked for it.
    Notification(Notification<'a>),
    /// The server asks the core. Only with the extension.
    Call {
        /// Its id, to be repeated in the RESPONSE; `None` if none is awaited.
        id: Option<u64>,
        /// What.
        call: Call,
    },
    /// The same, but what is asked cannot be understood. Only with the extension.
    BadCall {
        /// Its id.
        id: Option<u64>,
        /// What the RESPONSE must say: EOPNOTSUPP to an unknown code, EINVAL to a body that is
        /// not what the code asks for.
        errno: ReplyErrno,
    },
}

/// Bytes that are no message a server may send. Only where a message begins and ends is certain
/// then, so that the next one can still be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BadIncoming {
    /// Shorter than a header.
    Short,
    /// The header states another length.
    Length,
    /// A notification of an unknown kind.
    UnknownNotification(i32),
    /// A notification whose body is not what its kind asks for.
    Body,
}

impl<'a> Incoming<'a> {
    /// Reads one whole message, exactly as it came out of the channel.
    pub fn parse(bytes: &'a [u8], dialect: Dialect) -> Result<Incoming<'a>, BadIncoming> {
        let (header, body) = OutHeader::read_from_prefix(bytes).map_err(|_| BadIncoming::Short)?;
        if header.len as usize != bytes.len() {
            return Err(BadIncoming::Length);
        }
        let OutHeader { unique, error, .. } = header;
        if unique == 0 {
            return Notification::parse(error, body).map(Incoming::Notification);
        }
        // A reply to a request that was sent again has the same bit, but a negated errno or 0.
        if dialect.is_extended() && unique & CALL_ID != 0 && error > 0 {
            let id = (unique != CALL_ID).then_some(unique);
            let call = match CallCode::from_number(error) {
                Some(code) => Call::parse(code, body).ok_or(ReplyErrno::EINVAL),
                None => Err(ReplyErrno::EOPNOTSUPP),
            };
            return Ok(match call {
                Ok(call) => Incoming::Call { id, call },
                Err(errno) => Incoming::BadCall { id, errno },
            });
        }
        Ok(Incoming::Reply { unique, error, body })
    }
}

impl fmt::Display for BadIncoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BadIncoming::Short => f.write_str("message shorter than a header"),
            BadIncoming::Length => f.write_str("message whose length is not the stated one"),
            BadIncoming::UnknownNotification(code) => write!(f, "unknown notification {code}"),
            BadIncoming::Body => f.write_str("malformed notification"),
        }
    }
}

impl core::error::Error for BadIncoming {}
