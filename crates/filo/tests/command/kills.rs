//! Servers that are killed again and again while somebody works on the mount.

use crate::common::{FILO, eventually, is_alive, server_of};
use crate::servers::{Foreground, Ground, kill};
use rustix::process::Signal;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Makes, reads, renames and removes until told to stop; every call must do what it does. For each
/// step a file beside the mount grows by one byte.
const WORK: &str = r#"
    step() { echo >> "$side/steps" || exit 10; }
    side=$2 n=0
    cd "$1" || exit 11
    while [ ! -e "$side/stop" ]; do
        n=$((n + 1)) f=f$((n % 5))
        echo "round $n" > $f && echo more >> $f || exit 12
        { read -r one && read -r two; } < $f && [ "$one, $two" = "round $n, more" ] || exit 13
        step
        mkdir d && mv $f d/g || exit 14
        step
        ln d/g $f && rm -r d || exit 15
        read -r one < $f && [ "$one" = "round $n" ] || exit 16
        step
    done
"#;

/// Somebody at work in a shell.
struct Worker {
    shell: Foreground,
    side: PathBuf,
}

impl Worker {
    fn start(ground: &Ground) -> Worker {
        let side = ground.place.dir("side");
        fs::write(side.join("steps"), "").unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", WORK, "sh"]).args([&ground.at, &side]).stdin(Stdio::null());
        Worker { shell: Foreground(command.spawn().unwrap()), side }
    }

    fn steps(&self) -> u64 {
        fs::metadata(self.side.join("steps")).unwrap().len()
    }

    /// Waits until it has gone on since.
    fn wait_moved(&mut self, since: u64) {
        // Where it has failed it does not go on.
        let failed = self.shell.0.try_wait().unwrap();
        assert!(failed.is_none(), "the work has ended after {since} steps: {failed:?}");
        let (side, pid) = (&*self, self.shell.0.id());
        eventually("the work goes on", || side.steps() > since || !is_alive(pid));
    }

    fn stop(mut self) -> u64 {
        fs::write(self.side.join("stop"), "").unwrap();
        let pid = self.shell.0.id();
        eventually("the work ends", || !is_alive(pid));
        let status = self.shell.0.wait().unwrap();
        assert!(status.success(), "{status}");
        self.steps()
    }
}

/// Some time below 30 ms, another each time.
fn moment(state: &mut u64) -> Duration {
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    Duration::from_micros((*state >> 33) % 30_000)
}

/// Kills the server so often while somebody works; then nothing of the mount is left. `again`
/// starts it where filo does not.
fn campaign(ground: &Ground, kills: u32, mut again: impl FnMut()) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64;
    println!("seed {now}");
    let mut state = now;
    let mut worker = Worker::start(ground);
    worker.wait_moved(0);
    let told = |key: &str| ground.server().and_then(|server| server[key].as_u64());
    for _ in 0..kills {
        std::thread::sleep(moment(&mut state));
        let (lives, steps) = (told("lives").unwrap(), worker.steps());
        kill(u32::try_from(told("pid").unwrap()).unwrap(), Signal::KILL);
        again();
        eventually("it is started again", || told("lives").is_some_and(|now| now > lives));
        worker.wait_moved(steps);
    }
    let steps = worker.stop();
    println!("{kills} kills, {steps} steps, 0 errors");
    let filo = server_of(&ground.at).unwrap();
    ground.unmount();
    eventually("filo has ended", || !is_alive(filo));
    let mut left: Vec<_> = fs::read_dir(&ground.srv).unwrap().map(|e| e.unwrap().path()).collect();
    left.retain(|path| !path.file_name().unwrap().to_str().unwrap().starts_with('f'));
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_server_that_is_killed_all_the_time_harms_nobody() {
    let Some(ground) = Ground::new() else { return };
    ground.mount(&[&format!("server:{FILO} serve dir:{},deaths=100000", ground.srv.display())]);
    campaign(&ground, 50, || {});
    ground.nothing_is_left();
}

#[test]
fn a_server_at_a_socket_may_be_killed_and_started_again() {
    let Some(ground) = Ground::new() else { return };
    let socket = ground.place.0.join("socket");
    let mut server = Foreground(listen(&ground.srv, &socket));
    eventually("it listens", || socket.exists());
    ground.mount(&[&format!("server:unix={},on_exit=restart,deaths=100000", socket.display())]);
    campaign(&ground, 15, || {
        let _ = server.0.kill();
        server.0.wait().unwrap();
        server = Foreground(listen(&ground.srv, &socket));
    });
    drop(server);
    ground.nothing_is_left();
}

fn listen(srv: &Path, socket: &Path) -> Child {
    let mut command = Command::new(FILO);
    command.arg("serve").arg(format!("dir:{}", srv.display())).arg("--socket").arg(socket);
    command.stdin(Stdio::null()).spawn().unwrap()
}
