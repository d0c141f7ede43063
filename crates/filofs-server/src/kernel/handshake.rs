//! INIT, seen from the core: what is offered to a server, and what it says of itself.

use super::connection::Connection;
use super::fault::{Answer, Fault};
use super::told;
use crate::channel::{MESSAGE_MAX, PAYLOAD_MAX};
use filofs::{Context, Errno, Profile, Statfs};
use filofs_wire::abi::{
    EXTENSION_VERSION, EntryOut, ExtensionOffer, InitFlags, InitIn, KERNEL_MINOR, KERNEL_VERSION,
    MESSAGE_MIN, MountArguments, MountFlags, Opcode,
};
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming;
use filofs_wire::request::Operation;
use std::time::Duration;

/// What a server said of itself when it was mounted.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) profile: Profile,
    /// From the extension: the root and the first numbers, so that nothing need be asked (A41).
    pub(super) first: Option<First>,
    /// Longest file handle in bytes; 0 for none.
    pub(super) handle_size: u32,
}

/// What an extended server says of its file system before it is asked.
#[derive(Clone, Debug)]
pub(super) struct First {
    pub(super) root: EntryOut,
    pub(super) numbers: Statfs,
}

/// The abilities that are offered.
///
/// Not offered: what moves data past the messages (SPLICE_*, PASSTHROUGH, OVER_IO_URING),
/// WRITEBACK_CACHE (the front end above decides about caches), what only Linux can do for a server
/// (SUBMOUNTS, SECURITY_CTX, ALLOW_IDMAP, REQUEST_TIMEOUT, HAS_RESEND).
fn offered() -> InitFlags {
    InitFlags::ASYNC_READ
        | InitFlags::POSIX_LOCKS
        | InitFlags::FLOCK_LOCKS
        | InitFlags::ATOMIC_O_TRUNC
        | InitFlags::EXPORT_SUPPORT
        | InitFlags::BIG_WRITES
        | InitFlags::DONT_MASK
        | InitFlags::HAS_IOCTL_DIR
        | InitFlags::AUTO_INVAL_DATA
        | InitFlags::DO_READDIRPLUS
        | InitFlags::READDIRPLUS_AUTO
        | InitFlags::ASYNC_DIO
        | InitFlags::NO_OPEN_SUPPORT
        | InitFlags::PARALLEL_DIROPS
        | InitFlags::HANDLE_KILLPRIV_V2
        | InitFlags::POSIX_ACL
        | InitFlags::ABORT_ERROR
        | InitFlags::MAX_PAGES
        | InitFlags::CACHE_SYMLINKS
        | InitFlags::NO_OPENDIR_SUPPORT
        | InitFlags::EXPLICIT_INVAL_DATA
        | InitFlags::SETXATTR_EXT
        | InitFlags::INIT_EXT
        | InitFlags::HAS_EXPIRE_ONLY
        | InitFlags::DIRECT_IO_ALLOW_MMAP
}

/// Asks INIT and settles what is spoken. EPROTO for an answer that is none; [`Fault::Late`] when
/// none came in that time.
pub(super) fn greet(connection: &Connection, patience: Duration) -> Answer<Terms> {
    let (flags, flags2) = offered().halves();
    let mut arg = InitIn {
        major: KERNEL_VERSION,
        minor: KERNEL_MINOR,
        max_readahead: PAYLOAD_MAX as u32,
        flags,
        flags2,
        ..InitIn::default()
    };
    let max_message = MESSAGE_MAX as u32;
    arg.set_extension_offer(ExtensionOffer { version: EXTENSION_VERSION, max_message });
    let cx = Context::internal();
    let reply = connection.call(&cx, 0, &Operation::Init { arg }, Some(patience))?;
    let wrong = |text| connection.lie(Opcode::Init, 0, 0, text);
    let (out, rest) = incoming::init(reply.body()).ok_or_else(|| wrong("too few bytes"))?;
    let dialect =
        Dialect::settled(&out, offered()).ok_or_else(|| wrong("a version that is not spoken"))?;
    let flags = dialect.flags();
    let locks = InitFlags::POSIX_LOCKS | InitFlags::FLOCK_LOCKS;
    let mut profile = Profile {
        locks: flags.contains(locks),
        exportable: flags.contains(InitFlags::EXPORT_SUPPORT),
        ..Profile::default()
    };
    // What a WRITE carries; the server reads messages of that size.
    let payload = (out.max_write as usize).clamp(MESSAGE_MIN as usize / 2, PAYLOAD_MAX);
    let most = payload + (MESSAGE_MAX - PAYLOAD_MAX);
    if rest.is_empty() {
        connection.settle(dialect, most);
        return Ok(Terms { profile, first: None, handle_size: 0 });
    }
    let arguments = MountArguments::read(rest, max_message).map_err(|bad| {
        log::error!("{}: cannot be mounted: {bad}", connection.name());
        Fault::Errno(Errno::EINVAL)
    })?;
    profile.owns_files = arguments.flags.contains(MountFlags::OWNS_FILES);
    profile.read_only = arguments.flags.contains(MountFlags::READ_ONLY);
    profile.idmapped = arguments.flags.contains(MountFlags::IDMAPPED);
    profile.negative_ttl = Duration::from_nanos(arguments.negative_valid);
    connection.settle(dialect.extended(), most.min(arguments.max_message as usize));
    let numbers = told::statfs(&arguments.statfs);
    let first = Some(First { root: arguments.root, numbers });
    Ok(Terms { profile, first, handle_size: arguments.handle_size })
}
