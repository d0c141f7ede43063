//! What the readers of a server's messages promise, as a check that the randomised test and the
//! fuzz targets share.

use filofs_wire::abi::{CALL_ID, MountArguments};
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming::{self, Incoming, Notification};
use filofs_wire::limits::{OFFSET_MAX, TRANSFER_MAX, XATTR_SIZE_MAX};
use filofs_wire::name::XattrName;
use filofs_wire::notify;
use zerocopy::IntoBytes;

/// Reads bytes as a message of a server's, and panics where a promise is broken. Returns whether
/// they are one.
pub(crate) fn check_incoming(bytes: &[u8], dialect: Dialect) -> bool {
    match Incoming::parse(bytes, dialect) {
        Ok(Incoming::Reply { unique, error, body }) => {
            assert_ne!(unique, 0);
            assert_eq!(bytes.len(), 16 + body.len());
            check_answers(error, body);
            true
        }
        Ok(Incoming::Notification(notification)) => {
            check_notification(&notification, dialect);
            true
        }
        Ok(Incoming::Call { id, .. } | Incoming::BadCall { id, .. }) => {
            assert!(dialect.is_extended());
            assert!(id.is_none_or(|id| id > CALL_ID));
            true
        }
        Err(bad) => {
            assert!(!bad.to_string().is_empty());
            false
        }
    }
}

/// Whoever asked for whatever: no answer makes a reader panic or keep less than it promises.
fn check_answers(error: i32, body: &[u8]) {
    match incoming::outcome(error, body) {
        Some(Ok(same)) => assert_eq!((error, same), (0, body)),
        Some(Err(errno)) => assert_eq!(error, -errno.number()),
        None => assert!(error != 0),
    }
    let size = u32::from(body.first().copied().unwrap_or_default());
    if let Some((_, rest)) = incoming::init(body) {
        assert!(rest.len() < body.len());
    }
    if let Some((len, handle)) = incoming::handle_of(body, size) {
        assert_eq!(handle.is_some(), len <= size);
        assert!(handle.is_none_or(|handle| handle.len() == len as usize));
    }
    if let Some((_, data)) = incoming::ioctl(body, size) {
        assert!(data.len() <= size as usize);
    }
    if let Some(target) = incoming::link_target(body) {
        assert!((1..=4095).contains(&target.len()) && !target.contains(&0));
    }
    if let Some(names) = incoming::xattr_names(body) {
        let names: Vec<XattrName<'_>> = names.collect();
        assert!(names.iter().all(|name| (1..=255).contains(&name.as_bytes().len())));
        assert_eq!(names.iter().map(|name| name.as_bytes().len() + 1).sum::<usize>(), body.len());
    }
    assert!(incoming::xattr_size(body).is_none_or(|size| size <= XATTR_SIZE_MAX));
    check_arguments(body);
}

/// What a notification says can be said again, and is understood in the same way.
fn check_notification(notification: &Notification<'_>, dialect: Dialect) {
    let ids: Vec<u64>;
    let bytes = match *notification {
        Notification::Poll { kh } => notify::poll_wakeup(kh).parts().concat(),
        Notification::InvalInode { nodeid, offset, len } => {
            notify::inval_inode(nodeid, offset, len).parts().concat()
        }
        Notification::InvalEntry { parent, name, expire_only: false } => {
            assert!(!name.is_dots());
            notify::inval_entry(parent, name).parts().concat()
        }
        Notification::InvalEntry { parent, name, expire_only: true } => {
            assert!(!name.is_dots());
            notify::expire_entry(parent, name).parts().concat()
        }
        Notification::Store { nodeid, offset, data } => {
            assert!(offset <= OFFSET_MAX - data.len() as u64);
            notify::store(nodeid, offset, data).expect("within its limit").parts().concat()
        }
        Notification::Retrieve { unique, nodeid, offset, size } => {
            assert!(size <= TRANSFER_MAX && offset <= OFFSET_MAX - u64::from(size));
            notify::retrieve(unique, nodeid, offset, size).parts().concat()
        }
        Notification::Delete { parent, child, name } => {
            assert!(!name.is_dots());
            notify::delete(parent, child, name).parts().concat()
        }
        Notification::Resend => notify::resend().parts().concat(),
        Notification::IncEpoch => notify::inc_epoch().parts().concat(),
        Notification::Prune { nodeids } => {
            ids = nodeids.iter().collect();
            notify::prune(&ids).expect("within its limit").parts().concat()
        }
    };
    assert_eq!(Incoming::parse(&bytes, dialect), Ok(Incoming::Notification(*notification)));
}

/// Reads bytes as the arguments of a mount, and panics where a promise is broken. Returns whether
/// they can be mounted.
pub(crate) fn check_arguments(bytes: &[u8]) -> bool {
    const MAX: u32 = 1 << 20;
    match MountArguments::read(bytes, MAX) {
        Ok(arguments) => {
            assert!((8192..=MAX).contains(&arguments.max_message));
            assert!(arguments.handle_size <= 1020);
            assert!(arguments.root.attr.size <= OFFSET_MAX);
            for (name, len_max) in [(arguments.type_name(), 31), (arguments.from_name(), 255)] {
                assert!(name.len() <= len_max);
                assert!(name.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'\\'));
            }
            assert_eq!(MountArguments::read(arguments.as_bytes(), MAX), Ok(arguments));
            true
        }
        Err(bad) => {
            assert!(!bad.to_string().is_empty());
            false
        }
    }
}
