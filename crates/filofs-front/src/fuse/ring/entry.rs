//! `Entry`: the memory of one ring entry, through which a request comes and its answer goes.
#![allow(unsafe_code)]

use filofs_wire::abi::UringReqHeader;
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous, munmap};
use std::io::{Error, ErrorKind};
use std::ptr::NonNull;
use zerocopy::FromBytes;

/// A page with the headers, and the payload after it. Whoever has the value has the memory to
/// himself: while the kernel may write there it is [`Uring`](super::uring::Uring) that has it.
#[derive(Debug)]
pub(super) struct Entry {
    base: NonNull<u8>,
    page: usize,
    payload: usize,
}

// SAFETY: the memory belongs to this value alone and is not bound to a thread.
unsafe impl Send for Entry {}

impl Entry {
    /// With room for a payload of that many bytes. The memory is the kernel's zero page until it
    /// is used.
    pub(super) fn new(payload: usize) -> std::io::Result<Entry> {
        let page = rustix::param::page_size();
        let (prot, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::PRIVATE);
        // SAFETY: a new mapping, which touches nothing of ours.
        let base = unsafe { mmap_anonymous(std::ptr::null_mut(), page + payload, prot, flags) }?;
        let base = NonNull::new(base.cast()).ok_or_else(|| Error::from(ErrorKind::OutOfMemory))?;
        Ok(Entry { base, page, payload })
    }

    /// How many bytes it takes for a payload of that size.
    pub(super) fn size(payload: usize) -> usize {
        rustix::param::page_size() + payload
    }

    /// The headers, and what lies after them.
    pub(super) fn parts(&self) -> Option<(&UringReqHeader, &[u8])> {
        // SAFETY: the mapping lives as long as this value, is as long as this, was zeroed, and
        // nobody writes there while this value is borrowed.
        let all = unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len()) };
        let (page, payload) = all.split_at_checked(self.page)?;
        Some((UringReqHeader::ref_from_prefix(page).ok()?.0, payload))
    }

    /// The same, to write there.
    pub(super) fn parts_mut(&mut self) -> Option<(&mut UringReqHeader, &mut [u8])> {
        // SAFETY: as above, and it is borrowed by nobody else.
        let all = unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len()) };
        let (page, payload) = all.split_at_mut_checked(self.page)?;
        Some((UringReqHeader::mut_from_prefix(page).ok()?.0, payload))
    }

    /// Where the kernel finds both, as two `struct iovec`: address and length, and again.
    pub(super) fn areas(&self) -> [usize; 4] {
        let header = self.base.as_ptr();
        let payload = header.wrapping_add(self.page);
        [header.expose_provenance(), self.page, payload.expose_provenance(), self.payload]
    }

    const fn len(&self) -> usize {
        self.page + self.payload
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // SAFETY: the mapping is this value's, and nothing of it is borrowed any more.
        let _ = unsafe { munmap(self.base.as_ptr().cast(), self.len()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_and_payload_do_not_overlap() {
        let mut entry = Entry::new(8192).unwrap();
        let (header, payload) = entry.parts_mut().unwrap();
        assert_eq!((header.in_out, payload.len()), ([0; 128], 8192));
        assert_eq!(payload.as_ptr() as usize % rustix::param::page_size(), 0);
        header.op_in.fill(7);
        payload.fill(9);
        let [at, page, after, len] = entry.areas();
        assert_eq!((at + page, len), (after, 8192));
        assert_eq!(page + len, Entry::size(8192));
        let (header, payload) = entry.parts().unwrap();
        assert!(header.op_in == [7; 128] && payload.iter().all(|&byte| byte == 9));
    }
}
