//! `Link`: a server as it is running now.

use super::connection::Connection;
use super::handshake::Terms;
use filofs::locked;
use std::any::Any;
use std::sync::{Arc, Mutex};

/// A server as it is running now: after each restart there is a new one.
#[derive(Debug)]
pub(super) struct Link {
    /// How often the server was started, this time included.
    pub(super) epoch: u64,
    pub(super) connection: Arc<Connection>,
    /// What it said of itself.
    pub(super) terms: Terms,
    keep: Mutex<Option<Keep>>,
}

/// What ends the server's process when it is dropped.
pub type Keep = Box<dyn Any + Send>;

impl Link {
    pub(super) fn new(epoch: u64, connection: Arc<Connection>, terms: Terms, keep: Keep) -> Link {
        Link { epoch, connection, terms, keep: Mutex::new(Some(keep)) }
    }

    /// Ends it: everybody who waits is told, and what is left of its process is killed.
    pub(super) fn end(&self) {
        self.connection.die();
        let keep = locked(&self.keep).take();
        drop(keep);
    }
}
