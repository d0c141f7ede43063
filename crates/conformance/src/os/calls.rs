//! The system calls, on the calling thread: each a thin cover over the C library's function,
//! with filo's words for arguments and answers.
#![allow(unsafe_code)]

use super::last_errno;
use crate::Fd;
use filofs::{
    Attr, Device, Errno, FallocateFlags, Gid, Kind, Lock, LockKind, OpenFlags, Pid, RenameFlags,
    Result, SetTime, Statfs, Time, Uid, XattrFlags,
};
use filofs_front::local::{Dirent, Stat, Whence};
use std::ffi::{CString, c_int, c_void};
use std::mem::MaybeUninit;

/// Calls a function of the C library that answers -1 and errno when it fails.
macro_rules! sys {
    ($name:ident($($arg:expr),* $(,)?)) => {{
        // SAFETY: pointers among the arguments come from live slices, strings and records of
        // the caller, with their own lengths; descriptors are numbers that the kernel checks.
        let answer = unsafe { libc::$name($($arg),*) };
        if i64::from(answer as isize as i64) == -1 { Err(last_errno()) } else { Ok(answer) }
    }};
}

const HERE: c_int = libc::AT_FDCWD;

fn raw(fd: Fd) -> c_int {
    fd.0 as c_int
}

fn path(bytes: &[u8]) -> CString {
    CString::new(bytes).expect("a path without NUL")
}

fn id(id: Option<u32>) -> u32 {
    id.unwrap_or(u32::MAX)
}

pub(super) fn umask(mask: u32) -> u32 {
    // SAFETY: a number in, a number out.
    unsafe { libc::umask(mask) }
}

pub(super) fn chdir(to: &[u8]) -> Result<()> {
    sys!(chdir(path(to).as_ptr())).map(drop)
}

pub(super) fn getcwd() -> Result<Vec<u8>> {
    let mut buffer = vec![0u8; 8192];
    // SAFETY: the buffer and its length.
    let answer = unsafe { libc::getcwd(buffer.as_mut_ptr().cast(), buffer.len()) };
    if answer.is_null() {
        return Err(last_errno());
    }
    buffer.truncate(buffer.iter().position(|b| *b == 0).unwrap());
    Ok(buffer)
}

pub(super) fn open(name: &[u8], flags: OpenFlags, mode: u32) -> Result<Fd> {
    let flags = flags.0 as c_int | libc::O_CLOEXEC;
    sys!(open(path(name).as_ptr(), flags, mode)).map(|fd| Fd(fd as u32))
}

pub(super) fn openat(dir: Fd, name: &[u8], flags: OpenFlags, mode: u32) -> Result<Fd> {
    let flags = flags.0 as c_int | libc::O_CLOEXEC;
    sys!(openat(raw(dir), path(name).as_ptr(), flags, mode)).map(|fd| Fd(fd as u32))
}

pub(super) fn dup(fd: Fd) -> Result<Fd> {
    sys!(dup(raw(fd))).map(|fd| Fd(fd as u32))
}

pub(super) fn close(fd: Fd) -> Result<()> {
    sys!(close(raw(fd))).map(drop)
}

pub(super) fn read(fd: Fd, buffer: &mut [u8]) -> Result<usize> {
    sys!(read(raw(fd), buffer.as_mut_ptr().cast(), buffer.len())).map(|n| n as usize)
}

pub(super) fn pread(fd: Fd, buffer: &mut [u8], offset: u64) -> Result<usize> {
    let len = buffer.len();
    sys!(pread(raw(fd), buffer.as_mut_ptr().cast(), len, offset as i64)).map(|n| n as usize)
}

pub(super) fn write(fd: Fd, bytes: &[u8]) -> Result<usize> {
    sys!(write(raw(fd), bytes.as_ptr().cast(), bytes.len())).map(|n| n as usize)
}

