//! The bases of filo: file systems with nothing of ours below.

use filofs::Definition;

/// Every base there is, by name.
pub const BASES: &[&Definition] = &[];
