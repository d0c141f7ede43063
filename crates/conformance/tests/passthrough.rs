//! Data that the kernel reads and writes by itself, in a file of the host.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

mod stacks;

use conformance::os::{OsProcess, TempDir, map_of, mapped};
use conformance::{Abilities, Subject};
use filofs::{FileSystem, Identity, Mount, Op, OpenFlags, Stack};
use filofs_bases::dir::{Dir, DirOptions};
use filofs_front::fuse::{FuseOptions, Passthrough, Session};
use stacks::{Front, built, possible, served};
use std::fs::{self, File};
use std::io::{Read, Seek, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

const BIG: usize = 300_000;

/// Whether a file server has the directory: all of this is also the other test program's.
const SERVED: bool = env!("CARGO_CRATE_NAME").len() > "passthrough".len();

/// A directory of the host, mounted. Taken away when it is dropped.
struct On {
    session: Session,
    point: TempDir,
    below: PathBuf,
}

impl On {
    fn new(below: &Path, layers: &str, options: FuseOptions) -> On {
        let dir = Dir::open(below, DirOptions::default()).unwrap();
        let base: Arc<dyn FileSystem> = if SERVED { served(Arc::new(dir)) } else { Arc::new(dir) };
        let stack = Stack::new(base, built(layers)).unwrap();
        let point = TempDir::new();
        let shown = point.path().display().to_string();
        let identity = Identity::new(&stack.describe(), "filo", &shown).unwrap();
        let mount = Arc::new(Mount::new(stack, identity).unwrap());
        let options = FuseOptions { allow_other: true, nosuid: false, ..options };
        let session = Session::start(mount, point.path(), &options).unwrap();
        On { session, point, below: below.to_owned() }
    }

    fn plain(below: &TempDir) -> On {
        On::new(below.path(), "", FuseOptions::default())
    }

    fn above(&self, name: &str) -> PathBuf {
        self.point.path().join(name)
    }

    fn below(&self, name: &str) -> PathBuf {
        self.below.join(name)
    }

    /// How many reads and writes of data came to us.
    fn asked(&self) -> (u64, u64) {
        let counters = self.session.mount().counters();
        (counters.calls(Op::Read), counters.calls(Op::Write))
    }

    fn user(&self, uid: u32) -> Box<dyn Subject> {
        OsProcess::new(self.point.path(), Abilities::KERNEL).as_user(uid, uid, &[])
    }

    /// Writes and reads a file; whether the data passed.
    fn passes(&self) -> bool {
        let before = self.asked();
        let data = pattern();
        fs::write(self.above("probe"), &data).unwrap();
        assert!(fs::read(self.above("probe")).unwrap() == data);
        assert!(fs::read(self.below("probe")).unwrap() == data);
        let (reads, writes) = self.asked();
        let came = (reads > before.0, writes > before.1);
        assert_eq!(came.0, came.1, "either all comes to us or nothing");
        !came.0
    }
}

impl Drop for On {
    fn drop(&mut self) {
        let _ = self.session.unmount(true);
        self.session.wait();
    }
}

fn pattern() -> Vec<u8> {
    (0..BIG).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect()
}

fn rw(path: &Path) -> File {
    File::options().read(true).write(true).open(path).unwrap()
}

#[test]
fn data_goes_past_us_in_every_way_there_is() {
    if !possible(Front::Fuse) {
        return;
    }
    for layers in ["", "null null"] {
        let below = TempDir::new();
        let on = On::new(below.path(), layers, FuseOptions::default());
        let data = pattern();
        // A file that is made, and one that is there.
        fs::write(on.above("made"), &data).unwrap();
        assert!(fs::read(on.below("made")).unwrap() == data);
        fs::write(on.below("there"), &data).unwrap();
        assert!(fs::read(on.above("there")).unwrap() == data);
        let file = rw(&on.above("there"));
        let same = || {
            let (above, below) = (file.metadata().unwrap(), on.below("there").metadata().unwrap());
            assert_eq!(above.len(), below.len());
            let times = |m: &fs::Metadata| (m.mtime(), m.mtime_nsec());
            assert_eq!(times(&above), times(&below));
        };
        file.write_all_at(b"written", 5).unwrap();
        same();
        let mut bytes = [0; 7];
        file.read_exact_at(&mut bytes, 5).unwrap();
        assert_eq!(&bytes, b"written");
        // Beyond the end, and back.
        file.write_all_at(b"tail", BIG as u64 + 100).unwrap();
        same();
        assert_eq!(file.metadata().unwrap().len(), BIG as u64 + 104);
        file.set_len(1000).unwrap();
        same();
        assert_eq!(fs::read(on.above("there")).unwrap().len(), 1000);
        // Shared mappings, both ways.
        file.set_len(8192).unwrap();
        mapped(&on.above("there"), 8192, |map| {
            map[4096] = 0x5a;
            assert_eq!(fs::read(on.below("there")).unwrap()[4096], 0x5a);
            rw(&on.below("there")).write_all_at(b"from below", 5000).unwrap();
            assert_eq!(&map[5000..5010], b"from below");
            file.write_all_at(b"by a write", 6000).unwrap();
            assert_eq!(&map[6000..6010], b"by a write");
        });
        // What others change below is seen.
        rw(&on.below("there")).write_all_at(b"changed", 0).unwrap();
        file.read_exact_at(&mut bytes, 0).unwrap();
        assert_eq!(&bytes, b"changed");
        // splice(2) and sendfile(2), as copying through a pipe and to a socket does.
        let (ours, mut theirs) = std::os::unix::net::UnixStream::pair().unwrap();
        let sent = rustix::fs::sendfile(&ours, &file, Some(&mut 0), 8192).unwrap();
        let mut got = vec![0; sent];
        theirs.read_exact(&mut got).unwrap();
        assert!(got == fs::read(on.below("there")).unwrap()[..sent]);
        let (from, to) = rustix::pipe::pipe().unwrap();
        let flags = rustix::pipe::SpliceFlags::empty();
        let n = rustix::pipe::splice(&file, Some(&mut 0), &to, None, 4096, flags).unwrap();
        let mut at = 20_000;
        let m = rustix::pipe::splice(&from, None, &file, Some(&mut at), n, flags).unwrap();
        assert_eq!((m, at), (n, 20_000 + n as u64));
        same();
        // A program.
        let mut program = fs::read("/bin/true").unwrap();
        program.resize(BIG.max(program.len()), 0);
        fs::write(on.above("true"), program).unwrap();
        fs::set_permissions(on.above("true"), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(on.asked(), (0, 0), "[{layers}]");
        assert!(Command::new(on.above("true")).status().unwrap().success());
        // A server leaves programs alone that nobody wants to write.
        assert_eq!(on.asked() == (0, 0), !SERVED, "[{layers}]");
        // What still comes to us, beside it.
        file.sync_all().unwrap();
        let counters = on.session.mount().counters();
        assert!(counters.calls(Op::Fsync) > 0 && counters.calls(Op::Getattr) > 0);
    }
}

#[test]
fn direct_io_of_the_caller_passes() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    fs::write(on.below("f"), pattern()).unwrap();
    const O_DIRECT: i32 = rustix::fs::OFlags::DIRECT.bits() as i32;
    let Ok(_) = File::options().read(true).custom_flags(O_DIRECT).open(on.below("f")) else {
        return; // the host's file system has none
    };
    let file = File::options().read(true).custom_flags(O_DIRECT).open(on.above("f")).unwrap();
    let mut room = vec![0_u8; 8192 + 4096];
    let start = room.as_ptr().addr().wrapping_neg() % 4096;
    let window = &mut room[start..start + 8192];
    assert_eq!(file.read_at(window, 4096).unwrap(), 8192);
    assert!(*window == pattern()[4096..4096 + 8192]);
    assert_eq!(on.asked(), (0, 0));
}

#[test]
fn appending_is_ours() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    fs::write(on.below("log"), b"begin").unwrap();
    let mut log = File::options().append(true).open(on.above("log")).unwrap();
    let reader = File::open(on.above("log")).unwrap();
    for n in 0..10 {
        log.write_all(format!(" {n}").as_bytes()).unwrap();
        rw(&on.below("log")).write_all_at(b"B", 0).unwrap();
    }
    let mut text = String::new();
    (&reader).read_to_string(&mut text).unwrap();
    assert_eq!(text, "Begin 0 1 2 3 4 5 6 7 8 9");
    conformance::os::stop_appending(&log);
    log.seek(std::io::SeekFrom::Start(0)).unwrap();
    log.write_all(b"b").unwrap();
    assert_eq!(fs::read_to_string(on.below("log")).unwrap(), "begin 0 1 2 3 4 5 6 7 8 9");
    assert_eq!(on.asked(), (0, 11), "the reader passes beside it");
}

