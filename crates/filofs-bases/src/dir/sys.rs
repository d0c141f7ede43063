//! The system calls that rustix lacks, each with a safe face.

#![allow(unsafe_code)]

use super::descriptors::with_room;
use super::up;
use filofs::{Errno, Result};
use rustix::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, IntoRawFd, OwnedFd};
use std::ffi::{CStr, CString};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};

/// The errno that the last system call of libc left.
fn last() -> Errno {
    match Errno::from(io::Error::last_os_error()) {
        Errno::ENOSYS => Errno::EOPNOTSUPP,
        errno => errno,
    }
}

fn check(answer: libc::c_long) -> Result<usize> {
    usize::try_from(answer).map_err(|_| last())
}

fn raw(fd: BorrowedFd<'_>) -> libc::c_long {
    libc::c_long::from(fd.as_raw_fd())
}

/// Sets this thread's file system user id; answers whether it is that now.
pub(super) fn set_fsuid(uid: u32) -> bool {
    // SAFETY: two calls that take a number; the second, with an invalid id, only asks.
    unsafe {
        libc::syscall(libc::SYS_setfsuid, uid);
        libc::syscall(libc::SYS_setfsuid, u32::MAX) as u32 == uid
    }
}

/// Sets this thread's file system group id; answers whether it is that now.
pub(super) fn set_fsgid(gid: u32) -> bool {
    // SAFETY: as in `set_fsuid`.
    unsafe {
        libc::syscall(libc::SYS_setfsgid, gid);
        libc::syscall(libc::SYS_setfsgid, u32::MAX) as u32 == gid
    }
}

/// Sets the supplementary groups of this thread alone. (The function of libc sets those of all
/// threads.)
pub(super) fn set_groups(groups: &[u32]) -> Result<()> {
    // SAFETY: the kernel reads `len` numbers from the slice.
    check(unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) }).map(drop)
}

/// One thread's capabilities, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Capabilities {
    pub(super) effective: u64,
    pub(super) permitted: u64,
    pub(super) inheritable: u64,
}

pub(super) const CAP_DAC_READ_SEARCH: u32 = 2;
pub(super) const CAP_FSETID: u32 = 4;
pub(super) const CAP_SETGID: u32 = 6;
pub(super) const CAP_SETUID: u32 = 7;

/// struct __user_cap_header_struct of linux/capability.h.
#[repr(C)]
struct CapHeader {
    version: u32,
    pid: i32,
}

/// _LINUX_CAPABILITY_VERSION_3: two words of each set.
const CAP_VERSION: u32 = 0x2008_0522;

/// struct __user_cap_data_struct.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct CapData {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

/// This thread's capabilities.
pub(super) fn capabilities() -> Result<Capabilities> {
    let mut header = CapHeader { version: CAP_VERSION, pid: 0 };
    let mut data = [CapData::default(); 2];
    // SAFETY: the header and the two words are those of version 3, and live across the call.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, data.as_mut_ptr()) })?;
    let [low, high] = data;
    let join = |low: u32, high: u32| u64::from(low) | u64::from(high) << 32;
    Ok(Capabilities {
        effective: join(low.effective, high.effective),
        permitted: join(low.permitted, high.permitted),
        inheritable: join(low.inheritable, high.inheritable),
    })
}

/// Sets this thread's capabilities.
pub(super) fn set_capabilities(to: Capabilities) -> Result<()> {
    let mut header = CapHeader { version: CAP_VERSION, pid: 0 };
    let word = |shift: u32| CapData {
        effective: (to.effective >> shift) as u32,
        permitted: (to.permitted >> shift) as u32,
        inheritable: (to.inheritable >> shift) as u32,
    };
    let data = [word(0), word(32)];
    // SAFETY: as in `capabilities`; the kernel only reads.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw mut header, data.as_ptr()) }).map(drop)
}

/// Gives this thread a umask (and current directory) of its own.
pub(super) fn own_umask() -> Result<()> {
    // SAFETY: CLONE_FS shares nothing less than before and touches no memory.
    check(unsafe { libc::syscall(libc::SYS_unshare, libc::CLONE_FS) }).map(drop)
}

/// What name_to_handle_at(2) and open_by_handle_at(2) exchange: struct file_handle with its
/// longest tail, MAX_HANDLE_SZ.
#[repr(C)]
struct RawHandle {
    bytes: u32,
    kind: i32,
    handle: [u8; HANDLE_MAX],
}

