//! Foreign programs that are killed under load: nodes are found again by their names, and nobody
//! above notices.

use crate::campaign::kills;
use crate::ground::{Inventory, has_fuse, installed};
use crate::mounted::Mounted;
use crate::restart::campaign;

fn check(what: &str, command: &str, usual: u64) {
    let program = command.split(' ').next().unwrap();
    if !(has_fuse() && installed(program)) {
        return;
    }
    let inventory = Inventory::take();
    campaign(what, Mounted::foreign(command), kills(usual), |_| {});
    inventory.check();
}

pub fn bindfs_in_front() {
    check("bindfs", "bindfs -f @ {}", 100);
}

/// The process that was started is not the one that serves.
pub fn bindfs_in_the_background() {
    check("bindfs in the background", "bindfs @ {}", 30);
}

pub fn unionfs() {
    check("unionfs", "unionfs-fuse -f @=RW {}", 30);
}
