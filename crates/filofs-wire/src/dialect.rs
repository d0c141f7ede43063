//! What two peers agreed on in INIT, as far as it changes the layout of messages.

use crate::abi::{InitFlags, InitIn, InitOut, KERNEL_MINOR, KERNEL_VERSION};

/// The oldest minor version that is spoken (2019). Every reply has had today's size since 7.23, so
/// that no older layout needs code.
pub const MINOR_MIN: u32 = 31;

/// The oldest minor version that a server may speak (2009): its requests and replies have today's
/// sizes, but for the answer to INIT.
pub const MINOR_MIN_SERVER: u32 = 12;

/// The first minor version whose requests say how long their extensions are.
const MINOR_EXTENSIONS: u32 = 38;

/// The version and the flags in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Dialect {
    minor: u32,
    flags: InitFlags,
    extended: bool,
}

/// How a server has to answer INIT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Negotiated {
    /// Both can speak this.
    Agreed(Dialect),
    /// The kernel's major version is newer: answer with ours, as
    /// [`BEFORE_INIT`](Dialect::BEFORE_INIT) has it, and await another INIT.
    AskAgain,
    /// The kernel is older than 7.31: answer EPROTO.
    Refused,
}

impl Dialect {
    /// What is spoken until INIT has been answered.
    pub const BEFORE_INIT: Dialect =
        Dialect { minor: KERNEL_MINOR, flags: InitFlags::empty(), extended: false };

    /// A dialect by its parts, where it was agreed on earlier (a successor process). `None` for a
    /// minor version that is not spoken.
    pub const fn new(minor: u32, flags: InitFlags) -> Option<Dialect> {
        if minor < MINOR_MIN || minor > KERNEL_MINOR {
            return None;
        }
        Some(Dialect { minor, flags, extended: false })
    }

    /// Agrees with a kernel that sent `init`, for a server that wants `wanted`: the lower minor
    /// version, and the flags both sides have. Extensions of requests are dropped below 7.38,
    /// where they cannot be told from the body.
    pub fn negotiate(init: &InitIn, wanted: InitFlags) -> Negotiated {
        if init.major > KERNEL_VERSION {
            return Negotiated::AskAgain;
        }
        if init.major < KERNEL_VERSION || init.minor < MINOR_MIN {
            return Negotiated::Refused;
        }
        let minor = init.minor.min(KERNEL_MINOR);
        Negotiated::Agreed(Dialect::common(minor, init.init_flags() & wanted))
    }

    /// What is left of the flags both sides have.
    fn common(minor: u32, mut flags: InitFlags) -> Dialect {
        flags.remove(InitFlags::RESERVED);
        if minor < MINOR_EXTENSIONS {
            flags.remove(InitFlags::SECURITY_CTX | InitFlags::CREATE_SUPP_GROUP);
        }
        Dialect { minor, flags, extended: false }
    }

    /// The answer to INIT as far as it follows from the dialect: version and flags. The server
    /// fills in the sizes.
    pub fn init_out(self) -> InitOut {
        let mut init = InitOut { major: KERNEL_VERSION, minor: self.minor, ..InitOut::default() };
        init.set_init_flags(self.flags);
        init
    }

    /// What a server's answer to INIT settles, seen from the side that asked with `offered`: the
    /// lower minor version and the flags both have. `None` for another major version, or a minor
    /// one older than 7.12, whose structures are shorter.
    pub fn settled(out: &InitOut, offered: InitFlags) -> Option<Dialect> {
        if out.major != KERNEL_VERSION || out.minor < MINOR_MIN_SERVER {
            return None;
        }
        let minor = out.minor.min(KERNEL_MINOR);
        Some(Dialect::common(minor, out.init_flags() & offered))
    }

    /// The same, with filo's extension: between peers of which one has offered it and the other
    /// has answered with [`MountArguments`](crate::abi::MountArguments).
    pub const fn extended(self) -> Dialect {
        Dialect { extended: true, ..self }
    }

    /// Whether filo's extension is spoken.
    pub const fn is_extended(self) -> bool {
        self.extended
    }

    /// The minor version.
    pub const fn minor(self) -> u32 {
        self.minor
    }

    /// The flags both sides have.
    pub const fn flags(self) -> InitFlags {
        self.flags
    }

