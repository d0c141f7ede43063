//! `FuseOptions`: what the person who mounts asked for.

use filofs::Profile;
use std::time::Duration;

/// How a mount is to look and behave. The default is the careful choice: no set-id programs, no
/// devices, permissions checked by the kernel, for the mounting user alone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FuseOptions {
    /// Nothing can be changed through this mount (`ro`).
    pub read_only: bool,
    /// Set-id bits and file capabilities have no effect.
    pub nosuid: bool,
    /// Device nodes cannot be opened.
    pub nodev: bool,
    /// Programs cannot be run.
    pub noexec: bool,
    /// Reading leaves access times alone, where the reader may ask for that: the owner and the
    /// super-user.
    pub noatime: bool,
    /// Other users may enter. Without privileges it needs `user_allow_other` in /etc/fuse.conf.
    pub allow_other: bool,
    /// The super-user may enter besides the mounting user. (The kernel does not know this: it is
    /// `allow_other`, with everybody else turned away here.)
    pub allow_root: bool,
    /// Whether the kernel checks permissions by mode, owner and ACL. Where it does not, every
    /// caller who can enter can do everything that the file system itself allows. `None`: it does
    /// unless that decides nothing, see [`FuseOptions::kernel_checks`].
    pub default_permissions: Option<bool>,
    /// The mount may be bound elsewhere with users and groups mapped (`X-mount.idmap` of
    /// mount(8), container managers). Linux then tells who asks only where something is made: all
    /// else is done with the rights of the server, and the kernel's check is the only one.
    /// Without `default_permissions` it has no effect.
    pub allow_idmap: bool,
    /// The source shown in the mount table; empty for the stack's own words.
    pub fsname: String,
    /// The second half of the type shown in the mount table: `fuse.SUBTYPE`. Empty for none.
    pub subtype: String,
    /// Largest read in bytes; 0 for as large as the kernel can.
    pub max_read: u32,
    /// How long names are believed, instead of what the file system says.
    pub entry_timeout: Option<Duration>,
    /// How long attributes are believed, instead of what the file system says.
    pub attr_timeout: Option<Duration>,
    /// How long absent names are believed absent, instead of what the file system says.
    pub negative_timeout: Option<Duration>,
    /// Show every file as this user's.
    pub uid: Option<u32>,
    /// Show every file as this group's.
    pub gid: Option<u32>,
    /// Show as permission bits of every file those that this mask lacks, as mount.fuse3(8) has it.
    pub umask: Option<u32>,
    /// The same for all but directories; stronger than `umask`.
    pub fmask: Option<u32>,
    /// The same for directories; stronger than `umask`.
    pub dmask: Option<u32>,
    /// Cached data stays good from one open to the next: nobody changes files behind the mount.
    pub kernel_cache: bool,
    /// Cached data is dropped when size or modification time of a file turn out changed.
    pub auto_cache: bool,
    /// Reads and writes each come to the file system; nothing is cached.
    pub direct_io: bool,
    /// Whether the kernel keeps written data back, instead of what the file system's profile says.
    pub writeback: Option<bool>,
    /// Whether the kernel reads and writes files of the host by itself.
    pub passthrough: Passthrough,
    /// Most threads that serve at once; beyond it requests wait. Three quarters of them may wait
    /// for locks at once; beyond that, whoever would have to wait for one is told ENOLCK. Over a
    /// ring one for each CPU comes on top of those that may wait.
    pub most_workers: usize,
    /// How requests come.
    pub transport: Transport,
}

/// How requests come from the kernel and answers go there.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Transport {
    /// A ring where it is faster, and possible: on a kernel that offers it, with more than one
    /// CPU, all of which this process may use.
    #[default]
    Auto,
    /// FUSE over io_uring (Linux 6.14), if the kernel can; otherwise the classic way, with a
    /// warning. The administrator switches it on: `/sys/module/fuse/parameters/enable_uring`.
    Ring,
    /// Reading and writing the device.
    Classic,
}

/// Whether the kernel reads, writes and maps files by itself where the file system says in which
/// file of the host their data is and no layer has to see it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Passthrough {
    /// Where it can: it takes Linux 6.9, CAP_SYS_ADMIN in the first user namespace, and neither
    /// `direct_io` nor `noatime` nor data that is kept back.
    #[default]
    Auto,
    /// The same, with a warning where it cannot.
    On,
    /// Never.
    Off,
}

impl FuseOptions {
    /// The default of [`FuseOptions::most_workers`].
    pub const MOST_WORKERS: usize = 512;

    /// Whether the kernel is to check permissions in a mount of a file system with that profile.
    ///
    /// That has a price: Linux asks for a directory's attributes again after each change in it,
    /// before it lets anybody do the next thing there. It decides nothing where the mounting user
    /// alone may enter and the file system refuses by itself what this user may not do. In a user
    /// namespace other than the first it stays on all the same, since without it Linux has no ACLs
    /// there.
    pub fn kernel_checks(&self, profile: &Profile) -> bool {
        self.default_permissions.unwrap_or_else(|| {
            let mapped = self.allow_idmap || profile.idmapped;
            let private = !self.allow_other && !self.allow_root;
            !(private && profile.checks && !mapped && in_first_user_namespace())
        })
    }
}

impl Default for FuseOptions {
    fn default() -> Self {
        FuseOptions {
            read_only: false,
            nosuid: true,
            nodev: true,
            noexec: false,
            noatime: false,
            allow_other: false,
            allow_root: false,
            default_permissions: None,
            allow_idmap: false,
            fsname: String::new(),
            subtype: String::from("filo"),
            max_read: 0,
            entry_timeout: None,
            attr_timeout: None,
            negative_timeout: None,
            uid: None,
            gid: None,
            umask: None,
            fmask: None,
            dmask: None,
            kernel_cache: false,
            auto_cache: false,
            direct_io: false,
            writeback: None,
            passthrough: Passthrough::Auto,
            most_workers: Self::MOST_WORKERS,
            transport: Transport::Auto,
        }
    }
}

/// Whether user ids mean here what they mean to the machine.
fn in_first_user_namespace() -> bool {
    let ids = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    ids.split_whitespace().eq(["0", "0", "4294967295"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_checks_wherever_that_decides_anything() {
        let first = in_first_user_namespace();
        let (checks, plain) = (Profile { checks: true, ..Profile::default() }, Profile::default());
        let options = FuseOptions::default();
        assert_eq!(options.kernel_checks(&checks), !first, "alone with a base that refuses");
        assert!(options.kernel_checks(&plain), "the base does not refuse");
        let mapped = Profile { idmapped: true, ..checks };
        assert!(options.kernel_checks(&mapped));
        for shared in [
            FuseOptions { allow_other: true, ..FuseOptions::default() },
            FuseOptions { allow_root: true, ..FuseOptions::default() },
            FuseOptions { allow_idmap: true, ..FuseOptions::default() },
        ] {
            assert!(shared.kernel_checks(&checks), "{shared:?}");
        }
        for said in [true, false] {
            let options = FuseOptions { default_permissions: Some(said), ..options.clone() };
            assert_eq!(
                (options.kernel_checks(&checks), options.kernel_checks(&plain)),
                (said, said)
            );
        }
    }
}
