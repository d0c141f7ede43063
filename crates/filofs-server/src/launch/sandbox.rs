//! `Sandbox`: what a started program may do, as it is written on the command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// Least memory that can be set with `memory=`, in bytes: with less no program starts.
const MEMORY_MIN: u64 = 1 << 20;

/// Most paths that can be given with `allow=` and `read=` together.
const PATHS_MAX: usize = 256;

/// How much is taken away. See the text of [`crate::launch`] for why these three.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Profile {
    /// Nothing: the program has the rights of whoever started it, but no descriptors of theirs.
    Off,
    /// Everything that no file server uses.
    #[default]
    Loose,
    /// Also the network, device nodes, and all files but those of the system and those given.
    Strict,
}

impl Profile {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Profile::Off => "off",
            Profile::Loose => "loose",
            Profile::Strict => "strict",
        }
    }
}

impl FromStr for Profile {
    type Err = String;

    fn from_str(text: &str) -> Result<Profile, String> {
        [Profile::Off, Profile::Loose, Profile::Strict]
            .into_iter()
            .find(|profile| profile.name() == text)
            .ok_or_else(|| format!("option 'sandbox': '{text}' is not off, loose or strict"))
    }
}

/// A profile with its options.
///
/// ```
/// use filofs_server::launch::{Profile, Sandbox};
///
/// let mut sandbox = Sandbox::default();
/// sandbox.set("sandbox", "strict".as_ref()).unwrap();
/// sandbox.set("allow", "/srv/photos".as_ref()).unwrap();
/// sandbox.check().unwrap();
/// assert!(!sandbox.has_network());
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Sandbox {
    pub(super) profile: Profile,
    pub(super) network: Option<bool>,
    pub(super) allow: Vec<PathBuf>,
    pub(super) read: Vec<PathBuf>,
    pub(super) memory: Option<u64>,
}

impl Sandbox {
    /// The names that [`Sandbox::set`] knows.
    pub const NAMES: &'static [&'static str] = &["sandbox", "allow", "read", "net", "memory"];

    /// A profile without options.
    pub fn new(profile: Profile) -> Sandbox {
        Sandbox { profile, ..Sandbox::default() }
    }

    /// The profile.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// Whether the program can reach a network.
    pub fn has_network(&self) -> bool {
        self.network.unwrap_or(self.profile != Profile::Strict)
    }

    /// Takes one option, as in `name=value`. The error is a line for whoever wrote it.
    pub fn set(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        match name {
            "sandbox" => self.profile = text(name, value)?.parse()?,
            "allow" | "read" => self.add_path(name, value)?,
            "net" => {
                self.network = Some(match text(name, value)? {
                    "yes" => true,
                    "no" => false,
                    other => return Err(format!("option 'net': '{other}' is not yes or no")),
                });
            }
            "memory" => self.memory = Some(size(text(name, value)?)?),
            _ => return Err(format!("{name}: not an option of a sandbox")),
        }
        Ok(())
    }

    /// Whether the options go together. The error is a line for whoever wrote them.
    pub fn check(&self) -> Result<(), String> {
        if self.profile != Profile::Strict && !(self.allow.is_empty() && self.read.is_empty()) {
            return Err(format!(
                "allow= and read= need sandbox=strict: with sandbox={} every path is allowed",
                self.profile.name()
            ));
        }
        if self.profile == Profile::Off && self.network == Some(false) {
            return Err("net=no needs a sandbox, and sandbox=off says there is none".into());
        }
        Ok(())
    }

    /// Itself in the words that [`Sandbox::set`] takes.
    pub(super) fn words(&self) -> Vec<OsString> {
        let word = |name: &str, value: &OsStr| {
            let mut word = OsString::from(format!("{name}="));
            word.push(value);
            word
        };
        let mut words = vec![word("sandbox", self.profile.name().as_ref())];
        words.extend(self.allow.iter().map(|path| word("allow", path.as_os_str())));
        words.extend(self.read.iter().map(|path| word("read", path.as_os_str())));
        words.extend(self.network.map(|on| word("net", if on { "yes" } else { "no" }.as_ref())));
        words.extend(self.memory.map(|bytes| word("memory", bytes.to_string().as_ref())));
        words
    }

    fn add_path(&mut self, name: &str, value: &OsStr) -> Result<(), String> {
        let path = Path::new(value);
        if value.as_bytes().is_empty() {
            return Err(format!("{name}= needs a path"));
        }
        if self.allow.len() + self.read.len() >= PATHS_MAX {
            return Err(format!("more than {PATHS_MAX} paths with allow= and read="));
        }
        if name == "allow" { &mut self.allow } else { &mut self.read }.push(path.to_owned());
        Ok(())
    }
}

