//! `Stack`: a base and the layers over it; itself a file system, so stacks nest.

use crate::{FileSystem, Layer, Op, OpSet, Slot};
use std::fmt;
use std::sync::{Arc, Weak};

/// A base and the layers over it.
///
/// For each position and operation the stack knows the next layer that takes part (the skip
/// table), so a layer that does not costs that operation nothing.
pub struct Stack(Arc<Inner>);

struct Inner {
    /// Top first.
    layers: Vec<Box<dyn Layer>>,
    base: Arc<dyn FileSystem>,
    /// `skip[position][op]`: the first layer at or below that position that takes part in the
    /// operation; the number of layers for "the base".
    skip: Vec<[u8; Op::ALL.len()]>,
}

impl Stack {
    /// More layers than this are a mistake of whoever builds the stack.
    pub const MOST_LAYERS: usize = 254;

    /// Builds it: the base, and the layers from bottom to top, as on the command line. Layers
    /// beyond [`Stack::MOST_LAYERS`] answer `None`.
    pub fn new(
        base: Arc<dyn FileSystem>,
        bottom_up: impl IntoIterator<Item = Box<dyn Layer>>,
    ) -> Option<Stack> {
        let mut layers: Vec<_> = bottom_up.into_iter().collect();
        if layers.len() > Self::MOST_LAYERS {
            return None;
        }
        layers.reverse();
        let mut row = [layers.len() as u8; Op::ALL.len()];
        let mut skip = vec![row];
        for (position, layer) in layers.iter().enumerate().rev() {
            for (cell, op) in row.iter_mut().zip(Op::ALL) {
                if layer.intercepts().has(*op) {
                    *cell = position as u8;
                }
            }
            skip.push(row);
        }
        skip.reverse();
        let inner = Arc::new(Inner { layers, base, skip });
        let first_slot = inner.base.slots();
        for (position, layer) in inner.layers.iter().enumerate() {
            let lower = Lower { stack: Arc::downgrade(&inner), position: position + 1 };
            layer.attach(lower, Slot(first_slot + position));
        }
        Some(Stack(inner))
    }

    /// The bottom.
    pub fn base(&self) -> &Arc<dyn FileSystem> {
        &self.0.base
    }

    /// The layers, bottom to top.
    pub fn layers(&self) -> impl Iterator<Item = &dyn Layer> {
        self.0.layers.iter().rev().map(|layer| &**layer)
    }

    /// Which operations some layer takes part in; the others go from the front end to the base
    /// in one step.
    pub fn intercepted(&self) -> OpSet {
        let ops =
            Op::ALL.iter().filter(|op| self.0.layers.iter().any(|l| l.intercepts().has(**op)));
        ops.fold(OpSet::NONE, |set, op| set.with(*op))
    }

    pub(crate) fn top(&self) -> Next<'_> {
        Next { stack: &self.0, position: 0 }
    }

    pub(crate) fn slot_count(&self) -> usize {
        self.0.base.slots() + self.0.layers.len()
    }

    /// `dir:/srv null readonly`: base and layers as their own words have it, bottom to top.
    pub(crate) fn spelled(&self) -> String {
        let layers = self.layers().map(Layer::describe);
        std::iter::once(self.0.base.describe()).chain(layers).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.spelled())
    }
}

/// What is below a layer: the rest of the stack, as a file system.
#[derive(Clone, Copy)]
pub struct Next<'s> {
    stack: &'s Inner,
    position: usize,
}

impl<'s> Next<'s> {
    /// The next layer that takes part in the operation, and what is below that.
    #[inline]
    pub(crate) fn step(self, op: Op) -> Option<(&'s dyn Layer, Next<'s>)> {
        let position = usize::from(*self.stack.skip.get(self.position)?.get(op as usize)?);
        let layer = self.stack.layers.get(position)?;
        Some((&**layer, Next { stack: self.stack, position: position + 1 }))
    }

    pub(crate) fn base(&self) -> &'s dyn FileSystem {
        &*self.stack.base
    }
}

impl fmt::Debug for Next<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "position {} of {}", self.position, self.stack.layers.len())
    }
}

/// A layer's owned way down, for work that outlives one operation.
#[derive(Clone)]
pub struct Lower {
    stack: Weak<Inner>,
    position: usize,
}

impl Lower {
    /// Runs something on the file system below. `None` when the stack is gone.
    pub fn with<T>(&self, run: impl FnOnce(Next<'_>) -> T) -> Option<T> {
        let stack = self.stack.upgrade()?;
        Some(run(Next { stack: &stack, position: self.position }))
    }
}

impl fmt::Debug for Lower {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "below position {}", self.position)
    }
}
