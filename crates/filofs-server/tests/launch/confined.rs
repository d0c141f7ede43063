//! What a program finds, and what it may do.

use crate::ground::{
    Place, end, guest, has_namespaces, is_root, own_program, processes_with, said, sandbox, shell,
    skip, token, until,
};
use crate::guest::GUEST;
use filofs_server::launch::{Program, hide};
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::thread::{CapabilitySet, capabilities};
use std::fs::File;
use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{SocketAddr, UnixListener};
use std::path::PathBuf;

/// The profiles that can be had here.
fn profiles(test: &str) -> &'static [&'static str] {
    let all = &["off", "loose", "strict"];
    if has_namespaces(test) { all } else { &all[..2] }
}

pub(crate) fn descriptors_are_exactly_those_given() {
    // Somebody forgets to mark a descriptor.
    let leaked = rustix::io::dup(File::open("/dev/zero").unwrap()).unwrap();
    for profile in profiles("descriptors") {
        let profile = sandbox(&[&format!("sandbox={profile}")]);
        let text = said(guest("descriptors").sandbox(profile.clone()));
        assert_eq!(text, "0 /dev/null\n1 pipe\n2 pipe\n");
        let (_ours, theirs) = pair();
        let text = said(guest("descriptors").sandbox(profile).channel(theirs));
        assert_eq!(text, "0 /dev/null\n1 pipe\n2 pipe\n3 socket\n");
    }
    drop(leaked);
}

fn pair() -> (rustix::fd::OwnedFd, rustix::fd::OwnedFd) {
    socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None).unwrap()
}

pub(crate) fn rights_are_those_of_the_profile() {
    let for_callers = CapabilitySet::CHOWN
        | CapabilitySet::DAC_OVERRIDE
        | CapabilitySet::DAC_READ_SEARCH
        | CapabilitySet::FOWNER
        | CapabilitySet::FSETID
        | CapabilitySet::SETUID
        | CapabilitySet::SETGID
        | CapabilitySet::SETFCAP
        | CapabilitySet::MKNOD
        | CapabilitySet::LINUX_IMMUTABLE;
    let ours = capabilities(None).unwrap().effective;
    for profile in profiles("rights") {
        let script = "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status";
        let text = said(shell(script).sandbox(sandbox(&[&format!("sandbox={profile}")])));
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            u64::from_str_radix(line.trim(), 16).unwrap()
        };
        let most = match *profile {
            "off" => CapabilitySet::all(),
            "loose" => for_callers,
            _ => for_callers - CapabilitySet::MKNOD,
        };
        assert_eq!(field("CapEff:"), (ours & most).bits(), "{profile}: {text}");
        assert_eq!(field("CapPrm:"), (ours & most).bits(), "{profile}: {text}");
        assert_eq!(field("CapInh:"), 0, "{profile}: {text}");
        assert_eq!(field("CapAmb:"), 0, "{profile}: {text}");
        if is_root() && *profile != "off" {
            assert_eq!(field("CapBnd:") & !most.bits(), 0, "{profile}: {text}");
        }
        let confined = u64::from(*profile != "off");
        assert_eq!(field("NoNewPrivs:"), confined, "{profile}: {text}");
        assert_eq!(field("Seccomp:"), 2 * confined, "{profile}: {text}");
    }
}

pub(crate) fn what_no_server_needs_is_refused() {
    for profile in profiles("refused").iter().skip(1) {
        let text = said(guest("refused").sandbox(sandbox(&[&format!("sandbox={profile}")])));
        assert!(text.lines().count() > 20, "{text}");
        for line in text.lines() {
            assert!(line.ends_with(": 1"), "{profile}: {line} is not EPERM");
        }
    }
}

pub(crate) fn what_servers_need_is_allowed() {
    for profile in profiles("allowed").iter().skip(1) {
        let text = said(guest("allowed").sandbox(sandbox(&[&format!("sandbox={profile}")])));
        // The last is clone3, which is there for nobody.
        assert_eq!(text, format!("[0, 0, 0] {}\n", libc::ENOSYS), "{profile}");
    }
}

pub(crate) fn strict_has_no_rings() {
    if has_namespaces("rings") {
        let text = said(guest("rings").sandbox(sandbox(&["sandbox=strict"])));
        assert_eq!(text, format!("io_uring_setup: {}\n", libc::ENOSYS));
    }
}

/// That the test of what is refused would notice.
pub(crate) fn without_a_sandbox_calls_are_not_refused() {
    assert_eq!(said(guest("trace").sandbox(sandbox(&["sandbox=off"]))), "ptrace: 0\n");
}

