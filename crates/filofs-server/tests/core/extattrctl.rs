//! Extended attributes of the file system, on and off (A110-A114).

use crate::script::{FILE, Said, Script, cx};
use filofs::{Errno, ExtattrCtl, FileSystem};
use filofs_wire::abi::Opcode;

const START: ExtattrCtl<'static> = ExtattrCtl { command: 1, namespace: 2, name: None };

#[test]
fn extattrctl_says_what_is_there() {
    // A111: flags say which parts come; the name is whole.
    let played = Script::new().running();
    let file = played.node("f");
    played.mount.extattrctl(&cx(), None, START).unwrap();
    let named = ExtattrCtl { name: Some(b"user.x"), ..START };
    played.mount.extattrctl(&cx(), Some(&file), named).unwrap();
    let asked = played.wire.asked();
    let asked: Vec<_> = asked.iter().filter(|a| a.opcode == Opcode::Extattrctl).collect();
    let body = |flags: u32, name: &[u8]| {
        [&[1u32, 2, flags, 0].map(u32::to_ne_bytes).concat()[..], name].concat()
    };
    assert_eq!((asked[0].nodeid, &asked[0].body), (0, &body(0, b"")));
    assert_eq!((asked[1].nodeid, &asked[1].body), (FILE, &body(3, b"user.x\0")));
    // A111: too long a name is refused, not cut.
    let long = [b'x'; 256];
    let named = ExtattrCtl { name: Some(&long), ..START };
    assert_eq!(played.mount.extattrctl(&cx(), None, named), Err(Errno::ENAMETOOLONG));
    assert_eq!(played.wire.count(Opcode::Extattrctl), 2);
}

#[test]
fn extattrctl_exdev() {
    // A110: a node of another mount means nothing to this server, which is not asked.
    let (played, other) = (Script::new().running(), Script::new().running());
    let stranger = other.node("f");
    assert_eq!(played.mount.extattrctl(&cx(), Some(&stranger), START), Err(Errno::EXDEV));
    assert_eq!(played.wire.count(Opcode::Extattrctl), 0);
}

#[test]
fn extattrctl_errors_are_checked() {
    // A114
    for (said, heard) in [(-1, Errno::EPERM), (-12345, Errno::EPROTO), (-38, Errno::EOPNOTSUPP)] {
        let script = Script::new().on(Opcode::Extattrctl, move |_, _| Said::Error(said));
        let played = script.running();
        assert_eq!(played.mount.extattrctl(&cx(), None, START), Err(heard), "{said}");
    }
    let foreign = Script::foreign().running();
    assert_eq!(foreign.mount.extattrctl(&cx(), None, START), Err(Errno::EOPNOTSUPP));
}
