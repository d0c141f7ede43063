//! What the tests stand on: directories, waits that end, and what must not be left.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// Longer than anything here takes: what waits so long hangs.
pub const FOREVER: Duration = Duration::from_secs(60);

/// A directory for one test, removed with the value.
pub struct Ground(pub PathBuf);

impl Ground {
    pub fn new() -> Ground {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("filo-test-kills-{}-{number}", std::process::id());
        let ground = Ground(std::env::temp_dir().canonicalize().unwrap().join(name));
        fs::create_dir(&ground.0).unwrap();
        ground
    }

    pub fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(&path).unwrap();
        path
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if !is_below_mount(&self.0) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// Whether something is mounted there or below.
pub fn is_below_mount(path: &Path) -> bool {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.to_str().unwrap();
    table.lines().any(|line| line.split(' ').nth(4).is_some_and(|at| at.starts_with(path)))
}

/// Whether FUSE file systems can be mounted here.
pub fn has_fuse() -> bool {
    let opens = fs::File::options().read(true).write(true).open("/dev/fuse").is_ok();
    if !opens {
        let strict = std::env::var_os("FILO_REQUIRE").is_some_and(|value| value == "1");
        assert!(!strict, "this test needs /dev/fuse, and FILO_REQUIRE=1 says it must run");
        println!("skipped: needs /dev/fuse");
    }
    opens
}

/// Whether a program is installed. The build machine has bindfs.
pub fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let there = std::env::split_paths(&path).any(|dir| dir.join(program).is_file());
    if !there {
        let strict = std::env::var_os("FILO_REQUIRE").is_some_and(|value| value == "1");
        assert!(
            !(strict && program == "bindfs"),
            "this test needs {program}, and FILO_REQUIRE=1 says it must run"
        );
        println!("skipped: needs {program}");
    }
    there
}

/// The processes with a path below that among their words.
pub fn processes_with(path: &Path) -> Vec<String> {
    let here = path.to_str().unwrap();
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let words = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
    let words = words.map(|words| String::from_utf8_lossy(&words).replace('\0', " "));
    words.filter(|words| words.contains(here)).collect()
}

/// Waits until it is so. What hangs is a failure that tells what each of these processes, and this
/// one, is waiting for.
pub fn wait_until(what: &str, processes: &[u32], mut is_so: impl FnMut() -> bool) {
    let until = Instant::now() + FOREVER;
    while !is_so() {
        if Instant::now() >= until {
            for process in processes.iter().chain([&std::process::id()]) {
                tell_states(*process);
            }
            panic!("hangs: {what}");
        }
        std::thread::sleep(Duration::from_micros(300));
    }
}

/// What each thread of a process is waiting for.
fn tell_states(process: u32) {
    let Ok(tasks) = fs::read_dir(format!("/proc/{process}/task")) else {
        return eprintln!("process {process} is gone");
    };
    for task in tasks.filter_map(Result::ok).map(|task| task.path()) {
        let read = |name: &str| fs::read_to_string(task.join(name)).unwrap_or_default();
        let (comm, wchan, call) = (read("comm"), read("wchan"), read("syscall"));
        let state =
            read("status").lines().find(|line| line.starts_with("State")).map(str::to_owned);
        eprintln!(
            "{}: {} {} in {wchan}, call {}",
            task.display(),
            comm.trim(),
            state.unwrap_or_default(),
            call.trim()
        );
        eprint!("{}", read("stack"));
    }
}

/// What this process has that it must not have more of at the end.
#[derive(Debug)]
pub struct Inventory {
    descriptors: usize,
    threads: usize,
    children: usize,
}

impl Inventory {
    pub fn take() -> Inventory {
        let count = |path: &str| fs::read_dir(path).unwrap().count();
        let tasks = fs::read_dir("/proc/self/task").unwrap().filter_map(Result::ok);
        let children = tasks.map(|task| {
            let children = fs::read_to_string(task.path().join("children")).unwrap_or_default();
            children.split_whitespace().count()
        });
        Inventory {
            children: children.sum(),
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
        }
    }

    /// Waits until there is no more than there was; threads and processes end by and by.
    pub fn check(&self) {
        wait_until(
            &format!("nothing is left beyond {self:?}; there is {:?}", Self::take()),
            &[],
            || {
                let now = Inventory::take();
                now.descriptors <= self.descriptors
                    && now.threads <= self.threads
                    && now.children <= self.children
            },
        );
    }
}
