//! `Attendants`: the threads that serve what a core puts into memory which it shares with us.
//!
//! Each rests at a door of its own, and whoever asks wakes the first that rests: a single client
//! with quick requests is served by one thread alone. Before one begins with a request it sees to
//! it that another rests, or looks: so no request waits for another, whatever blocks, and nobody
//! has to watch. There are never more than slots, as no more requests can be there at once.
//!
//! Answers go back the same way. What is asked of the core meanwhile, and answers that nobody
//! waits for there any more, go over the device.

use super::buffer::Buffer;
use super::crew::Crew;
use super::device::{Device, Outlet};
use crate::area::{Area, Rested, Spin};
use filofs::locked;
use filofs_wire::abi::{InHeader, MESSAGE_HEAD};
use filofs_wire::errno::ReplyErrno;
use filofs_wire::reply;
use rustix::fd::BorrowedFd;
use rustix::io::Errno;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Those who serve an area.
pub(super) struct Attendants {
    area: Area,
    spin: Spin,
    most: usize,
    doors: Mutex<Doors>,
    changed: Condvar,
}

/// Which doors have somebody: a bit for each.
#[derive(Debug, Default)]
struct Doors(u32);

impl Attendants {
    /// How long one rests before it leaves, unless no other rests.
    const REST: Duration = Duration::from_secs(10);

    /// Whether there can be any of an area with so many slots where so many threads may serve in
    /// all. A core fills every slot before it uses the socket, so each has its attendant; and those
    /// who wait for locks, up to three quarters of all threads, must leave some for the socket, by
    /// which locks are given back.
    pub(super) const fn are_allowed(most: usize, slots: usize) -> bool {
        most.div_ceil(4) > slots
    }

    /// Of that area, where so many threads may serve in all: at most half of them.
    pub(super) fn new(area: Area, most: usize) -> Attendants {
        let most = (most / 2).clamp(1, area.shape().slots as usize);
        Attendants {
            area,
            spin: Spin::default(),
            most,
            doors: Mutex::default(),
            changed: Condvar::new(),
        }
    }

    /// How many there are at most.
    pub(super) const fn most(&self) -> usize {
        self.most
    }

    /// The most data that a message carries, bytes.
    fn payload(&self) -> usize {
        (self.area.shape().size - MESSAGE_HEAD) as usize
    }

    /// Has another one come. At the limit, or when the machine gives no thread, whoever is there
    /// looks again when it is done.
    pub(super) fn call(&self, crew: &Arc<Crew>) {
        let door = {
            let mut doors = locked(&self.doors);
            let door = doors.0.trailing_ones();
            if doors.0.count_ones() as usize >= self.most || crew.ended() {
                return;
            }
            doors.0 |= 1 << door;
            door
        };
        let served = crew.clone();
        let thread = thread::Builder::new().name("filo-attendant".into());
        let spawned = thread.spawn(move || {
            if let Some(attendants) = &served.attendants {
                attendants.attend(&served, door);
                attendants.leave(door);
            }
        });
        if let Err(error) = spawned {
            log::warn!("no thread to attend shared memory: {error}");
            self.leave(door);
        }
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        self.area.wake_all();
    }