/// Opens of one file, of which each must work whatever the others are.
#[test]
fn opens_of_one_file_agree_on_a_mode() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    let name = on.above("f");
    let check = |files: &[&File]| {
        for (n, file) in files.iter().enumerate() {
            let mut byte = [0];
            file.read_exact_at(&mut byte, 0).unwrap_or_else(|e| panic!("open {n}: {e}"));
            assert_eq!(byte, *b"x");
        }
    };
    let fresh = || {
        let _ = fs::remove_file(&name);
        fs::write(on.below("f"), b"xyz").unwrap();
        rw(&on.below("f")).set_len(BIG as u64).unwrap();
    };
    // A reader and then a writer; a writer and then a reader.
    fresh();
    let (reader, writer) = (File::open(&name).unwrap(), rw(&name));
    writer.write_all_at(b"xY", 0).unwrap();
    check(&[&reader, &writer]);
    drop((reader, writer));
    let (writer, reader) = (rw(&name), File::open(&name).unwrap());
    writer.write_all_at(b"xy", 0).unwrap();
    check(&[&reader, &writer]);
    drop((reader, writer));
    assert_eq!(on.asked(), (0, 0));
    // One that is too small to pass for a reader, and then a writer.
    let small = on.above("small");
    fs::write(on.below("small"), b"").unwrap();
    let first = File::open(&small).unwrap();
    let second = rw(&small);
    second.write_all_at(b"x", 0).unwrap();
    check(&[&first, &second]);
    drop((first, second));
    assert!(on.asked().1 > 0);
    // A set-id program that is open; and a file that becomes one while it is open.
    fresh();
    fs::set_permissions(on.below("f"), fs::Permissions::from_mode(0o4755)).unwrap();
    let (first, second) = (File::open(&name).unwrap(), rw(&name));
    fs::set_permissions(&name, fs::Permissions::from_mode(0o755)).unwrap();
    let third = File::open(&name).unwrap();
    check(&[&first, &second, &third]);
    drop((first, second, third));
    fresh();
    let first = File::open(&name).unwrap();
    fs::set_permissions(&name, fs::Permissions::from_mode(0o4755)).unwrap();
    let (second, third) = (rw(&name), File::open(&name).unwrap());
    second.write_all_at(b"x", 0).unwrap();
    check(&[&first, &second, &third]);
    mapped(&name, 1, |map| assert_eq!(map[0], b'x'));
}

