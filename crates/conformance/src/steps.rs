//! `Step`: one operation of a random sequence, and what it answers.

use crate::model::Model;
use crate::rng::Rng;
use crate::{Abilities, Fd, Subject};
use filofs::{Errno, FallocateFlags, Kind, OpenFlags, RenameFlags, Result, XattrFlags};
use filofs_front::local::O_CREAT;
use std::collections::BTreeMap;
use std::fmt;

/// A path of a step.
pub type Path = String;

/// One operation. Paths are of names `a`, `b`, `c` and a few `..`, so that they meet often.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Makes a file, or opens the one that is there; `true`: it must be new.
    Create(Path, bool),
    /// Writes that many bytes made from the seed.
    Write(Path, u64, usize, u8),
    /// Reads the whole file.
    Read(Path),
    /// Cuts or extends.
    Truncate(Path, u64),
    /// Makes a hole.
    Punch(Path, u64, u64),
    /// Copies a range from one file to another.
    Copy(Path, u64, Path, u64, u64),
    /// Makes a directory.
    Mkdir(Path),
    /// Removes one.
    Rmdir(Path),
    /// Takes a name away.
    Unlink(Path),
    /// Renames, with the flags of renameat2(2).
    Rename(Path, Path, u32),
    /// A second name.
    Link(Path, Path),
    /// A symbolic link: target, name.
    Symlink(Path, Path),
    /// Its target.
    Readlink(Path),
    /// Kind, mode, links and size, of a symbolic link itself.
    Lstat(Path),
    /// The same of where it leads.
    Stat(Path),
    /// The names in a directory.
    List(Path),
    /// Sets the mode.
    Chmod(Path, u32),
    /// Sets an extended attribute.
    SetXattr(Path, u8, u8),
    /// Reads one.
    GetXattr(Path, u8),
    /// Removes one.
    RemoveXattr(Path, u8),
    /// Opens for reading and writing and keeps it open under that number.
    Hold(Path, u8),
    /// Closes it.
    Drop(u8),
    /// Reads all of what is held.
    ReadHeld(u8),
    /// Writes to what is held.
    WriteHeld(u8, u64, usize, u8),
    /// Kind, mode, links and size of what is held.
    StatHeld(u8),
    /// Flushes what is held.
    FsyncHeld(u8),
}

/// What a step answers, as far as any two file systems must agree.
#[derive(Clone, PartialEq, Eq)]
pub enum Answer {
    /// It failed.
    Failed(Errno),
    /// It was done.
    Done,
    /// Bytes.
    Bytes(Vec<u8>),
    /// Names, sorted.
    Names(Vec<Vec<u8>>),
    /// Kind, mode, links, and the size of what is no directory.
    Facts(Kind, u32, u32, u64),
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Failed(errno) => write!(f, "{errno:?}"),
            Answer::Done => f.write_str("done"),
            Answer::Bytes(bytes) => {
                let sum = bytes.iter().fold(0u64, |s, b| s.wrapping_mul(31) + u64::from(*b));
                write!(f, "{} bytes (sum {sum:x})", bytes.len())
            }
            Answer::Names(names) => {
                let names: Vec<_> = names.iter().map(|n| n.escape_ascii().to_string()).collect();
                write!(f, "{names:?}")
            }
            Answer::Facts(kind, mode, nlink, size) => {
                write!(f, "{kind:?} {mode:o}, {nlink} links, {size} bytes")
            }
        }
    }
}

/// The bytes that a write step writes.
pub fn bytes(len: usize, seed: u8) -> Vec<u8> {
    (0..len).map(|n| (n as u8).wrapping_mul(7).wrapping_add(seed)).collect()
}

/// A random sequence of that many steps. The model goes along, so that most steps meet what is
/// there: a sequence of paths chosen blindly fails nearly always, and tests nothing.
pub fn sequence(seed: u64, steps: usize) -> Vec<Step> {
    let mut chooser = Chooser { rng: Rng::new(seed), there: Vec::new() };
    let mut model = Model::default();
    (0..steps)
        .map(|_| {
            let step = chooser.step();
            if model.act(&step) == Answer::Done {
                chooser.there = model.paths();
            }
            step
        })
        .collect()
}

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Chooses steps.
struct Chooser {
    rng: Rng,
    /// Every path there is, with its kind.
    there: Vec<(Path, Kind)>,
}