pub(crate) fn namespaces_are_its_own() {
    if !has_namespaces("namespaces") {
        return;
    }
    let kinds = ["cgroup", "ipc", "mnt", "net", "pid", "uts"];
    let script = format!("cd /proc/self/ns; for n in {}; do readlink $n; done", kinds.join(" "));
    let own = |kind: &&str| {
        let link = std::fs::read_link(format!("/proc/self/ns/{kind}")).unwrap();
        link.to_str().unwrap().to_owned()
    };
    for (words, shared) in [
        (&["sandbox=off"][..], &kinds[..]),
        (&["sandbox=loose"], &["net"]),
        (&["sandbox=loose", "net=no"], &[]),
        (&["sandbox=strict"], &[]),
        (&["sandbox=strict", "net=yes"], &["net"]),
    ] {
        let text = said(shell(&script).sandbox(sandbox(words)));
        assert_eq!(text.lines().count(), kinds.len());
        for (kind, found) in kinds.iter().zip(text.lines()) {
            assert_eq!(own(kind) == found, shared.contains(kind), "{words:?}: {kind}");
        }
    }
}

pub(crate) fn it_sees_only_its_own_processes() {
    if has_namespaces("processes") {
        let text = said(shell("echo /proc/[0-9]* | wc -w; cat /proc/1/comm; kill -9 1; echo on"));
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].parse::<u32>().unwrap() <= 5, "{text}");
        assert_eq!(lines[1], "filo-keeper");
        // The first process there is ours, and not to be killed from inside.
        assert_eq!(lines.last(), Some(&"on"), "{text}");
        // It has more rights, and is not to be looked into.
        let running = shell("ls -l /proc/1/fd/ && cat /proc/1/environ").start().unwrap();
        assert!(!end(&running).success(), "{}", running.last_words());
        assert!(running.last_words().contains("denied"), "{}", running.last_words());
    }
}

pub(crate) fn binds_are_seen_inside_alone() {
    if !has_namespaces("binds") {
        return;
    }
    let place = Place::new();
    let (inside, outside) =
        (place.file("in", "inside\n", 0o644), place.file("out", "out\n", 0o644));
    for profile in ["off", "loose", "strict"] {
        let mut words = sandbox(&[&format!("sandbox={profile}")]);
        if profile == "strict" {
            words.set("read", place.0.as_os_str()).unwrap();
        }
        let script = format!("cat {}; echo ready; exec sleep 1000", outside.display());
        let running = shell(&script).sandbox(words).bind(&inside, &outside).start().unwrap();
        until("the program reads", || running.last_words().contains("ready"));
        assert_eq!(running.last_words(), "inside\nready\n", "{profile}");
        assert_eq!(std::fs::read_to_string(&outside).unwrap(), "out\n");
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        assert!(!mounts.contains(place.0.to_str().unwrap()), "{mounts}");
    }
}

/// A mount of ours, gone at the end.
struct Mounted(PathBuf);

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

pub(crate) fn what_is_hidden_is_not_kept_in_use() {
    if !is_root() || !has_namespaces("hiding") {
        return skip("hiding", "root");
    }
    let place = Place::new();
    let mounted = Mounted(place.folder("mounted"));
    mount("none", &mounted.0, "tmpfs", MountFlags::empty(), None).unwrap();
    let seen = format!("grep -c {} /proc/self/mounts || :", mounted.0.display());
    assert_eq!(said(shell(&seen)), "1\n");
    let hidden = hide(&mounted.0);
    assert_eq!(said(shell(&seen)), "0\n");
    drop(hidden);
    assert_eq!(said(shell(&seen)), "1\n");
    let _hidden = hide(&mounted.0);
    assert_eq!(said(shell(&seen)), "0\n");
    // Nor are what is hidden and not mounted, and programs without a namespace, in the way.
    drop(mounted);
    assert_eq!(said(shell(&seen)), "0\n");
    assert_eq!(said(shell(&seen).sandbox(sandbox(&["sandbox=off"]))), "0\n");
}

pub(crate) fn without_a_sandbox_it_can_still_not_mount() {
    if has_namespaces("mounting") {
        let script = "grep CapEff /proc/self/status";
        let off = sandbox(&["sandbox=off"]);
        let text = said(shell(script).sandbox(off).needs_mount_namespace());
        let bits = u64::from_str_radix(text.trim().trim_start_matches("CapEff:").trim(), 16);
        assert_eq!(bits.unwrap() & CapabilitySet::SYS_ADMIN.bits(), 0, "{text}");
    }
}

pub(crate) fn strict_reads_and_writes_what_is_allowed() {
    if !has_namespaces("strict") {
        return;
    }
    let place = Place::new();
    let (free, read) = (place.folder("free"), place.folder("read"));
    std::fs::write(free.join("file"), "free\n").unwrap();
    std::fs::write(read.join("file"), "read\n").unwrap();
    place.file("secret", "secret\n", 0o644);
    let mut strict = sandbox(&["sandbox=strict"]);
    strict.set("allow", free.as_os_str()).unwrap();
    strict.set("read", read.as_os_str()).unwrap();
    for (script, works) in [
        ("cat free/file", true),
        ("echo more > free/new && mv free/new free/newer && rm free/newer", true),
        ("cat read/file", true),
        ("echo more > read/file", false),
        ("rm -f read/file", false),
        ("mv free/file read/other", false),
        ("cat secret", false),
        ("ls .", false),
        ("echo > new", false),
        ("cat /proc/self/status /etc/passwd > /dev/null", true),
        ("cat /etc/shadow /etc/hostname", false),
        ("ls /var", false),
        ("ls /tmp", false),
    ] {
        let script = format!("cd {} && {script}", place.0.display());
        let running = shell(&script).sandbox(strict.clone()).start().unwrap();
        let status = end(&running);
        assert_eq!(status.success(), works, "{script}: {status}: {}", running.last_words());
    }
    assert_eq!(std::fs::read_to_string(read.join("file")).unwrap(), "read\n");
    // The same without the sandbox, but for what rights forbid anyway.
    let script = format!("cat {}/secret", place.0.display());
    assert_eq!(said(shell(&script)), "secret\n");
}

