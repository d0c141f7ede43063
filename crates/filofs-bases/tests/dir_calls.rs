//! The system calls of `dir`, operation by operation, as strace(1) sees them: one more is noticed.

#![allow(missing_docs, clippy::unwrap_used)]

use filofs::{
    Context, Cookie, DirEntry, DirOffset, DirSink, Entry, FileSystem, Full, Gid, MakeHow, Name,
    Node, Open, OpenFlags, OpenHow, RenameFlags, SetAttr, SliceSource, Uid, VecSink, WriteFlags,
    XattrFlags,
};
use filofs_bases::dir::{Dir, DirOptions};
use std::path::{Path, PathBuf};
use std::process::Command;

const CHILD: &str = "FILO_TEST_CALLS";

/// What marks an operation in the trace: a file that is asked for and not there.
const MARK: &str = "/filo-calls/";

/// Calls that an allocator or a lock makes, now and then. (F_GETFD is how the standard library
/// assures itself, where it is built for debugging.)
const NOISE: [&str; 7] = ["brk", "mmap", "munmap", "mremap", "madvise", "mprotect", "futex"];

/// Each operation with all calls it makes, first for the super-user, then for others.
const EXPECTED: &[(&str, &[&str])] = &[
    ("lookup: new", &["statx"]),
    ("lookup: known", &["statx"]),
    ("lookup: missing", &["statx"]),
    ("getattr: by name", &["statx"]),
    ("getattr: open", &["statx"]),
    ("open", &["openat2", "statx"]),
    ("getxattr: open", &["fgetxattr"]),
    ("setxattr: open", &["fsetxattr"]),
    ("listxattr: open", &["flistxattr"]),
    ("removexattr: open", &["fremovexattr"]),
    ("chown: open", &["fchownat", "statx"]),
    ("release", &["close"]),
    ("getxattr: first", &["openat2", "statx", "getxattrat"]),
    ("read", &["pread64"]),
    ("write", &["pwrite64"]),
    ("create", &["openat", "statx"]),
    ("mkdir", &["mkdirat", "statx"]),
    ("symlink", &["symlinkat", "statx"]),
    ("rename: to a new name", &["renameat2", "statx"]),
    ("rename: over a known file", &["renameat2", "openat2", "statx", "renameat2", "statx"]),
    ("chmod: first", &["fchmodat2", "statx"]),
    ("chmod: again", &["fchmodat2", "statx"]),
    ("truncate: open", &["ftruncate", "statx"]),
    ("utimes: again", &["utimensat", "statx"]),
    ("unlink: a known file", &["openat2", "statx", "unlinkat"]),
    ("forget: what was unlinked", &["close"]),
    ("unlink: a file nobody knows", &["openat2", "statx", "close", "unlinkat"]),
    ("rmdir", &["openat2", "statx", "unlinkat"]),
    ("lookup: in a new directory", &["openat2", "statx", "statx"]),
    ("readdir: 10 names", &["getdents64", "getdents64"]),
    ("readdir: at the end", &[]),
    ("readdir: 10 entries that are known", &["lseek", "getdents64", "getdents64"]),
    ("readdir: again", &["lseek", "getdents64", "getdents64"]),
];

/// What differs for others: a member of the file's group may keep a bit that nobody else does.
const OF_OTHERS: (&str, &[&str]) = ("chown: open", &["statx", "fchownat", "statx"]);

/// With entries each name costs one more.
const WITH_ENTRIES: (&str, usize) = ("readdir: 10 entries", 10);

#[test]
fn each_operation_makes_these_calls_and_no_others() {
    if let Some(ground) = std::env::var_os(CHILD) {
        return operations(Path::new(&ground));
    }
    let strace = Command::new("strace").arg("-V").output().is_ok();
    // A local file system, whatever the temporary directory is on.
    let shm = Path::new("/dev/shm");
    if !strace || !shm.is_dir() {
        let text = "skipped: needs strace and /dev/shm";
        assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "{text}");
        return println!("{text}");
    }
    let place = Place(shm.join(format!("filo-calls-{}", std::process::id())));
    std::fs::create_dir(&place.0).unwrap();
    let trace = place.0.join("trace");
    let ground = place.0.join("ground");
    std::fs::create_dir(&ground).unwrap();
    let run = Command::new("strace")
        .args(["-f", "-qq", "-s", "256", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "each_operation_makes_these_calls_and_no_others", "--test-threads=1"])
        .env(CHILD, &ground)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success(), "{}\n{said}", String::from_utf8_lossy(&run.stdout));
    let trace = std::fs::read_to_string(&trace).unwrap();
    let seen = parse(&trace);
    let mut expected: Vec<_> =
        EXPECTED.iter().map(|(name, calls)| (*name, calls.to_vec())).collect();
    let entries = [&["getdents64"][..], &["statx"; WITH_ENTRIES.1], &["getdents64"]];
    expected.push((WITH_ENTRIES.0, entries.concat()));
    let users =
        if rustix::process::geteuid().is_root() { &["root", "user"][..] } else { &["root"] };
    for user in users {
        for (name, calls) in &expected {
            let name = format!("{user} {name}");
            let found = seen.iter().find(|(mark, _)| *mark == name);
            let (_, found) = found.unwrap_or_else(|| panic!("{name}: not in the trace"));
            let differs = name == format!("user {}", OF_OTHERS.0);
            let calls = if differs { OF_OTHERS.1 } else { calls };
            assert_eq!(found, calls, "{name}");
        }
    }
    assert_eq!(seen.len(), users.len() * expected.len());
}

