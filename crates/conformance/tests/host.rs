//! The control: the checks on the host's own file systems. A check that fails here is wrong, or
//! says more than every file system promises.

use conformance::os::{TempDir, may_become_users};
use conformance::run::{OsGround, run};
use conformance::{Abilities, checks};
use std::path::Path;

/// What Linux gives on any of its file systems.
const LINUX: Abilities = Abilities::KERNEL
    .union(Abilities::ACL)
    .union(Abilities::CHATTR)
    .union(Abilities::HANDLES)
    .union(Abilities::SPARSE)
    .union(Abilities::WHITEOUT);

fn control(parent: &Path, abilities: Abilities, except: &[(&str, &str)]) {
    if !may_become_users() {
        assert!(
            std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"),
            "the control needs root"
        );
        println!("skipped: the control needs root");
        return;
    }
    let dir = TempDir::under(parent);
    let ground = OsGround { path: dir.path().to_owned(), abilities };
    run(checks::all(), &ground, except).settle(&format!("{}", parent.display()));
}

#[test]
fn the_checks_hold_on_the_host_s_disk() {
    control(&std::env::temp_dir(), LINUX | Abilities::ZERO, &[]);
}

#[test]
fn the_checks_hold_on_tmpfs() {
    let shm = Path::new("/dev/shm");
    if shm.is_dir() {
        control(shm, LINUX, &[]);
    } else {
        println!("skipped: there is no /dev/shm");
    }
}
