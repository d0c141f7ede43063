//! `filo`: the command. Mounts a stack of file systems in user space.

mod cli;
mod config;
mod control;
mod daemon;
mod exit;
mod explain;
mod helper;
mod list;
mod logger;
mod mount;
mod mounts;
mod namespace;
mod options;
mod run;
mod signals;
mod spec;
mod umount;

use clap::Parser;
use cli::{Cli, Verb};
use exit::{Exit, Failure, mount_helper_code};
use helper::HelperCall;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> =
        std::env::args_os().map(|word| word.to_string_lossy().into_owned()).collect();
    if let Some(call) = HelperCall::recognise(&arguments) {
        return call.and_then(HelperCall::verb).unwrap_or_else(|failure| {
            eprintln!("filo: {failure}");
            ExitCode::from(mount_helper_code(failure.exit))
        });
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(told) => {
            let _ = told.print();
            return if told.use_stderr() {
                ExitCode::from(Exit::Usage as u8)
            } else {
                ExitCode::SUCCESS
            };
        }
    };
    verb(&cli.verb).unwrap_or_else(|failure| {
        eprintln!("filo: {failure}");
        ExitCode::from(failure.exit as u8)
    })
}

fn verb(verb: &Verb) -> Result<ExitCode, Failure> {
    logger::start(match verb {
        Verb::Mount(args) => args.stack.verbose,
        Verb::Run(args) => args.stack.verbose,
        _ => 0,
    });
    match verb {
        Verb::Mount(args) => mount::verb(args),
        Verb::Run(args) => run::verb(args),
        Verb::Umount(args) => umount::verb(args),
        Verb::List(args) => list::verb(args),
        Verb::Layers => Ok(explain::layers_verb()),
        Verb::Check { file } => explain::check_verb(file),
        Verb::Explain(args) => explain::explain_verb(args),
    }
}
