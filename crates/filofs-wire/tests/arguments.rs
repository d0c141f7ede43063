//! The checks of a mount's arguments, by the items of puffs' behaviour that they come from.
#![expect(clippy::expect_used, clippy::large_types_passed_by_value, reason = "a test may be blunt")]

use filofs_wire::abi::{Attr, EntryOut, HandleFlags, MountArguments, MountFlags, Opcode};
use filofs_wire::arguments::BadArguments;
use zerocopy::IntoBytes;

/// The largest message of the core.
const MAX: u32 = 1 << 20;

const EINVAL: i32 = 22;

/// Arguments that are in order.
fn arguments() -> MountArguments {
    let attr = Attr { mode: 0o040_755, ..Attr::default() };
    let root = EntryOut { nodeid: 1, attr, ..EntryOut::default() };
    MountArguments { root, ..MountArguments::named("test", "nowhere") }
}

/// What is in force.
#[track_caller]
fn read(arguments: MountArguments) -> MountArguments {
    MountArguments::read(arguments.as_bytes(), MAX).expect("arguments in order")
}

#[track_caller]
fn refused(arguments: MountArguments, reason: BadArguments) {
    assert_eq!(MountArguments::read(arguments.as_bytes(), MAX), Err(reason));
    assert_eq!(reason.errno().number(), EINVAL);
}

#[test]
fn mount_short_args() {
    // A9: shorter is refused, longer is not.
    let arguments = arguments();
    let bytes = arguments.as_bytes();
    for len in 0..704 {
        let result = MountArguments::read(&bytes[..len], MAX);
        assert_eq!(result, Err(BadArguments::Short(len)));
    }
    assert!(MountArguments::read(bytes, MAX).is_ok());
    let longer = [bytes, &[0xff; 64]].concat();
    assert_eq!(MountArguments::read(&longer, MAX), MountArguments::read(bytes, MAX));
}

#[test]
fn getargs_returns_effective() {
    // A10, A23, A27: what is in force is told, and is what it says of itself.
    let mut given = MountArguments { max_message: 1, ..arguments() };
    given.type_name[..3].copy_from_slice(b"a\x01b");
    let mut effective = read(given);
    assert_eq!((effective.max_message, effective.type_name()), (8192, "a.bt"));
    assert_eq!(read(effective), effective);
    // A21: the name that the mount really has.
    effective.set_type_name("fuse.a.bt");
    assert_eq!(read(effective).type_name(), "fuse.a.bt");
    effective.set_type_name(&"x".repeat(40));
    assert_eq!(read(effective).type_name(), "x".repeat(31));
}

#[test]
fn mount_bad_version() {
    // A12: exactly the one, and both numbers in the text.
    for version in [0, 2, 29, 30, u32::MAX] {
        let reason = BadArguments::Version(version);
        refused(MountArguments { version, ..arguments() }, reason);
        assert_eq!(
            reason.to_string(),
            format!("mount arguments of version {version}; version 1 is spoken")
        );
    }
    refused(MountArguments { magic: 0, ..arguments() }, BadArguments::Magic(0));
}

#[test]
fn mount_each_flag_bit() {
    // A13: 0b111_1111 is the mask.
    for bit in 0..32 {
        let flags = MountFlags::from_bits_retain(1 << bit);
        let given = MountArguments { flags, ..arguments() };
        if bit < 7 {
            assert_eq!(read(given).flags, flags);
        } else {
            refused(given, BadArguments::Flags(1 << bit));
        }
    }
    let flags = MountFlags::from_bits_retain(u32::MAX);
    refused(MountArguments { flags, ..arguments() }, BadArguments::Flags(!0x7f));
}

#[test]
fn mount_each_fhflag_bit() {
    // A14: 0b1111 is the mask.
    for bit in 0..32 {
        let handle_flags = HandleFlags::from_bits_retain(1 << bit);
        let given = MountArguments { handle_flags, ..arguments() };
        if bit < 4 {
            assert_eq!(read(given).handle_flags, handle_flags);
        } else {
            refused(given, BadArguments::HandleFlags(1 << bit));
        }
    }
}

#[test]
fn mount_spare_nonzero() {
    // A15: the first that is not zero is named, with its value.
    for index in 0..20 {
        let mut given = arguments();
        given.spare[index] = 7;
        given.spare[19] |= 8;
        let value = if index == 19 { 15 } else { 7 };
        refused(given, BadArguments::Spare { index, value });
    }
}

