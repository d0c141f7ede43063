//! Two hundred thousand messages, valid, mutated and plainly random, from a seed that is printed:
//! the parser keeps its promises and never panics. `FILOFS_SEED` repeats a run.
#![expect(clippy::expect_used, clippy::indexing_slicing, reason = "a test may be blunt")]

mod common;
#[path = "common/random.rs"]
mod random;

use filofs_wire::abi::{InHeader, Opcode};
use filofs_wire::dialect::Dialect;
use random::Random;
use zerocopy::{FromBytes, IntoBytes};

const ROUNDS: usize = 200_000;

/// A message whose body has the right shape for its opcode, with random content; sizes inside it
/// are right more often than not.
fn message(random: &mut Random, dialect: Dialect) -> Vec<u8> {
    let opcode = Opcode::ALL[random.below(Opcode::ALL.len())];
    let mut body = Vec::new();
    let (fixed, names, data) = shape(opcode, dialect);
    // Small numbers, so that offsets, sizes and times are mostly within their limits.
    for _ in 0..fixed / 4 {
        let number = if random.one_in(4) { random.next() as u32 >> random.below(32) } else { 0 };
        body.extend_from_slice(&number.to_ne_bytes());
    }
    if opcode == Opcode::Extattrctl {
        body[8] |= 2; // HAS_NAME
    }
    for _ in 0..names {
        body.extend_from_slice(&random.name());
        body.push(0);
    }
    if let Some((size_at, unit)) = data {
        let count = random.below(20);
        if let Some(size) = body.get_mut(size_at..size_at + 4) {
            size.copy_from_slice(&(count as u32).to_ne_bytes());
        }
        body.extend_from_slice(&random.bytes(count * unit));
    }
    let extensions = if random.one_in(4) { extensions(random) } else { Vec::new() };
    let header = InHeader {
        len: (size_of::<InHeader>() + body.len() + extensions.len()) as u32,
        opcode: opcode as u32,
        unique: random.next() | 1,
        nodeid: random.next(),
        uid: 0,
        gid: 0,
        pid: 1,
        total_extlen: (extensions.len() / 8) as u16,
        padding: 0,
    };
    [header.as_bytes(), &body, &extensions].concat()
}

/// Bytes of structure, number of names, and where the count of the data stands with its unit.
fn shape(opcode: Opcode, dialect: Dialect) -> (usize, usize, Option<(usize, usize)>) {
    match opcode {
        Opcode::Lookup | Opcode::Unlink | Opcode::Rmdir | Opcode::Removexattr => (0, 1, None),
        Opcode::Readlink | Opcode::Statfs | Opcode::Destroy => (0, 0, None),
        Opcode::Symlink => (0, 2, None),
        Opcode::Forget
        | Opcode::Access
        | Opcode::Interrupt
        | Opcode::Syncfs
        | Opcode::Open
        | Opcode::Opendir
        | Opcode::Listxattr
        | Opcode::HandleOf
        | Opcode::SyncLater
        | Opcode::Unmount
        | Opcode::Response => (8, 0, None),
        Opcode::Mkdir | Opcode::Link | Opcode::Getxattr => (8, 1, None),
        Opcode::Rename => (8, 2, None),
        Opcode::BatchForget => (8, 0, Some((0, 16))),
        Opcode::Removemapping => (4, 0, Some((0, 16))),
        Opcode::Getattr | Opcode::Fsync | Opcode::Fsyncdir | Opcode::Bmap => (16, 0, None),
        Opcode::Mknod | Opcode::Create | Opcode::Tmpfile | Opcode::Extattrctl => (16, 1, None),
        Opcode::Rename2 => (16, 2, None),
        Opcode::Setxattr if dialect.long_setxattr() => (16, 1, Some((0, 1))),
        Opcode::Setxattr => (8, 1, Some((0, 1))),
        Opcode::Release
        | Opcode::Releasedir
        | Opcode::Flush
        | Opcode::Poll
        | Opcode::Lseek
        | Opcode::Statx => (24, 0, None),
        Opcode::Fallocate => (32, 0, None),
        Opcode::Ioctl => (32, 0, Some((24, 1))),
        Opcode::Read | Opcode::Readdir | Opcode::Readdirplus | Opcode::Setupmapping => {
            (40, 0, None)
        }
        Opcode::Write | Opcode::NotifyReply => (40, 0, Some((16, 1))),
        Opcode::Getlk | Opcode::Setlk | Opcode::Setlkw => (48, 0, None),
        Opcode::CopyFileRange | Opcode::CopyFileRange64 => (56, 0, None),
        Opcode::Init => (64, 0, None),
        Opcode::Setattr => (88, 0, None),
        Opcode::NodeOf => (8, 0, Some((0, 1))),
        Opcode::Error => (24, 0, Some((16, 1))),
    }
}