impl Chooser {
    fn name(&mut self) -> &'static str {
        NAMES[self.rng.below(3) as usize]
    }

    /// Any path, of what is there or not, with a few `..`.
    fn any(&mut self) -> Path {
        let mut path = String::from(self.name());
        while self.rng.one_in(2) {
            if self.rng.one_in(4) {
                path.push_str("/..");
            }
            path.push('/');
            path.push_str(self.name());
        }
        path
    }

    /// A path of that kind, most often.
    fn known(&mut self, kind: Option<Kind>) -> Path {
        let fits = |at: &&(Path, Kind)| kind.is_none_or(|kind| at.1 == kind);
        let count = self.there.iter().filter(fits).count() as u64;
        if count == 0 || self.rng.one_in(8) {
            return self.any();
        }
        let number = self.rng.below(count) as usize;
        self.there.iter().filter(fits).nth(number).map(|at| at.0.clone()).unwrap_or_default()
    }

    fn file(&mut self) -> Path {
        self.known(Some(Kind::Regular))
    }

    fn directory(&mut self) -> Path {
        self.known(Some(Kind::Directory))
    }

    /// A name in a directory that is there, or at the top: new, or not.
    fn spot(&mut self) -> Path {
        let name = self.name();
        if self.rng.one_in(3) { name.to_owned() } else { format!("{}/{name}", self.directory()) }
    }

    /// A target without `..`, so that no path leads above where the sequence began.
    fn target(&mut self) -> Path {
        let target = if self.rng.one_in(2) { self.name().to_owned() } else { self.known(None) };
        target.replace("/..", "")
    }

    fn step(&mut self) -> Step {
        let rng = &mut self.rng;
        let slot = rng.below(3) as u8;
        let seed = rng.draw() as u8;
        let offset = if rng.one_in(3) { rng.below(20_000) } else { rng.below(5) * 4096 };
        let most = if rng.one_in(3) { 9000 } else { 100 };
        let len = 1 + rng.below(most);
        let from = rng.below(6000);
        let flags = *rng.pick(&[0, 0, 0, 1, 2, 2]);
        let mode = *rng.pick(&[0o644, 0o755, 0o4755, 0o1777, 0]);
        let key = slot / 2;
        let (often, seldom) = (rng.one_in(2), rng.one_in(3));
        match rng.below(30) {
            0..=2 => Step::Create(self.spot(), seldom),
            3 | 4 => Step::Write(self.file(), offset, len as usize, seed),
            5 => Step::Read(self.file()),
            6 => Step::Truncate(self.file(), offset),
            7 => Step::Punch(self.file(), offset, len),
            8 => Step::Copy(self.file(), from, self.file(), offset, len),
            9 | 10 => Step::Mkdir(self.spot()),
            11 => Step::Rmdir(self.directory()),
            12 => Step::Unlink(self.known(None)),
            13 | 14 => Step::Rename(self.known(None), self.spot(), flags),
            15 => Step::Rename(self.known(None), self.known(None), flags),
            16 => Step::Link(self.file(), self.spot()),
            17 => Step::Link(self.known(None), self.spot()),
            18 => Step::Symlink(self.target(), self.spot()),
            19 => Step::Readlink(self.known(Some(Kind::Symlink))),
            20 => Step::Lstat(self.known(None)),
            21 => Step::Stat(self.known(None)),
            22 => Step::List(self.directory()),
            23 if often => Step::SetXattr(self.known(None), key, seed),
            23 => Step::Chmod(self.known(None), mode),
            24 => Step::SetXattr(self.known(None), key, seed),
            25 if often => Step::RemoveXattr(self.known(None), key),
            25 => Step::GetXattr(self.known(None), key),
            26 if seldom => Step::Drop(slot),
            26 => Step::Hold(self.file(), slot),
            27 => Step::WriteHeld(slot, offset, len as usize, seed),
            28 => Step::ReadHeld(slot),
            _ if seldom => Step::FsyncHeld(slot),
            _ => Step::StatHeld(slot),
        }
    }
}

