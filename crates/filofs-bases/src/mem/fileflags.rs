//! `FileFlags`: what chattr(1) sets, and the ioctls it does so with.
//!
//! References: ioctl_iflags(2), linux/fs.h. As on tmpfs four flags exist; immutable and
//! append-only are enforced, also against the super-user, who alone may change them.

use super::inode::Inode;
use super::{now, trusted};
use filofs::{Context, Errno, Ioctl, Result, Sink, locked};

bitflags::bitflags! {
    /// The FS_*_FL bits that are kept.
    #[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
    pub(super) struct FileFlags: u32 {
        /// Nothing about it changes.
        const IMMUTABLE = 0x10;
        /// It only grows.
        const APPEND = 0x20;
        /// dump(8) passes it over.
        const NODUMP = 0x40;
        /// Reading does not change the access time.
        const NOATIME = 0x80;
    }
}

impl FileFlags {
    /// What a new file gets of its directory's.
    pub(super) fn inherited(self) -> FileFlags {
        self & (FileFlags::NODUMP | FileFlags::NOATIME)
    }

    /// Whether its attributes and names stand as they are.
    pub(super) fn frozen(self) -> bool {
        self.intersects(FileFlags::IMMUTABLE | FileFlags::APPEND)
    }

    fn to_xflags(self) -> u32 {
        XFLAGS.iter().filter(|(flag, _)| self.contains(*flag)).map(|(_, bit)| bit).sum()
    }

    fn from_xflags(xflags: u32) -> Result<FileFlags> {
        let known = XFLAGS.iter().filter(|(_, bit)| xflags & bit != 0);
        let flags = known.fold(FileFlags::empty(), |all, (flag, _)| all | *flag);
        if flags.to_xflags() == xflags { Ok(flags) } else { Err(Errno::EOPNOTSUPP) }
    }
}

/// The same flags as struct fsxattr spells them (FS_XFLAG_*).
const XFLAGS: [(FileFlags, u32); 4] = [
    (FileFlags::IMMUTABLE, 0x08),
    (FileFlags::APPEND, 0x10),
    (FileFlags::NOATIME, 0x40),
    (FileFlags::NODUMP, 0x80),
];

/// Bytes of struct fsxattr: xflags, extent size, extents, project, copy-on-write extent size and
/// 8 of padding.
const FSXATTR: usize = 28;

const GETFLAGS_32: u32 = 0x8004_6601;
const SETFLAGS_32: u32 = 0x4004_6602;

