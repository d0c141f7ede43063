//! File servers in other processes: as bases of a stack, and how to write one.

pub mod attach;
pub mod channel;
pub mod kernel;
pub mod launch;
pub mod serve;

pub use serve::serve;
