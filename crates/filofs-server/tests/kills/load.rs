//! A mixed load on one directory, by somebody who knows what must be in it: every byte that is
//! read is compared, and at the end all of it.

use crate::random::Random;
use crate::user::{Real, Result, User};
use filofs::Errno;
use rustix::fs::OFlags;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

/// The first word of the command line of a program that makes a load.
pub const LOAD: &str = "load";

/// The file next to the directories of all loads, with a number that each counts up.
pub const COUNTER: &str = "../counter";

const FILES_MAX: usize = 12;
const SIZE_MAX: usize = 300_000;

/// How a load came to its end.
pub enum End {
    /// It was asked to end.
    Asked,
    /// A call failed.
    Failed(Errno),
}

/// A load at work.
pub struct Load<'u, U: User> {
    user: &'u U,
    random: Random,
    files: BTreeMap<String, Vec<u8>>,
    dirs: BTreeSet<String>,
    links: BTreeMap<String, Vec<u8>>,
    /// A file that stays open while others come and go, and its name.
    held: Option<(String, U::File)>,
    names: u64,
    /// What the call that failed was about: it may have happened.
    doubtful: Vec<String>,
    /// The call that is on its way.
    now: &'static str,
    /// See [`Mounted::by_name`](crate::mounted::Mounted::by_name).
    by_name: bool,
    /// Calls that succeeded.
    pub calls: u64,
    /// How often it has counted the common number up.
    pub counted: u64,
}

/// Something that is not as it must be.
fn wrong(text: &str) -> ! {
    panic!("wrong data: {text}");
}

impl<'u, U: User> Load<'u, U> {
    pub fn new(user: &'u U, seed: u64, by_name: bool) -> Load<'u, U> {
        Load {
            user,
            random: Random::new(seed),
            files: BTreeMap::new(),
            dirs: BTreeSet::new(),
            links: BTreeMap::new(),
            held: None,
            names: 0,
            doubtful: Vec::new(),
            now: "",
            by_name,
            calls: 0,
            counted: 0,
        }
    }

    /// Works until it is asked to end, or a call fails. `progress` hears of each call.
    pub fn run(&mut self, stop: &AtomicBool, progress: impl Fn(u64)) -> End {
        while !stop.load(Ordering::Relaxed) {
            if let Err(errno) = self.step() {
                return End::Failed(errno);
            }
            self.doubtful.clear();
            self.calls += 1;
            progress(self.calls);
        }
        End::Asked
    }

    /// The call that failed.
    pub fn last(&self) -> &'static str {
        self.now
    }

    /// Reads everything and takes it away.
    pub fn finish(&mut self) -> Result<()> {
        if let Some((_, file)) = self.held.take() {
            self.user.close(file)?;
        }
        self.list()?;
        for name in self.files.keys().cloned().collect::<Vec<_>>() {
            self.read(&name)?;
            self.user.unlink(&name)?;
        }
        for name in std::mem::take(&mut self.links).into_keys() {
            self.user.unlink(&name)?;
        }
        for name in std::mem::take(&mut self.dirs) {
            self.user.rmdir(&name)?;
        }
        self.files.clear();
        self.list()
    }

