//! Park, wait and reply, over a real channel (C.3), and what is told to a server that is deaf.

use crate::answers::prepared;
use crate::middle::{Ground, Plan, Seen, timely};
use conformance::rng::{Rng, fresh_seed, from_environment};
use filofs::{Context, Errno, FallocateFlags, FileSystem, Name, OpenFlags, Result};
use filofs_bases::mem::{Mem, Settings as MemSettings};
use filofs_front::local::{O_CREAT, Process};
use filofs_server::kernel::Settings;
use filofs_wire::abi::{EntryOut, InterruptIn, Opcode, OpenOut, ReleaseIn};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use zerocopy::FromBytes;

/// Answers that were held back.
type Held = Arc<Mutex<Vec<(Seen, Vec<u8>)>>>;

/// Holds back the answers to that operation.
fn hold(ground: &Ground, opcode: Opcode) -> Held {
    let held = Held::default();
    let keep = held.clone();
    ground.middle.tamper(move |seen, messages| {
        if let Some(seen) = seen.filter(|seen| seen.is(opcode)) {
            let messages = messages.drain(..);
            keep.lock().unwrap().extend(messages.map(|message| (seen.clone(), message)));
        }
    });
    held
}

/// Runs a call in a thread, and interrupts it until it ends.
fn interrupted<T: Send + 'static>(
    process: Arc<Process>,
    call: impl FnOnce(&Process) -> T + Send + 'static,
) -> impl FnOnce() -> T {
    let caller = process.clone();
    let running = thread::spawn(move || call(&caller));
    move || {
        while !running.is_finished() {
            process.interrupt();
            thread::sleep(Duration::from_millis(1));
        }
        running.join().unwrap()
    }
}

#[test]
fn interrupted_after_read_late_reply_swallowed() {
    type Call = fn(&Process) -> Result<()>;
    let calls: [(Opcode, Call); 5] = [
        (Opcode::Open, |p| p.open("file", OpenFlags::RDONLY, 0).map(drop)),
        (Opcode::Opendir, |p| p.open("dir", OpenFlags::DIRECTORY, 0).map(drop)),
        (Opcode::Create, |p| {
            p.open("new", OpenFlags(O_CREAT.0 | OpenFlags::RDWR.0), 0o600).map(drop)
        }),
        (Opcode::Lookup, |p| p.stat("other").map(drop)),
        (Opcode::Mkdir, |p| p.mkdir("new", 0o700)),
    ];
    for (opcode, call) in calls {
        let what = opcode.name();
        let (ground, p) = prepared(Ground::new());
        let held = hold(&ground, opcode);
        let end = interrupted(Arc::new(p.fork()), call);
        ground.middle.wait("it is asked", |_| !held.lock().unwrap().is_empty());
        timely(what, || assert_eq!(end(), Err(Errno::EINTR), "{what}"));
        let (asked, answer) = held.lock().unwrap().remove(0);
        // The server is told which.
        ground.middle.wait("INTERRUPT", |middle| middle.count(Opcode::Interrupt) == 1);
        let seen = ground.middle.seen();
        let told = seen.iter().find(|seen| seen.is(Opcode::Interrupt)).unwrap();
        assert_eq!(InterruptIn::read_from_bytes(&told.body).unwrap().unique, asked.unique);
        assert_eq!(told.unique, asked.unique | 1);
        // What it answers all the same is given back: under the right ids.
        ground.middle.be_honest();
        ground.middle.clear();
        ground.middle.say(&answer);
        let body = &answer[16..];
        let (entry, open) = match opcode {
            Opcode::Open | Opcode::Opendir => (None, Some((asked.nodeid, body))),
            Opcode::Create => {
                let entry = EntryOut::read_from_prefix(body).unwrap().0;
                (Some(entry.nodeid), Some((entry.nodeid, &body[size_of::<EntryOut>()..])))
            }
            _ => (Some(EntryOut::read_from_prefix(body).unwrap().0.nodeid), None),
        };
        if let Some((nodeid, open)) = open {
            let open = OpenOut::read_from_prefix(open).unwrap().0;
            let kind = if opcode == Opcode::Opendir { Opcode::Releasedir } else { Opcode::Release };
            ground.middle.wait("RELEASE", |middle| middle.count(kind) == 1);
            let seen = ground.middle.seen();
            let release = seen.iter().find(|seen| seen.is(kind)).unwrap();
            assert_eq!(release.nodeid, nodeid, "{what}");
            let arg = ReleaseIn::read_from_bytes(&release.body).unwrap();
            assert_eq!(arg.open_id, open.open_id, "{what}");
        }
        if let Some(nodeid) = entry {
            ground.middle.wait("FORGET", |middle| middle.forgotten(nodeid) == 1);
        }
        assert_eq!(ground.half.lies(), 0, "{what}: to be late is no lie");
        drop(p);
        ground.end();
    }
}

