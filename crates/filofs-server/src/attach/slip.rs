//! What the stand-in and filo say to each other: one message there, one back.

use super::options::OPTIONS_MAX;
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
use std::io::IoSlice;
use std::mem::MaybeUninit;

/// "The program wants to be mounted": the options follow.
const MOUNT: u8 = b'm';

/// "The program has unmounted".
const UNMOUNT: u8 = b'u';

/// "Here you are": with the descriptor, where one was asked for.
const YES: u8 = b'y';

/// "No": the reason follows, one line.
const NO: u8 = b'n';

/// Longest message in bytes, either way.
pub(super) const SLIP_MAX: usize = 1 + OPTIONS_MAX;

/// What the stand-in tells filo.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Ask<'a> {
    Mount { options: &'a [u8] },
    Unmount,
}

impl<'a> Ask<'a> {
    /// Reads one. `None` for anything else.
    pub(super) fn parse(slip: &'a [u8]) -> Option<Ask<'a>> {
        match slip.split_first()? {
            (&MOUNT, options) => Some(Ask::Mount { options }),
            (&UNMOUNT, []) => Some(Ask::Unmount),
            _ => None,
        }
    }

    /// The message in two pieces.
    pub(super) fn pieces(&self) -> [IoSlice<'a>; 2] {
        match self {
            Ask::Mount { options } => [IoSlice::new(&[MOUNT]), IoSlice::new(options)],
            Ask::Unmount => [IoSlice::new(&[UNMOUNT]), IoSlice::new(&[])],
        }
    }
}

/// Says yes, and passes a descriptor.
pub(super) fn yes(to: impl AsFd, descriptor: Option<BorrowedFd<'_>>) -> Result<(), Errno> {
    send(to, &[YES], descriptor)
}

/// Says no, and why.
pub(super) fn no(to: impl AsFd, why: &str) -> Result<(), Errno> {
    let slip = [&[NO], why.as_bytes()].concat();
    send(to, slip.get(..SLIP_MAX).unwrap_or(&slip), None)
}

/// Reads an answer: a yes, or the reason of a no.
pub(super) fn answer(slip: &[u8]) -> Result<(), String> {
    match slip.split_first() {
        Some((&YES, [])) => Ok(()),
        Some((&NO, why)) => Err(String::from_utf8_lossy(why).into_owned()),
        _ => Err("the answer is not understood".into()),
    }
}

/// Sends bytes, and with them a descriptor. Never waits for room, and never ends in SIGPIPE.
pub(super) fn send(
    to: impl AsFd,
    bytes: &[u8],
    descriptor: Option<BorrowedFd<'_>>,
) -> Result<(), Errno> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = descriptor.as_slice();
    if !descriptors.is_empty() {
        control.push(SendAncillaryMessage::ScmRights(descriptors));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::io::retry_on_intr(|| sendmsg(&to, &[IoSlice::new(bytes)], &mut control, flags))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_read_as_they_were_written() {
        for ask in
            [Ask::Mount { options: b"ro,fsname=x" }, Ask::Mount { options: b"" }, Ask::Unmount]
        {
            let slip = ask.pieces().map(|piece| piece.to_vec()).concat();
            assert_eq!(Ask::parse(&slip).unwrap(), ask);
        }
        for odd in [b"" as &[u8], b"x", b"unmount", b"\0", b"M"] {
            assert_eq!(Ask::parse(odd), None, "{odd:?}");
        }
    }

    #[test]
    fn answers_are_yes_or_a_reason() {
        assert_eq!(answer(b"y"), Ok(()));
        assert_eq!(answer(b"nbusy"), Err("busy".into()));
        for odd in [b"" as &[u8], b"yes", b"x"] {
            assert!(answer(odd).is_err(), "{odd:?}");
        }
    }
}
