//! `MountOptions`: what people type after `-o`.

use crate::exit::Failure;
use filofs::nearest;
use filofs_front::fuse::{FuseOptions, Passthrough, Transport};
use std::time::Duration;

/// The options of one mount. Names and meanings are those of mount(8), mount.fuse3(8) and
/// bindfs, so that what people type without thinking does what they expect.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct MountOptions {
    /// What the front end is told.
    pub(crate) fuse: FuseOptions,
    /// `Some(true)`: set-id bits count; `None`: they do for root alone.
    pub(crate) suid: Option<bool>,
    /// `Some(true)`: device nodes work; `None`: they do for root alone.
    pub(crate) dev: Option<bool>,
    /// Nobody but the mounting user may enter, root's mounts included.
    pub(crate) alone: bool,
    /// The mount point may hold files.
    pub(crate) nonempty: bool,
    /// The mount is taken away when its server dies.
    pub(crate) auto_unmount: bool,
    /// A stack file to read instead of the stack on the command line.
    pub(crate) config: Option<String>,
}

/// One option that takes effect, for the manual: how it is written and what it does.
pub(crate) const HELP: &[(&str, &str)] = &[
    ("ro, rw", "read-only, or not (the default)"),
    ("nosuid, suid", "set-id bits do nothing, or count (default: nosuid, for root suid)"),
    ("nodev, dev", "device nodes do nothing, or work (default: nodev, for root dev)"),
    ("noexec, exec", "nothing can be executed, or can (the default)"),
    ("noatime, atime", "reading leaves access times alone, or not (the default)"),
    ("allow_other", "other users may use the mount (default for root)"),
    ("allow_root", "root may use it too, and nobody else"),
    ("no_allow_other", "nobody but the mounting user may use it (default but for root)"),
    (
        "default_permissions",
        "the kernel checks permissions (the default, unless nobody else may enter and dir checks)",
    ),
    (
        "no_default_permissions",
        "it does not: the base alone decides (mem: everybody may do everything)",
    ),
    ("auto_unmount", "unmount even if the server is killed (what lies below is seen then)"),
    ("allow_idmap", "bind mounts of it may map users (then the kernel alone checks permissions)"),
    ("nonempty", "mount over a directory that is not empty"),
    ("fsname=NAME", "the source shown in the mount table (default: the stack)"),
    ("subtype=NAME", "the type shown is fuse.NAME (default: filo)"),
    ("uid=N, gid=N", "every file is shown as owned by them"),
    ("umask=M", "every file is shown with the permission bits 0777 less these (octal)"),
    ("fmask=M, dmask=M", "the same for all but directories, and for directories"),
    ("entry_timeout=S", "how long names are believed, in seconds (default: by the base)"),
    ("attr_timeout=S", "how long attributes are believed"),
    ("negative_timeout=S", "how long a name that was not found is believed not to be there"),
    ("kernel_cache", "file data stays cached from one open to the next"),
    ("auto_cache", "the same while size and time of change stay what they were"),
    ("direct_io", "reads and writes go to the stack each time"),
    (
        "passthrough=auto|on|off",
        "the kernel reads and writes files of the base by itself where it can (default: auto)",
    ),
    ("max_read=N", "the longest read in bytes"),
    (
        "transport=auto|ring|classic",
        "how requests come: over io_uring (ring), by the device (classic), or whichever is faster",
    ),
    ("config=FILE", "read the stack from this file"),
];

/// What other programs leave in the list, or mean for somebody else: taken without a word.
const IGNORED: &[&str] = &[
    "_netdev",
    "nofail",
    "fail",
    "auto",
    "noauto",
    "user",
    "nouser",
    "users",
    "nousers",
    "owner",
    "noowner",
    "group",
    "nogroup",
    "defaults",
    "async",
    "sync_init",
    "relatime",
    "norelatime",
    "strictatime",
    "diratime",
    "nodiratime",
    "lazytime",
    "nolazytime",
    "big_writes",
    "async_read",
    "default",
    "noforget",
    "remember",
    "ac_attr_timeout",
    "loud",
    "silent",
    "rw_mount",
    "blkdev",
];

