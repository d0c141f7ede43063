//! Foreign programs: each one that is installed serves, unmodified, over a channel.
//!
//! This is a program of its own kind: it is also the launcher and the stand-in for fusermount, by
//! the name that it is called by.
#![allow(missing_docs, unreachable_pub)] // tests
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt

mod ground;
mod kernel;
mod programs;
mod ways;

use filofs_server::{attach, launch};
use libtest_mimic::{Arguments, Trial, run};
use std::process::ExitCode;

/// A row for each test: its name is that of its function.
macro_rules! tests {
    ($($module:ident :: $name:ident),* $(,)?) => {
        vec![$(Trial::test(concat!(stringify!($module), "::", stringify!($name)), || {
            $module::$name();
            Ok(())
        })),*]
    };
}

fn main() -> ExitCode {
    if let Some(code) = launch::door().or_else(|| attach::door(std::env::args_os())) {
        return code;
    }
    let tests = tests![
        programs::bindfs,
        programs::sshfs,
        programs::unionfs_fuse,
        programs::fuse_overlayfs,
        programs::mergerfs,
        programs::squashfuse,
        programs::gocryptfs,
        programs::rclone,
        ways::a_program_that_is_not_there,
        ways::a_program_that_ends_at_once,
        ways::a_program_that_never_mounts,
        ways::a_program_may_do_things_first,
        ways::unmounting_is_noticed,
        ways::the_stand_in_says_what_is_wrong,
        ways::nothing_is_left,
        ways::strict_sandbox,
        ways::no_sandbox,
        ways::without_namespaces_auto_means_a_descriptor,
        ways::all_of_this_as_an_ordinary_user,
    ];
    run(&Arguments::from_args(), tests).exit_code()
}
