//! `permission`: may this caller? Linux's rules, as pure functions over attributes and a context.
//!
//! One checker for everybody who has to decide without a kernel: the in-process front end, and
//! bases that must decide something themselves. The rules are those of inode(7),
//! path_resolution(7), chown(2), chmod(2), utimensat(2), xattr(7) and acl(5); where the manual
//! pages leave a case open, the answer is what Linux 6.18 does (`fs/namei.c`, `fs/attr.c`,
//! `fs/xattr.c`).
//!
//! User 0 has every capability, everybody else has none: a context carries no capability sets.
//! The restrictions of `fs.protected_hardlinks` and its siblings are a kernel's settings and not
//! part of these rules.

use crate::{Access, Acl, Attr, Context, Errno, Gid, Kind, Result, SetAttr, SetTime, Uid};

/// The set-user-id bit of a mode.
pub const S_ISUID: u32 = 0o4000;
/// The set-group-id bit of a mode.
pub const S_ISGID: u32 = 0o2000;
/// The sticky bit of a mode.
pub const S_ISVTX: u32 = 0o1000;

/// Whether the caller is the super-user, who has every capability.
pub fn privileged(cx: &Context<'_>) -> bool {
    cx.uid == Uid::ROOT
}

/// Whether the caller owns the file, or may act as if.
pub fn owns(cx: &Context<'_>, attr: &Attr) -> bool {
    cx.uid == attr.uid || privileged(cx)
}

/// Whether the caller may do all that it wants with a file, given the file's access ACL if it
/// has one. Exactly one class decides: owner, named entries and groups, others.
///
/// The super-user may do everything, but for executing a file that nobody may execute.
///
/// Errors: EACCES.
pub fn access(cx: &Context<'_>, attr: &Attr, acl: Option<&Acl>, want: Access) -> Result<()> {
    if want.is_empty() {
        return Ok(());
    }
    if privileged(cx) {
        let execs = want.contains(Access::EXEC) && attr.kind != Kind::Directory;
        return if execs && attr.mode & 0o111 == 0 { Err(Errno::EACCES) } else { Ok(()) };
    }
    let given = match acl {
        // The owner's entry is the mode's owner bits; and where the group bits are empty, so is
        // the mask, and no entry but the owner's and others' can give anything.
        Some(acl) if cx.uid != attr.uid && attr.mode & 0o070 != 0 => {
            return acl.check(cx, attr, want);
        }
        _ if cx.uid == attr.uid => attr.mode >> 6,
        _ if cx.in_group(attr.gid) => attr.mode >> 3,
        _ => attr.mode,
    };
    let given = Access::from_bits_truncate(given);
    if given.contains(want) { Ok(()) } else { Err(Errno::EACCES) }
}

/// Whether the caller may walk through a directory. Errors: ENOTDIR, EACCES.
pub fn search(cx: &Context<'_>, dir: &Attr, acl: Option<&Acl>) -> Result<()> {
    if dir.kind != Kind::Directory {
        return Err(Errno::ENOTDIR);
    }
    access(cx, dir, acl, Access::EXEC)
}

/// Whether the caller may put a name into a directory. Errors: ENOTDIR, EACCES.
pub fn may_create(cx: &Context<'_>, dir: &Attr, acl: Option<&Acl>) -> Result<()> {
    if dir.kind != Kind::Directory {
        return Err(Errno::ENOTDIR);
    }
    access(cx, dir, acl, Access::WRITE | Access::EXEC)
}

/// Whether the caller may take a name of `victim` out of a directory: write permission there,
/// and in a sticky directory ownership of either.
///
/// Errors: ENOTDIR, EACCES; EPERM for a sticky directory.
pub fn may_delete(cx: &Context<'_>, dir: &Attr, acl: Option<&Acl>, victim: &Attr) -> Result<()> {
    may_create(cx, dir, acl)?;
    if dir.mode & S_ISVTX != 0 && !owns(cx, dir) && !owns(cx, victim) {
        return Err(Errno::EPERM);
    }
    Ok(())
}

