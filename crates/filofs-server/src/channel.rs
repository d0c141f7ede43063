//! `Channel`: one end of the socket between a core and a file server.
//!
//! A Unix socket of type SOCK_SEQPACKET: whole messages, in order, from one process to the other,
//! with descriptors if need be, and an end when the other process is gone. See unix(7).

use crate::peer::Peer;
use filofs_wire::abi::{MESSAGE_HEAD, MESSAGE_MIN};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, ReturnFlags,
    SendAncillaryBuffer, SendAncillaryMessage, SendFlags, SocketAddrUnix, SocketFlags, SocketType,
    connect, recvmsg, sendmsg, socket_with, socketpair, sockopt,
};
use std::io::{IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::path::Path;
use std::time::Duration;

/// The largest message in bytes, either way: header, structure, names and at most 128 KiB of data.
/// Linux keeps a message in one piece of memory as far as it cannot be cut into pages, and larger
/// ones are refused when memory is scattered.
pub const MESSAGE_MAX: usize = PAYLOAD_MAX + MESSAGE_HEAD as usize;

/// The most data in one message, bytes.
pub const PAYLOAD_MAX: usize = 128 << 10;

const _: () = assert!(MESSAGE_MAX >= MESSAGE_MIN as usize);

/// One end of a channel.
#[derive(Debug)]
pub struct Channel {
    socket: OwnedFd,
}

/// What a receive brought.
#[derive(Debug)]
pub enum Arrival {
    /// A message of that many bytes, and the descriptor that came with it; none either where this
    /// process can have no more of them.
    Message(usize, Option<OwnedFd>),
    /// A message that was longer than the room for it, or came with more than one descriptor. It
    /// is gone.
    Unfit,
    /// Nothing, in the time given.
    Nothing,
    /// The other end is closed.
    End,
}

/// Why a message was not sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// The other end reads too slowly: there is no room now.
    Full,
    /// The other end is closed.
    Gone,
    /// It is longer than the socket takes.
    TooLong,
}

impl Channel {
    /// Both ends: ours, and one for a program to be started with it.
    pub fn pair() -> Result<(Channel, OwnedFd), Errno> {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?;
        // What a process may have on its way is counted at the sender.
        widen(&theirs);
        Ok((Channel::over(ours)?, theirs))
    }

    /// Over a connected socket. EPROTOTYPE for one of another type.
    pub fn over(socket: OwnedFd) -> Result<Channel, Errno> {
        if sockopt::socket_type(&socket)? != SocketType::SEQPACKET {
            return Err(Errno::PROTOTYPE);
        }
        widen(&socket);
        Ok(Channel { socket })
    }

