//! `Terms`: what INIT settles, computed in one place from the file system's profile, the person's
//! options and the kernel's offer.

use super::ring::Ring;
use super::{FuseOptions, Passthrough};
use crate::area::Shape;
use filofs::{Backed, Profile};
use filofs_wire::abi::{
    EXTENSION_VERSION, ExtensionOffer, InitFlags, InitIn, InitOut, KERNEL_MINOR, KERNEL_VERSION,
    MESSAGE_HEAD, MESSAGE_MIN,
};
use filofs_wire::dialect::{Dialect, Negotiated};

/// What was settled.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Terms {
    /// Version and flags.
    pub(super) dialect: Dialect,
    /// The most bytes of data that one request carries or asks for.
    pub(super) payload: usize,
    /// Nodes may be asked for after they were given back.
    pub(super) exported: bool,
    /// The kernel keeps written data back.
    pub(super) writeback: bool,
    /// Regular files are not opened, see [`Profile::stateless`]: their opens have the id 0.
    pub(super) stateless: bool,
    /// Requests are to come over a ring.
    pub(super) ring: bool,
    /// The kernel reads and writes files by itself, where it is told of one.
    pub(super) passthrough: bool,
    /// The longest message in bytes, in either direction, where filo's extension is spoken.
    pub(super) max_message: Option<u32>,
}

/// How to answer INIT.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settled {
    /// With this; these are the terms.
    Agreed(Terms, InitOut),
    /// With this; another INIT will follow.
    AskAgain(InitOut),
    /// With EPROTO: the kernel is too old.
    Refused,
}

impl Terms {
    /// Before INIT.
    pub(super) const BEFORE_INIT: Terms = Terms {
        dialect: Dialect::BEFORE_INIT,
        payload: Terms::PAYLOAD_MIN,
        exported: false,
        writeback: false,
        stateless: false,
        ring: false,
        passthrough: false,
        max_message: None,
    };

    /// The most data in one request where the kernel says nothing else: 32 pages.
    pub(super) const PAYLOAD_MIN: usize = 128 << 10;
    /// The most we ask for, whatever the kernel would give: a worker has a buffer of that size.
    pub(super) const PAYLOAD_MAX: usize = 16 << 20;
    /// The longest message of all, bytes.
    pub(super) const MESSAGE_MAX: u32 = Self::PAYLOAD_MAX as u32 + MESSAGE_HEAD;

    /// Background requests (read-ahead, write-back, asynchronous direct I/O) the kernel may have
    /// on their way at once. Its own choice, 12, starves a file system that waits for a disk or a
    /// network; workers are cheap here.
    const BACKGROUND: u16 = 128;

    /// Settles with a kernel that sent `init`, or with a core that plays one. `pages` is the most
    /// pages in a request that the machine allows ([`most_pages`]); `queues` is how many a ring
    /// would have, where one is wanted; `max_message` is the longest message in bytes, where the
    /// core has offered filo's extension.
    pub(super) fn settle(
        init: &InitIn,
        profile: &Profile,
        options: &FuseOptions,
        pages: usize,
        queues: Option<usize>,
        max_message: Option<u32>,
    ) -> Settled {
        let mut wanted = wanted(profile, options);
        wanted.set(InitFlags::OVER_IO_URING, queues.is_some());
        let dialect = match Dialect::negotiate(init, wanted) {
            Negotiated::Agreed(dialect) => dialect,
            Negotiated::Refused => return Settled::Refused,
            Negotiated::AskAgain => {
                return Settled::AskAgain(InitOut {
                    major: KERNEL_VERSION,
                    minor: KERNEL_MINOR,
                    ..InitOut::default()
                });
            }
        };
        let page = rustix::param::page_size();
        let flags = dialect.flags();
        // Clamped, silently (A22).
        let max_message = max_message.map(|most| most.clamp(MESSAGE_MIN, Self::MESSAGE_MAX));
        let payload = if let Some(most) = max_message {
            (most - MESSAGE_HEAD) as usize
        } else if flags.contains(InitFlags::MAX_PAGES) {
            (pages * page).clamp(Self::PAYLOAD_MIN, Self::PAYLOAD_MAX)
        } else {
            Self::PAYLOAD_MIN
        };
        let ring = flags.contains(InitFlags::OVER_IO_URING);
        let payload = match queues {
            Some(queues) if ring => Ring::payload(queues, Self::PAYLOAD_MIN, payload),
            _ => payload,
        };
        let mut out = InitOut {
            major: KERNEL_VERSION,
            minor: dialect.minor(),
            max_readahead: init.max_readahead,
            max_background: Self::BACKGROUND,
            congestion_threshold: Self::BACKGROUND / 4 * 3,
            max_write: payload as u32,
            time_gran: 1,
            max_pages: payload.div_ceil(page).min(usize::from(u16::MAX)) as u16,
            ..InitOut::default()
        };
        if flags.contains(InitFlags::PASSTHROUGH) {
            out.max_stack_depth = match profile.backing {
                Backed::No => 0,
                Backed::ByFiles => 1,
                Backed::ByStackedFiles => 2,
            };
        }
        out.set_init_flags(flags);
        let terms = Terms {
            dialect: if max_message.is_some() { dialect.extended() } else { dialect },
            payload,
            exported: flags.contains(InitFlags::EXPORT_SUPPORT),
            writeback: flags.contains(InitFlags::WRITEBACK_CACHE),
            stateless: flags.contains(InitFlags::NO_OPEN_SUPPORT),
            ring,
            passthrough: flags.contains(InitFlags::PASSTHROUGH),
            max_message,
        };
        Settled::Agreed(terms, out)
    }
}

