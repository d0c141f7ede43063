//! The fixed list of what a server may not say, each alone: sizes, kinds, names, ids, times.

use crate::answers::prepared;
use crate::middle::{Ground, fix_length, timely, with_body};
use filofs::{Errno, Kind, OpenFlags, RenameFlags, XattrFlags};
use filofs_front::local::{O_CREAT, Process};
use filofs_wire::abi::{AttrOut, EntryOut, LkOut, LseekOut, Opcode, OutHeader, StatxOut, WriteOut};
use filofs_wire::dirent::{Dirent, DirentBuffer};
use filofs_wire::name::Name;

const S_IFMT: u32 = 0o170_000;
const S_IFDIR: u32 = 0o040_000;
const S_IFREG: u32 = 0o100_000;
const EXCLUSIVE: OpenFlags = OpenFlags(O_CREAT.0 | OpenFlags::EXCL.0 | OpenFlags::RDWR.0);

/// What it is, and what makes it.
type Lie<T> = (&'static str, fn(&mut T));

/// With one kind of answer bent, a call is EPROTO, counted once, and all is well afterwards.
fn refused<T: std::fmt::Debug>(
    what: &str,
    opcode: Opcode,
    bend: impl FnMut(&mut Vec<u8>) + Send + 'static,
    call: impl FnOnce(&Process) -> filofs::Result<T>,
) {
    let (ground, p) = prepared(Ground::new());
    ground.middle.bend(opcode, bend);
    let result = timely(what, || call(&p));
    assert_eq!(result.unwrap_err(), Errno::EPROTO, "{what}");
    assert!(ground.half.lies() > 0, "{what}: not counted");
    ground.middle.be_honest();
    p.stat("other").unwrap();
    drop(p);
    ground.end();
}

fn entry(change: fn(&mut EntryOut)) -> impl FnMut(&mut Vec<u8>) + Send + 'static {
    move |message| with_body(message, change)
}

#[test]
fn attributes_that_no_file_has() {
    let lies: [Lie<EntryOut>; 8] = [
        ("a kind that is none", |e| e.attr.mode &= !S_IFMT),
        ("every kind at once", |e| e.attr.mode |= S_IFMT),
        ("a size beyond all", |e| e.attr.size = i64::MAX as u64 + 1),
        ("more than a second of access", |e| e.attr.atimensec = 1_000_000_000),
        ("more than a second of change", |e| e.attr.mtimensec = u32::MAX),
        ("more than a second of status", |e| e.attr.ctimensec = 1_000_000_001),
        ("more than a second of validity", |e| e.entry_valid_nsec = 1_000_000_000),
        ("more than a second of attributes", |e| e.attr_valid_nsec = u32::MAX),
    ];
    for (what, lie) in lies {
        refused(what, Opcode::Lookup, entry(lie), |p| p.stat("file"));
        refused(what, Opcode::Mkdir, entry(lie), |p| p.mkdir("new", 0o700));
    }
    let stats: [Lie<StatxOut>; 5] = [
        ("a kind that is none", |s| s.stat.mode &= !(S_IFMT as u16)),
        ("a size beyond all", |s| s.stat.size = u64::MAX),
        ("a second and more", |s| s.stat.btime.tv_nsec = 1_000_000_000),
        ("a validity of more than a second", |s| s.attr_valid_nsec = 1_000_000_000),
        ("another kind than before", |s| s.stat.mode ^= (S_IFDIR ^ S_IFREG) as u16),
    ];
    for (what, lie) in stats {
        refused(
            what,
            Opcode::Statx,
            move |m| with_body(m, lie),
            |p| {
                let fd = p.open("file", OpenFlags::RDONLY, 0)?;
                let stat = p.fstat(fd);
                p.close(fd).and(stat)
            },
        );
    }
    refused(
        "another kind after a change",
        Opcode::Setattr,
        |m| with_body::<AttrOut>(m, |out| out.attr.mode ^= S_IFDIR ^ S_IFREG),
        |p| p.chmod("file", 0o600),
    );
}

