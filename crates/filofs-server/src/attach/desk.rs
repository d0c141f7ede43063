//! Where the stand-in asks: gives the program's end of the channel out once, and hears when the
//! program unmounts.

use super::options::MountOptions;
use super::place::Place;
use super::slip::{self, Ask, SLIP_MAX};
use super::{AttachError, system};
use crate::channel::{Arrival, Channel};
use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long somebody who has called may take to say what he wants. The others wait for it.
const PATIENCE: Duration = Duration::from_secs(5);

/// What made [`Desk::attend`] return.
#[derive(Debug)]
pub(super) enum Event {
    /// The program asked to be mounted, and has its end of the channel.
    Mounted(MountOptions),
    /// The descriptor that was watched besides has become readable.
    Other,
    /// It is too late.
    Late,
}

/// The desk, as long as somebody attends to it.
#[derive(Debug)]
pub(super) struct Desk {
    listener: OwnedFd,
    place: Place,
    /// Our end once more, to shut it.
    ours: OwnedFd,
    /// The program's end, until it is given out.
    theirs: Option<OwnedFd>,
    unmounted: Arc<AtomicBool>,
}

impl Desk {
    pub(super) fn open(place: Place, ours: &Channel, theirs: OwnedFd) -> Result<Desk, AttachError> {
        let listener = place.listen()?;
        let ours = ours.as_fd().try_clone_to_owned();
        let ours = ours.map_err(system("duplicate the end of a channel"))?;
        Ok(Desk { listener, place, ours, theirs: Some(theirs), unmounted: Arc::default() })
    }

    /// Answers whoever asks, until the program is mounted, `other` is readable, or it is too late.
    pub(super) fn attend(
        &mut self,
        other: BorrowedFd<'_>,
        until: Option<Instant>,
    ) -> Result<Event, Errno> {
        loop {
            let left = until.map(|until| until.saturating_duration_since(Instant::now()));
            if left.is_some_and(|left| left.is_zero()) {
                return Ok(Event::Late);
            }
            let left = left.and_then(|left| Timespec::try_from(left).ok());
            let mut fds = [
                PollFd::new(&self.listener, PollFlags::IN),
                PollFd::from_borrowed_fd(other, PollFlags::IN),
            ];
            match poll(&mut fds, left.as_ref()) {
                Err(Errno::INTR) | Ok(0) => continue,
                Err(errno) => return Err(errno),
                Ok(_) => {}
            }
            let [calls, other] = fds.map(|fd| !fd.revents().is_empty());
            // A program that asks and ends at once has asked.
            if calls && let Some(options) = self.answer_one() {
                return Ok(Event::Mounted(options));
            }
            if other {
                return Ok(Event::Other);
            }
        }
    }

    /// Goes on answering beside the caller.
    pub(super) fn stay_open(mut self) -> Result<OpenDesk, AttachError> {
        let stop = eventfd(0, EventfdFlags::CLOEXEC).map_err(system("make an eventfd"))?;
        let stopped = stop.try_clone().map_err(system("duplicate an eventfd"))?;
        let unmounted = Arc::clone(&self.unmounted);
        let thread = std::thread::Builder::new().name("filo-attach".into()).spawn(move || {
            // Nobody is mounted twice: what ends this is the other descriptor.
            while let Ok(Event::Mounted(_)) = self.attend(stopped.as_fd(), None) {}
        });
        let thread = thread.map_err(system("start a thread"))?;
        Ok(OpenDesk { stop, unmounted, thread: Some(thread) })
    }

    /// Answers one caller. The options, if it was about a mount and the end was given out.
    fn answer_one(&mut self) -> Option<MountOptions> {
        let caller = accept_with(&self.listener, SocketFlags::CLOEXEC).ok()?;
        let caller = Channel::over(caller).ok()?;
        caller.patience(PATIENCE).ok()?;
        let ours = rustix::process::geteuid().as_raw();
        let peer = caller.peer().ok()?;
        if peer.uid != ours {
            log::warn!("a process of user {} asked for a channel: refused", peer.uid);
            return None;
        }
        let mut room = [0; SLIP_MAX];
        let Arrival::Message(len, None) = caller.receive(&mut room, true) else { return None };
        match Ask::parse(room.get(..len)?)? {
            Ask::Mount { options } => self.mount(&caller, options),
            Ask::Unmount if self.theirs.is_some() => {
                let _ = slip::no(&caller, "nothing is mounted");
                None
            }
            Ask::Unmount => {
                // As umount(2) does: who reads the channel sees its end.
                self.unmounted.store(true, Ordering::Release);
                let _ = rustix::net::shutdown(&self.ours, rustix::net::Shutdown::Both);
                let _ = slip::yes(&caller, None);
                None
            }
        }
    }

