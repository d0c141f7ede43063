//! `on_exit=restart`: nobody above notices.

use crate::campaign::{Ended, Loader, calls, kills, seed, wait_moved};
use crate::ground::{Inventory, has_fuse, wait_until};
use crate::mounted::{Mounted, settings};
use crate::random::Random;
use filofs::{Errno, OpenFlags};
use filofs_server::kernel::{OnExit, Settings};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// A server that is killed at random moments under load, every sixth time again while it starts:
/// no call fails and every byte is right.
///
/// It is not killed a third time before everybody has gone on: who kills a server three times
/// within one request makes that request look like the killer.
pub fn no_operation_fails() {
    if !has_fuse() {
        return;
    }
    let inventory = Inventory::take();
    let mounted = Mounted::new(&settings(OnExit::Restart));
    campaign("restart", mounted, kills(200), |_| {});
    inventory.check();
}

/// Kills the server so often under a mixed load: no call fails and every byte is right. `after`
/// each kill it may need somebody who starts it.
pub fn campaign(what: &str, mounted: Mounted, kills: u64, after: impl Fn(&Mounted)) {
    let seed = seed();
    let processes = (0..3).map(|number| Loader::process(&mounted, number, seed, false));
    let mut loaders: Vec<Loader> = processes.collect();
    loaders.extend((3..5).map(|number| Loader::thread(&mounted, number, seed, false)));
    let ended = under_kills(what, &mounted, loaders, seed, kills, after);
    for (place, who) in [("mounted", &ended[..3]), ("inside", &ended[3..])] {
        let counted: u64 = who.iter().map(|ended| ended.counted).sum();
        let found = std::fs::read(mounted.source.join(place).join("counter")).unwrap();
        let found =
            if found.is_empty() { 0 } else { u64::from_le_bytes(found.try_into().unwrap()) };
        assert_eq!(found, counted, "counted under a lock, {place}");
    }
    mounted.end();
}

