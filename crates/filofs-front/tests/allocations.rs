//! What the hot requests allocate: nothing, but for what outlives them.

#![allow(unsafe_code)] // an allocator that counts
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use support::constants::{Constants, NAME};
use support::peer::{Peer, acts};

struct Counting;

static COUNT: AtomicU64 = AtomicU64::new(0);

// SAFETY: everything is the system's allocator's; counting touches no memory of it.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller keeps the rules of `alloc`, which are the same.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: it was allocated by the line above, with that layout.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_hot_request_allocates_nothing() {
    // For each kind of request what it may allocate: the node of a file that is found for the
    // first time, and an open file.
    let may = |kind| match kind {
        "open" => 1,
        "create" => 2,
        _ => 0,
    };
    let mut peer = Peer::new(Arc::new(Constants::default()), Vec::new());
    let mut wrong = Vec::new();
    for (kind, mut act) in acts(&mut peer, NAME) {
        const TIMES: u64 = 200;
        for _ in 0..TIMES {
            act(&mut peer); // tables reach their size
        }
        let before = COUNT.load(Ordering::Relaxed);
        for _ in 0..TIMES {
            act(&mut peer);
        }
        let made = COUNT.load(Ordering::Relaxed) - before;
        // What happens beside them (a thread more) is less than one each.
        if made >= may(kind) * TIMES + TIMES / 2 {
            wrong.push((kind, made));
        }
    }
    assert!(wrong.is_empty(), "allocations in 200 requests: {wrong:?}");
}