/// ENOTTY for any other command; EOPNOTSUPP for a flag that is not `kept`; EPERM when the caller
/// may not change it.
pub(super) fn ioctl(
    cx: &Context<'_>,
    inode: &Inode,
    how: Ioctl<'_>,
    kept: FileFlags,
    out: &mut dyn Sink,
) -> Result<i32> {
    let set = |flags: FileFlags| {
        if kept.contains(flags) { set(cx, inode, flags) } else { Err(Errno::EOPNOTSUPP) }
    };
    match how.command {
        // The command says long, everybody means int.
        Ioctl::GETFLAGS | GETFLAGS_32 => {
            let flags = locked(&inode.meta).flags;
            put_all(out, &flags.bits().to_le_bytes())?;
        }
        Ioctl::SETFLAGS | SETFLAGS_32 => {
            let bits = word(how.input, 0)?;
            set(FileFlags::from_bits(bits).ok_or(Errno::EOPNOTSUPP)?)?;
        }
        Ioctl::FSGETXATTR => {
            let mut answer = [0; FSXATTR];
            let xflags = locked(&inode.meta).flags.to_xflags().to_le_bytes();
            if let Some(place) = answer.first_chunk_mut() {
                *place = xflags;
            }
            put_all(out, &answer)?;
        }
        Ioctl::FSSETXATTR => {
            let extent_size = word(how.input, 4)?;
            let project = word(how.input, 12)?;
            let cow_extent_size = word(how.input, 16)?;
            if extent_size | project | cow_extent_size != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            set(FileFlags::from_xflags(word(how.input, 0)?)?)?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn set(cx: &Context<'_>, inode: &Inode, flags: FileFlags) -> Result<()> {
    let guarded = FileFlags::IMMUTABLE | FileFlags::APPEND;
    let mut meta = locked(&inode.meta);
    let owner = trusted(cx) || cx.uid == meta.uid;
    let changes_guarded = (meta.flags ^ flags).intersects(guarded);
    if !owner || changes_guarded && !trusted(cx) {
        return Err(Errno::EPERM);
    }
    meta.flags = flags;
    meta.ctime = now();
    Ok(())
}

fn word(input: &[u8], at: usize) -> Result<u32> {
    let bytes = input.get(at..).and_then(|rest| rest.first_chunk()).ok_or(Errno::EINVAL)?;
    Ok(u32::from_le_bytes(*bytes))
}

fn put_all(out: &mut dyn Sink, bytes: &[u8]) -> Result<()> {
    if out.room() < bytes.len() {
        return Err(Errno::EINVAL);
    }
    out.put(bytes);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::testfs::{NONE, TestFs};
    use super::*;
    use filofs::{FileSystem, Kind, MakeHow, Node, OpenFlags, SetAttr, SetTime, VecSink};

    fn call(fs: &TestFs, node: &Node, command: u32, input: &[u8]) -> Result<Vec<u8>> {
        let open = fs.open(node, OpenFlags::RDONLY)?;
        let mut sink = VecSink::new(64);
        let how = Ioctl { command, argument: 0, input };
        assert_eq!(fs.mem.ioctl(&fs.cx, node, &open, how, &mut sink)?, 0);
        Ok(sink.into_bytes())
    }

    fn set(fs: &TestFs, node: &Node, bits: u32) -> Result<()> {
        call(fs, node, Ioctl::SETFLAGS, &bits.to_le_bytes()).map(drop)
    }

    #[test]
    fn flags_are_kept_in_both_spellings() {
        let fs = TestFs::new();
        let node = fs.file("f", b"");
        assert_eq!(call(&fs, &node, Ioctl::GETFLAGS, b""), Ok(vec![0; 4]));
        set(&fs, &node, 0xc0).unwrap();
        assert_eq!(call(&fs, &node, Ioctl::GETFLAGS, b""), Ok(vec![0xc0, 0, 0, 0]));
        let mut fsx = call(&fs, &node, Ioctl::FSGETXATTR, b"").unwrap();
        assert_eq!((fsx.len(), fsx[0]), (28, 0xc0));
        fsx[0] = 0x98;
        call(&fs, &node, Ioctl::FSSETXATTR, &fsx).unwrap();
        assert_eq!(call(&fs, &node, GETFLAGS_32, b""), Ok(vec![0x70, 0, 0, 0]));
        assert_eq!(set(&fs, &node, 0x1), Err(Errno::EOPNOTSUPP));
        fsx[12] = 1;
        assert_eq!(call(&fs, &node, Ioctl::FSSETXATTR, &fsx), Err(Errno::EOPNOTSUPP), "projects");
        assert_eq!(call(&fs, &node, Ioctl::FSSETXATTR, &[0; 19]), Err(Errno::EINVAL));
        assert_eq!(call(&fs, &node, Ioctl::SETFLAGS, &[0; 3]), Err(Errno::EINVAL));
        assert_eq!(call(&fs, &node, 0x5401, b""), Err(Errno::ENOTTY));
    }

    #[test]
    fn who_may_change_them() {
        let fs = TestFs::new().by(1000, 1000);
        let node = fs.file("f", b"");
        set(&fs, &node, 0x40).unwrap();
        assert_eq!(set(&fs, &node, 0x50), Err(Errno::EPERM));
        assert_eq!(set(&fs.by(1001, 1000), &node, 0), Err(Errno::EPERM));
        set(&fs.by(0, 0), &node, 0x60).unwrap();
        set(&fs, &node, 0x20).unwrap();
        assert_eq!(set(&fs, &node, 0), Err(Errno::EPERM));
        set(&fs.by(u32::MAX, u32::MAX), &node, 0).unwrap(); // the kernel checked, and tells nobody
    }

    #[test]
    fn some_are_inherited() {
        let fs = TestFs::new();
        let dir = fs.mkdir("d");
        set(&fs, &dir, 0xe0).unwrap();
        let file = fs.file("d/f", b"");
        assert_eq!(call(&fs, &file, Ioctl::GETFLAGS, b""), Ok(vec![0xc0, 0, 0, 0]));
    }

    #[test]
    fn an_immutable_file_stays_as_it_is() {
        let fs = TestFs::new();
        let node = fs.file("f", b"x");
        fs.file("g", b"");
        set(&fs, &node, 0x10).unwrap();
        let before = fs.attr(&node).unwrap();
        let refused = Err(Errno::EPERM);
        assert_eq!(fs.open(&node, OpenFlags::RDWR).map(drop), refused);
        assert_eq!(fs.chmod(&node, 0).map(drop), refused);
        let now = SetAttr { atime: Some(SetTime::Now), ..SetAttr::default() };
        assert_eq!(fs.set(&node, now).map(drop), refused);
        assert_eq!(fs.link(&node, "l"), refused);
        assert_eq!(fs.unlink("f"), refused);
        assert_eq!(fs.rename("f", "h", NONE), refused);
        assert_eq!(fs.rename("g", "f", NONE), refused);
        assert_eq!(fs.setxattr(&node, "user.a", b""), refused);
        let mtime = SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() };
        assert_eq!(fs.set(&node, mtime).map(drop), refused);
        assert_eq!(fs.attr(&node).unwrap(), before);
        let flushed = SetAttr { ctime: Some(before.ctime), ..mtime };
        assert!(fs.set(&node, flushed).is_ok(), "times of data written before");
        set(&fs, &node, 0).unwrap();
        fs.unlink("f").unwrap();
    }

    #[test]
    fn an_immutable_directory_keeps_its_names() {
        let fs = TestFs::new();
        let dir = fs.mkdir("d");
        fs.file("d/f", b"");
        set(&fs, &dir, 0x10).unwrap();
        let how = MakeHow::mode(0o644);
        assert_eq!(fs.make("d/g", Kind::Regular, how).unwrap_err(), Errno::EPERM);
        assert_eq!(fs.make("d/f", Kind::Regular, how).unwrap_err(), Errno::EEXIST);
        assert_eq!(fs.unlink("d/f"), Err(Errno::EPERM));
        assert_eq!(fs.rename("d/f", "f", NONE), Err(Errno::EPERM));
        set(&fs, &dir, 0x20).unwrap();
        fs.make("d/g", Kind::Regular, how).unwrap();
        assert_eq!(fs.unlink("d/g"), Err(Errno::EPERM), "append-only: names only come");
    }

    #[test]
    fn an_append_only_file_only_grows() {
        let fs = TestFs::new();
        let node = fs.file("f", b"x");
        set(&fs, &node, 0x20).unwrap();
        let append = OpenFlags::RDWR.with(OpenFlags::APPEND);
        assert_eq!(fs.write(&node, OpenFlags::RDWR, 0, b"y"), Err(Errno::EPERM));
        assert_eq!(fs.write(&node, append, 0, b"y"), Ok(1));
        assert_eq!(fs.read(&node), b"xy");
        assert_eq!(fs.open(&node, append.with(OpenFlags::TRUNC)).map(drop), Err(Errno::EPERM));
        let cut = SetAttr { size: Some(0), ..SetAttr::default() };
        assert_eq!(fs.set(&node, cut).map(drop), Err(Errno::EPERM));
        let now = SetAttr { mtime: Some(SetTime::Now), ..SetAttr::default() };
        fs.set(&node, now).unwrap();
    }
}
