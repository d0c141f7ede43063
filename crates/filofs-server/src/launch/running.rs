//! `Running`: a program that was started, with all its descendants.

use super::words::{Words, over};
use super::{LaunchError, Report, keeper};
use filofs::locked;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::net::{SendFlags, Shutdown, send, shutdown};
use rustix::process::{Pid, Signal, pidfd_send_signal};
use std::fmt;
use std::io;
use std::process::{Child, ExitStatus};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How long the launcher may take to kill everything, before it is killed itself. It takes long
/// only if a process hangs in the kernel.
const KILL_MAX: Duration = Duration::from_secs(5);

/// A program that was started. Dropped, it and all its descendants are killed and reaped.
pub struct Running {
    name: String,
    pub(super) socket: OwnedFd,
    /// The launcher's.
    launcher: OwnedFd,
    program: Option<OwnedFd>,
    words: Arc<Words>,
    state: Mutex<State>,
}

struct State {
    child: Child,
    ended: Option<ExitStatus>,
    listener: Option<JoinHandle<()>>,
}

impl Running {
    /// Over a launcher that was just started. `pipe`: what the program writes.
    pub(super) fn new(
        name: &str,
        mut child: Child,
        socket: OwnedFd,
        pipe: OwnedFd,
    ) -> Result<Running, LaunchError> {
        let words = Arc::new(Words::new(name));
        let open = || -> io::Result<(OwnedFd, JoinHandle<()>)> {
            let flags = rustix::process::PidfdFlags::empty();
            let pid = Pid::from_child(&child);
            let launcher = rustix::process::pidfd_open(pid, flags)?;
            let (words, watched) = (Arc::clone(&words), launcher.try_clone()?);
            let listener = std::thread::Builder::new()
                .name("words".into())
                .spawn(move || words.listen(&pipe, &watched))?;
            Ok((launcher, listener))
        };
        match open() {
            Ok((launcher, listener)) => {
                let state = State { child, ended: None, listener: Some(listener) };
                let (name, state) = (name.to_owned(), Mutex::new(state));
                Ok(Running { name, socket, launcher, program: None, words, state })
            }
            Err(error) => {
                let _ = child.kill();
                let _ = child.wait();
                Err(LaunchError::system("watch over a process", error))
            }
        }
    }

