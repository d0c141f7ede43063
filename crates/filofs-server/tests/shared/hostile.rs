//! A server that writes into the shared memory what it likes, while requests go by it.

use crate::ground::{FILE, Ground, SLOW, byte_at, timely};
use filofs::{Context, Errno, FileSystem, OpenFlags};
use filofs_front::area::{Area, Shape};
use filofs_front::local::Local;
use rustix::io::pwrite;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

/// xorshift64*, a seed of its own for each run.
struct Random(u64);

impl Random {
    fn new() -> Random {
        let seed = std::env::var("FILO_SEED").ok().and_then(|text| text.parse().ok());
        let seed = seed.unwrap_or_else(|| {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
            now.unwrap().as_nanos() as u64
        });
        println!("FILO_SEED={seed}");
        Random(seed | 1)
    }

    fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
}

/// One round of everything that goes by shared memory. How many ended well.
fn load(local: &Local) -> usize {
    let user = local.process();
    let mut room = vec![0; 40_000];
    let done: [filofs::Result<()>; 5] = [
        user.stat("/").map(drop),
        user.stat(FILE).map(drop),
        user.read_file("nothing").map(drop),
        user.readdir("/").map(drop),
        user.open(FILE, OpenFlags::RDWR, 0).and_then(|fd| {
            let read = user.pread(fd, &mut room, 7).map(drop);
            let written = user.pwrite(fd, &room, 7).map(drop);
            let closed = user.close(fd);
            read.and(written).and(closed)
        }),
    ];
    done.into_iter().flatten().count()
}

/// Whoever scribbles: offset and bytes.
type Scribble = fn(&mut Random) -> (u64, Vec<u8>);

fn word(value: u64) -> Vec<u8> {
    (value as u32).to_ne_bytes().to_vec()
}

/// Where what lies: see docs/protocol.md.
const SCRIBBLES: [(&str, Scribble); 6] = [
    ("anything anywhere", |random| {
        let len = 1 + random.next() % 300;
        let bytes = (0..len).map(|_| random.next() as u8).collect();
        // Mostly where the words are, and the first messages.
        let end = if random.next() % 4 == 0 { 16 << 20 } else { 16 << 10 };
        (random.next() % end, bytes)
    }),
    ("who sleeps and who looks", |random| {
        let at = [0, 64, 128][random.next() as usize % 3];
        (at, word(random.next()))
    }),
    ("states", |random| (4096 + 64 * (random.next() % 16), word(random.next()))),
    ("lengths", |random| {
        let lens = [0, 1, 15, 16, 17, 4096, u64::MAX, random.next()];
        (4100 + 64 * (random.next() % 16), word(lens[random.next() as usize % lens.len()]))
    }),
    ("headers", |random| {
        let slot = 8192 + (random.next() % 16) * ((1 << 20) + 4096);
        (slot + random.next() % 16, word(random.next() % 400))
    }),
    ("bodies", |random| {
        let slot = 8192 + (random.next() % 16) * ((1 << 20) + 4096);
        (slot + 16 + random.next() % 200, word(random.next()))
    }),
];

#[test]
fn a_server_that_scribbles_harms_only_its_callers() {
    const ROUNDS: u64 = 24;
    const SERVERS: usize = 2;
    let mut random = Random::new();
    let other = Ground::new(Duration::from_secs(60));
    let whole = load(&other.local);
    for (what, scribble) in SCRIBBLES.into_iter().flat_map(|one| [one; SERVERS]) {
        // What was asked is lost with its mark, and its caller waits in vain. After three of them
        // the server is taken for dead.
        let ground = Ground::new(Duration::from_millis(20));
        let (over, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        timely(what, || {
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    while !over.load(Ordering::Relaxed) {
                        let (at, bytes) = scribble(&mut random);
                        pwrite(&ground.shared, &bytes, at).unwrap();
                    }
                });
                let loaders: Vec<_> = (0..3)
                    .map(|_| {
                        scope.spawn(|| {
                            while rounds.fetch_add(1, Ordering::Relaxed) < ROUNDS {
                                load(&ground.local);
                                assert_eq!(load(&other.local), whole, "the other server");
                            }
                        })
                    })
                    .collect();
                let done: Vec<_> =
                    loaders.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
                over.store(true, Ordering::Relaxed);
                done.into_iter().for_each(Result::unwrap);
            });
        });
        ground.cut();
        ground.end();
    }
    other.end();
}

#[test]
fn a_server_that_sleeps_where_callers_do_takes_no_wake_up_from_them() {
    let ground = Ground::new(Duration::from_secs(600));
    let shape = Shape { slots: 16, size: (1 << 20) + 4096 };
    let theirs = Area::open(&ground.shared, shape).unwrap();
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        // First in each line, before any caller is.
        for slot in 0..shape.slots {
            let (theirs, over) = (&theirs, &over);
            scope.spawn(move || {
                while !over.load(Ordering::Relaxed) {
                    let limit = Some(Duration::from_millis(200));
                    theirs.sleep(slot, theirs.look_at(slot), limit);
                }
            });
        }
        let caller = scope.spawn(|| ground.look_up(&Context::internal(), SLOW).map(drop));
        ground.told.wait_for_slow(1);
        ground.cut();
        let ended = timely("a caller of a server that is gone", || caller.join().unwrap());
        over.store(true, Ordering::Relaxed);
        assert!(ended.is_err(), "{ended:?}");
    });
    drop(theirs);
    ground.end();
}

#[test]
fn a_server_that_cuts_the_memory_cannot() {
    let ground = Ground::new(Duration::from_secs(60));
    let refused = rustix::fs::ftruncate(&ground.shared, 0);
    assert_eq!(refused, Err(rustix::io::Errno::PERM));
    // What is punched out is zero.
    let flags = rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE;
    rustix::fs::fallocate(&ground.shared, flags, 8192, 16 << 20).unwrap();
    let user = ground.local.process();
    let fd = user.open(FILE, OpenFlags::RDONLY, 0).unwrap();
    let mut room = [0; 100];
    assert_eq!(user.pread(fd, &mut room, 0), Ok(100));
    assert!(room.iter().zip(0..).all(|(byte, at)| *byte == byte_at(at)));
    user.close(fd).unwrap();
    drop(user);
    ground.end();
}

#[test]
fn marks_that_mean_nothing_keep_nobody_from_the_channel() {
    // Every slot is given up, and none is ever answered there.
    let ground = Ground::new(Duration::from_millis(300));
    let cx = Context::internal();
    pwrite(&ground.shared, &u32::MAX.to_ne_bytes(), 128).unwrap();
    let mount = ground.local.mount();
    let asked = timely("a looker that is none", || mount.getattr(&cx, mount.root(), None));
    assert!(matches!(asked, Ok(_) | Err(Errno::ETIMEDOUT)), "{asked:?}");
    ground.end();
}