/// The attributes that a caller asked to change, as they may be changed: with the set-group-id
/// bit taken out of a mode that the caller may not give (chmod(2)), and with the set-id bits
/// marked to be cleared by a change of owner (chown(2)), which is also what a set of nothing is:
/// a chown that leaves both as they are.
///
/// The size is not looked at: whether it may change was decided by the open, or by [`access`].
///
/// Errors: EPERM for the owner, group, mode or times of another's file; EACCES for setting both
/// times to now without ownership or write permission.
pub fn set_attr(
    cx: &Context<'_>,
    attr: &Attr,
    acl: Option<&Acl>,
    set: &SetAttr,
) -> Result<SetAttr> {
    let mut allowed = *set;
    if let Some(uid) = set.uid
        && !privileged(cx)
        && (cx.uid != attr.uid || uid != attr.uid)
    {
        return Err(Errno::EPERM);
    }
    if let Some(gid) = set.gid
        && !privileged(cx)
        && (cx.uid != attr.uid || (gid != attr.gid && !cx.in_group(gid)))
    {
        return Err(Errno::EPERM);
    }
    if let Some(mode) = set.mode {
        if !owns(cx, attr) {
            return Err(Errno::EPERM);
        }
        allowed.mode = Some(chmod_bits(cx, set.gid.unwrap_or(attr.gid), mode));
    }
    match (set.atime, set.mtime) {
        (None, None) => {}
        _ if owns(cx, attr) => {}
        (Some(SetTime::Now), Some(SetTime::Now)) => access(cx, attr, acl, Access::WRITE)?,
        _ => return Err(Errno::EPERM),
    }
    let chown = set.uid.is_some() || set.gid.is_some() || set.is_empty();
    if chown && attr.kind != Kind::Directory {
        allowed.kill_priv = true;
    }
    Ok(allowed)
}

/// The mode that chmod(2) gives a file of that group: set-group-id only from who is in it.
pub fn chmod_bits(cx: &Context<'_>, gid: Gid, mode: u32) -> u32 {
    let mode = mode & 0o7777;
    if privileged(cx) || cx.in_group(gid) { mode } else { mode & !S_ISGID }
}

/// The mode of a file after data was written to it, its size or its owner changed, by somebody
/// who may not keep set-id bits. Set-group-id without group execution is no set-id bit (it once
/// meant mandatory locking) and stays, if the caller is in the group.
pub fn without_set_id(cx: &Context<'_>, attr: &Attr) -> u32 {
    if attr.kind == Kind::Directory {
        return attr.mode;
    }
    let mut mode = attr.mode & !S_ISUID;
    if mode & 0o010 != 0 || !(privileged(cx) || cx.in_group(attr.gid)) {
        mode &= !S_ISGID;
    }
    mode
}

/// Whether a write, truncation or fallocate by this caller must clear set-id bits and file
/// capabilities: everybody's but the super-user's (CAP_FSETID).
pub fn loses_set_id(cx: &Context<'_>) -> bool {
    !privileged(cx)
}

/// What a new file gets: group and mode, with `mode` already masked. In a set-group-id directory
/// the group is the directory's, and a directory gets the bit too; a file loses it when it may
/// be executed by a group its maker is not in.
pub fn new_file(cx: &Context<'_>, dir: &Attr, kind: Kind, mode: u32) -> (Gid, u32) {
    let mode = mode & 0o7777;
    if dir.mode & S_ISGID == 0 {
        return (cx.gid, mode);
    }
    if kind == Kind::Directory {
        return (dir.gid, mode | S_ISGID);
    }
    let runs_as_group = mode & (S_ISGID | 0o010) == S_ISGID | 0o010;
    let keeps = !runs_as_group || privileged(cx) || cx.in_group(dir.gid);
    (dir.gid, if keeps { mode } else { mode & !S_ISGID })
}

/// Whether the caller may read an extended attribute of that name, xattr(7).
///
/// Errors: ENODATA where the caller is not to know that there is none; EACCES.
pub fn get_xattr(cx: &Context<'_>, attr: &Attr, acl: Option<&Acl>, key: &[u8]) -> Result<()> {
    if key.starts_with(b"trusted.") {
        return if privileged(cx) { Ok(()) } else { Err(Errno::ENODATA) };
    }
    if key.starts_with(b"security.") || key.starts_with(b"system.") {
        return Ok(());
    }
    if key.starts_with(b"user.") && !has_user_xattrs(attr.kind) {
        return Err(Errno::ENODATA);
    }
    access(cx, attr, acl, Access::READ)
}

