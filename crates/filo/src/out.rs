//! Standard output: what the verbs that list and explain say.

use crate::exit::{Exit, Failure};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;

/// Says it, and answers with which exit code the command ends. A reader that has seen enough, as
/// `head`, is no error that anybody should read about; the code is that of SIGPIPE.
pub(crate) fn say(text: &str) -> Result<ExitCode, Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Ok(()) => Ok(ExitCode::SUCCESS),
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(ExitCode::from(128 + 13)),
        Err(e) => Err(Failure::new(Exit::Usage, format!("cannot write to standard output: {e}"))),
    }
}
