//! A thread that passes for a process: with credentials, a working directory, a umask and
//! descriptors of its own. Linux keeps all of these for each thread, and locks belong to the
//! table of descriptors.
#![allow(unsafe_code)]

use super::last_errno;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;
use std::sync::Once;
use std::sync::mpsc::{Sender, channel};
use std::thread::JoinHandle;

type Job = Box<dyn FnOnce() + Send>;

/// The thread.
pub(super) struct Worker {
    jobs: Option<Sender<Job>>,
    thread: Option<JoinHandle<()>>,
    tid: libc::pid_t,
}

impl Worker {
    /// Starts it in a directory, as that user, group and groups.
    pub(super) fn start(began: &Path, user: Option<(u32, u32, Vec<u32>)>) -> Worker {
        catch_signal();
        let (jobs, todo) = channel::<Job>();
        let (ready, started) = channel();
        let began = std::ffi::CString::new(began.as_os_str().as_bytes()).unwrap();
        let thread = std::thread::spawn(move || {
            // SAFETY: plain system calls; this thread stops sharing and shares nothing with
            // others afterwards, so that closing "all" descriptors closes only its own.
            unsafe {
                assert_eq!(libc::unshare(libc::CLONE_FS | libc::CLONE_FILES), 0, "unshare");
                libc::syscall(libc::SYS_close_range, 3, u32::MAX, 0);
                assert_eq!(libc::chdir(began.as_ptr()), 0, "chdir {began:?}");
                libc::umask(0);
            }
            if let Some((uid, gid, groups)) = user {
                become_user(uid, gid, &groups);
            }
            // SAFETY: has no arguments.
            ready.send(unsafe { libc::gettid() }).unwrap();
            while let Ok(job) = todo.recv() {
                job();
            }
        });
        let tid = started.recv().expect("the thread could not set itself up");
        Worker { jobs: Some(jobs), thread: Some(thread), tid }
    }

    /// Runs something on that thread and waits for it. A panic there is a panic here.
    pub(super) fn run<T: Send>(&self, call: impl FnOnce() -> T + Send) -> T {
        let (answer, answered) = channel();
        let job: Box<dyn FnOnce() + Send + '_> = Box::new(move || {
            let _ = answer.send(catch_unwind(AssertUnwindSafe(call)));
        });
        // SAFETY: only the lifetime changes. What the job borrows outlives the job, because
        // this function does not return before the job has run (the answer has come) or was
        // dropped unrun (the channel is closed, which ends `recv` too).
        let job: Job = unsafe { std::mem::transmute(job) };
        self.jobs.as_ref().unwrap().send(job).unwrap();
        match answered.recv().unwrap() {
            Ok(value) => value,
            Err(panic) => resume_unwind(panic),
        }
    }

    /// Sends it a signal that is caught, without SA_RESTART: what waits ends with EINTR.
    pub(super) fn interrupt(&self) {
        // SAFETY: a plain system call; the thread lives as long as `self`.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), self.tid, libc::SIGUSR2) };
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// Makes this thread alone another user: the raw system calls, because the C library's functions
/// change all threads.
fn become_user(uid: u32, gid: u32, groups: &[u32]) {
    // SAFETY: plain system calls with valid pointers and lengths.
    let answers = unsafe {
        [
            libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()),
            libc::syscall(libc::SYS_setresgid, gid, gid, gid),
            libc::syscall(libc::SYS_setresuid, uid, uid, uid),
        ]
    };
    assert_eq!(answers, [0; 3], "becoming user {uid}: {:?}", last_errno());
}

/// Whether threads here can become other users: whether this is root.
pub fn may_become_users() -> bool {
    // SAFETY: has no arguments.
    unsafe { libc::geteuid() == 0 }
}

fn catch_signal() {
    extern "C" fn nothing(_: libc::c_int) {}
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: a zeroed sigaction is valid: no flags, an empty mask; the handler does nothing.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = nothing as *const () as usize;
            libc::sigaction(libc::SIGUSR2, &raw const action, std::ptr::null_mut());
        }
    });
}

/// Runs something on a shared writable mapping of a file of the host, which nobody has open any
/// more.
pub fn mapped<T>(path: &Path, len: usize, run: impl FnOnce(&mut [u8]) -> T) -> T {
    let file = std::fs::File::options().read(true).write(true).open(path).unwrap();
    map(file, len, run).unwrap()
}

/// The same of a file that is open, and stays so. Errors: those of mmap(2) and msync(2).
pub fn map_of<T>(
    file: &std::fs::File,
    len: usize,
    run: impl FnOnce(&mut [u8]) -> T,
) -> Result<T, filofs::Errno> {
    map(file.as_fd(), len, run)
}

fn map<T>(
    file: impl AsFd,
    len: usize,
    run: impl FnOnce(&mut [u8]) -> T,
) -> Result<T, filofs::Errno> {
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file.as_fd());
    let access = libc::PROT_READ | libc::PROT_WRITE;
    // SAFETY: a new mapping of a file that is open; the kernel chooses the place.
    let at = unsafe { libc::mmap(std::ptr::null_mut(), len, access, libc::MAP_SHARED, fd, 0) };
    if at == libc::MAP_FAILED {
        return Err(last_errno());
    }
    drop(file);
    // SAFETY: `len` mapped bytes, used by nobody else in this process; tests keep the file at
    // least that long, and a byte of it that others change is read only after they are done.
    let answer = run(unsafe { std::slice::from_raw_parts_mut(at.cast(), len) });
    // SAFETY: the mapping made above; no reference to it is left.
    let written = unsafe {
        let written = libc::msync(at, len, libc::MS_SYNC);
        libc::munmap(at, len);
        written
    };
    if written == 0 { Ok(answer) } else { Err(last_errno()) }
}

/// Reads the beginning of a file of the host to an address where nothing is: the errno.
pub fn read_to_nowhere(path: &Path) -> filofs::Errno {
    let file = std::fs::File::open(path).unwrap();
    let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
    // SAFETY: the kernel checks the address, and answers EFAULT for one that is not mapped: the
    // first page never is.
    let answer = unsafe { libc::syscall(libc::SYS_read, fd, 8usize, 4usize) };
    assert_eq!(answer, -1);
    last_errno()
}

/// Takes O_APPEND off an open file, F_SETFL of fcntl(2).
pub fn stop_appending(file: &std::fs::File) {
    let fd = std::os::fd::AsRawFd::as_raw_fd(file);
    // SAFETY: numbers only.
    assert_eq!(unsafe { libc::fcntl(fd, libc::F_SETFL, 0) }, 0, "{:?}", last_errno());
}

/// Locks the whole of a file for an open file description, F_OFD_SETLK of fcntl(2).
pub fn lock_description(file: &std::fs::File) -> filofs::Result<()> {
    let fd = std::os::fd::AsRawFd::as_raw_fd(file);
    let lock = libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    };
    // SAFETY: reads a structure of the size it has.
    match unsafe { libc::fcntl(fd, libc::F_OFD_SETLK, &raw const lock) } {
        0 => Ok(()),
        _ => Err(last_errno()),
    }
}
