//! Bases that are other processes, as a person meets them: what is said when one does not start,
//! what becomes of it, and that nothing is left.

use crate::common::{
    FILO, NOBODY, Place, able, can_mount, eventually, filo, is_alive, is_mounted, reachable,
    server_of,
};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

/// A place with a directory to show, one to mount on, and one for temporary files.
pub(crate) struct Ground {
    pub(crate) place: Place,
    pub(crate) srv: PathBuf,
    pub(crate) at: PathBuf,
    tmp: PathBuf,
}

impl Ground {
    /// `None` where it cannot be mounted.
    pub(crate) fn new() -> Option<Ground> {
        if !can_mount() {
            return None;
        }
        let place = Place::new();
        let [srv, at, tmp] = ["srv", "mnt", "tmp"].map(|name| place.dir(name));
        fs::write(srv.join("file"), "text").unwrap();
        Some(Ground { place, srv, at, tmp })
    }

    /// The same, with bindfs.
    fn with_bindfs() -> Option<Ground> {
        let there = Command::new("bindfs").arg("--version").output().is_ok();
        if able("bindfs", there) { Ground::new() } else { None }
    }

    /// bindfs as a base, with options of the base.
    fn bindfs(&self, options: &str) -> String {
        format!("exec:bindfs {} {{}}{options}", self.srv.display())
    }

    fn filo(&self, words: &[&str]) -> Command {
        let mut command = Command::new(FILO);
        command.args(words).env("TMPDIR", &self.tmp).current_dir(&self.place.0);
        command.stdin(Stdio::null());
        command
    }

    fn at(&self) -> &str {
        self.at.to_str().unwrap()
    }

    /// Mounts in the background. What is seen is what the base shows.
    pub(crate) fn mount(&self, words: &[&str]) {
        let output = self.filo(&["mount"]).args(words).arg(&self.at).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{}", told(&output));
        assert!(is_mounted(&self.at));
    }

    fn reads(&self) -> bool {
        fs::read(self.at.join("file")).is_ok_and(|text| text == b"text")
    }

    /// What filo says of the one server of the mount, while there is a mount.
    pub(crate) fn server(&self) -> Option<Value> {
        let list: Value = serde_json::from_slice(&filo(&["list", "--json"]).stdout).unwrap();
        let mounts = list.as_array().unwrap();
        let mount = mounts.iter().find(|mount| mount["mountpoint"] == *self.at())?;
        let servers = mount["servers"].as_array().unwrap();
        assert!(servers.len() <= 1, "{mount}");
        servers.first().cloned()
    }

    /// Kills the server until it has ended. More than once: what puts itself into the background
    /// is at first the process that is about to leave.
    fn kill_server(&self, has_ended: impl Fn() -> bool) {
        eventually("the server has ended", || {
            if has_ended() {
                return true;
            }
            let pid = self.server().and_then(|server| server["pid"].as_u64());
            if let Some(pid) = pid {
                kill(u32::try_from(pid).unwrap(), Signal::KILL);
            }
            false
        });
    }

    /// Unmounts. Whatever starts a process beside this has our open files for a moment: then it is
    /// in use.
    pub(crate) fn unmount(&self) {
        eventually("it is unmounted", || {
            let output = filo(&["umount", self.at()]);
            assert!(
                output.status.success() || told(&output).contains("in use"),
                "{}",
                told(&output)
            );
            output.status.success()
        });
    }

    /// The processes that have to do with this place: every launcher, keeper and program has a
    /// path of it among its words.
    fn processes(&self) -> Vec<String> {
        let here = self.place.0.to_str().unwrap();
        let processes = fs::read_dir("/proc").unwrap().flatten();
        let words = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        let words = words.map(|words| String::from_utf8_lossy(&words).replace('\0', " "));
        words.filter(|words| words.contains(here)).collect()
    }

    pub(crate) fn nothing_is_left(&self) {
        eventually("every process has ended", || self.processes().is_empty());
        eventually("temporary files are gone", || fs::read_dir(&self.tmp).unwrap().count() == 0);
    }
}

