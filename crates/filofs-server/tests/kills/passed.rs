//! Files that the kernel reads, writes and maps by itself, when their server dies.

use crate::ground::{has_fuse, wait_until};
use crate::mounted::{Mounted, settings};
use conformance::os::{map_of, may_become_users};
use filofs::Errno;
use filofs_server::kernel::OnExit;
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::atomic::Ordering;

const LEN: usize = 300_000;

/// Whether the kernel takes files: it does so from root.
fn can_pass() -> bool {
    has_fuse() && may_become_users()
}

fn data() -> Vec<u8> {
    (0..LEN).map(|n| (n.wrapping_mul(31) >> 3) as u8).collect()
}

fn rw(mounted: &Mounted, name: &str) -> File {
    File::options().read(true).write(true).open(mounted.at.join(name)).unwrap()
}

fn is_read(file: &File, want: &[u8]) {
    let mut bytes = vec![0; want.len()];
    file.read_exact_at(&mut bytes, 0).unwrap();
    assert!(bytes == want);
}

/// A file that is made, and one that is there, and nothing of either comes to us.
fn passes(mounted: &Mounted) {
    let before = mounted.asked();
    fs::write(mounted.at.join("made"), data()).unwrap();
    assert!(fs::read(mounted.source.join("made")).unwrap() == data());
    fs::write(mounted.source.join("there"), data()).unwrap();
    let file = File::open(mounted.at.join("there")).unwrap();
    is_read(&file, &data());
    assert_eq!(mounted.passthrough(), Some(1));
    drop(file);
    assert_eq!(mounted.asked(), before);
}

/// What is open goes on while the server is away, and with the next one what is opened passes too.
pub fn what_is_open_outlives_its_server() {
    if !can_pass() {
        return;
    }
    let mounted = Mounted::new(&settings(OnExit::Restart));
    passes(&mounted);
    let (before, starts) = (mounted.asked(), mounted.lives.starts());
    let old = rw(&mounted, "there");
    // Before the first write Linux asks for security.capability.
    old.write_all_at(&data()[..1], 0).unwrap();
    map_of(&old, LEN, |map| {
        mounted.lives.broken.store(true, Ordering::SeqCst);
        kill(&mounted);
        is_read(&old, &data());
        old.write_all_at(b"written", 5).unwrap();
        assert_eq!(&map[5..12], b"written");
        map[LEN - 1] = b'!';
        mounted.lives.broken.store(false, Ordering::SeqCst);
    })
    .unwrap();
    wait_until("it is started again", &[], || mounted.lives.starts() > starts);
    let below = fs::read(mounted.source.join("there")).unwrap();
    assert_eq!((&below[5..12], below[LEN - 1]), (&b"written"[..], b'!'));
    // One file, and one that the kernel knows.
    let new = rw(&mounted, "there");
    new.write_all_at(b"again", 100).unwrap();
    let mut bytes = [0; 5];
    old.read_exact_at(&mut bytes, 100).unwrap();
    assert_eq!((&bytes, mounted.passthrough()), (b"again", Some(1)));
    drop((old, new));
    wait_until("it is let go", &[], || mounted.passthrough() == Some(0));
    let again = rw(&mounted, "there");
    again.read_exact_at(&mut bytes, 100).unwrap();
    assert_eq!((&bytes, mounted.passthrough()), (b"again", Some(1)));
    assert_eq!(mounted.asked(), before);
    assert_eq!(mounted.lies(), 0);
    drop(again);
    mounted.end();
}

/// Where the server does not return, what is open goes on all the same, and nothing is opened.
pub fn what_is_open_stays_where_the_server_does_not_return() {
    if !can_pass() {
        return;
    }
    let mounted = Mounted::new(&settings(OnExit::Fail));
    passes(&mounted);
    let (before, old) = (mounted.asked(), rw(&mounted, "there"));
    kill(&mounted);
    is_read(&old, &data());
    old.write_all_at(b"written", 5).unwrap();
    assert_eq!(&fs::read(mounted.source.join("there")).unwrap()[5..12], b"written");
    let refused = File::open(mounted.at.join("there")).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(Errno::EIO.raw()));
    assert_eq!(mounted.asked(), before);
    drop(old);
    mounted.end();
}

/// Descriptors go through every sandbox there is.
pub fn a_server_in_its_box_gives_files_too() {
    if !can_pass() {
        return;
    }
    for sandbox in ["strict", "loose", "off"] {
        let mounted = Mounted::commanded(sandbox);
        passes(&mounted);
        mounted.end();
    }
}

/// Kills the server, and waits until it is gone.
fn kill(mounted: &Mounted) {
    let process = format!("/proc/{}", mounted.lives.pid());
    mounted.lives.kill();
    wait_until("it ends", &[], || !Path::new(&process).exists());
}
