//! The command on real mounts, as root: background and foreground, signals, death, the doors of
//! mount(8).

use crate::common::{
    FILO, Place, able, can_mount, eventually, filo, is_alive, is_mounted, refused, server_of,
};
use rustix::process::{Pid, Signal, kill_process};
use std::path::Path;
use std::process::{Child, Command, Stdio};

fn signal(pid: u32, signal: Signal) {
    kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal).unwrap();
}

/// Serves `mem:` there in the foreground.
fn foreground(at: &str) -> Child {
    let child = Command::new(FILO)
        .args(["mount", "-f", "mem:", at])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let path = Path::new(at);
    eventually("the mount is listed", || server_of(path).is_some());
    child
}

#[test]
fn a_mount_works_is_listed_and_leaves_nothing() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let output = filo(&["mount", "mem:", "null", at.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.stdout.is_empty() && output.stderr.is_empty());
    // The parent has returned: the mount answers.
    std::fs::write(at.join("x"), "hello").unwrap();
    assert_eq!(std::fs::read_to_string(at.join("x")).unwrap(), "hello");

    let list = filo(&["list", "--json"]).stdout;
    let list: serde_json::Value = serde_json::from_slice(&list).unwrap();
    let found = list.as_array().unwrap().iter().find(|m| m["mountpoint"] == *at.to_string_lossy());
    let found = found.unwrap();
    assert_eq!((&found["stack"], &found["state"]), (&"mem: null".into(), &"running".into()));
    assert!(found["counters"]["nodes"].as_u64().unwrap() >= 2, "{found}");
    assert_eq!(found["counters"]["ops.create"], 1, "{found}");
    let text = String::from_utf8(filo(&["list"]).stdout).unwrap();
    assert!(text.contains(at.to_str().unwrap()), "{text}");

    let pid = server_of(&at).unwrap();
    let output = filo(&["umount", at.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(!is_mounted(&at) && !is_alive(pid));
    assert_eq!(server_of(&at), None);
}

#[test]
fn a_limit_of_file_sizes_ends_a_write_and_not_the_server() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let (at, below) = (place.dir("mnt"), place.dir("below"));
    let base = format!("dir:{}", below.display());
    // In blocks of 512 bytes, sh(1). (What the kernel writes by itself counts for the writer.)
    let limited =
        ["-c", "ulimit -f 8; exec \"$@\"", "sh", FILO, "mount", "-o", "passthrough=off", &base];
    let mounted = Command::new("sh").args(limited).arg(&at).status().unwrap();
    assert!(mounted.success());
    let file = std::fs::File::create(at.join("f")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"fits", 0).unwrap();
    let beyond = std::os::unix::fs::FileExt::write_at(&file, b"x", 1 << 20).unwrap_err();
    assert_eq!(beyond.kind(), std::io::ErrorKind::FileTooLarge);
    drop(file);
    assert_eq!(std::fs::read(at.join("f")).unwrap(), b"fits");
    let output = filo(&["umount", at.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_busy_mount_is_not_taken_away_unless_lazily() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    assert!(filo(&["mount", "mem:", at.to_str().unwrap()]).status.success());
    std::fs::write(at.join("x"), "kept").unwrap();
    let open = std::fs::File::open(at.join("x")).unwrap();
    let pid = server_of(&at).unwrap();
    let (code, text) = refused(&["umount", at.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(text.contains("is in use") && text.lines().count() == 1, "{text}");
    assert!(is_mounted(&at));
    assert!(filo(&["umount", "--lazy", at.to_str().unwrap()]).status.success());
    assert!(!is_mounted(&at));
    assert_eq!(std::io::read_to_string(&open).unwrap(), "kept");
    drop(open);
    eventually("the server ends with its last user", || !is_alive(pid));
}

#[test]
fn sigterm_and_sigint_unmount_and_end_with_0() {
    if !can_mount() {
        return;
    }
    for kind in [Signal::TERM, Signal::INT, Signal::HUP] {
        let place = Place::new();
        let at = place.dir("mnt");
        let mut child = foreground(at.to_str().unwrap());
        signal(child.id(), kind);
        assert_eq!(child.wait().unwrap().code(), Some(0), "{kind:?}");
        assert!(!is_mounted(&at));
    }
}

#[test]
fn a_second_signal_detaches_a_busy_mount() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let mut child = foreground(at.to_str().unwrap());
    let open = std::fs::File::create(at.join("x")).unwrap();
    signal(child.id(), Signal::TERM);
    let mut told = [0; 200];
    let len = std::io::Read::read(child.stderr.as_mut().unwrap(), &mut told).unwrap();
    let told = String::from_utf8_lossy(&told[..len]).into_owned();
    assert!(told.contains("a second signal detaches it"), "{told}");
    assert!(is_mounted(&at));
    signal(child.id(), Signal::TERM);
    eventually("the mount is detached", || !is_mounted(&at));
    drop(open);
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_killed_server_leaves_a_mount_that_is_shown_as_dead_and_can_be_taken_away() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    assert!(filo(&["mount", "mem:", at.to_str().unwrap()]).status.success());
    // What the kernel remembers of the root does not hide the death.
    assert_eq!(std::fs::read_dir(&at).unwrap().count(), 0);
    std::fs::metadata(&at).unwrap();
    signal(server_of(&at).unwrap(), Signal::KILL);
    eventually("the mount is dead", || std::fs::read_dir(&at).is_err());
    let text = String::from_utf8(filo(&["list"]).stdout).unwrap();
    let line = text.lines().find(|l| l.contains(at.to_str().unwrap())).unwrap();
    assert!(line.contains("dead"), "{text}");
    let (code, text) = refused(&["mount", "mem:", at.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(text.contains("take it away with 'filo umount"), "{text}");
    assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
    assert!(!is_mounted(&at));
}

/// Stopped processes; they go on with the value.
struct Stopped(Vec<u32>);

impl Drop for Stopped {
    fn drop(&mut self) {
        self.0.iter().for_each(|pid| signal(*pid, Signal::CONT));
    }
}

#[test]
fn stopped_servers_hold_the_list_up_for_one_patience_and_not_for_ever() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let all: Vec<_> = (0..6).map(|number| place.dir(&format!("mnt{number}"))).collect();
    for at in &all {
        assert!(filo(&["mount", "mem:", at.to_str().unwrap()]).status.success());
    }
    let stopped = &all[1..];
    let stopped_pids = Stopped(stopped.iter().map(|at| server_of(at).unwrap()).collect());
    stopped_pids.0.iter().for_each(|pid| signal(*pid, Signal::STOP));
    // Not for ever, whatever becomes of the rest.
    let (told, tells) = std::sync::mpsc::channel();
    std::thread::spawn(move || told.send(filo(&["list", "-v"])));
    let output = tells.recv_timeout(std::time::Duration::from_secs(60));
    let text = String::from_utf8(output.expect("it ends").stdout).unwrap();
    let state_of = |at: &Path| {
        let line = text.lines().find(|line| line.starts_with(at.to_str().unwrap())).unwrap();
        line.split_whitespace().nth(2).unwrap().to_owned()
    };
    assert!(stopped.iter().all(|at| state_of(at) == "silent"), "{text}");
    eventually("the one that runs is listed as ever", || server_of(&all[0]).is_some());
    drop(stopped_pids);
    for at in &all {
        eventually("it is served again", || server_of(at).is_some());
        assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
    }
}

#[test]
fn layers_go_over_a_directory_in_place() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("files");
    std::fs::write(at.join("x"), "below").unwrap();
    let base = format!("dir:{}", at.display());
    let output = filo(&["mount", &base, "readonly", at.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string(at.join("x")).unwrap(), "below");
    let refused = std::fs::write(at.join("x"), "above").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
    assert_eq!(std::fs::read_to_string(at.join("x")).unwrap(), "below");
}

#[test]
fn the_doors_of_mount_8() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let shown = at.to_str().unwrap();
    // What mount.fuse3 runs: two bare words, and dev and suid added.
    let output = filo(&["mem: readonly", shown, "-o", "rw,nofail,_netdev,dev,suid"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(is_mounted(&at));
    assert!(std::fs::write(at.join("x"), "").is_err(), "the layer is there");
    assert!(filo(&["umount", shown]).status.success());

    // /sbin/mount.filo: the program's name, -n and -s.
    let door = place.0.join("mount.filo");
    std::os::unix::fs::symlink(FILO, &door).unwrap();
    let call = |words: &[&str]| Command::new(&door).args(words).output().unwrap();
    let output = call(&["mem:size=1m", shown, "-sn", "-o", "ro,what_is_this"]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let refused = std::fs::write(at.join("x"), "").unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(rustix::io::Errno::ROFS.raw_os_error()));
    assert!(filo(&["umount", shown]).status.success());
    assert!(call(&["mem:", shown, "-f"]).status.success(), "a fake mount");
    assert!(!is_mounted(&at));
    // Errors have the bits of mount(8).
    assert_eq!(call(&["mem:", shown, "-o", "what_is_this"]).status.code(), Some(1));
    assert_eq!(call(&["mem:", "/nowhere"]).status.code(), Some(32));

    // A stack file from fstab: the first word is only a name.
    let file = place.0.join("x.toml");
    std::fs::write(&file, "base = 'mem:'\n[[layer]]\ntype = 'null'\n").unwrap();
    let list = format!("config={},noauto,x-systemd.automount", file.display());
    assert!(call(&["photos", shown, "-o", &list]).status.success());
    assert!(filo(&["umount", shown]).status.success());
}

#[test]
fn mount_8_itself_finds_the_way() {
    if !can_mount() {
        return;
    }
    let there = Path::new("/sbin/mount.fuse").exists();
    if !crate::common::able("mount.fuse (package fuse3)", there) {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    // It looks for the program where the system's programs are: there it is put, in a mount
    // namespace of its own.
    let bin = Path::new(FILO).parent().unwrap().display();
    let at = at.display();
    let script = format!(
        "mount --bind {bin} /usr/local/bin && \
         mount -t fuse.filo 'mem: null' {at} -o nosuid,nofail && \
         grep -c ' {at} fuse.filo rw,nosuid' /proc/mounts && umount {at}"
    );
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    assert_eq!(output.stdout, b"1\n", "{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mount_without_the_device_is_one_line_and_4() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    // In a mount namespace of its own /dev/fuse is something else.
    let script =
        format!("mount --bind /dev/null /dev/fuse && exec {FILO} mount mem: {}", at.display());
    let output = Command::new("unshare").args(["-m", "sh", "-c", &script]).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(text.contains("/dev/fuse"), "{text}");
    assert!(!is_mounted(&at));
}

#[test]
fn what_others_change_below_is_seen_at_once_where_it_is_watched() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let (at, below) = (place.dir("mnt"), place.dir("below"));
    std::fs::write(below.join("old"), "1").unwrap();
    // Without the notices all of it would be believed for an hour.
    let base = format!("dir:{},watch=on,attr_ttl=3600,entry_ttl=3600", below.display());
    let output = filo(&["mount", &base, "null", at.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(std::fs::read_to_string(at.join("old")).unwrap(), "1");

    std::fs::write(below.join("old"), "longer").unwrap();
    eventually("other data is seen", || {
        std::fs::read_to_string(at.join("old")).unwrap() == "longer"
    });
    std::fs::rename(below.join("old"), below.join("new")).unwrap();
    eventually("the old name goes", || !at.join("old").exists());
    eventually("the new name is there", || at.join("new").exists());
    std::fs::remove_file(below.join("new")).unwrap();
    eventually("a removed file goes", || !at.join("new").exists());
    assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
}

#[test]
fn what_is_cached_goes_with_the_first_open_after_a_change_below() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let (at, below) = (place.dir("mnt"), place.dir("below"));
    let log = place.0.join("log");
    std::fs::write(below.join("file"), "1").unwrap();
    std::fs::write(below.join("other"), "").unwrap();
    // Attributes are believed for an hour: what is seen is seen because of the open.
    let base = format!("dir:{},attr_ttl=3600,entry_ttl=3600", below.display());
    let trace = format!("trace:file={}", log.display());
    let output = filo(&["mount", &base, &trace, at.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let asked = |what: &str| {
        let log = std::fs::read_to_string(&log).unwrap();
        log.lines().filter(|line| line.contains(&format!(" {what} "))).count()
    };
    let read = || std::fs::read_to_string(at.join("file")).unwrap();
    let list = || {
        let names = std::fs::read_dir(&at).unwrap().map(|name| name.unwrap().file_name());
        names.collect::<std::collections::BTreeSet<_>>()
    };
    // An open is known to be over when its release has come.
    let settled = |act: &dyn Fn()| {
        let before = asked("release");
        act();
        eventually("the release comes", || asked("release") > before);
    };
    for content in ["1", "2", "3"] {
        std::fs::write(below.join("file"), content).unwrap();
        let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1);
        let file = std::fs::File::options().write(true).open(below.join("file")).unwrap();
        file.set_modified(time).unwrap();
        settled(&|| assert_eq!(read(), content));
    }
    for name in ["a", "b"] {
        std::fs::write(below.join(name), "").unwrap();
        settled(&|| assert!(list().contains(std::ffi::OsStr::new(name))));
        std::fs::remove_file(below.join(name)).unwrap();
        settled(&|| assert!(!list().contains(std::ffi::OsStr::new(name))));
    }
    let (reads, readdirs) = (asked("read"), asked("readdir"));
    settled(&|| assert_eq!(read(), "3"));
    settled(&|| assert_eq!(list().len(), 2));
    let local = [0xef53, 0x5846_5342, 0x9123_683e, 0x0102_1994];
    let local = local.contains(&(rustix::fs::statfs(&below).unwrap().f_type as u32));
    if able("a local file system", local) {
        assert_eq!((asked("read"), asked("readdir")), (reads, readdirs), "nothing has changed");
        assert_eq!(asked("flush"), 0);
    }
    assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
}

#[test]
fn a_fault_that_says_there_is_no_room_is_heard_whatever_way_requests_come() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    for transport in ["transport=ring", "transport=classic"] {
        let fault = "fault:op=mkdir,nth=1,errno=ENOSPC";
        let output = filo(&["mount", "-o", transport, "mem:", fault, at.to_str().unwrap()]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let refused = std::fs::create_dir(at.join("d")).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(28), "{transport}");
        std::fs::create_dir(at.join("d")).unwrap();
        assert!(filo(&["umount", at.to_str().unwrap()]).status.success());
    }
}
