//! The same tests again in poorer circumstances.

use crate::ground::{Place, has_namespaces, is_root, skip};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// Set in the environment of the child.
const CHILD: &str = "FILO_TEST_AGAIN";

pub(crate) fn all_of_this_as_an_ordinary_user() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    if !is_root() {
        return skip("as an ordinary user", "root");
    }
    let place = Place::new();
    let mut command = Command::new(copy(&place));
    command.uid(65534).gid(65534);
    repeat(&mut command);
}

/// As in a container: root, but without the right to make namespaces.
pub(crate) fn all_of_this_without_namespaces() {
    if std::env::var_os(CHILD).is_some() {
        return;
    }
    if !is_root() || !has_namespaces("without namespaces") {
        return skip("without namespaces", "root");
    }
    let place = Place::new();
    let mut command = Command::new("setpriv");
    command.args(["--bounding-set=-sys_admin", "--inh-caps=-sys_admin"]).arg(copy(&place));
    repeat(&mut command);
}

/// A copy where everybody comes, for this program may lie where nobody else does.
fn copy(place: &Place) -> PathBuf {
    let program = place.0.join("tests");
    // Not by this process: others that are just being started would hold it open for writing.
    let mut install = Command::new("install");
    let done = install.args(["-m", "755"]).arg(std::env::current_exe().unwrap()).arg(&program);
    assert!(done.status().unwrap().success());
    program
}

fn repeat(command: &mut Command) {
    let run = command.env(CHILD, "1").env_remove("FILO_REQUIRE").current_dir("/").output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    let ran = |line: &str| line.contains("confined::rights_are") && line.ends_with(" ok");
    assert!(text.lines().any(ran), "{text}");
}
