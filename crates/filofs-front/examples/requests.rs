//! One kind of request, again and again, answered by a session in this process over a socket: to
//! count what the front end does for each (a profiler, a counter of instructions).
//!
//!     requests OPERATION COUNT [BASE [LAYERS]]
//!
//! BASE is `constants` (the default: what is counted is the front end alone), `mem`, or
//! `dir:PATH`; LAYERS is how many layers that do nothing stand over it. Without arguments the
//! operations are listed. Under callgrind, `--toggle-collect='*Dispatch*serve*'` leaves out what
//! plays the kernel here.

#![allow(missing_docs, unreachable_pub, dead_code)] // what is shared with the tests
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // the same

#[path = "../tests/support/constants.rs"]
mod constants;
#[path = "../tests/support/peer.rs"]
mod peer;

use filofs::{FileSystem, Layer, layer};
use filofs_bases::dir::{Dir, DirOptions};
use filofs_bases::mem::{Mem, Settings};
use peer::{Peer, acts};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

struct Null;

#[layer]
impl Layer for Null {
    fn name(&self) -> &'static str {
        "null"
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let word = |at: usize| words.get(at).map(String::as_str);
    let base: Arc<dyn FileSystem> = match word(2).unwrap_or("constants") {
        "constants" => Arc::new(constants::Constants::default()),
        "mem" => Arc::new(Mem::new(Settings::default())),
        other => {
            let path = other.strip_prefix("dir:").unwrap_or(other);
            Arc::new(Dir::open(Path::new(path), DirOptions::default()).unwrap())
        }
    };
    let layers = word(3).and_then(|count| count.parse().ok()).unwrap_or(0);
    let layers = (0..layers).map(|_| Box::new(Null) as Box<dyn Layer>);
    let mut peer = Peer::new(base, layers.collect());
    if word(2).is_some_and(|base| base != "constants") {
        let (node, open) = peer.create(constants::NAME);
        peer.release(filofs_wire::abi::Opcode::Release, node, open);
    }
    let mut acts = acts(&mut peer, constants::NAME);
    let wanted = acts.iter_mut().find(|(kind, _)| Some(*kind) == word(0));
    let (Some((kind, act)), Some(count)) = (wanted, word(1).and_then(|n| n.parse::<u32>().ok()))
    else {
        eprintln!("requests OPERATION COUNT [constants|mem|dir:PATH [LAYERS]]");
        for (kind, _) in &acts {
            eprintln!("    {kind}");
        }
        return ExitCode::FAILURE;
    };
    let began = Instant::now();
    for _ in 0..count {
        act(&mut peer);
    }
    println!("{kind}: {:.3} us each", began.elapsed().as_secs_f64() * 1e6 / f64::from(count));
    ExitCode::SUCCESS
}
