//! What the tests of the command share: a place of their own that cleans up after itself.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The command under test.
pub(crate) const FILO: &str = env!("CARGO_BIN_EXE_filo");
/// An ordinary user that every system has.
pub(crate) const NOBODY: u32 = 65534;

/// Whether what is needed is there. If not, the test says so and passes, or fails where the
/// environment has FILO_REQUIRE=1.
pub(crate) fn able(what: &str, there: bool) -> bool {
    if there {
        return true;
    }
    let required = std::env::var_os("FILO_REQUIRE").is_some_and(|v| v == "1");
    assert!(!required, "this test needs {what}, and FILO_REQUIRE=1 says it must run");
    println!("skipped: needs {what}");
    false
}

/// Whether tests that mount can run: /dev/fuse for everybody, and root.
pub(crate) fn can_mount() -> bool {
    if !able("root", rustix::process::geteuid().is_root()) {
        return false;
    }
    if !able("/dev/fuse", Path::new("/dev/fuse").exists()) {
        return false;
    }
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions("/dev/fuse", PermissionsExt::from_mode(0o666)).unwrap();
    true
}

/// A directory of this test alone. Whatever is mounted in it is unmounted, and it is removed,
/// when it is dropped.
pub(crate) struct Place(pub(crate) PathBuf);

impl Place {
    pub(crate) fn new() -> Place {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("filo-cli-{}-{number}", std::process::id()));
        std::fs::create_dir(&path).unwrap();
        Place(path)
    }

    /// A directory in it.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        let path = self.0.join(name);
        std::fs::create_dir(&path).unwrap();
        path
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let inside = self.0.to_string_lossy().into_owned();
        for line in table.lines().rev() {
            let at = line.split(' ').nth(4).unwrap_or_default();
            if at.starts_with(&inside) {
                let _ = rustix::mount::unmount(at, rustix::mount::UnmountFlags::DETACH);
            }
        }
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// A copy of the command where an ordinary user can reach it.
pub(crate) fn reachable(place: &Place) -> PathBuf {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(&place.0, PermissionsExt::from_mode(0o755)).unwrap();
    let path = place.0.join("filo");
    // By another process: what is started beside this would have the file open for writing for a
    // moment, and such a file cannot be executed.
    let copied = Command::new("cp").arg(FILO).arg(&path).status().unwrap();
    assert!(copied.success());
    path
}

/// Runs filo with those words.
pub(crate) fn filo(words: &[&str]) -> Output {
    let mut command = Command::new(FILO);
    command.args(words).stdin(Stdio::null());
    if words.first() == Some(&"umount") {
        // Namespaces that other tests make meanwhile hold every mount until they end.
        command.args(["--timeout", "60"]);
    }
    command.output().unwrap()
}

/// Exit code and standard error of it.
pub(crate) fn refused(words: &[&str]) -> (Option<i32>, String) {
    let output = filo(words);
    assert!(output.stdout.is_empty(), "{:?}", String::from_utf8_lossy(&output.stdout));
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// Whether a file system of filo is mounted there.
pub(crate) fn is_mounted(path: &Path) -> bool {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
    let path = path.to_string_lossy();
    table.lines().any(|l| l.split(' ').nth(4) == Some(&*path) && l.contains(" - fuse.filo "))
}

/// Waits until something holds; a minute is for ever.
pub(crate) fn eventually(what: &str, holds: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !holds() {
        assert!(Instant::now() < end, "never happened: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// The process that serves a mount, as `filo list --json` says.
pub(crate) fn server_of(path: &Path) -> Option<u32> {
    let output = filo(&["list", "--json"]);
    let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mount = list.as_array()?.iter().find(|m| m["mountpoint"] == *path.to_string_lossy())?;
    u32::try_from(mount["pid"].as_u64()?).ok().filter(|pid| *pid != 0)
}

/// Whether it runs. One that has ended and that nobody has waited for yet has no words.
pub(crate) fn is_alive(pid: u32) -> bool {
    std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|words| !words.is_empty())
}
