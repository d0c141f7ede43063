//! `Worker`: one thread on one ring entry.

use super::super::buffer::Buffer;
use super::super::cpus;
use super::super::crew::Crew;
use super::super::flight::Flight;
use super::entry::Entry;
use super::letter::{Data, Direction, Letter, lay, lay_error};
use super::queue::Queue;
use super::tray::{Staged, Tray};
use super::uring::Uring;
use filofs::{Errno, locked};
use filofs_wire::abi::Opcode;
use rustix::fd::AsFd;
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// What a worker needs of the kernel and the machine, before it knows for whom it works.
pub(super) struct Station {
    pub(super) queue: Arc<Queue>,
    pub(super) uring: Uring,
}

impl Station {
    /// For the calling thread, which from here on stays on the queue's CPU.
    pub(super) fn new(queue: Arc<Queue>, device: impl AsFd) -> std::io::Result<Station> {
        cpus::stay_on(queue.id.into());
        Ok(Station { queue, uring: Uring::new(device)? })
    }
}

/// A worker's desk: what others may take away from it.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) queue: Arc<Queue>,
    /// The worker's thread.
    pub(super) thread: u32,
    /// The request on it and the entry in which it came, while the worker serves it with memory
    /// of its own.
    entry: Mutex<Option<(u64, Entry)>>,
}

impl Desk {
    fn new(queue: Arc<Queue>) -> Desk {
        let thread = rustix::thread::gettid().as_raw_nonzero().get() as u32;
        Desk { queue, thread, entry: Mutex::default() }
    }

    fn put(&self, unique: u64, entry: Entry) {
        *locked(&self.entry) = Some((unique, entry));
    }

    /// Takes the entry away, if it is that request's. Whoever has it answers.
    pub(super) fn take(&self, unique: u64) -> Option<Entry> {
        let mut entry = locked(&self.entry);
        entry.take_if(|(of, _)| *of == unique).map(|(_, entry)| entry)
    }
}

/// How a worker begins.
pub(super) enum First {
    /// It gives the kernel an entry.
    Register(Entry),
    /// It answers EINTR to a request that somebody else cannot answer any more, and keeps the
    /// entry.
    LetGo(u64, Entry),
}

/// One thread on one ring entry.
pub(super) struct Worker {
    crew: Arc<Crew>,
    queue: Arc<Queue>,
    uring: Uring,
    desk: Arc<Desk>,
    flight: Arc<Flight>,
    buffer: Buffer,
    tray: Tray,
}

impl Worker {
    /// The longest message that is served from the worker's own memory: an extended attribute of
    /// 64 KiB and what stands before it.
    const ROOM: usize = 68 << 10;
    /// How often in a row an entry is registered again that the kernel has let go.
    const TRIES: u32 = 3;

    /// Sits down and says the first word to the kernel. The queue counts it as free already.
    /// Errors: the kernel's.
    pub(super) fn begin(
        crew: Arc<Crew>,
        station: Station,
        first: First,
    ) -> Result<Worker, rustix::io::Errno> {
        let Station { queue, mut uring } = station;
        match first {
            First::Register(entry) => uring.register(queue.number(true), entry)?,
            First::LetGo(unique, mut entry) => {
                lay_error(&mut entry, Errno::EINTR);
                uring.commit(queue.number(false), unique, entry)?;
            }
        }
        let desk = Arc::new(Desk::new(queue.clone()));
        if let Some(ring) = crew.ring() {
            ring.sit_down(&desk);
        }
        let flight = crew.dispatch.ledger.flights.join();
        let tray = Tray::new(crew.clone(), queue.clone());
        let buffer = Buffer::new(Self::ROOM);
        Ok(Worker { crew, queue, uring, desk, flight, buffer, tray })
    }

    /// The life of a worker that has begun.
    pub(super) fn work(mut self) {
        let mut tries = 0;
        while !self.crew.ended() {
            let entry = match self.uring.wait() {
                Ok(entry) => entry,
                Err(errno) if ends(errno) => break,
                Err(errno) => {
                    // The kernel has not taken an answer, and counts the entry out.
                    log::error!("queue {}: the kernel refuses an entry: {errno}", self.queue.id);
                    tries += 1;
                    let again = self.uring.take_back().filter(|_| tries < Self::TRIES);
                    let number = self.queue.number(false);
                    if again.is_none_or(|entry| self.uring.register(number, entry).is_err()) {
                        // Who waits at this queue must not wait for ever.
                        self.crew.give_up();
                        break;
                    }
                    continue;
                }
            };
            tries = 0;
            let Some((unique, entry)) = self.serve(entry) else {
                // Somebody else has the entry now, and our place.
                self.queue.give_up();
                self.stand_up();
                return;
            };
            self.queue.release();
            if self.uring.commit(self.queue.number(false), unique, entry).is_err() {
                // The answer is lost.
                self.crew.give_up();
                break;
            }
        }
        // Where it is we who ended it, somebody may still wait for the last answer.
        self.uring.say();
        self.queue.leave();
        self.stand_up();
    }