    /// Waits until the program is being executed, or cannot be.
    pub(super) fn starting(
        &mut self,
        until: Instant,
        lacking: impl Fn(&str),
    ) -> Result<(), LaunchError> {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if !readable(self.socket.as_fd(), left) {
                if left.is_zero() {
                    return Err(self.late());
                }
                continue;
            }
            match Report::receive(&self.socket) {
                Ok(Some(Report::Running(program))) => {
                    self.program = Some(program);
                    return Ok(());
                }
                Ok(Some(Report::Lacking(what))) => lacking(&what),
                Ok(Some(Report::Failed(error))) => return Err(error),
                Ok(Some(Report::Ended(_)) | None) => {
                    self.kill();
                    return Err(self.ended_error().unwrap_or_else(|| self.late()));
                }
                Err(errno) => return Err(LaunchError::system("hear from the launcher", errno)),
            }
        }
    }

    /// The process id of the program itself, as it is seen here. None once it has ended, even if
    /// it goes on in the background.
    pub fn pid(&self) -> Option<Pid> {
        pid_of(self.program.as_ref()?)
    }

    /// A process that the program has left behind when it put itself into the background, as it is
    /// seen here.
    pub fn background_pid(&self) -> Option<Pid> {
        let keeper = child_of(pid_of(&self.launcher)?)?;
        child_of(keeper)
    }

    /// Sends a signal to the program itself; never to another that has its number since. Errors:
    /// ESRCH if it has ended.
    pub fn signal(&self, signal: Signal) -> rustix::io::Result<()> {
        match &self.program {
            Some(program) => pidfd_send_signal(program, signal),
            None => Err(rustix::io::Errno::SRCH),
        }
    }

    /// Readable when the program and all its descendants have ended: to be polled.
    pub fn end(&self) -> BorrowedFd<'_> {
        self.launcher.as_fd()
    }

    /// How it has ended, if it has, with all descendants: the status of the program; of one that
    /// has put itself into the background, of the last descendant.
    pub fn has_ended(&self) -> Option<ExitStatus> {
        let mut state = self.state();
        if state.ended.is_none() && over(&self.launcher) {
            let own = state.child.wait().unwrap_or_default();
            state.ended = Some(self.told_status().unwrap_or(own));
        }
        state.ended
    }

    /// Waits for its end, at most so long; how it has ended, if it has.
    pub fn wait_at_most(&self, time: Duration) -> Option<ExitStatus> {
        let until = Instant::now() + time;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let ended = readable(self.launcher.as_fd(), left);
            if ended || left.is_zero() {
                return self.has_ended();
            }
        }
    }

    /// Kills it and all descendants, and waits for their end.
    pub fn kill(&self) {
        // The launcher, or whoever is first inside, sees the end of our words and kills all.
        let _ = shutdown(&self.socket, Shutdown::Write);
        if self.wait_at_most(KILL_MAX).is_none() {
            log::warn!("{}: processes of it do not end", self.name);
            let _ = pidfd_send_signal(&self.launcher, Signal::KILL);
            self.wait_at_most(KILL_MAX);
        }
    }

    /// Asks all its processes to end, by SIGTERM, and kills what is left after `grace`.
    pub fn terminate(&self, grace: Duration) {
        let _ = send(&self.socket, keeper::TERMINATE, SendFlags::NOSIGNAL | SendFlags::DONTWAIT);
        self.wait_at_most(grace);
        self.kill();
    }

    /// The last lines that it wrote on standard error or output, at most 4 KiB. Everything is
    /// there once [`Running::has_ended`] says so.
    pub fn last_words(&self) -> String {
        if self.has_ended().is_some() {
            let listener = self.state().listener.take();
            // It ends by itself, for it knows the same.
            listener.map(JoinHandle::join);
        }
        self.words.last()
    }

    /// Its end as an error, for whoever had hoped for something else.
    pub fn ended_error(&self) -> Option<LaunchError> {
        let status = self.has_ended()?;
        let (name, last_words) = (self.name.clone(), self.last_words());
        Some(LaunchError::Ended { name, status, last_words })
    }

    /// The status that the keeper told, after all is over.
    fn told_status(&self) -> Option<ExitStatus> {
        while readable(self.socket.as_fd(), Duration::ZERO) {
            match Report::receive(&self.socket) {
                Ok(Some(Report::Ended(status))) => return Some(status),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => return None,
            }
        }
        None
    }

    fn late(&self) -> LaunchError {
        LaunchError::Late { name: self.name.clone() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        locked(&self.state)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
        let listener = self.state().listener.take();
        if self.has_ended().is_some() {
            listener.map(JoinHandle::join);
        }
    }
}

impl fmt::Debug for Running {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Running").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The process that a descriptor is of, if it has not ended.
fn pid_of(pidfd: &OwnedFd) -> Option<Pid> {
    let number = rustix::fd::AsRawFd::as_raw_fd(pidfd);
    let info = std::fs::read_to_string(format!("/proc/self/fdinfo/{number}")).ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("Pid:"))?;
    // -1 if it has ended, see pidfd_open(2).
    Pid::from_raw(line.trim().parse().ok().filter(|pid| *pid > 0)?)
}

/// The first child of a process, if the kernel tells (proc(5), CONFIG_PROC_CHILDREN).
fn child_of(pid: Pid) -> Option<Pid> {
    let pid = pid.as_raw_pid();
    let children = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok().filter(|pid| *pid > 0)?)
}

/// Waits until there is something to read, at most so long; less if there is a signal.
fn readable(fd: BorrowedFd<'_>, time: Duration) -> bool {
    let time = Timespec::try_from(time).ok();
    let mut one = [PollFd::new(&fd, PollFlags::IN)];
    poll(&mut one, time.as_ref()).is_ok_and(|ready| ready > 0)
}
