//! `filo list`: the mounts of this user.

use crate::cli::ListArgs;
use crate::control::{self, Status};
use crate::exit::Failure;
use crate::mounts;
use crate::out::say;
use std::collections::BTreeMap;
use std::process::ExitCode;

/// The verb.
pub(crate) fn verb(args: &ListArgs) -> Result<ExitCode, Failure> {
    let all = all()?;
    if args.json {
        let text = serde_json::to_string_pretty(&all);
        return say(&format!("{}\n", text.map_err(|e| Failure::config(e.to_string()))?));
    }
    say(&table(&all))
}

/// For people: a line for each mount.
fn table(all: &[Status]) -> String {
    if all.is_empty() {
        return "no mounts\n".into();
    }
    let shown: Vec<String> = all.iter().map(|s| one_line(&s.mountpoint)).collect();
    let width = shown.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(11);
    let header = format!("{:<width$}  {:>8}  {:<8}  STACK\n", "MOUNT POINT", "PID", "STATE");
    let lines = shown.iter().zip(all).map(|(mountpoint, Status { stack, pid, state, .. })| {
        let pid = if *pid == 0 { "-".to_owned() } else { pid.to_string() };
        format!("{mountpoint:<width$}  {pid:>8}  {state:<8}  {}\n", one_line(stack))
    });
    header + &lines.collect::<String>()
}

/// Without line ends and what else would move the cursor.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(shown).collect()
}

/// Those whose server answers, and those in the mount table that have none.
fn all() -> Result<Vec<Status>, Failure> {
    let mut all = control::all()?;
    for mounted in mounts::all() {
        let known = all.iter().any(|s| mounted.is_served_by(s));
        if mounted.is_ours() && !known && is_dead(&mounted.mountpoint) {
            all.push(Status {
                mountpoint: mounted.mountpoint,
                stack: mounted.source,
                pid: 0,
                state: "dead".into(),
                device: mounted.device,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_line_whatever_a_directory_is_called() {
        let status = Status {
            mountpoint: "/mnt/\u{fc}\nx".into(),
            stack: "mem:".into(),
            pid: 0,
            state: "dead".into(),
            device: "0:45".into(),
            counters: BTreeMap::new(),
        };
        let text = table(&[status]);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with("/mnt/\u{fc}\\nx           -  dead      mem:\n"), "{text}");
        assert_eq!(table(&[]), "no mounts\n");
    }
}