    /// Serves one request. The entry and the request's id, or nothing if the entry was taken away.
    fn serve(&mut self, mut entry: Entry) -> Option<(u64, Entry)> {
        let letter = Letter::read(&entry);
        let opcode = letter.map_or(0, |letter| letter.header.opcode);
        let alone = self.queue.take(opcode);
        if opcode == Opcode::NotifyReply as u32 {
            let id = lay_error(&mut entry, Errno::EIO);
            return Some((id, entry)); // a nudge, see `Ring::nudge`
        }
        if let Some(ring) = self.crew.ring() {
            ring.begins(&self.crew, &self.queue, opcode, alone);
        }
        let len = letter.and_then(|letter| letter.copy(&entry, self.buffer.inlet()));
        let (Some(letter), Some(len)) = (letter, len) else {
            // Linux writes no such thing.
            log::error!("a request of opcode {opcode} that cannot be read");
            let id = lay_error(&mut entry, Errno::EIO);
            return Some((id, entry));
        };
        let began = Instant::now();
        let entry = match letter.direct() {
            Some(direction) => self.serve_there(len, direction, entry),
            None => self.serve_here(len, letter.id, entry)?,
        };
        self.crew.costs.note(opcode, began.elapsed());
        Some((letter.id, entry))
    }

    /// Serves it with the worker's own memory. Nothing if the entry was taken away meanwhile.
    fn serve_here(&mut self, len: usize, id: u64, entry: Entry) -> Option<Entry> {
        self.desk.put(id, entry);
        let (message, window) = self.buffer.split(len);
        self.tray.lend(window);
        self.crew.dispatch.serve([message, &[]], window, &self.flight, &self.tray);
        let mut entry = self.desk.take(id)?;
        let (_, window) = self.buffer.split(len);
        match self.tray.staged() {
            // The steward was about to let the caller go: we do.
            None => drop(lay_error(&mut entry, Errno::EINTR)),
            Some((head, Staged::Lent(range))) => {
                let data = window.get(range.clone()).unwrap_or_default();
                lay(&mut entry, head, &Data::Bytes(data));
            }
            Some((head, Staged::Apart(bytes))) => lay(&mut entry, head, &Data::Bytes(bytes)),
        }
        Some(entry)
    }

    /// Serves it with the memory of the entry, which therefore stays until it is answered.
    fn serve_there(&mut self, len: usize, direction: Direction, mut entry: Entry) -> Entry {
        let (message, _) = self.buffer.split(len);
        let payload = entry.parts_mut().map(|(_, payload)| payload).unwrap_or_default();
        let (data, window) = match direction {
            Direction::In(len) => (payload.get(..len).unwrap_or_default(), Default::default()),
            Direction::Out => (Default::default(), payload),
        };
        self.tray.lend(window);
        self.flight.hold(true);
        self.crew.dispatch.serve([message, data], window, &self.flight, &self.tray);
        self.flight.hold(false);
        match self.tray.staged() {
            None => drop(lay_error(&mut entry, Errno::EIO)),
            Some((head, Staged::Lent(range))) => lay(&mut entry, head, &Data::Here(range.clone())),
            Some((head, Staged::Apart(bytes))) => lay(&mut entry, head, &Data::Bytes(bytes)),
        }
        entry
    }

    fn stand_up(self) {
        let Worker { crew, uring, desk, flight, .. } = self;
        crew.dispatch.ledger.flights.leave(&flight);
        if let Some(ring) = crew.ring() {
            ring.stand_up(&desk);
        }
        // What the kernel may still have goes with the ring.
        drop(uring);
    }
}

/// Whether the connection has ended.
fn ends(errno: rustix::io::Errno) -> bool {
    use rustix::io::Errno;
    [Errno::NOTCONN, Errno::CONNABORTED, Errno::NODEV, Errno::CANCELED].contains(&errno)
}
