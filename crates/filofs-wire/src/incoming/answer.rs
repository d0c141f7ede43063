//! What a reply consists of, read by those who know what they asked. Which structure answers an
//! operation is told by [`Opcode::answer`](crate::abi::Opcode::answer); directory buffers are read
//! by [`dirent`](crate::dirent). Each function answers `None` to what no server may send.

use zerocopy::FromBytes;

use crate::abi::{GetxattrOut, HandleOfOut, INIT_OUT_SIZE_7_22, InitOut, IoctlFlags, IoctlOut};
use crate::errno::ReplyErrno;
use crate::limits::{SYMLINK_MAX, XATTR_SIZE_MAX};
use crate::name::XattrName;

/// Tells success, with what follows the header, from an error, which nothing may follow. `None`
/// too for a number that is no negated errno (A117): Linux would refuse it and leave the caller
/// waiting.
pub fn outcome(error: i32, body: &[u8]) -> Option<Result<&[u8], ReplyErrno>> {
    if error == 0 {
        return Some(Ok(body));
    }
    let errno = ReplyErrno::new(error.checked_neg()?)?;
    empty(body).map(|()| Err(errno))
}

/// A body that is that structure and nothing else.
pub fn fixed<T: FromBytes>(body: &[u8]) -> Option<T> {
    T::read_from_bytes(body).ok()
}

/// A body that begins with that structure; what follows it.
pub(super) fn with_data<T: FromBytes>(body: &[u8]) -> Option<(T, &[u8])> {
    T::read_from_prefix(body).ok()
}

/// A body that says nothing.
pub fn empty(body: &[u8]) -> Option<()> {
    body.is_empty().then_some(())
}

/// Data where at most `size` bytes were asked for: READ, READDIR, READDIRPLUS, and GETXATTR and
/// LISTXATTR with a size.
pub fn data(body: &[u8], size: u32) -> Option<&[u8]> {
    (body.len() <= size as usize).then_some(body)
}

/// The answer to INIT: shorter from a server that speaks less than 7.23. What follows it is
/// [`MountArguments`](crate::abi::MountArguments), for a core that offered the extension, or
/// nothing.
pub fn init(body: &[u8]) -> Option<(InitOut, &[u8])> {
    if body.len() == INIT_OUT_SIZE_7_22 {
        let mut whole = [0; size_of::<InitOut>()];
        whole.get_mut(..INIT_OUT_SIZE_7_22)?.copy_from_slice(body);
        return fixed(&whole).map(|out| (out, [].as_slice()));
    }
    with_data(body)
}

/// The answer to READLINK: 1 to 4095 bytes, none of them NUL.
pub fn link_target(body: &[u8]) -> Option<&[u8]> {
    let sound = (1..=SYMLINK_MAX).contains(&body.len()) && !body.contains(&0);
    sound.then_some(body)
}

/// The answer to GETXATTR and LISTXATTR with size 0: the length there is, in bytes.
pub fn xattr_size(body: &[u8]) -> Option<u32> {
    let GetxattrOut { size, .. } = fixed(body)?;
    (size <= XATTR_SIZE_MAX).then_some(size)
}

/// The answer to LISTXATTR with a size: names, each ended by a NUL.
pub fn xattr_names(body: &[u8]) -> Option<impl Iterator<Item = XattrName<'_>>> {
    let list = if body.is_empty() { None } else { Some(body.strip_suffix(b"\0")?) };
    let names = list.into_iter().flat_map(|list| list.split(|&byte| byte == 0));
    let names = names.map(XattrName::new);
    names.clone().all(|name| name.is_ok()).then(|| names.filter_map(Result::ok))
}

/// The answer to IOCTL where at most `out_size` bytes were asked for. A server of files, unlike
/// one of devices (CUSE), may not ask for other memory of the caller's.
pub fn ioctl(body: &[u8], out_size: u32) -> Option<(IoctlOut, &[u8])> {
    let (out, rest) = with_data::<IoctlOut>(body)?;
    let retry = out.flags.contains(IoctlFlags::RETRY);
    data(rest, out_size).filter(|_| !retry).map(|data| (out, data))
}

/// The answer to HANDLE_OF where there was room for `room` bytes: the length of the handle, and
/// the handle if it fits (A99, A102). A length above
/// [`HANDLE_MAX`](crate::limits::HANDLE_MAX) is left to the caller, who has a notice to send
/// (A100).
pub fn handle_of(body: &[u8], room: u32) -> Option<(u32, Option<&[u8]>)> {
    let (HandleOfOut { len, .. }, handle) = with_data(body)?;
    if len <= room {
        (handle.len() == len as usize).then_some((len, Some(handle)))
    } else {
        empty(handle).map(|()| (len, None))
    }
}
