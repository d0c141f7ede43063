//! The life of a server: how it is started, what its end means, and how it is started again.

use super::connection::Connection;
use super::dump::Dump;
use super::fault::Fault;
use super::handshake;
use super::link::{Keep, Link};
use super::server::Server;
use super::slots::Slots;
use super::worker;
use super::{Settings, thread};
use crate::channel::{Channel, MESSAGE_MAX};
use crate::launch::one_line;
use filofs::{Errno, Notice, Result, locked};
use filofs_front::area::Area;
use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// What happens when a server has died. In each case everybody who waits for it is told at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum OnExit {
    /// The mount goes, as with puffs (A64). Callers see ENXIO.
    Unmount,
    /// The mount stays, and every operation that needs the server is EIO.
    Fail,
    /// It is started again. Nodes are found by their names or handles, open files are opened
    /// again, and callers wait.
    Restart,
}

/// How a server is started, each time.
pub trait Starter: Send + Sync {
    /// Starts it. Errors: why not, for a person.
    fn start(&self) -> std::result::Result<Started, String>;

    /// Whether somebody else starts it. Then an attempt in vain, within
    /// [`Settings::start_patience`] of its death, is no other death: it is not there yet.
    fn is_elsewhere(&self) -> bool {
        false
    }
}

/// A server that was started, or connected to.
pub struct Started {
    /// The way to it.
    pub channel: Channel,
    /// What ends its process when it is dropped.
    pub keep: Box<dyn Keep>,
    /// It wants to be mounted read-only.
    pub read_only: bool,
    /// The largest READ that it can answer in one message, bytes, if it is less than the protocol
    /// allows.
    pub most_read: Option<usize>,
}

impl Started {
    /// A server without wishes.
    pub fn new(channel: Channel, keep: Box<dyn Keep>) -> Started {
        Started { channel, keep, read_only: false, most_read: None }
    }
}

/// How often a server died lately, and what that means.
#[derive(Debug)]
pub(super) struct Health {
    /// When it died, in the last minute; or could not be started.
    deaths: VecDeque<Instant>,
    /// So many in a minute, and callers are no longer kept waiting.
    many: usize,
    /// Nobody will start it again.
    pub(super) over: bool,
}

impl Health {
    const MINUTE: Duration = Duration::from_secs(60);
    const SHORTEST: Duration = Duration::from_millis(10);
    const LONGEST: Duration = Duration::from_secs(5);
    /// How long between two looks for a server that somebody else starts.
    const LOOK: Duration = Duration::from_millis(20);

    pub(super) fn new(settings: &Settings) -> Health {
        let many = settings.most_deaths.clamp(1, Settings::DEATHS_MAX) as usize;
        Health { deaths: VecDeque::new(), many, over: false }
    }

    /// It has died. How long to wait before it is started again.
    fn died(&mut self, now: Instant) -> Duration {
        self.deaths.push_back(now);
        self.forget(now);
        // The first few times at once: a caller is waiting.
        let at_once = (self.many / 3).max(1);
        let Some(doublings) = self.deaths.len().checked_sub(at_once + 1) else {
            return Duration::ZERO;
        };
        (Self::SHORTEST * 2_u32.pow(doublings.min(9) as u32)).min(Self::LONGEST)
    }

    /// It dies all the time: nobody waits for it.
    pub(super) fn is_degraded(&mut self, now: Instant) -> bool {
        self.forget(now);
        self.deaths.len() >= self.many
    }

    fn forget(&mut self, now: Instant) {
        let old = |at: &Instant| now.duration_since(*at) >= Self::MINUTE;
        while self.deaths.len() > self.many || self.deaths.front().is_some_and(old) {
            self.deaths.pop_front();
        }
    }
}

/// Whether the machine gives no page before it has counted it (vm.overcommit_memory, proc(5)). A
/// shared page can then be missing when it is first touched, which is SIGBUS, and a server can see
/// to that by taking pages out.
fn is_memory_rationed() -> bool {
    let mode = std::fs::read_to_string("/proc/sys/vm/overcommit_memory");
    mode.is_ok_and(|mode| mode.trim() == "2")
}

/// Starts a server, or starts it again, and greets it.
pub(super) fn begin(
    starter: &dyn Starter,
    settings: &Settings,
    epoch: u64,
) -> std::result::Result<Arc<Link>, String> {
    let Started { channel, keep, read_only, most_read } = starter.start()?;
    let dump = settings.trace_messages.then(|| Dump::new(&settings.name));
    let connection = Connection::new(&settings.name, channel, MESSAGE_MAX, dump)
        .map_err(|errno| errno.text().to_owned())?;
    // Every message can be seen where there is but one way.
    let shares = settings.shares_memory && !settings.trace_messages && !is_memory_rationed();
    let shared = shares.then(|| Area::create(Slots::SHAPE)).transpose();
    let shared = shared.unwrap_or_else(|errno| {
        log::warn!("{}: no memory to share: {errno}", settings.name);
        None
    });
    let takes_files = settings.takes_files && !settings.trace_messages;
    match handshake::greet(&connection, settings.start_patience, shared, takes_files) {
        Ok(mut terms) => {
            terms.profile.read_only |= read_only;
            let most_read = most_read.unwrap_or(usize::MAX);
            Ok(Arc::new(Link::new(epoch, connection, terms, most_read, keep)))
        }
        Err(fault) => {
            connection.die();
            Err(ungreeted(settings, fault, &*keep))
        }
    }
}

