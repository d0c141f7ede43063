//! `Extras`: extended attributes and ACLs, which most files have none of.
//!
//! References: xattr(7), acl(5). `system.posix_acl_*` are views of the ACLs; `user.*` is for
//! files and directories, `trusted.*` for the super-user; other namespaces do not exist.

use super::inode::{Inode, may_set_gid};
use super::space::Space;
use super::{now, trusted};
use filofs::{
    ACL_ACCESS, ACL_DEFAULT, Acl, Context, Errno, Kind, Result, Sink, XattrFlags, locked,
};
use std::collections::BTreeMap;

/// The longest name, in bytes (XATTR_NAME_MAX).
const LONGEST_NAME: usize = 255;
/// The longest value, in bytes (XATTR_SIZE_MAX).
const LONGEST_VALUE: usize = 65_536;
/// The most bytes of names on one file, each with its NUL (XATTR_LIST_MAX).
const LONGEST_LIST: usize = 65_536;

const CAPABILITIES: &[u8] = b"security.capability";

#[derive(Default)]
pub(super) struct Extras {
    named: BTreeMap<Box<[u8]>, Box<[u8]>>,
    access: Option<Acl>,
    default: Option<Acl>,
    /// Bytes taken from the space.
    charged: u64,
}

impl Extras {
    pub(super) fn charged(&self) -> u64 {
        self.charged
    }

    pub(super) fn default_acl(&self) -> Option<&Acl> {
        self.default.as_ref()
    }

    /// What a new file gets in a directory with these: its mode, and extras of its own.
    pub(super) fn inherit(&self, kind: Kind, mode: u32) -> (u32, Option<Box<Extras>>) {
        let Some(default) = &self.default else { return (mode, None) };
        let (mode, access) = default.inherit(mode);
        let default = (kind == Kind::Directory).then(|| default.clone());
        if access.is_none() && default.is_none() {
            return (mode, None);
        }
        let charged = cost_of_acl(access.as_ref()) + cost_of_acl(default.as_ref());
        let extras = Extras { access, default, charged, named: BTreeMap::new() };
        (mode, Some(Box::new(extras)))
    }

    /// The mode was changed.
    pub(super) fn chmod(&mut self, mode: u32) {
        if let Some(acl) = &mut self.access {
            acl.chmod(mode);
        }
    }

    /// Answers the bytes to give back.
    pub(super) fn kill_capabilities(&mut self) -> u64 {
        let Some(value) = self.named.remove(CAPABILITIES) else { return 0 };
        let freed = cost(CAPABILITIES, &value);
        self.charged -= freed;
        freed
    }

    fn acl(&mut self, key: AclKey) -> &mut Option<Acl> {
        match key {
            AclKey::Access => &mut self.access,
            AclKey::Default => &mut self.default,
        }
    }

    fn set_acl(&mut self, space: &Space, key: AclKey, acl: Option<Acl>) -> Result<()> {
        let before = cost_of_acl(self.acl(key).as_ref());
        self.charge(space, before, cost_of_acl(acl.as_ref()))?;
        *self.acl(key) = acl;
        Ok(())
    }

    fn charge(&mut self, space: &Space, before: u64, after: u64) -> Result<()> {
        if after > before {
            space.bytes.take(after - before)?;
        } else {
            space.bytes.give(before - after);
        }
        self.charged = self.charged + after - before;
        Ok(())
    }