struct Place(PathBuf);

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The operations of a trace and the calls of each.
fn parse(trace: &str) -> Vec<(String, Vec<&str>)> {
    let mut seen: Vec<(String, Vec<&str>)> = Vec::new();
    let mut marked = "";
    for line in trace.lines() {
        // PID CALL(ARGUMENTS) = RESULT
        let (pid, rest) = line.split_once(' ').unwrap();
        let Some((call, arguments)) = rest.trim_start().split_once('(') else { continue };
        if let Some((_, mark)) = arguments.split_once(MARK) {
            let mark = mark.split_once('"').unwrap().0;
            marked = if mark.is_empty() { "" } else { pid };
            if !mark.is_empty() {
                seen.push((mark.to_owned(), Vec::new()));
            }
        } else if pid == marked && !NOISE.contains(&call) && !arguments.contains("F_GETFD") {
            // The number, where strace is older than the call.
            let call = match call {
                "syscall_0x1c4" => "fchmodat2",
                "syscall_0x1d0" => "getxattrat",
                call => call,
            };
            seen.last_mut().unwrap().1.push(call);
        }
    }
    seen
}

/// Does something, so that the trace tells what it took.
fn marked<T>(user: &str, name: &str, act: impl FnOnce() -> T) -> T {
    let mark = |name: &str| {
        let path = format!("{MARK}{name}");
        assert!(rustix::fs::access(path, rustix::fs::Access::EXISTS).is_err());
    };
    mark(&format!("{user} {name}"));
    let done = act();
    mark("");
    done
}

/// Whether with entries, of files that are not known, and where the next list goes on.
struct List(bool, bool, DirOffset);

impl DirSink for List {
    fn wants_entries(&self) -> bool {
        self.0
    }

    fn knows(&self, _: Cookie) -> bool {
        self.1
    }

    fn add(&mut self, entry: DirEntry<'_>) -> Result<(), Full> {
        assert_eq!(entry.entry.is_some(), self.0 && !self.1);
        self.2 = entry.next;
        Ok(())
    }
}

fn n(name: &str) -> Name<'_> {
    Name::new(name.as_bytes()).unwrap()
}

fn node(entry: &Entry) -> Node {
    Node::detached(entry)
}

/// Each operation that is expected, as the super-user and as another.
fn operations(ground: &Path) {
    let mode = std::os::unix::fs::PermissionsExt::from_mode;
    std::fs::set_permissions(ground, mode(0o777)).unwrap();
    let options = DirOptions { remember: 0, ..DirOptions::default() };
    let dir = Dir::open(ground, options).unwrap();
    let other = Context { uid: Uid(1000), gid: Gid(1000), ..Context::internal() };
    for (user, cx) in [("root", Context::internal()), ("user", other)] {
        if user == "root" || rustix::process::geteuid().is_root() {
            names(&dir, user, &cx);
            files(&dir, user, &cx);
            lists(&dir, user, &cx);
        }
    }
    // The test's own end is not in the trace of an operation.
    filofs_bases::dir::own_rights().unwrap();
}

fn names(dir: &Dir, user: &str, cx: &Context<'_>) {
    let top = node(&dir.root(cx).unwrap());
    let none = RenameFlags::empty();
    let make = |name: &str| {
        let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(0o600) };
        node(&dir.create(cx, &top, n(name), how).unwrap().entry)
    };
    drop(make("f")); // and with it the thread is who it is
    let file = marked(user, "lookup: new", || node(&dir.lookup(cx, &top, n("f")).unwrap()));
    drop(marked(user, "lookup: known", || dir.lookup(cx, &top, n("f")).unwrap()));
    marked(user, "lookup: missing", || dir.lookup(cx, &top, n("none")).unwrap_err());
    marked(user, "getattr: by name", || dir.getattr(cx, &file, None).unwrap());
    marked(user, "rename: to a new name", || {
        dir.rename(cx, &top, n("f"), &top, n("g"), none).unwrap();
    });
    let target = make("target");
    marked(user, "rename: over a known file", || {
        dir.rename(cx, &top, n("g"), &top, n("target"), none).unwrap();
    });
    drop(target);
    let how = MakeHow::mode(0o700);
    let sub = marked(user, "mkdir", || node(&dir.mkdir(cx, &top, n("d"), how).unwrap()));
    marked(user, "rmdir", || dir.rmdir(cx, &top, n("d")).unwrap());
    drop(sub);
    let link = marked(user, "symlink", || dir.symlink(cx, &top, n("l"), b"x").unwrap());
    drop(link);
    dir.unlink(cx, &top, n("l")).unwrap();
    marked(user, "unlink: a known file", || dir.unlink(cx, &top, n("target")).unwrap());
    marked(user, "forget: what was unlinked", || drop(file));
    drop(make("unknown"));
    marked(user, "unlink: a file nobody knows", || dir.unlink(cx, &top, n("unknown")).unwrap());
}

