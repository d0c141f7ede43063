//! `Memory`: bytes that this process shares with another, which may change them at any time.
//!
//! So there is never a reference to them, but to words that are read and written as atomics. All
//! else is copied, in or out, and only the copy is looked at.
#![allow(unsafe_code)]

use rustix::fd::BorrowedFd;
use rustix::io;
use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering, compiler_fence};

/// A mapping that two processes have.
#[derive(Debug)]
pub(super) struct Memory {
    start: NonNull<u8>,
    len: usize,
}

// SAFETY: the mapping belongs to no thread, and whatever is done with it through `&self` is what
// the other process may do at any time as well.
unsafe impl Send for Memory {}
// SAFETY: as above.
unsafe impl Sync for Memory {}

impl Memory {
    /// The first `len` bytes of a file, at least one. The file must be as long, and stay so: what
    /// lies beyond its end is SIGBUS.
    pub(super) fn map(fd: BorrowedFd<'_>, len: usize) -> io::Result<Memory> {
        let (access, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
        // SAFETY: the kernel chooses a place that nothing else has, and it is this value's alone.
        let start = unsafe { mmap(std::ptr::null_mut(), len, access, flags, fd, 0)? };
        let start = NonNull::new(start.cast()).ok_or(io::Errno::NOMEM)?;
        Ok(Memory { start, len })
    }

    /// The word at that offset. The nearest one there is for an offset that is none: a caller's
    /// mistake, which must not become another's memory.
    pub(super) fn word(&self, at: usize) -> &AtomicU32 {
        debug_assert!(at.is_multiple_of(size_of::<u32>()) && at + size_of::<u32>() <= self.len);
        let at = at.min(self.len.saturating_sub(size_of::<u32>())) & !(size_of::<u32>() - 1);
        // SAFETY: it lies within the mapping, which begins on a page and lasts as long as `self`;
        // both processes use its words as atomics only.
        unsafe { AtomicU32::from_ptr(self.start.add(at).cast().as_ptr()) }
    }

    /// Copies bytes in. False, and nothing is, if they would not fit.
    #[inline(never)]
    pub(super) fn put(&self, at: usize, bytes: &[u8]) -> bool {
        let fits = at.checked_add(bytes.len()).is_some_and(|end| end <= self.len);
        if fits {
            // SAFETY: both places are that large. They are not the same memory: `bytes` was never
            // made from the mapping.
            unsafe {
                bytes.as_ptr().copy_to_nonoverlapping(self.start.add(at).as_ptr(), bytes.len());
            }
            compiler_fence(Ordering::SeqCst);
        }
        fits
    }

    /// Copies bytes out. False, and nothing is, if there are not so many.
    #[inline(never)]
    pub(super) fn get(&self, at: usize, into: &mut [u8]) -> bool {
        let fits = at.checked_add(into.len()).is_some_and(|end| end <= self.len);
        if fits {
            // SAFETY: as in `put`. The other process may write meanwhile: then the bytes are
            // some of either, which is why only copies are looked at.
            unsafe {
                into.as_mut_ptr().copy_from_nonoverlapping(self.start.add(at).as_ptr(), into.len());
            }
            // What was copied is not read a second time in the place of the copy.
            compiler_fence(Ordering::SeqCst);
        }
        fits
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: nothing that was lent outlives `self`.
        let _ = unsafe { munmap(self.start.as_ptr().cast(), self.len) };
    }
}
