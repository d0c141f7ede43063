//! File servers in other processes: as bases of a stack, and how to write one.

pub mod channel;
<<<<<<< HEAD
pub mod kernel;
=======
pub mod serve;

pub use serve::serve;
>>>>>>> serve