/// Kills the server so often while they work: no call of theirs fails. What they did.
pub fn under_kills(
    what: &str,
    mounted: &Mounted,
    mut loaders: Vec<Loader>,
    seed: u64,
    kills: u64,
    after: impl Fn(&Mounted),
) -> Vec<Ended> {
    let mut random = Random::new(seed);
    let begun = Instant::now();
    let mut pauses = Vec::new();
    let none = vec![0; loaders.len()];
    wait_moved(&mut loaders, &none, mounted.lives.pid());
    let mut killed = 0;
    while killed < kills {
        std::thread::sleep(Duration::from_micros(random.below(30_000)));
        let starts = mounted.lives.starts();
        mounted.note_place();
        mounted.lives.kill();
        let at = Instant::now();
        killed += 1;
        after(mounted);
        if random.below(6) == 0 && killed < kills {
            wait_until("it is started again", &[], || mounted.lives.starts() > starts);
            std::thread::sleep(Duration::from_micros(random.below(3_000)));
            mounted.lives.kill();
            killed += 1;
            after(mounted);
        }
        // From after the last kill on: who had a call on its way must have come through with it,
        // or the next kill would be the third of one call, which is then taken for what kills.
        let before = calls(&loaders);
        wait_moved(&mut loaders, &before, mounted.lives.pid());
        pauses.push(at.elapsed());
        if loaders.iter_mut().any(Loader::has_ended) {
            break;
        }
    }
    let ended = finish(loaders);
    let failed: Vec<_> = ended.iter().filter_map(|ended| ended.failed.as_ref()).collect();
    let all: u64 = ended.iter().map(|ended| ended.calls).sum();
    pauses.sort();
    println!(
        "{what}: {killed} kills, {all} operations, {} errors, 0 hangs, pause p50 {:?} p99 {:?} \
         max {:?}, {:.1} s",
        failed.len(),
        pauses[pauses.len() / 2],
        pauses[pauses.len() * 99 / 100],
        pauses[pauses.len() - 1],
        begun.elapsed().as_secs_f64(),
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(killed, kills);
    ended
}

fn finish(mut loaders: Vec<Loader>) -> Vec<Ended> {
    loaders.iter_mut().for_each(Loader::ask_to_end);
    loaders.into_iter().map(Loader::end).collect()
}

/// A request that kills its server is EIO after three deaths, each time; those beside it are not
/// blamed.
pub fn what_kills_its_server_is_given_up_and_nobody_else() {
    let seed = seed();
    let inventory = Inventory::take();
    let mounted = Mounted::with_traps(&settings(OnExit::Restart));
    let mut loaders: Vec<Loader> =
        (0..4).map(|number| Loader::thread(&mounted, number, seed, false)).collect();
    wait_moved(&mut loaders, &[0; 4], mounted.lives.pid());
    let user = mounted.local.process();
    for poisoned in 1..=10 {
        assert_eq!(user.stat("/poison").unwrap_err(), Errno::EIO);
        let starts = mounted.lives.starts();
        wait_until("it runs again", &[], || user.stat("/").is_ok());
        assert!(starts >= 3 * poisoned, "given up after {starts} starts");
        assert!(mounted.lives.starts() <= 1 + 3 * poisoned, "asked too often");
        let before = calls(&loaders);
        wait_moved(&mut loaders, &before, mounted.lives.pid());
    }
    drop(user);
    for ended in finish(loaders) {
        assert!(ended.failed.is_none(), "{ended:?}");
    }
    mounted.end();
    inventory.check();
}

/// A server that dies all the time is not waited for; when it is well again, so is all else.
pub fn who_dies_all_the_time_is_not_waited_for() {
    let inventory = Inventory::take();
    let patience = Some(Duration::from_secs(3600));
    let settings = Settings { most_deaths: 3, patience, ..settings(OnExit::Restart) };
    let mounted = Mounted::inside(&settings);
    let user = mounted.local.process();
    user.write_file("/file", b"content").unwrap();
    mounted.lives.broken.store(true, Ordering::SeqCst);
    mounted.lives.kill();
    // Not after an hour, or this test would not end.
    assert_eq!(user.stat("/file").unwrap_err(), Errno::EIO);
    assert_eq!(user.stat("/file").unwrap_err(), Errno::EIO);
    mounted.lives.broken.store(false, Ordering::SeqCst);
    wait_until("it is well again", &[], || user.stat("/file").is_ok());
    assert_eq!(user.read_file("/file").unwrap(), b"content");
    drop(user);
    mounted.end();
    inventory.check();
}

/// What an open file is after its name went: found by its handle if it has another; stale if it
/// was the last, or another file has the name. Never another file's bytes.
pub fn names_that_went_are_found_by_handle() {
    let inventory = Inventory::take();
    let mounted = Mounted::inside(&settings(OnExit::Restart));
    let user = mounted.local.process();
    let source = mounted.source.clone();
    for name in ["linked", "unlinked", "moved", "replaced", "over"] {
        user.write_file(format!("/{name}"), name.as_bytes()).unwrap();
    }
    user.link("/linked", "/second").unwrap();
    user.stat("/linked").unwrap();
    let open = |name: &str| user.open(format!("/{name}"), OpenFlags::RDWR, 0).unwrap();
    let [linked, unlinked, moved, replaced, over] =
        ["linked", "unlinked", "moved", "replaced", "over"].map(open);
    user.unlink("/linked").unwrap();
    user.unlink("/unlinked").unwrap();
    user.rename("/moved", "/elsewhere", filofs::RenameFlags::empty()).unwrap();
    // Behind the mount's back.
    std::fs::rename(source.join("replaced"), source.join("away")).unwrap();
    std::fs::write(source.join("replaced"), "another's").unwrap();
    user.write_file("/new", b"new").unwrap();
    user.rename("/new", "/over", filofs::RenameFlags::empty()).unwrap();
    let starts = mounted.lives.starts();
    mounted.lives.kill();
    wait_until("it is started again", &[], || mounted.lives.starts() > starts);
    let read = |fd| {
        let mut room = [0; 20];
        user.pread(fd, &mut room, 0).map(|len| String::from_utf8_lossy(&room[..len]).into_owned())
    };
    assert_eq!(read(linked).unwrap(), "linked");
    assert_eq!(read(moved).unwrap(), "moved");
    assert_eq!(read(unlinked).unwrap_err(), Errno::ESTALE);
    assert_eq!(read(replaced).unwrap_err(), Errno::ESTALE);
    assert_eq!(read(over).unwrap_err(), Errno::ESTALE);
    assert_eq!(user.read_file("/replaced").unwrap(), b"another's");
    assert_eq!(user.read_file("/over").unwrap(), b"new");
    for fd in [linked, unlinked, moved, replaced, over] {
        let _ = user.close(fd);
    }
    drop(user);
    mounted.end();
    inventory.check();
}
