//! Both halves as they are.

use crate::ground::{FILE, FOREVER, Ground, MEMBERS, SLOW, SLOWLY, byte_at, cancelled_by, timely};
use crate::ground::{offers_nothing, wait_until};
use filofs::{Cancel, Context, Errno, Gid, OpenFlags, Uid};
use std::sync::atomic::{AtomicUsize, Ordering};

const MIB: usize = 1 << 20;

#[test]
fn a_mebibyte_is_one_message_each_way() {
    let ground = Ground::new(FOREVER);
    let user = ground.local.process();
    let fd = user.open(FILE, OpenFlags::RDWR, 0).unwrap();
    for offset in [0, 5, 1 << 32] {
        let mut room = vec![0; MIB];
        assert_eq!(user.pread(fd, &mut room, offset), Ok(MIB));
        assert!(room.iter().zip(offset..).all(|(byte, at)| *byte == byte_at(at)));
        assert_eq!(user.pwrite(fd, &room, offset), Ok(MIB));
    }
    assert_eq!(*ground.told.sizes.lock().unwrap(), [MIB; 6]);
    user.close(fd).unwrap();
    drop(user);
    ground.end();
}

#[test]
fn without_shared_memory_all_goes_over_the_channel() {
    let (local, told) = offers_nothing();
    let user = local.process();
    let fd = user.open(FILE, OpenFlags::RDONLY, 0).unwrap();
    let mut room = vec![0; MIB];
    assert_eq!(user.pread(fd, &mut room, 0), Ok(MIB));
    assert!(room.iter().zip(0..).all(|(byte, at)| *byte == byte_at(at)));
    assert!(told.sizes.lock().unwrap().len() > 1);
}

#[test]
fn more_callers_than_slots_all_have_their_answers() {
    const MANY: usize = 40;
    let ground = Ground::new(FOREVER);
    timely("callers without a slot", || {
        std::thread::scope(|scope| {
            let look_up = || ground.look_up(&Context::internal(), SLOW);
            let callers: Vec<_> = (0..MANY).map(|_| scope.spawn(look_up)).collect();
            ground.told.wait_for_slow(MANY);
            assert_eq!(ground.half.outstanding(), MANY);
            // Others are served meanwhile.
            ground.look_up(&Context::internal(), FILE).unwrap();
            ground.told.open_gate();
            assert!(callers.into_iter().all(|caller| caller.join().unwrap().is_ok()));
        });
    });
    assert_eq!(ground.half.outstanding(), 0);
    ground.end();
}

#[test]
fn who_waits_is_asked_for_its_groups() {
    // C.10: only the waiting caller knows them.
    let ground = Ground::new(FOREVER);
    for (groups, answer) in
        [(vec![Gid(77)], Ok(())), (vec![Gid(5), Gid(77)], Ok(())), (vec![], Err(Errno::ENOENT))]
    {
        let cx = Context { uid: Uid(1000), groups: &groups, ..Context::internal() };
        assert_eq!(timely("groups", || ground.look_up(&cx, MEMBERS).map(drop)), answer);
    }
    ground.end();
}

/// More callers than there are slots ask for what takes its time, and give up.
fn twenty_give_up(ground: &Ground, ask: impl Fn(&Context<'_>) -> filofs::Result<()> + Sync) {
    let cancels: Vec<_> = (0..20).map(|_| Cancel::new()).collect();
    std::thread::scope(|scope| {
        let ask = &ask;
        let begin = |cancel| scope.spawn(move || ask(&cancelled_by(cancel)));
        let callers: Vec<_> = cancels.iter().map(begin).collect();
        ground.told.wait_for_slow(20);
        cancels.iter().for_each(Cancel::cancel);
        for caller in callers {
            assert_eq!(caller.join().unwrap(), Err(Errno::EINTR));
        }
    });
}

#[test]
fn who_gives_up_leaves_nothing_behind() {
    // C.3: the answer comes over the channel, and what it gives is given back.
    let ground = Ground::new(FOREVER);
    let before = ground.half.nodes();
    timely("callers that give up", || {
        for _ in 0..3 {
            twenty_give_up(&ground, |cx| ground.look_up(cx, SLOW).map(drop));
            ground.told.open_gate();
            wait_until("late answers", || ground.half.outstanding() == 0);
            ground.told.shut_gate();
        }
    });
    assert_eq!((ground.half.nodes(), ground.half.lies()), (before, 0));
    wait_until("nothing but the root", || ground.session.report().nodes == 1);
    ground.end();
}

#[test]
fn a_file_comes_with_an_open_whichever_way_that_was_asked() {
    let ground = Ground::new(FOREVER);
    let (cx, node) = (Context::internal(), ground.look_up(&Context::internal(), FILE).unwrap());
    let open_and_close = || ground.close(&ground.open(&cx, &node, OpenFlags::RDWR).unwrap());
    timely("opens", || {
        open_and_close();
        std::thread::scope(|scope| {
            let look_up = || ground.look_up(&Context::internal(), SLOW);
            let callers: Vec<_> = (0..20).map(|_| scope.spawn(look_up)).collect();
            ground.told.wait_for_slow(20);
            // There is no slot left.
            open_and_close();
            ground.told.open_gate();
            assert!(callers.into_iter().all(|caller| caller.join().unwrap().is_ok()));
        });
        open_and_close();
    });
    assert_eq!((ground.half.outstanding(), ground.half.lies()), (0, 0));
    drop(node);
    ground.end();
}

#[test]
fn an_open_that_is_given_up_is_closed_again() {
    let ground = Ground::new(FOREVER);
    let node = ground.look_up(&Context::internal(), FILE).unwrap();
    let count = |of: &AtomicUsize| of.load(Ordering::SeqCst);
    timely("opens that are given up", || {
        twenty_give_up(&ground, |cx| ground.open(cx, &node, SLOWLY).map(drop));
        ground.told.open_gate();
        wait_until("late answers", || ground.half.outstanding() == 0);
        // And at any other moment.
        std::thread::scope(|scope| {
            for caller in 1..4_u64 {
                let (ground, node) = (&ground, &node);
                scope.spawn(move || {
                    for round in 0..200 {
                        let cancel = Cancel::new();
                        let cx = cancelled_by(&cancel);
                        std::thread::scope(|scope| {
                            scope.spawn(|| {
                                (0..round * caller % 300).for_each(|_| std::hint::spin_loop());
                                cancel.cancel();
                            });
                            if let Ok(open) = ground.open(&cx, node, OpenFlags::RDWR) {
                                ground.close(&open);
                            }
                        });
                    }
                });
            }
        });
        wait_until("late answers", || ground.half.outstanding() == 0);
        wait_until("all is closed", || count(&ground.told.released) == count(&ground.told.opened));
    });
    assert_eq!(ground.half.lies(), 0);
    drop(node);
    ground.end();
}

#[test]
fn the_end_of_a_server_ends_all_who_wait() {
    let ground = Ground::new(FOREVER);
    timely("callers of a server that ends", || {
        std::thread::scope(|scope| {
            let look_up = || ground.look_up(&Context::internal(), SLOW).map(drop);
            let callers: Vec<_> = (0..20).map(|_| scope.spawn(look_up)).collect();
            ground.told.wait_for_slow(20);
            ground.cut();
            for caller in callers {
                assert_eq!(caller.join().unwrap(), Err(Errno::EIO));
            }
            assert_eq!(look_up(), Err(Errno::EIO));
        });
    });
    assert_eq!(ground.half.outstanding(), 0);
    ground.end();
}
