//! Requests as bytes, answers as bytes, and no kernel.

use super::*;
use crate::fuse::face::Face;
use crate::fuse::terms::{Settled, Terms};
use filofs::{Identity, Mount, OpenId, Profile, Stack, Upward};
use filofs_bases::mem::{Mem, Settings};
use filofs_wire::abi::{self, InHeader, InitFlags, InitIn, OpenOut, OutHeader};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

const ME: u32 = 77;

/// Keeps what was sent; or lets nothing through.
#[derive(Default)]
struct Post {
    sent: Mutex<Vec<Vec<u8>>>,
    shut: bool,
}

impl Outlet for Post {
    fn send(&self, head: &[u8], data: &[u8]) -> bool {
        filofs::locked(&self.sent).push([head, data].concat());
        !self.shut
    }

    fn collect(&self, _: u64) -> Result<(), rustix::io::Errno> {
        Ok(())
    }
}

struct Lab {
    dispatch: Dispatch,
    mount: Arc<Mount>,
    /// The calling thread; 0 for one without a number.
    caller: u32,
}

impl Lab {
    fn new(profile: &Profile, options: &FuseOptions) -> Lab {
        let mem = Mem::new(Settings { inodes: 1000, ..Settings::default() });
        Lab::over(Arc::new(mem), profile, options)
    }

    fn over(base: Arc<dyn FileSystem>, profile: &Profile, options: &FuseOptions) -> Lab {
        let identity = Identity::new("base:", "filo", "").unwrap();
        let mount = Arc::new(Mount::new(Stack::new(base, []).unwrap(), identity).unwrap());
        mount.start(&Upward::channel().0).unwrap();
        let face = Face::new(mount.root().cookie(), profile, options);
        let ledger = Ledger::new(mount.clone(), face, options.most_workers);
        let dispatch = Dispatch::new(ledger, options, Complaints::default());
        let (flags, flags2) = InitFlags::from_bits_retain((1 << 43) - 1).halves();
        let init = InitIn { major: 7, minor: 45, flags, flags2, ..InitIn::default() };
        match Terms::settle(&init, profile, options, 256, None, None) {
            Settled::Agreed(terms, _) => assert!(dispatch.ledger.settle(terms)),
            other => panic!("{other:?}"),
        }
        Lab { dispatch, mount, caller: 0 }
    }

    fn plain() -> Lab {
        Lab::new(&Profile::default(), &FuseOptions::default())
    }

    fn send(&self, opcode: u32, nodeid: u64, body: &[&[u8]], post: &Post) {
        let body = body.concat();
        let len = (size_of::<InHeader>() + body.len()) as u32;
        let (uid, pid) = (ME, self.caller);
        let header = InHeader { len, opcode, unique: 6, nodeid, uid, pid, ..InHeader::default() };
        let message = [header.as_bytes(), &body].concat();
        let mut window = vec![0; 1 << 16];
        self.dispatch.serve([&message, &[]], &mut window, &Flight::default(), post);
    }

    /// The answer: its data, or its errno.
    fn ask(
        &self,
        opcode: Opcode,
        nodeid: u64,
        body: &[&[u8]],
    ) -> std::result::Result<Vec<u8>, i32> {
        let post = Post::default();
        self.send(opcode as u32, nodeid, body, &post);
        let sent = post.sent.into_inner().unwrap();
        assert_eq!(sent.len(), 1, "one answer");
        let (header, rest) = OutHeader::read_from_prefix(&sent[0]).unwrap();
        assert_eq!((header.len as usize, header.unique), (sent[0].len(), 6));
        if header.error == 0 { Ok(rest.to_vec()) } else { Err(-header.error) }
    }

    fn entry(&self, opcode: Opcode, nodeid: u64, body: &[&[u8]]) -> abi::EntryOut {
        let answer = self.ask(opcode, nodeid, body).unwrap();
        abi::EntryOut::read_from_bytes(&answer).unwrap()
    }

    fn mkdir(&self, nodeid: u64, name: &[u8]) -> abi::EntryOut {
        let arg = abi::MkdirIn { mode: 0o755, umask: 0 };
        self.entry(Opcode::Mkdir, nodeid, &[arg.as_bytes(), name])
    }

    fn create(&self, name: &[u8], flags: u32) -> (abi::EntryOut, OpenOut) {
        let arg = abi::CreateIn { flags, mode: 0o644, ..abi::CreateIn::default() };
        let answer = self.ask(Opcode::Create, 1, &[arg.as_bytes(), name]).unwrap();
        let (entry, rest) = abi::EntryOut::read_from_prefix(&answer).unwrap();
        (entry, OpenOut::read_from_bytes(rest).unwrap())
    }