/// A file that is made passes if the ones before became large.
#[test]
fn small_files_that_are_made_come_to_us() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    let write = |n: usize, data: &[u8]| {
        let before = on.asked().1;
        fs::write(on.above(&format!("{}-{n}", data.len())), data).unwrap();
        // A close is told after it has returned.
        let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
        while !on.session.mount().opens().is_empty() {
            assert!(std::time::Instant::now() < end, "never released");
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        on.asked().1 == before
    };
    let small: Vec<bool> = (0..6).map(|n| write(n, b"small")).collect();
    assert!(small[0] && !small[4] && !small[5], "{small:?}");
    let large: Vec<bool> = (0..6).map(|n| write(n, &pattern())).collect();
    assert!(!large[0] && large[4] && large[5], "{large:?}");
}

#[test]
fn a_mapping_outlives_the_descriptor_and_the_name() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    fs::write(on.above("f"), pattern()).unwrap();
    mapped(&on.above("f"), 4096, |map| {
        // Comes and goes beside it.
        let other = rw(&on.above("f"));
        fs::rename(on.above("f"), on.above("g")).unwrap();
        fs::remove_file(on.above("g")).unwrap();
        map[0] = 7;
        let mut byte = [0];
        other.read_exact_at(&mut byte, 0).unwrap();
        assert_eq!(byte, [7]);
        other.write_all_at(&[8], 0).unwrap();
        assert_eq!(map[0], 8);
        assert_eq!(other.metadata().unwrap().nlink(), 0);
    });
    assert_eq!(on.asked(), (0, 0));
}

