//! What the command says to a person who got it wrong, and with which exit code. No mount is
//! made here.

use crate::common::{FILO, Place, filo, refused};
use std::process::Command;

#[test]
fn an_unknown_layer_is_named_with_its_place_and_a_guess() {
    let place = Place::new();
    let at = place.dir("mnt");
    let (code, text) = refused(&["mount", "mem:", "null", "nul", at.to_str().unwrap()]);
    assert_eq!(text, "filo: layer 2, 'nul': no such layer; did you mean 'null'?\n");
    assert_eq!(code, Some(2));
}

#[test]
fn an_unknown_base_or_option_is_named() {
    let (code, text) = refused(&["mount", "men:", "/mnt"]);
    assert_eq!((code, &*text), (Some(2), "filo: base 'men': no such base; did you mean 'mem'?\n"));
    let (code, text) = refused(&["mount", "-f", "mem:sise=1g", "/mnt"]);
    assert_eq!(code, Some(2));
    assert_eq!(text, "filo: base 'mem': no option 'sise'; did you mean 'size'?\n");
    let (code, text) = refused(&["mount", "-f", "mem:", "fault:nht=3,errno=EIO", "/mnt"]);
    assert_eq!(code, Some(2));
    assert_eq!(text, "filo: layer 1, 'fault': no option 'nht'; did you mean 'nth'?\n");
}

#[test]
fn options_have_values_that_make_sense() {
    let place = Place::new();
    let at = place.dir("mnt");
    let at = at.to_str().unwrap();
    let (code, text) = refused(&["mount", "-f", "mem:size=lots", at]);
    assert_eq!(code, Some(5));
    assert_eq!(text, "filo: base 'mem': option 'size': 'lots' is no size; say 512m or 2g\n");
    let (code, text) = refused(&["mount", "-f", "mem:", "fault:errno=EWHAT", at]);
    assert_eq!(code, Some(5));
    let expected =
        "filo: layer 1, 'fault': option 'errno': 'EWHAT' is no errno; say EIO or ENOSPC\n";
    assert_eq!(text, expected);
    let (code, text) = refused(&["mount", "-o", "alow_other", "mem:", at]);
    assert_eq!(code, Some(1));
    assert_eq!(text, "filo: -o: no option 'alow_other'; did you mean 'allow_other'?\n");
}