    /// Looks into the directory itself, which must hold what every call that succeeded has left.
    pub fn verify(&self, at: &Path) {
        let sure = |name: &&String| !self.doubtful.contains(name);
        for (name, content) in self.files.iter().filter(|(name, _)| sure(name)) {
            let found = std::fs::read(at.join(name));
            if found.as_ref().ok() != Some(content) {
                let found = found.map(|found| found.len());
                wrong(&format!("{name}: {found:?} instead of {} bytes", content.len()));
            }
        }
        for name in self.dirs.iter().filter(sure) {
            assert!(at.join(name).is_dir(), "{name} is no directory");
        }
        for entry in std::fs::read_dir(at).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let known = self.files.contains_key(&name)
                || self.dirs.contains(&name)
                || self.links.contains_key(&name);
            assert!(known || !sure(&&name), "{name} is there");
        }
    }

    fn step(&mut self) -> Result<()> {
        match self.random.below(20) {
            0..=2 => self.create(),
            3..=5 => self.with_file("read", Self::read),
            6 | 7 => self.with_file("pwrite", Self::overwrite),
            8 => self.with_file("append", Self::append),
            9 => self.with_file("truncate", Self::truncate),
            10 => self.with_file("rename", Self::rename),
            11 => self.with_file("unlink", Self::unlink),
            12 => self.with_file("link", Self::link),
            13 => self.directory(),
            14 => self.list(),
            15 => self.with_file("stat", |load, name| {
                let size = load.user.size(name)?;
                if size != load.files[name].len() as u64 {
                    wrong(&format!("{name}: {size} instead of {}", load.files[name].len()));
                }
                load.user.chmod(name, 0o600 | load.random.below(0o200) as u32)
            }),
            16 => self.symlink(),
            17 => self.count(),
            _ => self.hold(),
        }
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        format!("n{}", self.names)
    }

    fn with_file(
        &mut self,
        now: &'static str,
        act: impl FnOnce(&mut Self, &str) -> Result<()>,
    ) -> Result<()> {
        if self.files.is_empty() {
            return self.create();
        }
        let at = self.random.below(self.files.len() as u64) as usize;
        let name = self.files.keys().nth(at).unwrap().clone();
        self.now = now;
        self.doubtful.push(name.clone());
        act(self, &name)
    }

    fn write_all(&self, file: &U::File, bytes: &[u8], offset: u64) -> Result<()> {
        let mut done = 0;
        while done < bytes.len() {
            let written = self.user.pwrite(file, &bytes[done..], offset + done as u64)?;
            if written == 0 {
                wrong("nothing was written");
            }
            done += written;
        }
        Ok(())
    }

    fn create(&mut self) -> Result<()> {
        if self.files.len() >= FILES_MAX {
            return self.with_file("unlink", Self::unlink);
        }
        self.now = "create";
        let name = self.fresh();
        self.doubtful.push(name.clone());
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR;
        let file = self.user.open(&name, flags.bits())?;
        let len = self.random.below(self.random_size()) as usize;
        let content = self.random.bytes(len);
        self.write_all(&file, &content, 0)?;
        self.user.close(file)?;
        self.files.insert(name, content);
        Ok(())
    }

    fn random_size(&self) -> u64 {
        // Mostly small, sometimes more than one message.
        if self.names.is_multiple_of(8) { SIZE_MAX as u64 } else { 20_000 }
    }

    fn read(&mut self, name: &str) -> Result<()> {
        let file = self.user.open(name, OFlags::RDONLY.bits())?;
        let content = self.read_all(&file, self.files[name].len())?;
        self.user.close(file)?;
        if content != self.files[name] {
            wrong(&format!("{name}: {}", difference(&content, &self.files[name])));
        }
        Ok(())
    }

    fn read_all(&self, file: &U::File, about: usize) -> Result<Vec<u8>> {
        let mut content = vec![0; about + 100];
        let mut len = 0;
        loop {
            match self.user.pread(file, &mut content[len..], len as u64)? {
                0 => break,
                more => len += more,
            }
        }
        content.truncate(len);
        Ok(content)
    }

    fn overwrite(&mut self, name: &str) -> Result<()> {
        let at = self.random.below(self.files[name].len() as u64 + 5000) as usize;
        let len = 1 + self.random.below(40_000) as usize;
        let bytes = self.random.bytes(len);
        let file = self.user.open(name, OFlags::RDWR.bits())?;
        self.write_all(&file, &bytes, at as u64)?;
        if self.random.below(4) == 0 {
            self.user.fsync(&file)?;
        }
        self.user.close(file)?;
        self.note(name, &bytes, at);
        Ok(())
    }

    fn note(&mut self, name: &str, bytes: &[u8], at: usize) {
        let content = self.files.get_mut(name).unwrap();
        content.resize(content.len().max(at + bytes.len()), 0);
        content[at..at + bytes.len()].copy_from_slice(bytes);
    }

    fn append(&mut self, name: &str) -> Result<()> {
        let file = self.user.open(name, (OFlags::WRONLY | OFlags::APPEND).bits())?;
        for _ in 0..=self.random.below(3) {
            let len = 1 + self.random.below(9000) as usize;
            let bytes = self.random.bytes(len);
            let mut rest = &bytes[..];
            while !rest.is_empty() {
                let written = self.user.write(&file, rest)?;
                self.files.get_mut(name).unwrap().extend_from_slice(&rest[..written]);
                rest = &rest[written..];
            }
        }
        self.user.close(file)
    }

    fn truncate(&mut self, name: &str) -> Result<()> {
        let size = self.random.below(self.files[name].len() as u64 + 1000);
        let file = self.user.open(name, OFlags::RDWR.bits())?;
        self.user.ftruncate(&file, size)?;
        self.user.close(file)?;
        self.files.get_mut(name).unwrap().resize(size as usize, 0);
        Ok(())
    }

    fn rename(&mut self, name: &str) -> Result<()> {
        let over = self.random.below(3) == 0;
        let other = self.files.keys().find(|other| *other != name).cloned();
        // Not over the file that is held open: it would be gone with the server.
        let held = self.held.as_ref().map(|(held, _)| held.clone());
        let to = other.filter(|other| over && held.as_ref() != Some(other));
        let to = to.unwrap_or_else(|| self.fresh());
        self.doubtful.push(to.clone());
        self.user.rename(name, &to)?;
        let content = self.files.remove(name).unwrap();
        self.files.insert(to.clone(), content);
        if let Some((held, _)) = self.held.as_mut().filter(|(held, _)| held == name) {
            *held = to;
        }
        Ok(())
    }

    fn unlink(&mut self, name: &str) -> Result<()> {
        if self.held.as_ref().is_some_and(|(held, _)| held == name) {
            let (_, file) = self.held.take().unwrap();
            self.user.close(file)?;
        }
        self.user.unlink(name)?;
        self.files.remove(name);
        Ok(())
    }

    /// A second name, and the first one goes: also of the file that is held open.
    fn link(&mut self, name: &str) -> Result<()> {
        if self.by_name && self.held.as_ref().is_some_and(|(held, _)| held == name) {
            return Ok(());
        }
        let to = self.fresh();
        self.doubtful.push(to.clone());
        self.user.link(name, &to)?;
        self.user.unlink(name)?;
        let content = self.files.remove(name).unwrap();
        self.files.insert(to.clone(), content);
        if let Some((held, _)) = self.held.as_mut().filter(|(held, _)| held == name) {
            *held = to;
        }
        Ok(())
    }

    fn directory(&mut self) -> Result<()> {
        if let Some(name) = self.dirs.first().cloned().filter(|_| self.dirs.len() > 3) {
            self.now = "rmdir";
            self.doubtful.push(name.clone());
            self.user.rmdir(&name)?;
            self.dirs.remove(&name);
            return Ok(());
        }
        self.now = "mkdir";
        let name = self.fresh();
        self.doubtful.push(name.clone());
        self.user.mkdir(&name)?;
        self.dirs.insert(name.clone());
        Ok(())
    }

    fn symlink(&mut self) -> Result<()> {
        if let Some((name, target)) = self.links.clone().into_iter().next()
            && self.links.len() > 3
        {
            self.now = "readlink";
            self.doubtful.push(name.clone());
            if self.user.readlink(&name)? != target {
                wrong("a link leads elsewhere");
            }
            self.user.unlink(&name)?;
            self.links.remove(&name);
            return Ok(());
        }
        self.now = "symlink";
        let name = self.fresh();
        self.doubtful.push(name.clone());
        let target = format!("target of {name}");
        self.user.symlink(&target, &name)?;
        self.links.insert(name, target.into_bytes());
        Ok(())
    }

    fn list(&mut self) -> Result<()> {
        self.now = "readdir";
        let mut found = self.user.list("")?;
        // What libfuse makes of a file that loses its name before its last close has arrived.
        found.retain(|name| !(self.by_name && name.starts_with(".fuse_hidden")));
        found.sort();
        let known = self.files.keys().chain(&self.dirs).chain(self.links.keys());
        let mut known: Vec<String> = known.cloned().collect();
        known.sort();
        if found != known {
            wrong(&format!("listed {found:?} instead of {known:?}"));
        }
        Ok(())
    }

    /// Works with the file that stays open, whatever becomes of its name.
    fn hold(&mut self) -> Result<()> {
        self.now = "use of an open file";
        let Some((name, file)) = self.held.take() else {
            return self.with_file("open", |load, name| {
                let file = load.user.open(name, OFlags::RDWR.bits())?;
                load.held = Some((name.to_owned(), file));
                Ok(())
            });
        };
        self.doubtful.push(name.clone());
        let used = self.use_held(&name, &file);
        if used.is_ok() && self.random.below(30) == 0 {
            return self.user.close(file);
        }
        self.held = Some((name, file));
        used
    }

    fn use_held(&mut self, name: &str, file: &U::File) -> Result<()> {
        if self.random.below(2) == 0 {
            let content = self.read_all(file, self.files[name].len())?;
            if content != self.files[name] {
                let difference = difference(&content, &self.files[name]);
                wrong(&format!("open file {name}: {difference}"));
            }
            return Ok(());
        }
        let at = self.random.below(self.files[name].len() as u64 + 1) as usize;
        let len = 1 + self.random.below(3000) as usize;
        let bytes = self.random.bytes(len);
        self.write_all(file, &bytes, at as u64)?;
        self.note(name, &bytes, at);
        Ok(())
    }

    /// Counts a number up that all loads share, under a lock.
    fn count(&mut self) -> Result<()> {
        self.now = "lock";
        let file = self.user.open(COUNTER, OFlags::RDWR.bits())?;
        self.user.lock(&file)?;
        let mut number = [0; 8];
        let read = self.user.pread(&file, &mut number, 0)?;
        if read != 8 && read != 0 {
            wrong("half a number");
        }
        let next = u64::from_le_bytes(number) + 1;
        self.write_all(&file, &next.to_le_bytes(), 0)?;
        self.counted += 1;
        self.user.unlock(&file)?;
        self.user.close(file)
    }
}

