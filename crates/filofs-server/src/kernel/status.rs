//! `Status`: how a server is now, for whoever looks after it.

use super::server::Server;
use filofs::{Fact, Facts, locked};
use filofs_wire::abi::{HandleFlags, MountArguments};

/// Where a server is in its lives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It answers.
    Running,
    /// It has ended and is being started again; callers wait.
    Restarting,
    /// The same, and it has ended so often that callers wait no longer: they are told EIO.
    Degraded,
    /// It has ended, and nobody will start it again.
    Gone,
}

impl State {
    /// In a word.
    pub const fn name(self) -> &'static str {
        match self {
            State::Running => "running",
            State::Restarting => "restarting",
            State::Degraded => "degraded",
            State::Gone => "gone",
        }
    }
}

/// How a server is now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// What it is called in messages.
    pub name: String,
    /// Its process, where there is one and it is known.
    pub pid: Option<u32>,
    /// Where it is in its lives.
    pub state: State,
    /// How often it was started, or connected to.
    pub lives: u64,
    /// Requests that it has not answered yet.
    pub outstanding: usize,
    /// How often it answered what no server may, in all its lives.
    pub lies: u64,
    /// Nodes of its that are held.
    pub nodes: usize,
    /// The largest message in bytes, in either direction, that is agreed on.
    pub max_message: usize,
    /// Its mount arguments as they are in force (A10); none of a foreign program.
    pub arguments: Option<Box<MountArguments>>,
}

impl Status {
    /// Of that server.
    pub(super) fn of(server: &Server) -> Status {
        let link = server.now();
        let state = if link.connection.is_dead() {
            let mut health = locked(&server.health);
            match (server.restarts() && !health.over, health.is_degraded(std::time::Instant::now()))
            {
                (false, _) => State::Gone,
                (true, false) => State::Restarting,
                (true, true) => State::Degraded,
            }
        } else {
            State::Running
        };
        Status {
            name: server.name.clone(),
            pid: link.pid(),
            state,
            lives: link.epoch,
            outstanding: link.connection.outstanding(),
            lies: server.lies(),
            nodes: server.nodes.len(),
            max_message: link.connection.max_message(),
            arguments: link.terms.arguments.clone(),
        }
    }

    /// The same as facts.
    pub(super) fn facts(&self) -> Facts {
        let count = |count: usize| Fact::Number(count as u64);
        let mut facts = vec![("server", Fact::from(self.name.as_str()))];
        facts.extend(self.pid.map(|pid| ("pid", Fact::Number(pid.into()))));
        facts.extend([
            ("state", self.state.name().into()),
            ("lives", self.lives.into()),
            ("outstanding", count(self.outstanding)),
            ("lies", self.lies.into()),
            ("nodes", count(self.nodes)),
            ("max_message", count(self.max_message)),
        ]);
        if let Some(arguments) = &self.arguments {
            facts.extend([
                ("type", arguments.type_name().into()),
                ("from", arguments.from_name().into()),
                ("handles", Fact::Text(handles(arguments))),
            ]);
        }
        facts
    }
}

/// What file handles it has, in a few words.
fn handles(arguments: &MountArguments) -> String {
    let (size, flags) = (arguments.handle_size, arguments.handle_flags);
    if flags.contains(HandleFlags::PASSTHROUGH) {
        return "as callers give them".into();
    }
    match (size, flags.contains(HandleFlags::DYNAMIC)) {
        (0, _) => "none".into(),
        (size, true) => format!("of up to {size} bytes"),
        (size, false) => format!("of {size} bytes"),
    }
}
