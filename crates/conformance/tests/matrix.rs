//! The list of checks over bases, layers and front ends. Each cell is a test and reports itself.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

mod stacks;

use conformance::run::{Shared, run};
use conformance::{Abilities, checks};
use filofs_bases::mem::Settings;
use stacks::{Base, Front, LAYERS, Mounted, built, possible};

fn cell(base: Base, layers: &str, front: Front) {
    let label = format!("{base:?} x [{layers}] x {front:?}");
    let Some(mounted) = Mounted::new(base, layers, front) else { return };
    let list = checks::all().filter(|check| !check.needs.contains(Abilities::SMALL));
    let report = run(list, &*mounted.ground(), &[]);
    mounted.end();
    report.settle(&label);
}

macro_rules! cells {
    ($($name:ident: $base:ident, $layers:expr, $front:ident;)*) => {$(
        #[test]
        fn $name() {
            cell(Base::$base, LAYERS[$layers], Front::$front);
        }
    )*};
}

cells! {
    mem_local: Mem, 0, Local;
    mem_null_local: Mem, 1, Local;
    mem_three_nulls_local: Mem, 2, Local;
    mem_trace_local: Mem, 3, Local;
    dir_local: Dir, 0, Local;
    dir_null_local: Dir, 1, Local;
    dir_three_nulls_local: Dir, 2, Local;
    dir_trace_local: Dir, 3, Local;
    mem_idmap_local: Mem, 4, Local;
    dir_idmap_local: Dir, 4, Local;
    mem_fuse: Mem, 0, Fuse;
    mem_null_fuse: Mem, 1, Fuse;
    mem_three_nulls_fuse: Mem, 2, Fuse;
    mem_trace_fuse: Mem, 3, Fuse;
    dir_fuse: Dir, 0, Fuse;
    dir_fuse_asked: Dir, 0, FuseAsked;
    dir_null_fuse: Dir, 1, Fuse;
    dir_three_nulls_fuse: Dir, 2, Fuse;
    dir_trace_fuse: Dir, 3, Fuse;
    mem_idmap_fuse: Mem, 4, Fuse;
    dir_idmap_fuse: Dir, 4, Fuse;
    mem_server_local: MemServer, 0, Local;
    mem_server_null_local: MemServer, 1, Local;
    mem_server_fuse: MemServer, 0, Fuse;
    mem_server_null_fuse: MemServer, 1, Fuse;
    dir_server_local: DirServer, 0, Local;
    dir_server_null_local: DirServer, 1, Local;
    dir_server_fuse: DirServer, 0, Fuse;
    dir_server_null_fuse: DirServer, 1, Fuse;
    dir_server_idmap_fuse: DirServer, 4, Fuse;
    mem_ring: Mem, 0, Ring;
    mem_null_ring: Mem, 1, Ring;
    dir_ring: Dir, 0, Ring;
    dir_trace_ring: Dir, 3, Ring;
    dir_server_ring: DirServer, 0, Ring;
}

/// A file system that can be filled up: only `mem` is small enough.
#[test]
fn a_small_mem_is_full_as_it_should_be() {
    for front in [Front::Local, Front::Fuse, Front::Ring] {
        let Some(mounted) = Mounted::small(front) else { continue };
        let list = checks::all().filter(|check| check.needs.contains(Abilities::SMALL));
        let report = run(list, &*mounted.ground(), &[]);
        mounted.end();
        assert!(report.passed > 0);
        report.settle(&format!("small Mem x {front:?}"));
    }
}

/// The layer `readonly` over each base, alone and between nulls.
fn readonly(base: Base, layers: &str, front: Front) {
    if !possible(front) {
        return;
    }
    let settings = Settings::default();
    let mounted =
        Mounted::try_with(base, built(layers), front, settings, Some(checks::prepare)).unwrap();
    let report = run(checks::readonly(), &Shared(|| mounted.root()), &[]);
    mounted.end();
    report.settle(&format!("{base:?} x [{layers}] x {front:?}"));
}

#[test]
fn mem_readonly_local() {
    readonly(Base::Mem, "readonly", Front::Local);
    readonly(Base::Mem, "null readonly null", Front::Local);
}

#[test]
fn dir_readonly_local() {
    readonly(Base::Dir, "readonly", Front::Local);
}

#[test]
fn mem_readonly_fuse() {
    readonly(Base::Mem, "readonly", Front::Fuse);
}

#[test]
fn dir_readonly_fuse() {
    readonly(Base::Dir, "null readonly null", Front::Fuse);
}