const HANDLE_MAX: usize = 128;

/// A handle of the host: type and bytes.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct HostHandle {
    pub(super) kind: i32,
    pub(super) bytes: Box<[u8]>,
}

/// The handle of what is open, and the number of the mount it is on. EOPNOTSUPP where the host
/// has none.
pub(super) fn handle_of(fd: BorrowedFd<'_>) -> Result<(HostHandle, i32)> {
    handle(fd, c"", libc::AT_EMPTY_PATH)
}

/// The same of what a name in an open directory leads to; a symbolic link is not followed.
pub(super) fn handle_at(dir: BorrowedFd<'_>, name: &CStr) -> Result<(HostHandle, i32)> {
    handle(dir, name, 0)
}

fn handle(fd: BorrowedFd<'_>, path: &CStr, flags: i32) -> Result<(HostHandle, i32)> {
    let mut handle = RawHandle { bytes: HANDLE_MAX as u32, kind: 0, handle: [0; HANDLE_MAX] };
    let mut mount = 0i32;
    // SAFETY: the path ends in NUL; the kernel writes at most `bytes` bytes of the tail, which has
    // that many, and one int for the mount.
    check(unsafe {
        libc::syscall(
            libc::SYS_name_to_handle_at,
            raw(fd),
            path.as_ptr(),
            &raw mut handle,
            &raw mut mount,
            flags,
        )
    })?;
    let bytes = handle.handle.get(..handle.bytes as usize).ok_or(Errno::EIO)?.into();
    Ok((HostHandle { kind: handle.kind, bytes }, mount))
}