pub(super) fn pwrite(fd: Fd, bytes: &[u8], offset: u64) -> Result<usize> {
    sys!(pwrite(raw(fd), bytes.as_ptr().cast(), bytes.len(), offset as i64)).map(|n| n as usize)
}

pub(super) fn lseek(fd: Fd, offset: i64, whence: Whence) -> Result<u64> {
    let whence = match whence {
        Whence::Set => libc::SEEK_SET,
        Whence::Current => libc::SEEK_CUR,
        Whence::End => libc::SEEK_END,
        Whence::Data => libc::SEEK_DATA,
        Whence::Hole => libc::SEEK_HOLE,
    };
    sys!(lseek(raw(fd), offset, whence)).map(|n| n as u64)
}

pub(super) fn fsync(fd: Fd, data_only: bool) -> Result<()> {
    if data_only { sys!(fdatasync(raw(fd))).map(drop) } else { sys!(fsync(raw(fd))).map(drop) }
}

pub(super) fn fallocate(fd: Fd, flags: FallocateFlags, offset: u64, len: u64) -> Result<()> {
    sys!(fallocate(raw(fd), flags.bits() as c_int, offset as i64, len as i64)).map(drop)
}

pub(super) fn copy_file_range(from: Fd, at: u64, to: Fd, to_at: u64, len: u64) -> Result<u64> {
    let (mut at, mut to_at) = (at as i64, to_at as i64);
    sys!(copy_file_range(raw(from), &raw mut at, raw(to), &raw mut to_at, len as usize, 0))
        .map(|n| n as u64)
}

fn stat_at(dir: c_int, name: &[u8], flags: c_int) -> Result<Stat> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    sys!(fstatat(dir, path(name).as_ptr(), stat.as_mut_ptr(), flags))?;
    // SAFETY: filled in by the call, and zeroes are a valid value anyway.
    let stat = unsafe { stat.assume_init() };
    let kind = Kind::from_mode(stat.st_mode).ok_or(Errno::EPROTO)?;
    let attr = Attr {
        mode: stat.st_mode & 0o7777,
        nlink: stat.st_nlink as u32,
        uid: Uid(stat.st_uid),
        gid: Gid(stat.st_gid),
        size: stat.st_size as u64,
        blocks: stat.st_blocks as u64,
        blksize: stat.st_blksize as u32,
        rdev: Device { major: libc::major(stat.st_rdev), minor: libc::minor(stat.st_rdev) },
        atime: Time::new(stat.st_atime, stat.st_atime_nsec as u32),
        mtime: Time::new(stat.st_mtime, stat.st_mtime_nsec as u32),
        ctime: Time::new(stat.st_ctime, stat.st_ctime_nsec as u32),
        ..Attr::new(stat.st_ino, kind)
    };
    Ok(Stat { dev: stat.st_dev, attr })
}

pub(super) fn stat(name: &[u8]) -> Result<Stat> {
    stat_at(HERE, name, 0)
}

pub(super) fn lstat(name: &[u8]) -> Result<Stat> {
    stat_at(HERE, name, libc::AT_SYMLINK_NOFOLLOW)
}

pub(super) fn fstat(fd: Fd) -> Result<Stat> {
    stat_at(raw(fd), b"", libc::AT_EMPTY_PATH)
}

pub(super) fn mkdir(name: &[u8], mode: u32) -> Result<()> {
    sys!(mkdir(path(name).as_ptr(), mode)).map(drop)
}

pub(super) fn rmdir(name: &[u8]) -> Result<()> {
    sys!(rmdir(path(name).as_ptr())).map(drop)
}

pub(super) fn unlink(name: &[u8]) -> Result<()> {
    sys!(unlink(path(name).as_ptr())).map(drop)
}

pub(super) fn rename(old: &[u8], new: &[u8], flags: RenameFlags) -> Result<()> {
    let (old, new) = (path(old), path(new));
    sys!(renameat2(HERE, old.as_ptr(), HERE, new.as_ptr(), flags.bits())).map(drop)
}

