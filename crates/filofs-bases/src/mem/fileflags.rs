//! `FileFlags`: what chattr(1) sets, and the ioctls it does so with.
//!
//! References: ioctl_iflags(2), linux/fs.h. As on tmpfs four flags exist; immutable and
//! append-only are enforced, also against the super-user, who alone may change them.

use super::inode::Inode;
use filofs::{Context, Errno, Ioctl, Result, Sink, Time, Uid, locked};

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

const GETFLAGS: u32 = 0x8008_6601;
const SETFLAGS: u32 = 0x4008_6602;
const GETFLAGS_32: u32 = 0x8004_6601;
const SETFLAGS_32: u32 = 0x4004_6602;
const FSGETXATTR: u32 = 0x801c_581f;
const FSSETXATTR: u32 = 0x401c_5820;

/// ENOTTY for any other command; EOPNOTSUPP for a flag that does not exist here; EPERM when the
/// caller may not change it.
pub(super) fn ioctl(
    cx: &Context<'_>,
    inode: &Inode,
    how: Ioctl<'_>,
    out: &mut dyn Sink,
) -> Result<i32> {
    match how.command {
        // The command says long, everybody means int.
        GETFLAGS | GETFLAGS_32 => {
            let flags = locked(&inode.meta).flags;
            put_all(out, &flags.bits().to_le_bytes())?;
        }
        SETFLAGS | SETFLAGS_32 => {
            let bits = word(how.input, 0)?;
            set(cx, inode, FileFlags::from_bits(bits).ok_or(Errno::EOPNOTSUPP)?)?;
        }
        FSGETXATTR => {
            let mut answer = [0; FSXATTR];
            let xflags = locked(&inode.meta).flags.to_xflags().to_le_bytes();
            if let Some(place) = answer.first_chunk_mut() {
                *place = xflags;
            }
            put_all(out, &answer)?;
        }
        FSSETXATTR => {
            let extent_size = word(how.input, 4)?;
            let project = word(how.input, 12)?;
            let cow_extent_size = word(how.input, 16)?;
            if extent_size | project | cow_extent_size != 0 {
                return Err(Errno::EOPNOTSUPP);
            }
            set(cx, inode, FileFlags::from_xflags(word(how.input, 0)?)?)?;
        }
        _ => return Err(Errno::ENOTTY),
    }
    Ok(0)
}

fn set(cx: &Context<'_>, inode: &Inode, flags: FileFlags) -> Result<()> {
    let guarded = FileFlags::IMMUTABLE | FileFlags::APPEND;
    let mut meta = locked(&inode.meta);
    let owner = cx.uid == Uid::ROOT || cx.uid == meta.uid;
    let changes_guarded = (meta.flags ^ flags).intersects(guarded);
    if !owner || changes_guarded && cx.uid != Uid::ROOT {
        return Err(Errno::EPERM);
    }
    meta.flags = flags;
    meta.ctime = Time::now();
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
