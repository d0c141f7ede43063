//! Random reads, writes, truncations, holes, copies and mappings of one file against an array of
//! bytes, in-process, mounted, and on the host's own file system as the control.
//!
//! A failure prints its seed: `FILO_DATA_SEED=N` runs it again, `FILO_DATA_OPS=N` runs longer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

mod stacks;

use conformance::os::{TempDir, mapped};
use conformance::rng::{Rng, fresh_seed, from_environment};
use conformance::run::{Ground, OsGround};
use conformance::{Abilities, Fd, Subject};
use filofs::{FallocateFlags as F, OpenFlags};
use filofs_front::local::{O_CREAT, Whence};
use stacks::{Base, Front, Mounted, possible};

/// The longest the file gets.
const MOST: u64 = 400_000;

/// A file and what it must be.
struct File<'a> {
    subject: &'a dyn Subject,
    fd: Fd,
    expected: Vec<u8>,
    rng: Rng,
}

const MAKE: OpenFlags = OpenFlags(OpenFlags::RDWR.0 | O_CREAT.0);

impl File<'_> {
    /// A place and a length that fits below the longest: often on a page border, often small.
    fn range(&mut self) -> (u64, u64) {
        let rng = &mut self.rng;
        let offset = match rng.below(4) {
            0 => rng.below(MOST / 4096) * 4096,
            1 => rng.below(1000),
            _ => rng.below(MOST),
        };
        let most = if rng.one_in(4) { 70_000 } else { 5000 };
        let len = 1 + rng.below(most);
        (offset, len.min(MOST - offset).max(1))
    }

    fn step(&mut self) -> String {
        let (offset, len) = self.range();
        let end = offset + len;
        let (s, fd) = (self.subject, self.fd);
        let size = self.expected.len() as u64;
        match self.rng.below(14) {
            0..=3 => {
                let data: Vec<u8> = (0..len).map(|_| self.rng.draw() as u8).collect();
                let mut done = 0;
                while done < data.len() {
                    done += s.pwrite(fd, &data[done..], offset + done as u64).unwrap();
                }
                if size < end {
                    self.expected.resize(end as usize, 0);
                }
                self.expected[offset as usize..end as usize].copy_from_slice(&data);
                format!("write {offset}+{len}")
            }
            4..=6 => {
                self.compare(offset, len);
                format!("read {offset}+{len}")
            }
            7 => {
                s.ftruncate(fd, offset).unwrap();
                self.expected.resize(offset as usize, 0);
                format!("truncate {offset}")
            }
            8 => {
                s.fallocate(fd, F::PUNCH_HOLE | F::KEEP_SIZE, offset, len).unwrap();
                self.zero(offset, end);
                format!("punch {offset}+{len}")
            }
            9 if s.abilities().contains(Abilities::ZERO) => {
                s.fallocate(fd, F::ZERO_RANGE, offset, len).unwrap();
                if size < end {
                    self.expected.resize(end as usize, 0);
                }
                self.zero(offset, end);
                format!("zero {offset}+{len}")
            }
            9 | 10 => {
                let from = self.rng.below(size.max(1));
                let len = len.min(size.saturating_sub(from));
                if len == 0 || (from < offset + len && offset < from + len) {
                    return "nothing".into();
                }
                let mut done = 0;
                while done < len {
                    let copied =
                        s.copy_file_range(fd, from + done, fd, offset + done, len - done).unwrap();
                    assert!(copied > 0, "a copy of {from}+{len} to {offset} stopped at {done}");
                    done += copied;
                }
                let end = (offset + len) as usize;
                if self.expected.len() < end {
                    self.expected.resize(end, 0);
                }
                self.expected.copy_within(from as usize..(from + len) as usize, offset as usize);
                format!("copy {from}+{len} to {offset}")
            }
            11 => {
                if let Some(path) = s.host_path()
                    && end <= size
                {
                    let data: Vec<u8> = (0..len).map(|_| self.rng.draw() as u8).collect();
                    mapped(&path.join("data"), size as usize, |map| {
                        assert!(map == &self.expected[..], "the mapping is not the file");
                        map[offset as usize..end as usize].copy_from_slice(&data);
                    });
                    self.expected[offset as usize..end as usize].copy_from_slice(&data);
                    return format!("map {offset}+{len}");
                }
                "nothing".into()
            }
            12 => {
                s.close(fd).unwrap();
                self.fd = s.open(b"data", OpenFlags::RDWR, 0).unwrap();
                "reopen".into()
            }
            _ => {
                s.fsync(fd, self.rng.one_in(2)).unwrap();
                let seen = s.lseek(fd, 0, Whence::End).unwrap();
                assert_eq!(seen, size, "the size");
                "fsync".into()
            }
        }
    }

    fn zero(&mut self, start: u64, end: u64) {
        let size = self.expected.len();
        let (start, end) = ((start as usize).min(size), (end as usize).min(size));
        self.expected[start..end].fill(0);
    }

    fn compare(&self, offset: u64, len: u64) {
        let mut got = vec![0; len as usize];
        let mut done = 0;
        while done < got.len() {
            match self.subject.pread(self.fd, &mut got[done..], offset + done as u64).unwrap() {
                0 => break,
                len => done += len,
            }
        }
        let size = self.expected.len();
        let (start, end) = ((offset as usize).min(size), ((offset + len) as usize).min(size));
        let expected = &self.expected[start..end];
        assert_eq!(done, expected.len(), "a read of {offset}+{len} of {size}");
        let wrong = got[..done].iter().zip(expected).position(|(a, b)| a != b);
        assert_eq!(wrong.map(|n| n + start), None, "the first wrong byte");
    }
}

