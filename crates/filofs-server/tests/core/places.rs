//! Places of nodes, as a server tells of them.

use crate::script::{DIR, Played, Said, Script, cx, entry};
use filofs::{Errno, FileSystem, Name, Node};
use filofs_wire::abi::{EntryOut, Opcode};
use filofs_wire::request::Operation;

/// A directory in `DIR`, which is in it.
const BELOW: u64 = 200;

fn directory(nodeid: u64) -> EntryOut {
    let mut entry = entry(nodeid);
    (entry.attr.mode, entry.attr.size) = (0o040_755, 0);
    entry
}

fn child(played: &Played, dir: &Node, name: &[u8]) -> Node {
    let entry = played.mount.lookup(&cx(), dir, Name::new(name).unwrap()).unwrap();
    played.mount.adopt(dir, &entry).unwrap()
}

#[test]
fn a_directory_below_itself_is_given_back_all_the_same() {
    // A server may say so; and it looks so where others move directories about.
    let script = Script::new().on(Opcode::Lookup, |request, _| {
        let Operation::Lookup { name } = request.operation else { unreachable!() };
        match (request.header.nodeid, name.as_bytes()) {
            (1 | BELOW, b"d") => Said::one(&directory(DIR)),
            (DIR, b"e") => Said::one(&directory(BELOW)),
            _ => Said::no(Errno::ENOENT),
        }
    });
    let played = script.running();
    let above = played.node("d");
    let below = child(&played, &above, b"e");
    let again = child(&played, &below, b"d");
    assert_eq!(again.cookie(), above.cookie());
    drop((above, below, again));
    let given_back = |nodeid, lookups: u64| {
        played.wire.until("forget", |seen| {
            let forgets = seen.iter().filter(|asked| asked.opcode == Opcode::Forget);
            let mut forgets = forgets.filter(|asked| asked.nodeid == nodeid);
            forgets.any(|asked| asked.body == lookups.to_ne_bytes())
        });
    };
    given_back(BELOW, 1);
    given_back(DIR, 2);
}
