//! `Link`: a server as it is running now.

use super::connection::Connection;
use std::sync::Arc;

/// A server as it is running now: after each restart there is a new one.
#[derive(Debug)]
pub(super) struct Link {
    /// How often the server was started, this time included.
    pub(super) epoch: u64,
    pub(super) connection: Arc<Connection>,
    /// What it said of itself.
    pub(super) terms: super::handshake::Terms,
}
