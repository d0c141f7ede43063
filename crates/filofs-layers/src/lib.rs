//! The layers of filo, one file each.
#![forbid(unsafe_code)]

use filofs::Definition;

pub mod null;

/// Every layer there is, by name. A new layer is its file and its line here.
pub const LAYERS: &[&Definition] = &[&null::DEFINITION];