#[test]
fn passthrough_ignores_fhsize() {
    // A16, and A18: the flags of NFS say nothing of handles that are not the server's alone.
    for handle_size in [0, 1, 1020, 100_000, u32::MAX] {
        for others in [HandleFlags::empty(), HandleFlags::NFSV2 | HandleFlags::NFSV3] {
            let handle_flags = HandleFlags::PASSTHROUGH | others;
            let given = MountArguments { handle_size, handle_flags, ..arguments() };
            assert_eq!(read(given).handle_size, 1020);
        }
    }
}

#[test]
fn fhsize_bounds() {
    // A17: no size wraps around.
    for (handle_size, fits) in [
        (0, true),
        (1, true),
        (1020, true),
        (1021, false),
        (u32::MAX - 4, false),
        (u32::MAX - 3, false),
        (u32::MAX, false),
    ] {
        let given = MountArguments { handle_size, ..arguments() };
        if fits {
            assert_eq!(read(given).handle_size, handle_size);
        } else {
            refused(given, BadArguments::HandleSize { size: handle_size, max: 1020 });
        }
    }
}

#[test]
fn fhsize_nfs_bounds() {
    // A18
    let (v2, v3) = (HandleFlags::NFSV2, HandleFlags::NFSV3);
    for (handle_flags, size, max) in [
        (v2, 28, None),
        (v2, 29, Some(28)),
        (v3, 60, None),
        (v3, 61, Some(60)),
        (v2 | v3, 28, None),
        (v2 | v3, 60, Some(28)),
        (v2 | v3, 0, None),
        (v2 | v3, u32::MAX, Some(1020)),
        (HandleFlags::DYNAMIC, 61, None),
    ] {
        let given = MountArguments { handle_size: size, handle_flags, ..arguments() };
        match max {
            None => assert_eq!(read(given).handle_size, size),
            Some(max) => refused(given, BadArguments::HandleSize { size, max }),
        }
    }
}

#[test]
fn typename_sanitised() {
    // A19
    let mut given = arguments();
    given.type_name = [b'x'; 32];
    assert_eq!(read(given).type_name(), "x".repeat(31), "a name without end is cut");
    given.type_name[..10].copy_from_slice(b"a\nb\x7fc\xc3\xa4\\\0\x01");
    let effective = read(given);
    assert_eq!(effective.type_name(), "a.b.c...");
    assert!(effective.type_name[8..].iter().all(|&byte| byte == 0), "nothing hides behind it");
    for byte in 1..=255_u8 {
        given.type_name[0] = byte;
        let clean = matches!(byte, b' '..=b'[' | b']'..=b'~');
        let expected = if clean { byte } else { b'.' };
        assert_eq!(read(given).type_name().as_bytes()[0], expected, "{byte:#x}");
    }
    given.type_name = [0; 32];
    assert_eq!(read(given).type_name(), "");
    // The same before it is sent.
    assert_eq!(MountArguments::named("a\tb", "").type_name(), "a.b");
}

#[test]
fn fromname_sanitised() {
    // A20
    let mut given = arguments();
    given.from_name = [[b'x'; 32]; 8];
    given.from_name[0][1] = b'\n';
    given.from_name[7][30] = 0xff;
    let expected = format!("x.{}.", "x".repeat(252));
    assert_eq!(read(given).from_name(), expected);
    // What is clean already stays as it is.
    let named = MountArguments { root: given.root, ..MountArguments::named("t", "h:/d") };
    assert_eq!(read(named).from_name(), "h:/d");
    assert_eq!(read(named).from_name, named.from_name);
}

#[test]
fn maxmsg_clamp() {
    // A22
    for (given, effective) in [
        (0, MAX),
        (1, 8192),
        (8191, 8192),
        (8192, 8192),
        (8193, 8193),
        (MAX, MAX),
        (MAX + 1, MAX),
        (u32::MAX, MAX),
    ] {
        assert_eq!(
            read(MountArguments { max_message: given, ..arguments() }).max_message,
            effective
        );
    }
    let least = MountArguments::read(arguments().as_bytes(), 0).expect("arguments in order");
    assert_eq!(least.max_message, 8192, "no core is smaller");
}

