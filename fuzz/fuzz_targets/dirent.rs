//! Any names into a directory buffer of any size, and any bytes as a directory buffer.
#![no_main]

#[path = "../../crates/filofs-wire/tests/common/mod.rs"]
#[allow(dead_code)]
mod common;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, Vec<Vec<u8>>)| {
    let (size, names) = input;
    let names: Vec<&[u8]> = names.iter().map(Vec::as_slice).collect();
    // Larger buffers only make each run slower.
    common::check_write_dirents(usize::from(size) % 4096, &names);
    names.iter().for_each(|bytes| common::check_read_dirents(bytes));
});
