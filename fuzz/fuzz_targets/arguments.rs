//! Any bytes as the arguments of a mount: no panic, and what is in force keeps its promises.
#![no_main]

#[path = "../../crates/filofs-wire/tests/common/server.rs"]
#[allow(dead_code)]
mod server;

use filofs_wire::abi::{EXTENSION_MAGIC, EXTENSION_VERSION};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    server::check_arguments(bytes);
    // With magic and version in their place, which few inputs would hit by chance.
    let mut repaired = bytes.to_vec();
    if let Some(front) = repaired.get_mut(..8) {
        front[..4].copy_from_slice(&EXTENSION_MAGIC.to_ne_bytes());
        front[4..].copy_from_slice(&EXTENSION_VERSION.to_ne_bytes());
    }
    server::check_arguments(&repaired);
});
