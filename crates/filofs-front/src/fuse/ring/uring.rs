//! `Uring`: what one worker says to the kernel, and hears.
#![allow(unsafe_code)]

use super::entry::Entry;
use filofs_wire::abi::{UringCmd, UringCmdReq};
use io_uring::{IoUring, cqueue, opcode, squeue, types};
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use std::io;
use zerocopy::IntoBytes;

/// An io_uring with one command at a time on it: an entry that is lent to the kernel until a
/// request has come in it. It belongs to the thread that made it.
pub(super) struct Uring {
    ring: IoUring<squeue::Entry128, cqueue::Entry>,
    lent: Option<Entry>,
    /// Where the kernel finds its two parts: what REGISTER points to.
    areas: Box<[usize; 4]>,
    /// A command has not completed: the entry is the kernel's.
    pending: bool,
    /// Commands in the queue of which the kernel has not been told.
    unsaid: u32,
    /// How to enter the kernel.
    flags: u32,
}

impl Uring {
    /// `IORING_ENTER_GETEVENTS` and `IORING_ENTER_NO_IOWAIT` of linux/io_uring.h.
    const GETEVENTS: u32 = 1 << 0;
    const NO_IOWAIT: u32 = 1 << 7;

    /// For commands to that device, from the calling thread.
    pub(super) fn new(device: impl AsFd) -> io::Result<Uring> {
        let mut builder = IoUring::builder();
        // What comes in is handled when this thread asks for it: no interrupt, and the system call
        // that answers is the one that fetches.
        builder.setup_single_issuer().setup_defer_taskrun();
        let ring: IoUring<squeue::Entry128, cqueue::Entry> = builder.build(2)?;
        ring.submitter().register_files(&[device.as_fd().as_raw_fd()])?;
        // Who waits for a request waits for no disk, and is not to be shown so by top(1).
        let quiet = if ring.params().is_feature_no_iowait() { Self::NO_IOWAIT } else { 0 };
        let flags = Self::GETEVENTS | quiet;
        Ok(Uring { ring, lent: None, areas: Box::default(), pending: false, unsaid: 0, flags })
    }

    /// Gives the kernel an entry for that queue. Errors: those of the kernel; then it uses no ring
    /// for this connection, unless it does already.
    pub(super) fn register(&mut self, queue: u16, entry: Entry) -> Result<(), Errno> {
        let cmd = UringCmdReq { qid: queue, ..UringCmdReq::default() };
        self.push(UringCmd::Register, &cmd, entry)?;
        self.enter(0)?;
        match self.completion() {
            Some(completed) => completed, // a request has come already
            None => Ok(()),
        }
    }

    /// Commits the answer in an entry, with the next [`wait`](Self::wait).
    pub(super) fn commit(&mut self, queue: u16, id: u64, entry: Entry) -> Result<(), Errno> {
        let cmd = UringCmdReq { qid: queue, commit_id: id, ..UringCmdReq::default() };
        self.push(UringCmd::CommitAndFetch, &cmd, entry)
    }

    /// Says what is unsaid, without waiting.
    pub(super) fn say(&mut self) {
        if self.unsaid > 0 {
            let _ = self.enter(0);
        }
    }

    /// Waits for a request, and gives back the entry it is in.
    pub(super) fn wait(&mut self) -> Result<Entry, Errno> {
        while self.pending {
            match self.enter(1) {
                Ok(()) | Err(Errno::INTR | Errno::AGAIN) => {}
                Err(errno) => return Err(errno),
            }
            if let Some(completed) = self.completion() {
                completed?;
            }
        }
        self.take_back().ok_or(Errno::INVAL)
    }

    /// The entry of a command that has failed.
    pub(super) fn take_back(&mut self) -> Option<Entry> {
        if self.pending { None } else { self.lent.take() }
    }

    /// Puts a command into the queue; from here on the entry is the kernel's.
    fn push(&mut self, what: UringCmd, cmd: &UringCmdReq, entry: Entry) -> Result<(), Errno> {
        if self.pending {
            return Err(Errno::BUSY);
        }
        *self.areas = entry.areas();
        let (addr, len) = match what {
            UringCmd::Register => (self.areas.as_ptr().expose_provenance() as u64, 2),
            UringCmd::CommitAndFetch => (0, 0),
        };
        self.lent = Some(entry);
        let mut area = [0; 80];
        area.iter_mut().zip(cmd.as_bytes()).for_each(|(place, byte)| *place = *byte);
        let command = opcode::UringCmd80::new(types::Fixed(0), what as u32);
        let mut command = command.cmd(area).addr(Some(addr)).build();
        // `len` of struct io_uring_sqe, for which the crate has no word.
        const LEN: usize = 24;
        // SAFETY: an Entry128 is the 128 bytes of a submission entry (repr(C), its documentation),
        // of which any have a meaning, and these four are within it.
        unsafe {
            let sqe = std::ptr::from_mut(&mut command).cast::<u8>();
            sqe.add(LEN).cast::<u32>().write_unaligned(len);
        }
        // SAFETY: what the command points to is `areas`, and by them the memory of `lent`. Both
        // stay where they are and are left alone until the command has completed, or the ring has
        // gone: nothing is pushed, and nothing taken back, while it is pending.
        unsafe { self.ring.submission().push(&command) }.map_err(|_| Errno::BUSY)?;
        self.pending = true;
        self.unsaid += 1;
        Ok(())
    }

    /// One system call: says what is unsaid, and waits for so many completions.
    fn enter(&mut self, completions: u32) -> Result<(), Errno> {
        // SAFETY: there are no arguments, and the numbers are in range.
        let entered = unsafe {
            self.ring.submitter().enter::<u8>(self.unsaid, completions, self.flags, None)
        };
        let said = entered.map_err(|error| Errno::from_io_error(&error).unwrap_or(Errno::IO))?;
        self.unsaid = self.unsaid.saturating_sub(said as u32);
        Ok(())
    }

    fn completion(&mut self) -> Option<Result<(), Errno>> {
        let result = self.ring.completion().next()?.result();
        self.pending = false;
        Some(if result < 0 { Err(Errno::from_raw_os_error(-result)) } else { Ok(()) })
    }
}

impl Drop for Uring {
    fn drop(&mut self) {
        if self.pending {
            // The kernel may write there until it has let the ring go, which it does in its own
            // time. Only the end of a connection leads here.
            std::mem::forget(self.lent.take());
        }
    }
}
