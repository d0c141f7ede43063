//! `StackSpec`: a stack as a person wrote it, and how it becomes a [`Stack`].

use crate::exit::{Exit, Failure};
use filofs::{
    Definition, FileSystem, Layer, OptionHelp, Options, Role, SetupError, Stack, nearest,
};
use std::fmt;
use std::sync::Arc;

/// Every base there is.
pub(crate) fn bases() -> impl Iterator<Item = &'static Definition> {
    filofs_bases::BASES.iter().chain(filofs_server::BASES).copied()
}

/// Every layer there is.
pub(crate) fn layers() -> impl Iterator<Item = &'static Definition> {
    filofs_layers::LAYERS.iter().copied()
}

/// One base or layer: `name`, `name:argument,key=value,switch`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct ElementSpec {
    pub(crate) name: String,
    pub(crate) argument: Option<String>,
    pub(crate) options: Vec<(String, Option<String>)>,
}

/// A base and the layers over it, bottom to top.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct StackSpec {
    pub(crate) base: ElementSpec,
    pub(crate) layers: Vec<ElementSpec>,
}

impl ElementSpec {
    /// Reads the one-line form. A backslash takes the meaning from the next letter (`\,`, `\:`,
    /// `\\`), or with three octal digits is that byte, as in fstab(5) (`\040`). What begins with
    /// `/` or `.` is a directory.
    pub(crate) fn parse(text: &str) -> Result<ElementSpec, Failure> {
        if text.starts_with(['/', '.']) {
            return ElementSpec::parse(&format!("dir:{text}"));
        }
        let (name, rest) = match text.split_once(':') {
            Some((name, rest)) => (name, Some(rest)),
            None => (text, None),
        };
        if name.is_empty() {
            return Err(Failure::config(format!("'{text}' has no name before the colon")));
        }
        if let (Some(definition), Some(rest)) = (definition(name).filter(|d| d.is_command), rest) {
            let (command, options) = split_command(rest, definition.options);
            let argument = Some(command.to_owned()).filter(|command| !command.is_empty());
            return Ok(ElementSpec { name: name.to_owned(), argument, options });
        }
        let mut pieces = rest.map(split_escaped).unwrap_or_default().into_iter().peekable();
        let takes_argument = definition(name).is_none_or(|d| d.argument.is_some());
        let argument = if takes_argument { pieces.next().filter(|p| !p.is_empty()) } else { None };
        let options =
            pieces.filter(|piece| !piece.is_empty()).map(|piece| match piece.split_once('=') {
                Some((key, value)) => (key.to_owned(), Some(value.to_owned())),
                None => (piece, None),
            });
        Ok(ElementSpec { name: name.to_owned(), argument, options: options.collect() })
    }

    /// The options it knows and was not given.
    pub(crate) fn unset_options(&self) -> impl Iterator<Item = &'static OptionHelp> {
        let known = definition(&self.name).map(|d| d.options).unwrap_or_default();
        known.iter().filter(|o| !self.options.iter().any(|(key, _)| key.replace('-', "_") == o.key))
    }

    fn given(&self) -> Options {
        Options::new(self.argument.clone(), self.options.clone())
    }
}

impl fmt::Display for ElementSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)?;
        let is_base = bases().any(|d| d.name == self.name);
        if is_base || self.argument.is_some() || !self.options.is_empty() {
            f.write_str(":")?;
        }
        let is_command = definition(&self.name).is_some_and(|d| d.is_command);
        let argument = |text: &String| if is_command { text.clone() } else { escape(text) };
        let mut pieces: Vec<String> = self.argument.iter().map(argument).collect();
        pieces.extend(self.options.iter().map(|(key, value)| match value {
            Some(value) => format!("{key}={}", escape(value)),
            None => key.clone(),
        }));
        f.write_str(&pieces.join(","))
    }
}

impl StackSpec {
    /// From the words of a command line: the base first, then the layers from bottom to top.
    pub(crate) fn parse(words: &[String]) -> Result<StackSpec, Failure> {
        let Some((base, layers)) = words.split_first() else {
            return Err(Failure::usage(
                "no stack was given; say what to mount, as in 'filo mount dir:/srv null /mnt'",
            ));
        };
        let stack = StackSpec {
            base: ElementSpec::parse(base)?,
            layers: layers.iter().map(|w| ElementSpec::parse(w)).collect::<Result<_, _>>()?,
        };
        stack.check_names()?;
        Ok(stack)
    }

