//! `Listening`: a file server that waits for cores to connect.

use super::socket::Socket;
use super::{ServeError, Server};
use crate::peer::Peer;
use filofs::{FileSystem, locked};
use filofs_front::fuse::Session;
use filofs_wire::abi::Opcode;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// A file server that listens: each core that connects gets a mount of its own. Dropped, it
/// stops.
#[derive(Debug)]
pub struct Listening(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    socket: Socket,
    server: Server,
    /// Who else than root may connect.
    uid: u32,
    connections: AtomicUsize,
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Cores that have connected and are no session yet.
    callers: Vec<Arc<OwnedFd>>,
    sessions: Vec<Arc<Session>>,
    /// It was stopped, lazily or not.
    stopped: Option<bool>,
    /// The thread that lets cores in has left.
    closed: bool,
}

impl Listening {
    /// Most cores that are served at once: others are turned away.
    pub const MOST: usize = 64;
    /// How long a core may take to say its first word, and to go on from there when it is stopped.
    const PATIENCE: Duration = Duration::from_secs(10);
    /// How long to wait where the process has no descriptor left for another core.
    const PAUSE: Duration = Duration::from_millis(100);

    pub(super) fn start<F: FileSystem + 'static>(
        server: Server,
        path: &Path,
        make: impl FnMut() -> filofs::Result<F> + Send + 'static,
    ) -> Result<Listening, ServeError> {
        let me = rustix::process::geteuid().as_raw();
        let uid = server.peer.unwrap_or(me);
        // Who may connect is decided by who connects, so that another user's core finds the way.
        let socket = Socket::listen(path, if uid == me { 0o600 } else { 0o666 })?;
        let shared = Arc::new(Shared {
            socket,
            server,
            uid,
            connections: AtomicUsize::new(0),
            state: Mutex::default(),
            changed: Condvar::new(),
        });
        let door = shared.clone();
        thread::Builder::new()
            .name("filo-door".into())
            .spawn(move || door.let_in(make))
            .map_err(|error| ServeError::system("start a thread", &error))?;
        Ok(Listening(shared))
    }

    /// How many cores are being served, or about to be.
    pub fn connections(&self) -> usize {
        self.0.connections.load(SeqCst)
    }

    /// Stops: nobody is let in any more, the socket's file goes, and cores are asked to unmount;
    /// lazily, their connections are ended. From any thread.
    pub fn stop(&self, lazy: bool) {
        let sessions = {
            let mut state = locked(&self.0.state);
            state.stopped = Some(lazy);
            state.sessions.clone()
        };
        self.0.socket.close();
        thread::scope(|scope| {
            for session in &sessions {
                // At once, since each core may take its time.
                let spawned = thread::Builder::new().spawn_scoped(scope, || leave(session, lazy));
                if spawned.is_err() {
                    leave(session, true);
                }
            }
        });
        self.0.cut(if lazy { Duration::ZERO } else { Self::PATIENCE });
    }

    /// Blocks until it was stopped and the last core is gone.
    pub fn wait(&self) {
        let shared = &*self.0;
        let mut state = locked(&shared.state);
        while !state.closed || shared.connections.load(SeqCst) > 0 {
            state = shared.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        self.stop(true);
    }
}

