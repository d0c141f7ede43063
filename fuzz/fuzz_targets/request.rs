//! Any bytes as a request, in every dialect: no panic, and what is parsed keeps its promises.
#![no_main]

#[path = "../../crates/filofs-wire/tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

use filofs_wire::abi::InHeader;
use libfuzzer_sys::fuzz_target;
use zerocopy::{FromBytes, IntoBytes};

fuzz_target!(|bytes: &[u8]| {
    // Once as it is, and once with the right length, which few inputs would hit by chance.
    let mut repaired = bytes.to_vec();
    if let Ok((mut header, _)) = InHeader::read_from_prefix(bytes) {
        header.len = bytes.len() as u32;
        repaired[..size_of::<InHeader>()].copy_from_slice(header.as_bytes());
    }
    for dialect in common::dialects() {
        common::check_parse(bytes, dialect);
        common::check_parse(&repaired, dialect);
    }
});
