//! The layer `idmap` over a directory of the host, whose numbers are looked at from outside.
//! What holds with any numbers is in the matrix: there two such layers undo each other.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

mod stacks;

use conformance::Subject;
use filofs::{
    ACL_ACCESS, Acl, AclEntry, AclTag, Device, Errno, Gid, Kind, Layer, OpenFlags, Uid, XattrFlags,
};
use filofs_bases::mem::Settings;
use filofs_front::local::O_TMPFILE;
use filofs_layers::idmap::{IdMap, Ranges};
use stacks::{Base, Front, Mounted};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::PathBuf;

/// User 777 here is 555 below and group 4321 is 1234 (the numbers of umapfs' own test, B34);
/// root is root.
struct Mapped {
    mounted: Mounted,
    root: Box<dyn Subject>,
}

impl Mapped {
    fn new(front: Front) -> Option<Mapped> {
        let ranges = |words: &str| Some(Ranges::parse("", &[words.to_owned()]).unwrap());
        let map = IdMap { users: ranges("0:0+777:555"), groups: ranges("0:0+4321:1234") };
        let layers: Vec<Box<dyn Layer>> = vec![Box::new(map)];
        let mounted = Mounted::with(Base::Dir, layers, front, Settings::default())?;
        let root = mounted.root();
        root.chmod(b".", 0o777).unwrap();
        Some(Mapped { mounted, root })
    }

    fn below(&self, name: &str) -> PathBuf {
        self.mounted.below().unwrap().join(name)
    }

    /// A file that somebody else made in the directory below.
    fn made_below(&self, name: &str, uid: u32, gid: u32, mode: u32) {
        let path = self.below(name);
        fs::write(&path, b"below").unwrap();
        chown(&path, Some(uid), Some(gid)).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }

    fn owner_below(&self, name: &str) -> (u32, u32) {
        let found = fs::symlink_metadata(self.below(name)).unwrap();
        (found.uid(), found.gid())
    }

    fn owner(&self, name: &str) -> (u32, u32) {
        let found = self.root.lstat(name.as_bytes()).unwrap();
        (found.uid.0, found.gid.0)
    }
}

fn everywhere(test: impl Fn(&Mapped)) {
    for front in [Front::Local, Front::Fuse, Front::Ring] {
        let Some(mapped) = Mapped::new(front) else { continue };
        println!("{front:?}");
        test(&mapped);
        let Mapped { mounted, root } = mapped;
        drop(root);
        // In this process `dir` has made this thread the user who asked last, who may not tidy up.
        filofs_bases::dir::own_rights().unwrap();
        mounted.end();
    }
}

#[test]
fn owners_come_up_and_who_has_no_number_is_nobody() {
    everywhere(|on| {
        on.made_below("ours", 555, 1234, 0o644);
        on.made_below("roots", 0, 0, 0o644);
        // What has a number above only, and none below.
        on.made_below("others", 777, 4321, 0o644);
        on.made_below("half", 555, 9, 0o644);
        let owners = ["ours", "roots", "others", "half"].map(|name| on.owner(name));
        assert_eq!(owners, [(777, 4321), (0, 0), (65534, 65534), (777, 65534)]);
        // The same where a listing brings them.
        let Some(point) = on.mounted.point() else { return };
        for _ in 0..3 {
            for entry in fs::read_dir(point).unwrap() {
                let entry = entry.unwrap();
                let name = entry.file_name().into_string().unwrap();
                let found = entry.metadata().unwrap();
                assert_eq!((found.uid(), found.gid()), on.owner(&name), "{name}");
            }
        }
    });
}

#[test]
fn what_somebody_makes_belongs_to_them_below() {
    everywhere(|on| {
        let user = on.root.as_user(777, 4321, &[]);
        user.write_file(b"file", b"x").unwrap();
        user.mkdir(b"dir", 0o755).unwrap();
        user.symlink(b"file", b"link").unwrap();
        user.link(b"file", b"second").unwrap();
        for name in ["file", "dir", "link", "second"] {
            assert_eq!(on.owner_below(name), (555, 1234), "{name}");
            assert_eq!(on.owner(name), (777, 4321), "{name}");
        }
        on.root.write_file(b"roots", b"x").unwrap();
        assert_eq!(on.owner_below("roots"), (0, 0));
    });
}

#[test]
fn who_has_no_number_below_makes_nothing() {
    everywhere(|on| {
        on.made_below("open", 0, 0, 0o644);
        for (uid, gid) in [(555, 4321), (777, 1234), (1, 1)] {
            let user = on.root.as_user(uid, gid, &[]);
            assert_eq!(user.write_file(b"new", b"x"), Err(Errno::EOVERFLOW), "{uid} {gid}");
            assert_eq!(user.mkdir(b"new", 0o755), Err(Errno::EOVERFLOW), "{uid} {gid}");
            assert_eq!(user.symlink(b"x", b"new"), Err(Errno::EOVERFLOW), "{uid} {gid}");
            let fifo = user.mknod(b"new", Kind::Fifo, 0o644, Device::default());
            assert_eq!(fifo, Err(Errno::EOVERFLOW), "{uid} {gid}");
            let unnamed = user.open(b".", OpenFlags::RDWR.with(O_TMPFILE), 0o644);
            assert_eq!(unnamed, Err(Errno::EOVERFLOW), "{uid} {gid}");
            // But may what everybody may.
            assert_eq!(user.read_file(b"open").unwrap(), b"below", "{uid} {gid}");
            // A second name makes no file (and is the host's to refuse: protected_hardlinks).
            assert_ne!(user.link(b"open", b"second").err(), Some(Errno::EOVERFLOW));
            let _ = on.root.unlink(b"second");
        }
        assert!(!on.below("new").exists());
    });
}

