//! The cases by which puffs is tested itself (D.1 to D.3), with operations counted in the middle.
//!
//! There is no INACTIVE here: a node that nobody holds is given back at once, with its lookups
//! (FORGET, puffs' RECLAIM), and a file that nobody has open is closed (RELEASE). So these are
//! counted.

use crate::middle::{Ground, Middle, Plan, Seen, timely, with_error};
use conformance::os::{TempDir, may_become_users};
use conformance::rng::{Rng, fresh_seed, from_environment};
use filofs::{
    Attr, Context, Device, Entry, Errno, FileSystem, Identity, Kind, Mount, Node, Open, OpenFlags,
    Result, Sink, Source, Stack, UnmountFlags, WriteFlags,
};
use filofs_front::fuse::{FuseOptions, Session};
use filofs_front::local::{Local, O_CREAT, Process};
use filofs_server::channel::Channel;
use filofs_server::kernel::{KernelHalf, Settings};
use filofs_wire::abi::{
    EXTENSION_MAGIC, EXTENSION_VERSION, EntryOut, HandleFlags, InHeader, InitFlags, InitOut,
    MountArguments, MountFlags, Opcode, OutHeader, ReleaseIn,
};
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::io::{Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

const RDWR_CREAT: OpenFlags = OpenFlags(O_CREAT.0 | OpenFlags::RDWR.0);

/// The id of a file that was made, from what the server said.
fn watch_ids(ground: &Ground) -> Arc<Mutex<Vec<u64>>> {
    let ids: Arc<Mutex<Vec<u64>>> = Arc::default();
    let keep = ids.clone();
    ground.middle.tamper(move |seen, messages| {
        let names = |seen: &Seen| seen.is(Opcode::Create) || seen.is(Opcode::Lookup);
        if seen.is_some_and(names)
            && let Ok((entry, _)) = EntryOut::read_from_prefix(&messages[0][16..])
        {
            keep.lock().unwrap().push(entry.nodeid);
        }
    });
    ids
}

/// A barrier: whatever was told before this has been heard.
fn settle(ground: &Ground, p: &Process) {
    let before = ground.middle.count(Opcode::Statfs);
    p.statvfs().unwrap();
    ground.middle.wait("statfs", |middle| middle.count(Opcode::Statfs) > before);
}

#[test]
fn mount() {
    let ground = Ground::new();
    let p = ground.local.process();
    assert_eq!(p.stat("/").unwrap().attr.kind, Kind::Directory);
    let mount = ground.local.mount().clone();
    mount.unmount_now(&Context::internal(), UnmountFlags::empty()).unwrap();
    assert_eq!(ground.middle.count(Opcode::Unmount), 1);
    drop((mount, p));
    ground.end();
}

#[test]
fn inactive_basic() {
    let ground = Ground::new();
    let ids = watch_ids(&ground);
    let p = ground.local.process();
    let fd = p.open("file", RDWR_CREAT, 0o644).unwrap();
    settle(&ground, &p);
    let id = *ids.lock().unwrap().last().unwrap();
    assert_eq!((ground.middle.count(Opcode::Release), ground.middle.forgotten(id)), (0, 0));
    p.close(fd).unwrap();
    settle(&ground, &p);
    assert_eq!((ground.middle.count(Opcode::Release), ground.middle.forgotten(id)), (1, 1));
    assert_eq!(ground.middle.forgotten(1), 0, "the root is never given back (A50)");
    drop(p);
    ground.end();
}

#[test]
fn inactive_reclaim() {
    let ground = Ground::new();
    let ids = watch_ids(&ground);
    let p = ground.local.process();
    let fd = p.open("file", RDWR_CREAT, 0o644).unwrap();
    let id = *ids.lock().unwrap().last().unwrap();
    p.unlink("file").unwrap();
    settle(&ground, &p);
    let lookups = ids.lock().unwrap().iter().filter(|other| **other == id).count() as u64;
    let count = |what| ground.middle.count(what);
    assert_eq!((count(Opcode::Unlink), count(Opcode::Release)), (1, 0));
    assert_eq!(ground.middle.forgotten(id), 0, "it is open");
    p.close(fd).unwrap();
    settle(&ground, &p);
    assert_eq!(count(Opcode::Release), 1);
    assert_eq!(ground.middle.forgotten(id), lookups, "each lookup once");
    drop(p);
    ground.end();
}

#[test]
fn reclaim_hardlink() {
    let ground = Ground::new();
    let p = ground.local.process();
    let fd = p.open("file", RDWR_CREAT, 0o644).unwrap();
    p.link("file", "second").unwrap();
    let id = {
        let mount = ground.local.mount();
        let name = filofs::Name::new(b"second").unwrap();
        mount.lookup(&Context::internal(), mount.root(), name).unwrap().cookie.0
    };
    p.unlink("file").unwrap();
    settle(&ground, &p);
    assert_eq!(ground.middle.forgotten(id), 0, "it has another name, and is open");
    p.unlink("second").unwrap();
    settle(&ground, &p);
    assert_eq!(ground.middle.forgotten(id), 0, "it is open");
    p.close(fd).unwrap();
    settle(&ground, &p);
    assert!(ground.middle.forgotten(id) > 0);
    assert_eq!(ground.middle.count(Opcode::Release), 1);
    drop(p);
    ground.end();
}

#[test]
fn unlink_accessible() {
    let ground = Ground::new();
    let p = ground.local.process();
    let fd = p.open("file", RDWR_CREAT, 0o644).unwrap();
    let text = b"what is written stays, whatever becomes of the name";
    p.pwrite(fd, text, 0).unwrap();
    p.unlink("file").unwrap();
    assert_eq!(p.stat("file").unwrap_err(), Errno::ENOENT);
    let mut bytes = vec![0; text.len()];
    assert_eq!(p.pread(fd, &mut bytes, 0).unwrap(), text.len());
    assert_eq!(bytes, text);
    assert_eq!(ground.middle.count(Opcode::Release), 0);
    p.close(fd).unwrap();
    settle(&ground, &p);
    let seen = ground.middle.seen();
    let releases: Vec<_> = seen.iter().filter(|seen| seen.is(Opcode::Release)).collect();
    assert_eq!(releases.len(), 1);
    assert!(ReleaseIn::read_from_bytes(&releases[0].body).is_ok());
    drop(p);
    ground.end();
}

#[test]
fn nocache() {
    const LEN: usize = 1 << 20;
    let ground = Ground::new();
    let p = ground.local.process();
    let bytes: Vec<u8> = (0..LEN).map(|at| (at / 511) as u8).collect();
    p.write_file("file", &bytes).unwrap();
    let writes = ground.middle.count(Opcode::Write);
    assert!(writes >= LEN / filofs_server::channel::PAYLOAD_MAX, "{writes}: many messages");
    assert_eq!(p.read_file("file").unwrap(), bytes);
    drop(p);
    ground.end();
}

/// A tree as a network file system might have it.
fn tree() -> (Ground, Process) {
    let ground = Ground::new();
    let p = ground.local.process();
    for dir in 0..5 {
        p.mkdir(format!("dir{dir}"), 0o755).unwrap();
        for file in 0..200 {
            p.write_file(format!("dir{dir}/file{file}"), b"").unwrap();
        }
    }
    (ground, p)
}

#[test]
fn inode_nos() {
    let (ground, p) = tree();
    let mut all = std::collections::HashSet::new();
    let root = p.stat("/").unwrap().attr.ino;
    for entry in p.readdir("/").unwrap() {
        let path = [b"/".as_slice(), &entry.name].concat();
        assert_eq!(entry.ino, p.lstat(&path).unwrap().attr.ino, "{entry:?}");
        if entry.name != b"." && entry.name != b".." {
            assert!(all.insert(entry.ino), "{entry:?}");
            assert_eq!(p.stat([&path, b"/..".as_slice()].concat()).unwrap().attr.ino, root);
            let here = p.readdir(&path).unwrap();
            let dot = here.iter().find(|other| other.name == b".").unwrap();
            assert_eq!(dot.ino, entry.ino);
        }
    }
    assert!(!all.contains(&root));
    drop(p);
    ground.end();
}

#[test]
fn pwd() {
    let (ground, p) = tree();
    p.mkdir("dir1/below", 0o755).unwrap();
    p.chdir("dir1/below").unwrap();
    assert_eq!(p.getcwd().unwrap(), b"/dir1/below");
    p.chdir("..").unwrap();
    assert_eq!(p.getcwd().unwrap(), b"/dir1");
    drop(p);
    ground.end();
}

#[test]
fn ls() {
    let (ground, p) = tree();
    let lists: Vec<_> = (0..20)
        .map(|number| {
            let p = p.fork();
            thread::spawn(move || {
                for round in 0..5 {
                    let dir = format!("dir{}", (number + round) % 5);
                    let mut names: Vec<_> =
                        p.readdir(dir).unwrap().into_iter().map(|entry| entry.name).collect();
                    names.sort();
                    names.dedup();
                    assert_eq!(names.len(), 202);
                }
            })
        })
        .collect();
    for list in lists {
        timely("ls", || list.join().unwrap());
    }
    drop(p);
    ground.end();
}

/// One file, which is the root.
struct Solo {
    attr: Attr,
    content: Mutex<Vec<u8>>,
}

impl Solo {
    fn new(kind: Kind, rdev: Device) -> Solo {
        let attr = Attr { mode: 0o666, rdev, ..Attr::new(1, kind) };
        Solo { attr, content: Mutex::default() }
    }
}

impl FileSystem for Solo {
    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(self.attr.clone()))
    }

    fn getattr(&self, _: &Context<'_>, _: &Node, _: Option<&Open>) -> Result<Attr> {
        let size = self.content.lock().unwrap().len() as u64;
        Ok(Attr { size, ..self.attr.clone() })
    }

    fn setattr(
        &self,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &filofs::SetAttr,
    ) -> Result<Attr> {
        if let Some(size) = set.size {
            self.content.lock().unwrap().resize(size as usize, 0);
        }
        self.getattr(cx, node, open)
    }

    fn readlink(&self, _: &Context<'_>, _: &Node, out: &mut dyn Sink) -> Result<()> {
        out.put(b"to/nowhere");
        Ok(())
    }

    fn open(&self, _: &Context<'_>, _: &Node, _: filofs::OpenHow) -> Result<filofs::Opened> {
        Ok(filofs::Opened::default())
    }

    fn read(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        offset: u64,
        out: &mut dyn Sink,
    ) -> Result<()> {
        out.put(self.content.lock().unwrap().get(offset as usize..).unwrap_or_default());
        Ok(())
    }

    fn write(
        &self,
        _: &Context<'_>,
        _: &Node,
        _: &Open,
        offset: u64,
        data: &mut dyn Source,
        _: WriteFlags,
    ) -> Result<usize> {
        let mut content = self.content.lock().unwrap();
        let bytes = data.chunk().to_vec();
        let end = offset as usize + bytes.len();
        let len = content.len().max(end);
        content.resize(len, 0);
        content[offset as usize..end].copy_from_slice(&bytes);
        data.advance(bytes.len());
        Ok(bytes.len())
    }
}

