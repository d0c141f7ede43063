//! The same tests again as an ordinary user, and what is special to one.

use crate::ground::{Ground, is_root, mode, new_path, root, user};
use filofs::{Errno, FileSystem, SyncMode};
use std::fs;
use std::os::unix::process::CommandExt;

/// Set in the environment of the child.
const CHILD: &str = "FILO_TEST_USER";

#[test]
fn all_of_this_as_an_ordinary_user() {
    if std::env::var_os(CHILD).is_some() || !is_root("all_of_this_as_an_ordinary_user") {
        return;
    }
    // The program may lie where an ordinary user does not come.
    let place = new_path();
    fs::set_permissions(&place, mode(0o755)).unwrap();
    let program = place.join("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, mode(0o755)).unwrap();
    let run = std::process::Command::new(&program)
        .uid(65534)
        .gid(65534)
        .env(CHILD, "1")
        .env_remove("FILO_REQUIRE")
        .current_dir("/")
        .output();
    fs::remove_dir_all(&place).unwrap();
    let run = run.unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(text.contains("test names::hard_links_meet_in_one_node ... ok"), "{text}");
}

#[test]
fn without_rights_to_switch_it_acts_as_itself() {
    if rustix::process::geteuid().is_root() {
        return;
    }
    let g = Ground::new();
    assert!(!g.dir.profile().exportable);
    let me = rustix::process::geteuid().as_raw();
    for cx in [root(), user(1), user(me)] {
        let (file, _) = g.create(&cx, &g.root(), &format!("{}", cx.uid), 0o600).unwrap();
        assert_eq!(g.attr(&file).uid.0, me);
    }
    let handle = g.dir.handle_of(&root(), &g.root());
    assert_eq!(handle.unwrap_err(), Errno::EOPNOTSUPP);
    g.dir.sync(&root(), SyncMode::Wait).unwrap();
}
