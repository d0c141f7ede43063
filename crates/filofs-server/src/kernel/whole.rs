//! The operations on the file system as a whole, and on durable names.

use super::fault::Fault;
use super::server::Server;
use super::told;
use filofs::{
    Context, Cookie, Entry, Errno, ExtattrCtl, Kind, Node, Result, Statfs, SyncMode, UnmountFlags,
};
use filofs_wire::abi::{
    self, AttrOut, EntryOut, ExtattrctlFlags, ExtattrctlIn, GetattrIn, Opcode, ROOT_ID, StatfsOut,
    SyncLaterIn, SyncfsIn, UnmountIn,
};
use filofs_wire::name::{Name as WireName, XattrName};
use filofs_wire::request::Operation;

impl Server {
    /// Known from the handshake, or asked for once (A67).
    pub(super) fn root(&self, cx: &Context<'_>) -> Result<Entry> {
        self.run(cx, |link| {
            let root = if let Some(arguments) = &link.terms.arguments {
                arguments.root
            } else {
                let arg = GetattrIn::default();
                let reply = self.ask(link, cx, ROOT_ID, &Operation::Getattr { arg })?;
                let out: AttrOut = Self::fixed(link, Opcode::Getattr, ROOT_ID, reply.body())?;
                EntryOut {
                    nodeid: ROOT_ID,
                    attr_valid: out.attr_valid,
                    attr_valid_nsec: out.attr_valid_nsec,
                    attr: out.attr,
                    ..EntryOut::default()
                }
            };
            let entry = self.vet(link, &root, None, None, None);
            entry.map_err(|wrong| Self::refuse(link, Opcode::Getattr, ROOT_ID, &root, wrong))
        })
    }

    /// While mounting, the numbers of the handshake (A26, A41).
    pub(super) fn statfs(&self, cx: &Context<'_>, node: &Node) -> Result<Statfs> {
        self.run(cx, |link| {
            if let (Some(arguments), None) = (&link.terms.arguments, self.up.get()) {
                return Ok(told::statfs(&arguments.statfs));
            }
            let id = self.id(link, cx, node)?;
            let reply = match self.ask(link, cx, id, &Operation::Statfs) {
                Err(Fault::Missing) => return Ok(Statfs::UNKNOWN),
                reply => reply?,
            };
            let out: StatfsOut = Self::fixed(link, Opcode::Statfs, id, reply.body())?;
            Ok(told::statfs(&out.st))
        })
    }

    pub(super) fn sync(&self, cx: &Context<'_>, mode: SyncMode) -> Result<()> {
        self.run(cx, |link| {
            let later = match mode {
                SyncMode::Wait => {
                    let arg = SyncfsIn::default();
                    let synced = self.ask(link, cx, ROOT_ID, &Operation::Syncfs { arg });
                    return match synced {
                        Err(Fault::Missing) => Ok(()),
                        reply => Self::nothing(link, Opcode::Syncfs, ROOT_ID, &reply?),
                    };
                }
                SyncMode::NoWait => 1,
                SyncMode::Lazy => 2,
            };
            if link.connection.dialect().is_extended() {
                let arg = SyncLaterIn { mode: later, padding: 0 };
                self.tell(link, cx, ROOT_ID, &Operation::SyncLater { arg });
            }
            Ok(())
        })
    }

    pub(super) fn recall(&self, cx: &Context<'_>, cookie: Cookie) -> Result<Entry> {
        self.run(cx, |link| {
            // The cookie of a node that nobody holds is an id of the server's first life.
            if !link.terms.profile.exportable || link.epoch > 1 {
                return Err(Errno::ESTALE.into());
            }
            let name = WireName::new(b".").map_err(|_| Fault::Errno(Errno::EINVAL))?;
            let reply = self.ask(link, cx, cookie.0, &Operation::Lookup { name })?;
            let entry: EntryOut = Self::fixed(link, Opcode::Lookup, cookie.0, reply.body())?;
            if entry.nodeid != cookie.0 {
                link.connection.give_back(&entry);
                return Err(Errno::ESTALE.into());
            }
            let node = self.vet(link, &entry, None, None, None);
            node.map_err(|wrong| Self::refuse(link, Opcode::Lookup, cookie.0, &entry, wrong))
        })
    }

    pub(super) fn extattrctl(
        &self,
        cx: &Context<'_>,
        node: Option<&Node>,
        how: ExtattrCtl<'_>,
    ) -> Result<()> {
        self.run(cx, |link| {
            if !link.connection.dialect().is_extended() {
                return Err(Errno::EOPNOTSUPP.into());
            }
            let mut flags = ExtattrctlFlags::empty();
            flags.set(ExtattrctlFlags::HAS_NODE, node.is_some());
            flags.set(ExtattrctlFlags::HAS_NAME, how.name.is_some());
            let id = match node {
                // A110: of another mount.
                Some(node) => {
                    let remote = Self::remote(node).map_err(|_| Errno::EXDEV)?;
                    if !remote.is_among(&self.nodes) {
                        return Err(Errno::EXDEV.into());
                    }
                    self.id_of(link, cx, &remote)?
                }
                None => 0,
            };
            let ExtattrCtl { command, namespace, name } = how;
            let name = name.map(XattrName::new).transpose().map_err(|_| Errno::ENAMETOOLONG)?;
            let arg = ExtattrctlIn { command, namespace, flags, padding: 0 };
            let reply = self.ask(link, cx, id, &Operation::Extattrctl { arg, name });
            match reply {
                Err(Fault::Missing) => Err(Errno::EOPNOTSUPP.into()),
                reply => Self::nothing(link, Opcode::Extattrctl, id, &reply?),
            }
        })
    }

    /// The unmount question (A52). A server that does not know it has nothing against it.
    pub(super) fn unmount(&self, cx: &Context<'_>, flags: UnmountFlags) -> Result<()> {
        self.run(cx, |link| {
            if !link.connection.dialect().is_extended() || link.connection.is_dead() {
                return Ok(());
            }
            let mut question = abi::UnmountFlags::empty();
            question.set(abi::UnmountFlags::FORCE, flags.contains(UnmountFlags::FORCE));
            let arg = UnmountIn { flags: question, padding: 0 };
            match self.ask(link, cx, 0, &Operation::Unmount { arg }) {
                // A51, A64: it is gone while it is asked.
                Err(Fault::Missing | Fault::Gone | Fault::Died) => Ok(()),
                reply => Self::nothing(link, Opcode::Unmount, 0, &reply?),
            }
        })
    }

    /// The last words to the server.
    pub(super) fn goodbye(&self) {
        self.is_over();
        let link = self.now();
        let mut answers = !link.connection.is_dead() && !self.is_late();
        if answers {
            let patience = Some(std::time::Duration::from_secs(2));
            let cx = Context::internal();
            let said = self.ask_within(&link, &cx, 0, &Operation::Destroy, patience);
            answers = said.err() != Some(Fault::Late);
        }
        // Who did not answer before would not end by itself either.
        if answers { link.part() } else { link.end() }
    }

    /// The kind of file that the root is.
    pub(super) fn root_kind(&self) -> Option<Kind> {
        let link = self.now();
        link.terms.arguments.as_ref().and_then(|said| Kind::from_mode(said.root.attr.mode))
    }
}