impl Shared {
    /// The life of the thread at the door.
    fn let_in<F: FileSystem + 'static>(
        self: &Arc<Self>,
        mut make: impl FnMut() -> filofs::Result<F>,
    ) {
        while !self.stopped() {
            match self.socket.accept() {
                Ok(core) if self.may_enter(&core) => match make() {
                    Ok(fs) => self.serve(fs, core),
                    Err(errno) => log::error!("no file system for a core: {errno}"),
                },
                Ok(_) | Err(Errno::CONNABORTED | Errno::INTR) => {}
                Err(_) if self.stopped() => break,
                Err(errno) => {
                    log::error!("cannot let a core in: {errno}");
                    thread::sleep(Listening::PAUSE);
                }
            }
        }
        locked(&self.state).closed = true;
        self.changed.notify_all();
    }

    /// Ends the connections of cores that are no session in that time.
    fn cut(&self, patience: Duration) {
        let state = locked(&self.state);
        let begun = |state: &mut State| !state.callers.is_empty();
        let waited = self.changed.wait_timeout_while(state, patience, begun);
        let (mut state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        for caller in state.callers.drain(..) {
            let _ = rustix::net::shutdown(&caller, rustix::net::Shutdown::Both);
        }
    }

    fn stopped(&self) -> bool {
        locked(&self.state).stopped.is_some()
    }

    fn may_enter(&self, core: &OwnedFd) -> bool {
        let uid = Peer::of(core).map(|peer| peer.uid);
        let known = uid.is_ok_and(|uid| uid == 0 || uid == self.uid);
        if !known {
            log::warn!("user {uid:?} wants to be served, and may not");
        }
        let room = self.connections.load(SeqCst) < Listening::MOST;
        if !room {
            log::warn!("{} cores are being served: no more", Listening::MOST);
        }
        known && room
    }

    /// Serves one core, by a thread of its own.
    fn serve(self: &Arc<Self>, fs: impl FileSystem + 'static, core: OwnedFd) {
        let caller = match core.try_clone() {
            Ok(caller) => Arc::new(caller),
            Err(error) => return log::error!("cannot let a core in: {error}"),
        };
        {
            let mut state = locked(&self.state);
            if state.stopped.is_some() {
                return;
            }
            state.callers.push(caller.clone());
        }
        self.connections.fetch_add(1, SeqCst);
        let guest = Guest { shared: self.clone(), caller };
        let spawned = thread::Builder::new().name("filo-core".into()).spawn(move || {
            if !guest.speaks(&core) {
                return log::warn!("a core has connected and does not say INIT");
            }
            match guest.shared.server.over(fs, core) {
                Ok(session) => guest.stay(&Arc::new(session)),
                Err(error) => log::error!("{error}"),
            }
        });
        if let Err(error) = spawned {
            log::error!("no thread to serve a core: {error}");
        }
    }
}

/// One core while it is being served; counted out when it goes, however it does.
struct Guest {
    shared: Arc<Shared>,
    caller: Arc<OwnedFd>,
}

impl Guest {
    /// How often a core that says nothing is looked at.
    const LOOK: Duration = Duration::from_millis(50);

    /// Whether the core says INIT, in time and before anybody stops this. It is not read yet.
    fn speaks(&self, core: &OwnedFd) -> bool {
        let until = Instant::now() + Listening::PATIENCE;
        let look = Timespec::try_from(Self::LOOK).ok();
        while !self.shared.stopped() && Instant::now() < until {
            let mut core_speaks = [PollFd::new(core, PollFlags::IN)];
            if poll(&mut core_speaks, look.as_ref()).is_ok_and(|ready| ready > 0) {
                let mut head = [0; 8];
                let flags = RecvFlags::PEEK | RecvFlags::DONTWAIT;
                let heard = recv(core, &mut head, flags).is_ok_and(|(len, _)| len == head.len());
                return heard && head[4..] == (Opcode::Init as u32).to_ne_bytes();
            }
        }
        false
    }

    fn stay(&self, session: &Arc<Session>) {
        let stopped = {
            let mut state = locked(&self.shared.state);
            state.callers.retain(|caller| !Arc::ptr_eq(caller, &self.caller));
            state.sessions.push(session.clone());
            self.shared.changed.notify_all();
            state.stopped
        };
        // Who stopped it meanwhile did not see this one.
        if let Some(lazy) = stopped {
            leave(session, lazy);
        }
        session.wait();
        locked(&self.shared.state).sessions.retain(|other| !Arc::ptr_eq(other, session));
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let mut state = locked(&self.shared.state);
        state.callers.retain(|caller| !Arc::ptr_eq(caller, &self.caller));
        self.shared.connections.fetch_sub(1, SeqCst);
        self.shared.changed.notify_all();
    }
}

fn leave(session: &Session, lazy: bool) {
    if let Err(error) = session.unmount(lazy) {
        log::warn!("{error}");
    }
}
