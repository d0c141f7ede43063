//! What the server asks of the core: FLUSH, UNMOUNT, ARGUMENTS, GROUPS (A10, A63, A65, A106,
//! A120-A124, C.2, C.9, C.10).

use crate::script::{DIR, FILE, LINK, Played, Said, Script, cx};
use filofs::{
    Cancel, Context, Cookie, Errno, FileSystem, Gid, MountState, Notice, Notices, OpenFlags,
    SetAttr, SliceSource, UnmountFlags, WriteFlags,
};
use filofs_wire::abi::{CALL_ID, FlushCall, FlushWhat, MountArguments, MountFlags, Opcode};
use filofs_wire::call;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use zerocopy::{FromBytes, IntoBytes};

fn flush(nodeid: u64, what: FlushWhat, start: u64, end: u64) -> FlushCall {
    FlushCall { nodeid, what: what as u32, padding: 0, start, end }
}

/// Answers what comes up as long as somebody sends, and keeps it.
fn listen(notices: Notices, answer: Result<(), Errno>) -> std::thread::JoinHandle<Vec<Notice>> {
    std::thread::spawn(move || {
        let mut heard = Vec::new();
        while let Some(delivery) = notices.recv() {
            heard.push(delivery.notice().clone());
            delivery.answer(answer);
        }
        heard
    })
}

/// Makes the calls in turn. Their answers, and what came up.
fn flushes(calls: &[FlushCall]) -> (Vec<Result<(), Errno>>, Vec<Notice>) {
    let (played, notices) = Script::new().heard();
    let nodes = [played.node("f"), played.node("d"), played.node("s")];
    let before = played.wire.asked().len();
    let listener = listen(notices, Ok(()));
    let answers = calls.iter().zip(1..).map(|(flush, id)| {
        let answer = played.wire.call(id, call::flush(Some(id), *flush).as_bytes());
        answer.map(|data| assert!(data.is_empty()))
    });
    let answers = answers.collect();
    // A106: nothing is sent but the answers: no node was made, or given back.
    let others = played.wire.asked().split_off(before);
    assert!(others.iter().all(|asked| asked.opcode == Opcode::Response), "{others:?}");
    assert_eq!(played.kernel.lies(), 0);
    drop((nodes, played));
    (answers, listener.join().unwrap())
}

#[test]
fn flush_rules() {
    // C.9, row by row.
    use FlushWhat::{AllNames, ForgetData, NamesInDirectory, NamesOfNode, WriteData};
    let (bad, unknown) = (Err(Errno::EINVAL), Err(Errno::ENOENT));
    let dir = Cookie(DIR);
    let file = Cookie(FILE);
    let rows = [
        (flush(FILE, NamesOfNode, 0, 0), bad, None),
        (flush(12345, NamesOfNode, 0, 0), bad, None),
        (flush(DIR, NamesInDirectory, 0, 0), Ok(()), Some(Notice::NamesIn { dir })),
        (flush(1, NamesInDirectory, 0, 0), Ok(()), Some(Notice::NamesIn { dir: Cookie(1) })),
        (flush(FILE, NamesInDirectory, 0, 0), bad, None),
        (flush(LINK, NamesInDirectory, 0, 0), bad, None),
        (flush(12345, NamesInDirectory, 0, 0), unknown, None),
        (flush(0, AllNames, 0, 0), Ok(()), Some(Notice::AllNames)),
        (flush(12345, AllNames, 9, 3), Ok(()), Some(Notice::AllNames)),
        (flush(DIR, ForgetData, 0, 0), bad, None),
        (flush(LINK, WriteData, 0, 0), bad, None),
        (flush(12345, ForgetData, 0, 0), unknown, None),
        (flush(0, WriteData, 0, 0), unknown, None),
        (
            flush(FILE, ForgetData, 0, 0),
            Ok(()),
            Some(Notice::ForgetData { node: file, start: 0, end: 0 }),
        ),
        (
            flush(FILE, WriteData, 10, 100),
            Ok(()),
            Some(Notice::WriteData { node: file, start: 10, end: 100 }),
        ),
        // Past the end; empty; backwards.
        (flush(FILE, ForgetData, 10, 101), bad, None),
        (flush(FILE, WriteData, 0, u64::MAX), bad, None),
        (flush(FILE, WriteData, 10, 10), bad, None),
        (flush(FILE, ForgetData, 11, 10), bad, None),
    ];
    let calls: Vec<FlushCall> = rows.iter().map(|(call, _, _)| *call).collect();
    let (answers, notices) = flushes(&calls);
    for ((call, expected, _), answer) in rows.iter().zip(&answers) {
        assert_eq!(answer, expected, "{call:?}");
    }
    let expected: Vec<Notice> = rows.iter().filter_map(|(_, _, notice)| notice.clone()).collect();
    assert_eq!(notices, expected);
}

