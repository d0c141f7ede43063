//! Programs of other people, started so that they can do little but serve files.
//!
//! A [`Program`] is started as a child of a launcher, which is this program once more: whoever
//! uses it calls [`door`] first in `main`. So nothing is done between fork and exec of a process
//! with threads.
//!
//! ```text
//! we ---- launcher            makes namespaces and mounts
//!            +-- keeper       first process of the pid namespace: reaps, kills
//!                   +-- program, after it gave up its rights; and its descendants
//! ```
//!
//! # What the program finds
//!
//! - Descriptors: standard input is /dev/null; what it writes on standard output and error goes,
//!   line by line, to our log; [`CHANNEL_FD`] is the channel, if there is one. Nothing else is
//!   open, whatever we forgot to close.
//! - The environment and the working directory are ours, with what was added to the environment.
//!   It has no terminal: what that sends (an interrupt) ends us, and we end the program in good
//!   order.
//! - Limits: no core dumps, which would hold other people's data; as many open files as the hard
//!   limit permits, up to a million; with `memory=N` that many bytes of memory in each process
//!   (`RLIMIT_DATA`); and if the machine is out of memory, it goes before us.
//!
//! It lives as long as its [`Running`]: a program that puts itself into the background is followed,
//! and whatever it started ends with it. If we are killed, so is everything of it.
//!
//! # The sandbox
//!
//! Three profiles. One would be too tight for sshfs or too loose for a server of one directory;
//! finer switches nobody would set. The default is `loose`, which takes away nothing that a file
//! server uses, so that there is no reason to run without; `strict` has to be told which files
//! are needed, which only whoever starts the program can know.
//!
//! | | `off` | `loose` | `strict` |
//! |---|---|---|---|
//! | new privileges by set-id programs | yes | no | no |
//! | capabilities | all | those to act for its callers | the same, no device nodes |
//! | mounts, processes, IPC, host name, cgroups | the host's | its own | its own |
//! | network | the host's | the host's; `net=no`: none | none; `net=yes`: to connect only |
//! | system calls | all | not those that no file server needs | also no io_uring |
//! | files | all | all | the system's to read, `read=` too, and all of `allow=` |
//! | signals and abstract sockets to others | yes | no | no |
//!
//! For an ordinary user the namespaces are inside a user namespace, in which they are who they
//! were. What the machine does not have, `loose` does without, and says so once in the log;
//! `strict` then is an error.
//!
//! Programs for another kind of machine than ours (32 bits) are killed at once by the filter of
//! system calls, whose numbers would mean something else. Root under `loose` may make device nodes
//! for its callers, and so could read a disk: what is to be kept from that needs `strict`.
//!
//! Sockets that lie in a directory can be connected to under each profile, where their permissions
//! allow it: Linux has nothing to take that away (Landlock knows abstract sockets only). What one
//! user may have done for him over such a socket, by a bus or a container daemon, a program of his
//! may have done too.
//!
//! Because of its pid namespace the program does not see the processes of its callers: their pids
//! mean nothing to it. `off` is for programs that need them, or set-id helpers. What is mounted or
//! unmounted outside later is so inside, too, where the host shares its mounts as systemd has it;
//! elsewhere a file system that was mounted before stays in use until the program ends, but for
//! those that we [`hide`].
//!
//! Linux 5.9 is needed, for close_range(2).

mod confine;
mod door;
mod error;
mod filter;
mod keeper;
mod litter;
mod namespaces;
mod plan;
mod program;
mod reach;
mod report;
mod running;
mod sandbox;
mod sys;
mod words;

pub use door::door;
pub use error::LaunchError;
pub(crate) use error::one_line;
pub(crate) use litter::remove;
pub use program::{Hidden, Program, hide};
pub use running::Running;
pub use sandbox::{Profile, Sandbox};

use door::Stage;
use plan::Plan;
use report::Report;

/// The number under which a program finds its channel.
pub const CHANNEL_FD: i32 = 3;
