//! `Dump`: every message as a line for people, both ways: `--trace-messages`.

use super::MESSAGES;
use filofs::Errno;
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming::Incoming;
use filofs_wire::request::Request;
use std::fmt;

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
        let name = &self.name;
        match Request::parse(message, dialect) {
            Ok(Request { header, operation, .. }) => log::info!(
                target: MESSAGES,
                "{name} <- #{} node {} uid {} {}",
                header.unique,
                header.nodeid,
                header.uid,
                short(&operation)
            ),
            Err(malformed) => log::info!(target: MESSAGES, "{name} <- {malformed}"),
        }
    }

    pub(super) fn received(&self, message: &[u8], dialect: Dialect) {
        let name = &self.name;
        match Incoming::parse(message, dialect) {
            Ok(Incoming::Reply { unique, error: 0, body }) => {
                log::info!(target: MESSAGES, "{name} -> #{unique} ok, {} bytes", body.len());
            }
            Ok(Incoming::Reply { unique, error, .. }) => {
                let known = Errno::from_raw(error.saturating_neg()).name();
                let known = known.unwrap_or("no errno");
                log::info!(target: MESSAGES, "{name} -> #{unique} {error}: {known}");
            }
            Ok(other) => log::info!(target: MESSAGES, "{name} -> {}", short(&other)),
            Err(bad) => log::info!(target: MESSAGES, "{name} -> {bad}"),
        }
    }
}

/// In at most so many bytes: data of a WRITE would be a line of half a megabyte.
fn short(value: &impl fmt::Debug) -> String {
    const MOST: usize = 300;

    struct Cut(String);

    impl fmt::Write for Cut {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0.push_str(text);
            if self.0.len() > MOST { Err(fmt::Error) } else { Ok(()) }
        }
    }

    let mut cut = Cut(String::new());
    if fmt::write(&mut cut, format_args!("{value:?}")).is_err() {
        cut.0.push_str(" ...");
    }
    cut.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_message_is_a_short_line() {
        assert_eq!(short(&[1, 2]), "[1, 2]");
        let long = short(&vec![7_u8; 1 << 20]);
        assert!(long.len() < 400 && long.starts_with("[7, 7") && long.ends_with(" ..."), "{long}");
    }
}
