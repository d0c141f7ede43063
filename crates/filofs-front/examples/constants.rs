//! A mount whose answers are constants: what a request to it costs is the front end and the
//! kernel, and what `tests/bench/floor.c` beside it leaves out is the front end.
//!
//!     constants MOUNTPOINT

#![allow(missing_docs, unreachable_pub, dead_code)] // what is shared with the tests

#[path = "../tests/support/constants.rs"]
mod constants;

use filofs::Mount;
use filofs_front::fuse::{FuseOptions, Session};
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let place = std::env::args().nth(1).ok_or("constants MOUNTPOINT")?;
    let mount = Mount::of(constants::Constants, &place).map_err(filofs::Errno::text)?;
    let session = Session::start(Arc::new(mount), Path::new(&place), &FuseOptions::default())?;
    let report = session.wait();
    eprintln!("{} requests", report.served);
    Ok(())
}
