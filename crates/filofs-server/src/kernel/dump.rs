//! `Dump`: every message as a line for people, both ways: `--trace-messages`.

use super::MESSAGES;
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming::Incoming;
use filofs_wire::request::Request;

/// Writes every message to the log.
#[derive(Debug)]
pub(super) struct Dump {
    name: String,
}

impl Dump {
    /// Of that server.
    pub(super) fn new(name: &str) -> Dump {
        Dump { name: name.to_owned() }
    }

    pub(super) fn sent(&self, message: &[u8], dialect: Dialect) {
        match Request::parse(message, dialect) {
            Ok(request) => log::info!(target: MESSAGES,
                "{} <- #{} node {} uid {} {:?}",
                self.name,
                request.header.unique,
                request.header.nodeid,
                request.header.uid,
                request.operation
            ),
            Err(malformed) => log::info!(target: MESSAGES, "{} <- {malformed}", self.name),
        }
    }

    pub(super) fn received(&self, message: &[u8], dialect: Dialect) {
        match Incoming::parse(message, dialect) {
            Ok(Incoming::Reply { unique, error, body }) => {
                log::info!(target: MESSAGES, "{} -> #{unique} error {error}, {} bytes", self.name, body.len());
            }
            other => log::info!(target: MESSAGES, "{} -> {other:?}", self.name),
        }
    }
}