/// What a core offers that knows filo's extension. Linux leaves those words zero. With a core of
/// another version plain FUSE is spoken (A12).
pub(super) fn offered(init: &InitIn) -> Option<ExtensionOffer> {
    let offer = init.extension_offer()?;
    if offer.version != EXTENSION_VERSION {
        log::warn!(
            "the core speaks version {} of filo's extension, this server version \
             {EXTENSION_VERSION}: serving without it",
            offer.version
        );
        return None;
    }
    Some(offer)
}

/// The shared memory that is offered.
pub(super) fn area_of(offer: &ExtensionOffer) -> Option<Shape> {
    let shape = Shape { slots: offer.area_slots, size: offer.area_size };
    shape.is_sound().then_some(shape)
}

/// The most pages in one request: `/proc/sys/fs/fuse/max_pages_limit` since Linux 6.13, 256
/// before.
pub(super) fn most_pages() -> usize {
    let limit = std::fs::read_to_string("/proc/sys/fs/fuse/max_pages_limit");
    limit.ok().and_then(|text| text.trim().parse().ok()).unwrap_or(256).clamp(1, 65535)
}

/// The abilities we want, each with its reason; INIT keeps those the kernel has too.
///
/// Never wanted: NO_OPENDIR_SUPPORT (what a listing shows hangs on its open), HANDLE_KILLPRIV (the
/// first version clears set-id bits of privileged writers too; the second follows Linux), SPLICE_*
/// (requests are read, not spliced), SECURITY_CTX (no operation takes labels), SUBMOUNTS and
/// HAS_INODE_DAX (for virtiofs), REQUEST_TIMEOUT (it ends the whole mount). OVER_IO_URING where
/// there is a ring.
fn wanted(profile: &Profile, options: &FuseOptions) -> InitFlags {
    let writeback = options.writeback.unwrap_or(profile.owns_files) && !options.direct_io;
    // Whether what the kernel has cached can only be made stale by the kernel itself, or by
    // notices: then it need not suspect each change of a modification time.
    let trusts_cache =
        (profile.owns_files || options.kernel_cache || writeback) && !options.auto_cache;

    // The upper half of all flags.
    let mut flags = InitFlags::INIT_EXT
        // Reads of one file at once: operations may come from many threads.
        | InitFlags::ASYNC_READ
        // Direct I/O too.
        | InitFlags::ASYNC_DIO
        // Requests of more than a page, and as large as the machine allows.
        | InitFlags::BIG_WRITES
        | InitFlags::MAX_PAGES
        // `MakeHow` carries the umask: only the file system knows of a default ACL.
        | InitFlags::DONT_MASK
        // Names with their attributes; the kernel chooses where it pays.
        | InitFlags::DO_READDIRPLUS
        | InitFlags::READDIRPLUS_AUTO
        // Several operations in one directory at once.
        | InitFlags::PARALLEL_DIROPS
        // Set-id bits die as Linux has it, and the kernel does not ask for
        // security.capability before each write. The operations carry `kill_priv`.
        | InitFlags::HANDLE_KILLPRIV_V2
        // The flag with which setting an ACL clears set-group-id.
        | InitFlags::SETXATTR_EXT
        // ioctl on directories, such as for file attributes (chattr).
        | InitFlags::HAS_IOCTL_DIR
        // Reading after an abort tells it from an unmount.
        | InitFlags::ABORT_ERROR
        // Files whose reads are not cached may still be mapped.
        | InitFlags::DIRECT_IO_ALLOW_MMAP
        // What a successor process needs to get unanswered requests again.
        | InitFlags::HAS_RESEND
        // A name may be doubted without dropping what is mounted below it.
        | InitFlags::HAS_EXPIRE_ONLY
        // The one supplementary group that matters for a new file comes with the request.
        | InitFlags::CREATE_SUPP_GROUP;
    // ACLs are kept by the file system as extended attributes and obeyed by the kernel. It makes
    // the kernel check permissions even where that was not asked for.
    let checked = options.default_permissions != Some(false);
    flags.set(InitFlags::POSIX_ACL, checked);
    // The kernel refuses the connection without default_permissions.
    let idmap = profile.idmapped || options.allow_idmap;
    flags.set(InitFlags::ALLOW_IDMAP, idmap && checked);
    // Files are opened without a word to us.
    flags.set(InitFlags::NO_OPEN_SUPPORT, profile.stateless);
    // `open` takes TRUNC, so that opening and cutting is one step: if there is an `open`.
    flags.set(InitFlags::ATOMIC_O_TRUNC, !profile.stateless);
    // Locks that other machines or programs see; otherwise the kernel keeps them itself. It gives
    // ours back with a FLUSH or RELEASE.
    let locks = profile.locks && !profile.stateless;
    flags.set(InitFlags::POSIX_LOCKS | InitFlags::FLOCK_LOCKS, locks);
    // Handles either lead back after the caches were dropped, or are not given out at all.
    flags.set(InitFlags::EXPORT_SUPPORT, profile.exportable);
    flags.set(InitFlags::NO_EXPORT_SUPPORT, !profile.exportable);
    // Written data kept back makes the kernel the one who knows the size: only where nobody else
    // writes.
    flags.set(InitFlags::WRITEBACK_CACHE, writeback);
    // Linux grants this or the one before. A read by the kernel itself would be seen by the host's
    // access times, and direct I/O is asked for by those who want to be asked.
    let passthrough = profile.backing != Backed::No
        && options.passthrough != Passthrough::Off
        && !(writeback || options.direct_io || options.noatime);
    flags.set(InitFlags::PASSTHROUGH, passthrough);
    flags.set(InitFlags::EXPLICIT_INVAL_DATA, trusts_cache);
    flags.set(InitFlags::AUTO_INVAL_DATA, !trusts_cache);
    // The target of a link that another program may remake must be asked for each time.
    flags.set(InitFlags::CACHE_SYMLINKS, profile.owns_files);
    flags
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs_wire::abi::OfferFlags;

    const ALL: InitFlags = InitFlags::from_bits_retain((1 << 43) - 1);

    fn init(minor: u32, offer: InitFlags) -> InitIn {
        let (flags, flags2) = offer.halves();
        InitIn { major: 7, minor, max_readahead: 1 << 17, flags, flags2, ..InitIn::default() }
    }

    fn agreed(profile: &Profile, options: &FuseOptions) -> (Terms, InitOut) {
        match Terms::settle(&init(45, ALL), profile, options, 256, None, None) {
            Settled::Agreed(terms, out) => (terms, out),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_plain_file_system() {
        let (terms, out) = agreed(&Profile::default(), &FuseOptions::default());
        let flags = out.init_flags();
        for has in [
            InitFlags::AUTO_INVAL_DATA,
            InitFlags::POSIX_ACL,
            InitFlags::NO_EXPORT_SUPPORT,
            InitFlags::HANDLE_KILLPRIV_V2,
            InitFlags::HAS_RESEND,
        ] {
            assert!(flags.contains(has), "{has:?}");
        }
        for has_not in [
            InitFlags::WRITEBACK_CACHE,
            InitFlags::EXPLICIT_INVAL_DATA,
            InitFlags::POSIX_LOCKS,
            InitFlags::FLOCK_LOCKS,
            InitFlags::EXPORT_SUPPORT,
            InitFlags::ALLOW_IDMAP,
            InitFlags::HANDLE_KILLPRIV,
            InitFlags::NO_OPEN_SUPPORT,
            InitFlags::OVER_IO_URING,
            InitFlags::RESERVED,
        ] {
            assert!(!flags.intersects(has_not), "{has_not:?}");
        }
        assert_eq!(terms.payload, 256 * rustix::param::page_size());
        assert_eq!(out.max_write as usize, terms.payload);
        assert_eq!(out.max_pages, 256);
        assert_eq!((out.major, out.minor, out.max_readahead), (7, 45, 1 << 17));
    }

    #[test]
    fn what_the_profile_says() {
        let profile = Profile {
            owns_files: true,
            locks: true,
            exportable: true,
            idmapped: true,
            ..Profile::default()
        };
        let (terms, out) = agreed(&profile, &FuseOptions::default());
        let flags = out.init_flags();
        assert!(flags.contains(
            InitFlags::WRITEBACK_CACHE
                | InitFlags::EXPLICIT_INVAL_DATA
                | InitFlags::POSIX_LOCKS
                | InitFlags::FLOCK_LOCKS
                | InitFlags::EXPORT_SUPPORT
                | InitFlags::ALLOW_IDMAP
                | InitFlags::CACHE_SYMLINKS
        ));
        assert!(!flags.intersects(InitFlags::AUTO_INVAL_DATA | InitFlags::NO_EXPORT_SUPPORT));
        assert!(terms.writeback && terms.exported);
    }

    #[test]
    fn what_the_options_say() {
        let profile = Profile { owns_files: true, idmapped: true, ..Profile::default() };
        let options = FuseOptions {
            writeback: Some(false),
            default_permissions: Some(false),
            auto_cache: true,
            ..FuseOptions::default()
        };
        let flags = agreed(&profile, &options).1.init_flags();
        assert!(flags.contains(InitFlags::AUTO_INVAL_DATA));
        assert!(!flags.intersects(
            InitFlags::WRITEBACK_CACHE
                | InitFlags::POSIX_ACL
                | InitFlags::ALLOW_IDMAP
                | InitFlags::EXPLICIT_INVAL_DATA
        ));
        let idmap = FuseOptions { allow_idmap: true, ..FuseOptions::default() };
        let (_, out) = agreed(&Profile::default(), &idmap);
        assert!(out.init_flags().contains(InitFlags::ALLOW_IDMAP));
        let unchecked = FuseOptions { default_permissions: Some(false), ..idmap };
        let (_, out) = agreed(&Profile::default(), &unchecked);
        assert!(!out.init_flags().contains(InitFlags::ALLOW_IDMAP));
        let direct = FuseOptions { direct_io: true, ..FuseOptions::default() };
        assert!(!agreed(&profile, &direct).0.writeback);
    }

    #[test]
    fn older_and_newer_kernels() {
        let (profile, options) = (Profile::default(), FuseOptions::default());
        let settle = |init| Terms::settle(&init, &profile, &options, 256, None, None);
        match settle(init(31, InitFlags::ASYNC_READ)) {
            Settled::Agreed(terms, out) => {
                assert_eq!((terms.payload, out.minor), (Terms::PAYLOAD_MIN, 31));
                assert_eq!(out.init_flags(), InitFlags::ASYNC_READ);
            }
            other => panic!("{other:?}"),
        }
        assert_eq!(settle(init(30, ALL)), Settled::Refused);
        let newer = InitIn { major: 8, ..init(0, ALL) };
        assert!(matches!(settle(newer), Settled::AskAgain(out) if out.major == 7));
    }

    #[test]
    fn sizes_stay_within_reason() {
        for (pages, payload) in [(1, Terms::PAYLOAD_MIN), (65535, Terms::PAYLOAD_MAX)] {
            let (profile, options) = (Profile::default(), FuseOptions::default());
            let settled = Terms::settle(&init(45, ALL), &profile, &options, pages, None, None);
            assert!(matches!(settled, Settled::Agreed(terms, _) if terms.payload == payload));
        }
    }

    fn offer(version: u32, max_message: u32) -> InitIn {
        let mut init = init(45, ALL);
        let (area_slots, area_size) = (16, 8192);
        let flags = OfferFlags::empty();
        let offer = ExtensionOffer { version, max_message, area_slots, area_size, flags };
        init.set_extension_offer(offer);
        init
    }

    #[test]
    fn the_longest_message_is_clamped() {
        // A22: silently. What is not data is 4096 bytes of it (A23).
        for (offered, max_message) in [
            (0, 8192),
            (1, 8192),
            (8191, 8192),
            (8192, 8192),
            (8193, 8193),
            (1 << 20, 1 << 20),
            (u32::MAX, Terms::MESSAGE_MAX),
        ] {
            let (profile, options) = (Profile::default(), FuseOptions::default());
            let init = offer(EXTENSION_VERSION, offered);
            assert_eq!(super::offered(&init).map(|offer| offer.max_message), Some(offered));
            match Terms::settle(&init, &profile, &options, 256, None, Some(offered)) {
                Settled::Agreed(terms, out) => {
                    assert!(terms.dialect.is_extended());
                    assert_eq!(terms.max_message, Some(max_message), "{offered}");
                    assert_eq!(terms.payload, max_message as usize - 4096);
                    assert_eq!(out.max_write as usize, terms.payload);
                }
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn another_version_is_no_offer() {
        // A12; and Linux, which leaves the words zero.
        for version in [0, 2, u32::MAX] {
            assert_eq!(offered(&offer(version, 1 << 20)), None);
        }
        assert_eq!(offered(&init(45, ALL)), None);
    }
}
