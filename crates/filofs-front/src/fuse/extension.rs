//! What a core that knows filo's extension of FUSE is told beside the answer to INIT.

use super::face;
use super::ledger::Ledger;
use filofs::{FileHandle, FileSystem};
use filofs_wire::abi::{HandleFlags, MountArguments, MountFlags};

/// The mount's arguments (A8-A42), for messages of at most `longest` bytes; 0 for as long as the
/// core takes. EPROTO for a root whose attributes no file has.
pub(super) fn arguments(ledger: &Ledger, longest: u32) -> filofs::Result<MountArguments> {
    let mount = ledger.mount();
    let profile = mount.profile();
    let mut flags = MountFlags::empty();
    flags.set(MountFlags::OWNS_FILES, profile.owns_files);
    flags.set(MountFlags::READ_ONLY, profile.read_only);
    flags.set(MountFlags::IDMAPPED, profile.idmapped);
    let identity = mount.identity();
    let mut arguments = MountArguments {
        flags,
        max_message: longest,
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
