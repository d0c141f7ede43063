//! `Sink` and `Source`: where the bytes of a read go, and where those of a write come from.
//!
//! Neither is a `Vec<u8>`: the front end lends its own reply buffer or request buffer, the base
//! fills or drains it in place, and a layer that transforms data wraps what it was given.

/// Takes the bytes of one answer, in order, up to a limit.
pub trait Sink {
    /// How many more bytes it takes.
    fn room(&self) -> usize;

    /// Lends the place for the next bytes: `len` of them, or [`Sink::room`] if that is less.
    /// Nothing is taken until [`Sink::commit`]; the bytes found there mean nothing.
    fn window(&mut self, len: usize) -> &mut [u8];

    /// Takes the first `len` bytes of the window last lent (at most all of it).
    fn commit(&mut self, len: usize);

    /// How many bytes it has taken.
    fn taken(&self) -> usize;

    /// Copies bytes in, as many as there is room for; answers how many.
    fn put(&mut self, bytes: &[u8]) -> usize {
        let window = self.window(bytes.len());
        let len = window.len().min(bytes.len());
        if let (Some(to), Some(from)) = (window.get_mut(..len), bytes.get(..len)) {
            to.copy_from_slice(from);
        }
        self.commit(len);
        len
    }
}

/// Gives the bytes of one request, in order.
pub trait Source {
    /// How many bytes are left.
    fn remaining(&self) -> usize;

    /// The next bytes, at least one unless none are left. Looking takes nothing.
    fn chunk(&mut self) -> &[u8];

    /// Drops the next `len` bytes (at most those of the chunk last shown).
    fn advance(&mut self, len: usize);
}

/// A sink over a lent buffer.
#[derive(Debug)]
pub struct SliceSink<'a> {
    buffer: &'a mut [u8],
    taken: usize,
}

impl<'a> SliceSink<'a> {
    /// Takes as many bytes as the buffer holds.
    pub fn new(buffer: &'a mut [u8]) -> SliceSink<'a> {
        SliceSink { buffer, taken: 0 }
    }
}

impl Sink for SliceSink<'_> {
    fn room(&self) -> usize {
        self.buffer.len() - self.taken
    }

    fn window(&mut self, len: usize) -> &mut [u8] {
        let end = self.taken.saturating_add(len).min(self.buffer.len());
        self.buffer.get_mut(self.taken..end).unwrap_or_default()
    }

    fn commit(&mut self, len: usize) {
        self.taken += len.min(self.room());
    }

    fn taken(&self) -> usize {
        self.taken
    }
}

/// A sink that keeps what it takes: for tests, and for callers without a buffer of their own.
#[derive(Debug, Default)]
pub struct VecSink {
    bytes: Vec<u8>,
    taken: usize,
    limit: usize,
}

impl VecSink {
    /// Takes up to `limit` bytes.
    pub fn new(limit: usize) -> VecSink {
        VecSink { bytes: Vec::new(), taken: 0, limit }
    }

    /// What it took.
    pub fn into_bytes(mut self) -> Vec<u8> {
        self.bytes.truncate(self.taken);
        self.bytes
    }
}

impl Sink for VecSink {
    fn room(&self) -> usize {
        self.limit - self.taken
    }

    fn window(&mut self, len: usize) -> &mut [u8] {
        let end = self.taken + len.min(self.room());
        if self.bytes.len() < end {
            self.bytes.resize(end, 0);
        }
        self.bytes.get_mut(self.taken..end).unwrap_or_default()
    }

    fn commit(&mut self, len: usize) {
        self.taken += len.min(self.bytes.len() - self.taken);
    }

    fn taken(&self) -> usize {
        self.taken
    }
}

/// A source over borrowed bytes.
#[derive(Debug)]
pub struct SliceSource<'a>(&'a [u8]);

impl<'a> SliceSource<'a> {
    /// Gives those bytes.
    pub fn new(bytes: &'a [u8]) -> SliceSource<'a> {
        SliceSource(bytes)
    }
}

impl Source for SliceSource<'_> {
    fn remaining(&self) -> usize {
        self.0.len()
    }

    fn chunk(&mut self) -> &[u8] {
        self.0
    }

    fn advance(&mut self, len: usize) {
        self.0 = self.0.get(len..).unwrap_or_default();
    }
}

/// The beginning of another source.
pub struct ShortSource<'a> {
    whole: &'a mut dyn Source,
    left: usize,
}

impl<'a> ShortSource<'a> {
    /// At most `most` bytes of it.
    pub fn new(whole: &'a mut dyn Source, most: usize) -> ShortSource<'a> {
        ShortSource { whole, left: most }
    }
}

impl Source for ShortSource<'_> {
    fn remaining(&self) -> usize {
        self.whole.remaining().min(self.left)
    }

    fn chunk(&mut self) -> &[u8] {
        let left = self.left;
        let chunk = self.whole.chunk();
        chunk.get(..left).unwrap_or(chunk)
    }

    fn advance(&mut self, len: usize) {
        let len = len.min(self.left);
        self.left -= len;
        self.whole.advance(len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(sink: &mut dyn Sink) {
        assert_eq!(sink.put(b"abc"), 3);
        let window = sink.window(10);
        assert_eq!(window.len(), 2);
        window.copy_from_slice(b"de");
        sink.commit(1);
        assert_eq!((sink.taken(), sink.room()), (4, 1));
        assert_eq!(sink.put(b"xyz"), 1);
        assert_eq!(sink.room(), 0);
    }

    #[test]
    fn sinks_take_what_is_committed_and_no_more_than_their_room() {
        let mut buffer = [0; 5];
        fill(&mut SliceSink::new(&mut buffer));
        assert_eq!(&buffer, b"abcdx");
        let mut vec = VecSink::new(5);
        fill(&mut vec);
        assert_eq!(vec.into_bytes(), b"abcdx");
    }

    #[test]
    fn a_source_gives_everything_once() {
        let mut source = SliceSource::new(b"abcdef");
        assert_eq!(source.chunk(), b"abcdef");
        source.advance(4);
        assert_eq!((source.chunk(), 2), (&b"ef"[..], 2));
        source.advance(9);
        assert_eq!(source.remaining(), 0);
    }

    #[test]
    fn a_short_source_is_a_beginning() {
        let mut whole = SliceSource::new(b"abcdef");
        let mut short = ShortSource::new(&mut whole, 4);
        assert_eq!((short.remaining(), short.chunk()), (4, &b"abcd"[..]));
        short.advance(3);
        assert_eq!(short.chunk(), b"d");
        short.advance(9);
        assert_eq!((short.remaining(), short.chunk()), (0, &b""[..]));
        assert_eq!(whole.chunk(), b"ef");
    }
}
