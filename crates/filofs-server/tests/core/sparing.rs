//! What is not asked because it would not pay.

use crate::script::{DIR, Said, Script, cx};
use filofs::{
    DirEntry, DirOffset, DirSink, Errno, FileSystem, Full, LockOwner, OpenFlags, OpenedFlags,
};
use filofs_wire::abi::{Opcode, ReadIn};
use filofs_wire::dirent::{Dirent, DirentBuffer};
use filofs_wire::name::Name;
use filofs_wire::request::Operation;
use zerocopy::FromBytes;

#[test]
fn a_server_without_flush_is_asked_once_and_the_kernel_too() {
    let played = Script::foreign().on(Opcode::Flush, |_, _| Said::no(Errno::ENOSYS)).running();
    let file = played.node("f");
    for (flags, asked) in [(OpenedFlags::empty(), 1), (OpenedFlags::NO_FLUSH, 1)] {
        let open = played.open(&file, OpenFlags::RDWR).unwrap();
        assert_eq!(open.answer() & OpenedFlags::NO_FLUSH, flags);
        played.mount.flush(&cx(), &file, &open, LockOwner(1)).unwrap();
        assert_eq!(played.wire.count(Opcode::Flush), asked);
    }
}

#[test]
fn a_listing_is_asked_for_by_its_room() {
    // Each answer has two names, whatever there is room for.
    let script = Script::new().on(Opcode::Readdir, |request, _| {
        let Operation::Readdir { arg } = &request.operation else { return Said::ok() };
        let mut body = [0; 100];
        let mut names = DirentBuffer::new(&mut body);
        for next in (arg.offset.max(10) + 1..=16).take(2) {
            let name = format!("n{next}");
            let name = Name::new(name.as_bytes()).unwrap();
            names.push(&Dirent { ino: DIR + next, next, kind: 8, name }).unwrap();
        }
        let len = names.len();
        Said::Body(body[..len].to_vec())
    });
    let played = script.running();
    let dir = played.node("d");
    let open = played.open(&dir, OpenFlags::DIRECTORY).unwrap();
    let mut names = Names { all: Vec::new(), room: 20_000 };
    for (room, asked) in [(20_000, 20_000), (100, 4096), (1 << 30, 64 << 10), (5000, 5000)] {
        names.room = room;
        let from = DirOffset(names.all.last().copied().unwrap_or_default());
        played.mount.readdir(&cx(), &dir, &open, from, &mut names).unwrap();
        let request = played.wire.asked().pop().unwrap();
        assert_eq!(request.opcode, Opcode::Readdir);
        assert_eq!(ReadIn::read_from_prefix(&request.body).unwrap().0.size, asked);
    }
    assert_eq!(names.all, [11, 12, 13, 14, 15, 16], "the last answer was the end");
    assert_eq!(played.wire.count(Opcode::Readdir), 4, "one message for each call");
}

struct Names {
    all: Vec<u64>,
    room: usize,
}

impl DirSink for Names {
    fn wants_entries(&self) -> bool {
        false
    }

    fn room(&self) -> usize {
        self.room
    }

    fn add(&mut self, entry: DirEntry<'_>) -> Result<(), Full> {
        self.all.push(entry.next.0);
        Ok(())
    }
}
