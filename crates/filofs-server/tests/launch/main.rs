//! Tests of the starting of programs. This program is also the launcher that it starts, and the
//! programs that those start; so it has a `main` of its own.

// A failed unwrap is a failed test; that these are tests is not seen without the usual harness.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

mod confined;
mod errors;
mod ground;
mod guest;
mod kept;
mod others;

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
    if let Some(code) = filofs_server::launch::door().or_else(guest::life) {
        return code;
    }
    let tests = tests![
        confined::descriptors_are_exactly_those_given,
        confined::rights_are_those_of_the_profile,
        confined::what_no_server_needs_is_refused,
        confined::what_servers_need_is_allowed,
        confined::strict_has_no_rings,
        confined::without_a_sandbox_calls_are_not_refused,
        confined::namespaces_are_its_own,
        confined::it_sees_only_its_own_processes,
        confined::binds_are_seen_inside_alone,
        confined::what_is_hidden_is_not_kept_in_use,
        confined::without_a_sandbox_it_can_still_not_mount,
        confined::strict_reads_and_writes_what_is_allowed,
        confined::strict_does_not_listen,
        confined::nothing_outside_is_reached,
        confined::limits_are_set,
        confined::it_is_not_in_our_session,
        confined::the_environment_is_passed_on,
        errors::a_missing_program,
        errors::a_program_that_cannot_be_executed,
        errors::a_program_that_ends_at_once,
        errors::a_path_to_allow_that_is_missing,
        errors::a_sandbox_that_contradicts_itself,
        errors::a_bind_that_cannot_be,
        errors::strict_needs_namespaces,
        errors::a_launcher_that_is_none,
        kept::last_words_are_the_last,
        kept::what_puts_itself_into_the_background_is_followed,
        kept::a_failure_ends_what_it_left_behind,
        kept::the_end_of_the_channel_is_seen,
        kept::it_is_asked_before_it_is_killed,
        kept::what_does_not_listen_is_killed,
        kept::the_program_has_a_pid_and_takes_signals,
        kept::it_outlives_the_thread_that_started_it,
        kept::nothing_is_left_in_this_process,
        kept::our_death_is_its_death,
        kept::the_launchers_death_is_its_death,
        others::all_of_this_as_an_ordinary_user,
        others::all_of_this_without_namespaces,
    ];
    run(&Arguments::from_args(), tests).exit_code()
}
