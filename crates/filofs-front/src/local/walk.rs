//! Path resolution, path_resolution(7).

use super::OrMissing;
use filofs::{
    ACL_ACCESS, Access, Acl, Attr, Context, Entry, Errno, FileSystem, Kind, Mount, Name, Node,
    Result, VecSink, permission,
};
use std::sync::Arc;

/// The longest path in bytes, with its NUL (PATH_MAX).
const PATH_MAX: usize = 4096;
/// The most symbolic links followed on one walk (MAXSYMLINKS).
const MOST_LINKS: u32 = 40;
/// How deep a directory may be for `is_above` to find its root: far beyond what file systems hold.
const DEEPEST: u32 = 1 << 20;

/// Where a walk has come to: a node, what it looked like when it was passed, and the way it was
/// reached, for file systems that cannot say what a directory's parent is.
#[derive(Clone, Debug)]
pub(super) struct Place {
    pub(super) node: Node,
    pub(super) attr: Attr,
    up: Option<Arc<Place>>,
}

/// The last component of a path, which many calls treat in their own way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Last {
    Name(Vec<u8>),
    Dot,
    DotDot,
    Root,
}

/// A path walked up to its last component.
#[derive(Debug)]
pub(super) struct Parent {
    /// The directory that the last component is in; the place itself for `Dot` and `Root`.
    pub(super) dir: Place,
    pub(super) last: Last,
    /// Whether slashes follow: it has to be a directory.
    pub(super) slash: bool,
}

/// One walk: one system call's worth of symbolic links.
pub(super) struct Walk<'a> {
    pub(super) cx: &'a Context<'a>,
    pub(super) mount: &'a Mount,
    links: u32,
}

impl Place {
    /// The root of a mount, with attributes as they are now.
    pub(super) fn root(cx: &Context<'_>, mount: &Mount) -> Result<Place> {
        Ok(Place {
            attr: mount.getattr(cx, mount.root(), None)?,
            node: mount.root().clone(),
            up: None,
        })
    }

    /// The root when the mount was made: where processes begin.
    pub(super) fn first(mount: &Mount) -> Place {
        let attr = mount.root_entry().attr.clone();
        Place { node: mount.root().clone(), attr, up: None }
    }

    /// A node that was reached without a path.
    pub(super) fn alone(node: Node, attr: Attr) -> Place {
        Place { node, attr, up: None }
    }

    /// The same place, with attributes as they are now.
    pub(super) fn again(&self, cx: &Context<'_>, mount: &Mount) -> Result<Place> {
        Ok(Place { attr: mount.getattr(cx, &self.node, None)?, ..self.clone() })
    }

    fn below(&self, node: Node, attr: Attr) -> Place {
        Place { node, attr, up: Some(Arc::new(self.clone())) }
    }
}

