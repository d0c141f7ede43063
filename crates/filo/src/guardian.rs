//! `Guardian`: `-o auto_unmount`. A process of its own that takes the mount away when its server
//! dies, however it dies. It is this program once more; it waits for the end of a pipe whose
//! other end only the server has.

use crate::exit::{Exit, Failure};
use crate::mounts;
use filofs_front::fuse::unmount;
use std::io::Read;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitCode, Stdio};

/// The name it is called by.
const NAME: &str = "filo-guardian";

/// The guardian of a mount of this process. Dropped, it is told to look, and waited for.
pub(crate) struct Guardian(Child);

impl Guardian {
    /// Watches over what is mounted there, a device as [`mounts::device_of`] tells it.
    pub(crate) fn start(mountpoint: &Path, device: &str) -> Result<Guardian, Failure> {
        let mut command = Command::new("/proc/self/exe");
        command.arg0(NAME).arg(mountpoint).arg(device).current_dir("/");
        // Not in our process group: what the terminal sends to that ends the server, not this.
        command.process_group(0).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command.spawn().map(Guardian).map_err(|e| {
            let text = format!("-o auto_unmount: cannot start the process that sees to it: {e}");
            Failure::new(Exit::Permission, text)
        })
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let _ = self.0.wait();
    }
}

/// Whether this process is one; then this is its life.
pub(crate) fn life(arguments: &[String]) -> Option<ExitCode> {
    let [name, mountpoint, device] = arguments else { return None };
    if name != NAME {
        return None;
    }
    // Sent to everybody at the end of a session or of the machine: the server has to go first.
    let _ignored = signal_hook::iterator::Signals::new([
        signal_hook::consts::SIGHUP,
        signal_hook::consts::SIGINT,
        signal_hook::consts::SIGTERM,
    ]);
    // Nothing is ever written: this ends when the server does.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    let left = mounts::top(mountpoint).is_some_and(|m| m.device == *device);
    let done = !left || unmount(Path::new(mountpoint), true).is_ok();
    Some(if done { ExitCode::SUCCESS } else { ExitCode::from(Exit::MountPoint as u8) })
}
