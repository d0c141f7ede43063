//! `Pages`: the data of a file, in pages that are there only where something was written.
//!
//! Pages hang in leaves of 32, leaves in a map: a sequential request looks the map up once for
//! 128 KiB and copies page by page, a sparse file costs what was written, and a hole that is
//! punched gives its memory back. Bytes of a page beyond the end of the file are zero, always.

use super::space::Space;
use filofs::{Errno, Result, Seek, Sink, Source};
use std::collections::BTreeMap;

/// Bytes in a page: the unit of storage and of holes.
pub(super) const PAGE: usize = 4096;

/// No file grows beyond this: the largest offset there is (off_t).
pub(super) const LARGEST: u64 = i64::MAX as u64;

/// Pages in a leaf.
const SPAN: u64 = 32;

type Page = Box<[u8; PAGE]>;

#[derive(Default)]
pub(super) struct Pages {
    size: u64,
    count: u64,
    leaves: BTreeMap<u64, Box<Leaf>>,
}

#[derive(Default)]
struct Leaf {
    pages: [Option<Page>; SPAN as usize],
    used: u64,
}

impl Pages {
    /// The size of the file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The storage used in bytes.
    pub(super) fn stored(&self) -> u64 {
        self.count * PAGE as u64
    }

    /// Puts as much as there is room for, or up to the end of the file.
    pub(super) fn read(&self, mut at: u64, out: &mut dyn Sink) {
        while at < self.size {
            let left = usize::try_from(self.size - at).unwrap_or(usize::MAX).min(out.room());
            let window = out.window(left);
            let len = window.len();
            if len == 0 {
                break;
            }
            self.fill(at, window);
            out.commit(len);
            at += len as u64;
        }
    }

