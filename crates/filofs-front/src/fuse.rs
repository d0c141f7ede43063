//! The FUSE front end: a [`filofs::Mount`] as a mount of the Linux kernel.
//!
//! # How a request travels
//!
//! ```text
//!  kernel       /dev/fuse
//!    |             ^
//!  device       one read(2) a request, one writev(2) an answer          (the transport)
//!    |             |
//!  crew         one thread reads; who may block hands the reading over first
//!    |             |
//!  dispatch     one request: parse, call, answer, undo what could not be answered
//!    |             |
//!  Mount        the operations
//! ```
//!
//! The transport meets `dispatch` in two places only: a message and a lent buffer go in, and an
//! `Outlet` takes the answer. A second transport (a ring) stands beside `device` and `crew`.
//!
//! # Who knows what
//!
//! | file | noun |
//! |---|---|
//! | `session` | one mount from its beginning to its end |
//! | `options` | what the person asked for |
//! | `mountpoint` | where it is attached, and how it is taken away again |
//! | `helper` | fusermount3, for those who may not mount by themselves |
//! | `given` | descriptors that somebody opened for us, `/dev/fd/N` |
//! | `error` | why there is no mount, and what to do |
//! | `transport` | how requests come, and why so |
//! | `device`, `buffer` | the descriptor and the memory of one message |
//! | `crew`, `backlog` | the threads, and requests that wait for one |
//! | `stall` | a time in which nothing moves, and whether it passes by itself |
//! | `pulse` | whether a thread waits, computes, or is not let run |
//! | `costs` | what each kind of request has cost lately |
//! | `cpus` | how many there are, and which a thread may use |
//! | `ring` | the same over io_uring: queues, entries, and their threads |
//! | `attendants` | the threads that serve what a core puts into shared memory |
//! | `terms` | what INIT settles, computed in one place |
//! | `extension` | what a core that knows filo's extension is told beside it, and may ask |
//! | `dispatch` | each message: what it is, and that it is answered |
//! | `ask`, `arguments` | each opcode to its operation |
//! | `answer` | the way back of one request |
//! | `backing` | files that the kernel reads and writes by itself |
//! | `registrar` | how such a file is made known to it |
//! | `face` | how nodes and attributes look on the wire |
//! | `listing`, `habits` | directory buffers, and who looks at what is listed |
//! | `caller` | the caller's groups |
//! | `calls` | what a core was asked and has not answered yet |
//! | `complaint` | what a core finds wrong with our answers |
//! | `life` | the states of one session |
//! | `ledger` | everything a successor process would have to know |
//! | `lockers`, `releases` | whose locks go with an open, and closes on their way |
//! | `flight` | requests being worked on, for INTERRUPT |
//! | `herald` | notices, from the file system up to the kernel |
//!
//! Reference: fuse(4), mount.fuse3(8), `include/uapi/linux/fuse.h`.

mod answer;
mod arguments;
mod ask;
mod attendants;
mod backing;
mod backlog;
mod backoff;
mod buffer;
mod caller;
mod calls;
mod complaint;
mod costs;
mod cpus;
mod crew;
mod device;
mod dispatch;
mod error;
mod extension;
mod face;
mod flight;
mod given;
mod habits;
mod heap;
mod helper;
mod herald;
mod ledger;
mod life;
mod listing;
mod lockers;
mod mountpoint;
mod options;
mod pulse;
mod registrar;
mod releases;
mod ring;
mod session;
mod stall;
mod terms;
mod transport;

pub use complaint::{Complaint, Complaints};
pub use error::MountError;
pub use extension::Arguments;
pub use given::take_descriptor;
pub use life::ServeState;
pub use mountpoint::unmount;
pub use options::{FuseOptions, Passthrough, Transport};
pub use session::{Report, Session};
