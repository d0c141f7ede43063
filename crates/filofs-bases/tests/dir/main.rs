//! `dir`, operation by operation, on a directory of the host.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod cached;
mod data;
mod ground;
mod handles;
mod locks;
mod names;
mod races;
mod rights;
mod user;
mod watch;