/// Opens what a handle names on the mount of `mount`. ESTALE when it is gone; EPERM without
/// CAP_DAC_READ_SEARCH.
pub(super) fn open_handle(
    mount: BorrowedFd<'_>,
    handle: &HostHandle,
    flags: i32,
) -> Result<OwnedFd> {
    let mut raw_handle =
        RawHandle { bytes: handle.bytes.len() as u32, kind: handle.kind, handle: [0; HANDLE_MAX] };
    raw_handle
        .handle
        .get_mut(..handle.bytes.len())
        .ok_or(Errno::EINVAL)?
        .copy_from_slice(&handle.bytes);
    // SAFETY: the kernel reads `bytes` bytes of the tail, which has that many.
    let fd = check(unsafe {
        libc::syscall(libc::SYS_open_by_handle_at, raw(mount), &raw mut raw_handle, flags)
    })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// fchmodat2(2) of what is open, O_PATH or not, a number where libc has no name yet. EOPNOTSUPP
/// before Linux 6.6.
pub(super) fn change_mode(fd: BorrowedFd<'_>, mode: u32) -> Result<()> {
    const SYS_FCHMODAT2: libc::c_long = 452;
    // SAFETY: an empty string and numbers.
    check(unsafe { libc::syscall(SYS_FCHMODAT2, raw(fd), c"".as_ptr(), mode, libc::AT_EMPTY_PATH) })
        .map(drop)
}

/// faccessat2(2) of what is open, O_PATH or not, with the file system ids of the thread.
pub(super) fn access(fd: BorrowedFd<'_>, want: u32) -> Result<()> {
    let flags = libc::AT_EACCESS | libc::AT_EMPTY_PATH;
    // SAFETY: an empty string and numbers.
    check(unsafe { libc::syscall(libc::SYS_faccessat2, raw(fd), c"".as_ptr(), want, flags) })
        .map(drop)
}

/// Reads entries of a directory, getdents64(2); answers how many bytes.
pub(super) fn read_entries(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> Result<usize> {
    // SAFETY: the kernel writes at most that many bytes into the slice.
    check(unsafe {
        libc::syscall(libc::SYS_getdents64, raw(fd), buffer.as_mut_ptr(), buffer.len())
    })
}

/// The extended attribute calls that start at a descriptor, Linux 6.13; the same numbers on every
/// architecture.
const SYS_SETXATTRAT: libc::c_long = 463;
const SYS_GETXATTRAT: libc::c_long = 464;
const SYS_LISTXATTRAT: libc::c_long = 465;
const SYS_REMOVEXATTRAT: libc::c_long = 466;

/// struct xattr_args of linux/xattr.h.
#[repr(C, align(8))]
struct XattrArgs {
    value: u64,
    size: u32,
    flags: u32,
}

/// Calls the one that starts at a descriptor; where the kernel has none, the old one, with the
/// path as this process sees /proc.
fn xattr_call(
    path: &CStr,
    new: impl Fn() -> libc::c_long,
    old: impl Fn(&CStr) -> libc::c_long,
) -> Result<usize> {
    static IS_OLD: AtomicBool = AtomicBool::new(false);
    if !IS_OLD.load(Ordering::Relaxed) {
        let answer = check(new());
        if answer != Err(Errno::EOPNOTSUPP) || !is_missing() {
            return answer;
        }
        IS_OLD.store(true, Ordering::Relaxed);
    }
    let mut whole = b"/proc/".to_vec();
    whole.extend_from_slice(path.to_bytes());
    let whole = CString::new(whole).map_err(|_| Errno::EINVAL)?;
    check(old(&whole))
}

/// Whether the last call failed because there is no such call.
fn is_missing() -> bool {
    io::Error::last_os_error().raw_os_error() == Some(libc::ENOSYS)
}

/// getxattr(2) of a path from a descriptor of /proc on, following links; with an empty buffer,
/// how long the value is.
pub(super) fn get_xattr(
    proc: BorrowedFd<'_>,
    path: &CStr,
    key: &CStr,
    out: &mut [u8],
) -> Result<usize> {
    let (to, len) = (out.as_mut_ptr(), out.len());
    let mut args = XattrArgs { value: to as u64, size: len as u32, flags: 0 };
    let (args, size) = (&raw mut args, size_of::<XattrArgs>());
    xattr_call(
        path,
        // SAFETY: strings end in NUL; the kernel writes at most `size` bytes to `value`.
        || unsafe {
            libc::syscall(SYS_GETXATTRAT, raw(proc), path.as_ptr(), 0, key.as_ptr(), args, size)
        },
        // SAFETY: the same.
        |path| unsafe {
            libc::getxattr(path.as_ptr(), key.as_ptr(), to.cast(), len) as libc::c_long
        },
    )
}

/// setxattr(2), likewise.
pub(super) fn set_xattr(
    proc: BorrowedFd<'_>,
    path: &CStr,
    key: &CStr,
    value: &[u8],
    flags: u32,
) -> Result<()> {
    let (from, len) = (value.as_ptr(), value.len());
    let size = u32::try_from(len).map_err(|_| Errno::E2BIG)?;
    let args = XattrArgs { value: from as u64, size, flags };
    let (args, size) = (&raw const args, size_of::<XattrArgs>());
    let done = xattr_call(
        path,
        // SAFETY: strings end in NUL; the kernel reads `size` bytes of `value`.
        || unsafe {
            libc::syscall(SYS_SETXATTRAT, raw(proc), path.as_ptr(), 0, key.as_ptr(), args, size)
        },
        // SAFETY: the same.
        |path| unsafe {
            let (path, key) = (path.as_ptr(), key.as_ptr());
            libc::setxattr(path, key, from.cast(), len, flags as i32).into()
        },
    );
    done.map(drop)
}

/// listxattr(2), likewise.
pub(super) fn list_xattr(proc: BorrowedFd<'_>, path: &CStr, out: &mut [u8]) -> Result<usize> {
    let (to, len) = (out.as_mut_ptr(), out.len());
    xattr_call(
        path,
        // SAFETY: the path ends in NUL; the kernel writes at most that many bytes.
        || unsafe { libc::syscall(SYS_LISTXATTRAT, raw(proc), path.as_ptr(), 0, to, len) },
        // SAFETY: the same.
        |path| unsafe { libc::listxattr(path.as_ptr(), to.cast(), len) as libc::c_long },
    )
}

/// removexattr(2), likewise.
pub(super) fn remove_xattr(proc: BorrowedFd<'_>, path: &CStr, key: &CStr) -> Result<()> {
    let done = xattr_call(
        path,
        // SAFETY: strings end in NUL.
        || unsafe { libc::syscall(SYS_REMOVEXATTRAT, raw(proc), path.as_ptr(), 0, key.as_ptr()) },
        // SAFETY: the same.
        |path| unsafe { libc::removexattr(path.as_ptr(), key.as_ptr()).into() },
    );
    done.map(drop)
}

/// fgetxattr(2) of what is really open; with an empty buffer, how long the value is.
pub(super) fn get_xattr_of(fd: BorrowedFd<'_>, key: &CStr, out: &mut [u8]) -> Result<usize> {
    let (to, len) = (out.as_mut_ptr().cast(), out.len());
    // SAFETY: the key ends in NUL; the kernel writes at most that many bytes.
    check(unsafe { libc::fgetxattr(fd.as_raw_fd(), key.as_ptr(), to, len) as libc::c_long })
}

/// flistxattr(2), likewise.
pub(super) fn list_xattr_of(fd: BorrowedFd<'_>, out: &mut [u8]) -> Result<usize> {
    let (to, len) = (out.as_mut_ptr().cast(), out.len());
    // SAFETY: the kernel writes at most that many bytes.
    check(unsafe { libc::flistxattr(fd.as_raw_fd(), to, len) as libc::c_long })
}

/// A fanotify group whose events name the directory and the entry.
pub(super) fn fanotify() -> Result<OwnedFd> {
    let flags =
        libc::FAN_CLASS_NOTIF | libc::FAN_CLOEXEC | libc::FAN_NONBLOCK | libc::FAN_REPORT_DFID_NAME;
    // SAFETY: numbers only.
    let fd = check(unsafe { libc::fanotify_init(flags, 0).into() })?;
    // SAFETY: the kernel has just made this descriptor for us.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

/// Has a fanotify group told of changes in a directory.
pub(super) fn fanotify_mark(group: BorrowedFd<'_>, dir: BorrowedFd<'_>) -> Result<()> {
    let flags = libc::FAN_MARK_ADD | libc::FAN_MARK_ONLYDIR;
    // By a name, because a descriptor alone must not be O_PATH.
    // SAFETY: the path ends in NUL.
    check(unsafe {
        let (group, dir) = (group.as_raw_fd(), dir.as_raw_fd());
        libc::fanotify_mark(group, flags, super::watch::ASK, dir, c".".as_ptr()).into()
    })
    .map(drop)
}

/// Closes, with the error that close(2) reports; the descriptor is gone in any case.
pub(super) fn close(fd: OwnedFd) -> Result<()> {
    // SAFETY: the number is ours alone and given up here.
    check(unsafe { libc::c_long::from(libc::close(fd.into_raw_fd())) }).map(drop)
}

/// An ioctl whose argument is a block of bytes that the kernel reads or writes; `argument` must
/// be as long as the command says, which the caller has checked against its own table.
pub(super) fn ioctl(fd: BorrowedFd<'_>, command: u32, argument: &mut [u64; 4]) -> Result<i32> {
    // The size field of the command, asm-generic/ioctl.h.
    let size = (command >> 16 & 0x3fff) as usize;
    if size > size_of_val(argument) {
        return Err(Errno::ENOTTY);
    }
    // SAFETY: the commands of the table read and write no more than their size field says, which
    // the block has.
    check(unsafe {
        libc::syscall(libc::SYS_ioctl, raw(fd), libc::c_ulong::from(command), argument.as_mut_ptr())
    })
    .map(|answer| answer as i32)
}

/// F_OFD_SETLK or F_OFD_GETLK of fcntl(2).
pub(super) fn ofd_lock(fd: BorrowedFd<'_>, command: i32, lock: &mut libc::flock) -> Result<()> {
    // SAFETY: the kernel reads and writes one struct flock.
    check(unsafe { libc::c_long::from(libc::fcntl(fd.as_raw_fd(), command, &raw mut *lock)) })
        .map(drop)
}

/// Duplicates a descriptor, close-on-exec.
pub(super) fn duplicate(fd: impl AsFd) -> Result<OwnedFd> {
    with_room(|| rustix::io::fcntl_dupfd_cloexec(&fd, 3).map_err(up))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn where_the_kernel_lacks_the_new_calls_the_old_ones_do() {
        // SAFETY: there is no call of that number.
        let none = || unsafe { libc::syscall(0x7fff) };
        for _ in 0..2 {
            let called = xattr_call(c"self/x", none, |path| {
                assert_eq!(path, c"/proc/self/x");
                7
            });
            assert_eq!(called, Ok(7));
        }
    }

    #[test]
    fn handles_that_are_too_long_are_refused() {
        let long = HostHandle { kind: 1, bytes: vec![0; 129].into() };
        let root = std::fs::File::open("/").unwrap();
        assert_eq!(open_handle(root.as_fd(), &long, 0).map(drop), Err(Errno::EINVAL));
    }

    #[test]
    fn an_ioctl_larger_than_the_block_is_not_made() {
        let root = std::fs::File::open("/").unwrap();
        assert_eq!(ioctl(root.as_fd(), 0x80ff_6601, &mut [0; 4]), Err(Errno::ENOTTY));
    }
}
