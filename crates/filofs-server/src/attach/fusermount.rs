//! How programs call fusermount, fusermount3(1): its arguments, parsed.
//!
//! | who | how |
//! |---|---|
//! | libfuse 2 and 3 | `-o OPTIONS -- MOUNTPOINT`; `-u -q -z -- MOUNTPOINT` |
//! | libfuse 3.17 and later | also `--unmount --quiet --lazy`, `--auto-unmount`, `--comm-fd N` |
//! | libfuse 3.19 and later | also `--sync-init`: mount in two steps |
//! | go-fuse | `MOUNTPOINT -o OPTIONS`, nothing else in the environment; `-u MOUNTPOINT` |
//! | bazil and jacobsa/fuse | `-o OPTION -o OPTION -- MOUNTPOINT`; `-u MOUNTPOINT` |
//!
//! All of them want the descriptor over the socket whose number is in `_FUSE_COMMFD`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The names that it is called by; the last one is mergerfs' own copy.
pub(super) const NAMES: [&str; 3] = ["fusermount3", "fusermount", "mergerfs-fusermount"];

/// What is wanted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// `--version`.
    Version,
    /// Mount.
    Mount(Mount),
    /// Unmount, and whether to be quiet about it.
    Unmount { at: OsString, quiet: bool },
    /// `--auto-unmount`: wait until the program ends, then unmount. Only after a mount that the
    /// program made itself.
    Watch,
    /// No mount point.
    Nothing,
}

/// A mount that is asked for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mount {
    pub(super) at: OsString,
    /// All `-o`, joined by commas.
    pub(super) options: OsString,
    /// `--comm-fd`, which goes before the environment's.
    pub(super) comm_fd: Option<OsString>,
    /// Whether the program says when to go on, and waits to hear that it is mounted.
    pub(super) in_two_steps: bool,
}

impl Call {
    /// Reads the arguments, without the name. As getopt_long(3) does: options and mount point in
    /// any order, `--` ends the options. Options that nobody knows yet are passed over.
    pub(super) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Call {
        let mut seen = Seen::default();
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let bytes = argument.as_bytes();
            if bytes == b"--" {
                seen.at = arguments.next().or(seen.at);
                break;
            } else if let Some(long) = bytes.strip_prefix(b"--") {
                seen.long(long, &mut arguments);
            } else if let Some(letters @ [_, ..]) = bytes.strip_prefix(b"-") {
                seen.short(letters, &mut arguments);
            } else {
                seen.at = Some(argument);
            }
        }
        seen.call()
    }
}

#[derive(Default)]
struct Seen {
    at: Option<OsString>,
    options: Vec<OsString>,
    comm_fd: Option<OsString>,
    version: bool,
    unmount: bool,
    quiet: bool,
    watch: bool,
    in_two_steps: bool,
}

impl Seen {
    fn long(&mut self, long: &[u8], rest: &mut impl Iterator<Item = OsString>) {
        let (name, value) = match long.iter().position(|byte| *byte == b'=') {
            Some(at) => (long.get(..at), long.get(at + 1..).map(|v| OsStr::from_bytes(v).into())),
            None => (Some(long), None),
        };
        match name.unwrap_or_default() {
            b"version" => self.version = true,
            b"unmount" => self.unmount = true,
            b"quiet" => self.quiet = true,
            b"auto-unmount" => self.watch = true,
            b"sync-init" => self.in_two_steps = true,
            b"options" => self.options.extend(value.or_else(|| rest.next())),
            b"comm-fd" => self.comm_fd = value.or_else(|| rest.next()),
            _ => {}
        }
    }

    fn short(&mut self, mut letters: &[u8], rest: &mut impl Iterator<Item = OsString>) {
        while let Some((letter, more)) = letters.split_first() {
            letters = more;
            match letter {
                b'V' => self.version = true,
                b'u' => self.unmount = true,
                b'q' => self.quiet = true,
                b'o' => {
                    let here = (!more.is_empty()).then(|| OsString::from_vec(more.to_vec()));
                    self.options.extend(here.or_else(|| rest.next()));
                    return;
                }
                _ => {}
            }
        }
    }

    fn call(self) -> Call {
        match self.at {
            _ if self.version => Call::Version,
            _ if self.watch => Call::Watch,
            None => Call::Nothing,
            Some(at) if self.unmount => Call::Unmount { at, quiet: self.quiet },
            Some(at) => Call::Mount(Mount {
                at,
                options: self.options.join(OsStr::new(",")),
                comm_fd: self.comm_fd,
                in_two_steps: self.in_two_steps,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Call {
        Call::parse(line.split_whitespace().map(OsString::from))
    }

    fn mount(at: &str, options: &str) -> Mount {
        Mount { at: at.into(), options: options.into(), comm_fd: None, in_two_steps: false }
    }

    #[test]
    fn mounts_as_each_library_asks_for_them() {
        for (line, at, options) in [
            ("-o rw,nosuid,subtype=x -- /a/mnt", "/a/mnt", "rw,nosuid,subtype=x"),
            ("-- /a/mnt", "/a/mnt", ""),
            ("/a/mnt -o max_read=131072,ro", "/a/mnt", "max_read=131072,ro"),
            ("-o subtype=x -o fsname=y -- /a/mnt", "/a/mnt", "subtype=x,fsname=y"),
            ("-oro -qoallow_other /a/mnt", "/a/mnt", "ro,allow_other"),
            ("--options=ro --options rw -- -mnt", "-mnt", "ro,rw"),
            ("--from-the-future -Z -o ro -- /a/mnt", "/a/mnt", "ro"),
        ] {
            assert_eq!(parse(line), Call::Mount(mount(at, options)), "{line}");
        }
        let two = Mount { in_two_steps: true, ..mount("/a", "ro") };
        assert_eq!(parse("--sync-init -o ro -- /a"), Call::Mount(two));
        for line in ["--comm-fd 7 -o ro -- /a", "--comm-fd=7 -o ro -- /a"] {
            let by_number = Mount { comm_fd: Some("7".into()), ..mount("/a", "ro") };
            assert_eq!(parse(line), Call::Mount(by_number), "{line}");
        }
    }

    #[test]
    fn unmounts_as_each_library_asks_for_them() {
        for (line, quiet) in [
            ("-u -q -z -- /a", true),
            ("-uqz /a", true),
            ("-u /a", false),
            ("-z -u /a", false),
            ("--unmount --quiet --lazy -- /a", true),
        ] {
            assert_eq!(parse(line), Call::Unmount { at: "/a".into(), quiet }, "{line}");
        }
    }

    #[test]
    fn the_other_calls() {
        assert_eq!(parse("--version"), Call::Version);
        assert_eq!(parse("-V"), Call::Version);
        assert_eq!(parse("--auto-unmount -- /a"), Call::Watch);
        for line in ["", "-o ro", "-u", "-o", "--comm-fd", "--"] {
            assert_eq!(parse(line), Call::Nothing, "{line}");
        }
    }
}