    /// Writes what the source has, and answers how many bytes: fewer than it has when the space
    /// or the largest size ends first. ENOSPC or EFBIG when that leaves none.
    pub(super) fn write(
        &mut self,
        space: &Space,
        offset: u64,
        data: &mut dyn Source,
    ) -> Result<usize> {
        if data.remaining() == 0 {
            return Ok(0);
        }
        if offset >= LARGEST {
            return Err(Errno::EFBIG);
        }
        let end = offset.saturating_add(data.remaining() as u64).min(LARGEST);
        let mut reserved = space.reserve(self.missing(offset, end));
        let mut at = offset;
        'leaves: while at < end {
            let number = at / PAGE as u64 / SPAN;
            let Leaf { pages, used } = &mut **self.leaves.entry(number).or_default();
            let leaf_end = end.min((number + 1).saturating_mul(SPAN * PAGE as u64));
            while at < leaf_end {
                let within = (at % PAGE as u64) as usize;
                let len = (PAGE - within).min((leaf_end - at) as usize);
                let Some(slot) = pages.get_mut((at / PAGE as u64 % SPAN) as usize) else {
                    break 'leaves;
                };
                let page = match slot {
                    Some(page) => page,
                    None if !reserved.spend() => break 'leaves,
                    None => {
                        self.count += 1;
                        *used += 1;
                        let whole = if len == PAGE { data.chunk().first_chunk() } else { None };
                        if let Some(whole) = whole {
                            // Nothing of the page needs zeroes first.
                            *slot = Some(page_of(whole));
                            data.advance(PAGE);
                            at += PAGE as u64;
                            continue;
                        }
                        slot.insert(zero_page())
                    }
                };
                let taken = drain(data, page.get_mut(within..within + len).unwrap_or_default());
                at += taken as u64;
                if taken < len {
                    break 'leaves;
                }
            }
        }
        self.prune(at);
        if at == offset {
            return Err(Errno::ENOSPC);
        }
        self.size = self.size.max(at);
        Ok((at - offset) as usize)
    }

    /// Cuts the file, or extends it by a hole. (`size` is at most [`LARGEST`].)
    pub(super) fn resize(&mut self, space: &Space, size: u64) {
        self.punch(space, size, u64::MAX);
        self.size = size;
    }

    /// Gives every page of a range storage, and extends the file to the end of the range unless
    /// `keep_size`. ENOSPC, and no change, when not all of it fits.
    pub(super) fn allocate(
        &mut self,
        space: &Space,
        start: u64,
        end: u64,
        keep_size: bool,
    ) -> Result<()> {
        let missing = self.missing(start, end);
        let mut reserved = space.reserve(missing);
        if reserved.left() < missing {
            return Err(Errno::ENOSPC);
        }
        let mut index = start / PAGE as u64;
        let last = end.div_ceil(PAGE as u64);
        while index < last {
            let Leaf { pages, used } = &mut **self.leaves.entry(index / SPAN).or_default();
            let leaf_end = last.min((index / SPAN + 1) * SPAN);
            for index in index..leaf_end {
                if let Some(slot @ None) = pages.get_mut((index % SPAN) as usize)
                    && reserved.spend()
                {
                    *slot = Some(zero_page());
                    *used += 1;
                    self.count += 1;
                }
            }
            index = leaf_end;
        }
        if !keep_size {
            self.size = self.size.max(end);
        }
        Ok(())
    }

    /// Makes a range read as zeroes and gives back the storage of all pages that lie in it whole.
    pub(super) fn punch(&mut self, space: &Space, start: u64, end: u64) {
        let first = start.div_ceil(PAGE as u64);
        let last = end / PAGE as u64; // the first page that stays
        if first > last {
            return self.zero(start, end);
        }
        self.zero(start, first.saturating_mul(PAGE as u64));
        self.zero(last.saturating_mul(PAGE as u64), end);
        if first == last {
            return;
        }
        let mut freed = 0;
        let mut empty = Vec::new();
        for (&number, leaf) in self.leaves.range_mut(first / SPAN..=(last - 1) / SPAN) {
            for (index, slot) in (number * SPAN..).zip(&mut leaf.pages) {
                if (first..last).contains(&index) && slot.take().is_some() {
                    leaf.used -= 1;
                    freed += 1;
                }
            }
            if leaf.used == 0 {
                empty.push(number);
            }
        }
        for number in empty {
            self.leaves.remove(&number);
        }
        self.count -= freed;
        space.bytes.give(freed * PAGE as u64);
    }

    /// Writes zeroes where there is storage.
    pub(super) fn zero(&mut self, start: u64, end: u64) {
        if start >= end {
            return;
        }
        let leaf_bytes = SPAN * PAGE as u64;
        let leaves = self.leaves.range_mut(start / leaf_bytes..=(end - 1) / leaf_bytes);
        for (&number, leaf) in leaves {
            for (index, slot) in (number * SPAN..).zip(&mut leaf.pages) {
                let Some(page) = slot else { continue };
                let base = index * PAGE as u64;
                let from = start.saturating_sub(base).min(PAGE as u64) as usize;
                let to = end.saturating_sub(base).min(PAGE as u64) as usize;
                page.get_mut(from..to).unwrap_or_default().fill(0);
            }
        }
    }

    /// Where data or a hole begins, from an offset on. ENXIO at or beyond the end of the file,
    /// and when no data comes any more.
    pub(super) fn seek(&self, offset: u64, what: Seek) -> Result<u64> {
        if offset >= self.size {
            return Err(Errno::ENXIO);
        }
        let from = offset / PAGE as u64;
        let mut stored = self
            .leaves
            .range(from / SPAN..)
            .flat_map(|(number, leaf)| (number * SPAN..).zip(&leaf.pages))
            .filter(|(index, page)| *index >= from && page.is_some())
            .map(|(index, _)| index);
        let index = match what {
            Seek::Data => stored.next().ok_or(Errno::ENXIO)?,
            Seek::Hole => (from..)
                .zip(stored)
                .find(|(i, s)| i != s)
                .map_or_else(|| self.end_of_run(from), |(index, _)| index),
        };
        match (index * PAGE as u64).max(offset) {
            at if at < self.size => Ok(at),
            _ if what == Seek::Hole => Ok(self.size),
            _ => Err(Errno::ENXIO),
        }
    }

    /// The page after the last one stored, where all from that one on are stored.
    fn end_of_run(&self, from: u64) -> u64 {
        let last = self.leaves.last_key_value().and_then(|(number, leaf)| {
            let last = leaf.pages.iter().rposition(Option::is_some)? as u64;
            Some(number * SPAN + last + 1)
        });
        last.unwrap_or(0).max(from)
    }

    fn fill(&self, mut at: u64, mut buffer: &mut [u8]) {
        let mut number = u64::MAX;
        let mut leaf = None;
        while !buffer.is_empty() {
            let index = at / PAGE as u64;
            if index / SPAN != number {
                number = index / SPAN;
                leaf = self.leaves.get(&number);
            }
            let within = (at % PAGE as u64) as usize;
            let len = (PAGE - within).min(buffer.len());
            let (here, rest) = buffer.split_at_mut(len);
            match leaf.and_then(|leaf| leaf.pages.get((index % SPAN) as usize)?.as_ref()) {
                Some(page) => {
                    here.copy_from_slice(page.get(within..within + len).unwrap_or_default());
                }
                None => here.fill(0),
            }
            buffer = rest;
            at += len as u64;
        }
    }

    /// How many pages of a range have no storage.
    fn missing(&self, start: u64, end: u64) -> u64 {
        let (first, last) = (start / PAGE as u64, end.div_ceil(PAGE as u64));
        if first >= last {
            return 0;
        }
        let leaves = self.leaves.range(first / SPAN..=(last - 1) / SPAN);
        let stored = leaves.map(|(number, leaf)| {
            let pages = (number * SPAN..).zip(&leaf.pages);
            pages.filter(|(i, page)| (first..last).contains(i) && page.is_some()).count() as u64
        });
        last - first - stored.sum::<u64>()
    }

    /// Takes the leaf of that byte away again if nothing came into it.
    fn prune(&mut self, at: u64) {
        let number = at / PAGE as u64 / SPAN;
        if self.leaves.get(&number).is_some_and(|leaf| leaf.used == 0) {
            self.leaves.remove(&number);
        }
    }
}

