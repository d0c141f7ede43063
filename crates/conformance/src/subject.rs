//! `Subject`: somebody who uses a file system by system calls.

use bitflags::bitflags;
use filofs::{
    Device, FallocateFlags, Kind, Lock, LockKind, OpenFlags, RenameFlags, Result, SetTime, Statfs,
    XattrFlags,
};
pub use filofs_front::local::Fd;
use filofs_front::local::{Dirent, Process, Stat, Whence};
use std::path::PathBuf;

bitflags! {
    /// What a subject can do: what a check may need.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub struct Abilities: u32 {
        /// Become another user.
        const USERS = 1 << 0;
        /// The errno of the file system itself comes out where Linux's path walk hides it.
        const BARE = 1 << 1;
        /// A real kernel above: mmap, sockets, pipes, exec.
        const KERNEL = 1 << 2;
        /// POSIX ACLs.
        const ACL = 1 << 3;
        /// fallocate can zero a range, not only punch and allocate.
        const ZERO = 1 << 4;
        /// Durable handles.
        const HANDLES = 1 << 5;
        /// chattr(1).
        const CHATTR = 1 << 6;
        /// The file system may be filled up: it is small (at most 64 MiB).
        const SMALL = 1 << 7;
        /// Each process has its own process id.
        const PIDS = 1 << 8;
        /// A file of several gigabytes may be sparse.
        const SPARSE = 1 << 10;
        /// RENAME_WHITEOUT.
        const WHITEOUT = 1 << 11;
        /// Root's writes leave set-id bits, also of a file that got them while it was open.
        const KEPT_SET_ID = 1 << 12;
    }
}