fn text<'a>(name: &str, value: &'a OsStr) -> Result<&'a str, String> {
    value.to_str().ok_or_else(|| format!("{name}={}: not text", value.display()))
}

/// Bytes, or with k, m, g (or K, M, G) multiples of 1024.
fn size(text: &str) -> Result<u64, String> {
    let wrong = || format!("option 'memory': '{text}' is no number of bytes; say 512m or 2g");
    let units = [(['K', 'k'], 1 << 10), (['M', 'm'], 1 << 20), (['G', 'g'], 1 << 30)];
    let with_unit =
        units.iter().find_map(|(letters, unit)| Some((text.strip_suffix(*letters)?, *unit)));
    let (digits, unit) = with_unit.unwrap_or((text, 1_u64));
    let number: u64 = digits.parse().map_err(|_| wrong())?;
    let bytes = number.checked_mul(unit).ok_or_else(wrong)?;
    if bytes < MEMORY_MIN {
        return Err(format!("option 'memory': '{text}' is less than {MEMORY_MIN} bytes"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> Result<Sandbox, String> {
        let mut sandbox = Sandbox::default();
        for word in words {
            let (name, value) = word.split_once('=').unwrap();
            sandbox.set(name, value.as_ref())?;
        }
        sandbox.check()?;
        Ok(sandbox)
    }

    #[test]
    fn words_come_back_as_they_were() {
        for words in [
            vec!["sandbox=off"],
            vec!["sandbox=loose", "net=no", "memory=1048576"],
            vec!["sandbox=strict", "allow=/a", "allow=/b,c=d", "read=/e", "net=yes"],
        ] {
            let sandbox = set(&words).unwrap();
            assert_eq!(sandbox.words(), words, "{words:?}");
        }
        assert_eq!(set(&["memory=3G"]).unwrap().memory, Some(3 << 30));
        assert_eq!(set(&["memory=3m"]).unwrap().memory, Some(3 << 20));
        assert_eq!(set(&[]).unwrap(), Sandbox::new(Profile::Loose));
    }

    #[test]
    fn the_network_is_off_if_strict() {
        assert!(set(&[]).unwrap().has_network());
        assert!(!set(&["net=no"]).unwrap().has_network());
        assert!(!set(&["sandbox=strict"]).unwrap().has_network());
        assert!(set(&["sandbox=strict", "net=yes"]).unwrap().has_network());
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for (words, part) in [
            (vec!["sandbox=tight"], "not off, loose or strict"),
            (vec!["net=maybe"], "not yes or no"),
            (vec!["memory=12"], "less than"),
            (vec!["memory=M"], "no number of bytes"),
            (vec!["memory="], "no number of bytes"),
            (vec!["memory=99999999999G"], "no number of bytes"),
            (vec!["allow="], "needs a path"),
            (vec!["allow=/a"], "need sandbox=strict"),
            (vec!["sandbox=off", "net=no"], "net=no needs a sandbox"),
            (vec!["depth=3"], "not an option"),
        ] {
            let refused = set(&words).unwrap_err();
            assert!(refused.contains(part), "{words:?}: {refused}");
        }
        let many = vec!["allow=/a"; PATHS_MAX + 1];
        assert!(set(&many).unwrap_err().contains("more than"));
    }
}
