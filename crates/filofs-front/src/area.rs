//! `Area`: memory that a core and a file server share, in which requests and their answers lie.
//!
//! ```text
//!  core         writes a request into a slot, marks it, wakes a server's thread that sleeps
//!    |             ^
//!  slot         one request, and in its place the answer
//!    |             |
//!  server       takes the mark away, copies the request, writes the answer, wakes the core
//! ```
//!
//! docs/protocol.md says where everything lies. Neither side believes what the other may have
//! written: lengths are read once and checked, bytes are copied before they are looked at. Marks
//! and words of the other side are hints of when to look, and no more.
//!
//! Who goes to sleep says so, and then looks once more; who has something to say says it, and then
//! looks who sleeps. So nobody sleeps while there is something for it.

mod memory;
mod spin;

use memory::Memory;
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, fcntl_get_seals, fstat, memfd_create};
use rustix::io::{self, Errno};
use rustix::thread::futex;
pub use spin::Spin;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

/// How large an area is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Shape {
    /// How many requests it holds at once: 1 to [`Shape::SLOTS_MAX`].
    pub slots: u32,
    /// The longest message in bytes: a multiple of 4096, at least 8192, at most
    /// [`Shape::SIZE_MAX`].
    pub size: u32,
}

impl Shape {
    /// One bit of a word for each.
    pub const SLOTS_MAX: u32 = 32;
    /// The longest message there may be, bytes.
    pub const SIZE_MAX: u32 = (16 << 20) + Self::PAGE;
    const PAGE: u32 = 4096;

    /// Whether there can be such an area.
    pub const fn is_sound(self) -> bool {
        let size = self.size.is_multiple_of(Self::PAGE)
            && self.size >= 2 * Self::PAGE
            && self.size <= Self::SIZE_MAX;
        size && self.slots >= 1 && self.slots <= Self::SLOTS_MAX
    }

    const fn len(self) -> usize {
        Area::MESSAGES + self.slots as usize * self.size as usize
    }
}

/// Memory that a core and a file server share.
#[derive(Debug)]
pub struct Area {
    memory: Memory,
    shape: Shape,
}

/// The answer is there: said by the server.
const ANSWERED: u32 = 1;
/// Nobody waits for the answer any more: said by the core. The server sends it another way.
const GIVEN_UP: u32 = 2;
/// The caller sleeps, or is about to: said by the core.
const SLEEPS: u32 = 4;
/// Added by the core to wake a caller of its own.
const NUDGE: u32 = 8;

impl Area {
    // Where things lie, in bytes: see docs/protocol.md. Each word that somebody waits at has a
    // cache line of its own.
    const REQUESTS: usize = 0;
    const SLEEPERS: usize = 64;
    const LOOKER: usize = 128;
    const SLOTS: usize = 4096;
    const DOORS: usize = 6144;
    const MESSAGES: usize = 8192;
    const LINE: usize = 64;
    const LENGTH: usize = 4;
    const ASKER: usize = 8;

    /// A new one, with the descriptor by which another process gets it. Nobody can make its file
    /// shorter. EINVAL for a shape that none has.
    pub fn create(shape: Shape) -> io::Result<(Area, OwnedFd)> {
        if !shape.is_sound() {
            return Err(Errno::INVAL);
        }
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let file = match memfd_create("filo-area", flags | MemfdFlags::NOEXEC_SEAL) {
            // Linux below 6.3 knows nothing of that.
            Err(Errno::INVAL) => memfd_create("filo-area", flags)?,
            file => file?,
        };
        rustix::fs::ftruncate(&file, shape.len() as u64)?;
        fcntl_add_seals(&file, Self::SEALS | SealFlags::SEAL)?;
        Ok((Area { memory: Memory::map(file.as_fd(), shape.len())?, shape }, file))
    }

    /// One that another process made. EINVAL for a file that is none of that shape, or that could
    /// become shorter.
    pub fn open(file: &OwnedFd, shape: Shape) -> io::Result<Area> {
        let sealed = fcntl_get_seals(file)?.contains(Self::SEALS);
        if !shape.is_sound() || !sealed || fstat(file)?.st_size != shape.len() as i64 {
            return Err(Errno::INVAL);
        }
        Ok(Area { memory: Memory::map(file.as_fd(), shape.len())?, shape })
    }

    const SEALS: SealFlags = SealFlags::SHRINK.union(SealFlags::GROW);

    /// How large it is.
    pub const fn shape(&self) -> Shape {
        self.shape
    }

    fn requests(&self) -> &AtomicU32 {
        self.memory.word(Self::REQUESTS)
    }

    fn sleepers(&self) -> &AtomicU32 {
        self.memory.word(Self::SLEEPERS)
    }

    fn looker(&self) -> &AtomicU32 {
        self.memory.word(Self::LOOKER)
    }

