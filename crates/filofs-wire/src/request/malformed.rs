//! A message that is no request.

use core::fmt;

use crate::abi::{InHeader, Opcode};
use crate::errno::ReplyErrno;
use crate::name::BadName;

/// Why bytes could not be taken for a request, whom to tell and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The header's id; 0 if there was no header, or in it no id.
    unique: u64,
    opcode: u32,
    reason: Reason,
}

/// What is wrong with a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// Shorter than a header.
    Header,
    /// The header's length is not the message's.
    Length,
    /// The id is 0, which is kept for notifications.
    Unique,
    /// No such operation.
    UnknownOpcode,
    /// The extensions do not fit into the message, or contradict themselves.
    Extension,
    /// The body is shorter than its structure.
    Truncated,
    /// There is something after the body.
    Trailing,
    /// A name has no NUL.
    Unterminated,
    /// A path component is no name.
    Name(BadName),
    /// The name to make or remove is "." or "..".
    Dots,
    /// The name of an extended attribute is none.
    XattrName(BadName),
    /// The content of a symbolic link is empty.
    TargetEmpty,
    /// The content of a symbolic link is longer than a path may be.
    TargetTooLong,
    /// A size is not that of the data that follows.
    DataSize,
    /// A count is not that of the records that follow.
    Count,
    /// A size is above its limit.
    TooLarge,
    /// A range of a file begins or ends above the largest position.
    Range,
    /// A second has no so many nanoseconds.
    Nanoseconds,
}

impl Malformed {
    pub(super) const fn without_header() -> Malformed {
        Malformed { unique: 0, opcode: 0, reason: Reason::Header }
    }

    pub(super) const fn new(header: &InHeader, reason: Reason) -> Malformed {
        Malformed { unique: header.unique, opcode: header.opcode, reason }
    }

    /// The id to answer with [`errno`](Self::errno), if an answer is possible and wanted.
    pub fn unique_to_answer(&self) -> Option<u64> {
        let wanted = Opcode::from_number(self.opcode).is_none_or(Opcode::wants_answer);
        (self.unique != 0 && wanted).then_some(self.unique)
    }

    /// What is wrong.
    pub const fn reason(&self) -> Reason {
        self.reason
    }

    /// The opcode's number; 0 if there was no header.
    pub const fn opcode(&self) -> u32 {
        self.opcode
    }

    /// The errno that must be answered:
    ///
    /// - ENOSYS: no such operation;
    /// - ENAMETOOLONG: a name or the content of a symbolic link is too long;
    /// - ERANGE: the name of an extended attribute is empty or too long, as setxattr(2) has it;
    /// - E2BIG: a size is above its limit;
    /// - EINVAL: a name, range or time that none can be;
    /// - EIO: bytes that contradict each other.
    pub const fn errno(&self) -> ReplyErrno {
        match self.reason {
            Reason::UnknownOpcode => ReplyErrno::ENOSYS,
            Reason::Name(BadName::TooLong) | Reason::TargetTooLong => ReplyErrno::ENAMETOOLONG,
            Reason::XattrName(BadName::TooLong | BadName::Empty) => ReplyErrno::ERANGE,
            Reason::TooLarge => ReplyErrno::E2BIG,
            Reason::Name(_)
            | Reason::XattrName(_)
            | Reason::Dots
            | Reason::TargetEmpty
            | Reason::Range
            | Reason::Nanoseconds => ReplyErrno::EINVAL,
            Reason::Header
            | Reason::Length
            | Reason::Unique
            | Reason::Extension
            | Reason::Truncated
            | Reason::Trailing
            | Reason::Unterminated
            | Reason::DataSize
            | Reason::Count => ReplyErrno::EIO,
        }
    }
}

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match Opcode::from_number(self.opcode) {
            Some(opcode) => write!(f, "malformed {}", opcode.name())?,
            None => write!(f, "malformed request, opcode {}", self.opcode)?,
        }
        write!(f, ", id {}: {}", self.unique, self.reason)
    }
}

impl core::error::Error for Malformed {}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Reason::Header => "shorter than a header",
            Reason::Length => "its length is not the stated one",
            Reason::Unique => "no id",
            Reason::UnknownOpcode => "no such operation",
            Reason::Extension => "extensions contradict themselves",
            Reason::Truncated => "body too short",
            Reason::Trailing => "something after the body",
            Reason::Unterminated => "name without end",
            Reason::Name(BadName::Empty) => "empty name",
            Reason::Name(BadName::TooLong) => "name too long",
            Reason::Name(BadName::Slash) => "'/' in a name",
            Reason::Name(BadName::Nul) => "NUL in a name",
            Reason::Dots => "name is \".\" or \"..\"",
            Reason::XattrName(_) => "bad name of an extended attribute",
            Reason::TargetEmpty => "empty symbolic link",
            Reason::TargetTooLong => "symbolic link too long",
            Reason::DataSize => "size is not that of the data",
            Reason::Count => "count is not that of the records",
            Reason::TooLarge => "size above its limit",
            Reason::Range => "range beyond the largest position",
            Reason::Nanoseconds => "more nanoseconds than a second has",
        })
    }
}
