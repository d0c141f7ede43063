//! The doors of mount(8): `/sbin/mount.filo SPEC MNT [-sfnv] [-o LIST]`, and what mount.fuse3(8)
//! runs, `filo SPEC MNT [-o LIST]`, two bare words and no verb.

use crate::cli::{Cli, StackArgs};
use crate::exit::Failure;
use crate::logger;
use crate::mount::{Plan, read_options, serve_in};
use crate::spec::split_words;
use clap::CommandFactory;
use std::path::Path;
use std::process::ExitCode;

/// What mount(8) says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct HelperCall {
    words: Vec<String>,
    options: Vec<String>,
    sloppy: bool,
    fake: bool,
    foreground: bool,
    verbose: u8,
}

impl HelperCall {
    /// Whether the arguments are those of a helper: the program is called `mount.something`, or
    /// the first word is no verb but a stack.
    pub(crate) fn recognise(arguments: &[String]) -> Option<Result<HelperCall, Failure>> {
        let (program, rest) = arguments.split_first()?;
        let program = Path::new(program).file_name()?.to_string_lossy();
        let first = rest.first()?;
        let is_verb = |word: &str| word == "help" || Cli::command().find_subcommand(word).is_some();
        // mount.fuse3 gives exactly this, with options always.
        let is_call = matches!(rest, [_, at, o, _] if o == "-o" && at.starts_with('/'));
        let is_stack = first.contains([':', '/', ' ']) || is_call;
        let is_stack = is_stack && !first.starts_with('-') && !is_verb(first);
        (program.starts_with("mount.") || is_stack).then(|| HelperCall::parse(rest))
    }

    fn parse(rest: &[String]) -> Result<HelperCall, Failure> {
        let mut call = HelperCall::default();
        let mut words = rest.iter();
        while let Some(word) = words.next() {
            match word.as_str() {
                "-o" => call.options.extend(words.next().cloned()),
                // The type, and the namespace, which mount(8) has entered already.
                "-t" | "-N" => {
                    words.next();
                }
                flags if flags.starts_with("-o") => {
                    call.options.extend(flags.get(2..).map(Into::into));
                }
                flags if flags.starts_with('-') && flags.len() > 1 => {
                    for flag in flags.chars().skip(1) {
                        match flag {
                            's' => call.sloppy = true,
                            // mount(8)'s "do everything but mounting".
                            'f' => call.fake = true,
                            'v' => call.verbose += 1,
                            'n' => {}
                            'd' => call.foreground = true,
                            _ => return Err(Failure::usage(format!("no option '-{flag}'"))),
                        }
                    }
                }
                word => call.words.push(word.to_owned()),
            }
        }
        Ok(call)
    }

    /// Mounts.
    pub(crate) fn verb(self) -> Result<ExitCode, Failure> {
        logger::start(self.verbose);
        let args = StackArgs { config: None, options: self.options, verbose: self.verbose };
        let (options, config) = read_options(&args, self.sloppy)?;
        let [spec, mountpoint] = self.words.as_slice() else {
            return Err(Failure::usage("give two words: what to mount, and where"));
        };
        // With a stack file the first word is what the file is called in fstab, no more.
        let mut words = if config.is_some() { Vec::new() } else { split_words(spec) };
        words.push(mountpoint.clone());
        let plan = Plan::new(words, options, config)?;
        if self.fake {
            plan.stack.check_options()?;
            return Ok(ExitCode::SUCCESS);
        }
        serve_in(self.foreground, plan, None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recognise(words: &[&str]) -> Option<HelperCall> {
        let words: Vec<String> = words.iter().map(|w| (*w).to_owned()).collect();
        HelperCall::recognise(&words).map(Result::unwrap)
    }

    #[test]
    fn calls_of_mount_are_told_from_verbs() {
        assert!(recognise(&["filo", "mount", "dir:/a", "/b"]).is_none());
        assert!(recognise(&["filo", "list"]).is_none());
        assert!(recognise(&["filo"]).is_none());
        let call = recognise(&["filo", "dir:/a null", "/b", "-o", "rw,dev,suid"]).unwrap();
        assert_eq!(call.words, ["dir:/a null", "/b"]);
        assert_eq!(call.options, ["rw,dev,suid"]);
        assert!(recognise(&["filo", "mount", "/b", "-o", "help"]).is_none());
        assert!(recognise(&["filo", "photos", "/b"]).is_none());
        let call = recognise(&["filo", "photos", "/b", "-o", "rw,config=/x.toml"]).unwrap();
        assert_eq!(call.words, ["photos", "/b"]);
        let call = recognise(&["/sbin/mount.filo", "mem", "/b", "-sv", "-n", "-oro"]).unwrap();
        assert!(call.sloppy && !call.fake && call.verbose == 1);
        assert_eq!((call.words.len(), call.options), (2, vec!["ro".to_owned()]));
    }
}
