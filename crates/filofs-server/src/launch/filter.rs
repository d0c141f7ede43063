//! Which system calls the program may make, seccomp(2).
//!
//! A list of what is refused, not of what is allowed: programs of other people use what they use,
//! and the next version of their libc something else. Refused is what changes the system, looks
//! into other processes or makes new namespaces, and parts of the kernel that no file server
//! needs and that have had more than their share of holes. The kernel decides by number alone
//! for every other call and remembers it, so that those cost nothing more.

use super::{LaunchError, Profile};
use libc::c_long;
use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};
use std::collections::BTreeMap;

/// Answered EPERM.
const REFUSED: &[c_long] = &[
    // Mounts.
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    // Namespaces; unshare and clone are looked at more closely.
    libc::SYS_setns,
    // Other processes.
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_process_madvise,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_move_pages,
    libc::SYS_migrate_pages,
    // Keys of the kernel.
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_keyctl,
    // Large and often broken into.
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_fanotify_init,
    // The machine.
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_reboot,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_acct,
    libc::SYS_quotactl,
    libc::SYS_quotactl_fd,
    libc::SYS_settimeofday,
    libc::SYS_clock_settime,
    libc::SYS_sethostname,
    libc::SYS_setdomainname,
    libc::SYS_syslog,
    libc::SYS_vhangup,
    libc::SYS_nfsservctl,
    libc::SYS_lookup_dcookie,
];

/// The same, of one kind of machine.
#[cfg(target_arch = "x86_64")]
const REFUSED_HERE: &[c_long] = &[
    libc::SYS_iopl,
    libc::SYS_ioperm,
    libc::SYS_modify_ldt,
    libc::SYS_kexec_file_load,
    libc::SYS_uselib,
    libc::SYS__sysctl,
];
#[cfg(not(target_arch = "x86_64"))]
const REFUSED_HERE: &[c_long] = &[];

/// Answered ENOSYS under `strict`, so that programs do without. A ring makes its calls unseen.
const MISSING_IF_STRICT: &[c_long] =
    &[libc::SYS_io_uring_setup, libc::SYS_io_uring_enter, libc::SYS_io_uring_register];

/// What unshare(2) and clone(2) must not make. Their other flags are for threads.
const NAMESPACES: &[i32] = &[
    libc::CLONE_NEWNS,
    libc::CLONE_NEWCGROUP,
    libc::CLONE_NEWUTS,
    libc::CLONE_NEWIPC,
    libc::CLONE_NEWUSER,
    libc::CLONE_NEWPID,
    libc::CLONE_NEWNET,
];

/// Puts the filters on this thread and what it executes. `lacking` is told if there can be none.
pub(super) fn install(
    profile: Profile,
    lacking: &mut impl FnMut(String) -> Result<(), LaunchError>,
) -> Result<(), LaunchError> {
    let Ok(machine) = TargetArch::try_from(std::env::consts::ARCH) else {
        return lacking("no filter of system calls for this kind of machine".into());
    };
    let programs = programs(profile, machine)
        .map_err(|e| LaunchError::Sandbox { what: format!("the filter of system calls: {e}") })?;
    for program in programs {
        if let Err(error) = apply_filter(&program) {
            return lacking(format!("no filter of system calls: {error}"));
        }
    }
    Ok(())
}

/// One for each answer. Both kill a program of another kind of machine, whose numbers differ.
fn programs(profile: Profile, machine: TargetArch) -> Result<Vec<BpfProgram>, BackendError> {
    let mut refused = always(REFUSED.iter().chain(REFUSED_HERE));
    let namespaces =
        NAMESPACES.iter().map(|flag| has_flag(*flag)).collect::<Result<Vec<_>, _>>()?;
    for call in [libc::SYS_unshare, libc::SYS_clone] {
        refused.insert(call, namespaces.clone());
    }
    refused.insert(libc::SYS_fcntl, vec![larger_pipes()?]);
    foreign_numbers(&mut refused);
    // Its flags are in memory, where a filter does not look. Without it libc takes clone.
    let mut missing = always(&[libc::SYS_clone3]);
    if profile == Profile::Strict {
        missing.extend(always(MISSING_IF_STRICT));
    }
    [(missing, libc::ENOSYS), (refused, libc::EPERM)]
        .into_iter()
        .map(|(rules, errno)| {
            let answer = SeccompAction::Errno(errno as u32);
            SeccompFilter::new(rules, SeccompAction::Allow, answer, machine)?.try_into()
        })
        .collect()
}

/// Rules that match whatever the arguments.
fn always<'a>(calls: impl IntoIterator<Item = &'a c_long>) -> BTreeMap<c_long, Vec<SeccompRule>> {
    calls.into_iter().map(|call| (*call, Vec::new())).collect()
}

/// A rule that matches if the first argument has a flag.
fn has_flag(flag: i32) -> Result<SeccompRule, BackendError> {
    let flag = u64::from(flag as u32);
    let same = SeccompCmpOp::MaskedEq(flag);
    SeccompRule::new(vec![SeccompCondition::new(0, SeccompCmpArgLen::Qword, same, flag)?])
}

/// A rule that matches an fcntl(2) that gives a pipe another size than the usual 16 pages.
///
/// libfuse and go-fuse splice large replies out of a pipe, and a reply is to be one message of the
/// channel: but Linux makes a message of every 16 pages (`splice_to_socket`). With pipes that do
/// not grow, which they know from `/proc/sys/fs/pipe-max-size`, both write larger replies instead.
fn larger_pipes() -> Result<SeccompRule, BackendError> {
    let command = libc::F_SETPIPE_SZ as u64;
    let (length, same) = (SeccompCmpArgLen::Dword, SeccompCmpOp::Eq);
    SeccompRule::new(vec![SeccompCondition::new(1, length, same, command)?])
}

/// The x32 calls, which are the same kind of machine to a filter: the usual numbers with one more
/// bit, and some of their own, asm/unistd_x32.h.
#[cfg(target_arch = "x86_64")]
fn foreign_numbers(rules: &mut BTreeMap<c_long, Vec<SeccompRule>>) {
    const X32: c_long = 0x4000_0000;
    // ptrace, kexec_load, process_vm_readv, process_vm_writev.
    const OWN: [c_long; 4] = [521, 528, 539, 540];
    let same: Vec<_> = rules.iter().map(|(call, rule)| (call | X32, rule.clone())).collect();
    rules.extend(same);
    // Its own way to clone3 is the usual number.
    rules.insert(libc::SYS_clone3 | X32, Vec::new());
    rules.extend(OWN.iter().map(|call| (call | X32, Vec::new())));
}
#[cfg(not(target_arch = "x86_64"))]
fn foreign_numbers(_: &mut BTreeMap<c_long, Vec<SeccompRule>>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filters_fit_the_kernel() {
        for machine in [TargetArch::x86_64, TargetArch::aarch64] {
            for profile in [Profile::Loose, Profile::Strict] {
                let programs = programs(profile, machine).unwrap();
                assert_eq!(programs.len(), 2);
                // BPF_MAXINSNS, linux/bpf_common.h.
                assert!(programs.iter().all(|program| program.len() <= 4096));
            }
        }
    }
}
