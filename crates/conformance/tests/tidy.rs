//! Rules of the house that no compiler checks, over every source file of the project.

#![allow(clippy::unwrap_used)] // a failed unwrap is a failed test, in a helper of tests as well

use std::fs;
use std::path::{Path, PathBuf};

/// Files that may contain `unsafe`, each with its reason (invariant 7 of ARCHITECTURE.md). A file
/// on this list has `#![allow(unsafe_code)]` at its head; the workspace denies it elsewhere.
const UNSAFE_FILES: &[(&str, &str)] = &[
    ("crates/conformance/src/os/calls.rs", "the system calls of a subject, thinly covered"),
    ("crates/conformance/src/os/thread.rs", "credentials of one thread, and mappings"),
    ("crates/filo/src/namespace.rs", "unshare(2), which could also unshare descriptors"),
    ("crates/filofs-bases/src/dir/sys.rs", "system calls that no safe library has"),
    ("crates/filofs-front/src/area/memory.rs", "memory that another process shares"),
    ("crates/filofs-front/src/fuse/given.rs", "a descriptor known only by its number"),
    ("crates/filofs-front/src/fuse/heap.rs", "malloc_trim(3)"),
    ("crates/filofs-front/src/fuse/registrar.rs", "ioctls of the device, and setfsuid(2)"),
    ("crates/filofs-front/tests/allocations.rs", "an allocator that counts"),
    ("crates/filofs-front/src/fuse/ring/entry.rs", "memory that the kernel writes into"),
    ("crates/filofs-front/src/fuse/ring/uring.rs", "commands to an io_uring"),
    ("crates/filofs-server/src/launch/sys.rs", "close_range(2), unshare(2), and kill(2) of all"),
    ("crates/filofs-server/tests/launch/guest.rs", "system calls that are to be refused"),
    ("crates/filofs-server/src/serve/given.rs", "takes a variable out of the environment"),
    ("crates/filofs-server/src/peer.rs", "SO_PEERCRED, where the pid may be 0"),
    ("crates/filofs-server/src/attach/comm_fd.rs", "a descriptor known only by its number"),
];

/// Folders with sources of ours, below the root of the project.
const SOURCE_FOLDERS: &[&str] = &["crates", "examples", "fuzz", "tests"];

/// Most lines that a file may have. Past about 500 ask which second noun is hiding.
const LINES_MAX: usize = 900;

/// Most columns of a line.
const COLUMNS_MAX: usize = 100;

/// How far above an `unsafe` block its reason may begin, in lines.
const SAFETY_REACH: usize = 12;

/// Macros that must not be committed. Split, so that this file does not break its own rule.
const BANNED_MACROS: &[&str] =
    &[concat!("to", "do!"), concat!("d", "bg!"), concat!("unimple", "mented!")];

/// Beginnings of paths that exist on one machine only. Split for the same reason.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ho", "me/"), concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/tmp/", "wt")];

#[test]
fn every_source_file_is_tidy() {
    let sources = sources();
    assert!(sources.len() > 10, "only {} source files found", sources.len());
    let mut faults = Vec::new();
    for source in &sources {
        faults.extend(source.faults());
    }
    assert!(faults.is_empty(), "{} faults:\n{}\n", faults.len(), faults.join("\n"));
}

#[test]
fn the_list_of_unsafe_files_has_no_dead_entry() {
    let sources = sources();
    for (path, reason) in UNSAFE_FILES {
        assert!(!reason.is_empty(), "{path}: say why it needs `unsafe`");
        let source = sources.iter().find(|source| source.path == *path);
        let source = source.unwrap_or_else(|| panic!("{path}: no such file; strike it off"));
        assert!(
            source.text.lines().any(|line| mentions(&code(line), "unsafe")),
            "{path}: has no `unsafe`; strike it off"
        );
    }
}

#[test]
fn each_rule_finds_its_fault() {
    let unsafe_call = "fn f() {\n    unsafe { g() }\n}\n";
    let banned = format!("fn f() {{\n    {}(\"later\");\n}}\n", BANNED_MACROS[0]);
    let machine = format!("const HERE: &str = \"{}somebody\";\n", MACHINE_PATHS[0]);
    for (text, fault) in [
        ("line\n".repeat(LINES_MAX + 1).as_str(), "lines"),
        ("// caf\u{e9}\n", "ASCII"),
        ("// no newline", "newline"),
        (format!("// {}\n", "x".repeat(COLUMNS_MAX)).as_str(), "columns"),
        ("let x = 1; \n", "white space"),
        (unsafe_call, "SAFETY"),
        (unsafe_call, "UNSAFE_FILES"),
        ("#![allow(unsafe_code)]\n", "UNSAFE_FILES"),
        (banned.as_str(), "must not be committed"),
        (machine.as_str(), "one machine"),
    ] {
        let faults = source("crates/x/src/lib.rs", text).faults();
        assert!(faults.iter().any(|found| found.contains(fault)), "{fault}: {faults:?}");
    }
    let sound =
        "// An unsafe word in a comment, and \"unsafe\" in\nconst A: &str = \"unsafe {\";\n";
    assert_eq!(source("crates/x/src/lib.rs", sound).faults(), Vec::<String>::new());
}

