//! `Extras`: extended attributes and ACLs, which most files have none of.
//!
//! References: xattr(7), acl(5). `system.posix_acl_*` are views of the ACLs; `user.*` is for
//! files and directories, `trusted.*` for the super-user; other namespaces do not exist.

use super::inode::{Inode, may_set_gid};
use super::space::Space;
use filofs::{
    ACL_ACCESS, ACL_DEFAULT, Acl, Context, Errno, Kind, Result, Sink, Time, Uid, XattrFlags, locked,
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
    meta.ctime = Time::now();
    Ok(())
}

pub(super) fn listxattr(cx: &Context<'_>, inode: &Inode, out: &mut dyn Sink) -> Result<usize> {
    let meta = locked(&inode.meta);
    let Some(extras) = &meta.extras else { return Ok(0) };
    let acls = [(&extras.access, ACL_ACCESS), (&extras.default, ACL_DEFAULT)];
    let acls = acls.into_iter().filter(|(acl, _)| acl.is_some()).map(|(_, key)| key);
    let seen = |key: &&[u8]| cx.uid == Uid::ROOT || !key.starts_with(b"trusted.");
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
    meta.ctime = Time::now();
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
        (rest, cx.uid == Uid::ROOT)
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

fn cost(key: &[u8], value: &[u8]) -> u64 {
    (key.len() + value.len()) as u64
}

fn cost_of_acl(acl: Option<&Acl>) -> u64 {
    acl.map_or(0, |acl| 4 + 8 * acl.entries().len() as u64)
}
