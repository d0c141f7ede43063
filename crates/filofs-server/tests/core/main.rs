//! The core's side of a file server, seen by a server that a test plays.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod calls;
mod extattrctl;
mod files;
mod handles;
mod late;
mod missing;
mod mounting;
mod notices;
mod places;
mod script;
mod session;
mod sparing;
mod unmounting;
