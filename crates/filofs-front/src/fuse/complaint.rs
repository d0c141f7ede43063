//! `Complaint`: what a core tells a server that it answered wrongly (A117, A119).

use filofs::Cookie;
use filofs_wire::abi::{ErrorIn, Opcode};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// One answer that no server may give, as the core that got it says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Complaint {
    /// The request that was answered so, such as "LOOKUP"; none if it is about no request.
    pub operation: Option<&'static str>,
    /// What the caller was told in its place, or the number that is no errno.
    pub number: i32,
    /// The node it was about.
    pub node: Cookie,
    /// What is wrong, in printable ASCII; at most 256 bytes.
    pub text: String,
}

impl Complaint {
    /// The longest text in bytes (A119).
    const TEXT_MAX: usize = 256;

    pub(super) fn new(arg: &ErrorIn, node: Cookie, text: &[u8]) -> Complaint {
        let text = text.get(..Self::TEXT_MAX).unwrap_or(text);
        Complaint {
            operation: Opcode::from_number(arg.opcode).map(Opcode::name),
            number: arg.errno,
            node,
            text: filofs::sanitise(&String::from_utf8_lossy(text)),
        }
    }
}

impl fmt::Display for Complaint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Complaint { operation, number, node, text } = self;
        let operation = operation.unwrap_or("no request");
        write!(f, "{operation} of node {node}: {text} ({number})")
    }
}

/// Who hears of complaints. By default they are logged as errors.
#[derive(Clone)]
pub struct Complaints(Arc<dyn Fn(&Complaint) + Send + Sync>);

impl Complaints {
    /// That function is called, by the thread that would serve the next request.
    pub fn to(hear: impl Fn(&Complaint) + Send + Sync + 'static) -> Complaints {
        Complaints(Arc::new(hear))
    }
}

impl Default for Complaints {
    fn default() -> Self {
        Complaints::to(|complaint| log::error!("the core complains: {complaint}"))
    }
}

impl fmt::Debug for Complaints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Complaints")
    }
}

/// Complaints that came, and who hears of them.
#[derive(Debug, Default)]
pub(super) struct Desk {
    hears: Complaints,
    count: AtomicU64,
}

impl Desk {
    pub(super) fn new(hears: Complaints) -> Desk {
        Desk { hears, count: AtomicU64::new(0) }
    }

    /// How many came.
    pub(super) fn count(&self) -> u64 {
        self.count.load(Relaxed)
    }

    /// One came. A panic of who hears it goes no further.
    pub(super) fn take(&self, complaint: &Complaint) {
        self.count.fetch_add(1, Relaxed);
        if catch_unwind(AssertUnwindSafe(|| (self.hears.0)(complaint))).is_err() {
            log::error!("who hears complaints panicked at: {complaint}");
        }
    }
}
