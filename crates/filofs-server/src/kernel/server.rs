//! `Server`: one file server over all its lives, and how a request reaches it.

use super::Settings;
use super::blame::Blame;
use super::connection::Reply;
use super::fault::{Answer, Fault};
use super::life::{Health, OnExit, Starter};
use super::link::Link;
use super::remote::{Moment, Place, Remote, Remotes};
use super::told::{self, Wrong};
use filofs::{
    Context, Cookie, Entry, Errno, Generation, Kind, Name, Node, Pid, Profile, Result, Upward,
    locked,
};
use filofs_wire::abi::{EntryOut, Opcode, ROOT_ID};
use filofs_wire::request::Operation;
use std::collections::HashSet;
use std::ops::Deref;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError, RwLock};
use std::time::{Duration, Instant};

/// One file server.
pub(super) struct Server {
    pub(super) name: String,
    pub(super) settings: Settings,
    pub(super) starter: Option<Box<dyn Starter>>,
    /// In its first life, and so in the mount's eyes, nothing can be changed through it.
    pub(super) read_only: bool,
    /// As it runs now.
    link: RwLock<Arc<Link>>,
    /// What it answered in earlier lives that no server may.
    earlier_lies: AtomicU64,
    pub(super) health: Mutex<Health>,
    /// Deadlines that it has missed, one after the other.
    misses: AtomicU32,
    blame: Blame,
    /// Nobody will start it again: for those who wait with `health`.
    over: Condvar,
    pub(super) nodes: Arc<Remotes>,
    /// What it answered ENOSYS to: it is not asked again.
    missing: Mutex<HashSet<Opcode>>,
    pub(super) up: OnceLock<Upward>,
}

/// One try at an operation: with the server as it runs now.
pub(super) struct Attempt {
    link: Arc<Link>,
    /// An earlier try ended with the server: it may have been done, or not.
    pub(super) again: bool,
}

impl Deref for Attempt {
    type Target = Link;

    fn deref(&self) -> &Link {
        &self.link
    }
}

impl Server {
    /// A server that is so often too late, one time after the other, is taken for dead.
    const MOST_MISSES: u32 = 3;
    /// A request that was on its way alone so often when the server died is not sent again. It
    /// was on its way when the server died before, with others: it has killed it three times.
    const MOST_DEATHS_ALONE: u32 = 2;
    /// Nor is one that was on its way so often, with whomever.
    const MOST_DEATHS: u32 = 10;
    /// Nor is one that found so many servers gone, whether they have seen it or not.
    const MOST_GOINGS: u32 = 100;
    /// How long a caller waits for a server to be started again, where it may wait for ever.
    const RETURN: Duration = Duration::from_secs(60);

    pub(super) fn new(
        settings: &Settings,
        link: Arc<Link>,
        starter: Option<Box<dyn Starter>>,
    ) -> Server {
        Server {
            name: settings.name.clone(),
            settings: settings.clone(),
            starter,
            read_only: link.terms.profile.read_only,
            link: RwLock::new(link),
            earlier_lies: AtomicU64::new(0),
            health: Mutex::new(Health::new(settings)),
            misses: AtomicU32::new(0),
            blame: Blame::default(),
            over: Condvar::new(),
            nodes: Arc::default(),
            missing: Mutex::default(),
            up: OnceLock::new(),
        }
    }

