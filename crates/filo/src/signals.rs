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
    signal_hook::flag::register(SIGXFSZ, Arc::default()).map(drop).map_err(|e| {
        Failure::new(Exit::Permission, format!("cannot handle the signal SIGXFSZ: {e}"))
    })
}

/// The first SIGINT, SIGTERM or SIGHUP unmounts; when the mount is busy, the next one detaches
/// it, and the process ends with its last user. A thread of its own waits for them.
pub(crate) fn unmount_on_signal(session: &Arc<Session>) -> Result<(), Failure> {
    let wrong =
        |e: std::io::Error| Failure::new(Exit::Permission, format!("cannot wait for signals: {e}"));
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(wrong)?;
    let session = session.clone();
    std::thread::Builder::new()
        .name("filo-signals".into())
        .spawn(move || {
            let mut lazy = false;
            for _ in signals.forever() {
                match session.unmount(lazy) {
                    Ok(()) => {}
                    Err(e) if lazy => log::error!("{e}"),
                    Err(e) => {
                        log::error!("{e}; a second signal detaches it");
                        lazy = true;
                    }
                }
            }
        })
        .map_err(wrong)?;
    Ok(())
}