    /// The same requests with nobody to take the answers.
    fn ask_in_vain(&self, opcode: Opcode, nodeid: u64, body: &[&[u8]]) {
        let post = Post { shut: true, ..Post::default() };
        self.send(opcode as u32, nodeid, body, &post);
        assert_eq!(post.sent.lock().unwrap().len(), 1);
        let (header, _) = OutHeader::read_from_prefix(&post.sent.lock().unwrap()[0]).unwrap();
        assert_eq!(header.error, 0, "{opcode:?} went well but for the answer");
    }

    fn lookups(&self) -> u64 {
        self.mount.nodes().lookups()
    }
}

#[test]
fn who_lists_for_names_alone_is_told_of_no_files() {
    let lab = Lab { caller: u32::MAX, ..Lab::plain() };
    lab.create(b"file\0", 0);
    lab.mkdir(1, b"dir\0");
    let list = || {
        let opened = lab.ask(Opcode::Opendir, 1, &[abi::OpenIn::default().as_bytes()]).unwrap();
        let open_id = OpenOut::read_from_bytes(&opened).unwrap().open_id;
        let arg = abi::ReadIn { open_id, size: 60000, ..abi::ReadIn::default() };
        let before = lab.lookups();
        lab.ask(Opcode::Readdirplus, 1, &[arg.as_bytes()]).unwrap();
        lab.lookups() - before
    };
    assert_eq!(list(), 2, "nothing is known of the caller");
    assert_eq!((list(), list()), (1, 1), "the directory, which walkers enter");
    lab.ask(Opcode::Lookup, 1, &[b"file\0"]).unwrap();
    assert_eq!(list(), 2, "it does look at files");
}

#[test]
fn what_the_kernel_knows_is_not_told_again() {
    // A local file system, whatever the temporary directory is on.
    let shm = std::path::Path::new("/dev/shm");
    if !shm.is_dir() {
        assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "needs /dev/shm");
        return println!("skipped: needs /dev/shm");
    }
    let place = shm.join(format!("filo-known-{}", std::process::id()));
    std::fs::create_dir(&place).unwrap();
    for name in ["known", "other"] {
        std::fs::write(place.join(name), name).unwrap();
    }
    let lab = |seconds| {
        let ttl = Duration::from_secs(seconds);
        let options = filofs_bases::dir::DirOptions { attr_ttl: ttl, ..Default::default() };
        let base = filofs_bases::dir::Dir::open(&place, options).unwrap();
        let lab = Lab::over(Arc::new(base), &Profile::default(), &FuseOptions::default());
        // Who is new is told of files.
        Lab { caller: u32::MAX, ..lab }
    };
    // The node id and the number that a name is listed with.
    let list = |lab: &mut Lab| {
        lab.caller -= 1;
        let opened = lab.ask(Opcode::Opendir, 1, &[abi::OpenIn::default().as_bytes()]).unwrap();
        let open_id = OpenOut::read_from_bytes(&opened).unwrap().open_id;
        let arg = abi::ReadIn { open_id, size: 60000, ..abi::ReadIn::default() };
        let listed = lab.ask(Opcode::Readdirplus, 1, &[arg.as_bytes()]).unwrap();
        let all = filofs_wire::dirent::read_dirents_plus(&listed).map(|entry| entry.unwrap());
        let all: std::collections::HashMap<_, _> = all
            .map(|(entry, dirent)| (dirent.name.as_bytes().to_vec(), (entry.nodeid, dirent.ino)))
            .collect();
        [all[&b"known"[..]], all[&b"other"[..]]]
    };
    let mut long = lab(3600);
    let known = long.entry(Opcode::Lookup, 1, &[b"known\0"]);
    let [first, other] = list(&mut long);
    assert_eq!(first, (0, known.attr.ino), "it is known");
    assert_ne!(other.0, 0, "it was never met");
    assert_eq!(list(&mut long), [first, (0, other.1)], "and now it was");
    let arg = abi::ForgetIn { nlookup: 1 };
    long.send(Opcode::Forget as u32, known.nodeid, &[arg.as_bytes()], &Post::default());
    assert_ne!(list(&mut long)[0].0, 0, "it was given back");
    filofs_bases::dir::own_rights().unwrap();
    std::fs::rename(place.join("known"), place.join("gone")).unwrap();
    std::fs::rename(place.join("other"), place.join("known")).unwrap();
    std::fs::write(place.join("other"), "another").unwrap();
    let [moved, new] = list(&mut long);
    assert_eq!(moved, other, "known by another name");
    assert_ne!(new.0, 0, "another file of a name that is known");

    let mut short = lab(0);
    short.entry(Opcode::Lookup, 1, &[b"known\0"]);
    assert_ne!(list(&mut short)[0].0, 0, "nothing is believed");
    filofs_bases::dir::own_rights().unwrap();
    std::fs::remove_dir_all(&place).unwrap();
}

