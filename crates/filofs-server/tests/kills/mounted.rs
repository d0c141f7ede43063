//! A directory behind a server of its own, mounted and used in this process at once.

use crate::flood;
use crate::ground::{Ground, is_below_mount, processes_with, wait_until};
use crate::listener::Listener;
use filofs::{Fact, FileSystem, Identity, Mount, Op, Options, Role, Stack, Upward, locked};
use filofs_front::fuse::{FuseOptions, Session};
use filofs_front::local::Local;
use filofs_server::channel::Channel;
use filofs_server::kernel::{KernelHalf, OnExit, Settings, Started, Starter};
use filofs_server::launch::{CHANNEL_FD, Hidden, Program, hide};
use filofs_server::serve::CHANNEL;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, Weak};

/// The first word of the command line of a server.
pub const SERVE: &str = "serve";

/// The server, over all its lives.
#[derive(Default)]
pub struct Lives {
    pid: Mutex<Option<Pid>>,
    starts: AtomicU64,
    /// It cannot be started.
    pub broken: AtomicBool,
    /// Who knows its pid and its lives where it is not started here.
    base: OnceLock<Weak<dyn FileSystem>>,
}

impl Lives {
    /// Of a server that tells how it is.
    fn of(base: &Arc<dyn FileSystem>) -> Arc<Lives> {
        let lives = Lives::default();
        lives.base.set(Arc::downgrade(base)).unwrap();
        Arc::new(lives)
    }

    pub fn starts(&self) -> u64 {
        match self.base.get() {
            Some(base) => number(base, "lives"),
            None => self.starts.load(Ordering::SeqCst),
        }
    }

    /// The process that serves now; 0 if there is none.
    pub fn pid(&self) -> u32 {
        match self.base.get() {
            Some(base) => number(base, "pid") as u32,
            None => locked(&self.pid).map_or(0, |pid| pid.as_raw_pid() as u32),
        }
    }

    /// To the process that serves now; it may have ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.pid() as i32) {
            let _ = kill_process(pid, signal);
        }
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// Stops the process that serves now. On another CPU a thread of it may go on for a moment.
    pub fn stop(&self) {
        self.signal(Signal::STOP);
        let tasks = format!("/proc/{}/task", self.pid());
        let stands =
            |stat: String| stat.rsplit(')').next().is_some_and(|rest| rest.starts_with(" T"));
        wait_until("its threads stand still", &[], || {
            let all: Vec<_> = std::fs::read_dir(&tasks).unwrap().map(Result::unwrap).collect();
            all.iter()
                .all(|task| std::fs::read_to_string(task.path().join("stat")).is_ok_and(stands))
        });
    }
}

/// A number that a server tells of itself; 0 if it does not.
fn number(base: &Weak<dyn FileSystem>, key: &str) -> u64 {
    let facts = base.upgrade().map(|base| base.facts()).unwrap_or_default();
    let found = facts.into_iter().flatten().find(|(found, _)| *found == key);
    match found {
        Some((_, Fact::Number(number))) => number,
        _ => 0,
    }
}

/// How it is started: this program, with those words.
struct Served {
    words: [String; 3],
    lives: Arc<Lives>,
}

impl Starter for Served {
    fn start(&self) -> Result<Started, String> {
        if self.lives.broken.load(Ordering::SeqCst) {
            return Err("it is broken".into());
        }
        let (channel, theirs) = Channel::pair().map_err(|errno| errno.to_string())?;
        let running = Program::new("served", &self.words)
            .env(CHANNEL, CHANNEL_FD.to_string())
            .channel(theirs)
            .start()
            .map_err(|error| error.to_string())?;
        *locked(&self.lives.pid) = running.pid();
        self.lives.starts.fetch_add(1, Ordering::SeqCst);
        Ok(Started::new(channel, Box::new(running)))
    }
}

