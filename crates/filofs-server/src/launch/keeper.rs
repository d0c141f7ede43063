//! The keeper: the parent of the program, who sees to it that nothing of it is left.
//!
//! It is the first process of the program's pid namespace, so that the kernel kills everything
//! there when it ends; or, where there is no such namespace, the subreaper of all descendants,
//! prctl(2).

use super::{LaunchError, Plan, Report, Stage, namespaces, report, sys};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use rustix::process::{
    DumpableBehavior, Pid, PidfdFlags, Signal, WaitOptions, WaitStatus, getpid, pidfd_open,
    pidfd_send_signal, set_child_subreaper, set_dumpable_behavior, set_parent_process_death_signal,
    wait,
};
use rustix::stdio::{stderr, stdout};
use std::collections::HashMap;
use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitCode, ExitStatus, Stdio};
use std::time::Duration;

/// How long between two attempts to kill what is left.
const SWEEP: Duration = Duration::from_millis(5);

/// What is sent to a keeper so that it asks the program to end.
pub(super) const TERMINATE: &[u8] = b"t";

/// The whole life of a keeper. Its standard output is the socket to whoever started it.
/// `channel`: what becomes the program's descriptor 3 is at that number here.
pub(super) fn life(plan: &Plan, first: bool, channel: Option<OwnedFd>) -> ExitCode {
    match keep(plan, first, channel) {
        Ok(status) => {
            Report::Ended(status).send(stdout());
            ExitCode::SUCCESS
        }
        Err(error) => super::door::fail(error),
    }
}

fn keep(plan: &Plan, first: bool, channel: Option<OwnedFd>) -> Result<ExitStatus, LaunchError> {
    if first {
        // Should the launcher be killed, so is everything here.
        set_parent_process_death_signal(Some(Signal::KILL))
            .map_err(|e| LaunchError::system("set the parent death signal", e))?;
        namespaces::mount_proc(plan.sandbox.profile)?;
    } else {
        set_child_subreaper(Some(getpid())).map_err(|e| LaunchError::system("adopt orphans", e))?;
    }
    let keeper = Keeper { first };
    std::thread::Builder::new()
        .name("listener".into())
        .spawn(move || keeper.listen())
        .map_err(|e| LaunchError::system("start a thread", e))?;
    // The program shall not look into this process, which has more rights.
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
        .map_err(|e| LaunchError::system("hide from the program", e))?;
    let child = start(plan)?;
    drop(channel);
    Ok(keeper.reap(child))
}

/// Starts the program; its pid. It is being executed, or has ended before that without a word.
fn start(plan: &Plan) -> Result<Pid, LaunchError> {
    let (ours, theirs) = report::pair().map_err(|e| LaunchError::system("make a socket", e))?;
    let error = stderr()
        .try_clone_to_owned()
        .map_err(|e| LaunchError::system("duplicate a descriptor", e))?;
    let child = Stage::Program
        .command(plan)
        .stdin(Stdio::from(theirs))
        .stdout(Stdio::from(error))
        .spawn()
        .map_err(|e| LaunchError::system("start a process", e))?;
    // Closed by exec: then the program runs.
    let pid = Pid::from_child(&child);
    loop {
        match Report::receive(&ours) {
            Ok(None) => break,
            Ok(Some(Report::Failed(error))) => return Err(error),
            Ok(Some(report)) => report.send(stdout()),
            Err(errno) => return Err(LaunchError::system("hear from the program", errno)),
        }
    }
    let pidfd = pidfd_open(pid, PidfdFlags::empty())
        .map_err(|e| LaunchError::system("open the program's pidfd", e))?;
    Report::Running(pidfd).send(stdout());
    Ok(pid)
}

#[derive(Clone, Copy)]
struct Keeper {
    /// The first process of a pid namespace.
    first: bool,
}

