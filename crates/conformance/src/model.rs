//! `Model`: the simplest file system that answers as Linux's do. What others are compared with.

use crate::steps::{Answer, Path, Step, bytes, xattr};
use filofs::{Errno, Kind, Result};
use std::collections::BTreeMap;

/// A file system in a few maps. No permissions: everybody is root.
#[derive(Clone, Debug)]
pub struct Model {
    /// Never shrinks: a number is a file for ever.
    inodes: Vec<Inode>,
    held: BTreeMap<u8, usize>,
}

#[derive(Clone, Debug)]
struct Inode {
    content: Content,
    mode: u32,
    /// Names of a file; a directory's are counted from what is in it.
    nlink: u32,
    xattrs: BTreeMap<Vec<u8>, Vec<u8>>,
}

#[derive(Clone, Debug)]
enum Content {
    File(Vec<u8>),
    Directory { names: BTreeMap<String, usize>, parent: usize },
    Symlink(Path),
}

const ROOT: usize = 0;
const MOST_LINKS: u32 = 40;

impl Default for Model {
    fn default() -> Self {
        let names = BTreeMap::new();
        let root = Inode::new(Content::Directory { names, parent: ROOT }, 0o755);
        Model { inodes: vec![root], held: BTreeMap::new() }
    }
}

impl Inode {
    fn new(content: Content, mode: u32) -> Inode {
        Inode { content, mode, nlink: 1, xattrs: BTreeMap::new() }
    }

