//! `filo serve`: a stack as a file server, for the filo that started it or for those that connect.

use crate::cli::ServeArgs;
use crate::config::Config;
use crate::daemon;
use crate::exit::Failure;
use crate::signals::{self, Endings};
use crate::spec::StackSpec;
use filofs::{Errno, Stack};
use filofs_server::serve::{Server, channel};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

/// The verb.
pub(crate) fn verb(args: &ServeArgs) -> Result<ExitCode, Failure> {
    let spec = match &args.config {
        Some(_) if !args.words.is_empty() => {
            return Err(Failure::usage("a stack file and a stack on the command line: only one"));
        }
        Some(file) => Config::read(file)?.stack,
        None => StackSpec::parse(&args.words)?,
    };
    let endings = Endings::hold()?;
    let given = channel()?;
    if args.socket.is_none() && given.is_none() {
        return Err(Failure::usage(format!(
            "nobody has started this to be served: say where to listen with '--socket PATH', or \
             mount it with \"filo mount 'server:filo serve {spec}' MOUNTPOINT\""
        )));
    }
    filofs_bases::dir::raise_open_files();
    signals::survive_file_limits()?;
    let stack = spec.build()?;
    match (&args.socket, given) {
        (None, Some(channel)) => {
            let session = Arc::new(Server::new().over(stack, channel)?);
            endings.unmount(&session)?;
            session.wait();
        }
        (Some(path), None) => listen(args, path, spec, stack, endings)?,
        _ => return Err(Failure::usage("'--socket' is not for a server that filo has started")),
    }
    Ok(ExitCode::SUCCESS)
}

/// Serves whoever connects, each with a stack of its own, until a signal comes.
fn listen(
    args: &ServeArgs,
    path: &Path,
    spec: StackSpec,
    stack: Stack,
    endings: Endings,
) -> Result<(), Failure> {
    let mut server = Server::new();
    if let Some(uid) = args.peer {
        server = server.peer(uid);
    }
    let mut first = Some(stack);
    let make = move || {
        first.take().map_or_else(
            || {
                let built = spec.build();
                built.map_err(|Failure { text, .. }| {
                    log::error!("{text}");
                    Errno::EIO
                })
            },
            Ok,
        )
    };
    let listening = Arc::new(server.listen(path, make)?);
    endings.stop(&listening)?;
    daemon::notify_systemd();
    listening.wait();
    Ok(())
}
