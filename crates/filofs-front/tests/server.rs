//! The server as a process of its own: killed, unprivileged, in a user namespace.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs_front::fuse::{FuseOptions, Session};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::thread;
use support::{FOREVER, Place, Tiny, can, can_mount, errno, mount_of, run};

const ENOTCONN: i32 = 107;
const ECONNABORTED: i32 = 103;
/// An ordinary user.
const USER: u32 = 1000;

/// Not a test but the server, when the environment says where to mount: it tells what happens
/// line by line, and unmounts when its input ends.
#[test]
fn serve() {
    let Some(place) = std::env::var_os("FILO_TEST_PLACE") else { return };
    let place = Path::new(&place);
    let allow_other = std::env::var_os("FILO_TEST_ALLOW_OTHER").is_some();
    let options = FuseOptions { allow_other, ..FuseOptions::default() };
    let tiny = Arc::new(Tiny::new());
    let session = match Session::start(mount_of(&tiny), place, &options) {
        Ok(session) => Arc::new(session),
        Err(error) => return say(&format!("error {} {error}", error.exit_code())),
    };
    say("mounted");
    let gate = tiny.clone();
    thread::spawn(move || {
        gate.wait_at_gate();
        say("gate");
    });
    let stop = session.clone();
    thread::spawn(move || {
        let mut line = String::new();
        while std::io::stdin().read_line(&mut line).unwrap() > 0 {
            if line.starts_with("look") {
                // For a mount that only this process and its children can see.
                let (ok, text) = run(Command::new("cat").arg(stop_path().join("hello")));
                say(&format!("seen {ok} {}", text.trim_end()));
            }
            line.clear();
        }
        stop.unmount(false).unwrap();
    });
    session.wait();
    say("ended");
}

fn stop_path() -> std::path::PathBuf {
    std::env::var_os("FILO_TEST_PLACE").unwrap().into()
}

fn say(line: &str) {
    let mut out = std::io::stdout();
    out.write_all(format!("@{line}\n").as_bytes()).unwrap();
    out.flush().unwrap();
}

