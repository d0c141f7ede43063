//! The same through Linux: a mount of its own over a server that a test plays.

use crate::script::{Played, Said, Script};
use filofs::Errno;
use filofs_front::fuse::{FuseOptions, MountError, Session};
use filofs_wire::abi::Opcode;
use filofs_wire::call;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// A mount point, unmounted and removed in the end.
struct Point {
    path: PathBuf,
    session: Option<Session>,
}

impl Point {
    /// `None`, said, where this machine cannot mount.
    fn over(played: &Played) -> Option<Point> {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let root = rustix::process::geteuid().is_root();
        if !root || !std::path::Path::new("/dev/fuse").exists() {
            let required = std::env::var_os("FILO_REQUIRE").is_some_and(|v| v == "1");
            assert!(!required, "this needs root and /dev/fuse");
            println!("skipped: this needs root and /dev/fuse");
            return None;
        }
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        let path = format!("filo-core-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(path);
        std::fs::create_dir(&path).unwrap();
        let mut point = Point { path, session: None };
        let options = FuseOptions::default();
        let session = Session::start(played.mount.clone(), &point.path, &options);
        point.session = Some(session.unwrap());
        Some(point)
    }

    fn session(&self) -> &Session {
        self.session.as_ref().unwrap()
    }

    /// Unmounts; what Linux is still busy with is waited for.
    fn unmount(&self) -> Result<(), MountError> {
        let deadline = Instant::now() + crate::script::FOREVER;
        loop {
            match self.session().unmount(false) {
                Err(MountError::Busy { .. }) if Instant::now() < deadline => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                answer => return answer,
            }
        }
    }
}

impl Drop for Point {
    fn drop(&mut self) {
        drop(self.session.take());
        let _ = std::fs::remove_dir(&self.path);
    }
}

#[test]
fn a_refused_unmount_leaves_the_mount_in_use() {
    // A52-A54: the server's word is what whoever unmounts hears.
    let refuses = Arc::new(AtomicBool::new(true));
    let word = refuses.clone();
    let played = Script::new()
        .on(Opcode::Unmount, move |_, _| {
            if word.load(Ordering::SeqCst) { Said::no(Errno::EPERM) } else { Said::ok() }
        })
        .mounting();
    let Some(point) = Point::over(&played) else { return };
    let size = || std::fs::metadata(point.path.join("f")).map(|meta| meta.len());
    assert_eq!(size().unwrap(), 100);
    assert_eq!(point.unmount(), Err(MountError::FileSystem { errno: Errno::EPERM }));
    assert_eq!(size().unwrap(), 100);
    refuses.store(false, Ordering::SeqCst);
    point.unmount().unwrap();
    point.session().wait();
    assert!(played.wire.count(Opcode::Unmount) >= 2);
    assert_eq!(played.kernel.lies(), 0);
}

#[test]
fn a_server_that_asks_to_go_is_unmounted_from_linux() {
    // A65: the answer, then the mount goes, and everything open with it.
    let played = Script::new().mounting();
    let Some(point) = Point::over(&played) else { return };
    assert!(std::fs::metadata(point.path.join("f")).is_ok());
    assert_eq!(played.wire.call(1, call::unmount(Some(1)).as_bytes()), Ok(vec![]));
    point.session().wait();
    assert!(std::fs::metadata(point.path.join("f")).is_err());
    let question = played.wire.wait_for(Opcode::Unmount);
    assert_eq!(question.body, [1u32, 0].map(u32::to_ne_bytes).concat());
}

#[test]
fn kill9_server_unmounts() {
    // A64: the channel's end is the mount's.
    let played = Script::new().mounting();
    let Some(point) = Point::over(&played) else { return };
    assert!(std::fs::metadata(point.path.join("f")).is_ok());
    played.wire.die();
    point.session().wait();
    let gone = std::fs::metadata(point.path.join("f")).unwrap_err();
    assert_eq!(gone.kind(), std::io::ErrorKind::NotFound);
}

#[test]
fn a_flush_reaches_linux() {
    // C.9: what the server says is forgotten is asked again, although it was to be believed.
    let sizes = Arc::new(AtomicU32::new(100));
    let size = sizes.clone();
    let played = Script::new()
        .on(Opcode::Getattr, move |request, _| {
            let mut attr = crate::script::attr(request.header.nodeid);
            if request.header.nodeid == crate::script::FILE {
                attr.size = u64::from(size.load(Ordering::SeqCst));
            }
            let out = filofs_wire::abi::AttrOut { attr, attr_valid: 3600, ..Default::default() };
            Said::one(&out)
        })
        .mounting();
    let Some(point) = Point::over(&played) else { return };
    let file = std::fs::File::open(point.path.join("f")).unwrap();
    assert_eq!(file.metadata().unwrap().len(), 100);
    sizes.store(50, Ordering::SeqCst);
    assert_eq!(file.metadata().unwrap().len(), 100, "it was to be believed for an hour");
    let forget = filofs_wire::abi::FlushCall {
        nodeid: crate::script::FILE,
        what: filofs_wire::abi::FlushWhat::ForgetData as u32,
        ..Default::default()
    };
    let answer = played.wire.call(1, call::flush(Some(1), forget).as_bytes());
    assert_eq!(answer, Ok(vec![]));
    assert_eq!(file.metadata().unwrap().len(), 50);
}
