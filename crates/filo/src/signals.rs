//! What signals do to a process that serves a mount.

use crate::exit::{Exit, Failure};
use signal_hook::consts::SIGXFSZ;
use std::sync::Arc;

pub(crate) use filofs_server::serve::Endings;

/// A caller's limit of file size is the caller's; ours (RLIMIT_FSIZE) must not end the process but
/// be EFBIG for the write that meets it. A handler that does nothing is enough, and unlike an
/// ignored signal it is not passed on to commands.
pub(crate) fn survive_file_limits() -> Result<(), Failure> {
    signal_hook::flag::register(SIGXFSZ, Arc::default())
        .map(drop)
        .map_err(|e| Failure::new(Exit::Permission, format!("cannot handle signals: {e}")))
}
