//! The layers of filo, one file each.
#![forbid(unsafe_code)]

use filofs::Definition;

pub mod fault;
pub mod idmap;
pub mod null;
pub mod readonly;
pub mod trace;
mod words;

/// Every layer there is, by name. A new layer is its file and its line here.
pub const LAYERS: &[&Definition] = &[
    &fault::DEFINITION,
    &idmap::DEFINITION,
    &null::DEFINITION,
    &readonly::DEFINITION,
    &trace::DEFINITION,
];
