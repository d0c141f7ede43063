//! Whose rights, whose files.

use crate::ground::{Ground, is_root, mode, n, node, root, user};
use filofs::{
    Access, Context, CopyHow, Errno, FallocateFlags, FileSystem, Gid, Kind, MakeHow, OpenFlags,
    OpenHow, SetAttr, SliceSource, Uid, VecSink, WriteFlags, XattrFlags,
};
use filofs_bases::dir::own_rights;
use std::fs;
use std::os::unix::fs::{MetadataExt, chown};

const OPEN: u32 = 0o777;

#[test]
fn what_is_made_belongs_to_the_caller() {
    if !is_root("what_is_made_belongs_to_the_caller") {
        return;
    }
    let g = Ground::new();
    fs::set_permissions(&g.path, mode(OPEN)).unwrap();
    let (top, cx) = (g.root(), Context { gid: Gid(2000), ..user(1000) });
    g.create(&cx, &top, "f", 0o640).unwrap();
    g.dir.mkdir(&cx, &top, n("d"), MakeHow::mode(0o750)).unwrap();
    g.dir.symlink(&cx, &top, n("l"), b"x").unwrap();
    g.dir.mknod(&cx, &top, n("p"), Kind::Fifo, MakeHow::mode(0o600)).unwrap();
    let how = MakeHow { flags: OpenFlags::RDWR, ..MakeHow::mode(0o600) };
    let tmp = g.dir.tmpfile(&cx, &top, how).unwrap();
    assert_eq!((tmp.entry.attr.uid, tmp.entry.attr.gid), (Uid(1000), Gid(2000)));
    for name in ["f", "d", "l", "p"] {
        let host = fs::symlink_metadata(g.at(name)).unwrap();
        assert_eq!((host.uid(), host.gid()), (1000, 2000), "{name}");
    }
    // And the next is somebody else.
    let (file, _) = g.create(&user(1001), &top, "g", 0o600).unwrap();
    assert_eq!(g.attr(&file).uid, Uid(1001));
    let (file, _) = g.create(&root(), &top, "h", 0o600).unwrap();
    assert_eq!(g.attr(&file).uid, Uid(0));
}

#[test]
fn the_caller_has_no_more_rights_than_below() {
    if !is_root("the_caller_has_no_more_rights_than_below") {
        return;
    }
    let g = Ground::new();
    fs::write(g.at("secret"), "secret").unwrap();
    fs::set_permissions(g.at("secret"), mode(0o600)).unwrap();
    fs::create_dir(g.at("closed")).unwrap();
    fs::write(g.at("closed/x"), "").unwrap();
    fs::set_permissions(g.at("closed"), mode(0o700)).unwrap();
    let (top, cx) = (g.root(), user(1000));
    let secret = g.walk("secret").unwrap();
    let closed = g.walk("closed").unwrap();
    let open = |flags| g.open(&cx, &secret, flags).map(drop);
    assert_eq!(open(OpenFlags::RDONLY), Err(Errno::EACCES));
    assert_eq!(open(OpenFlags::WRONLY), Err(Errno::EACCES));
    assert_eq!(g.open(&cx, &closed, OpenFlags::RDONLY).map(drop), Err(Errno::EACCES));
    assert_eq!(g.dir.lookup(&cx, &closed, n("x")).unwrap_err(), Errno::EACCES);
    assert_eq!(g.create(&cx, &top, "new", 0o600).map(drop), Err(Errno::EACCES));
    assert_eq!(g.dir.unlink(&cx, &top, n("secret")), Err(Errno::EACCES));
    let chmod = SetAttr { mode: Some(0o666), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&cx, &secret, None, &chmod), Err(Errno::EPERM));
    let chown = SetAttr { uid: Some(Uid(1000)), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&cx, &secret, None, &chown), Err(Errno::EPERM));
    let cut = SetAttr { size: Some(0), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&cx, &secret, None, &cut), Err(Errno::EACCES));
    let device = MakeHow { rdev: filofs::Device { major: 1, minor: 3 }, ..MakeHow::mode(0o666) };
    own_rights().unwrap(); // the thread was lent
    fs::set_permissions(&g.path, mode(OPEN)).unwrap();
    let made = g.dir.mknod(&cx, &top, n("null"), Kind::CharDevice, device);
    assert_eq!(made.unwrap_err(), Errno::EPERM);
    let set = g.dir.setxattr(&cx, &secret, b"trusted.x", b"1", XattrFlags::empty());
    assert_eq!(set, Err(Errno::EPERM));
    // The super-user has them still, on the same thread.
    assert!(g.open(&root(), &secret, OpenFlags::RDWR).is_ok());
    g.dir.setxattr(&root(), &secret, b"trusted.x", b"1", XattrFlags::empty()).unwrap();
    g.dir.mknod(&root(), &top, n("null"), Kind::CharDevice, device).unwrap();
    let mut names = VecSink::new(100);
    g.dir.listxattr(&cx, &secret, &mut names).unwrap();
    assert!(!names.into_bytes().starts_with(b"trusted"));
}

