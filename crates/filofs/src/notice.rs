//! `Notice`: the only thing that travels up unasked.

use crate::{Cookie, Name};
use std::sync::mpsc::{Receiver, Sender, channel};

/// Something the front end should know although it did not ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The node changed behind the mount's back: forget its attributes, and the data from
    /// `offset` on for `len` bytes (0: to the end). A negative `offset`: attributes only.
    Changed {
        /// Which node.
        node: Cookie,
        /// From where.
        offset: i64,
        /// How far.
        len: i64,
    },
    /// The name no longer leads where it did.
    Renamed {
        /// The directory.
        dir: Cookie,
        /// The name, a valid [`Name`]'s bytes.
        name: Vec<u8>,
    },
    /// The file system wants to go.
    Unmount,
}

impl Notice {
    /// A [`Notice::Renamed`].
    pub fn renamed(dir: Cookie, name: Name<'_>) -> Notice {
        Notice::Renamed { dir, name: name.bytes().to_vec() }
    }
}

/// The upward end: given to file systems and layers when the mount starts.
///
/// Sending never waits and may be done from anywhere, also from inside an operation; the front
/// end delivers from a thread of its own that holds no lock, because a kernel that is told to
/// forget a file may first have to finish an operation on that very file.
#[derive(Clone, Debug)]
pub struct Upward(Sender<Notice>);

impl Upward {
    /// An upward end and what comes out of it.
    pub fn channel() -> (Upward, Receiver<Notice>) {
        let (sender, receiver) = channel();
        (Upward(sender), receiver)
    }

    /// Sends. Without a listener the notice is dropped: there is nobody whose cache could be
    /// stale.
    pub fn send(&self, notice: Notice) {
        let _ = self.0.send(notice);
    }
}
