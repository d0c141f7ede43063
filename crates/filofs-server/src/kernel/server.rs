//! `Server`: one file server over all its lives, and how a request reaches it.

use super::connection::{Connection, Reply};
use super::fault::{Answer, Fault};
use super::link::Link;
use super::remote::{Place, Remote, Remotes};
use super::told;
use filofs::{
    Context, Cookie, Entry, Errno, Generation, Kind, Node, Profile, Result, Upward, locked,
};
use filofs_wire::abi::{EntryOut, Opcode, ROOT_ID};
use filofs_wire::name::Name as WireName;
use filofs_wire::request::Operation;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, RwLock};
use std::time::Duration;

/// One file server.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) name: String,
    /// As it runs now.
    link: RwLock<Arc<Link>>,
    pub(super) nodes: Arc<Remotes>,
    /// What it answered ENOSYS to: it is not asked again.
    missing: Mutex<HashSet<Opcode>>,
    /// How long an answer may take.
    patience: Option<Duration>,
    pub(super) up: OnceLock<Upward>,
}

impl Server {
    pub(super) fn new(name: &str, link: Link, patience: Option<Duration>) -> Server {
        Server {
            name: name.to_owned(),
            link: RwLock::new(Arc::new(link)),
            nodes: Arc::default(),
            missing: Mutex::default(),
            patience,
            up: OnceLock::new(),
        }
    }

    /// As it runs now.
    pub(super) fn now(&self) -> Arc<Link> {
        self.link.read().unwrap_or_else(std::sync::PoisonError::into_inner).clone()
    }

    pub(super) fn profile(&self) -> Profile {
        self.now().terms.profile
    }

    /// Runs one operation: a few requests, of which each needs the ones before.
    pub(super) fn run<T>(&self, mut operation: impl FnMut(&Link) -> Answer<T>) -> Result<T> {
        match operation(&self.now()) {
            Ok(answer) => Ok(answer),
            Err(Fault::Errno(errno)) => Err(errno),
            Err(Fault::Missing) => Err(Errno::MISSING),
            Err(Fault::Died) => Err(Errno::ENXIO),
            Err(Fault::Late) => Err(Errno::ETIMEDOUT),
        }
    }

