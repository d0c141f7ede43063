//! Namespaces of a program's own, see namespaces(7).

use super::{LaunchError, Plan, Profile, Report, sys};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, unmount,
};
use rustix::process::{getegid, geteuid};
use rustix::stdio::stdout;
use rustix::thread::{
    CapabilitySet, UnshareFlags, capabilities, clear_ambient_capability_set,
    configure_capability_in_ambient_set, set_capabilities,
};
use std::fmt::Display;

/// Leaves the namespaces of the parent, as far as the plan wants it; whether the next child is the
/// first process of a pid namespace. Nothing is taken back after an error: end the process.
pub(super) fn enter(plan: &Plan) -> Result<bool, LaunchError> {
    let profile = plan.sandbox.profile;
    let alone = profile != Profile::Off && !plan.bare;
    let mut flags = UnshareFlags::empty();
    if alone {
        flags |= UnshareFlags::NEWNS | UnshareFlags::NEWIPC | UnshareFlags::NEWUTS;
        flags |= UnshareFlags::NEWPID | UnshareFlags::NEWCGROUP;
    } else if plan.mounts {
        flags |= UnshareFlags::NEWNS;
    }
    if alone && !plan.sandbox.has_network() {
        flags |= UnshareFlags::NEWNET;
    }
    if flags.is_empty() {
        return Ok(false);
    }
    if may_administer() {
        sys::unshare(flags).map_err(|e| refused("make namespaces", e))?;
    } else if geteuid().is_root() && !plan.mounts {
        // A user namespace would take the rights over other people's files that root has.
        let what = "root has no CAP_SYS_ADMIN here, and so no namespaces".to_owned();
        return Err(LaunchError::Namespace { what });
    } else {
        enter_user(flags)?;
    }
    // What is mounted and unmounted outside is inside, too, so that nothing stays busy for our
    // sake; but not the other way round.
    mount_change("/", MountPropagationFlags::REC | MountPropagationFlags::DOWNSTREAM)
        .map_err(|e| refused("detach the mount table", e))?;
    for path in &plan.hidden {
        // It fails if it is not there any more, and for an ordinary user, who may take away only
        // everything together, mount_namespaces(7).
        let _ = unmount(path, UnmountFlags::DETACH | UnmountFlags::NOFOLLOW);
    }
    for (source, over) in &plan.binds {
        mount_bind(source, over).map_err(|e| {
            refused(&format!("mount {} over {}", source.display(), over.display()), e)
        })?;
    }
    if alone {
        keep_over_exec(CapabilitySet::SYS_ADMIN)?;
    }
    Ok(alone)
}

/// Lets the next program that is executed have a capability, which one of an ordinary user would
/// lose, even in a user namespace.
fn keep_over_exec(capability: CapabilitySet) -> Result<(), LaunchError> {
    let mut sets = capabilities(None).map_err(|e| refused("read capabilities", e))?;
    sets.inheritable |= capability;
    set_capabilities(None, sets)
        .and_then(|()| configure_capability_in_ambient_set(capability, true))
        .map_err(|e| refused("pass a capability on", e))
}

/// Namespaces for somebody without rights: inside a user namespace, where everybody is who they
/// were, see user_namespaces(7).
fn enter_user(flags: UnshareFlags) -> Result<(), LaunchError> {
    let (uid, gid) = (geteuid().as_raw(), getegid().as_raw());
    sys::unshare(flags | UnshareFlags::NEWUSER).map_err(|e| refused("make a user namespace", e))?;
    // Groups cannot be mapped without a right, and setgroups(2) must be given up first.
    for (file, text) in [
        ("/proc/self/setgroups", "deny".to_owned()),
        ("/proc/self/uid_map", format!("{uid} {uid} 1")),
        ("/proc/self/gid_map", format!("{gid} {gid} 1")),
    ] {
        std::fs::write(file, text).map_err(|e| refused(&format!("write {file}"), e))?;
    }
    Ok(())
}

/// A /proc that shows the pid namespace of the caller and nobody else, proc(5). To be called by
/// the first process in it: one that is mounted from outside shows what is outside.
pub(super) fn mount_proc(profile: Profile) -> Result<(), LaunchError> {
    let flags = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
    let mounted = mount("proc", "/proc", "proc", flags, None);
    clear_ambient_capability_set().map_err(|e| refused("give up capabilities", e))?;
    let Err(errno) = mounted else { return Ok(()) };
    let what = format!("no /proc of its own ({errno}): it sees other people's processes");
    if profile == Profile::Strict {
        return Err(LaunchError::Sandbox { what: format!("sandbox=strict: {what}") });
    }
    // In containers that hide parts of /proc. Its pids are those of outside, which only confuses.
    Report::Lacking(what).send(stdout());
    Ok(())
}

/// Whether namespaces can be made without a user namespace.
fn may_administer() -> bool {
    capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN))
}

fn refused(what: &str, error: impl Display) -> LaunchError {
    LaunchError::Namespace { what: format!("cannot {what}: {error}") }
}
