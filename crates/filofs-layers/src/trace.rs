//! `trace`: a line for each operation: who, what, with which answer, how long.

use crate::words::operations;
use filofs::{
    Call, Definition, Layer, Next, OpSet, OptionHelp, Outcome, Result, Role, SetupError, Uid,
    Visit, layer, locked,
};
use std::io::Write;
use std::sync::Mutex;
use std::time::{Duration, Instant};

/// Writes the lines. The time is that of everything below the layer.
pub struct Trace {
    out: Mutex<Box<dyn Write + Send>>,
    began: Instant,
    slow: Duration,
    only: OpSet,
}

impl Trace {
    /// To that writer, operations that took at least `slow`.
    pub fn new(out: Box<dyn Write + Send>, slow: Duration) -> Trace {
        Trace { out: Mutex::new(out), began: Instant::now(), slow, only: OpSet::ALL }
    }

    /// The same, of these operations alone.
    pub fn of(self, only: OpSet) -> Trace {
        Trace { only, ..self }
    }

    fn clock(&self) -> u64 {
        self.began.elapsed().as_nanos() as u64
    }
}

#[layer]
impl Layer for Trace {
    fn name(&self) -> &'static str {
        "trace"
    }

    fn only(&self) -> OpSet {
        self.only
    }

    fn enter(&self, _: Next<'_>, _: &Call<'_>, visit: &mut Visit<'_>) -> Result<()> {
        visit.mark = self.clock();
        Ok(())
    }

    fn leave(&self, call: &Call<'_>, visit: &Visit<'_>, outcome: Outcome<'_>) {
        let took = self.clock().saturating_sub(visit.mark);
        if u128::from(took) < self.slow.as_nanos() {
            return;
        }
        let cx = &visit.cx;
        let errno = outcome.err().map_or_else(|| "ok".to_owned(), |errno| format!("{errno:?}"));
        let who = if cx.uid == Uid::UNKNOWN {
            "uid - gid -".to_owned()
        } else {
            format!("uid {} gid {}", cx.uid, cx.gid)
        };
        let line = format!(
            "pid {} {who} {call} = {errno} {}.{:03} us\n",
            cx.pid,
            took / 1000,
            took % 1000
        );
        // Nowhere to say that a line could not be written.
        let _ = locked(&self.out).write_all(line.as_bytes());
    }
}

/// Its line on the command line.
pub const DEFINITION: Definition = Definition {
    name: "trace",
    summary: "writes a line for each operation: caller, names, errno, microseconds",
    argument: None,
    is_command: false,
    options: &[
        OptionHelp { key: "file", value: "PATH", help: "append to this file (default: stderr)" },
        OptionHelp {
            key: "ops",
            value: "NAME+..",
            help: "only these operations (default: all; read and write cost passthrough)",
        },
        OptionHelp { key: "except", value: "NAME+..", help: "all operations but these" },
        OptionHelp { key: "slow_ms", value: "N", help: "only operations that took at least N ms" },
    ],
    role: Role::Layer(|options| {
        let out: Box<dyn Write + Send> = match options.value("file")? {
            None => Box::new(std::io::stderr()),
            Some(path) => {
                let file = std::fs::OpenOptions::new().append(true).create(true).open(&path);
                Box::new(file.map_err(|e| SetupError::new(format!("cannot open '{path}': {e}")))?)
            }
        };
        let slow = Duration::from_millis(options.number("slow_ms")?.unwrap_or(0));
        let list =
            |words: Option<String>, key| words.map(|list| operations(key, &list)).transpose();
        let only = list(options.value("ops")?, "ops")?.unwrap_or(OpSet::ALL);
        let except = list(options.value("except")?, "except")?.unwrap_or(OpSet::NONE);
        Ok(Box::new(Trace::new(out, slow).of(only.but(except))))
    }),
};
