//! What a file system must do, as one list of checks; and what the list runs on.
//!
//! A [`Check`] is data: a sentence, where it comes from, what it needs, and a function over a
//! [`Subject`]. A subject is somebody who uses a file system by system calls: the in-process
//! front end's [`filofs_front::local::Process`], or a process of the real operating system in a
//! directory ([`os::OsProcess`]): on a filo mount, or on the host's own file system, which is the
//! control that the checks themselves are right.

// This crate is tests: a failed unwrap is a failed check, with its place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]
#![allow(clippy::missing_panics_doc)] // for the same reason

pub mod checks;
pub mod model;
pub mod os;
pub mod rng;
pub mod run;
pub mod steps;
mod subject;
pub mod trial;

pub use subject::{Abilities, Fd, Subject};

/// One thing that a file system must do.
#[derive(Clone, Copy)]
pub struct Check {
    /// What it must do, as a sentence.
    pub name: &'static str,
    /// Where that is said: a system call's manual page, or an item of the case list of NetBSD's
    /// tests (D.5 to D.8) or of the null layer's behaviours (B).
    pub source: &'static str,
    /// What the subject must be able to do for the check to mean anything.
    pub needs: Abilities,
    /// The check: runs in an empty directory of mode 755 that root owns, as root with umask 0, and
    /// panics where the file system is wrong.
    pub run: fn(&dyn Subject),
}

impl std::fmt::Debug for Check {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.name, self.source)
    }
}
