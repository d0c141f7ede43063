//! What is removed when a program has ended.

use rustix::fs::{AtFlags, CWD, Mode, OFlags, ResolveFlags, openat2, unlinkat};
use rustix::io::{self, Errno};
use std::path::{Path, PathBuf};

/// Removes files, and directories that are empty by then, in that order; what is not there, or
/// cannot be removed, is left.
pub(crate) fn remove(paths: &[PathBuf]) {
    for path in paths {
        let _ = remove_one(path);
    }
}

/// No link on the way is followed: the program may have put one there, and whoever removes has
/// more rights than the program had.
fn remove_one(path: &Path) -> io::Result<()> {
    let (Some(dir), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Errno::INVAL);
    };
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let dir = openat2(CWD, dir, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)?;
    unlinkat(&dir, name, AtFlags::empty()).or_else(|_| unlinkat(&dir, name, AtFlags::REMOVEDIR))
}
