//! Arguments of requests in the words of the operations.

use filofs::{
    Errno, Gid, Kind, Lock, LockKind, MakeHow, Node, OpenFlags, Pid, Result, SetAttr, SetTime,
    Time, Uid,
};
use filofs_wire::abi;

const O_CREAT: u32 = 0o100;
const O_NOCTTY: u32 = 0o400;
/// `__O_TMPFILE`; O_TMPFILE itself is this with O_DIRECTORY.
const O_TMPFILE: u32 = 0o20_000_000;

/// The flags of OPEN.
pub(super) fn open_flags(flags: u32) -> OpenFlags {
    OpenFlags(flags & !(O_CREAT | O_NOCTTY)).without(OpenFlags::EXCL)
}

/// The flags of CREATE and TMPFILE.
pub(super) fn create_flags(flags: u32) -> OpenFlags {
    OpenFlags(flags & !(O_CREAT | O_NOCTTY | O_TMPFILE))
        .without(OpenFlags::DIRECTORY)
        .without(OpenFlags::EXEC)
}

/// How to make a file.
pub(super) fn make_how(mode: u32, umask: u32, flags: OpenFlags) -> MakeHow {
    MakeHow { umask: umask & 0o777, flags, ..MakeHow::mode(mode & 0o7777) }
}

/// What SETATTR wants changed.
pub(super) fn wishes(node: &Node, arg: &abi::SetattrIn) -> SetAttr {
    use abi::SetattrValid as Valid;
    let has = |flag| arg.valid.contains(flag);
    let time = |flag, now, secs: u64, nanos| {
        has(flag).then(|| {
            if has(now) { SetTime::Now } else { SetTime::At(Time::new(secs as i64, nanos)) }
        })
    };
    // chown(2) that leaves both as they are still clears set-id bits; of all calls it alone comes
    // with nothing to set.
    let others = Valid::MODE | Valid::SIZE | Valid::ATIME | Valid::MTIME;
    let chown = arg.valid.intersects(Valid::UID | Valid::GID) || !arg.valid.intersects(others);
    SetAttr {
        mode: has(Valid::MODE).then_some(arg.mode & 0o7777),
        uid: has(Valid::UID).then_some(Uid(arg.uid)),
        gid: has(Valid::GID).then_some(Gid(arg.gid)),
        size: has(Valid::SIZE).then_some(arg.size),
        atime: time(Valid::ATIME, Valid::ATIME_NOW, arg.atime, arg.atimensec),
        mtime: time(Valid::MTIME, Valid::MTIME_NOW, arg.mtime, arg.mtimensec),
        ctime: has(Valid::CTIME).then(|| Time::new(arg.ctime as i64, arg.ctimensec)),
        // With HANDLE_KILLPRIV_V2 the kernel says it for a change of size only, and leaves that
        // of the owner to us: chown(2) clears the bits of whatever is no directory, whoever asks.
        kill_priv: has(Valid::KILL_SUIDGID) || (chown && node.kind() != Kind::Directory),
    }
}

/// A lock as it was asked for.
pub(super) fn lock_of(lk: &abi::FileLock) -> Result<Lock> {
    let kind = match lk.kind {
        0 => LockKind::Shared,
        1 => LockKind::Exclusive,
        2 => LockKind::Unlock,
        _ => return Err(Errno::EINVAL),
    };
    Lock { kind, start: lk.start, end: lk.end, pid: Pid(lk.pid) }.check()
}

/// F_RDLCK, F_WRLCK, F_UNLCK of fcntl(2).
pub(super) const fn lock_number(kind: LockKind) -> u32 {
    match kind {
        LockKind::Shared => 0,
        LockKind::Exclusive => 1,
        LockKind::Unlock => 2,
    }
}