fn check(ground: &dyn Ground, label: &str) {
    let steps = from_environment("FILO_DATA_OPS", 600);
    let seed = from_environment("FILO_DATA_SEED", fresh_seed());
    println!("{label}: {steps} steps, FILO_DATA_SEED={seed}");
    let subject = ground.subject("data-check");
    let fd = subject.open(b"data", MAKE, 0o644).unwrap();
    let (rng, expected) = (Rng::new(seed), Vec::new());
    let mut file = File { subject: &*subject, fd, expected, rng };
    let mut last = Vec::new();
    for number in 0..steps {
        // Not caught: the panic's own words come first, then these.
        let guard = Told { number, last: &last };
        let did = file.step();
        std::mem::forget(guard);
        if last.len() == 20 {
            last.remove(0);
        }
        last.push(did);
    }
    file.compare(0, MOST + 10);
    subject.close(file.fd).unwrap();
}

/// Prints what led to a panic.
struct Told<'a> {
    number: u64,
    last: &'a [String],
}

impl Drop for Told<'_> {
    fn drop(&mut self) {
        println!("at step {}, after {:?}", self.number, self.last);
    }
}

fn on(base: Base, layers: &str, front: Front) {
    let Some(mounted) = Mounted::new(base, layers, front) else { return };
    check(&*mounted.ground(), &format!("{base:?} x [{layers}] x {front:?}"));
    mounted.end();
}

#[test]
fn the_host_s_file_system_keeps_data() {
    if !possible(Front::Local) {
        return;
    }
    let dir = TempDir::new();
    let abilities = Abilities::KERNEL | Abilities::ZERO;
    check(&OsGround { path: dir.path().to_owned(), abilities }, "the host");
}

#[test]
fn mem_keeps_data() {
    on(Base::Mem, "", Front::Local);
}

#[test]
fn dir_keeps_data() {
    on(Base::Dir, "null", Front::Local);
}

#[test]
fn mem_mounted_keeps_data() {
    on(Base::Mem, "null", Front::Fuse);
}

#[test]
fn dir_mounted_keeps_data() {
    on(Base::Dir, "", Front::Fuse);
    on(Base::Dir, "", Front::FuseAsked);
}

#[test]
fn mem_over_a_ring_keeps_data() {
    on(Base::Mem, "null", Front::Ring);
}

#[test]
fn dir_over_a_ring_keeps_data() {
    on(Base::Dir, "", Front::Ring);
}
