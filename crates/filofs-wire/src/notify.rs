//! Notifications: what a server tells the kernel unasked.
//!
//! Each function makes a [`Notification`], whose [`parts`](Notification::parts) are to be written
//! with one writev(2). The device answers with the errno of that call: ENOENT where the kernel
//! does not know the node or name, which is no fault.

use zerocopy::{Immutable, IntoBytes};

use crate::abi::{
    NotifyCode, NotifyDeleteOut, NotifyInvalEntryFlags, NotifyInvalEntryOut, NotifyInvalInodeOut,
    NotifyPollWakeupOut, NotifyPruneOut, NotifyRetrieveOut, NotifyStoreOut,
};
use crate::name::Name;
use crate::reply::{Message, TooLong};

/// A message nobody asked for.
#[derive(Clone, Copy, Debug)]
pub struct Notification<'a, T: Copy> {
    message: Message<T>,
    tail: [&'a [u8]; 2],
}

/// A file that somebody polls may be ready. `kh` is what the POLL request gave.
pub fn poll_wakeup(kh: u64) -> Notification<'static, NotifyPollWakeupOut> {
    Notification::new(NotifyCode::Poll, NotifyPollWakeupOut { kh })
}

/// Forget a node's attributes and, unless `off` is negative, its data from `off` on: `len` bytes,
/// or all with a `len` of 0. Must not be sent by the thread that answers a READ or WRITE of the
/// node: the kernel waits for its locked pages.
pub fn inval_inode(ino: u64, off: i64, len: i64) -> Notification<'static, NotifyInvalInodeOut> {
    Notification::new(NotifyCode::InvalInode, NotifyInvalInodeOut { ino, off, len })
}

/// Forget that `name` is, or is not, in `parent`. Must not be sent by the thread that answers an
/// operation in `parent`: the kernel takes the directory's lock.
pub fn inval_entry(parent: u64, name: Name<'_>) -> Notification<'_, NotifyInvalEntryOut> {
    entry(parent, name, NotifyInvalEntryFlags::empty())
}

/// Ask again for `name` in `parent` at its next use, but leave alone what is mounted or open below.
/// For peers with `HAS_EXPIRE_ONLY`; others take it for [`inval_entry`].
pub fn expire_entry(parent: u64, name: Name<'_>) -> Notification<'_, NotifyInvalEntryOut> {
    entry(parent, name, NotifyInvalEntryFlags::EXPIRE_ONLY)
}

/// `name` in `parent`, which led to `child`, was removed: forget it and tell inotify(7).
pub fn delete(parent: u64, child: u64, name: Name<'_>) -> Notification<'_, NotifyDeleteOut> {
    let namelen = name.as_bytes().len() as u32;
    Notification::with_name(
        NotifyCode::Delete,
        NotifyDeleteOut { parent, child, namelen, padding: 0 },
        name,
    )
}

/// Put `data` into the node's page cache at `offset`, extending the file if need be.
pub fn store(
    nodeid: u64,
    offset: u64,
    data: &[u8],
) -> Result<Notification<'_, NotifyStoreOut>, TooLong> {
    let size = u32::try_from(data.len()).map_err(|_| TooLong)?;
    Notification::with_data(
        NotifyCode::Store,
        NotifyStoreOut { nodeid, offset, size, padding: 0 },
        data,
    )
}

/// Send `size` bytes of the node's page cache from `offset` on, in a NOTIFY_REPLY request whose
/// id is `notify_unique`.
pub fn retrieve(
    notify_unique: u64,
    nodeid: u64,
    offset: u64,
    size: u32,
) -> Notification<'static, NotifyRetrieveOut> {
    let body = NotifyRetrieveOut { notify_unique, nodeid, offset, size, padding: 0 };
    Notification::new(NotifyCode::Retrieve, body)
}

/// Send every request that was read but not answered again, with
/// [`UNIQUE_RESEND`](crate::abi::UNIQUE_RESEND) in its id. For peers with `HAS_RESEND`.
pub fn resend() -> Notification<'static, ()> {
    Notification::new(NotifyCode::Resend, ())
}

/// Every cached name is out of date (7.44).
pub fn inc_epoch() -> Notification<'static, ()> {
    Notification::new(NotifyCode::IncEpoch, ())
}

/// Drop these nodes from the cache where nobody uses them (7.45).
pub fn prune(nodeids: &[u64]) -> Result<Notification<'_, NotifyPruneOut>, TooLong> {
    let count = u32::try_from(nodeids.len()).map_err(|_| TooLong)?;
    Notification::with_data(
        NotifyCode::Prune,
        NotifyPruneOut { count, padding: 0, spare: 0 },
        nodeids.as_bytes(),
    )
}

fn entry(
    parent: u64,
    name: Name<'_>,
    flags: NotifyInvalEntryFlags,
) -> Notification<'_, NotifyInvalEntryOut> {
    let namelen = name.as_bytes().len() as u32;
    Notification::with_name(
        NotifyCode::InvalEntry,
        NotifyInvalEntryOut { parent, namelen, flags },
        name,
    )
}

impl<'a, T: IntoBytes + Immutable + Copy> Notification<'a, T> {
    /// What is to be written, in this order; the last two may be empty.
    pub fn parts(&self) -> [&[u8]; 3] {
        let [first, second] = self.tail;
        [self.message.as_bytes(), first, second]
    }

    fn new(code: NotifyCode, body: T) -> Notification<'a, T> {
        Notification { message: Message::new(code as i32, 0, body), tail: [&[], &[]] }
    }

    fn with_data(code: NotifyCode, body: T, data: &'a [u8]) -> Result<Self, TooLong> {
        let message = Message::with_data(code as i32, 0, body, data.len())?;
        Ok(Notification { message, tail: [data, &[]] })
    }

    /// The name and its NUL, which the name's length in the structure does not count.
    fn with_name(code: NotifyCode, body: T, name: Name<'a>) -> Notification<'a, T> {
        let message = Message::with_name(code as i32, body, name);
        Notification { message, tail: [name.as_bytes(), b"\0"] }
    }
}
