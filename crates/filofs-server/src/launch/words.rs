//! `Words`: what a program writes on standard error (and output), line by line into the log, and
//! the last of it kept.

use filofs::locked;
use rustix::event::{PollFd, PollFlags, poll};
use rustix::fd::{AsFd, OwnedFd};
use rustix::io::{Errno, ioctl_fionbio, read};
use std::collections::VecDeque;
use std::sync::Mutex;

/// Most bytes that are kept.
const KEPT_MAX: usize = 4096;

/// Most bytes of one line. A longer one becomes several.
const LINE_MAX: usize = 1024;

/// Most bytes that are still read after the end of the program.
const REST_MAX: usize = 64 * 1024;

/// What was heard so far.
pub(super) struct Words {
    name: String,
    heard: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// Complete lines, the last ones, together at most [`KEPT_MAX`] with their newlines.
    lines: VecDeque<String>,
    kept: usize,
    /// A line that has not ended yet.
    begun: Vec<u8>,
}

impl Words {
    pub(super) fn new(name: &str) -> Words {
        Words { name: name.to_owned(), heard: Mutex::default() }
    }

    /// The last lines; also one that was only begun.
    pub(super) fn last(&self) -> String {
        let heard = locked(&self.heard);
        let mut text: String = heard.lines.iter().flat_map(|line| [line, "\n"]).collect();
        text.push_str(&printable(&heard.begun));
        text
    }

    /// Listens until everybody has closed the pipe, or the launcher, whose pidfd this is, has
    /// ended and nothing more is in it.
    pub(super) fn listen(&self, pipe: &OwnedFd, launcher: &OwnedFd) {
        if ioctl_fionbio(pipe, true).is_err() {
            return;
        }
        let mut space = [0; 4096];
        let mut rest = REST_MAX;
        loop {
            match read(pipe, &mut space) {
                Ok(0) => break,
                Ok(length) => {
                    self.hear(space.get(..length).unwrap_or_default());
                    if rest < REST_MAX || over(launcher) {
                        rest = rest.saturating_sub(length);
                    }
                    if rest == 0 {
                        break;
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) if !over(launcher) => {
                    let mut both =
                        [PollFd::new(pipe, PollFlags::IN), PollFd::new(launcher, PollFlags::IN)];
                    // An error is seen by the next read.
                    let _ = poll(&mut both, None);
                }
                Err(_) => break,
            }
        }
        self.end_line();
    }

    fn hear(&self, bytes: &[u8]) {
        let mut parts = bytes.split(|byte| *byte == b'\n').peekable();
        while let Some(part) = parts.next() {
            let mut part = part;
            while !part.is_empty() {
                let room = LINE_MAX - self.begun().min(LINE_MAX);
                if room == 0 {
                    self.end_line();
                    continue;
                }
                let (now, later) = part.split_at(room.min(part.len()));
                locked(&self.heard).begun.extend_from_slice(now);
                part = later;
            }
            if parts.peek().is_some() {
                self.end_line();
            }
        }
    }

    /// Ends the line that was begun, if it is one.
    fn end_line(&self) {
        let mut heard = locked(&self.heard);
        let line = printable(&std::mem::take(&mut heard.begun));
        if line.trim().is_empty() {
            return;
        }
        heard.kept += line.len() + 1;
        heard.lines.push_back(line.clone());
        while heard.kept > KEPT_MAX {
            let Some(gone) = heard.lines.pop_front() else { break };
            heard.kept -= gone.len() + 1;
        }
        drop(heard);
        log::info!("{}: {line}", self.name);
    }

    fn begun(&self) -> usize {
        locked(&self.heard).begun.len()
    }
}

/// Text that does nothing to a terminal.
fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let shown = |c: char| if c == '\t' || !c.is_control() { c } else { '?' };
    text.trim_end().chars().map(shown).collect()
}

/// Whether a process has ended.
pub(super) fn over(pidfd: impl AsFd) -> bool {
    let mut one = [PollFd::new(&pidfd, PollFlags::IN)];
    let now = rustix::event::Timespec::default();
    poll(&mut one, Some(&now)).is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_the_last_kept() {
        let words = Words::new("test");
        words.hear(b"one\n\ntw");
        words.hear(b"o\x1b[2J\r\nthr");
        assert_eq!(words.last(), "one\ntwo?[2J\nthr");
        for number in 0..1000 {
            words.hear(format!("line {number}\n").as_bytes());
        }
        let last = words.last();
        assert!(last.len() <= KEPT_MAX && last.len() > KEPT_MAX - 20, "{}", last.len());
        assert!(last.starts_with("line ") && last.ends_with("line 999\n"), "{last}");
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let words = Words::new("test");
        for _ in 0..100 {
            words.hear(&[b'x'; 1000]);
            assert!(words.begun() <= LINE_MAX);
        }
        assert!(words.last().len() <= KEPT_MAX + LINE_MAX);
    }
}
