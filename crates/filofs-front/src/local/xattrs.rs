//! Extended attributes, xattr(7).

use super::walk::Place;
use super::{OrMissing, Process};
use filofs::{
    ACL_ACCESS, ACL_DEFAULT, Acl, Context, Errno, FileSystem, Kind, Result, VecSink, XattrFlags,
    permission,
};

/// The longest name of an attribute in bytes (XATTR_NAME_MAX).
const NAME_MAX: usize = 255;
/// The longest value, and the longest list of names, in bytes (XATTR_SIZE_MAX).
const SIZE_MAX: usize = 65_536;

impl Process {
    /// The value of an attribute, getxattr(2). Errors: ENODATA, EOPNOTSUPP, EACCES.
    pub fn getxattr(&self, path: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        self.get(path.as_ref(), key.as_ref(), true)
    }

    /// The same, of a symbolic link itself, lgetxattr(2).
    pub fn lgetxattr(&self, path: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<Vec<u8>> {
        self.get(path.as_ref(), key.as_ref(), false)
    }

    /// The value into a buffer and its size; only the size for an empty buffer; ERANGE for one
    /// that is too small.
    pub fn getxattr_into(
        &self,
        path: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        buffer: &mut [u8],
    ) -> Result<usize> {
        let cx = self.cx();
        let place = self.find(&cx, path.as_ref(), true)?;
        let key = checked(key.as_ref())?;
        self.may_get(&cx, &place, key)?;
        let mut out = filofs::SliceSink::new(buffer);
        self.mount().getxattr(&cx, &place.node, key, &mut out).or_missing(Errno::EOPNOTSUPP)
    }

    /// Sets an attribute, setxattr(2). Errors: EEXIST, ENODATA by the flags; E2BIG, ERANGE,
    /// EPERM, EACCES, EOPNOTSUPP.
    pub fn setxattr(
        &self,
        path: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.set_xattr(path.as_ref(), key.as_ref(), value, flags, true)
    }

    /// The same, of a symbolic link itself, lsetxattr(2).
    pub fn lsetxattr(
        &self,
        path: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        self.set_xattr(path.as_ref(), key.as_ref(), value, flags, false)
    }

    /// The names of all attributes that the caller may see, listxattr(2), in the file system's
    /// order.
    pub fn listxattr(&self, path: impl AsRef<[u8]>) -> Result<Vec<Vec<u8>>> {
        let cx = self.cx();
        let place = self.find(&cx, path.as_ref(), true)?;
        let mut list = VecSink::new(SIZE_MAX);
        self.mount().listxattr(&cx, &place.node, &mut list).or_missing(Errno::EOPNOTSUPP)?;
        let list = list.into_bytes();
        let names = list.split(|b| *b == 0).filter(|name| !name.is_empty());
        Ok(names.filter(|name| permission::shows_xattr(&cx, name)).map(<[u8]>::to_vec).collect())
    }

    /// Takes an attribute away, removexattr(2). Errors: ENODATA, EPERM, EACCES, EOPNOTSUPP.
    pub fn removexattr(&self, path: impl AsRef<[u8]>, key: impl AsRef<[u8]>) -> Result<()> {
        let cx = self.cx();
        let place = self.find(&cx, path.as_ref(), true)?;
        let key = checked(key.as_ref())?;
        self.may_set(&cx, &place, key)?;
        match self.mount().removexattr(&cx, &place.node, key).or_missing(Errno::EOPNOTSUPP) {
            // Taking away an ACL that is not there changes nothing.
            Err(Errno::ENODATA) if is_acl(key) => Ok(()),
            answer => answer,
        }
    }

    fn get(&self, path: &[u8], key: &[u8], follow: bool) -> Result<Vec<u8>> {
        let cx = self.cx();
        let place = self.find(&cx, path, follow)?;
        let key = checked(key)?;
        self.may_get(&cx, &place, key)?;
        let mut value = VecSink::new(SIZE_MAX);
        let size = self.mount().getxattr(&cx, &place.node, key, &mut value);
        let (size, value) = (size.or_missing(Errno::EOPNOTSUPP)?, value.into_bytes());
        if size == value.len() { Ok(value) } else { Err(Errno::EPROTO) }
    }

    fn set_xattr(
        &self,
        path: &[u8],
        key: &[u8],
        value: &[u8],
        mut flags: XattrFlags,
        follow: bool,
    ) -> Result<()> {
        let both = XattrFlags::CREATE | XattrFlags::REPLACE;
        if !both.contains(flags) {
            return Err(Errno::EINVAL);
        }
        let cx = self.cx();
        let place = self.find(&cx, path, follow)?;
        let key = checked(key)?;
        if value.len() > SIZE_MAX {
            return Err(Errno::E2BIG);
        }
        self.may_set(&cx, &place, key)?;
        if is_acl(key) {
            if Acl::parse(value)?.is_none() {
                return match self.mount().removexattr(&cx, &place.node, key) {
                    Err(Errno::ENODATA) => Ok(()),
                    answer => answer.or_missing(Errno::EOPNOTSUPP),
                };
            }
            let keeps = permission::privileged(&cx) || cx.in_group(place.attr.gid);
            flags.set(XattrFlags::KILL_SGID, key == ACL_ACCESS && !keeps);
        }
        let answer = self.mount().setxattr(&cx, &place.node, key, value, flags);
        answer.or_missing(Errno::EOPNOTSUPP)
    }

    fn may_get(&self, cx: &Context<'_>, place: &Place, key: &[u8]) -> Result<()> {
        if is_acl(key) && place.attr.kind == Kind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let acl = self.walk(cx).acl(place);
        permission::get_xattr(cx, &place.attr, acl.as_ref(), key)
    }

    fn may_set(&self, cx: &Context<'_>, place: &Place, key: &[u8]) -> Result<()> {
        if is_acl(key) && place.attr.kind == Kind::Symlink {
            return Err(Errno::EOPNOTSUPP);
        }
        let acl = self.walk(cx).acl(place);
        permission::set_xattr(cx, &place.attr, acl.as_ref(), key)?;
        if key == ACL_DEFAULT && place.attr.kind != Kind::Directory {
            return Err(Errno::EACCES);
        }
        Ok(())
    }
}

fn is_acl(key: &[u8]) -> bool {
    key == ACL_ACCESS || key == ACL_DEFAULT
}

fn checked(key: &[u8]) -> Result<&[u8]> {
    if key.is_empty() || key.len() > NAME_MAX { Err(Errno::ERANGE) } else { Ok(key) }
}
