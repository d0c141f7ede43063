//! INIT with and without filo's extension.

use crate::core::{Core, LONGEST, name, pair, text};
use filofs_bases::mem::{Mem, Settings};
use filofs_server::serve::Server;
use filofs_wire::abi::{
    EXTENSION_MAGIC, EXTENSION_VERSION, EntryOut, GetattrIn, HandleFlags, MkdirIn, MountFlags,
    Opcode, ROOT_ID,
};
use filofs_wire::request::Operation;
use std::thread;

fn mem() -> Mem {
    Mem::new(Settings { inodes: 1000, ..Settings::default() })
}

#[test]
fn a_core_that_knows_the_extension_is_told_the_mounts_arguments() {
    // A12, A22, A26: version, size and the first numbers, without another message (A41).
    let (mut core, session, agreed) = Core::with(mem(), &Server::new().name("scratch"));
    let arguments = agreed.arguments.unwrap();
    assert_eq!((arguments.magic, arguments.version), (EXTENSION_MAGIC, EXTENSION_VERSION));
    assert_eq!(arguments.flags, MountFlags::OWNS_FILES);
    assert_eq!(arguments.handle_flags, HandleFlags::DYNAMIC);
    assert_eq!(arguments.handle_size as usize, filofs::FileHandle::MAX);
    assert_eq!(arguments.max_message, LONGEST);
    assert_eq!(agreed.init.max_write, LONGEST - 4096);
    assert_eq!(arguments.root.nodeid, ROOT_ID);
    assert_eq!(arguments.root.attr.mode & 0o170_000, 0o040_000);
    assert_eq!(arguments.statfs.files, 1000);
    assert_eq!(text(&arguments.type_name), "scratch");
    assert!(text(arguments.from_name.as_flattened()).starts_with("mem"));
    assert!(arguments.operations.as_flattened().iter().all(|&has| has != 0));
    assert!(arguments.extended_operations.iter().all(|&has| has != 0));
    assert_eq!(arguments.spare, [0; 20]);
    assert_eq!(session.report().served, 0);
    // What the mount above decides is not decided here.
    assert!(!agreed.init.init_flags().intersects(
        filofs_wire::abi::InitFlags::POSIX_ACL | filofs_wire::abi::InitFlags::WRITEBACK_CACHE
    ));
    let arg = MkdirIn { mode: 0o755, umask: 0 };
    let made: EntryOut = core.get(ROOT_ID, &Operation::Mkdir { arg, name: name("dir") }).unwrap();
    assert_eq!(made.attr.uid, crate::core::CALLER);
}

#[test]
fn without_the_extension_nothing_of_it_is_understood() {
    // A12: another version, and Linux, which offers none.
    for offer in [None, Some((EXTENSION_VERSION + 1, LONGEST)), Some((0, LONGEST))] {
        let (ours, theirs) = pair();
        let mut core = Core::new(ours);
        thread::scope(|scope| {
            let session = scope.spawn(|| Server::new().over(mem(), theirs).unwrap());
            let agreed = core.init(offer);
            assert!(agreed.arguments.is_none());
            assert_eq!(agreed.init.max_write as usize % 4096, 0);
            let _session = session.join().unwrap();
            let arg = GetattrIn::default();
            assert!(core.ask(ROOT_ID, &Operation::Getattr { arg }).is_ok());
            for opcode in Opcode::ALL.iter().filter(|o| o.is_extension() && o.wants_answer()) {
                let header = filofs_wire::abi::InHeader {
                    len: 40,
                    opcode: *opcode as u32,
                    unique: 1000,
                    nodeid: ROOT_ID,
                    ..Default::default()
                };
                core.raw(crate::core::bytes_of(&header));
                assert_eq!(core.answer(1000), Err(38), "ENOSYS for {}", opcode.name());
            }
        });
    }
}

#[test]
fn a_message_is_never_larger_than_a_socket_carries() {
    // What a core offers may be more than this side can send.
    let (ours, theirs) = pair();
    let mut core = Core::new(ours);
    let agreed = thread::scope(|scope| {
        let session = scope.spawn(|| Server::new().over(mem(), theirs).unwrap());
        let agreed = core.init(Some((EXTENSION_VERSION, u32::MAX)));
        session.join().unwrap();
        agreed
    });
    let longest = agreed.arguments.unwrap().max_message;
    assert!((65536..=(16 << 20) + 4096).contains(&longest), "{longest}");
    assert_eq!(agreed.init.max_write, longest - 4096);
}