    fn asker(&self, slot: u32) -> &AtomicU32 {
        self.memory.word(Self::SLOTS + self.within(slot) * Self::LINE + Self::ASKER)
    }

    fn state(&self, slot: u32) -> &AtomicU32 {
        self.memory.word(Self::SLOTS + self.within(slot) * Self::LINE)
    }

    fn length(&self, slot: u32) -> &AtomicU32 {
        self.memory.word(Self::SLOTS + self.within(slot) * Self::LINE + Self::LENGTH)
    }

    fn door(&self, door: u32) -> &AtomicU32 {
        self.memory.word(Self::DOORS + self.within(door) * Self::LINE)
    }

    fn message(&self, slot: u32) -> usize {
        Self::MESSAGES + self.within(slot) * self.shape.size as usize
    }

    const fn within(&self, slot: u32) -> usize {
        (slot % self.shape.slots) as usize
    }

    /// Writes a message into a slot, in two pieces. False if it is too long.
    fn write(&self, slot: u32, head: &[u8], tail: &[u8]) -> bool {
        let (at, len) = (self.message(slot), head.len() + tail.len());
        if len > self.shape.size as usize {
            return false;
        }
        self.memory.put(at, head);
        self.memory.put(at + head.len(), tail);
        self.length(slot).store(len as u32, SeqCst);
        true
    }

    /// Copies a part of the message in a slot, from an offset on. False if the slot ends before.
    pub fn copy(&self, slot: u32, from: usize, into: &mut [u8]) -> bool {
        let fits = from.checked_add(into.len()).is_some_and(|len| len <= self.shape.size as usize);
        fits && self.memory.get(self.message(slot) + from, into)
    }

    /// The length that the other side says the message in a slot has, in bytes. To be read once;
    /// `None` if no message is so long.
    pub fn message_len(&self, slot: u32) -> Option<usize> {
        let len = self.length(slot).load(SeqCst);
        (len <= self.shape.size).then_some(len as usize)
    }
}

/// What a core does.
impl Area {
    /// Puts a request into a slot that is its own, and has one of the server's threads look for
    /// it. False if it is too long.
    pub fn ask(&self, slot: u32, head: &[u8], tail: &[u8]) -> bool {
        let fits = self.write(slot, head, tail);
        if fits {
            self.state(slot).store(0, SeqCst);
            self.asker(slot).store(processor(), SeqCst);
            self.requests().fetch_or(1 << slot, SeqCst);
            if self.looker().load(SeqCst) == 0 {
                self.wake_one();
            }
        }
        fits
    }

    /// Looks for the answer for a short while, if a thread of the server's looks for requests on
    /// another processor: before one sleeps.
    pub fn await_briefly(&self, slot: u32, spin: &Spin) {
        let looker = self.looker().load(SeqCst);
        if looker == 0 || looker == processor() {
            return;
        }
        let answered = || self.look_at(slot).is_answered().then_some(());
        // It may have been interrupted while it looks.
        if spin.until(answered).is_none() && self.requests().load(SeqCst) & 1 << slot != 0 {
            self.wake_one();
        }
    }

    /// Takes a request back which the server has not taken. False if it has.
    pub fn withdraw(&self, slot: u32) -> bool {
        self.requests().fetch_and(!(1 << slot), SeqCst) & 1 << slot != 0
    }

    /// How a request stands.
    pub fn look_at(&self, slot: u32) -> Seen {
        Seen(self.state(slot).load(SeqCst))
    }

    /// Sleeps until a request has its answer, its caller is nudged, or that time is over; or not
    /// at all, if one of these has happened since `seen` was seen.
    pub fn sleep(&self, slot: u32, seen: Seen, at_most: Option<Duration>) {
        let state = self.state(slot);
        let now = state.fetch_or(SLEEPS, SeqCst) | SLEEPS;
        if now == seen.0 | SLEEPS {
            wait(state, now, at_most);
        }
    }

    /// Has the caller of a request look around.
    pub fn nudge(&self, slot: u32) {
        let state = self.state(slot);
        state.fetch_add(NUDGE, SeqCst);
        wake(state);
    }

    /// Nobody waits for the answer any more. True if it is there all the same.
    pub fn give_up(&self, slot: u32) -> bool {
        self.state(slot).fetch_or(GIVEN_UP, SeqCst) & ANSWERED != 0
    }
}

/// How a request stood when somebody looked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen(u32);

impl Seen {
    /// Whether it has its answer.
    pub const fn is_answered(self) -> bool {
        self.0 & ANSWERED != 0
    }

    /// Whether its caller was nudged since it was asked.
    pub const fn is_nudged(self) -> bool {
        self.0 >= NUDGE
    }
}