#[test]
fn wrong_usage_is_1() {
    assert_eq!(refused(&[]).0, Some(1));
    assert_eq!(refused(&["mout"]).0, Some(1));
    let (code, text) = refused(&["mount"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("filo mount dir:/srv null /mnt"), "{text}");
    let (code, text) = refused(&["mount", "mem:"]);
    assert_eq!(code, Some(1));
    assert!(text.starts_with("filo: 'mem:' alone is not enough"), "{text}");
    assert_eq!(refused(&["run", "mem:"]).0, Some(1));
    assert_eq!(refused(&["umount"]).0, Some(1));
}

#[test]
fn each_mistake_on_the_command_line_is_one_line_that_says_where_help_is() {
    for (words, expected) in [
        (&["mont"][..], "unrecognized subcommand 'mont'; some similar subcommands exist: "),
        (
            &["mount", "mem:", "-x", "/mnt"],
            "unexpected argument '-x' found; see 'filo mount --help'",
        ),
        (&["list", "more"], "unexpected argument 'more' found; see 'filo list --help'"),
        (&["run", "mem:"], "the following required arguments were not provided: <COMMAND>...; see"),
        (&["mount", "-o", "remount,ro", "mem:", "/mnt"], "-o remount: not possible; unmount, and"),
    ] {
        let (code, text) = refused(words);
        assert_eq!(code, Some(1), "{text}");
        assert!(text.starts_with(&format!("filo: {expected}")), "{text}");
        assert_eq!(text.lines().count(), 1, "{text}");
    }
}

#[test]
fn an_output_that_cannot_be_written_is_told_and_one_that_nobody_reads_is_not() {
    for words in [&["layers"][..], &["list", "--json"], &["--help"], &["explain", "mem:"]] {
        let full = std::fs::File::options().write(true).open("/dev/full").unwrap();
        let output = Command::new(FILO).args(words).stdout(full).output().unwrap();
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{text}");
        assert_eq!(text, "filo: cannot write to standard output: No space left on device\n");
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = Command::new(FILO).args(words).stdout(writer).output().unwrap();
        assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
        assert_eq!(output.status.code(), Some(141));
    }
}

#[test]
fn help_and_version_are_no_errors() {
    for words in [&["--help"][..], &["mount", "--help"], &["--version"], &["mount", "-o", "help"]] {
        let output = filo(words);
        assert_eq!(output.status.code(), Some(0), "{words:?}");
        assert!(!output.stdout.is_empty() && output.stderr.is_empty(), "{words:?}");
    }
}

#[test]
fn layers_lists_every_base_and_layer_with_its_options() {
    let output = filo(&["layers"]);
    let text = String::from_utf8(output.stdout).unwrap();
    for word in ["mem", "dir:", "null", "readonly", "idmap", "trace", "fault", "size=", "file="] {
        assert!(text.contains(word), "{word} is not in\n{text}");
    }
}

#[test]
fn a_stack_file_is_checked_and_explained() {
    let place = Place::new();
    let file = place.0.join("x.toml");
    let good =
        "mount = '/mnt/x'\n[base]\ntype = 'mem'\nsize = '1g'\n[[layer]]\ntype = 'readonly'\n";
    std::fs::write(&file, good).unwrap();
    let file = file.to_str().unwrap();
    let output = filo(&["check", file]);
    assert_eq!(output.status.code(), Some(0));
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(text, format!("{file}: good: mem:size=1g readonly\n"));
    let output = filo(&["explain", file]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(text.contains("# as one line: mem:size=1g readonly\n"), "{text}");
    assert!(text.contains("[[layer]]\ntype = \"readonly\"\n"), "{text}");
    // In what changes something, and in nothing else.
    let part = text.lines().find_map(|l| l.strip_prefix("# layer 1, readonly: takes part in "));
    let part: Vec<&str> = part.unwrap().split(' ').collect();
    assert!(part.contains(&"unlink") && part.contains(&"write"), "{text}");
    assert!(!part.contains(&"read") && !part.contains(&"lookup"), "{text}");

    std::fs::write(file, good.replace("readonly", "readnoly")).unwrap();
    let (code, text) = refused(&["check", file]);
    assert_eq!(code, Some(2));
    let hint = "layer 1, 'readnoly': no such layer; did you mean 'readonly'?";
    assert_eq!(text, format!("filo: {file}: {hint}\n"));
    let (code, text) = refused(&["check", "/nowhere/x.toml"]);
    assert_eq!(code, Some(2));
    assert!(text.starts_with("filo: cannot read '/nowhere/x.toml':"), "{text}");
}

#[test]
fn the_mount_point_must_be_an_empty_directory() {
    let place = Place::new();
    let missing = place.0.join("missing");
    let (code, text) = refused(&["mount", "mem:", missing.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    let shown = missing.display();
    let expected =
        format!("filo: mount point '{shown}': does not exist; make the directory first\n");
    assert_eq!(text, expected);

    let file = place.0.join("file");
    std::fs::write(&file, "x").unwrap();
    let (code, text) = refused(&["mount", "mem:", file.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert_eq!(text, format!("filo: mount point '{}': is not a directory\n", file.display()));

    let (code, text) = refused(&["mount", "mem:", place.0.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    assert!(text.ends_with("is not empty; '-o nonempty' mounts over it all the same\n"), "{text}");
}

#[test]
fn a_base_that_is_not_there_is_5() {
    let place = Place::new();
    let at = place.dir("mnt");
    let missing = format!("dir:{}/missing", place.0.display());
    let (code, text) = refused(&["mount", &missing, at.to_str().unwrap()]);
    assert_eq!(code, Some(5), "{text}");
    assert!(text.starts_with("filo: base 'dir': "), "{text}");
    assert_eq!(text.lines().count(), 1, "{text}");
}

#[test]
fn umount_of_what_is_not_ours_is_refused() {
    let place = Place::new();
    let (code, text) = refused(&["umount", place.0.to_str().unwrap()]);
    assert_eq!(code, Some(3));
    let shown = place.0.display();
    assert_eq!(text, format!("filo: '{shown}': is not a mount of filo; 'filo list' shows them\n"));
}
