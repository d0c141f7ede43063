//! `Errno`: why an operation failed, as Linux numbers it.

use std::fmt;

/// The answer of every operation: a value, or the errno the caller sees.
pub type Result<T, E = Errno> = std::result::Result<T, E>;

/// An error number of Linux (errno(3)).
///
/// Operations carry nothing else upward: detail goes to the log, once, where it is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(u16);

macro_rules! errnos {
    ($($name:ident = $value:literal, $text:literal;)*) => {
        impl Errno {
            $(#[doc = $text] pub const $name: Errno = Errno($value);)*

            /// The name as the manual pages write it, or `None` for a number without one here.
            pub const fn name(self) -> Option<&'static str> {
                match self.0 { $($value => Some(stringify!($name)),)* _ => None }
            }

            /// What perror(3) would say, in a few words.
            pub const fn text(self) -> &'static str {
                match self.0 { $($value => $text,)* _ => "unknown error" }
            }

            /// The errno of that name, as a person types it (`EIO`, `enospc`).
            pub fn from_name(name: &str) -> Option<Errno> {
                $(if name.eq_ignore_ascii_case(stringify!($name)) { return Some(Errno::$name); })*
                None
            }
        }
    };
}

errnos! {
    EPERM = 1, "operation not permitted";
    ENOENT = 2, "no such file or directory";
    ESRCH = 3, "no such process";
    EINTR = 4, "interrupted";
    EIO = 5, "input/output error";
    ENXIO = 6, "no such device or address";
    E2BIG = 7, "too big for the room given";
    EBADF = 9, "bad file descriptor";
    EAGAIN = 11, "resource temporarily unavailable";
    ENOMEM = 12, "cannot allocate memory";
    EACCES = 13, "permission denied";
    EFAULT = 14, "bad address";
    EBUSY = 16, "device or resource busy";
    EEXIST = 17, "file exists";
    EXDEV = 18, "invalid cross-device link";
    ENODEV = 19, "no such device";
    ENOTDIR = 20, "not a directory";
    EISDIR = 21, "is a directory";
    EINVAL = 22, "invalid argument";
    ENFILE = 23, "too many open files in system";
    EMFILE = 24, "too many open files";
    ENOTTY = 25, "inappropriate ioctl for device";
    ETXTBSY = 26, "text file busy";
    EFBIG = 27, "file too large";
    ENOSPC = 28, "no space left on device";
    ESPIPE = 29, "illegal seek";
    EROFS = 30, "read-only file system";
    EMLINK = 31, "too many links";
    EPIPE = 32, "broken pipe";
    ERANGE = 34, "result too large for the buffer";
    EDEADLK = 35, "resource deadlock avoided";
    ENAMETOOLONG = 36, "file name too long";
    ENOLCK = 37, "no locks available";
    ENOSYS = 38, "function not implemented";
    ENOTEMPTY = 39, "directory not empty";
    ELOOP = 40, "too many levels of symbolic links";
    ENODATA = 61, "no such attribute";
    ETIME = 62, "timer expired";
    EPROTO = 71, "protocol error";
    EOVERFLOW = 75, "value too large for its type";
    EOPNOTSUPP = 95, "operation not supported";
    ENOTCONN = 107, "transport endpoint is not connected";
    ETIMEDOUT = 110, "timed out";
    EINPROGRESS = 115, "operation now in progress";
    ESTALE = 116, "stale file handle";
    EDQUOT = 122, "disk quota exceeded";
    ECANCELED = 125, "operation canceled";
}

impl Errno {
    /// The file system as a whole has no such operation.
    ///
    /// Not an errno of user space: a file system gets it by not writing the method, and a front
    /// end turns it into its own way of saying "never ask again" (FUSE: ENOSYS) or into
    /// [`Errno::EOPNOTSUPP`]. An operation that merely cannot serve one file answers EOPNOTSUPP;
    /// ENOSYS for one file would make the Linux kernel believe it of all.
    pub const MISSING: Errno = Errno(Self::LIMIT as u16 + 1);

    /// The largest number Linux takes from a FUSE server; it refuses a reply with another
    /// number, and the caller would wait for ever.
    pub const LIMIT: i32 = 511;

    /// The errno of that number. A number outside 1..=511 is nothing a file system may say:
    /// it becomes EPROTO (A117).
    pub const fn from_raw(number: i32) -> Errno {
        if number >= 1 && number <= Self::LIMIT { Errno(number as u16) } else { Errno::EPROTO }
    }

    /// The number, positive.
    pub const fn raw(self) -> i32 {
        self.0 as i32
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => f.write_str(name),
            None if *self == Errno::MISSING => f.write_str("MISSING"),
            None => write!(f, "errno {}", self.0),
        }
    }
}

impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({self:?})", self.text())
    }
}

impl std::error::Error for Errno {}

impl From<std::io::Error> for Errno {
    /// The operating system's number; EIO for an error that has none.
    fn from(error: std::io::Error) -> Errno {
        error.raw_os_error().map_or(Errno::EIO, Errno::from_raw)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_range_become_eproto() {
        for bad in [i32::MIN, -2, -1, 0, 512, 4095, i32::MAX] {
            assert_eq!(Errno::from_raw(bad), Errno::EPROTO, "{bad}");
        }
        for good in 1..=511 {
            assert_eq!(Errno::from_raw(good).raw(), good);
        }
    }

    #[test]
    fn names_are_found_both_ways() {
        assert_eq!(Errno::from_name("enospc"), Some(Errno::ENOSPC));
        assert_eq!(Errno::ENOSPC.name(), Some("ENOSPC"));
        assert_eq!(Errno::from_name("EWHAT"), None);
        assert_eq!(format!("{}", Errno::EIO), "input/output error (EIO)");
    }
}
