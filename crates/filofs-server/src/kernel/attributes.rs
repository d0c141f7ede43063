//! The operations on attributes, extended ones too.

use super::fault::{Answer, Fault};
use super::link::Link;
use super::remote::Remote;
use super::server::Server;
use super::told;
use filofs::{Access, Attr, Context, Errno, Kind, Node, Open, Result, SetAttr, Sink, XattrFlags};
use filofs_front::nouns::encode_setattr;
use filofs_wire::abi::{
    AccessIn, AttrOut, GetattrFlags, GetattrIn, GetxattrIn, GetxattrOut, InitFlags, Opcode,
    SetattrValid, SetxattrIn, Statx, StatxIn, StatxOut,
};
use filofs_wire::incoming;
use filofs_wire::limits::XATTR_SIZE_MAX;
use filofs_wire::name::XattrName;
use filofs_wire::request::Operation;
use std::sync::Arc;

impl Server {
    pub(super) fn getattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
    ) -> Result<Attr> {
        self.run(cx, |link| self.attributes_of(link, cx, &Self::remote(node)?, open))
    }

    pub(super) fn attributes_of(
        &self,
        link: &Link,
        cx: &Context<'_>,
        remote: &Arc<Remote>,
        open: Option<&Open>,
    ) -> Answer<Attr> {
        let id = self.id_of(link, cx, remote)?;
        let mut getattr_flags = GetattrFlags::empty();
        let mut open_id = 0;
        // As Linux does it: servers keep attributes of opens for regular files alone.
        if let Some(open) = open.filter(|_| remote.kind == Kind::Regular) {
            open_id = self.open_id(link, cx, open)?;
            getattr_flags |= GetattrFlags::OPEN_ID;
        }
        // Only a server of ours is asked for the time of birth: it costs others a question more.
        if link.connection.dialect().is_extended() && !self.lacks(link, Opcode::Statx) {
            let arg = StatxIn {
                getattr_flags,
                open_id,
                sx_mask: Statx::BASIC_STATS | Statx::BTIME,
                ..StatxIn::default()
            };
            let reply = self.ask(link, cx, id, &Operation::Statx { arg });
            if !matches!(reply, Err(Fault::Missing)) {
                let out: StatxOut = Self::fixed(link, Opcode::Statx, id, reply?.body())?;
                return Self::accept(link, Opcode::Statx, id, remote, told::statx(&out));
            }
        }
        let arg = GetattrIn { getattr_flags, open_id, ..GetattrIn::default() };
        let reply = self.ask(link, cx, id, &Operation::Getattr { arg })?;
        Self::attr_out(link, Opcode::Getattr, id, remote, reply.body())
    }

    fn attr_out(
        link: &Link,
        opcode: Opcode,
        id: u64,
        remote: &Remote,
        body: &[u8],
    ) -> Answer<Attr> {
        let out: AttrOut = Self::fixed(link, opcode, id, body)?;
        let attr = told::lifetime(out.attr_valid, out.attr_valid_nsec)
            .and_then(|ttl| told::attributes(&out.attr, ttl));
        Self::accept(link, opcode, id, remote, attr)
    }

    fn accept(
        link: &Link,
        opcode: Opcode,
        id: u64,
        remote: &Remote,
        attr: std::result::Result<Attr, told::Wrong>,
    ) -> Answer<Attr> {
        let attr = attr.and_then(|attr| {
            if attr.kind == remote.kind {
                Ok(attr)
            } else {
                Err("another kind of file than before")
            }
        });
        let attr = attr.map_err(|wrong| link.connection.lie(opcode, 0, id, wrong))?;
        remote.saw(attr.st_mode(), attr.nlink, attr.size);
        Ok(attr)
    }

    pub(super) fn setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        self.run(cx, |link| self.set_attributes(link, cx, &Self::remote(node)?, open, set))
    }

    pub(super) fn set_attributes(
        &self,
        link: &Link,
        cx: &Context<'_>,
        remote: &Arc<Remote>,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Answer<Attr> {
        let id = self.id_of(link, cx, remote)?;
        let abilities = link.connection.dialect().flags();
        let mut set = *set;
        if set.kill_priv && !abilities.contains(InitFlags::HANDLE_KILLPRIV_V2) {
            // As the kernel does it for such a server: in the same step.
            set.kill_priv = false;
            if remote.kind == Kind::Regular && remote.is_set_id() {
                let mode = set.mode.unwrap_or(self.attributes_of(link, cx, remote, open)?.mode);
                set.mode = Some(without_privileges(mode));
            }
            self.drop_capabilities(link, cx, id);
        }
        let mut arg = encode_setattr(&set);
        if let Some(open) = open.filter(|_| remote.kind == Kind::Regular) {
            arg.open_id = self.open_id(link, cx, open)?;
            arg.valid |= SetattrValid::OPEN_ID;
        }
        let reply = self.ask(link, cx, id, &Operation::Setattr { arg })?;
        Self::attr_out(link, Opcode::Setattr, id, remote, reply.body())
    }

    /// Clears set-id bits and file capabilities before a write, for a server that leaves it to the
    /// kernel.
    pub(super) fn kill_privileges(
        &self,
        link: &Link,
        cx: &Context<'_>,
        remote: &Arc<Remote>,
    ) -> Answer<()> {
        if remote.is_set_id() {
            let mode = self.attributes_of(link, cx, remote, None)?.mode;
            let set = SetAttr { mode: Some(without_privileges(mode)), ..SetAttr::default() };
            self.set_attributes(link, cx, remote, None, &set)?;
        }
        let id = self.id_of(link, cx, remote)?;
        self.drop_capabilities(link, cx, id);
        Ok(())
    }

    fn drop_capabilities(&self, link: &Link, cx: &Context<'_>, id: u64) {
        if let Ok(name) = XattrName::new(b"security.capability") {
            let _ = self.ask(link, cx, id, &Operation::Removexattr { name });
        }
    }

    pub(super) fn access(&self, cx: &Context<'_>, node: &Node, want: Access) -> Result<()> {
        self.run(cx, |link| {
            // C.4: what cannot be written by anybody.
            let file = matches!(node.kind(), Kind::Directory | Kind::Symlink | Kind::Regular);
            if want.contains(Access::WRITE) && file && self.lacks(link, Opcode::Write) {
                return Err(Errno::EROFS.into());
            }
            let id = self.id(link, cx, node)?;
            let arg = AccessIn { mask: want.bits(), padding: 0 };
            match self.ask(link, cx, id, &Operation::Access { arg }) {
                Err(Fault::Missing) => Ok(()),
                reply => Self::nothing(link, Opcode::Access, id, &reply?),
            }
        })
    }

    pub(super) fn getxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        self.read_xattr(cx, node, out, |arg| {
            Ok(Operation::Getxattr { arg, name: xattr_name(key)? })
        })
    }

    pub(super) fn listxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        out: &mut dyn Sink,
    ) -> Result<usize> {
        self.read_xattr(cx, node, out, |arg| Ok(Operation::Listxattr { arg }))
    }

    /// A value, or the list of names, or the size of either.
    fn read_xattr<'k>(
        &self,
        cx: &Context<'_>,
        node: &Node,
        out: &mut dyn Sink,
        operation: impl Fn(GetxattrIn) -> Answer<Operation<'k>>,
    ) -> Result<usize> {
        self.run(cx, |link| {
            let id = self.id(link, cx, node)?;
            let room = out.room().min(XATTR_SIZE_MAX as usize).min(link.connection.payload());
            let operation = operation(GetxattrIn { size: room as u32, padding: 0 })?;
            let opcode = operation.opcode();
            let reply = match self.ask(link, cx, id, &operation) {
                // There is room above, but not in a message (C.10).
                Err(Fault::Errno(Errno::ERANGE)) if room == link.connection.payload() => {
                    return Err(Errno::E2BIG.into());
                }
                reply => reply?,
            };
            if room == 0 {
                let out: GetxattrOut = Self::fixed(link, opcode, id, reply.body())?;
                if out.size > XATTR_SIZE_MAX {
                    let text = "an extended attribute that is too long";
                    return Err(link.connection.lie(opcode, 0, id, text));
                }
                return Ok(out.size as usize);
            }
            if reply.body().len() > room {
                return Err(link.connection.lie(opcode, 0, id, "more than was asked for"));
            }
            if opcode == Opcode::Listxattr && incoming::xattr_names(reply.body()).is_none() {
                return Err(link.connection.lie(opcode, 0, id, "a list of names that is none"));
            }
            Ok(out.put(reply.body()))
        })
    }

    pub(super) fn setxattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.run(cx, |link| {
            let id = self.id(link, cx, node)?;
            let arg = SetxattrIn {
                size: value.len() as u32,
                flags: flags.bits(),
                ..SetxattrIn::default()
            };
            let operation = Operation::Setxattr { arg, name: xattr_name(key)?, value };
            let reply = match self.ask(link, cx, id, &operation) {
                // An earlier try made it.
                Err(Fault::Errno(Errno::EEXIST)) if link.again => return Ok(()),
                reply => reply?,
            };
            Self::nothing(link, Opcode::Setxattr, id, &reply)
        })
    }

    pub(super) fn removexattr(&self, cx: &Context<'_>, node: &Node, key: &[u8]) -> Result<()> {
        self.run(cx, |link| {
            let id = self.id(link, cx, node)?;
            let name = xattr_name(key)?;
            let reply = match self.ask(link, cx, id, &Operation::Removexattr { name }) {
                // An earlier try took it away.
                Err(Fault::Errno(Errno::ENODATA)) if link.again => return Ok(()),
                reply => reply?,
            };
            Self::nothing(link, Opcode::Removexattr, id, &reply)
        })
    }
}

fn xattr_name(key: &[u8]) -> Answer<XattrName<'_>> {
    XattrName::new(key).map_err(|_| Errno::ERANGE.into())
}

/// A mode after a write of somebody who may not keep set-id bits: S_ISGID without the group's
/// right to execute means mandatory locking, and stays.
const fn without_privileges(mode: u32) -> u32 {
    let mode = mode & !0o4000;
    if mode & 0o010 != 0 { mode & !0o2000 } else { mode }
}
