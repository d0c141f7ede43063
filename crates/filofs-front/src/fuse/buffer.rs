//! `Buffer`: the memory in which a worker reads a request and makes the answer's data.

/// One message and the room for its answer.
///
/// A request is read so that the payload of a WRITE begins on a page, which is what a base needs
/// that passes it on with O_DIRECT. A READ request ends where that payload would begin, so its
/// answer is made in the same place: one buffer serves both ways.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Where a message begins.
    start: usize,
    /// The longest message.
    room: usize,
}

impl Buffer {
    /// Everything that stands before the data of a WRITE: `fuse_in_header` and `fuse_write_in`.
    const WRITE_HEAD: usize = 80;
    const PAGE: usize = 4096;
    /// Beyond the payload: what an answer of at most 64 KiB needs after a request that itself
    /// fills more than its first page (an ioctl, the name of an extended attribute).
    const SLACK: usize = 64 * 1024 + 4 * Self::PAGE;

    /// For payloads of that many bytes. The memory is the kernel's zero page until it is used.
    pub(super) fn new(payload: usize) -> Buffer {
        let bytes = vec![0; 4 * Self::PAGE + payload + Self::SLACK];
        let first = (bytes.as_ptr() as usize).next_multiple_of(Self::PAGE);
        let page = first - bytes.as_ptr() as usize;
        let start = page + Self::PAGE - Self::WRITE_HEAD;
        // The smallest buffer that Linux reads into is 8 KiB; a core's longest message has a page
        // beside its data.
        let room = Self::PAGE + payload.max(Self::PAGE);
        Buffer { bytes, start, room }
    }

    /// Where to read the next message.
    pub(super) fn inlet(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.start..self.start + self.room).unwrap_or_default()
    }

    /// The message of `len` bytes that was read, and the room for the answer's data.
    pub(super) fn split(&mut self, len: usize) -> (&[u8], &mut [u8]) {
        let page = self.start + Self::WRITE_HEAD;
        let end = self.start + len.min(self.room);
        let window = if end <= page { page } else { page + (end - page).next_multiple_of(4096) };
        match self.bytes.split_at_mut_checked(window) {
            Some((front, window)) => (front.get(self.start..end).unwrap_or_default(), window),
            None => (&[], &mut []),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_data_and_read_answers_begin_on_a_page() {
        let mut buffer = Buffer::new(1 << 20);
        assert_eq!(buffer.inlet().len(), (1 << 20) + 4096);
        let at = buffer.inlet().as_ptr() as usize;
        assert_eq!((at + 80) % 4096, 0);
        let (message, window) = buffer.split(80);
        assert_eq!((message.as_ptr() as usize, message.len()), (at, 80));
        assert_eq!(window.as_ptr() as usize, at + 80);
        assert!(window.len() >= 1 << 20);
    }

    #[test]
    fn there_is_room_for_an_answer_after_any_request() {
        for payload in [4096, 128 << 10, 1 << 20] {
            let mut buffer = Buffer::new(payload);
            let longest = buffer.inlet().len();
            for len in [0, 40, 80, 81, 4096, 4177, longest] {
                let (message, window) = buffer.split(len);
                assert_eq!(message.len(), len);
                assert_eq!(window.as_ptr() as usize % 4096, 0);
                assert!(window.len() >= 65536, "{len} of {payload}: {}", window.len());
            }
        }
    }
}
