//! The bases that are other processes, as the command knows them.

use crate::attach::{AttachError, Attached, Foreign, Guest, words};
use crate::channel::Channel;
use crate::kernel::{Keep, KernelHalf, OnExit, Settings, Started, Starter};
use crate::launch::{Profile, Program, Running, Sandbox};
use crate::peer::Peer;
use crate::serve::CHANNEL;
use filofs::{Definition, FileSystem, OptionHelp, Options, Role, SetupError};
use rustix::io::Errno;
use rustix::thread::{CapabilitySet, CapabilitySets, capabilities};
use std::path::PathBuf;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

/// `server:` on the command line.
pub(crate) const SERVER: Definition = Definition {
    name: "server",
    summary: "a file server in another process, started here or listening at a socket",
    argument: Some("PROGRAM WORDS.. or unix=SOCKET"),
    is_command: true,
    options: &[
        ON_EXIT,
        DEATHS,
        TIMEOUT,
        START_TIMEOUT,
        OptionHelp {
            key: "peer",
            value: "UID",
            help: "unix=: the user the server must run as (default: us or root)",
        },
        SHM,
        TRACE_MESSAGES,
        SANDBOX,
        ALLOW,
        READ,
        NET,
        MEMORY,
    ],
    role: Role::Base(server),
};

/// `exec:` on the command line.
pub(crate) const EXEC: Definition = Definition {
    name: "exec",
    summary: "any FUSE program as it is, with {} for its mount point: 'exec:sshfs host:/data {}'",
    argument: Some("PROGRAM WORDS.. {}"),
    is_command: true,
    options: &[
        ON_EXIT,
        DEATHS,
        TIMEOUT,
        START_TIMEOUT,
        OptionHelp {
            key: "attach",
            value: "auto|standin|fd",
            help: "how it is mounted: by a stand-in for fusermount3, or as /dev/fd/3 (default: \
                   auto)",
        },
        SHM,
        TRACE_MESSAGES,
        SANDBOX,
        ALLOW,
        READ,
        NET,
        MEMORY,
    ],
    role: Role::Base(exec),
};

const ON_EXIT: OptionHelp = OptionHelp {
    key: "on_exit",
    value: "restart|fail|unmount",
    help: "what its death means (default: restart; with unix= unmount)",
};
const DEATHS: OptionHelp = OptionHelp {
    key: "deaths",
    value: "NUMBER",
    help: "on_exit=restart: after so many in a minute nobody waits for it (default: 9)",
};
const TIMEOUT: OptionHelp = OptionHelp {
    key: "timeout",
    value: "SECONDS",
    help: "how long an answer may take; 0 for ever (default: 60)",
};
const START_TIMEOUT: OptionHelp = OptionHelp {
    key: "start_timeout",
    value: "SECONDS",
    help: "how long it may take to be ready, also when it was killed (default: 20)",
};
const TRACE_MESSAGES: OptionHelp = OptionHelp {
    key: "trace_messages",
    value: "",
    help: "write every message to the log, both ways",
};
const SHM: OptionHelp = OptionHelp {
    key: "shm",
    value: "on|off",
    help: "whether requests go by shared memory, with servers that can (default: on)",
};
const SANDBOX: OptionHelp = OptionHelp {
    key: "sandbox",
    value: "strict|loose|off",
    help: "what a program started here may do (default: loose)",
};
const ALLOW: OptionHelp = OptionHelp {
    key: "allow",
    value: "PATH",
    help: "sandbox=strict: what lies there is its own (several times)",
};
const READ: OptionHelp = OptionHelp {
    key: "read",
    value: "PATH",
    help: "sandbox=strict: what lies there it may read (several times)",
};
const NET: OptionHelp = OptionHelp {
    key: "net",
    value: "yes|no",
    help: "whether it has a network (default: no if strict, else yes)",
};
const MEMORY: OptionHelp = OptionHelp {
    key: "memory",
    value: "SIZE",
    help: "the most memory of each of its processes (default: no limit)",
};

