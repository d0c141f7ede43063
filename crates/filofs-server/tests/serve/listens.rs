//! A server that waits for cores to connect.

use crate::core::{Core, FOREVER, Heard, LONGEST};
use crate::toy::Toy;
use filofs::{Attr, Context, Entry, FileSystem, Upward};
use filofs_server::serve::{Listening, ServeError, Server};
use filofs_wire::abi::{EXTENSION_VERSION, GetattrIn, InitIn, ROOT_ID};
use filofs_wire::incoming::Call;
use filofs_wire::request::Operation;
use rustix::fd::OwnedFd;
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, SocketAddrUnix, SocketFlags, SocketType, bind, connect, socket_with,
};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::sync::{Arc, Mutex, mpsc};
use std::thread;
use std::time::{Duration, Instant};

/// A directory of one's own, gone with the value.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, SeqCst);
        let path = std::env::temp_dir().join(format!("filo-sock-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    fn socket(&self) -> PathBuf {
        self.0.join("s")
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn unconnected() -> OwnedFd {
    let (family, kind) = (AddressFamily::UNIX, SocketType::SEQPACKET);
    socket_with(family, kind, SocketFlags::CLOEXEC, None).unwrap()
}

fn connected(place: &Place) -> rustix::io::Result<OwnedFd> {
    let fd = unconnected();
    connect(&fd, &SocketAddrUnix::new(place.socket())?).map(|()| fd)
}

fn core(place: &Place) -> Core {
    let mut core = Core::new(connected(place).unwrap());
    core.init(Some((EXTENSION_VERSION, LONGEST)));
    core
}

fn getattr(core: &mut Core) {
    core.ask(ROOT_ID, &Operation::Getattr { arg: GetattrIn::default() }).unwrap();
}

fn listen(place: &Place) -> Result<Listening, ServeError> {
    Server::new().listen(&place.socket(), || Ok(Toy::new().0))
}

/// Waits for the end, but not for ever.
fn wait(listening: &Arc<Listening>) {
    let (told, tells) = mpsc::channel();
    let waits = listening.clone();
    thread::spawn(move || {
        waits.wait();
        told.send(()).unwrap();
    });
    tells.recv_timeout(FOREVER).expect("it ends");
}

fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + FOREVER;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn each_core_has_a_mount_of_its_own() {
    let place = Place::new();
    let made = Arc::new(AtomicU32::new(0));
    let count = made.clone();
    let listening = Server::new().listen(&place.socket(), move || {
        count.fetch_add(1, SeqCst);
        Ok(Toy::new().0)
    });
    let listening = Arc::new(listening.unwrap());
    let (mut a, mut b) = (core(&place), core(&place));
    getattr(&mut a);
    getattr(&mut b);
    assert_eq!((made.load(SeqCst), listening.connections()), (2, 2));
    drop(a);
    until("one is gone", || listening.connections() == 1);
    getattr(&mut b);
    listening.stop(true);
    assert_eq!(b.hear(), None);
    wait(&listening);
    assert!(connected(&place).is_err() && !place.socket().exists());
}

#[test]
fn a_stop_asks_cores_to_unmount() {
    // A65
    let place = Place::new();
    let listening = Arc::new(listen(&place).unwrap());
    let mut core = core(&place);
    let stops = listening.clone();
    let stop = thread::spawn(move || stops.stop(false));
    is_asked_to_unmount(&mut core);
    stop.join().unwrap();
    drop(core);
    wait(&listening);
}

fn is_asked_to_unmount(core: &mut Core) {
    match core.hear() {
        Some(Heard::Call(Some(id), Call::Unmount)) => core.respond(id, 0, b""),
        other => panic!("{other:?}"),
    }
}

/// A file system that begins when it is told to.
struct Slow(Mutex<mpsc::Receiver<()>>);

impl FileSystem for Slow {
    fn root(&self, _: &Context<'_>) -> filofs::Result<Entry> {
        Ok(Entry::new(Attr::directory(1)))
    }

    fn connect(&self, _: &Upward) {
        let _ = self.0.lock().unwrap().recv_timeout(FOREVER);
    }
}

#[test]
fn a_stop_asks_a_core_that_has_been_answered_and_is_no_session_yet() {
    // A65
    let place = Place::new();
    let (goes, waits) = mpsc::channel();
    let mut slow = Some(Slow(Mutex::new(waits)));
    let make = move || slow.take().ok_or(filofs::Errno::EIO);
    let listening = Arc::new(Server::new().listen(&place.socket(), make).unwrap());
    let mut core = core(&place);
    let stops = listening.clone();
    let stop = thread::spawn(move || stops.stop(false));
    until("the stop has begun", || !place.socket().exists());
    assert!(!core.has_word(), "it has not ended");
    goes.send(()).unwrap();
    is_asked_to_unmount(&mut core);
    stop.join().unwrap();
    drop(core);
    wait(&listening);
}

#[test]
fn a_stop_does_not_wait_for_cores_that_have_not_begun() {
    let place = Place::new();
    let listening = Arc::new(listen(&place).unwrap());
    // One says something that is no INIT, one nothing at all, and one is to say INIT once more.
    let strange = connected(&place).unwrap();
    set_socket_timeout(&strange, Timeout::Recv, Some(FOREVER)).unwrap();
    rustix::io::write(&strange, &[1; 40]).unwrap();
    let heard = rustix::io::read(&strange, &mut [0; 8]);
    assert!(matches!(heard, Ok(0) | Err(rustix::io::Errno::CONNRESET)), "{heard:?}");
    let mut silent = Core::new(connected(&place).unwrap());
    let mut newer = Core::new(connected(&place).unwrap());
    let arg = InitIn { major: 8, ..InitIn::default() };
    assert!(newer.ask(0, &Operation::Init { arg }).is_ok());
    until("two are inside", || listening.connections() == 2);
    listening.stop(true);
    wait(&listening);
    assert_eq!((silent.hear(), newer.hear()), (None, None));
}

#[test]
fn who_keeps_the_directory_locked_or_lets_nobody_in_holds_nobody_up() {
    let place = Place::new();
    let begins = || {
        let (told, tells) = mpsc::channel();
        let path = place.socket();
        thread::spawn(move || {
            told.send(Server::new().listen(&path, || Ok(Toy::new().0)).map(drop))
        });
        tells.recv_timeout(FOREVER).expect("it is told")
    };
    let dir = std::fs::File::open(&place.0).unwrap();
    dir.lock().unwrap();
    let error = begins().unwrap_err();
    assert!(matches!(error, ServeError::Socket { .. }), "{error}");
    dir.unlock().unwrap();
    // Somebody lives there, but has no time.
    let busy = unconnected();
    bind(&busy, &SocketAddrUnix::new(place.socket()).unwrap()).unwrap();
    rustix::net::listen(&busy, 0).unwrap();
    let _waits = connected(&place).unwrap();
    assert_eq!(begins().unwrap_err(), ServeError::Taken { path: place.socket() });
}

#[test]
fn only_the_remains_of_a_server_are_replaced() {
    let place = Place::new();
    let path = place.socket();
    // Something else.
    std::fs::write(&path, "mine").unwrap();
    assert_eq!(listen(&place).unwrap_err(), ServeError::NoSocket { path: path.clone() });
    assert_eq!(std::fs::read(&path).unwrap(), b"mine");
    std::fs::remove_file(&path).unwrap();
    // Remains.
    bind(unconnected(), &SocketAddrUnix::new(&path).unwrap()).unwrap();
    let listening = listen(&place).unwrap();
    getattr(&mut core(&place));
    // Somebody who lives, of this kind or another.
    assert_eq!(listen(&place).unwrap_err(), ServeError::Taken { path: path.clone() });
    getattr(&mut core(&place));
    drop(listening);
    assert!(!path.exists());
    let _stream = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_eq!(listen(&place).unwrap_err(), ServeError::Taken { path });
}

#[test]
fn another_users_socket_file_is_left_alone() {
    let place = Place::new();
    let listening = listen(&place).unwrap();
    std::fs::remove_file(place.socket()).unwrap();
    std::fs::write(place.socket(), "somebody's").unwrap();
    listening.stop(false);
    listening.wait();
    drop(listening);
    assert_eq!(std::fs::read(place.socket()).unwrap(), b"somebody's");
}

#[test]
fn who_may_not_is_turned_away() {
    // Somebody else's: seen by a process that is another user.
    if !rustix::process::geteuid().is_root() {
        assert_ne!(std::env::var("FILO_REQUIRE").as_deref(), Ok("1"), "this needs root");
        eprintln!("skipped: this needs root");
        return;
    }
    const CONNECT: &str = "import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
s.settimeout(30)
s.connect(sys.argv[1])
print(len(s.recv(10)))";
    let place = Place::new();
    let mode: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&place.0, mode).unwrap();
    let server = Server::new().peer(4242);
    let listening = server.listen(&place.socket(), || Ok(Toy::new().0)).unwrap();
    let asks = |uid: &str| {
        let mut command = std::process::Command::new("setpriv");
        let ids = [format!("--reuid={uid}"), format!("--regid={uid}"), "--clear-groups".into()];
        command.args(ids).args(["/usr/bin/python3", "-c", CONNECT]).arg(place.socket());
        command
    };
    let output = asks("4243").output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), "0\n", "{output:?}");
    assert_eq!(listening.connections(), 0);
    // Who may is let in, and is dropped only when it goes.
    let mut child = asks("4242").stdout(std::process::Stdio::null()).spawn().unwrap();
    until("it is let in", || listening.connections() == 1);
    child.kill().unwrap();
    child.wait().unwrap();
    until("it is gone", || listening.connections() == 0);
    // Root always may.
    getattr(&mut core(&place));
}

#[test]
fn there_is_a_limit_of_cores() {
    let place = Place::new();
    let listening = listen(&place).unwrap();
    let mut cores: Vec<_> = (0..Listening::MOST).map(|_| core(&place)).collect();
    let mut one_more = Core::new(connected(&place).unwrap());
    assert_eq!(one_more.hear(), None);
    cores.pop();
    until("there is room", || listening.connections() < Listening::MOST);
    getattr(&mut core(&place));
}
