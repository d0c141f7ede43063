//! A server that listens at a socket, and that somebody else starts: here, the test.

use crate::ground::{FOREVER, wait_until};
use filofs::{Errno, locked};
use filofs_bases::dir::{Dir, DirOptions};
use filofs_server::channel::Channel;
use filofs_server::serve::Server;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Mutex;

/// The first word of the command line of a server that listens.
pub const LISTEN: &str = "listen";

/// The server, over all its lives. Killed with the value.
pub struct Listener {
    source: PathBuf,
    pub socket: PathBuf,
    child: Mutex<Child>,
}

impl Listener {
    /// Starts one, and waits until it listens.
    pub fn start(source: &Path, socket: &Path) -> Listener {
        let child = Mutex::new(spawn(source, socket));
        wait_until("it listens", &[], || Channel::dial(socket, FOREVER).is_ok());
        Listener { source: source.to_owned(), socket: socket.to_owned(), child }
    }

    /// Kills it, and waits until it is dead.
    pub fn kill(&self) {
        let mut child = locked(&self.child);
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Kills it, if it was not killed already, and starts it at the same place.
    pub fn again(&self) {
        self.kill();
        *locked(&self.child) = spawn(&self.source, &self.socket);
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.kill();
    }
}

fn spawn(source: &Path, socket: &Path) -> Child {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg(LISTEN).arg(source).arg(socket).stdin(Stdio::null());
    command.spawn().unwrap()
}

/// The server.
pub fn serve(directory: &str, socket: &str) -> ExitCode {
    let directory = PathBuf::from(directory);
    let open = move || Dir::open(&directory, DirOptions::default()).map_err(|_| Errno::EIO);
    Server::new().listen(socket.as_ref(), open).unwrap().wait();
    ExitCode::SUCCESS
}
