//! Finding nodes again, after the server was started again and its ids mean nothing any more.
//!
//! A server that has file handles is asked by handle, where one is known: that finds a file
//! wherever it is, and no other. Handles are asked for when the last name known of a node is about
//! to go and somebody still needs the node. All other nodes are looked up by their names, from
//! the root down; what is found there must be of the same kind, and of a server of ours also have
//! the same inode number.

use super::fault::{Answer, Fault};
use super::link::Link;
use super::remote::Remote;
use super::server::Server;
use filofs::{Attr, Context, Errno, Name, Node, Time};
use filofs_wire::abi::{EntryOut, HandleOfIn, Opcode, ROOT_ID};
use filofs_wire::incoming;
use filofs_wire::limits::HANDLE_MAX;
use filofs_wire::name::Name as WireName;
use filofs_wire::request::Operation;
use std::sync::Arc;
use std::time::Duration;

/// A node that is not found again.
const STALE: Fault = Fault::Errno(Errno::ESTALE);

impl Server {
    /// The server's id of a node, which is found again if the server was started since. ESTALE
    /// where it is not found.
    pub(super) fn id(&self, link: &Link, cx: &Context<'_>, node: &Node) -> Answer<u64> {
        self.id_of(link, cx, &Self::remote(node)?)
    }

    /// The same.
    pub(super) fn id_of(&self, link: &Link, cx: &Context<'_>, remote: &Arc<Remote>) -> Answer<u64> {
        if let Some(nodeid) = remote.nodeid(link.epoch) {
            return Ok(nodeid);
        }
        // What is above a node may have to be found first. No node is beneath itself.
        let mut lost = vec![remote.clone()];
        let mut above = loop {
            let highest = lost.last().ok_or(STALE)?;
            if let Some(nodeid) = self.without_name(link, cx, highest)? {
                lost.pop();
                break nodeid;
            }
            let place = highest.place().ok_or(STALE)?;
            lost.push(place.dir);
        };
        while let Some(remote) = lost.pop() {
            above = self.by_name(link, cx, above, &remote)?;
        }
        Ok(above)
    }

    /// The id of what need not be looked up by its name: it is known, it is the root, or it has a
    /// handle.
    fn without_name(
        &self,
        link: &Link,
        cx: &Context<'_>,
        remote: &Arc<Remote>,
    ) -> Answer<Option<u64>> {
        if let Some(nodeid) = remote.nodeid(link.epoch) {
            return Ok(Some(nodeid));
        }
        if remote.cookie == ROOT_ID {
            let root = EntryOut { nodeid: ROOT_ID, ..EntryOut::default() };
            return bind(link, remote, &root).map(Some);
        }
        let Some(handle) = remote.handle().filter(|_| link.terms.has_handles()) else {
            return Ok(None);
        };
        let reply = match self.ask(link, cx, 0, &Operation::NodeOf { handle: &handle }) {
            Err(Fault::Missing) => return Ok(None),
            reply => reply?,
        };
        let entry: EntryOut = Self::fixed(link, Opcode::NodeOf, 0, reply.body())?;
        bind(link, remote, &entry).map(Some)
    }

    fn by_name(
        &self,
        link: &Link,
        cx: &Context<'_>,
        above: u64,
        remote: &Arc<Remote>,
    ) -> Answer<u64> {
        if let Some(nodeid) = remote.nodeid(link.epoch) {
            return Ok(nodeid);
        }
        let place = remote.place().ok_or(STALE)?;
        let name = WireName::new(&place.name).map_err(|_| STALE)?;
        let reply = match self.ask(link, cx, above, &Operation::Lookup { name }) {
            Err(Fault::Errno(Errno::ENOENT)) => return Err(STALE),
            reply => reply?,
        };
        let entry: EntryOut = Self::fixed(link, Opcode::Lookup, above, reply.body())?;
        bind(link, remote, &entry)
    }

    /// The server names a file that has other names. If it is lost under one of those, it is found
    /// again there first, so that it does not become two.
    pub(super) fn find_twin(&self, link: &Link, entry: &EntryOut) {
        if link.epoch > 1
            && entry.attr.nlink > 1
            && link.terms.is_ours()
            && let Some(lost) = self.nodes.lost_twin(link.epoch, entry)
        {
            // Not found is as good: then it is another file.
            let _ = self.id_of(link, &Context::internal(), &lost);
        }
    }

    /// A name is about to be taken away, or to become another file's. If it is the last one known
    /// of a node that is open or has other names, its handle is asked for, while there is time.
    pub(super) fn keep_handle(&self, link: &Link, cx: &Context<'_>, dir: &Remote, name: Name<'_>) {
        if !self.restarts() || !link.terms.has_handles() {
            return;
        }
        let Some(remote) = self.nodes.at(dir, name.bytes()) else { return };
        if remote.handle().is_some() || !remote.outlives_name() {
            return;
        }
        let Ok(id) = self.id_of(link, cx, &remote) else { return };
        let arg = HandleOfIn { room: HANDLE_MAX, padding: 0 };
        let Ok(reply) = self.ask(link, cx, id, &Operation::HandleOf { arg }) else { return };
        if let Some((_, Some(handle))) = incoming::handle_of(reply.body(), arg.room) {
            remote.keep_handle(handle);
        }
    }
}

/// Whether two names lead to one file, of which the first was not there before somebody asked for a
/// link. By the inode number; foreign programs may have one for each name (libfuse without
/// `use_ino`), and then by all else that is said of a file.
pub(super) fn is_linked(new: &Attr, old: &Attr, is_ours: bool) -> bool {
    let rest =
        |attr: &Attr| Attr { ino: 0, atime: Time::default(), ttl: Duration::ZERO, ..attr.clone() };
    new.ino == old.ino || (!is_ours && new.nlink > 1 && rest(new) == rest(old))
}

/// Takes what was found for the node that was lost, if it can be. The id the node has now.
fn bind(link: &Link, remote: &Arc<Remote>, entry: &EntryOut) -> Answer<u64> {
    let fits = entry.nodeid != 0 && remote.may_be(entry, link.terms.is_ours());
    let nodeid = if fits { remote.bind(link, entry) } else { remote.nodeid(link.epoch) };
    if !(fits && nodeid == Some(entry.nodeid)) {
        link.connection.give_back(entry);
    }
    nodeid.ok_or_else(|| if link.connection.is_dead() { Fault::Died } else { STALE })
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs::Kind;

    #[test]
    fn a_link_is_known_by_its_number_and_a_foreign_one_by_all_else() {
        let file = Attr { nlink: 2, size: 7, ..Attr::new(5, Kind::Regular) };
        let other = |ino| Attr { ino, ..file.clone() };
        assert!(is_linked(&other(5), &file, true) && is_linked(&other(5), &file, false));
        assert!(is_linked(&other(6), &file, false), "a number for each name");
        assert!(!is_linked(&other(6), &file, true), "our numbers mean something");
        assert!(!is_linked(&Attr { size: 8, ..other(6) }, &file, false), "somebody else's file");
        let one = |ino| Attr { nlink: 1, ..other(ino) };
        assert!(!is_linked(&one(6), &one(5), false), "neither is a link");
    }
}
