//! The cells of the matrix: a base, layers and a front end, in use.

#![allow(dead_code)] // each test uses what it needs

use conformance::os::{TempDir, may_become_users};
use conformance::run::{Ground, LocalGround, OsGround};
use conformance::{Abilities, Subject};
use filofs::{FileSystem, Identity, Layer, Mount, Result, Stack};
use filofs_bases::dir::{Dir, DirOptions};
use filofs_bases::mem::{Mem, Settings};
use filofs_front::fuse::{FuseOptions, Passthrough, Session, Transport};
use filofs_front::local::Local;
use filofs_layers::idmap::{IdMap, Ranges};
use filofs_layers::null::Null;
use filofs_layers::readonly::ReadOnly;
use filofs_layers::trace::Trace;
use filofs_server::channel::Channel;
use filofs_server::kernel::{self, KernelHalf};
use filofs_server::serve::Server;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The layers of the matrix. The last two undo each other: nothing may be seen of them.
pub(crate) const LAYERS: [&str; 5] = ["", "null", "null null null", "trace", "idmap-back idmap"];

/// What is at the bottom.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Base {
    /// In memory.
    Mem,
    /// A directory of the host.
    Dir,
    /// In memory, on the other side of a channel.
    MemServer,
    /// A directory of the host, on the other side of a channel.
    DirServer,
}

impl Base {
    /// Whether a directory of the host is at the bottom.
    fn is_dir(self) -> bool {
        matches!(self, Base::Dir | Base::DirServer)
    }

    /// Whether it is on the other side of a channel.
    fn is_served(self) -> bool {
        matches!(self, Base::MemServer | Base::DirServer)
    }
}

/// What is on top.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Front {
    /// In-process.
    Local,
    /// Mounted, requests come by the device.
    Fuse,
    /// Mounted, requests come over io_uring.
    Ring,
    /// Mounted, and all data comes to us.
    FuseAsked,
}

impl Front {
    /// Whether a kernel is above.
    pub(crate) fn is_mounted(self) -> bool {
        self != Front::Local
    }
}

/// A stack in use. Everything it needed is gone when it is dropped.
pub(crate) struct Mounted {
    local: Option<Local>,
    session: Option<Session>,
    point: Option<TempDir>,
    below: Option<TempDir>,
    base: Base,
    small: bool,
}

impl Mounted {
    /// `None`, said, when this machine cannot.
    pub(crate) fn new(base: Base, layers: &str, front: Front) -> Option<Mounted> {
        Self::with(base, built(layers), front, Settings::default())
    }

    /// A `mem` of 8 MiB.
    pub(crate) fn small(front: Front) -> Option<Mounted> {
        let settings = Settings { size: 8 << 20, ..Settings::default() };
        Self::with(Base::Mem, Vec::new(), front, settings)
    }

    /// With layers of one's own, bottom to top.
    pub(crate) fn with(
        base: Base,
        layers: Vec<Box<dyn Layer>>,
        front: Front,
        settings: Settings,
    ) -> Option<Mounted> {
        possible(front).then(|| Self::try_with(base, layers, front, settings, None).unwrap())
    }

    /// The same; the errno of what the file system did not answer when it was mounted.
    pub(crate) fn try_with(
        base: Base,
        layers: Vec<Box<dyn Layer>>,
        front: Front,
        settings: Settings,
        prepare: Option<fn(&dyn Subject)>,
    ) -> Result<Mounted> {
        let below = base.is_dir().then(TempDir::new);
        let bottom: Arc<dyn FileSystem> = match &below {
            Some(below) => Arc::new(Dir::open(below.path(), DirOptions::default()).unwrap()),
            None => Arc::new(Mem::new(settings)),
        };
        let bottom = if base.is_served() { served(bottom) } else { bottom };
        if let Some(prepare) = prepare {
            let local = Local::over(bottom.clone())?;
            let process = local.process();
            process.umask(0);
            prepare(&process);
        }
        let stack = Stack::new(bottom, layers).unwrap();
        let small = settings.size <= 64 << 20;
        let mut mounted = Mounted { local: None, session: None, point: None, below, base, small };
        match front {
            Front::Local => mounted.local = Some(Local::over_stack(stack)?),
            Front::Fuse => mounted.mount(stack, Transport::Classic, Passthrough::Auto),
            Front::Ring => mounted.mount(stack, Transport::Ring, Passthrough::Auto),
            Front::FuseAsked => mounted.mount(stack, Transport::Classic, Passthrough::Off),
        }
        Ok(mounted)
    }

    fn mount(&mut self, stack: Stack, transport: Transport, passthrough: Passthrough) {
        let point = TempDir::new();
        let shown = point.path().display().to_string();
        let identity = Identity::new(&stack.describe(), "filo", &shown).unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let options = FuseOptions {
            allow_other: true,
            nosuid: false,
            nodev: false,
            transport,
            passthrough,
            ..FuseOptions::default()
        };
        let session = Session::start(mount, point.path(), &options).unwrap();
        let is_ring = session.transport().starts_with("ring");
        assert_eq!(is_ring, transport == Transport::Ring, "{}", session.transport());
        self.session = Some(session);
        self.point = Some(point);
    }

    /// Where checks can be run.
    pub(crate) fn ground(&self) -> Box<dyn Ground> {
        match (&self.local, &self.point) {
            (Some(local), _) => Box::new(LocalGround(local.clone())),
            (None, Some(point)) => {
                Box::new(OsGround { path: point.path().to_owned(), abilities: self.abilities() })
            }
            (None, None) => unreachable!("it is one or the other"),
        }
    }