impl Drop for Ground {
    fn drop(&mut self) {
        if let Some(server) = server_of(&self.at) {
            kill(server, Signal::KILL);
        }
    }
}

/// A filo in the foreground; killed with the value.
pub(crate) struct Foreground(pub(crate) Child);

impl Drop for Foreground {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

pub(crate) fn kill(pid: u32, signal: Signal) {
    let _ = kill_process(Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(), signal);
}

fn told(output: &Output) -> String {
    format!("{:?} {}", output.status, String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a_base_that_cannot_be_is_one_line_that_says_why() {
    let Some(ground) = Ground::new() else { return };
    fs::create_dir(ground.place.0.join("folder")).unwrap();
    fs::write(ground.place.0.join("plain"), "").unwrap();
    for (base, code, expected) in [
        ("server:", 5, "base 'server': say which, as in 'server:./my-server'"),
        ("exec:", 5, "base 'exec': say which program, as in 'exec:sshfs"),
        ("server:filo-no-such", 5, "filo-no-such: no such program in PATH; say where it is"),
        ("server:./no-such", 5, "./no-such: no such program\n"),
        ("exec:./no-such {}", 5, "./no-such: no such program\n"),
        ("server:./folder", 5, "./folder cannot be executed: it is a directory"),
        ("server:./plain", 5, "./plain cannot be executed: permission denied"),
        ("server:true", 5, "true ended (exit status: 0) before it answered INIT\n"),
        (
            "server:sh -c 'echo one >&2; echo two >&2; exit 3'",
            5,
            "sh ended (exit status: 3) before it answered INIT; its last words: one; two\n",
        ),
        ("server:sleep 100,start-timeout=1", 5, "sleep does not answer INIT; waited 1 s"),
        ("exec:sleep 100,start-timeout=1", 5, "the command needs a {} where its mount point"),
        (
            "exec:sh -c 'echo well >&2; sleep 100' {},start-timeout=1",
            5,
            "sh has not mounted anything in 1 s; it said: well\n",
        ),
        ("exec:false {}", 5, "false ended (exit status: 1) and left no word"),
        ("exec:sh -c 'kill -9 $$' {}", 5, "sh ended (signal: 9 (SIGKILL))"),
        ("exec:cat 'x {}", 5, "a quote that is not closed: '"),
        ("server:cat,on-exit=maybe", 5, "option 'on_exit': 'maybe' is not restart, fail or unm"),
        ("server:cat,timeout=x", 5, "option 'timeout': 'x' is no number"),
        ("server:cat,sandbox=tight", 5, "option 'sandbox': 'tight' is not off, loose or strict"),
        ("server:cat,memory=1", 5, "option 'memory': '1' is less than"),
        ("server:cat,peer=1", 5, "option 'peer' is for 'unix=SOCKET'"),
        ("exec:cat {},attach=x", 5, "option 'attach': 'x' is not auto, standin or fd"),
        ("server:cat,allow=/x", 5, "allow= and read= need sandbox=strict"),
        ("server:cat,timout=3", 2, "no option 'timout'; did you mean 'timeout'?"),
    ] {
        let output = ground.filo(&["mount", base]).arg(&ground.at).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{base}: {text}");
        assert!(text.starts_with("filo: base '") && text.contains(expected), "{base}: {text}");
        assert_eq!(text.lines().count(), 1, "{base}: {text}");
        assert!(!is_mounted(&ground.at), "{base}");
    }
    ground.nothing_is_left();
}

#[test]
fn a_socket_without_a_file_server_is_told() {
    let Some(ground) = Ground::new() else { return };
    let socket = ground.place.0.join("socket");
    let base = format!("server:unix={}", socket.display());
    let refused = |base: &str| {
        let output = ground.filo(&["mount", base]).arg(&ground.at).output().unwrap();
        assert_eq!(output.status.code(), Some(5), "{}", told(&output));
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(text.lines().count(), 1, "{text}");
        text
    };
    assert!(refused("server:unix=").contains("unix= needs the path of a socket"));
    assert!(refused(&base).contains("No such file or directory: start the server first"));
    fs::write(&socket, "").unwrap();
    assert!(refused(&base).contains("Connection refused: no server listens there"));
    fs::remove_file(&socket).unwrap();
    let _listener = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    assert!(refused(&base).contains("listens at one of type SOCK_SEQPACKET"));
    // What would do nothing, and be believed to protect.
    let text = refused(&format!("{base},sandbox=strict"));
    assert!(text.contains("option 'sandbox' is for programs started here"), "{text}");
}

#[test]
fn a_server_of_another_user_is_not_believed_unless_told_so() {
    let Some(ground) = Ground::new() else { return };
    let program = reachable(&ground.place);
    let home = ground.place.dir("home");
    std::os::unix::fs::chown(&home, Some(NOBODY), Some(NOBODY)).unwrap();
    let socket = home.join("socket");
    let mut server = Command::new(program);
    server.args(["serve", "mem:", "--socket"]).arg(&socket).uid(NOBODY).gid(NOBODY);
    let _server = Foreground(server.current_dir("/").stdin(Stdio::null()).spawn().unwrap());
    eventually("it listens", || socket.exists());
    let base = format!("server:unix={}", socket.display());
    let output = ground.filo(&["mount", &base]).arg(&ground.at).output().unwrap();
    assert_eq!(output.status.code(), Some(5), "{}", told(&output));
    let expected = format!("is served by user {NOBODY}; if that is right, say peer={NOBODY}\n");
    assert!(told(&output).ends_with(&expected), "{}", told(&output));
    ground.mount(&[&format!("{base},peer={NOBODY}")]);
    ground.unmount();
}

#[test]
fn how_a_server_is_can_be_seen() {
    // A10: the arguments in force are read back.
    let Some(ground) = Ground::new() else { return };
    let own = format!("server:{FILO} serve dir:{}", ground.srv.display());
    ground.mount(&[&own, "readonly"]);
    assert!(ground.reads());
    let server = ground.server().unwrap();
    for (key, expected) in [
        ("server", Value::from("filo")),
        ("state", "running".into()),
        ("lives", 1.into()),
        ("lies", 0.into()),
        ("type", "fuse.dir".into()),
        ("max_message", 135_168.into()),
    ] {
        assert_eq!(server[key], expected, "{key}: {server}");
    }
    assert!(server["handles"].as_str().unwrap().starts_with("of "), "{server}");
    assert!(server["nodes"].as_u64().unwrap() >= 2, "{server}");
    assert!(server["outstanding"].is_u64(), "{server}");
    let pid = server["pid"].as_u64().unwrap();
    let text = String::from_utf8(filo(&["list", "-v"]).stdout).unwrap();
    let own = text.lines().skip_while(|line| !line.contains(ground.at()));
    let own: Vec<_> = own.map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    for expected in [["server", "filo"], ["pid", &pid.to_string()], ["state", "running"]] {
        assert!(own.iter().any(|words| words == &expected), "{expected:?} in {text}");
    }
    let brief = String::from_utf8(filo(&["list"]).stdout).unwrap();
    assert!(!brief.contains("outstanding"), "{brief}");
    ground.unmount();
    ground.nothing_is_left();
}

#[test]
fn every_way_to_unmount_ends_the_server() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let base = ground.bindfs("");
    let ways: [(&str, &[&str]); 3] =
        [(FILO, &["umount"]), ("umount", &[]), ("fusermount3", &["-u"])];
    for (program, words) in ways {
        ground.mount(&[&base, "null"]);
        assert!(ground.reads());
        // The program puts itself into the background, and is found all the same.
        let pid = u32::try_from(ground.server().unwrap()["pid"].as_u64().unwrap()).unwrap();
        assert!(fs::read_to_string(format!("/proc/{pid}/comm")).unwrap().contains("bindfs"));
        let filo = server_of(&ground.at).unwrap();
        // In use, it stays, and so does the server.
        let open = fs::File::open(ground.at.join("file")).unwrap();
        let busy = Command::new(program).args(words).arg(&ground.at).output().unwrap();
        assert!(!busy.status.success() && is_mounted(&ground.at), "{program}: {}", told(&busy));
        assert!(ground.reads());
        drop(open);
        // A release is on its way, nobody waits for it.
        eventually("it is unmounted", || {
            Command::new(program).args(words).arg(&ground.at).output().unwrap().status.success()
        });
        assert!(!is_mounted(&ground.at), "{program}");
        eventually("its processes end", || !is_alive(pid) && !is_alive(filo));
        ground.nothing_is_left();
    }
}

#[test]
fn an_interrupt_ends_filo_and_its_server_in_good_order() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let mut command = ground.filo(&["mount", "-f", &ground.bindfs(""), ground.at()]);
    let mut filo = Foreground(command.spawn().unwrap());
    eventually("it is mounted", || ground.reads());
    kill(filo.0.id(), Signal::INT);
    assert_eq!(filo.0.wait().unwrap().code(), Some(0));
    assert!(!is_mounted(&ground.at));
    // Not only soon: it has waited.
    assert_eq!(ground.processes(), Vec::<String>::new());
    assert_eq!(fs::read_dir(&ground.tmp).unwrap().count(), 0);
}

#[test]
fn a_killed_filo_leaves_no_program_and_no_files() {
    let Some(ground) = Ground::with_bindfs() else { return };
    ground.mount(&[&ground.bindfs(""), "-o", "auto_unmount"]);
    assert_eq!(fs::read_dir(&ground.tmp).unwrap().count(), 1);
    kill(server_of(&ground.at).unwrap(), Signal::KILL);
    eventually("the mount is gone", || !is_mounted(&ground.at));
    ground.nothing_is_left();
    assert_eq!(fs::read_dir(&ground.srv).unwrap().count(), 1, "what was shown is untouched");
}

#[test]
fn a_killed_server_is_started_again_where_it_was_started_first() {
    let Some(ground) = Ground::with_bindfs() else { return };
    // In the background filo is in the root directory: what is relative is meant from here.
    ground.mount(&["exec:bindfs ./srv {}"]);
    let lives = || ground.server().map_or(0, |server| server["lives"].as_u64().unwrap());
    for _ in 0..2 {
        let before = lives();
        ground.kill_server(|| lives() > before);
        assert!(ground.reads());
        eventually("it runs", || ground.server().unwrap()["state"] == "running");
    }
    ground.unmount();
    ground.nothing_is_left();
}

#[test]
fn a_killed_server_that_is_not_wanted_again_is_gone() {
    let Some(ground) = Ground::with_bindfs() else { return };
    ground.mount(&[&ground.bindfs(",on-exit=fail")]);
    ground.kill_server(|| ground.server().unwrap()["state"] == "gone");
    let server = ground.server().unwrap();
    assert!(server["lives"] == 1 && server.get("pid").is_none(), "{server}");
    let error = fs::read_dir(&ground.at).unwrap_err();
    assert_eq!(error.raw_os_error(), Some(rustix::io::Errno::IO.raw_os_error()));
    assert!(is_mounted(&ground.at));
    ground.unmount();
    ground.nothing_is_left();
}

#[test]
fn a_killed_server_takes_its_mount_along_if_told_so() {
    // A64
    let Some(ground) = Ground::with_bindfs() else { return };
    ground.mount(&[&ground.bindfs(",on-exit=unmount")]);
    let filo = server_of(&ground.at).unwrap();
    ground.kill_server(|| !is_mounted(&ground.at));
    eventually("filo has ended", || !is_alive(filo));
    ground.nothing_is_left();
}

#[test]
fn a_hung_server_holds_nobody_up_for_long() {
    let Some(ground) = Ground::with_bindfs() else { return };
    ground.mount(&[&ground.bindfs(",timeout=1")]);
    assert!(ground.reads());
    let stat = |pid: u64| fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let pid = || ground.server().unwrap()["pid"].as_u64().unwrap();
    // Until it is the one in the background that has stopped.
    eventually("it has stopped", || {
        kill(u32::try_from(pid()).unwrap(), Signal::STOP);
        fs::metadata(ground.at.join("other")).is_err_and(|error| {
            error.raw_os_error() == Some(rustix::io::Errno::TIMEDOUT.raw_os_error())
        })
    });
    assert!(stat(pid()).contains(") T "), "{}", stat(pid()));
    // How it is can be seen all the same, and it can be taken away.
    assert_eq!(ground.server().unwrap()["state"], "running");
    ground.unmount();
    ground.nothing_is_left();
}

#[test]
fn messages_are_written_where_they_can_be_read() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let log = ground.place.0.join("log");
    let base = ground.bindfs("");
    ground.mount(&["--trace-messages", "--log-file", log.to_str().unwrap(), &base]);
    fs::write(ground.at.join("new"), vec![7; 100_000]).unwrap();
    ground.unmount();
    let text = fs::read_to_string(&log).unwrap();
    for expected in ["bindfs <- #2 INIT", "LOOKUP node 1 \"new\"", " ENOENT, LOOKUP"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(text.lines().all(|line| line.len() < 500), "data is not for people");

    let refused = |words: &[&str]| {
        let output = ground.filo(&["mount", "--trace-messages"]).args(words).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        told(&output)
    };
    assert!(refused(&["mem:", ground.at()]).contains("base 'mem' sends none: it is no server"));
    assert!(refused(&[&base, ground.at()]).contains("say where to with '--log-file FILE'"));
}

#[test]
fn quotes_keep_blanks_together() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let odd = ground.place.dir("my \"odd\", 'dir'");
    fs::write(odd.join("file"), "text").unwrap();
    ground.mount(&["exec:bindfs \"./my \\\"odd\\\", 'dir'\" {}", "readonly"]);
    assert!(ground.reads());
    ground.unmount();
}

