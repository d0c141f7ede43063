//! What goes wrong, what is noticed, and what is left: nothing.

use crate::ground::{FOREVER, Ground, able, ends, has_device, installed, serves};
use filofs_server::attach::{AttachError, Way};
use filofs_server::channel::Arrival;
use filofs_server::launch::LaunchError;
use rustix::process::geteuid;
use std::ffi::OsStr;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// Set in the environment of the tests that run as an ordinary user.
const USER: &str = "FILO_TEST_USER";

/// Set in the environment of the test that runs where there are no namespaces to be had.
const BARE: &str = "FILO_TEST_BARE";

pub fn a_program_that_is_not_there() {
    let ground = Ground::new();
    for command in ["no-such-program {}", "@/no-such-program {}"] {
        let refused = ground.refused(command);
        let missing = matches!(&refused, AttachError::Launch(LaunchError::NotFound { .. }));
        assert!(missing, "{refused:?}");
        assert!(refused.to_string().contains("no-such-program"), "{refused}");
    }
}

pub fn a_program_that_ends_at_once() {
    let ground = Ground::new();
    ground.script("fails", "echo one >&2; echo \"cannot do $1\" >&2; exit 7");
    let refused = ground.refused("@/fails 'this thing' {}");
    let text = refused.to_string();
    assert!(text.contains("fails ended") && text.contains("cannot do this thing"), "{text}");
    assert!(text.contains('7') && !text.contains('\n'), "{text}");
    // Also if it is content with itself.
    ground.script("ends", "exit 0");
    let text = ground.refused("@/ends {}").to_string();
    assert!(text.contains("ends ended"), "{text}");
}

pub fn a_program_that_never_mounts() {
    let ground = Ground::new();
    ground.script("sleeps", "echo let me sleep >&2; exec sleep 1000");
    let mut foreign = ground.foreign("@/sleeps {}");
    foreign.patience = Duration::from_secs(1);
    let refused = foreign.start().map(drop).unwrap_err();
    assert!(matches!(refused, AttachError::NeverAsked { .. }), "{refused:?}");
    let text = refused.to_string();
    assert!(text.contains("1 s") && text.contains("let me sleep"), "{text}");
}

