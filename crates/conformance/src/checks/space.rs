//! Sparse files, fallocate, the largest file, the full disk, statvfs.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs::FallocateFlags as F;
use filofs_front::local::Whence;

const ANY: Abilities = Abilities::empty();
/// Larger than any block that a file system here would use.
const FAR: u64 = 8 << 20;

checks! {
    "a sparse file takes little room", "lseek(2)", Abilities::SPARSE, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.pwrite(fd, b"end", 5 << 30), Ok(3));
        let stat = s.fstat(fd).unwrap();
        assert_eq!(stat.size, (5 << 30) + 3);
        assert!(stat.blocks * 512 < 1 << 20, "{} blocks", stat.blocks);
        let mut buffer = [9; 3];
        assert_eq!(s.pread(fd, &mut buffer, 1 << 30), Ok(3));
        assert_eq!(buffer, [0; 3]);
        s.close(fd).unwrap();
    }
    "seeking finds data and holes", "lseek(2)", ANY, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.pwrite(fd, &[b'x'; 4096], FAR), Ok(4096));
        s.ftruncate(fd, 2 * FAR).unwrap();
        assert_eq!(s.lseek(fd, 0, Whence::Hole), Ok(0));
        let data = s.lseek(fd, 0, Whence::Data).unwrap();
        assert!(data <= FAR, "{data}");
        assert_eq!(s.lseek(fd, FAR as i64, Whence::Data), Ok(FAR));
        let hole = s.lseek(fd, FAR as i64, Whence::Hole).unwrap();
        assert!((FAR + 4096..2 * FAR).contains(&hole), "{hole}");
        assert_eq!(s.lseek(fd, hole as i64, Whence::Data), Err(Errno::ENXIO));
        assert_eq!(s.lseek(fd, 2 * FAR as i64, Whence::Data), Err(Errno::ENXIO));
        assert_eq!(s.lseek(fd, 2 * FAR as i64, Whence::Hole), Err(Errno::ENXIO));
        s.close(fd).unwrap();
    }
    "the end of a file without holes counts as one", "lseek(2)", ANY, |s| {
        s.write_file(b"f", b"12345").unwrap();
        let fd = s.open(b"f", RO, 0).unwrap();
        assert_eq!(s.lseek(fd, 0, Whence::Data), Ok(0));
        assert_eq!(s.lseek(fd, 2, Whence::Data), Ok(2));
        assert_eq!(s.lseek(fd, 0, Whence::Hole), Ok(5));
        assert_eq!(s.lseek(fd, 5, Whence::Hole), Err(Errno::ENXIO));
        s.close(fd).unwrap();
    }
    "fresh data is found before it is written back", "lseek(2)", ANY, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.write(fd, &pattern(10_000, 3)), Ok(10_000));
        assert_eq!(s.lseek(fd, 0, Whence::Data), Ok(0));
        assert!(s.lseek(fd, 0, Whence::Hole).unwrap() >= 10_000);
        assert_eq!(s.pwrite(fd, b"far", FAR), Ok(3));
        let data = s.lseek(fd, FAR as i64 - 4096, Whence::Data).unwrap();
        assert!(data <= FAR, "{data}");
        s.close(fd).unwrap();
    }
    "punching makes a hole and keeps the size", "fallocate(2)", ANY, |s| {
        let data = pattern(100_000, 8);
        s.write_file(b"f", &data).unwrap();
        let fd = s.open(b"f", RW, 0).unwrap();
        s.fallocate(fd, F::PUNCH_HOLE | F::KEEP_SIZE, 10_000, 50_000).unwrap();
        let now = s.read_file(b"f").unwrap();
        assert_eq!(now.len(), 100_000);
        assert!(now[..10_000] == data[..10_000]);
        assert!(now[10_000..60_000].iter().all(|b| *b == 0));
        assert!(now[60_000..] == data[60_000..]);
        s.fallocate(fd, F::PUNCH_HOLE | F::KEEP_SIZE, 90_000, 50_000).unwrap();
        assert_eq!(s.fstat(fd).unwrap().size, 100_000, "beyond the end too");
        s.close(fd).unwrap();
    }
    "punching gives room back", "fallocate(2)", ANY, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.write(fd, &pattern(1 << 20, 9)), Ok(1 << 20));
        s.fsync(fd, false).unwrap();
        let before = s.fstat(fd).unwrap().blocks;
        s.fallocate(fd, F::PUNCH_HOLE | F::KEEP_SIZE, 0, 1 << 20).unwrap();
        s.fsync(fd, false).unwrap();
        let after = s.fstat(fd).unwrap().blocks;
        assert!(before >= 2048 && after < 64, "{before} then {after}");
        s.close(fd).unwrap();
    }
    "zeroing makes zeroes, and extends unless told not to", "fallocate(2)", Abilities::ZERO, |s| {
        let data = pattern(10_000, 10);
        s.write_file(b"f", &data).unwrap();
        let fd = s.open(b"f", RW, 0).unwrap();
        s.fallocate(fd, F::ZERO_RANGE, 100, 5000).unwrap();
        let now = s.read_file(b"f").unwrap();
        assert!(now[..100] == data[..100] && now[5100..] == data[5100..]);
        assert!(now[100..5100].iter().all(|b| *b == 0));
        s.fallocate(fd, F::ZERO_RANGE | F::KEEP_SIZE, 9000, 5000).unwrap();
        assert_eq!(s.fstat(fd).unwrap().size, 10_000);
        s.fallocate(fd, F::ZERO_RANGE, 9000, 5000).unwrap();
        assert_eq!(s.fstat(fd).unwrap().size, 14_000);
        s.close(fd).unwrap();
    }
    "allocation extends with zeroes, or keeps the size", "fallocate(2)", ANY, |s| {
        s.write_file(b"f", b"12345").unwrap();
        let fd = s.open(b"f", RW, 0).unwrap();
        s.fallocate(fd, F::KEEP_SIZE, 0, 100_000).unwrap();
        assert_eq!(s.read_file(b"f").unwrap(), b"12345");
        s.fallocate(fd, F::empty(), 10, 100).unwrap();
        let now = s.read_file(b"f").unwrap();
        assert_eq!(now.len(), 110);
        assert_eq!(&now[..5], b"12345");
        assert!(now[5..].iter().all(|b| *b == 0));
        s.fallocate(fd, F::empty(), 0, 3).unwrap();
        assert_eq!(s.fstat(fd).unwrap().size, 110, "it never shrinks");
        s.close(fd).unwrap();
    }
    "nonsense to fallocate is refused", "fallocate(2)", ANY, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.fallocate(fd, F::empty(), 0, 0), Err(Errno::EINVAL));
        assert_eq!(s.fallocate(fd, F::empty(), u64::MAX, 10), Err(Errno::EINVAL));
        assert_eq!(s.fallocate(fd, F::PUNCH_HOLE, 0, 10), Err(Errno::EOPNOTSUPP));
        assert_eq!(s.fallocate(fd, F::empty(), i64::MAX as u64, 10), Err(Errno::EFBIG));
        s.close(fd).unwrap();
        let fd = s.open(b"f", RO, 0).unwrap();
        assert_eq!(s.fallocate(fd, F::empty(), 0, 10), Err(Errno::EBADF));
        s.close(fd).unwrap();
    }
    "names may be as long as statvfs says", "D.5 tstatvfs", ANY, |s| {
        let numbers = s.statvfs().unwrap();
        assert_eq!(numbers.namelen, 255);
        assert!(numbers.bsize > 0 && numbers.frsize > 0);
        assert!(numbers.bfree <= numbers.blocks && numbers.bavail <= numbers.bfree);
        assert!(numbers.ffree <= numbers.files);
    }
    "a full file system says so, keeps what it has, and takes more after room was made",
    "D.8 fillfs", Abilities::SMALL, |s| {
        let chunk = pattern(1 << 16, 11);
        let fd = create(s, b"big");
        // A cache may take a write that has no room below: what fsync confirmed is written.
        let mut written = 0u64;
        let errno = loop {
            let len = match s.write(fd, &chunk) {
                Ok(len) => len as u64,
                Err(errno) => break errno,
            };
            if let Err(errno) = s.fsync(fd, false) {
                break errno;
            }
            written += len;
            assert!(written <= 64 << 20, "it was said to be small");
        };
        assert_eq!(errno, Errno::ENOSPC);
        let numbers = s.statvfs().unwrap();
        assert!(written <= numbers.blocks * u64::from(numbers.frsize));
        assert!(s.fstat(fd).unwrap().size >= written);
        let mut buffer = vec![0; 1 << 16];
        let mut at = 0;
        while at < written {
            let len = s.pread(fd, &mut buffer, at).unwrap().min((written - at) as usize);
            assert!(buffer[..len] == chunk.repeat(2)[at as usize % (1 << 16)..][..len]);
            at += len as u64;
        }
        // What is still in a cache goes, or is complained of once more.
        assert!(matches!(s.close(fd), Ok(()) | Err(Errno::ENOSPC)));
        s.unlink(b"big").unwrap();
        s.write_file(b"small", b"room again").unwrap();
        assert_eq!(s.read_file(b"small").unwrap(), b"room again");
    }
    "a full file system refuses an allocation whole", "fallocate(2)", Abilities::SMALL, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.fallocate(fd, F::empty(), 0, 1 << 40), Err(Errno::ENOSPC));
        assert_eq!(s.fstat(fd).unwrap().size, 0);
        s.close(fd).unwrap();
    }
}
