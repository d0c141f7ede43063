//! Foreign programs: any unmodified FUSE program as a file server.
//!
//! A FUSE program wants a mount point, and a descriptor of `/dev/fuse` on which it reads requests
//! and writes replies. Here it gets one end of a [`Channel`](crate::channel::Channel) for a
//! descriptor; whoever holds the other end plays the kernel, and the kernel itself mounts nothing.

mod comm_fd;
mod desk;
mod door;
mod error;
mod fusermount;
mod options;
mod place;
mod slip;
mod words;

pub use door::door;
pub use error::AttachError;
pub use options::MountOptions;

use error::system;
