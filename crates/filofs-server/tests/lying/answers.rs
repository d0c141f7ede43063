//! Each operation and each way to answer it wrongly: A117, A118, A119.

use crate::middle::{Ground, fix_length, timely, with_error};
use filofs::{
    Access, Context, Errno, FallocateFlags, FileSystem, Kind, Lock, LockKind, OpenFlags,
    PollEvents, RenameFlags, Result, SyncMode, UnmountFlags, XattrFlags,
};
use filofs_front::local::{Fd, O_CREAT, O_TMPFILE, Process, Whence};
use filofs_wire::abi::{Opcode, OutHeader};

/// What makes a process ask for an operation.
pub(crate) struct Case {
    pub(crate) opcode: Opcode,
    pub(crate) run: fn(&Process) -> Result<()>,
    /// Whether the process learns what comes of it.
    told: bool,
}

const fn case(opcode: Opcode, run: fn(&Process) -> Result<()>) -> Case {
    Case { opcode, run, told: true }
}

/// Nobody waits for the result.
const fn quiet(opcode: Opcode, run: fn(&Process) -> Result<()>) -> Case {
    Case { opcode, run, told: false }
}

const fn both(a: OpenFlags, b: OpenFlags) -> OpenFlags {
    OpenFlags(a.0 | b.0)
}

/// With an open file. What is found out at its close is not lost.
fn with(process: &Process, path: &str, run: impl FnOnce(Fd) -> Result<()>) -> Result<()> {
    let directory = path == "dir";
    let fd =
        process.open(path, if directory { OpenFlags::DIRECTORY } else { OpenFlags::RDWR }, 0)?;
    let done = run(fd);
    done.and(process.close(fd))
}

/// Every operation that a program can cause.
pub(crate) const CASES: &[Case] = &[
    case(Opcode::Lookup, |p| p.stat("file").map(drop)),
    case(Opcode::Statx, |p| with(p, "file", |fd| p.fstat(fd).map(drop))),
    case(Opcode::Setattr, |p| p.chmod("file", 0o600)),
    case(Opcode::Readlink, |p| p.readlink("link").map(drop)),
    case(Opcode::Symlink, |p| p.symlink("there", "new")),
    case(Opcode::Mknod, |p| p.mknod("new", Kind::Fifo, 0o600, filofs::Device::default())),
    case(Opcode::Mkdir, |p| p.mkdir("new", 0o700)),
    case(Opcode::Unlink, |p| p.unlink("file")),
    case(Opcode::Rmdir, |p| p.rmdir("dir")),
    case(Opcode::Rename, |p| p.rename("file", "new", RenameFlags::empty())),
    case(Opcode::Rename2, |p| p.rename("file", "new", RenameFlags::NOREPLACE)),
    case(Opcode::Link, |p| p.link("file", "new")),
    case(Opcode::Open, |p| with(p, "file", |_| Ok(()))),
    case(Opcode::Create, |p| p.open("new", both(O_CREAT, OpenFlags::RDWR), 0o600).map(drop)),
    case(Opcode::Tmpfile, |p| p.open("dir", both(O_TMPFILE, OpenFlags::RDWR), 0o600).map(drop)),
    case(Opcode::Read, |p| with(p, "file", |fd| p.pread(fd, &mut [0; 9], 0).map(drop))),
    case(Opcode::Write, |p| with(p, "file", |fd| p.pwrite(fd, b"data", 0).map(drop))),
    case(Opcode::Fsync, |p| with(p, "file", |fd| p.fsync(fd, false))),
    case(Opcode::Flush, |p| with(p, "file", |_| Ok(()))),
    quiet(Opcode::Release, |p| with(p, "file", |_| Ok(()))),
    case(Opcode::Fallocate, |p| {
        with(p, "file", |fd| p.fallocate(fd, FallocateFlags::empty(), 0, 99))
    }),
    case(Opcode::Lseek, |p| with(p, "file", |fd| p.lseek(fd, 0, Whence::Data).map(drop))),
    case(Opcode::CopyFileRange64, |p| {
        with(p, "file", |from| {
            with(p, "other", |to| p.copy_file_range(from, 0, to, 0, 3).map(drop))
        })
    }),
    case(Opcode::Ioctl, |p| {
        let how = filofs::Ioctl { command: 0x8008_6601, argument: 0, input: &[] };
        with(p, "file", |fd| p.ioctl(fd, how, 8).map(drop))
    }),
    case(Opcode::Getlk, |p| {
        with(p, "file", |fd| p.getlk(fd, Lock::whole(LockKind::Exclusive)).map(drop))
    }),
    case(Opcode::Setlk, |p| {
        with(p, "file", |fd| p.setlk(fd, Lock::whole(LockKind::Exclusive), false))
    }),
    case(Opcode::Setlkw, |p| with(p, "file", |fd| p.flock(fd, LockKind::Exclusive, true))),
    case(Opcode::Setxattr, |p| p.setxattr("file", "user.a", b"b", XattrFlags::empty())),
    case(Opcode::Getxattr, |p| p.getxattr("file", "user.here").map(drop)),
    case(Opcode::Listxattr, |p| p.listxattr("file").map(drop)),
    case(Opcode::Removexattr, |p| p.removexattr("file", "user.here")),
    case(Opcode::Opendir, |p| with(p, "dir", |_| Ok(()))),
    case(Opcode::Readdir, |p| p.readdir("dir").map(drop)),
    quiet(Opcode::Releasedir, |p| with(p, "dir", |_| Ok(()))),
    case(Opcode::Fsyncdir, |p| with(p, "dir", |fd| p.fsync(fd, false))),
    case(Opcode::Statfs, |p| p.statvfs().map(drop)),
    case(Opcode::Syncfs, |p| p.sync(SyncMode::Wait)),
    case(Opcode::Access, |p| {
        let mount = p.local().mount();
        mount.access(&Context::internal(), mount.root(), Access::READ)
    }),
    case(Opcode::Bmap, |p| {
        let mount = p.local().mount();
        mount.bmap(&Context::internal(), mount.root(), 0, 4096).map(drop)
    }),
    case(Opcode::Poll, |p| with(p, "file", |fd| p.poll(fd, PollEvents::all()).map(drop))),
    case(Opcode::Unmount, |p| {
        let mount = p.local().mount();
        mount.stack().unmount(&Context::internal(), UnmountFlags::empty())
    }),
];

