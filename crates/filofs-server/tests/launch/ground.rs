//! What the tests stand on: temporary files, programs to start, processes to look for.

use crate::guest::GUEST;
use filofs_server::launch::{LaunchError, Program, Running, Sandbox};
use rustix::thread::{CapabilitySet, capabilities};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// No wait of a test is longer.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);

static NUMBER: AtomicU32 = AtomicU32::new(0);

/// A directory that everybody may look into, removed at the end.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        let path = std::env::temp_dir().join(format!("filo-launch-{}", token()));
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        Place(path)
    }

    /// A file in it.
    pub(crate) fn file(&self, name: &str, text: &str, mode: u32) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        path
    }

    /// A file to be executed. Not written by this process: what other threads are just starting
    /// would hold it open for writing, and it would be busy.
    pub(crate) fn program(&self, name: &str, text: &str) -> PathBuf {
        let path = self.0.join(name);
        let write = "printf '%s' \"$1\" > \"$2\" && chmod 755 \"$2\"";
        let mut shell = std::process::Command::new("sh");
        let done = shell.args(["-c", write, "sh", text]).arg(&path).status().unwrap();
        assert!(done.success());
        path
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir(&path).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Digits that no other test of this machine has now.
pub(crate) fn token() -> String {
    format!("{:07}{:03}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed))
}

pub(crate) fn sandbox(words: &[&str]) -> Sandbox {
    let mut sandbox = Sandbox::default();
    for word in words {
        let (name, value) = word.split_once('=').unwrap();
        sandbox.set(name, value.as_ref()).unwrap();
    }
    sandbox
}

pub(crate) fn own_program() -> String {
    std::env::current_exe().unwrap().to_str().unwrap().to_owned()
}

/// A guest of [`crate::guest`].
pub(crate) fn guest(what: &str) -> Program {
    Program::new(what, [own_program(), GUEST.into(), what.into()])
}

pub(crate) fn shell(script: &str) -> Program {
    Program::new("shell", ["sh", "-c", script])
}

/// Waits for its end.
pub(crate) fn end(running: &Running) -> ExitStatus {
    running.wait_at_most(DEADLINE).expect("it ends")
}

/// What a program says until it ends well.
pub(crate) fn said(program: Program) -> String {
    let running = program.start().unwrap();
    let status = end(&running);
    assert!(status.success(), "{status}: {}", running.last_words());
    running.last_words()
}

pub(crate) fn refused(program: Program) -> LaunchError {
    program.start().map(|running| running.last_words()).unwrap_err()
}

/// Waits until something is so.
pub(crate) fn until(what: &str, so: impl Fn() -> bool) {
    let start = Instant::now();
    while !so() {
        assert!(start.elapsed() < DEADLINE, "{what}: not within {DEADLINE:?}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// How many processes have a word with this in their arguments.
pub(crate) fn processes_with(token: &str) -> usize {
    let word = format!("1000{token}");
    let has = |path: &Path| {
        let text = fs::read(path.join("cmdline")).unwrap_or_default();
        text.split(|byte| *byte == 0).any(|part| part == word.as_bytes())
    };
    fs::read_dir("/proc").unwrap().filter(|entry| has(&entry.as_ref().unwrap().path())).count()
}

pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// Whether programs get namespaces here: for tests of what needs them. Says so if not, and fails
/// under FILO_REQUIRE=1.
pub(crate) fn has_namespaces(test: &str) -> bool {
    let has = if is_root() {
        capabilities(None).unwrap().effective.contains(CapabilitySet::SYS_ADMIN)
    } else {
        shell("true").needs_mount_namespace().start().is_ok()
    };
    if !has {
        skip(test, "namespaces");
    }
    has
}

pub(crate) fn skip(test: &str, lack: &str) {
    let text = format!("{test}: skipped, it needs {lack}");
    assert!(std::env::var_os("FILO_REQUIRE").is_none_or(|v| v != "1"), "{text}");
    eprintln!("{text}");
}
