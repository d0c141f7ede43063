//! The bases of filo: file systems with nothing of ours below. One module each, and one line in
//! [`BASES`].

pub mod dir;
pub mod mem;

/// Every base, as the command knows it.
pub const BASES: &[&filofs::Definition] = &[&dir::DEFINITION, &mem::DEFINITION];
