//! What the started programs of these tests do: this program once more.
#![allow(unsafe_code)]

use crate::ground::DEADLINE;
use filofs_server::launch::{Program, Sandbox};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType, ipproto, socketpair};
use rustix::process::Pid;
use std::ffi::CString;
use std::io::Write;
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::process::ExitCode;

/// The first argument of a guest; the second says which.
pub(crate) const GUEST: &str = "guest";

/// Calls that no sandbox allows, tried with zeros.
const REFUSED: &[(&str, libc::c_long)] = &[
    ("mount", libc::SYS_mount),
    ("umount2", libc::SYS_umount2),
    ("pivot_root", libc::SYS_pivot_root),
    ("fsopen", libc::SYS_fsopen),
    ("open_tree", libc::SYS_open_tree),
    ("move_mount", libc::SYS_move_mount),
    ("ptrace", libc::SYS_ptrace),
    ("process_vm_readv", libc::SYS_process_vm_readv),
    ("pidfd_getfd", libc::SYS_pidfd_getfd),
    ("setns", libc::SYS_setns),
    ("bpf", libc::SYS_bpf),
    ("perf_event_open", libc::SYS_perf_event_open),
    ("userfaultfd", libc::SYS_userfaultfd),
    ("keyctl", libc::SYS_keyctl),
    ("add_key", libc::SYS_add_key),
    ("init_module", libc::SYS_init_module),
    ("kexec_load", libc::SYS_kexec_load),
    ("quotactl", libc::SYS_quotactl),
    ("clock_settime", libc::SYS_clock_settime),
    #[cfg(target_arch = "x86_64")]
    ("iopl", libc::SYS_iopl),
    #[cfg(target_arch = "x86_64")]
    ("ptrace", libc::SYS_ptrace | 0x4000_0000),
    #[cfg(target_arch = "x86_64")]
    ("ptrace of x32", 0x4000_0209),
];

/// Is a guest, if the arguments say so.
pub(crate) fn life() -> Option<ExitCode> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, guest, what, rest @ ..] = arguments.as_slice() else { return None };
    if guest != GUEST {
        return None;
    }
    match (what.as_str(), rest) {
        ("descriptors", []) => descriptors(),
        ("refused", []) => refused(),
        ("allowed", []) => allowed(),
        ("rings", []) => say("io_uring_setup", call(libc::SYS_io_uring_setup, 0)),
        ("trace", []) => say("ptrace", call(libc::SYS_ptrace, 0)),
        ("bind", []) => println!("{:?}", std::net::TcpListener::bind("127.0.0.1:0").map(drop)),
        ("escape", [pid, name, port, secret, folder]) => escape(pid, name, port, secret, folder),
        ("often", []) => often(),
        ("starter", [profile, token]) => starter(profile, token),
        _ => return Some(ExitCode::from(2)),
    }
    Some(ExitCode::SUCCESS)
}

fn descriptors() {
    let mut lines = Vec::new();
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let entry = entry.unwrap();
        let target = std::fs::read_link(entry.path()).unwrap();
        // The one that this listing is read from.
        if !target.ends_with("fd") {
            let target = target.display().to_string();
            let kind = target.split(':').next().unwrap().to_owned();
            lines.push(format!("{} {kind}", entry.file_name().display()));
        }
    }
    lines.sort();
    println!("{}", lines.join("\n"));
}

fn refused() {
    for (name, number) in REFUSED {
        say(name, call(*number, 0));
    }
    for flag in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWNET] {
        say("unshare", call(libc::SYS_unshare, flag.into()));
        // Without a signal for the parent; it would be a new process if it were allowed.
        say("clone", call(libc::SYS_clone, flag.into()));
    }
    let (pipe, _other_end) = rustix::pipe::pipe().unwrap();
    let grown = rustix::pipe::fcntl_setpipe_size(&pipe, 1 << 17);
    say("a larger pipe", grown.map_or_else(Errno::raw_os_error, |_| 0));
}

fn allowed() {
    let mut allowed = vec![call(libc::SYS_unshare, libc::CLONE_FS.into())];
    allowed.push(std::thread::spawn(|| 0).join().unwrap());
    allowed.push(std::process::Command::new("true").status().unwrap().code().unwrap());
    println!("{allowed:?} {}", call(libc::SYS_clone3, 0));
}