/// Why a server was started in vain, for a person.
fn ungreeted(settings: &Settings, fault: Fault, keep: &dyn Keep) -> String {
    let name = &settings.name;
    // First the words: they wait for a program that is about to end.
    let words = one_line(&keep.last_words());
    let why = match fault {
        Fault::Errno(Errno::EINVAL) => format!("the mount arguments of {name} are refused"),
        Fault::Errno(errno) => format!("{name} answers INIT with: {errno}"),
        Fault::Missing => format!("{name} does not know INIT: it is no file server"),
        Fault::Gone | Fault::Died => match keep.end() {
            Some(status) => format!("{name} ended ({status}) before it answered INIT"),
            None => format!("{name} hung up before it answered INIT"),
        },
        Fault::Late => {
            let secs = settings.start_patience.as_secs();
            format!("{name} does not answer INIT; waited {secs} s ('start_timeout=' says how long)")
        }
    };
    if words.is_empty() { why } else { format!("{why}; its last words: {words}") }
}

/// Starts the threads of one life of the server: one that does what it asks, and one that reads
/// while nobody waits for an answer. The latter sees its end, ends its process and starts the next
/// life: it never waits for a server, and no caller has to wait until a process is gone.
pub(super) fn attend(server: &Arc<Server>, link: &Arc<Link>) -> Result<()> {
    let (owner, served) = (Arc::downgrade(server), link.clone());
    thread("work", move || worker::work(&owner, &served))?;
    let (owner, watched) = (Arc::downgrade(server), link.clone());
    thread("watch", move || {
        watched.connection.watch();
        let wanted = watched.has_unmounted();
        watched.end();
        let epoch = watched.epoch;
        drop(watched);
        ended(&owner, epoch, wanted);
    })
}

/// A server has died, or was ended.
fn ended(server: &Weak<Server>, epoch: u64, wanted: bool) {
    let Some(strong) = server.upgrade() else { return };
    if locked(&strong.health).over {
        return;
    }
    log::error!("{}: the file server has ended", strong.name);
    let on_exit = if wanted { OnExit::Unmount } else { strong.settings.on_exit };
    match on_exit {
        OnExit::Unmount => {
            if let Some(up) = strong.up.get() {
                up.send(Notice::Unmount);
            }
        }
        OnExit::Fail => {}
        OnExit::Restart => start_again(&strong, epoch + 1),
    }
}

/// Starts the server again, as often as it takes, until nobody has a use for it any more.
fn start_again(server: &Arc<Server>, mut epoch: u64) {
    let Some(starter) = &server.starter else { return };
    let died = |at| locked(&server.health).died(at);
    let (gone, mut told) = (Instant::now(), String::new());
    let mut pause = died(gone);
    while !server.is_over_within(pause) {
        pause = match begin(&**starter, &server.settings, epoch) {
            Ok(link) => {
                if server.replace(link.clone()) && attend(server, &link).is_err() {
                    link.end();
                    epoch += 1;
                    died(Instant::now())
                } else {
                    log::warn!("{}: the file server was started again", server.name);
                    return;
                }
            }
            Err(why) => {
                if why != told {
                    log::error!("{}: cannot be started again: {why}", server.name);
                    told = why;
                }
                let soon = gone.elapsed() < server.settings.start_patience;
                let awaited = soon && starter.is_elsewhere();
                if awaited { Health::LOOK } else { died(Instant::now()) }
            }
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deaths_in_a_row_mean_longer_and_longer_pauses_until_a_minute_is_over() {
        let mut health = Health::new(&Settings { most_deaths: 9, ..Settings::default() });
        let start = Instant::now();
        let pauses: Vec<_> = (0..8).map(|_| health.died(start).as_millis()).collect();
        assert_eq!(pauses, [0, 0, 0, 10, 20, 40, 80, 160]);
        assert!(!health.is_degraded(start));
        health.died(start);
        assert!(health.is_degraded(start));
        for _ in 0..100 {
            assert!(health.died(start) <= Health::LONGEST);
        }
        assert_eq!(health.deaths.len(), 9);
        assert!(health.is_degraded(start + Health::MINUTE / 2));
        assert!(!health.is_degraded(start + Health::MINUTE));
        assert_eq!(health.died(start + Health::MINUTE), Duration::ZERO);
    }
}