pub fn a_program_may_do_things_first() {
    if !(installed("bindfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    // The mount point is an empty private directory, where nothing is mounted.
    ground.script(
        "careful",
        "[ -z \"$(ls -A \"$2\")\" ] || exit 3\n\
         [ \"$(stat -c %a \"$2\")\" = 700 ] || exit 4\n\
         exec bindfs -f \"$1\" \"$2\"",
    );
    let attached = ground.attach("@/careful @/source {}");
    serves(&attached);
    ends(&attached);
}

/// A program that mounts and unmounts as go-fuse does: through PATH, and without an environment.
const LIKE_GO: &str = r"
import array, shutil, socket, subprocess, sys

at = sys.argv[1]
helper = shutil.which('fusermount3')
ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
number = theirs.fileno()
words = [helper, at, '-o', 'ro']
subprocess.run(words, check=True, env={'_FUSE_COMMFD': str(number)}, pass_fds=[number])
byte, control, _, _ = ours.recvmsg(4, socket.CMSG_SPACE(4))
assert byte == b'\0'
device = socket.socket(fileno=array.array('i', control[0][2])[0])
open(at + '/.go-fuse-epoll-hack').close()
assert len(device.recv(1 << 20)) == 64
subprocess.run([helper, '-u', at], check=True, env={})
assert device.recv(1 << 20) == b''
print('all is well')
";

/// go-fuse unmounts with fusermount3 when it is asked to end; so does libfuse for ordinary users.
pub fn unmounting_is_noticed() {
    let ground = Ground::new();
    fs::write(ground.path("like_go.py"), LIKE_GO).unwrap();
    if !has_python() {
        return;
    }
    let attached = ground.attach("python3 @/like_go.py {}");
    assert!(attached.guest.options.read_only());
    assert!(!attached.guest.has_unmounted());
    attached.channel.send(&[std::io::IoSlice::new(&[0; 64])]).unwrap();
    let mut room = [0; 64];
    let end = attached.channel.receive(&mut room, true);
    let ended = attached.guest.running.wait_at_most(FOREVER);
    let words = attached.guest.running.last_words();
    assert!(matches!(end, Arrival::End), "{end:?}: {words}");
    assert!(ended.unwrap().success() && words.contains("all is well"), "{words}");
    assert!(attached.guest.has_unmounted());
}

pub fn the_stand_in_says_what_is_wrong() {
    let ground = Ground::new();
    for (line, part) in [
        ("fusermount3 -o ro -- \"$1\"", "_FUSE_COMMFD is not set"),
        ("_FUSE_COMMFD=0 fusermount3 -o ro -- \"$1\"", "_FUSE_COMMFD"),
        ("_FUSE_COMMFD=x fusermount -o ro -- \"$1\"", "_FUSE_COMMFD is no number"),
        ("fusermount3 -o ro", "no mount point"),
        ("fusermount3 -u /usr", "/usr is no mount point of filo"),
        ("fusermount3 -u \"$1\"", "nothing is mounted"),
        ("mergerfs-fusermount --version; false", "version"),
    ] {
        ground.script("program", line);
        let text = ground.refused("@/program {}").to_string();
        assert!(text.contains(part), "{line}: {text}");
    }
}

pub fn nothing_is_left() {
    if !(installed("bindfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    let mounts = || fs::read_to_string("/proc/self/mounts").unwrap();
    let before = mounts();
    ground
        .script("notes", &format!("echo \"$2\" >{}/where; exec bindfs \"$@\"", ground.0.display()));
    let attached = ground.attach("@/notes @/source {}");
    serves(&attached);
    let at = fs::read_to_string(ground.path("where")).unwrap();
    let (at, place) = (at.trim(), Path::new(at.trim()).parent().unwrap());
    assert!(place.exists() && !users_of(at).is_empty(), "{at}");
    assert!(!mounts().contains(at), "mounted: {}", mounts());
    drop(attached);
    assert!(!place.exists(), "{} is left", place.display());
    assert_eq!(users_of(at), Vec::<String>::new());
    assert!(!mounts().contains(at) && mounts().contains(before.lines().next().unwrap()));
}

/// The command lines of processes that have that word in it.
fn users_of(word: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap();
    let lines = entries.filter_map(|entry| fs::read(entry.ok()?.path().join("cmdline")).ok());
    let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
    lines.filter(|line| line.contains(word)).collect()
}

pub fn strict_sandbox() {
    if !(installed("bindfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    // The mount point is its own; what filo has put beside it is not.
    ground.script(
        "careful",
        "echo >\"$2/mine\" || exit 3\n\
         rm \"$2/mine\" || exit 4\n\
         ln -s / \"${2%/mnt}/link\" 2>/dev/null && exit 5\n\
         mv \"${2%/mnt}/bin\" \"${2%/mnt}/moved\" 2>/dev/null && exit 6\n\
         exec bindfs -f \"$1\" \"$2\"",
    );
    let mut foreign = ground.foreign("@/careful @/source {}");
    for (name, value) in [("sandbox", OsStr::new("strict")), ("allow", ground.0.as_os_str())] {
        foreign.sandbox.set(name, value).unwrap();
    }
    match foreign.start() {
        Ok(attached) => {
            attached.channel.patience(FOREVER).unwrap();
            serves(&attached);
            ends(&attached);
        }
        Err(AttachError::Launch(LaunchError::Sandbox { what })) => {
            able(&format!("all of a strict sandbox ({what})"), false, false);
        }
        Err(error) => panic!("{error}"),
    }
}

pub fn no_sandbox() {
    if !(installed("bindfs") && has_device()) {
        return;
    }
    let ground = Ground::new();
    let mut foreign = ground.foreign("bindfs @/source {}");
    foreign.sandbox.set("sandbox", "off".as_ref()).unwrap();
    let attached = foreign.start().unwrap();
    attached.channel.patience(FOREVER).unwrap();
    serves(&attached);
    ends(&attached);
}

/// A program that takes a descriptor for a mount point, and sends what it gets back.
const ON_DESCRIPTOR: &str = "
import socket, sys

assert sys.argv[1] == '/dev/fd/3', sys.argv
device = socket.socket(fileno=3)
device.send(device.recv(1 << 20))
";

/// The name of the next test.
const WITHOUT: &str = "ways::without_namespaces_auto_means_a_descriptor";

pub fn without_namespaces_auto_means_a_descriptor() {
    if !has_python() {
        return;
    }
    let ground = Ground::new();
    if std::env::var_os(BARE).is_none() {
        // A user namespace in which no more namespaces can be made, namespaces(7).
        let bare = "for kind in user mnt pid; do \
                    echo 0 >/proc/sys/user/max_${kind}_namespaces || exit 77; \
                    done; exec \"$@\"";
        let run = Command::new("unshare")
            .args(["--user", "--map-root-user", "sh", "-c", bare, "sh"])
            .arg(std::env::current_exe().unwrap())
            .args(["--exact", WITHOUT])
            .env(BARE, "1")
            .output();
        let run = run.ok().filter(|run| run.status.code() != Some(77));
        if able("unshare(1) and user namespaces", run.is_some(), false) {
            let run = run.unwrap();
            let text = String::from_utf8_lossy(&run.stdout);
            assert!(run.status.success(), "{text}{}", String::from_utf8_lossy(&run.stderr));
            assert!(text.contains("1 passed"), "{text}");
        }
        return;
    }
    fs::write(ground.path("program.py"), ON_DESCRIPTOR).unwrap();
    let mut foreign = ground.foreign("python3 @/program.py {}");
    let attached = foreign.start().unwrap();
    attached.channel.patience(FOREVER).unwrap();
    attached.channel.send(&[std::io::IoSlice::new(b"hello")]).unwrap();
    let mut room = [0; 64];
    let answer = attached.channel.receive(&mut room, true);
    let words = attached.guest.running.last_words();
    assert!(matches!(answer, Arrival::Message(5, None)), "{answer:?} {words}");
    foreign.way = Way::StandIn;
    let refused = foreign.start().map(drop).unwrap_err();
    let namespace = matches!(&refused, AttachError::Launch(LaunchError::Namespace { .. }));
    assert!(namespace, "{refused:?}");
}

/// Whether there is a Python to write programs in.
fn has_python() -> bool {
    able("python3", Path::new("/usr/bin/python3").exists(), false)
}

/// Everything here again, without a right. Programs that need a mount namespace get one inside a
/// user namespace.
pub fn all_of_this_as_an_ordinary_user() {
    if std::env::var_os(USER).is_some() || !able("root", geteuid().is_root(), true) {
        return;
    }
    // The program may lie where an ordinary user does not come.
    let ground = Ground::new();
    let program = ground.path("tests");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    fs::set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    let run = Command::new(&program)
        .uid(65534)
        .gid(65534)
        .env(USER, "1")
        .env("HOME", &ground.0)
        .env_remove("FILO_REQUIRE")
        .current_dir("/")
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{text}\n{}", String::from_utf8_lossy(&run.stderr));
    assert!(text.contains("test ways::unmounting_is_noticed "), "{text}");
}