fn difference(found: &[u8], expected: &[u8]) -> String {
    let at = found.iter().zip(expected).position(|(a, b)| a != b);
    format!("{} bytes instead of {}, different from {at:?} on", found.len(), expected.len())
}

/// Becomes true when standard input ends.
pub fn stop_with_input() -> &'static AtomicBool {
    let stop: &'static AtomicBool = Box::leak(Box::default());
    std::thread::spawn(move || {
        let _ = std::io::stdin().read(&mut [0]);
        stop.store(true, Ordering::Relaxed);
    });
    stop
}

/// The load as a program: `DIRECTORY SEED PROGRESS SOURCE BY_NAME`, until standard input ends or
/// a call fails. Its last line says how that was. With a SOURCE other than `-`, what was done must
/// be found there after a failure.
pub fn program(words: &[String]) -> ExitCode {
    let [directory, seed, progress, source, by_name] = words else { return ExitCode::FAILURE };
    let user = Real(directory.clone());
    let progress = File::options().write(true).open(progress).unwrap();
    let stop = stop_with_input();
    let mut load = Load::new(&user, seed.parse().unwrap(), by_name.parse().unwrap());
    let end = load.run(stop, |calls| {
        progress.write_all_at(&calls.to_le_bytes(), 0).unwrap();
    });
    let last = load.last();
    match end {
        End::Asked => match load.finish() {
            Ok(()) => println!("done {} {}", load.calls, load.counted),
            Err(errno) => println!("failed {} {} at the end ({last})", load.calls, errno.raw()),
        },
        End::Failed(errno) => {
            println!("failed {} {} in {last}", load.calls, errno.raw());
            if source != "-" {
                load.verify(source.as_ref());
                println!("verified");
            }
        }
    }
    // The mount may be gone: nothing is closed one by one.
    std::process::exit(0);
}
