//! The last steps before the program: limits, capabilities, Landlock, the filter of system calls.

use super::{LaunchError, Plan, Profile, Report, filter, reach};
use rustix::fd::OwnedFd;
use rustix::io::Errno;
use rustix::process::{
    Resource, Rlimit, Signal, getrlimit, set_parent_process_death_signal, setrlimit,
};
use rustix::stdio::stdin;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
    clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    set_no_new_privs,
};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

/// How much sooner than whoever started it a program is killed when memory runs out,
/// proc_pid_oom_score_adj(5).
const OOM_SCORE_MORE: i32 = 100;

/// The soft limit of open files is raised so far, if the hard one permits. Not further: there are
/// programs that close every number that could be open.
const DESCRIPTORS_MAX: u64 = 1 << 20;

/// The most that `oom_score_adj` can be.
const OOM_SCORE_MAX: i32 = 1000;

/// What a file server needs to act for its callers: to make what is theirs, and to do what they
/// may. Never CAP_SYS_ADMIN, with which everything else could be had again.
const FOR_CALLERS: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::DAC_READ_SEARCH)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::LINUX_IMMUTABLE);

/// Capabilities have numbers below this, capabilities(7).
const CAPABILITIES: u32 = u64::BITS;

/// Becomes the program. Standard input is the socket to the keeper.
pub(super) fn life(plan: &Plan) -> ExitCode {
    // Not where the channel would be, and gone as soon as the program is executed.
    let Ok(keeper) = rustix::io::fcntl_dupfd_cloexec(stdin(), super::CHANNEL_FD + 1) else {
        return ExitCode::FAILURE;
    };
    let Err(error) = confine(plan, &keeper);
    Report::Failed(error).send(&keeper);
    ExitCode::FAILURE
}

/// Returns only if something fails.
fn confine(plan: &Plan, keeper: &OwnedFd) -> Result<std::convert::Infallible, LaunchError> {
    // Where there is no pid namespace, the keeper's violent death shall still end the program.
    set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|e| LaunchError::system("set the parent death signal", e))?;
    limits(plan)?;
    let path = find(plan.program())?;
    let profile = plan.sandbox.profile;
    if profile == Profile::Off {
        if plan.mounts {
            keep_capabilities(CapabilitySet::SYS_ADMIN.complement())?;
        }
    } else {
        set_no_new_privs(true).map_err(|e| LaunchError::system("give up new privileges", e))?;
        keep_capabilities(match profile {
            // With a device node that it made, root could read the whole disk.
            Profile::Strict => FOR_CALLERS.difference(CapabilitySet::MKNOD),
            _ => FOR_CALLERS,
        })?;
        let mut lacking = |what: String| {
            if profile == Profile::Strict {
                return Err(LaunchError::Sandbox { what: format!("sandbox=strict: {what}") });
            }
            Report::Lacking(what).send(keeper);
            Ok(())
        };
        reach::restrict(&plan.sandbox, &path, &mut lacking)?;
        filter::install(profile, &mut lacking)?;
    }
    let mut command = Command::new(&path);
    command.arg0(plan.program()).args(plan.argv.iter().skip(1)).stdin(Stdio::null());
    let why = command.exec();
    Err(LaunchError::NotExecutable { path, why: reason(&why) })
}

/// Limits of setrlimit(2), and who is killed first when memory runs out.
fn limits(plan: &Plan) -> Result<(), LaunchError> {
    // A dump would hold other people's data.
    limit(Resource::Core, 0)?;
    // One open file of a caller is one descriptor here, and the soft limit is set for programs
    // that use select(2).
    let files = getrlimit(Resource::Nofile);
    let most = files.maximum.unwrap_or(u64::MAX).min(DESCRIPTORS_MAX);
    let current = files.current.map(|current| current.max(most));
    set_limit(Resource::Nofile, Rlimit { current, maximum: files.maximum })?;
    if let Some(memory) = plan.sandbox.memory {
        // Not RLIMIT_AS: runtimes reserve addresses without number that they never use.
        limit(Resource::Data, memory)?;
    }
    let score = fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default();
    let score = score.trim().parse().unwrap_or(0_i32);
    let score = score.saturating_add(OOM_SCORE_MORE).min(OOM_SCORE_MAX);
    // A wish: where /proc cannot be written, everything else still holds.
    let _ = fs::write("/proc/self/oom_score_adj", score.to_string());
    Ok(())
}

/// At most this, for good; less if it is less already.
fn limit(resource: Resource, most: u64) -> Result<(), LaunchError> {
    let most = getrlimit(resource).maximum.map_or(most, |maximum| maximum.min(most));
    set_limit(resource, Rlimit { current: Some(most), maximum: Some(most) })
}

fn set_limit(resource: Resource, limit: Rlimit) -> Result<(), LaunchError> {
    setrlimit(resource, limit).map_err(|e| LaunchError::system("set a resource limit", e))
}

/// Gives up every capability but these, for good.
fn keep_capabilities(kept: CapabilitySet) -> Result<(), LaunchError> {
    let failed = |errno: Errno| LaunchError::system("give up capabilities", errno);
    let has = capabilities(None).map_err(failed)?;
    // Without the right to, there is nothing to gain from the bounding set either.
    if has.effective.contains(CapabilitySet::SETPCAP) {
        for bit in 0..CAPABILITIES {
            let one = CapabilitySet::from_bits_retain(1 << bit);
            // EINVAL for those that this kernel does not know.
            if !kept.contains(one) && capability_is_in_bounding_set(one) == Ok(true) {
                remove_capability_from_bounding_set(one).map_err(failed)?;
            }
        }
    }
    clear_ambient_capability_set().map_err(failed)?;
    let sets = CapabilitySets {
        effective: has.effective & kept,
        permitted: has.permitted & kept,
        inheritable: CapabilitySet::empty(),
    };
    set_capabilities(None, sets).map_err(failed)
}

/// The file of a program, looked for as execvp(3) does.
fn find(program: &OsStr) -> Result<PathBuf, LaunchError> {
    let name = program.to_string_lossy().into_owned();
    if program.as_bytes().contains(&b'/') {
        let path = PathBuf::from(program);
        return match executable(&path) {
            Ok(()) => Ok(path),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                Err(LaunchError::NotFound { program: name, searched: None })
            }
            Err(error) => Err(LaunchError::NotExecutable { path, why: reason(&error) }),
        };
    }
    let searched = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let mut refused = None;
    if !program.is_empty() {
        for path in std::env::split_paths(&searched).map(|dir| dir.join(program)) {
            match executable(&path) {
                Ok(()) => return Ok(path),
                Err(error) if path.is_file() => {
                    let why = reason(&error);
                    refused = refused.or(Some(LaunchError::NotExecutable { path, why }));
                }
                Err(_) => {}
            }
        }
    }
    let searched = Some(searched.to_string_lossy().into_owned());
    Err(refused.unwrap_or(LaunchError::NotFound { program: name, searched }))
}

fn executable(path: &Path) -> std::io::Result<()> {
    if fs::metadata(path)?.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    rustix::fs::access(path, rustix::fs::Access::EXEC_OK).map_err(Into::into)
}

/// What an error of exec means to whoever sees the file lying there.
fn reason(error: &std::io::Error) -> String {
    match Errno::from_io_error(error) {
        Some(Errno::NOENT) => "the interpreter or loader that it names is missing".into(),
        Some(Errno::ACCESS) => "permission denied".into(),
        Some(Errno::ISDIR) => "it is a directory".into(),
        _ => error.to_string(),
    }
}