#[test]
fn flush_unknown_cookie_enoent_no_side_messages() {
    // A106: also for a node that was known and was given back.
    let (played, notices) = Script::new().heard();
    drop(played.node("f"));
    played.wire.wait_for(Opcode::Forget);
    let before = played.wire.asked().len();
    let forget = flush(FILE, FlushWhat::ForgetData, 0, 0);
    let answer = played.wire.call(1, call::flush(Some(1), forget).as_bytes());
    assert_eq!(answer, Err(Errno::ENOENT));
    assert_eq!(played.wire.asked().len(), before + 1);
    assert_eq!(notices.take(), []);
}

#[test]
fn the_range_ends_where_the_file_does() {
    // As far as the core knows: what was written through it, and what the server said.
    let (played, notices) = Script::new().heard();
    let file = played.node("f");
    let open = played.open(&file, OpenFlags::RDWR).unwrap();
    let listener = listen(notices, Ok(()));
    let end_at = |end, id| {
        let flush = flush(FILE, FlushWhat::WriteData, 0, end);
        played.wire.call(id, call::flush(Some(id), flush).as_bytes()).map(drop)
    };
    assert_eq!(end_at(300, 1), Err(Errno::EINVAL));
    let mut data = SliceSource::new(&[0; 200]);
    played.mount.write(&cx(), &file, &open, 100, &mut data, WriteFlags::empty()).unwrap();
    assert_eq!((end_at(300, 2), end_at(301, 3)), (Ok(()), Err(Errno::EINVAL)));
    played.mount.setattr(&cx(), &file, None, &SetAttr::default()).unwrap();
    assert_eq!((end_at(100, 4), end_at(300, 5)), (Ok(()), Err(Errno::EINVAL)));
    drop((open, file, played));
    assert_eq!(listener.join().unwrap().len(), 2);
}

#[test]
fn what_the_front_end_answers_is_the_answer() {
    for (above, heard) in [
        (Err(Errno::EOPNOTSUPP), Err(Errno::EOPNOTSUPP)),
        // Nothing was cached: nothing is left to forget.
        (Err(Errno::ENOENT), Ok(vec![])),
    ] {
        let (played, notices) = Script::new().heard();
        let listener = listen(notices, above);
        let names = call::flush(Some(3), flush(0, FlushWhat::AllNames, 0, 0));
        assert_eq!(played.wire.call(3, names.as_bytes()), heard);
        drop(played);
        listener.join().unwrap();
    }
}

#[test]
fn flush_inside_handler_no_deadlock() {
    // A121: a server that flushes the directory it is asked to look up in, and waits for that
    // before it answers.
    let asked = Arc::new(AtomicU64::new(0));
    let remember = asked.clone();
    let script = Script::new().on(Opcode::Lookup, move |request, wire| {
        remember.store(request.header.unique, Ordering::SeqCst);
        let names = flush(1, FlushWhat::NamesInDirectory, 0, 0);
        wire.say(call::flush(Some(9), names).as_bytes());
        Said::Nothing
    });
    let script = script.on(Opcode::Response, move |_, wire| {
        wire.answer(asked.load(Ordering::SeqCst), Said::no(Errno::ENOENT));
        Said::Nothing
    });
    let (played, notices) = script.heard();
    let listener = listen(notices, Ok(()));
    let name = filofs::Name::new(b"x").unwrap();
    let found = played.mount.lookup(&cx(), played.mount.root(), name);
    assert_eq!(found.unwrap_err(), Errno::ENOENT);
    assert_eq!(played.wire.response(9), Ok(vec![]));
    drop(played);
    assert_eq!(listener.join().unwrap(), [Notice::NamesIn { dir: Cookie(1) }]);
}