    /// As it runs now.
    pub(super) fn now(&self) -> Arc<Link> {
        self.link.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It was started again. False if it is wanted no more: then the new one is ended.
    pub(super) fn replace(&self, link: Arc<Link>) -> bool {
        let health = locked(&self.health);
        if health.over {
            drop(health);
            link.end();
            return false;
        }
        self.misses.store(0, Ordering::Relaxed);
        let old = std::mem::replace(
            &mut *self.link.write().unwrap_or_else(PoisonError::into_inner),
            link,
        );
        self.earlier_lies.fetch_add(old.connection.lies(), Ordering::Relaxed);
        drop(health);
        drop(old);
        true
    }

    /// How often it answered what no server may.
    pub(super) fn lies(&self) -> u64 {
        self.earlier_lies.load(Ordering::Relaxed) + self.now().connection.lies()
    }

    /// Whether it was too late with the last answer that was awaited.
    pub(super) fn is_late(&self) -> bool {
        self.misses.load(Ordering::Relaxed) > 0
    }

    /// Whether it is started again when it dies.
    pub(super) fn restarts(&self) -> bool {
        self.settings.on_exit == OnExit::Restart && self.starter.is_some()
    }

    pub(super) fn profile(&self) -> Profile {
        let profile = self.now().terms.profile;
        // A server that is started again knows nothing of earlier locks: the front end does.
        Profile { locks: profile.locks && !self.restarts(), ..profile }
    }

    /// Runs one operation: a few requests, of which each needs the ones before. If the server dies
    /// on the way and is started again, so is the operation; it is told so.
    pub(super) fn run<T>(
        &self,
        cx: &Context<'_>,
        mut operation: impl FnMut(&Attempt) -> Answer<T>,
    ) -> Result<T> {
        let (mut deaths, mut alone, mut goings) = (0, 0, 0);
        loop {
            let attempt = Attempt { link: self.now(), again: deaths > 0 };
            let epoch = attempt.epoch;
            let going = if deaths == 0 { self.blame.go(cx)? } else { self.blame.go_alone(cx)? };
            let fault = match operation(&attempt) {
                Ok(answer) => return Ok(answer),
                Err(Fault::Errno(errno)) => return Err(errno),
                Err(Fault::Missing) => return Err(Errno::MISSING),
                Err(Fault::Late) => return Err(Errno::ETIMEDOUT),
                Err(fault @ (Fault::Gone | Fault::Died)) => fault,
            };
            attempt.connection.die();
            deaths += u32::from(fault == Fault::Died);
            alone += u32::from(fault == Fault::Died && going.is_alone());
            // Whether it has seen the request is, in shared memory, what it says itself.
            goings += 1;
            drop(going);
            if alone >= Self::MOST_DEATHS_ALONE
                || deaths >= Self::MOST_DEATHS
                || goings >= Self::MOST_GOINGS
            {
                log::error!("{}: a request that kills it is given up", self.name);
                return Err(Errno::EIO);
            }
            self.await_return(cx, epoch)?;
        }
    }

    /// Waits until a server that died is there again.
    ///
    /// Errors: ENXIO where its death ends the mount; EIO where it stays dead, dies all the time,
    /// or does not come back in time; EINTR.
    fn await_return(&self, cx: &Context<'_>, epoch: u64) -> Result<()> {
        if self.settings.on_exit == OnExit::Unmount {
            return Err(Errno::ENXIO);
        }
        let until = Instant::now() + self.settings.patience.unwrap_or(Self::RETURN);
        while self.now().epoch == epoch {
            let hopeless = {
                let mut health = locked(&self.health);
                health.over || health.is_degraded(Instant::now())
            };
            if !self.restarts() || hopeless || Instant::now() >= until {
                return Err(Errno::EIO);
            }
            if cx.cancelled() {
                return Err(Errno::EINTR);
            }
            cx.cancel.sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Whether nobody will start it again, which is waited for so long.
    pub(super) fn is_over_within(&self, time: Duration) -> bool {
        let health = locked(&self.health);
        let waited = self.over.wait_timeout_while(health, time, |health| !health.over);
        waited.unwrap_or_else(PoisonError::into_inner).0.over
    }

    /// Nobody will start it again.
    pub(super) fn is_over(&self) {
        locked(&self.health).over = true;
        self.over.notify_all();
    }

    /// Asks about a node of that id.
    pub(super) fn ask(
        &self,
        link: &Link,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
    ) -> Answer<Reply> {
        self.ask_within(link, cx, nodeid, operation, self.settings.patience)
    }

    /// The same, waiting so long.
    pub(super) fn ask_within(
        &self,
        link: &Link,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
        patience: Option<Duration>,
    ) -> Answer<Reply> {
        self.noting(link, cx, operation.opcode(), |cx| {
            link.connection.call(cx, nodeid, operation, patience)
        })
    }

    /// Asks what is asked by `call`, and takes note of how that went.
    pub(super) fn noting<T>(
        &self,
        link: &Link,
        cx: &Context<'_>,
        opcode: Opcode,
        call: impl FnOnce(&Context<'_>) -> Answer<T>,
    ) -> Answer<T> {
        if self.lacks(link, opcode) {
            return Err(Fault::Missing);
        }
        let pid = if self.settings.tells_pids { cx.pid } else { Pid(0) };
        let answer = call(&Context { pid, ..*cx });
        match &answer {
            Err(Fault::Missing) => {
                locked(&self.missing).insert(opcode);
            }
            Err(Fault::Late) => {
                let misses = self.misses.fetch_add(1, Ordering::Relaxed) + 1;
                log::error!("{}: {} is not answered in time ({misses})", self.name, opcode.name());
                if misses >= Self::MOST_MISSES {
                    link.connection.die();
                }
            }
            Ok(_) => self.misses.store(0, Ordering::Relaxed),
            Err(_) => {}
        }
        answer
    }

    /// Whether it has said that it does not know that operation.
    pub(super) fn lacks(&self, link: &Link, opcode: Opcode) -> bool {
        link.connection.lacks(opcode) || locked(&self.missing).contains(&opcode)
    }

    /// Tells and awaits nothing.
    pub(super) fn tell(&self, link: &Link, cx: &Context<'_>, id: u64, operation: &Operation<'_>) {
        if !self.lacks(link, operation.opcode()) {
            link.connection.tell(cx, id, operation);
        }
    }

    /// The remote of a node. EBADF for another file system's.
    pub(super) fn remote(node: &Node) -> Answer<Arc<Remote>> {
        node.state_arc::<Remote>().ok_or(Fault::Errno(Errno::EBADF))
    }

    /// An answer that is that structure. EPROTO, told to the server, for one of another size.
    pub(super) fn fixed<T: zerocopy::FromBytes>(
        link: &Link,
        opcode: Opcode,
        nodeid: u64,
        body: &[u8],
    ) -> Answer<T> {
        filofs_wire::incoming::fixed(body)
            .ok_or_else(|| link.connection.lie(opcode, 0, nodeid, "an answer of another size"))
    }

    /// An answer that must say nothing.
    pub(super) fn nothing(link: &Link, opcode: Opcode, nodeid: u64, reply: &Reply) -> Answer<()> {
        if reply.body().is_empty() {
            return Ok(());
        }
        Err(link.connection.lie(opcode, 0, nodeid, "an answer of another size"))
    }

    /// Takes in a node that the server named for a name in a directory.
    ///
    /// EOPNOTSUPP for none; EPROTO, told to the server, as [`Server::vet`] has it.
    pub(super) fn named(
        &self,
        link: &Link,
        opcode: Opcode,
        dir: &Arc<Remote>,
        name: Name<'_>,
        entry: &EntryOut,
    ) -> Answer<Entry> {
        if entry.nodeid == 0 {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let place = Some(Place::new(dir, name));
        let vetted = self.vet(link, entry, place, None, None);
        let above = dir.nodeid(link.epoch).unwrap_or_default();
        vetted.map_err(|wrong| Self::refuse(link, opcode, above, entry, wrong))
    }

    /// Takes in a node that the server named, at that place, if it has one.
    ///
    /// Refused is what no file system may answer: attributes that no file has; the root or the
    /// directory itself as what is in a directory; another kind of file than it is or must be; and
    /// with `since` any node known before that (C.7). Then the lookup that the server counts is to
    /// be given back.
    pub(super) fn vet(
        &self,
        link: &Link,
        entry: &EntryOut,
        place: Option<Place>,
        kind: Option<Kind>,
        since: Option<Moment>,
    ) -> std::result::Result<Entry, Wrong> {
        if let Some(place) = &place {
            if entry.nodeid == ROOT_ID {
                return Err("the root's id");
            }
            if place.dir.nodeid(link.epoch) == Some(entry.nodeid) {
                return Err("the directory itself");
            }
        }
        let attr = told::entry_attributes(entry)?;
        let ttl = told::lifetime(entry.entry_valid, entry.entry_valid_nsec)?;
        if kind.is_some_and(|kind| kind != attr.kind) {
            return Err("another kind of file than was asked for");
        }
        self.find_twin(link, entry);
        let learned = self.nodes.learn(link, entry, attr.kind, place, since)?;
        Ok(Entry {
            cookie: Cookie(learned.cookie),
            generation: Generation(learned.generation),
            attr,
            ttl,
            state: Some(learned),
        })
    }

    /// Gives back a node that is not taken in. What the caller is told.
    pub(super) fn refuse(
        link: &Link,
        opcode: Opcode,
        nodeid: u64,
        entry: &EntryOut,
        wrong: Wrong,
    ) -> Fault {
        link.connection.give_back(entry);
        link.connection.lie(opcode, 0, nodeid, wrong)
    }
}

/// The same caller, who cannot be interrupted and has time: for what must not be left undone.
pub(super) fn patient<'c>(cx: &Context<'c>) -> Context<'c> {
    Context { cancel: Context::internal().cancel, deadline: None, ..*cx }
}

impl std::fmt::Debug for Server {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({:?})", self.name, self.now())
    }
}
