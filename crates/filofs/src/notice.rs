//! `Notice`: the only thing that travels up unasked.

use crate::{Cookie, Name};
use std::collections::{HashMap, HashSet};

/// Something the front end should know although it did not ask.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Notice {
    /// The node changed behind the mount's back: forget its attributes, and the data from
    /// `offset` on for `len` bytes (0: to the end). A negative `offset`: attributes only.
    Changed {
        /// Which node.
        node: Cookie,
        /// From where.
        offset: i64,
        /// How far.
        len: i64,
    },
    /// The name no longer leads where it did.
    Renamed {
        /// The directory.
        dir: Cookie,
        /// The name, a valid [`Name`]'s bytes.
        name: Vec<u8>,
    },
    /// No name in the directory may be believed any more (C.9). Linux knows no such thing for one
    /// directory, and doubts all names; EOPNOTSUPP before 6.16.
    NamesIn {
        /// The directory.
        dir: Cookie,
    },
    /// No name anywhere may be believed any more (C.9). EOPNOTSUPP where the kernel is older than
    /// 6.16.
    AllNames,
    /// Forget the data that is cached of a node, from `start` to `end` (0: to the end of the
    /// file). What was not written is lost (C.9); Linux writes it first.
    ForgetData {
        /// Which node, a regular file.
        node: Cookie,
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// Write out what is held back of a node, from `start` to `end` (0: to the end of the file):
    /// it comes as writes (C.9). Linux forgets it afterwards.
    WriteData {
        /// Which node, a regular file.
        node: Cookie,
        /// The first byte.
        start: u64,
        /// The byte after the last.
        end: u64,
    },
    /// Nothing that is known may be believed any more: names, attributes, data.
    Everything,
    /// The file system wants to go.
    Unmount,
}

impl Notice {
    /// A [`Notice::Renamed`].
    pub fn renamed(dir: Cookie, name: Name<'_>) -> Notice {
        Notice::Renamed { dir, name: name.bytes().to_vec() }
    }
}

/// Says the same and perhaps more with at most that many notices and one.
pub(crate) fn collapse<'a>(notices: impl Iterator<Item = &'a Notice>, most: usize) -> Vec<Notice> {
    let mut few = Vec::new();
    // Nodes, and whether more than their attributes is meant; directories.
    let mut nodes = HashMap::new();
    let mut dirs = HashSet::new();
    let (mut all_names, mut everything, mut unmount) = (false, false, false);
    for notice in notices {
        match *notice {
            Notice::Changed { node, offset, .. } => {
                *nodes.entry(node).or_insert(false) |= offset >= 0;
            }
            Notice::ForgetData { node, .. } | Notice::WriteData { node, .. } => {
                nodes.insert(node, true);
            }
            Notice::Renamed { dir, .. } | Notice::NamesIn { dir } => {
                dirs.insert(dir);
            }
            Notice::AllNames => all_names = true,
            Notice::Everything => everything = true,
            Notice::Unmount => unmount = true,
        }
    }
    if everything || nodes.len() + dirs.len() >= most {
        few.push(Notice::Everything);
    } else {
        few.extend(nodes.into_iter().map(|(node, data)| Notice::Changed {
            node,
            offset: if data { 0 } else { -1 },
            len: 0,
        }));
        if all_names {
            few.push(Notice::AllNames);
        } else {
            few.extend(dirs.into_iter().map(|dir| Notice::NamesIn { dir }));
        }
    }
    if unmount {
        few.push(Notice::Unmount);
    }
    few
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_collapsed_covers_what_was_said() {
        let node = Cookie(7);
        let (start, end) = (0, 9);
        let attributes = Notice::Changed { node, offset: -1, len: 0 };
        let data = Notice::Changed { node, offset: 0, len: 0 };
        let renamed = Notice::Renamed { dir: node, name: b"x".to_vec() };
        let names = Notice::NamesIn { dir: node };
        for (said, few) in [
            (vec![], vec![]),
            (vec![attributes.clone(); 2], vec![attributes.clone()]),
            (vec![data.clone(), attributes.clone()], vec![data.clone()]),
            (vec![Notice::ForgetData { node, start, end }], vec![data.clone()]),
            (vec![attributes, Notice::WriteData { node, start, end }], vec![data.clone()]),
            (vec![renamed.clone(), renamed.clone()], vec![names.clone()]),
            (vec![names, Notice::AllNames, renamed.clone()], vec![Notice::AllNames]),
            (vec![data, Notice::Everything, renamed], vec![Notice::Everything]),
            (vec![Notice::Unmount, Notice::Unmount], vec![Notice::Unmount]),
        ] {
            assert_eq!(collapse(said.iter(), 9), few, "{said:?}");
        }
    }
}
