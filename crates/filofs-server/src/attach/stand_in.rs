//! What the stand-in is, and where fusermount is looked for, so that it can be put there.

use super::fusermount::NAMES;
use super::{AttachError, system};
use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Where libraries look that were told when they were built (`FUSERMOUNT_DIR`), besides PATH.
const USUAL: [&str; 6] =
    ["/usr/local/bin", "/usr/local/sbin", "/usr/bin", "/usr/sbin", "/bin", "/sbin"];

/// Every fusermount there is, in the usual places and those of `path`, each file once.
pub(super) fn all_fusermounts(path: &OsStr) -> BTreeSet<PathBuf> {
    let named = std::env::split_paths(path).filter(|dir| dir.is_absolute());
    let dirs = USUAL.into_iter().map(PathBuf::from).chain(named);
    let files = dirs.flat_map(|dir| NAMES.map(|name| dir.join(name)));
    // Links lead to the file that is to be covered, and to the same one from many places.
    files.filter_map(|file| file.canonicalize().ok()).filter(|file| file.is_file()).collect()
}

/// The file of this program. If another one has taken its place (an upgrade), that one: what a
/// stand-in and filo say to each other does not change.
pub(super) fn own_program() -> Result<PathBuf, AttachError> {
    let path = std::env::current_exe().map_err(system("find the program's own file"))?;
    match path.as_os_str().as_bytes().strip_suffix(b" (deleted)") {
        Some(before) if !path.exists() => Ok(OsStr::from_bytes(before).into()),
        _ => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn every_fusermount_is_found_once() {
        let dir = std::env::temp_dir().join(format!("filo-fusermounts-{}", std::process::id()));
        fs::create_dir(&dir).unwrap();
        let dir = dir.canonicalize().unwrap();
        fs::write(dir.join("fusermount3"), "").unwrap();
        std::os::unix::fs::symlink("fusermount3", dir.join("fusermount")).unwrap();
        std::os::unix::fs::symlink("nowhere", dir.join("mergerfs-fusermount")).unwrap();
        let path = std::env::join_paths([dir.as_os_str(), "relative".as_ref()]).unwrap();
        let found = all_fusermounts(&path);
        let here: Vec<_> = found.iter().filter(|file| file.starts_with(&dir)).collect();
        fs::remove_dir_all(&dir).unwrap();
        assert_eq!(here, [&dir.join("fusermount3")]);
        assert!(found.iter().all(|file| file.is_absolute()));
    }
}