pub(super) fn link(old: &[u8], new: &[u8]) -> Result<()> {
    sys!(link(path(old).as_ptr(), path(new).as_ptr())).map(drop)
}

pub(super) fn flink(fd: Fd, new: &[u8]) -> Result<()> {
    let new = path(new);
    sys!(linkat(raw(fd), c"".as_ptr(), HERE, new.as_ptr(), libc::AT_EMPTY_PATH)).map(drop)
}

pub(super) fn symlink(target: &[u8], name: &[u8]) -> Result<()> {
    sys!(symlink(path(target).as_ptr(), path(name).as_ptr())).map(drop)
}

pub(super) fn readlink(name: &[u8]) -> Result<Vec<u8>> {
    let mut buffer = vec![0u8; 8192];
    let len = sys!(readlink(path(name).as_ptr(), buffer.as_mut_ptr().cast(), buffer.len()))?;
    buffer.truncate(len as usize);
    Ok(buffer)
}

pub(super) fn mknod(name: &[u8], kind: Kind, mode: u32, rdev: Device) -> Result<()> {
    let device = libc::makedev(rdev.major, rdev.minor);
    sys!(mknod(path(name).as_ptr(), kind.mode_bits() | mode, device)).map(drop)
}

pub(super) fn chmod(name: &[u8], mode: u32) -> Result<()> {
    sys!(chmod(path(name).as_ptr(), mode)).map(drop)
}

pub(super) fn fchmod(fd: Fd, mode: u32) -> Result<()> {
    sys!(fchmod(raw(fd), mode)).map(drop)
}

pub(super) fn chown(name: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    sys!(chown(path(name).as_ptr(), id(uid), id(gid))).map(drop)
}

pub(super) fn lchown(name: &[u8], uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    sys!(lchown(path(name).as_ptr(), id(uid), id(gid))).map(drop)
}

pub(super) fn fchown(fd: Fd, uid: Option<u32>, gid: Option<u32>) -> Result<()> {
    sys!(fchown(raw(fd), id(uid), id(gid))).map(drop)
}

fn timespec(time: Option<SetTime>) -> libc::timespec {
    match time {
        None => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_OMIT },
        Some(SetTime::Now) => libc::timespec { tv_sec: 0, tv_nsec: libc::UTIME_NOW },
        Some(SetTime::At(time)) => {
            libc::timespec { tv_sec: time.secs, tv_nsec: i64::from(time.nanos) }
        }
    }
}

pub(super) fn utimens(
    name: &[u8],
    atime: Option<SetTime>,
    mtime: Option<SetTime>,
    follow: bool,
) -> Result<()> {
    let times = [timespec(atime), timespec(mtime)];
    let flags = if follow { 0 } else { libc::AT_SYMLINK_NOFOLLOW };
    sys!(utimensat(HERE, path(name).as_ptr(), times.as_ptr(), flags)).map(drop)
}

pub(super) fn futimens(fd: Fd, atime: Option<SetTime>, mtime: Option<SetTime>) -> Result<()> {
    let times = [timespec(atime), timespec(mtime)];
    sys!(futimens(raw(fd), times.as_ptr())).map(drop)
}

pub(super) fn truncate(name: &[u8], size: u64) -> Result<()> {
    sys!(truncate(path(name).as_ptr(), size as i64)).map(drop)
}

pub(super) fn ftruncate(fd: Fd, size: u64) -> Result<()> {
    sys!(ftruncate(raw(fd), size as i64)).map(drop)
}

pub(super) fn access(name: &[u8], mode: u32) -> Result<()> {
    sys!(access(path(name).as_ptr(), mode as c_int)).map(drop)
}