    /// Whether every element exists and stands where it can; a word in the wrong place is told
    /// so.
    pub(crate) fn check_names(&self) -> Result<(), Failure> {
        let name = &self.base.name;
        if !bases().any(|d| d.name == *name) {
            let hint = if layers().any(|d| d.name == *name) {
                format!("; '{name}' is a layer: put a base such as 'dir:/path' before it")
            } else {
                did_you_mean(name, bases())
            };
            return Err(Failure::config(format!("base '{name}': no such base{hint}")));
        }
        for (at, layer) in self.layers.iter().enumerate() {
            let name = &layer.name;
            if !layers().any(|d| d.name == *name) {
                let hint = if bases().any(|d| d.name == *name) {
                    format!("; '{name}' is a base: it goes first, and only one")
                } else {
                    did_you_mean(name, layers())
                };
                let at = at + 1;
                return Err(Failure::config(format!("layer {at}, '{name}': no such layer{hint}")));
            }
        }
        Ok(())
    }

    /// Whether every option exists, without setting anything up.
    pub(crate) fn check_options(&self) -> Result<(), Failure> {
        check_keys(&self.base)
            .map_err(|e| Failure::config(format!("base '{}': {e}", self.base.name)))?;
        for (at, layer) in self.layers.iter().enumerate() {
            let (at, name) = (at + 1, &layer.name);
            check_keys(layer).map_err(|e| Failure::config(format!("layer {at}, '{name}': {e}")))?;
        }
        Ok(())
    }

    /// Sets up every element. An error names the one at fault.
    pub(crate) fn build(&self) -> Result<Stack, Failure> {
        self.check_options()?;
        let base = build_base(&self.base);
        let fault = |e| Failure::new(Exit::Layer, format!("base '{}': {e}", self.base.name));
        self.build_over(base.map_err(fault)?)
    }

    /// Sets up the layers alone, over that. An error names the one at fault.
    pub(crate) fn build_over(&self, base: Arc<dyn FileSystem>) -> Result<Stack, Failure> {
        let mut layers = Vec::new();
        for (at, layer) in self.layers.iter().enumerate() {
            let (at, name) = (at + 1, &layer.name);
            let built = build_layer(layer);
            let fault = |e| Failure::new(Exit::Layer, format!("layer {at}, '{name}': {e}"));
            layers.push(built.map_err(fault)?);
        }
        Stack::new(base, layers).ok_or_else(|| {
            Failure::config(format!("a stack has at most {} layers", Stack::MOST_LAYERS))
        })
    }
}

impl fmt::Display for StackSpec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.base.fmt(f)?;
        self.layers.iter().try_for_each(|layer| write!(f, " {layer}"))
    }
}

/// Splits the one word that fstab(5) leaves room for into base and layers, at white space. A
/// backslash before a space keeps it. If the base is a command, its own words are not layers: only
/// what at the end has the name of one is.
pub(crate) fn split_words(text: &str) -> Vec<String> {
    let text = text.trim();
    let base = text.split_once(':').and_then(|(name, _)| definition(name));
    if base.is_some_and(|base| base.is_command) {
        return split_from_command(&with_blanks(text));
    }
    let mut words = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' if letters.peek() == Some(&' ') => {
                letters.next();
                words.last_mut().into_iter().for_each(|w| w.push_str("\\040"));
            }
            ' ' | '\t' => words.push(String::new()),
            _ => words.last_mut().into_iter().for_each(|w| w.push(letter)),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// A command that may have its blanks as `\040`, and layers.
fn split_from_command(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut command = text;
    while let Some((rest, word)) = command.rsplit_once([' ', '\t']) {
        let name = word.split(':').next().unwrap_or_default();
        if !word.is_empty() && !layers().any(|layer| layer.name == name) {
            break;
        }
        words.insert(0, word.to_owned());
        command = rest;
    }
    words.insert(0, command.to_owned());
    words.retain(|word| !word.is_empty());
    words
}

/// Blanks for `\040` and `\011`: what reads fstab has done so, whoever types has not.
fn with_blanks(text: &str) -> String {
    text.replace("\\040", " ").replace("\\011", "\t")
}

fn build_base(spec: &ElementSpec) -> Result<Arc<dyn FileSystem>, SetupError> {
    let mut options = spec.given();
    match definition(&spec.name) {
        Some(Definition { role: Role::Base(build), .. }) => build(&mut options),
        _ => Err(SetupError::new("no such base")),
    }
}

fn build_layer(spec: &ElementSpec) -> Result<Box<dyn Layer>, SetupError> {
    let mut options = spec.given();
    match definition(&spec.name) {
        Some(Definition { role: Role::Layer(build), .. }) => build(&mut options),
        _ => Err(SetupError::new("no such layer")),
    }
}

