//! Data, extended attributes, ioctls.

use crate::ground::{Ground, n, node, root};
use filofs::{
    CopyHow, Errno, FallocateFlags, FileSystem, Ioctl, LockOwner, OpenFlags, ReleaseHow, Seek,
    SliceSink, SliceSource, SyncMode, VecSink, WriteFlags, XattrFlags,
};
use std::fs;

#[test]
fn holes_are_made_and_found() {
    let g = Ground::new();
    let (file, open) = g.create(&root(), &g.root(), "f", 0o600).unwrap();
    g.write(&root(), &open, 0, &vec![1; 65536]).unwrap();
    let punch = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    g.dir.fallocate(&root(), &file, &open, 8192, 16384, punch).unwrap();
    assert_eq!(g.read(&open, 8191, 2).unwrap(), [1, 0]);
    let seek = |at, what| g.dir.lseek(&root(), &file, &open, at, what);
    assert_eq!(seek(0, Seek::Hole), Ok(8192));
    assert_eq!(seek(8192, Seek::Data), Ok(24576));
    assert_eq!(seek(65536, Seek::Data), Err(Errno::ENXIO));
    g.dir.fallocate(&root(), &file, &open, 0, 100_000, FallocateFlags::KEEP_SIZE).unwrap();
    assert_eq!(g.attr(&file).size, 65536);
    g.dir.fallocate(&root(), &file, &open, 0, 100_000, FallocateFlags::empty()).unwrap();
    assert_eq!(g.attr(&file).size, 100_000);
    let odd = FallocateFlags::PUNCH_HOLE;
    assert_eq!(
        g.dir.fallocate(&root(), &file, &open, 0, 1, odd),
        Err(Errno::EOPNOTSUPP),
        "punching needs KEEP_SIZE"
    );
}

#[test]
fn ranges_are_copied() {
    let g = Ground::new();
    let top = g.root();
    let (from, from_open) = g.create(&root(), &top, "from", 0o600).unwrap();
    let (to, to_open) = g.create(&root(), &top, "to", 0o600).unwrap();
    g.write(&root(), &from_open, 0, b"0123456789").unwrap();
    let how = CopyHow { from: 2, to: 5, len: 100 };
    let copied = g.dir.copy_file_range(&root(), &from, &from_open, &to, &to_open, how);
    assert_eq!(copied, Ok(8));
    assert_eq!(fs::read(g.at("to")).unwrap(), b"\0\0\0\0\x0023456789");
}

#[test]
fn direct_requests_need_no_aligned_memory() {
    let g = Ground::new();
    let flags = OpenFlags::RDWR.with(OpenFlags::DIRECT);
    fs::write(g.at("f"), [7; 8192]).unwrap();
    let file = g.walk("f").unwrap();
    let open = match g.open(&root(), &file, flags) {
        Err(Errno::EINVAL) => return println!("skipped: no O_DIRECT here"),
        open => open.unwrap(),
    };
    let mut bytes = vec![1u8; 4097];
    let mut source = SliceSource::new(&bytes[1..]);
    let none = WriteFlags::empty();
    assert_eq!(g.dir.write(&root(), &file, &open, 4096, &mut source, none), Ok(4096));
    let mut sink = SliceSink::new(&mut bytes[1..]);
    g.dir.read(&root(), &file, &open, 0, &mut sink).unwrap();
    assert_eq!(bytes[1..], [7; 4096]);
    assert_eq!(fs::read(g.at("f")).unwrap()[4096..], [1; 4096]);
    let mut odd = SliceSource::new(b"x");
    assert_eq!(g.dir.write(&root(), &file, &open, 1, &mut odd, none), Err(Errno::EINVAL));
}

