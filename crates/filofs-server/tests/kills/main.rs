//! Servers that are killed and stopped under load: what their callers see of it.
//!
//! A program of its own kind: it is also the launcher, the stand-in for fusermount, the server and
//! those who make the load, by the words that it is called with. `FILO_KILLS` in the environment
//! is the number of kills for each policy (200), `FILO_SEED` what the random numbers begin with.
#![allow(missing_docs, unreachable_pub)] // tests
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)] // tests may be blunt
#![allow(clippy::print_stdout)] // the figures are what one wants to see

mod campaign;
mod flood;
mod foreign;
mod ground;
mod last;
mod listener;
mod listening;
mod load;
mod mapped;
mod mounted;
mod passed;
mod random;
mod restart;
mod stopped;
mod user;

use filofs_bases::dir::{Dir, DirOptions};
use filofs_server::{attach, launch, serve};
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

/// What the core tells of its servers, on standard error: with FILO_LOG in the environment.
struct Log;

impl log::Log for Log {
    fn enabled(&self, _: &log::Metadata<'_>) -> bool {
        true
    }

    fn log(&self, record: &log::Record<'_>) {
        eprintln!("{}", record.args());
    }

    fn flush(&self) {}
}

fn main() -> ExitCode {
    if std::env::var_os("FILO_LOG").is_some() && log::set_logger(&Log).is_ok() {
        log::set_max_level(log::LevelFilter::Info);
    }
    if let Some(code) = launch::door().or_else(|| attach::door(std::env::args_os())) {
        return code;
    }
    let words: Vec<String> = std::env::args().collect();
    match words.get(1).map(String::as_str) {
        Some(mounted::SERVE) => {
            let dir = Dir::open(words[2].as_ref(), DirOptions::default()).unwrap();
            return serve::Server::new()
                .serve(dir, [])
                .map_or(ExitCode::FAILURE, |()| ExitCode::SUCCESS);
        }
        Some(flood::SERVE) => return flood::serve(&words[2]),
        Some(listener::LISTEN) => return listener::serve(&words[2], &words[3]),
        Some(mapped::MAP) => return mapped::program(&words[2..]),
        Some(load::LOAD) => return load::program(&words[2..]),
        _ => {}
    }
    let mut arguments = Arguments::from_args();
    // They count the threads and descriptors of this process.
    arguments.test_threads = Some(1);
    let tests = tests![
        restart::no_operation_fails,
        restart::what_kills_its_server_is_given_up_and_nobody_else,
        restart::who_dies_all_the_time_is_not_waited_for,
        restart::names_that_went_are_found_by_handle,
        mapped::what_is_synced_is_there,
        foreign::bindfs_in_front,
        foreign::bindfs_in_the_background,
        foreign::unionfs,
        listening::no_operation_fails,
        listening::who_is_away_for_a_while_is_waited_for,
        listening::the_mount_goes_if_nothing_is_said,
        passed::what_is_open_outlives_its_server,
        passed::what_is_open_stays_where_the_server_does_not_return,
        passed::a_server_in_its_box_gives_files_too,
        last::the_mount_goes,
        last::the_mount_stays_and_all_fails,
        stopped::others_go_on_and_callers_can_be_killed,
        stopped::who_misses_deadlines_is_killed,
        flood::garbage_is_ended,
        flood::notifications_are_ended_or_borne,
    ];
    run(&arguments, tests).exit_code()
}
