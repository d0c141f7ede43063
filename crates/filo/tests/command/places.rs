//! Where one can mount, and what it is called afterwards: links, odd names, one place twice, the
//! directory that is shown itself.

use crate::common::{
    FILO, NOBODY, Place, able, can_mount, eventually, filo, is_alive, is_mounted, reachable,
    refused, server_of,
};
use rustix::process::{Pid, Signal, kill_process};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;

/// Mounts, which must succeed without a word.
fn mount(words: &[&str]) {
    let output = filo(&[&["mount"], words].concat());
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), told.as_str()), (Some(0), ""), "{words:?}");
}

fn umount(path: &Path) {
    let output = filo(&["umount", path.to_str().unwrap()]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_mount_point_below_its_own_directory_leads_to_what_it_covers() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let base = place.dir("base");
    let at = base.join("x");
    std::fs::create_dir_all(at.join("covered")).unwrap();
    std::fs::write(base.join("f"), "below").unwrap();
    for words in [&[][..], &["null", "null"]] {
        let dir = format!("dir:{}", base.display());
        mount(&[&["-o", "nonempty", &dir], words, &[at.to_str().unwrap()]].concat());
        // The tree ends: x/x is the directory below the mount, not the mount again.
        let mut found: Vec<_> = std::fs::read_dir(at.join("x"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        found.sort();
        assert_eq!(found, ["covered"]);
        std::fs::write(at.join("x/covered/new"), "through").unwrap();
        let refused = std::fs::rename(at.join("x"), at.join("y")).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ResourceBusy);
        let listed = Command::new("ls").args(["-lR"]).arg(&at).output().unwrap();
        assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
        // What was found keeps nothing busy.
        umount(&at);
        assert_eq!(std::fs::read_to_string(at.join("covered/new")).unwrap(), "through");
    }
}

#[test]
fn a_directory_that_holds_the_mount_of_another_server_shows_it() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let base = place.dir("base");
    std::fs::create_dir(base.join("inner")).unwrap();
    let (inner, outer) = (base.join("inner"), place.dir("outer"));
    mount(&["mem:", inner.to_str().unwrap()]);
    std::fs::write(inner.join("x"), "of the other").unwrap();
    mount(&[&format!("dir:{}", base.display()), outer.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(outer.join("inner/x")).unwrap(), "of the other");
    umount(&outer);
    umount(&inner);
}

#[test]
fn a_link_leads_to_the_mount_point_and_back() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("real");
    let link = place.0.join("link");
    std::os::unix::fs::symlink("real", &link).unwrap();
    mount(&["mem:", link.to_str().unwrap()]);
    assert!(is_mounted(&at));
    assert!(server_of(&at).is_some(), "listed by its real name");
    umount(&link);
    assert!(!is_mounted(&at));
}

#[test]
fn the_same_once_more_is_refused_and_servers_are_told_apart() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let shown = at.to_str().unwrap();
    mount(&["mem:", shown]);
    let first = server_of(&at).unwrap();
    let (code, text) = refused(&["mount", "mem:", shown]);
    assert_eq!(code, Some(3));
    let expected = format!(
        "filo: mount point '{shown}': this is mounted there already; 'filo umount {shown}' first, \
         or mount a second one over it with '-o nonempty'\n"
    );
    assert_eq!(text, expected);
    mount(&["-o", "nonempty", "mem:", shown]);
    std::fs::write(at.join("x"), "").unwrap();
    // Each umount waits for the end of the server of what it has unmounted.
    umount(&at);
    assert!(is_alive(first) && is_mounted(&at) && !at.join("x").exists());
    umount(&at);
    assert!(!is_alive(first) && !is_mounted(&at));
}

#[test]
fn a_mount_of_another_subtype_is_unmounted_all_the_same() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    mount(&["-o", "subtype=other,fsname=name", "mem:", at.to_str().unwrap()]);
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    assert!(table.contains(&format!(" {} ", at.display())) && table.contains(" fuse.other name "));
    let pid = server_of(&at).unwrap();
    umount(&at);
    assert!(!is_alive(pid));
}

#[test]
fn names_with_spaces_commas_and_line_ends() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    std::fs::write(place.dir("base d,e").join("f"), "odd").unwrap();
    let at = place.dir("a b,c\n\u{fc}:");
    let word = format!("dir:{}/base d\\,e", place.0.display());
    mount(&[&word, at.to_str().unwrap()]);
    assert_eq!(std::fs::read_to_string(at.join("f")).unwrap(), "odd");
    let text = String::from_utf8(filo(&["list"]).stdout).unwrap();
    let line = text.lines().find(|l| l.contains("a b,c\\n\u{fc}:")).unwrap();
    let stack = format!("dir:{}/base\\040d\\,e", place.0.display());
    assert!(line.ends_with(&stack), "the stack is told so that it can be given again: {line}");
    umount(&at);
}

