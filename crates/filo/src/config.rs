//! `Config`: a stack written as a TOML file.

use crate::exit::Failure;
use crate::options::MountOptions;
use crate::spec::{ElementSpec, StackSpec, definition};
use std::path::Path;
use toml::{Table, Value};

/// The keys of an element's argument.
const PATH: &str = "path";
const COMMAND: &str = "command";

/// What a stack file says.
#[derive(Debug)]
pub(crate) struct Config {
    pub(crate) stack: StackSpec,
    /// Where to mount it, if the file says so.
    pub(crate) mount: Option<String>,
    pub(crate) options: MountOptions,
}

impl Config {
    /// Reads and checks a file.
    pub(crate) fn read(path: &Path) -> Result<Config, Failure> {
        let shown = path.display();
        let text = std::fs::read_to_string(path)
            .map_err(|e| Failure::config(format!("cannot read '{shown}': {e}")))?;
        Config::parse(&text).map_err(|e| Failure::new(e.exit, format!("{shown}: {}", e.text)))
    }

    /// Reads and checks a text.
    ///
    /// ```toml
    /// mount = "/mnt/x"
    /// options = "allow_other,attr_timeout=5"
    /// [base]
    /// type = "dir"
    /// path = "/srv"
    /// [[layer]]
    /// type = "readonly"
    /// ```
    pub(crate) fn parse(text: &str) -> Result<Config, Failure> {
        let mut file: Table =
            toml::from_str(text).map_err(|e| Failure::config(e.to_string().trim_end()))?;
        let mount = take_text(&mut file, "mount")?;
        let mut options = MountOptions::default();
        if let Some(list) = take_text(&mut file, "options")? {
            options.read(&list, false).map_err(|e| Failure::config(e.text))?;
        }
        let base = match file.remove("base") {
            Some(Value::Table(table)) => element("[base]", table)?,
            Some(Value::String(word)) => ElementSpec::parse(&word)?,
            Some(_) => return Err(Failure::config("'base' is neither a table nor a word")),
            None => return Err(Failure::config("there is no [base]")),
        };
        let layers = match file.remove("layer") {
            None => Vec::new(),
            Some(Value::Array(layers)) => layers
                .into_iter()
                .enumerate()
                .map(|(at, l)| layer(at + 1, l))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err(Failure::config("write layers as [[layer]], with two brackets")),
        };
        if let Some(key) = file.keys().next() {
            let near = filofs::nearest(key, ["mount", "options", "base", "layer"]);
            let hint = near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
            return Err(Failure::config(format!("no key '{key}'{hint}")));
        }
        let stack = StackSpec { base, layers };
        stack.check_names()?;
        Ok(Config { stack, mount, options })
    }
}

/// The same stack as a file says it.
pub(crate) fn write(stack: &StackSpec, mount: Option<&str>) -> String {
    let line = |key: &str, value: Value| format!("{key} = {value}\n");
    let element = |header: &str, element: &ElementSpec| {
        let name = line("type", element.name.as_str().into());
        let key = argument_key(&element.name);
        let argument = element.argument.as_deref().map(|argument| line(key, argument.into()));
        let mut options: Vec<(&str, Value)> = Vec::new();
        for (key, value) in &element.options {
            let value = value.as_deref().map_or(Value::from(true), Value::from);
            match options.iter_mut().find(|(known, _)| known == key) {
                None => options.push((key, value)),
                Some((_, Value::Array(values))) => values.push(value),
                Some((_, first)) => *first = Value::Array(vec![first.clone(), value]),
            }
        }
        let options = options.into_iter().map(|(key, value)| line(key, value));
        let lines = argument.into_iter().chain(options).collect::<String>();
        format!("{header}\n{name}{lines}")
    };
    let mount = mount.map(|mount| line("mount", mount.into())).unwrap_or_default();
    let layers = stack.layers.iter().map(|layer| element("[[layer]]", layer)).collect::<String>();
    mount + &element("[base]", &stack.base) + &layers
}

fn layer(at: usize, value: Value) -> Result<ElementSpec, Failure> {
    match value {
        Value::Table(table) => element(&format!("layer {at}"), table),
        Value::String(word) => ElementSpec::parse(&word),
        _ => Err(Failure::config(format!("layer {at} is neither a table nor a word"))),
    }
}