#[test]
fn a_mapping_that_nobody_has_open_and_a_later_open_are_one_file() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    // Smaller than what passes for a reader alone.
    fs::write(on.below("f"), vec![1; 32 << 10]).unwrap();
    let read = |path: &Path| fs::read(path).unwrap()[0];
    mapped(&on.above("f"), 4096, |map| {
        for byte in 2..6 {
            map[0] = byte;
            assert_eq!((read(&on.above("f")), read(&on.below("f"))), (byte, byte));
            rw(&on.above("f")).write_all_at(&[byte + 100], 0).unwrap();
            assert_eq!(map[0], byte + 100);
        }
    });
}

#[test]
fn what_may_only_be_appended_to_is_not_stored_into() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    fs::write(on.below("log"), vec![b'1'; 200_000]).unwrap();
    let chattr = |change| {
        let done = Command::new("chattr").arg(change).arg(on.below("log")).status().unwrap();
        done.success()
    };
    if !chattr("+a") {
        println!("skipped: the file system of {:?} has no such attribute", below.path());
        return;
    }
    let log = File::options().read(true).append(true).open(on.above("log")).unwrap();
    // A store may be refused at once, or when it is written back.
    let _ = map_of(&log, 4096, |map| map[0] = b'2');
    let kept = fs::read(on.below("log")).unwrap();
    assert!(chattr("-a"));
    assert!(kept.len() == 200_000 && kept.iter().all(|byte| *byte == b'1'), "{}", kept.len());
}

/// Who may pass is settled by what the stack does and by what was asked for.
#[test]
fn what_keeps_data_from_passing() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let auto = FuseOptions::default;
    let cases = [
        ("", auto(), true),
        ("null", auto(), true),
        ("trace", auto(), false),
        ("", FuseOptions { passthrough: Passthrough::On, ..auto() }, true),
        ("", FuseOptions { passthrough: Passthrough::Off, ..auto() }, false),
        ("", FuseOptions { writeback: Some(true), ..auto() }, false),
        ("", FuseOptions { direct_io: true, ..auto() }, false),
        ("", FuseOptions { noatime: true, ..auto() }, false),
        ("", FuseOptions { kernel_cache: true, ..auto() }, true),
    ];
    for (layers, options, passes) in cases {
        let shown = format!("[{layers}] {options:?}");
        let on = On::new(below.path(), layers, options);
        assert_eq!(on.passes(), passes, "{shown}");
    }
    // A guard that refuses writes is not in the way of reads.
    fs::write(below.path().join("f"), pattern()).unwrap();
    let on = On::new(below.path(), "readonly", auto());
    assert!(fs::read(on.above("f")).unwrap() == pattern());
    assert_eq!(on.asked(), (0, 0));
    assert!(File::options().write(true).open(on.above("f")).is_err());
}