#[test]
fn what_is_odd_but_may_be_is_taken() {
    let odd: [fn(&mut EntryOut); 5] = [
        |e| e.attr.nlink = 0,
        |e| e.attr.nlink = u32::MAX,
        |e| (e.attr.atime, e.attr.mtime) = (u64::MAX, i64::MIN as u64),
        |e| (e.entry_valid, e.attr_valid) = (u64::MAX, u64::MAX),
        |e| (e.attr.blksize, e.attr.blocks, e.attr.ino) = (0, u64::MAX, 0),
    ];
    for change in odd {
        let (ground, p) = prepared(Ground::new());
        ground.middle.bend(Opcode::Lookup, entry(change));
        p.stat("file").unwrap();
        assert_eq!(p.read_file("file").unwrap(), b"contents");
        assert_eq!(ground.half.lies(), 0);
        drop(p);
        ground.end();
    }
}

#[test]
fn the_root_and_the_directory_itself_are_in_no_directory() {
    refused("the root", Opcode::Lookup, entry(|e| e.nodeid = 1), |p| p.stat("file"));
    refused("the root", Opcode::Mkdir, entry(|e| e.nodeid = 1), |p| p.mkdir("new", 0o700));
    // Below a directory whose id is known from its own lookup.
    let (ground, p) = prepared(Ground::new());
    let mut above = 0;
    ground.middle.tamper(move |seen, messages| {
        if seen.is_some_and(|seen| seen.is(Opcode::Lookup)) {
            with_body::<EntryOut>(&mut messages[0], |entry| match above {
                0 => above = entry.nodeid,
                _ => entry.nodeid = above,
            });
        }
    });
    timely("itself", || assert_eq!(p.stat("dir/sub").unwrap_err(), Errno::EPROTO));
    drop(p);
    ground.end();
}

/// C.7: a new node must be new. What was made is taken away again and given back once.
#[test]
fn a_new_node_that_is_known_is_undone() {
    type Make = fn(&Process) -> filofs::Result<()>;
    let makers: [(Opcode, Opcode, Make); 4] = [
        (Opcode::Mkdir, Opcode::Rmdir, |p| p.mkdir("new", 0o700)),
        (Opcode::Mknod, Opcode::Unlink, |p| {
            p.mknod("new", Kind::Fifo, 0o600, filofs::Device::default())
        }),
        (Opcode::Symlink, Opcode::Unlink, |p| p.symlink("there", "new")),
        (Opcode::Create, Opcode::Unlink, |p| p.open("new", EXCLUSIVE, 0o600).map(drop)),
    ];
    for (maker, undoer, make) in makers {
        let (ground, p) = prepared(Ground::new());
        // Known, of the same kind, and held.
        p.mknod("fifo", Kind::Fifo, 0o600, filofs::Device::default()).unwrap();
        let held: Vec<_> = ["dir", "file"]
            .map(|name| p.open(name, OpenFlags::RDONLY, 0).unwrap())
            .into_iter()
            .collect();
        let mount = ground.local.mount().clone();
        let cx = filofs::Context::internal();
        let name = |name: &'static str| filofs::Name::new(name.as_bytes()).unwrap();
        use filofs::FileSystem;
        let known = match maker {
            Opcode::Mkdir => "dir",
            Opcode::Mknod => "fifo",
            Opcode::Symlink => "link",
            _ => "file",
        };
        let kept = mount.lookup(&cx, mount.root(), name(known)).unwrap();
        let id = kept.cookie.0;
        ground.middle.clear();
        ground.middle.bend(maker, entry_of(id));
        let what = maker.name();
        timely(what, || assert_eq!(make(&p), Err(Errno::EPROTO), "{what}"));
        ground.middle.be_honest();
        assert_eq!(p.lstat("new").unwrap_err(), Errno::ENOENT, "{what}: it is left behind");
        ground.middle.wait("the node is given back", |m| m.forgotten(id) == 1);
        let seen = ground.middle.seen();
        let at = |opcode| seen.iter().position(|seen| seen.is(opcode));
        assert_eq!(ground.middle.count(undoer), 1, "{what}");
        assert!(at(maker) < at(undoer) && at(undoer) < at(Opcode::Forget), "{what}: {seen:?}");
        // What was known is as it was.
        assert_eq!(p.read_file("file").unwrap(), b"contents");
        drop((kept, mount));
        for fd in held {
            p.close(fd).unwrap();
        }
        drop(p);
        ground.end();
    }
}