#[test]
fn one_flush_that_takes_its_time_holds_up_no_other_call() {
    let (played, notices) = Script::new().heard();
    let names = |id| call::flush(Some(id), flush(0, FlushWhat::AllNames, 0, 0));
    played.wire.say(names(1).as_bytes());
    let first = notices.recv().unwrap();
    played.wire.say(names(2).as_bytes());
    notices.recv().unwrap().answer(Ok(()));
    assert_eq!(played.wire.response(2), Ok(vec![]));
    assert!(played.wire.call(3, call::arguments(3).as_bytes()).is_ok());
    assert!(first.is_awaited());
    // A63: with nobody to listen any more it is answered all the same.
    drop((first, notices));
    assert_eq!(played.wire.response(1), Err(Errno::ENXIO));
    assert_eq!(played.wire.call(4, names(4).as_bytes()), Err(Errno::ENXIO));
}

#[test]
fn a_call_while_mounting_is_enxio() {
    // A30: only a mount that runs can be asked to forget. It can be asked what it is.
    let played = Script::new().mounting();
    let names = call::flush(Some(1), flush(0, FlushWhat::AllNames, 0, 0));
    assert_eq!(played.wire.call(1, names.as_bytes()), Err(Errno::ENXIO));
    assert!(played.wire.call(2, call::arguments(2).as_bytes()).is_ok());
}

#[test]
fn calls_that_are_none() {
    // C.2: an unknown class is EOPNOTSUPP, a wrong size EINVAL; without an id nothing is said.
    let played = Script::new().running();
    let raw = |code: i32, id: u64, body: &[u8]| {
        let mut message = (16 + body.len() as u32).to_ne_bytes().to_vec();
        message.extend(code.to_ne_bytes());
        message.extend((CALL_ID | id).to_ne_bytes());
        message.extend(body);
        message
    };
    assert_eq!(played.wire.call(1, &raw(0x1199, 1, b"")), Err(Errno::EOPNOTSUPP));
    assert_eq!(played.wire.call(2, &raw(0x1101, 2, &[0; 31])), Err(Errno::EINVAL));
    assert_eq!(played.wire.call(3, &raw(0x1102, 3, &[0; 8])), Err(Errno::EINVAL));
    let what = FlushCall { what: 5, ..FlushCall::default() };
    assert_eq!(played.wire.call(4, &raw(0x1101, 4, what.as_bytes())), Err(Errno::EINVAL));
    played.wire.say(&raw(0x1199, 0, b""));
    played.wire.say(&raw(0x1101, 0, b""));
    assert!(played.wire.call(5, call::arguments(5).as_bytes()).is_ok());
    assert_eq!(played.wire.count(Opcode::Response), 5);
}

#[test]
fn puffs_exit_unmounts() {
    // A65: the answer comes first; then the mount goes by force, in the course of which the
    // server is asked the question. A123: then no more calls.
    let (played, notices) = Script::new().heard();
    let file = played.node("f");
    let _open = played.open(&file, OpenFlags::RDONLY).unwrap();
    assert_eq!(played.wire.call(1, call::unmount(Some(1)).as_bytes()), Ok(vec![]));
    assert_eq!(notices.recv().unwrap().notice(), &Notice::Unmount);
    assert_eq!(played.mount.state(), MountState::Running);
    assert_eq!(played.wire.call(2, call::unmount(Some(2)).as_bytes()), Err(Errno::ENXIO));
    let names = call::flush(Some(3), flush(0, FlushWhat::AllNames, 0, 0));
    assert_eq!(played.wire.call(3, names.as_bytes()), Err(Errno::ENXIO));
    played.mount.unmount_now(&cx(), UnmountFlags::FORCE).unwrap();
    let question = played.wire.wait_for(Opcode::Unmount);
    assert_eq!(question.body, [1u32, 0].map(u32::to_ne_bytes).concat());
    let order = played.wire.opcodes();
    let at = |opcode| order.iter().position(|seen| *seen == opcode).unwrap();
    assert!(at(Opcode::Response) < at(Opcode::Release));
    assert!(at(Opcode::Release) < at(Opcode::Unmount));
}

