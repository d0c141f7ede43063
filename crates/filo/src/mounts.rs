//! The kernel's list of mounts, as far as it is ours: /proc/self/mountinfo, proc(5).

use crate::control::Status;
use rustix::fs::{AtFlags, CWD, StatxFlags};
use std::path::{Path, PathBuf};

/// One mount of a FUSE file system.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub(crate) mountpoint: String,
    pub(crate) source: String,
    /// `fuse.SUBTYPE`.
    pub(crate) kind: String,
    /// Its device number, as `0:45`.
    pub(crate) device: String,
}

impl Mounted {
    /// Whether it says that it is of this program. It may be ours without, with `-o subtype=`.
    pub(crate) fn is_ours(&self) -> bool {
        self.kind == "fuse.filo"
    }

    /// Whether that server is the one who serves it.
    pub(crate) fn is_served_by(&self, status: &Status) -> bool {
        status.device == self.device
    }
}

/// The mounts of FUSE file systems that this process sees, the latest last.
pub(crate) fn all() -> Vec<Mounted> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table.lines().filter_map(parse).filter(|m| m.kind.starts_with("fuse")).collect()
}

/// What is mounted there, as one sees it: the latest, if it is of a FUSE file system.
pub(crate) fn top(path: &str) -> Option<Mounted> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let top = table.lines().filter_map(parse).rfind(|m| m.mountpoint == path);
    top.filter(|m| m.kind.starts_with("fuse"))
}

/// The device number of what is mounted there, as `0:45`. Whoever serves it is not asked.
pub(crate) fn device_of(path: &Path) -> Option<String> {
    let flags = AtFlags::NO_AUTOMOUNT | AtFlags::STATX_DONT_SYNC;
    let stat = rustix::fs::statx(CWD, path, flags, StatxFlags::MNT_ID).ok()?;
    Some(format!("{}:{}", stat.stx_dev_major, stat.stx_dev_minor))
}

/// The mount of a line.
fn parse(line: &str) -> Option<Mounted> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(2);
    let device = left.next()?.to_owned();
    let mountpoint = decode(left.nth(1)?);
    let mut right = right.split(' ');
    let kind = decode(right.next()?);
    Some(Mounted { mountpoint, source: decode(right.next()?), kind, device })
}

/// Takes the octal escapes away.
fn decode(field: &str) -> String {
    let mut pieces = field.split('\\');
    let mut bytes = pieces.next().unwrap_or_default().as_bytes().to_vec();
    for piece in pieces {
        let byte = piece.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        bytes.extend(byte);
        bytes.extend(piece.as_bytes().iter().skip(if byte.is_some() { 3 } else { 0 }));
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A path without a symbolic link, `.` or `..` in it. The last step is not touched: it may be a
/// mount whose server does not answer.
pub(crate) fn resolve(path: &Path) -> std::io::Result<PathBuf> {
    let absolute = std::path::absolute(path)?;
    match (absolute.parent(), absolute.file_name()) {
        (Some(parent), Some(name)) => Ok(parent.canonicalize()?.join(name)),
        _ => absolute.canonicalize(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo() {
        let line = r"36 35 0:45 / /mnt/my\040photos rw,nosuid shared:1 - fuse.filo mem:\134x rw";
        let mounted = Mounted {
            mountpoint: "/mnt/my photos".into(),
            source: r"mem:\x".into(),
            kind: "fuse.filo".into(),
            device: "0:45".into(),
        };
        assert_eq!(parse(line), Some(mounted));
        assert_eq!(parse("nonsense"), None);
    }
}
