//! `Flight`: one request being worked on; `Flights`: all of them.

use filofs::{Cancel, locked};
use std::sync::{Arc, Mutex};

/// A worker's place for the request it works on. Used again for each of its requests.
#[derive(Debug, Default)]
pub(super) struct Flight {
    /// The request's id; 0 for none.
    unique: Mutex<u64>,
    /// Its caller's "stop".
    pub(super) cancel: Cancel,
}

impl Flight {
    /// A request begins.
    pub(super) fn begin(&self, unique: u64) {
        *locked(&self.unique) = unique;
    }

    /// It has been answered.
    pub(super) fn end(&self) {
        let mut unique = locked(&self.unique);
        *unique = 0;
        // Under the lock: a late interrupt must not reach the next request.
        self.cancel.reset();
    }
}

/// All requests being worked on.
#[derive(Debug, Default)]
pub(super) struct Flights(Mutex<Vec<Arc<Flight>>>);

impl Flights {
    /// A place for a new worker.
    pub(super) fn join(&self) -> Arc<Flight> {
        let flight = Arc::new(Flight::default());
        locked(&self.0).push(flight.clone());
        flight
    }

    /// The worker goes.
    pub(super) fn leave(&self, flight: &Arc<Flight>) {
        locked(&self.0).retain(|other| !Arc::ptr_eq(other, flight));
    }

    /// Cancels that request. False when nobody works on it: not yet, or not any more.
    pub(super) fn interrupt(&self, wanted: u64) -> bool {
        for flight in locked(&self.0).iter() {
            let unique = locked(&flight.unique);
            if *unique == wanted {
                flight.cancel.cancel();
                return true;
            }
        }
        false
    }

    /// Cancels all: their callers are gone.
    pub(super) fn interrupt_all(&self) {
        for flight in locked(&self.0).iter() {
            let unique = locked(&flight.unique);
            if *unique != 0 {
                flight.cancel.cancel();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_reaches_its_request_and_no_other() {
        let flights = Flights::default();
        let (a, b) = (flights.join(), flights.join());
        a.begin(10);
        b.begin(12);
        assert!(flights.interrupt(12));
        assert!(b.cancel.is_cancelled() && !a.cancel.is_cancelled());
        b.end();
        assert!(!b.cancel.is_cancelled(), "the next request starts afresh");
        assert!(!flights.interrupt(12), "answered already");
        assert!(!flights.interrupt(99));
        flights.leave(&a);
        assert!(!flights.interrupt(10));
    }
}
