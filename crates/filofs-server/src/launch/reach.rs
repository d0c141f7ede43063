//! Which files and sockets the program reaches, landlock(7).

use super::{LaunchError, Profile, Sandbox};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, PathFd, Ruleset,
    RulesetAttr, RulesetCreatedAttr, RulesetError, RulesetStatus, Scope, path_beneath_rules,
};
use std::path::{Path, PathBuf};

/// Least version with which `strict` means what it says: renames to other directories (2) and
/// truncation (3) are known to it.
const STRICT_ABI: ABI = ABI::V3;

/// The newest version whose rights are asked for; what the kernel lacks of it is left out.
const NEWEST_ABI: ABI = ABI::V5;

/// Where programs and what they need lie: read and executed under `strict`.
const PROGRAMS: &[&str] =
    &["/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store"];

/// What libraries read, also under `strict`. Not all of /etc: there are keys and passwords.
const SETTINGS: &[&str] = &[
    "/proc",
    "/sys",
    "/etc/alternatives",
    "/etc/ca-certificates",
    "/etc/fuse.conf",
    "/etc/gai.conf",
    "/etc/group",
    "/etc/host.conf",
    "/etc/hosts",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/ld.so.preload",
    "/etc/locale.alias",
    "/etc/localtime",
    "/etc/mime.types",
    "/etc/nsswitch.conf",
    "/etc/passwd",
    "/etc/pki/tls/certs",
    "/etc/protocols",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/timezone",
];

/// Devices without state.
const DEVICES: &[&str] = &["/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom"];

/// Restricts this thread and what it executes. `lacking` is told if `loose` cannot be had;
/// `program` is the file to be executed next.
pub(super) fn restrict(
    sandbox: &Sandbox,
    program: &Path,
    lacking: &mut impl FnMut(String) -> Result<(), LaunchError>,
) -> Result<(), LaunchError> {
    if sandbox.profile != Profile::Strict {
        let status = scoped(Ruleset::default()).and_then(|r| r.create()?.restrict_self());
        return match status.map_err(|e| failed(&e))?.ruleset {
            RulesetStatus::FullyEnforced => Ok(()),
            _ => lacking("no Landlock scopes, which this kernel lacks (Linux 6.12)".into()),
        };
    }
    for path in sandbox.allow.iter().chain(&sandbox.read) {
        PathFd::new(path).map_err(|error| LaunchError::Sandbox {
            what: format!("{} cannot be allowed: {error}", path.display()),
        })?;
    }
    strict(sandbox, program).map_err(|e| failed(&e))
}

fn strict(sandbox: &Sandbox, program: &Path) -> Result<(), RulesetError> {
    let all = AccessFs::from_all(NEWEST_ABI);
    let read: BitFlags<AccessFs> = AccessFs::ReadFile | AccessFs::ReadDir;
    let execute = read | AccessFs::Execute;
    let device = AccessFs::ReadFile | AccessFs::WriteFile | AccessFs::Truncate;
    let own: [PathBuf; 1] = [program.to_owned()];
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::from_all(STRICT_ABI))?;
    // Without a network there is nothing to bind to.
    if sandbox.has_network() {
        ruleset = ruleset.handle_access(AccessNet::BindTcp)?;
    }
    scoped(ruleset)?
        .handle_access(all)?
        .create()?
        .add_rules(path_beneath_rules(PROGRAMS, execute))?
        .add_rules(path_beneath_rules(own, execute))?
        .add_rules(path_beneath_rules(SETTINGS, read))?
        .add_rules(path_beneath_rules(DEVICES, device))?
        .add_rules(path_beneath_rules(&sandbox.read, execute))?
        .add_rules(path_beneath_rules(&sandbox.allow, all))?
        .restrict_self()?;
    Ok(())
}

/// No signals to processes outside, and no abstract sockets of theirs; what comes after this is
/// wished for, too, and not required.
fn scoped(ruleset: Ruleset) -> Result<Ruleset, RulesetError> {
    ruleset
        .set_compatibility(CompatLevel::BestEffort)
        .scope(Scope::AbstractUnixSocket | Scope::Signal)
}

fn failed(error: &RulesetError) -> LaunchError {
    LaunchError::Sandbox { what: format!("the sandbox needs more of Landlock: {error}") }
}
