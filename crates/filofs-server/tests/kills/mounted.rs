//! A directory behind a server of its own, mounted and used in this process at once.

use crate::flood;
use crate::ground::{Ground, is_below_mount, wait_until};
use filofs::{FileSystem, Identity, Mount, Stack, Upward, locked};
use filofs_front::fuse::{FuseOptions, Session};
use filofs_front::local::Local;
use filofs_server::channel::Channel;
use filofs_server::kernel::{KernelHalf, OnExit, Settings, Started, Starter};
use filofs_server::launch::{CHANNEL_FD, Program, hide};
use filofs_server::serve::CHANNEL;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

/// The first word of the command line of a server.
pub const SERVE: &str = "serve";

/// The server, over all its lives.
#[derive(Default)]
pub struct Lives {
    pid: Mutex<Option<Pid>>,
    starts: AtomicU32,
    /// It cannot be started.
    pub broken: AtomicBool,
}

impl Lives {
    pub fn starts(&self) -> u32 {
        self.starts.load(Ordering::SeqCst)
    }

    /// The process that serves now.
    pub fn pid(&self) -> u32 {
        locked(&self.pid).map_or(0, |pid| pid.as_raw_pid() as u32)
    }

    /// To the process that serves now; it may have ended.
    pub fn signal(&self, signal: Signal) {
        if let Some(pid) = *locked(&self.pid) {
            let _ = kill_process(pid, signal);
        }
    }

    pub fn kill(&self) {
        self.signal(Signal::KILL);
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
    pub kernel: Arc<KernelHalf>,
    pub mount: Arc<Mount>,
    /// The same mount for callers in this process, who share its locks.
    pub local: Local,
    pub lives: Arc<Lives>,
    /// What is served.
    pub source: PathBuf,
    /// Where it is mounted.
    pub at: PathBuf,
    ground: Ground,
}

impl Mounted {
    /// Served and mounted by FUSE.
    pub fn new(settings: &Settings) -> Mounted {
        let mut this = Mounted::prepared(SERVE, settings);
        let options = FuseOptions { direct_io: false, ..FuseOptions::default() };
        this.session = Some(Session::start(this.mount.clone(), &this.at, &options).unwrap());
        this
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
        let (source, at) = (ground.dir("source"), ground.dir("mount"));
        // A server that is started after the mount must not hold on to it.
        hide(&at);
        let exe = std::env::current_exe().unwrap().to_str().unwrap().to_owned();
        let words = [exe, role.to_owned(), source.to_str().unwrap().to_owned()];
        let lives = Arc::<Lives>::default();
        let served = Served { words, lives: lives.clone() };
        let kernel = Arc::new(KernelHalf::start(Box::new(served), settings).unwrap());
        let base: Arc<dyn FileSystem> = kernel.clone();
        let stack = Stack::new(base, []).unwrap();
        let identity = Identity::new("kills", "fuse.kills", at.to_str().unwrap()).unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let local = Local::new(mount.clone());
        Mounted { session: None, kernel, mount, local, lives, source, at, ground }
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
        wait_until("all requests are answered", &[], || self.kernel.outstanding() == 0);
        let pid = self.lives.pid();
        let Mounted { kernel, mount, .. } = &mut self;
        assert_eq!(mount.opens().len(), 0, "files are open");
        let weak = Arc::downgrade(kernel);
        drop(self);
        wait_until("the server is let go", &[], || weak.strong_count() == 0);
        wait_until("its process ends", &[pid], || !Path::new(&format!("/proc/{pid}")).exists());
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.unmount(true);
        }
    }
}