fn entry_of(id: u64) -> impl FnMut(&mut Vec<u8>) + Send + 'static {
    move |message| with_body::<EntryOut>(message, |entry| entry.nodeid = id)
}

#[test]
fn what_was_made_of_another_kind_is_undone() {
    let (ground, p) = prepared(Ground::new());
    ground.middle.bend(Opcode::Mkdir, entry(|e| e.attr.mode ^= S_IFDIR ^ S_IFREG));
    timely("mkdir", || assert_eq!(p.mkdir("new", 0o700), Err(Errno::EPROTO)));
    assert_eq!(ground.middle.count(Opcode::Rmdir), 1);
    assert_eq!(p.stat("new").unwrap_err(), Errno::ENOENT);
    drop(p);
    ground.end();
}

#[test]
fn an_answer_to_a_creation_without_a_node_is_no_creation() {
    // C.2: EOPNOTSUPP. Nothing is taken away: it may be somebody else's.
    let (ground, p) = prepared(Ground::new());
    ground.middle.bend(Opcode::Mkdir, entry(|e| e.nodeid = 0));
    assert_eq!(p.mkdir("new", 0o700), Err(Errno::EOPNOTSUPP));
    assert_eq!(ground.middle.count(Opcode::Rmdir), 0);
    drop(p);
    ground.end();
}

#[test]
fn a_file_that_may_have_been_there_is_not_taken_away() {
    let (ground, p) = prepared(Ground::new());
    ground.middle.bend(Opcode::Create, entry(|e| e.attr.mode ^= S_IFDIR ^ S_IFREG));
    let flags = OpenFlags(O_CREAT.0 | OpenFlags::RDWR.0);
    assert_eq!(p.open("new", flags, 0o600).unwrap_err(), Errno::EPROTO);
    assert_eq!(ground.middle.count(Opcode::Unlink), 0);
    assert_eq!(ground.middle.count(Opcode::Release), 1, "but closed");
    drop(p);
    ground.end();
}

#[test]
fn an_id_of_another_generation_is_another_file() {
    // A91: what was opened before is stale, and never another file's bytes.
    let (ground, p) = prepared(Ground::new());
    let fd = p.open("file", OpenFlags::RDONLY, 0).unwrap();
    let mut id = None;
    ground.middle.tamper(move |seen, messages| {
        if seen.is_some_and(|seen| seen.is(Opcode::Lookup)) {
            with_body::<EntryOut>(&mut messages[0], |entry| {
                // The first lookup is of the old file, the second of the new.
                match id {
                    None => id = Some(entry.nodeid),
                    Some(id) => (entry.nodeid, entry.generation) = (id, entry.generation + 1),
                }
            });
        }
    });
    p.stat("file").unwrap();
    p.stat("other").unwrap();
    let mut bytes = [0; 9];
    assert_eq!(p.pread(fd, &mut bytes, 0).unwrap_err(), Errno::ESTALE);
    ground.middle.be_honest();
    assert_eq!(p.close(fd), Err(Errno::ESTALE));
    assert_eq!(ground.middle.count(Opcode::Release), 1, "but closed");
    drop(p);
    ground.end();
}

/// A directory whose answers are these names, each with the position after it.
fn listing(ground: &Ground, names: &'static [(&'static [u8], u64)]) {
    ground.middle.bend(Opcode::Readdir, move |message| {
        let mut room = [0; 4096];
        let mut buffer = DirentBuffer::new(&mut room);
        let kind = S_IFREG >> 12;
        for (name, next) in names {
            let name = Name::new(name).unwrap();
            buffer.push(&Dirent { ino: 5, next: *next, kind, name }).unwrap();
        }
        let len = buffer.len();
        message.truncate(size_of::<OutHeader>());
        message.extend(&room[..len]);
        fix_length(message);
    });
}