    fn names(&self) -> Result<&BTreeMap<String, usize>> {
        match &self.content {
            Content::Directory { names, .. } => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn names_mut(&mut self) -> Result<&mut BTreeMap<String, usize>> {
        match &mut self.content {
            Content::Directory { names, .. } => Ok(names),
            _ => Err(Errno::ENOTDIR),
        }
    }

    fn data(&mut self) -> Result<&mut Vec<u8>> {
        match &mut self.content {
            Content::File(data) => Ok(data),
            Content::Directory { .. } => Err(Errno::EISDIR),
            Content::Symlink(_) => Err(Errno::ELOOP),
        }
    }
}

/// Where a name is, or would be.
struct Place {
    dir: usize,
    name: String,
    found: Option<usize>,
}

impl Model {
    /// Carries one step out.
    pub fn act(&mut self, step: &Step) -> Answer {
        self.try_act(step).unwrap_or_else(Answer::Failed)
    }

    fn try_act(&mut self, step: &Step) -> Result<Answer> {
        match step {
            Step::Create(path, new) => {
                self.create(path, *new)?;
            }
            Step::Write(path, offset, len, seed) => {
                let file = self.file(path)?;
                self.write(file, *offset, &bytes(*len, *seed))?;
            }
            Step::Read(path) => {
                let file = self.find(path)?;
                return Ok(Answer::Bytes(self.inodes[file].data()?.clone()));
            }
            Step::Truncate(path, size) => {
                let file = self.find(path)?;
                self.inodes[file].data()?.resize(*size as usize, 0);
            }
            Step::Punch(path, offset, len) => {
                let file = self.file(path)?;
                let data = self.inodes[file].data()?;
                let end = (offset + len).min(data.len() as u64) as usize;
                let start = (*offset as usize).min(end);
                data[start..end].fill(0);
            }
            Step::Copy(from, at, to, to_at, len) => {
                let (from, to) = (self.file(from)?, self.file(to)?);
                self.copy(from, *at, to, *to_at, *len)?;
            }
            Step::Mkdir(path) => {
                let place = self.vacant(path)?;
                let names = BTreeMap::new();
                let content = Content::Directory { names, parent: place.dir };
                self.enter(&place, Inode::new(content, 0o755))?;
            }
            Step::Rmdir(path) => {
                let place = self.place(path)?;
                let found = place.found.ok_or(Errno::ENOENT)?;
                if !self.inodes[found].names()?.is_empty() {
                    return Err(Errno::ENOTEMPTY);
                }
                self.remove(&place)?;
            }
            Step::Unlink(path) => {
                let place = self.place(path)?;
                let found = place.found.ok_or(Errno::ENOENT)?;
                if self.is_dir(found) {
                    return Err(Errno::EISDIR);
                }
                self.remove(&place)?;
            }
            Step::Rename(old, new, flags) => self.rename(old, new, *flags)?,
            Step::Link(old, new) => {
                let old = self.place(old)?.found.ok_or(Errno::ENOENT)?;
                let place = self.vacant(new)?;
                if self.is_dir(old) {
                    return Err(Errno::EPERM);
                }
                self.inodes[old].nlink += 1;
                self.inodes[place.dir].names_mut()?.insert(place.name, old);
            }
            Step::Symlink(target, path) => {
                let place = self.vacant(path)?;
                self.enter(&place, Inode::new(Content::Symlink(target.clone()), 0o777))?;
            }
            Step::Readlink(path) => {
                let found = self.place(path)?.found.ok_or(Errno::ENOENT)?;
                return match &self.inodes[found].content {
                    Content::Symlink(target) => Ok(Answer::Bytes(target.clone().into_bytes())),
                    _ => Err(Errno::EINVAL),
                };
            }
            Step::Lstat(path) => {
                let found = self.place(path)?.found.ok_or(Errno::ENOENT)?;
                return Ok(self.facts(found));
            }
            Step::Stat(path) => return Ok(self.facts(self.find(path)?)),
            Step::List(path) => {
                let dir = self.find(path)?;
                let names = self.inodes[dir].names()?.keys().map(|n| n.clone().into_bytes());
                let mut names: Vec<_> = names.collect();
                names.extend([b".".to_vec(), b"..".to_vec()]);
                names.sort();
                return Ok(Answer::Names(names));
            }
            Step::Chmod(path, mode) => {
                let found = self.find(path)?;
                self.inodes[found].mode = *mode;
            }
            Step::SetXattr(path, key, value) => {
                let found = self.find(path)?;
                self.inodes[found].xattrs.insert(xattr(*key), vec![*value]);
            }
            Step::GetXattr(path, key) => {
                let found = self.find(path)?;
                let value = self.inodes[found].xattrs.get(&xattr(*key));
                return value.cloned().map(Answer::Bytes).ok_or(Errno::ENODATA);
            }
            Step::RemoveXattr(path, key) => {
                let found = self.find(path)?;
                self.inodes[found].xattrs.remove(&xattr(*key)).ok_or(Errno::ENODATA)?;
            }
            Step::Hold(path, slot) => {
                let file = self.file(path)?;
                self.held.insert(*slot, file);
            }
            Step::Drop(slot) => {
                self.held.remove(slot).ok_or(Errno::EBADF)?;
            }
            Step::ReadHeld(slot) => {
                let file = self.held(*slot)?;
                return Ok(Answer::Bytes(self.inodes[file].data()?.clone()));
            }
            Step::WriteHeld(slot, offset, len, seed) => {
                let file = self.held(*slot)?;
                self.write(file, *offset, &bytes(*len, *seed))?;
            }
            Step::StatHeld(slot) => return Ok(self.facts(self.held(*slot)?)),
            Step::FsyncHeld(slot) => drop(self.held(*slot)?),
        }
        Ok(Answer::Done)
    }

    /// Every path there is, without following symbolic links, with what lstat says and what a
    /// read, readlink or listing answers: the whole tree, to compare another with.
    pub fn paths(&self) -> Vec<(Path, Kind)> {
        let mut all = Vec::new();
        let mut todo = vec![(String::new(), ROOT)];
        while let Some((prefix, dir)) = todo.pop() {
            for (name, inode) in self.inodes[dir].names().expect("only directories are entered") {
                let path = format!("{prefix}{name}");
                let kind = self.kind(*inode);
                if kind == Kind::Directory {
                    todo.push((format!("{path}/"), *inode));
                }
                all.push((path, kind));
            }
        }
        all.sort_by(|a, b| a.0.cmp(&b.0));
        all
    }

    fn held(&self, slot: u8) -> Result<usize> {
        self.held.get(&slot).copied().ok_or(Errno::EBADF)
    }

    fn kind(&self, inode: usize) -> Kind {
        match self.inodes[inode].content {
            Content::File(_) => Kind::Regular,
            Content::Directory { .. } => Kind::Directory,
            Content::Symlink(_) => Kind::Symlink,
        }
    }

    fn is_dir(&self, inode: usize) -> bool {
        self.kind(inode) == Kind::Directory
    }

    fn facts(&self, number: usize) -> Answer {
        let inode = &self.inodes[number];
        let (nlink, size) = match &inode.content {
            Content::File(data) => (inode.nlink, data.len() as u64),
            Content::Symlink(target) => (inode.nlink, target.len() as u64),
            Content::Directory { names, .. } => {
                (2 + names.values().filter(|n| self.is_dir(**n)).count() as u32, 0)
            }
        };
        Answer::Facts(self.kind(number), inode.mode, nlink, size)
    }

    /// Where a path leads, through symbolic links.
    fn find(&self, path: &str) -> Result<usize> {
        self.find_from(ROOT, path, &mut 0)
    }

    /// A regular file, as an open for writing finds it.
    fn file(&mut self, path: &str) -> Result<usize> {
        let found = self.find(path)?;
        self.inodes[found].data()?;
        Ok(found)
    }

    fn find_from(&self, from: usize, path: &str, links: &mut u32) -> Result<usize> {
        let place = self.place_from(from, path, links)?;
        let found = place.found.ok_or(Errno::ENOENT)?;
        match &self.inodes[found].content {
            Content::Symlink(target) => self.follow(place.dir, target, links),
            _ => Ok(found),
        }
    }

    fn follow(&self, dir: usize, target: &str, links: &mut u32) -> Result<usize> {
        *links += 1;
        if *links > MOST_LINKS {
            return Err(Errno::ELOOP);
        }
        self.find_from(dir, target, links)
    }

    fn place(&self, path: &str) -> Result<Place> {
        self.place_from(ROOT, path, &mut 0)
    }

    fn place_from(&self, from: usize, path: &str, links: &mut u32) -> Result<Place> {
        let (parents, name) = path.rsplit_once('/').map_or((None, path), |(p, n)| (Some(p), n));
        let mut here = from;
        for component in parents.into_iter().flat_map(|p| p.split('/')) {
            let dir = here;
            here = match (&self.inodes[here].content, component) {
                (Content::Directory { parent, .. }, "..") => *parent,
                (Content::Directory { names, .. }, name) => {
                    *names.get(name).ok_or(Errno::ENOENT)?
                }
                _ => return Err(Errno::ENOTDIR),
            };
            if let Content::Symlink(target) = &self.inodes[here].content {
                here = self.follow(dir, target, links)?;
            }
            if !self.is_dir(here) {
                return Err(Errno::ENOTDIR);
            }
        }
        let found = self.inodes[here].names()?.get(name).copied();
        Ok(Place { dir: here, name: name.to_owned(), found })
    }

    fn vacant(&self, path: &str) -> Result<Place> {
        let place = self.place(path)?;
        if place.found.is_some() { Err(Errno::EEXIST) } else { Ok(place) }
    }

    fn enter(&mut self, place: &Place, inode: Inode) -> Result<usize> {
        let number = self.inodes.len();
        self.inodes.push(inode);
        self.inodes[place.dir].names_mut()?.insert(place.name.clone(), number);
        Ok(number)
    }

    fn remove(&mut self, place: &Place) -> Result<()> {
        let gone = self.inodes[place.dir].names_mut()?.remove(&place.name).ok_or(Errno::ENOENT)?;
        self.inodes[gone].nlink -= 1;
        Ok(())
    }

    fn create(&mut self, path: &str, new: bool) -> Result<usize> {
        let mut links = 0;
        let (mut from, mut path) = (ROOT, path.to_owned());
        loop {
            let place = self.place_from(from, &path, &mut links)?;
            let Some(found) = place.found else {
                return self.enter(&place, Inode::new(Content::File(Vec::new()), 0o644));
            };
            if new {
                return Err(Errno::EEXIST);
            }
            match &self.inodes[found].content {
                Content::File(_) => return Ok(found),
                Content::Directory { .. } => return Err(Errno::EISDIR),
                Content::Symlink(target) => {
                    links += 1;
                    if links > MOST_LINKS {
                        return Err(Errno::ELOOP);
                    }
                    (from, path) = (place.dir, target.clone());
                }
            }
        }
    }

    fn write(&mut self, file: usize, offset: u64, bytes: &[u8]) -> Result<()> {
        let data = self.inodes[file].data()?;
        let (start, end) = (offset as usize, offset as usize + bytes.len());
        if data.len() < end {
            data.resize(end, 0);
        }
        data[start..end].copy_from_slice(bytes);
        Ok(())
    }

    fn copy(&mut self, from: usize, at: u64, to: usize, to_at: u64, len: u64) -> Result<()> {
        let data = self.inodes[from].data()?.clone();
        let len = len.min((data.len() as u64).saturating_sub(at));
        if from == to && at < to_at + len && to_at < at + len {
            return Err(Errno::EINVAL);
        }
        if len == 0 {
            return Ok(());
        }
        self.write(to, to_at, &data[at as usize..(at + len) as usize])
    }

    /// Whether `above` is `dir` or a directory that it is in.
    fn is_above(&self, above: usize, mut dir: usize) -> bool {
        loop {
            if dir == above {
                return true;
            }
            match &self.inodes[dir].content {
                Content::Directory { parent, .. } if *parent != dir => dir = *parent,
                _ => return false,
            }
        }
    }

    fn rename(&mut self, old: &str, new: &str, flags: u32) -> Result<()> {
        let (exchange, no_replace) = (flags == 2, flags == 1);
        let (from, to) = (self.place(old)?, self.place(new)?);
        let source = from.found.ok_or(Errno::ENOENT)?;
        match to.found {
            Some(_) if no_replace => return Err(Errno::EEXIST),
            None if exchange => return Err(Errno::ENOENT),
            _ => {}
        }
        if self.is_above(source, to.dir) {
            return Err(Errno::EINVAL);
        }
        let moves_dir = self.is_dir(source);
        if let Some(target) = to.found {
            if self.is_above(target, from.dir) {
                return Err(if exchange { Errno::EINVAL } else { Errno::ENOTEMPTY });
            }
            if source == target {
                return Ok(());
            }
            if exchange {
                self.set(&from, target)?;
                return self.set(&to, source);
            }
            match (moves_dir, self.is_dir(target)) {
                (true, false) => return Err(Errno::ENOTDIR),
                (false, true) => return Err(Errno::EISDIR),
                (true, true) if !self.inodes[target].names()?.is_empty() => {
                    return Err(Errno::ENOTEMPTY);
                }
                _ => self.remove(&to)?,
            }
        }
        self.inodes[from.dir].names_mut()?.remove(&from.name);
        self.set(&to, source)
    }

    /// Puts a file under a name, whatever was there.
    fn set(&mut self, place: &Place, inode: usize) -> Result<()> {
        self.inodes[place.dir].names_mut()?.insert(place.name.clone(), inode);
        if let Content::Directory { parent, .. } = &mut self.inodes[inode].content {
            *parent = place.dir;
        }
        Ok(())
    }
}
