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
    let all = control::all()?;
    let ours = |path: &Path| {
        let found = mounts::top(&path.to_string_lossy())?;
        let server = all.iter().find(|s| found.is_served_by(s)).map(|s| s.pid);
        (server.is_some() || found.is_ours()).then_some((found, server))
    };
    // The last step is only followed, as a link, where it is no mount itself: the server of one
    // may not answer.
    let mut path = mounts::resolve(mountpoint).map_err(|e| wrong(e.to_string()))?;
    let mut found = ours(&path);
    if found.is_none()
        && let Ok(target) = path.canonicalize()
    {
        path = target;
        found = ours(&path);
    }
    let Some((mounted, server)) = found else {
        return Err(wrong("is not a mount of filo; 'filo list' shows them".into()));
    };
    unmount(&path, args.lazy)?;
    if mounts::all().contains(&mounted) {
        let text = format!("'{shown}': somebody else mounted it; let them or root unmount it");
        return Err(Failure::new(Exit::Permission, text));
    }
    let Some(server) = server.filter(|_| !args.lazy) else { return Ok(()) };
    let end = Instant::now() + Duration::from_secs(args.timeout);
    while runs(server) {
        if Instant::now() >= end {
            return Err(wrong(format!(
                "is unmounted, but its server (pid {server}) still runs: it is mounted elsewhere \
                 too (a bind mount, another mount namespace), or at work"
            )));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    Ok(())
}

/// Whether a process runs. One that has ended and that nobody has waited for yet does not.
fn runs(pid: u32) -> bool {
    let Ok(stat) = std::fs::read_to_string(format!("/proc/{pid}/stat")) else { return false };
    // After the name, which is in parentheses and may hold some itself.
    !stat.rsplit_once(')').is_some_and(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