/// Whether the caller may set or remove an extended attribute of that name, xattr(7).
///
/// Errors: EPERM, EACCES.
pub fn set_xattr(cx: &Context<'_>, attr: &Attr, acl: Option<&Acl>, key: &[u8]) -> Result<()> {
    let only_if = |may: bool| if may { Ok(()) } else { Err(Errno::EPERM) };
    if key.starts_with(b"trusted.") || key.starts_with(b"security.") {
        return only_if(privileged(cx));
    }
    if key.starts_with(b"system.") {
        return only_if(owns(cx, attr));
    }
    if key.starts_with(b"user.") {
        only_if(has_user_xattrs(attr.kind))?;
        if attr.kind == Kind::Directory && attr.mode & S_ISVTX != 0 {
            only_if(owns(cx, attr))?;
        }
    }
    access(cx, attr, acl, Access::WRITE)
}

/// Whether listxattr(2) shows that name to the caller.
pub fn shows_xattr(cx: &Context<'_>, key: &[u8]) -> bool {
    privileged(cx) || !key.starts_with(b"trusted.")
}

fn has_user_xattrs(kind: Kind) -> bool {
    matches!(kind, Kind::Regular | Kind::Directory)
}

#[cfg(test)]
#[allow(clippy::type_complexity)] // the tables below are types of their own
mod tests {
    use super::*;
    use crate::Time;

    fn file(mode: u32, uid: u32, gid: u32) -> Attr {
        Attr { mode, uid: Uid(uid), gid: Gid(gid), ..Attr::new(7, Kind::Regular) }
    }

    fn dir(mode: u32, uid: u32, gid: u32) -> Attr {
        Attr { kind: Kind::Directory, ..file(mode, uid, gid) }
    }

