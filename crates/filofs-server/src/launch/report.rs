//! `Report`: what the launcher tells whoever started it, one message each over a socket.

use super::LaunchError;
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::ExitStatus;

/// Most bytes of one message. What is longer is cut.
const MESSAGE_MAX: usize = 4096;

/// One message.
#[derive(Debug)]
pub(super) enum Report {
    /// Something of the sandbox could not be had; the program is started without.
    Lacking(String),
    /// The program is being executed. With its descriptor, see pidfd_open(2).
    Running(OwnedFd),
    /// It cannot be started.
    Failed(LaunchError),
    /// It has ended, and so have all its descendants.
    Ended(ExitStatus),
}

/// Two ends for reports. Closed on exec.
pub(super) fn pair() -> rustix::io::Result<(OwnedFd, OwnedFd)> {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
}

impl Report {
    /// Sends it. Whoever does not listen any more does not want to know.
    pub(super) fn send(&self, socket: impl AsFd) {
        let mut bytes = self.bytes();
        bytes.truncate(MESSAGE_MAX);
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        let descriptor;
        if let Report::Running(pidfd) = self {
            descriptor = [pidfd.as_fd()];
            control.push(SendAncillaryMessage::ScmRights(&descriptor));
        }
        let _ = sendmsg(socket, &[IoSlice::new(&bytes)], &mut control, SendFlags::NOSIGNAL);
    }

    /// Waits for the next one; none if the other end is closed. Errors: EPROTO for a message that
    /// is none of these, and those of recvmsg(2).
    pub(super) fn receive(socket: impl AsFd) -> rustix::io::Result<Option<Report>> {
        let mut bytes = [0; MESSAGE_MAX];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let flags = RecvFlags::CMSG_CLOEXEC;
        let received = rustix::io::retry_on_intr(|| {
            recvmsg(&socket, &mut [IoSliceMut::new(&mut bytes)], &mut control, flags)
        })?;
        let sent = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        let bytes = bytes.get(..received.bytes).unwrap_or_default();
        if bytes.is_empty() { Ok(None) } else { Report::parse(bytes, sent).map(Some) }
    }

    /// A letter, and what belongs to it.
    fn bytes(&self) -> Vec<u8> {
        let with = |letter: u8, rest: &[u8]| [&[letter], rest].concat();
        match self {
            Report::Lacking(what) => with(b'l', what.as_bytes()),
            Report::Running(_) => with(b'r', b""),
            Report::Ended(status) => with(b'e', status.into_raw().to_string().as_bytes()),
            Report::Failed(error) => match error {
                LaunchError::NotFound { program, searched: None } => with(b'm', program.as_bytes()),
                LaunchError::NotFound { program, searched: Some(path) } => {
                    with(b'p', &[program.as_bytes(), b"\0", path.as_bytes()].concat())
                }
                LaunchError::NotExecutable { path, why } => {
                    with(b'x', &[path.as_os_str().as_bytes(), b"\0", why.as_bytes()].concat())
                }
                LaunchError::Namespace { what } => with(b'n', what.as_bytes()),
                LaunchError::System { what, errno } => {
                    let number = errno.raw_os_error().to_string();
                    with(b's', &[number.as_bytes(), b"\0", what.as_bytes()].concat())
                }
                // The last two are never sent: only the one who starts can know them.
                LaunchError::Sandbox { .. }
                | LaunchError::Ended { .. }
                | LaunchError::Late { .. } => with(b'b', error.to_string().as_bytes()),
            },
        }
    }

    fn parse(bytes: &[u8], sent: Option<OwnedFd>) -> rustix::io::Result<Report> {
        let (letter, rest) = bytes.split_first().ok_or(Errno::PROTO)?;
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let number = |bytes: &[u8]| -> rustix::io::Result<i32> {
            std::str::from_utf8(bytes).ok().and_then(|t| t.parse().ok()).ok_or(Errno::PROTO)
        };
        let two = || -> rustix::io::Result<(&[u8], &[u8])> {
            let at = rest.iter().position(|byte| *byte == 0).ok_or(Errno::PROTO)?;
            let (one, other) = rest.split_at(at);
            Ok((one, other.get(1..).unwrap_or_default()))
        };
        Ok(match letter {
            b'l' => Report::Lacking(text(rest)),
            b'r' => Report::Running(sent.ok_or(Errno::PROTO)?),
            b'e' => Report::Ended(ExitStatus::from_raw(number(rest)?)),
            b'm' => Report::Failed(LaunchError::NotFound { program: text(rest), searched: None }),
            b'p' => {
                let (program, path) = two()?;
                let (program, searched) = (text(program), Some(text(path)));
                Report::Failed(LaunchError::NotFound { program, searched })
            }
            b'x' => {
                let (path, why) = two()?;
                let path = PathBuf::from(std::ffi::OsString::from_vec(path.to_vec()));
                Report::Failed(LaunchError::NotExecutable { path, why: text(why) })
            }
            b'n' => Report::Failed(LaunchError::Namespace { what: text(rest) }),
            b'b' => Report::Failed(LaunchError::Sandbox { what: text(rest) }),
            b's' => {
                let (errno, what) = two()?;
                let errno = Errno::from_raw_os_error(number(errno)?);
                Report::Failed(LaunchError::System { what: text(what), errno })
            }
            _ => return Err(Errno::PROTO),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_arrive_as_they_were_sent() {
        let (here, there) = pair().unwrap();
        for error in [
            LaunchError::NotFound { program: "x".into(), searched: None },
            LaunchError::NotFound { program: "x".into(), searched: Some("/bin".into()) },
            LaunchError::NotExecutable { path: "/a b".into(), why: "denied".into() },
            LaunchError::Namespace { what: "no".into() },
            LaunchError::Sandbox { what: "none".into() },
            LaunchError::System { what: "eat".into(), errno: Errno::NOSPC },
        ] {
            Report::Failed(error.clone()).send(&there);
            match Report::receive(&here).unwrap() {
                Some(Report::Failed(found)) => assert_eq!(found, error),
                other => panic!("{other:?}"),
            }
        }
        let status = ExitStatus::from_raw(9);
        Report::Ended(status).send(&there);
        let found = Report::receive(&here).unwrap();
        assert!(matches!(found, Some(Report::Ended(s)) if s == status), "{found:?}");
        Report::Lacking("x".repeat(10_000)).send(&there);
        let found = Report::receive(&here).unwrap();
        assert!(matches!(&found, Some(Report::Lacking(s)) if s.len() == 4095), "{found:?}");
        drop(there);
        assert!(Report::receive(&here).unwrap().is_none());
    }

    #[test]
    fn nonsense_is_refused() {
        for bytes in [&b"r"[..], b"e", b"ex", b"e99999999999", b"x/path", b"s\0what", b"q", b"\0"] {
            let refused = Report::parse(bytes, None);
            assert_eq!(refused.unwrap_err(), Errno::PROTO, "{bytes:?}");
        }
    }
}
