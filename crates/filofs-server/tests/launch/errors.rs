//! What whoever starts a program is told when it does not run.

use crate::ground::{Place, end, has_namespaces, is_root, refused, sandbox, shell};
use filofs_server::launch::{LaunchError, Program};
use rustix::thread::{CapabilitySet, capabilities};
use std::os::unix::process::ExitStatusExt;

fn start(program: &str) -> LaunchError {
    refused(Program::new("it", [program]))
}

pub(crate) fn a_missing_program() {
    let error = start("filo-no-such-program");
    let searched = Some(std::env::var("PATH").unwrap());
    assert_eq!(error, LaunchError::NotFound { program: "filo-no-such-program".into(), searched });
    assert!(error.to_string().starts_with("filo-no-such-program: no such program in PATH;"));
    let error = start("/filo/no/such");
    assert_eq!(error, LaunchError::NotFound { program: "/filo/no/such".into(), searched: None });
    assert_eq!(error.to_string(), "/filo/no/such: no such program");
    assert!(matches!(start(""), LaunchError::NotFound { .. }));
    let nothing = refused(Program::new("it", Vec::<String>::new()));
    assert!(matches!(nothing, LaunchError::NotFound { .. }));
    // PATH is that of the program.
    let error = refused(Program::new("it", ["sh"]).env("PATH", "/proc"));
    assert_eq!(error.to_string(), "sh: no such program in PATH; say where it is, as ./sh");
}

pub(crate) fn a_program_that_cannot_be_executed() {
    let place = Place::new();
    let text = |path: &std::path::Path| {
        let error = start(path.to_str().unwrap());
        let LaunchError::NotExecutable { path: found, why } = &error else { panic!("{error:?}") };
        assert_eq!(found, path);
        why.clone()
    };
    assert_eq!(text(&place.file("plain", "text", 0o644)), "permission denied");
    let gone = place.program("gone", "#!/no/such/interpreter\n");
    assert_eq!(text(&gone), "the interpreter or loader that it names is missing");
    assert_eq!(text(&place.0), "it is a directory");
    // Found in PATH, but not to be executed.
    let error = refused(Program::new("it", ["plain"]).env("PATH", &place.0));
    assert!(matches!(error, LaunchError::NotExecutable { .. }), "{error:?}");
}

pub(crate) fn a_program_that_ends_at_once() {
    let running = shell("echo 'no such host' >&2; echo; exit 3").start().unwrap();
    let status = end(&running);
    assert_eq!(status.code(), Some(3));
    let text = running.ended_error().unwrap().to_string();
    assert_eq!(text, "shell ended (exit status: 3); its last words: no such host");
    let running = shell("kill -9 $$").start().unwrap();
    assert_eq!(end(&running).signal(), Some(9));
    let text = running.ended_error().unwrap().to_string();
    assert!(text.starts_with("shell ended (signal: 9 (SIGKILL)) and left no word"), "{text}");
}

pub(crate) fn a_path_to_allow_that_is_missing() {
    if has_namespaces("allow=") {
        let error = refused(shell("true").sandbox(sandbox(&["sandbox=strict", "allow=/no/such"])));
        assert!(matches!(error, LaunchError::Sandbox { .. }), "{error:?}");
        assert!(error.to_string().starts_with("/no/such cannot be allowed"), "{error}");
    }
}

pub(crate) fn a_sandbox_that_contradicts_itself() {
    let error = refused(shell("true").sandbox(sandbox(&["sandbox=off", "net=no"])));
    assert!(matches!(error, LaunchError::Sandbox { .. }), "{error:?}");
}

pub(crate) fn a_bind_that_cannot_be() {
    if has_namespaces("bind") {
        let error = refused(shell("true").bind("/no/such".as_ref(), "/dev/null".as_ref()));
        assert!(matches!(error, LaunchError::Namespace { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.starts_with("cannot mount /no/such over /dev/null: No such file"), "{text}");
    }
}

pub(crate) fn strict_needs_namespaces() {
    let administers = capabilities(None).unwrap().effective.contains(CapabilitySet::SYS_ADMIN);
    if is_root() && !administers {
        for words in [&["sandbox=strict"][..], &["net=no"]] {
            let error = refused(shell("true").sandbox(sandbox(words)));
            assert!(matches!(error, LaunchError::Sandbox { .. }), "{error:?}");
            assert!(error.to_string().contains("needs namespaces"), "{error}");
        }
    }
}

pub(crate) fn a_launcher_that_is_none() {
    let error = refused(shell("true").launcher("/no/such".as_ref()));
    assert!(matches!(error, LaunchError::System { .. }), "{error:?}");
    let error = refused(shell("true").launcher("/bin/false".as_ref()));
    assert!(matches!(error, LaunchError::Ended { .. }), "{error:?}");
}
