//! `filo list`: the mounts of this user.

use crate::cli::ListArgs;
use crate::control::{self, Status};
use crate::exit::Failure;
use crate::mounts;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The verb.
pub(crate) fn verb(args: &ListArgs) -> Result<ExitCode, Failure> {
    let all = all()?;
    if args.json {
        let text = serde_json::to_string_pretty(&all);
        println!("{}", text.map_err(|e| Failure::config(e.to_string()))?);
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        println!("no mounts");
        return Ok(ExitCode::SUCCESS);
    }
    let width = all.iter().map(|s| s.mountpoint.len()).max().unwrap_or(0).max(11);
    println!("{:<width$}  {:>8}  {:<8}  STACK", "MOUNT POINT", "PID", "STATE");
    for Status { mountpoint, stack, pid, state, .. } in &all {
        let pid = if *pid == 0 { "-".to_owned() } else { pid.to_string() };
        println!("{mountpoint:<width$}  {pid:>8}  {state:<8}  {stack}");
    }
    Ok(ExitCode::SUCCESS)
}

/// Those whose server answers, and those in the mount table that have none.
fn all() -> Result<Vec<Status>, Failure> {
    let mut all = control::all()?;
    for mounted in mounts::ours() {
        if !all.iter().any(|s| s.mountpoint == mounted.mountpoint) && is_dead(&mounted.mountpoint) {
            all.push(Status {
                mountpoint: mounted.mountpoint,
                stack: mounted.source,
                pid: 0,
                state: "dead".into(),
                counters: BTreeMap::new(),
            });
        }
    }
    all.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    Ok(all)
}

/// Whether the server of a mount is gone. The kernel never answers statfs(2) from a cache; without
/// a server it answers at once.
fn is_dead(mountpoint: &str) -> bool {
    rustix::fs::statfs(mountpoint).err() == Some(rustix::io::Errno::NOTCONN)
}
