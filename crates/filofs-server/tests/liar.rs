//! A lying server: an honest one whose messages are bent on the way, at random, under whole
//! sessions of random operations. Whatever it says, nothing panics or hangs, no file shows the
//! bytes of another, nothing is left over, and an honest server is believed afterwards.
//!
//! `FILO_SEED=7 FILO_LYING_ROUNDS=1000 cargo test -p filofs-server --test liar` repeats and
//! prolongs.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

#[path = "lying/middle.rs"]
#[expect(dead_code, reason = "the fixed cases need more of it")]
mod middle;

use conformance::rng::{Rng, fresh_seed, from_environment};
use filofs::{Errno, Kind, Lock, LockKind, OpenFlags, RenameFlags, Result, SyncMode, XattrFlags};
use filofs_bases::mem::{Mem, Settings as MemSettings};
use filofs_front::local::{O_CREAT, Process};
use filofs_server::kernel::Settings;
use filofs_wire::abi::{Answer, Opcode, OutHeader};
use middle::{FOREVER, Ground, Plan, Seen, fix_length, timely};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// Files of which each has bytes of its own.
const FILES: u64 = 6;

fn content(file: u64) -> Vec<u8> {
    vec![b'A' + file as u8; 2000 + 100 * file as usize]
}

/// Bends one message. Which bytes a file has and which node a name means is the server's to say,
/// and cannot be told from the truth: those are left alone where `structure` says so.
fn bend(rng: &mut Rng, asked: Option<&Seen>, messages: &mut Vec<Vec<u8>>, structure: bool) {
    let head = size_of::<OutHeader>();
    let opcode = asked.and_then(|asked| Opcode::from_number(asked.opcode));
    let names = opcode.is_some_and(|opcode| {
        !matches!(opcode.answer(), Answer::Empty | Answer::Never)
            && !matches!(opcode, Opcode::Statfs | Opcode::Setattr | Opcode::Statx | Opcode::Write)
    });
    let message = &mut messages[0];
    match rng.below(10) {
        0 => {
            // ENOSYS is not among them: it would be believed, for good.
            let odd = [1, 2, -1, -5, -511, -512, i32::MIN, i32::MAX];
            message[4..8].copy_from_slice(&rng.pick(&odd).to_ne_bytes());
        }
        1 => {
            let len = rng.below(message.len() as u64 + 1) as usize;
            message.truncate(len);
        }
        // More of a file's bytes would be its bytes.
        2 if !(structure && opcode == Some(Opcode::Read)) => {
            message.extend(vec![rng.draw() as u8; rng.below(200_000) as usize]);
        }
        3 => message[..4].copy_from_slice(&(rng.draw() as u32).to_ne_bytes()),
        4 => {
            let twin = message.clone();
            messages.push(twin);
        }
        5 => {
            let mut stranger = message.clone();
            stranger[8..16].copy_from_slice(&(rng.draw() & !1 | 1 << 40).to_ne_bytes());
            messages.push(stranger);
        }
        6 => messages.push((0..rng.below(300)).map(|_| rng.draw() as u8).collect()),
        _ if message.len() > head && !(structure && names) => {
            for _ in 0..=rng.below(4) {
                let at = head + rng.below((message.len() - head) as u64) as usize;
                message[at] = match rng.below(4) {
                    0 => 0,
                    1 => 0xff,
                    2 => message[at] ^ (1 << rng.below(8)),
                    _ => rng.draw() as u8,
                };
            }
        }
        _ => {}
    }
    if let Some(message) = messages.first_mut()
        && message.len() >= head
        && !rng.one_in(8)
    {
        fix_length(message);
    }
}