    fn mount(&mut self, caller: &Channel, options: &[u8]) -> Option<MountOptions> {
        let Some(theirs) = self.theirs.take() else {
            let _ = slip::no(caller, "the program is mounted already");
            return None;
        };
        if let Err(error) = self.place.look_mounted() {
            log::warn!("a mount point cannot be made to look mounted: {error}");
        }
        if slip::yes(caller, Some(theirs.as_fd())).is_err() {
            // The stand-in is gone; the program may try again.
            self.theirs = Some(theirs);
            return None;
        }
        Some(MountOptions::parse(options))
    }
}

/// A desk with a thread of its own; closed with the value, which removes the directory.
#[derive(Debug)]
pub(super) struct OpenDesk {
    stop: OwnedFd,
    unmounted: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl OpenDesk {
    /// Whether the program has said that it unmounted.
    pub(super) fn unmounted(&self) -> bool {
        self.unmounted.load(Ordering::Acquire)
    }
}

impl Drop for OpenDesk {
    fn drop(&mut self) {
        let _ = rustix::io::write(&self.stop, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::door::{self, door};
    use super::*;
    use std::ffi::{OsStr, OsString};
    use std::os::fd::AsRawFd;
    use std::os::unix::net::UnixStream;
    use std::path::{Path, PathBuf};
    use std::process::ExitCode;

    const FOREVER: Duration = Duration::from_secs(60);

    /// A desk with its directory, and our end of the channel.
    fn desk() -> (Desk, Channel, PathBuf) {
        let place = Place::make(Path::new("/stand/in")).unwrap();
        let at = place.mount_point();
        let (ours, theirs) = Channel::pair().unwrap();
        ours.patience(FOREVER).unwrap();
        (Desk::open(place, &ours, theirs).unwrap(), ours, at)
    }

    /// Calls the stand-in, as another process would; answers whether it was content.
    fn call(words: &[&OsStr]) -> bool {
        let line = [OsString::from("/usr/bin/fusermount3")].into_iter();
        let code = door(line.chain(words.iter().map(OsString::from))).unwrap();
        code == ExitCode::SUCCESS
    }

    /// Asks to be mounted, as a program does, and answers what came over its socket.
    fn ask(at: &Path, options: &[&str]) -> Option<OwnedFd> {
        let (mine, theirs) = UnixStream::pair().unwrap();
        let number = theirs.as_raw_fd().to_string();
        let mut words = vec!["--comm-fd".as_ref(), OsStr::new(&number)];
        words.extend(options.iter().map(OsStr::new));
        words.extend(["--".as_ref(), at.as_os_str()]);
        call(&words).then(|| passed(&mine))
    }

    /// The descriptor that came, with one byte.
    fn passed(socket: &UnixStream) -> OwnedFd {
        use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
        let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut room = [9; 8];
        let mut pieces = [std::io::IoSliceMut::new(&mut room)];
        let came = recvmsg(socket, &mut pieces, &mut control, RecvFlags::empty()).unwrap();
        assert_eq!(came.bytes, 1);
        let fds = control.drain().find_map(|message| match message {
            RecvAncillaryMessage::ScmRights(mut fds) => fds.next(),
            _ => None,
        });
        fds.unwrap()
    }

    /// Somebody who never becomes readable, and must be kept.
    fn nobody() -> OwnedFd {
        eventfd(0, EventfdFlags::CLOEXEC).unwrap()
    }

    /// Answers whoever asks, for as long as anything here may take.
    fn attend(desk: &mut Desk) -> Event {
        desk.attend(nobody().as_fd(), Some(Instant::now() + FOREVER)).unwrap()
    }

    #[test]
    fn a_program_gets_its_end_once_and_only_once() {
        let (mut desk, ours, at) = desk();
        std::thread::scope(|scope| {
            let program = scope.spawn(|| ask(&at, &["-o", "ro,fsname=x"]).unwrap());
            let event = attend(&mut desk);
            let Event::Mounted(options) = event else { panic!("{event:?}") };
            assert!(options.read_only() && options.value("fsname") == Some("x"));
            let theirs = Channel::over(program.join().unwrap()).unwrap();
            ours.send(&[std::io::IoSlice::new(b"hello")]).unwrap();
            let mut room = [0; 16];
            assert!(matches!(theirs.receive(&mut room, true), Arrival::Message(5, None)));
            let desk = desk.stay_open().unwrap();
            assert!(ask(&at, &["-o", "ro"]).is_none(), "a second end was given out");
            assert!(!desk.unmounted());
        });
        assert!(!at.exists());
    }

    #[test]
    fn unmounting_ends_the_channel_for_both() {
        let (mut desk, ours, at) = desk();
        std::thread::scope(|scope| {
            let unmount = || call(&["-u".as_ref(), at.as_os_str()]);
            let early = scope.spawn(unmount);
            let program = scope.spawn(|| {
                assert!(!early.join().unwrap(), "unmounted what was not mounted");
                ask(&at, &[]).unwrap()
            });
            attend(&mut desk);
            let theirs = Channel::over(program.join().unwrap()).unwrap();
            let desk = desk.stay_open().unwrap();
            assert!(unmount());
            assert!(desk.unmounted());
            let mut room = [0; 16];
            assert!(matches!(ours.receive(&mut room, true), Arrival::End));
            assert!(matches!(theirs.receive(&mut room, true), Arrival::End));
            assert!(unmount(), "unmounting twice does no harm");
        });
        assert!(!call(&["-u".as_ref(), at.as_os_str()]), "nobody is there any more");
        assert!(call(&["-uqz".as_ref(), at.as_os_str()]), "and that is no news for the quiet");
    }

    #[test]
    fn a_mount_in_two_steps_says_when_it_is_done() {
        let (mut desk, _ours, at) = desk();
        std::thread::scope(|scope| {
            let program = scope.spawn(|| {
                let (mut mine, theirs) = UnixStream::pair().unwrap();
                let number = theirs.as_raw_fd().to_string();
                let helper = scope.spawn({
                    let at = &at;
                    move || {
                        let words = ["--sync-init", "--comm-fd", &number, "-o", "ro", "--"];
                        let mut words: Vec<&OsStr> = words.iter().map(OsStr::new).collect();
                        words.push(at.as_os_str());
                        call(&words)
                    }
                });
                let end = passed(&mine);
                std::io::Write::write_all(&mut mine, &[0]).unwrap();
                let mut status = [1; 4];
                std::io::Read::read_exact(&mut mine, &mut status).unwrap();
                assert_eq!(status, [0; 4]);
                assert!(helper.join().unwrap());
                drop(theirs);
                end
            });
            let event = attend(&mut desk);
            assert!(matches!(event, Event::Mounted(_)), "{event:?}");
            program.join().unwrap();
        });
    }

    #[test]
    fn waiting_ends_by_itself() {
        let (mut desk, _ours, at) = desk();
        let past = Some(Instant::now());
        assert!(matches!(desk.attend(nobody().as_fd(), past), Ok(Event::Late)));
        let ended = eventfd(1, EventfdFlags::CLOEXEC).unwrap();
        assert!(matches!(desk.attend(ended.as_fd(), None), Ok(Event::Other)));
        // Who calls and says nothing, or nonsense, is sent away; the desk stays open.
        let socket = at.with_file_name("attach");
        let open = desk.stay_open().unwrap();
        std::thread::scope(|scope| {
            for slip in [b"nonsense" as &[u8], b"", b"u\0", b"x"] {
                let caller = door::connect(&socket).unwrap();
                caller.send(&[std::io::IoSlice::new(slip)]).unwrap();
            }
            scope.spawn(|| ask(&at, &["-o", "ro"]).unwrap());
        });
        drop(open);
        assert!(!at.exists());
    }

    #[test]
    fn too_many_options_are_refused_where_they_are_given() {
        let (_desk, _ours, at) = desk();
        let long = "x".repeat(super::super::options::OPTIONS_MAX + 1);
        assert!(ask(&at, &["-o", &long]).is_none());
    }
}
