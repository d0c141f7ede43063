//! `Ranges`: which numbers above the layer mean which below.

use filofs::SetupError;
use std::fmt;

/// Some numbers in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Range {
    above: u32,
    below: u32,
    count: u32,
}

/// Ranges that do not overlap, neither above nor below: each number has one other at most, and
/// is that one's.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Ranges(Vec<Range>);

impl Ranges {
    /// As many as Linux lets a user namespace have, user_namespaces(7).
    const MOST: usize = 340;

    /// The first number that names nobody: `-1` is "no change" to chown(2).
    const END: u64 = u32::MAX as u64;

    /// Reads `ABOVE:BELOW` and `ABOVE:BELOW:COUNT`, several with `+` between them. Each word of
    /// `lists` is what one option said. Errors: in words, after the name of the option.
    pub fn parse(key: &str, lists: &[String]) -> Result<Ranges, SetupError> {
        let wrong = |text: String| SetupError::new(format!("option '{key}': {text}"));
        let mut ranges = Ranges::default();
        for word in lists.iter().flat_map(|list| list.split('+')) {
            let range = Range::parse(word).ok_or_else(|| {
                wrong(format!("'{word}' is no range; say ABOVE:BELOW or ABOVE:BELOW:COUNT"))
            })?;
            if let Some(other) = ranges.0.iter().find(|other| other.overlaps(range)) {
                return Err(wrong(format!("{other} and {range} have numbers in common")));
            }
            if ranges.0.len() == Self::MOST {
                return Err(wrong(format!("there are more than {} ranges", Self::MOST)));
            }
            ranges.0.push(range);
        }
        Ok(ranges)
    }

    /// The number below of one above.
    pub fn down(&self, above: u32) -> Option<u32> {
        self.0.iter().find_map(|range| moved(above, range.above, range.below, range.count))
    }

    /// The number above of one below.
    pub fn up(&self, below: u32) -> Option<u32> {
        self.0.iter().find_map(|range| moved(below, range.below, range.above, range.count))
    }
}

impl Range {
    /// `None` for what is no range, is empty, or goes beyond the last number.
    fn parse(word: &str) -> Option<Range> {
        let mut numbers = word.split(':').map(|text| text.parse::<u32>().ok());
        let (above, below) = (numbers.next()??, numbers.next()??);
        let count = numbers.next().unwrap_or(Some(1))?;
        let fits = |first: u32| u64::from(first) + u64::from(count) <= Ranges::END;
        let good = count > 0 && fits(above) && fits(below) && numbers.next().is_none();
        good.then_some(Range { above, below, count })
    }

    fn overlaps(&self, other: Range) -> bool {
        let meet = |mine: u32, theirs: u32| {
            let (mine, theirs) = (u64::from(mine), u64::from(theirs));
            mine < theirs + u64::from(other.count) && theirs < mine + u64::from(self.count)
        };
        meet(self.above, other.above) || meet(self.below, other.below)
    }
}

/// As it is written on the command line.
impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.above, self.below, self.count)
    }
}

impl fmt::Display for Ranges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, range) in self.0.iter().enumerate() {
            write!(f, "{}{range}", if number > 0 { "+" } else { "" })?;
        }
        Ok(())
    }
}

/// Where `number` goes if `count` numbers from `from` on go to those from `to` on.
fn moved(number: u32, from: u32, to: u32, count: u32) -> Option<u32> {
    let at = number.checked_sub(from).filter(|at| *at < count)?;
    to.checked_add(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &[&str]) -> Result<Ranges, SetupError> {
        let lists: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
        Ranges::parse("uid", &lists)
    }

    #[test]
    fn each_number_has_one_other_and_is_that_ones() {
        let ranges = read(&["0:100000:1000+1000:1000", "2000:7:2"]).unwrap();
        for (above, below) in [(0, 100_000), (999, 100_999), (1000, 1000), (2000, 7), (2001, 8)] {
            assert_eq!((ranges.down(above), ranges.up(below)), (Some(below), Some(above)));
        }
        for above in [1001, 1999, 2002, 100_000, u32::MAX] {
            assert_eq!(ranges.down(above), None);
        }
        for below in [0, 6, 9, 99_999, 101_000, u32::MAX] {
            assert_eq!(ranges.up(below), None);
        }
        assert_eq!(ranges.to_string(), "0:100000:1000+1000:1000:1+2000:7:2");
        assert_eq!(read(&[&ranges.to_string()]).unwrap(), ranges);
    }

    #[test]
    fn the_last_number_that_names_somebody_can_be_mapped_and_no_other_after_it() {
        let last = u32::MAX - 1;
        let ranges = read(&[&format!("{last}:0"), "0:1:5"]).unwrap();
        assert_eq!((ranges.down(last), ranges.up(0)), (Some(0), Some(last)));
        assert!(read(&["4294967295:0"]).is_err() && read(&["0:4294967294:2"]).is_err());
        assert!(read(&["0:0:4294967295"]).is_ok());
    }

    #[test]
    fn what_is_no_range_is_said() {
        for word in ["", "1", "1:", ":1", "1:2:0", "1:2:3:4", "a:1", "-1:0", "1:1+", "1:2:x"] {
            let said = read(&[word]).unwrap_err().to_string();
            assert!(said.starts_with("option 'uid': '") && said.contains("ABOVE:BELOW"), "{said}");
        }
        for words in [["0:0:10", "9:100"], ["0:0:10", "100:9"], ["5:1", "5:1"]] {
            let said = read(&words).unwrap_err().to_string();
            assert!(said.contains("in common"), "{said}");
        }
        let many: Vec<_> = (0..=Ranges::MOST).map(|n| format!("{n}:{n}")).collect();
        let said = read(&[&many.join("+")]).unwrap_err().to_string();
        assert!(said.contains("more than 340"), "{said}");
        assert!(read(&[&many[1..].join("+")]).is_ok());
    }
}
