//! `idmap`: users and groups have other numbers above than below.
//!
//! The numbers of who asks, of whom a file is given to, and in access control lists go down
//! through the ranges; owners of files, and those lists, come up through them. So a directory that
//! was filled in a container, or on another machine, is used with the numbers that people have
//! here.
//!
//! A number without another is the overflow number of Linux: a file below whose owner has none
//! belongs to nobody above, and who has none below acts as nobody there. What they would make
//! could belong to nobody, and is refused with EOVERFLOW; a file cannot be given to them (EINVAL).
//! The super-user is mapped like everybody else: who is root above and 100000 below may do what
//! 100000 may.

mod ranges;

use filofs::{
    ACL_ACCESS, ACL_DEFAULT, Acl, AclTag, Attr, Call, Context, Cookie, Definition, DirEntry,
    DirOffset, DirSink, Effect, Errno, FileSystem, Full, Gid, GroupsBelow, Kind, Layer, Next, Node,
    Op, OpSet, Open, OptionHelp, Outcome, RequestId, Result, Role, SetAttr, SetupError, Sink, Uid,
    VecSink, Visit, XattrFlags, layer,
};
pub use ranges::Ranges;

/// Maps users and groups.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct IdMap {
    /// Of users; `None` leaves them as they are.
    pub users: Option<Ranges>,
    /// Of groups; `None` leaves them as they are.
    pub groups: Option<Ranges>,
}

/// Who has no number, as Linux shows them (/proc/sys/kernel/overflowuid, overflowgid).
const NOBODY: u32 = 65534;

/// The longest value of an extended attribute, xattr(7).
const VALUE_MAX: usize = 65536;

impl IdMap {
    fn uid_down(&self, uid: Uid) -> Option<Uid> {
        match &self.users {
            Some(ranges) if uid != Uid::UNKNOWN => ranges.down(uid.0).map(Uid),
            _ => Some(uid),
        }
    }

    fn gid_down(&self, gid: Gid) -> Option<Gid> {
        match &self.groups {
            Some(ranges) if gid != Gid::UNKNOWN => ranges.down(gid.0).map(Gid),
            _ => Some(gid),
        }
    }

    fn uid_up(&self, uid: Uid) -> Uid {
        self.users.as_ref().map_or(uid, |ranges| Uid(ranges.up(uid.0).unwrap_or(NOBODY)))
    }

    fn gid_up(&self, gid: Gid) -> Gid {
        self.groups.as_ref().map_or(gid, |ranges| Gid(ranges.up(gid.0).unwrap_or(NOBODY)))
    }

    fn attr_up(&self, attr: &mut Attr) {
        attr.uid = self.uid_up(attr.uid);
        attr.gid = self.gid_up(attr.gid);
    }

    /// Makes who asks what they are below; the groups stay. Whether they are somebody there. The
    /// mount's own requests are not mapped.
    fn caller_down(&self, cx: &mut Context<'_>) -> bool {
        if cx.request == RequestId(0) {
            return true;
        }
        let (uid, gid) = (self.uid_down(cx.uid), self.gid_down(cx.gid));
        cx.uid = uid.unwrap_or(Uid(NOBODY));
        cx.gid = gid.unwrap_or(Gid(NOBODY));
        uid.is_some() && gid.is_some()
    }

    /// Goes down as the caller is there.
    fn as_below<T>(&self, cx: &Context<'_>, ask: impl FnOnce(&Context<'_>) -> T) -> T {
        let groups = GroupsBelow { layer: self, above: cx.groups };
        let mut cx = Context { groups: &groups, ..*cx };
        self.caller_down(&mut cx);
        ask(&cx)
    }

    /// A list with each user and group in it replaced. `None` for one that names somebody who is
    /// not there.
    fn acl(
        list: &Acl,
        user: impl Fn(Uid) -> Option<Uid>,
        group: impl Fn(Gid) -> Option<Gid>,
    ) -> Option<Acl> {
        let entries = list.entries().iter().map(|entry| {
            let tag = match entry.tag {
                AclTag::User(uid) => AclTag::User(user(uid)?),
                AclTag::Group(gid) => AclTag::Group(group(gid)?),
                other => other,
            };
            Some(filofs::AclEntry { tag, ..*entry })
        });
        Acl::new(entries.collect::<Option<_>>()?).ok()
    }
}

fn is_acl(key: &[u8]) -> bool {
    key == ACL_ACCESS || key == ACL_DEFAULT
}

