//! Servers in other languages: `examples/hello.c`, built with the machine's compiler, and
//! `examples/hello.py`.

use crate::core::{Core, LONGEST, name, pair};
use crate::listens::Place;
use crate::program::Program;
use filofs_wire::abi::{
    EXTENSION_VERSION, EntryOut, GetattrIn, MountFlags, Opcode, OpenIn, OpenOut, ROOT_ID, ReadIn,
    UnmountIn,
};
use filofs_wire::request::Operation;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello.c");
const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/hello.py");

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
    serves_one_file(&mut core);
}

#[test]
fn a_program_in_python_speaks_the_protocol_as_documented() {
    // Once with the extension, and once toward a core that does not offer it.
    for offer in [Some((EXTENSION_VERSION, LONGEST)), None] {
        let (ours, theirs) = pair();
        if Command::new("python3").arg("--version").output().is_err() {
            assert_ne!(std::env::var("FILO_REQUIRE").as_deref(), Ok("1"), "this needs python3");
            eprintln!("skipped: this needs python3");
            return;
        }
        let _running = Program::command(Some(theirs), Path::new(SCRIPT), |command| {
            command.env("FILO_CHANNEL", "5");
        });
        let mut core = Core::new(ours);
        let agreed = core.init(offer);
        assert_eq!(agreed.arguments.is_some(), offer.is_some());
        serves_one_file(&mut core);
        let Some(arguments) = agreed.arguments else { continue };
        assert_eq!((arguments.type_name(), arguments.from_name()), ("hello.py", "hello"));
        assert!(arguments.flags.contains(MountFlags::READ_ONLY));
        assert!(
            arguments.has_operation(Opcode::Unmount) && !arguments.has_operation(Opcode::Write)
        );
        let arg = UnmountIn::default();
        assert_eq!(core.ask(0, &Operation::Unmount { arg }), Ok(Vec::new()));
        assert_eq!(core.ask(0, &Operation::Destroy), Ok(Vec::new()));
    }
}

fn serves_one_file(core: &mut Core) {
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
