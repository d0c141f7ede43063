//! `filo list`: the mounts of this user.

use crate::cli::ListArgs;
use crate::control::{self, Status};
use crate::crowd;
use crate::exit::Failure;
use crate::liveness::is_dead;
use crate::mounts::{self, Mounted};
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
    say(&table(&all, args.verbose))
}

/// For people: a line for each mount; with more of its servers, and what was asked, if verbose.
fn table(all: &[Status], verbose: bool) -> String {
    if all.is_empty() {
        return "no mounts\n".into();
    }
    let shown: Vec<String> = all.iter().map(|s| one_line(&s.mountpoint)).collect();
    let width = shown.iter().map(|s| s.chars().count()).max().unwrap_or(0).max(11);
    let header = format!("{:<width$}  {:>8}  {:<8}  STACK\n", "MOUNT POINT", "PID", "STATE");
    let lines = shown.iter().zip(all).map(|(mountpoint, status)| {
        let Status { stack, pid, state, .. } = status;
        let pid = if *pid == 0 { "-".to_owned() } else { pid.to_string() };
        let line = format!("{mountpoint:<width$}  {pid:>8}  {state:<8}  {}\n", one_line(stack));
        line + &if verbose { details(status) } else { String::new() }
    });
    header + &lines.collect::<String>()
}

/// What there is to know besides: the mount's own numbers, and how its servers are.
fn details(status: &Status) -> String {
    /// What matters most of a server, in this order; the rest follows by the alphabet.
    const FIRST: [&str; 4] = ["server", "pid", "state", "lives"];

    let line =
        |key: &str, value: &str| format!("    {:<18} {}\n", key.replace('_', " "), one_line(value));
    let counters = status.counters.iter().filter(|(key, _)| !key.contains('.'));
    let mut text = match status.transport.as_str() {
        "" => String::new(),
        transport => line("transport", transport),
    };
    text.extend(counters.map(|(key, number)| line(key, &number.to_string())));
    for server in &status.servers {
        let first = FIRST.iter().filter_map(|key| server.get_key_value(*key));
        let rest = server.iter().filter(|(key, _)| !FIRST.contains(&key.as_str()));
        for (key, value) in first.chain(rest) {
            let inset = if key == "server" { "" } else { "  " };
            let value = value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
            text.push_str(&line(&format!("{inset}{key}"), &value));
        }
    }
    text
}

/// Without line ends and what else would move the cursor.
fn one_line(text: &str) -> String {
    let shown = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.into() };
    text.chars().map(shown).collect()
}

/// Those whose server answers, and those in the mount table that have none or a silent one.
fn all() -> Result<Vec<Status>, Failure> {
    let mut all = control::all()?;
    let others: Vec<Mounted> = mounts::all()
        .into_iter()
        .filter(|mounted| mounted.is_ours() && !all.iter().any(|s| mounted.is_served_by(s)))
        .collect();
    let places = others.iter().map(|mounted| mounted.mountpoint.clone()).collect();
    let are_dead = crowd::ask(places, control::PATIENCE, |place: String| is_dead(&place));
    for (mounted, is_dead) in others.into_iter().zip(are_dead) {
        let state = match is_dead {
            Some(true) => "dead",
            // Somebody else's, or made this moment.
            Some(false) => continue,
            None => "silent",
        };
        all.push(Status {
            mountpoint: mounted.mountpoint,
            stack: mounted.source,
            pid: 0,
            state: state.into(),
            device: mounted.device,
            transport: String::new(),
            counters: BTreeMap::new(),
            servers: Vec::new(),
        });
    }
    all.sort_by(|a, b| a.mountpoint.cmp(&b.mountpoint));
    Ok(all)
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
            transport: String::new(),
            counters: BTreeMap::new(),
            servers: Vec::new(),
        };
        let text = table(&[status], true);
        assert_eq!(text.lines().count(), 2, "{text}");
        assert!(text.ends_with("/mnt/\u{fc}\\nx           -  dead      mem:\n"), "{text}");
        assert_eq!(table(&[], true), "no mounts\n");
    }
}
