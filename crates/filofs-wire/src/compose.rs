//! Requests as bytes: the side that plays the kernel.

use zerocopy::IntoBytes;

use crate::abi::{InHeader, RECORD_ALIGN};

/// One whole message: `header` with its lengths filled in, the parts of the body joined, and the
/// extensions.
///
/// The body's parts are the structures, names (with their NUL) and data of the opcode, in the
/// order of [`Operation`](crate::request::Operation)'s fields. `None` where the message would be
/// longer than its length fields can say, or the extensions are not a multiple of 8 bytes.
pub fn request(header: InHeader, body: &[&[u8]], extensions: &[u8]) -> Option<Vec<u8>> {
    if !extensions.len().is_multiple_of(RECORD_ALIGN) {
        return None;
    }
    let body_len: usize = body.iter().map(|part| part.len()).sum();
    let len = size_of::<InHeader>() + body_len + extensions.len();
    let header = InHeader {
        len: u32::try_from(len).ok()?,
        total_extlen: u16::try_from(extensions.len() / RECORD_ALIGN).ok()?,
        ..header
    };
    let mut bytes = Vec::with_capacity(len);
    bytes.extend_from_slice(header.as_bytes());
    for part in body {
        bytes.extend_from_slice(part);
    }
    bytes.extend_from_slice(extensions);
    Some(bytes)
}