/// What a server does.
impl Area {
    /// The request to be served next, which is the caller's from then on: the first one after
    /// slot `last`, so that none waits for ever.
    pub fn take(&self, last: u32) -> Option<u32> {
        let first = (last + 1) % self.shape.slots;
        let mut marks = self.requests().load(SeqCst);
        while marks != 0 {
            let above = marks & (u32::MAX << first);
            let slot = if above == 0 { marks } else { above }.trailing_zeros();
            let before = self.requests().fetch_and(!(1 << slot), SeqCst);
            if before & 1 << slot != 0 && slot < self.shape.slots {
                return Some(slot);
            }
            marks = before & !(1 << slot);
        }
        None
    }

    /// The next request, for which one looks a short while, if no other does, and whoever asked
    /// last, in slot `last`, did so on another processor.
    pub fn look(&self, last: u32, spin: &Spin) -> Option<u32> {
        let here = processor();
        if self.asker(last).load(SeqCst) == here {
            return None;
        }
        self.looker().compare_exchange(0, here, SeqCst, SeqCst).ok()?;
        let found = spin.until(|| self.take(last));
        self.looker().store(0, SeqCst);
        // Whoever else has asked meanwhile has woken nobody.
        if found.is_some() && self.requests().load(SeqCst) != 0 {
            self.wake_one();
        }
        found
    }

    /// Answers the request in a slot, which is the core's from then on. `None` if the answer is
    /// too long, and nothing has happened; false if nobody waits for it there any more.
    pub fn answer(&self, slot: u32, head: &[u8], tail: &[u8]) -> Option<bool> {
        if !self.write(slot, head, tail) {
            return None;
        }
        let state = self.state(slot);
        let before = state.fetch_or(ANSWERED, SeqCst);
        if before & SLEEPS != 0 {
            wake(state);
        }
        Some(before & GIVEN_UP == 0)
    }

    /// Sleeps at a door of one's own until there may be a request, or that time is over, if `stays`
    /// says so when others can see that one sleeps. A request that was found instead; else whether
    /// somebody has woken it.
    pub fn rest(
        &self,
        at: u32,
        last: u32,
        at_most: Option<Duration>,
        stays: impl FnOnce() -> bool,
    ) -> Rested {
        let (door, bit) = (self.door(at), 1 << (at % self.shape.slots));
        let seen = door.load(SeqCst);
        self.sleepers().fetch_or(bit, SeqCst);
        let found = self.take(last);
        if found.is_none() && stays() {
            wait(door, seen, at_most);
        }
        let woken = self.sleepers().fetch_and(!bit, SeqCst) & bit == 0;
        match found {
            Some(slot) => Rested::Found(slot),
            None if woken => Rested::Woken,
            None => Rested::Idle,
        }
    }

    /// Whether any thread of the server's will look for the next request by itself, or can be
    /// woken for it.
    pub fn is_attended(&self) -> bool {
        self.sleepers().load(SeqCst) != 0 || self.looker().load(SeqCst) != 0
    }

    /// Wakes all that rest.
    pub fn wake_all(&self) {
        for at in 0..self.shape.slots {
            let door = self.door(at);
            door.fetch_add(1, SeqCst);
            wake(door);
        }
    }

    /// Wakes the first that rests: always the same one, as long as that is enough.
    fn wake_one(&self) {
        let mut sleepers = self.sleepers().load(SeqCst);
        while sleepers != 0 {
            let at = sleepers.trailing_zeros();
            let before = self.sleepers().fetch_and(!(1 << at), SeqCst);
            if before & 1 << at != 0 {
                let door = self.door(at);
                door.fetch_add(1, SeqCst);
                wake(door);
                return;
            }
            sleepers = before & !(1 << at);
        }
    }
}

/// How a rest ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Rested {
    /// It did not begin: there was a request.
    Found(u32),
    /// Somebody has woken it.
    Woken,
    /// Nobody has.
    Idle,
}

/// The processor one is on: its number and 1.
fn processor() -> u32 {
    rustix::thread::sched_getcpu() as u32 + 1
}

/// Waits while a word is that, for so long at most; a limit makes it dearer by a third of a
/// microsecond. May end without a reason.
fn wait(word: &AtomicU32, is: u32, at_most: Option<Duration>) {
    let at_most = at_most.and_then(|time| futex::Timespec::try_from(time).ok());
    let _ = futex::wait(word, futex::Flags::empty(), is, at_most.as_ref());
}

