//! `User`: the system calls of a load, of a real mount or of a mount in this process.

use filofs::{Errno, LockKind, OpenFlags, RenameFlags};
use filofs_front::local::{Fd, O_CREAT, Process};
use rustix::fd::OwnedFd;
use rustix::fs::{self, AtFlags, CWD, Dir, FlockOperation, Mode, OFlags};
use std::ffi::{CStr, CString};

pub type Result<T> = std::result::Result<T, Errno>;

/// Who uses a mount. Paths are under one directory.
pub trait User {
    type File;

    /// `flags` as of open(2); new files get 0644.
    fn open(&self, path: &str, flags: u32) -> Result<Self::File>;
    fn close(&self, file: Self::File) -> Result<()>;
    fn pread(&self, file: &Self::File, room: &mut [u8], offset: u64) -> Result<usize>;
    fn pwrite(&self, file: &Self::File, bytes: &[u8], offset: u64) -> Result<usize>;
    fn write(&self, file: &Self::File, bytes: &[u8]) -> Result<usize>;
    fn ftruncate(&self, file: &Self::File, size: u64) -> Result<()>;
    fn fsync(&self, file: &Self::File) -> Result<()>;
    fn size(&self, path: &str) -> Result<u64>;
    fn rename(&self, from: &str, to: &str) -> Result<()>;
    fn link(&self, from: &str, to: &str) -> Result<()>;
    fn symlink(&self, target: &str, path: &str) -> Result<()>;
    fn readlink(&self, path: &str) -> Result<Vec<u8>>;
    fn unlink(&self, path: &str) -> Result<()>;
    fn mkdir(&self, path: &str) -> Result<()>;
    fn rmdir(&self, path: &str) -> Result<()>;
    fn chmod(&self, path: &str, mode: u32) -> Result<()>;
    /// All names but `.` and `..`.
    fn list(&self, path: &str) -> Result<Vec<String>>;
    /// Waits for the lock on the whole file.
    fn lock(&self, file: &Self::File) -> Result<()>;
    fn unlock(&self, file: &Self::File) -> Result<()>;
}

/// The kernel's own calls, in that directory.
pub struct Real(pub String);

impl Real {
    fn at(&self, path: &str) -> CString {
        CString::new(format!("{}/{path}", self.0)).unwrap()
    }
}

fn up(errno: rustix::io::Errno) -> Errno {
    Errno::from_raw(errno.raw_os_error())
}

fn text(bytes: &CStr) -> String {
    bytes.to_string_lossy().into_owned()
}

impl User for Real {
    type File = OwnedFd;

    fn open(&self, path: &str, flags: u32) -> Result<OwnedFd> {
        let flags = OFlags::from_bits_retain(flags) | OFlags::CLOEXEC;
        fs::open(self.at(path), flags, Mode::from_raw_mode(0o644)).map_err(up)
    }

    fn close(&self, file: OwnedFd) -> Result<()> {
        drop(file);
        Ok(())
    }

    fn pread(&self, file: &OwnedFd, room: &mut [u8], offset: u64) -> Result<usize> {
        rustix::io::pread(file, room, offset).map_err(up)
    }

    fn pwrite(&self, file: &OwnedFd, bytes: &[u8], offset: u64) -> Result<usize> {
        rustix::io::pwrite(file, bytes, offset).map_err(up)
    }

    fn write(&self, file: &OwnedFd, bytes: &[u8]) -> Result<usize> {
        rustix::io::write(file, bytes).map_err(up)
    }

    fn ftruncate(&self, file: &OwnedFd, size: u64) -> Result<()> {
        fs::ftruncate(file, size).map_err(up)
    }

    fn fsync(&self, file: &OwnedFd) -> Result<()> {
        fs::fsync(file).map_err(up)
    }

    fn size(&self, path: &str) -> Result<u64> {
        fs::lstat(self.at(path)).map(|stat| stat.st_size as u64).map_err(up)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        fs::rename(self.at(from), self.at(to)).map_err(up)
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        fs::linkat(CWD, self.at(from), CWD, self.at(to), AtFlags::empty()).map_err(up)
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        fs::symlink(target, self.at(path)).map_err(up)
    }

