//! Requests: bytes from the kernel as typed operations.

mod body;
mod extension;
mod malformed;
mod operation;
mod records;

use zerocopy::FromBytes;

use crate::abi::{InHeader, Opcode, UNIQUE_RESEND};
use crate::dialect::Dialect;
use body::Body;

pub use extension::{Extensions, SecurityContext, SecurityContexts};
pub use malformed::{Malformed, Reason};
pub use operation::Operation;
pub use records::Records;

/// One request. It borrows the buffer it was read into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request<'a> {
    /// The header as it came.
    pub header: InHeader,
    /// What is asked, without its arguments.
    pub opcode: Opcode,
    /// What is asked.
    pub operation: Operation<'a>,
    /// What came after the body.
    pub extensions: Extensions<'a>,
}

impl<'a> Request<'a> {
    /// Reads one whole message, exactly as the device gave it.
    ///
    /// Never panics, whatever the bytes. What it returns has been checked: the length the header
    /// states is the length of `bytes`; the body has the size its opcode and `dialect` ask for,
    /// with nothing after it; sizes and counts agree with what follows them and with
    /// [`limits`](crate::limits); names are [`Name`](crate::name::Name)s, and "." and ".." only
    /// in LOOKUP. Flags and modes are not checked.
    pub fn parse(bytes: &'a [u8], dialect: Dialect) -> Result<Request<'a>, Malformed> {
        Self::parse_parts([bytes, &[]], dialect)
    }

    /// The same for a message in two parts, as a ring brings it: the data at its end, that of
    /// WRITE say, may be in the second, or nothing.
    pub fn parse_parts(
        [bytes, data]: [&'a [u8]; 2],
        dialect: Dialect,
    ) -> Result<Request<'a>, Malformed> {
        let Ok((header, rest)) = InHeader::read_from_prefix(bytes) else {
            return Err(Malformed::without_header());
        };
        let fail = |reason| Malformed::new(&header, reason);
        if Some(header.len as usize) != bytes.len().checked_add(data.len()) {
            return Err(fail(Reason::Length));
        }
        if header.unique == 0 {
            return Err(fail(Reason::Unique));
        }
        let opcode = Opcode::from_number(header.opcode)
            .filter(|opcode| dialect.is_extended() || !opcode.is_extension())
            .ok_or_else(|| fail(Reason::UnknownOpcode))?;
        let (body, tail) =
            split_extensions(&header, rest, dialect).ok_or_else(|| fail(Reason::Extension))?;
        let extensions = Extensions::parse(tail).map_err(fail)?;
        let operation = Operation::parse(opcode, Body::new(body, data), dialect).map_err(fail)?;
        Ok(Request { header, opcode, operation, extensions })
    }

    /// Whether the kernel waits for a reply. A reply to FORGET, BATCH_FORGET or NOTIFY_REPLY would
    /// be refused; INTERRUPT needs none.
    pub const fn wants_answer(&self) -> bool {
        self.opcode.wants_answer()
    }

    /// Whether the kernel sent this request before, to a server that never answered it (7.40). In
    /// the id of a RESPONSE the bit means that the server made the id.
    pub const fn is_resent(&self) -> bool {
        self.header.unique & UNIQUE_RESEND != 0 && !matches!(self.opcode, Opcode::Response)
    }
}

/// Splits what follows the header into body and extensions, by the length the header states.
fn split_extensions<'a>(
    header: &InHeader,
    rest: &'a [u8],
    dialect: Dialect,
) -> Option<(&'a [u8], &'a [u8])> {
    let extensions =
        if dialect.has_extensions() { usize::from(header.total_extlen) * 8 } else { 0 };
    rest.split_at_checked(rest.len().checked_sub(extensions)?)
}
