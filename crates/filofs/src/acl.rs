//! `Acl`: a POSIX access control list, acl(5), as Linux keeps it in extended attributes.

use crate::{Access, Attr, Context, Errno, Gid, Result, Uid};

/// The extended attribute that holds a file's access ACL.
pub const ACL_ACCESS: &[u8] = b"system.posix_acl_access";
/// The extended attribute that holds what a directory's new files inherit.
pub const ACL_DEFAULT: &[u8] = b"system.posix_acl_default";

/// Whom an entry is about.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum AclTag {
    /// The owner.
    Owner,
    /// Another user.
    User(Uid),
    /// The file's group.
    OwningGroup,
    /// Another group.
    Group(Gid),
    /// The most that any user or group entry may give.
    Mask,
    /// Everybody else.
    Other,
}

/// One entry: somebody may do something. `rwx` as in a mode, 0..=7.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AclEntry {
    /// Whom it is about.
    pub tag: AclTag,
    /// What they may do.
    pub rwx: u8,
}

/// A valid list: owner, users, owning group, groups, mask (needed when there are users or
/// groups), others, in that order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acl(Vec<AclEntry>);

impl Acl {
    /// The most entries a list may have: what fits into an attribute value of 64 KiB.
    pub const MOST_ENTRIES: usize = (65_536 - 4) / 8;

    const VERSION: u32 = 2;
    const NO_ID: u32 = u32::MAX;

