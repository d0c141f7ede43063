//! Servers that lie, die and dawdle, seen from the programs above the core.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod answers;
mod classic;
mod list;
mod middle;
mod parks;
