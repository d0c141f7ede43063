//! The signals that end a mount.

use super::{Listening, ServeError};
use filofs_front::fuse::Session;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::Arc;

/// SIGINT, SIGTERM and SIGHUP. From the moment this is there none of them kills the process: what
/// comes before there is a mount is kept until then, so that none is left behind.
#[derive(Debug)]
pub struct Endings(Signals);

impl Endings {
    /// Holds them off. Errors: [`ServeError::System`].
    pub fn hold() -> Result<Endings, ServeError> {
        let signals = Signals::new([SIGINT, SIGTERM, SIGHUP]);
        signals.map(Endings).map_err(|e| ServeError::system("handle signals", &e))
    }

    /// The first one unmounts; when the mount is busy, the next one detaches it, and the process
    /// ends with its last user. A thread of its own waits for them, as long as the process lives.
    /// Errors: [`ServeError::System`].
    pub fn unmount(self, session: &Arc<Session>) -> Result<(), ServeError> {
        let session = session.clone();
        self.each(move |lazy| match session.unmount(lazy) {
            Ok(()) => lazy,
            Err(e) => {
                let hint = if lazy { "" } else { "; a second signal detaches it" };
                log::error!("{e}{hint}");
                true
            }
        })
    }

    /// The first one stops, and the next one does it without asking. As [`Endings::unmount`].
    pub fn stop(self, listening: &Arc<Listening>) -> Result<(), ServeError> {
        let listening = listening.clone();
        self.each(move |lazy| {
            listening.stop(lazy);
            true
        })
    }

    /// Calls that for each signal, and tells it what it answered the last time; `false` first.
    fn each(
        mut self,
        mut end: impl FnMut(bool) -> bool + Send + 'static,
    ) -> Result<(), ServeError> {
        let wait = move || {
            let mut lazy = false;
            for _ in self.0.forever() {
                lazy = end(lazy);
            }
        };
        std::thread::Builder::new()
            .name("filo-signals".into())
            .spawn(wait)
            .map(drop)
            .map_err(|e| ServeError::system("start a thread", &e))
    }
}
