//! `Link`: a server as it is running now.

use super::connection::Connection;
use super::handshake::Terms;
use filofs::locked;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex};

/// A server as it is running now: after each restart there is a new one.
pub(super) struct Link {
    /// How often the server was started, this time included.
    pub(super) epoch: u64,
    pub(super) connection: Arc<Connection>,
    /// What it said of itself.
    pub(super) terms: Terms,
    most_read: usize,
    keep: Mutex<Option<Box<dyn Keep>>>,
}

/// The process of a server: dropping it ends it.
pub trait Keep: Send {
    /// What it last wrote on standard error, for a person; empty for nothing.
    fn last_words(&self) -> String {
        String::new()
    }

    /// How it has ended, if it has and that is known.
    fn end(&self) -> Option<ExitStatus> {
        None
    }

    /// Its process, where it is known.
    fn pid(&self) -> Option<u32> {
        None
    }

    /// The channel has ended because nobody has a use for it any more: lets it end by itself,
    /// within reason.
    fn part(&self) {}

    /// Whether it has said that it wants to be mounted no more. Otherwise its end is a death.
    fn has_unmounted(&self) -> bool {
        false
    }
}

/// A process that is not ours to end.
impl Keep for () {}

impl Link {
    pub(super) fn new(
        epoch: u64,
        connection: Arc<Connection>,
        terms: Terms,
        most_read: usize,
        keep: Box<dyn Keep>,
    ) -> Link {
        Link { epoch, connection, terms, most_read, keep: Mutex::new(Some(keep)) }
    }

    /// The most data that one READ asks for, bytes.
    pub(super) fn most_read(&self) -> usize {
        self.most_read
    }

    /// Whether the server went because it wanted to.
    pub(super) fn has_unmounted(&self) -> bool {
        locked(&self.keep).as_ref().is_some_and(|keep| keep.has_unmounted())
    }

    /// Its process, where it is known and not ended.
    pub(super) fn pid(&self) -> Option<u32> {
        locked(&self.keep).as_ref().and_then(|keep| keep.pid())
    }

    /// Ends it: everybody who waits is told, and what is left of its process is killed, which may
    /// take seconds.
    pub(super) fn end(&self) {
        self.connection.die();
        let keep = locked(&self.keep).take();
        drop(keep);
    }

    /// Ends it in good order: its process may end by itself first.
    pub(super) fn part(&self) {
        // Before others see the end of the connection, and end the process in their way.
        let keep = locked(&self.keep).take();
        self.connection.die();
        if let Some(keep) = &keep {
            keep.part();
        }
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "life {}, {:?}", self.epoch, self.connection)
    }
}
