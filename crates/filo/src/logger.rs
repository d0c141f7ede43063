//! The log: lines on standard error.

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::io::Write;

struct Stderr {
    /// What is shown, but for messages that were asked for.
    level: LevelFilter,
    /// Levels as systemd's journal reads them.
    journal: bool,
}

impl Log for Stderr {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= self.level || metadata.target() == filofs_server::kernel::MESSAGES
    }

    fn log(&self, record: &Record<'_>) {
        if !self.enabled(record.metadata()) {
            return;
        }
        let level = match record.level() {
            Level::Error => 3,
            Level::Warn => 4,
            Level::Info => 6,
            Level::Debug | Level::Trace => 7,
        };
        let prefix = if self.journal { format!("<{level}>") } else { String::new() };
        // One write, so that lines of several processes do not mix. A log that cannot be written
        // has nowhere to say so.
        let line = format!("{prefix}filo: {}\n", record.args());
        let _ = std::io::stderr().write_all(line.as_bytes());
    }

    fn flush(&self) {}
}

/// Starts it: errors and warnings, notices with one `-v`, everything with two.
pub(crate) fn start(verbose: u8) {
    let journal = std::env::var_os("JOURNAL_STREAM").is_some();
    let level = match verbose {
        0 => LevelFilter::Warn,
        1 => LevelFilter::Info,
        _ => LevelFilter::Trace,
    };
    if log::set_boxed_logger(Box::new(Stderr { level, journal })).is_ok() {
        log::set_max_level(level.max(LevelFilter::Info));
    }
}
