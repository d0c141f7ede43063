//! `Life`: where a served file system is in its life (A45).

use filofs::locked;
use std::collections::VecDeque;
use std::sync::Mutex;

/// A state of a served file system (A45).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ServeState {
    /// There is no mount yet.
    BeforeMount,
    /// It is in use.
    Running,
    /// The file system has been asked whether the mount may go.
    Unmounting,
    /// It may, or has gone.
    Unmounted,
}

/// The states of one session, as they came.
#[derive(Debug)]
pub(super) struct Life(Mutex<VecDeque<ServeState>>);

impl Life {
    /// Most states that are remembered: a refused unmount may be tried again and again.
    const MOST: usize = 64;

    /// The first state.
    pub(super) fn new() -> Life {
        Life(Mutex::new(VecDeque::from([ServeState::BeforeMount])))
    }

    /// It is in that state now. Nothing comes after Unmounted.
    pub(super) fn enter(&self, state: ServeState) {
        let mut trace = locked(&self.0);
        let last = trace.back().copied();
        if last == Some(state) || last == Some(ServeState::Unmounted) {
            return;
        }
        if trace.len() == Self::MOST {
            trace.pop_front();
        }
        trace.push_back(state);
    }

    /// The last states, oldest first; the last one is that of now.
    pub(super) fn trace(&self) -> Vec<ServeState> {
        locked(&self.0).iter().copied().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_trace_is_bounded_and_ends_with_unmounted() {
        let life = Life::new();
        for _ in 0..100 {
            life.enter(ServeState::Running);
            life.enter(ServeState::Running);
            life.enter(ServeState::Unmounting);
        }
        life.enter(ServeState::Unmounted);
        life.enter(ServeState::Running);
        let trace = life.trace();
        assert_eq!(trace.len(), Life::MOST);
        assert_eq!(trace.last(), Some(&ServeState::Unmounted));
    }
}