/// A server in a process of its own; killed with the value.
struct Server {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Server {
    /// Starts it, by way of a command line that ends with the server's.
    fn start(place: &Place, through: &[&str], set: impl FnOnce(&mut Command)) -> Server {
        let this = std::env::current_exe().unwrap();
        let mut words: Vec<&std::ffi::OsStr> = through.iter().map(AsRef::as_ref).collect();
        words.push(this.as_os_str());
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).args(["serve", "--exact", "--nocapture", "--test-threads=1"]);
        command.env("FILO_TEST_PLACE", &place.0);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        set(&mut command);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().unwrap());
        Server { child, input, output }
    }

    /// What it says next.
    fn hear(&mut self) -> String {
        let mut line = String::new();
        while self.output.read_line(&mut line).unwrap() > 0 {
            // The test harness talks in between, and before on the same line.
            if let Some((_, said)) = line.split_once('@') {
                return said.trim_end().to_owned();
            }
            line.clear();
        }
        "nothing".to_owned()
    }

    fn stop(&mut self) {
        self.input = None;
        let said = self.hear();
        assert!(said.starts_with("ended"), "{said}");
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn as_user(command: &mut Command) {
    command.uid(USER).gid(USER);
}

/// A place that belongs to the ordinary user.
fn place_of_user(what: &str) -> Place {
    let place = Place::new(what);
    std::os::unix::fs::chown(&place.0, Some(USER), Some(USER)).unwrap();
    place
}

fn read_as_user(path: &Path) -> (bool, String) {
    let mut cat = Command::new("cat");
    as_user(cat.arg(path));
    run(&mut cat)
}

/// Whether the ordinary user can run this program and open the device.
fn user_can_serve() -> bool {
    let this = std::env::current_exe().unwrap();
    let mut test = Command::new("sh");
    as_user(test.args(["-c", "test -x \"$1\" && test -w /dev/fuse", "sh"]).arg(this));
    can_mount()
        && can("a /dev/fuse and test programs that ordinary users may open", run(&mut test).0)
}

fn has_helper() -> bool {
    can("fusermount3", Path::new("/usr/bin/fusermount3").exists())
}

#[test]
fn a_killed_server_leaves_errors_and_no_waiters() {
    if !can_mount() {
        return;
    }
    let place = Place::new("killed");
    let mut server = Server::start(&place, &[], |_| {});
    assert_eq!(server.hear(), "mounted");
    let mut open = File::open(place.join("hello")).unwrap();
    let gate = place.join("gate");
    let (told, tells) = channel();
    let reader = thread::spawn(move || {
        let error = errno(fs::read(gate));
        told.send(()).unwrap();
        error
    });
    assert_eq!(server.hear(), "gate");
    server.child.kill().unwrap();
    server.child.wait().unwrap();
    tells.recv_timeout(FOREVER).expect("who waited is told");
    let error = reader.join().unwrap();
    assert!(error == ECONNABORTED || error == ENOTCONN, "{error}");
    assert_eq!(errno(fs::metadata(place.join("other"))), ENOTCONN);
    assert_eq!(errno(open.read(&mut [0; 16])), ENOTCONN);

    // The place is no place to mount on, and the error says what to do.
    let mut again = Server::start(&place, &[], |_| {});
    let said = again.hear();
    assert!(said.starts_with("error 3 ") && said.contains("umount -l"), "{said}");
    rustix::mount::unmount(&place.0, rustix::mount::UnmountFlags::DETACH).unwrap();
    assert_eq!(place.mounted(), None);
    let mut again = Server::start(&place, &[], |_| {});
    assert_eq!(again.hear(), "mounted");
    assert_eq!(fs::read(place.join("hello")).unwrap(), b"hello, world\n");
    again.stop();
    assert_eq!(place.mounted(), None);
}

#[test]
fn an_ordinary_user_mounts_through_the_helper() {
    if !user_can_serve() || !has_helper() {
        return;
    }
    let place = place_of_user("user");
    let mut server = Server::start(&place, &[], as_user);
    assert_eq!(server.hear(), "mounted");
    let line = place.mounted().unwrap();
    assert!(line.contains("nosuid,nodev"), "{line}");
    assert!(line.contains(" - fuse.filo tiny: ") && line.contains("user_id=1000"), "{line}");
    assert_eq!(read_as_user(&place.join("hello")), (true, "hello, world\n".into()));
    // Not even root may look in.
    assert_eq!(errno(fs::read(place.join("hello"))), 13, "EACCES");
    server.stop();
    assert_eq!(place.mounted(), None);
}

#[test]
fn letting_others_in_needs_a_line_in_fuse_conf() {
    if !user_can_serve() || !has_helper() {
        return;
    }
    let conf = fs::read_to_string("/etc/fuse.conf").unwrap_or_default();
    let allowed = conf.lines().any(|line| line.trim() == "user_allow_other");
    if !can("an /etc/fuse.conf without user_allow_other", !allowed) {
        return;
    }
    let place = place_of_user("others");
    let mut server = Server::start(&place, &[], |command| {
        as_user(command.env("FILO_TEST_ALLOW_OTHER", "1"));
    });
    let said = server.hear();
    assert!(said.starts_with("error 4 ") && said.contains("\"user_allow_other\""), "{said}");
    assert_eq!(place.mounted(), None);
}

#[test]
fn an_ordinary_user_without_helper_is_told_what_to_do() {
    if !user_can_serve() {
        return;
    }
    let place = place_of_user("nohelper");
    let mut server = Server::start(&place, &[], |command| {
        as_user(command.env("PATH", "/nowhere"));
    });
    let said = server.hear();
    assert!(said.starts_with("error 4 no right to mount") && said.contains("fuse3"), "{said}");
}

#[test]
fn an_ordinary_user_mounts_in_a_user_namespace() {
    if !user_can_serve() {
        return;
    }
    let enter = ["/usr/bin/unshare", "--user", "--map-root-user", "--mount"];
    let mut probe = Command::new(enter[0]);
    as_user(probe.args(&enter[1..]).arg("true"));
    if !can("unprivileged user namespaces", run(&mut probe).0) {
        return;
    }
    let place = place_of_user("userns");
    // The helper would be of no use there: it would not own the mount.
    let mut server = Server::start(&place, &enter, as_user);
    assert_eq!(server.hear(), "mounted");
    assert_eq!(place.mounted(), None, "not in our namespace");
    server.input.as_mut().unwrap().write_all(b"look\n").unwrap();
    assert_eq!(server.hear(), "seen true hello, world");
    server.stop();
}

#[test]
fn a_closed_device_is_named_as_the_reason() {
    if !user_can_serve() {
        return;
    }
    let place = place_of_user("closed");
    // In a mount namespace of its own the device has the mode that some systems give it.
    const CLOSE: &str = "d=$(mktemp -d) && mknod -m 600 $d/fuse c 10 229 \
        && mount --bind $d/fuse /dev/fuse && rm -r $d \
        && exec setpriv --reuid 1000 --regid 1000 --clear-groups env PATH=/nowhere \"$@\"";
    let through = ["/usr/bin/unshare", "--mount", "/bin/sh", "-c", CLOSE, "sh"];
    let mut server = Server::start(&place, &through, |_| {});
    let said = server.hear();
    assert!(said.starts_with("error 4 /dev/fuse") && said.contains("mode is 0600"), "{said}");
}
