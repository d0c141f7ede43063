//! `Fault`: why a request to a server has no answer.

use filofs::Errno;

/// What a request to a server comes to.
pub(super) type Answer<T> = Result<T, Fault>;

/// Why there is no answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Fault {
    /// The server says so, or the core does.
    Errno(Errno),
    /// The server has no such operation.
    Missing,
    /// The server is gone, and never saw the request.
    Gone,
    /// The server is gone. It may have done what was asked, or not.
    Died,
    /// The server did not answer in time.
    Late,
}

impl Fault {
    /// The same, of a request that was not sent.
    pub(super) fn unsent(self) -> Fault {
        if self == Fault::Died { Fault::Gone } else { self }
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Fault {
        Fault::Errno(errno)
    }
}
