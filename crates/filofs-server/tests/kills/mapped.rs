//! Files that are mapped into memory: their pages are written and read by the kernel, whenever it
//! likes, while the server is killed.

use crate::campaign::{Loader, kills, seed};
use crate::ground::{Inventory, has_fuse};
use crate::load::stop_with_input;
use crate::mounted::{Mounted, settings};
use crate::random::Random;
use crate::restart::under_kills;
use conformance::os;
use filofs_server::kernel::OnExit;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::Ordering;

/// The first word of the command line of a program that maps files.
pub const MAP: &str = "map";

const PAGE: u64 = 4096;
const PAGES_MAX: u64 = 40;

/// What was synced is in the source, and nobody reads anything else.
pub fn what_is_synced_is_there() {
    if !has_fuse() {
        return;
    }
    let (seed, inventory) = (seed(), Inventory::take());
    let mounted = Mounted::new(&settings(OnExit::Restart));
    let loaders = (0..3).map(|number| Loader::program(MAP, &mounted, number, seed, true));
    let loaders = loaders.collect();
    under_kills("mapped", &mounted, loaders, seed, kills(100), |_| {});
    mounted.end();
    inventory.check();
}

/// Maps one file after the other: `DIRECTORY SEED PROGRESS SOURCE BY_NAME`, until standard input
/// ends. Its last line counts what it has done.
pub fn program(words: &[String]) -> ExitCode {
    let [directory, seed, progress, source, _] = words else { return ExitCode::FAILURE };
    let progress = File::options().write(true).open(progress).unwrap();
    let mut random = Random::new(seed.parse().unwrap());
    let (mut calls, stop) = (0_u64, stop_with_input());
    while !stop.load(Ordering::Relaxed) {
        let name = format!("mapped{}", random.below(4));
        let (path, source) = (Path::new(directory).join(&name), Path::new(source).join(&name));
        map_one(&path, &source, &mut random, || {
            calls += 1;
            progress.write_all_at(&calls.to_le_bytes(), 0).unwrap();
        });
    }
    println!("done {calls} 0");
    ExitCode::SUCCESS
}

/// Writes a file anew, and changes it in memory, with syncs and reads in between. `progress` hears
/// of each call that needs the server.
fn map_one(path: &Path, source: &Path, random: &mut Random, mut progress: impl FnMut()) {
    let len = (1 + random.below(PAGES_MAX * PAGE)) as usize;
    let mut content = random.bytes(len);
    fs::write(path, &content).unwrap();
    progress();
    let file = File::options().write(true).open(path).unwrap();
    os::mapped(path, len, |map| {
        for _ in 0..=random.below(8) {
            let at = random.below(len as u64) as usize;
            let end = at + 1 + random.below((len - at) as u64) as usize;
            let bytes = random.bytes(end - at);
            map[at..end].copy_from_slice(&bytes);
            content[at..end].copy_from_slice(&bytes);
            match random.below(3) {
                0 => {
                    file.sync_all().unwrap();
                    same(source, &content, "after fsync");
                }
                // To open it again also takes its pages out of memory.
                1 => same(path, &content, "as others read it"),
                _ => {}
            }
            assert!(*map == content[..], "{}: the pages are wrong", path.display());
            progress();
        }
    });
    same(source, &content, "after msync");
    same(path, &content, "after munmap");
    progress();
}

fn same(path: &Path, content: &[u8], when: &str) {
    let found = fs::read(path).unwrap();
    let wrong = found.iter().zip(content).position(|(found, expected)| found != expected);
    let (len, expected) = (found.len(), content.len());
    assert!(found == content, "{} {when}: {len} of {expected} bytes, {wrong:?}", path.display());
}