pub(super) fn getdents(fd: Fd) -> Result<Vec<Dirent>> {
    let mut buffer = vec![0u8; 32 * 1024];
    let len = sys!(syscall(libc::SYS_getdents64, raw(fd), buffer.as_mut_ptr(), buffer.len()))?;
    let mut rest = &buffer[..len as usize];
    let mut entries = Vec::new();
    // struct linux_dirent64: ino, off, reclen, type, name.
    while !rest.is_empty() {
        let (ino, off) = (&rest[..8], &rest[8..16]);
        let record = usize::from(u16::from_ne_bytes([rest[16], rest[17]]));
        let name = &rest[19..record];
        entries.push(Dirent {
            name: name[..name.iter().position(|b| *b == 0).unwrap()].to_vec(),
            ino: u64::from_ne_bytes(ino.try_into().unwrap()),
            kind: Kind::from_mode(u32::from(rest[18]) << 12),
            next: u64::from_ne_bytes(off.try_into().unwrap()),
        });
        rest = &rest[record..];
    }
    Ok(entries)
}

const MOST_XATTR: usize = 65_536;

pub(super) fn getxattr(name: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    let mut value = vec![0; MOST_XATTR];
    let len = getxattr_into(name, key, &mut value)?;
    value.truncate(len);
    Ok(value)
}

pub(super) fn getxattr_into(name: &[u8], key: &[u8], buffer: &mut [u8]) -> Result<usize> {
    let (name, key) = (path(name), path(key));
    let to = buffer.as_mut_ptr().cast::<c_void>();
    sys!(getxattr(name.as_ptr(), key.as_ptr(), to, buffer.len())).map(|n| n as usize)
}

pub(super) fn lgetxattr(name: &[u8], key: &[u8]) -> Result<Vec<u8>> {
    let mut value = vec![0u8; MOST_XATTR];
    let (name, key) = (path(name), path(key));
    let to = value.as_mut_ptr().cast::<c_void>();
    let len = sys!(lgetxattr(name.as_ptr(), key.as_ptr(), to, value.len()))?;
    value.truncate(len as usize);
    Ok(value)
}

pub(super) fn setxattr(name: &[u8], key: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
    let (name, key) = (path(name), path(key));
    let (from, flags) = (value.as_ptr().cast(), flags.bits() as c_int);
    sys!(setxattr(name.as_ptr(), key.as_ptr(), from, value.len(), flags)).map(drop)
}

pub(super) fn lsetxattr(name: &[u8], key: &[u8], value: &[u8], flags: XattrFlags) -> Result<()> {
    let (name, key) = (path(name), path(key));
    let (from, flags) = (value.as_ptr().cast(), flags.bits() as c_int);
    sys!(lsetxattr(name.as_ptr(), key.as_ptr(), from, value.len(), flags)).map(drop)
}

pub(super) fn listxattr(name: &[u8]) -> Result<Vec<Vec<u8>>> {
    let mut list = vec![0u8; MOST_XATTR];
    let len = sys!(listxattr(path(name).as_ptr(), list.as_mut_ptr().cast(), list.len()))?;
    list.truncate(len as usize);
    Ok(list.split(|b| *b == 0).filter(|name| !name.is_empty()).map(<[u8]>::to_vec).collect())
}

pub(super) fn removexattr(name: &[u8], key: &[u8]) -> Result<()> {
    sys!(removexattr(path(name).as_ptr(), path(key).as_ptr())).map(drop)
}

fn flock_of(lock: Lock) -> libc::flock {
    let kind = match lock.kind {
        LockKind::Unlock => libc::F_UNLCK,
        LockKind::Shared => libc::F_RDLCK,
        LockKind::Exclusive => libc::F_WRLCK,
    };
    let len = if lock.end == Lock::TO_END { 0 } else { lock.end + 1 - lock.start };
    libc::flock {
        l_type: kind as i16,
        l_whence: libc::SEEK_SET as i16,
        l_start: lock.start as i64,
        l_len: len as i64,
        l_pid: 0,
    }
}

