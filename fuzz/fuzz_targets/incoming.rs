//! Any bytes as a message of a file server's, with and without the extension: no panic, and what is
//! read keeps its promises.
#![no_main]

#[path = "../../crates/filofs-wire/tests/common/server.rs"]
mod server;

use filofs_wire::dialect::Dialect;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    // Once as it is, and once with the right length, which few inputs would hit by chance.
    let mut repaired = bytes.to_vec();
    if let Some(len) = repaired.get_mut(..4) {
        len.copy_from_slice(&(bytes.len() as u32).to_ne_bytes());
    }
    for dialect in [Dialect::BEFORE_INIT, Dialect::BEFORE_INIT.extended()] {
        server::check_incoming(bytes, dialect);
        server::check_incoming(&repaired, dialect);
    }
});
