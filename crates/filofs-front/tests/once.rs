//! How often the kernel asks: for what a file system does not have once, and for a stat once.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use filofs::Mount;
use filofs_front::fuse::{FuseOptions, Session};
use rustix::fs::{AtFlags, CWD, StatxFlags, XattrFlags, statx};
use std::sync::Arc;
use support::constants::Constants;
use support::{FOREVER, Place, can_mount};

#[test]
fn a_missing_operation_is_asked_for_once() {
    if !can_mount() {
        return;
    }
    let place = Place::new("once");
    let mount = Arc::new(Mount::of(Constants::default(), "").unwrap());
    let session = Session::start(mount, &place.0, &FuseOptions::default()).unwrap();
    let file = place.join("file");
    let asks = || {
        let before = session.report().served;
        let none = rustix::io::Errno::OPNOTSUPP;
        let mut value = [0u8; 100];
        assert_eq!(rustix::fs::getxattr(&file, c"user.a", &mut value), Err(none));
        assert_eq!(rustix::fs::listxattr(&file, &mut value), Err(none));
        let set = rustix::fs::setxattr(&file, c"user.a", b"v", XattrFlags::empty());
        assert_eq!(set, Err(none));
        session.report().served - before
    };
    assert!(asks() >= 3);
    assert_eq!(asks(), 0);
}

#[test]
fn one_stat_is_one_request() {
    if !can_mount() {
        return;
    }
    let place = Place::new("stat");
    let mount = Arc::new(Mount::of(Constants::default(), "").unwrap());
    let options = FuseOptions { entry_timeout: Some(FOREVER), ..FuseOptions::default() };
    let session = Session::start(mount, &place.0, &options).unwrap();
    let file = place.join("file");
    std::fs::metadata(&file).unwrap();
    for mask in [StatxFlags::BASIC_STATS, StatxFlags::BASIC_STATS | StatxFlags::BTIME] {
        let before = session.report().served;
        statx(CWD, &file, AtFlags::STATX_FORCE_SYNC, mask).unwrap();
        assert_eq!(session.report().served - before, 1, "{mask:?}");
    }
}