/// A ground with what the cases need.
pub(crate) fn prepared(ground: Ground) -> (Ground, Process) {
    let p = ground.local.process();
    p.mkdir("dir", 0o755).unwrap();
    p.mkdir("dir/sub", 0o755).unwrap();
    p.write_file("file", b"contents").unwrap();
    p.write_file("other", b"").unwrap();
    p.symlink("file", "link").unwrap();
    p.setxattr("file", "user.here", b"value", XattrFlags::empty()).unwrap();
    ground.middle.clear();
    (ground, p)
}

/// Runs a case whose answers are bent; the result, and that the operation was asked at all.
fn bent(
    case: &Case,
    bend: impl FnMut(&mut Vec<u8>) + Send + 'static,
) -> (Result<()>, Vec<(u32, i32, String)>, u64) {
    let (ground, p) = prepared(Ground::new());
    let before = ground.half.lies();
    ground.middle.bend(case.opcode, bend);
    let what = case.opcode.name();
    let result = timely(what, || (case.run)(&p));
    assert!(ground.middle.count(case.opcode) > 0, "{what} is not asked");
    // The notice goes out before anything that is asked later.
    ground.middle.be_honest();
    p.statvfs().unwrap();
    ground.middle.wait("the last word", |middle| middle.count(Opcode::Statfs) > 0);
    let notices = ground.middle.notices();
    let lies = ground.half.lies() - before;
    p.stat("other").unwrap_or_else(|e| panic!("{what}: the mount is of no use any more: {e}"));
    drop(p);
    ground.end();
    (result, notices, lies)
}

/// EPROTO and a notice that names the operation, and nothing is the matter afterwards.
fn is_refused(case: &Case, how: &str, bend: impl FnMut(&mut Vec<u8>) + Send + 'static) {
    let what = case.opcode.name();
    let (result, notices, lies) = bent(case, bend);
    if case.told {
        assert_eq!(result, Err(Errno::EPROTO), "{what}: {how}");
    }
    assert!(lies > 0, "{what}: {how}: not counted");
    assert_eq!(notices.len() as u64, lies, "{what}: {how}: {notices:?}");
    for (opcode, _, text) in &notices {
        assert_eq!(*opcode, case.opcode as u32, "{what}: {how}: {text}");
    }
}

#[test]
fn server_bad_errno_matrix() {
    for case in CASES {
        for error in [1, 2, 512, i32::MIN, i32::MAX, 5, -512, -4095] {
            // As the wire has it: what is negative there is an errno.
            let error = if error == 512 { -512 } else { error };
            is_refused(case, &format!("error {error}"), move |m| with_error(m, error));
        }
    }
}

#[test]
fn every_errno_that_is_one_comes_through() {
    let (ground, p) = prepared(Ground::new());
    let fd = p.open("file", OpenFlags::RDWR, 0).unwrap();
    let enosys = 38;
    for errno in (1..=511).filter(|errno| *errno != enosys) {
        ground.middle.bend(Opcode::Fsync, move |message| with_error(message, -errno));
        assert_eq!(p.fsync(fd, false).unwrap_err().raw(), errno);
    }
    assert_eq!(ground.half.lies(), 0);
    p.close(fd).unwrap();
    drop(p);
    ground.end();
}

#[test]
fn reply_truncated() {
    // Shorter than the structure, by one byte and altogether. Data may be short; a name in it
    // may not be cut in two.
    for case in CASES {
        let shortest = size_of::<OutHeader>();
        let data = matches!(
            case.opcode,
            // mem has no BMAP: an error has nothing that could be cut.
            Opcode::Read | Opcode::Readlink | Opcode::Getxattr | Opcode::Ioctl | Opcode::Bmap
        );
        let nothing = matches!(
            case.opcode.answer(),
            filofs_wire::abi::Answer::Empty | filofs_wire::abi::Answer::Never
        );
        if data || nothing {
            continue;
        }
        is_refused(case, "one byte less", move |message| {
            if message.len() > shortest {
                message.pop();
                fix_length(message);
            }
        });
        let empty_is_an_end = matches!(case.opcode, Opcode::Readdir | Opcode::Listxattr);
        if !empty_is_an_end {
            is_refused(case, "nothing", move |message| {
                message.truncate(shortest);
                fix_length(message);
            });
        }
    }
}

#[test]
fn reply_oversized_and_reply_wrong_opcode() {
    for case in CASES {
        // More than anything of what is asked for here.
        is_refused(case, "too much", |message| {
            message.extend(vec![b'x'; 70_000]);
            fix_length(message);
        });
        is_refused(case, "more than a message", |message| {
            message.extend(vec![b'x'; 140_000]);
            fix_length(message);
        });
        is_refused(case, "another length than is stated", |message| message.push(0));
        // The answer to another operation: of no size that any structure has, and no data where
        // any bytes are a value.
        if case.opcode == Opcode::Getxattr {
            continue;
        }
        is_refused(case, "another's answer", |message| {
            with_error(message, 0);
            message.extend([0xff; 5001]);
            fix_length(message);
        });
    }
}