    /// Root in the top directory.
    pub(crate) fn root(&self) -> Box<dyn Subject> {
        match (&self.local, &self.point) {
            (Some(local), _) => {
                let process = local.process();
                process.umask(0);
                Box::new(process)
            }
            (None, Some(point)) => {
                Box::new(conformance::os::OsProcess::new(point.path(), self.abilities()))
            }
            (None, None) => unreachable!("it is one or the other"),
        }
    }

    /// How many files the kernel reads and writes by itself, see [`Session::passthrough`].
    pub(crate) fn passthrough(&self) -> Option<usize> {
        self.session.as_ref().and_then(Session::passthrough)
    }

    /// Where it is mounted.
    pub(crate) fn point(&self) -> Option<&Path> {
        self.point.as_ref().map(TempDir::path)
    }

    /// The directory of the host below.
    pub(crate) fn below(&self) -> Option<&Path> {
        self.below.as_ref().map(TempDir::path)
    }

    /// The mount.
    pub(crate) fn mounted(&self) -> &Arc<Mount> {
        match (&self.local, &self.session) {
            (Some(local), _) => local.mount(),
            (None, Some(session)) => session.mount(),
            (None, None) => unreachable!("it is one or the other"),
        }
    }

    fn abilities(&self) -> Abilities {
        let mut abilities = Abilities::KERNEL
            | Abilities::ACL
            | Abilities::CHATTR
            | Abilities::HANDLES
            | Abilities::SPARSE
            | Abilities::ZERO
            | Abilities::USERS
            | Abilities::WHITEOUT;
        abilities.set(Abilities::SMALL, self.small);
        abilities.set(Abilities::KEPT_SET_ID, self.passthrough().is_none());
        abilities
    }

    /// Unmounts, and checks that nothing is left of what was used.
    pub(crate) fn end(mut self) {
        if let Some(session) = self.session.take() {
            // The kernel waits for no answer to RELEASE, and an unmount takes those along that
            // nobody has read yet: they must have come before. What never comes shows below.
            for _ in 0..500 {
                if session.mount().opens().is_empty() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            // A process that ended a moment ago may still hold the mount.
            let mut answer = session.unmount(false);
            for _ in 0..100 {
                if answer.is_ok() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
                answer = session.unmount(false);
            }
            answer.unwrap();
            let report = session.wait();
            assert_eq!(report.opens, 0, "open files are left: {report:?}");
        }
        if let Some(local) = self.local.take() {
            assert_eq!(local.mount().opens().len(), 0, "open files are left");
            assert_eq!(local.mount().nodes().len(), 1, "nodes are left besides the root");
            assert_eq!(local.mount().counters().panics(), 0, "something panicked");
        }
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        if let Some(session) = self.session.take() {
            let _ = session.unmount(true);
            session.wait();
        }
    }
}

/// The same file system, served over a channel to the kernel half.
pub(crate) fn served(fs: Arc<dyn FileSystem>) -> Arc<dyn FileSystem> {
    let (ours, theirs) = Channel::pair().unwrap();
    std::thread::spawn(move || {
        let stack = Stack::new(fs, []).unwrap();
        if let Ok(session) = Server::new().over(stack, theirs) {
            session.wait();
        }
    });
    Arc::new(KernelHalf::over(ours, &kernel::Settings::default()).unwrap())
}

/// Layers by name, bottom to top.
pub(crate) fn built(words: &str) -> Vec<Box<dyn Layer>> {
    words
        .split_whitespace()
        .map(|word| -> Box<dyn Layer> {
            match word {
                "null" => Box::new(Null),
                "readonly" => Box::new(ReadOnly),
                "idmap" => Box::new(idmap("0:1000000:1000000")),
                "idmap-back" => Box::new(idmap("1000000:0:1000000")),
                "trace" => Box::new(Trace::new(traced(), Duration::ZERO)),
                other => unreachable!("{other}"),
            }
        })
        .collect()
}

/// The same ranges for users and groups.
fn idmap(ranges: &str) -> IdMap {
    let ranges = Ranges::parse("uid", &[ranges.to_owned()]).unwrap();
    IdMap { users: Some(ranges.clone()), groups: Some(ranges) }
}

/// Where the lines of `trace` go: nowhere, or with `FILO_TRACE=1` to standard error.
fn traced() -> Box<dyn std::io::Write + Send> {
    if std::env::var_os("FILO_TRACE").is_some() {
        Box::new(std::io::stderr())
    } else {
        Box::new(std::io::sink())
    }
}

/// Whether this machine can; a skip is said, and a failure where everything is required.
pub(crate) fn possible(front: Front) -> bool {
    let lack = if !may_become_users() {
        "root"
    } else if front.is_mounted() && !Path::new("/dev/fuse").exists() {
        "/dev/fuse"
    } else if front == Front::Ring && !ring_offered() {
        "FUSE over io_uring (/sys/module/fuse/parameters/enable_uring)"
    } else {
        return true;
    };
    assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "this needs {lack}");
    println!("skipped: this needs {lack}");
    false
}

fn ring_offered() -> bool {
    let on = std::fs::read_to_string("/sys/module/fuse/parameters/enable_uring");
    on.is_ok_and(|text| text.trim() == "Y")
}
