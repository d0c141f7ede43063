//! The command line, as clap reads it.

use crate::exit::Failure;
use clap::{Args, CommandFactory, Parser, Subcommand};
use std::path::PathBuf;

const AFTER: &str = "\
A stack is a base and the layers over it, from bottom to top:
  filo mount dir:/srv/photos null /mnt/photos
  filo mount mem:size=2g /mnt/scratch
  filo run dir:. readonly -- make
  filo mount 'exec:sshfs host:/data {}' /mnt/data
  filo mount server:./my-server /mnt/mine
'filo layers' lists every base and layer with its options.

Exit codes: 0 done, 1 wrong usage, 2 wrong stack or configuration, 3 the mount point,
4 a right is missing, 5 a base or layer could not be set up. 'filo run' ends with the code of
its command; 128 + n after signal n.";

/// Mount a stack of file systems in user space.
#[derive(Parser, Debug)]
#[command(name = "filo", version, after_help = AFTER, max_term_width = 100)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

#[derive(Subcommand, Debug)]
pub(crate) enum Verb {
    /// Mount a stack: base, layers from bottom to top, mount point
    Mount(MountArgs),
    /// Run a command that sees the stack, in a mount namespace of its own
    Run(RunArgs),
    /// Serve a stack to others: to the filo that started this, or to those that connect
    Serve(ServeArgs),
    /// Unmount
    Umount(UmountArgs),
    /// List the mounts of this user
    List(ListArgs),
    /// List every base and layer with its options
    Layers,
    /// Check a stack file without mounting it
    Check {
        /// The file
        file: PathBuf,
    },
    /// Show how a stack is understood: as one line, as a file, and who takes part in what
    Explain(ExplainArgs),
}

#[derive(Args, Debug, Clone)]
pub(crate) struct StackArgs {
    /// Read the stack (and mount point) from this TOML file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Mount options, separated by commas; 'filo mount -o help' lists them
    #[arg(short, value_name = "OPTIONS")]
    pub(crate) options: Vec<String>,
    /// Log more: once for notices, twice for every detail
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct MountArgs {
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Stay in the foreground
    #[arg(short, long)]
    pub(crate) foreground: bool,
    /// Append log and trace lines to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// Write every message between filo and the base's server to standard error or the log file,
    /// as the option 'trace-messages' of the base does
    #[arg(long)]
    pub(crate) trace_messages: bool,
    /// The base, the layers from bottom to top, and the mount point
    #[arg(value_name = "BASE [LAYER].. MOUNTPOINT")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct RunArgs {
    #[command(flatten)]
    pub(crate) stack: StackArgs,
    /// Where the command sees the stack (default: over the base's own directory, else a new one)
    #[arg(long, value_name = "DIRECTORY")]
    pub(crate) at: Option<PathBuf>,
    /// The base, and the layers from bottom to top
    #[arg(value_name = "BASE [LAYER]..")]
    pub(crate) words: Vec<String>,
    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "COMMAND")]
    pub(crate) command: Vec<std::ffi::OsString>,
}

const SERVE_AFTER: &str = "\
Started by another filo:
  filo mount 'server:filo serve dir:/srv readonly' /mnt
Listening for others, and one of them:
  filo serve dir:/srv --socket /run/srv.sock
  filo mount server:unix=/run/srv.sock /mnt
At a socket each mount has a stack of its own: two mounts of 'mem:' do not share files.";

#[derive(Args, Debug, Clone)]
#[command(after_help = SERVE_AFTER)]
pub(crate) struct ServeArgs {
    /// Read the stack from this TOML file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Listen at this path
    #[arg(long, value_name = "PATH")]
    pub(crate) socket: Option<PathBuf>,
    /// Who may connect to the socket beside root: a number (default: this user)
    #[arg(long, value_name = "UID", requires = "socket")]
    pub(crate) peer: Option<u32>,
    /// Log more: once for notices, twice for every detail
    #[arg(short, long, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// The base, and the layers from bottom to top
    #[arg(value_name = "BASE [LAYER]..")]
    pub(crate) words: Vec<String>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct UmountArgs {
    /// Detach now, end when the last user is gone
    #[arg(short, long)]
    pub(crate) lazy: bool,
    /// How long to wait for the end of the server, in seconds
    #[arg(long, default_value_t = 10, value_name = "SECONDS")]
    pub(crate) timeout: u64,
    /// What to unmount
    #[arg(required = true, value_name = "MOUNTPOINT")]
    pub(crate) mountpoints: Vec<PathBuf>,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct ListArgs {
    /// Say more of each: numbers, and how its servers in other processes are
    #[arg(short, long)]
    pub(crate) verbose: bool,
    /// For scripts: a JSON array; keys are only ever added
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Args, Debug, Clone)]
pub(crate) struct ExplainArgs {
    /// Read the stack from this TOML file
    #[arg(short, long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// A stack file, or the base and the layers from bottom to top
    #[arg(value_name = "FILE | BASE [LAYER]..")]
    pub(crate) words: Vec<String>,
}

/// What was wrong with a command line, in one line that ends with where help is.
pub(crate) fn failure(told: &clap::Error, arguments: &[String]) -> Failure {
    let text = told.render().to_string();
    // Up to the usage: what is wrong, and perhaps a tip in a paragraph of its own.
    let mut parts = text.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>());
    let wrong = parts.next().unwrap_or_default().join(" ");
    let wrong = wrong.strip_prefix("error: ").unwrap_or(&wrong).to_owned();
    // A tip how to pass what looks like an option as a word would lead the wrong way.
    let tip = parts.next().unwrap_or_default().join(" ");
    let tip = tip.strip_prefix("tip: ").filter(|tip| !tip.contains("to pass"));
    let verb = arguments.get(1).filter(|verb| Cli::command().find_subcommand(verb).is_some());
    let help = verb.map_or("filo --help".into(), |verb| format!("filo {verb} --help"));
    let tip = tip.map(|tip| format!("{tip}; ")).unwrap_or_default();
    Failure::usage(format!("{wrong}; {tip}see '{help}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_sound() {
        Cli::command().debug_assert();
    }
}