#[test]
fn a_file_says_a_command_and_a_list() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let file = ground.place.0.join("stack.toml");
    let (srv, at) = (ground.srv.display(), ground.at.display());
    let text = format!(
        "mount = '{at}'\n[base]\ntype = 'exec'\ncommand = 'bindfs {srv} {{}}'\n\
         sandbox = 'strict'\nallow = ['{srv}', '/etc']\n[[layer]]\ntype = 'readonly'\n"
    );
    fs::write(&file, text).unwrap();
    let file = file.to_str().unwrap();
    let checked = filo(&["check", file]);
    assert!(checked.status.success(), "{}", told(&checked));
    let output = ground.filo(&["mount", "--config", file]).output().unwrap();
    assert!(output.status.success(), "{}", told(&output));
    assert!(ground.reads() && fs::write(ground.at.join("file"), "").is_err());
    ground.unmount();
    // What explains it says the same, and starts nothing.
    let explained = String::from_utf8(filo(&["explain", file]).stdout).unwrap();
    assert!(explained.contains(&format!("command = \"bindfs {srv} {{}}\"")), "{explained}");
    let trap = ground.place.0.join("trap");
    let base = format!("exec:touch {} {{}}", trap.display());
    assert!(filo(&["explain", &base]).status.success());
    assert!(!trap.exists());
}

