//! A server in another language: `examples/hello.c`, built with the machine's compiler.

use crate::core::{Core, LONGEST, name, pair};
use crate::listens::Place;
use crate::program::Program;
use filofs_wire::abi::{EXTENSION_VERSION, EntryOut, GetattrIn, OpenIn, OpenOut, ROOT_ID, ReadIn};
use filofs_wire::request::Operation;
use std::path::PathBuf;
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello.c");

/// The program, built; `None` where there is no compiler or no libfuse 3.
fn built(place: &Place) -> Option<PathBuf> {
    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "fuse3"]).output();
    let flags = flags.ok().filter(|flags| flags.status.success());
    let there = flags.is_some() && Command::new("cc").arg("--version").output().is_ok();
    if !there {
        assert_ne!(std::env::var("FILO_REQUIRE").as_deref(), Ok("1"), "this needs cc and libfuse3");
        eprintln!("skipped: this needs cc, pkg-config and libfuse3-dev");
        return None;
    }
    let flags = String::from_utf8(flags?.stdout).unwrap();
    let program = place.0.join("hello-c");
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror", "-o"]).arg(&program).arg(SOURCE);
    let output = cc.args(flags.split_whitespace()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

#[test]
fn a_program_in_c_serves_over_a_socket_pair() {
    let place = Place::new();
    let Some(program) = built(&place) else { return };
    let (ours, theirs) = pair();
    let _running = Program::command(Some(theirs), &program, |command| {
        command.args(["-f", "/dev/fd/5"]);
    });
    let mut core = Core::new(ours);
    // It knows no extension, and the offer does not disturb it.
    let agreed = core.init(Some((EXTENSION_VERSION, LONGEST)));
    assert!(agreed.arguments.is_none());
    let found: EntryOut = core.get(ROOT_ID, &Operation::Lookup { name: name("hello") }).unwrap();
    assert_eq!((found.attr.mode, found.attr.size), (0o100_644, 6));
    assert_eq!(core.ask(ROOT_ID, &Operation::Lookup { name: name("other") }), Err(2), "ENOENT");
    let opened: OpenOut =
        core.get(found.nodeid, &Operation::Open { arg: OpenIn::default() }).unwrap();
    let arg = ReadIn { open_id: opened.open_id, size: 4096, ..ReadIn::default() };
    assert_eq!(core.ask(found.nodeid, &Operation::Read { arg }), Ok(b"world\n".to_vec()));
    let arg = GetattrIn::default();
    assert!(core.ask(ROOT_ID, &Operation::Getattr { arg }).is_ok());
}
