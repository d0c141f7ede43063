//! The kernel's list of mounts, as far as it is ours: /proc/self/mountinfo, proc(5).

use std::path::{Path, PathBuf};

/// One mount of this program.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Mounted {
    pub(crate) mountpoint: String,
    pub(crate) source: String,
}

/// The mounts of type `fuse.filo` that this process sees, the latest last.
pub(crate) fn ours() -> Vec<Mounted> {
    let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    table
        .lines()
        .filter_map(parse)
        .filter(|(kind, _)| kind == "fuse.filo")
        .map(|(_, m)| m)
        .collect()
}

/// The type and the mount of a line.
fn parse(line: &str) -> Option<(String, Mounted)> {
    let (left, right) = line.split_once(" - ")?;
    let mountpoint = decode(left.split(' ').nth(4)?);
    let mut right = right.split(' ');
    let kind = decode(right.next()?);
    Some((kind, Mounted { mountpoint, source: decode(right.next()?) }))
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
        let mounted = Mounted { mountpoint: "/mnt/my photos".into(), source: r"mem:\x".into() };
        assert_eq!(parse(line), Some(("fuse.filo".into(), mounted)));
        assert_eq!(parse("nonsense"), None);
    }
}
