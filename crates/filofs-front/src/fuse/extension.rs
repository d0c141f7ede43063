//! What a core that knows filo's extension of FUSE is told beside the answer to INIT.

use super::face;
use super::ledger::Ledger;
use filofs::{FileHandle, FileSystem};
use filofs_wire::abi::{
    EXTENSION_MAGIC, EXTENSION_VERSION, HandleFlags, MountArguments, MountFlags,
};
use zerocopy::IntoBytes;

/// The mount's arguments (A8-A42), for messages of at most `longest` bytes; 0 for as long as the
/// core takes. EPROTO for a root whose attributes no file has.
pub(super) fn arguments(ledger: &Ledger, longest: u32) -> filofs::Result<MountArguments> {
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
}