    fn readlink(&self, path: &str) -> Result<Vec<u8>> {
        fs::readlink(self.at(path), Vec::new()).map(CString::into_bytes).map_err(up)
    }

    fn unlink(&self, path: &str) -> Result<()> {
        fs::unlink(self.at(path)).map_err(up)
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        fs::mkdir(self.at(path), Mode::from_raw_mode(0o755)).map_err(up)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        fs::rmdir(self.at(path)).map_err(up)
    }

    fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        fs::chmod(self.at(path), Mode::from_raw_mode(mode)).map_err(up)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = fs::open(self.at(path), flags, Mode::empty()).map_err(up)?;
        let mut names = Vec::new();
        for entry in Dir::new(dir).map_err(up)? {
            let name = text(entry.map_err(up)?.file_name());
            if name != "." && name != ".." {
                names.push(name);
            }
        }
        Ok(names)
    }

    fn lock(&self, file: &OwnedFd) -> Result<()> {
        fs::flock(file, FlockOperation::LockExclusive).map_err(up)
    }

    fn unlock(&self, file: &OwnedFd) -> Result<()> {
        fs::flock(file, FlockOperation::Unlock).map_err(up)
    }
}

/// A process of the front end in this process, in that directory.
pub struct Inside(pub Process, pub String);

impl Inside {
    fn at(&self, path: &str) -> String {
        format!("{}/{path}", self.1)
    }
}

impl User for Inside {
    type File = Fd;

    fn open(&self, path: &str, flags: u32) -> Result<Fd> {
        assert_eq!(O_CREAT.0, OFlags::CREATE.bits());
        self.0.open(self.at(path), OpenFlags(flags), 0o644)
    }

    fn close(&self, file: Fd) -> Result<()> {
        self.0.close(file)
    }

    fn pread(&self, file: &Fd, room: &mut [u8], offset: u64) -> Result<usize> {
        self.0.pread(*file, room, offset)
    }

    fn pwrite(&self, file: &Fd, bytes: &[u8], offset: u64) -> Result<usize> {
        self.0.pwrite(*file, bytes, offset)
    }

    fn write(&self, file: &Fd, bytes: &[u8]) -> Result<usize> {
        self.0.write(*file, bytes)
    }

    fn ftruncate(&self, file: &Fd, size: u64) -> Result<()> {
        self.0.ftruncate(*file, size)
    }

    fn fsync(&self, file: &Fd) -> Result<()> {
        self.0.fsync(*file, false)
    }

    fn size(&self, path: &str) -> Result<u64> {
        self.0.lstat(self.at(path)).map(|stat| stat.attr.size)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.0.rename(self.at(from), self.at(to), RenameFlags::empty())
    }

    fn link(&self, from: &str, to: &str) -> Result<()> {
        self.0.link(self.at(from), self.at(to))
    }

    fn symlink(&self, target: &str, path: &str) -> Result<()> {
        self.0.symlink(target, self.at(path))
    }

    fn readlink(&self, path: &str) -> Result<Vec<u8>> {
        self.0.readlink(self.at(path))
    }

    fn unlink(&self, path: &str) -> Result<()> {
        self.0.unlink(self.at(path))
    }

    fn mkdir(&self, path: &str) -> Result<()> {
        self.0.mkdir(self.at(path), 0o755)
    }

    fn rmdir(&self, path: &str) -> Result<()> {
        self.0.rmdir(self.at(path))
    }

    fn chmod(&self, path: &str, mode: u32) -> Result<()> {
        self.0.chmod(self.at(path), mode)
    }

    fn list(&self, path: &str) -> Result<Vec<String>> {
        let names = self.0.readdir(self.at(path))?.into_iter();
        let names = names.map(|entry| String::from_utf8(entry.name).unwrap());
        Ok(names.filter(|name| name != "." && name != "..").collect())
    }

    fn lock(&self, file: &Fd) -> Result<()> {
        self.0.flock(*file, LockKind::Exclusive, true)
    }

    fn unlock(&self, file: &Fd) -> Result<()> {
        self.0.flock(*file, LockKind::Unlock, false)
    }
}
