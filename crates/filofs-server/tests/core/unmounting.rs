//! The unmount question and the end (A46-A66).

use crate::script::{FILE, Played, Said, Script, cx};
use filofs::{
    Cancel, Context, Errno, FileSystem, MountState, OpenFlags, SliceSource, UnmountFlags,
    WriteFlags,
};
use filofs_wire::abi::Opcode;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Barrier};

const PLAIN: UnmountFlags = UnmountFlags::empty();

fn unmount(played: &Played, flags: UnmountFlags) -> filofs::Result<()> {
    played.mount.unmount_now(&cx(), flags)
}

/// A server that answers the question so, the first `times` times.
fn refusing(number: i32, times: u32) -> Script {
    let asked = AtomicU32::new(0);
    Script::new().on(Opcode::Unmount, move |_, _| {
        if asked.fetch_add(1, Ordering::SeqCst) < times { Said::Error(-number) } else { Said::ok() }
    })
}

#[test]
fn unmount_message_order() {
    // A46, A49: what was written and held is with the server before it is asked, and nothing
    // comes after.
    let played = Script::new().running();
    let file = played.node("f");
    let open = played.open(&file, OpenFlags::RDWR).unwrap();
    let mut data = SliceSource::new(b"x");
    played.mount.write(&cx(), &file, &open, 0, &mut data, WriteFlags::empty()).unwrap();
    // A47: busy; the server is not asked and nothing changes.
    assert_eq!(unmount(&played, PLAIN), Err(Errno::EBUSY));
    assert_eq!(played.wire.count(Opcode::Unmount), 0);
    drop((open, file));
    // A48: by force what is open is closed first.
    unmount(&played, UnmountFlags::FORCE).unwrap();
    assert_eq!(played.mount.state(), MountState::Dying);
    let asked = played
        .wire
        .until("question", |seen| seen.iter().any(|asked| asked.opcode == Opcode::Unmount));
    // The goodbye may have come by now.
    let asked: Vec<_> = asked.into_iter().filter(|a| a.opcode != Opcode::Destroy).collect();
    let order: Vec<Opcode> = asked.iter().map(|asked| asked.opcode).collect();
    assert_eq!(
        order,
        [
            Opcode::Init,
            Opcode::Lookup,
            Opcode::Open,
            Opcode::Write,
            Opcode::Release,
            Opcode::Forget,
            Opcode::Syncfs,
            Opcode::Unmount,
        ]
    );
    // A50: the root is never given back. A52: force is seen.
    assert!(asked.iter().all(|asked| asked.opcode != Opcode::Forget || asked.nodeid == FILE));
    assert_eq!(asked.last().unwrap().body, [1u32, 0].map(u32::to_ne_bytes).concat());
}

#[test]
fn unmount_refused_root_still_works() {
    // A50, A52, A53, A54: the refusal is the caller's answer, garbage is EPROTO, and the mount
    // goes on.
    for (said, heard) in
        [(16, Errno::EBUSY), (1, Errno::EPERM), (12345, Errno::EPROTO), (-5, Errno::EPROTO)]
    {
        let played = refusing(said, 1).running();
        assert_eq!(unmount(&played, PLAIN), Err(heard));
        let question = played.wire.wait_for(Opcode::Unmount);
        assert_eq!(question.body, [0; 8]);
        assert_eq!(played.mount.state(), MountState::Running);
        assert_eq!(played.node("f").cookie().0, FILE);
        played.mount.getattr(&cx(), played.mount.root(), None).unwrap();
        unmount(&played, PLAIN).unwrap();
    }
}

#[test]
fn unmount_force_refused() {
    // A55
    for said in [16, 1, 12345] {
        let played = refusing(said, u32::MAX).running();
        assert_eq!(unmount(&played, UnmountFlags::FORCE), Ok(()));
        assert_eq!(played.mount.state(), MountState::Dying);
        assert_eq!(played.wire.count(Opcode::Unmount), 1);
        // A51: it is not asked again.
        assert_eq!(unmount(&played, PLAIN), Ok(()));
        assert_eq!(played.wire.count(Opcode::Unmount), 1);
    }
}