#[test]
fn what_nobody_was_told_is_taken_back() {
    let lab = Lab::plain();
    let dir = lab.mkdir(1, b"dir\0");
    let (file, open) = lab.create(b"file\0", 0);
    assert_eq!((lab.lookups(), lab.mount.opens().len()), (2, 1));

    lab.ask_in_vain(Opcode::Lookup, 1, &[b"dir\0"]);
    let arg = abi::MkdirIn { mode: 0o755, umask: 0 };
    lab.ask_in_vain(Opcode::Mkdir, 1, &[arg.as_bytes(), b"other\0"]);
    let arg = abi::LinkIn { oldnodeid: file.nodeid };
    lab.ask_in_vain(Opcode::Link, 1, &[arg.as_bytes(), b"hard\0"]);
    lab.ask_in_vain(Opcode::Symlink, 1, &[b"soft\0target\0"]);
    let arg = abi::CreateIn { mode: 0o644, ..abi::CreateIn::default() };
    lab.ask_in_vain(Opcode::Create, 1, &[arg.as_bytes(), b"new\0"]);
    lab.ask_in_vain(Opcode::Open, file.nodeid, &[abi::OpenIn::default().as_bytes()]);
    lab.ask_in_vain(Opcode::Opendir, dir.nodeid, &[abi::OpenIn::default().as_bytes()]);
    assert_eq!((lab.lookups(), lab.mount.opens().len()), (2, 1));

    let opened = lab.ask(Opcode::Opendir, 1, &[abi::OpenIn::default().as_bytes()]).unwrap();
    let root = OpenOut::read_from_bytes(&opened).unwrap();
    let arg = abi::ReadIn { open_id: root.open_id, size: 60000, ..abi::ReadIn::default() };
    lab.ask_in_vain(Opcode::Readdirplus, 1, &[arg.as_bytes()]);
    assert_eq!(lab.lookups(), 2);
    // Told, the same listing counts each of its six names once, and the dots not at all.
    let listed = lab.ask(Opcode::Readdirplus, 1, &[arg.as_bytes()]).unwrap();
    let names: Vec<_> =
        filofs_wire::dirent::read_dirents_plus(&listed).map(|entry| entry.unwrap().1).collect();
    assert_eq!(names.len(), 8);
    assert_eq!(lab.lookups(), 2 + 6);
    assert!(names.iter().take(2).all(|dirent| dirent.name.is_dots()));

    for id in [open.open_id, root.open_id] {
        let node = if id == root.open_id { 1 } else { file.nodeid };
        let arg = abi::ReleaseIn { open_id: id, ..abi::ReleaseIn::default() };
        assert_eq!(lab.ask(Opcode::Release, node, &[arg.as_bytes()]), Ok(vec![]));
        assert_eq!(lab.ask(Opcode::Release, node, &[arg.as_bytes()]), Err(9), "once");
    }
    assert!(lab.mount.opens().is_empty());
}

#[test]
fn forgetting_gives_back_and_never_more_than_there_is() {
    let lab = Lab::plain();
    let dir = lab.mkdir(1, b"dir\0");
    lab.entry(Opcode::Lookup, 1, &[b"dir\0"]);
    assert_eq!(lab.lookups(), 2);
    let post = Post::default();
    let forget = |nodeid, nlookup: u64| {
        let arg = abi::ForgetIn { nlookup };
        lab.send(Opcode::Forget as u32, nodeid, &[arg.as_bytes()], &post);
    };
    forget(dir.nodeid, 1);
    assert_eq!(lab.lookups(), 1);
    forget(dir.nodeid, u64::MAX);
    forget(dir.nodeid, 1);
    forget(1, 5);
    forget(0, 1);
    let arg = abi::BatchForgetIn { count: 2, padding: 0 };
    let ones = [1, dir.nodeid].map(|nodeid| abi::ForgetOne { nodeid, nlookup: 3 });
    let body = [arg.as_bytes(), ones.as_bytes()];
    lab.send(Opcode::BatchForget as u32, 0, &body, &post);
    assert!(post.sent.lock().unwrap().is_empty(), "forgetting is not answered");
    assert_eq!((lab.lookups(), lab.mount.nodes().len()), (0, 1));
    assert_eq!(lab.ask(Opcode::Getattr, dir.nodeid, &[&[0; 16]]), Err(116), "ESTALE");
}

