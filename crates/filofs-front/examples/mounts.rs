//! Many mounts in one process: `mounts FOLDER COUNT [auto|ring|classic]`. Mounts at `FOLDER/0`,
//! `FOLDER/1` and so on, each with one file, `file`. After each mount it says how many there are
//! and how many microseconds this one took. When its input ends it unmounts them all, last first,
//! and says the same of that.

#![allow(missing_docs, unreachable_pub, dead_code)] // what is shared with the tests

#[path = "../tests/support/constants.rs"]
mod constants;

use filofs::{Errno, Mount};
use filofs_front::fuse::{FuseOptions, Session, Transport};
use std::error::Error;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

fn start(place: &Path, options: &FuseOptions) -> Result<Session, Box<dyn Error>> {
    std::fs::create_dir_all(place)?;
    let mount = Mount::of(constants::Constants::default(), "mounts").map_err(Errno::text)?;
    Ok(Session::start(Arc::new(mount), place, options)?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut words = std::env::args().skip(1);
    let (folder, count) = words.next().zip(words.next()).ok_or("mounts FOLDER COUNT")?;
    let transport = match words.next().as_deref() {
        None | Some("auto") => Transport::Auto,
        Some("ring") => Transport::Ring,
        Some("classic") => Transport::Classic,
        Some(other) => return Err(format!("no transport: {other}").into()),
    };
    let options = FuseOptions { transport, ..FuseOptions::default() };
    let (folder, mut sessions) = (PathBuf::from(folder), Vec::new());
    for number in 0..count.parse()? {
        let began = Instant::now();
        let place = folder.join(number.to_string());
        let session = start(&place, &options);
        sessions.push(session.map_err(|error| format!("mount {number}: {error}"))?);
        println!("{} {}", number + 1, began.elapsed().as_micros());
    }
    std::io::copy(&mut std::io::stdin(), &mut std::io::sink())?;
    while let Some(session) = sessions.pop() {
        let began = Instant::now();
        session.unmount(false)?;
        session.wait();
        println!("{} {}", sessions.len(), began.elapsed().as_micros());
    }
    Ok(())
}
