//! `filo`: the command. Mounts a stack of file systems in user space.

mod cli;
mod config;
mod control;
mod crowd;
mod daemon;
mod exit;
mod explain;
mod guardian;
mod helper;
mod list;
mod liveness;
mod logger;
mod mount;
mod mounts;
mod namespace;
mod options;
mod out;
mod run;
mod serve;
mod signals;
mod spec;
mod umount;

use clap::Parser;
use cli::{Cli, Verb};
use exit::{Exit, Failure, mount_helper_code};
use filofs_server::{attach, launch};
use helper::HelperCall;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    // Other lives of this program: it starts others, and stands in for fusermount among them.
    if let Some(code) = launch::door().or_else(|| attach::door(std::env::args_os())) {
        return code;
    }
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(code) = guardian::life(&arguments).or_else(|| liveness::life(&arguments)) {
        return code;
    }
    if let Some(call) = HelperCall::recognise(&arguments) {
        return call
            .and_then(HelperCall::verb)
            .unwrap_or_else(|failure| fail(&failure, mount_helper_code(failure.exit)));
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        // Help and version, asked for.
        Err(told) if !told.use_stderr() => {
            let told = out::say(&told.render().to_string());
            return told.unwrap_or_else(|failure| fail(&failure, failure.exit as u8));
        }
        Err(told) if arguments.len() < 2 => {
            eprint!("{}", told.render());
            return ExitCode::from(Exit::Usage as u8);
        }
        Err(told) => {
            let failure = cli::failure(&told, &arguments);
            return fail(&failure, failure.exit as u8);
        }
    };
    verb(&cli.verb).unwrap_or_else(|failure| fail(&failure, failure.exit as u8))
}

/// Says why, in one line.
fn fail(failure: &Failure, code: u8) -> ExitCode {
    let line = format!("filo: {failure}\n");
    // Whoever has closed standard error does not want to know.
    let _ = std::io::stderr().write_all(line.as_bytes());
    ExitCode::from(code)
}

fn verb(verb: &Verb) -> Result<ExitCode, Failure> {
    logger::start(match verb {
        Verb::Mount(args) => args.stack.verbose,
        Verb::Run(args) => args.stack.verbose,
        Verb::Serve(args) => args.verbose,
        _ => 0,
    });
    match verb {
        Verb::Mount(args) => mount::verb(args),
        Verb::Run(args) => run::verb(args),
        Verb::Serve(args) => serve::verb(args),
        Verb::Umount(args) => umount::verb(args),
        Verb::List(args) => list::verb(args),
        Verb::Layers => explain::layers_verb(),
        Verb::Check { file } => explain::check_verb(file),
        Verb::Explain(args) => explain::explain_verb(args),
    }
}
