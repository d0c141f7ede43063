//! Runs checks on a file system and reports each.

use crate::os::OsProcess;
use crate::{Abilities, Check, Subject};
use filofs_front::local::Local;
use std::cell::{Cell, RefCell};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Once;

/// A file system that checks can be run on, each in a directory of its own.
pub trait Ground {
    /// Root, umask 0, in a new empty directory of that name and mode 755.
    fn subject(&self, directory: &str) -> Box<dyn Subject>;
}

/// One place for all checks: for checks that change nothing.
pub struct Shared<F: Fn() -> Box<dyn Subject>>(pub F);

impl<F: Fn() -> Box<dyn Subject>> Ground for Shared<F> {
    fn subject(&self, _: &str) -> Box<dyn Subject> {
        (self.0)()
    }
}

/// A mount used in-process.
#[derive(Debug)]
pub struct LocalGround(pub Local);

impl Ground for LocalGround {
    fn subject(&self, directory: &str) -> Box<dyn Subject> {
        let process = self.0.process();
        process.umask(0);
        process.mkdir(directory, 0o755).unwrap();
        process.chdir(directory).unwrap();
        Box::new(process)
    }
}

/// A directory of the operating system: a mount of filo, or the host's own file system.
#[derive(Debug)]
pub struct OsGround {
    /// The directory.
    pub path: PathBuf,
    /// What the file system there can do.
    pub abilities: Abilities,
}

impl Ground for OsGround {
    fn subject(&self, directory: &str) -> Box<dyn Subject> {
        let path = self.path.join(directory);
        std::fs::create_dir(&path).unwrap();
        // Whatever the umask of those who run the tests.
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&path, mode).unwrap();
        let mut abilities = self.abilities;
        abilities.set(Abilities::USERS, crate::os::may_become_users());
        Box::new(OsProcess::new(&path, abilities))
    }
}

/// What came of a run.
#[derive(Debug, Default)]
pub struct Report {
    /// How many held.
    pub passed: usize,
    /// Those that did not, with what they said.
    pub failed: Vec<String>,
    /// Those that were not run, with what was missing.
    pub skipped: Vec<String>,
}

impl Report {
    /// Prints it, and panics if anything failed.
    pub fn settle(self, label: &str) {
        println!("{label}: {} held, {} failed", self.passed, self.failed.len());
        for skipped in &self.skipped {
            println!("{label}: skipped: {skipped}");
        }
        for failed in &self.failed {
            println!("{label}: FAILED: {failed}");
        }
        assert!(self.failed.is_empty(), "{label}: {} checks failed", self.failed.len());
    }
}

/// Runs every check whose name contains `FILO_CHECK` (all without that variable), but those in
/// `except`, whose failure is known: they are listed as skipped with the reason.
pub fn run<'a>(
    checks: impl IntoIterator<Item = &'a Check>,
    ground: &dyn Ground,
    except: &[(&str, &str)],
) -> Report {
    remember_places();
    let only = std::env::var("FILO_CHECK").unwrap_or_default();
    let mut report = Report::default();
    for (number, check) in checks.into_iter().enumerate() {
        if !check.name.contains(&only) {
            continue;
        }
        if let Some((_, reason)) = except.iter().find(|(name, _)| *name == check.name) {
            report.skipped.push(format!("{check:?}: {reason}"));
            continue;
        }
        let subject = ground.subject(&format!("check-{number}"));
        if !subject.abilities().contains(check.needs) {
            let missing = check.needs.difference(subject.abilities());
            report.skipped.push(format!("{check:?}: needs {missing:?}"));
            continue;
        }
        CHECKING.set(true);
        let held = catch_unwind(AssertUnwindSafe(|| (check.run)(&*subject))).is_ok();
        CHECKING.set(false);
        if held {
            report.passed += 1;
        } else {
            let said = PLACE.with(|place| place.borrow_mut().take()).unwrap_or_default();
            report.failed.push(format!("{check:?}: {said}"));
        }
    }
    report
}

thread_local! {
    /// On a thread that runs a check: what its last panic said, and where.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
    static CHECKING: Cell<bool> = const { Cell::new(false) };
}

/// Notes what a panic says instead of printing it, on threads that run checks.
fn remember_places() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if CHECKING.try_with(Cell::get) != Ok(true) {
                return usual(info);
            }
            let text = format!("{info}").replace('\n', " ");
            let _ = PLACE.try_with(|place| *place.borrow_mut() = Some(text));
        }));
    });
}