fn wake(word: &AtomicU32) {
    // Whoever sleeps there: the other side could be first in line.
    let _ = futex::wake(word, futex::Flags::empty(), i32::MAX as u32);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHAPE: Shape = Shape { slots: 4, size: 8192 };

    /// What a core has, and what a server has.
    fn both() -> (Area, Area) {
        let (core, file) = Area::create(SHAPE).unwrap();
        (core, Area::open(&file, SHAPE).unwrap())
    }

    fn message(area: &Area, slot: u32) -> Vec<u8> {
        let mut bytes = vec![0; area.message_len(slot).unwrap()];
        assert!(area.copy(slot, 0, &mut bytes));
        bytes
    }

    #[test]
    fn a_request_goes_and_its_answer_comes_back() {
        let (core, server) = both();
        assert_eq!(server.take(0), None);
        assert!(core.ask(2, b"question", b"!"));
        assert_eq!(server.take(0), Some(2));
        assert_eq!(server.take(0), None, "taken once");
        assert_eq!(message(&server, 2), b"question!");
        assert!(!core.look_at(2).is_answered());
        assert_eq!(server.answer(2, b"an", b"swer"), Some(true));
        assert!(core.look_at(2).is_answered());
        assert_eq!(message(&core, 2), b"answer");
    }

    #[test]
    fn requests_are_taken_in_turn() {
        let (core, server) = both();
        assert!((0..4).all(|slot| core.ask(slot, b"x", b"")));
        let taken = (0..4).scan(1, |last, _| {
            *last = server.take(*last)?;
            Some(*last)
        });
        assert_eq!(taken.collect::<Vec<_>>(), [2, 3, 0, 1]);
    }

    #[test]
    fn what_is_given_up_goes_another_way() {
        let (core, server) = both();
        assert!(core.ask(0, b"x", b"") && core.withdraw(0) && !core.withdraw(0));
        assert_eq!(server.take(0), None, "nobody has seen it");
        assert!(core.ask(0, b"x", b""));
        assert_eq!(server.take(0), Some(0));
        assert!(!core.withdraw(0) && !core.give_up(0));
        assert_eq!(server.answer(0, b"late", b""), Some(false));
        assert!(core.ask(0, b"x", b"") && !core.look_at(0).is_answered(), "used again");
        assert_eq!(server.take(0), Some(0));
        assert_eq!(server.answer(0, b"in time", b""), Some(true));
        assert!(core.give_up(0), "it is there all the same");
    }

    #[test]
    fn whoever_sleeps_is_woken() {
        let (core, server) = both();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut last = 0;
                for _ in 0..1000 {
                    last = loop {
                        match server.take(last) {
                            Some(slot) => break slot,
                            None => match server.rest(1, last, None, || true) {
                                Rested::Found(slot) => break slot,
                                Rested::Woken | Rested::Idle => {}
                            },
                        }
                    };
                    server.answer(last, b"y", b"");
                }
            });
            for turn in 0..1000 {
                let slot = turn % 4;
                core.ask(slot, b"x", b"");
                loop {
                    let seen = core.look_at(slot);
                    if seen.is_answered() {
                        break;
                    }
                    core.sleep(slot, seen, None);
                }
            }
        });
        assert_eq!(server.rest(1, 0, Some(Duration::ZERO), || true), Rested::Idle);
        assert!(!server.is_attended());
    }

    #[test]
    fn a_nudge_is_seen_before_one_sleeps() {
        let (core, server) = both();
        assert!(core.ask(3, b"x", b""));
        let seen = core.look_at(3);
        assert!(!seen.is_nudged());
        core.nudge(3);
        core.sleep(3, seen, None);
        assert!(core.look_at(3).is_nudged());
        server.answer(3, b"y", b"");
        assert!(core.look_at(3).is_answered());
    }

    #[test]
    fn only_a_file_of_that_shape_that_stays_so_is_opened() {
        let (_, file) = Area::create(SHAPE).unwrap();
        for shape in [Shape { slots: 5, ..SHAPE }, Shape { slots: 0, ..SHAPE }] {
            assert_eq!(Area::open(&file, shape).unwrap_err(), Errno::INVAL);
        }
        assert_eq!(rustix::fs::ftruncate(&file, 0), Err(Errno::PERM));
        let other = memfd_create("other", MemfdFlags::CLOEXEC).unwrap();
        rustix::fs::ftruncate(&other, SHAPE.len() as u64).unwrap();
        assert_eq!(Area::open(&other, SHAPE).unwrap_err(), Errno::INVAL);
        for (slots, size) in [(33, 8192), (4, 4096), (4, 8193), (4, Shape::SIZE_MAX + 4096)] {
            assert!(!Shape { slots, size }.is_sound(), "{slots} of {size}");
        }
    }

    #[test]
    fn no_message_leaves_its_slot() {
        let (core, server) = both();
        assert!(!core.ask(0, &[0; 8192], b"x") && core.ask(0, &[7; 8192], b""));
        assert_eq!(server.take(3), Some(0));
        assert_eq!(server.answer(0, &[0; 8192], b"x"), None);
        assert!(!core.copy(0, 1, &mut [0; 8192]) && !core.copy(0, usize::MAX, &mut [0; 1]));
        server.length(0).store(8193, SeqCst);
        assert_eq!(core.message_len(0), None);
    }
}