/// Carries steps out on a subject.
pub struct Actor<'a> {
    subject: &'a dyn Subject,
    held: BTreeMap<u8, Fd>,
}

impl<'a> Actor<'a> {
    /// On that one, in the directory where it began.
    pub fn new(subject: &'a dyn Subject) -> Actor<'a> {
        Actor { subject, held: BTreeMap::new() }
    }

    /// Carries one out.
    pub fn act(&mut self, step: &Step) -> Answer {
        self.try_act(step).unwrap_or_else(Answer::Failed)
    }

    /// Closes what is still held.
    pub fn finish(self) {
        for fd in self.held.into_values() {
            let _ = self.subject.close(fd);
        }
    }

    fn try_act(&mut self, step: &Step) -> Result<Answer> {
        let s = self.subject;
        match step {
            Step::Create(path, new) => {
                let excl = if *new { OpenFlags::EXCL } else { OpenFlags::RDONLY };
                let flags = OpenFlags::RDWR.with(O_CREAT).with(excl);
                let fd = s.open(path.as_bytes(), flags, 0o644)?;
                s.close(fd)?;
            }
            Step::Write(path, offset, len, seed) => {
                let fd = s.open(path.as_bytes(), OpenFlags::WRONLY, 0)?;
                let answer = write_by_root(s, fd, *offset, &bytes(*len, *seed));
                s.close(fd).and(answer)?;
            }
            Step::Read(path) => {
                let fd = s.open(path.as_bytes(), OpenFlags::RDONLY, 0)?;
                let answer = read_all(s, fd);
                s.close(fd)?;
                return answer.map(Answer::Bytes);
            }
            Step::Truncate(path, size) => s.truncate(path.as_bytes(), *size)?,
            Step::Punch(path, offset, len) => {
                let fd = s.open(path.as_bytes(), OpenFlags::RDWR, 0)?;
                let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
                let answer = s.fallocate(fd, flags, *offset, *len);
                s.close(fd).and(answer)?;
            }
            Step::Copy(from, at, to, to_at, len) => {
                let from = s.open(from.as_bytes(), OpenFlags::RDWR, 0)?;
                let to = s.open(to.as_bytes(), OpenFlags::RDWR, 0);
                let answer = to.and_then(|to| {
                    let answer = copy_all(s, from, *at, to, *to_at, *len);
                    s.close(to).and(answer)
                });
                s.close(from).and(answer)?;
            }
            Step::Mkdir(path) => s.mkdir(path.as_bytes(), 0o755)?,
            Step::Rmdir(path) => s.rmdir(path.as_bytes())?,
            Step::Unlink(path) => s.unlink(path.as_bytes())?,
            Step::Rename(old, new, flags) => {
                let flags = RenameFlags::from_bits_retain(*flags);
                s.rename(old.as_bytes(), new.as_bytes(), flags)?;
            }
            Step::Link(old, new) => s.link(old.as_bytes(), new.as_bytes())?,
            Step::Symlink(target, path) => s.symlink(target.as_bytes(), path.as_bytes())?,
            Step::Readlink(path) => return s.readlink(path.as_bytes()).map(Answer::Bytes),
            Step::Lstat(path) => return s.lstat(path.as_bytes()).map(|stat| facts(&stat)),
            Step::Stat(path) => return s.stat(path.as_bytes()).map(|stat| facts(&stat)),
            Step::List(path) => {
                let listed = s.readdir(path.as_bytes())?;
                let mut names: Vec<_> = listed.into_iter().map(|e| e.name).collect();
                names.sort();
                return Ok(Answer::Names(names));
            }
            Step::Chmod(path, mode) => s.chmod(path.as_bytes(), *mode)?,
            Step::SetXattr(path, key, value) => {
                s.setxattr(path.as_bytes(), &xattr(*key), &[*value], XattrFlags::empty())?;
            }
            Step::GetXattr(path, key) => {
                return s.getxattr(path.as_bytes(), &xattr(*key)).map(Answer::Bytes);
            }
            Step::RemoveXattr(path, key) => s.removexattr(path.as_bytes(), &xattr(*key))?,
            Step::Hold(path, slot) => {
                let fd = s.open(path.as_bytes(), OpenFlags::RDWR, 0)?;
                if let Some(old) = self.held.insert(*slot, fd) {
                    s.close(old)?;
                }
            }
            Step::Drop(slot) => s.close(self.held.remove(slot).ok_or(Errno::EBADF)?)?,
            Step::ReadHeld(slot) => return read_all(s, self.fd(*slot)?).map(Answer::Bytes),
            Step::WriteHeld(slot, offset, len, seed) => {
                write_by_root(s, self.fd(*slot)?, *offset, &bytes(*len, *seed))?;
            }
            Step::StatHeld(slot) => return s.fstat(self.fd(*slot)?).map(|stat| facts(&stat)),
            Step::FsyncHeld(slot) => s.fsync(self.fd(*slot)?, false)?,
        }
        Ok(Answer::Done)
    }

    fn fd(&self, slot: u8) -> Result<Fd> {
        self.held.get(&slot).copied().ok_or(Errno::EBADF)
    }
}

pub(crate) fn xattr(key: u8) -> Vec<u8> {
    format!("user.{key}").into_bytes()
}

fn facts(stat: &filofs::Attr) -> Answer {
    let size = if stat.kind == Kind::Directory { 0 } else { stat.size };
    Answer::Facts(stat.kind, stat.mode, stat.nlink, size)
}

/// A write after which set-id bits are what they were, as root's writes leave them. Where the
/// kernel writes the host's file by itself they may go with root's write too, by no rule a model
/// could know: then they are set again.
fn write_by_root(s: &dyn Subject, fd: Fd, offset: u64, bytes: &[u8]) -> Result<()> {
    const SET_ID: u32 = 0o6000;
    let keeps = s.abilities().contains(Abilities::KEPT_SET_ID);
    let before = if keeps { 0 } else { s.fstat(fd)?.mode };
    write_all(s, fd, offset, bytes)?;
    if before & SET_ID != 0 && s.fstat(fd)?.mode == before & !SET_ID {
        s.fchmod(fd, before)?;
    }
    Ok(())
}

fn write_all(s: &dyn Subject, fd: Fd, mut offset: u64, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        let len = s.pwrite(fd, bytes, offset)?;
        assert!(len > 0 && len <= bytes.len(), "a write moved {len} of {} bytes", bytes.len());
        offset += len as u64;
        bytes = &bytes[len..];
    }
    Ok(())
}