pub(crate) fn strict_does_not_listen() {
    if !has_namespaces("listening") {
        return;
    }
    let text = |words: &[&str]| said(guest("bind").sandbox(sandbox(words)));
    assert_eq!(text(&["sandbox=loose"]), "Ok(())\n");
    let refused = text(&["sandbox=strict", "net=yes"]);
    assert!(refused.contains("PermissionDenied"), "{refused}");
}

pub(crate) fn nothing_outside_is_reached() {
    let place = Place::new();
    let (secret, folder) = (place.file("secret", "secret\n", 0o644), place.folder("free"));
    std::fs::set_permissions(&folder, std::fs::Permissions::from_mode(0o777)).unwrap();
    let name = format!("filo-{}", token());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let _named = UnixListener::bind_addr(&address).unwrap();
    let network = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = network.local_addr().unwrap().port().to_string();
    let own = std::process::id().to_string();
    let (secret, free) = (secret.display().to_string(), folder.display().to_string());
    for profile in profiles("escape") {
        let mut words = sandbox(&[&format!("sandbox={profile}")]);
        if *profile == "strict" {
            words.set("allow", folder.as_os_str()).unwrap();
        }
        let arguments = [own_program(), GUEST.into(), "escape".into(), own.clone(), name.clone()];
        let rest = [port.clone(), secret.clone(), free.clone()];
        let text = said(Program::new("escape", arguments.into_iter().chain(rest)).sandbox(words));
        let reached = |what: &str| {
            let line = text.lines().find_map(|line| line.strip_prefix(what));
            line.unwrap_or_else(|| panic!("{what}: {text}")) == ": 0"
        };
        let _ = std::fs::remove_file(folder.join("device"));
        let (off, strict) = (*profile == "off", *profile == "strict");
        assert_eq!(reached("kill"), off, "{profile}: {text}");
        assert_eq!(reached("connect"), off, "{profile}: {text}");
        assert_eq!(reached("network"), !strict, "{profile}: {text}");
        assert_eq!(reached("raw"), off && is_root(), "{profile}: {text}");
        assert_eq!(reached("device"), !strict && is_root(), "{profile}: {text}");
        assert_eq!(reached("handle"), !strict && is_root(), "{profile}: {text}");
    }
}

pub(crate) fn limits_are_set() {
    let script = "ulimit -c; ulimit -n; ulimit -Hn; ulimit -d; cat /proc/self/oom_score_adj";
    let text = said(shell(script).sandbox(sandbox(&["memory=64M"])));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "0");
    let hard = lines[2].parse().unwrap_or(u64::MAX);
    assert!(lines[1].parse().unwrap_or(u64::MAX) >= hard.min(1 << 20), "{text}");
    assert_eq!(lines[3], "65536");
    let ours = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    let ours: i32 = ours.trim().parse().unwrap();
    assert_eq!(lines[4].parse::<i32>().unwrap(), (ours + 100).min(1000));
}

/// An interrupt at the terminal goes to a whole session's foreground; it is for us alone.
pub(crate) fn it_is_not_in_our_session() {
    // Session and terminal, proc_pid_stat(5). Ours is read as text too: it is 0 where the leader is
    // outside our PID namespace, as in a container, and is then no process id to a library.
    let text = said(shell("cut -d' ' -f6,7 /proc/self/stat").sandbox(sandbox(&["sandbox=off"])));
    let (session, terminal) = text.trim().split_once(' ').unwrap();
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    // The name may hold anything, a parenthesis too; what follows the last one is plain.
    let ours = stat.rsplit(')').next().unwrap().split_whitespace().nth(3).unwrap();
    assert_ne!(session, ours);
    assert_ne!(session, "0", "its leader is one of ours");
    assert_eq!(terminal, "0");
}

pub(crate) fn the_environment_is_passed_on() {
    let secret = token();
    let program = shell("echo $PATH; echo $EXTRA; exec sleep 1000");
    let running = program.env("EXTRA", format!("1000{secret}")).start().unwrap();
    until("it speaks", || running.last_words().lines().count() == 2);
    let path = std::env::var("PATH").unwrap();
    assert_eq!(running.last_words(), format!("{path}\n1000{secret}\n"));
    // Anybody may read arguments, so it is in those of no process on the way.
    assert_eq!(processes_with(&secret), 0);
}