/// Moves bytes from the source until the place is full; answers how many there were.
fn drain(data: &mut dyn Source, to: &mut [u8]) -> usize {
    let mut done = 0;
    while let Some(rest) = to.get_mut(done..)
        && !rest.is_empty()
    {
        let chunk = data.chunk();
        let len = chunk.len().min(rest.len());
        if len == 0 {
            break;
        }
        let (Some(rest), Some(chunk)) = (rest.get_mut(..len), chunk.get(..len)) else { break };
        rest.copy_from_slice(chunk);
        data.advance(len);
        done += len;
    }
    done
}

/// A copy, made where it stays: `Box::new(*bytes)` would go over the stack.
fn page_of(bytes: &[u8; PAGE]) -> Page {
    Box::<[u8]>::from(bytes.as_slice()).try_into().unwrap_or_else(|_| Box::new(*bytes))
}

fn zero_page() -> Page {
    vec![0; PAGE].into_boxed_slice().try_into().unwrap_or_else(|_| Box::new([0; PAGE]))
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs::{SliceSource, VecSink};

    fn write(pages: &mut Pages, space: &Space, at: u64, bytes: &[u8]) -> Result<usize> {
        pages.write(space, at, &mut SliceSource::new(bytes))
    }

    fn read(pages: &Pages, at: u64, len: usize) -> Vec<u8> {
        let mut sink = VecSink::new(len);
        pages.read(at, &mut sink);
        sink.into_bytes()
    }

    #[test]
    fn a_write_takes_what_fits() {
        let space = Space::new(3 * PAGE as u64, 1);
        let mut pages = Pages::default();
        assert_eq!(write(&mut pages, &space, 10, &vec![1; 5 * PAGE]), Ok(3 * PAGE - 10));
        assert_eq!(pages.size(), 3 * PAGE as u64);
        assert_eq!(write(&mut pages, &space, 3 * PAGE as u64, b"x"), Err(Errno::ENOSPC));
        assert_eq!(write(&mut pages, &space, 1 << 40, b"x"), Err(Errno::ENOSPC));
        assert_eq!((pages.size(), pages.leaves.len()), (3 * PAGE as u64, 1));
        assert_eq!(write(&mut pages, &space, 5, b"over"), Ok(4));
        pages.resize(&space, 0);
        assert_eq!((space.bytes.used(), pages.leaves.len()), (0, 0));
    }

    #[test]
    fn the_largest_size_ends_a_write() {
        let space = Space::new(1 << 20, 1);
        let mut pages = Pages::default();
        assert_eq!(write(&mut pages, &space, LARGEST, b"x"), Err(Errno::EFBIG));
        assert_eq!(write(&mut pages, &space, LARGEST, b""), Ok(0));
        assert_eq!(write(&mut pages, &space, LARGEST - 2, b"xyz"), Ok(2));
        assert_eq!(pages.size(), LARGEST);
        assert_eq!(read(&pages, LARGEST - 3, 10), b"\0xy");
        assert_eq!(pages.seek(0, Seek::Data), Ok(LARGEST / PAGE as u64 * PAGE as u64));
        assert_eq!(pages.seek(LARGEST - 1, Seek::Hole), Ok(LARGEST));
        pages.resize(&space, 1);
        assert_eq!(space.bytes.used(), 0);
    }

    #[test]
    fn allocation_is_all_or_nothing() {
        let space = Space::new(10 * PAGE as u64, 1);
        let mut pages = Pages::default();
        write(&mut pages, &space, PAGE as u64, b"x").unwrap();
        assert_eq!(pages.allocate(&space, 0, 11 * PAGE as u64, false), Err(Errno::ENOSPC));
        assert_eq!(pages.allocate(&space, 0, LARGEST, false), Err(Errno::ENOSPC));
        assert_eq!((pages.stored(), pages.size()), (PAGE as u64, PAGE as u64 + 1));
        assert_eq!(pages.allocate(&space, 0, 10 * PAGE as u64, true), Ok(()));
        assert_eq!((pages.stored(), pages.size()), (10 * PAGE as u64, PAGE as u64 + 1));
        pages.resize(&space, PAGE as u64 + 1);
        assert_eq!(space.bytes.used(), 2 * PAGE as u64, "what lay beyond the end is given back");
    }

    #[test]
    fn it_does_what_a_vector_does() {
        const MOST: u64 = 80 * PAGE as u64; // over two borders of leaves
        let seed = std::time::UNIX_EPOCH.elapsed().unwrap().as_nanos() as u64 | 1;
        println!("seed {seed}");
        let mut random = seed;
        let mut below = |n: u64| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random % n
        };
        let space = Space::new(1 << 30, 1);
        let mut pages = Pages::default();
        let mut model: Vec<u8> = Vec::new();
        for step in 0..1_500 {
            let start = if below(2) == 0 { below(MOST) } else { below(80) * PAGE as u64 };
            let len = [1, 7, PAGE as u64, 3 * PAGE as u64, below(MOST)][below(5) as usize];
            let end = (start + len).min(MOST);
            match below(7) {
                0 | 1 => {
                    let bytes = vec![below(255) as u8 + 1; (end - start) as usize];
                    assert_eq!(write(&mut pages, &space, start, &bytes), Ok(bytes.len()));
                    if !bytes.is_empty() {
                        model.resize(model.len().max(end as usize), 0);
                        model[start as usize..end as usize].copy_from_slice(&bytes);
                    }
                }
                2 => {
                    pages.resize(&space, start);
                    model.resize(start as usize, 0);
                }
                3 => pages.allocate(&space, start, end, true).unwrap(),
                zero => {
                    if zero == 4 {
                        pages.zero(start, end);
                    } else {
                        pages.punch(&space, start, end);
                    }
                    let end = (end as usize).min(model.len());
                    if let Some(range) = model.get_mut(start as usize..end) {
                        range.fill(0);
                    }
                }
            }
            assert_eq!(pages.size(), model.len() as u64, "step {step}");
            assert_eq!(space.bytes.used(), pages.stored(), "step {step}");
            let stored: u64 = pages.leaves.values().map(|leaf| leaf.used).sum();
            assert_eq!(stored, pages.count, "step {step}");
            assert!(pages.leaves.values().all(|leaf| leaf.used > 0), "step {step}");
            let from = below(MOST) as usize;
            let expected = model.get(from..).unwrap_or_default();
            assert!(read(&pages, from as u64, MOST as usize) == expected, "step {step}");
            check_seek(&pages, from as u64);
        }
        pages.resize(&space, 0);
        assert_eq!(space.bytes.used(), 0);
    }

    /// Against the slow way: page by page.
    fn check_seek(pages: &Pages, from: u64) {
        let stored = |at: u64| {
            let index = at / PAGE as u64;
            let leaf = pages.leaves.get(&(index / SPAN));
            leaf.is_some_and(|leaf| leaf.pages[(index % SPAN) as usize].is_some())
        };
        let starts = (from..=from).chain((from / PAGE as u64 + 1..).map(|i| i * PAGE as u64));
        let mut starts = starts.take_while(|at| *at < pages.size());
        let mut again = starts.by_ref().collect::<Vec<_>>().into_iter();
        let data = again.clone().find(|at| stored(*at)).ok_or(Errno::ENXIO);
        assert_eq!(pages.seek(from, Seek::Data), data);
        let hole = match again.find(|at| !stored(*at)) {
            Some(at) => Ok(at),
            None if from < pages.size() => Ok(pages.size()),
            None => Err(Errno::ENXIO),
        };
        assert_eq!(pages.seek(from, Seek::Hole), hole);
    }
}
