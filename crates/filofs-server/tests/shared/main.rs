//! Requests that go by shared memory, between both halves, and what a server can do to it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod ground;
mod honest;
mod hostile;
