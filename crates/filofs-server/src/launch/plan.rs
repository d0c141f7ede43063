//! `Plan`: what a launcher is to do, as the arguments of that process.
//!
//! It is short and may be read by everybody, as arguments are; the environment, which may hold
//! secrets, travels as environment.

use super::Sandbox;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// Ends the words of the plan; the program and its arguments follow.
const END: &str = "--";

/// What is to be started, and in what.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Plan {
    /// The program and its arguments; never empty.
    pub(super) argv: Vec<OsString>,
    pub(super) sandbox: Sandbox,
    /// What is to be seen over what.
    pub(super) binds: Vec<(PathBuf, PathBuf)>,
    /// Files, and directories that are empty then, to be removed at the end, in this order.
    pub(super) litter: Vec<PathBuf>,
    /// Mounts that are not to be seen.
    pub(super) hidden: Vec<PathBuf>,
    /// Whether there is a channel.
    pub(super) channel: bool,
    /// Whether it must not be started without a mount namespace of its own.
    pub(super) mounts: bool,
    /// Whether to do without namespaces that the sandbox would have.
    pub(super) bare: bool,
}

impl Plan {
    /// As arguments.
    pub(super) fn words(&self) -> Vec<OsString> {
        let mut words = self.sandbox.words();
        words.extend(self.channel.then(|| "channel".into()));
        words.extend(self.mounts.then(|| "mounts".into()));
        words.extend(self.bare.then(|| "bare".into()));
        for (source, over) in &self.binds {
            words.push("bind".into());
            words.push(source.into());
            words.push(over.into());
        }
        for path in &self.litter {
            words.push("litter".into());
            words.push(path.into());
        }
        for path in &self.hidden {
            words.push("hide".into());
            words.push(path.into());
        }
        words.push(END.into());
        words.extend(self.argv.iter().cloned());
        words
    }

    /// From arguments; none if they are not such a plan.
    pub(super) fn parse(words: impl IntoIterator<Item = OsString>) -> Option<Plan> {
        let mut words = words.into_iter();
        let mut plan = Plan::default();
        loop {
            let word = words.next()?;
            match word.as_bytes() {
                b"--" => break,
                b"channel" => plan.channel = true,
                b"mounts" => plan.mounts = true,
                b"bare" => plan.bare = true,
                b"litter" => plan.litter.push(words.next()?.into()),
                b"bind" => plan.binds.push((words.next()?.into(), words.next()?.into())),
                b"hide" => plan.hidden.push(words.next()?.into()),
                option => {
                    let at = option.iter().position(|byte| *byte == b'=')?;
                    let (name, value) = option.split_at(at);
                    let value = OsStr::from_bytes(value.get(1..)?);
                    plan.sandbox.set(std::str::from_utf8(name).ok()?, value).ok()?;
                }
            }
        }
        plan.argv = words.collect();
        (!plan.argv.is_empty()).then_some(plan)
    }

    /// What the program is called.
    pub(super) fn program(&self) -> &OsStr {
        self.argv.first().map_or(OsStr::new(""), |word| word.as_os_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStringExt;

    #[test]
    fn a_plan_comes_back_as_it_was() {
        let mut sandbox = Sandbox::default();
        for (name, value) in [("sandbox", "strict"), ("allow", "--"), ("read", "bind")] {
            sandbox.set(name, value.as_ref()).unwrap();
        }
        let plan = Plan {
            argv: vec!["a".into(), "--".into(), OsString::from_vec(vec![0xff, b'='])],
            sandbox,
            binds: vec![("--".into(), "channel".into())],
            litter: vec!["bind".into(), "/a b".into()],
            hidden: vec!["hide".into(), "/b".into()],
            channel: true,
            mounts: true,
            bare: true,
        };
        assert_eq!(Plan::parse(plan.words()).unwrap(), plan);
        let plan = Plan { argv: vec!["".into()], ..Plan::default() };
        assert_eq!(Plan::parse(plan.words()).unwrap(), plan);
    }

    #[test]
    fn what_is_no_plan_is_refused() {
        for words in [&["--"][..], &[], &["channel"], &["bind", "a", "--"], &["depth=1", "--", "x"]]
        {
            let words = words.iter().map(OsString::from);
            assert_eq!(Plan::parse(words), None);
        }
    }
}
