//! `#[layer]`: reads which operations a layer's `impl` defines, so that nobody lists them by hand.
//!
//! A list kept beside the code goes stale, and a layer whose list misses an operation is a layer
//! that silently does nothing. The attribute therefore looks at the names of the methods in the
//! `impl Layer for ..` block it stands on and adds the one method that reports them.

use proc_macro::{Delimiter, TokenStream, TokenTree};

/// Put this on `impl Layer for X`. It adds `Layer::intercepts`, derived from the methods present.
///
/// An `enter` or `leave` hook means every operation; a method with the name of an operation means
/// that operation; `name`, `describe`, `profile` and `attach` mean nothing. Of all these, `only`
/// leaves those that the layer takes part in as it is set up.
#[proc_macro_attribute]
pub fn layer(_attr: TokenStream, item: TokenStream) -> TokenStream {
    let mut tokens: Vec<TokenTree> = item.into_iter().collect();
    let Some(TokenTree::Group(body)) = tokens.pop() else {
        return error("#[layer] stands on an `impl Layer for ..` block");
    };
    if body.delimiter() != Delimiter::Brace {
        return error("#[layer] stands on an `impl Layer for ..` block");
    }
    let mut inside = body.stream();
    let set: String = methods(inside.clone()).iter().map(|m| with(m)).collect();
    let method = format!(
        "#[doc(hidden)] fn intercepts(&self) -> ::filofs::OpSet {{ \
         ::filofs::OpSet::NONE{set}.and(::filofs::Layer::only(self)) }}"
    );
    match method.parse::<TokenStream>() {
        Ok(method) => inside.extend(method),
        Err(_) => return error("#[layer] could not write the list of operations"),
    }
    let mut body = proc_macro::Group::new(Delimiter::Brace, inside);
    if let Some(last) = tokens.last() {
        body.set_span(last.span());
    }
    tokens.push(TokenTree::Group(body));
    tokens.into_iter().collect()
}

/// The names of the functions directly inside an `impl` body.
fn methods(body: TokenStream) -> Vec<String> {
    let mut names = Vec::new();
    let mut after_fn = false;
    for token in body {
        match token {
            TokenTree::Ident(word) if after_fn => {
                names.push(word.to_string());
                after_fn = false;
            }
            TokenTree::Ident(word) => after_fn = word.to_string() == "fn",
            _ => after_fn = false,
        }
    }
    names
}

/// What one method adds to the set.
fn with(method: &str) -> String {
    match method {
        "enter" | "leave" | "group_below" => ".with_all()".into(),
        "name" | "describe" | "attach" | "profile" | "only" => String::new(),
        op => format!(".with(::filofs::Op::{})", camel(op)),
    }
}

/// `copy_file_range` as `CopyFileRange`: how the table writes its `Op`s.
fn camel(name: &str) -> String {
    name.split('_')
        .map(|word| {
            let mut letters = word.chars();
            letters.next().map_or_else(String::new, |first| {
                first.to_uppercase().collect::<String>() + letters.as_str()
            })
        })
        .collect()
}

fn error(text: &str) -> TokenStream {
    format!("compile_error!({text:?});").parse().unwrap_or_default()
}