    /// Bytes of the list of all names.
    fn list_len(&self) -> usize {
        self.named.keys().map(|key| key.len() + 1).sum::<usize>()
            + self.access.as_ref().map_or(0, |_| ACL_ACCESS.len() + 1)
            + self.default.as_ref().map_or(0, |_| ACL_DEFAULT.len() + 1)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum AclKey {
    Access,
    Default,
}

enum Key {
    Acl(AclKey),
    Named,
}

pub(super) fn getxattr(
    cx: &Context<'_>,
    inode: &Inode,
    key: &[u8],
    out: &mut dyn Sink,
) -> Result<usize> {
    let kind = classify(cx, inode, key, Errno::ENODATA)?;
    let mut meta = locked(&inode.meta);
    let extras = meta.extras.as_mut().ok_or(Errno::ENODATA)?;
    match kind {
        Key::Acl(which) => {
            let acl = extras.acl(which).as_ref().ok_or(Errno::ENODATA)?;
            put_sized(out, &acl.to_bytes())
        }
        Key::Named => put_sized(out, extras.named.get(key).ok_or(Errno::ENODATA)?),
    }
}

pub(super) fn setxattr(
    cx: &Context<'_>,
    inode: &Inode,
    key: &[u8],
    value: &[u8],
    flags: XattrFlags,
) -> Result<()> {
    let kind = classify(cx, inode, key, Errno::EPERM)?;
    if value.len() > LONGEST_VALUE {
        return Err(Errno::E2BIG);
    }
    let acl = match kind {
        Key::Acl(_) => Acl::parse(value)?,
        Key::Named => None,
    };
    let mut guard = locked(&inode.meta);
    let meta = &mut *guard;
    if meta.flags.frozen() {
        return Err(Errno::EPERM);
    }
    let extras = meta.extras.get_or_insert_default();
    let space = &inode.volume.space;
    match kind {
        Key::Acl(AclKey::Default) => {
            if inode.kind != Kind::Directory {
                return if acl.is_some() { Err(Errno::EACCES) } else { Ok(()) };
            }
            extras.set_acl(space, AclKey::Default, acl)?;
        }
        Key::Acl(AclKey::Access) => {
            let bits = acl.as_ref().map(Acl::mode_bits);
            extras.set_acl(space, AclKey::Access, acl.filter(|acl| !acl.is_minimal()))?;
            if let Some(bits) = bits {
                meta.mode = meta.mode & !0o777 | bits;
                if flags.contains(XattrFlags::KILL_SGID) || !may_set_gid(cx, meta.gid) {
                    meta.mode &= !0o2000;
                }
            }
        }
        Key::Named => {
            let before = match extras.named.get(key) {
                Some(_) if flags.contains(XattrFlags::CREATE) => return Err(Errno::EEXIST),
                Some(old) => cost(key, old),
                None if flags.contains(XattrFlags::REPLACE) => return Err(Errno::ENODATA),
                None if extras.list_len() + key.len() + 1 > LONGEST_LIST => {
                    return Err(Errno::ENOSPC);
                }
                None => 0,
            };
            extras.charge(space, before, cost(key, value))?;
            extras.named.insert(key.into(), value.into());
        }
    }
    meta.ctime = now();
    Ok(())
}

pub(super) fn listxattr(cx: &Context<'_>, inode: &Inode, out: &mut dyn Sink) -> Result<usize> {
    let meta = locked(&inode.meta);
    let Some(extras) = &meta.extras else { return Ok(0) };
    let acls = [(&extras.access, ACL_ACCESS), (&extras.default, ACL_DEFAULT)];
    let acls = acls.into_iter().filter(|(acl, _)| acl.is_some()).map(|(_, key)| key);
    let seen = |key: &&[u8]| trusted(cx) || !key.starts_with(b"trusted.");
    let keys = acls.chain(extras.named.keys().map(|key| &**key).filter(seen));
    let mut list = Vec::with_capacity(extras.list_len());
    for key in keys {
        list.extend_from_slice(key);
        list.push(0);
    }
    put_sized(out, &list)
}

pub(super) fn removexattr(cx: &Context<'_>, inode: &Inode, key: &[u8]) -> Result<()> {
    let kind = classify(cx, inode, key, Errno::EPERM)?;
    let mut guard = locked(&inode.meta);
    let meta = &mut *guard;
    if meta.flags.frozen() {
        return Err(Errno::EPERM);
    }
    let space = &inode.volume.space;
    match (kind, &mut meta.extras) {
        // An ACL that is not there is as good as taken away.
        (Key::Acl(_), None) => return Ok(()),
        (Key::Acl(which), Some(extras)) => extras.set_acl(space, which, None)?,
        (Key::Named, None) => return Err(Errno::ENODATA),
        (Key::Named, Some(extras)) => {
            let old = extras.named.remove(key).ok_or(Errno::ENODATA)?;
            extras.charge(space, cost(key, &old), 0)?;
        }
    }
    meta.ctime = now();
    Ok(())
}

/// Which attribute it is. `denied` is for those the caller or the kind of file may not have.
fn classify(cx: &Context<'_>, inode: &Inode, key: &[u8], denied: Errno) -> Result<Key> {
    if key.is_empty() || key.len() > LONGEST_NAME {
        return Err(Errno::ERANGE);
    }
    if key == ACL_ACCESS || key == ACL_DEFAULT {
        let which = if key == ACL_ACCESS { AclKey::Access } else { AclKey::Default };
        let symlink = inode.kind == Kind::Symlink;
        return if symlink { Err(Errno::EOPNOTSUPP) } else { Ok(Key::Acl(which)) };
    }
    let (rest, allowed) = if let Some(rest) = key.strip_prefix(b"user.") {
        (rest, matches!(inode.kind, Kind::Regular | Kind::Directory))
    } else if let Some(rest) = key.strip_prefix(b"trusted.") {
        (rest, trusted(cx))
    } else if let Some(rest) = key.strip_prefix(b"security.") {
        (rest, true)
    } else {
        return Err(Errno::EOPNOTSUPP);
    };
    if rest.is_empty() || rest.contains(&0) {
        return Err(Errno::EINVAL);
    }
    if allowed { Ok(Key::Named) } else { Err(denied) }
}

/// Puts it if there is room for it; a sink without any asks only for the size. ERANGE.
fn put_sized(out: &mut dyn Sink, bytes: &[u8]) -> Result<usize> {
    match out.room() {
        0 => {}
        room if room < bytes.len() => return Err(Errno::ERANGE),
        _ => {
            out.put(bytes);
        }
    }
    Ok(bytes.len())
}

/// What an attribute is charged: its bytes and, so that many small ones cannot outgrow the limit
/// of the file system, about what keeping them takes.
fn cost(key: &[u8], value: &[u8]) -> u64 {
    const KEEPING: usize = 64;
    (KEEPING + key.len() + value.len()) as u64
}

fn cost_of_acl(acl: Option<&Acl>) -> u64 {
    acl.map_or(0, |acl| 4 + 8 * acl.entries().len() as u64)
}

#[cfg(test)]
mod tests {
    use super::super::testfs::TestFs;
    use super::*;
    use filofs::{AclEntry, AclTag, FileSystem, Gid, MakeHow, Uid, VecSink};

    fn acl(entries: &[(AclTag, u8)]) -> Vec<u8> {
        let entries = entries.iter().map(|&(tag, rwx)| AclEntry { tag, rwx }).collect();
        Acl::new(entries).unwrap().to_bytes()
    }

    fn full() -> Vec<u8> {
        acl(&[
            (AclTag::Owner, 7),
            (AclTag::User(Uid(1000)), 7),
            (AclTag::OwningGroup, 5),
            (AclTag::Mask, 7),
            (AclTag::Other, 0),
        ])
    }

    const ACCESS: &str = "system.posix_acl_access";
    const DEFAULT: &str = "system.posix_acl_default";

    fn list(fs: &TestFs, node: &filofs::Node) -> String {
        let mut sink = VecSink::new(1 << 16);
        let len = fs.mem.listxattr(&fs.cx, node, &mut sink).unwrap();
        let bytes = sink.into_bytes();
        assert_eq!(bytes.len(), len);
        String::from_utf8(bytes).unwrap().replace('\0', " ")
    }

    #[test]
    fn values_come_back_by_size_and_flags() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        fs.setxattr(&node, "user.b", b"value").unwrap();
        fs.setxattr(&node, "user.a", b"").unwrap();
        assert_eq!(fs.getxattr(&node, "user.b"), Ok(b"value".to_vec()));
        assert_eq!(fs.getxattr(&node, "user.a"), Ok(Vec::new()));
        assert_eq!(list(&fs, &node), "user.a user.b ");
        let get = |room| {
            let mut sink = VecSink::new(room);
            let len = fs.mem.getxattr(&fs.cx, &node, b"user.b", &mut sink)?;
            Ok((len, sink.into_bytes().len()))
        };
        assert_eq!(get(0), Ok((5, 0)));
        assert_eq!(get(4), Err(Errno::ERANGE));
        assert_eq!(get(5), Ok((5, 5)));
        let mut sink = VecSink::new(13);
        assert_eq!(fs.mem.listxattr(&fs.cx, &node, &mut sink), Err(Errno::ERANGE));
        let set = |key: &str, flags| fs.mem.setxattr(&fs.cx, &node, key.as_bytes(), b"n", flags);
        assert_eq!(set("user.a", XattrFlags::CREATE), Err(Errno::EEXIST));
        assert_eq!(set("user.c", XattrFlags::REPLACE), Err(Errno::ENODATA));
        set("user.c", XattrFlags::CREATE).unwrap();
        set("user.a", XattrFlags::REPLACE).unwrap();
        assert_eq!(fs.getxattr(&node, "user.a"), Ok(b"n".to_vec()));
        let remove = |key: &str| fs.mem.removexattr(&fs.cx, &node, key.as_bytes());
        remove("user.a").unwrap();
        assert_eq!(remove("user.a"), Err(Errno::ENODATA));
        assert_eq!(fs.getxattr(&node, "user.a"), Err(Errno::ENODATA));
        fs.unlink("f").unwrap();
        drop(node);
        fs.assert_empty();
    }

    #[test]
    fn sizes_have_limits() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let longest = format!("user.{}", "x".repeat(250));
        fs.setxattr(&node, &longest, &vec![1; 65_536]).unwrap();
        let too_long = format!("{longest}x");
        assert_eq!(fs.setxattr(&node, &too_long, b""), Err(Errno::ERANGE));
        assert_eq!(fs.getxattr(&node, &too_long), Err(Errno::ERANGE));
        assert_eq!(fs.setxattr(&node, "user.big", &vec![1; 65_537]), Err(Errno::E2BIG));
        let mut count = 1;
        let full = loop {
            match fs.setxattr(&node, &format!("user.{count:0250}"), b"") {
                Ok(()) => count += 1,
                Err(errno) => break errno,
            }
        };
        assert_eq!((full, count), (Errno::ENOSPC, 256));
        assert_eq!(list(&fs, &node).len(), 65_536);
    }