#[test]
fn an_exported_mount_finds_what_was_given_back() {
    let profile = Profile { exportable: true, ..Profile::default() };
    let lab = Lab::new(&profile, &FuseOptions::default());
    let dir = lab.mkdir(1, b"dir\0");
    let arg = abi::ForgetIn { nlookup: 1 };
    lab.send(Opcode::Forget as u32, dir.nodeid, &[arg.as_bytes()], &Post::default());
    assert_eq!(lab.lookups(), 0);
    let again = lab.entry(Opcode::Lookup, dir.nodeid, &[b".\0"]);
    assert_eq!((again.nodeid, again.generation), (dir.nodeid, dir.generation));
    let above = lab.entry(Opcode::Lookup, dir.nodeid, &[b"..\0"]);
    assert_eq!((above.nodeid, above.generation), (1, 0), "the root");
    assert_eq!(lab.lookups(), 1, "the root is not counted");
    assert_eq!(lab.ask(Opcode::Lookup, 987_654_321, &[b".\0"]), Err(116), "ESTALE");
    // Removed, and the FORGET has not come yet.
    let (file, open) = lab.create(b"file\0", 0);
    let arg = abi::ReleaseIn { open_id: open.open_id, ..abi::ReleaseIn::default() };
    assert_eq!(lab.ask(Opcode::Release, file.nodeid, &[arg.as_bytes()]), Ok(vec![]));
    assert_eq!(lab.ask(Opcode::Unlink, 1, &[b"file\0"]), Ok(vec![]));
    assert_eq!(lab.ask(Opcode::Lookup, file.nodeid, &[b".\0"]), Err(116), "ESTALE");
    // Without exports nobody asks the file system.
    let lab = Lab::plain();
    let dir = lab.mkdir(1, b"dir\0");
    let arg = abi::ForgetIn { nlookup: 1 };
    lab.send(Opcode::Forget as u32, dir.nodeid, &[arg.as_bytes()], &Post::default());
    assert_eq!(lab.ask(Opcode::Lookup, dir.nodeid, &[b".\0"]), Err(116));
}

#[test]
fn an_absent_name_may_be_believed() {
    let lab = Lab::plain();
    assert_eq!(lab.ask(Opcode::Lookup, 1, &[b"none\0"]), Err(2));
    let profile = Profile { negative_ttl: Duration::from_secs(3), ..Profile::default() };
    let lab = Lab::new(&profile, &FuseOptions::default());
    let absent = lab.entry(Opcode::Lookup, 1, &[b"none\0"]);
    assert_eq!((absent.nodeid, absent.entry_valid), (0, 3));
    assert_eq!(lab.lookups(), 0);
}

#[test]
fn an_open_belongs_to_its_node() {
    let lab = Lab::plain();
    let dir = lab.mkdir(1, b"dir\0");
    let (file, open) = lab.create(b"file\0", 2);
    let arg = abi::ReadIn { open_id: open.open_id, size: 10, ..abi::ReadIn::default() };
    assert_eq!(lab.ask(Opcode::Read, file.nodeid, &[arg.as_bytes()]), Ok(vec![]));
    assert_eq!(lab.ask(Opcode::Read, dir.nodeid, &[arg.as_bytes()]), Err(9), "EBADF");
    let arg = abi::ReadIn { open_id: open.open_id ^ 1, ..arg };
    assert_eq!(lab.ask(Opcode::Read, file.nodeid, &[arg.as_bytes()]), Err(9));
    let arg = abi::ReleaseIn { open_id: open.open_id, ..abi::ReleaseIn::default() };
    assert_eq!(lab.ask(Opcode::Release, dir.nodeid, &[arg.as_bytes()]), Err(9));
    assert_eq!(lab.mount.opens().len(), 1, "a wrong release releases nothing");
}

