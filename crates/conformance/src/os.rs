//! `OsProcess`: a subject on the real operating system.

mod calls;
mod thread;

use crate::{Abilities, Fd, Subject};
use filofs::{
    Device, Errno, FallocateFlags, Kind, Lock, LockKind, OpenFlags, RenameFlags, Result, SetTime,
    Statfs, XattrFlags,
};
use filofs_front::local::{Dirent, O_CREAT, Stat, Whence};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use thread::Worker;

pub use thread::{
    lock_description, map_of, mapped, may_become_users, read_to_nowhere, stop_appending,
};

/// A process of the operating system, as far as file systems can tell: a thread with credentials,
/// a working directory, a umask and descriptors of its own.
pub struct OsProcess {
    worker: Worker,
    began: PathBuf,
    abilities: Abilities,
}

impl OsProcess {
    /// Root (or whoever runs this), in that directory, with umask 0.
    pub fn new(began: &Path, abilities: Abilities) -> OsProcess {
        OsProcess { worker: Worker::start(began, None), began: began.to_owned(), abilities }
    }

    fn run<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        self.worker.run(call)
    }
}

macro_rules! calls {
    ($(fn $name:ident($($arg:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $name(&self, $($arg: $type),*) -> Result<$answer> {
            self.run(|| calls::$name($($arg),*))
        })*
    };
}

impl Subject for OsProcess {
    fn abilities(&self) -> Abilities {
        self.abilities
    }

    fn as_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Box<dyn Subject> {
        let worker = Worker::start(&self.began, Some((uid, gid, groups.to_vec())));
        Box::new(OsProcess { worker, began: self.began.clone(), abilities: self.abilities })
    }

    fn host_path(&self) -> Option<PathBuf> {
        Some(self.began.clone())
    }

    fn umask(&self, mask: u32) -> u32 {
        self.run(|| calls::umask(mask))
    }

    fn interrupt(&self) {
        self.worker.interrupt();
    }

    fn pid(&self) -> u32 {
        std::process::id()
    }

    fn statvfs(&self) -> Result<Statfs> {
        self.run(calls::statvfs)
    }

    fn readdir(&self, path: &[u8]) -> Result<Vec<Dirent>> {
        let fd = self.open(path, OpenFlags::DIRECTORY, 0)?;
        let mut all = Vec::new();
        loop {
            let batch = self.getdents(fd)?;
            if batch.is_empty() {
                break;
            }
            all.extend(batch);
        }
        self.close(fd)?;
        Ok(all)
    }

    fn read_file(&self, path: &[u8]) -> Result<Vec<u8>> {
        let fd = self.open(path, OpenFlags::RDONLY, 0)?;
        let mut bytes = Vec::new();
        let mut buffer = vec![0; 64 * 1024];
        loop {
            let len = self.read(fd, &mut buffer)?;
            if len == 0 {
                break;
            }
            bytes.extend_from_slice(&buffer[..len]);
        }
        self.close(fd)?;
        Ok(bytes)
    }

    fn write_file(&self, path: &[u8], bytes: &[u8]) -> Result<()> {
        let fd = self.open(path, OpenFlags::WRONLY.with(O_CREAT).with(OpenFlags::TRUNC), 0o666)?;
        let mut done = 0;
        let mut answer = Ok(());
        while done < bytes.len() && answer.is_ok() {
            match self.write(fd, &bytes[done..]) {
                Ok(len) => done += len,
                Err(errno) => answer = Err(errno),
            }
        }
        let closed = self.close(fd);
        answer.and(closed)
    }

    calls! {
        fn get_flags(fd: Fd) -> u32;
        fn set_flags(fd: Fd, flags: u32) -> ();
        fn name_to_handle(path: &[u8]) -> Vec<u8>;
        fn open_by_handle(handle: &[u8], flags: OpenFlags) -> Fd;
        fn chdir(path: &[u8]) -> ();
        fn getcwd() -> Vec<u8>;
        fn open(path: &[u8], flags: OpenFlags, mode: u32) -> Fd;
        fn openat(dir: Fd, path: &[u8], flags: OpenFlags, mode: u32) -> Fd;
        fn dup(fd: Fd) -> Fd;
        fn close(fd: Fd) -> ();
        fn read(fd: Fd, buffer: &mut [u8]) -> usize;
        fn pread(fd: Fd, buffer: &mut [u8], offset: u64) -> usize;
        fn write(fd: Fd, bytes: &[u8]) -> usize;
        fn pwrite(fd: Fd, bytes: &[u8], offset: u64) -> usize;
        fn lseek(fd: Fd, offset: i64, whence: Whence) -> u64;
        fn fsync(fd: Fd, data_only: bool) -> ();
        fn fallocate(fd: Fd, flags: FallocateFlags, offset: u64, len: u64) -> ();
        fn copy_file_range(from: Fd, at: u64, to: Fd, to_at: u64, len: u64) -> u64;
        fn stat(path: &[u8]) -> Stat;
        fn lstat(path: &[u8]) -> Stat;
        fn fstat(fd: Fd) -> Stat;
        fn mkdir(path: &[u8], mode: u32) -> ();
        fn rmdir(path: &[u8]) -> ();
        fn unlink(path: &[u8]) -> ();
        fn rename(old: &[u8], new: &[u8], flags: RenameFlags) -> ();
        fn link(old: &[u8], new: &[u8]) -> ();
        fn flink(fd: Fd, new: &[u8]) -> ();
        fn symlink(target: &[u8], path: &[u8]) -> ();
        fn readlink(path: &[u8]) -> Vec<u8>;
        fn mknod(path: &[u8], kind: Kind, mode: u32, rdev: Device) -> ();
        fn chmod(path: &[u8], mode: u32) -> ();
        fn fchmod(fd: Fd, mode: u32) -> ();
        fn chown(path: &[u8], uid: Option<u32>, gid: Option<u32>) -> ();
        fn lchown(path: &[u8], uid: Option<u32>, gid: Option<u32>) -> ();
        fn fchown(fd: Fd, uid: Option<u32>, gid: Option<u32>) -> ();
        fn utimens(path: &[u8], atime: Option<SetTime>, mtime: Option<SetTime>, follow: bool) -> ();
        fn futimens(fd: Fd, atime: Option<SetTime>, mtime: Option<SetTime>) -> ();
        fn truncate(path: &[u8], size: u64) -> ();
        fn ftruncate(fd: Fd, size: u64) -> ();
        fn access(path: &[u8], mode: u32) -> ();
        fn getdents(fd: Fd) -> Vec<Dirent>;
        fn getxattr(path: &[u8], key: &[u8]) -> Vec<u8>;
        fn getxattr_into(path: &[u8], key: &[u8], buffer: &mut [u8]) -> usize;
        fn setxattr(path: &[u8], key: &[u8], value: &[u8], flags: XattrFlags) -> ();
        fn lsetxattr(path: &[u8], key: &[u8], value: &[u8], flags: XattrFlags) -> ();
        fn lgetxattr(path: &[u8], key: &[u8]) -> Vec<u8>;
        fn listxattr(path: &[u8]) -> Vec<Vec<u8>>;
        fn removexattr(path: &[u8], key: &[u8]) -> ();
        fn getlk(fd: Fd, lock: Lock) -> Lock;
        fn setlk(fd: Fd, lock: Lock, wait: bool) -> ();
        fn flock(fd: Fd, kind: LockKind, wait: bool) -> ();
    }
}

/// A directory of the host for one run, removed when dropped, with whatever is in it.
#[derive(Debug)]
pub struct TempDir(PathBuf);

impl TempDir {
    /// A new empty directory of mode 755 under that one.
    pub fn under(parent: &Path) -> TempDir {
        static NEXT: Mutex<u32> = Mutex::new(0);
        let number = {
            let mut next = filofs::locked(&NEXT);
            *next += 1;
            *next
        };
        let path = parent.join(format!("filo-test.{}.{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        TempDir(path)
    }

    /// The same where temporary files go on this machine.
    pub fn new() -> TempDir {
        TempDir::under(&std::env::temp_dir())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Default for TempDir {
    fn default() -> Self {
        TempDir::new()
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            eprintln!("{}: {error}", self.0.display());
        }
    }
}

/// The errno of the last call that failed on this thread.
fn last_errno() -> Errno {
    std::io::Error::last_os_error().into()
}