#[layer]
impl Layer for IdMap {
    fn name(&self) -> &'static str {
        "idmap"
    }

    fn describe(&self) -> String {
        let part = |key: &str, ranges: &Option<Ranges>| {
            ranges.as_ref().map(|ranges| format!("{key}={ranges}"))
        };
        let parts = [part("uid", &self.users), part("gid", &self.groups)];
        format!("idmap:{}", parts.into_iter().flatten().collect::<Vec<_>>().join(","))
    }

    /// All but what concerns files that are open: they were opened by who may. So the kernel can
    /// read and write by itself what it could without the layer.
    fn only(&self) -> OpSet {
        let of_opens = |op: &Op| {
            op.effect() == Effect::Own || [Op::Read, Op::Write, Op::Lseek, Op::Poll].contains(op)
        };
        Op::ALL.iter().filter(|op| !of_opens(op)).fold(OpSet::NONE, |set, op| set.with(*op))
    }

    fn enter(&self, _: Next<'_>, call: &Call<'_>, visit: &mut Visit<'_>) -> Result<()> {
        use Op::{Create, Mkdir, Mknod, Symlink, Tmpfile};
        let is_somebody = self.caller_down(&mut visit.cx);
        if !is_somebody && matches!(call.op, Mknod | Mkdir | Symlink | Create | Tmpfile) {
            return Err(Errno::EOVERFLOW);
        }
        Ok(())
    }

    fn group_below(&self, group: Gid) -> Gid {
        self.gid_down(group).unwrap_or(Gid(NOBODY))
    }

    fn leave(&self, _: &Call<'_>, _: &Visit<'_>, outcome: Outcome<'_>) {
        if let Ok(Some(attr)) = outcome.map(|answer| answer.attr_mut()) {
            self.attr_up(attr);
        }
    }

    fn setattr(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        open: Option<&Open>,
        set: &SetAttr,
    ) -> Result<Attr> {
        let uid = set.uid.map(|uid| self.uid_down(uid).ok_or(Errno::EINVAL)).transpose()?;
        let gid = set.gid.map(|gid| self.gid_down(gid).ok_or(Errno::EINVAL)).transpose()?;
        let set = SetAttr { uid, gid, ..*set };
        let mut attr = self.as_below(cx, |cx| next.setattr(cx, node, open, &set))?;
        self.attr_up(&mut attr);
        Ok(attr)
    }

    fn readdir(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: DirOffset,
        out: &mut dyn DirSink,
    ) -> Result<()> {
        let mut out = OwnersUp { map: self, out };
        self.as_below(cx, |cx| next.readdir(cx, node, open, offset, &mut out))
    }

    fn getxattr(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        out: &mut dyn Sink,
    ) -> Result<usize> {
        // As many bytes come up as are below: who asks how many may be told so from there.
        if !is_acl(key) || out.room() == 0 {
            return self.as_below(cx, |cx| next.getxattr(cx, node, key, out));
        }
        let mut below = VecSink::new(out.room().min(VALUE_MAX));
        let size = self.as_below(cx, |cx| next.getxattr(cx, node, key, &mut below))?;
        let below = below.into_bytes();
        let above = Acl::parse(&below).ok().flatten().and_then(|list| {
            Self::acl(&list, |uid| Some(self.uid_up(uid)), |gid| Some(self.gid_up(gid)))
        });
        out.put(&above.map_or(below, |list| list.to_bytes()));
        Ok(size)
    }

    fn setxattr(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        key: &[u8],
        value: &[u8],
        flags: XattrFlags,
    ) -> Result<()> {
        // What is no list is for those below to refuse.
        let list = if is_acl(key) { Acl::parse(value).ok().flatten() } else { None };
        let below = match list {
            Some(list) => {
                let list = Self::acl(&list, |uid| self.uid_down(uid), |gid| self.gid_down(gid));
                Some(list.ok_or(Errno::EINVAL)?.to_bytes())
            }
            None => None,
        };
        let value = below.as_deref().unwrap_or(value);
        self.as_below(cx, |cx| next.setxattr(cx, node, key, value, flags))
    }
}

/// Takes entries whose owners are those below.
struct OwnersUp<'a> {
    map: &'a IdMap,
    out: &'a mut dyn DirSink,
}

impl DirSink for OwnersUp<'_> {
    fn wants_entries(&self) -> bool {
        self.out.wants_entries()
    }

    fn wants_entry_of(&self, kind: Option<Kind>) -> bool {
        self.out.wants_entry_of(kind)
    }

    fn knows(&self, cookie: Cookie) -> bool {
        self.out.knows(cookie)
    }

    fn room(&self) -> usize {
        self.out.room()
    }

    fn add(&mut self, mut entry: DirEntry<'_>) -> std::result::Result<(), Full> {
        if let Some(entry) = &mut entry.entry {
            self.map.attr_up(&mut entry.attr);
        }
        self.out.add(entry)
    }
}

/// Its line on the command line.
pub const DEFINITION: Definition = Definition {
    name: "idmap",
    summary: "gives users and groups other numbers than they have below",
    argument: None,
    is_command: false,
    options: &[
        OptionHelp {
            key: "uid",
            value: "ABOVE:BELOW[:COUNT]",
            help: "user ABOVE is BELOW, and so on for COUNT; several with '+'",
        },
        OptionHelp {
            key: "gid",
            value: "ABOVE:BELOW[:COUNT]",
            help: "the same for groups; who has no number is nobody (65534)",
        },
    ],
    role: Role::Layer(|options| {
        let mut read = |key| -> std::result::Result<_, SetupError> {
            let lists = options.values(key)?;
            if lists.is_empty() { Ok(None) } else { Ranges::parse(key, &lists).map(Some) }
        };
        let (users, groups) = (read("uid")?, read("gid")?);
        if users.is_none() && groups.is_none() {
            return Err(SetupError::new("maps nothing; say uid=ABOVE:BELOW, gid=ABOVE:BELOW"));
        }
        Ok(Box::new(IdMap { users, groups }))
    }),
};
