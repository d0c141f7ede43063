//! What a server asks the core to do.

use super::answer::{empty, fixed};
use crate::abi::{CallCode, FlushCall, FlushWhat, GroupsCall};

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

impl Call {
    pub(super) fn parse(code: CallCode, body: &[u8]) -> Option<Call> {
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
