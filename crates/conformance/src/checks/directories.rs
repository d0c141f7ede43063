//! Listing directories.

#[allow(clippy::wildcard_imports)] // the words that all checks are written in
use super::*;
use crate::Abilities;
use filofs_front::local::Whence;
use std::collections::{BTreeMap, BTreeSet};

const ANY: Abilities = Abilities::empty();

checks! {
    "a listing begins with . and .. and has every name once", "getdents(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        for name in [&b"d/a"[..], b"d/b", b"d/c"] {
            touch(s, name);
        }
        let mut listed: Vec<_> = s.readdir(b"d").unwrap().into_iter().map(|e| e.name).collect();
        listed.sort();
        assert_eq!(listed, [&b"."[..], b"..", b"a", b"b", b"c"]);
    }
    "a listing's inode numbers are those of stat", "getdents(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        s.mkdir(b"d/sub", 0o755).unwrap();
        touch(s, b"d/file");
        s.symlink(b"file", b"d/link").unwrap();
        for entry in s.readdir(b"d").unwrap() {
            let path = [b"d/", &entry.name[..]].concat();
            assert_eq!(entry.ino, s.lstat(&path).unwrap().ino, "{}", path.escape_ascii());
        }
    }
    "an empty directory lists its dots", "getdents(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        assert_eq!(s.readdir(b"d").unwrap().len(), 2);
    }
    "two thousand files in one directory are all there and all removable",
    "D.6 create_many", ANY, |s| {
        let count = 2324;
        for n in 0..count {
            touch(s, format!("file-{n}").as_bytes());
        }
        let listed = names(s, b".");
        let expected: BTreeSet<_> = (0..count).map(|n| format!("file-{n}").into_bytes()).collect();
        assert_eq!(listed.len(), count);
        assert_eq!(listed.into_iter().collect::<BTreeSet<_>>(), expected);
        for n in 0..count {
            s.unlink(format!("file-{n}").as_bytes()).unwrap();
        }
        assert!(names(s, b".").is_empty());
    }
    "what is there all the time is listed exactly once while others come and go",
    "readdir(3)", ANY, |s| {
        for n in 0..1500 {
            touch(s, format!("stays-{n:04}").as_bytes());
            touch(s, format!("goes-{n:04}").as_bytes());
        }
        let fd = s.open(b".", OpenFlags::DIRECTORY, 0).unwrap();
        let mut seen = BTreeMap::<Vec<u8>, u32>::new();
        let mut round = 0;
        loop {
            let batch = s.getdents(fd).unwrap();
            if batch.is_empty() {
                break;
            }
            for entry in batch {
                *seen.entry(entry.name).or_default() += 1;
            }
            for n in 0..100 {
                let n = round * 100 + n;
                if n < 1500 {
                    s.unlink(format!("goes-{n:04}").as_bytes()).unwrap();
                    touch(s, format!("comes-{n:04}").as_bytes());
                }
            }
            round += 1;
        }
        s.close(fd).unwrap();
        for n in 0..1500 {
            let name = format!("stays-{n:04}").into_bytes();
            assert_eq!(seen.get(&name), Some(&1), "{}", name.escape_ascii());
        }
        assert!(seen.values().all(|times| *times == 1), "nothing is listed twice");
    }
    "a listing resumes at every offset that it gave out", "telldir(3)", ANY, |s| {
        for n in 0..40 {
            touch(s, format!("f{n}").as_bytes());
        }
        let fd = s.open(b".", OpenFlags::DIRECTORY, 0).unwrap();
        let all = s.readdir(b".").unwrap();
        assert_eq!(all.len(), 42);
        for (number, entry) in all.iter().enumerate().rev() {
            s.lseek(fd, entry.next as i64, Whence::Set).unwrap();
            let mut rest = Vec::new();
            loop {
                let batch = s.getdents(fd).unwrap();
                if batch.is_empty() {
                    break;
                }
                rest.extend(batch.into_iter().map(|e| e.name));
            }
            let expected: Vec<_> = all[number + 1..].iter().map(|e| e.name.clone()).collect();
            assert_eq!(rest, expected, "after {}", entry.name.escape_ascii());
        }
        s.close(fd).unwrap();
    }
    "a listing resumes after an entry that is gone", "seekdir(3)", ANY, |s| {
        for n in 0..20 {
            touch(s, format!("f{n}").as_bytes());
        }
        let all = s.readdir(b".").unwrap();
        let place = all.iter().position(|e| e.name == b"f7").unwrap();
        s.unlink(b"f7").unwrap();
        let fd = s.open(b".", OpenFlags::DIRECTORY, 0).unwrap();
        s.lseek(fd, all[place].next as i64, Whence::Set).unwrap();
        let mut rest = Vec::new();
        loop {
            let batch = s.getdents(fd).unwrap();
            if batch.is_empty() {
                break;
            }
            rest.extend(batch.into_iter().map(|e| e.name));
        }
        s.close(fd).unwrap();
        let expected: Vec<_> = all[place + 1..].iter().map(|e| e.name.clone()).collect();
        assert_eq!(rest, expected);
    }
    "rewinding shows what has come since", "rewinddir(3)", ANY, |s| {
        let fd = s.open(b".", OpenFlags::DIRECTORY, 0).unwrap();
        while !s.getdents(fd).unwrap().is_empty() {}
        touch(s, b"new");
        s.lseek(fd, 0, Whence::Set).unwrap();
        let listed: Vec<_> = s.getdents(fd).unwrap().into_iter().map(|e| e.name).collect();
        assert!(listed.contains(&b"new".to_vec()));
        s.close(fd).unwrap();
    }
    "a directory cannot be read as a file", "D.6 read_directory", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        let fd = s.open(b"d", RO, 0).unwrap();
        assert_eq!(s.read(fd, &mut [0; 10]), Err(Errno::EISDIR));
        assert_eq!(s.write(fd, b"x"), Err(Errno::EBADF));
        assert_eq!(s.ftruncate(fd, 0), Err(Errno::EINVAL));
        s.close(fd).unwrap();
        touch(s, b"f");
        let fd = s.open(b"f", RO, 0).unwrap();
        assert_eq!(s.getdents(fd).err(), Some(Errno::ENOTDIR));
        s.close(fd).unwrap();
    }
    "fsync of a directory works", "fsync(2)", ANY, |s| {
        s.mkdir(b"d", 0o755).unwrap();
        touch(s, b"d/f");
        let fd = s.open(b"d", OpenFlags::DIRECTORY, 0).unwrap();
        assert_eq!(s.fsync(fd, false), Ok(()));
        assert_eq!(s.fsync(fd, true), Ok(()));
        s.close(fd).unwrap();
    }
    "creators and renamers of the same names come to an end", "D.8 renamerace", ANY, |s| {
        let workers: Vec<_> = (0..4).map(|_| s.as_same()).collect();
        std::thread::scope(|scope| {
            for (number, worker) in workers.iter().enumerate() {
                scope.spawn(move || race(&**worker, number));
            }
        });
        let left = names(s, b".");
        assert!(left.iter().all(|n| n == b"rename.test1" || n == b"rename.test2"), "{left:?}");
    }
    "makers, removers and renamers of the same directories come to an end",
    "D.8 rmdirrace, renamerace_dirs", ANY, |s| {
        let workers: Vec<_> = (0..3).map(|_| s.as_same()).collect();
        std::thread::scope(|scope| {
            for (number, worker) in workers.iter().enumerate() {
                scope.spawn(move || race_dirs(&**worker, number));
            }
        });
        let left = names(s, b".");
        for name in &left {
            s.rmdir(name).unwrap();
        }
        assert_eq!(s.stat(b".").unwrap().nlink, 2);
    }
    "a listing ends though whoever lists renames what it finds", "readdir(3)", ANY, |s| {
        const MANY: usize = 3000; // more than one answer holds
        s.mkdir(b"d", 0o755).unwrap();
        for i in 0..MANY {
            touch(s, format!("d/{i}").as_bytes());
        }
        let fd = s.open(b"d", OpenFlags::DIRECTORY, 0).unwrap();
        let mut found = 0;
        loop {
            let batch = s.getdents(fd).unwrap();
            if batch.is_empty() {
                break;
            }
            for entry in batch.into_iter().filter(|e| e.name != b"." && e.name != b"..") {
                let name = [b"d/", &entry.name[..]].concat();
                let new = format!("d/renamed{found}");
                s.rename(&name, new.as_bytes(), PLAIN).unwrap();
                found += 1;
                assert!(found <= 3 * MANY, "no end");
            }
        }
        s.close(fd).unwrap();
        assert_eq!(names(s, b"d").len(), MANY);
    }
    "what is made under a listing is in the next one", "readdir(3)", ANY, |s| {
        const MANY: usize = 2000;
        s.mkdir(b"d", 0o755).unwrap();
        for i in 0..MANY {
            touch(s, format!("d/{i}").as_bytes());
        }
        // Two that list, one begun before the new name and one after, turn by turn.
        let open = || s.open(b"d", OpenFlags::DIRECTORY, 0).unwrap();
        let (old, older) = (open(), open());
        s.getdents(older).unwrap();
        touch(s, b"d/new");
        let young = open();
        loop {
            let left = [young, old, older].map(|fd| s.getdents(fd).unwrap().len());
            if left == [0; 3] {
                break;
            }
        }
        for fd in [old, older, young] {
            s.close(fd).unwrap();
        }
        for _ in 0..2 {
            let all = names(s, b"d");
            assert_eq!(all.len(), MANY + 1);
            assert!(all.contains(&b"new".to_vec()));
        }
    }
}