/// A file of ours. `path` is below the root of the project.
struct Source {
    path: String,
    text: String,
}

impl Source {
    /// Every rule that the file breaks, as `path:line: what`.
    fn faults(&self) -> Vec<String> {
        let mut faults = Vec::new();
        let count = self.text.lines().count();
        if count > LINES_MAX {
            faults.push(format!("{}: {count} lines; {LINES_MAX} is the limit", self.path));
        }
        if !self.text.is_empty() && !self.text.ends_with('\n') {
            faults.push(format!("{}: no newline at its end", self.path));
        }
        for (at, line) in self.text.lines().enumerate() {
            let mut fault = |what: String| faults.push(format!("{}:{}: {what}", self.path, at + 1));
            if line.chars().count() > COLUMNS_MAX {
                fault(format!("more than {COLUMNS_MAX} columns"));
            }
            if line != line.trim_end() {
                fault("white space at its end".into());
            }
            if !line.is_ascii() {
                fault("not plain ASCII".into());
            }
            for path in MACHINE_PATHS.iter().filter(|path| begins(line, path)) {
                fault(format!("{path}: a path of one machine"));
            }
            if self.is_rust() {
                self.rust_faults(at, &code(line), &mut fault);
            }
        }
        faults
    }

    fn rust_faults(&self, at: usize, code: &str, fault: &mut impl FnMut(String)) {
        for name in BANNED_MACROS.iter().filter(|name| code.contains(**name)) {
            fault(format!("{name} must not be committed"));
        }
        let allowed = code.contains("allow(unsafe_code)") || code.contains("expect(unsafe_code)");
        if (mentions(code, "unsafe") || allowed) && !self.may_be_unsafe() {
            fault(
                "`unsafe` in a file that is not named for it. Do without, or add the file and \
                 its reason to UNSAFE_FILES in crates/conformance/tests/tidy.rs"
                    .into(),
            );
        }
        if begins_unsafe_block(code) && !self.has_reason(at) {
            fault("`unsafe` without a `// SAFETY:` above it".into());
        }
    }

    /// Whether a `SAFETY:` comment stands on or closely above a line.
    fn has_reason(&self, at: usize) -> bool {
        let from = at.saturating_sub(SAFETY_REACH);
        self.text.lines().skip(from).take(at - from + 1).any(|line| line.contains("SAFETY:"))
    }

    fn is_rust(&self) -> bool {
        Path::new(&self.path).extension().is_some_and(|extension| extension == "rs")
    }

    fn may_be_unsafe(&self) -> bool {
        UNSAFE_FILES.iter().any(|(path, _)| *path == self.path)
    }
}

/// Whether a line of code begins something that needs a SAFETY reason.
fn begins_unsafe_block(code: &str) -> bool {
    ["unsafe {", "unsafe impl", "unsafe extern"].iter().any(|begin| code.contains(begin))
}

/// Whether a path occurs in a line that does not go on from something before it.
fn begins(line: &str, path: &str) -> bool {
    let before = |at: usize| line.get(..at).and_then(|head| head.chars().next_back());
    line.match_indices(path).any(|(at, _)| !before(at).is_some_and(|c| c.is_ascii_alphanumeric()))
}

/// Whether a whole word occurs in a line of code.
fn mentions(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_ascii_alphanumeric() && c != '_').any(|found| found == word)
}

/// A line without its comment and without what stands in its strings. Good enough for the rules
/// here; a string over several lines is taken for code.
fn code(line: &str) -> String {
    let mut code = String::new();
    let mut in_string = false;
    let mut chars = line.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' if in_string => drop(chars.next()),
            '\'' if !in_string && chars.peek() == Some(&'"') => drop(chars.next()),
            '"' => in_string = !in_string,
            '/' if !in_string && chars.peek() == Some(&'/') => break,
            _ if !in_string => code.push(c),
            _ => {}
        }
    }
    code
}

fn source(path: &str, text: &str) -> Source {
    Source { path: path.into(), text: text.into() }
}

/// Every Rust, Python and shell source of the project.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut folders: Vec<PathBuf> = SOURCE_FOLDERS.iter().map(|name| root.join(name)).collect();
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap_or_default();
            let extension = path.extension().unwrap_or_default();
            if path.is_dir() && !["target", "corpus", "artifacts"].iter().any(|out| name == *out) {
                folders.push(path);
            } else if ["rs", "py", "sh"].iter().any(|ours| extension == *ours) {
                let text = fs::read_to_string(&path).unwrap();
                sources.push(source(path.strip_prefix(&root).unwrap().to_str().unwrap(), &text));
            }
        }
    }
    sources.sort_by(|one, other| one.path.cmp(&other.path));
    sources
}
