//! The sweep: for every N, call N of a scripted workload fails below, or falls short. What the
//! caller is told must be honest, and the tree must be what the model says: the step that failed
//! has happened or not, whole, and all others have happened.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

mod stacks;

use conformance::model::Model;
use conformance::steps::{Actor, Answer, Step};
use conformance::{Subject, trial};
use filofs::{Errno, Layer};
use filofs_bases::mem::Settings;
use filofs_layers::fault::{Fault, Harm, Plan};
use stacks::{Base, Front, Mounted, possible};
use std::sync::atomic::Ordering;

/// More calls than the workload makes.
const MOST_CALLS: u64 = 2000;

fn workload() -> Vec<Step> {
    let path = str::to_owned;
    vec![
        Step::Mkdir(path("a")),
        Step::Create(path("a/b"), true),
        Step::Write(path("a/b"), 0, 5000, 1),
        Step::Write(path("a/b"), 4000, 3000, 2),
        Step::Read(path("a/b")),
        Step::Link(path("a/b"), path("c")),
        Step::Symlink(path("a/b"), path("b")),
        Step::Write(path("b"), 100, 100, 3),
        Step::Readlink(path("b")),
        Step::Stat(path("b")),
        Step::Hold(path("c"), 0),
        Step::Rename(path("c"), path("a/c"), 0),
        Step::Truncate(path("a/c"), 6000),
        Step::Punch(path("a/b"), 1000, 2000),
        Step::SetXattr(path("a/b"), 1, 7),
        Step::GetXattr(path("a/c"), 1),
        Step::RemoveXattr(path("a/c"), 1),
        Step::Chmod(path("a/b"), 0o600),
        Step::Mkdir(path("c")),
        Step::Rename(path("c"), path("a/a"), 0),
        Step::Rename(path("a/a"), path("b"), 2),
        Step::List(path("a")),
        Step::Create(path("c"), false),
        Step::Copy(path("a/b"), 0, path("c"), 500, 3000),
        Step::Unlink(path("a/b")),
        Step::Unlink(path("a/c")),
        Step::WriteHeld(0, 10, 500, 9),
        Step::FsyncHeld(0),
        Step::ReadHeld(0),
        Step::StatHeld(0),
        Step::Drop(0),
        Step::Rmdir(path("b")),
        Step::Mkdir(path("c/x")),
        Step::Unlink(path("a/none")),
        Step::Lstat(path("a/a")),
    ]
}

/// Runs the workload with that harm at call `nth`. Answers whether the call came at all.
fn run(base: Base, nth: u64, harm: Harm) -> bool {
    let fault = Fault::new(Plan { op: None, nth, times: 1, harm });
    let calls = fault.calls();
    let layers: Vec<Box<dyn Layer>> = vec![Box::new(fault)];
    // The mount itself asks for the root: without an answer there is none.
    let mounted = match Mounted::try_with(base, layers, Front::Local, Settings::default(), None) {
        Ok(mounted) => mounted,
        Err(errno) => {
            assert_eq!(Harm::Errno(errno), harm, "call {nth}: why there is no mount");
            return true;
        }
    };
    let subject = mounted.root();
    let mut model = Model::default();
    let mut actor = Actor::new(&*subject);
    let mut failed = 0;
    for step in workload() {
        let before = model.clone();
        let (expected, got) = (model.act(&step), actor.act(&step));
        if expected == got {
            continue;
        }
        let what =
            format!("{harm:?} at call {nth}, {step:?}: the model says {expected:?}, not {got:?}");
        let Harm::Errno(errno) = harm else { panic!("{what}") };
        assert_eq!(got, Answer::Failed(errno), "{what}");
        failed += 1;
        assert_eq!(failed, 1, "one call failed, and now a second step: {what}");
        match step {
            // The descriptor is gone whatever close says.
            Step::Drop(_) => {}
            _ => model = happened(&*subject, before, model, &what),
        }
    }
    actor.finish();
    let came = calls.load(Ordering::SeqCst) >= nth;
    if !came {
        // It would come now, while the tree is read.
        drop(subject);
        mounted.end();
        return false;
    }
    if let Some(says) = trial::tree(&*subject, &mut model) {
        panic!("{harm:?} at call {nth}, at the end: {says}");
    }
    drop(subject);
    mounted.end();
    true
}

/// The model of a tree in which one step happened, or did not.
fn happened(subject: &dyn Subject, before: Model, after: Model, what: &str) -> Model {
    let mut said = Vec::new();
    for mut model in [before, after] {
        match trial::tree(subject, &mut model) {
            None => return model,
            Some(says) => said.push(says),
        }
    }
    panic!("{what}: the step happened by halves: {said:?}");
}

fn sweep(base: Base, harm: Harm) {
    if !possible(Front::Local) {
        return;
    }
    assert!(run(base, 0, harm), "and once with no harm done");
    let last = (1..MOST_CALLS).find(|nth| !run(base, *nth, harm));
    let calls = last.expect("the workload comes to an end") - 1;
    assert!(calls > 100, "only {calls} calls: the sweep has lost its workload");
    println!("{base:?}, {harm:?}: {calls} calls");
}

macro_rules! sweeps {
    ($($name:ident: $base:ident, $harm:expr;)*) => {$(
        #[test]
        fn $name() {
            sweep(Base::$base, $harm);
        }
    )*};
}

sweeps! {
    mem_out_of_space: Mem, Harm::Errno(Errno::ENOSPC);
    mem_broken: Mem, Harm::Errno(Errno::EIO);
    mem_interrupted: Mem, Harm::Errno(Errno::EINTR);
    mem_out_of_memory: Mem, Harm::Errno(Errno::ENOMEM);
    mem_short_writes: Mem, Harm::Short(1);
    dir_out_of_space: Dir, Harm::Errno(Errno::ENOSPC);
    dir_broken: Dir, Harm::Errno(Errno::EIO);
    dir_interrupted: Dir, Harm::Errno(Errno::EINTR);
    dir_out_of_memory: Dir, Harm::Errno(Errno::ENOMEM);
    dir_short_writes: Dir, Harm::Short(1);
}