/// One random operation. Only what was read is judged.
fn step(p: &Process, rng: &mut Rng, structure: bool) -> Result<()> {
    let file = rng.below(FILES);
    let name = format!("own{file}");
    let rdwr = OpenFlags(O_CREAT.0 | OpenFlags::RDWR.0);
    match rng.below(18) {
        0 | 1 => p.write_file(&name, &content(file))?,
        2..=4 => {
            let bytes = p.read_file(&name)?;
            if structure {
                let own = b'A' + file as u8;
                let strange = bytes.iter().find(|byte| **byte != own && **byte != 0);
                assert_eq!(strange, None, "{name} shows another's bytes");
            }
        }
        5 => p.stat(&name).map(|_| ())?,
        6 => drop(p.readdir("/")?),
        7 => p.mkdir(format!("dir{file}"), 0o755)?,
        8 => p.rmdir(format!("dir{file}"))?,
        9 => p.unlink(&name)?,
        10 => p.symlink(&name, format!("link{file}"))?,
        11 => drop(p.readlink(format!("link{file}"))?),
        12 => {
            // One name to another of the same file.
            let other = format!("own{file}");
            p.rename(&name, other, RenameFlags::empty())?;
        }
        13 => {
            p.setxattr(&name, "user.a", &[7; 100], XattrFlags::empty())?;
            drop((p.getxattr(&name, "user.a")?, p.listxattr(&name)?));
        }
        14 => {
            let fd = p.open(&name, rdwr, 0o644)?;
            let done = p.setlk(fd, Lock::whole(LockKind::Exclusive), false);
            let synced = p.fsync(fd, false);
            p.close(fd).and(done).and(synced)?;
        }
        15 => p.chmod(&name, 0o600 + rng.below(8) as u32)?,
        16 => {
            p.statvfs()?;
            p.sync(SyncMode::Wait)?;
        }
        _ => p.mknod(format!("fifo{file}"), Kind::Fifo, 0o600, filofs::Device::default())?,
    }
    Ok(())
}

fn session(seed: u64) {
    let mut rng = Rng::new(seed);
    let structure = rng.one_in(2);
    let often = 1 + rng.below(20);
    let settings = Settings { patience: Some(Duration::from_millis(700)), ..Settings::default() };
    let plan = Plan { settings, foreign: rng.one_in(3), ..Plan::default() };
    let mem = Arc::new(Mem::new(MemSettings::default()));
    let ground = Ground::over(mem, &plan);
    let p = ground.local.process();
    for file in 0..FILES {
        p.write_file(format!("own{file}"), &content(file)).unwrap();
    }
    let bender = Arc::new(Mutex::new(Rng::new(seed ^ 1)));
    let shared = bender.clone();
    ground.middle.tamper(move |asked, messages| {
        let mut rng = shared.lock().unwrap();
        if rng.one_in(often) {
            bend(&mut rng, asked, messages, structure);
        }
    });
    let threads: Vec<_> = (0..3)
        .map(|number| {
            let p = p.fork();
            let mut rng = Rng::new(seed ^ (number + 2));
            std::thread::spawn(move || {
                for _ in 0..120 {
                    let _ = step(&p, &mut rng, structure);
                }
            })
        })
        .collect();
    for thread in threads {
        timely("a session", || thread.join().unwrap());
    }
    // Honest again: it is believed, unless it was too late too often.
    ground.middle.be_honest();
    let fresh = timely("an honest word", || {
        p.mkdir("fresh", 0o755)?;
        p.write_file("fresh/file", b"fresh")?;
        let bytes = p.read_file("fresh/file")?;
        assert_eq!(bytes, b"fresh");
        p.unlink("fresh/file")?;
        p.rmdir("fresh")
    });
    assert!(matches!(fresh, Ok(()) | Err(Errno::ENXIO)), "{fresh:?}");
    drop(p);
    if fresh.is_err() || ground.half.outstanding() > 0 {
        // What was swallowed is never answered: only the end is.
        ground.middle.die();
    }
    ground.end();
}

/// How many descriptors this process has.
fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn nothing_that_a_server_says_does_harm() {
    let seed = from_environment("FILO_SEED", fresh_seed());
    let rounds = from_environment("FILO_LYING_ROUNDS", 12);
    session(seed); // what is made once is made
    let before = descriptors();
    for round in 0..rounds {
        let seed = seed.wrapping_add(round);
        println!("FILO_SEED={seed} FILO_LYING_ROUNDS=1");
        session(seed);
    }
    // The threads of a connection notice its end within seconds.
    let until = Instant::now() + FOREVER;
    while descriptors() > before {
        assert!(Instant::now() < until, "descriptors are left");
        std::thread::sleep(Duration::from_millis(50));
    }
}