/// Callers that fill the channel, because nobody reads it.
fn crowd(p: &Process, size: usize) -> Vec<JoinHandle<Result<usize>>> {
    let spawn = |number: usize| {
        let p = p.fork();
        thread::spawn(move || {
            let fd = p.open("file", OpenFlags::RDWR, 0)?;
            let done = p.pwrite(fd, &vec![number as u8; 128 << 10], 0);
            p.close(fd).and(done)
        })
    };
    (0..size).map(spawn).collect()
}

#[test]
fn interrupted_before_read_never_seen() {
    // It may have slipped in before the channel was full; then it is to be told.
    let withdrawn = (0..30).any(|_| withdrawn_from_line());
    assert!(withdrawn, "not once");
}

/// Whether a request that was interrupted while nobody read the channel was never sent.
fn withdrawn_from_line() -> bool {
    let (ground, p) = prepared(Ground::new());
    let fd = p.open("file", OpenFlags::RDWR, 0).unwrap();
    // Opened while somebody listens; then they write.
    let ready = Arc::new(std::sync::Barrier::new(33));
    let writers: Vec<_> = (0..32)
        .map(|number: usize| {
            let (p, ready) = (p.fork(), ready.clone());
            thread::spawn(move || {
                let fd = p.open("file", OpenFlags::RDWR, 0)?;
                ready.wait();
                ready.wait();
                let done = p.pwrite(fd, &vec![number as u8; 128 << 10], 0);
                p.close(fd).and(done)
            })
        })
        .collect();
    ready.wait();
    ground.middle.deaf(true);
    ready.wait();
    ground.middle.wait("the channel is full", |_| ground.half.outstanding() >= 3);
    // Those for whom there is no room come and go.
    thread::sleep(Duration::from_millis(20));
    let flags = FallocateFlags::empty();
    // It is kept: its end closes its files, and that waits for the server.
    let waiter = Arc::new(p.fork());
    let end = interrupted(waiter.clone(), move |p| p.fallocate(fd, flags, 0, 9));
    timely("the line", || assert_eq!(end(), Err(Errno::EINTR)));
    ground.middle.deaf(false);
    for writer in writers {
        assert_eq!(timely("a writer", || writer.join().unwrap()), Ok(128 << 10));
    }
    let seen = ground.middle.count(Opcode::Fallocate);
    ground.middle.wait("INTERRUPT", |middle| middle.count(Opcode::Interrupt) == seen);
    p.close(fd).unwrap();
    drop((p, waiter));
    ground.end();
    seen == 0
}

#[test]
fn in_flight_ops_get_enxio() {
    // A58: those who wait for an answer, those in line, and those who come.
    let (ground, p) = prepared(Ground::new());
    let held = hold(&ground, Opcode::Write);
    let writers = crowd(&p, 24);
    ground.middle.wait("some are read", |_| held.lock().unwrap().len() > 2);
    ground.middle.die();
    for writer in writers {
        assert_eq!(timely("a writer", || writer.join().unwrap()), Err(Errno::ENXIO));
    }
    timely("a late one", || assert_eq!(p.stat("file").unwrap_err(), Errno::ENXIO));
    assert_eq!(ground.half.outstanding(), 0);
    drop(p);
    ground.end();
}

#[test]
fn who_is_not_answered_is_told_in_time() {
    let settings = Settings { patience: Some(Duration::from_millis(50)), ..Settings::default() };
    let plan = Plan { settings, ..Plan::default() };
    let mem = Arc::new(Mem::new(MemSettings::default()));
    let (ground, p) = prepared(Ground::over(mem, &plan));
    let held = hold(&ground, Opcode::Fsync);
    let fd = p.open("file", OpenFlags::RDWR, 0).unwrap();
    timely("fsync", || assert_eq!(p.fsync(fd, false), Err(Errno::ETIMEDOUT)));
    ground.middle.wait("INTERRUPT", |middle| middle.count(Opcode::Interrupt) == 1);
    ground.middle.be_honest();
    let answers = std::mem::take(&mut *held.lock().unwrap());
    for (_, answer) in &answers {
        ground.middle.say(answer);
    }
    p.fsync(fd, false).unwrap();
    p.close(fd).unwrap();
    drop(p);
    ground.end();
}