/// Whether this machine can mount; a skip is said, and a failure where everything is required.
fn can_mount() -> bool {
    if may_become_users() && Path::new("/dev/fuse").exists() {
        return true;
    }
    assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "this needs /dev/fuse");
    println!("skipped: this needs root and /dev/fuse");
    false
}

/// A server behind the man in the middle, mounted in the kernel's own tree.
struct Mounted {
    session: Session,
    middle: Middle,
    point: PathBuf,
    _temp: TempDir,
}

impl Mounted {
    fn new(fs: Arc<dyn FileSystem>) -> Mounted {
        let directory = fs.root(&Context::internal()).unwrap().attr.kind == Kind::Directory;
        let temp = TempDir::new();
        let point = temp.path().join("point");
        if directory {
            std::fs::create_dir(&point).unwrap();
        } else {
            std::fs::write(&point, b"").unwrap();
        }
        let plan = Plan::default();
        let (core, middle, _) = crate::middle::served(fs, crate::middle::first(&plan));
        let half = KernelHalf::over(core, &plan.settings).unwrap();
        middle.be_honest();
        let stack = Stack::new(Arc::new(half), []).unwrap();
        let identity = Identity::new("solo:", "filo", "").unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let session = Session::start(mount, &point, &FuseOptions::default()).unwrap();
        Mounted { session, middle, point, _temp: temp }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = self.session.unmount(true);
        self.session.wait();
        self.middle.die();
    }
}