impl MountOptions {
    /// Reads a comma-separated list into these options. A backslash keeps a comma.
    ///
    /// With `sloppy` (the `-s` of mount(8)) what is not known is passed over.
    pub(crate) fn read(&mut self, list: &str, sloppy: bool) -> Result<(), Failure> {
        for word in split_list(list) {
            let (key, value) = match word.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (word.as_str(), None),
            };
            let key = key.replace('-', "_");
            if !self.set(&key, value)? && !sloppy {
                let near = nearest(&key, KNOWN.iter().copied());
                let hint = near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
                return Err(Failure::usage(format!("-o: no option '{word}'{hint}")));
            }
        }
        Ok(())
    }

    /// Whether they go together.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let fuse = &self.fuse;
        let clash = |other: &str, why: &str| {
            Failure::usage(format!("-o allow_idmap: not together with '{other}': {why}"))
        };
        if fuse.allow_idmap && fuse.default_permissions == Some(false) {
            return Err(clash("no_default_permissions", "nobody would check permissions"));
        }
        if fuse.allow_idmap && fuse.allow_root {
            return Err(clash("allow_root", "the kernel does not tell then who asks"));
        }
        Ok(())
    }

    /// Sets one; `false` if there is no such option.
    fn set(&mut self, key: &str, value: Option<&str>) -> Result<bool, Failure> {
        let fuse = &mut self.fuse;
        match key {
            "ro" => fuse.read_only = true,
            "rw" => fuse.read_only = false,
            "suid" => self.suid = Some(true),
            "nosuid" => self.suid = Some(false),
            "dev" => self.dev = Some(true),
            "nodev" => self.dev = Some(false),
            "exec" => fuse.noexec = false,
            "noexec" => fuse.noexec = true,
            "atime" => fuse.noatime = false,
            "noatime" => fuse.noatime = true,
            "allow_other" => (fuse.allow_other, self.alone) = (true, false),
            "no_allow_other" => (fuse.allow_other, self.alone) = (false, true),
            "allow_root" => fuse.allow_root = true,
            "allow_idmap" => fuse.allow_idmap = true,
            "default_permissions" => fuse.default_permissions = Some(true),
            "no_default_permissions" => fuse.default_permissions = Some(false),
            "nonempty" => self.nonempty = true,
            "auto_unmount" => self.auto_unmount = true,
            "noauto_unmount" => self.auto_unmount = false,
            "remount" => {
                return Err(Failure::usage("-o remount: not possible; unmount, and mount anew"));
            }
            "kernel_cache" => fuse.kernel_cache = true,
            "auto_cache" => fuse.auto_cache = true,
            "direct_io" => fuse.direct_io = true,
            "passthrough" => {
                fuse.passthrough = match value {
                    None | Some("on") => Passthrough::On,
                    Some("auto") => Passthrough::Auto,
                    Some("off") => Passthrough::Off,
                    Some(other) => {
                        let text = format!("-o passthrough: '{other}' is not auto, on or off");
                        return Err(Failure::usage(text));
                    }
                }
            }
            "fsname" => text(key, value)?.clone_into(&mut fuse.fsname),
            "subtype" => text(key, value)?.clone_into(&mut fuse.subtype),
            "config" => self.config = Some(text(key, value)?.to_owned()),
            "max_read" => fuse.max_read = number(key, value, 10)?,
            "transport" => fuse.transport = transport(key, value)?,
            "uid" => fuse.uid = Some(number(key, value, 10)?),
            "gid" => fuse.gid = Some(number(key, value, 10)?),
            "umask" => fuse.umask = Some(mask(key, value)?),
            "fmask" => fuse.fmask = Some(mask(key, value)?),
            "dmask" => fuse.dmask = Some(mask(key, value)?),
            "entry_timeout" => fuse.entry_timeout = Some(seconds(key, value)?),
            "attr_timeout" => fuse.attr_timeout = Some(seconds(key, value)?),
            "negative_timeout" => fuse.negative_timeout = Some(seconds(key, value)?),
            _ => {
                let ours = key.starts_with("x_") || key.starts_with("X_") || key == "comment";
                return Ok(ours || IGNORED.contains(&key));
            }
        }
        Ok(true)
    }
}

/// The keys of [`MountOptions::set`], for hints.
const KNOWN: &[&str] = &[
    "ro",
    "rw",
    "suid",
    "nosuid",
    "dev",
    "nodev",
    "exec",
    "noexec",
    "atime",
    "noatime",
    "allow_other",
    "no_allow_other",
    "allow_root",
    "allow_idmap",
    "default_permissions",
    "no_default_permissions",
    "nonempty",
    "auto_unmount",
    "kernel_cache",
    "auto_cache",
    "direct_io",
    "passthrough",
    "fsname",
    "subtype",
    "config",
    "max_read",
    "transport",
    "uid",
    "gid",
    "umask",
    "fmask",
    "dmask",
    "entry_timeout",
    "attr_timeout",
    "negative_timeout",
];

fn split_list(list: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut letters = list.chars();
    while let Some(letter) = letters.next() {
        let keep = match letter {
            ',' => {
                words.push(String::new());
                continue;
            }
            '\\' => letters.next().unwrap_or('\\'),
            other => other,
        };
        words.last_mut().into_iter().for_each(|w| w.push(keep));
    }
    words.retain(|word| !word.is_empty());
    words
}

