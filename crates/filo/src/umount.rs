//! `filo umount`: unmounts, and waits for the server to end.

use crate::cli::UmountArgs;
use crate::exit::{Exit, Failure};
use crate::{control, mounts};
use filofs_front::fuse::unmount;
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

/// The verb.
pub(crate) fn verb(args: &UmountArgs) -> Result<ExitCode, Failure> {
    for mountpoint in &args.mountpoints {
        one(mountpoint, args)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn one(mountpoint: &Path, args: &UmountArgs) -> Result<(), Failure> {
    let shown = mountpoint.display();
    let wrong = |text: String| Failure::new(Exit::MountPoint, format!("'{shown}': {text}"));
    let path = mounts::resolve(mountpoint).map_err(|e| wrong(e.to_string()))?;
    let name = path.to_string_lossy();
    if !mounts::ours().iter().any(|m| m.mountpoint == name) {
        return Err(wrong("is not a mount of filo; 'filo list' shows them".into()));
    }
    let server = control::all()?.into_iter().rfind(|s| s.mountpoint == name).map(|s| s.pid);
    unmount(&path, args.lazy)?;
    let Some(server) = server.filter(|_| !args.lazy) else { return Ok(()) };
    let end = Instant::now() + Duration::from_secs(args.timeout);
    while Path::new(&format!("/proc/{server}")).exists() {
        if Instant::now() >= end {
            return Err(wrong(format!("is unmounted, but its server (pid {server}) still runs")));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}
