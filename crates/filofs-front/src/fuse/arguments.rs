//! Arguments of requests in the words of the operations.

use filofs::{MakeHow, OpenFlags};

const O_CREAT: u32 = 0o100;
const O_NOCTTY: u32 = 0o400;
/// `__O_TMPFILE`; O_TMPFILE itself is this with O_DIRECTORY.
const O_TMPFILE: u32 = 0o20_000_000;

/// The flags of OPEN.
pub(super) fn open_flags(flags: u32) -> OpenFlags {
    OpenFlags(flags & !(O_CREAT | O_NOCTTY)).without(OpenFlags::EXCL)
}

/// The flags of CREATE and TMPFILE.
pub(super) fn create_flags(flags: u32) -> OpenFlags {
    OpenFlags(flags & !(O_CREAT | O_NOCTTY | O_TMPFILE))
        .without(OpenFlags::DIRECTORY)
        .without(OpenFlags::EXEC)
}

/// How to make a file.
pub(super) fn make_how(mode: u32, umask: u32, flags: OpenFlags) -> MakeHow {
    MakeHow { umask: umask & 0o777, flags, ..MakeHow::mode(mode & 0o7777) }
}