fn check_keys(spec: &ElementSpec) -> Result<(), SetupError> {
    let mut rest = spec.given();
    let Some(Definition { options: known, argument, .. }) = definition(&spec.name) else {
        return Ok(());
    };
    if argument.is_some() {
        rest.argument();
    }
    for option in *known {
        // A switch has no value; what is wrong with one is for the element to say.
        let _ = rest.value(option.key);
    }
    rest.finish(known)
}

/// The base or layer of that name.
pub(crate) fn definition(name: &str) -> Option<&'static Definition> {
    bases().chain(layers()).find(|d| d.name == name)
}

fn did_you_mean(name: &str, among: impl Iterator<Item = &'static Definition>) -> String {
    match nearest(name, among.map(|d| d.name)) {
        Some(near) => format!("; did you mean '{near}'?"),
        None => "; 'filo layers' lists what there is".into(),
    }
}

/// Takes the options off the end of a command line: whatever comes after a comma, has no blank or
/// quote in it, and is one that is known, or one mistyped. The rest is the command, untouched.
fn split_command<'a>(
    mut text: &'a str,
    known: &[OptionHelp],
) -> (&'a str, Vec<(String, Option<String>)>) {
    let mut options = Vec::new();
    let commas = text.match_indices(',').map(|(at, _)| at);
    let commas: Vec<usize> = commas.filter(|at| !text[..*at].ends_with('\\')).collect();
    for at in commas.into_iter().rev() {
        let (command, option) = (&text[..at], &text[at + 1..]);
        let piece = split_escaped(option).concat();
        let (key, value) = match piece.split_once('=') {
            Some((key, value)) => (key, Some(value.to_owned())),
            None => (piece.as_str(), None),
        };
        let is_word = !option.contains([' ', '\t', '{', '\'', '"']);
        if !is_word || !is_option(command, &key.replace('-', "_"), known) {
            break;
        }
        options.insert(0, (key.to_owned(), value));
        text = command;
    }
    (text, options)
}

/// Whether what follows a comma behind that command is meant for us.
fn is_option(command: &str, key: &str, known: &[OptionHelp]) -> bool {
    let mut keys = known.iter().map(|option| option.key);
    if keys.clone().any(|known| known == key) {
        return true;
    }
    // A mount point has nothing more to say, and a lone path ends in no word like one of ours.
    command.ends_with("{}") || (!command.contains(' ') && nearest(key, keys.by_ref()).is_some())
}

/// Splits at commas, and takes the escapes away.
fn split_escaped(text: &str) -> Vec<String> {
    let mut pieces = vec![Vec::new()];
    let mut bytes = text.bytes().peekable();
    while let Some(byte) = bytes.next() {
        let next = match byte {
            b',' => {
                pieces.push(Vec::new());
                continue;
            }
            b'\\' => unescape(&mut bytes),
            other => other,
        };
        pieces.last_mut().into_iter().for_each(|p| p.push(next));
    }
    pieces.into_iter().map(|p| String::from_utf8_lossy(&p).into_owned()).collect()
}

/// What stands after a backslash: three octal digits, or a letter that means itself.
fn unescape(bytes: &mut std::iter::Peekable<std::str::Bytes<'_>>) -> u8 {
    let ahead: Vec<u8> = bytes.clone().take(3).collect();
    if ahead.len() == 3 && ahead.iter().all(|b| matches!(b, b'0'..=b'7')) {
        bytes.nth(2);
        return ahead.iter().fold(0u8, |n, b| n.wrapping_mul(8).wrapping_add(b - b'0'));
    }
    bytes.next().unwrap_or(b'\\')
}

