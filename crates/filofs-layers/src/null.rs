//! `null`: the template layer. It takes part in nothing, and so costs nothing.

use filofs::{Definition, Layer, Role, layer};

/// Does nothing.
pub struct Null;

#[layer]
impl Layer for Null {
    fn name(&self) -> &'static str {
        "null"
    }
}

/// Its line on the command line.
pub const DEFINITION: Definition = Definition {
    name: "null",
    summary: "does nothing; the template for layers of your own",
    argument: None,
    is_command: false,
    options: &[],
    role: Role::Layer(|_| Ok(Box::new(Null))),
};