fn server(options: &mut Options) -> Result<Arc<dyn FileSystem>, SetupError> {
    let argument = options.argument().ok_or_else(|| {
        SetupError::new("say which, as in 'server:./my-server' or 'server:unix=/run/my.sock'")
    })?;
    let peer = options.number("peer")?;
    if let Some(path) = argument.strip_prefix("unix=") {
        if path.is_empty() {
            return Err(SetupError::new("unix= needs the path of a socket"));
        }
        for key in Sandbox::NAMES {
            if !options.values(key)?.is_empty() {
                let text = "is for programs started here; who listens at a socket runs already";
                return Err(SetupError::new(format!("option '{key}' {text}")));
            }
        }
        let settings = settings(options, &argument, OnExit::Unmount)?;
        let at = Listening { path: path.into(), peer, patience: settings.start_patience };
        return start(Box::new(at), &settings);
    }
    if peer.is_some() {
        return Err(SetupError::new("option 'peer' is for 'unix=SOCKET', not for a program"));
    }
    let words = words::split(&argument).map_err(|error| SetupError::new(error.to_string()))?;
    let name = words.first().cloned().unwrap_or_default();
    let name = name.rsplit('/').next().unwrap_or_default();
    let mut settings = settings(options, name, OnExit::Restart)?;
    let sandbox = sandbox(options)?;
    settings.tells_pids = sandbox.profile() == Profile::Off;
    let (name, directory) = (name.to_owned(), std::env::current_dir().ok());
    start(Box::new(Spawned { name, words, directory, sandbox }), &settings)
}

fn exec(options: &mut Options) -> Result<Arc<dyn FileSystem>, SetupError> {
    let command = options
        .argument()
        .ok_or_else(|| SetupError::new("say which program, as in 'exec:sshfs host:/data {}'"))?;
    let wrong = |error: AttachError| SetupError::new(error.to_string());
    let mut program = Foreign::new(&command).map_err(wrong)?;
    let name = program.program().rsplit('/').next().unwrap_or_default().to_owned();
    let mut settings = settings(options, &name, OnExit::Restart)?;
    if let Some(way) = options.value("attach")? {
        program.way = way.parse().map_err(SetupError::new)?;
    }
    program.sandbox = sandbox(options)?;
    settings.tells_pids = program.sandbox.profile() == Profile::Off;
    program.patience = settings.start_patience;
    start(Box::new(program), &settings)
}

fn start(
    starter: Box<dyn Starter>,
    settings: &Settings,
) -> Result<Arc<dyn FileSystem>, SetupError> {
    Ok(Arc::new(KernelHalf::start(starter, settings).map_err(SetupError::new)?))
}

/// How a server is treated, from the options all of them have.
pub(crate) fn settings(
    options: &mut Options,
    name: &str,
    on_exit: OnExit,
) -> Result<Settings, SetupError> {
    let on_exit = match options.value("on_exit")?.as_deref() {
        None => on_exit,
        Some("restart") => OnExit::Restart,
        Some("fail") => OnExit::Fail,
        Some("unmount") => OnExit::Unmount,
        Some(other) => {
            let text = format!("option 'on_exit': '{other}' is not restart, fail or unmount");
            return Err(SetupError::new(text));
        }
    };
    let default = Settings::default();
    let patience = match options.number("timeout")? {
        None => default.patience,
        Some(0) => None,
        Some(seconds) => Some(Duration::from_secs(seconds)),
    };
    let start_patience =
        options.number("start_timeout")?.map_or(default.start_patience, Duration::from_secs);
    let most_deaths = match options.number("deaths")? {
        None => default.most_deaths,
        Some(deaths) if (1..=u64::from(Settings::DEATHS_MAX)).contains(&deaths) => deaths as u32,
        Some(_) => {
            let text = format!("option 'deaths': from 1 to {}", Settings::DEATHS_MAX);
            return Err(SetupError::new(text));
        }
    };
    let trace_messages = options.switch("trace_messages")?;
    let shares_memory = match options.value("shm")?.as_deref() {
        None | Some("on") => true,
        Some("off") => false,
        Some(other) => {
            let text = format!("option 'shm': '{other}' is not on or off");
            return Err(SetupError::new(text));
        }
    };
    // The kernel is given files by nobody else (ioctl FUSE_DEV_IOC_BACKING_OPEN).
    let may_give = |rights: CapabilitySets| rights.permitted.contains(CapabilitySet::SYS_ADMIN);
    let takes_files = capabilities(None).is_ok_and(may_give);
    let name = name.to_owned();
    Ok(Settings {
        name,
        start_patience,
        patience,
        on_exit,
        most_deaths,
        trace_messages,
        shares_memory,
        takes_files,
        ..default
    })
}

