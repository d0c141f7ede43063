//! `Slot`: where one layer keeps what it knows of a node or an open.

use std::any::Any;
use std::sync::OnceLock;

/// A layer's place on every node and every open of its mount. Handed out when the stack is built
/// ([`crate::Layer::attach`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(pub(crate) usize);

type Value = Box<dyn Any + Send + Sync>;

/// The values of all layers on one node or open. Costs one word until the first is stored.
///
/// There are millions of these, and most stay empty: hence the box, which is half as large as what
/// is in it.
pub(crate) struct Slots {
    count: u32,
    values: OnceLock<Box<Values>>,
}

type Values = Box<[OnceLock<Value>]>;

impl Slots {
    pub(crate) const fn new(count: usize) -> Slots {
        // A slot is a layer; no stack has as many.
        let count = if count > u32::MAX as usize { u32::MAX } else { count as u32 };
        Slots { count, values: OnceLock::new() }
    }

    fn place(&self, slot: Slot) -> Option<&OnceLock<Value>> {
        let make = || Box::new((0..self.count).map(|_| OnceLock::new()).collect());
        self.values.get_or_init(make).get(slot.0)
    }

    pub(crate) fn get<T: 'static>(&self, slot: Slot) -> Option<&T> {
        self.values.get()?.get(slot.0)?.get()?.downcast_ref()
    }

    pub(crate) fn get_or_init<T: Send + Sync + 'static>(
        &self,
        slot: Slot,
        make: impl FnOnce() -> T,
    ) -> Option<&T> {
        self.place(slot)?.get_or_init(|| Box::new(make())).downcast_ref()
    }
}