/// One or two extensions, right more often than not.
fn extensions(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.one_in(2) {
        let mut content = Vec::new();
        let count = random.below(3);
        for _ in 0..count {
            let value = random.below(30);
            content.extend_from_slice(&(value as u32).to_ne_bytes());
            content.extend_from_slice(&[0; 4]);
            content.extend_from_slice(b"security.selinux\0");
            content.extend_from_slice(&random.bytes(value));
            content.resize(content.len().next_multiple_of(8), 0);
        }
        bytes.extend_from_slice(&(8 + content.len() as u32).to_ne_bytes());
        bytes.extend_from_slice(&(count as u32).to_ne_bytes());
        bytes.extend_from_slice(&content);
    }
    if random.one_in(2) {
        bytes.extend_from_slice(&16_u32.to_ne_bytes());
        bytes.extend_from_slice(&32_u32.to_ne_bytes());
        bytes.extend_from_slice(&1_u32.to_ne_bytes());
        bytes.extend_from_slice(&(random.next() as u32).to_ne_bytes());
    }
    bytes
}

/// Damages a message, but mostly not its length.
fn mutate(random: &mut Random, bytes: &mut Vec<u8>) {
    random.damage(bytes);
    // Otherwise nearly everything would stop at the length.
    if random.below(8) != 0
        && let Ok((mut header, _)) = InHeader::read_from_prefix(bytes)
    {
        header.len = bytes.len() as u32;
        bytes[..size_of::<InHeader>()].copy_from_slice(header.as_bytes());
    }
}

#[test]
fn the_parser_keeps_its_promises() {
    let mut random = Random::from_environment();
    let dialects: Vec<Dialect> = common::dialects().collect();
    let (mut valid, mut invalid) = (0, 0);
    let mut seen = std::collections::HashSet::new();
    for _ in 0..ROUNDS {
        let dialect = dialects[random.below(dialects.len())];
        let bytes = match random.below(16) {
            0 => {
                let len = random.below(200);
                random.bytes(len)
            }
            kind => {
                let mut bytes = message(&mut random, dialect);
                if kind > 8 {
                    mutate(&mut random, &mut bytes);
                }
                bytes
            }
        };
        if common::check_parse(&bytes, dialect) {
            valid += 1;
            let (header, _) = InHeader::read_from_prefix(&bytes).expect("valid");
            seen.insert(header.opcode);
        } else {
            invalid += 1;
        }
    }
    // The test is worth nothing if its messages are all good or all bad.
    assert!(valid > ROUNDS / 4 && invalid > ROUNDS / 4, "{valid} valid, {invalid} not");
    assert_eq!(seen.len(), Opcode::ALL.len(), "operations that were never parsed");
}

#[test]
fn every_cut_of_every_message_is_an_error_or_a_request() {
    let mut random = Random::from_environment();
    for dialect in common::dialects() {
        for _ in 0..40 {
            let mut bytes = message(&mut random, dialect);
            while !bytes.is_empty() {
                bytes.pop();
                if let Ok((mut header, _)) = InHeader::read_from_prefix(&bytes) {
                    header.len = bytes.len() as u32;
                    bytes[..size_of::<InHeader>()].copy_from_slice(header.as_bytes());
                }
                common::check_parse(&bytes, dialect);
            }
        }
    }
}

#[test]
fn directory_buffers_hold_what_was_pushed() {
    let mut random = Random::from_environment();
    for _ in 0..5_000 {
        let names: Vec<Vec<u8>> = (0..random.below(12)).map(|_| random.name()).collect();
        let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
        common::check_write_dirents(random.below(2000), &names);
        let len = random.below(400);
        common::check_read_dirents(&random.bytes(len));
    }
}
