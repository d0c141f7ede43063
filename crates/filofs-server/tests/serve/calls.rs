//! What a server asks its core.

use crate::core::{Core, FOREVER, Heard, name};
use crate::toy::{DELIVERS, FILE, GROUPS, Toy, cookie};
use filofs::{Context, Errno, Gid, Notice};
use filofs_server::serve::Server;
use filofs_wire::abi::{
    CALL_ID, EXTENSION_MAGIC, EXTENSION_VERSION, FlushWhat, GetattrIn, InHeader, InterruptIn,
    MountArguments, Opcode, ROOT_ID,
};
use filofs_wire::incoming::Call;
use filofs_wire::request::Operation;
use std::thread;

fn lookup(core: &mut Core, what: &str) -> u64 {
    core.send(ROOT_ID, &Operation::Lookup { name: name(what) })
}

fn call(core: &mut Core) -> (u64, Call) {
    match core.hear() {
        Some(Heard::Call(Some(id), call)) => (id, call),
        other => panic!("no call: {other:?}"),
    }
}

#[test]
fn flush_inside_handler_no_deadlock() {
    // A121: one thread, which waits in LOOKUP for the flush of that very directory.
    let (mut core, _session, _) = Core::with(Toy::new().0, &Server::new().threads(1));
    for (error, answer) in [(0, None), (22, Some(22)), (u32::MAX, Some(71))] {
        let unique = lookup(&mut core, DELIVERS);
        let (id, asked) = call(&mut core);
        // C.2: no id of a call is that of a request.
        assert!(id & CALL_ID != 0);
        let what = FlushWhat::NamesInDirectory;
        assert_eq!(asked, Call::Flush { nodeid: ROOT_ID, what, start: 0, end: 0 });
        // Others are served although they came before the answer.
        let arg = GetattrIn::default();
        let other = core.send(ROOT_ID, &Operation::Getattr { arg });
        core.respond(id, error, b"");
        match core.answer(unique) {
            Ok(_) => assert_eq!(answer, None),
            Err(errno) => assert_eq!(answer, Some(errno)),
        }
        core.answer(other).unwrap();
    }
}

