//! Files of the host, made known to the kernel: FUSE_DEV_IOC_BACKING_OPEN of `linux/fuse.h`.
//!
//! # Whose rights
//!
//! The kernel opens a registered file anew for each open of the node, and reads and writes it with
//! the credentials of the thread that registered it, whoever reads or writes. The opening checks no
//! permissions (the caller's were checked by us and by the kernel above), but writing looks at
//! rights: who has CAP_FSETID leaves set-id bits on a file it writes, who has CAP_SYS_RESOURCE
//! passes over quotas. None of this may come to a caller through us. So a file is registered with
//! the one capability that registering takes.
//!
//! User 0 moreover takes the blocks that some file systems keep for it, and a server below another
//! FUSE mount is told who opens: see [`Whose`]. Otherwise the user ids stay what they are, since
//! changing them costs more than all the rest.

#![allow(unsafe_code)]

use filofs_wire::abi::{BackingMap, DEVICE_IOCTL_MAGIC, ioctl_number};
use rustix::fd::{AsRawFd, BorrowedFd, OwnedFd};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

/// Who opens, reads and writes a registered file, toward the file system that it is on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Whose {
    /// Whoever this thread was made to be: no file system asks that looks at ids here.
    Anybodys,
    /// Nobody, on a file system that lets user 0 have its last blocks.
    Nobodys,
    /// This process, toward a server that is told who opens and may ask more of somebody else.
    Ours,
}

/// Registers a file; answers its id.
///
/// Errors: EPERM without CAP_SYS_ADMIN in the first user namespace, or where passthrough was not
/// agreed on; EBADF before Linux 6.12 for an O_PATH descriptor; ELOOP for a file that already lies
/// on as many stacked file systems as may be; EINVAL for what is no regular file.
pub(super) fn register(
    device: BorrowedFd<'_>,
    file: BorrowedFd<'_>,
    whose: Whose,
) -> Result<i32, Errno> {
    let map = BackingMap { fd: file.as_raw_fd(), flags: 0, padding: 0 };
    let _few = Few::put_on(whose)?;
    let number = command(ioctl_number::BACKING_OPEN, size_of::<BackingMap>());
    // SAFETY: the kernel reads the structure, which lives across the call, and a descriptor's
    // number from it, which is open across the call.
    let id = unsafe { libc::ioctl(device.as_raw_fd(), number, &raw const map) };
    if id > 0 { Ok(id) } else { Err(last()) }
}

/// Takes an id back.
pub(super) fn unregister(device: BorrowedFd<'_>, id: i32) {
    let close = || {
        let number = command(ioctl_number::BACKING_CLOSE, size_of::<u32>());
        // SAFETY: the kernel reads one number, which lives across the call.
        let done = unsafe { libc::ioctl(device.as_raw_fd(), number, &raw const id) };
        if done == 0 { Ok(()) } else { Err(last()) }
    };
    let done = match close() {
        // The thread has a caller's rights.
        Err(Errno::PERM) => Few::put_on(Whose::Anybodys).and_then(|_few| close()),
        done => done,
    };
    // At the end of the connection the kernel has let go of all.
    if let Err(errno) = done {
        log::debug!("passthrough: id {id} cannot be given back: {errno}");
    }
}

/// The same file, open for reading and writing: with the rights that this thread happens to have,
/// or else with all that this process has.
///
/// Errors: those of open(2), which are many and all mean that it cannot be had so.
pub(super) fn reopen(file: BorrowedFd<'_>) -> Result<OwnedFd, Errno> {
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let open = || rustix::fs::open(&path, flags, Mode::empty());
    match open() {
        Err(Errno::ACCESS | Errno::PERM) => {
            let _own = Few::with(Whose::Ours, CapabilitySet::all())?;
            open()
        }
        opened => opened,
    }
}

/// `_IOW(DEVICE_IOCTL_MAGIC, number, size)` of `linux/ioctl.h`.
const fn command(number: u8, size: usize) -> libc::c_ulong {
    const WRITE: u32 = 1 << 30;
    (WRITE | (size as u32) << 16 | (DEVICE_IOCTL_MAGIC as u32) << 8 | number as u32)
        as libc::c_ulong
}

fn last() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

/// Few rights, on this thread, as long as it lives; then those from before. (Threads that run
/// operations may be left with some caller's rights by a base.)
struct Few {
    before: CapabilitySets,
    ids: Option<(u32, u32)>,
}

impl Few {
    fn put_on(whose: Whose) -> Result<Few, Errno> {
        Few::with(whose, CapabilitySet::SYS_ADMIN)
    }

    /// With those capabilities, as far as this process has them.
    fn with(whose: Whose, capable: CapabilitySet) -> Result<Few, Errno> {
        /// The id that stands for none, `/proc/sys/kernel/overflowuid`.
        const NOBODY: u32 = 65534;
        use rustix::process::{getegid, geteuid};
        let before = capabilities(None)?;
        let ids = match whose {
            Whose::Anybodys => None,
            Whose::Nobodys => Some((set_fsuid(NOBODY), set_fsgid(NOBODY))),
            Whose::Ours => Some((set_fsuid(geteuid().as_raw()), set_fsgid(getegid().as_raw()))),
        };
        let few = Few { before, ids };
        // Changing the user id has moved capabilities, so they come after it.
        let effective = capable & before.permitted;
        set_capabilities(None, CapabilitySets { effective, ..before })?;
        Ok(few)
    }
}

impl Drop for Few {
    fn drop(&mut self) {
        // The way back takes the right to change ids; and it may move capabilities again.
        let mut done = set_capabilities(None, self.before);
        if let (Ok(()), Some((uid, gid))) = (done, self.ids) {
            set_fsgid(gid);
            set_fsuid(uid);
            done = set_capabilities(None, self.before);
        }
        if let Err(errno) = done {
            log::error!("a thread stays with fewer rights than it had: {errno}");
        }
    }
}

/// Sets this thread's file system user id, if it may; answers the one from before.
fn set_fsuid(uid: u32) -> u32 {
    // SAFETY: a call that takes a number, and answers one.
    unsafe { libc::syscall(libc::SYS_setfsuid, uid) as u32 }
}

/// Sets this thread's file system group id, if it may; answers the one from before.
fn set_fsgid(gid: u32) -> u32 {
    // SAFETY: as in `set_fsuid`.
    unsafe { libc::syscall(libc::SYS_setfsgid, gid) as u32 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_numbers_of_the_header() {
        assert_eq!(command(ioctl_number::BACKING_OPEN, size_of::<BackingMap>()), 0x4010_e501);
        assert_eq!(command(ioctl_number::BACKING_CLOSE, size_of::<u32>()), 0x4004_e502);
    }

    #[test]
    fn a_thread_gets_back_what_it_had() {
        let now = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let is_of_rights =
                |line: &&str| ["Uid:", "Gid:", "Cap"].iter().any(|field| line.starts_with(field));
            status.lines().filter(is_of_rights).map(str::to_owned).collect::<Vec<_>>()
        };
        let before = now();
        for whose in [Whose::Anybodys, Whose::Nobodys, Whose::Ours] {
            let few = Few::put_on(whose).unwrap();
            let effective = capabilities(None).unwrap().effective;
            assert!(CapabilitySet::SYS_ADMIN.contains(effective), "{effective:?}");
            drop(few);
            assert_eq!(now(), before);
        }
    }
}