pub(super) fn getlk(fd: Fd, lock: Lock) -> Result<Lock> {
    let mut found = flock_of(lock);
    sys!(fcntl(raw(fd), libc::F_GETLK, &raw mut found))?;
    let start = found.l_start as u64;
    let kind = match c_int::from(found.l_type) {
        libc::F_RDLCK => LockKind::Shared,
        libc::F_WRLCK => LockKind::Exclusive,
        _ => return Ok(Lock { kind: LockKind::Unlock, ..lock }),
    };
    let end = if found.l_len == 0 { Lock::TO_END } else { start + found.l_len as u64 - 1 };
    Ok(Lock { kind, start, end, pid: Pid(found.l_pid as u32) })
}

pub(super) fn setlk(fd: Fd, lock: Lock, wait: bool) -> Result<()> {
    let record = flock_of(lock);
    let command = if wait { libc::F_SETLKW } else { libc::F_SETLK };
    sys!(fcntl(raw(fd), command, &raw const record)).map(drop)
}

pub(super) fn flock(fd: Fd, kind: LockKind, wait: bool) -> Result<()> {
    let kind = match kind {
        LockKind::Unlock => libc::LOCK_UN,
        LockKind::Shared => libc::LOCK_SH,
        LockKind::Exclusive => libc::LOCK_EX,
    };
    sys!(flock(raw(fd), if wait { kind } else { kind | libc::LOCK_NB })).map(drop)
}

pub(super) fn statvfs() -> Result<Statfs> {
    let mut numbers = MaybeUninit::<libc::statvfs>::zeroed();
    sys!(statvfs(c".".as_ptr(), numbers.as_mut_ptr()))?;
    // SAFETY: filled in by the call, and zeroes are a valid value anyway.
    let numbers = unsafe { numbers.assume_init() };
    Ok(Statfs {
        blocks: numbers.f_blocks,
        bfree: numbers.f_bfree,
        bavail: numbers.f_bavail,
        files: numbers.f_files,
        ffree: numbers.f_ffree,
        bsize: numbers.f_bsize as u32,
        frsize: numbers.f_frsize as u32,
        namelen: numbers.f_namemax as u32,
    })
}

pub(super) fn get_flags(fd: Fd) -> Result<u32> {
    let mut flags = 0u64;
    sys!(ioctl(raw(fd), libc::FS_IOC_GETFLAGS, &raw mut flags))?;
    Ok(flags as u32)
}

pub(super) fn set_flags(fd: Fd, flags: u32) -> Result<()> {
    let flags = u64::from(flags);
    sys!(ioctl(raw(fd), libc::FS_IOC_SETFLAGS, &raw const flags)).map(drop)
}

/// `struct file_handle` with room for the longest.
#[repr(C)]
struct Handle {
    bytes: u32,
    kind: i32,
    body: [u8; 128],
}

pub(super) fn name_to_handle(name: &[u8]) -> Result<Vec<u8>> {
    let mut handle = Handle { bytes: 128, kind: 0, body: [0; 128] };
    let mut mount = 0i32;
    let name = path(name);
    let at = &raw mut handle;
    sys!(syscall(libc::SYS_name_to_handle_at, HERE, name.as_ptr(), at, &raw mut mount, 0))?;
    let mut bytes = handle.kind.to_ne_bytes().to_vec();
    bytes.extend_from_slice(&handle.body[..handle.bytes as usize]);
    Ok(bytes)
}

pub(super) fn open_by_handle(bytes: &[u8], flags: OpenFlags) -> Result<Fd> {
    let (kind, bytes) = bytes.split_first_chunk::<4>().unwrap();
    let mut handle =
        Handle { bytes: bytes.len() as u32, kind: i32::from_ne_bytes(*kind), body: [0; 128] };
    handle.body[..bytes.len()].copy_from_slice(bytes);
    let mount = sys!(open(c".".as_ptr(), libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC))?;
    let at = &raw mut handle;
    let answer = sys!(syscall(libc::SYS_open_by_handle_at, mount, at, flags.0 | 0o2_000_000));
    sys!(close(mount))?;
    answer.map(|fd| Fd(fd as u32))
}