#[test]
fn supplementary_groups_count() {
    if !is_root("supplementary_groups_count") {
        return;
    }
    let g = Ground::new();
    fs::write(g.at("f"), "x").unwrap();
    chown(g.at("f"), Some(0), Some(3000)).unwrap();
    fs::set_permissions(g.at("f"), mode(0o640)).unwrap();
    let file = g.walk("f").unwrap();
    let groups = vec![Gid(2999), Gid(3000)];
    let member = Context { groups: &groups, ..user(1000) };
    assert!(g.open(&member, &file, OpenFlags::RDONLY).is_ok());
    assert_eq!(g.open(&member, &file, OpenFlags::RDWR).map(drop), Err(Errno::EACCES));
    // The groups do not stay on the thread.
    assert_eq!(g.open(&user(1000), &file, OpenFlags::RDONLY).map(drop), Err(Errno::EACCES));
    // A member may give its own file to the group.
    own_rights().unwrap(); // the thread was lent
    fs::set_permissions(&g.path, mode(OPEN)).unwrap();
    let (mine, _) = g.create(&member, &g.root(), "mine", 0o600).unwrap();
    let chgrp = SetAttr { gid: Some(Gid(3000)), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&member, &mine, None, &chgrp).unwrap().gid, Gid(3000));
    let chgrp = SetAttr { gid: Some(Gid(3001)), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&member, &mine, None, &chgrp), Err(Errno::EPERM));
}

#[test]
fn a_set_group_id_directory_hands_its_group_down() {
    if !is_root("a_set_group_id_directory_hands_its_group_down") {
        return;
    }
    let g = Ground::new();
    chown(&g.path, Some(0), Some(3000)).unwrap();
    fs::set_permissions(&g.path, mode(0o2777)).unwrap();
    let top = g.root();
    let groups = vec![Gid(3000)];
    let member = Context { groups: &groups, ..user(1000) };
    let made = |cx: &Context<'_>, name: &str| {
        let (file, _) = g.create(cx, &top, name, 0o2775).unwrap();
        let attr = g.attr(&file);
        (attr.gid.0, attr.mode)
    };
    assert_eq!(made(&user(1000), "stranger"), (3000, 0o775), "no member: the bit is stripped");
    assert_eq!(made(&member, "member"), (3000, 0o2775));
    let sub = g.dir.mkdir(&user(1000), &top, n("sub"), MakeHow::mode(0o755)).unwrap();
    assert_eq!((sub.attr.gid, sub.attr.mode), (Gid(3000), 0o2755));
    // chmod by an owner outside the group loses the bit silently.
    let file = g.walk("stranger").unwrap();
    let chmod = SetAttr { mode: Some(0o2755), ..SetAttr::default() };
    assert_eq!(g.dir.setattr(&user(1000), &file, None, &chmod).unwrap().mode, 0o755);
    assert_eq!(g.dir.setattr(&member, &file, None, &chmod).unwrap().mode, 0o2755);
}

#[test]
fn access_is_asked_for_the_caller() {
    if !is_root("access_is_asked_for_the_caller") {
        return;
    }
    let g = Ground::new();
    fs::write(g.at("f"), "").unwrap();
    fs::set_permissions(g.at("f"), mode(0o640)).unwrap();
    chown(g.at("f"), Some(1000), Some(3000)).unwrap();
    let file = g.walk("f").unwrap();
    let groups = vec![Gid(3000)];
    let member = Context { groups: &groups, ..user(1001) };
    let (read, write, exec) = (Access::READ, Access::WRITE, Access::EXEC);
    for (cx, want, answer) in [
        (user(1000), read | write, Ok(())),
        (user(1000), exec, Err(Errno::EACCES)),
        (user(1001), read, Err(Errno::EACCES)),
        (user(1001), Access::empty(), Ok(())),
        (member, read, Ok(())),
        (member, write, Err(Errno::EACCES)),
        (root(), read | write, Ok(())),
        (root(), exec, Err(Errno::EACCES)),
        (root(), Access::from_bits_retain(8), Err(Errno::EINVAL)),
    ] {
        assert_eq!(g.dir.access(&cx, &file, want), answer, "{cx:?} {want:?}");
    }
}