fn element(place: &str, mut table: Table) -> Result<ElementSpec, Failure> {
    let name = take_text(&mut table, "type")?
        .ok_or_else(|| Failure::config(format!("{place}: there is no 'type'")))?;
    let key = argument_key(&name);
    if key == COMMAND && table.contains_key(PATH) {
        return Err(Failure::config(format!(
            "{place}: '{name}' has a '{COMMAND}', not a '{PATH}'"
        )));
    }
    let argument = take_text(&mut table, key)?;
    let mut options = Vec::new();
    for (key, value) in table {
        // A list is an option that is given several times.
        let values = match value {
            Value::Array(values) => values,
            value => vec![value],
        };
        for value in values {
            let value = plain(value)
                .ok_or_else(|| Failure::config(format!("{place}: '{key}' has no plain value")))?;
            options.push((key.clone(), Some(value)));
        }
    }
    Ok(ElementSpec { name, argument, options })
}

/// What the argument of an element is called in a file.
fn argument_key(name: &str) -> &'static str {
    if definition(name).is_some_and(|definition| definition.is_command) { COMMAND } else { PATH }
}

fn plain(value: Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text),
        Value::Boolean(on) => Some(if on { "yes" } else { "no" }.to_owned()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        _ => None,
    }
}

fn take_text(table: &mut Table, key: &str) -> Result<Option<String>, Failure> {
    match table.remove(key) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(Failure::config(format!("'{key}' is not a text in quotes"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = r#"
        mount = "/mnt/x"
        options = "ro,attr_timeout=5"
        [base]
        type = "dir"
        path = "/srv/my photos"
        [[layer]]
        type = "null"
        [[layer]]
        type = "fault"
        op = "write"
        nth = 3
        errno = "EIO"
    "#;

    #[test]
    fn a_file_says_what_a_command_line_says() {
        let config = Config::parse(FILE).unwrap();
        let line = "dir:/srv/my\\040photos null fault:errno=EIO,nth=3,op=write";
        assert_eq!(config.stack.to_string(), line);
        assert_eq!(config.mount.as_deref(), Some("/mnt/x"));
        assert!(config.options.fuse.read_only);
        let again = Config::parse(&write(&config.stack, config.mount.as_deref())).unwrap();
        assert_eq!(again.stack, config.stack);
    }

    #[test]
    fn commands_and_lists_have_their_form() {
        let file = r#"
            [base]
            type = "exec"
            command = "bindfs '/my photos' {}"
            sandbox = "strict"
            allow = ["/my photos", "/a,b"]
        "#;
        let stack = Config::parse(file).unwrap().stack;
        let line = "exec:bindfs '/my photos' {},allow=/my\\040photos,allow=/a\\,b,sandbox=strict";
        assert_eq!(stack.to_string(), line);
        assert_eq!(StackSpec::parse(&[line.to_owned()]).unwrap(), stack);
        let text = write(&stack, None);
        assert!(text.contains(r#"allow = ["/my photos", "/a,b"]"#), "{text}");
        assert_eq!(Config::parse(&text).unwrap().stack, stack);
    }

    #[test]
    fn mistakes_name_their_place() {
        let error = |text: &str| Config::parse(text).unwrap_err().text;
        assert_eq!(error("base = 'mem:'\nmuont = 'x'"), "no key 'muont'; did you mean 'mount'?");
        assert_eq!(error("[base]\npath='x'"), "[base]: there is no 'type'");
        assert_eq!(
            error("[base]\ntype='exec'\npath='x'"),
            "[base]: 'exec' has a 'command', not a 'path'"
        );
        assert_eq!(error("x = 1"), "there is no [base]");
        assert_eq!(
            error("base = 'mem:'\n[[layer]]\ntype = 'nul'"),
            "layer 1, 'nul': no such layer; did you mean 'null'?"
        );
        assert_eq!(
            error("base = 'mem:'\n[layer]\ntype = 'null'"),
            "write layers as [[layer]], with two brackets"
        );
        assert!(error("base = ").contains("line 1"), "the reader says where");
    }
}
