//! Reading, writing, sizes.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs_front::local::Whence;

const ANY: Abilities = Abilities::empty();

checks! {
    "a write beyond the end leaves a hole of zeroes", "D.7 holywrite", ANY, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.pwrite(fd, b"1", 4096), Ok(1));
        assert_eq!(s.pwrite(fd, b"23", 8191), Ok(2));
        let data = s.read_file(b"f").unwrap();
        let mut expected = vec![0; 8193];
        expected[4096] = b'1';
        expected[8191] = b'2';
        expected[8192] = b'3';
        assert_eq!(data, expected);
        s.close(fd).unwrap();
    }
    "the last bytes of the largest file are bytes like others", "lseek(2) EOVERFLOW", ANY, |s| {
        const END: u64 = i64::MAX as u64;
        let fd = create(s, b"f");
        match s.ftruncate(fd, END) {
            // The host of `dir` may have smaller files.
            Err(Errno::EFBIG) => {}
            done => {
                assert_eq!(done, Ok(()));
                let mut buffer = [7; 4];
                assert_eq!(s.pread(fd, &mut buffer, END - 4), Ok(4));
                assert_eq!(buffer, [0; 4]);
                assert_eq!(s.pwrite(fd, b"end", END - 3), Ok(3));
                s.fsync(fd, false).unwrap();
                assert_eq!(s.pread(fd, &mut buffer, END - 4), Ok(4));
                assert_eq!(&buffer, b"\0end");
            }
        }
        s.close(fd).unwrap();
    }
    "a file that is cut and written has what was written", "D.7 extendfile", ANY, |s| {
        let fd = create(s, b"f");
        s.ftruncate(fd, 0).unwrap();
        assert_eq!(s.write(fd, b"abcdefgh"), Ok(8));
        let mut buffer = [0; 8];
        assert_eq!(s.pread(fd, &mut buffer, 0), Ok(8));
        assert_eq!(&buffer, b"abcdefgh");
        assert_eq!(s.fstat(fd).unwrap().size, 8);
        s.close(fd).unwrap();
    }
    "O_APPEND writes land at the end", "D.7 extendfile_append", ANY, |s| {
        let fd = s.open(b"f", MAKE.with(OpenFlags::APPEND), 0o644).unwrap();
        s.ftruncate(fd, 37).unwrap();
        assert_eq!(s.write(fd, b"abc"), Ok(3));
        assert_eq!(s.lseek(fd, 0, Whence::Current), Ok(40));
        s.lseek(fd, 0, Whence::Set).unwrap();
        assert_eq!(s.write(fd, b"d"), Ok(1));
        assert_eq!(s.pwrite(fd, b"e", 0), Ok(1), "as Linux: pwrite appends too");
        let data = s.read_file(b"f").unwrap();
        assert_eq!(&data[37..], b"abcde");
        assert_eq!(&data[..37], &[0; 37]);
        s.close(fd).unwrap();
    }
    "two that append to one file lose nothing", "O_APPEND of open(2)", ANY, |s| {
        touch(s, b"log");
        let writers = [s.as_user(0, 0, &[]), s.as_user(0, 0, &[])];
        std::thread::scope(|scope| {
            for (number, writer) in writers.iter().enumerate() {
                scope.spawn(move || {
                    let fd = writer.open(b"log", WO.with(OpenFlags::APPEND), 0).unwrap();
                    for line in 0..200 {
                        let line = format!("writer {number} line {line:04}\n");
                        assert_eq!(writer.write(fd, line.as_bytes()), Ok(line.len()));
                    }
                    writer.close(fd).unwrap();
                });
            }
        });
        let data = s.read_file(b"log").unwrap();
        let mut lines: Vec<&[u8]> = data.split(|b| *b == b'\n').filter(|l| !l.is_empty()).collect();
        lines.sort_unstable();
        let expected: Vec<_> = (0..2)
            .flat_map(|w| (0..200).map(move |n| format!("writer {w} line {n:04}").into_bytes()))
            .collect();
        assert_eq!(lines, expected);
    }
    "the second of two writes wins", "D.7 overwrite512, overwrite64k", ANY, |s| {
        let fd = create(s, b"f");
        for size in [512, 65_536] {
            let (first, second) = (pattern(size, 1), pattern(size, 2));
            assert_eq!(s.pwrite(fd, &first, 0), Ok(size));
            assert_eq!(s.pwrite(fd, &second, 0), Ok(size));
            assert_eq!(s.read_file(b"f").unwrap(), second);
        }
        s.close(fd).unwrap();
    }
    "a file written, cut and written again has the last", "D.7 overwrite_trunc", ANY, |s| {
        let fd = create(s, b"f");
        let data = pattern(65_536, 3);
        assert_eq!(s.pwrite(fd, &data, 0), Ok(65_536));
        s.ftruncate(fd, 0).unwrap();
        assert_eq!(s.read_file(b"f").unwrap(), b"");
        assert_eq!(s.pwrite(fd, &data[..100], 10), Ok(100));
        assert_eq!(s.read_file(b"f").unwrap(), [&[0; 10], &data[..100]].concat());
        s.close(fd).unwrap();
    }
    "a file grows and shrinks by truncation", "D.7 shrinkfile", ANY, |s| {
        let fd = create(s, b"f");
        for size in [10_000, 8193, 4096, 4095, 1, 0, 5_000_000, 3] {
            s.ftruncate(fd, size).unwrap();
            assert_eq!(s.fstat(fd).unwrap().size, size);
            assert_eq!(s.stat(b"f").unwrap().size, size);
        }
        s.close(fd).unwrap();
    }
    "what was cut off does not come back", "truncate(2)", ANY, |s| {
        s.write_file(b"f", &[b'x'; 10_000]).unwrap();
        s.truncate(b"f", 5000).unwrap();
        s.truncate(b"f", 10_000).unwrap();
        let data = s.read_file(b"f").unwrap();
        assert_eq!(data.len(), 10_000);
        assert!(data[..5000].iter().all(|b| *b == b'x'));
        assert!(data[5000..].iter().all(|b| *b == 0));
    }
    "truncate of what is no file is refused", "truncate(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        assert_eq!(s.truncate(b"d", 0), Err(Errno::EISDIR));
        assert_eq!(s.truncate(b"none", 0), Err(Errno::ENOENT));
        touch(s, b"f");
        assert_eq!(s.truncate(b"f", 1 << 63), Err(Errno::EINVAL));
    }
    "an unlinked file is read back to its last byte", "D.7 read_after_unlink", ANY, |s| {
        let data = pattern(9000, 4);
        s.write_file(b"f", &data).unwrap();
        let fd = s.open(b"f", RO, 0).unwrap();
        s.unlink(b"f").unwrap();
        let mut buffer = vec![0; 10_000];
        assert_eq!(s.read(fd, &mut buffer), Ok(9000));
        assert_eq!(&buffer[..9000], data);
        s.close(fd).unwrap();
    }
    "an unlinked file takes writes and gives them back", "D.7 wrrd_after_unlink", ANY, |s| {
        let fd = create(s, b"f");
        s.unlink(b"f").unwrap();
        assert_eq!(s.pwrite(fd, b"far out", 654_321), Ok(7));
        s.fsync(fd, false).unwrap();
        let mut buffer = [0; 7];
        assert_eq!(s.pread(fd, &mut buffer, 654_321), Ok(7));
        assert_eq!(&buffer, b"far out");
        assert_eq!(s.fstat(fd).unwrap().size, 654_328);
        s.close(fd).unwrap();
    }
    "reads stop at the end of the file", "read(2)", ANY, |s| {
        s.write_file(b"f", b"12345").unwrap();
        let fd = s.open(b"f", RO, 0).unwrap();
        let mut buffer = [9; 10];
        assert_eq!(s.pread(fd, &mut buffer, 3), Ok(2));
        assert_eq!(buffer, [b'4', b'5', 9, 9, 9, 9, 9, 9, 9, 9]);
        assert_eq!(s.pread(fd, &mut buffer, 5), Ok(0));
        assert_eq!(s.pread(fd, &mut buffer, 1 << 40), Ok(0));
        assert_eq!(s.pread(fd, &mut [], 0), Ok(0));
        s.close(fd).unwrap();
    }
    "the file offset moves with reads and writes and lseek", "lseek(2)", ANY, |s| {
        let fd = create(s, b"f");
        assert_eq!(s.write(fd, b"0123456789"), Ok(10));
        assert_eq!(s.lseek(fd, 0, Whence::Current), Ok(10));
        assert_eq!(s.lseek(fd, -4, Whence::End), Ok(6));
        let mut buffer = [0; 2];
        assert_eq!(s.read(fd, &mut buffer), Ok(2));
        assert_eq!(&buffer, b"67");
        assert_eq!(s.lseek(fd, 1, Whence::Current), Ok(9));
        assert_eq!(s.lseek(fd, -1, Whence::Set), Err(Errno::EINVAL));
        assert_eq!(s.lseek(fd, 100, Whence::Set), Ok(100));
        assert_eq!(s.fstat(fd).unwrap().size, 10, "seeking does not extend");
        let other = s.dup(fd).unwrap();
        assert_eq!(s.lseek(other, 0, Whence::Current), Ok(100), "shared by dup");
        s.close(fd).unwrap();
        s.close(other).unwrap();
        assert_eq!(s.lseek(other, 0, Whence::Current), Err(Errno::EBADF));
    }
    "a megabyte goes in and out in odd pieces", "read(2), write(2)", ANY, |s| {
        let data = pattern(1 << 20, 5);
        let fd = create(s, b"f");
        for chunk in data.chunks(77_777) {
            assert_eq!(s.write(fd, chunk), Ok(chunk.len()));
        }
        s.lseek(fd, 0, Whence::Set).unwrap();
        let mut got = Vec::new();
        let mut buffer = vec![0; 54_321];
        loop {
            match s.read(fd, &mut buffer).unwrap() {
                0 => break,
                len => got.extend_from_slice(&buffer[..len]),
            }
        }
        assert!(got == data);
        s.close(fd).unwrap();
    }
    "O_TRUNC empties a file", "open(2)", ANY, |s| {
        s.write_file(b"f", b"12345").unwrap();
        let keep = s.open(b"f", RO, 0).unwrap();
        let fd = s.open(b"f", WO.with(OpenFlags::TRUNC), 0).unwrap();
        assert_eq!(s.fstat(keep).unwrap().size, 0);
        assert_eq!(s.read(keep, &mut [0; 5]), Ok(0));
        s.close(fd).unwrap();
        s.close(keep).unwrap();
    }
    "two opens of one file see each other's writes at once", "write(2)", ANY, |s| {
        let one = create(s, b"f");
        let two = s.open(b"f", RW, 0).unwrap();
        assert_eq!(s.write(one, b"one"), Ok(3));
        let mut buffer = [0; 3];
        assert_eq!(s.pread(two, &mut buffer, 0), Ok(3));
        assert_eq!(&buffer, b"one");
        assert_eq!(s.fstat(two).unwrap().size, 3);
        s.close(one).unwrap();
        s.close(two).unwrap();
    }
    "copy_file_range copies within its bounds", "copy_file_range(2)", ANY, |s| {
        let data = pattern(100_000, 6);
        s.write_file(b"from", &data).unwrap();
        let from = s.open(b"from", RO, 0).unwrap();
        let to = create(s, b"to");
        let mut done = 0;
        while done < 50_000 {
            let len = s.copy_file_range(from, 10 + done, to, 5000 + done, 50_000 - done).unwrap();
            assert!(len > 0 && len <= 50_000 - done);
            done += len;
        }
        let copied = s.read_file(b"to").unwrap();
        assert_eq!(copied.len(), 55_000);
        assert!(copied[..5000].iter().all(|b| *b == 0));
        assert!(copied[5000..] == data[10..50_010]);
        assert_eq!(s.copy_file_range(from, 100_000, to, 0, 10), Ok(0), "at the end there is none");
        assert_eq!(s.copy_file_range(to, 0, from, 0, 10), Err(Errno::EBADF));
        s.close(from).unwrap();
        s.close(to).unwrap();
    }
    "copy_file_range within one file does not overlap", "copy_file_range(2)", ANY, |s| {
        let data = pattern(10_000, 7);
        s.write_file(b"f", &data).unwrap();
        let fd = s.open(b"f", RW, 0).unwrap();
        assert_eq!(s.copy_file_range(fd, 0, fd, 500, 1000), Err(Errno::EINVAL));
        let mut done = 0;
        while done < 1000 {
            done += s.copy_file_range(fd, done, fd, 5000 + done, 1000 - done).unwrap();
        }
        let now = s.read_file(b"f").unwrap();
        assert!(now[5000..6000] == data[..1000]);
        assert!(now[6000..] == data[6000..]);
        s.close(fd).unwrap();
    }
    "a descriptor that is not open is EBADF", "close(2)", ANY, |s| {
        let fd = create(s, b"f");
        s.close(fd).unwrap();
        assert_eq!(s.close(fd), Err(Errno::EBADF));
        assert_eq!(s.read(fd, &mut [0; 1]), Err(Errno::EBADF));
        assert_eq!(s.fstat(fd).err(), Some(Errno::EBADF));
        assert_eq!(s.fchmod(fd, 0o600), Err(Errno::EBADF));
    }
    "fsync and fdatasync work, also for one who only reads", "fsync(2)", ANY, |s| {
        s.write_file(b"f", b"x").unwrap();
        for flags in [RO, WO, RW] {
            let fd = s.open(b"f", flags, 0).unwrap();
            assert_eq!(s.fsync(fd, false), Ok(()));
            assert_eq!(s.fsync(fd, true), Ok(()));
            s.close(fd).unwrap();
        }
    }
}
