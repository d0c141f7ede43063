//! The command as a person meets it: words, mounts, runs.
#![allow(clippy::unwrap_used, clippy::indexing_slicing)] // a test may be blunt

mod common;
mod kills;
mod mounts;
mod places;
mod run;
mod serve;
mod servers;
mod words;
