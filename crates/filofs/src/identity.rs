//! `Identity`: who a mount is. Always the mount's word, never the file system's (A24-A28, A73).

use crate::{Errno, Result};
use std::sync::atomic::{AtomicU64, Ordering};

/// Who a mount is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Different for any two mounts of this process, also of the same file system (A42).
    pub fsid: u64,
    /// What is mounted: the stack, as on the command line.
    pub from: String,
    /// The type shown to people, `filo` or `filo.NAME`.
    pub type_name: String,
    /// Where.
    pub mounted_on: String,
}

impl Identity {
    /// The longest `type_name` in bytes; a longer one is cut (A21).
    pub const TYPE_MAX: usize = 31;
    /// The longest path or source in bytes; a longer one is ENAMETOOLONG (A24).
    pub const PATH_MAX: usize = 4095;

    /// Checks and cleans the three names. The fsid is given out when the mount is made.
    pub fn new(from: &str, type_name: &str, mounted_on: &str) -> Result<Identity> {
        if from.len() > Self::PATH_MAX || mounted_on.len() > Self::PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        let mut type_name = sanitise(type_name);
        type_name.truncate(Self::TYPE_MAX);
        Ok(Identity { fsid: 0, from: sanitise(from), type_name, mounted_on: mounted_on.to_owned() })
    }

    /// Gives it a number that no other mount of this process has.
    pub(crate) fn number(&mut self) {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        self.fsid = NEXT.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every byte that is not printable ASCII becomes a dot, as puffs does (A19, A20), and so does a
/// backslash: no newline, tab or escape gets into a mount table.
pub fn sanitise(text: &str) -> String {
    text.bytes()
        .map(|b| if matches!(b, b' '..=b'~') && b != b'\\' { b as char } else { '.' })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typename_sanitised() {
        // A19: byte by byte; a letter of two bytes becomes two dots.
        assert_eq!(sanitise("a\nb\x7fc\u{e4}"), "a.b.c..");
        assert_eq!(sanitise("a\\040b"), "a.040b");
    }

    #[test]
    fn fstype_prefix_and_truncation() {
        // A21: composed after cleaning, cut silently.
        let identity = Identity::new("mem:", &"x".repeat(40), "/mnt").unwrap();
        assert_eq!(identity.type_name, "x".repeat(31));
    }

    #[test]
    fn mount_path_toolong() {
        // A24: nothing is allocated for a path that is too long.
        let long = "x".repeat(4096);
        assert_eq!(Identity::new("mem:", "filo", &long), Err(Errno::ENAMETOOLONG));
        assert_eq!(Identity::new(&long, "filo", "/mnt"), Err(Errno::ENAMETOOLONG));
    }
}