#[test]
fn getargs_returns_effective() {
    // A10, A19-A23, A27: what is in force, not what was sent; no message but the answer.
    let script = Script::new().arguments(|arguments| {
        arguments.max_message = 1;
        arguments.type_name = [b'x'; 32];
        arguments.type_name[1] = b'\n';
        arguments.from_name.as_flattened_mut()[..5].copy_from_slice(b"a\x07b\\c");
        arguments.flags = MountFlags::READ_ONLY;
    });
    let played = script.running();
    let read = |id| {
        let body = played.wire.call(id, call::arguments(id).as_bytes()).unwrap();
        MountArguments::read_from_bytes(&body).unwrap()
    };
    let said = read(1);
    assert_eq!(said.max_message, 8192);
    assert_eq!(said.type_name(), format!("fuse.x.{}", "x".repeat(24)));
    assert_eq!(said.from_name(), "a.b.ct");
    assert_eq!((said.flags, said.spare), (MountFlags::READ_ONLY, [0; 20]));
    // What is in force is in force when it is given back.
    assert_eq!(MountArguments::read(said.as_bytes(), 1 << 20), Ok(said));
    assert_eq!(read(2), said);
    assert_eq!(played.wire.opcodes(), [Opcode::Response; 2]);
}

#[test]
fn no_message_exceeds_negotiated_size() {
    // A23: in either direction.
    let script = Script::new().arguments(|arguments| arguments.max_message = 8192);
    let script = script.on(Opcode::Read, |request, _| {
        let filofs_wire::request::Operation::Read { arg } = request.operation else {
            unreachable!()
        };
        Said::Body(vec![7; arg.size as usize])
    });
    let played = script.running();
    let file = played.node("f");
    let open = played.open(&file, OpenFlags::RDWR).unwrap();
    let bytes = vec![1; 1 << 20];
    let mut data = SliceSource::new(&bytes);
    let written = played.mount.write(&cx(), &file, &open, 0, &mut data, WriteFlags::empty());
    assert_eq!(written, Ok(1 << 20));
    let mut room = vec![0; 1 << 20];
    let mut sink = filofs::SliceSink::new(&mut room);
    played.mount.read(&cx(), &file, &open, 0, &mut sink).unwrap();
    assert_eq!(filofs::Sink::taken(&sink), 1 << 20);
    let asked = played.wire.asked();
    assert!(asked.iter().all(|asked| asked.body.len() + 40 <= 8192));
    assert!(asked.iter().filter(|asked| asked.opcode == Opcode::Write).count() >= 256);
    // More data is asked for than the answer may carry: never.
    let size =
        |asked: &crate::script::Asked| u32::from_ne_bytes(asked.body[16..20].try_into().unwrap());
    let reads = asked.iter().filter(|asked| asked.opcode == Opcode::Read);
    assert!(reads.map(size).all(|size| size + 16 <= 8192));
}

