//! File servers in other processes: as bases of a stack, and how to write one.
//!
//! A file server is a process that answers operations over a [`channel`]. Nothing that it does
//! harms anybody but those who ask it something: it may lie, hang or die.
//!
//! ```text
//!  stack           readonly -> ...                          our process
//!     |  operations
//!  kernel half     asks, checks every answer                `kernel`
//!     |  channel: FUSE, and filo's extension of it
//!  server half     or any other library that speaks FUSE    `serve`
//!     |  operations
//!  file system     somebody's own                           another process
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`channel`] | the socket between the two |
//! | [`kernel`] | our end: a server as a [`filofs::FileSystem`]; its life, its restarts |
//! | [`mod@serve`] | the other end: a file system as a program of its own |
//! | [`launch`] | programs started so that they can do little but serve files |
//! | [`attach`] | FUSE programs that know nothing of this, as servers |

pub mod attach;
mod bases;
pub mod channel;
pub mod kernel;
pub mod launch;
mod peer;
pub mod serve;

pub use peer::Peer;
pub use serve::serve;

/// Every base that is another process, as the command knows it.
pub const BASES: &[&filofs::Definition] = &[&bases::EXEC, &bases::SERVER];
