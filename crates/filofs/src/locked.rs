//! `locked`: takes a mutex, whoever panicked while holding it.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Takes a mutex. A panic is the end of one operation, not of the mount: what it left behind a
/// mutex stays in use, so code under a lock must leave the data whole between any two of its
/// steps that can panic.
pub fn locked<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
