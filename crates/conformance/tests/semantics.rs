//! SEMANTICS.md promises nothing without a test.
#![allow(clippy::unwrap_used)] // a test may be blunt

use std::collections::BTreeSet;
use std::path::Path;

/// Every test function in the project's sources.
fn functions(dir: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).unwrap().flatten() {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("target") {
            functions(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let mut lines = text.lines();
            while let Some(line) = lines.next() {
                // A row of a table that a macro makes tests of.
                if let Some((name, rest)) = line.trim().split_once(": ")
                    && rest.ends_with(';')
                    && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                {
                    found.insert(name.to_owned());
                }
                // A row of the tests of a program of its own.
                if let Some((_, name)) = line.trim().trim_end_matches(',').split_once("::")
                    && name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
                {
                    found.insert(name.to_owned());
                }
                if line.trim() == "#[test]" {
                    let after = lines.by_ref().find_map(|l| l.trim().strip_prefix("fn "));
                    let name = after.and_then(|f| f.split('(').next());
                    found.extend(name.map(str::to_owned));
                }
            }
        }
    }
}

/// The tests that the last column of a row names.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split("; ").map(str::trim)
}

#[test]
fn every_promise_names_tests_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let text = std::fs::read_to_string(root.join("SEMANTICS.md")).unwrap();
    let checks: BTreeSet<&str> =
        conformance::checks::all().chain(conformance::checks::readonly()).map(|c| c.name).collect();
    let mut tests = BTreeSet::new();
    functions(&root.join("crates"), &mut tests);
    let mut rows = 0;
    let mut missing = Vec::new();
    for row in text.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise"))
    {
        let cell = row.trim_end_matches(" |").rsplit(" | ").next().unwrap();
        rows += 1;
        for test in named(cell) {
            let there = match (test.strip_prefix('"'), test.strip_prefix('`')) {
                (Some(check), _) => checks.contains(check.trim_end_matches('"')),
                (_, Some(function)) => tests.contains(function.trim_end_matches('`')),
                _ => false,
            };
            if !there {
                missing.push(test);
            }
        }
    }
    assert!(rows > 40, "only {rows} promises were read");
    assert!(missing.is_empty(), "no such tests: {missing:#?}");
}
