//! Operations, as people write them.

use filofs::{Op, OpSet, SetupError, nearest};

/// The operation of that name, given as the option `key`.
pub(crate) fn operation(key: &str, word: &str) -> Result<Op, SetupError> {
    Op::from_name(word).ok_or_else(|| {
        let near = nearest(word, Op::ALL.iter().map(|op| op.name()));
        let hint = near.map(|n| format!("; did you mean '{n}'?")).unwrap_or_default();
        SetupError::new(format!("option '{key}': no operation '{word}'{hint}"))
    })
}

/// The operations of a list with `+` between their names, given as the option `key`.
pub(crate) fn operations(key: &str, list: &str) -> Result<OpSet, SetupError> {
    list.split('+').try_fold(OpSet::NONE, |set, word| Ok(set.with(operation(key, word)?)))
}
