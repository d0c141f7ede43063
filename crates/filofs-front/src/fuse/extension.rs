//! filo's extension of FUSE: what a core that knows it is told beside the answer to INIT, and
//! what it may ask that Linux does not.

use super::ask::Ask;
use super::face;
use super::ledger::Ledger;
use filofs::{Errno, ExtattrCtl, FileHandle, FileSystem, Result, SyncMode};
use filofs_wire::abi::{
    ExtattrctlFlags, ExtattrctlIn, HandleFlags, HandleOfIn, MountArguments, MountFlags,
    SyncLaterIn, SyncLaterMode,
};
use filofs_wire::name::XattrName;
use filofs_wire::reply;

/// What is in force between a server and its core (A10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arguments {
    /// What kind of file system it is, as the core shows it (A21).
    pub type_name: String,
    /// Where its files come from, as the core shows it.
    pub from: String,
    /// The longest message in bytes, in either direction (A23).
    pub max_message: u32,
    /// The longest file handle in bytes; 0 for none.
    pub handle_size: u32,
}

impl Arguments {
    /// Reads a core's answer, for messages of at most `max_message` bytes. EPROTO for one that is
    /// none.
    pub(super) fn read(bytes: &[u8], max_message: u32) -> Result<Arguments> {
        let said = MountArguments::read(bytes, max_message).map_err(|_| Errno::EPROTO)?;
        Ok(Arguments {
            type_name: said.type_name().to_owned(),
            from: said.from_name().to_owned(),
            max_message: said.max_message,
            handle_size: said.handle_size,
        })
    }
}

/// The mount's arguments (A8-A42), for messages of at most `max_message` bytes; 0 for as long as
/// the core takes. With shared memory, or without; and whether opens bring files. EPROTO for a root
/// whose attributes no file has.
pub(super) fn arguments(
    ledger: &Ledger,
    max_message: u32,
    takes_area: bool,
    gives_files: bool,
) -> Result<MountArguments> {
    let mount = ledger.mount();
    let profile = mount.profile();
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::OWNS_FILES, profile.owns_files);
    flags.set(MountFlags::READ_ONLY, profile.read_only);
    flags.set(MountFlags::IDMAPPED, profile.idmapped);
    flags.set(MountFlags::TAKES_AREA, takes_area);
    flags.set(MountFlags::GIVES_FILES, gives_files);
    let identity = mount.identity();
    let mut arguments = MountArguments {
        flags,
        max_message,
        negative_valid: ledger.face.negative_ttl().as_nanos().try_into().unwrap_or(u64::MAX),
        root: ledger.face.entry(mount.root_entry())?,
        statfs: face::numbers(&mount.statvfs_cached().1),
        // Which methods a file system lacks cannot be told from outside: it answers ENOSYS, which
        // the core remembers.
        operations: [[1; 32]; 2],
        extended_operations: [1; 32],
        ..MountArguments::named(&identity.type_name, &identity.from)
    };
    if profile.exportable {
        arguments.handle_flags = HandleFlags::DYNAMIC;
        arguments.handle_size = FileHandle::MAX as u32;
    }
    Ok(arguments)
}

impl Ask<'_> {
    /// A sync that nobody waits for (A79, A80).
    pub(super) fn sync_later(&self, arg: SyncLaterIn) -> Result<()> {
        let mode = match SyncLaterMode::from_number(arg.mode).ok_or(Errno::EINVAL)? {
            SyncLaterMode::Begin => SyncMode::NoWait,
            SyncLaterMode::Lazy => SyncMode::Lazy,
        };
        self.ledger.mount().sync(&self.cx, mode)
    }

    /// The durable name of a node. Where there is no room for it the answer is its length alone,
    /// and no error: who asks with no room learns how much is needed (A99).
    pub(super) fn handle_of(&self, arg: HandleOfIn) -> Result<()> {
        let handle = self.ledger.mount().handle_of(&self.cx, &self.node()?)?;
        let bytes = handle.bytes();
        let fits = bytes.len() <= arg.room as usize;
        let message = reply::handle_of(self.answer.unique, bytes.len() as u32, fits);
        let message = message.map_err(|_| Errno::EIO)?;
        self.answer.send(&message, if fits { bytes } else { &[] });
        Ok(())
    }

    /// The node of a durable name: looked up once more, as by its name (A91).
    pub(super) fn node_of(&self, handle: &[u8]) -> Result<()> {
        // No handle of ours is longer.
        let handle = FileHandle::new(handle).map_err(|_| Errno::EINVAL)?;
        let mount = self.ledger.mount();
        let entry = mount.node_of(&self.cx, &handle)?;
        let node = mount.nodes().adopt(&entry)?;
        self.told(&node, &entry)
    }

    /// Extended attributes of the file system, on or off. A node of another mount cannot be
    /// named here: the core answers for that (A110).
    pub(super) fn extattrctl(&self, arg: ExtattrctlIn, name: Option<XattrName<'_>>) -> Result<()> {
        let has = |flag| arg.flags.contains(flag);
        let node = has(ExtattrctlFlags::HAS_NODE).then(|| self.node()).transpose()?;
        let name = name.map(XattrName::as_bytes);
        let how = ExtattrCtl { command: arg.command, namespace: arg.namespace, name };
        self.ledger.mount().extattrctl(&self.cx, node.as_ref(), how)?;
        self.answer.empty();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    #[test]
    fn names_are_cleaned_on_the_wire_as_in_a_mount() {
        // A19, A20: the wire knows nothing of mounts, and so has the rule once more.
        for byte in 1..=127_u8 {
            let text = format!("a{}b", char::from(byte));
            let arguments = MountArguments::named(&text, &text);
            assert_eq!(arguments.type_name(), filofs::sanitise(&text), "{byte:#x}");
            assert_eq!(arguments.from_name(), filofs::sanitise(&text), "{byte:#x}");
        }
        assert_eq!(MountArguments::named("\u{e4}", "").type_name(), filofs::sanitise("\u{e4}"));
    }

    #[test]
    fn arguments_are_read_back_printable() {
        // A19, A21
        let mut said = MountArguments { max_message: 9000, ..MountArguments::named("a\nb", "") };
        said.root.nodeid = 1;
        said.root.attr.mode = 0o040_755;
        let read = Arguments::read(said.as_bytes(), 1 << 20).unwrap();
        assert_eq!(
            (read.type_name.as_str(), read.from.as_str(), read.max_message),
            ("a.b", "", 9000)
        );
        said.version += 1;
        assert_eq!(Arguments::read(said.as_bytes(), 1 << 20), Err(Errno::EPROTO));
        assert_eq!(Arguments::read(b"", 1 << 20), Err(Errno::EPROTO));
    }
}
