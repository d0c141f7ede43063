//! What only a kernel can do with a file system: mappings, sockets, pipes, programs.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use crate::os::{lock_description, mapped, stop_appending};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const KERNEL: Abilities = Abilities::KERNEL;

fn host(s: &dyn Subject, name: &str) -> PathBuf {
    s.host_path().unwrap().join(name)
}

checks! {
    "a mapping and reads see each other's bytes", "mmap(2)", KERNEL, |s| {
        let data = pattern(20_000, 20);
        s.write_file(b"f", &data).unwrap();
        mapped(&host(s, "f"), 20_000, |map| {
            assert!(map == &data[..]);
            map[5000..5005].copy_from_slice(b"mmap!");
            let fd = s.open(b"f", RW, 0).unwrap();
            let mut buffer = [0; 5];
            assert_eq!(s.pread(fd, &mut buffer, 5000), Ok(5));
            assert_eq!(&buffer, b"mmap!");
            assert_eq!(s.pwrite(fd, b"write", 9000), Ok(5));
            assert_eq!(&map[9000..9005], b"write");
            s.close(fd).unwrap();
        });
        let now = s.read_file(b"f").unwrap();
        assert_eq!(&now[5000..5005], b"mmap!");
        assert_eq!(&now[9000..9005], b"write");
        assert_eq!(now.len(), 20_000);
    }
    "two mappings of one file are one memory", "mmap(2)", KERNEL, |s| {
        s.write_file(b"f", &[0; 8192]).unwrap();
        mapped(&host(s, "f"), 8192, |one| {
            mapped(&host(s, "f"), 8192, |two| {
                one[100] = 7;
                assert_eq!(two[100], 7);
                two[8000] = 8;
                assert_eq!(one[8000], 8);
            });
        });
        let now = s.read_file(b"f").unwrap();
        assert_eq!((now[100], now[8000]), (7, 8));
    }
    "a mapping past the end of the file never lengthens it", "mmap(2)", KERNEL, |s| {
        s.write_file(b"f", b"short").unwrap();
        mapped(&host(s, "f"), 4096, |map| {
            map[100] = b'x';
            map[0] = b'S';
        });
        assert_eq!(s.read_file(b"f").unwrap(), b"Short");
    }
    "a mapping keeps an unlinked file", "mmap(2)", KERNEL, |s| {
        s.write_file(b"f", &[b'k'; 4096]).unwrap();
        mapped(&host(s, "f"), 4096, |map| {
            s.unlink(b"f").unwrap();
            assert!(map.iter().all(|b| *b == b'k'));
            map[0] = b'l';
            assert_eq!(map[0], b'l');
        });
    }
    "a socket's name is bound and connected to", "unix(7)", KERNEL, |s| {
        let listener = UnixListener::bind(host(s, "sock")).unwrap();
        assert_eq!(s.lstat(b"sock").unwrap().kind, Kind::Socket);
        let mut client = UnixStream::connect(host(s, "sock")).unwrap();
        let (mut server, _) = listener.accept().unwrap();
        client.write_all(b"through").unwrap();
        let mut buffer = [0; 7];
        server.read_exact(&mut buffer).unwrap();
        assert_eq!(&buffer, b"through");
        assert_eq!(s.open(b"sock", RO, 0).err(), Some(Errno::ENXIO));
        assert!(UnixListener::bind(host(s, "sock")).is_err(), "the name is taken");
    }
    "a pipe's two ends meet", "fifo(7)", KERNEL, |s| {
        s.mknod(b"pipe", Kind::Fifo, 0o644, Device::default()).unwrap();
        let path = host(s, "pipe");
        std::thread::scope(|scope| {
            scope.spawn(|| std::fs::write(&path, b"down the pipe").unwrap());
            assert_eq!(s.read_file(b"pipe").unwrap(), b"down the pipe");
        });
        assert_eq!(s.open(b"pipe", WO.with(OpenFlags::NONBLOCK), 0).err(), Some(Errno::ENXIO));
    }
    "a program runs, and needs its x bit", "execve(2)", KERNEL, |s| {
        s.write_file(b"program", b"#!/bin/sh\necho ran \"$1\"\n").unwrap();
        s.chmod(b"program", 0o644).unwrap();
        let refused = Command::new(host(s, "program")).output().unwrap_err();
        assert_eq!(Errno::from(refused), Errno::EACCES);
        s.chmod(b"program", 0o755).unwrap();
        let output = Command::new(host(s, "program")).arg("well").output().unwrap();
        assert_eq!(output.stdout, b"ran well\n");
    }
    "a program runs that its user may not read", "execve(2)", KERNEL.union(Abilities::USERS), |s| {
        s.write_file(b"program", &std::fs::read("/bin/true").unwrap()).unwrap();
        let runs = |uid: u32, gid: u32| {
            Command::new(host(s, "program")).uid(uid).gid(gid).status().map_err(Errno::from)
        };
        for (mode, runner) in [(0o711, (1000, 1000)), (0o110, (1000, 50)), (0o100, (1001, 1000))] {
            s.chown(b"program", Some(1001), Some(50)).unwrap();
            s.chmod(b"program", mode).unwrap();
            let user = s.as_user(runner.0, runner.1, &[]);
            assert_eq!(user.open(b"program", RO, 0).err(), Some(Errno::EACCES));
            assert!(runs(runner.0, runner.1).unwrap().success(), "{mode:o}");
        }
        assert_eq!(runs(1000, 50).err(), Some(Errno::EACCES));
    }
    "O_APPEND can be taken off an open file", "fcntl(2)", KERNEL, |s| {
        s.write_file(b"f", b"begin").unwrap();
        let path = host(s, "f");
        let file = std::fs::File::options().read(true).append(true).open(path).unwrap();
        file.write_all_at(b"+end", 0).unwrap();
        stop_appending(&file);
        file.write_all_at(b"B", 0).unwrap();
        assert_eq!(s.read_file(b"f").unwrap(), b"Begin+end");
    }
    "a lock of an open file goes with its last descriptor", "fcntl(2)", KERNEL, |s| {
        touch(s, b"f");
        let open = || std::fs::File::options().write(true).open(host(s, "f")).unwrap();
        let (one, two) = (open(), open());
        lock_description(&one).unwrap();
        let copy = one.try_clone().unwrap();
        drop(one);
        assert_eq!(lock_description(&two), Err(Errno::EAGAIN));
        drop(copy);
        // Through FUSE the end of an open file is told after close(2) has returned.
        let begin = Instant::now();
        while lock_description(&two).is_err() && begin.elapsed() < Duration::from_secs(30) {
            std::thread::sleep(Duration::from_millis(1));
        }
        assert_eq!(lock_description(&two), Ok(()));
    }
    "a read into a bad address is EFAULT", "D.7 read_fault", KERNEL, |s| {
        s.write_file(b"f", b"data").unwrap();
        assert_eq!(crate::os::read_to_nowhere(&host(s, "f")), Errno::EFAULT);
        assert_eq!(s.read_file(b"f").unwrap(), b"data");
    }
    "the largest request of a program arrives whole", "write(2)", KERNEL, |s| {
        let data = pattern(9 << 20, 21);
        let fd = create(s, b"f");
        assert_eq!(s.write(fd, &data), Ok(data.len()));
        let mut buffer = vec![0; data.len()];
        assert_eq!(s.pread(fd, &mut buffer, 0), Ok(data.len()));
        assert!(buffer == data);
        s.close(fd).unwrap();
    }
    "a file is opened by its handle after the kernel dropped its caches",
    "open_by_handle_at(2)", KERNEL.union(Abilities::HANDLES).union(Abilities::USERS), |s| {
        s.mkdir(b"dir", 0o755).unwrap();
        s.mkdir(b"dir/sub", 0o755).unwrap();
        s.write_file(b"dir/sub/file", b"found again").unwrap();
        let file = s.name_to_handle(b"dir/sub/file").unwrap();
        let dir = s.name_to_handle(b"dir/sub").unwrap();
        // Names and inodes; data stays. Refused in some containers: then nothing was dropped.
        let _ = std::fs::write("/proc/sys/vm/drop_caches", "2");
        let fd = s.open_by_handle(&file, RO).unwrap();
        let mut buffer = [0; 11];
        assert_eq!(s.read(fd, &mut buffer), Ok(11));
        assert_eq!(&buffer, b"found again");
        s.close(fd).unwrap();
        let fd = s.open_by_handle(&dir, OpenFlags::DIRECTORY).unwrap();
        let above = s.openat(fd, b"..", OpenFlags::DIRECTORY, 0).unwrap();
        assert_eq!(s.fstat(above).unwrap().ino, s.stat(b"dir").unwrap().ino);
        s.close(above).unwrap();
        s.close(fd).unwrap();
    }
}