    /// Runs with the context of a user of group `gid` who is also in group 50.
    fn by<T>(uid: u32, gid: u32, run: impl FnOnce(&Context<'_>) -> T) -> T {
        let groups = vec![Gid(50)];
        run(&Context { uid: Uid(uid), gid: Gid(gid), groups: &groups, ..Context::internal() })
    }

    #[test]
    fn exactly_one_class_decides() {
        // C.10: the owner without permission is refused even if others are let in.
        const R: Access = Access::READ;
        const W: Access = Access::WRITE;
        const X: Access = Access::EXEC;
        let table: &[(u32, (u32, u32), Access, bool)] = &[
            (0o400, (1, 9), R, true),
            (0o400, (1, 9), W, false),
            (0o077, (1, 1), R, false),
            (0o040, (2, 1), R, true),
            (0o040, (2, 50), R, false),
            (0o707, (2, 1), R, false),
            (0o004, (2, 2), R, true),
            (0o770, (2, 2), X, false),
            (0o600, (1, 1), R.union(W), true),
            (0o400, (1, 1), R.union(W), false),
            (0o000, (0, 0), R.union(W), true),
            (0o666, (0, 0), X, false),
            (0o001, (0, 0), X, true),
            (0o000, (2, 2), Access::empty(), true),
        ];
        for &(mode, (uid, gid), want, may) in table {
            let answer = by(uid, gid, |cx| access(cx, &file(mode, 1, 1), None, want));
            let expected = if may { Ok(()) } else { Err(Errno::EACCES) };
            assert_eq!(answer, expected, "{mode:o} by {uid}:{gid} {want:?}");
        }
        // A supplementary group counts as much as the first.
        assert_eq!(by(2, 2, |cx| access(cx, &file(0o060, 1, 50), None, W)), Ok(()));
        // The super-user searches a directory nobody may search.
        assert_eq!(by(0, 0, |cx| search(cx, &dir(0, 1, 1), None)), Ok(()));
        assert_eq!(by(0, 0, |cx| search(cx, &file(0o777, 1, 1), None)), Err(Errno::ENOTDIR));
    }

    #[test]
    fn sticky_directories_protect_what_others_own() {
        let table: &[(u32, (u32, u32), u32, Result<()>)] = &[
            (0o1777, (1, 2), 3, Err(Errno::EPERM)),
            (0o1777, (3, 2), 3, Ok(())),
            (0o1777, (1, 3), 3, Ok(())),
            (0o1777, (1, 2), 0, Ok(())),
            (0o0777, (1, 2), 3, Ok(())),
            (0o1755, (1, 3), 3, Err(Errno::EACCES)),
        ];
        for &(mode, (dir_owner, owner), uid, expected) in table {
            let answer = by(uid, uid, |cx| {
                may_delete(cx, &dir(mode, dir_owner, 9), None, &file(0o644, owner, 9))
            });
            assert_eq!(answer, expected, "{mode:o} of {dir_owner}, file of {owner}, by {uid}");
        }
    }

    #[test]
    fn chown_is_for_the_super_user_and_group_changes_for_members() {
        // C.10 access_chown: the owner keeps the owner and may move to a group he is in.
        let table: &[(u32, Option<u32>, Option<u32>, bool)] = &[
            (0, Some(5), Some(5), true),
            (1, Some(1), None, true),
            (1, Some(2), None, false),
            (1, None, Some(50), true),
            (1, None, Some(1), true),
            (1, None, Some(9), true),
            (1, None, Some(51), false),
            (2, Some(1), None, false),
            (2, None, Some(9), false),
            (2, None, None, true),
        ];
        for &(by_uid, uid, gid, may) in table {
            let set = SetAttr { uid: uid.map(Uid), gid: gid.map(Gid), ..SetAttr::default() };
            let answer = by(by_uid, 1, |cx| set_attr(cx, &file(0o644, 1, 9), None, &set));
            let expected = if may { None } else { Some(Errno::EPERM) };
            assert_eq!(answer.err(), expected, "{set:?} by {by_uid}");
        }
    }

    #[test]
    fn chown_clears_set_id_bits_of_all_but_directories() {
        let set = SetAttr { gid: Some(Gid(50)), ..SetAttr::default() };
        for uid in [0, 1] {
            let kill = |attr: Attr| by(uid, 1, |cx| set_attr(cx, &attr, None, &set)).unwrap();
            assert!(kill(file(0o6755, 1, 1)).kill_priv);
            assert!(!kill(dir(0o6755, 1, 1)).kill_priv);
        }
    }

    #[test]
    fn chmod_is_for_the_owner_and_set_group_id_for_members() {
        let chmod =
            |uid, attr: &Attr, set: &SetAttr| by(uid, 1, |cx| set_attr(cx, attr, None, set));
        let set = SetAttr { mode: Some(0o6755), ..SetAttr::default() };
        assert_eq!(chmod(2, &file(0, 1, 1), &set).unwrap_err(), Errno::EPERM);
        assert_eq!(chmod(1, &file(0, 1, 1), &set).unwrap().mode, Some(0o6755));
        assert_eq!(chmod(1, &file(0, 1, 50), &set).unwrap().mode, Some(0o6755));
        assert_eq!(chmod(1, &file(0, 1, 9), &set).unwrap().mode, Some(0o4755));
        assert_eq!(chmod(1, &dir(0, 1, 9), &set).unwrap().mode, Some(0o4755));
        assert_eq!(chmod(0, &file(0, 1, 9), &set).unwrap().mode, Some(0o6755));
        // Sticky on a file that is no directory is allowed, as Linux has it.
        let set = SetAttr { mode: Some(0o1644), ..SetAttr::default() };
        assert_eq!(chmod(1, &file(0, 1, 1), &set).unwrap().mode, Some(0o1644));
    }

    #[test]
    fn times_are_for_the_owner_but_now_is_for_writers_too() {
        // D.8 t_unpriv times
        const NOW: Option<SetTime> = Some(SetTime::Now);
        const AT: Option<SetTime> = Some(SetTime::At(Time { secs: 1, nanos: 0 }));
        let table: &[(u32, u32, Option<SetTime>, Option<SetTime>, Option<Errno>)] = &[
            (1, 0o000, AT, AT, None),
            (2, 0o644, NOW, NOW, Some(Errno::EACCES)),
            (2, 0o646, NOW, NOW, None),
            (2, 0o646, NOW, None, Some(Errno::EPERM)),
            (2, 0o646, AT, AT, Some(Errno::EPERM)),
            (2, 0o646, AT, NOW, Some(Errno::EPERM)),
            (0, 0o000, AT, NOW, None),
        ];
        for &(uid, mode, atime, mtime, expected) in table {
            let set = SetAttr { atime, mtime, ..SetAttr::default() };
            let answer = by(uid, uid, |cx| set_attr(cx, &file(mode, 1, 1), None, &set));
            assert_eq!(answer.err(), expected, "{set:?} of {mode:o} by {uid}");
        }
    }

    #[test]
    fn set_id_bits_die_as_linux_has_it() {
        for (attr, after) in [
            (file(0o6755, 1, 9), 0o0755),
            (file(0o2644, 1, 50), 0o2644),
            (file(0o2644, 1, 9), 0o0644),
            (file(0o2755, 1, 50), 0o0755),
            (dir(0o6755, 1, 9), 0o6755),
        ] {
            assert_eq!(by(1, 1, |cx| without_set_id(cx, &attr)), after, "{attr:?}");
        }
    }

    #[test]
    fn new_files_take_group_and_bit_from_a_set_group_id_directory() {
        for (dir_mode, dir_gid, kind, mode, expected) in [
            (0o755, 9, Kind::Regular, 0o2755, (1, 0o2755)),
            (0o2755, 9, Kind::Regular, 0o644, (9, 0o644)),
            (0o2755, 9, Kind::Regular, 0o2755, (9, 0o755)),
            (0o2755, 9, Kind::Regular, 0o2744, (9, 0o2744)),
            (0o2755, 50, Kind::Regular, 0o2755, (50, 0o2755)),
            (0o2755, 9, Kind::Directory, 0o700, (9, 0o2700)),
        ] {
            let (gid, mode) = by(1, 1, |cx| new_file(cx, &dir(dir_mode, 1, dir_gid), kind, mode));
            assert_eq!((gid.0, mode), expected, "{dir_mode:o} of {dir_gid}");
        }
    }

    #[test]
    fn extended_attributes_by_name_space() {
        let link = Attr { kind: Kind::Symlink, ..file(0o777, 1, 1) };
        let sticky = dir(0o1777, 1, 1);
        let plain = file(0o604, 1, 1);
        let writable = file(0o666, 1, 1);
        type Expected = (Option<Errno>, Option<Errno>);
        const NO: Option<Errno> = Some(Errno::EPERM);
        const NODATA: Option<Errno> = Some(Errno::ENODATA);
        const ACCES: Option<Errno> = Some(Errno::EACCES);
        let table: &[(u32, &Attr, &str, Expected)] = &[
            (1, &plain, "user.a", (None, None)),
            (2, &plain, "user.a", (None, ACCES)),
            (2, &writable, "user.a", (None, None)),
            (0, &link, "user.a", (NODATA, NO)),
            (2, &sticky, "user.a", (None, NO)),
            (1, &sticky, "user.a", (None, None)),
            (1, &plain, "trusted.a", (NODATA, NO)),
            (0, &link, "trusted.a", (None, None)),
            (1, &plain, "security.a", (None, NO)),
            (0, &plain, "security.a", (None, None)),
            (2, &writable, "system.posix_acl_access", (None, NO)),
            (1, &plain, "system.posix_acl_access", (None, None)),
        ];
        for &(uid, attr, key, (get, set)) in table {
            let key = key.as_bytes();
            let answers = by(uid, uid, |cx| {
                (get_xattr(cx, attr, None, key).err(), set_xattr(cx, attr, None, key).err())
            });
            assert_eq!(answers, (get, set), "{} by {uid}", key.escape_ascii());
        }
        assert!(by(0, 0, |cx| shows_xattr(cx, b"trusted.a")));
        assert!(!by(1, 1, |cx| shows_xattr(cx, b"trusted.a")));
    }
}
