//! What any server says unasked: the notifications of FUSE, passed up.

use crate::script::{DIR, FILE, FOREVER, Script, cx};
use filofs::{Cookie, FileSystem, Notice, Notices};
use filofs_wire::abi::{NotifyRetrieveIn, Opcode};
use filofs_wire::name::Name;
use filofs_wire::notify;
use std::time::Instant;
use zerocopy::FromBytes;

/// Everything that has come, and then that.
fn until(notices: &Notices, last: &Notice) -> Vec<Notice> {
    let deadline = Instant::now() + FOREVER;
    let mut all = Vec::new();
    while all.last() != Some(last) {
        assert!(Instant::now() < deadline, "{all:?}");
        all.extend(notices.take());
        std::thread::yield_now();
    }
    all
}

#[test]
fn notifications_are_passed_up() {
    for script in [Script::foreign(), Script::new()] {
        let (played, notices) = script.heard();
        let _held = [played.node("f"), played.node("d")];
        let name = |text: &'static str| Name::new(text.as_bytes()).unwrap();
        let (node, dir) = (Cookie(FILE), Cookie(DIR));
        let say = |parts: [&[u8]; 3]| played.wire.say(&parts.concat());
        say(notify::inval_inode(FILE, 10, 20).parts());
        say(notify::inval_inode(FILE, -1, 0).parts());
        say(notify::inval_entry(DIR, name("a")).parts());
        say(notify::expire_entry(1, name("b")).parts());
        say(notify::delete(1, FILE, name("f")).parts());
        say(notify::store(FILE, 5, b"four").unwrap().parts());
        // Nothing here is for these to change.
        say(notify::poll_wakeup(9).parts());
        say(notify::prune(&[FILE, DIR]).unwrap().parts());
        say(notify::resend().parts());
        // Of nodes that nobody knows.
        say(notify::inval_inode(12345, 0, 0).parts());
        say(notify::inval_entry(12345, name("a")).parts());
        say(notify::store(12345, 0, b"x").unwrap().parts());
        say(notify::inc_epoch().parts());
        let renamed = |dir, name: &str| Notice::Renamed { dir, name: name.into() };
        assert_eq!(
            until(&notices, &Notice::AllNames),
            [
                Notice::Changed { node, offset: 10, len: 20 },
                Notice::Changed { node, offset: -1, len: 0 },
                renamed(dir, "a"),
                renamed(Cookie(1), "b"),
                renamed(Cookie(1), "f"),
                Notice::Changed { node, offset: 5, len: 4 },
                Notice::AllNames,
            ]
        );
        assert_eq!(played.kernel.lies(), 0);
    }
}

#[test]
fn what_a_server_wants_back_is_not_kept() {
    // RETRIEVE is answered, as the server waits for it: with nothing.
    let played = Script::foreign().running();
    let retrieve = notify::retrieve(4711, FILE, 4096, 100);
    played.wire.say(&retrieve.parts().concat());
    let reply = played.wire.wait_for(Opcode::NotifyReply);
    assert_eq!((reply.unique, reply.nodeid), (4711, FILE));
    let arg = NotifyRetrieveIn::read_from_bytes(&reply.body).unwrap();
    assert_eq!((arg.offset, arg.size), (4096, 0));
}

#[test]
fn a_flood_of_notifications_loses_none() {
    // Whatever is thrown together says no less than what was sent.
    let (played, notices) = Script::new().heard();
    let file = played.node("f");
    for offset in 0..20_000 {
        played.wire.say(&notify::inval_inode(FILE, offset, 1).parts().concat());
    }
    played.wire.say(&notify::inc_epoch().parts().concat());
    let mut whole = vec![false; 20_000];
    let deadline = Instant::now() + FOREVER;
    while whole.contains(&false) {
        assert!(Instant::now() < deadline);
        for notice in notices.take() {
            match notice {
                Notice::Everything => whole.fill(true),
                Notice::Changed { node, offset: 0, len: 0 } => {
                    assert_eq!(node, file.cookie());
                    whole.fill(true);
                }
                Notice::Changed { offset, len: 1, .. } => whole[offset as usize] = true,
                _ => {}
            }
        }
    }
    // The server was heard meanwhile.
    played.mount.statfs(&cx(), played.mount.root()).unwrap();
}
