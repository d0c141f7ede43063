//! `filo run`, as root and as an ordinary user.

use crate::common::{FILO, NOBODY, Place, can_mount, reachable};
use std::os::unix::process::CommandExt;
use std::process::{Command, Output};

/// The command, as that user.
fn as_user(uid: u32, words: &[&str]) -> Command {
    let mut command = Command::new(FILO);
    command.args(words).env_remove("XDG_RUNTIME_DIR").current_dir("/");
    if uid != 0 {
        // The binary may stand where nobody may search; a descriptor of it opens that way.
        command.uid(uid).gid(uid);
    }
    command
}

fn shown(output: &Output) -> String {
    let (out, err) = (&output.stdout, &output.stderr);
    format!("{:?} {}{}", output.status, String::from_utf8_lossy(out), String::from_utf8_lossy(err))
}

#[test]
fn a_command_sees_a_file_system_of_its_own() {
    if !can_mount() {
        return;
    }
    let output = as_user(0, &["run", "mem:", "--", "sh", "-c", "echo hello > hello && cat hello"]);
    let output = { output }.output().unwrap();
    assert_eq!(output.stdout, b"hello\n", "{}", shown(&output));
    assert!(output.status.success() && output.stderr.is_empty(), "{}", shown(&output));
}

#[test]
fn an_ordinary_user_needs_no_helper() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let script = "echo hello > hello && cat hello && stat -c %u hello && id -u";
    let output = Command::new(reachable(&place))
        .args(["run", "mem:", "--", "sh", "-c", script])
        .uid(NOBODY)
        .gid(NOBODY)
        .env_remove("XDG_RUNTIME_DIR")
        .current_dir("/")
        .output()
        .unwrap();
    assert_eq!(output.stdout, b"hello\n65534\n65534\n", "{}", shown(&output));
}

#[test]
fn an_ordinary_user_without_the_device_is_told() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let filo = reachable(&place);
    // A device node of the same number that is root's alone, in a mount namespace of its own.
    let node = place.0.join("fuse");
    let script = format!(
        "mknod {0} c 10 229 && chmod 600 {0} && mount --bind {0} /dev/fuse && \
         exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups {1} run mem: -- true",
        node.display(),
        filo.display()
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert!(text.contains("/dev/fuse") && text.contains("0666"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn the_stack_stands_in_the_place_of_its_directory() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    std::fs::create_dir(place.0.join("sub")).unwrap();
    std::fs::write(place.0.join("sub/x"), "below").unwrap();
    let output = as_user(
        0,
        &["run", "dir:..", "null", "null", "--", "sh", "-c", "pwd; cat x; echo new > y"],
    )
    .current_dir(place.0.join("sub"))
    .output()
    .unwrap();
    let expected = format!("{}/sub\nbelow", place.0.display());
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{}", shown(&output));
    // What the command did went through to the directory, and the mount is gone.
    assert_eq!(std::fs::read_to_string(place.0.join("sub/y")).unwrap(), "new\n");
    assert!(!crate::common::is_mounted(&place.0));
}

#[test]
fn the_end_of_the_command_is_ours() {
    if !can_mount() {
        return;
    }
    let code = |words: &[&str]| as_user(0, words).output().unwrap().status.code();
    assert_eq!(code(&["run", "mem:", "--", "sh", "-c", "exit 42"]), Some(42));
    assert_eq!(code(&["run", "mem:", "--", "sh", "-c", "kill -9 $$"]), Some(137));
    assert_eq!(code(&["run", "mem:", "--", "/nowhere/at/all"]), Some(127));
    assert_eq!(code(&["run", "mem:", "--", "/etc/passwd"]), Some(126));
    let output = as_user(0, &["run", "mem:", "--", "/nowhere/at/all"]).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(text, "filo: cannot run '/nowhere/at/all': No such file or directory\n");
}

#[test]
fn nothing_is_left_in_the_temporary_directory() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let tmp = place.dir("tmp");
    let output = as_user(0, &["run", "mem:", "--", "sh", "-c", "echo $FILO_MOUNT; pwd"])
        .env("TMPDIR", &tmp)
        .output()
        .unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let mut lines = text.lines();
    let (variable, directory) = (lines.next().unwrap(), lines.next().unwrap());
    assert_eq!(variable, directory);
    assert!(variable.starts_with(tmp.to_str().unwrap()), "{text}");
    assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0);

    // An ordinary user without XDG_RUNTIME_DIR has the control socket there too.
    let program = reachable(&place);
    std::os::unix::fs::chown(&tmp, Some(NOBODY), Some(NOBODY)).unwrap();
    for words in [&["run", "mem:", "--", "true"][..], &["list"]] {
        let mut command = Command::new(&program);
        command.args(words).uid(NOBODY).gid(NOBODY).env_remove("XDG_RUNTIME_DIR");
        let output = command.env("TMPDIR", &tmp).current_dir("/").output().unwrap();
        assert!(output.status.success(), "{}", shown(&output));
        assert_eq!(std::fs::read_dir(&tmp).unwrap().count(), 0, "{words:?}");
    }
}

#[test]
fn a_temporary_directory_that_is_not_there_is_told_with_what_to_do() {
    if !can_mount() {
        return;
    }
    let mut command = as_user(0, &["run", "mem:", "--", "true"]);
    let output = command.env("TMPDIR", "/nowhere").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{text}");
    assert!(text.ends_with("say where with '--at DIRECTORY' or TMPDIR\n"), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn one_run_inside_another() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let program = reachable(&place);
    let filo = program.to_str().unwrap();
    let script = "echo x > y && ls && id -u";
    for uid in [0, NOBODY] {
        let mut command = Command::new(&program);
        command.args(["run", "mem:", "--", filo, "run", "dir:.", "null", "--", "sh", "-c", script]);
        let output = command.uid(uid).gid(uid).env_remove("XDG_RUNTIME_DIR").current_dir("/");
        let output = output.output().unwrap();
        assert_eq!(output.stdout, format!("y\n{uid}\n").as_bytes(), "{}", shown(&output));
    }
}
