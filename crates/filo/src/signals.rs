//! What signals do to a process that serves a mount.

use crate::exit::{Exit, Failure};
use filofs_front::fuse::Session;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGXFSZ};
use signal_hook::iterator::Signals;
use std::sync::Arc;

/// A caller's limit of file size is the caller's; ours (RLIMIT_FSIZE) must not end the process but
/// be EFBIG for the write that meets it. A handler that does nothing is enough, and unlike an
/// ignored signal it is not passed on to commands.
pub(crate) fn survive_file_limits() -> Result<(), Failure> {
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop).map_err(|e| wrong(&e))
}

/// The signals that end a mount. From the moment this is there none of them kills the process:
/// what comes before there is a mount is kept until then, so that none is left behind.
pub(crate) struct Endings(Signals);

impl Endings {
    /// Holds them off.
    pub(crate) fn hold() -> Result<Endings, Failure> {
        Signals::new([SIGINT, SIGTERM, SIGHUP]).map(Endings).map_err(|e| wrong(&e))
    }

    /// The first one unmounts; when the mount is busy, the next one detaches it, and the process
    /// ends with its last user. A thread of its own waits for them.
    pub(crate) fn unmount(mut self, session: &Arc<Session>) -> Result<(), Failure> {
        let session = session.clone();
        let wait = move || {
            let mut lazy = false;
            for _ in self.0.forever() {
                match session.unmount(lazy) {
                    Ok(()) => {}
                    Err(e) if lazy => log::error!("{e}"),
                    Err(e) => {
                        log::error!("{e}; a second signal detaches it");
                        lazy = true;
                    }
                }
            }
        };
        std::thread::Builder::new()
            .name("filo-signals".into())
            .spawn(wait)
            .map(drop)
            .map_err(|e| wrong(&e))
    }
}

fn wrong(error: &std::io::Error) -> Failure {
    Failure::new(Exit::Permission, format!("cannot handle signals: {error}"))
}
