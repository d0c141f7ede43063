//! `Definition`: how a base or a layer is called on the command line and built from its options.

use crate::{FileSystem, Layer};
use std::fmt;
use std::sync::Arc;

/// One base or layer, as the command knows it. Each stands beside the code it builds and is
/// entered in its crate's list by one line.
pub struct Definition {
    /// The word on the command line.
    pub name: &'static str,
    /// What it is, in a line.
    pub summary: &'static str,
    /// What the text before the first option means (`dir:/srv`), or `None` if there is none.
    pub argument: Option<&'static str>,
    /// The argument is a command line. It is taken as it is written: backslashes and commas in it
    /// are the command's. Options come after it, each without a blank.
    pub is_command: bool,
    /// Its options.
    pub options: &'static [OptionHelp],
    /// Base or layer, and how to build it.
    pub role: Role,
}

/// How to build it.
pub enum Role {
    /// A file system with nothing of ours below.
    Base(fn(&mut Options) -> Result<Arc<dyn FileSystem>, SetupError>),
    /// Stands over a lower one.
    Layer(fn(&mut Options) -> Result<Box<dyn Layer>, SetupError>),
}

/// One option, for `filo layers`.
#[derive(Debug)]
pub struct OptionHelp {
    /// The key.
    pub key: &'static str,
    /// What its value looks like, as `SIZE` or `deny|follow`; empty for a switch.
    pub value: &'static str,
    /// What it does, in a line, with the default.
    pub help: &'static str,
}

/// Why a base or layer could not be set up. Shown to a person, after the name of the element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetupError(pub String);

impl SetupError {
    /// That text.
    pub fn new(text: impl Into<String>) -> SetupError {
        SetupError(text.into())
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for SetupError {}

/// The argument and options that were given to one element. Each is taken out by whoever knows
/// it; what is left over was not understood.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    argument: Option<String>,
    pairs: Vec<(String, Option<String>)>,
}

impl Options {
    /// Those, as parsed from the command line or a file.
    pub fn new(argument: Option<String>, pairs: Vec<(String, Option<String>)>) -> Options {
        // A dash in a key means the same as an underscore.
        let pairs = pairs.into_iter().map(|(key, value)| (key.replace('-', "_"), value)).collect();
        Options { argument, pairs }
    }

    /// Takes the argument.
    pub fn argument(&mut self) -> Option<String> {
        self.argument.take()
    }

    /// Takes the value of a key; the last one if it was given twice. An error for a key without
    /// a value.
    pub fn value(&mut self, key: &str) -> Result<Option<String>, SetupError> {
        let mut last = None;
        self.pairs.retain_mut(|(k, v)| {
            let it = k == key;
            if it {
                last = Some(v.take());
            }
            !it
        });
        match last {
            Some(None) => Err(SetupError::new(format!("option '{key}' needs a value"))),
            Some(value) => Ok(value),
            None => Ok(None),
        }
    }

    /// Takes all values of a key that may be given several times. An error for a key without a
    /// value.
    pub fn values(&mut self, key: &str) -> Result<Vec<String>, SetupError> {
        let (mine, others) =
            std::mem::take(&mut self.pairs).into_iter().partition(|(k, _)| k == key);
        self.pairs = others;
        let mine: Vec<(String, Option<String>)> = mine;
        let missing = || SetupError::new(format!("option '{key}' needs a value"));
        mine.into_iter().map(|(_, value)| value.ok_or_else(missing)).collect()
    }

    /// Takes a switch: `key`, `key=yes`, `key=no`.
    pub fn switch(&mut self, key: &str) -> Result<bool, SetupError> {
        let mut on = false;
        let mut wrong = None;
        self.pairs.retain(|(k, v)| {
            let it = k == key;
            if it {
                match v.as_deref() {
                    None | Some("" | "yes" | "true" | "on" | "1") => on = true,
                    Some("no" | "false" | "off" | "0") => on = false,
                    Some(other) => wrong = Some(other.to_owned()),
                }
            }
            !it
        });
        match wrong {
            Some(value) => {
                Err(SetupError::new(format!("option '{key}': '{value}' is neither yes nor no")))
            }
            None => Ok(on),
        }
    }

    /// Takes a number.
    pub fn number<T: std::str::FromStr>(&mut self, key: &str) -> Result<Option<T>, SetupError> {
        let wrong = |text: &str| SetupError::new(format!("option '{key}': '{text}' is no number"));
        self.value(key)?.map(|text| text.parse().map_err(|_| wrong(&text))).transpose()
    }

