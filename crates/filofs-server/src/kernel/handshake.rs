//! INIT, seen from the core: what is offered to a server, and what it says of itself.

use super::connection::Connection;
use super::fault::{Answer, Fault};
use super::slots::Slots;
use crate::channel::{MESSAGE_MAX, PAYLOAD_MAX};
use filofs::{Backed, Context, Errno, Identity, Profile, sanitise};
use filofs_front::area::Area;
use filofs_wire::abi::{
    EXTENSION_VERSION, ExtensionOffer, InitFlags, InitIn, KERNEL_MINOR, KERNEL_VERSION,
    MESSAGE_MIN, MountArguments, MountFlags, OfferFlags, Opcode,
};
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming;
use filofs_wire::request::Operation;
use rustix::fd::{AsFd, OwnedFd};
use std::time::Duration;

/// What a server said of itself when it was mounted.
#[derive(Clone, Debug)]
pub(super) struct Terms {
    pub(super) profile: Profile,
    /// From the extension, as they are in force (A10): the root and the first numbers among them,
    /// so that nothing need be asked (A41).
    pub(super) arguments: Option<Box<MountArguments>>,
}

impl Terms {
    /// Whether it speaks the extension.
    pub(super) fn is_ours(&self) -> bool {
        self.arguments.is_some()
    }

    /// Whether it has file handles.
    pub(super) fn has_handles(&self) -> bool {
        self.arguments.as_ref().is_some_and(|said| said.handle_size > 0)
    }

    /// What a server of that name said, made what is in force: the kind of file system is shown
    /// as Linux shows it (A21).
    fn of(profile: Profile, mut arguments: MountArguments, name: &str) -> Terms {
        let said = arguments.type_name();
        let said = if said.is_empty() { name } else { said };
        let mut shown = sanitise(&format!("fuse.{}", said.trim_start_matches("fuse.")));
        shown.truncate(Identity::TYPE_MAX);
        arguments.set_type_name(&shown);
        Terms { profile, arguments: Some(Box::new(arguments)) }
    }
}

/// The operations that a server has said it lacks (C.4).
fn lacking(arguments: &MountArguments) -> Vec<Opcode> {
    Opcode::ALL.iter().copied().filter(|opcode| !arguments.has_operation(*opcode)).collect()
}

/// The abilities that are offered.
///
/// Not offered: what moves data past the messages (SPLICE_*, PASSTHROUGH, OVER_IO_URING; files go
/// another way, see [`OfferFlags::TAKES_FILES`]),
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
/// none came in that time. With memory to be shared, and the descriptor of it; and whether files
/// are taken that data is in.
pub(super) fn greet(
    connection: &Connection,
    patience: Duration,
    shared: Option<(Area, OwnedFd)>,
    takes_files: bool,
) -> Answer<Terms> {
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
    let (area_slots, area_size) =
        shared.as_ref().map_or((0, 0), |(area, _)| (area.shape().slots, area.shape().size));
    let version = EXTENSION_VERSION;
    let mut flags = OfferFlags::empty();
    flags.set(OfferFlags::TAKES_FILES, takes_files);
    arg.set_extension_offer(ExtensionOffer { version, max_message, area_slots, area_size, flags });
    let (cx, init, patience) = (Context::internal(), Operation::Init { arg }, Some(patience));
    let enclosed = shared.as_ref().map(|(_, fd)| fd.as_fd());
    let reply = connection.call_by_channel(&cx, 0, &init, patience, enclosed)?;
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
        connection.settle(dialect, most, Vec::new());
        return Ok(Terms { profile, arguments: None });
    }
    let mut arguments = MountArguments::read(rest, max_message).map_err(|bad| {
        log::error!("{}: cannot be mounted: {bad}", connection.name());
        Fault::Errno(Errno::EINVAL)
    })?;
    let lacking = lacking(&arguments);
    let locks = [Opcode::Getlk, Opcode::Setlk, Opcode::Setlkw];
    profile.owns_files = arguments.flags.contains(MountFlags::OWNS_FILES);
    profile.read_only = arguments.flags.contains(MountFlags::READ_ONLY);
    profile.idmapped = arguments.flags.contains(MountFlags::IDMAPPED);
    profile.locks &= !locks.iter().any(|opcode| lacking.contains(opcode));
    profile.negative_ttl = Duration::from_nanos(arguments.negative_valid);
    let most = most.min(arguments.max_message as usize);
    connection.settle(dialect.extended(), most, lacking);
    if takes_files && arguments.flags.contains(MountFlags::GIVES_FILES) {
        connection.take_files();
        // No others are taken, see `backing`.
        profile.backing = Backed::ByFiles;
    } else {
        arguments.flags.remove(MountFlags::GIVES_FILES);
    }
    match shared.filter(|_| arguments.flags.contains(MountFlags::TAKES_AREA)) {
        Some((area, _)) => connection.share(Slots::new(area)),
        None => arguments.flags.remove(MountFlags::TAKES_AREA),
    }
    Ok(Terms::of(profile, arguments, connection.name()))
}
