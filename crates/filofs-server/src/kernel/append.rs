//! `Append`: a write to the end of a file, which must not be done twice when the server dies.
//!
//! Where the file ended before tells how much of it was done. So one append to a file waits for
//! the one before; through FUSE none ever has to, as Linux lets only one writer in.

use super::fault::Answer;
use super::remote::Remote;
use filofs::{Context, Errno, Result, Source};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

/// An append under way.
pub(super) struct Append {
    remote: Arc<Remote>,
    /// Where the file ended before it, once that is known.
    start: Option<u64>,
}

impl Append {
    const GLANCE: Duration = Duration::from_millis(1);

    /// Waits until there is no other. EINTR.
    pub(super) fn begin(cx: &Context<'_>, remote: Arc<Remote>) -> Result<Append> {
        while remote.appending.swap(true, Ordering::Acquire) {
            if cx.cancelled() {
                return Err(Errno::EINTR);
            }
            cx.cancel.sleep(Self::GLANCE);
        }
        Ok(Append { remote, start: None })
    }

    /// Finds out where the file ends, before the first try; before another, how much the tries
    /// before have done, of which `written` bytes are known. `size` asks for the file's size. EIO
    /// where others have changed the file meanwhile: then nobody can tell.
    pub(super) fn resume(
        &mut self,
        size: impl Fn(&Arc<Remote>) -> Answer<u64>,
        offset: u64,
        written: &mut usize,
        data: &mut dyn Source,
    ) -> Answer<()> {
        let Some(start) = self.start else {
            // Linux says where it takes the end to be, others give any offset.
            let known = offset >= self.remote.size();
            self.start = Some(if known { offset } else { size(&self.remote)? });
            return Ok(());
        };
        let done = size(&self.remote)?.checked_sub(start + *written as u64);
        let done = done.and_then(|done| usize::try_from(done).ok());
        let done = done.filter(|done| *done <= data.remaining()).ok_or(Errno::EIO)?;
        data.advance(done);
        *written += done;
        Ok(())
    }

    /// Where the file ends after so many bytes of it.
    pub(super) fn end(&self, written: usize) -> u64 {
        self.start.unwrap_or(0).saturating_add(written as u64)
    }
}

impl Drop for Append {
    fn drop(&mut self) {
        self.remote.appending.store(false, Ordering::Release);
    }
}