#[test]
fn directories_without_an_end() {
    let endless: [&'static [(&'static [u8], u64)]; 6] = [
        &[(b"a", 0)],
        &[(b"a", 5), (b"b", 5)],
        &[(b"a", 5), (b"b", 6), (b"c", 5)],
        &[(b"a", u64::MAX)],
        &[(b"a", 5), (b"b", 6)],
        // Names that nobody is shown, for ever.
        &[(b".", 5), (b"..", 6)],
    ];
    for names in endless {
        let (ground, p) = prepared(Ground::new());
        listing(&ground, names);
        timely("readdir", || assert_eq!(p.readdir("dir").unwrap_err(), Errno::EPROTO, "{names:?}"));
        drop(p);
        ground.end();
    }
}

#[test]
fn names_that_none_can_have() {
    let names: [&[u8]; 4] = [b"", b"a/b", b"a\0b", &[b'x'; 256]];
    for name in names {
        let (ground, p) = prepared(Ground::new());
        ground.middle.bend(Opcode::Readdir, move |message| {
            message.truncate(size_of::<OutHeader>());
            for number in [5_u64, 7] {
                message.extend(number.to_ne_bytes());
            }
            message.extend((name.len() as u32).to_ne_bytes());
            message.extend((S_IFREG >> 12).to_ne_bytes());
            message.extend(name);
            message.resize(message.len().next_multiple_of(8), 0);
            fix_length(message);
        });
        timely("readdir", || assert_eq!(p.readdir("dir").unwrap_err(), Errno::EPROTO, "{name:?}"));
        drop(p);
        ground.end();
    }
}

#[test]
fn more_than_was_asked_for() {
    refused(
        "written (resid grew, C.6)",
        Opcode::Write,
        |m| with_body::<WriteOut>(m, |out| out.size += 1),
        |p| {
            let fd = p.open("file", OpenFlags::RDWR, 0)?;
            let done = p.pwrite(fd, b"data", 0);
            p.close(fd).and(done)
        },
    );
    refused(
        "sought",
        Opcode::Lseek,
        |m| with_body::<LseekOut>(m, |out| out.offset = u64::MAX),
        |p| {
            let fd = p.open("file", OpenFlags::RDWR, 0)?;
            let done = p.lseek(fd, 0, filofs_front::local::Whence::Data);
            p.close(fd).and(done)
        },
    );
    refused(
        "locked",
        Opcode::Getlk,
        |m| with_body::<LkOut>(m, |out| (out.lk.kind, out.lk.start, out.lk.end) = (1, 9, 3)),
        |p| {
            let fd = p.open("file", OpenFlags::RDWR, 0)?;
            let done = p.getlk(fd, filofs::Lock::whole(filofs::LockKind::Exclusive));
            p.close(fd).and(done)
        },
    );
    // C.10: an extended attribute.
    refused(
        "an attribute's value",
        Opcode::Getxattr,
        |m| {
            m.extend([0; 9]);
            fix_length(m);
        },
        |p| p.getxattr_into("file", "user.here", &mut [0; 6]),
    );
    refused(
        "an attribute's size",
        Opcode::Getxattr,
        |m| with_body::<u32>(m, |size| *size = 65537),
        |p| p.getxattr_into("file", "user.here", &mut []),
    );
    refused(
        "an empty name in a list",
        Opcode::Listxattr,
        |m| {
            m.truncate(size_of::<OutHeader>());
            m.extend(b"user.a\0\0user.b\0");
            fix_length(m);
        },
        |p| p.listxattr("file"),
    );
}