/// Settings for a campaign: it is killed more often than a server may die.
pub fn settings(on_exit: OnExit) -> Settings {
    let trace_messages = std::env::var_os("FILO_LOG").is_some_and(|what| what == "messages");
    let settings = Settings { name: "served".into(), on_exit, ..Settings::default() };
    Settings { most_deaths: Settings::DEATHS_MAX, trace_messages, ..settings }
}

/// A directory behind a server.
pub struct Mounted {
    session: Option<Session>,
    /// From servers that are started later.
    _hidden: Hidden,
    pub base: Arc<dyn FileSystem>,
    pub mount: Arc<Mount>,
    /// The same mount for callers in this process, who share its locks.
    pub local: Local,
    pub lives: Arc<Lives>,
    /// What is served.
    pub source: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
    /// Directories that were made for foreign programs.
    places: Mutex<BTreeSet<PathBuf>>,
    /// The server knows files by their names only, as libfuse does for most programs: it has no
    /// handles, two names are two nodes, and a file that is open keeps some name to its end.
    pub by_name: bool,
    /// The server, where it listens at a socket.
    pub listener: Option<Listener>,
    ground: Ground,
}

impl Mounted {
    /// Served and mounted by FUSE.
    pub fn new(settings: &Settings) -> Mounted {
        Mounted::prepared(SERVE, settings).mounted()
    }

    /// Mounted by FUSE over a foreign program: in its command `@` is the directory.
    pub fn foreign(command: &str) -> Mounted {
        let ground = Ground::new();
        let source = ground.dir("source");
        let command = command.replace('@', source.to_str().unwrap());
        let base = base("exec", command, &[("deaths", &Settings::DEATHS_MAX.to_string())]);
        let lives = Lives::of(&base);
        let mut this = Mounted::over(ground, base, lives).mounted();
        this.by_name = true;
        this
    }

    /// Mounted by FUSE over a server that listens at a socket.
    pub fn listening(options: &[(&str, &str)]) -> Mounted {
        let ground = Ground::new();
        let listener = Listener::start(&ground.dir("source"), &ground.0.join("socket"));
        let base = base("server", format!("unix={}", listener.socket.display()), options);
        let lives = Lives::of(&base);
        let mut this = Mounted::over(ground, base, lives).mounted();
        this.listener = Some(listener);
        this
    }

    fn mounted(mut self) -> Mounted {
        let options = FuseOptions { direct_io: false, ..FuseOptions::default() };
        self.session = Some(Session::start(self.mount.clone(), &self.at, &options).unwrap());
        self
    }

    /// Mounted by FUSE over a server of the directory, as the command starts it.
    pub fn commanded(sandbox: &str) -> Mounted {
        let ground = Ground::new();
        let exe = std::env::current_exe().unwrap();
        let source = ground.dir("source").to_str().unwrap().to_owned();
        let command = format!("{} {SERVE} {source}", exe.display());
        let (sandbox, allow) = (("sandbox", sandbox), ("allow", source.as_str()));
        let strict = [sandbox, allow];
        let options = if sandbox.1 == "strict" { &strict[..] } else { &strict[..1] };
        let base = base("server", command, options);
        let lives = Lives::of(&base);
        Mounted::over(ground, base, lives).mounted()
    }

    /// How many files the kernel knows; `None` where all data comes to us.
    pub fn passthrough(&self) -> Option<usize> {
        self.session.as_ref().and_then(Session::passthrough)
    }

    /// How many reads and writes of data came to us.
    pub fn asked(&self) -> (u64, u64) {
        let counters = self.mount.counters();
        (counters.calls(Op::Read), counters.calls(Op::Write))
    }

    /// Served, for use in this process only.
    pub fn inside(settings: &Settings) -> Mounted {
        Mounted::started(SERVE, settings)
    }

    /// The same with a server that has traps.
    pub fn with_traps(settings: &Settings) -> Mounted {
        Mounted::started(flood::SERVE, settings)
    }

    fn started(role: &str, settings: &Settings) -> Mounted {
        let this = Mounted::prepared(role, settings);
        this.mount.start(&Upward::without_caches().0).unwrap();
        this
    }

