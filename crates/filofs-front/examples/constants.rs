//! A mount whose answers are constants: what a request to it costs is the front end and the
//! kernel, and what `tests/bench/floor.c` beside it leaves out is the front end.
//!
//!     constants MOUNTPOINT [no-opens]
//!
//! With `no-opens` nobody need open the file, as nobody need with `mem:stateless=on`.

#![allow(missing_docs, unreachable_pub, dead_code)] // what is shared with the tests

#[path = "../tests/support/constants.rs"]
mod constants;

use filofs::Mount;
use filofs_front::fuse::{FuseOptions, Session};
use std::path::Path;
use std::sync::Arc;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let usage = "constants MOUNTPOINT [no-opens]";
    let mut words = std::env::args().skip(1);
    let place = words.next().ok_or(usage)?;
    let stateless = match words.next().as_deref() {
        None => false,
        Some("no-opens") => true,
        Some(_) => return Err(usage.into()),
    };
    let constants = constants::Constants { stateless };
    let mount = Mount::of(constants, &place).map_err(filofs::Errno::text)?;
    let session = Session::start(Arc::new(mount), Path::new(&place), &FuseOptions::default())?;
    let report = session.wait();
    eprintln!("{} requests", report.served);
    Ok(())
}
