//! File servers, seen from a core that a test plays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod asked;
mod calls;
mod core;
mod going;
mod init;
mod listens;
mod noise;
mod other;
mod program;
mod sizes;
mod toy;
