//! filo's extension of FUSE: what a core that knows it is told beside the answer to INIT, and
//! what it may ask that Linux does not.

use super::ask::Ask;
use super::face;
use super::ledger::Ledger;
use filofs::{Errno, ExtattrCtl, FileHandle, FileSystem, Result, SyncMode};
use filofs_wire::abi::{
    EXTENSION_MAGIC, EXTENSION_VERSION, ExtattrctlFlags, ExtattrctlIn, HandleFlags, HandleOfIn,
    MountArguments, MountFlags, SyncLaterIn,
};
use filofs_wire::reply;
use zerocopy::{FromBytes, IntoBytes};

/// What is in force between a server and its core (A10).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Arguments {
    /// What kind of file system it is, as the core shows it (A21).
    pub type_name: String,
    /// Where its files come from, as the core shows it.
    pub from: String,
    /// The longest message in bytes, in either direction (A23).
    pub longest: u32,
    /// The longest file handle in bytes; 0 for none.
    pub handle_size: u32,
}

impl Arguments {
    /// Reads a core's answer. EPROTO for one that is none.
    pub(super) fn read(bytes: &[u8]) -> Result<Arguments> {
        let (said, _) = MountArguments::read_from_prefix(bytes).map_err(|_| Errno::EPROTO)?;
        if (said.magic, said.version) != (EXTENSION_MAGIC, EXTENSION_VERSION) {
            return Err(Errno::EPROTO);
        }
        Ok(Arguments {
            type_name: text(&said.type_name),
            from: text(said.from_name.as_flattened()),
            longest: said.max_message,
            handle_size: said.handle_size,
        })
    }
}

/// The mount's arguments (A8-A42), for messages of at most `longest` bytes; 0 for as long as the
/// core takes. EPROTO for a root whose attributes no file has.
pub(super) fn arguments(ledger: &Ledger, longest: u32) -> Result<MountArguments> {
    let mount = ledger.mount();
    let profile = mount.profile();
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::OWNS_FILES, profile.owns_files);
    flags.set(MountFlags::READ_ONLY, profile.read_only);
    flags.set(MountFlags::IDMAPPED, profile.idmapped);
    let mut arguments = MountArguments {
        magic: EXTENSION_MAGIC,
        version: EXTENSION_VERSION,
        flags,
        handle_flags: HandleFlags::empty(),
        handle_size: 0,
        max_message: longest,
        negative_valid: ledger.face.negative_ttl().as_nanos().try_into().unwrap_or(u64::MAX),
        root: ledger.face.entry(mount.root_entry())?,
        statfs: face::numbers(&mount.statvfs_cached().1),
        // Which methods a file system lacks cannot be told from outside: it answers ENOSYS, which
        // the core remembers.
        operations: [[1; 32]; 2],
        extended_operations: [1; 32],
        ..MountArguments::default()
    };
    if profile.exportable {
        arguments.handle_flags = HandleFlags::DYNAMIC;
        arguments.handle_size = FileHandle::MAX as u32;
    }
    fill(&mut arguments.type_name, &mount.identity().type_name);
    fill(arguments.from_name.as_mut_bytes(), &mount.identity().from);
    Ok(arguments)
}

impl Ask<'_> {
    /// A sync that nobody waits for (A79, A80).
    pub(super) fn sync_later(&self, arg: SyncLaterIn) -> Result<()> {
        // 1: begin now. 2: at leisure.
        let mode = if arg.mode == 2 { SyncMode::Lazy } else { SyncMode::NoWait };
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
    pub(super) fn extattrctl(&self, arg: ExtattrctlIn, name: &[u8]) -> Result<()> {
        let has = |flag| arg.flags.contains(flag);
        let node = has(ExtattrctlFlags::HAS_NODE).then(|| self.node()).transpose()?;
        let name = has(ExtattrctlFlags::HAS_NAME).then_some(name);
        let how = ExtattrCtl { command: arg.command, namespace: arg.namespace, name };
        self.ledger.mount().extattrctl(&self.cx, node.as_ref(), how)?;
        self.answer.empty();
        Ok(())
    }
}

/// The text before the first NUL, printable.
fn text(field: &[u8]) -> String {
    let end = field.iter().position(|&byte| byte == 0).unwrap_or(field.len());
    filofs::sanitise(&String::from_utf8_lossy(field.get(..end).unwrap_or_default()))
}

/// Puts as much of the text into the field as fits before a NUL.
fn fill(field: &mut [u8], text: &str) {
    let room = field.len().saturating_sub(1);
    for (byte, letter) in field.iter_mut().take(room).zip(text.bytes()) {
        *byte = letter;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_cut_before_the_last_byte() {
        let mut field = [0; 4];
        fill(&mut field, "ab");
        assert_eq!(&field, b"ab\0\0");
        fill(&mut field, "abcdef");
        assert_eq!(&field, b"abc\0");
        fill(&mut [], "x");
    }

    #[test]
    fn arguments_are_read_back_printable() {
        // A19, A21
        let mut said = MountArguments {
            magic: EXTENSION_MAGIC,
            version: EXTENSION_VERSION,
            max_message: 9000,
            ..MountArguments::default()
        };
        fill(&mut said.type_name, "a\nb");
        let read = Arguments::read(said.as_bytes()).unwrap();
        assert_eq!((read.type_name.as_str(), read.from.as_str(), read.longest), ("a.b", "", 9000));
        said.version += 1;
        assert_eq!(Arguments::read(said.as_bytes()), Err(Errno::EPROTO));
        assert_eq!(Arguments::read(b""), Err(Errno::EPROTO));
    }
}