/// Makes and renames two names as others do at the same time. Any outcome of one call will do
/// that fits the name having come or gone.
fn race(s: &dyn Subject, number: usize) {
    for _ in 0..150 {
        if number.is_multiple_of(2) {
            match s.open(b"rename.test1", MAKE, 0o644) {
                Ok(fd) => s.close(fd).unwrap(),
                Err(errno) => assert_eq!(errno, Errno::ENOENT),
            }
        } else {
            let answer = s.rename(b"rename.test1", b"rename.test2", PLAIN);
            assert!(matches!(answer, Ok(()) | Err(Errno::ENOENT)), "{answer:?}");
        }
    }
}

fn race_dirs(s: &dyn Subject, number: usize) {
    for _ in 0..150 {
        let answer = match number {
            0 => s.mkdir(b"a", 0o755),
            1 => s.rmdir(b"a"),
            _ => s.rename(b"a", b"b", PLAIN),
        };
        let fits = matches!(answer, Ok(()) | Err(Errno::ENOENT | Errno::EEXIST));
        assert!(fits, "{answer:?}");
    }
}

/// Another process of the same user.
trait AsSame {
    fn as_same(&self) -> Box<dyn Subject>;
}

impl AsSame for dyn Subject + '_ {
    fn as_same(&self) -> Box<dyn Subject> {
        self.as_user(0, 0, &[])
    }
}
