//! `dir`, operation by operation, on a directory of the host.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod ground;
mod names;
