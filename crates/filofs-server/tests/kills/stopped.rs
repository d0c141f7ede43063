//! Servers that are stopped, and do not die of it.

use crate::campaign::{Loader, calls, seed, wait_moved};
use crate::ground::{Inventory, has_fuse, wait_until};
use crate::mounted::{Mounted, settings};
use filofs::Errno;
use filofs_server::kernel::{OnExit, Settings};
use rustix::process::{Pid, Signal, kill_process};
use std::time::Duration;

/// While one server is stopped, those who use another go on; its own callers can be killed; and
/// when it goes on, so do they.
pub fn others_go_on_and_callers_can_be_killed() {
    const MANY: u64 = 1000;
    if !has_fuse() {
        return;
    }
    let seed = seed();
    let inventory = Inventory::take();
    let (stopped, other) =
        (Mounted::new(&settings(OnExit::Restart)), Mounted::new(&settings(OnExit::Restart)));
    let loaders = |mounted: &Mounted| -> Vec<Loader> {
        let processes = (0..3).map(|number| Loader::process(mounted, number, seed, false));
        let thread = Loader::thread(mounted, 3, seed, false);
        processes.chain([thread]).collect()
    };
    let (mut held, mut free) = (loaders(&stopped), loaders(&other));
    wait_moved(&mut held, &[0; 4], stopped.lives.pid());
    wait_moved(&mut free, &[0; 4], other.lives.pid());
    stopped.lives.stop();
    let mut before = calls(&held);
    wait_until("its callers stand still", &[], || {
        std::thread::sleep(Duration::from_millis(200));
        let now = calls(&held);
        std::mem::replace(&mut before, now.clone()) == now
    });
    let goal: Vec<u64> = calls(&free).iter().map(|calls| calls + MANY).collect();
    wait_moved(&mut free, &goal, other.lives.pid());
    assert_eq!(calls(&held), before, "a stopped server answers nothing");
    // Two of its callers are killed while they wait for it.
    for victim in &mut held[..2] {
        let pid = Pid::from_raw(victim.pid() as i32).unwrap();
        kill_process(pid, Signal::KILL).unwrap();
        let process = victim.pid();
        wait_until("a caller that was killed dies", &[process], || victim.has_ended());
    }
    assert_eq!(calls(&held)[2..], before[2..]);
    assert_eq!(stopped.lives.starts(), 1);
    stopped.lives.signal(Signal::CONT);
    drop(held.drain(..2));
    wait_moved(&mut held, &before[2..], stopped.lives.pid());
    for mut loader in held.into_iter().chain(free) {
        loader.ask_to_end();
        let ended = loader.end();
        assert!(ended.failed.is_none(), "{ended:?}");
    }
    stopped.end();
    other.end();
    inventory.check();
}

/// A server that misses three deadlines is killed, and the policy does the rest.
pub fn who_misses_deadlines_is_killed() {
    let inventory = Inventory::take();
    let patience = Some(Duration::from_millis(200));
    let mounted = Mounted::inside(&Settings { patience, ..settings(OnExit::Restart) });
    let user = mounted.local.process();
    user.write_file("/file", b"content").unwrap();
    mounted.lives.stop();
    for _ in 0..3 {
        assert_eq!(mounted.lives.starts(), 1);
        assert_eq!(user.stat("/file").unwrap_err(), Errno::ETIMEDOUT);
    }
    wait_until("it is killed and started again", &[], || mounted.lives.starts() == 2);
    wait_until("it answers", &[], || {
        user.read_file("/file").is_ok_and(|found| found == b"content")
    });
    drop(user);
    mounted.end();
    inventory.check();
}