#[test]
fn nobody_unmounts_what_somebody_else_mounted() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let program = reachable(&place);
    mount(&["mem:", at.to_str().unwrap()]);
    let output = Command::new("setpriv")
        .args([&format!("--reuid={NOBODY}"), &format!("--regid={NOBODY}"), "--clear-groups"])
        .arg(&program)
        .args(["umount", at.to_str().unwrap()])
        .env_remove("XDG_RUNTIME_DIR")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    // 4 with fusermount3, which is asked, and without.
    assert_eq!(output.status.code(), Some(4), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
    assert!(is_mounted(&at));
    umount(&at);
}

#[test]
fn a_bind_mount_may_map_users_where_that_was_allowed() {
    let python = Path::new("/usr/bin/python3").exists();
    if !can_mount() || !able("python3", python) {
        return;
    }
    let place = Place::new();
    std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o755)).unwrap();
    let (at, bound) = (place.dir("mnt"), place.dir("bound"));
    let base = format!("dir:{}", place.dir("base").display());
    let run = |commands: &[&str]| {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/command/idmap.py");
        let mut python = Command::new("python3");
        let output = python.arg(script).args([&at, &bound]).args(commands).output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        String::from_utf8(told).unwrap()
    };
    for base in ["mem:", &base] {
        mount(&["-o", "allow_idmap", base, at.to_str().unwrap()]);
        std::fs::write(at.join("f"), "its own\n").unwrap();
        for (name, mode) in [("f", 0o600), ("", 0o700)] {
            std::os::unix::fs::chown(at.join(name), Some(1000), Some(1000)).unwrap();
            std::fs::set_permissions(at.join(name), PermissionsExt::from_mode(mode)).unwrap();
        }
        let told = run(&[
            "cat f; mkdir d; echo x > d/g; stat -c '%n %u %g' f d d/g; mv d/g d/h; ln f d/l; ls d",
            "chmod 640 f && rm -r d && ls; chown 0 f 2>&1 | grep -o 'not permitted'",
        ]);
        let expected = "its own\nf 2000 2000\nd 2000 2000\nd/g 2000 2000\nh\nl\nf\nnot permitted\n";
        assert_eq!(told, expected, "{base}");
        let below = std::fs::metadata(at.join("f")).unwrap();
        assert_eq!((below.uid(), below.mode() & 0o777), (1000, 0o640), "{base}");
        umount(&at);
    }
    mount(&["mem:", at.to_str().unwrap()]);
    assert_eq!(run(&["true"]), "mount_setattr: Invalid argument\n", "it was not allowed");
    umount(&at);
}

#[test]
fn noatime_leaves_access_times_alone() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let (base, at) = (place.dir("base"), place.dir("mnt"));
    let old = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    let times = std::fs::FileTimes::new().set_accessed(old);
    std::fs::write(base.join("f"), "x").unwrap();
    let accessed = || std::fs::metadata(base.join("f")).unwrap().accessed().unwrap();
    for (option, stays) in [("noatime", true), ("atime", false)] {
        std::fs::File::open(base.join("f")).unwrap().set_times(times).unwrap();
        let dir = format!("dir:{}", base.display());
        mount(&["-o", option, &dir, at.to_str().unwrap()]);
        assert_eq!(std::fs::read_to_string(at.join("f")).unwrap(), "x");
        umount(&at);
        assert_eq!(accessed() == old, stays, "{option}");
    }
}

#[test]
fn auto_unmount_takes_the_mount_of_a_killed_server_away() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let guardians = || {
        let shown = at.to_str().unwrap().as_bytes();
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        let lines = processes.filter_map(|p| std::fs::read(p.path().join("cmdline")).ok());
        lines
            .filter(|l| l.starts_with(b"filo-guardian\0"))
            .filter(|l| l.windows(shown.len()).any(|w| w == shown))
            .count()
    };
    mount(&["-o", "auto_unmount", "mem:", at.to_str().unwrap()]);
    assert_eq!(guardians(), 1);
    let pid = i32::try_from(server_of(&at).unwrap()).unwrap();
    kill_process(Pid::from_raw(pid).unwrap(), Signal::KILL).unwrap();
    eventually("the mount is gone", || !is_mounted(&at));
    eventually("its guardian too", || guardians() == 0);
    // And it is no process too many where all goes well.
    mount(&["-o", "auto_unmount", "mem:", at.to_str().unwrap()]);
    umount(&at);
    assert_eq!(guardians(), 0);
}

#[test]
fn a_signal_right_after_the_start_leaves_no_mount() {
    if !can_mount() {
        return;
    }
    let place = Place::new();
    let at = place.dir("mnt");
    let socket = place.0.join("notify");
    let notified = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    for _ in 0..10 {
        let mut child = Command::new(FILO)
            .args(["mount", "-f", "mem:", at.to_str().unwrap()])
            .env("NOTIFY_SOCKET", &socket)
            .spawn()
            .unwrap();
        let mut told = [0; 64];
        let len = notified.recv(&mut told).unwrap();
        assert_eq!(&told[..len], b"READY=1\n");
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::TERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(!is_mounted(&at));
    }
}
