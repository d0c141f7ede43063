//! `filo layers`, `filo check`, `filo explain`: what there is, and how a stack is understood.

use crate::cli::ExplainArgs;
use crate::config::{self, Config};
use crate::exit::Failure;
use crate::spec::{StackSpec, bases, layers};
use filofs::{Definition, Op, Stack};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// `filo layers`.
pub(crate) fn layers_verb() -> ExitCode {
    println!("Bases (the bottom of a stack):");
    bases().for_each(print_definition);
    println!("\nLayers (over a base, bottom to top):");
    layers().for_each(print_definition);
    ExitCode::SUCCESS
}

fn print_definition(definition: &Definition) {
    let Definition { name, summary, argument, options, .. } = definition;
    let word = argument.map_or_else(|| (*name).to_owned(), |a| format!("{name}:{a}"));
    println!("  {word:<14} {summary}");
    for option in *options {
        let value = option.value;
        let key = if value.is_empty() {
            option.key.to_owned()
        } else {
            format!("{}={value}", option.key)
        };
        println!("      {key:<20} {}", option.help);
    }
}

/// `filo check`.
pub(crate) fn check_verb(file: &Path) -> Result<ExitCode, Failure> {
    let config = Config::read(file)?;
    config.stack.check_options()?;
    println!("{}: good: {}", file.display(), config.stack);
    Ok(ExitCode::SUCCESS)
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
    println!("# from {source}");
    println!("# as one line: {spec}");
    print!("{}", config::write(&spec, mount.as_deref()));
    for (at, element) in std::iter::once(&spec.base).chain(&spec.layers).enumerate() {
        let place = if at == 0 { "base".to_owned() } else { format!("layer {at}") };
        for option in element.unset_options() {
            println!("# {place}, {}: '{}' is not set: {}", element.name, option.key, option.help);
        }
    }
    if let Ok(stack) = spec.build() {
        print_interest(&stack);
    }
    Ok(ExitCode::SUCCESS)
}

/// Which layers take part in which operations.
fn print_interest(stack: &Stack) {
    for (at, layer) in stack.layers().enumerate() {
        let ops = layer.intercepts();
        let count = ops.iter().count();
        let shown = match count {
            0 => "none: it costs nothing".to_owned(),
            n if n == Op::ALL.len() => "all".to_owned(),
            _ => ops.iter().map(Op::name).collect::<Vec<_>>().join(" "),
        };
        println!("# layer {}, {}: takes part in {shown}", at + 1, layer.name());
    }
}