/// A set-id program with a capability, that anybody may write.
fn program(g: &Ground, name: &str) {
    fs::write(g.at(name), "0123456789").unwrap();
    fs::set_permissions(g.at(name), mode(0o6777)).unwrap();
    let file = g.walk(name).unwrap();
    // CAP_NET_RAW, permitted and effective: struct vfs_cap_data of linux/capability.h, revision 2.
    let mut capability = vec![1, 0, 0, 2, 0, 0x20, 0, 0];
    capability.resize(20, 0);
    let key = b"security.capability";
    g.dir.setxattr(&root(), &file, key, &capability, XattrFlags::empty()).unwrap();
}

fn is_tame(g: &Ground, name: &str) -> bool {
    let file = g.walk(name).unwrap();
    let left = g.dir.getxattr(&root(), &file, b"security.capability", &mut VecSink::new(0));
    let host = fs::metadata(g.at(name)).unwrap().mode() & 0o7777;
    left == Err(Errno::ENODATA) && host == 0o777 && g.attr(&file).mode == 0o777
}

#[test]
fn set_id_bits_and_capabilities_die_on_write() {
    if !is_root("set_id_bits_and_capabilities_die_on_write") {
        return;
    }
    let g = Ground::new();
    let killed = |how: &str, act: &dyn Fn(&Context<'_>, bool)| {
        // By an ordinary user; and by the super-user for a caller that may not keep them.
        for (cx, flag) in [(user(1000), false), (user(1000), true), (root(), true)] {
            program(&g, how);
            act(&cx, flag);
            assert!(is_tame(&g, how), "{how} by {cx:?}");
        }
    };
    killed("write", &|cx, flag| {
        let open = g.open(cx, &g.walk("write").unwrap(), OpenFlags::WRONLY).unwrap();
        let flags = if flag { WriteFlags::KILL_PRIV } else { WriteFlags::empty() };
        let mut data = SliceSource::new(b"x");
        g.dir.write(cx, open.node(), &open, 0, &mut data, flags).unwrap();
    });
    killed("truncate", &|cx, kill_priv| {
        let set = SetAttr { size: Some(3), kill_priv, ..SetAttr::default() };
        g.dir.setattr(cx, &g.walk("truncate").unwrap(), None, &set).unwrap();
    });
    killed("open", &|cx, kill_priv| {
        let how = OpenHow { flags: OpenFlags::WRONLY.with(OpenFlags::TRUNC), kill_priv };
        g.dir.open(cx, &g.walk("open").unwrap(), how).unwrap();
    });
    killed("fallocate", &|cx, kill_priv| {
        if cx.uid == Uid(0) && kill_priv {
            return g
                .dir
                .setattr(
                    cx,
                    &g.walk("fallocate").unwrap(),
                    None,
                    &SetAttr { kill_priv, ..SetAttr::default() },
                )
                .map(drop)
                .unwrap();
        }
        let open = g.open(cx, &g.walk("fallocate").unwrap(), OpenFlags::RDWR).unwrap();
        let none = FallocateFlags::empty();
        g.dir.fallocate(cx, open.node(), &open, 0, 100, none).unwrap();
    });
    killed("chown", &|_, kill_priv| {
        let set = SetAttr { uid: Some(Uid(1)), kill_priv, ..SetAttr::default() };
        g.dir.setattr(&root(), &g.walk("chown").unwrap(), None, &set).unwrap();
    });
    // Of these the front end cannot say whether the caller may keep them. Whom it cannot even
    // name may not.
    let somebody = Context { uid: Uid::UNKNOWN, gid: Gid::UNKNOWN, ..root() };
    for cx in [user(1000), somebody] {
        program(&g, "allocated");
        let open = g.open(&cx, &g.walk("allocated").unwrap(), OpenFlags::RDWR).unwrap();
        g.dir.fallocate(&cx, open.node(), &open, 0, 100, FallocateFlags::empty()).unwrap();
        assert!(is_tame(&g, "allocated"), "fallocate by {cx:?}");
        program(&g, "copied");
        let from = g.open(&root(), &g.walk("allocated").unwrap(), OpenFlags::RDONLY).unwrap();
        let to = g.open(&cx, &g.walk("copied").unwrap(), OpenFlags::WRONLY).unwrap();
        let how = CopyHow { from: 0, to: 0, len: 5 };
        let copied = g.dir.copy_file_range(&cx, from.node(), &from, to.node(), &to, how);
        assert_eq!(copied, Ok(5));
        assert!(is_tame(&g, "copied"), "copy by {cx:?}");
    }
    // A stranger's chown(2) to nobody else takes nothing away: on the host it is EPERM.
    program(&g, "chowned");
    g.dir.setattr(&user(1000), &g.walk("chowned").unwrap(), None, &SetAttr::default()).unwrap();
    assert_eq!(fs::metadata(g.at("chowned")).unwrap().mode() & 0o7777, 0o6777);
    // The super-user for itself keeps them.
    program(&g, "kept");
    let open = g.open(&root(), &g.walk("kept").unwrap(), OpenFlags::WRONLY).unwrap();
    g.write(&root(), &open, 0, b"x").unwrap();
    assert_eq!(fs::metadata(g.at("kept")).unwrap().mode() & 0o7777, 0o6777);
}