    /// Asks about a node of that id.
    pub(super) fn ask(
        &self,
        link: &Link,
        cx: &Context<'_>,
        nodeid: u64,
        operation: &Operation<'_>,
    ) -> Answer<Reply> {
        self.ask_within(link, cx, nodeid, operation, self.patience)
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
        let opcode = operation.opcode();
        if self.lacks(link, opcode) {
            return Err(Fault::Missing);
        }
        let answer = link.connection.call(cx, nodeid, operation, patience);
        if matches!(answer, Err(Fault::Missing)) {
            locked(&self.missing).insert(opcode);
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

    /// The server's id of a node, which is looked up again if the server was started since.
    pub(super) fn id(&self, link: &Link, cx: &Context<'_>, node: &Node) -> Answer<u64> {
        self.id_of(link, cx, &Self::remote(node)?)
    }

    /// The same.
    pub(super) fn id_of(&self, link: &Link, cx: &Context<'_>, remote: &Arc<Remote>) -> Answer<u64> {
        if let Some(nodeid) = remote.nodeid(link.epoch) {
            return Ok(nodeid);
        }
        // From the root down: what is above a node may have to be found again first.
        let stale = || Fault::Errno(Errno::ESTALE);
        let mut chain = vec![remote.clone()];
        let mut above = loop {
            let lowest = chain.last().ok_or_else(stale)?;
            if lowest.cookie == ROOT_ID {
                break ROOT_ID;
            }
            if let Some(nodeid) = lowest.nodeid(link.epoch) {
                break nodeid;
            }
            let place = lowest.place().ok_or_else(stale)?;
            chain.push(place.dir);
        };
        while let Some(lost) = chain.pop() {
            if lost.cookie == ROOT_ID {
                lost.bind(link, &EntryOut { nodeid: ROOT_ID, ..EntryOut::default() });
                continue;
            }
            if let Some(nodeid) = lost.nodeid(link.epoch) {
                above = nodeid;
                continue;
            }
            let place = lost.place().ok_or_else(stale)?;
            let name = WireName::new(&place.name).map_err(|_| stale())?;
            let reply = self.ask(link, cx, above, &Operation::Lookup { name });
            let entry = match reply {
                Ok(reply) => self.fixed::<EntryOut>(link, Opcode::Lookup, above, reply.body())?,
                Err(Fault::Errno(Errno::ENOENT)) => return Err(stale()),
                Err(fault) => return Err(fault),
            };
            if entry.nodeid == 0 {
                return Err(stale());
            }
            let same_kind = Kind::from_mode(entry.attr.mode) == Some(lost.kind);
            if !same_kind || !lost.bind(link, &entry) {
                link.connection.forget(entry.nodeid, 1);
            }
            above = lost.nodeid(link.epoch).ok_or_else(stale)?;
        }
        Ok(above)
    }

    /// An answer that is that structure. EPROTO, told to the server, for one of another size.
    pub(super) fn fixed<T: zerocopy::FromBytes>(
        &self,
        link: &Link,
        opcode: Opcode,
        nodeid: u64,
        body: &[u8],
    ) -> Answer<T> {
        filofs_wire::incoming::fixed(body)
            .ok_or_else(|| link.connection.lie(opcode, 0, nodeid, "an answer of another size"))
    }

    /// An answer that must say nothing.
    pub(super) fn nothing(
        &self,
        link: &Link,
        opcode: Opcode,
        nodeid: u64,
        reply: &Reply,
    ) -> Answer<()> {
        if reply.body().is_empty() {
            return Ok(());
        }
        Err(link.connection.lie(opcode, 0, nodeid, "an answer of another size"))
    }

    /// Takes in a node that the server named for a name in a directory.
    ///
    /// EPROTO, told to the server, for what no file system may answer: attributes that no file
    /// has, the directory itself, the root, a known node of another kind, and with `new` any known
    /// node (C.7). The lookup it counted is given back.
    pub(super) fn named(
        &self,
        link: &Link,
        opcode: Opcode,
        dir: &Arc<Remote>,
        name: &[u8],
        entry: &EntryOut,
        new: bool,
    ) -> Answer<Entry> {
        let above = dir.nodeid(link.epoch).unwrap_or_default();
        if entry.nodeid == 0 {
            // "No such thing": C.2.
            return Err(Errno::EOPNOTSUPP.into());
        }
        if entry.nodeid == ROOT_ID {
            return Err(link.connection.lie(opcode, 0, above, "the root's id"));
        }
        let place = Place { dir: dir.clone(), name: name.into() };
        let (mut answer, known) = self.known(link, opcode, entry, Some(place))?;
        if answer.cookie.0 == dir.cookie {
            return Err(link.connection.lie(opcode, 0, above, "the directory itself"));
        }
        if new && known {
            return Err(link.connection.lie(opcode, 0, above, "a node that exists already"));
        }
        answer.ttl = told::lifetime(entry.entry_valid, entry.entry_valid_nsec)
            .map_err(|wrong| link.connection.lie(opcode, 0, above, wrong))?;
        Ok(answer)
    }

    /// Takes in a node that the server named, and whether it was known.
    pub(super) fn known(
        &self,
        link: &Link,
        opcode: Opcode,
        entry: &EntryOut,
        place: Option<Place>,
    ) -> Answer<(Entry, bool)> {
        let refuse = |text| {
            link.connection.forget(entry.nodeid, u64::from(entry.nodeid != ROOT_ID));
            link.connection.lie(opcode, 0, entry.nodeid, text)
        };
        let attr = told::entry_attributes(entry).map_err(refuse)?;
        let ttl = told::lifetime(entry.entry_valid, entry.entry_valid_nsec).map_err(refuse)?;
        let learned = self.nodes.learn(link, entry, attr.kind, place);
        let learned = learned.ok_or_else(|| refuse("a known node as another kind of file"))?;
        let answer = Entry {
            cookie: Cookie(learned.remote.cookie),
            generation: Generation(entry.generation),
            attr,
            ttl,
            state: Some(learned.remote),
        };
        Ok((answer, learned.known))
    }

    /// The connection as it is now, for the worker.
    pub(super) fn connection(&self) -> Arc<Connection> {
        self.now().connection.clone()
    }
}