    /// Whether SETXATTR has its long structure.
    pub const fn long_setxattr(self) -> bool {
        self.flags.contains(InitFlags::SETXATTR_EXT)
    }

    /// Whether the header says how long the extensions are.
    pub const fn has_extensions(self) -> bool {
        self.minor >= MINOR_EXTENSIONS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn init(major: u32, minor: u32, flags: InitFlags) -> InitIn {
        let (flags, flags2) = flags.halves();
        InitIn { major, minor, flags, flags2, ..InitIn::default() }
    }

    #[test]
    fn the_lower_minor_and_the_common_flags() {
        let offered = InitFlags::INIT_EXT | InitFlags::ASYNC_READ | InitFlags::PASSTHROUGH;
        let wanted = InitFlags::INIT_EXT | InitFlags::PASSTHROUGH | InitFlags::POSIX_ACL;
        let common = InitFlags::INIT_EXT | InitFlags::PASSTHROUGH;
        for (theirs, agreed) in [(31, 31), (45, 45), (99, 45)] {
            assert_eq!(
                Dialect::negotiate(&init(7, theirs, offered), wanted),
                Negotiated::Agreed(Dialect { minor: agreed, flags: common, extended: false })
            );
        }
    }

    #[test]
    fn the_answer_says_what_was_agreed() {
        let flags = InitFlags::POSIX_ACL | InitFlags::PASSTHROUGH;
        let out = Dialect { minor: 40, flags, extended: false }.init_out();
        assert_eq!((out.major, out.minor), (7, 40));
        assert_eq!(out.init_flags(), flags | InitFlags::INIT_EXT);
    }

    #[test]
    fn old_kernels_are_refused_and_newer_majors_asked_again() {
        assert_eq!(
            Dialect::negotiate(&init(7, 30, InitFlags::empty()), InitFlags::empty()),
            Negotiated::Refused
        );
        assert_eq!(
            Dialect::negotiate(&init(6, 45, InitFlags::empty()), InitFlags::empty()),
            Negotiated::Refused
        );
        assert_eq!(
            Dialect::negotiate(&init(8, 0, InitFlags::empty()), InitFlags::empty()),
            Negotiated::AskAgain
        );
    }

    #[test]
    fn the_high_half_counts_only_with_init_ext() {
        let offered = InitFlags::PASSTHROUGH | InitFlags::ASYNC_READ;
        let Negotiated::Agreed(dialect) = Dialect::negotiate(&init(7, 45, offered), offered) else {
            panic!("7.45 is spoken");
        };
        assert_eq!(dialect.flags(), InitFlags::ASYNC_READ);
    }

    #[test]
    fn a_servers_answer_settles_the_dialect() {
        let offered = InitFlags::INIT_EXT | InitFlags::ASYNC_READ | InitFlags::PASSTHROUGH;
        let answer = |minor, flags| {
            let mut out = InitOut { major: 7, minor, ..InitOut::default() };
            out.set_init_flags(flags);
            out
        };
        let answered = InitFlags::PASSTHROUGH | InitFlags::POSIX_ACL;
        for (theirs, agreed) in [(12, 12), (45, 45), (46, 45), (u32::MAX, 45)] {
            let settled = Dialect::settled(&answer(theirs, answered), offered).unwrap();
            let flags = InitFlags::INIT_EXT | InitFlags::PASSTHROUGH;
            assert_eq!(settled, Dialect { minor: agreed, flags, extended: false });
        }
        assert_eq!(Dialect::settled(&answer(11, answered), offered), None);
        let other = InitOut { major: 8, ..answer(45, answered) };
        assert_eq!(Dialect::settled(&other, offered), None);
        let old = Dialect::settled(&answer(37, InitFlags::SECURITY_CTX), InitFlags::all());
        assert_eq!(old.unwrap().flags(), InitFlags::INIT_EXT);
    }

    #[test]
    fn extensions_need_7_38() {
        let all = InitFlags::INIT_EXT | InitFlags::SECURITY_CTX | InitFlags::CREATE_SUPP_GROUP;
        for (minor, flags) in [(37, InitFlags::INIT_EXT), (38, all)] {
            let Negotiated::Agreed(dialect) = Dialect::negotiate(&init(7, minor, all), all) else {
                panic!("7.{minor} is spoken");
            };
            assert_eq!(dialect.flags(), flags, "7.{minor}");
        }
    }
}
