//! The ioctls that go through: file flags, chattr(1) and their extended form.

use super::opened::opened;
use super::{Dir, sys};
use filofs::{Context, Errno, Ioctl, Open, Result, Sink};
use rustix::fd::AsFd;

/// sizeof(struct fsxattr).
const FSXATTR: usize = 28;

impl Dir {
    /// With the caller's rights. ENOTTY for all others: what a command does with its argument is
    /// the file system's secret, and not to be let through unknown.
    pub(super) fn do_ioctl(
        &self,
        cx: &Context<'_>,
        open: &Open,
        how: Ioctl<'_>,
        out: &mut dyn Sink,
    ) -> Result<i32> {
        let fd = opened(open)?.fd();
        // The command numbers say "long", the kernel reads and writes an int.
        let (takes, gives) = match how.command {
            Ioctl::GETFLAGS | Ioctl::GETVERSION => (0, 4),
            Ioctl::SETFLAGS => (4, 0),
            Ioctl::FSGETXATTR => (0, FSXATTR),
            Ioctl::FSSETXATTR => (FSXATTR, 0),
            _ => return Err(Errno::ENOTTY),
        };
        let input = how.input.get(..takes).ok_or(Errno::EINVAL)?;
        let mut block = [0u64; 4];
        for (word, bytes) in block.iter_mut().zip(input.chunks(8)) {
            let mut whole = [0; 8];
            whole.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
            *word = u64::from_ne_bytes(whole);
        }
        let answer = self.host.rights.as_caller(cx, || {
            let mut argument = block;
            let answer = sys::ioctl(fd.as_fd(), how.command, &mut argument)?;
            Ok((answer, argument))
        });
        let (answer, block) = answer?;
        let bytes: Vec<u8> = block.iter().flat_map(|word| word.to_ne_bytes()).collect();
        out.put(bytes.get(..gives).unwrap_or_default());
        Ok(answer)
    }
}
