//! `Facts`: what a file system in use says of itself, for whoever looks after it.

/// What one part of a stack says of how it is now, for `filo list -v`: keys in lower case, one
/// word each if that will do, in the order in which they are shown. Keys are only ever added.
pub type Facts = Vec<(&'static str, Fact)>;

/// One thing that is so now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Fact {
    /// In words, on one line.
    Text(String),
    /// A count, a size in bytes, an id.
    Number(u64),
}

impl From<&str> for Fact {
    fn from(text: &str) -> Fact {
        Fact::Text(text.to_owned())
    }
}

impl From<u64> for Fact {
    fn from(number: u64) -> Fact {
        Fact::Number(number)
    }
}