    /// To whoever listens at that path. EAGAIN if nobody is let in for that long; connect(2) for
    /// the others.
    pub fn dial(path: &Path, at_most: Duration) -> Result<Channel, Errno> {
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None)?;
        // It is the limit of connect(2) as well, which waits for room in the line of those who
        // wait. Zero would be none.
        let at_most = Some(at_most.max(Duration::from_millis(1)));
        sockopt::set_socket_timeout(&socket, sockopt::Timeout::Send, at_most)?;
        let address = SocketAddrUnix::new(path)?;
        rustix::io::retry_on_intr(|| connect(&socket, &address))?;
        Channel::over(socket)
    }

    /// Who made the other end.
    pub fn peer(&self) -> Result<Peer, Errno> {
        Peer::of(&self.socket)
    }

    /// Sends one whole message, its pieces joined, without waiting.
    pub fn send(&self, pieces: &[IoSlice<'_>]) -> Result<(), Unsent> {
        self.send_with(pieces, None)
    }

    /// The same, and a descriptor with it.
    pub fn send_with(
        &self,
        pieces: &[IoSlice<'_>],
        descriptor: Option<BorrowedFd<'_>>,
    ) -> Result<(), Unsent> {
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let descriptors = descriptor.as_slice();
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        loop {
            let mut control = SendAncillaryBuffer::new(&mut space);
            if !descriptors.is_empty() {
                control.push(SendAncillaryMessage::ScmRights(descriptors));
            }
            let sent = sendmsg(&self.socket, pieces, &mut control, flags);
            return match sent {
                Ok(_) => Ok(()),
                Err(Errno::INTR) => continue,
                // Memory for the message is short: no different from a full socket.
                Err(Errno::AGAIN | Errno::NOBUFS | Errno::NOMEM) => Err(Unsent::Full),
                Err(Errno::MSGSIZE) => Err(Unsent::TooLong),
                Err(_) => Err(Unsent::Gone),
            };
        }
    }

    /// Waits until there may be room to send, at most that long.
    pub fn wait_for_room(&self, at_most: Duration) {
        self.poll(PollFlags::OUT, at_most);
    }

    /// Waits until something can be received or the other end is closed; with `end_only`, only
    /// for the end. False if neither came in the time given.
    pub fn wait(&self, end_only: bool, at_most: Duration) -> bool {
        self.poll(if end_only { PollFlags::empty() } else { PollFlags::IN }, at_most)
    }

    /// Waits for the next message, as long as [`Channel::patience`] says, or not at all.
    pub fn receive(&self, room: &mut [u8], wait: bool) -> Arrival {
        let flags =
            RecvFlags::CMSG_CLOEXEC | if wait { RecvFlags::empty() } else { RecvFlags::DONTWAIT };
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let came = match recvmsg(&self.socket, &mut [IoSliceMut::new(room)], &mut control, flags) {
            Ok(came) => came,
            Err(Errno::AGAIN | Errno::INTR) => return Arrival::Nothing,
            Err(_) => return Arrival::End,
        };
        let mut descriptors = control.drain().flat_map(|message| match message {
            RecvAncillaryMessage::ScmRights(descriptors) => descriptors.collect(),
            _ => Vec::new(),
        });
        let descriptor = descriptors.next();
        // Of one that finds no room in this process nothing comes but the flag.
        let lost = descriptor.is_some() && came.flags.contains(ReturnFlags::CTRUNC);
        let cut = came.flags.contains(ReturnFlags::TRUNC);
        if cut || lost || descriptors.next().is_some() {
            return Arrival::Unfit;
        }
        // A message may be empty; then the other end is still there.
        if came.bytes == 0 && self.poll(PollFlags::empty(), Duration::ZERO) {
            return Arrival::End;
        }
        Arrival::Message(came.bytes, descriptor)
    }

    /// How long a [`Channel::receive`] that waits does so.
    pub fn patience(&self, at_most: Duration) -> Result<(), Errno> {
        sockopt::set_socket_timeout(&self.socket, sockopt::Timeout::Recv, Some(at_most))
    }

    /// No message goes either way any more: both ends see the end.
    pub fn shut(&self) {
        let _ = rustix::net::shutdown(&self.socket, rustix::net::Shutdown::Both);
    }

    fn poll(&self, events: PollFlags, at_most: Duration) -> bool {
        let at_most = Timespec::try_from(at_most).ok();
        let mut fds = [PollFd::new(&self.socket, events)];
        poll(&mut fds, at_most.as_ref()).is_ok_and(|ready| ready > 0)
    }
}

impl AsFd for Channel {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Gives the socket room for a few of the largest messages, as far as the system allows.
fn widen(socket: &OwnedFd) {
    const ROOM: usize = 8 * MESSAGE_MAX;
    if sockopt::set_socket_send_buffer_size_force(socket, ROOM).is_err() {
        let _ = sockopt::set_socket_send_buffer_size(socket, ROOM);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pair() -> (Channel, Channel) {
        let (ours, theirs) = Channel::pair().unwrap();
        ours.patience(Duration::from_secs(10)).unwrap();
        (ours, Channel::over(theirs).unwrap())
    }

    fn message(arrival: Arrival) -> (usize, Option<OwnedFd>) {
        match arrival {
            Arrival::Message(len, fd) => (len, fd),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_largest_message_goes_through_whole() {
        let (a, b) = pair();
        let bytes = vec![7; MESSAGE_MAX];
        a.send(&[IoSlice::new(&bytes[..16]), IoSlice::new(&bytes[16..])]).unwrap();
        let mut room = vec![0; MESSAGE_MAX];
        assert_eq!(message(b.receive(&mut room, true)).0, MESSAGE_MAX);
        assert_eq!(room, bytes);
    }

    #[test]
    fn a_message_too_long_for_the_room_is_told_and_gone() {
        let (a, b) = pair();
        a.send(&[IoSlice::new(&[1; 100])]).unwrap();
        a.send(&[IoSlice::new(&[2; 10])]).unwrap();
        let mut room = [0; 50];
        assert!(matches!(b.receive(&mut room, true), Arrival::Unfit));
        assert_eq!(message(b.receive(&mut room, true)).0, 10);
        assert!(matches!(b.receive(&mut room, false), Arrival::Nothing));
    }

    #[test]
    fn an_empty_message_is_not_the_end() {
        let (a, b) = pair();
        a.send(&[]).unwrap();
        let mut room = [0; 50];
        assert_eq!(message(b.receive(&mut room, true)).0, 0);
        drop(a);
        assert!(matches!(b.receive(&mut room, true), Arrival::End));
        assert!(b.wait(true, Duration::ZERO));
        assert_eq!(b.send(&[IoSlice::new(b"x")]), Err(Unsent::Gone));
    }

    #[test]
    fn a_peer_that_does_not_read_holds_nobody_up() {
        let (a, _b) = pair();
        let bytes = vec![0; MESSAGE_MAX];
        let sent = (0..1000).take_while(|_| a.send(&[IoSlice::new(&bytes)]).is_ok()).count();
        assert!((1..1000).contains(&sent), "{sent} messages were taken");
        assert_eq!(a.send(&[IoSlice::new(&bytes)]), Err(Unsent::Full));
    }

    #[test]
    fn nobody_waits_for_ever_to_be_let_in() {
        let name = format!("filo-dial-{}-{:p}", std::process::id(), &MESSAGE_MAX);
        let path = std::env::temp_dir().join(name);
        let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
        let socket = socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap();
        rustix::net::bind(&socket, &SocketAddrUnix::new(&path).unwrap()).unwrap();
        rustix::net::listen(&socket, 0).unwrap();
        let (told, tells) = std::sync::mpsc::channel();
        let at = path.clone();
        std::thread::spawn(move || {
            let dial = || Channel::dial(&at, Duration::from_millis(10));
            let inside: Vec<_> = (0..8).map(|_| dial().map_err(|errno| told.send(errno))).collect();
            drop(inside);
        });
        let errno = tells.recv_timeout(Duration::from_secs(60));
        std::fs::remove_file(path).unwrap();
        assert_eq!(errno, Ok(Errno::AGAIN));
    }

    #[test]
    fn one_descriptor_travels_and_more_do_not() {
        let (a, b) = pair();
        let file = std::fs::File::open("/dev/null").unwrap();
        let send = |count: usize| {
            let fds = vec![file.as_fd(); count];
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(3))];
            let mut control = SendAncillaryBuffer::new(&mut space);
            assert!(control.push(SendAncillaryMessage::ScmRights(&fds)));
            sendmsg(&a, &[IoSlice::new(b"x")], &mut control, SendFlags::empty()).unwrap();
        };
        let mut room = [0; 50];
        send(1);
        assert!(message(b.receive(&mut room, true)).1.is_some());
        send(3);
        assert!(matches!(b.receive(&mut room, true), Arrival::Unfit));
    }

    #[test]
    fn another_kind_of_socket_is_refused() {
        let (stream, _) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(Channel::over(stream.into()).unwrap_err(), Errno::PROTOTYPE);
    }
}
