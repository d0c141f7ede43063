//! `Settings`: how large a `mem` may get and what its root looks like.

use super::Mem;
use super::pages::PAGE;
use filofs::{Definition, FileSystem, Gid, OptionHelp, Options, Role, SetupError, Uid};
use std::fmt;
use std::sync::Arc;

/// `mem` on the command line.
pub const DEFINITION: Definition = Definition {
    name: "mem",
    summary: "files in memory, gone with the mount",
    argument: None,
    is_command: false,
    options: OPTIONS,
    role: Role::Base(build),
};

const OPTIONS: &[OptionHelp] = &[
    OptionHelp {
        key: "size",
        value: "SIZE",
        help: "how much data it may hold, as 512m or 2g (default: half of the machine's memory)",
    },
    OptionHelp {
        key: "inodes",
        value: "NUMBER",
        help: "how many files it may hold (default: one for every 8 KiB of the machine's memory)",
    },
    OptionHelp {
        key: "mode",
        value: "OCTAL",
        help: "permissions of the root (default 0755; 1777 for a place everybody may write)",
    },
    OptionHelp { key: "uid", value: "NUMBER", help: "owner of the root (default: who mounts)" },
    OptionHelp { key: "gid", value: "NUMBER", help: "group of the root (default: who mounts)" },
    OptionHelp {
        key: "stateless",
        value: "on|off",
        help: "opening a file asks nothing, which is quicker, and chattr +i and +a are refused \
               (default: off)",
    },
];

/// How large it may get and what its root looks like. The default is what the command has.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// The most bytes of data, extended attributes and symlink targets. Inodes and names come on
    /// top, and `inodes` bounds them.
    pub size: u64,
    /// The most inodes; each further name of a file counts as one more, as on tmpfs.
    pub inodes: u64,
    /// Permission, set-id and sticky bits of the root.
    pub mode: u32,
    /// Owner of the root.
    pub uid: Uid,
    /// Group of the root.
    pub gid: Gid,
    /// Opening a file is no question: it is refused to nobody. No file is immutable or append-only
    /// then, since that is seen to at open(2).
    pub stateless: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let memory = memory();
        Settings {
            size: memory / 2,
            inodes: memory / 2 / PAGE as u64,
            mode: 0o755,
            uid: Uid(rustix::process::geteuid().as_raw()),
            gid: Gid(rustix::process::getegid().as_raw()),
            stateless: false,
        }
    }
}

impl Settings {
    /// Takes them out of the options of the command line.
    fn from_options(mut options: Options) -> Result<Settings, SetupError> {
        let default = Settings::default();
        let size = options.size("size")?.unwrap_or(default.size);
        let inodes = options.number("inodes")?.unwrap_or(default.inodes);
        let mode = options.value("mode")?.map_or(Ok(default.mode), |text| {
            u32::from_str_radix(&text, 8).ok().filter(|mode| *mode <= 0o7777).ok_or_else(|| {
                SetupError::new(format!("option 'mode': '{text}' is no octal mode; say 0755"))
            })
        })?;
        let uid = options.number("uid")?.map_or(default.uid, Uid);
        let gid = options.number("gid")?.map_or(default.gid, Gid);
        let stateless = options.switch("stateless")?;
        options.finish(OPTIONS)?;
        if size < PAGE as u64 {
            return Err(SetupError::new(format!("option 'size': at least {PAGE} bytes")));
        }
        if inodes == 0 {
            return Err(SetupError::new("option 'inodes': at least 1, for the root"));
        }
        if uid.0 == u32::MAX || gid.0 == u32::MAX {
            return Err(SetupError::new(format!("{} is nobody's id", u32::MAX)));
        }
        Ok(Settings { size, inodes, mode, uid, gid, stateless })
    }
}

impl fmt::Display for Settings {
    /// As the options that would make them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let units = [(1u64 << 30, "g"), (1 << 20, "m"), (1 << 10, "k"), (1, "")];
        let unit = units.iter().find(|(unit, _)| self.size.is_multiple_of(*unit));
        let (unit, letter) = unit.unwrap_or(&(1, ""));
        let Settings { size, inodes, mode, uid, gid, stateless } = self;
        let size = size / unit;
        write!(f, "size={size}{letter},inodes={inodes},mode={mode:04o},uid={uid},gid={gid}")?;
        if *stateless { f.write_str(",stateless=on") } else { Ok(()) }
    }
}

fn build(options: &mut Options) -> Result<Arc<dyn FileSystem>, SetupError> {
    Ok(Arc::new(Mem::new(Settings::from_options(std::mem::take(options))?)))
}

/// The machine's memory in bytes, proc_meminfo(5); where that cannot be read, 2 GiB.
fn memory() -> u64 {
    let read = || {
        let text = std::fs::read_to_string("/proc/meminfo").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok()?.checked_mul(1024)
    };
    read().filter(|bytes| *bytes >= 1 << 20).unwrap_or(2 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(pairs: &[(&str, &str)]) -> Result<Settings, SetupError> {
        let pairs = pairs.iter().map(|(key, value)| ((*key).to_owned(), Some((*value).to_owned())));
        Settings::from_options(Options::new(None, pairs.collect()))
    }

    #[test]
    fn options_make_settings() {
        let all = [("size", "2g"), ("inodes", "10"), ("mode", "1777"), ("uid", "5"), ("gid", "6")];
        let settings = parse(&all).unwrap();
        let expected = Settings {
            size: 2 << 30,
            inodes: 10,
            mode: 0o1777,
            uid: Uid(5),
            gid: Gid(6),
            stateless: false,
        };
        assert_eq!(settings, expected);
        assert_eq!(settings.to_string(), "size=2g,inodes=10,mode=1777,uid=5,gid=6");
        assert_eq!(parse(&[]).unwrap(), Settings::default());
        let stateless = parse(&[("size", "4k"), ("stateless", "on")]).unwrap();
        assert!(stateless.stateless && stateless.to_string().ends_with(",stateless=on"));
        assert_eq!(
            Mem::new(settings).describe(),
            "mem:size=2g,inodes=10,mode=1777,uid=5,gid=6",
            "a person reads what was set up"
        );
    }

    #[test]
    fn what_makes_no_sense_is_refused_by_name() {
        for (pair, error) in [
            (("size", "4095"), "option 'size': at least 4096 bytes"),
            (("size", "big"), "option 'size': 'big' is no size; say 512m or 2g"),
            (("inodes", "0"), "option 'inodes': at least 1, for the root"),
            (("mode", "0999"), "option 'mode': '0999' is no octal mode; say 0755"),
            (("mode", "10000"), "option 'mode': '10000' is no octal mode; say 0755"),
            (("uid", "x"), "option 'uid': 'x' is no number"),
            (("sise", "1g"), "no option 'sise'; did you mean 'size'?"),
        ] {
            assert_eq!(parse(&[pair]).unwrap_err().0, error);
        }
        let mut options = Options::new(Some("/tmp".into()), Vec::new());
        let Role::Base(build) = DEFINITION.role else { panic!("a base") };
        let error = build(&mut options).err().unwrap();
        assert_eq!(error.0, "takes no argument, but got '/tmp'");
    }
}
