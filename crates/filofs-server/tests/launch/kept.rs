//! Nothing is left of a program when it is to be gone.

use crate::ground::{
    DEADLINE, end, has_namespaces, own_program, processes_with, said, sandbox, shell, token, until,
};
use crate::guest::GUEST;
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType, recv, socketpair};
use rustix::process::Signal;
use std::io::{BufRead, BufReader};
use std::os::unix::process::ExitStatusExt;
use std::process::{Command, Stdio};
use std::time::Duration;

/// With and without a pid namespace.
const PROFILES: [&str; 2] = ["sandbox=off", "sandbox=loose"];

pub(crate) fn last_words_are_the_last() {
    let text =
        said(shell("i=0; while [ $i -lt 2000 ]; do i=$((i+1)); echo line $i; done; echo bye >&2"));
    assert!(text.ends_with("line 2000\nbye\n"), "{text}");
    assert!(text.len() <= 4096 && text.len() > 4000, "{}", text.len());
    assert!(text.starts_with("line "), "{text}");
}

pub(crate) fn what_puts_itself_into_the_background_is_followed() {
    for profile in PROFILES {
        let token = token();
        let script = format!("setsid sh -c 'sleep 1000{token} & sleep 1000{token}' & exit 0");
        let running = shell(&script).sandbox(sandbox(&[profile])).start().unwrap();
        until("the program goes into the background", || running.pid().is_none());
        until("the others begin", || processes_with(&token) == 2);
        assert_eq!(running.has_ended(), None);
        assert_eq!(running.wait_at_most(Duration::from_millis(10)), None);
        drop(running);
        assert_eq!(processes_with(&token), 0, "{profile}");
    }
    // And its end is that of the last.
    for profile in PROFILES {
        let script = "sh -c 'sleep 0.1; echo last; exit 5' & exit 0";
        let running = shell(script).sandbox(sandbox(&[profile])).start().unwrap();
        assert_eq!(end(&running).code(), Some(5));
        assert_eq!(running.last_words(), "last\n");
    }
}

pub(crate) fn a_failure_ends_what_it_left_behind() {
    for profile in PROFILES {
        let token = token();
        let script = format!("setsid sleep 1000{token} & exit 4");
        let running = shell(&script).sandbox(sandbox(&[profile])).start().unwrap();
        assert_eq!(end(&running).code(), Some(4));
        assert_eq!(processes_with(&token), 0, "{profile}");
    }
}

pub(crate) fn the_end_of_the_channel_is_seen() {
    for profile in PROFILES {
        let (ours, theirs) =
            socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)
                .unwrap();
        rustix::net::sockopt::set_socket_timeout(
            &ours,
            rustix::net::sockopt::Timeout::Recv,
            Some(DEADLINE),
        )
        .unwrap();
        // A helper without the channel goes on, and so does the launcher.
        let script = "sleep 1000 3>&- & exit 0";
        let program = shell(script).sandbox(sandbox(&[profile])).channel(theirs);
        let running = program.start().unwrap();
        let mut byte = [0];
        assert_eq!(recv(&ours, &mut byte, RecvFlags::empty()).unwrap().0, 0, "{profile}");
        assert_eq!(running.has_ended(), None);
    }
}

pub(crate) fn it_is_asked_before_it_is_killed() {
    for profile in PROFILES {
        let script = "trap 'echo asked; exit 7' TERM; echo ready; while :; do sleep 0.01; done";
        let running = shell(script).sandbox(sandbox(&[profile])).start().unwrap();
        until("it is ready", || running.last_words().contains("ready"));
        running.terminate(DEADLINE);
        assert_eq!(running.has_ended().unwrap().code(), Some(7), "{profile}");
        assert!(running.last_words().contains("asked"), "{profile}");
    }
}

pub(crate) fn what_does_not_listen_is_killed() {
    for profile in PROFILES {
        let token = token();
        let script = format!("trap '' TERM; echo ready; sleep 1000{token}; sleep 1000{token}");
        let running = shell(&script).sandbox(sandbox(&[profile])).start().unwrap();
        until("it is ready", || running.last_words().contains("ready"));
        running.terminate(Duration::from_millis(10));
        assert_eq!(running.has_ended().unwrap().signal(), Some(9), "{profile}");
        assert_eq!(processes_with(&token), 0, "{profile}");
    }
}

pub(crate) fn the_program_has_a_pid_and_takes_signals() {
    for profile in PROFILES {
        let token = token();
        let program = shell(&format!("exec sleep 1000{token}")).sandbox(sandbox(&[profile]));
        let running = program.start().unwrap();
        until("it begins", || processes_with(&token) == 1);
        let pid = running.pid().unwrap().as_raw_nonzero();
        let words = std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap();
        assert_eq!(words, format!("sleep\x001000{token}\0"));
        running.signal(Signal::USR1).unwrap();
        assert_eq!(end(&running).signal(), Some(Signal::USR1.as_raw()), "{profile}");
        assert_eq!(running.pid(), None);
        assert_eq!(running.signal(Signal::KILL), Err(rustix::io::Errno::SRCH));
    }
}

/// The death signal of prctl(2) comes when the thread that made the child ends.
pub(crate) fn it_outlives_the_thread_that_started_it() {
    for profile in PROFILES {
        let program = shell("echo ready; exec sleep 1000").sandbox(sandbox(&[profile]));
        let running = std::thread::spawn(move || program.start().unwrap()).join().unwrap();
        until("it is ready", || running.last_words().contains("ready"));
        assert_eq!(running.wait_at_most(Duration::from_millis(50)), None);
    }
}

pub(crate) fn nothing_is_left_in_this_process() {
    // A process of its own, for the descriptors of this one come and go.
    let run = Command::new(own_program()).args([GUEST, "often"]).output().unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert_eq!(text, "0 more descriptors, children: ''\n", "{run:?}");
}

pub(crate) fn our_death_is_its_death() {
    for profile in ["off", "loose"] {
        let token = token();
        let mut starter = Command::new(own_program())
            .args([GUEST, "starter", profile, &token])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(starter.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n");
        until("everything begins", || processes_with(&token) == 2);
        starter.kill().unwrap();
        starter.wait().unwrap();
        until("everything ends", || processes_with(&token) == 0);
    }
}

pub(crate) fn the_launchers_death_is_its_death() {
    if !has_namespaces("launcher") {
        return;
    }
    let token = token();
    let script = format!("setsid sleep 1000{token} & sleep 1000{token}");
    let running = shell(&script).start().unwrap();
    until("everything begins", || processes_with(&token) == 2);
    rustix::process::pidfd_send_signal(running.end(), Signal::KILL).unwrap();
    assert_eq!(end(&running).signal(), Some(9));
    until("everything ends", || processes_with(&token) == 0);
}
