//! `filo layers`, `filo check`, `filo explain`: what there is, and how a stack is understood.

use crate::cli::ExplainArgs;
use crate::config::{self, Config};
use crate::exit::Failure;
use crate::out::say;
use crate::spec::{StackSpec, bases, layers};
use filofs::{Definition, FileSystem, Layer, Op, Stack};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

/// `filo layers`.
pub(crate) fn layers_verb() -> Result<ExitCode, Failure> {
    let bases = bases().map(definition).collect::<String>();
    let layers = layers().map(definition).collect::<String>();
    say(&format!(
        "Bases (the bottom of a stack):\n{bases}\nLayers (over a base, bottom to top):\n{layers}"
    ))
}

fn definition(definition: &Definition) -> String {
    let Definition { name, summary, argument, options, .. } = definition;
    let word = argument.map_or_else(|| (*name).to_owned(), |a| format!("{name}:{a}"));
    let keys = options.iter().map(|option| match option.value {
        "" => option.key.to_owned(),
        value => format!("{}={value}", option.key),
    });
    let keys: Vec<String> = keys.collect();
    let width = keys.iter().map(String::len).max().unwrap_or(0);
    let lines = keys.iter().zip(*options);
    let lines = lines.map(|(key, option)| format!("      {key:<width$}  {}\n", option.help));
    // A long word has a line of its own.
    let head = if word.len() > 14 {
        format!("{word}\n    {summary}")
    } else {
        format!("{word:<14} {summary}")
    };
    format!("  {head}\n{}", lines.collect::<String>())
}

/// `filo check`.
pub(crate) fn check_verb(file: &Path) -> Result<ExitCode, Failure> {
    let config = Config::read(file)?;
    config.stack.check_options()?;
    say(&format!("{}: good: {}\n", file.display(), config.stack))
}

/// `filo explain`.
pub(crate) fn explain_verb(args: &ExplainArgs) -> Result<ExitCode, Failure> {
    let file = args.config.clone().or_else(|| match args.words.as_slice() {
        [word] if Path::new(word).extension().is_some_and(|e| e == "toml") => {
            Some(PathBuf::from(word))
        }
        _ => None,
    });
    let (spec, mount, source) = match file {
        Some(file) => {
            let config = Config::read(&file)?;
            (config.stack, config.mount, file.display().to_string())
        }
        None => (StackSpec::parse(&args.words)?, None, "the command line".to_owned()),
    };
    spec.check_options()?;
    let mut text = format!("# from {source}\n# as one line: {spec}\n");
    text.push_str(&config::write(&spec, mount.as_deref()));
    for (at, element) in std::iter::once(&spec.base).chain(&spec.layers).enumerate() {
        let place = if at == 0 { "base".to_owned() } else { format!("layer {at}") };
        for option in element.unset_options() {
            let (name, key, help) = (&element.name, option.key, option.help);
            let line = format!("# {place}, {name}: '{key}' is not set: {help}\n");
            text.push_str(&line);
        }
    }
    // The base says nothing to this, and some are programs that would be started.
    if let Ok(stack) = spec.build_over(Arc::new(Nothing)) {
        text.push_str(&interest(&stack));
    }
    say(&text)
}

/// No base at all.
struct Nothing;

impl FileSystem for Nothing {}

/// Which layers take part in which operations.
fn interest(stack: &Stack) -> String {
    let line = |(at, layer): (usize, &dyn Layer)| {
        let ops = layer.intercepts();
        let count = ops.iter().count();
        let shown = match count {
            0 => "none: it costs nothing".to_owned(),
            n if n == Op::ALL.len() => "all".to_owned(),
            _ => ops.iter().map(Op::name).collect::<Vec<_>>().join(" "),
        };
        format!("# layer {}, {}: takes part in {shown}\n", at + 1, layer.name())
    };
    stack.layers().enumerate().map(line).collect()
}