    /// Checks the order and completeness of a list. EINVAL.
    pub fn new(entries: Vec<AclEntry>) -> Result<Acl> {
        let rank = |tag: AclTag| match tag {
            AclTag::Owner => 0,
            AclTag::User(_) => 1,
            AclTag::OwningGroup => 2,
            AclTag::Group(_) => 3,
            AclTag::Mask => 4,
            AclTag::Other => 5,
        };
        let mut seen = [0usize; 6];
        let mut last = 0;
        for entry in &entries {
            let rank = rank(entry.tag);
            if rank < last || entry.rwx > 7 {
                return Err(Errno::EINVAL);
            }
            last = rank;
            if let Some(count) = seen.get_mut(rank) {
                *count += 1;
            }
        }
        match seen {
            [1, 0, 1, 0, 0 | 1, 1] | [1, _, 1, _, 1, 1] => Ok(Acl(entries)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Reads the value of the extended attribute (linux/posix_acl_xattr.h). `None` for a value
    /// with no entries: it takes the ACL away. Errors: EINVAL; EOPNOTSUPP for another version.
    pub fn parse(value: &[u8]) -> Result<Option<Acl>> {
        let (version, body) = value.split_first_chunk::<4>().ok_or(Errno::EINVAL)?;
        if u32::from_le_bytes(*version) != Self::VERSION {
            return Err(Errno::EOPNOTSUPP);
        }
        if body.is_empty() {
            return Ok(None);
        }
        let (entries, rest) = body.as_chunks::<8>();
        if !rest.is_empty() || entries.len() > Self::MOST_ENTRIES {
            return Err(Errno::EINVAL);
        }
        let entries = entries.iter().map(|&[t0, t1, p0, p1, i0, i1, i2, i3]| {
            let id = u32::from_le_bytes([i0, i1, i2, i3]);
            let tag = match u16::from_le_bytes([t0, t1]) {
                0x01 => AclTag::Owner,
                0x02 if id != Self::NO_ID => AclTag::User(Uid(id)),
                0x04 => AclTag::OwningGroup,
                0x08 if id != Self::NO_ID => AclTag::Group(Gid(id)),
                0x10 => AclTag::Mask,
                0x20 => AclTag::Other,
                _ => return Err(Errno::EINVAL),
            };
            let rwx = u8::try_from(u16::from_le_bytes([p0, p1])).map_err(|_| Errno::EINVAL)?;
            Ok(AclEntry { tag, rwx })
        });
        Acl::new(entries.collect::<Result<_>>()?).map(Some)
    }

    /// The value of the extended attribute.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut value = Self::VERSION.to_le_bytes().to_vec();
        for AclEntry { tag, rwx } in &self.0 {
            let (tag, id) = match tag {
                AclTag::Owner => (0x01u16, Self::NO_ID),
                AclTag::User(uid) => (0x02, uid.0),
                AclTag::OwningGroup => (0x04, Self::NO_ID),
                AclTag::Group(gid) => (0x08, gid.0),
                AclTag::Mask => (0x10, Self::NO_ID),
                AclTag::Other => (0x20, Self::NO_ID),
            };
            value.extend_from_slice(&tag.to_le_bytes());
            value.extend_from_slice(&u16::from(*rwx).to_le_bytes());
            value.extend_from_slice(&id.to_le_bytes());
        }
        value
    }

    /// The entries.
    pub fn entries(&self) -> &[AclEntry] {
        &self.0
    }

    /// The permission bits that a mode shows for this list: the mask stands in the place of the
    /// group, where there is one.
    pub fn mode_bits(&self) -> u32 {
        self.bits(AclTag::Owner) << 6
            | self.bits(self.group_class()) << 3
            | self.bits(AclTag::Other)
    }

    /// Whether it says no more than the permission bits of a mode can.
    pub fn is_minimal(&self) -> bool {
        self.0.len() == 3
    }

    /// What the list becomes when the mode is changed.
    pub fn chmod(&mut self, mode: u32) {
        let group = self.group_class();
        for entry in &mut self.0 {
            match entry.tag {
                AclTag::Owner => entry.rwx = (mode >> 6 & 7) as u8,
                AclTag::Other => entry.rwx = (mode & 7) as u8,
                tag if tag == group => entry.rwx = (mode >> 3 & 7) as u8,
                _ => {}
            }
        }
    }

    /// What a new file gets in a directory with this default list: its permission bits (set-id
    /// and sticky bits stay as given) and, if the bits do not say it all, its access list. The
    /// umask does not apply. A new directory also gets a copy of the default list.
    pub fn inherit(&self, mode: u32) -> (u32, Option<Acl>) {
        let mut acl = self.clone();
        let group = acl.group_class();
        for entry in &mut acl.0 {
            match entry.tag {
                AclTag::Owner => entry.rwx &= (mode >> 6 & 7) as u8,
                AclTag::Other => entry.rwx &= (mode & 7) as u8,
                tag if tag == group => entry.rwx &= (mode >> 3 & 7) as u8,
                _ => {}
            }
        }
        let mode = mode & !0o777 | acl.mode_bits();
        (mode, if acl.is_minimal() { None } else { Some(acl) })
    }

    /// Whether the list lets the caller do all of that to the file; EACCES if not. The
    /// super-user's privileges are not looked at here.
    pub fn check(&self, cx: &Context<'_>, attr: &Attr, want: Access) -> Result<()> {
        let want = want.bits() as u8;
        let mask = self.0.iter().find(|e| e.tag == AclTag::Mask).map_or(7, |e| e.rwx);
        let mut group_found = false;
        for AclEntry { tag, rwx } in &self.0 {
            let given = match tag {
                AclTag::Owner if cx.uid == attr.uid => *rwx,
                AclTag::User(uid) if cx.uid == *uid => rwx & mask,
                AclTag::OwningGroup if cx.in_group(attr.gid) => {
                    group_found = true;
                    if rwx & want != want {
                        continue;
                    }
                    rwx & mask
                }
                AclTag::Group(gid) if cx.in_group(*gid) => {
                    group_found = true;
                    if rwx & want != want {
                        continue;
                    }
                    rwx & mask
                }
                AclTag::Other if !group_found => *rwx,
                _ => continue,
            };
            return if given & want == want { Ok(()) } else { Err(Errno::EACCES) };
        }
        Err(Errno::EACCES)
    }

    /// The entry that the group bits of a mode stand for.
    fn group_class(&self) -> AclTag {
        let masked = self.0.iter().any(|e| e.tag == AclTag::Mask);
        if masked { AclTag::Mask } else { AclTag::OwningGroup }
    }

    fn bits(&self, tag: AclTag) -> u32 {
        self.0.iter().find(|e| e.tag == tag).map_or(0, |e| e.rwx.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kind;

    fn acl(entries: &[(AclTag, u8)]) -> Result<Acl> {
        Acl::new(entries.iter().map(|&(tag, rwx)| AclEntry { tag, rwx }).collect())
    }

    fn full() -> Acl {
        acl(&[
            (AclTag::Owner, 7),
            (AclTag::User(Uid(1000)), 7),
            (AclTag::OwningGroup, 5),
            (AclTag::Group(Gid(50)), 6),
            (AclTag::Mask, 6),
            (AclTag::Other, 4),
        ])
        .unwrap()
    }

    #[test]
    fn values_round_trip() {
        let value = full().to_bytes();
        assert_eq!(value.len(), 4 + 6 * 8);
        assert_eq!(value[..12], [2, 0, 0, 0, 1, 0, 7, 0, 255, 255, 255, 255]);
        assert_eq!(Acl::parse(&value), Ok(Some(full())));
        assert_eq!(Acl::parse(&[2, 0, 0, 0]), Ok(None));
        assert_eq!(Acl::parse(&[1, 0, 0, 0]), Err(Errno::EOPNOTSUPP));
        for cut in 0..value.len() {
            assert!(cut == 4 || Acl::parse(&value[..cut]).is_err(), "cut at {cut}");
        }
    }

    #[test]
    fn order_and_completeness_are_checked() {
        use AclTag::{Group, Mask, Other, Owner, OwningGroup, User};
        assert!(acl(&[(Owner, 7), (OwningGroup, 5), (Other, 5)]).is_ok());
        assert!(acl(&[(Owner, 7), (OwningGroup, 5), (Mask, 5), (Other, 5)]).is_ok());
        assert!(acl(&[(Owner, 7), (Other, 5)]).is_err());
        assert!(acl(&[(OwningGroup, 7), (Owner, 7), (Other, 5)]).is_err());
        assert!(acl(&[(Owner, 7), (User(Uid(1)), 7), (OwningGroup, 5), (Other, 5)]).is_err());
        assert!(acl(&[(Owner, 7), (OwningGroup, 5), (Group(Gid(1)), 7), (Other, 5)]).is_err());
        assert!(acl(&[(Owner, 8), (OwningGroup, 5), (Other, 5)]).is_err());
        assert!(acl(&[(Owner, 7), (Owner, 7), (OwningGroup, 5), (Other, 5)]).is_err());
    }

    #[test]
    fn the_mask_stands_for_the_group_in_a_mode() {
        assert_eq!(full().mode_bits(), 0o764);
        let mut changed = full();
        changed.chmod(0o4640);
        assert_eq!(changed.mode_bits(), 0o640);
        assert_eq!(changed.entries()[2].rwx, 5, "the owning group keeps its own");
    }

    #[test]
    fn new_files_inherit_without_a_umask() {
        let (mode, access) = full().inherit(0o2666);
        assert_eq!(mode, 0o2664);
        assert_eq!(access.unwrap().mode_bits(), 0o664);
        let plain =
            acl(&[(AclTag::Owner, 7), (AclTag::OwningGroup, 5), (AclTag::Other, 1)]).unwrap();
        assert_eq!(plain.inherit(0o666), (0o640, None));
    }

    #[test]
    fn the_first_class_that_fits_decides() {
        let attr = Attr { uid: Uid(1), gid: Gid(10), ..Attr::new(1, Kind::Regular) };
        let groups = vec![Gid(50)];
        let who = |uid, gid| Context { uid: Uid(uid), gid: Gid(gid), ..Context::internal() };
        let rx = Access::READ | Access::EXEC;
        assert_eq!(full().check(&who(1, 99), &attr, rx), Ok(()));
        assert_eq!(full().check(&who(1000, 99), &attr, Access::EXEC), Err(Errno::EACCES), "masked");
        assert_eq!(full().check(&who(1000, 99), &attr, Access::WRITE), Ok(()));
        assert_eq!(full().check(&who(7, 10), &attr, Access::WRITE), Err(Errno::EACCES));
        assert_eq!(full().check(&who(7, 10), &attr, Access::READ), Ok(()));
        assert_eq!(full().check(&who(7, 7), &attr, Access::READ), Ok(()));
        assert_eq!(full().check(&who(7, 7), &attr, Access::WRITE), Err(Errno::EACCES));
        let both = Context { groups: &groups, ..who(7, 10) };
        assert_eq!(full().check(&both, &attr, Access::WRITE), Ok(()), "any of the groups will do");
        assert_eq!(full().check(&both, &attr, Access::READ | Access::WRITE), Ok(()));
        let none = acl(&[
            (AclTag::Owner, 0),
            (AclTag::OwningGroup, 0),
            (AclTag::Group(Gid(50)), 0),
            (AclTag::Mask, 7),
            (AclTag::Other, 7),
        ]);
        assert_eq!(none.unwrap().check(&both, &attr, Access::READ), Err(Errno::EACCES));
    }
}