impl<'a> Walk<'a> {
    pub(super) fn new(cx: &'a Context<'a>, mount: &'a Mount) -> Walk<'a> {
        Walk { cx, mount, links: 0 }
    }

    /// Walks a path to its end. `follow`: also through a symbolic link at the end.
    ///
    /// Errors: ENOENT, ENOTDIR, EACCES, ELOOP, ENAMETOOLONG.
    pub(super) fn find(&mut self, from: &Place, path: &[u8], follow: bool) -> Result<Place> {
        let Parent { dir, last, slash } = self.parent(from, path)?;
        let found = match &last {
            Last::Dot | Last::Root => dir,
            Last::DotDot => self.up(&dir)?,
            Last::Name(name) => {
                let found = self.child(&dir, name)?;
                if found.attr.kind == Kind::Symlink && (follow || slash) {
                    self.follow(&dir, &found)?
                } else {
                    found
                }
            }
        };
        if slash && found.attr.kind != Kind::Directory {
            return Err(Errno::ENOTDIR);
        }
        Ok(found)
    }

    /// Walks a path up to its last component. Errors: as for `find`.
    pub(super) fn parent(&mut self, from: &Place, path: &[u8]) -> Result<Parent> {
        match path {
            [] => return Err(Errno::ENOENT),
            _ if path.len() >= PATH_MAX => return Err(Errno::ENAMETOOLONG),
            _ => {}
        }
        let mut here = if path.first() == Some(&b'/') {
            Place::root(self.cx, self.mount)?
        } else {
            from.clone()
        };
        let mut rest = skip_slashes(path);
        if rest.is_empty() {
            return Ok(Parent { dir: here, last: Last::Root, slash: true });
        }
        loop {
            self.search(&here)?;
            let end = rest.iter().position(|b| *b == b'/').unwrap_or(rest.len());
            let (component, after) = rest.split_at(end);
            rest = skip_slashes(after);
            if rest.is_empty() {
                let last = match component {
                    b"." => Last::Dot,
                    b".." => Last::DotDot,
                    name => Last::Name(name.to_vec()),
                };
                return Ok(Parent { dir: here, last, slash: !after.is_empty() });
            }
            here = match component {
                b"." => here,
                b".." => self.up(&here)?,
                name => {
                    let found = self.child(&here, name)?;
                    match found.attr.kind {
                        Kind::Directory => found,
                        Kind::Symlink => self.follow(&here, &found)?,
                        _ => return Err(Errno::ENOTDIR),
                    }
                }
            };
            if here.attr.kind != Kind::Directory {
                return Err(Errno::ENOTDIR);
            }
        }
    }

    /// The file of that name in a directory.
    pub(super) fn child(&self, dir: &Place, name: &[u8]) -> Result<Place> {
        let name = Name::new(name)?;
        let entry = self.mount.lookup(self.cx, &dir.node, name).or_missing(Errno::ENOENT)?;
        self.adopt(dir, &entry)
    }

    /// The place of an entry that was found or made in a directory.
    pub(super) fn adopt(&self, dir: &Place, entry: &Entry) -> Result<Place> {
        let node = self.mount.adopt(&dir.node, entry)?;
        Ok(dir.below(node, entry.attr.clone()))
    }

    /// Where a symbolic link in that directory leads. Errors: ELOOP, ENOENT, as for `find`.
    pub(super) fn follow(&mut self, dir: &Place, link: &Place) -> Result<Place> {
        let target = self.target(link)?;
        self.find(dir, &target, true)
    }

    /// The target of a symbolic link that is about to be followed: it counts.
    pub(super) fn target(&mut self, link: &Place) -> Result<Vec<u8>> {
        self.links += 1;
        if self.links > MOST_LINKS {
            return Err(Errno::ELOOP);
        }
        let mut target = VecSink::new(PATH_MAX);
        self.mount.readlink(self.cx, &link.node, &mut target).or_missing(Errno::EINVAL)?;
        Ok(target.into_bytes())
    }

    /// What `..` means in a directory.
    pub(super) fn up(&self, dir: &Place) -> Result<Place> {
        if dir.node.is(self.mount.root()) {
            return Ok(dir.clone());
        }
        match (self.mount.parent(self.cx, &dir.node), &dir.up) {
            (Ok(entry), _) => {
                let node = self.mount.adopt(&dir.node, &entry)?;
                let up = dir.up.as_ref().and_then(|up| up.up.clone());
                Ok(Place { node, attr: entry.attr, up })
            }
            (Err(Errno::MISSING), Some(up)) => up.again(self.cx, self.mount),
            (Err(errno), _) => Err(errno).or_missing(Errno::EOPNOTSUPP),
        }
    }

    /// Whether a directory is another one, or one that it is in. (What the kernel's rename knows
    /// without asking.) A tree deeper than a path can be long answers ELOOP.
    pub(super) fn is_above(&self, above: &Place, dir: &Place) -> Result<bool> {
        let mut here = dir.clone();
        for _ in 0..DEEPEST {
            if here.node.is(&above.node) {
                return Ok(true);
            }
            if here.node.is(self.mount.root()) {
                return Ok(false);
            }
            here = self.up(&here)?;
        }
        Err(Errno::ELOOP)
    }

    /// Checks that the caller may walk through a directory. Errors: ENOTDIR, EACCES.
    pub(super) fn search(&self, dir: &Place) -> Result<()> {
        permission::search(self.cx, &dir.attr, self.acl(dir).as_ref())
    }

    /// Checks that the caller may do that with a file. Errors: EACCES.
    pub(super) fn access(&self, place: &Place, want: Access) -> Result<()> {
        permission::access(self.cx, &place.attr, self.acl(place).as_ref(), want)
    }

    /// Checks that the caller may put names into a directory. Errors: EACCES, ENOTDIR.
    pub(super) fn may_create(&self, dir: &Place) -> Result<()> {
        permission::may_create(self.cx, &dir.attr, self.acl(dir).as_ref())
    }

    /// Checks that the caller may take a file's name out of a directory. Errors: EACCES, EPERM.
    pub(super) fn may_delete(&self, dir: &Place, victim: &Place) -> Result<()> {
        permission::may_delete(self.cx, &dir.attr, self.acl(dir).as_ref(), &victim.attr)
    }

    /// The access ACL of a file, when it could make a difference to this caller.
    pub(super) fn acl(&self, place: &Place) -> Option<Acl> {
        let attr = &place.attr;
        if permission::owns(self.cx, attr) || attr.mode & 0o070 == 0 || attr.kind == Kind::Symlink {
            return None;
        }
        let mut value = VecSink::new(64 * 1024);
        self.mount.getxattr(self.cx, &place.node, ACL_ACCESS, &mut value).ok()?;
        Acl::parse(&value.into_bytes()).ok()?
    }
}

fn skip_slashes(path: &[u8]) -> &[u8] {
    let start = path.iter().position(|b| *b != b'/').unwrap_or(path.len());
    path.get(start..).unwrap_or_default()
}