#[test]
fn the_last_workers_wait_for_no_lock() {
    const EXCLUSIVE: u32 = 1;
    let options = FuseOptions { most_workers: 1, ..FuseOptions::default() };
    let lab = Lab::new(&Profile { locks: true, ..Profile::default() }, &options);
    let (file, open) = lab.create(b"file\0", 2);
    let lock = |opcode, owner, lk_flags| {
        let lk = abi::FileLock { end: i64::MAX as u64, kind: EXCLUSIVE, ..Default::default() };
        let arg = abi::LkIn { open_id: open.open_id, owner, lk, lk_flags, ..Default::default() };
        lab.ask(opcode, file.nodeid, &[arg.as_bytes()])
    };
    for flags in [abi::LkFlags::empty(), abi::LkFlags::FLOCK] {
        assert_eq!(lock(Opcode::Setlkw, 1, flags), Ok(vec![]), "what is free is given");
        assert_eq!(lock(Opcode::Setlk, 2, flags), Err(11), "EAGAIN");
        assert_eq!(lock(Opcode::Setlkw, 2, flags), Err(37), "ENOLCK");
    }
}

#[test]
fn a_kernel_that_keeps_writes_back_may_read_what_it_writes() {
    const WRONLY: u32 = 1;
    for (writeback, reads) in [(true, true), (false, false)] {
        let options = FuseOptions { writeback: Some(writeback), ..FuseOptions::default() };
        let lab = Lab::new(&Profile::default(), &options);
        let (file, created) = lab.create(b"file\0", WRONLY);
        let arg = abi::OpenIn { flags: WRONLY, ..abi::OpenIn::default() };
        let opened = lab.ask(Opcode::Open, file.nodeid, &[arg.as_bytes()]).unwrap();
        let opened = OpenOut::read_from_bytes(&opened).unwrap();
        for id in [created.open_id, opened.open_id] {
            let flags = lab.mount.opens().find(OpenId(id)).unwrap().flags();
            assert!(flags.writes());
            assert_eq!(flags.reads(), reads);
        }
    }
}

#[test]
fn allow_root_lets_in_root_and_the_owner() {
    let options = FuseOptions { allow_root: true, ..FuseOptions::default() };
    let lab = Lab::new(&Profile::default(), &options);
    let owner = rustix::process::geteuid().as_raw();
    let expected = if owner == ME { Ok(()) } else { Err(13) };
    assert_eq!(lab.ask(Opcode::Getattr, 1, &[&[0; 16]]).map(drop), expected);
    let both = FuseOptions { allow_other: true, ..options };
    let lab = Lab::new(&Profile::default(), &both);
    assert!(lab.ask(Opcode::Getattr, 1, &[&[0; 16]]).is_ok());
}

#[test]
fn what_there_is_not_is_enosys() {
    let lab = Lab::plain();
    let post = Post::default();
    lab.send(4096, 1, &[], &post);
    let (header, _) = OutHeader::read_from_prefix(&post.sent.lock().unwrap()[0]).unwrap();
    assert_eq!((header.unique, header.error), (6, -38));
    let arg = abi::SetupmappingIn::default();
    assert_eq!(lab.ask(Opcode::Setupmapping, 1, &[arg.as_bytes()]), Err(38));
    assert_eq!(lab.ask(Opcode::Init, 0, &[&[0; 64]]), Err(5), "INIT comes once");
}

#[test]
fn times_and_sizes_of_setattr() {
    use abi::SetattrValid as Valid;
    let lab = Lab::plain();
    let (file, _) = lab.create(b"file\0", 2);
    let set = |arg: abi::SetattrIn| {
        let answer = lab.ask(Opcode::Setattr, file.nodeid, &[arg.as_bytes()])?;
        Ok::<_, i32>(abi::AttrOut::read_from_bytes(&answer).unwrap().attr)
    };
    let arg = abi::SetattrIn {
        valid: Valid::MTIME | Valid::SIZE | Valid::MODE,
        mtime: -5i64 as u64,
        mtimensec: 7,
        size: 12345,
        mode: 0o100_600,
        ..abi::SetattrIn::default()
    };
    let attr = set(arg).unwrap();
    assert_eq!((attr.mtime as i64, attr.mtimensec), (-5, 7), "before 1970");
    assert_eq!((attr.size, attr.mode), (12345, 0o100_600));
    let arg = abi::SetattrIn { valid: Valid::SIZE, size: 1 << 63, ..abi::SetattrIn::default() };
    assert_eq!(set(arg), Err(22), "no position in a file");
}

#[test]
fn what_is_written_back_is_not_given_up_with_its_caller() {
    let write = |write_flags| {
        let arg = abi::WriteIn { write_flags, ..Default::default() };
        is_for_all(&Operation::Write { arg, data: &[] })
    };
    assert!(write(abi::WriteFlags::CACHE));
    assert!(!write(abi::WriteFlags::empty()));
    assert!(!is_for_all(&Operation::Readlink));
}
