//! `Slot`: where one layer keeps what it knows of a node or an open.

use std::any::Any;
use std::sync::OnceLock;

/// A layer's place on every node and every open of its mount. Handed out when the stack is built
/// ([`crate::Layer::attach`]).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Slot(pub(crate) usize);

type Value = Box<dyn Any + Send + Sync>;

/// The values of all layers on one node or open. Costs two words until the first is stored.
///
/// There are millions of these, and most stay empty: hence the box, which is half as large as what
/// is in it. For the same reason their owner keeps how many there can be, where it has room.
#[derive(Default)]
pub(crate) struct Slots(OnceLock<Box<Values>>);

type Values = Box<[OnceLock<Value>]>;

impl Slots {
    pub(crate) fn get<T: 'static>(&self, slot: Slot) -> Option<&T> {
        self.0.get()?.get(slot.0)?.get()?.downcast_ref()
    }

    /// The value of one of `count` slots.
    pub(crate) fn get_or_init<T: Send + Sync + 'static>(
        &self,
        slot: Slot,
        count: u32,
        make: impl FnOnce() -> T,
    ) -> Option<&T> {
        let all = self.0.get_or_init(|| Box::new((0..count).map(|_| OnceLock::new()).collect()));
        all.get(slot.0)?.get_or_init(|| Box::new(make())).downcast_ref()
    }
}
