//! The error number of a reply.

use crate::limits::ERRNO_RANGE;

/// An errno which Linux accepts in a reply: 1 to 511.
///
/// A reply with any other number is refused by the device and its caller is left waiting (A117),
/// so a number that comes from elsewhere must pass through [`ReplyErrno::new`] first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplyErrno(i32);

impl ReplyErrno {
    /// Input/output error: the request's bytes contradict themselves.
    pub const EIO: ReplyErrno = ReplyErrno(5);
    /// A request asks for more than a limit.
    pub const E2BIG: ReplyErrno = ReplyErrno(7);
    /// Invalid argument.
    pub const EINVAL: ReplyErrno = ReplyErrno(22);
    /// Name of an extended attribute out of range.
    pub const ERANGE: ReplyErrno = ReplyErrno(34);
    /// Name too long.
    pub const ENAMETOOLONG: ReplyErrno = ReplyErrno(36);
    /// No such operation.
    pub const ENOSYS: ReplyErrno = ReplyErrno(38);
    /// Protocol error.
    pub const EPROTO: ReplyErrno = ReplyErrno(71);
    /// Not supported: a call that the core does not know.
    pub const EOPNOTSUPP: ReplyErrno = ReplyErrno(95);

    /// The number as an errno, if a reply may carry it.
    pub fn new(number: i32) -> Option<ReplyErrno> {
        ERRNO_RANGE.contains(&number).then_some(ReplyErrno(number))
    }

    /// The number as an errno, or EPROTO in the place of one that a reply may not carry.
    pub fn or_eproto(number: i32) -> ReplyErrno {
        ReplyErrno::new(number).unwrap_or(ReplyErrno::EPROTO)
    }

    /// The number, positive.
    pub const fn number(self) -> i32 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_1_to_511_may_be_answered() {
        for bad in [i32::MIN, -512, -1, 0, 512, i32::MAX] {
            assert_eq!(ReplyErrno::new(bad), None, "{bad}");
            assert_eq!(ReplyErrno::or_eproto(bad), ReplyErrno::EPROTO, "{bad}");
        }
        for good in 1..=511 {
            assert_eq!(ReplyErrno::new(good).map(ReplyErrno::number), Some(good));
        }
    }
}
