//! `serve` as a program: this test program, called again.

use crate::core::{Core, pair};
use filofs::{Attr, Context, Entry, FileSystem, Result};
use filofs_wire::abi::{AttrOut, EXTENSION_VERSION, GetattrIn, ROOT_ID};
use filofs_wire::request::Operation;
use rustix::fd::OwnedFd;
use std::io::Read;
use std::path::Path;
use std::process::{Child, Command, Stdio};

struct Hello;

impl FileSystem for Hello {
    fn name(&self) -> &'static str {
        "hello"
    }
    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(Attr::directory(1)))
    }
    fn getattr(&self, _: &Context<'_>, _: &filofs::Node, _: Option<&filofs::Open>) -> Result<Attr> {
        Ok(Attr::directory(1))
    }
}

/// Not a test but the server, when the environment says so.
#[test]
fn serve() {
    if std::env::var_os("FILO_TEST_SERVES").is_some() {
        // The test harness has words of its own on the command line.
        let words = std::env::var_os("FILO_TEST_WORD");
        let served = filofs_server::serve::Server::new().serve(Hello, words);
        let code = served.map_or_else(
            |error| {
                eprintln!("@{error}");
                error.exit_code()
            },
            |()| 0,
        );
        std::process::exit(code.into());
    }
}

/// The server; killed with the value.
pub(crate) struct Program(Child);

impl Program {
    /// This test program, with that end of a channel as descriptor 5, if it has one, and more for
    /// the environment.
    fn start(channel: Option<OwnedFd>, set: impl FnOnce(&mut Command)) -> Program {
        let this = std::env::current_exe().unwrap();
        Program::command(channel, &this, |command| {
            command.args(["program::serve", "--exact", "--nocapture", "--test-threads=1"]);
            command.env("FILO_TEST_SERVES", "1");
            set(command);
        })
    }

    /// Any program.
    pub(crate) fn command(
        channel: Option<OwnedFd>,
        program: &Path,
        set: impl FnOnce(&mut Command),
    ) -> Program {
        let mut command = Command::new("/bin/sh");
        // Nothing of other tests is inherited: the channel comes as standard input.
        command.args(["-c", "exec 5<&0 </dev/null; exec \"$@\"", "sh"]).arg(program);
        command.stdin(channel.map_or(Stdio::null(), Stdio::from));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        set(&mut command);
        Program(command.spawn().unwrap())
    }

    /// Its exit code and what it told.
    fn end(mut self) -> (Option<i32>, String) {
        let mut told = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut told).unwrap();
        let told = told.split_once('@').map(|(_, told)| told.trim_end().to_owned());
        (self.0.wait().unwrap().code(), told.unwrap_or_default())
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn over_channel(command: &mut Command) {
    command.env("FILO_CHANNEL", "5");
}

#[test]
fn a_program_serves_over_the_channel_it_was_given() {
    let (ours, theirs) = pair();
    let program = Program::start(Some(theirs), over_channel);
    let mut core = Core::new(ours);
    let agreed = core.init(Some((EXTENSION_VERSION, 1 << 16)));
    assert_eq!(crate::core::text(&agreed.arguments.unwrap().type_name), "hello");
    let arg = GetattrIn::default();
    let attr: AttrOut = core.get(ROOT_ID, &Operation::Getattr { arg }).unwrap();
    assert_eq!(attr.attr.ino, 1);
    // The end of the channel is the end of the program (A64).
    drop(core);
    assert_eq!(program.end(), (Some(0), String::new()));
}

#[test]
fn a_program_started_by_hand_says_how_to_mount_it() {
    for word in ["", "-h"] {
        let program = Program::start(None, |command| {
            if !word.is_empty() {
                command.env("FILO_TEST_WORD", word);
            }
        });
        let (code, told) = program.end();
        assert_eq!(code, Some(1));
        assert!(told.starts_with("this is a file server: mount it with 'filo mount server:"));
        assert_eq!(told.lines().count(), 1, "{told}");
    }
}

#[test]
fn a_channel_that_is_none_is_told() {
    for (number, code) in [("five", 1), ("", 1), ("1", 3), ("777", 3)] {
        let program = Program::start(None, |command| {
            command.env("FILO_CHANNEL", number);
        });
        let (ended, told) = program.end();
        assert_eq!((ended, told.lines().count()), (Some(code), 1), "{number}: {told}");
    }
}

#[test]
fn a_core_that_goes_before_init_is_told() {
    let (ours, theirs) = pair();
    let program = Program::start(Some(theirs), over_channel);
    drop(ours);
    let (code, told) = program.end();
    assert_eq!(code, Some(4), "{told}");
    assert!(told.contains("before INIT"), "{told}");
}
