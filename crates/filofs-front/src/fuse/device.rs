//! `Device`: the descriptor through which requests come and answers go.

use super::registrar::{self, Whose};
use super::terms::Terms;
use filofs_wire::notify;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::io::IoSlice;
use std::time::Duration;

/// Where the answer to a request goes: what a transport is to `dispatch`.
pub(super) trait Outlet: Sync {
    /// Sends one whole message, `head` (header and structure) and the data after it. False when
    /// nobody got it: then whatever it would have given the peer must be taken back.
    fn send(&self, head: &[u8], data: &[u8]) -> bool;

    /// The same, of a message without data that brings a file, where that is possible: otherwise
    /// it goes without one.
    fn send_with(&self, head: &[u8], _file: BorrowedFd<'_>) -> bool {
        self.send(head, &[])
    }

    /// The most data that an answer can have, in bytes, where `agreed` is what INIT says.
    fn payload(&self, agreed: usize) -> usize {
        agreed
    }

    /// Has the peer hand over what it still holds back of a node's written data, and returns when
    /// it has come, as WRITE requests that other workers serve. EBUSY when it could not.
    fn collect(&self, nodeid: u64) -> Result<(), Errno>;

    /// Waits for what the kernel gave back before this request and has told by another way, a
    /// little. False if there is no other way.
    fn catch_up(&self) -> bool {
        false
    }

    /// Whether somebody else serves requests while whoever serves this one waits for another.
    fn may_wait(&self) -> bool {
        true
    }

    /// Tells the kernel that what it knows of a node's attributes is out of date. Only attributes:
    /// that waits for nobody, so it may come from whoever serves a request.
    fn doubt(&self, _nodeid: u64) {}

    /// Has the kernel read and write that file by itself, under the id that is answered. Errors
    /// as [`registrar::register`] has them.
    fn register(&self, _file: BorrowedFd<'_>, _whose: Whose) -> Result<i32, Errno> {
        Err(Errno::OPNOTSUPP)
    }

    /// Takes such an id back. Opens that have it keep the file.
    fn unregister(&self, _id: i32) {}
}

/// A FUSE device, or a socket that stands for one.
#[derive(Debug)]
pub(super) struct Device {
    fd: OwnedFd,
    is_socket: bool,
}

/// What a read brought.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Arrival {
    /// A message of that many bytes.
    Message(usize),
    /// Nothing, but there may be something next time.
    Nothing,
    /// The connection has ended: unmounted, or the peer has gone.
    End,
    /// The connection was aborted, by a person or by the kernel's request timeout.
    Aborted,
}

impl Device {
    pub(super) fn new(fd: OwnedFd) -> Device {
        let is_socket = rustix::net::sockopt::socket_type(&fd).is_ok();
        Device { fd, is_socket }
    }