#[test]
fn root_fifo() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::new(Arc::new(Solo::new(Kind::Fifo, Device::default())));
    assert!(std::fs::metadata(&mounted.point).unwrap().file_type().is_fifo());
    let point = mounted.point.clone();
    let writer = thread::spawn(move || {
        let mut fifo = std::fs::File::options().write(true).open(point).unwrap();
        fifo.write_all(b"through the root").unwrap();
    });
    let mut text = String::new();
    timely("the fifo", || {
        std::fs::File::open(&mounted.point).unwrap().read_to_string(&mut text).unwrap();
    });
    writer.join().unwrap();
    assert_eq!(text, "through the root");
}

#[test]
fn root_lnk() {
    // Linux mounts on no symbolic link; in process it is a root like any other.
    let solo = Arc::new(Solo::new(Kind::Symlink, Device::default()));
    let ground = Ground::over(solo, &Plan::default());
    let mount = ground.local.mount().clone();
    let mut out = [0; 64];
    let mut sink = filofs::SliceSink::new(&mut out);
    mount.readlink(&Context::internal(), mount.root(), &mut sink).unwrap();
    let taken = sink.taken();
    assert_eq!(&out[..taken], b"to/nowhere");
    drop(mount);
    ground.end();
}

#[test]
fn root_reg() {
    if !can_mount() {
        return;
    }
    let mounted = Mounted::new(Arc::new(Solo::new(Kind::Regular, Device::default())));
    std::fs::write(&mounted.point, b"in the root").unwrap();
    assert_eq!(std::fs::read(&mounted.point).unwrap(), b"in the root");
    let below = std::fs::create_dir(mounted.point.join("below")).unwrap_err();
    assert_eq!(below.raw_os_error(), Some(Errno::ENOTDIR.raw()));
}

