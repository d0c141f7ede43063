//! Servers that listen at a socket, and are killed under load. They are not ours to start again:
//! somebody does it, and whoever has mounted goes on.

use crate::campaign::kills;
use crate::ground::{Inventory, has_fuse, wait_until};
use crate::mounted::Mounted;
use crate::restart::campaign;
use filofs::Errno;
use filofs_server::kernel::Settings;
use std::time::Duration;

/// No call fails and every byte is right.
pub fn no_operation_fails() {
    if !has_fuse() {
        return;
    }
    let inventory = Inventory::take();
    let deaths = Settings::DEATHS_MAX.to_string();
    let mounted = Mounted::listening(&[("on_exit", "restart"), ("deaths", &deaths)]);
    campaign("listening", mounted, kills(50), |mounted| mounted.listener.as_ref().unwrap().again());
    inventory.check();
}

/// Who starts a server again takes a moment, and that is one death, however often it was tried.
pub fn who_is_away_for_a_while_is_waited_for() {
    if !has_fuse() {
        return;
    }
    let inventory = Inventory::take();
    let mounted = Mounted::listening(&[("on_exit", "restart")]);
    let user = mounted.local.process();
    user.write_file("/file", b"content").unwrap();
    let listener = mounted.listener.as_ref().unwrap();
    listener.kill();
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| user.read_file("/file"));
        std::thread::sleep(Duration::from_millis(1500));
        listener.again();
        assert_eq!(waiting.join().unwrap().unwrap(), b"content");
    });
    drop(user);
    mounted.end();
    inventory.check();
}

/// A64: without a word about it the mount goes with its server.
pub fn the_mount_goes_if_nothing_is_said() {
    if !has_fuse() {
        return;
    }
    let inventory = Inventory::take();
    let mounted = Mounted::listening(&[]);
    let user = mounted.local.process();
    user.write_file("/file", b"content").unwrap();
    mounted.listener.as_ref().unwrap().kill();
    wait_until("the mount goes", &[], || !mounted.is_mounted());
    assert_eq!(user.stat("/file").unwrap_err(), Errno::ENXIO);
    drop(user);
    mounted.end();
    inventory.check();
}