#[test]
fn unmount_interrupted() {
    // A56: EINTR, the mount goes on, and a late answer is no harm.
    let script = Script::new().on(Opcode::Unmount, |_, _| Said::Nothing);
    let played = script.running();
    let cancel = Cancel::new();
    let answer = std::thread::scope(|scope| {
        let context = Context { cancel: &cancel, ..cx() };
        let mount = &played.mount;
        let unmount = scope.spawn(move || mount.unmount_now(&context, PLAIN));
        played.wire.wait_for(Opcode::Unmount);
        cancel.cancel();
        unmount.join().unwrap()
    });
    assert_eq!(answer, Err(Errno::EINTR));
    assert_eq!(played.mount.state(), MountState::Running);
    let question = played.wire.wait_for(Opcode::Unmount);
    played.wire.answer(question.unique, Said::ok());
    assert_eq!(played.node("f").cookie().0, FILE);
    assert_eq!(played.kernel.lies(), 0);
    // The server had agreed, and goes: A64.
    played.wire.die();
    assert_eq!(unmount(&played, PLAIN), Ok(()));
}

#[test]
fn unmount_twice_concurrent() {
    // A66: both end, and the mount is gone.
    for _ in 0..50 {
        let played = Script::new().running();
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    barrier.wait();
                    unmount(&played, PLAIN).unwrap();
                });
            }
        });
        assert_eq!(played.mount.state(), MountState::Dying);
        assert!(played.wire.count(Opcode::Unmount) >= 1);
    }
}

#[test]
fn unmount_after_server_death() {
    // A51, A59
    for flags in [PLAIN, UnmountFlags::FORCE] {
        let played = Script::new().running();
        played.wire.die();
        assert_eq!(unmount(&played, flags), Ok(()));
        let gone = played.mount.getattr(&cx(), played.mount.root(), None);
        assert_eq!(gone, Err(Errno::ENXIO));
    }
}

#[test]
fn close_during_unmount() {
    // A64: the server goes while it is asked, before or after; no hang, and the mount is gone.
    for round in 0..100 {
        let script = Script::new().on(Opcode::Unmount, move |_, wire| {
            if round % 2 == 0 {
                wire.die();
            }
            Said::ok()
        });
        let played = script.running();
        let barrier = Barrier::new(2);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                barrier.wait();
                if round % 3 == 0 {
                    std::thread::yield_now();
                }
                if round % 2 == 1 {
                    played.wire.die();
                }
            });
            barrier.wait();
            let answer = unmount(&played, PLAIN);
            assert!(matches!(answer, Ok(()) | Err(Errno::ENXIO)), "{answer:?}");
            if answer.is_err() {
                unmount(&played, UnmountFlags::FORCE).unwrap();
            }
        });
        assert_eq!(played.mount.state(), MountState::Dying);
    }
}

#[test]
fn in_flight_ops_get_enxio() {
    // A58: those that the server has read, and those that it has not, end at once.
    let script = Script::new().on(Opcode::Lookup, |_, wire| {
        // The others are on their way and will not be read.
        wire.until("nothing", |seen| !seen.is_empty());
        Said::Nothing
    });
    let played = script.on(Opcode::Getattr, |_, _| Said::Nothing).running();
    let played = Arc::new(played);
    let name = filofs::Name::new(b"f").unwrap();
    std::thread::scope(|scope| {
        let asks: Vec<_> = (0..16)
            .map(|_| {
                let played = played.clone();
                scope.spawn(move || {
                    let mount = &played.mount;
                    mount.lookup(&cx(), mount.root(), name).map(drop)
                })
            })
            .collect();
        played.wire.until("LOOKUPs", |seen| seen.len() > 8);
        played.wire.die();
        for ask in asks {
            assert_eq!(ask.join().unwrap(), Err(Errno::ENXIO));
        }
    });
    let after = played.mount.lookup(&cx(), played.mount.root(), name);
    assert_eq!(after.unwrap_err(), Errno::ENXIO);
}