#[test]
fn root_chrdev() {
    // Linux makes the root of a FUSE mount before it asks for its device number, and opens device
    // 0:0: ENXIO. In process it is the device that the server says.
    let null = Device { major: 1, minor: 3 };
    let solo = Arc::new(Solo::new(Kind::CharDevice, null));
    let ground = Ground::over(solo, &Plan::default());
    let mount = ground.local.mount().clone();
    let attr = mount.getattr(&Context::internal(), mount.root(), None).unwrap();
    assert_eq!((attr.kind, attr.rdev), (Kind::CharDevice, null));
    drop(mount);
    ground.end();
}

/// A program whose thread has a signal when its call waits for the server.
#[test]
fn signals() {
    if !can_mount() {
        return;
    }
    for (signal, ends) in [("USR1", false), ("TERM", true)] {
        let mounted = Mounted::new(Arc::new(Solo::new(Kind::Regular, Device::default())));
        std::fs::write(&mounted.point, b"content").unwrap();
        let held: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let keep = held.clone();
        mounted.middle.tamper(move |seen, messages| {
            if seen.is_some_and(|seen| seen.is(Opcode::Fsync)) {
                keep.lock().unwrap().append(messages);
            }
        });
        // It has a handler, so that the signal interrupts and does not kill.
        let script = "import os, signal, sys\n\
            signal.signal(signal.SIGUSR1, lambda *_: None)\n\
            def stop(*_): raise InterruptedError\n\
            signal.signal(signal.SIGTERM, stop)\n\
            fd = os.open(sys.argv[1], os.O_RDWR)\n\
            try:\n    os.fsync(fd); print('done')\n\
            except InterruptedError: print('EINTR')\n";
        let child = std::process::Command::new("python3")
            .args(["-c", script])
            .arg(&mounted.point)
            .stdout(std::process::Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "needs python3");
            println!("skipped: this needs python3");
            return;
        };
        mounted.middle.wait("fsync", |_| !held.lock().unwrap().is_empty());
        let pid = rustix::process::Pid::from_child(&child);
        let number =
            if ends { rustix::process::Signal::TERM } else { rustix::process::Signal::USR1 };
        rustix::process::kill_process(pid, number).unwrap();
        if ends {
            // It comes back although the server says nothing, and the server is told.
            mounted.middle.wait("INTERRUPT", |middle| middle.count(Opcode::Interrupt) == 1);
        } else {
            // It is not disturbed: there is nothing to wait for but the time.
            thread::sleep(Duration::from_millis(300));
            assert_eq!(mounted.middle.count(Opcode::Interrupt), 0, "{signal}");
            assert!(child.try_wait().unwrap().is_none(), "{signal}");
            let answers = std::mem::take(&mut *held.lock().unwrap());
            for answer in &answers {
                mounted.middle.say(answer);
            }
        }
        let mut said = String::new();
        timely("the program", || {
            child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
            child.wait().unwrap();
        });
        assert_eq!(said.trim(), if ends { "EINTR" } else { "done" }, "{signal}");
    }
}