/// A server that asks for the groups of whoever looks something up, and what it hears.
fn asks_for_groups(groups: &[u32]) -> (Result<Vec<u32>, Errno>, Played) {
    let asked = Arc::new(AtomicU64::new(0));
    let remember = asked.clone();
    let script = Script::new().on(Opcode::Lookup, move |request, wire| {
        remember.store(request.header.unique, Ordering::SeqCst);
        wire.say(call::groups(5, request.header.unique).as_bytes());
        Said::Nothing
    });
    let script = script.on(Opcode::Response, move |_, wire| {
        wire.answer(asked.load(Ordering::SeqCst), Said::no(Errno::ENOENT));
        Said::Nothing
    });
    let played = script.running();
    let groups: Vec<Gid> = groups.iter().map(|gid| Gid(*gid)).collect();
    let context = Context { groups: &groups, ..cx() };
    let name = filofs::Name::new(b"x").unwrap();
    let answer = played.mount.lookup(&context, played.mount.root(), name);
    assert_eq!(answer.unwrap_err(), Errno::ENOENT);
    let said = played.wire.response(5);
    let numbers = |data: Vec<u8>| {
        data.chunks(4).map(|gid| u32::from_ne_bytes(gid.try_into().unwrap())).collect()
    };
    (said.map(numbers), played)
}

#[test]
fn the_caller_tells_its_groups_while_it_waits() {
    // C.10: the whole list.
    for groups in [vec![], vec![7], (1000..4000).collect()] {
        assert_eq!(asks_for_groups(&groups).0, Ok(groups));
    }
    // More than a message carries.
    let many: Vec<u32> = (0..65536).collect();
    assert_eq!(asks_for_groups(&many).0, Err(Errno::E2BIG));
}

#[test]
fn groups_of_a_caller_that_does_not_wait() {
    // Of no request; of one that was answered; of one that was told and waits for nothing.
    let played = Script::new().running();
    drop(played.node("f"));
    let forget = played.wire.wait_for(Opcode::Forget);
    let lookup = played.wire.wait_for(Opcode::Lookup);
    for (id, unique) in [(1, 1 << 40), (2, lookup.unique), (3, forget.unique), (4, 0)] {
        let answer = played.wire.call(id, call::groups(id, unique).as_bytes());
        assert_eq!(answer, Err(Errno::ENOENT), "{id}");
    }
    // Of one whose caller has given up.
    let script = Script::new().on(Opcode::Lookup, |_, _| Said::Nothing);
    let played = script.running();
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let context = Context { cancel: &cancel, ..cx() };
        let name = filofs::Name::new(b"x").unwrap();
        let mount = &played.mount;
        let lookup = scope.spawn(move || mount.lookup(&context, mount.root(), name).map(drop));
        played.wire.wait_for(Opcode::Lookup);
        cancel.cancel();
        assert_eq!(lookup.join().unwrap(), Err(Errno::EINTR));
    });
    let unique = played.wire.wait_for(Opcode::Lookup).unique;
    let answer = played.wire.call(9, call::groups(9, unique).as_bytes());
    assert_eq!(answer, Err(Errno::ENOENT));
}

#[test]
fn groups_are_told_while_many_wait() {
    // Those who wait are woken for it, whoever reads the channel.
    let script = Script::new().on(Opcode::Lookup, |request, wire| {
        let unique = request.header.unique;
        wire.say(call::groups(unique, unique).as_bytes());
        Said::Nothing
    });
    let script = script.on(Opcode::Response, |request, wire| {
        wire.answer(request.header.unique & !CALL_ID, Said::no(Errno::ENOENT));
        Said::Nothing
    });
    let played = script.running();
    std::thread::scope(|scope| {
        for thread in 0..8 {
            let played = &played;
            scope.spawn(move || {
                let groups = vec![Gid(thread)];
                let context = Context { groups: &groups, uid: filofs::Uid(thread), ..cx() };
                let name = filofs::Name::new(b"x").unwrap();
                for _ in 0..100 {
                    let answer = played.mount.lookup(&context, played.mount.root(), name);
                    assert_eq!(answer.unwrap_err(), Errno::ENOENT);
                }
            });
        }
    });
    let asked = played.wire.asked();
    let responses = asked.iter().filter(|asked| asked.opcode == Opcode::Response);
    assert_eq!(responses.filter(|asked| asked.body.len() == 12).count(), 800);
}
