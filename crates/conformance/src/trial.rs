//! A trial: a sequence of steps on a subject, compared with the model; and its shrinking.

use crate::model::Model;
use crate::run::Ground;
use crate::steps::{Actor, Answer, Step};
use crate::{Subject, steps};
use filofs::Kind;
use std::cell::Cell;

/// Where a subject's answer was not the model's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The sequence, as short as shrinking made it. What differs is the last step's answer, or
    /// the tree at the end.
    pub steps: Vec<Step>,
    /// What the model says, and what the subject said.
    pub says: String,
}

/// Runs a sequence in a new directory: the first difference, if there is one.
pub fn attempt(ground: &dyn Ground, name: &str, steps: &[Step]) -> Option<Difference> {
    let subject = ground.subject(name);
    let mut model = Model::default();
    let mut actor = Actor::new(&*subject);
    let mut difference = None;
    for (number, step) in steps.iter().enumerate() {
        let (expected, got) = (model.act(step), actor.act(step));
        if expected != got {
            let says = format!("{step:?}: the model says {expected:?}, the subject {got:?}");
            difference = Some(Difference { steps: steps[..=number].to_vec(), says });
            break;
        }
    }
    actor.finish();
    difference.or_else(|| {
        let says = tree(&*subject, &mut model)?;
        Some(Difference { steps: steps.to_vec(), says })
    })
}

/// The first difference between a subject's tree and the model's: names, facts and content of
/// everything there is.
pub fn tree(subject: &dyn Subject, model: &mut Model) -> Option<String> {
    let mut actor = Actor::new(subject);
    let mut compare = |step: Step, model: &mut Model| -> Option<String> {
        let (expected, got): (Answer, Answer) = (model.act(&step), actor.act(&step));
        let says = format!("{step:?}: the model says {expected:?}, the subject {got:?}");
        (expected != got).then_some(says)
    };
    let mut top: Vec<_> = match subject.readdir(b".") {
        Ok(entries) => entries.into_iter().map(|e| e.name).collect(),
        Err(errno) => return Some(format!("listing the top: {errno:?}")),
    };
    top.retain(|name| name != b"." && name != b"..");
    top.sort();
    let paths = model.paths();
    let expected = paths.iter().filter(|(path, _)| !path.contains('/'));
    let expected: Vec<_> = expected.map(|(path, _)| path.clone().into_bytes()).collect();
    if top != expected {
        return Some(format!("the top has {:?}, not {:?}", Answer::Names(top), expected));
    }
    for (path, kind) in paths {
        let content = match kind {
            Kind::Regular => Step::Read(path.clone()),
            Kind::Directory => Step::List(path.clone()),
            _ => Step::Readlink(path.clone()),
        };
        for step in [Step::Lstat(path.clone()), content] {
            if let Some(says) = compare(step, model) {
                return Some(says);
            }
        }
    }
    None
}

/// Makes a failing sequence shorter for as long as it goes on failing: whole halves first, then
/// smaller and smaller pieces, then single steps.
pub fn shrink(ground: &dyn Ground, name: &str, found: Difference) -> Difference {
    let tries = Cell::new(0u32);
    let fails = |steps: &[Step]| {
        tries.set(tries.get() + 1);
        attempt(ground, &format!("{name}-{}", tries.get()), steps)
    };
    let mut best = found;
    let mut piece = best.steps.len().div_ceil(2);
    while piece > 0 {
        let mut start = 0;
        while start < best.steps.len() && tries.get() < MOST_TRIES {
            let end = (start + piece).min(best.steps.len());
            let shorter = [&best.steps[..start], &best.steps[end..]].concat();
            match fails(&shorter) {
                Some(difference) => best = difference,
                None => start = end,
            }
        }
        piece = if piece == 1 { 0 } else { piece.div_ceil(2) };
    }
    best
}

/// More runs than this are not worth a shorter sequence.
const MOST_TRIES: u32 = 2000;

/// Runs one seed; a failure is shrunk and panics with everything needed to see it again.
pub fn seed(ground: &dyn Ground, label: &str, seed: u64, length: usize) {
    let steps = steps::sequence(seed, length);
    let name = format!("seed-{seed:x}");
    if let Some(found) = attempt(ground, &name, &steps) {
        let long = found.steps.len();
        let short = shrink(ground, &name, found);
        let list: Vec<_> = short.steps.iter().map(|s| format!("    {s:?}")).collect();
        panic!(
            "{label}: seed {seed:#x} of {length} steps, {long} until it failed, shrunk to {}:\n\
             {}\n{}",
            short.steps.len(),
            list.join("\n"),
            short.says
        );
    }
}