/// A server that says what it likes when it is mounted, and "0" to everything after that.
fn dumb_server(channel: &rustix::fd::OwnedFd, arguments: &[u8]) {
    let mut room = vec![0; 1 << 20];
    while let Ok((len, _)) = recv(channel, &mut room[..], RecvFlags::empty()) {
        let Ok((header, _)) = InHeader::read_from_prefix(&room[..len]) else { return };
        let mut answer = vec![0; size_of::<OutHeader>()];
        answer[8..16].copy_from_slice(&header.unique.to_ne_bytes());
        if header.opcode == Opcode::Init as u32 {
            let (flags, flags2) = InitFlags::INIT_EXT.halves();
            let init = InitOut {
                major: 7,
                minor: 45,
                max_write: 65536,
                flags,
                flags2,
                ..InitOut::default()
            };
            answer.extend(init.as_bytes());
            answer.extend(arguments);
        }
        if header.unique & 1 == 0 && header.opcode != Opcode::Forget as u32 {
            crate::middle::fix_length(&mut answer);
            let _ = send(channel, &answer, SendFlags::NOSIGNAL);
        }
    }
}

/// Random mount arguments with the first `repaired` fields put right, in the order of D.2.
fn mountfuzz(repaired: usize) {
    let seed = from_environment("FILO_SEED", fresh_seed());
    println!("FILO_SEED={seed}");
    let mut rng = Rng::new(seed ^ repaired as u64);
    for round in 0..100 {
        let mut bytes: Vec<u8> =
            (0..size_of::<MountArguments>() / 8).flat_map(|_| rng.draw().to_ne_bytes()).collect();
        let mut arguments = MountArguments::read_from_bytes(&bytes).unwrap();
        let repairs: [fn(&mut MountArguments); 8] = [
            |a| (a.magic, a.version) = (EXTENSION_MAGIC, EXTENSION_VERSION),
            |a| a.flags = MountFlags::from_bits_retain(a.flags.bits() & 1),
            |a| a.handle_flags = HandleFlags::from_bits_retain(a.handle_flags.bits() & 7),
            |a| a.spare = Default::default(),
            |a| a.handle_size %= 1021,
            |a| a.handle_size %= 29,
            |a| a.max_message = 0,
            |a| {
                let attr = filofs_wire::abi::Attr { mode: 0o040_755, ..Default::default() };
                a.root = EntryOut { nodeid: 1, attr, ..EntryOut::default() };
            },
        ];
        repairs.iter().take(repaired).for_each(|repair| repair(&mut arguments));
        bytes.copy_from_slice(arguments.as_bytes());
        let (core, server) = Channel::pair().unwrap();
        let server = thread::spawn(move || dumb_server(&server, &bytes));
        let settings = Settings { patience: Some(Duration::from_secs(30)), ..Settings::default() };
        timely("a mount", || {
            let half = KernelHalf::over(core, &settings);
            assert!(half.is_ok() || repaired < 8, "round {round}: {half:?}");
            let Ok(half) = half else { return };
            let Ok(local) = Local::over(Arc::new(half)) else { return };
            let p = local.process();
            // Any answer will do; not everything is one.
            let _ = p.stat("/");
            let _ = p.readdir("/");
            let _ = p.stat("name");
            assert_ne!(p.mkdir("dir", 0o700), Ok(()));
            let mount = local.mount().clone();
            mount.unmount_now(&Context::internal(), UnmountFlags::FORCE).unwrap();
            assert_eq!(mount.counters().panics(), 0);
        });
        server.join().unwrap();
    }
}

macro_rules! mountfuzz {
    ($($name:ident $repaired:literal),*) => {
        $(#[test] fn $name() { mountfuzz($repaired); })*
    };
}

mountfuzz!(
    mountfuzz0 0, mountfuzz1 1, mountfuzz2 2, mountfuzz3 3, mountfuzz4 4, mountfuzz5 5,
    mountfuzz6 6, mountfuzz7 7, mountfuzz8 8
);

#[test]
fn a_mount_without_a_root_is_none() {
    let (core, middle, threads) = crate::middle::served(
        Arc::new(Solo::new(Kind::Directory, Device::default())),
        Box::new(|seen, messages| {
            if seen.is_some_and(|seen| seen.is(Opcode::Init)) {
                for message in messages.iter_mut() {
                    with_error(message, -5);
                }
            }
        }),
    );
    assert!(KernelHalf::over(core, &Settings::default()).is_err());
    middle.die();
    for thread in threads {
        thread.join().unwrap();
    }
}
