//! POLL.

use super::layout::{flags, layout};

flags! {
    /// `fuse_poll_in.flags`, `FUSE_POLL_*`.
    PollFlags: u32 {
        /// Somebody sleeps: send a wake-up notification when the file becomes ready.
        SCHEDULE_NOTIFY = 1 << 0;
    }
}

layout! {
    /// The body of POLL.
    PollIn = "fuse_poll_in", 24 {
        /// The open file description.
        0 open_id: u64,
        /// The kernel's name for the file, for the wake-up notification.
        8 kh: u64,
        /// See [`PollFlags`].
        16 flags: PollFlags,
        /// `POLL*` events that are waited for.
        20 events: u32,
    }
}

layout! {
    /// Answers POLL.
    PollOut = "fuse_poll_out", 8 {
        /// `POLL*` events that are there.
        0 revents: u32,
        /// Zero.
        4 padding: u32,
    }
}
