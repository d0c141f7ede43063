//! Nouns of the contract as FUSE writes them, and read back.
//!
//! The front end reads what is written here by the kernel half of a file server, and the other way
//! round; in one place, so that the two cannot disagree.

use filofs::{Device, Errno, Gid, Kind, Lock, LockKind, Pid, Result, SetAttr, SetTime, Time, Uid};
use filofs_wire::abi::{FileLock, SetattrIn, SetattrValid as Valid};

/// A device number in the kernel's 32 bits (`new_encode_dev`). What does not fit, 12 bits of the
/// major and 20 of the minor number, is cut.
pub const fn encode_device(device: Device) -> u32 {
    (device.minor & 0xff) | ((device.major & 0xfff) << 8) | ((device.minor & 0xf_ff00) << 12)
}

/// The other way (`new_decode_dev`).
pub const fn decode_device(dev: u32) -> Device {
    Device { major: (dev >> 8) & 0xfff, minor: (dev & 0xff) | ((dev >> 12) & 0xf_ff00) }
}

/// A lock of fcntl(2) or flock(2).
pub const fn encode_lock(lock: Lock) -> FileLock {
    let kind = match lock.kind {
        LockKind::Shared => FileLock::SHARED,
        LockKind::Exclusive => FileLock::EXCLUSIVE,
        LockKind::Unlock => FileLock::UNLOCK,
    };
    FileLock { start: lock.start, end: lock.end, kind, pid: lock.pid.0 }
}

/// The other way. EINVAL for a kind or a range that is none.
pub fn decode_lock(lk: FileLock) -> Result<Lock> {
    let kind = match lk.kind {
        FileLock::SHARED => LockKind::Shared,
        FileLock::EXCLUSIVE => LockKind::Exclusive,
        FileLock::UNLOCK => LockKind::Unlock,
        _ => return Err(Errno::EINVAL),
    };
    Lock { kind, start: lk.start, end: lk.end, pid: Pid(lk.pid) }.check()
}

/// What is to be changed of a node, without an open file.
pub fn encode_setattr(set: &SetAttr) -> SetattrIn {
    let mut arg = SetattrIn::default();
    let valid = [
        (set.mode.is_some(), Valid::MODE),
        (set.uid.is_some(), Valid::UID),
        (set.gid.is_some(), Valid::GID),
        (set.size.is_some(), Valid::SIZE),
        (set.atime.is_some(), Valid::ATIME),
        (set.atime == Some(SetTime::Now), Valid::ATIME_NOW),
        (set.mtime.is_some(), Valid::MTIME),
        (set.mtime == Some(SetTime::Now), Valid::MTIME_NOW),
        (set.ctime.is_some(), Valid::CTIME),
        (set.kill_priv, Valid::KILL_SUIDGID),
    ];
    for (is, flag) in valid {
        arg.valid.set(flag, is);
    }
    arg.mode = set.mode.unwrap_or_default();
    arg.uid = set.uid.map_or(0, |uid| uid.0);
    arg.gid = set.gid.map_or(0, |gid| gid.0);
    arg.size = set.size.unwrap_or_default();
    let given = |time| if let Some(SetTime::At(time)) = time { Some(time) } else { None };
    let parts = |time: Option<Time>| time.map_or((0, 0), |time| (time.secs as u64, time.nanos));
    (arg.atime, arg.atimensec) = parts(given(set.atime));
    (arg.mtime, arg.mtimensec) = parts(given(set.mtime));
    (arg.ctime, arg.ctimensec) = parts(set.ctime);
    arg
}

/// The other way, for a node of that kind.
pub fn decode_setattr(kind: Kind, arg: &SetattrIn) -> SetAttr {
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
        kill_priv: has(Valid::KILL_SUIDGID) || (chown && kind != Kind::Directory),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_the_kernels_form() {
        for device in [(0, 0), (8, 1), (259, 0x12345), (0xfff, 0xf_ffff)] {
            let device = Device { major: device.0, minor: device.1 };
            assert_eq!(decode_device(encode_device(device)), device);
        }
    }

    #[test]
    fn locks_come_back() {
        for kind in [LockKind::Shared, LockKind::Exclusive, LockKind::Unlock] {
            let lock = Lock { kind, start: 3, end: 9, pid: Pid(7) };
            assert_eq!(decode_lock(encode_lock(lock)), Ok(lock));
            assert_eq!(decode_lock(encode_lock(Lock { start: 10, ..lock })), Err(Errno::EINVAL));
        }
        assert_eq!(decode_lock(FileLock { kind: 3, ..FileLock::default() }), Err(Errno::EINVAL));
    }

    #[test]
    fn wishes_come_back() {
        let none = SetAttr::default();
        let at = SetTime::At(Time::new(-5, 999));
        for set in [
            SetAttr { mode: Some(0o4711), ..none },
            SetAttr { size: Some(1 << 40), kill_priv: true, ..none },
            SetAttr { atime: Some(at), mtime: Some(SetTime::Now), ..none },
            SetAttr { atime: Some(SetTime::Now), mtime: Some(at), ..none },
            SetAttr { uid: Some(Uid(7)), gid: Some(Gid(0)), kill_priv: true, ..none },
            SetAttr { mode: Some(0), ctime: Some(Time::new(1, 2)), ..none },
        ] {
            assert_eq!(decode_setattr(Kind::Regular, &encode_setattr(&set)), set);
        }
        // Of a directory chown(2) clears nothing; of others it does, also with nothing to set.
        assert_eq!(decode_setattr(Kind::Directory, &encode_setattr(&none)), none);
        assert!(decode_setattr(Kind::Regular, &encode_setattr(&none)).kill_priv);
    }
}
