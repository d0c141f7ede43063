//! docs/protocol.md says what the code does: every table of a structure, of opcodes, calls, flags
//! and values.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may be blunt")]

use core::mem::offset_of;

use bitflags::Flags;
use filofs_wire::abi::{
    BACKING_ID_ATTACHED, CallCode, EXTENSION_MAGIC, EXTENSION_VERSION, ErrorIn, ExtattrctlFlags,
    ExtattrctlIn, FlushCall, FlushWhat, GroupsCall, HandleFlags, HandleOfIn, HandleOfOut, InitIn,
    MountArguments, MountFlags, NodeOfIn, OfferFlags, Opcode, OpenOut, ResponseIn, SyncLaterIn,
    SyncLaterMode, UnmountFlags, UnmountIn,
};
use filofs_wire::limits;

const PROTOCOL: &str = include_str!("../../../docs/protocol.md");

/// A structure as the code has it: its size, and each field's name, offset and size.
type Layout = (usize, Vec<(&'static str, usize, usize)>);

macro_rules! layouts {
    ($( $text:literal = $type:ident { $($field:ident),+ } )+) => {
        [$( ($text, {
            let value = $type::default();
            let fields = vec![$( (
                stringify!($field), offset_of!($type, $field), size_of_val(&value.$field)
            ) ),+];
            (size_of::<$type>(), fields)
        }) ),+]
    };
}

fn layouts() -> [(&'static str, Layout); 11] {
    layouts! {
        "filo_mount_arguments" = MountArguments {
            magic, version, flags, handle_flags, handle_size, max_message, negative_valid, root,
            statfs, type_name, from_name, operations, extended_operations, spare
        }
        "filo_handle_of_in" = HandleOfIn { room, padding }
        "filo_handle_of_out" = HandleOfOut { len, padding }
        "filo_node_of_in" = NodeOfIn { len, padding }
        "filo_sync_later_in" = SyncLaterIn { mode, padding }
        "filo_unmount_in" = UnmountIn { flags, padding }
        "filo_extattrctl_in" = ExtattrctlIn { command, namespace, flags, padding }
        "filo_error_in" = ErrorIn { opcode, errno, nodeid, len, padding }
        "filo_response_in" = ResponseIn { error, padding }
        "filo_flush_call" = FlushCall { nodeid, what, padding, start, end }
        "filo_groups_call" = GroupsCall { unique }
    }
}

/// The rows of the table that has this head and comes first after `text`: their cells, bare.
fn table_after(text: &str, head: &str) -> Vec<Vec<&'static str>> {
    let at = PROTOCOL.find(text).unwrap_or_else(|| panic!("{text}: not described"));
    let mut lines = PROTOCOL[at..].lines().skip_while(|line| !line.starts_with('|'));
    assert_eq!(lines.next(), Some(head), "the table after {text}");
    lines
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(|line| line.split('|').map(|cell| cell.trim().trim_matches('`')).collect::<Vec<_>>())
        .map(|cells| cells[1..cells.len() - 1].to_vec())
        .collect()
}

fn number(cell: &str) -> usize {
    let hexadecimal = cell.strip_prefix("0x").map(|digits| usize::from_str_radix(digits, 16));
    hexadecimal.unwrap_or_else(|| cell.parse()).expect("a number")
}

#[test]
fn structures_are_as_described() {
    for (name, (size, fields)) in layouts() {
        let title = format!("`{name}`, {size} bytes");
        let rows = table_after(&title, "| offset | size | field | |");
        let described: Vec<_> =
            rows.iter().map(|row| (row[2], number(row[0]), number(row[1]))).collect();
        assert_eq!(described, fields, "{name}");
        assert_eq!(fields.iter().map(|field| field.2).sum::<usize>(), size, "{name}: all fields");
    }
}

#[test]
fn no_structure_is_described_that_there_is_not() {
    let described = PROTOCOL.matches("`filo_").count();
    let names = layouts().map(|(name, _)| format!("`{name}`"));
    let known: usize = names.iter().map(|name| PROTOCOL.matches(name).count()).sum();
    assert_eq!(known, described);
}

#[test]
fn the_offer_is_as_described() {
    let rows = table_after("### Offer", "| offset | size | field | |");
    let unused = offset_of!(InitIn, unused);
    let offsets: Vec<usize> = rows.iter().map(|row| number(row[0])).collect();
    assert_eq!(offsets, [0, 4, 8, 12, 16, 20].map(|at| unused + at));
    assert_eq!(number(rows[0][3]), EXTENSION_MAGIC as usize);
    assert_eq!(number(rows[1][3]), EXTENSION_VERSION as usize);
}

#[test]
fn opcodes_and_calls_are_as_described() {
    let rows = table_after("## Requests of the extension", "| opcode | name | body | answer |");
    let described: Vec<_> =
        rows.iter().map(|row| (number(row[0]) as u32, row[1], row[3] != "none")).collect();
    let known: Vec<_> = Opcode::ALL
        .iter()
        .filter(|opcode| opcode.is_extension())
        .map(|&opcode| (opcode as u32, opcode.name(), opcode.wants_answer()))
        .collect();
    assert_eq!(described, known);

    let rows = table_after("## Calls", "| code | name | body | response |");
    let described: Vec<_> = rows.iter().map(|row| (number(row[0]), row[1].to_owned())).collect();
    let known: Vec<_> = CallCode::ALL
        .iter()
        .map(|&code| (code as usize, format!("{code:?}").to_uppercase()))
        .collect();
    assert_eq!(described, known);
}

#[test]
fn flags_are_as_described() {
    fn named<F: Flags<Bits = u32>>() -> Vec<(usize, &'static str)> {
        let flags = F::FLAGS.iter().filter(|flag| !flag.name().is_empty());
        flags.map(|flag| (flag.value().bits() as usize, flag.name())).collect()
    }
    for (kind, flags) in [
        ("offer flag", named::<OfferFlags>()),
        ("flag", named::<MountFlags>()),
        ("handle flag", named::<HandleFlags>()),
        ("unmount flag", named::<UnmountFlags>()),
        ("extattrctl flag", named::<ExtattrctlFlags>()),
    ] {
        let head = format!("| bit | {kind} | |");
        let described = table_after(&head, &head);
        let described: Vec<_> = described.iter().map(|row| (number(row[0]), row[1])).collect();
        assert_eq!(described, flags, "{kind}");
    }
}

#[test]
fn a_file_is_announced_as_described() {
    let rows = table_after("## Files that", "| `backing_id` | |");
    assert_eq!(number(rows[1][0]), BACKING_ID_ATTACHED as usize);
    let at = format!("number at offset {} is", offset_of!(OpenOut, backing_id));
    assert!(PROTOCOL.contains(&at));
    assert!(PROTOCOL.contains(&format!("`fuse_open_out`, {} bytes", size_of::<OpenOut>())));
}

#[test]
fn values_are_as_described() {
    let modes = SyncLaterMode::ALL.iter().map(|&mode| (mode as usize, format!("{mode:?}")));
    let whats = FlushWhat::ALL.iter().map(|&what| (what as usize, format!("{what:?}")));
    for (kind, known) in [("mode", modes.collect::<Vec<_>>()), ("what", whats.collect())] {
        let head = format!("| {kind} | name | |");
        let described = table_after(&head, &head);
        let described: Vec<_> =
            described.iter().map(|row| (number(row[0]), row[1].to_owned())).collect();
        assert_eq!(described, known, "{kind}");
    }
}

#[test]
fn limits_are_as_described() {
    let rows = table_after("## Limits", "| what | at most |");
    let known = [
        limits::NAME_MAX,
        limits::SYMLINK_MAX,
        limits::XATTR_SIZE_MAX as usize,
        limits::HANDLE_MAX as usize,
        limits::ERROR_TEXT_MAX as usize,
        limits::RESPONSE_MAX,
        limits::GROUPS_MAX,
    ];
    let described: Vec<usize> = rows.iter().skip(1).take(7).map(|row| number(row[1])).collect();
    assert_eq!(described, known);
    assert_eq!(number(rows[9][1]), *limits::ERRNO_RANGE.end() as usize);
}