fn files(dir: &Dir, user: &str, cx: &Context<'_>) {
    let top = node(&dir.root(cx).unwrap());
    let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(0o600) };
    let made = marked(user, "create", || dir.create(cx, &top, n("f"), how).unwrap());
    drop(made);
    let file = node(&dir.lookup(cx, &top, n("f")).unwrap());
    let how = OpenHow { flags: OpenFlags::RDWR, kill_priv: false };
    let opened = marked(user, "open", || dir.open(cx, &file, how).unwrap());
    let open = Open::detached(&file, how.flags, opened);
    marked(user, "write", || {
        let mut data = SliceSource::new(b"data");
        dir.write(cx, &file, &open, 0, &mut data, WriteFlags::empty()).unwrap();
    });
    let out = || VecSink::new(4096);
    let mut data = out();
    marked(user, "read", || dir.read(cx, &file, &open, 0, &mut data).unwrap());
    assert_eq!(data.into_bytes(), b"data");
    marked(user, "getattr: open", || dir.getattr(cx, &file, Some(&open)).unwrap());
    let cut = SetAttr { size: Some(1), ..SetAttr::default() };
    marked(user, "truncate: open", || dir.setattr(cx, &file, Some(&open), &cut).unwrap());
    let key = b"user.key";
    let none = XattrFlags::empty();
    // Not every file system has them.
    let _ = marked(user, "setxattr: open", || dir.setxattr(cx, &file, key, b"value", none));
    let _ = marked(user, "getxattr: open", || dir.getxattr(cx, &file, key, &mut out()));
    let _ = marked(user, "listxattr: open", || dir.listxattr(cx, &file, &mut out()));
    let _ = marked(user, "removexattr: open", || dir.removexattr(cx, &file, key));
    let own = SetAttr { uid: Some(cx.uid), ..SetAttr::default() };
    marked(user, "chown: open", || dir.setattr(cx, &file, Some(&open), &own).unwrap());
    marked(user, "release", || drop(open));
    let _ = marked(user, "getxattr: first", || dir.getxattr(cx, &file, key, &mut out()));
    let mode = SetAttr { mode: Some(0o640), ..SetAttr::default() };
    marked(user, "chmod: first", || dir.setattr(cx, &file, None, &mode).unwrap());
    marked(user, "chmod: again", || dir.setattr(cx, &file, None, &mode).unwrap());
    let times = SetAttr { mtime: Some(filofs::SetTime::Now), ..SetAttr::default() };
    marked(user, "utimes: again", || dir.setattr(cx, &file, None, &times).unwrap());
    dir.unlink(cx, &top, n("f")).unwrap();
}

fn lists(dir: &Dir, user: &str, cx: &Context<'_>) {
    let top = node(&dir.root(cx).unwrap());
    let sub = format!("of {user}");
    let made = node(&dir.mkdir(cx, &top, n(&sub), MakeHow::mode(0o700)).unwrap());
    let missing = || dir.lookup(cx, &made, n("none")).unwrap_err();
    marked(user, "lookup: in a new directory", missing);
    for name in '0'..='9' {
        let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(0o600) };
        dir.create(cx, &made, n(&name.to_string()), how).unwrap();
    }
    let how = OpenHow { flags: OpenFlags::RDONLY, kill_priv: false };
    let look = || ('0'..='9').map(|f| dir.lookup(cx, &made, n(&f.to_string())).unwrap()).collect();
    for (name, entries) in [("readdir: 10 names", false), (WITH_ENTRIES.0, true)] {
        let opened = dir.open(cx, &made, how).unwrap();
        let open = Open::detached(&made, how.flags, opened);
        let list = |from, known| {
            let mut out = List(entries, known, DirOffset::START);
            dir.readdir(cx, &made, &open, from, &mut out).unwrap();
            out.2
        };
        let start = DirOffset::START;
        let known: Vec<Entry> = if entries { look() } else { Vec::new() };
        let end = marked(user, name, || list(start, false));
        if entries {
            let name = "readdir: 10 entries that are known";
            marked(user, name, || list(start, true));
        } else {
            marked(user, "readdir: at the end", || list(end, false));
            marked(user, "readdir: again", || list(start, false));
        }
        drop(known);
    }
}