#[test]
fn a_server_that_is_deaf_hears_of_each_node_in_the_end() {
    const FILES: usize = 8000;
    let (ground, p) = prepared(Ground::new());
    let mount = ground.local.mount().clone();
    let cx = Context::internal();
    let names: Vec<_> = (0..FILES).map(|number| format!("f{number}")).collect();
    let nodes: Vec<_> = names
        .iter()
        .map(|name| {
            p.mknod(name, filofs::Kind::Fifo, 0o600, filofs::Device::default()).unwrap();
            mount.lookup(&cx, mount.root(), Name::new(name.as_bytes()).unwrap()).unwrap()
        })
        .collect();
    let ids: Vec<_> = nodes.iter().map(|entry| entry.cookie.0).collect();
    // What was looked up on the way has been given back already.
    ground.middle.wait("quiet", |_| ground.half.nodes() == FILES + 1);
    p.statvfs().unwrap();
    ground.middle.clear();
    ground.middle.deaf(true);
    timely("to forget waits for nobody", || drop(nodes));
    assert!(ground.middle.count(Opcode::Forget) <= 1, "it is not deaf");
    ground.middle.deaf(false);
    let given = |middle: &crate::middle::Middle| {
        let seen = middle.seen();
        seen.iter().filter(|seen| seen.is(Opcode::Forget)).count()
    };
    ground.middle.wait("all are given back", |middle| given(middle) >= FILES);
    let seen = ground.middle.seen();
    let mut forgotten: Vec<_> =
        seen.iter().filter(|seen| seen.is(Opcode::Forget)).map(|seen| seen.nodeid).collect();
    forgotten.sort_unstable();
    let mut ids = ids;
    ids.sort_unstable();
    assert_eq!(forgotten, ids);
    drop((mount, p));
    ground.end();
}

/// 32 threads and a server that answers in any order, twice, and dies at any moment. Nobody is
/// lost: each ends, with an answer of its own or with ENXIO.
#[test]
fn many_threads_and_a_dying_server() {
    let seed = from_environment("FILO_SEED", fresh_seed());
    let rounds = from_environment("FILO_LYING_ROUNDS", 12);
    println!("FILO_SEED={seed} FILO_LYING_ROUNDS={rounds}");
    for round in 0..rounds {
        let mut rng = Rng::new(seed.wrapping_add(round));
        let (ground, p) = prepared(Ground::new());
        let (dying, die) = channel();
        let mut left = 50 + rng.below(3000);
        let held: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let keep = held.clone();
        ground.middle.tamper(move |_, messages| {
            let mut held = keep.lock().unwrap();
            held.append(messages);
            // One that was held back longer, and one twice.
            if !rng.one_in(3) && !held.is_empty() {
                let at = rng.below(held.len() as u64) as usize;
                messages.push(held.swap_remove(at));
            }
            if rng.one_in(50) {
                messages.extend(messages.first().cloned());
            }
            left = left.saturating_sub(1);
            if left == 0 {
                let _ = dying.send(());
            }
        });
        let (middle, ends) = (ground.middle.clone(), Arc::new(AtomicUsize::new(0)));
        let threads: Vec<_> = (0..32)
            .map(|number: u64| {
                let (p, ends) = (p.fork(), ends.clone());
                let seed = seed ^ (round << 8 | number);
                thread::spawn(move || {
                    let end = work(&p, number, &mut Rng::new(seed));
                    ends.fetch_add(1, Ordering::SeqCst);
                    end
                })
            })
            .collect();
        // What is held back goes out after a while, so that the order is any order.
        let mut dead = false;
        while ends.load(Ordering::SeqCst) < 32 {
            let late = std::mem::take(&mut *held.lock().unwrap());
            for message in &late {
                middle.say(message);
            }
            if !dead && die.try_recv().is_ok() {
                middle.die();
                dead = true;
            }
            thread::sleep(Duration::from_micros(200));
        }
        for thread in threads {
            assert_eq!(timely("a caller", || thread.join().unwrap()), Errno::ENXIO, "{round}");
        }
        assert_eq!(ground.half.outstanding(), 0);
        drop(p);
        ground.end();
    }
}

/// Works until the server is gone, and checks that what it reads is its own.
fn work(p: &Process, number: u64, rng: &mut Rng) -> Errno {
    let name = format!("own{number}");
    let content = vec![number as u8 + 1; 3000];
    let mut one = || -> Result<()> {
        match rng.below(6) {
            0 => {
                p.write_file(&name, &content)?;
                assert_eq!(p.read_file(&name)?, content);
            }
            1 => p.stat("file").map(|_| ())?,
            2 => assert_eq!(p.read_file("file")?, b"contents"),
            3 => drop(p.readdir("/")?),
            4 => {
                let dir = format!("dir{number}");
                p.mkdir(&dir, 0o700)?;
                p.rmdir(&dir)?;
            }
            _ => p.statvfs().map(|_| ())?,
        }
        Ok(())
    };
    loop {
        match one() {
            Ok(()) => {}
            Err(errno @ Errno::ENXIO) => return errno,
            Err(other) => panic!("thread {number}: {other}"),
        }
    }
}
