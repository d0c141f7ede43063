//! `Covered`: what lies under our own mount, when that stands below the directory it shows.
//!
//! A step onto such a mount point would lead into the mount itself: a tree without an end, in
//! which every file that is found keeps the mount busy for ever. So the way goes on where it went
//! before something was mounted there: into the directory below. A descriptor of that is taken
//! before mounting, for afterwards no name leads there.

use super::{sys, up};
use filofs::{Errno, Result, locked};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, Mode, OFlags, StatxFlags};
use std::path::Path;
use std::sync::Mutex;

/// A mount point before something is mounted on it. See [`Covered::by_own_mount`].
#[derive(Debug)]
pub struct Covered {
    below: OwnedFd,
}

/// The mounts that this process serves.
static OWN: Mutex<Vec<Own>> = Mutex::new(Vec::new());

struct Own {
    place: Place,
    below: OwnedFd,
}

/// A mount: its device, and the kernel's number for this very place of it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Place {
    dev: u64,
    mount: u64,
}

impl Covered {
    /// Looks at a mount point, before mounting.
    ///
    /// Errors: those of openat(2).
    pub fn before(mountpoint: &Path) -> Result<Covered> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let below = rustix::fs::openat(CWD, mountpoint, flags, Mode::empty()).map_err(up)?;
        Ok(Covered { below })
    }

    /// Now a file system that this process serves is mounted there: every `dir` of this process
    /// passes below it.
    ///
    /// Errors: those of statx(2).
    pub fn by_own_mount(self, mountpoint: &Path) -> Result<()> {
        let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
        let asked = StatxFlags::MNT_ID;
        let stat = rustix::fs::statx(CWD, mountpoint, flags, asked).map_err(up)?;
        let place = Place::of(&stat);
        locked(&OWN).push(Own { place, below: self.below });
        Ok(())
    }
}

impl Place {
    fn of(stat: &rustix::fs::Statx) -> Place {
        let dev = rustix::fs::makedev(stat.stx_dev_major, stat.stx_dev_minor);
        Place { dev, mount: stat.stx_mnt_id }
    }
}

/// What to go on with after a step onto another file system: that, or what lies below our own
/// mount. ELOOP where our own mount is seen at another place.
///
/// Asks nothing that the mount itself would have to answer.
pub(super) fn pass_below(found: OwnedFd) -> Result<OwnedFd> {
    if locked(&OWN).is_empty() {
        return Ok(found);
    }
    let flags = AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(&found, c"", flags, StatxFlags::MNT_ID).map_err(up)?;
    let here = Place::of(&stat);
    let own = locked(&OWN);
    if let Some(own) = own.iter().find(|own| own.place == here) {
        return sys::duplicate(&own.below);
    }
    if own.iter().any(|own| own.place.dev == here.dev) { Err(Errno::ELOOP) } else { Ok(found) }
}