/// Puts a backslash before what would be taken for a separator.
fn escape(text: &str) -> String {
    text.chars().fold(String::new(), |mut done, letter| {
        match letter {
            ',' | '\\' => done.extend(['\\', letter]),
            ' ' => done.push_str("\\040"),
            _ => done.push(letter),
        }
        done
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &[&str]) -> Vec<String> {
        text.iter().map(|w| (*w).to_owned()).collect()
    }

    fn element(text: &str) -> ElementSpec {
        ElementSpec::parse(text).unwrap()
    }

    #[test]
    fn elements_have_an_argument_and_options() {
        let dir = element("dir:/srv/my\\,photos\\040x,xdev=deny,quick");
        assert_eq!(dir.argument.as_deref(), Some("/srv/my,photos x"));
        let options = [("xdev".into(), Some("deny".into())), ("quick".into(), None)];
        assert_eq!(dir.options, options);
        assert_eq!(element("mem:"), element("mem"));
        assert_eq!(element("mem:size=2g").options, [("size".into(), Some("2g".into()))]);
        assert_eq!(element("/srv"), element("dir:/srv"));
        assert_eq!(element("./x:y").argument.as_deref(), Some("./x:y"));
        assert!(ElementSpec::parse(":x").is_err());
    }

    #[test]
    fn the_commas_of_a_command_are_its_own() {
        let exec = element("exec:sshfs -o idmap=user,uid=0 h\\,st: {},on-exit=fail,sandbox=off");
        assert_eq!(exec.argument.as_deref(), Some("sshfs -o idmap=user,uid=0 h\\,st: {}"));
        let option = |key: &str, value: &str| (key.to_owned(), Some(value.to_owned()));
        assert_eq!(exec.options, [option("on-exit", "fail"), option("sandbox", "off")]);
        // A word that only looks like an option belongs to the command.
        let exec = element("exec:sshfs -o reconnect,timeout=3 host: {}");
        assert_eq!(exec.argument.as_deref(), Some("sshfs -o reconnect,timeout=3 host: {}"));
        assert_eq!(element("server:unix=/run/x").argument.as_deref(), Some("unix=/run/x"));
        // So does what is in quotes.
        let exec = element("exec:x {} -o 'a,timeout=3'");
        assert_eq!(exec.argument.as_deref(), Some("x {} -o 'a,timeout=3'"));
        let exec = element("exec:x {},sandbox=strict,allow=/my\\040dir\\,s");
        assert_eq!(exec.options, [option("sandbox", "strict"), option("allow", "/my dir,s")]);
    }

    #[test]
    fn an_option_mistyped_after_a_command_is_told() {
        for (text, expected) in [
            ("exec:bindfs /srv {},timout=3", "no option 'timout'; did you mean 'timeout'?"),
            ("exec:bindfs /srv {},colour", "no option 'colour'"),
            ("server:./hello,on-exti=fail", "no option 'on_exti'; did you mean 'on_exit'?"),
        ] {
            let stack = StackSpec::parse(&words(&[text])).unwrap();
            let error = stack.check_options().unwrap_err().text;
            assert!(error.ends_with(expected), "{error}");
        }
        assert_eq!(element("server:./a,b").argument.as_deref(), Some("./a,b"));
    }

    #[test]
    fn what_is_printed_reads_back() {
        for text in [
            "exec:bindfs -o a,b /srv {},on-exit=fail",
            "exec:bindfs '/a b' {},sandbox=strict,allow=/a\\040b\\,c",
            "dir:/srv/my\\,photos\\040x,xdev=deny",
            "mem:size=2g,mode=1777",
            "null",
        ] {
            assert_eq!(element(text).to_string(), text);
            assert_eq!(element(&element(text).to_string()), element(text));
        }
    }

    #[test]
    fn errors_name_the_element_and_what_to_do() {
        let error = |text: &[&str]| StackSpec::parse(&words(text)).unwrap_err().text;
        assert_eq!(
            error(&["mem:", "null", "nul"]),
            "layer 2, 'nul': no such layer; did you mean 'null'?"
        );
        assert_eq!(error(&["men:"]), "base 'men': no such base; did you mean 'mem'?");
        assert_eq!(
            error(&["null", "mem:"]),
            "base 'null': no such base; 'null' is a layer: put a base such as 'dir:/path' before it"
        );
        assert_eq!(
            error(&["mem:", "dir:/x"]),
            "layer 1, 'dir': no such layer; 'dir' is a base: it goes first, and only one"
        );
        assert_eq!(
            error(&["zzzzzz:"]),
            "base 'zzzzzz': no such base; 'filo layers' lists what there is"
        );
        assert_eq!(StackSpec::parse(&[]).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn one_word_of_fstab_holds_a_stack() {
        assert_eq!(split_words("dir:/a null  readonly"), ["dir:/a", "null", "readonly"]);
        assert_eq!(split_words("dir:/my\\ photos null"), ["dir:/my\\040photos", "null"]);
        for text in [
            "exec:bindfs -n /srv {},on-exit=fail null  readonly",
            "exec:bindfs\\040-n\\040/srv\\040{},on-exit=fail null readonly",
            "exec:bindfs\\040-n\\040/srv\\040{},on-exit=fail\\040null\\040readonly",
        ] {
            assert_eq!(
                split_words(text),
                ["exec:bindfs -n /srv {},on-exit=fail", "null", "readonly"]
            );
        }
        assert_eq!(split_words("exec:bindfs '/my photos' {}"), ["exec:bindfs '/my photos' {}"]);
        assert_eq!(split_words("server:./x trace:file=/y"), ["server:./x", "trace:file=/y"]);
    }
}