#[test]
fn the_readme_is_right_about_programs() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let readme = concat!(env!("CARGO_MANIFEST_DIR"), "/../../README.md");
    let readme = fs::read_to_string(readme).unwrap();
    let commands =
        readme.lines().filter_map(|line| line.strip_prefix("    filo mount 'exec:bindfs"));
    let commands: Vec<_> = commands.collect();
    assert_eq!(commands.len(), 2);
    for words in commands {
        let words = words.replace("/mnt/srv", ground.at());
        let words = words.replace(" /srv", &format!(" {}", ground.srv.display()));
        let words = words.replace("=/srv", &format!("={}", ground.srv.display()));
        let mut command = Command::new("sh");
        command.args(["-c", &format!("{FILO} mount 'exec:bindfs{words}")]);
        let output = command.env("TMPDIR", &ground.tmp).output().unwrap();
        assert!(output.status.success() && output.stderr.is_empty(), "{words}: {}", told(&output));
        assert!(ground.reads(), "{words}");
        ground.unmount();
    }
    ground.nothing_is_left();
}

#[test]
fn fstab_and_mount_8_know_commands() {
    let Some(ground) = Ground::with_bindfs() else { return };
    if !able("mount.fuse (package fuse3)", Path::new("/sbin/mount.fuse").exists()) {
        return;
    }
    let (srv, at) = (ground.srv.display(), ground.at.display());
    let fstab = ground.place.0.join("fstab");
    let typed = format!("exec:bindfs\\040{srv}\\040{{}},on-exit=fail\\040readonly");
    fs::write(&fstab, format!("{typed} {at} fuse.filo nofail,nosuid 0 0\n")).unwrap();
    let bin = Path::new(FILO).parent().unwrap().display();
    for mount in [
        format!("mount -t fuse.filo '{typed}' {at} -o nosuid"),
        format!("mount -t fuse.filo 'exec:bindfs {srv} {{}} readonly' {at} -o nosuid"),
        format!("mount -T {} {at}", fstab.display()),
    ] {
        let script = format!(
            "mount --bind {bin} /usr/local/bin && {mount} && cat {at}/file && \
             ! touch {at}/file 2>/dev/null; umount {at}"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).env("TMPDIR", &ground.tmp);
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"text", "{mount}: {}", told(&output));
        assert!(output.status.success(), "{mount}: {}", told(&output));
        ground.nothing_is_left();
    }
}