impl Keeper {
    /// Waits for the end of the program: of the process itself if it fails, otherwise, as it may
    /// have put itself into the background, of the last of its descendants.
    fn reap(self, program: Pid) -> ExitStatus {
        let mut last = ExitStatus::default();
        loop {
            match wait(WaitOptions::empty()) {
                Ok(Some((pid, status))) => {
                    let Some(status) = ended(status) else { continue };
                    // Helpers that end after it say nothing about it, unless it is one of them
                    // that went on in its place.
                    last = status;
                    if pid == program && !status.success() {
                        self.sweep();
                        return status;
                    }
                }
                Ok(None) | Err(Errno::INTR) => {}
                Err(_) => return last,
            }
        }
    }

    /// Does what whoever started the program says. When they are gone, nothing must be left.
    fn listen(self) {
        let mut word = [0; 16];
        loop {
            match recv(stdout(), &mut word, RecvFlags::empty()) {
                Ok((length, _)) if length > 0 => {
                    if word.get(..length) == Some(TERMINATE) {
                        self.terminate();
                    }
                }
                Err(Errno::INTR) => {}
                _ => break,
            }
        }
        if self.first {
            Report::Ended(ExitStatus::from_raw(Signal::KILL.as_raw())).send(stdout());
            std::process::exit(0);
        }
        // The other thread ends when nobody is left to wait for.
        loop {
            signal_descendants(Signal::KILL);
            std::thread::sleep(SWEEP);
        }
    }

    fn terminate(self) {
        if self.first { sys::terminate_all() } else { signal_descendants(Signal::TERM) }
    }

    /// Kills all descendants and waits for their end.
    fn sweep(self) {
        // The first process of a namespace takes them along when it ends.
        if self.first {
            return;
        }
        loop {
            signal_descendants(Signal::KILL);
            match wait(WaitOptions::NOHANG) {
                Ok(None) => std::thread::sleep(SWEEP),
                Ok(Some(_)) | Err(Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}

/// How a child has ended, if that is what is told.
fn ended(status: WaitStatus) -> Option<ExitStatus> {
    (status.exited() || status.signaled()).then(|| ExitStatus::from_raw(status.as_raw()))
}

/// Sends a signal to each process that descends from this one.
fn signal_descendants(signal: Signal) {
    let parents = parents();
    let own = getpid().as_raw_nonzero().get();
    for pid in parents.keys().copied().filter(|pid| descends(*pid, own, &parents)) {
        let Some(target) = Pid::from_raw(pid) else { continue };
        let Ok(pidfd) = pidfd_open(target, PidfdFlags::empty()) else { continue };
        // The number may have become another process's since; not once it is held.
        if parent(pid) == parents.get(&pid).copied() {
            let _ = pidfd_send_signal(&pidfd, signal);
        }
    }
}

/// The parent of each process.
fn parents() -> HashMap<i32, i32> {
    let Ok(entries) = fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter_map(|pid| Some((pid, parent(pid)?))).collect()
}

/// The parent of a process, proc_pid_stat(5).
fn parent(pid: i32) -> Option<i32> {
    let stat = fs::read(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything, parentheses too.
    let after = stat.iter().rposition(|byte| *byte == b')')?;
    let rest = std::str::from_utf8(stat.get(after + 1..)?).ok()?;
    rest.split_ascii_whitespace().nth(1)?.parse().ok()
}

fn descends(pid: i32, from: i32, parents: &HashMap<i32, i32>) -> bool {
    let mut at = pid;
    // The table was not made in an instant, so it may even have a circle.
    for _ in 0..parents.len() {
        match parents.get(&at) {
            Some(parent) if *parent == from => return true,
            Some(parent) => at = *parent,
            None => return false,
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descent_is_followed_over_generations_and_not_round_circles() {
        let parents = HashMap::from([(2, 1), (3, 2), (4, 3), (5, 1), (6, 7), (7, 6)]);
        let of_two: Vec<i32> = (1..9).filter(|pid| descends(*pid, 2, &parents)).collect();
        assert_eq!(of_two, [3, 4]);
    }

    #[test]
    fn the_parent_of_this_process_is_known() {
        let own = getpid().as_raw_nonzero().get();
        assert_eq!(parent(own), rustix::process::getppid().map(|p| p.as_raw_nonzero().get()));
        assert!(parents().contains_key(&own));
    }
}
