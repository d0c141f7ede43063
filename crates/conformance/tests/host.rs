//! The control: the checks on the host's own file systems. A check that fails here is wrong, or
//! says more than every file system promises.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

use conformance::os::OsProcess;
use conformance::os::{TempDir, may_become_users};
use conformance::run::{OsGround, Shared, run};
use conformance::{Abilities, checks};
use std::path::Path;
use std::process::Command;

/// What Linux gives on any of its file systems.
const LINUX: Abilities = Abilities::KERNEL
    .union(Abilities::ACL)
    .union(Abilities::CHATTR)
    .union(Abilities::HANDLES)
    .union(Abilities::SPARSE)
    .union(Abilities::WHITEOUT)
    .union(Abilities::KEPT_SET_ID);

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

/// A small tmpfs of our own, unmounted when dropped.
struct Tmpfs(TempDir);

impl Tmpfs {
    fn new() -> Tmpfs {
        let tmpfs = Tmpfs(TempDir::new());
        tmpfs.mount(&["-t", "tmpfs", "-o", "size=8m,mode=755", "filo-test"]);
        tmpfs
    }

    fn mount(&self, arguments: &[&str]) {
        let done = Command::new("mount").args(arguments).arg(self.0.path()).status().unwrap();
        assert!(done.success(), "mount {arguments:?}");
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

#[test]
fn the_checks_of_a_small_file_system_hold_on_a_small_tmpfs() {
    if !may_become_users() {
        assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "this needs root");
        println!("skipped: this needs root");
        return;
    }
    let tmpfs = Tmpfs::new();
    let abilities = LINUX | Abilities::SMALL;
    let ground = OsGround { path: tmpfs.0.path().to_owned(), abilities };
    let small = checks::all().filter(|check| check.needs.contains(Abilities::SMALL));
    run(small, &ground, &[]).settle("a small tmpfs");
}

#[test]
fn the_checks_of_a_read_only_file_system_hold_on_a_read_only_tmpfs() {
    if !may_become_users() {
        assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "this needs root");
        println!("skipped: this needs root");
        return;
    }
    let tmpfs = Tmpfs::new();
    checks::prepare(&OsProcess::new(tmpfs.0.path(), LINUX));
    tmpfs.mount(&["-o", "remount,ro"]);
    let ground = Shared(|| -> Box<dyn conformance::Subject> {
        Box::new(OsProcess::new(tmpfs.0.path(), LINUX))
    });
    run(checks::readonly(), &ground, &[]).settle("a read-only tmpfs");
}