#[test]
fn an_attribute_larger_than_a_message_is_e2big() {
    // C.10. A server that takes no more than 4 KiB at once.
    let init = |message: &mut Vec<u8>| {
        with_body::<filofs_wire::abi::InitOut>(message, |out| out.max_write = 4096);
    };
    let mem = filofs_bases::mem::Mem::new(filofs_bases::mem::Settings::default());
    let plan = crate::middle::Plan { init, ..crate::middle::Plan::default() };
    let (ground, p) = prepared(Ground::over(std::sync::Arc::new(mem), &plan));
    let value = vec![7; 9000];
    assert_eq!(p.setxattr("file", "user.b", &value, XattrFlags::empty()), Err(Errno::E2BIG));
    assert_eq!(ground.middle.count(Opcode::Setxattr), 0, "it does not go out");
    p.setxattr("file", "user.b", &value[..4096], XattrFlags::empty()).unwrap();
    ground.middle.bend(Opcode::Getxattr, |m| crate::middle::with_error(m, -34));
    assert_eq!(p.getxattr_into("file", "user.b", &mut [0; 9000]), Err(Errno::E2BIG));
    drop(p);
    ground.end();
}

#[test]
fn two_names_with_one_id_are_one_file() {
    // Hard-link confusion: not to be told from an honest hard link, so it is one, and of one
    // kind; with another kind it is a lie.
    let (ground, p) = prepared(Ground::new());
    let mount = ground.local.mount().clone();
    let file = filofs::Name::new(b"file").unwrap();
    use filofs::FileSystem;
    let kept = mount.lookup(&filofs::Context::internal(), mount.root(), file).unwrap();
    ground.middle.bend(Opcode::Lookup, entry_of(kept.cookie.0));
    assert_eq!(p.read_file("other").unwrap(), b"contents");
    timely("a directory", || assert_eq!(p.stat("dir").unwrap_err(), Errno::EPROTO));
    ground.middle.be_honest();
    p.rename("other", "another", RenameFlags::empty()).unwrap();
    drop((kept, mount));
    drop(p);
    ground.end();
}

#[test]
fn answers_to_nothing_and_twice_are_counted_and_dropped() {
    let (ground, p) = prepared(Ground::new());
    ground.middle.tamper(|_, messages| messages.extend(messages.clone()));
    timely("twice", || {
        for _ in 0..50 {
            assert_eq!(p.read_file("file").unwrap(), b"contents");
        }
    });
    ground.middle.be_honest();
    let before = ground.half.lies();
    assert!(before >= 50, "{before}");
    let header = |unique: u64, error: i32| {
        let mut bytes = 16_u32.to_ne_bytes().to_vec();
        bytes.extend(error.to_ne_bytes());
        bytes.extend(unique.to_ne_bytes());
        bytes
    };
    for unique in [2, 9_999_998, 1 << 62, 1 << 63, u64::MAX - 1] {
        ground.middle.say(&header(unique, 0));
        ground.middle.say(&header(unique, -5));
    }
    ground.middle.say(&header(0, 77)); // a notification that is none
    for junk in [vec![], vec![1], vec![0xff; 16], vec![0; 5000], vec![0xff; 200_000]] {
        ground.middle.say(&junk);
    }
    ground.middle.wait("all are counted", |_| ground.half.lies() >= before + 14);
    assert_eq!(p.read_file("file").unwrap(), b"contents");
    drop(p);
    ground.end();
}

#[test]
fn what_a_foreign_server_is_not_told() {
    // Without the extension there are no notices; the rest is the same.
    let (ground, p) = prepared(Ground::foreign());
    let fd = p.open("file", OpenFlags::RDONLY, 0).unwrap();
    ground.middle.bend(Opcode::Getattr, |m| {
        with_body::<AttrOut>(m, |out| out.attr.mode ^= S_IFDIR ^ S_IFREG);
    });
    timely("fstat", || assert_eq!(p.fstat(fd).unwrap_err(), Errno::EPROTO));
    p.close(fd).unwrap();
    assert!(ground.half.lies() > 0);
    assert_eq!(ground.middle.notices(), []);
    drop(p);
    ground.end();
}
