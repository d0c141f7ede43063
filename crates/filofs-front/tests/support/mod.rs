//! What the tests of the FUSE front end share: a tiny file system, a place to mount it on that is
//! cleaned whatever happens, and the question whether this machine can mount at all.
#![allow(dead_code, unreachable_pub)] // each test program uses its part
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

pub mod constants;
pub mod peer;
pub mod tiny;

use filofs::{Identity, Mount, Stack};
use filofs_front::fuse::{FuseOptions, Session, Transport};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
pub use tiny::Tiny;

/// Longer than anything here takes: a test that waits so long has failed.
pub const FOREVER: Duration = Duration::from_secs(60);

/// Whether the machine has what a test needs; otherwise it is skipped, with the reason, unless
/// FILO_REQUIRE=1 makes that a failure.
pub fn can(what: &str, there: bool) -> bool {
    if !there {
        assert_ne!(std::env::var("FILO_REQUIRE").as_deref(), Ok("1"), "this needs {what}");
        eprintln!("skipped: this needs {what}");
    }
    there
}

/// Whether we are root and there is a FUSE device, and a ring where the test program is about one.
pub fn can_mount() -> bool {
    let mount = can("root and /dev/fuse", rustix::process::geteuid().is_root() && device().is_ok());
    mount && (transport() != Transport::Ring || can_ring())
}

/// Whether the kernel offers FUSE over io_uring.
pub fn can_ring() -> bool {
    let on = fs::read_to_string("/sys/module/fuse/parameters/enable_uring");
    let on = on.is_ok_and(|text| text.trim() == "Y");
    can("FUSE over io_uring (/sys/module/fuse/parameters/enable_uring)", on)
}

/// What the mounts of this test program go over, by its name.
pub fn transport() -> Transport {
    if env!("CARGO_CRATE_NAME").contains("ring") { Transport::Ring } else { Transport::Classic }
}

/// The default options, over that transport.
pub fn options() -> FuseOptions {
    FuseOptions { transport: transport(), ..FuseOptions::default() }
}

fn device() -> std::io::Result<fs::File> {
    fs::File::options().read(true).write(true).open("/dev/fuse")
}

/// A mount point of one's own; unmounted and removed with the value.
pub struct Place(pub PathBuf);

impl Place {
    /// A directory.
    pub fn new(what: &str) -> Place {
        let place = Place::free(what);
        fs::create_dir(&place.0).unwrap();
        place
    }

    /// A file.
    pub fn file(what: &str) -> Place {
        let place = Place::free(what);
        fs::write(&place.0, b"").unwrap();
        place
    }

    fn free(what: &str) -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("filo-{what}-{}-{number}", std::process::id());
        Place(std::env::temp_dir().join(name))
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// The line of the mount table, if something is mounted here.
    pub fn mounted(&self) -> Option<String> {
        let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let path = self.0.to_str().unwrap();
        table.lines().find(|line| line.split(' ').nth(4) == Some(path)).map(str::to_owned)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        while self.mounted().is_some() {
            let flags = rustix::mount::UnmountFlags::DETACH;
            if rustix::mount::unmount(&self.0, flags).is_err() {
                break;
            }
        }
        let _ = fs::remove_dir(&self.0).or_else(|_| fs::remove_file(&self.0));
    }
}

/// A mount of that file system.
pub fn mount_of(tiny: &Arc<Tiny>) -> Arc<Mount> {
    let stack = Stack::new(tiny.clone(), []).unwrap();
    let identity = Identity::new("tiny:", "filo", "").unwrap();
    Arc::new(Mount::new(stack, identity).unwrap())
}

/// A tiny file system, mounted.
pub struct Mounted {
    pub tiny: Arc<Tiny>,
    pub session: Session,
    pub place: Place,
}

impl Mounted {
    pub fn new(what: &str) -> Mounted {
        Self::with(what, Tiny::new(), &options())
    }

    pub fn with(what: &str, tiny: Tiny, options: &FuseOptions) -> Mounted {
        let place = Place::new(what);
        let tiny = Arc::new(tiny);
        let session = Session::start(mount_of(&tiny), &place.0, options).unwrap();
        Mounted { tiny, session, place }
    }

    pub fn join(&self, name: &str) -> PathBuf {
        self.place.join(name)
    }
}

/// Looks again and again until it is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let end = Instant::now() + FOREVER;
    while !so() {
        assert!(Instant::now() < end, "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// The exit status of a command and what it wrote, as text.
pub fn run(command: &mut Command) -> (bool, String) {
    let output = command.output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// The number of an error.
pub fn errno<T>(result: std::io::Result<T>) -> i32 {
    result.err().and_then(|error| error.raw_os_error()).unwrap_or(0)
}

/// Names in a directory, in the order in which they come.
pub fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}