#[test]
fn chown_goes_down_and_comes_up_again() {
    everywhere(|on| {
        on.root.write_file(b"f", b"x").unwrap();
        on.root.chown(b"f", Some(777), Some(4321)).unwrap();
        assert_eq!((on.owner("f"), on.owner_below("f")), ((777, 4321), (555, 1234)));
        // Nobody is 555 here, so nothing can be given to them; the other number stays too.
        for (uid, gid) in [(Some(555), None), (None, Some(1234)), (Some(0), Some(1))] {
            assert_eq!(on.root.chown(b"f", uid, gid), Err(Errno::EINVAL), "{uid:?} {gid:?}");
        }
        assert_eq!(on.owner_below("f"), (555, 1234));
        on.root.chown(b"f", None, Some(0)).unwrap();
        assert_eq!((on.owner("f"), on.owner_below("f")), ((777, 0), (555, 0)));
    });
}

#[test]
fn rights_are_those_of_the_numbers_below() {
    everywhere(|on| {
        on.made_below("own", 555, 0, 0o600);
        on.made_below("groups", 0, 1234, 0o040);
        on.made_below("others", 777, 4321, 0o660);
        let read = |uid, gid, groups: &[u32], name: &str| {
            on.root.as_user(uid, gid, groups).read_file(name.as_bytes()).map(drop)
        };
        let denied = Err(Errno::EACCES);
        assert_eq!(read(777, 0, &[], "own"), Ok(()));
        assert_eq!(read(555, 0, &[], "own"), denied);
        assert_eq!(read(777, 4321, &[], "groups"), Ok(()));
        assert_eq!(read(777, 0, &[4321], "groups"), Ok(()), "a supplementary group");
        assert_eq!(read(777, 0, &[1234], "groups"), denied);
        assert_eq!(read(777, 4321, &[], "others"), denied);
    });
}

#[test]
fn access_lists_name_the_same_people_on_both_sides() {
    everywhere(|on| {
        let list = |user: u32, group: u32| {
            let entry = |tag, rwx| AclEntry { tag, rwx };
            let entries = vec![
                entry(AclTag::Owner, 6),
                entry(AclTag::User(Uid(user)), 4),
                entry(AclTag::OwningGroup, 0),
                entry(AclTag::Group(Gid(group)), 4),
                entry(AclTag::Mask, 4),
                entry(AclTag::Other, 0),
            ];
            Acl::new(entries).unwrap().to_bytes()
        };
        let below = |name: &str| {
            let mut value = [0; 256];
            let path = on.below(name);
            let len = rustix::fs::getxattr(&path, c"system.posix_acl_access", &mut value[..]);
            value[..len.unwrap()].to_vec()
        };
        let set = |user, group| {
            on.root.setxattr(b"f", ACL_ACCESS, &list(user, group), XattrFlags::empty())
        };
        on.root.write_file(b"f", b"x").unwrap();
        set(777, 4321).unwrap();
        assert_eq!(below("f"), list(555, 1234));
        assert_eq!(on.root.getxattr(b"f", ACL_ACCESS).unwrap(), list(777, 4321));
        let reads = |uid, gid| {
            let user = on.root.as_user(uid, gid, &[]);
            user.open(b"f", OpenFlags::RDONLY, 0).map(|fd| user.close(fd).unwrap())
        };
        assert_eq!([reads(777, 0), reads(0, 0)], [Ok(()); 2]);
        assert_eq!(reads(555, 1), Err(Errno::EACCES));
        // People who have no number here are nobody in a list, too; nobody can be put into one.
        assert_eq!(set(555, 4321), Err(Errno::EINVAL));
        assert_eq!(set(777, 1234), Err(Errno::EINVAL));
        let path = on.below("f");
        let flags = rustix::fs::XattrFlags::empty();
        let theirs = list(42, 43);
        rustix::fs::setxattr(&path, c"system.posix_acl_access", &theirs, flags).unwrap();
        on.root.chmod(b"f", 0o640).unwrap(); // what was believed of the list is over
        assert_eq!(on.root.getxattr(b"f", ACL_ACCESS).unwrap(), list(65534, 65534));
    });
}

#[test]
fn the_kernel_still_reads_and_writes_by_itself() {
    let Some(on) = Mapped::new(Front::Fuse) else { return };
    assert!(on.mounted.mounted().stack().passes_data());
    fs::write(on.below("f"), vec![b'x'; 1 << 16]).unwrap();
    let fd = on.root.open(b"f", OpenFlags::RDWR, 0).unwrap();
    assert_eq!(on.mounted.passthrough(), Some(1));
    assert_eq!(on.root.pread(fd, &mut [0; 10], 5), Ok(10));
    on.root.close(fd).unwrap();
    let Mapped { mounted, root } = on;
    drop(root);
    mounted.end();
}