#[test]
fn attributes_of_every_length() {
    let g = Ground::new();
    let (file, _open) = g.create(&root(), &g.root(), "f", 0o600).unwrap();
    let none = XattrFlags::empty();
    g.dir.setxattr(&root(), &file, b"user.a", b"value", none).unwrap();
    let get = |room: usize| {
        let mut sink = VecSink::new(room);
        let size = g.dir.getxattr(&root(), &file, b"user.a", &mut sink);
        (size, sink.into_bytes())
    };
    assert_eq!(get(0), (Ok(5), vec![]));
    assert_eq!(get(4), (Err(Errno::ERANGE), vec![]));
    assert_eq!(get(5), (Ok(5), b"value".to_vec()));
    let set = |flags| g.dir.setxattr(&root(), &file, b"user.a", b"", flags);
    assert_eq!(set(XattrFlags::CREATE), Err(Errno::EEXIST));
    set(XattrFlags::REPLACE).unwrap();
    assert_eq!(get(5), (Ok(0), vec![]));
    let mut names = VecSink::new(100);
    g.dir.listxattr(&root(), &file, &mut names).unwrap();
    assert!(names.into_bytes().windows(7).any(|w| w == b"user.a\0"));
    g.dir.removexattr(&root(), &file, b"user.a").unwrap();
    assert_eq!(g.dir.removexattr(&root(), &file, b"user.a"), Err(Errno::ENODATA));
    assert_eq!(set(XattrFlags::REPLACE), Err(Errno::ENODATA));
    let long = format!("user.{}", "x".repeat(251));
    let set = |key: &[u8]| g.dir.setxattr(&root(), &file, key, b"", none);
    assert_eq!(set(long.as_bytes()), Err(Errno::ERANGE));
    assert_eq!(set(b""), Err(Errno::ERANGE));
    assert_eq!(set(b"nonsense"), Err(Errno::EOPNOTSUPP));
}

#[test]
fn attributes_of_a_link_are_not_its_targets() {
    let g = Ground::new();
    let top = g.root();
    g.create(&root(), &top, "f", 0o600).unwrap();
    let link = node(&g.dir.symlink(&root(), &top, n("l"), b"f").unwrap());
    let set = g.dir.setxattr(&root(), &link, b"user.a", b"x", XattrFlags::empty());
    assert_eq!(set, Err(Errno::EPERM), "xattr(7): none of user's on links");
    let chmod = filofs::SetAttr { mode: Some(0o777), ..filofs::SetAttr::default() };
    assert_eq!(g.dir.setattr(&root(), &link, None, &chmod), Err(Errno::EOPNOTSUPP));
    assert_eq!(g.attr(&g.walk("f").unwrap()).mode, 0o600);
}

#[test]
fn file_flags_go_through() {
    const GETFLAGS: u32 = 0x8008_6601;
    const SETFLAGS: u32 = 0x4008_6602;
    const NODUMP: u32 = 0x40;
    let g = Ground::new();
    let (file, open) = g.create(&root(), &g.root(), "f", 0o600).unwrap();
    let ioctl = |command, input: &[u8]| {
        let mut sink = VecSink::new(8);
        let how = Ioctl { command, argument: 0, input };
        g.dir.ioctl(&root(), &file, &open, how, &mut sink).map(|_| sink.into_bytes())
    };
    let before = match ioctl(GETFLAGS, &[]) {
        Err(Errno::ENOTTY | Errno::EOPNOTSUPP) => return println!("skipped: no flags here"),
        flags => u32::from_ne_bytes(flags.unwrap().try_into().unwrap()),
    };
    ioctl(SETFLAGS, &(before | NODUMP).to_ne_bytes()).unwrap();
    let after = u32::from_ne_bytes(ioctl(GETFLAGS, &[]).unwrap().try_into().unwrap());
    assert_eq!(after, before | NODUMP);
    assert_eq!(ioctl(SETFLAGS, &[0]), Err(Errno::EINVAL));
    assert_eq!(ioctl(0x5413, &[]), Err(Errno::ENOTTY), "TIOCGWINSZ");
}

#[test]
fn what_is_written_is_synced_flushed_and_released() {
    let g = Ground::new();
    let top = g.root();
    let (file, open) = g.create(&root(), &top, "f", 0o600).unwrap();
    g.write(&root(), &open, 0, b"x").unwrap();
    g.dir.fsync(&root(), &file, &open, true).unwrap();
    g.dir.fsync(&root(), &file, &open, false).unwrap();
    g.dir.flush(&root(), &file, &open, LockOwner(1)).unwrap();
    g.dir.release(&root(), &file, &open, ReleaseHow { owner: Some(LockOwner(1)) }).unwrap();
    let listing = g.open(&root(), &top, OpenFlags::RDONLY).unwrap();
    g.dir.fsync(&root(), &top, &listing, false).unwrap();
    for mode in [SyncMode::Wait, SyncMode::NoWait, SyncMode::Lazy] {
        g.dir.sync(&root(), mode).unwrap();
    }
    let full = g.dir.statfs(&root(), &file).unwrap();
    assert!(full.blocks > 0 && full.namelen >= 255);
}