#[test]
fn root_type_matrix() {
    // A32: fifo, character device, directory, block device, regular, symbolic link, socket.
    let possible = [0o01, 0o02, 0o04, 0o06, 0o10, 0o12, 0o14];
    for kind in (0..16).chain([0o20, 0o24, 0o200_004]) {
        let mut given = arguments();
        given.root.attr.mode = kind << 12 | 0o755;
        given.root.attr.rdev = u32::MAX; // A35: any.
        if possible.contains(&kind) {
            assert_eq!(read(given).root, given.root);
        } else {
            refused(given, BadArguments::RootMode(kind << 12 | 0o755));
        }
    }
    let mut given = arguments();
    given.root.nodeid = 2;
    refused(given, BadArguments::RootNode(2));
}

#[test]
fn root_type_none() {
    // A33: refused where it is said, not at the first use.
    let mut given = arguments();
    given.root.attr.mode = 0;
    refused(given, BadArguments::RootMode(0));
}

#[test]
fn root_size_negative() {
    // A34
    for (size, fits) in [(0, true), (i64::MAX as u64, true), (1 << 63, false), (u64::MAX, false)] {
        let mut given = arguments();
        given.root.attr.size = size;
        if fits {
            assert_eq!(read(given).root.attr.size, size);
        } else {
            refused(given, BadArguments::RootSize(size));
        }
    }
}

#[test]
fn operations_may_be_any_bytes() {
    // A37
    let mut given = arguments();
    for byte in 0..=255_u8 {
        given.operations = [[byte; 32]; 2];
        given.extended_operations = [byte; 32];
        let effective = read(given);
        assert_eq!(effective.operations, given.operations);
        assert!(Opcode::ALL.iter().all(|&opcode| effective.has_operation(opcode) == (byte != 0)));
    }
}

#[test]
fn each_operation_has_its_own_byte() {
    for &opcode in Opcode::ALL {
        let mut given = arguments();
        given.set_operation(opcode);
        let effective = read(given);
        let had: Vec<Opcode> =
            Opcode::ALL.iter().copied().filter(|&op| effective.has_operation(op)).collect();
        assert_eq!(had, [opcode]);
        // C.4, ALLOPS: the mask counts for nothing.
        let all = read(MountArguments { flags: MountFlags::ALL_OPS, ..given });
        assert!(Opcode::ALL.iter().all(|&op| all.has_operation(op)));
    }
    // As docs/protocol.md has it: opcode and byte.
    let mut given = arguments();
    given.set_operation(Opcode::Write);
    given.set_operation(Opcode::Unmount);
    let bytes = given.as_bytes();
    let set: Vec<usize> = (528..624).filter(|&at| bytes[at] != 0).collect();
    assert_eq!(set, [528 + 16, 592 + 4]);
}

#[test]
fn the_first_fault_decides() {
    // A9 to A34, in the order of the items.
    let mut given = arguments();
    given.root.attr.size = u64::MAX;
    refused(given, BadArguments::RootSize(u64::MAX));
    given.root.attr.mode = 0;
    refused(given, BadArguments::RootMode(0));
    given.handle_size = 1021;
    refused(given, BadArguments::HandleSize { size: 1021, max: 1020 });
    given.spare[19] = 1;
    refused(given, BadArguments::Spare { index: 19, value: 1 });
    given.handle_flags = HandleFlags::from_bits_retain(16);
    refused(given, BadArguments::HandleFlags(16));
    given.flags = MountFlags::from_bits_retain(128);
    refused(given, BadArguments::Flags(128));
    given.version = 2;
    refused(given, BadArguments::Version(2));
    given.magic = 1;
    refused(given, BadArguments::Magic(1));
    let result = MountArguments::read(&given.as_bytes()[..703], MAX);
    assert_eq!(result, Err(BadArguments::Short(703)));
}

#[test]
fn each_text_has_its_number() {
    for (reason, text) in [
        (BadArguments::Short(3), "mount arguments of 3 bytes instead of 704"),
        (BadArguments::Magic(16), "no mount arguments: they begin 0x10"),
        (BadArguments::Flags(32), "unknown mount flags 0x20"),
        (BadArguments::HandleFlags(16), "unknown handle flags 0x10"),
        (
            BadArguments::Spare { index: 2, value: 255 },
            "spare word 2 of the mount arguments is 0xff, not 0",
        ),
        (
            BadArguments::HandleSize { size: 29, max: 28 },
            "file handles of 29 bytes; at most 28 can be",
        ),
        (BadArguments::RootNode(2), "the root is node 2, not 1"),
        (BadArguments::RootMode(0o755), "a root of mode 0o755"),
        (BadArguments::RootSize(1 << 63), "a root of 9223372036854775808 bytes"),
    ] {
        assert_eq!(reason.to_string(), text);
    }
}