fn read_all(s: &dyn Subject, fd: Fd) -> Result<Vec<u8>> {
    let mut all = Vec::new();
    let mut buffer = [0; 8192];
    loop {
        match s.pread(fd, &mut buffer, all.len() as u64)? {
            0 => return Ok(all),
            len => all.extend_from_slice(&buffer[..len]),
        }
    }
}

fn copy_all(s: &dyn Subject, from: Fd, at: u64, to: Fd, to_at: u64, len: u64) -> Result<()> {
    // What is there now: copying within one file may make it longer.
    let len = len.min(s.fstat(from)?.size.saturating_sub(at));
    let mut done = 0;
    while done < len {
        match s.copy_file_range(from, at + done, to, to_at + done, len - done)? {
            0 => break,
            copied => done += copied,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_steps_succeed_and_every_kind_of_step_does_both() {
        let mut counts = BTreeMap::<String, [u32; 2]>::new();
        for seed in 0..50 {
            let mut model = Model::default();
            for step in sequence(seed, 300) {
                let failed = matches!(model.act(&step), Answer::Failed(_));
                let name = format!("{step:?}");
                let name = name.split('(').next().unwrap_or_default().to_owned();
                counts.entry(name).or_default()[usize::from(failed)] += 1;
            }
        }
        assert_eq!(counts.len(), 26, "{counts:?}");
        for (name, [succeeded, failed]) in counts {
            assert!(succeeded * 20 >= failed, "{name}: {succeeded} against {failed}");
            assert!(succeeded > 25 && failed > 5, "{name}: {succeeded} against {failed}");
        }
    }

    #[test]
    fn a_seed_means_the_same_sequence_always() {
        assert_eq!(sequence(7, 100), sequence(7, 100));
        assert_ne!(sequence(7, 100), sequence(8, 100));
    }
}
