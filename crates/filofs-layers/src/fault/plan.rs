//! `Plan`: which calls are harmed, and how.

use crate::words::operation;
use filofs::{Errno, Op, OptionHelp, Options, Result, SetupError};
use std::time::Duration;

/// What befalls a call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Harm {
    /// It fails, and what is below is not asked.
    Errno(Errno),
    /// A write moves at most that many bytes. Other operations are not harmed.
    Short(usize),
    /// It begins that much later; EINTR if the caller gives up meanwhile.
    Delay(Duration),
}

/// Which calls, and what befalls them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Only calls of this operation count; `None`: all do.
    pub op: Option<Op>,
    /// The first call to be harmed, counted from 1. 0: none.
    pub nth: u64,
    /// How many calls in a row; 0: all that follow.
    pub times: u64,
    /// What befalls them.
    pub harm: Harm,
}

/// The options that [`Plan::read`] knows.
pub(super) const OPTIONS: &[OptionHelp] = &[
    OptionHelp {
        key: "op",
        value: "NAME",
        help: "count calls of this operation (default: all, which costs passthrough)",
    },
    OptionHelp { key: "nth", value: "N", help: "the first call to harm (default: 1)" },
    OptionHelp { key: "times", value: "N", help: "how many calls (default: 1; 0: all after)" },
    OptionHelp { key: "errno", value: "NAME", help: "they fail with this errno" },
    OptionHelp { key: "short", value: "BYTES", help: "writes among them move at most so much" },
    OptionHelp { key: "delay_ms", value: "N", help: "they begin N ms later" },
];

impl Plan {
    /// From the options of a command line.
    pub fn read(options: &mut Options) -> Result<Plan, SetupError> {
        let op = options.value("op")?.map(|word| operation("op", &word)).transpose()?;
        let errno = options.value("errno")?.map(|word| {
            let wrong = format!("option 'errno': '{word}' is no errno; say EIO or ENOSPC");
            Errno::from_name(&word).map(Harm::Errno).ok_or_else(|| SetupError::new(wrong))
        });
        let errno = errno.transpose()?;
        let short = options.number("short")?.map(Harm::Short);
        let delay = options.number("delay_ms")?.map(|ms| Harm::Delay(Duration::from_millis(ms)));
        let mut harms = [errno, short, delay].into_iter().flatten();
        let (Some(harm), None) = (harms.next(), harms.next()) else {
            return Err(SetupError::new("needs exactly one of 'errno', 'short' and 'delay_ms'"));
        };
        let nth = options.number("nth")?.unwrap_or(1);
        Ok(Plan { op, nth, times: options.number("times")?.unwrap_or(1), harm })
    }
}
