//! `Profile`: what front ends should know of a file system before the first operation.

use std::time::Duration;

/// Facts about a file system as a whole. The default suits one that others may change too.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Profile {
    /// Nobody changes the files but through this mount. A front end may then keep written data
    /// back, and be the one who knows size and times of files it writes.
    pub owns_files: bool,
    /// Nothing can be changed through it. A front end that decides about access by itself must
    /// know.
    pub read_only: bool,
    /// It refuses by itself what the caller may not do, as far as an operation tells who calls. A
    /// front end must still see to what it answers from its own memory: who may walk to a name
    /// that it knows already.
    pub checks: bool,
    /// How long a name that was not found may be believed to stay so.
    pub negative_ttl: Duration,
    /// It answers `getlk`, `setlk` and `flock` itself. Otherwise the front end keeps the locks.
    pub locks: bool,
    /// What is open makes no difference to a regular file: data is reached by the node alone,
    /// nobody is refused at `open`, and `flush` and `release` have nothing to do. A front end may
    /// then leave these operations out for regular files, and hand over opens that the file system
    /// never saw ([`crate::Open::detached`]). It keeps the locks itself.
    pub stateless: bool,
    /// It can say later which node a cookie or handle meant (`recall`, `node_of`, `parent`): the
    /// mount can be exported.
    pub exportable: bool,
    /// It has no use for who asks, but for operations that make a node. The caller's side may
    /// then map users and groups (idmapped mounts), for which Linux gives up telling who asks:
    /// the others come from [`crate::Uid::UNKNOWN`].
    pub idmapped: bool,
    /// Whether its opens tell where the data is ([`Opened::backing`](crate::Opened::backing)), so
    /// that a front end need not ask for it.
    pub backing: Backed,
}

/// Where the data of a file system's files is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Backed {
    /// Nowhere but in the file system's answers.
    #[default]
    No,
    /// In files of the host.
    ByFiles,
    /// In files that may lie on a file system of the host which itself stands on another one
    /// (overlayfs, FUSE). Linux allows two such steps, so that then nothing more can be stacked
    /// upon the mount.
    ByStackedFiles,
}

impl Default for Profile {
    fn default() -> Self {
        Profile {
            owns_files: false,
            read_only: false,
            checks: false,
            negative_ttl: Duration::ZERO,
            locks: false,
            stateless: false,
            exportable: false,
            idmapped: false,
            backing: Backed::No,
        }
    }
}