#[test]
fn an_older_page_is_not_shown_after_a_passed_write() {
    // A close that a server has yet to hear of keeps the mode.
    if SERVED || !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let options = FuseOptions { kernel_cache: true, ..FuseOptions::default() };
    let on = On::new(below.path(), "", options);
    // Cached while it may not pass, passed, and cached again.
    let mode = |bits| fs::set_permissions(on.above("f"), fs::Permissions::from_mode(bits)).unwrap();
    fs::write(on.above("f"), b"old").unwrap();
    mode(0o4755);
    assert_eq!(fs::read(on.above("f")).unwrap(), b"old");
    let reads = on.asked().0;
    assert!(reads > 0);
    mode(0o755);
    mapped(&on.above("f"), 3, |map| map.copy_from_slice(b"new"));
    assert_eq!(on.asked().0, reads, "passed");
    mode(0o4755);
    assert_eq!(fs::read(on.above("f")).unwrap(), b"new");
    assert!(on.asked().0 > reads);
}

#[test]
fn files_by_the_thousand_come_and_go() {
    if !possible(Front::Fuse) {
        return;
    }
    // More than the kernel is asked to remember at once.
    const MANY: usize = 5000;
    let below = TempDir::new();
    for n in 0..MANY {
        let path = below.path().join(n.to_string());
        fs::write(&path, format!("{n:8}")).unwrap();
        rw(&path).set_len(BIG as u64).unwrap();
    }
    let on = On::plain(&below);
    for round in 0..2 {
        for n in 0..MANY {
            let mut text = [0; 8];
            let file = File::open(on.above(&n.to_string())).unwrap();
            file.read_exact_at(&mut text, 0).unwrap();
            assert_eq!(text, format!("{n:8}").as_bytes(), "round {round}");
        }
    }
    assert_eq!(on.asked(), (0, 0));
    assert!(on.session.passthrough().is_some_and(|files| (1..=4200).contains(&files)));
    // What is forgotten is let go: the space of a removed file comes back, and its number.
    for n in 0..MANY {
        fs::remove_file(on.above(&n.to_string())).unwrap();
    }
    let end = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while on.session.passthrough() != Some(0) {
        assert!(std::time::Instant::now() < end, "{:?} are left", on.session.passthrough());
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// A write of one byte by somebody else to a set-user-id program of root's that everybody may
/// write: afterwards it must be none, below and above, as it is without us.
#[test]
fn set_id_bits_go_with_a_write() {
    if !possible(Front::Fuse) {
        return;
    }
    for passthrough in [Passthrough::On, Passthrough::Off] {
        for chmod_when_open in [false, true] {
            for mapped_capability in [false, true] {
                let below = TempDir::new();
                let options = FuseOptions { passthrough, ..FuseOptions::default() };
                let on = On::new(below.path(), "", options);
                let shown = format!("{passthrough:?}, chmod when open: {chmod_when_open}");
                fs::write(on.below("p"), pattern()).unwrap();
                let set = |bits| {
                    fs::set_permissions(on.above("p"), fs::Permissions::from_mode(bits)).unwrap();
                };
                let mode = |path: PathBuf| fs::metadata(path).unwrap().mode() & 0o7777;
                set(if chmod_when_open { 0o777 } else { 0o6777 });
                let user = on.user(1000);
                let fd = user.open(b"p", OpenFlags::RDWR, 0).unwrap();
                if chmod_when_open {
                    set(0o6777);
                }
                assert_eq!(mode(on.above("p")), 0o6777);
                if mapped_capability {
                    // security.capability, version 2: CAP_NET_RAW.
                    let value = [1, 0, 0, 2, 0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
                    let flags = rustix::fs::XattrFlags::empty();
                    let path = on.above("p");
                    rustix::fs::setxattr(&path, c"security.capability", &value, flags).unwrap();
                }
                assert_eq!(user.pwrite(fd, b"x", 0), Ok(1));
                assert_eq!(mode(on.below("p")), 0o777, "below; {shown}");
                assert_eq!(mode(on.above("p")), 0o777, "above; {shown}");
                for path in [on.below("p"), on.above("p")] {
                    let found =
                        rustix::fs::getxattr(&path, c"security.capability", &mut [0_u8; 64][..]);
                    assert_eq!(found, Err(rustix::io::Errno::NODATA), "{shown}");
                }
                user.close(fd).unwrap();
            }
        }
    }
}

#[test]
fn who_may_only_read_or_write_is_not_asked_either() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    for (name, bits, flags) in [
        ("read", 0o604, OpenFlags::RDONLY),
        ("written", 0o602, OpenFlags::WRONLY),
        ("both", 0o606, OpenFlags::RDWR),
    ] {
        fs::write(on.below(name), pattern()).unwrap();
        fs::set_permissions(on.below(name), fs::Permissions::from_mode(bits)).unwrap();
        let user = on.user(1000);
        let fd = user.open(name.as_bytes(), flags, 0).unwrap();
        if flags.reads() {
            let mut bytes = [0; 100];
            assert_eq!(user.pread(fd, &mut bytes, 7), Ok(100));
            assert_eq!(bytes, pattern()[7..107]);
        }
        if flags.writes() {
            assert_eq!(user.pwrite(fd, b"written", 50), Ok(7));
            assert_eq!(&fs::read(on.below(name)).unwrap()[50..57], b"written");
        }
        user.close(fd).unwrap();
    }
    assert_eq!(on.asked(), (0, 0));
}

#[test]
fn what_is_written_takes_nobodys_privileges() {
    if !possible(Front::Fuse) {
        return;
    }
    let below = TempDir::new();
    let on = On::plain(&below);
    fs::write(on.below("f"), pattern()).unwrap();
    fs::set_permissions(on.below("f"), fs::Permissions::from_mode(0o666)).unwrap();
    // The limit of the writer's file sizes is the writer's.
    let script = "ulimit -f 1000; trap '' XFSZ; printf x | dd of=\"$1\" bs=1 seek=600000 2>&1; \
                  printf y | dd of=\"$1\" bs=1 conv=notrunc 2>/dev/null && echo small";
    let output = Command::new("sh").args(["-c", script, "sh"]).arg(on.above("f")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(text.contains("File too large") && text.ends_with("small\n"), "{text}");
    assert_eq!(on.asked(), (0, 0));
}

/// File systems of the host that stand on others.
#[test]
fn stacked_file_systems_below() {
    if !possible(Front::Fuse) {
        return;
    }
    let place = TempDir::new();
    let dir = |name: &str| {
        let path = place.path().join(name);
        fs::create_dir(&path).unwrap();
        path
    };
    // tmpfs.
    let tmpfs = Over::mount(&dir("tmpfs"), &["-t", "tmpfs", "filo-test"]).unwrap();
    assert!(On::new(&tmpfs.0, "", FuseOptions::default()).passes());
    // overlayfs upon it.
    for name in ["lower", "upper", "work"] {
        fs::create_dir(tmpfs.0.join(name)).unwrap();
    }
    let at = tmpfs.0.display();
    let how = format!("lowerdir={at}/lower,upperdir={at}/upper,workdir={at}/work");
    if let Some(overlay) = Over::mount(&dir("over"), &["-t", "overlay", "filo-test", "-o", &how]) {
        // Of servers no files of such are taken.
        assert_eq!(On::new(&overlay.0, "", FuseOptions::default()).passes(), !SERVED);
    }
    // Ourselves, once and twice: the second finds no further step allowed.
    fs::create_dir(tmpfs.0.join("in")).unwrap();
    let first = On::new(&tmpfs.0.join("in"), "", FuseOptions::default());
    let second = On::new(first.point.path(), "", FuseOptions::default());
    let third = On::new(second.point.path(), "", FuseOptions::default());
    assert_eq!(second.passes(), !SERVED);
    assert!(!third.passes());
    drop(third);
    drop(second);
}

/// Something mounted by mount(8), unmounted when it is dropped.
struct Over(PathBuf);

impl Over {
    /// `None` where this machine has no such file system.
    fn mount(at: &Path, how: &[&str]) -> Option<Over> {
        let done = Command::new("mount").args(how).arg(at).status().unwrap();
        done.success().then(|| Over(at.to_owned()))
    }
}

impl Drop for Over {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}