/// What a program may do, from the options.
pub(crate) fn sandbox(options: &mut Options) -> Result<Sandbox, SetupError> {
    let mut sandbox = Sandbox::default();
    for key in Sandbox::NAMES {
        for value in options.values(key)? {
            sandbox.set(key, value.as_ref()).map_err(SetupError::new)?;
        }
    }
    sandbox.check().map_err(SetupError::new)?;
    Ok(sandbox)
}

/// A program written with [`crate::serve`], started by us.
struct Spawned {
    name: String,
    words: Vec<String>,
    directory: Option<PathBuf>,
    sandbox: Sandbox,
}

impl Starter for Spawned {
    fn start(&self) -> Result<Started, String> {
        let (channel, theirs) = Channel::pair().map_err(|errno| errno.to_string())?;
        let running = Program::new(&self.name, self.words.iter())
            .directory(self.directory.as_deref())
            .env(CHANNEL, crate::launch::CHANNEL_FD.to_string())
            .channel(theirs)
            .sandbox(self.sandbox.clone())
            .start()
            .map_err(|error| error.to_string())?;
        Ok(Started::new(channel, Box::new(running)))
    }
}

impl Keep for Running {
    fn last_words(&self) -> String {
        // It may be about to say why it ends.
        self.wait_at_most(Duration::from_millis(500));
        Running::last_words(self)
    }

    fn end(&self) -> Option<ExitStatus> {
        self.has_ended()
    }

    fn part(&self) {
        /// For programs that see that the channel has ended, and for those that have to be told.
        const GRACE: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(4)];

        if self.wait_at_most(GRACE[0]).is_none() {
            self.terminate(GRACE[1]);
        }
    }

    fn pid(&self) -> Option<u32> {
        let pid = Running::pid(self).or_else(|| self.background_pid());
        pid.map(|pid| pid.as_raw_pid().unsigned_abs())
    }
}

impl Starter for Foreign {
    fn start(&self) -> Result<Started, String> {
        /// Without the filter of system calls a program may splice: then Linux cuts a long answer
        /// into messages of 16 pages.
        const SPLICED: usize = 56 << 10;

        let Attached { channel, guest } = Foreign::start(self).map_err(|e| e.to_string())?;
        let read_only = guest.options.read_only();
        let splices = self.sandbox.profile() == Profile::Off;
        let wished = guest.options.max_read().map(|bytes| bytes as usize);
        let most_read = if splices { Some(wished.unwrap_or(SPLICED).min(SPLICED)) } else { wished };
        Ok(Started { channel, keep: Box::new(guest), read_only, most_read })
    }
}

impl Keep for Guest {
    fn last_words(&self) -> String {
        Keep::last_words(&self.running)
    }

    fn end(&self) -> Option<ExitStatus> {
        self.running.has_ended()
    }

    fn part(&self) {
        Keep::part(&self.running);
    }

    fn pid(&self) -> Option<u32> {
        Keep::pid(&self.running)
    }

    fn has_unmounted(&self) -> bool {
        Guest::has_unmounted(self)
    }
}

/// A server that listens at a Unix socket of type SOCK_SEQPACKET.
struct Listening {
    path: PathBuf,
    peer: Option<u32>,
    patience: Duration,
}

impl Starter for Listening {
    fn start(&self) -> Result<Started, String> {
        let shown = self.path.display();
        let channel = Channel::dial(&self.path, self.patience).map_err(|errno| {
            let hint = match errno {
                Errno::NOENT => ": start the server first",
                Errno::CONNREFUSED => ": no server listens there",
                Errno::PROTOTYPE => ": a file server listens at one of type SOCK_SEQPACKET",
                Errno::AGAIN => ": whoever listens there lets nobody in",
                _ => "",
            };
            format!("socket '{shown}': {errno}{hint}")
        })?;
        let peer = channel.peer().map_err(|errno| format!("socket '{shown}': {errno}"))?;
        let (uid, us) = (peer.uid, rustix::process::geteuid().as_raw());
        let trusted = self.peer.map_or(uid == us || uid == 0, |wanted| uid == wanted);
        if !trusted {
            return Err(format!(
                "socket '{shown}' is served by user {uid}; if that is right, say peer={uid}"
            ));
        }
        Ok(Started::new(channel, Box::new(peer)))
    }

    fn is_elsewhere(&self) -> bool {
        true
    }
}

/// A server that is not ours to end.
impl Keep for Peer {
    fn pid(&self) -> Option<u32> {
        self.pid
    }
}