    /// Waits for all to leave, until then.
    pub(super) fn farewell(&self, until: Instant) {
        let mut doors = locked(&self.doors);
        while doors.0 != 0 {
            let Some(left) = until.checked_duration_since(Instant::now()) else {
                log::error!("{} attendants are stuck in the file system", doors.0.count_ones());
                return;
            };
            let waited = self.changed.wait_timeout(doors, left);
            doors = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn leave(&self, door: u32) {
        locked(&self.doors).0 &= !(1 << door);
        self.changed.notify_all();
    }

    /// The life of one.
    fn attend(&self, crew: &Arc<Crew>, door: u32) {
        let flight = crew.flights().join();
        let mut buffer = Buffer::new(self.payload());
        let mut last = door;
        while let Some(slot) = self.next(crew, door, last) {
            last = slot;
            if !self.area.is_attended() {
                self.call(crew);
            }
            let len = self.area.message_len(slot).unwrap_or(0);
            let inlet = buffer.inlet();
            let len = len.min(inlet.len());
            self.area.copy(slot, 0, inlet.get_mut(..len).unwrap_or_default());
            let (message, window) = buffer.split(len);
            let unique = unique_of(message);
            let outlet = Slot {
                attendants: self,
                device: &crew.device,
                index: slot,
                unique,
                longest: crew.dispatch.ledger.terms().max_message.unwrap_or(0) as usize,
                answered: AtomicBool::new(false),
            };
            crew.dispatch.serve([message, &[]], window, &flight, &outlet);
            outlet.close();
        }
        crew.flights().leave(&flight);
    }

    /// The next request. `None` when this one is to leave.
    fn next(&self, crew: &Crew, door: u32, last: u32) -> Option<u32> {
        // The first is always woken first, and stays.
        let at_most = (door > 0).then_some(Self::REST);
        loop {
            if crew.ended() {
                return None;
            }
            if let Some(slot) = self.area.take(last).or_else(|| self.area.look(last, &self.spin)) {
                return Some(slot);
            }
            match self.area.rest(door, last, at_most, || !crew.ended()) {
                Rested::Found(slot) => return Some(slot),
                Rested::Idle if self.area.is_attended() => return None,
                Rested::Woken | Rested::Idle => {}
            }
        }
    }
}

/// The way back of the request in a slot.
struct Slot<'a> {
    attendants: &'a Attendants,
    device: &'a Device,
    index: u32,
    unique: u64,
    /// The longest message that the device takes, bytes.
    longest: usize,
    answered: AtomicBool,
}

impl Slot<'_> {
    /// It was served. What wants no answer has an empty one, so that the slot is free.
    fn close(&self) {
        if !self.answered.swap(true, SeqCst) {
            self.attendants.area.answer(self.index, &[], &[]);
        }
    }
}

impl Outlet for Slot<'_> {
    fn send(&self, head: &[u8], data: &[u8]) -> bool {
        if unique_of(head) != self.unique || self.answered.swap(true, SeqCst) {
            return self.device.send(head, data);
        }
        let area = &self.attendants.area;
        let Some(awaited) = area.answer(self.index, head, data) else {
            log::error!("an answer of {} bytes does not fit", head.len() + data.len());
            let error = reply::error(self.unique, ReplyErrno::or_eproto(Errno::IO.raw_os_error()));
            area.answer(self.index, error.as_bytes(), &[]);
            return false;
        };
        if awaited {
            true
        } else if head.len() + data.len() <= self.longest {
            self.device.send(head, data)
        } else {
            // Data alone is so long, which nobody has to take back.
            let interrupted = ReplyErrno::or_eproto(Errno::INTR.raw_os_error());
            self.device.send(reply::error(self.unique, interrupted).as_bytes(), &[])
        }
    }

    fn send_with(&self, head: &[u8], file: BorrowedFd<'_>) -> bool {
        if unique_of(head) != self.unique || self.answered.swap(true, SeqCst) {
            return self.device.send_with(head, file);
        }
        // Files travel over the device alone. It is there before the slot says so, and also for
        // one who waits no more.
        let sent = self.device.send_with(head, file);
        self.attendants.area.answer(self.index, &[], &[]);
        sent
    }

    fn payload(&self, _: usize) -> usize {
        self.attendants.payload()
    }

    fn collect(&self, nodeid: u64) -> Result<(), Errno> {
        self.device.collect(nodeid)
    }

    fn doubt(&self, nodeid: u64) {
        self.device.doubt(nodeid);
    }
}

/// The id in the header of a message, either way.
fn unique_of(message: &[u8]) -> u64 {
    const AT: usize = std::mem::offset_of!(InHeader, unique);
    let bytes = message.get(AT..AT + size_of::<u64>());
    bytes.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_ne_bytes)
}
