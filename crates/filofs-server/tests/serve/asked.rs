//! What a core asks that Linux does not.

use crate::core::{Core, name};
use crate::toy::{FILE, Toy};
use filofs_server::serve::Server;
use filofs_wire::abi::{
    EntryOut, ErrorIn, ExtattrctlFlags, ExtattrctlIn, ForgetIn, GetattrIn, HandleOfIn, Opcode,
    ROOT_ID, SyncLaterIn, SyncfsIn,
};
use filofs_wire::incoming;
use filofs_wire::name::XattrName;
use filofs_wire::request::Operation;
use std::sync::mpsc;

fn handle_of(core: &mut Core, nodeid: u64, room: u32) -> (u32, Vec<u8>) {
    let arg = HandleOfIn { room, padding: 0 };
    let body = core.ask(nodeid, &Operation::HandleOf { arg }).unwrap();
    let (len, handle) = incoming::handle_of(&body, room).unwrap();
    (len, handle.unwrap_or_default().to_vec())
}

fn node_of(core: &mut Core, handle: &[u8]) -> Result<EntryOut, i32> {
    core.get(ROOT_ID, &Operation::NodeOf { handle })
}

#[test]
fn tfilehandle() {
    // A99, A104: a handle leads back to its node; without room its length is told.
    let (mut core, _session, _) = Core::with(Toy::new().0, &Server::new());
    assert_eq!(handle_of(&mut core, ROOT_ID, 128), (5, b"toy 1".to_vec()));
    assert_eq!(handle_of(&mut core, ROOT_ID, 5), (5, b"toy 1".to_vec()));
    for room in [0, 4] {
        assert_eq!(handle_of(&mut core, ROOT_ID, room), (5, vec![]));
    }
    assert_eq!(node_of(&mut core, b"toy 1").unwrap().nodeid, ROOT_ID);
    assert_eq!(node_of(&mut core, b"toy 2").unwrap().nodeid, FILE);
    // A90, A88
    assert_eq!(node_of(&mut core, b"toy 3"), Err(116), "ESTALE");
    assert_eq!(node_of(&mut core, b""), Err(22), "EINVAL");
    assert_eq!(node_of(&mut core, &[1; 129]), Err(22), "EINVAL");
}

#[test]
fn fh_lookup_counts() {
    // A91: a handle lookup counts as one; the root is not counted.
    let (mut core, session, _) = Core::with(Toy::new().0, &Server::new());
    for _ in 0..2 {
        node_of(&mut core, b"toy 2").unwrap();
        node_of(&mut core, b"toy 1").unwrap();
    }
    core.ask(ROOT_ID, &Operation::Lookup { name: name("x") }).unwrap();
    assert_eq!(session.report().lookups, 3);
    core.send(FILE, &Operation::Forget { arg: ForgetIn { nlookup: 3 } });
    // Exported: the id is good as long as the file system knows it, but nobody holds it.
    let arg = GetattrIn::default();
    core.ask(ROOT_ID, &Operation::Getattr { arg }).unwrap();
    assert_eq!((session.report().lookups, session.report().nodes), (0, 1));
}

#[test]
fn a_sync_that_nobody_waits_for() {
    // A79, A80: nothing is answered, and the mode arrives.
    let (toy, told) = Toy::new();
    let (mut core, _session, _) = Core::with(toy, &Server::new().threads(1));
    for mode in [1, 2] {
        core.send(ROOT_ID, &Operation::SyncLater { arg: SyncLaterIn { mode, padding: 0 } });
    }
    let arg = GetattrIn::default();
    core.ask(ROOT_ID, &Operation::Getattr { arg }).unwrap();
    core.ask(ROOT_ID, &Operation::Syncfs { arg: SyncfsIn::default() }).unwrap();
    assert_eq!(told.asked(), ["sync NoWait", "sync Lazy", "sync Wait"]);
}

#[test]
fn extattrctl_says_which_parts_are_present() {
    // A111
    let (toy, told) = Toy::new();
    let (mut core, _session, _) = Core::with(toy, &Server::new());
    let both = ExtattrctlFlags::HAS_NODE | ExtattrctlFlags::HAS_NAME;
    for flags in [ExtattrctlFlags::empty(), both] {
        let arg = ExtattrctlIn { command: -1, namespace: 2, flags, padding: 0 };
        let name = (!flags.is_empty()).then(|| XattrName::new(b"user").unwrap());
        let body = core.ask(ROOT_ID, &Operation::Extattrctl { arg, name });
        assert_eq!(body, Ok(vec![]));
    }
    let seen = ["extattrctl -1 2 None None", "extattrctl -1 2 Some(Cookie(1)) Some(\"user\")"];
    assert_eq!(told.asked(), seen);
}

#[test]
fn complaints_are_heard_and_counted() {
    // A119, A117: the callback has the operation by its name; a panic in it harms nobody.
    let (told, tells) = mpsc::channel();
    let server = Server::new().on_error(move |complaint| {
        told.send(complaint.to_string()).unwrap();
        assert_ne!(complaint.number, 13, "on purpose");
    });
    let (mut core, session, _) = Core::with(Toy::new().0, &server);
    for (opcode, errno) in [(Opcode::Lookup as u32, 12345), (0, 13)] {
        let text = b"bad\nerrno";
        let len = text.len() as u32;
        let arg = ErrorIn { opcode, errno, nodeid: ROOT_ID, len, padding: 0 };
        core.send(ROOT_ID, &Operation::Error { arg, text });
    }
    let heard = [(); 2].map(|()| tells.recv_timeout(crate::core::FOREVER).unwrap());
    let arg = GetattrIn::default();
    core.ask(ROOT_ID, &Operation::Getattr { arg }).unwrap();
    assert!(heard.contains(&"LOOKUP of node 1: bad.errno (12345)".to_owned()), "{heard:?}");
    assert!(heard.contains(&"no request of node 1: bad.errno (13)".to_owned()), "{heard:?}");
    assert_eq!(session.report().complaints, 2);
}
