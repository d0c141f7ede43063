//! `Link`: a server as it is running now.

use super::connection::Connection;
use super::handshake::Terms;
use filofs::locked;
use std::sync::{Arc, Mutex};

/// A server as it is running now: after each restart there is a new one.
pub(super) struct Link {
    /// How often the server was started, this time included.
    pub(super) epoch: u64,
    pub(super) connection: Arc<Connection>,
    /// What it said of itself.
    pub(super) terms: Terms,
    keep: Mutex<Option<Box<dyn Keep>>>,
}

/// The process of a server: dropping it ends it.
pub trait Keep: Send {
    /// What it last wrote on standard error, for a person; empty for nothing.
    fn last_words(&self) -> String {
        String::new()
    }
}

/// A process that is not ours to end.
impl Keep for () {}

impl Link {
    pub(super) fn new(
        epoch: u64,
        connection: Arc<Connection>,
        terms: Terms,
        keep: Box<dyn Keep>,
    ) -> Link {
        Link { epoch, connection, terms, keep: Mutex::new(Some(keep)) }
    }

    /// Ends it: everybody who waits is told, and what is left of its process is killed.
    pub(super) fn end(&self) {
        self.connection.die();
        let keep = locked(&self.keep).take();
        drop(keep);
    }
}

impl std::fmt::Debug for Link {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "life {}, {:?}", self.epoch, self.connection)
    }
}
