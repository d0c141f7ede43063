//! Random sequences of operations, compared with the model: on the host's own file system (which
//! proves the model), on each base in-process, and mounted.
//!
//! A failure prints its seed and the shortest sequence that shows it. Put the seed into `SEEDS`:
//! those are always run. `FILO_RANDOM_OPS=N` runs N steps for each instead of the small default,
//! `FILO_RANDOM_SEED=N` begins with that seed.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // all of it is test

mod stacks;

use conformance::os::TempDir;
use conformance::rng::{Rng, fresh_seed, from_environment};
use conformance::run::{Ground, OsGround};
use conformance::steps::{Step, sequence};
use conformance::{Abilities, trial};
use filofs::{Errno, Layer, Op};
use filofs_bases::mem::Settings;
use filofs_layers::fault::{Fault, Harm, Plan};
use stacks::{Base, Front, Mounted, possible};

/// Steps of one sequence.
const LENGTH: usize = 300;

/// Sequences that once failed somewhere, and a few that never did.
const SEEDS: &[u64] = &[1, 2, 3, 0xdead_beef, 0x928d_a284_bc2c_577c];

fn campaign(ground: &dyn Ground, label: &str, default_steps: u64) {
    for seed in SEEDS {
        trial::seed(ground, label, *seed, LENGTH);
    }
    let steps = from_environment("FILO_RANDOM_OPS", default_steps);
    let first = from_environment("FILO_RANDOM_SEED", fresh_seed());
    println!("{label}: {steps} steps from FILO_RANDOM_SEED={first}");
    let mut seeds = Rng::new(first);
    let mut seed = first;
    for _ in 0..steps.div_ceil(LENGTH as u64) {
        trial::seed(ground, label, seed, LENGTH);
        seed = seeds.draw();
    }
}

fn on(base: Base, layers: &str, front: Front, default_steps: u64) {
    let Some(mounted) = Mounted::new(base, layers, front) else { return };
    campaign(&*mounted.ground(), &format!("{base:?} x [{layers}] x {front:?}"), default_steps);
    mounted.end();
}

#[test]
fn the_model_answers_as_the_host_s_file_system() {
    if !possible(Front::Local) {
        return;
    }
    let dir = TempDir::new();
    let ground = OsGround {
        path: dir.path().to_owned(),
        abilities: Abilities::KERNEL | Abilities::KEPT_SET_ID,
    };
    campaign(&ground, "the host", 6000);
}

#[test]
fn mem_answers_as_the_model() {
    on(Base::Mem, "", Front::Local, 6000);
}

#[test]
fn mem_under_null_answers_as_the_model() {
    on(Base::Mem, "null", Front::Local, 3000);
}

#[test]
fn dir_answers_as_the_model() {
    on(Base::Dir, "", Front::Local, 3000);
}

#[test]
fn mem_mounted_answers_as_the_model() {
    on(Base::Mem, "", Front::Fuse, 3000);
}

#[test]
fn mem_over_a_ring_answers_as_the_model() {
    on(Base::Mem, "", Front::Ring, 3000);
}

#[test]
fn dir_mounted_answers_as_the_model() {
    on(Base::Dir, "null", Front::Fuse, 3000);
    on(Base::Dir, "null", Front::FuseAsked, 1500);
}

#[test]
fn a_file_system_that_cannot_link_is_found_out_in_a_few_steps() {
    // The finder and the shrinker themselves, on a fault that is known.
    let plan = Plan { op: Some(Op::Link), nth: 1, times: 0, harm: Harm::Errno(Errno::EMLINK) };
    let layers: Vec<Box<dyn Layer>> = vec![Box::new(Fault::new(plan))];
    let Some(mounted) = Mounted::with(Base::Mem, layers, Front::Local, Settings::default()) else {
        return;
    };
    let ground = mounted.ground();
    let found = trial::attempt(&*ground, "found", &sequence(1, LENGTH)).expect("a difference");
    let short = trial::shrink(&*ground, "shrunk", found);
    assert!(short.steps.len() <= 3, "{short:?}");
    assert!(matches!(short.steps.last(), Some(Step::Link(..))), "{short:?}");
    assert!(short.says.contains("EMLINK"), "{short:?}");
}
