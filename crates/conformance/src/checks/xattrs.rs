//! Extended attributes and access control lists.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs::{ACL_ACCESS, ACL_DEFAULT, Acl, AclEntry, AclTag, Gid, Uid, XattrFlags};

const ANY: Abilities = Abilities::empty();
const USERS: Abilities = Abilities::USERS;
const ACL: Abilities = Abilities::ACL.union(Abilities::USERS);
const SET: XattrFlags = XattrFlags::empty();

checks! {
    "an extended attribute is set, read, listed and removed", "xattr(7)", ANY, |s| {
        touch(s, b"f");
        assert_eq!(s.getxattr(b"f", b"user.one").err(), Some(Errno::ENODATA));
        s.setxattr(b"f", b"user.one", b"1", SET).unwrap();
        s.setxattr(b"f", b"user.two", b"", SET).unwrap();
        assert_eq!(s.getxattr(b"f", b"user.one").unwrap(), b"1");
        assert_eq!(s.getxattr(b"f", b"user.two").unwrap(), b"");
        let mut listed = s.listxattr(b"f").unwrap();
        listed.retain(|name| name.starts_with(b"user."));
        listed.sort();
        assert_eq!(listed, [b"user.one", b"user.two"]);
        s.setxattr(b"f", b"user.one", b"another", SET).unwrap();
        assert_eq!(s.getxattr(b"f", b"user.one").unwrap(), b"another");
        s.removexattr(b"f", b"user.one").unwrap();
        assert_eq!(s.getxattr(b"f", b"user.one").err(), Some(Errno::ENODATA));
        assert_eq!(s.removexattr(b"f", b"user.one"), Err(Errno::ENODATA));
    }
    "CREATE and REPLACE look whether the attribute is there", "setxattr(2)", ANY, |s| {
        touch(s, b"f");
        assert_eq!(s.setxattr(b"f", b"user.a", b"1", XattrFlags::REPLACE), Err(Errno::ENODATA));
        s.setxattr(b"f", b"user.a", b"1", XattrFlags::CREATE).unwrap();
        assert_eq!(s.setxattr(b"f", b"user.a", b"2", XattrFlags::CREATE), Err(Errno::EEXIST));
        s.setxattr(b"f", b"user.a", b"3", XattrFlags::REPLACE).unwrap();
        assert_eq!(s.getxattr(b"f", b"user.a").unwrap(), b"3");
    }
    "the size of a value is asked without reading it", "getxattr(2)", ANY, |s| {
        touch(s, b"f");
        s.setxattr(b"f", b"user.a", b"12345", SET).unwrap();
        assert_eq!(s.getxattr_into(b"f", b"user.a", &mut []), Ok(5));
        assert_eq!(s.getxattr_into(b"f", b"user.a", &mut [0; 4]), Err(Errno::ERANGE));
        let mut buffer = [0; 5];
        assert_eq!(s.getxattr_into(b"f", b"user.a", &mut buffer), Ok(5));
        assert_eq!(&buffer, b"12345");
    }
    "names of attributes have a space and at most 255 bytes", "xattr(7)", ANY, |s| {
        touch(s, b"f");
        assert_eq!(s.setxattr(b"f", b"noname", b"", SET), Err(Errno::EOPNOTSUPP));
        assert_eq!(s.setxattr(b"f", b"", b"", SET), Err(Errno::ERANGE));
        let long = [b"user.".to_vec(), vec![b'x'; 251]].concat();
        assert_eq!(s.setxattr(b"f", &long, b"", SET), Err(Errno::ERANGE));
        s.setxattr(b"f", &long[..255], b"v", SET).unwrap();
        assert_eq!(s.getxattr(b"f", &long[..255]).unwrap(), b"v");
    }
    "values are any bytes, and more than 64 KiB is too much", "xattr(7)", ANY, |s| {
        touch(s, b"f");
        let value: Vec<u8> = (0..=255).collect();
        s.setxattr(b"f", b"user.bytes", &value, SET).unwrap();
        assert_eq!(s.getxattr(b"f", b"user.bytes").unwrap(), value);
        assert_eq!(s.setxattr(b"f", b"user.big", &[0; 65_537], SET), Err(Errno::E2BIG));
    }
    "user attributes are for files and directories only", "xattr(7)", USERS, |s| {
        for (name, kind) in one_of_each(s) {
            let answer = s.lsetxattr(name, b"user.a", b"1", SET);
            let may = matches!(kind, Kind::Regular | Kind::Directory);
            assert_eq!(answer, if may { Ok(()) } else { Err(Errno::EPERM) }, "{kind:?}");
            let expected = if may { None } else { Some(Errno::ENODATA) };
            assert_eq!(s.lgetxattr(name, b"user.a").err(), expected, "{kind:?}");
        }
    }
    "trusted attributes are root's alone", "xattr(7)", USERS, |s| {
        touch(s, b"f");
        s.chmod(b"f", 0o666).unwrap();
        s.setxattr(b"f", b"trusted.a", b"secret", SET).unwrap();
        assert_eq!(s.getxattr(b"f", b"trusted.a").unwrap(), b"secret");
        assert!(s.listxattr(b"f").unwrap().contains(&b"trusted.a".to_vec()));
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.getxattr(b"f", b"trusted.a").err(), Some(Errno::ENODATA));
        assert_eq!(user.setxattr(b"f", b"trusted.b", b"", SET), Err(Errno::EPERM));
        assert_eq!(user.removexattr(b"f", b"trusted.a"), Err(Errno::EPERM));
        assert!(!user.listxattr(b"f").unwrap().contains(&b"trusted.a".to_vec()));
    }
    "user attributes follow the permission bits", "xattr(7)", USERS, |s| {
        touch(s, b"f");
        s.setxattr(b"f", b"user.a", b"1", SET).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        s.chmod(b"f", 0o604).unwrap();
        assert_eq!(user.getxattr(b"f", b"user.a").unwrap(), b"1");
        assert_eq!(user.setxattr(b"f", b"user.a", b"2", SET), Err(Errno::EACCES));
        assert_eq!(user.removexattr(b"f", b"user.a"), Err(Errno::EACCES));
        s.chmod(b"f", 0o602).unwrap();
        assert_eq!(user.getxattr(b"f", b"user.a").err(), Some(Errno::EACCES));
        user.setxattr(b"f", b"user.a", b"2", SET).unwrap();
        s.mkdir(b"tmp", 0o755).unwrap();
        s.chmod(b"tmp", 0o1777).unwrap();
        assert_eq!(user.setxattr(b"tmp", b"user.a", b"", SET), Err(Errno::EPERM), "sticky");
    }
    "setting an attribute moves the attribute time only", "inode(7)", ANY, |s| {
        touch(s, b"f");
        let set = || s.setxattr(b"f", b"user.a", b"1", SET).unwrap();
        assert_eq!(times_moved(s, b"f", set), (false, true));
        let remove = || s.removexattr(b"f", b"user.a").unwrap();
        assert_eq!(times_moved(s, b"f", remove), (false, true));
    }
    "attributes belong to the file, not to its name", "xattr(7)", ANY, |s| {
        touch(s, b"a");
        s.setxattr(b"a", b"user.a", b"1", SET).unwrap();
        s.link(b"a", b"b").unwrap();
        s.rename(b"a", b"c", PLAIN).unwrap();
        assert_eq!(s.getxattr(b"b", b"user.a").unwrap(), b"1");
        assert_eq!(s.getxattr(b"c", b"user.a").unwrap(), b"1");
        touch(s, b"a");
        assert_eq!(s.getxattr(b"a", b"user.a").err(), Some(Errno::ENODATA), "a new file has none");
    }
    "a file capability dies with a write", "capabilities(7)", USERS, |s| {
        touch(s, b"f");
        // A version 2 record: cap_net_raw permitted.
        let capability = [1, 0, 0, 2, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        s.setxattr(b"f", b"security.capability", &capability, SET).unwrap();
        assert_eq!(s.getxattr(b"f", b"security.capability").unwrap(), capability);
        s.chmod(b"f", 0o666).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let fd = user.open(b"f", WO, 0).unwrap();
        user.write(fd, b"x").unwrap();
        user.close(fd).unwrap();
        assert_eq!(s.getxattr(b"f", b"security.capability").err(), Some(Errno::ENODATA));
    }
    "an access list lets a named user in", "acl(5)", ACL, |s| {
        s.write_file(b"f", b"x").unwrap();
        s.chmod(b"f", 0o640).unwrap();
        let (one, two) = (s.as_user(1000, 1000, &[]), s.as_user(2000, 2000, &[]));
        assert_eq!(one.open(b"f", RO, 0).err(), Some(Errno::EACCES));
        s.setxattr(b"f", ACL_ACCESS, &list(6, &[(1000, 6)], 4, 6, 0), SET).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o660, "the group bits are the mask");
        let fd = one.open(b"f", RW, 0).unwrap();
        one.close(fd).unwrap();
        assert_eq!(two.open(b"f", RO, 0).err(), Some(Errno::EACCES));
        s.chmod(b"f", 0o640).unwrap();
        assert_eq!(one.open(b"f", RW, 0).err(), Some(Errno::EACCES), "chmod changed the mask");
        assert_eq!(one.read_file(b"f").unwrap(), b"x");
        let now = Acl::parse(&s.getxattr(b"f", ACL_ACCESS).unwrap()).unwrap().unwrap();
        assert_eq!(now.mode_bits(), 0o640);
    }
    "an access list that says no more than a mode becomes one", "acl(5)", ACL, |s| {
        touch(s, b"f");
        let minimal = Acl::new(vec![
            AclEntry { tag: AclTag::Owner, rwx: 7 },
            AclEntry { tag: AclTag::OwningGroup, rwx: 5 },
            AclEntry { tag: AclTag::Other, rwx: 1 },
        ]);
        s.setxattr(b"f", ACL_ACCESS, &minimal.unwrap().to_bytes(), SET).unwrap();
        assert_eq!(s.stat(b"f").unwrap().mode, 0o751);
        assert_eq!(s.getxattr(b"f", ACL_ACCESS).err(), Some(Errno::ENODATA));
    }
    "new files inherit the default list instead of the umask", "acl(5)", ACL, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        s.setxattr(b"d", ACL_DEFAULT, &list(7, &[(1000, 7)], 5, 7, 0), SET).unwrap();
        s.umask(0o077);
        let fd = s.open(b"d/f", NEW, 0o666).unwrap();
        s.close(fd).unwrap();
        s.mkdir(b"d/sub", 0o777).unwrap();
        s.mknod(b"d/fifo", Kind::Fifo, 0o666, Device::default()).unwrap();
        s.umask(0);
        assert_eq!(s.stat(b"d/f").unwrap().mode, 0o660);
        assert_eq!(s.stat(b"d/sub").unwrap().mode, 0o770);
        assert_eq!(s.stat(b"d/fifo").unwrap().mode, 0o660);
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.read_file(b"d/f").unwrap(), b"");
        let inherited = s.getxattr(b"d/sub", ACL_DEFAULT).unwrap();
        assert_eq!(inherited, s.getxattr(b"d", ACL_DEFAULT).unwrap());
        assert_eq!(s.getxattr(b"d/f", ACL_DEFAULT).err(), Some(Errno::ENODATA));
    }
    "lists are set by the owner only and checked for sense", "acl(5)", ACL, |s| {
        touch(s, b"f");
        s.chmod(b"f", 0o666).unwrap();
        let user = s.as_user(1000, 1000, &[]);
        let value = list(7, &[(1000, 7)], 5, 7, 0);
        assert_eq!(user.setxattr(b"f", ACL_ACCESS, &value, SET), Err(Errno::EPERM));
        assert_eq!(s.setxattr(b"f", ACL_ACCESS, &value[..20], SET), Err(Errno::EINVAL));
        assert_eq!(s.setxattr(b"f", ACL_DEFAULT, &value, SET), Err(Errno::EACCES), "no directory");
        s.symlink(b"f", b"link").unwrap();
        assert_eq!(s.lsetxattr(b"link", ACL_ACCESS, &value, SET), Err(Errno::EOPNOTSUPP));
    }
    "a named group's entry counts for its members", "acl(5)", ACL, |s| {
        s.write_file(b"f", b"x").unwrap();
        let acl = Acl::new(vec![
            AclEntry { tag: AclTag::Owner, rwx: 6 },
            AclEntry { tag: AclTag::OwningGroup, rwx: 0 },
            AclEntry { tag: AclTag::Group(Gid(50)), rwx: 4 },
            AclEntry { tag: AclTag::Mask, rwx: 7 },
            AclEntry { tag: AclTag::Other, rwx: 0 },
        ]);
        s.setxattr(b"f", ACL_ACCESS, &acl.unwrap().to_bytes(), SET).unwrap();
        let member = s.as_user(1000, 1000, &[50]);
        assert_eq!(member.read_file(b"f").unwrap(), b"x");
        assert_eq!(member.open(b"f", WO, 0).err(), Some(Errno::EACCES));
    }
    "an access list can be taken away", "acl(5)", ACL, |s| {
        touch(s, b"f");
        s.setxattr(b"f", ACL_ACCESS, &list(6, &[(1000, 6)], 4, 6, 4), SET).unwrap();
        s.removexattr(b"f", ACL_ACCESS).unwrap();
        assert_eq!(s.getxattr(b"f", ACL_ACCESS).err(), Some(Errno::ENODATA));
        let user = s.as_user(1000, 1000, &[]);
        assert_eq!(user.open(b"f", WO, 0).err(), Some(Errno::EACCES));
    }
}

/// The value of a list with named users.
fn list(owner: u8, users: &[(u32, u8)], group: u8, mask: u8, other: u8) -> Vec<u8> {
    let mut entries = vec![AclEntry { tag: AclTag::Owner, rwx: owner }];
    let named = |&(uid, rwx): &(u32, u8)| AclEntry { tag: AclTag::User(Uid(uid)), rwx };
    entries.extend(users.iter().map(named));
    entries.push(AclEntry { tag: AclTag::OwningGroup, rwx: group });
    entries.push(AclEntry { tag: AclTag::Mask, rwx: mask });
    entries.push(AclEntry { tag: AclTag::Other, rwx: other });
    Acl::new(entries).unwrap().to_bytes()
}