/// Tries to get at what is outside: a process, a socket by name, a network, a raw one, a device,
/// a file by its handle.
fn escape(pid: &str, name: &str, port: &str, secret: &str, folder: &str) {
    let tell = |what: &str, errno: Option<i32>| say(what, errno.unwrap_or(0));
    let outside = Pid::from_raw(pid.parse().unwrap()).unwrap();
    let killed = rustix::process::test_kill_process(outside);
    tell("kill", killed.err().map(Errno::raw_os_error));
    let address = SocketAddr::from_abstract_name(name).unwrap();
    let connected = UnixStream::connect_addr(&address);
    tell("connect", connected.err().and_then(|e| e.raw_os_error()));
    let connected = TcpStream::connect(format!("127.0.0.1:{port}"));
    tell("network", connected.err().and_then(|e| e.raw_os_error()));
    let raw = rustix::net::socket(AddressFamily::INET, SocketType::RAW, Some(ipproto::ICMP));
    tell("raw", raw.err().map(Errno::raw_os_error));
    let made = rustix::fs::mknodat(
        rustix::fs::CWD,
        format!("{folder}/device"),
        rustix::fs::FileType::BlockDevice,
        rustix::fs::Mode::RUSR,
        rustix::fs::makedev(7, 0),
    );
    tell("device", made.err().map(Errno::raw_os_error));
    tell("handle", by_handle(secret, folder));
}

/// The errno of opening a file by its handle, over another one of the same file system.
fn by_handle(secret: &str, folder: &str) -> Option<i32> {
    // struct file_handle of open_by_handle_at(2): length, type, and so many bytes.
    let mut handle = [0_u32; 34];
    handle[0] = 128;
    let mut mount = 0;
    let secret = CString::new(secret).unwrap();
    let over = std::fs::File::open(folder).unwrap();
    // SAFETY: the path is a C string, the handle has room for what it says, and the mount id is
    // an integer of ours.
    let known = unsafe {
        let handle = handle.as_mut_ptr().cast();
        libc::name_to_handle_at(libc::AT_FDCWD, secret.as_ptr(), handle, &raw mut mount, 0)
    };
    assert_eq!(known, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: the handle was just filled in.
    let opened = unsafe {
        libc::open_by_handle_at(over.as_raw_fd(), handle.as_mut_ptr().cast(), libc::O_RDONLY)
    };
    if opened < 0 { std::io::Error::last_os_error().raw_os_error() } else { None }
}

/// Starts many programs, one after the other, in all ways that they end.
fn often() {
    let open = || std::fs::read_dir("/proc/self/fd").unwrap().count();
    let before = open();
    for _ in 0..20 {
        drop(Program::new("killed", ["sleep", "1000"]).start().unwrap());
        let ended = Program::new("ended", ["sh", "-c", "echo; exit 3"]).start().unwrap();
        assert!(ended.wait_at_most(DEADLINE).is_some());
        drop(ended);
        let (_ours, channel) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            rustix::net::SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        Program::new("missing", ["/no/such"]).channel(channel).start().unwrap_err();
    }
    let children = std::fs::read_to_string("/proc/thread-self/children").unwrap();
    println!("{} more descriptors, children: '{children}'", open() - before);
}

/// Starts a program and waits to be killed.
fn starter(profile: &str, token: &str) {
    let mut sandbox = Sandbox::default();
    sandbox.set("sandbox", profile.as_ref()).unwrap();
    let script = format!("setsid sleep 1000{token} & sleep 1000{token}");
    let running = Program::new("kept", ["sh", "-c", &script]).sandbox(sandbox).start().unwrap();
    println!("ready");
    std::io::stdout().flush().unwrap();
    running.wait_at_most(DEADLINE);
}

fn say(name: &str, errno: i32) {
    println!("{name}: {errno}");
}

/// The errno of a system call; 0 if it has none.
fn call(number: libc::c_long, first: libc::c_long) -> i32 {
    let zero: libc::c_long = 0;
    // SAFETY: every pointer is null and every length zero, which no call dereferences.
    let result = unsafe { libc::syscall(number, first, zero, zero, zero, zero, zero) };
    if result < 0 { std::io::Error::last_os_error().raw_os_error().unwrap_or(0) } else { 0 }
}