    /// Who is at the other end, for a person.
    pub(super) const fn peer(&self) -> &'static str {
        if self.is_socket { "the core" } else { "the kernel" }
    }

    /// Whether it is a socket that stands for a device.
    pub(super) const fn is_socket(&self) -> bool {
        self.is_socket
    }

    /// The longest message in bytes that can be sent whole, at most `wanted`: a socket sends a
    /// message only if its buffer has room for all of it.
    pub(super) fn max_message(&self, wanted: u32) -> u32 {
        use rustix::net::sockopt;
        // What the kernel keeps of a socket's buffer for itself.
        const KEPT: usize = 32;
        let wanted = wanted.min(Terms::MESSAGE_MAX);
        if !self.is_socket {
            return wanted;
        }
        let room = || sockopt::socket_send_buffer_size(&self.fd).unwrap_or_default();
        if room() < 2 * (wanted as usize + KEPT) {
            // The kernel doubles the number, so there is room for one more message. What it does
            // not grant, the next line does not find.
            let _ = sockopt::set_socket_send_buffer_size(&self.fd, wanted as usize + KEPT);
        }
        wanted.min(room().saturating_sub(KEPT) as u32)
    }

    /// Ends the connection, if it is one that a peer would notice the end of.
    pub(super) fn hang_up(&self) -> bool {
        self.is_socket && rustix::net::shutdown(&self.fd, rustix::net::Shutdown::Both).is_ok()
    }

    /// Waits for the next message.
    pub(super) fn receive(&self, inlet: &mut [u8]) -> Arrival {
        self.arrival(rustix::io::read(&self.fd, inlet))
    }

    /// Waits for a message of a socket, and the descriptor that may come with it.
    pub(super) fn receive_with(&self, inlet: &mut [u8]) -> (Arrival, Option<OwnedFd>) {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        use std::io::IoSliceMut;
        if !self.is_socket {
            return (self.receive(inlet), None);
        }
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut pieces = [IoSliceMut::new(inlet)];
        let came = recvmsg(&self.fd, &mut pieces, &mut control, RecvFlags::CMSG_CLOEXEC);
        let arrival = self.arrival(came.map(|came| came.bytes));
        let descriptor = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
            _ => None,
        });
        (arrival, descriptor)
    }

    /// Whether a message waits to be read.
    pub(super) fn is_readable(&self) -> bool {
        self.poll(Some(Duration::ZERO))
    }

    /// Waits for the next message of a socket, at most that long. If somebody else was quicker
    /// there is nothing.
    pub(super) fn receive_within(&self, inlet: &mut [u8], at_most: Duration) -> Arrival {
        use rustix::net::{RecvFlags, recv};
        if !self.poll(Some(at_most)) {
            return Arrival::Nothing;
        }
        match recv(&self.fd, inlet, RecvFlags::DONTWAIT) {
            Err(Errno::AGAIN) => Arrival::Nothing,
            received => self.arrival(received.map(|(len, _)| len)),
        }
    }

    fn arrival(&self, received: Result<usize, Errno>) -> Arrival {
        match received {
            Ok(0) | Err(Errno::NODEV | Errno::NOTCONN | Errno::CONNRESET) => Arrival::End,
            Ok(len) => Arrival::Message(len),
            Err(Errno::CONNABORTED) => Arrival::Aborted,
            // ENOENT: the caller was killed before we had read its request.
            Err(Errno::INTR | Errno::NOENT) => Arrival::Nothing,
            Err(Errno::AGAIN) => {
                self.poll(None);
                Arrival::Nothing
            }
            Err(Errno::NOMEM) => {
                // The kernel has answered that request with EIO. It is no reason to end the mount.
                log::warn!("the kernel had no memory to hand over a request");
                Arrival::Nothing
            }
            Err(errno) => {
                log::error!("reading the FUSE device: {errno}");
                Arrival::End
            }
        }
    }

    /// Writes a message that nobody asked for. Errors are told, not judged.
    pub(super) fn notify(&self, parts: [&[u8]; 3]) -> Result<(), Errno> {
        let parts = parts.map(IoSlice::new);
        rustix::io::writev(&self.fd, &parts).map(drop)
    }

    /// Waits until there is a message or the end, at most that long, or for ever. False if there
    /// is neither.
    fn poll(&self, at_most: Option<Duration>) -> bool {
        use rustix::event::{PollFd, PollFlags, Timespec, poll};
        let at_most = at_most.and_then(|time| Timespec::try_from(time).ok());
        let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
        poll(&mut fds, at_most.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Device {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl Outlet for Device {
    fn doubt(&self, nodeid: u64) {
        // ENOENT is a node that the kernel has dropped meanwhile.
        let _ = self.notify(notify::inval_inode(nodeid, -1, 0).parts());
    }

    fn register(&self, file: BorrowedFd<'_>, whose: Whose) -> Result<i32, Errno> {
        registrar::register(self.fd.as_fd(), file, whose)
    }

    fn unregister(&self, id: i32) {
        registrar::unregister(self.fd.as_fd(), id);
    }

    fn send(&self, head: &[u8], data: &[u8]) -> bool {
        let sent = if data.is_empty() {
            rustix::io::write(&self.fd, head)
        } else {
            rustix::io::writev(&self.fd, &[IoSlice::new(head), IoSlice::new(data)])
        };
        match sent {
            Ok(_) => true,
            // The caller was killed, or all of them are gone.
            Err(Errno::NOENT | Errno::NODEV | Errno::NOTCONN | Errno::PIPE | Errno::CONNRESET) => {
                false
            }
            Err(errno) => {
                // An answer the kernel will not take leaves its caller waiting: find the mistake.
                log::error!("the FUSE device refuses an answer of {} bytes: {errno}", head.len());
                false
            }
        }
    }

    fn send_with(&self, head: &[u8], file: BorrowedFd<'_>) -> bool {
        use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags, sendmsg};
        let files = [file];
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = SendAncillaryBuffer::new(&mut space);
        control.push(SendAncillaryMessage::ScmRights(&files));
        let send = || {
            sendmsg(&self.fd, &[IoSlice::new(head)], &mut control, SendFlags::NOSIGNAL).map(drop)
        };
        match rustix::io::retry_on_intr(send) {
            Ok(()) => true,
            Err(Errno::NOTCONN | Errno::PIPE | Errno::CONNRESET) => false,
            // So many are on their way that there may be no more (unix(7)).
            Err(errno) => {
                log::debug!("an answer goes without its file: {errno}");
                self.send(head, &[])
            }
        }
    }

    fn collect(&self, nodeid: u64) -> Result<(), Errno> {
        // Invalidating writes dirty pages out first, and waits for them.
        for _ in 0..10 {
            match self.notify(notify::inval_inode(nodeid, 0, 0).parts()) {
                Ok(()) | Err(Errno::NOENT) => return Ok(()),
                // A page was in use just then.
                Err(Errno::BUSY) => std::thread::yield_now(),
                Err(errno) => return Err(errno),
            }
        }
        Err(Errno::BUSY)
    }
}