    /// Takes a size in bytes, with a suffix k, m, g or t (powers of 1024) or without.
    pub fn size(&mut self, key: &str) -> Result<Option<u64>, SetupError> {
        let Some(text) = self.value(key)? else { return Ok(None) };
        let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let shift = match text.get(digits.len()..).unwrap_or("").to_ascii_lowercase().as_str() {
            "" | "b" => 0,
            "k" | "kb" | "kib" => 10,
            "m" | "mb" | "mib" => 20,
            "g" | "gb" | "gib" => 30,
            "t" | "tb" | "tib" => 40,
            _ => 64,
        };
        let bytes =
            digits.parse::<u64>().ok().and_then(|n| n.checked_mul(1u64.checked_shl(shift)?));
        bytes.map(Some).ok_or_else(|| {
            SetupError::new(format!("option '{key}': '{text}' is no size; say 512m or 2g"))
        })
    }

    /// Whoever knows them has taken theirs: an error for the first that is left, with the
    /// nearest key that exists.
    pub fn finish(self, known: &'static [OptionHelp]) -> Result<(), SetupError> {
        if let Some(argument) = self.argument {
            return Err(SetupError::new(format!("takes no argument, but got '{argument}'")));
        }
        let Some((key, _)) = self.pairs.first() else { return Ok(()) };
        let near = nearest(key, known.iter().map(|o| o.key));
        let hint = near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
        Err(SetupError::new(format!("no option '{key}'{hint}")))
    }
}

/// The candidate nearest to a word that was mistyped, if one is near enough to be worth a hint.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let scored = candidates.into_iter().map(|c| (distance(word, c), c));
    let (score, best) = scored.min()?;
    (score <= 1 + word.len() / 3).then_some(best)
}

/// How many letters must be changed, added or dropped to make one word the other.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, letter) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut diagonal = i;
        for (cell, other) in row.iter_mut().skip(1).zip(&b) {
            let here = (diagonal + usize::from(letter != *other)).min(left + 1).min(*cell + 1);
            diagonal = std::mem::replace(cell, here);
            left = here;
        }
        if let Some(first) = row.first_mut() {
            *first = i + 1;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, Option<&str>)]) -> Options {
        let pairs = pairs.iter().map(|(k, v)| ((*k).to_owned(), v.map(str::to_owned)));
        Options::new(None, pairs.collect())
    }

    #[test]
    fn sizes() {
        for (text, bytes) in
            [("0", 0), ("512", 512), ("4k", 4096), ("2G", 2 << 30), ("1tib", 1 << 40)]
        {
            assert_eq!(options(&[("size", Some(text))]).size("size").unwrap(), Some(bytes));
        }
        for text in ["", "g", "-1", "2x", "99999999999t", "1.5g"] {
            assert!(options(&[("size", Some(text))]).size("size").is_err(), "{text}");
        }
    }

    #[test]
    fn switches_and_values() {
        let mut o = options(&[("a-b", None), ("c", Some("no")), ("d", None), ("e", Some("maybe"))]);
        assert_eq!(o.switch("a_b"), Ok(true));
        assert_eq!(o.switch("c"), Ok(false));
        assert_eq!(o.value("d").unwrap_err().0, "option 'd' needs a value");
        assert_eq!(o.switch("e").unwrap_err().0, "option 'e': 'maybe' is neither yes nor no");
        assert_eq!(o.switch("none"), Ok(false));
    }

    #[test]
    fn what_nobody_took_is_an_error_with_a_hint() {
        const KNOWN: &[OptionHelp] = &[OptionHelp { key: "size", value: "SIZE", help: "" }];
        let error = options(&[("sise", Some("1"))]).finish(KNOWN).unwrap_err();
        assert_eq!(error.0, "no option 'sise'; did you mean 'size'?");
        let error = options(&[("colour", None)]).finish(KNOWN).unwrap_err();
        assert_eq!(error.0, "no option 'colour'");
        assert_eq!(options(&[]).finish(KNOWN), Ok(()));
    }

    #[test]
    fn near_words() {
        assert_eq!(nearest("nul", ["null", "trace"]), Some("null"));
        assert_eq!(nearest("readnoly", ["null", "readonly"]), Some("readonly"));
        assert_eq!(nearest("zzz", ["null", "trace"]), None);
    }
}