#[test]
fn the_umask_applies_unless_the_directory_has_a_default_acl() {
    let g = Ground::new();
    let top = g.root();
    let how = MakeHow { umask: 0o027, flags: OpenFlags::RDWR, ..MakeHow::mode(0o666) };
    let made = |dir: &filofs::Node, name: &str| {
        g.dir.create(&root(), dir, n(name), how).unwrap().entry.attr.mode
    };
    assert_eq!(made(&top, "plain"), 0o640);
    let sub = node(&g.dir.mkdir(&root(), &top, n("d"), MakeHow::mode(0o755)).unwrap());
    // user::rwx, group::rwx, mask::rwx, other::rw-: acl(5) as xattr, version 2.
    let mut acl = vec![2, 0, 0, 0];
    for (tag, perm) in [(1u16, 7u16), (4, 7), (0x10, 7), (0x20, 6)] {
        acl.extend_from_slice(&tag.to_le_bytes());
        acl.extend_from_slice(&perm.to_le_bytes());
        acl.extend_from_slice(&u32::MAX.to_le_bytes());
    }
    let key = b"system.posix_acl_default";
    match g.dir.setxattr(&root(), &sub, key, &acl, XattrFlags::empty()) {
        Err(Errno::EOPNOTSUPP) => return println!("skipped: no ACLs here"),
        set => set.unwrap(),
    }
    assert_eq!(made(&sub, "inherits"), 0o666);
    let dir = g.dir.mkdir(&root(), &sub, n("dd"), MakeHow { umask: 0o077, ..MakeHow::mode(0o777) });
    assert_eq!(dir.as_ref().unwrap().attr.mode, 0o776);
    let mut inherited = VecSink::new(1000);
    let size = g.dir.getxattr(&root(), &node(&dir.unwrap()), key, &mut inherited).unwrap();
    assert_eq!((size, inherited.into_bytes()), (acl.len(), acl));
    // The same thread, back where there is none.
    assert_eq!(made(&top, "plain2"), 0o640);
}

#[test]
fn many_threads_are_many_users() {
    if !is_root("many_threads_are_many_users") {
        return;
    }
    let g = Ground::new();
    fs::set_permissions(&g.path, mode(OPEN)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..8u32 {
            let g = &g;
            scope.spawn(move || {
                let top = g.root();
                for i in 0..100u32 {
                    let uid = (i * 7 + thread) % 3 * 1000;
                    let name = format!("{thread}-{i}");
                    let cx = user(uid);
                    let (file, open) = g.create(&cx, &top, &name, 0o600).unwrap();
                    g.write(&cx, &open, 0, b"x").unwrap();
                    assert_eq!(g.attr(&file).uid, Uid(uid));
                }
            });
        }
    });
    // This thread was not touched.
    fs::write(g.at("own"), "").unwrap();
    assert_eq!(fs::metadata(g.at("own")).unwrap().uid(), 0);
}
