//! A mount that nobody else may enter, of a base that refuses by itself what a caller may not do:
//! the kernel need not check permissions too, and asks for less.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs::{Identity, Mount, Op, Stack};
use filofs_bases::dir::{Dir, DirOptions};
use filofs_front::fuse::{FuseOptions, Passthrough, Session};
use rustix::fs::XattrFlags;
use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use support::{Place, can_mount, errno, run};

const EACCES: i32 = 13;

/// A directory of the host, mounted.
struct Over {
    mount: Arc<Mount>,
    _session: Session,
    place: Place,
    below: Below,
}

/// The directory itself; removed with the value.
struct Below(PathBuf);

impl Drop for Below {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

impl Over {
    fn new(what: &str, options: &FuseOptions) -> Over {
        let below = Below(Place::new(&format!("{what}-below")).0.clone());
        fs::create_dir_all(&below.0).unwrap();
        let dir = Dir::open(&below.0, DirOptions::default()).unwrap();
        let stack = Stack::new(Arc::new(dir), []).unwrap();
        let identity = Identity::new("dir:", "filo", "").unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let place = Place::new(what);
        let session = Session::start(mount.clone(), &place.0, options).unwrap();
        Over { mount, _session: session, place, below }
    }

    fn join(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}

/// An ACL in the form of linux/posix_acl_xattr.h: version 2, then tag, permissions and id.
fn acl(entries: &[(u16, u16, u32)]) -> Vec<u8> {
    let mut bytes = 2u32.to_le_bytes().to_vec();
    for (tag, perm, id) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(perm.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

const NOBODY: u32 = u32::MAX;
const USER_OBJ: u16 = 1;
const USER: u16 = 2;
const GROUP_OBJ: u16 = 4;
const MASK: u16 = 16;
const OTHER: u16 = 32;

#[test]
fn a_change_in_a_directory_costs_no_second_question() {
    if !can_mount() {
        return;
    }
    for (said, asks) in [(None, false), (Some(true), true)] {
        // With passthrough the front end looks by itself how large a new file has become.
        let passthrough = Passthrough::Off;
        let options =
            FuseOptions { default_permissions: said, passthrough, ..FuseOptions::default() };
        let on = Over::new("private-count", &options);
        let line = on.place.mounted().unwrap();
        assert_eq!(line.contains("default_permissions"), asks, "{line}");
        fs::metadata(&on.place.0).unwrap();
        let before = on.mount.counters().calls(Op::Getattr);
        for n in 0..10 {
            let path = on.join(&format!("f{n}"));
            drop(File::create_new(&path).unwrap());
            fs::remove_file(&path).unwrap();
        }
        let asked = on.mount.counters().calls(Op::Getattr) - before;
        assert!(if asks { asked >= 19 } else { asked <= 1 }, "{asked}, {said:?}");
    }
}

#[test]
fn root_may_what_root_may_and_no_more() {
    if !can_mount() {
        return;
    }
    let on = Over::new("private-root", &FuseOptions::default());
    let path = on.join("file");
    fs::write(&path, b"#!/bin/sh\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    std::os::unix::fs::chown(&path, Some(1000), Some(1000)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"#!/bin/sh\n", "another's");
    let executed = errno(Command::new(&path).status());
    assert_eq!(executed, EACCES, "what nobody may execute");
    let access = |mode| rustix::fs::access(&path, mode).map_err(rustix::io::Errno::raw_os_error);
    assert_eq!(access(rustix::fs::Access::READ_OK | rustix::fs::Access::WRITE_OK), Ok(()));
    assert_eq!(access(rustix::fs::Access::EXEC_OK), Err(EACCES));
    fs::set_permissions(&path, fs::Permissions::from_mode(0o6711)).unwrap();
    assert_eq!(access(rustix::fs::Access::EXEC_OK), Ok(()));
    let (ran, text) = run(&mut Command::new(&path));
    assert!(ran, "{text}");
    let dir = on.join("dir");
    fs::create_dir(&dir).unwrap();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o1700)).unwrap();
    std::os::unix::fs::chown(&dir, Some(1000), Some(1000)).unwrap();
    let (entered, text) = run(Command::new("true").current_dir(&dir));
    assert!(entered, "{text}");
}

#[test]
fn a_caller_with_other_file_system_ids_has_their_rights() {
    if !can_mount() {
        return;
    }
    // As a file server of the kernel's has, which remains root in all else.
    let script = "
import ctypes, os, sys
libc = ctypes.CDLL(None)
libc.setfsgid(1000)
libc.setfsuid(1000)
def fails(what, *args):
    try:
        what(*args)
    except PermissionError:
        return
    sys.exit(f'{what.__name__} {args} is let through')
path = sys.argv[1]
fails(open, path + '/secret')
fails(open, path + '/new', 'w')
fails(os.unlink, path + '/sticky/other')
fails(os.chmod, path + '/secret', 0o777)
fails(os.utime, path + '/secret', (1, 1))
fails(os.listdir, path + '/closed')
fails(os.setxattr, path + '/secret', 'user.x', b'')
os.close(os.open(path + '/mine/new', os.O_CREAT | os.O_WRONLY))
assert os.stat(path + '/mine/new').st_uid == 1000
";
    let on = Over::new("private-fsuid", &FuseOptions::default());
    fs::write(on.join("secret"), b"").unwrap();
    fs::set_permissions(on.join("secret"), fs::Permissions::from_mode(0o600)).unwrap();
    for (name, mode) in [("sticky", 0o1777), ("mine", 0o777), ("closed", 0o700)] {
        fs::create_dir(on.join(name)).unwrap();
        fs::set_permissions(on.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    fs::write(on.join("sticky/other"), b"").unwrap();
    let (ok, text) = run(Command::new("python3").args(["-c", script]).arg(&on.place.0));
    assert!(ok, "{text}");
}

#[test]
fn a_mode_follows_its_acl_at_once() {
    if !can_mount() {
        return;
    }
    const KEY: &str = "system.posix_acl_access";
    let on = Over::new("private-acl", &FuseOptions::default());
    let path = on.join("file");
    fs::write(&path, b"").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
    let mode = || fs::metadata(&path).unwrap().mode() & 0o7777;
    assert_eq!(mode(), 0o640);
    let rights = [
        (USER_OBJ, 6, NOBODY),
        (USER, 7, 1000),
        (GROUP_OBJ, 4, NOBODY),
        (MASK, 7, NOBODY),
        (OTHER, 1, NOBODY),
    ];
    rustix::fs::setxattr(&path, KEY, &acl(&rights), XattrFlags::empty()).unwrap();
    assert_eq!(mode(), 0o671, "the mask stands where the group's bits do");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    let mut value = [0u8; 100];
    let len = rustix::fs::getxattr(&path, KEY, &mut value).unwrap();
    let mut masked = rights;
    (masked[3].1, masked[4].1) = (0, 0);
    assert_eq!(value[..len], acl(&masked), "and chmod changes it");
    rustix::fs::removexattr(&path, KEY).unwrap();
    let below = fs::metadata(on.below.0.join("file")).unwrap().mode() & 0o7777;
    assert_eq!(mode(), below);
}

#[test]
fn a_default_acl_stands_in_for_the_umask() {
    if !can_mount() {
        return;
    }
    let on = Over::new("private-default-acl", &FuseOptions::default());
    let dir = on.join("dir");
    fs::create_dir(&dir).unwrap();
    let all = [(USER_OBJ, 7, NOBODY), (GROUP_OBJ, 6, NOBODY), (OTHER, 6, NOBODY)];
    let none = XattrFlags::empty();
    rustix::fs::setxattr(&dir, "system.posix_acl_default", &acl(&all), none).unwrap();
    let make = "umask 077; : > \"$1/in\"; : > \"$2/out\"";
    let (ok, text) = run(Command::new("sh").args(["-c", make, "sh"]).arg(&dir).arg(&on.place.0));
    assert!(ok, "{text}");
    let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o777;
    assert_eq!((mode(dir.join("in")), mode(on.join("out"))), (0o666, 0o600));
    // And set-group-id goes down, as it does below.
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o2777)).unwrap();
    fs::create_dir(dir.join("sub")).unwrap();
    assert_eq!(fs::metadata(dir.join("sub")).unwrap().mode() & 0o2000, 0o2000);
    let made = File::options().write(true).create_new(true).mode(0o2711).open(dir.join("f"));
    drop(made.unwrap());
}
