//! The options that a program asks to be mounted with.

/// Longest list of options in bytes. mount(2) itself takes a page of 4096.
pub(super) const OPTIONS_MAX: usize = 8 << 10;

/// The options that a program gave to fusermount3(1), in their order: `ro`, `fsname=NAME`, ...
///
/// They are the program's words: before any is shown or believed, it is to be checked. What none of
/// the functions here tells has no meaning without a mount of the kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MountOptions {
    list: Vec<(String, Option<String>)>,
}

impl MountOptions {
    /// Splits a list at its commas. A backslash takes the next byte as it is, as fusermount3(1)
    /// has it. What is not UTF-8 is replaced.
    pub(super) fn parse(list: &[u8]) -> MountOptions {
        let mut options = vec![Vec::new()];
        let mut bytes = list.iter();
        while let Some(byte) = bytes.next() {
            match byte {
                b',' => options.push(Vec::new()),
                b'\\' => options.last_mut().into_iter().for_each(|o| o.extend(bytes.next())),
                _ => options.last_mut().into_iter().for_each(|o| o.push(*byte)),
            }
        }
        options.retain(|option| !option.is_empty());
        let list = options.iter().map(|option| {
            let option = String::from_utf8_lossy(option);
            match option.split_once('=') {
                Some((name, value)) => (name.to_owned(), Some(value.to_owned())),
                None => (option.into_owned(), None),
            }
        });
        MountOptions { list: list.collect() }
    }

    /// Whether a switch is there, such as `allow_other` or `default_permissions`.
    pub fn has(&self, name: &str) -> bool {
        self.list.iter().any(|(known, value)| known == name && value.is_none())
    }

    /// The value of an option, such as `fsname` or `subtype`; the last one counts.
    pub fn value(&self, name: &str) -> Option<&str> {
        let mut values = self.list.iter().rev().filter(|(known, _)| known == name);
        values.find_map(|(_, value)| value.as_deref())
    }

    /// Whether the program wants to be mounted read-only: the last of `ro` and `rw` counts.
    pub fn read_only(&self) -> bool {
        let mut words = self.list.iter().rev().filter(|(_, value)| value.is_none());
        words.find_map(|(name, _)| match name.as_str() {
            "ro" => Some(true),
            "rw" => Some(false),
            _ => None,
        }) == Some(true)
    }

    /// The longest READ that the program wants to be asked for in bytes, where it says so with a
    /// number (`max_read`; 0 means no limit).
    pub fn max_read(&self) -> Option<u32> {
        self.value("max_read")?.parse().ok().filter(|bytes| *bytes > 0)
    }

    /// All of them: name and value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Option<&str>)> {
        self.list.iter().map(|(name, value)| (name.as_str(), value.as_deref()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(list: &str) -> MountOptions {
        MountOptions::parse(list.as_bytes())
    }

    #[test]
    fn options_of_programs() {
        let options = parse("rw,nosuid,allow_other,fsname=host:/a\\,b=c,subtype=sshfs,max_read=9");
        assert!(options.has("allow_other") && options.has("nosuid"));
        assert!(!options.has("default_permissions") && !options.has("fsname"));
        assert_eq!(options.value("fsname"), Some("host:/a,b=c"));
        assert_eq!(options.value("subtype"), Some("sshfs"));
        assert_eq!(options.value("nosuid"), None);
        assert_eq!(options.max_read(), Some(9));
        assert_eq!(options.iter().count(), 6);
        assert_eq!(options.iter().next(), Some(("rw", None)));
    }

    #[test]
    fn odd_lists() {
        assert_eq!(parse(""), MountOptions::default());
        assert_eq!(parse(",,"), MountOptions::default());
        assert_eq!(parse("fsname=").value("fsname"), Some(""));
        assert_eq!(parse("a=1,a=2").value("a"), Some("2"));
        assert_eq!(parse("a\\").iter().collect::<Vec<_>>(), [("a", None)]);
        assert_eq!(parse("max_read=0").max_read(), None);
        assert_eq!(parse("max_read=-1").max_read(), None);
        let odd = MountOptions::parse(b"fsname=\xff");
        assert_eq!(odd.value("fsname"), Some("\u{fffd}"));
    }

    #[test]
    fn the_last_of_ro_and_rw_counts() {
        for (list, read_only) in
            [("", false), ("rw", false), ("ro", true), ("ro,rw", false), ("rw,x,ro,y", true)]
        {
            assert_eq!(parse(list).read_only(), read_only, "{list}");
        }
    }
}
