//! A mount namespace of one's own, for `filo run`; for an ordinary user inside a user namespace
//! of its own, where mounting needs no right. See user_namespaces(7).
#![allow(unsafe_code)]

use crate::exit::{Exit, Failure};
use rustix::mount::{MountPropagationFlags, mount_change};
use rustix::process::{getegid, geteuid};
use rustix::thread::{UnshareFlags, unshare_unsafe};

/// Leaves the mount namespace of the parent: what is mounted from now on, nobody else sees.
/// Before there are threads.
pub(crate) fn enter() -> Result<(), Failure> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    if uid == 0 {
        unshare(UnshareFlags::NEWNS).map_err(|e| denied("a mount namespace", e))?;
    } else {
        unshare(UnshareFlags::NEWUSER | UnshareFlags::NEWNS).map_err(|e| {
            let mut failure = denied("a user namespace", e);
            failure.text.push_str(
                "; ordinary users need them for 'filo run' \
                 (sysctl kernel.unprivileged_userns_clone \
                 or kernel.apparmor_restrict_unprivileged_userns may forbid them)",
            );
            failure
        })?;
        // Everybody is who they were. Groups cannot be mapped without a right, and setgroups(2)
        // must be given up first.
        for (file, text) in [
            ("/proc/self/setgroups", "deny".to_owned()),
            ("/proc/self/uid_map", format!("{uid} {uid} 1")),
            ("/proc/self/gid_map", format!("{gid} {gid} 1")),
        ] {
            std::fs::write(file, text)
                .map_err(|e| Failure::new(Exit::Permission, format!("cannot write {file}: {e}")))?;
        }
    }
    let private = MountPropagationFlags::REC | MountPropagationFlags::PRIVATE;
    mount_change("/", private).map_err(|e| denied("private mounts", e))
}

fn unshare(flags: UnshareFlags) -> rustix::io::Result<()> {
    // SAFETY: the caution is about UnshareFlags::FILES, which is never among the flags here.
    unsafe { unshare_unsafe(flags) }
}

fn denied(what: &str, errno: rustix::io::Errno) -> Failure {
    Failure::new(Exit::Permission, format!("cannot make {what}: {errno}"))
}
