//! The unmount question, and the ways a served file system ends.

use crate::core::{Core, Heard, pair};
use crate::toy::Toy;
use ServeState::{BeforeMount, Running, Unmounted, Unmounting};
use filofs::{Context, Notice};
use filofs_server::serve::{ServeState, Server};
use filofs_wire::abi::{GetattrIn, ROOT_ID, UnmountFlags, UnmountIn};
use filofs_wire::incoming::Call;
use filofs_wire::request::Operation;
use std::sync::atomic::Ordering::SeqCst;
use std::thread;

const EBUSY: i32 = 16;

fn unmount(core: &mut Core, force: bool) -> Result<Vec<u8>, i32> {
    let mut flags = UnmountFlags::empty();
    flags.set(UnmountFlags::FORCE, force);
    core.ask(ROOT_ID, &Operation::Unmount { arg: UnmountIn { flags, padding: 0 } })
}

#[test]
fn state_trace() {
    // A45: clean, refused, refused and forced. A52: the server sees the flags.
    let (toy, told) = Toy::new();
    let (mut core, session, _) = Core::with(toy, &Server::new());
    assert_eq!(session.states(), [BeforeMount, Running]);
    told.unmount.store(EBUSY, SeqCst);
    // A54: the refusal is the answer, and the mount goes on.
    assert_eq!(unmount(&mut core, false), Err(EBUSY));
    assert_eq!(session.states(), [BeforeMount, Running, Unmounting, Running]);
    let arg = GetattrIn::default();
    core.ask(ROOT_ID, &Operation::Getattr { arg }).unwrap();
    // A55: forced, it does not count.
    assert_eq!(unmount(&mut core, true), Ok(vec![]));
    core.ask(ROOT_ID, &Operation::Destroy).unwrap();
    drop(core);
    session.wait();
    let refused = [BeforeMount, Running, Unmounting, Running, Unmounting, Unmounted];
    assert_eq!(session.states(), refused);
    // Once for each question; at the end it is not asked again.
    let asked: Vec<_> = told.asked().into_iter().filter(|a| a.starts_with("unmount")).collect();
    assert_eq!(asked, ["unmount false", "unmount true"]);
}

#[test]
fn state_trace_of_a_core_that_goes_without_a_question() {
    // A45, A64: the core is gone; the file system hears of it.
    let (toy, told) = Toy::new();
    let (core, session, _) = Core::with(toy, &Server::new());
    drop(core);
    session.wait();
    assert_eq!(session.states(), [BeforeMount, Running, Unmounted]);
    assert_eq!(told.asked(), ["sync Wait", "unmount true"]);
}

#[test]
fn puffs_exit_unmounts() {
    // A65: the response first, then the question with force, which is answered meanwhile.
    let (toy, told) = Toy::new();
    let (mut core, session, _) = Core::with(toy, &Server::new().threads(1));
    thread::scope(|scope| {
        let waits = scope.spawn(|| session.unmount(false));
        match core.hear() {
            Some(Heard::Call(Some(id), Call::Unmount)) => core.respond(id, 0, b""),
            other => panic!("{other:?}"),
        }
        assert_eq!(waits.join().unwrap(), Ok(()));
    });
    assert_eq!(unmount(&mut core, true), Ok(vec![]));
    assert_eq!(told.asked(), ["unmount true"]);
    drop(core);
    session.wait();
    assert_eq!(session.unmount(false), Ok(()), "it is gone");
    assert_eq!(session.states(), [BeforeMount, Running, Unmounting, Unmounted]);
}

#[test]
fn a_core_that_does_not_want_to_unmount_is_told_of() {
    let (mut core, session, _) = Core::with(Toy::new().0, &Server::new());
    thread::scope(|scope| {
        let waits = scope.spawn(|| session.unmount(false));
        match core.hear() {
            Some(Heard::Call(Some(id), Call::Unmount)) => core.respond(id, 16, b""),
            other => panic!("{other:?}"),
        }
        let told = waits.join().unwrap().unwrap_err().to_string();
        assert!(told.contains("have the core unmount"), "{told}");
    });
    // The other way to go: the channel ends (A64).
    session.unmount(true).unwrap();
    assert_eq!(core.hear(), None);
    session.wait();
}

#[test]
fn without_the_extension_the_end_of_the_channel_is_the_unmount() {
    let (ours, theirs) = pair();
    let mut core = Core::new(ours);
    let (toy, told) = Toy::new();
    let session = thread::scope(|scope| {
        let session = scope.spawn(|| Server::new().over(toy, theirs).unwrap());
        core.init(None);
        session.join().unwrap()
    });
    let up = told.up.get().unwrap();
    let waits = up.deliver(&Context::internal(), Notice::NamesIn { dir: crate::toy::cookie(1) });
    assert_eq!(waits, Ok(()));
    assert!(matches!(core.hear(), Some(Heard::Other(told)) if told.contains("IncEpoch")));
    up.send(Notice::Unmount);
    assert_eq!(core.hear(), None);
    session.wait();
}

#[test]
fn a_core_that_does_not_listen_is_left() {
    // A hang would be worse: without an answer the connection is ended (A64).
    let (mut core, session, _) = Core::with(Toy::new().0, &Server::new());
    assert_eq!(session.unmount(false), Ok(()));
    assert!(matches!(core.hear(), Some(Heard::Call(Some(_), Call::Unmount))));
    assert_eq!(core.hear(), None);
    session.wait();
}
