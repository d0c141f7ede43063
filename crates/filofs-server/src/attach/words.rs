//! A command line, split into its words.
//!
//! As a shell splits one (sh(1), "Quoting"), and nothing else that a shell does: no variables, no
//! patterns, no commands in commands. Thirty lines of our own rather than a library: the ones there
//! are also know comments, and a `#` in a path is no comment.

use super::AttachError;

/// The words of `command`. Blanks separate them; single quotes take all up to the next one;
/// in double quotes a backslash quotes `$`, a backquote, `"`, `\` and a line's end; outside it
/// quotes any byte.
///
/// Errors: [`AttachError::Quote`] where a quote is not closed, or a backslash stands last.
pub(crate) fn split(command: &str) -> Result<Vec<String>, AttachError> {
    let mut words = Vec::new();
    let mut letters = command.chars();
    // `None` between words: an empty pair of quotes makes a word, blanks make none.
    let mut word: Option<String> = None;
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' | '\n' => words.extend(word.take()),
            '\'' => single(&mut letters, word.get_or_insert_default())?,
            '"' => double(&mut letters, word.get_or_insert_default())?,
            '\\' => match letters.next().ok_or(AttachError::Quote { quote: '\\' })? {
                '\n' => {}
                quoted => word.get_or_insert_default().push(quoted),
            },
            _ => word.get_or_insert_default().push(letter),
        }
    }
    words.extend(word);
    Ok(words)
}

/// The rest of what single quotes hold.
fn single(letters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), AttachError> {
    for letter in letters {
        match letter {
            '\'' => return Ok(()),
            _ => word.push(letter),
        }
    }
    Err(AttachError::Quote { quote: '\'' })
}

/// The rest of what double quotes hold.
fn double(letters: &mut impl Iterator<Item = char>, word: &mut String) -> Result<(), AttachError> {
    while let Some(letter) = letters.next() {
        match letter {
            '"' => return Ok(()),
            '\\' => match letters.next() {
                Some('\n') => {}
                Some(quoted @ ('$' | '`' | '"' | '\\')) => word.push(quoted),
                Some(plain) => word.extend(['\\', plain]),
                None => break,
            },
            _ => word.push(letter),
        }
    }
    Err(AttachError::Quote { quote: '"' })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_as_a_shell_has_them() {
        for (command, words) in [
            ("", &[] as &[&str]),
            (" \t\n ", &[]),
            ("sshfs host:/data {}", &["sshfs", "host:/data", "{}"]),
            ("  a   b\tc\n", &["a", "b", "c"]),
            ("bindfs '/my photos' {}", &["bindfs", "/my photos", "{}"]),
            (r#"a "b c"d'e f' g"#, &["a", "b cde f", "g"]),
            (r"a\ b \\ \' \#", &["a b", "\\", "'", "#"]),
            (r#""\$\`\"\\ \n""#, &["$`\"\\ \\n"]),
            ("a\\\nb \"c\\\nd\"", &["ab", "cd"]),
            ("'' \"\" x''", &["", "", "x"]),
            (r"'a\'b", &["a\\b"]),
            ("a #b $HOME * `x` ~", &["a", "#b", "$HOME", "*", "`x`", "~"]),
            ("caf\u{e9} 'na\u{ef}ve'", &["caf\u{e9}", "na\u{ef}ve"]),
        ] {
            assert_eq!(split(command).unwrap(), words, "{command:?}");
        }
    }

    #[test]
    fn an_open_quote_is_named() {
        for (command, open) in
            [("a 'b", '\''), ("a \"b", '"'), (r#""a\"#, '"'), (r"a\", '\\'), ("'a\\'b'", '\'')]
        {
            let refused = split(command).unwrap_err();
            assert!(matches!(refused, AttachError::Quote { quote } if quote == open), "{command}");
        }
    }
}