#[test]
fn many_handlers_wait_at_once() {
    // A121: more than there are threads, answered last first.
    const MANY: usize = 50;
    let (mut core, _session, _) = Core::with(Toy::new().0, &Server::new().threads(3));
    let mut asked: Vec<_> = (0..MANY).map(|_| lookup(&mut core, DELIVERS)).collect();
    let mut calls = Vec::new();
    while !asked.is_empty() {
        while calls.len() < asked.len().min(3) {
            match core.hear() {
                Some(Heard::Call(Some(id), _)) => calls.push(id),
                other => panic!("{other:?}"),
            }
        }
        core.respond(calls.pop().unwrap(), 0, b"");
        match core.hear() {
            Some(Heard::Reply(unique, 0, _)) => asked.retain(|other| *other != unique),
            Some(Heard::Call(Some(id), _)) => {
                calls.push(id);
                match core.hear() {
                    Some(Heard::Reply(unique, 0, _)) => asked.retain(|other| *other != unique),
                    other => panic!("{other:?}"),
                }
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn an_interrupt_ends_the_wait_for_an_answer() {
    let (mut core, _session, _) = Core::with(Toy::new().0, &Server::new().threads(1));
    let unique = lookup(&mut core, DELIVERS);
    let (id, _) = call(&mut core);
    let header = InHeader { unique: unique | 1, ..InHeader::default() };
    core.post(header, &Operation::Interrupt { arg: InterruptIn { unique } });
    assert_eq!(core.answer(unique), Err(4), "EINTR");
    // Too late, and for nobody (C.2).
    core.respond(id, 0, b"");
    let arg = GetattrIn::default();
    core.ask(ROOT_ID, &Operation::Getattr { arg }).unwrap();
}

#[test]
fn groups_come_from_the_core_once() {
    let (toy, told) = Toy::new();
    let (mut core, _session, _) = Core::with(toy, &Server::new());
    let unique = lookup(&mut core, GROUPS);
    let (id, asked) = call(&mut core);
    assert_eq!(asked, Call::Groups { unique });
    core.respond(id, 0, &[70_000u32, 5].map(u32::to_ne_bytes).concat());
    core.answer(unique).unwrap();
    assert_eq!(*told.groups.lock().unwrap(), [Gid(70_000), Gid(5)]);
    // A core that does not know is a caller without groups.
    let unique = lookup(&mut core, GROUPS);
    let (id, _) = call(&mut core);
    core.respond(id, 3, b"");
    core.answer(unique).unwrap();
    assert_eq!(*told.groups.lock().unwrap(), []);
}

#[test]
fn each_notice_has_its_message() {
    // C.9
    let (toy, told) = Toy::new();
    let (mut core, _session, _) = Core::with(toy, &Server::new());
    let up = told.up.get().unwrap();
    core.ask(ROOT_ID, &Operation::Lookup { name: name("f") }).unwrap();
    let node = cookie(FILE);
    let flush = |nodeid, what, start, end| Call::Flush { nodeid, what, start, end };
    for (notice, asked) in [
        (Notice::AllNames, flush(0, FlushWhat::AllNames, 0, 0)),
        (Notice::NamesIn { dir: cookie(1) }, flush(1, FlushWhat::NamesInDirectory, 0, 0)),
        (Notice::ForgetData { node, start: 3, end: 9 }, flush(2, FlushWhat::ForgetData, 3, 9)),
        (Notice::WriteData { node, start: 3, end: 0 }, flush(2, FlushWhat::WriteData, 3, 0)),
        (Notice::Unmount, Call::Unmount),
    ] {
        // Fire and forget, and then awaited.
        up.send(notice.clone());
        assert_eq!(core.hear(), Some(Heard::Call(None, asked)), "{notice:?}");
        thread::scope(|scope| {
            let waits = scope.spawn(|| up.deliver(&Context::internal(), notice));
            let (id, call) = call(&mut core);
            assert_eq!(call, asked);
            core.respond(id, 2, b"");
            assert_eq!(waits.join().unwrap(), Err(Errno::ENOENT));
        });
    }
    // What FUSE has a word for goes out in it, and is done when it is out.
    let changed = Notice::Changed { node, offset: 0, len: 4 };
    assert_eq!(up.deliver(&Context::internal(), changed), Ok(()));
    let renamed = Notice::Renamed { dir: cookie(1), name: b"f".to_vec() };
    assert_eq!(up.deliver(&Context::internal(), renamed), Ok(()));
    up.send(Notice::Everything);
    let mut heard = Vec::new();
    while heard.len() < 5 {
        heard.push(match core.hear().unwrap() {
            Heard::Other(other) => other,
            Heard::Call(id, call) => format!("{id:?} {call:?}"),
            Heard::Reply(..) => panic!("nothing was asked"),
        });
    }
    assert!(heard[0].contains("InvalInode { nodeid: 2, offset: 0, len: 4 }"), "{heard:?}");
    assert!(heard[1].contains("InvalEntry { parent: 1"), "{heard:?}");
    for nodeid in [1, 2] {
        let whole = format!("InvalInode {{ nodeid: {nodeid}, offset: 0, len: 0 }}");
        assert!(heard[2..4].iter().any(|one| one.contains(&whole)), "{heard:?}");
    }
    assert!(heard[4].contains("AllNames"), "{heard:?}");
}

#[test]
fn getargs_returns_effective() {
    // A10: what the core made of them.
    let (mut core, session, agreed) = Core::with(Toy::new().0, &Server::new());
    thread::scope(|scope| {
        let waits = scope.spawn(|| session.arguments());
        let (id, asked) = call(&mut core);
        assert_eq!(asked, Call::Arguments);
        let mut arguments = agreed.arguments.unwrap();
        assert_eq!((arguments.magic, arguments.version), (EXTENSION_MAGIC, EXTENSION_VERSION));
        arguments.type_name = *b"filo.toy\0aaaaaaaaaaaaaaaaaaaaaaa";
        arguments.max_message = 9999;
        core.respond(id, 0, crate::core::bytes_of::<MountArguments>(&arguments));
        let read = waits.join().unwrap().unwrap();
        assert_eq!((read.type_name.as_str(), read.max_message), ("filo.toy", 9999));
        assert_eq!((read.from.as_str(), read.handle_size), ("toy", filofs::FileHandle::MAX as u32));
    });
}

#[test]
fn the_end_of_the_channel_ends_every_wait() {
    // A58: nobody is left waiting for a core that is gone.
    let (toy, told) = Toy::new();
    let (mut core, session, _) = Core::with(toy, &Server::new());
    lookup(&mut core, DELIVERS);
    lookup(&mut core, GROUPS);
    call(&mut core);
    call(&mut core);
    let up = told.up.get().unwrap().clone();
    let waits = thread::spawn(move || {
        let answer = up.deliver(&Context::internal(), Notice::AllNames);
        (answer, up.deliver(&Context::internal(), Notice::AllNames))
    });
    call(&mut core);
    drop(core);
    assert_eq!(waits.join().unwrap(), (Err(Errno::ENXIO), Err(Errno::ENXIO)), "A123");
    let began = std::time::Instant::now();
    session.wait();
    assert!(began.elapsed() < FOREVER);
}

#[test]
fn responses_that_nobody_awaits_are_ignored() {
    // C.2
    let (mut core, _session, _) = Core::with(Toy::new().0, &Server::new());
    for id in [1, 77, CALL_ID, CALL_ID | 1, u64::MAX] {
        core.respond(id, 0, &[7; 100]);
        core.respond(id, 5, b"");
    }
    let arg = GetattrIn::default();
    core.ask(ROOT_ID, &Operation::Getattr { arg }).unwrap();
    assert!(!Opcode::Response.wants_answer());
}