fn text<'a>(key: &str, value: Option<&'a str>) -> Result<&'a str, Failure> {
    let missing = || Failure::usage(format!("-o {key}: needs a value, as in '{key}=X'"));
    value.filter(|v| !v.is_empty()).ok_or_else(missing)
}

fn number(key: &str, value: Option<&str>, radix: u32) -> Result<u32, Failure> {
    let value = text(key, value)?;
    u32::from_str_radix(value, radix)
        .map_err(|_| Failure::usage(format!("-o {key}: '{value}' is no number")))
}

fn transport(key: &str, value: Option<&str>) -> Result<Transport, Failure> {
    match text(key, value)? {
        "auto" => Ok(Transport::Auto),
        "ring" => Ok(Transport::Ring),
        "classic" => Ok(Transport::Classic),
        other => Err(Failure::usage(format!("-o {key}: '{other}' is none of auto, ring, classic"))),
    }
}

fn mask(key: &str, value: Option<&str>) -> Result<u32, Failure> {
    let bits = number(key, value, 8)?;
    if bits > 0o777 {
        return Err(Failure::usage(format!("-o {key}: {bits:#o} is more than 0777")));
    }
    Ok(bits)
}

fn seconds(key: &str, value: Option<&str>) -> Result<Duration, Failure> {
    let value = text(key, value)?;
    let wrong = || Failure::usage(format!("-o {key}: '{value}' is no number of seconds"));
    let seconds: f64 = value.parse().map_err(|_| wrong())?;
    Duration::try_from_secs_f64(seconds).map_err(|_| wrong())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(list: &str) -> Result<MountOptions, Failure> {
        let mut options = MountOptions::default();
        options.read(list, false).map(|()| options)
    }

    #[test]
    fn the_last_word_on_who_may_enter_counts() {
        for (list, other, alone) in [
            ("ro", false, false),
            ("allow_other", true, false),
            ("no_allow_other", false, true),
            ("allow_other,no_allow_other", false, true),
            ("no_allow_other,allow_other", true, false),
        ] {
            let options = read(list).unwrap();
            assert_eq!((options.fuse.allow_other, options.alone), (other, alone), "{list}");
        }
    }

    #[test]
    fn what_people_type_without_thinking() {
        let options =
            read("ro,allow_other,default_permissions,fsname=a\\,b,umask=022,uid=1000").unwrap();
        assert!(
            options.fuse.read_only
                && options.fuse.allow_other
                && options.fuse.default_permissions == Some(true)
        );
        assert_eq!(options.fuse.fsname, "a,b");
        assert_eq!((options.fuse.uid, options.fuse.umask), (Some(1000), Some(0o22)));
        assert_eq!(read("ro,rw").unwrap(), read("").unwrap());
        assert_eq!(
            read("attr_timeout=0.5").unwrap().fuse.attr_timeout,
            Some(Duration::from_millis(500))
        );
    }

    #[test]
    fn what_fstab_leaves_in_is_passed_over() {
        let list = "_netdev,nofail,noauto,user,users,owner,x-systemd.automount,comment=hi,defaults,\
                    auto,x-systemd.requires=b.mount";
        assert_eq!(read(list).unwrap(), MountOptions::default());
    }

    #[test]
    fn mistakes_are_told() {
        let error = |list: &str| read(list).unwrap_err().text;
        assert_eq!(error("alow_other"), "-o: no option 'alow_other'; did you mean 'allow_other'?");
        assert_eq!(error("uid"), "-o uid: needs a value, as in 'uid=X'");
        assert_eq!(error("uid=me"), "-o uid: 'me' is no number");
        assert_eq!(error("umask=1777"), "-o umask: 0o1777 is more than 0777");
        assert_eq!(error("transport=fast"), "-o transport: 'fast' is none of auto, ring, classic");
        assert_eq!(error("attr_timeout=-1"), "-o attr_timeout: '-1' is no number of seconds");
        for (list, expected) in [
            ("allow_idmap,allow_root", "-o allow_idmap: not together with 'allow_root': "),
            ("allow_idmap,no_default_permissions", "-o allow_idmap: not together with 'no_def"),
        ] {
            let told = read(list).unwrap().check().unwrap_err().text;
            assert!(told.starts_with(expected), "{told}");
        }
        assert!(read("allow_idmap,allow_other").unwrap().check().is_ok());
        let mut sloppy = MountOptions::default();
        assert!(sloppy.read("what_is_this,ro", true).is_ok() && sloppy.fuse.read_only);
    }

    #[test]
    fn every_known_key_is_one() {
        for key in KNOWN {
            let mut options = MountOptions::default();
            let value = match *key {
                "transport" => Some("ring"),
                "passthrough" => None,
                _ => Some("1"),
            };
            assert!(options.set(key, value).unwrap(), "{key}");
        }
    }
}