    #[test]
    fn namespaces() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let symlink = fs.make("l", Kind::Symlink, MakeHow::default()).unwrap();
        for (key, errno) in [
            ("user.", Errno::EINVAL),
            ("trusted.", Errno::EINVAL),
            ("none.x", Errno::EOPNOTSUPP),
            ("system.other", Errno::EOPNOTSUPP),
            ("", Errno::ERANGE),
        ] {
            assert_eq!(fs.setxattr(&node, key, b"v"), Err(errno), "{key}");
            assert_eq!(fs.getxattr(&node, key), Err(errno), "{key}");
        }
        assert_eq!(fs.setxattr(&symlink, "user.a", b"v"), Err(Errno::EPERM));
        assert_eq!(fs.getxattr(&symlink, "user.a"), Err(Errno::ENODATA));
        fs.setxattr(&symlink, "security.a", b"v").unwrap();
        assert_eq!(fs.setxattr(&symlink, ACCESS, &full()), Err(Errno::EOPNOTSUPP));
        fs.setxattr(&node, "trusted.a", b"v").unwrap();
        let user = fs.by(1000, 1000);
        assert_eq!(user.setxattr(&node, "trusted.a", b"v"), Err(Errno::EPERM));
        assert_eq!(user.getxattr(&node, "trusted.a"), Err(Errno::ENODATA));
        assert_eq!(
            (list(&fs, &node), list(&user, &node)),
            ("trusted.a ".to_owned(), String::new())
        );
    }

    #[test]
    fn an_access_acl_and_the_mode_are_one() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        assert_eq!(fs.getxattr(&node, ACCESS), Err(Errno::ENODATA));
        fs.setxattr(&node, ACCESS, &full()).unwrap();
        assert_eq!(fs.attr(&node).unwrap().mode, 0o770);
        assert_eq!(fs.getxattr(&node, ACCESS), Ok(full()));
        assert_eq!(list(&fs, &node), "system.posix_acl_access ");
        fs.chmod(&node, 0o640).unwrap();
        let masked = acl(&[
            (AclTag::Owner, 6),
            (AclTag::User(Uid(1000)), 7),
            (AclTag::OwningGroup, 5),
            (AclTag::Mask, 4),
            (AclTag::Other, 0),
        ]);
        assert_eq!(fs.getxattr(&node, ACCESS), Ok(masked));
        // One that says no more than a mode is not kept.
        let plain = acl(&[(AclTag::Owner, 6), (AclTag::OwningGroup, 2), (AclTag::Other, 1)]);
        fs.setxattr(&node, ACCESS, &plain).unwrap();
        assert_eq!(fs.attr(&node).unwrap().mode, 0o621);
        assert_eq!(fs.getxattr(&node, ACCESS), Err(Errno::ENODATA));
        fs.setxattr(&node, ACCESS, &full()).unwrap();
        fs.mem.removexattr(&fs.cx, &node, ACCESS.as_bytes()).unwrap();
        fs.mem.removexattr(&fs.cx, &node, ACCESS.as_bytes()).unwrap();
        assert_eq!(fs.getxattr(&node, ACCESS), Err(Errno::ENODATA));
        fs.setxattr(&node, ACCESS, &full()).unwrap();
        fs.setxattr(&node, ACCESS, &[2, 0, 0, 0]).unwrap();
        assert_eq!(fs.getxattr(&node, ACCESS), Err(Errno::ENODATA), "no entries: none");
        assert_eq!(fs.setxattr(&node, ACCESS, b"junk"), Err(Errno::EOPNOTSUPP));
        assert_eq!(fs.setxattr(&node, DEFAULT, &full()), Err(Errno::EACCES));
        fs.unlink("f").unwrap();
        drop(node);
        fs.assert_empty();
    }

    #[test]
    fn an_access_acl_takes_the_group_bit_of_a_stranger() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        let set = |fs: &TestFs, flags| {
            fs.chmod(&node, 0o2755).unwrap();
            fs.mem.setxattr(&fs.cx, &node, ACL_ACCESS, &full(), flags).unwrap();
            fs.attr(&node).unwrap().mode
        };
        assert_eq!(set(&fs, XattrFlags::empty()), 0o2770);
        assert_eq!(set(&fs, XattrFlags::KILL_SGID), 0o770);
        assert_eq!(set(&fs.by(0, 9), XattrFlags::empty()), 0o2770);
        assert_eq!(set(&fs.by(5, 9), XattrFlags::empty()), 0o770);
    }

    #[test]
    fn a_default_acl_is_inherited_and_then_the_umask_is_not_applied() {
        let fs = TestFs::new();
        let dir = fs.mkdir("d");
        fs.setxattr(&dir, DEFAULT, &full()).unwrap();
        assert_eq!(fs.attr(&dir).unwrap().mode, 0o755);
        let how = MakeHow { umask: 0o077, ..MakeHow::mode(0o666) };
        let file = fs.make("d/f", Kind::Regular, how).unwrap();
        assert_eq!(fs.attr(&file).unwrap().mode, 0o660);
        let access = acl(&[
            (AclTag::Owner, 6),
            (AclTag::User(Uid(1000)), 7),
            (AclTag::OwningGroup, 5),
            (AclTag::Mask, 6),
            (AclTag::Other, 0),
        ]);
        assert_eq!(fs.getxattr(&file, ACCESS), Ok(access));
        assert_eq!(fs.getxattr(&file, DEFAULT), Err(Errno::ENODATA));
        let how = MakeHow { umask: 0o077, ..MakeHow::mode(0o777) };
        let sub = fs.make("d/s", Kind::Directory, how).unwrap();
        assert_eq!(fs.getxattr(&sub, DEFAULT), Ok(full()));
        assert_eq!(fs.getxattr(&sub, ACCESS), Ok(full()));
        let symlink = fs.make("d/l", Kind::Symlink, how).unwrap();
        assert_eq!(fs.attr(&symlink).unwrap().mode, 0o777);
        // A plain default list leaves nothing but a mode.
        let plain = acl(&[(AclTag::Owner, 7), (AclTag::OwningGroup, 5), (AclTag::Other, 5)]);
        fs.setxattr(&dir, DEFAULT, &plain).unwrap();
        let plain = fs.make("d/g", Kind::Regular, how).unwrap();
        assert_eq!(fs.attr(&plain).unwrap().mode, 0o755);
        assert_eq!(list(&fs, &plain), "");
        let gid = filofs::SetAttr { gid: Some(Gid(5)), ..Default::default() };
        assert_eq!(fs.set(&plain, gid).unwrap().mode, 0o755);
        for path in ["d/f", "d/g", "d/l"] {
            fs.unlink(path).unwrap();
        }
        fs.rmdir("d/s").unwrap();
        fs.rmdir("d").unwrap();
        drop((dir, file, plain, sub, symlink));
        fs.assert_empty();
    }
}