macro_rules! subject {
    ($($(#[$doc:meta])* fn $name:ident(&self $(, $arg:ident: $type:ty)*) -> $answer:ty;)*) => {
        /// Somebody who uses a file system by system calls. Paths are relative to the directory
        /// where it began.
        pub trait Subject: Send + Sync {
            /// What it can do.
            fn abilities(&self) -> Abilities;

            /// Another process of another user, in the directory where this one began, with
            /// umask 0.
            fn as_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Box<dyn Subject>;

            /// Where it began, as the host's other programs name it; `None` without a kernel.
            fn host_path(&self) -> Option<PathBuf>;

            /// Sets the umask and answers the old one.
            fn umask(&self, mask: u32) -> u32;

            /// Ends a system call of this process that waits, now or in a moment, with EINTR.
            fn interrupt(&self);

            /// Its process id.
            fn pid(&self) -> u32;

            /// FS_IOC_GETFLAGS.
            fn get_flags(&self, fd: Fd) -> Result<u32>;

            /// FS_IOC_SETFLAGS.
            fn set_flags(&self, fd: Fd, flags: u32) -> Result<()>;

            /// name_to_handle_at(2): bytes that mean something to `open_by_handle`.
            fn name_to_handle(&self, path: &[u8]) -> Result<Vec<u8>>;

            /// open_by_handle_at(2).
            fn open_by_handle(&self, handle: &[u8], flags: OpenFlags) -> Result<Fd>;

            /// statvfs(3).
            fn statvfs(&self) -> Result<Statfs>;

            $($(#[$doc])* fn $name(&self $(, $arg: $type)*) -> Result<$answer>;)*
        }

        impl Subject for Process {
            fn abilities(&self) -> Abilities {
                let mut abilities = Abilities::all().difference(Abilities::KERNEL);
                let bytes = |numbers: Statfs| numbers.blocks * u64::from(numbers.frsize);
                let size = Subject::statvfs(self).map_or(u64::MAX, bytes);
                abilities.set(Abilities::SMALL, size <= 64 << 20);
                abilities
            }

            fn as_user(&self, uid: u32, gid: u32, groups: &[u32]) -> Box<dyn Subject> {
                let other = Process::as_user(self, uid, gid, groups);
                Process::umask(&other, 0);
                Box::new(other)
            }

            fn host_path(&self) -> Option<PathBuf> {
                None
            }

            fn umask(&self, mask: u32) -> u32 {
                Process::umask(self, mask)
            }

            fn interrupt(&self) {
                Process::interrupt(self);
            }

            fn pid(&self) -> u32 {
                self.getpid().0
            }

            fn get_flags(&self, fd: Fd) -> Result<u32> {
                let how = filofs::Ioctl { command: 0x8008_6601, argument: 0, input: &[] };
                let (_, bytes) = self.ioctl(fd, how, 8)?;
                Ok(u32::from_ne_bytes(bytes[..4].try_into().unwrap()))
            }

            fn set_flags(&self, fd: Fd, flags: u32) -> Result<()> {
                let input = u64::from(flags).to_ne_bytes();
                let how = filofs::Ioctl { command: 0x4008_6602, argument: 0, input: &input };
                self.ioctl(fd, how, 0).map(drop)
            }

            fn name_to_handle(&self, path: &[u8]) -> Result<Vec<u8>> {
                Ok(Process::name_to_handle(self, path)?.bytes().to_vec())
            }

            fn open_by_handle(&self, handle: &[u8], flags: OpenFlags) -> Result<Fd> {
                Process::open_by_handle(self, &filofs::FileHandle::new(handle)?, flags)
            }

            fn statvfs(&self) -> Result<Statfs> {
                Ok(Process::statvfs(self)?.1)
            }

            $(fn $name(&self $(, $arg: $type)*) -> Result<$answer> {
                Process::$name(self $(, $arg)*)
            })*
        }
    };
}

subject! {
    /// chdir(2).
    fn chdir(&self, path: &[u8]) -> ();
    /// getcwd(3).
    fn getcwd(&self) -> Vec<u8>;
    /// open(2).
    fn open(&self, path: &[u8], flags: OpenFlags, mode: u32) -> Fd;
    /// openat(2).
    fn openat(&self, dir: Fd, path: &[u8], flags: OpenFlags, mode: u32) -> Fd;
    /// dup(2).
    fn dup(&self, fd: Fd) -> Fd;
    /// close(2).
    fn close(&self, fd: Fd) -> ();
    /// read(2).
    fn read(&self, fd: Fd, buffer: &mut [u8]) -> usize;
    /// pread(2).
    fn pread(&self, fd: Fd, buffer: &mut [u8], offset: u64) -> usize;
    /// write(2).
    fn write(&self, fd: Fd, bytes: &[u8]) -> usize;
    /// pwrite(2).
    fn pwrite(&self, fd: Fd, bytes: &[u8], offset: u64) -> usize;
    /// lseek(2).
    fn lseek(&self, fd: Fd, offset: i64, whence: Whence) -> u64;
    /// fsync(2), fdatasync(2).
    fn fsync(&self, fd: Fd, data_only: bool) -> ();
    /// fallocate(2).
    fn fallocate(&self, fd: Fd, flags: FallocateFlags, offset: u64, len: u64) -> ();
    /// copy_file_range(2).
    fn copy_file_range(&self, from: Fd, at: u64, to: Fd, to_at: u64, len: u64) -> u64;
    /// stat(2).
    fn stat(&self, path: &[u8]) -> Stat;
    /// lstat(2).
    fn lstat(&self, path: &[u8]) -> Stat;
    /// fstat(2).
    fn fstat(&self, fd: Fd) -> Stat;
    /// mkdir(2).
    fn mkdir(&self, path: &[u8], mode: u32) -> ();
    /// rmdir(2).
    fn rmdir(&self, path: &[u8]) -> ();
    /// unlink(2).
    fn unlink(&self, path: &[u8]) -> ();
    /// renameat2(2).
    fn rename(&self, old: &[u8], new: &[u8], flags: RenameFlags) -> ();
    /// link(2).
    fn link(&self, old: &[u8], new: &[u8]) -> ();
    /// linkat(2) of an open file.
    fn flink(&self, fd: Fd, new: &[u8]) -> ();
    /// symlink(2).
    fn symlink(&self, target: &[u8], path: &[u8]) -> ();
    /// readlink(2).
    fn readlink(&self, path: &[u8]) -> Vec<u8>;
    /// mknod(2).
    fn mknod(&self, path: &[u8], kind: Kind, mode: u32, rdev: Device) -> ();
    /// chmod(2).
    fn chmod(&self, path: &[u8], mode: u32) -> ();
    /// fchmod(2).
    fn fchmod(&self, fd: Fd, mode: u32) -> ();
    /// chown(2).
    fn chown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> ();
    /// lchown(2).
    fn lchown(&self, path: &[u8], uid: Option<u32>, gid: Option<u32>) -> ();
    /// fchown(2).
    fn fchown(&self, fd: Fd, uid: Option<u32>, gid: Option<u32>) -> ();
    /// utimensat(2).
    fn utimens(
        &self, path: &[u8], atime: Option<SetTime>, mtime: Option<SetTime>, follow: bool
    ) -> ();
    /// futimens(3).
    fn futimens(&self, fd: Fd, atime: Option<SetTime>, mtime: Option<SetTime>) -> ();
    /// truncate(2).
    fn truncate(&self, path: &[u8], size: u64) -> ();
    /// ftruncate(2).
    fn ftruncate(&self, fd: Fd, size: u64) -> ();
    /// access(2).
    fn access(&self, path: &[u8], mode: u32) -> ();
    /// getdents(2): the next entries, none at the end.
    fn getdents(&self, fd: Fd) -> Vec<Dirent>;
    /// The whole of a directory.
    fn readdir(&self, path: &[u8]) -> Vec<Dirent>;
    /// getxattr(2).
    fn getxattr(&self, path: &[u8], key: &[u8]) -> Vec<u8>;
    /// getxattr(2) as it is: into a buffer, or only the size for an empty one.
    fn getxattr_into(&self, path: &[u8], key: &[u8], buffer: &mut [u8]) -> usize;
    /// setxattr(2).
    fn setxattr(&self, path: &[u8], key: &[u8], value: &[u8], flags: XattrFlags) -> ();
    /// lsetxattr(2).
    fn lsetxattr(&self, path: &[u8], key: &[u8], value: &[u8], flags: XattrFlags) -> ();
    /// lgetxattr(2).
    fn lgetxattr(&self, path: &[u8], key: &[u8]) -> Vec<u8>;
    /// listxattr(2).
    fn listxattr(&self, path: &[u8]) -> Vec<Vec<u8>>;
    /// removexattr(2).
    fn removexattr(&self, path: &[u8], key: &[u8]) -> ();
    /// F_GETLK.
    fn getlk(&self, fd: Fd, lock: Lock) -> Lock;
    /// F_SETLK, F_SETLKW.
    fn setlk(&self, fd: Fd, lock: Lock, wait: bool) -> ();
    /// flock(2).
    fn flock(&self, fd: Fd, kind: LockKind, wait: bool) -> ();
    /// A whole file.
    fn read_file(&self, path: &[u8]) -> Vec<u8>;
    /// Makes or empties a file and writes it.
    fn write_file(&self, path: &[u8], bytes: &[u8]) -> ();
}
