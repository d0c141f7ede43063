//! The server half: a file system of one's own as a process of its own.
//!
//! Implement [`FileSystem`], and let `main` be one call:
//!
//! ```no_run
//! # use filofs::{Attr, Context, Entry, FileSystem, Result};
//! struct Hello;
//!
//! impl FileSystem for Hello {
//!     fn root(&self, _: &Context<'_>) -> Result<Entry> {
//!         Ok(Entry::new(Attr::directory(1)))
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     filofs_server::serve(Hello)
//! }
//! ```
//!
//! The program then works both ways: `filo mount server:./hello /mnt` starts it and mounts what it
//! serves, perhaps under layers; `./hello /mnt` mounts itself, without filo. The same type is a
//! base in process as well, unchanged.
//!
//! [`Server`] is for programs that want more: a name, fewer threads, to be told what the core
//! finds wrong with their answers, or to listen for cores that connect.
//!
//! # What differs from a mount of one's own
//!
//! Toward a core there are no mount options: who may do what, what is cached and what is shown is
//! decided by the mount above. Over filo's extension of FUSE the file system is asked the
//! operations that Linux does not know (handles, the unmount question, sync modes), and its
//! notices can be answered.

mod ending;
mod error;
mod given;
mod listening;
mod socket;

use filofs::{Errno, FileSystem, Identity, Mount, Stack};
use filofs_front::fuse::{Complaints, FuseOptions};
use rustix::fd::OwnedFd;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

pub use ending::Endings;
pub use error::ServeError;
pub use filofs_front::fuse::{Arguments, Complaint, Report, ServeState, Session};
pub use given::channel;
pub use listening::Listening;

/// The environment variable by which whoever starts a file server tells it the number of the
/// descriptor to serve over: a socket of type SOCK_SEQPACKET.
pub const CHANNEL: &str = "FILO_CHANNEL";

/// The whole of a file server's `main`: serves over the channel that this process was given, or
/// mounts at the one word of its command line, until the core is gone or somebody unmounts.
/// SIGINT, SIGTERM and SIGHUP unmount. What goes wrong is told on standard error in one line; the
/// code is 0, 1 for a wrong call, or that of [`ServeError::exit_code`].
///
/// To be called from `main`, before anything else makes use of descriptors that it did not open.
pub fn serve(fs: impl FileSystem + 'static) -> ExitCode {
    match Server::new().serve(fs, std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{}: {error}", program().unwrap_or_else(|| "server".into()));
            ExitCode::from(error.exit_code())
        }
    }
}

/// How to serve. Nothing here needs to be said.
#[derive(Clone, Debug)]
pub struct Server {
    name: Option<String>,
    options: FuseOptions,
    complaints: Complaints,
    peer: Option<u32>,
}

impl Server {
    /// As [`serve()`] serves.
    pub fn new() -> Server {
        let options = FuseOptions {
            // The mount above decides, and its kernel keeps what is kept back.
            default_permissions: Some(false),
            writeback: Some(false),
            ..FuseOptions::default()
        };
        Server { name: None, options, complaints: Complaints::default(), peer: None }
    }

    /// What kind of file system it is, instead of [`FileSystem::name`].
    #[must_use]
    pub fn name(mut self, name: &str) -> Server {
        self.name = Some(name.to_owned());
        self
    }

    /// Most threads that serve one core at once, at least 1.
    #[must_use]
    pub fn threads(mut self, most: usize) -> Server {
        self.options.most_workers = most.max(1);
        self
    }

    /// Who hears of what the core finds wrong with answers (A119). By default that is logged as an
    /// error; [`Report::complaints`] counts in any case.
    #[must_use]
    pub fn on_error(mut self, hear: impl Fn(&Complaint) + Send + Sync + 'static) -> Server {
        self.complaints = Complaints::to(hear);
        self
    }

    /// Whose cores may connect where it listens, beside root's; its own user's by default.
    #[must_use]
    pub const fn peer(mut self, uid: u32) -> Server {
        self.peer = Some(uid);
        self
    }

    /// As [`serve()`], with the words of a command line. Blocks until the end.
    ///
    /// Errors: every [`ServeError`].
    pub fn serve(
        &self,
        fs: impl FileSystem + 'static,
        words: impl IntoIterator<Item = OsString>,
    ) -> Result<(), ServeError> {
        let mut words = words.into_iter();
        let endings = Endings::hold()?;
        let session = match given::channel()? {
            Some(channel) => self.over(fs, channel)?,
            None => match (words.next(), words.next()) {
                (Some(at), None) if !at.as_encoded_bytes().starts_with(b"-") => {
                    self.mount(fs, Path::new(&at))?
                }
                _ => return Err(ServeError::ByHand { program: program() }),
            },
        };
        let session = Arc::new(session);
        endings.unmount(&session)?;
        session.wait();
        Ok(())
    }

    /// Serves over a socket of type SOCK_SEQPACKET whose other end plays the kernel. When it
    /// returns, the core has been answered for the first time.
    ///
    /// Errors: [`ServeError::Mount`] when the two cannot agree, or the file system has no root.
    pub fn over(
        &self,
        fs: impl FileSystem + 'static,
        channel: OwnedFd,
    ) -> Result<Session, ServeError> {
        let mount = self.made(fs, Path::new(""))?;
        Ok(Session::over_core(mount, channel, &self.options, self.complaints.clone())?)
    }

    /// Listens at that path for cores to connect, as `filo mount server:unix=PATH` does, and
    /// serves each with a file system that `make` makes for it; an errno turns it away. Who
    /// connects must be root or the user of [`Server::peer`]. A socket there that nobody listens
    /// at any more is replaced.
    ///
    /// Errors: [`ServeError::Taken`], [`ServeError::NoSocket`], [`ServeError::Socket`].
    pub fn listen<F: FileSystem + 'static>(
        &self,
        path: &Path,
        make: impl FnMut() -> filofs::Result<F> + Send + 'static,
    ) -> Result<Listening, ServeError> {
        Listening::start(self.clone(), path, make)
    }

    /// Mounts by itself, in this machine's own tree: no core is needed.
    ///
    /// Errors: as [`Session::start`].
    pub fn mount(&self, fs: impl FileSystem + 'static, at: &Path) -> Result<Session, ServeError> {
        let options =
            FuseOptions { most_workers: self.options.most_workers, ..FuseOptions::default() };
        Ok(Session::start(self.made(fs, at)?, at, &options)?)
    }

    fn made(&self, fs: impl FileSystem + 'static, at: &Path) -> Result<Arc<Mount>, ServeError> {
        let no_root = |errno| ServeError::NoRoot { errno };
        let kind = self.name.as_deref().unwrap_or_else(|| fs.name());
        let identity = Identity::new(&fs.describe(), kind, &at.to_string_lossy());
        let identity = identity.map_err(no_root)?;
        let stack = Stack::new(Arc::new(fs), []).ok_or_else(|| no_root(Errno::EINVAL))?;
        Ok(Arc::new(Mount::new(stack, identity).map_err(no_root)?))
    }
}

impl Default for Server {
    fn default() -> Self {
        Server::new()
    }
}

/// The name this program was called by.
fn program() -> Option<String> {
    std::env::args_os().next().map(|word| word.to_string_lossy().into_owned())
}
