//! Calls: what a server asks the core, where INIT agreed on the extension.
//!
//! Each function makes one whole message. With an id the core answers with a RESPONSE that carries
//! it; without, it does not.

use zerocopy::{Immutable, IntoBytes};

use crate::abi::{CALL_ID, CallCode, FlushCall, GroupsCall};
use crate::reply::Message;

/// Forget or write out what is cached.
pub fn flush(id: Option<u64>, flush: FlushCall) -> Message<FlushCall> {
    call(CallCode::Flush, id, flush)
}

/// Unmount me.
pub fn unmount(id: Option<u64>) -> Message<()> {
    call(CallCode::Unmount, id, ())
}

/// Which arguments are in force?
pub fn arguments(id: u64) -> Message<()> {
    call(CallCode::Arguments, Some(id), ())
}

/// Which supplementary groups has the caller of that request, which is not answered yet?
pub fn groups(id: u64, unique: u64) -> Message<GroupsCall> {
    call(CallCode::Groups, Some(id), GroupsCall { unique })
}

fn call<T: IntoBytes + Immutable + Copy>(code: CallCode, id: Option<u64>, body: T) -> Message<T> {
    // The one bit says that it is no reply to a request; alone, that nobody awaits a response.
    Message::new(code as i32, CALL_ID | id.unwrap_or(0), body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::FlushWhat;
    use crate::incoming::{Call, Incoming};

    #[test]
    fn the_core_reads_what_was_asked() {
        let range = FlushCall { nodeid: 7, what: 3, padding: 0, start: 1, end: 9 };
        let what = FlushWhat::ForgetData;
        let flushed = Call::Flush { nodeid: 7, what, start: 1, end: 9 };
        let id = Some(5);
        let seen = Some(CALL_ID | 5);
        for (bytes, id, call) in [
            (flush(id, range).as_bytes().to_vec(), seen, flushed),
            (flush(None, range).as_bytes().to_vec(), None, flushed),
            (unmount(None).as_bytes().to_vec(), None, Call::Unmount),
            (arguments(5).as_bytes().to_vec(), seen, Call::Arguments),
            (groups(5, 12).as_bytes().to_vec(), seen, Call::Groups { unique: 12 }),
        ] {
            assert_eq!(
                Incoming::parse(&bytes, crate::dialect::Dialect::BEFORE_INIT.extended()),
                Ok(Incoming::Call { id, call })
            );
        }
    }
}