    fn prepared(role: &str, settings: &Settings) -> Mounted {
        let ground = Ground::new();
        let exe = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let source = ground.dir("source").to_str().unwrap().to_owned();
        let words = [exe, role.to_owned(), source];
        let lives = Arc::<Lives>::default();
        let served = Served { words, lives: lives.clone() };
        let base = Arc::new(KernelHalf::start(Box::new(served), settings).unwrap());
        Mounted::over(ground, base, lives)
    }

    fn over(ground: Ground, base: Arc<dyn FileSystem>, lives: Arc<Lives>) -> Mounted {
        let (source, at) = (ground.dir("source"), ground.dir("mount"));
        // A server that is started after the mount must not hold on to it.
        let hidden = hide(&at);
        let stack = Stack::new(base.clone(), []).unwrap();
        let identity = Identity::new("kills", "fuse.kills", at.to_str().unwrap()).unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let local = Local::new(mount.clone());
        Mounted {
            session: None,
            _hidden: hidden,
            base,
            mount,
            local,
            lives,
            source,
            at,
            places: Mutex::default(),
            by_name: false,
            listener: None,
            ground,
        }
    }

    /// A directory beside those that are served.
    pub fn side(&self, name: &str) -> PathBuf {
        self.ground.dir(name)
    }

    pub fn is_mounted(&self) -> bool {
        is_below_mount(&self.at)
    }

    /// Waits until it is unmounted by itself.
    pub fn wait_unmounted(&self) {
        wait_until("the mount goes", &[], || !self.is_mounted());
    }

    /// Unmounts, checks that nothing is left of it, and ends the server.
    pub fn end(mut self) {
        if let Some(session) = self.session.take() {
            let mounted = self.is_mounted();
            if mounted {
                session.unmount(false).unwrap();
            }
            let report = session.wait();
            // Of a mount that goes by itself Linux closes nothing.
            assert!(!mounted || report.opens == 0, "files are open in the mount");
        }
        assert!(!self.is_mounted());
        wait_until("all requests are answered", &[], || self.outstanding() == 0);
        let pid = self.lives.pid();
        self.note_place();
        let places = std::mem::take(&mut *locked(&self.places));
        let Mounted { base, mount, .. } = &mut self;
        assert_eq!(mount.opens().len(), 0, "files are open");
        let weak = Arc::downgrade(base);
        // Not the mount point, which launchers of other servers hide.
        let here = self.source.clone();
        drop(self);
        wait_until("the server is let go", &[], || weak.strong_count() == 0);
        wait_until("its process ends", &[pid], || !Path::new(&format!("/proc/{pid}")).exists());
        wait_until("all processes end", &[], || processes_with(&here).is_empty());
        for place in places {
            wait_until("what was made for it goes", &[], || !place.exists());
        }
    }

    /// How many requests have no answer.
    fn outstanding(&self) -> u64 {
        number(&Arc::downgrade(&self.base), "outstanding")
    }

    /// How often the server answered what no server may.
    pub fn lies(&self) -> u64 {
        number(&Arc::downgrade(&self.base), "lies")
    }

    /// Keeps in mind the directory that was made for the foreign program that serves now: its
    /// mount point is among its words.
    pub fn note_place(&self) {
        let words = std::fs::read(format!("/proc/{}/cmdline", self.lives.pid()));
        let words = String::from_utf8(words.unwrap_or_default()).unwrap();
        let points = words.split('\0').filter_map(|word| word.strip_suffix("/mnt"));
        locked(&self.places).extend(points.map(PathBuf::from));
    }
}

/// A base as the command knows it.
fn base(name: &str, argument: String, options: &[(&str, &str)]) -> Arc<dyn FileSystem> {
    let definition = filofs_server::BASES.iter().find(|base| base.name == name).unwrap();
    let pairs = options.iter().map(|(key, value)| ((*key).into(), Some((*value).into())));
    let Role::Base(make) = definition.role else { panic!("{name} is no base") };
    make(&mut Options::new(Some(argument), pairs.collect())).unwrap()
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.unmount(true);
        }
    }
}
