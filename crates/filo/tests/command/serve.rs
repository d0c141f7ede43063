//! `filo serve`: a stack as a file server.

use crate::common::{FILO, Place, able, can_mount, eventually, filo, is_mounted, refused};
use rustix::process::{Pid, Signal, kill_process};
use std::fs;
use std::path::Path;
use std::process::{Child, Command, Stdio};

/// A server that listens; killed with the value.
struct Listens(Child);

impl Listens {
    fn start(socket: &Path, words: &[&str]) -> Listens {
        let mut command = Command::new(FILO);
        command.arg("serve").args(words).arg("--socket").arg(socket).stdin(Stdio::null());
        let server = Listens(command.spawn().unwrap());
        eventually("it listens", || socket.exists());
        server
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.0), signal).unwrap();
    }

    /// The exit code, when it has one.
    fn ended(&mut self) -> Option<i32> {
        self.0.try_wait().unwrap().map(|status| status.code().unwrap_or(-1))
    }
}

impl Drop for Listens {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn served_by(socket: &Path) -> String {
    format!("server:unix={}", socket.display())
}

#[test]
fn what_is_wrong_is_told_in_a_line() {
    let place = Place::new();
    let taken = place.0.join("file");
    fs::write(&taken, "mine").unwrap();
    let (file, nowhere) = (taken.to_str().unwrap(), place.0.join("no/s"));
    let socket = place.0.join("s");
    let socket = socket.to_str().unwrap();
    for (words, code, text) in [
        (&["serve"][..], 1, "no stack was given"),
        (&["serve", "mem:"], 1, "say where to listen with '--socket PATH'"),
        (&["serve", "mem:", "--peer", "7"], 1, "--socket"),
        (&["serve", "nope:", "--socket", socket], 2, "no such base"),
        (&["serve", "mem:sise=1", "--socket", socket], 2, "did you mean 'size'"),
        (&["serve", "dir:/no/such", "--socket", socket], 5, "base 'dir'"),
        (&["serve", "mem:", "--socket", nowhere.to_str().unwrap()], 3, "no such file"),
        (&["serve", "mem:", "--socket", file], 3, "something else is there"),
    ] {
        let (ended, told) = refused(words);
        assert_eq!(ended, Some(code), "{words:?}: {told}");
        assert!(told.contains(text) && told.lines().count() == 1, "{words:?}: {told}");
    }
    assert_eq!(fs::read(&taken).unwrap(), b"mine");
    assert!(!Path::new(socket).exists());
}

#[test]
fn another_filo_starts_it() {
    if !can_mount() {
        return;
    }
    let base = format!("server:{FILO} serve mem: null");
    let script = "echo hello > hello && cat hello";
    let output = filo(&["run", &base, "--", "sh", "-c", script]);
    assert_eq!(String::from_utf8_lossy(&output.stdout), "hello\n", "{output:?}");
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn a_flock_is_free_as_soon_as_its_file_is_closed() {
    // close(2) does not wait for the RELEASE with which the lock goes.
    if !can_mount() || !able("python3", Path::new("/usr/bin/python3").exists()) {
        return;
    }
    // Of a server that is not started again: the locks of others are kept by the kernel.
    let base = format!("server:{FILO} serve mem:,on_exit=fail");
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/command/flock.py");
    for layer in ["null", "fault:op=release,times=0,delay_ms=3"] {
        let output = filo(&["run", &base, layer, "--", "python3", script, "f", "200"]);
        assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{layer}: {output:?}");
    }
}

#[test]
fn each_mount_at_a_socket_has_a_stack_of_its_own() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let socket = place.0.join("s");
    let mut server = Listens::start(&socket, &["mem:"]);
    let mounts = [place.dir("a"), place.dir("b")];
    for at in &mounts {
        let output = filo(&["mount", &served_by(&socket), at.to_str().unwrap()]);
        assert!(output.status.success(), "{output:?}");
        fs::write(at.join("x"), at.to_str().unwrap()).unwrap();
    }
    for at in &mounts {
        assert_eq!(fs::read_to_string(at.join("x")).unwrap(), at.to_str().unwrap());
    }
    // One goes, and the server stays for the other.
    assert!(filo(&["umount", mounts[0].to_str().unwrap()]).status.success());
    assert_eq!(server.ended(), None);
    assert_eq!(fs::read_dir(&mounts[1]).unwrap().count(), 1);
    // The server goes: the mount goes with it, since nobody could start the server again.
    server.signal(Signal::TERM);
    eventually("the server ends", || !socket.exists());
    eventually("the mount goes", || !is_mounted(&mounts[1]));
    assert_eq!(server.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_signal_ends_it_where_nobody_has_connected() {
    let place = Place::new();
    let socket = place.0.join("s");
    for signal in [Signal::TERM, Signal::INT, Signal::HUP] {
        let mut server = Listens::start(&socket, &["mem:"]);
        server.signal(signal);
        assert_eq!(server.0.wait().unwrap().code(), Some(0), "{signal:?}");
        assert!(!socket.exists());
    }
}

#[test]
fn the_example_works_both_ways() {
    let example = Path::new(FILO).with_file_name("examples").join("hello");
    if !can_mount() || !able("the example hello, built", example.exists()) {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    // Started by filo, under a layer.
    let base = format!("server:{}", example.display());
    let mounted = filo(&["mount", &base, "readonly", at.to_str().unwrap()]);
    assert!(mounted.status.success(), "{mounted:?}");
    assert_eq!(fs::read(at.join("hello")).unwrap(), b"world\n");
    assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
    assert!(!at.join("hello").exists());
    // By itself, until a signal comes.
    let mut alone = Listens(Command::new(&example).arg(&at).spawn().unwrap());
    eventually("it is mounted", || at.join("hello").exists());
    assert_eq!(fs::read(at.join("hello")).unwrap(), b"world\n");
    alone.signal(Signal::INT);
    assert_eq!(alone.0.wait().unwrap().code(), Some(0));
    assert!(!at.join("hello").exists());
    // By hand, with nothing to do.
    let told = Command::new(&example).stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&told.stderr);
    assert!(told.status.code() == Some(1) && text.contains("this is a file server"), "{text}");
}