#[test]
fn a_command_runs_over_a_program_as_root_and_as_an_ordinary_user() {
    let Some(ground) = Ground::with_bindfs() else { return };
    let program = reachable(&ground.place);
    std::os::unix::fs::chown(&ground.tmp, Some(NOBODY), Some(NOBODY)).unwrap();
    for uid in [0, NOBODY] {
        let mut command = Command::new(&program);
        command.args(["run", &ground.bindfs(""), "null", "--", "sh", "-c", "cat file; id -u"]);
        command.uid(uid).gid(uid).env_remove("XDG_RUNTIME_DIR").env("TMPDIR", &ground.tmp);
        let output = command.current_dir("/").output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert_eq!(text, format!("text{uid}\n"), "{}", told(&output));
        assert!(output.stderr.is_empty(), "{}", told(&output));
        assert_eq!(fs::read_dir(&ground.tmp).unwrap().count(), 0, "it waits for its servers");
    }
}

#[test]
fn an_ordinary_user_mounts_programs() {
    let Some(ground) = Ground::with_bindfs() else { return };
    if !able("fusermount3", Path::new("/usr/bin/fusermount3").exists()) {
        return;
    }
    let program = reachable(&ground.place);
    for dir in [&ground.tmp, &ground.at] {
        std::os::unix::fs::chown(dir, Some(NOBODY), Some(NOBODY)).unwrap();
    }
    let own = format!("server:{} serve dir:{}", program.display(), ground.srv.display());
    for base in [ground.bindfs(""), own] {
        let script =
            format!("{0} mount \"$1\" $2 && cat $2/file; {0} umount $2", program.display());
        let mut command = Command::new("sh");
        command.args(["-c", &script, "sh", &base, ground.at()]).uid(NOBODY).gid(NOBODY);
        command.env_remove("XDG_RUNTIME_DIR").env("TMPDIR", &ground.tmp).current_dir("/");
        let output = command.output().unwrap();
        assert_eq!(output.stdout, b"text", "{base}: {}", told(&output));
        assert!(output.stderr.is_empty(), "{base}: {}", told(&output));
        ground.nothing_is_left();
    }
}
