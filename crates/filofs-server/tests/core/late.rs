//! Answers that come when nobody waits any more (C.3), and what is told to a server that does not
//! read.

use crate::script::{Asked, DIR, FILE, Played, Said, Script, cx, entry};
use filofs::{
    Cancel, Context, Errno, FileSystem, Lock, LockKind, LockOwner, MakeHow, Name, OpenFlags,
    OpenHow, Pid,
};
use filofs_wire::abi::{FileLock, LkIn, Opcode, OpenOut, ReleaseIn};
use filofs_wire::reply::CreateOut;
use std::sync::{Arc, Barrier};
use zerocopy::{FromBytes, IntoBytes};

/// Has that asked, gives up when the server has read it, and has the server answer after all.
fn given_up(
    played: &Played,
    opcode: Opcode,
    late: Said,
    ask: impl Fn(&Context<'_>) -> filofs::Result<()> + Sync,
) {
    let cancel = Cancel::new();
    std::thread::scope(|scope| {
        let caller = scope.spawn(|| ask(&Context { cancel: &cancel, ..cx() }));
        played.wire.wait_for(opcode);
        cancel.cancel();
        assert_eq!(caller.join().unwrap(), Err(Errno::EINTR));
    });
    played.wire.wait_for(Opcode::Interrupt);
    let unique = played.wire.wait_for(opcode).unique;
    played.wire.answer(unique, late);
}

fn releases(asked: &[Asked]) -> Vec<(u64, u64)> {
    let released = |asked: &&Asked| matches!(asked.opcode, Opcode::Release | Opcode::Releasedir);
    asked
        .iter()
        .filter(released)
        .map(|asked| (asked.nodeid, ReleaseIn::read_from_bytes(&asked.body).unwrap().open_id))
        .collect()
}

#[test]
fn interrupted_after_read_late_reply_swallowed() {
    // C.3: what a late answer gives is given back, and its sender is not called a liar.
    let played = Script::new().on(Opcode::Lookup, |_, _| Said::Nothing).running();
    given_up(&played, Opcode::Lookup, Said::one(&entry(FILE)), |cx| {
        played.mount.lookup(cx, played.mount.root(), Name::new(b"f")?).map(drop)
    });
    let forget = played.wire.wait_for(Opcode::Forget);
    assert_eq!((forget.nodeid, forget.body), (FILE, 1u64.to_ne_bytes().to_vec()));
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn a_late_open_is_closed() {
    for (name, nodeid, opcode) in [("f", FILE, Opcode::Open), ("d", DIR, Opcode::Opendir)] {
        let played = Script::new().on(opcode, |_, _| Said::Nothing).running();
        let node = played.node(name);
        let open = OpenOut { open_id: 77, ..OpenOut::default() };
        given_up(&played, opcode, Said::one(&open), |cx| {
            let how = OpenHow { flags: OpenFlags::RDONLY, kill_priv: false };
            played.mount.open(cx, &node, how).map(drop)
        });
        let asked = played.wire.until("release", |seen| !releases(seen).is_empty());
        assert_eq!(releases(&asked), [(nodeid, 77)]);
        // The answer to that is no lie either.
        played.mount.statfs(&cx(), played.mount.root()).unwrap();
        assert_eq!(played.kernel.lies(), 0);
    }
}

#[test]
fn a_late_create_is_closed_and_given_back() {
    let played = Script::new().on(Opcode::Create, |_, _| Said::Nothing).running();
    let open = OpenOut { open_id: 77, ..OpenOut::default() };
    let out = CreateOut { entry: entry(500), open };
    given_up(&played, Opcode::Create, Said::Body(out.as_bytes().to_vec()), |cx| {
        let name = Name::new(b"new")?;
        played.mount.create(cx, played.mount.root(), name, MakeHow::default()).map(drop)
    });
    assert_eq!(played.wire.wait_for(Opcode::Forget).nodeid, 500);
    assert_eq!(releases(&played.wire.asked()), [(500, 77)]);
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn a_lock_is_given_back_only_if_it_was_granted_late() {
    // C.3
    let held = Lock { kind: LockKind::Exclusive, start: 5, end: 14, pid: Pid(0) };
    for (late, given_back) in [(Said::ok(), true), (Said::no(Errno::EINTR), false)] {
        let played = Script::new().on(Opcode::Setlkw, |_, _| Said::Nothing).running();
        let node = played.node("f");
        let open = played.open(&node, OpenFlags::RDWR).unwrap();
        given_up(&played, Opcode::Setlkw, late, |cx| {
            played.mount.setlk(cx, &node, &open, LockOwner(8), held, true)
        });
        // Answered after the late answer was read.
        played.mount.statfs(&cx(), played.mount.root()).unwrap();
        if given_back {
            let asked = played.wire.wait_for(Opcode::Setlk);
            let LkIn { owner, lk, .. } = LkIn::read_from_bytes(&asked.body).unwrap();
            assert_eq!((owner, lk.kind, lk.start, lk.end), (8, FileLock::UNLOCK, 5, 14));
        }
        assert_eq!(played.wire.count(Opcode::Setlk), usize::from(given_back));
        assert_eq!(played.kernel.lies(), 0);
    }
}

#[test]
fn a_late_error_gives_nothing_back() {
    let played = Script::new().on(Opcode::Lookup, |_, _| Said::Nothing).running();
    given_up(&played, Opcode::Lookup, Said::no(Errno::EINTR), |cx| {
        played.mount.lookup(cx, played.mount.root(), Name::new(b"f")?).map(drop)
    });
    played.mount.statfs(&cx(), played.mount.root()).unwrap();
    assert_eq!((played.wire.count(Opcode::Forget), played.kernel.lies()), (0, 0));
}

#[test]
fn what_is_given_back_to_a_server_that_does_not_read_is_not_lost() {
    // Far more than the socket holds.
    const MANY: u64 = 20_000;
    let gate = Arc::new(Barrier::new(2));
    let closed = gate.clone();
    let next = std::sync::atomic::AtomicU64::new(1000);
    let script = Script::new().on(Opcode::Lookup, move |_, _| {
        Said::one(&entry(next.fetch_add(1, std::sync::atomic::Ordering::SeqCst)))
    });
    let script = script.on(Opcode::Statfs, move |_, _| {
        closed.wait();
        Said::no(Errno::EIO)
    });
    let played = script.running();
    let nodes: Vec<_> = (0..MANY).map(|_| played.node("f")).collect();
    std::thread::scope(|scope| {
        let mount = &played.mount;
        let asks = scope.spawn(|| mount.statfs(&cx(), mount.root()));
        played.wire.wait_for(Opcode::Statfs);
        drop(nodes);
        gate.wait();
        assert_eq!(asks.join().unwrap(), Err(Errno::EIO));
    });
    let given_back =
        |seen: &[Asked]| seen.iter().filter(|asked| asked.opcode == Opcode::Forget).count() as u64;
    let seen = played.wire.until("all of them", |seen| given_back(seen) >= MANY);
    assert_eq!(given_back(&seen), MANY);
    assert_eq!(played.kernel.nodes(), 1);
}
