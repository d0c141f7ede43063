//! `on_exit=unmount` and `on_exit=fail`: everybody is told, nobody waits, what was done is done.

use crate::campaign::{Loader, kills, seed, wait_moved};
use crate::ground::{Inventory, has_fuse};
use crate::mounted::{Mounted, settings};
use crate::random::Random;
use filofs::Errno;
use filofs_server::kernel::OnExit;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// The mount goes.
pub fn the_mount_goes() {
    campaign(OnExit::Unmount, |mounted, expected| {
        mounted.wait_unmounted();
        // What Linux says of a mount that goes, and of a path where it was.
        expected.extend([Errno::ENXIO, Errno::ENOTCONN, Errno::from_raw(103), Errno::ENOENT]);
    });
}

/// The mount stays, and says EIO, until somebody unmounts it.
pub fn the_mount_stays_and_all_fails() {
    campaign(OnExit::Fail, |mounted, expected| {
        let told = std::fs::read_dir(&mounted.at).and_then(|mut dir| dir.next().unwrap());
        let told = told.unwrap_err().raw_os_error();
        assert_eq!(told, Some(Errno::EIO.raw()));
        assert!(mounted.is_mounted());
        expected.push(Errno::EIO);
    });
}

fn campaign(on_exit: OnExit, then: impl Fn(&Mounted, &mut Vec<Errno>)) {
    if !has_fuse() {
        return;
    }
    let (seed, kills) = (seed(), kills(200));
    let inventory = Inventory::take();
    let mut random = Random::new(seed);
    let (mut calls, begun) = (0, Instant::now());
    let mut told: BTreeMap<i32, u32> = BTreeMap::new();
    let mut ends = Vec::new();
    for kill in 0..kills {
        let mounted = Mounted::new(&settings(on_exit));
        let each = seed + 1000 * kill;
        let mut loaders = vec![
            Loader::process(&mounted, 0, each, true),
            Loader::process(&mounted, 1, each, true),
            Loader::thread(&mounted, 2, each, true),
        ];
        if random.below(4) > 0 {
            wait_moved(&mut loaders, &[0; 3], mounted.lives.pid());
        }
        std::thread::sleep(Duration::from_micros(random.below(20_000)));
        mounted.lives.kill();
        let at = Instant::now();
        let ended: Vec<_> = loaders.into_iter().map(Loader::end).collect();
        ends.push(at.elapsed());
        let mut expected = Vec::new();
        then(&mounted, &mut expected);
        for ended in ended {
            calls += ended.calls;
            let (errno, call) = ended.failed.expect("a call fails when the server is gone");
            *told.entry(errno).or_default() += 1;
            let errno = Errno::from_raw(errno);
            assert!(expected.contains(&errno), "kill {kill}: {errno} in {call}");
        }
        mounted.end();
    }
    ends.sort();
    let told: Vec<_> =
        told.iter().map(|(raw, times)| format!("{} x {times}", Errno::from_raw(*raw))).collect();
    println!(
        "{on_exit:?}: {kills} kills, {calls} operations, 0 hangs, all told after p50 {:?} \
         p99 {:?}, {:.1} s; {}",
        ends[ends.len() / 2],
        ends[ends.len() * 99 / 100],
        begun.elapsed().as_secs_f64(),
        told.join(", "),
    );
    inventory.check();
}
