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

    /// Whether data passes all layers untouched, so that whoever reads and writes the file in
    /// which the base keeps it ([`Opened::backing`](crate::Opened::backing)) does what the stack
    /// would have done. Layers that take part in other operations on data (fallocate, truncation)
    /// are asked in any case. Where nothing can be changed nothing is written, and who refuses
    /// writes is not in the way of reads.
    pub fn passes_data(&self) -> bool {
        let taken = self.intercepted();
        !taken.has(Op::Read) && (!taken.has(Op::Write) || self.profile().read_only)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        Attr, Call, Context, Entry, Errno, Kind, Name, Node, Outcome, Result, Visit, layer, locked,
    };
    use std::sync::Mutex;

    struct Base;

    impl FileSystem for Base {
        fn name(&self) -> &'static str {
            "base"
        }

        fn lookup(&self, _: &Context<'_>, _: &Node, _: Name<'_>) -> Result<Entry> {
            Ok(Entry::new(Attr::new(2, Kind::Regular)))
        }

        fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&crate::Open>) -> Result<Attr> {
            Ok(Attr::new(node.cookie().0, node.kind()))
        }
    }

    struct Null;

    #[layer]
    impl Layer for Null {
        fn name(&self) -> &'static str {
            "null"
        }
    }

    /// Takes part in lookup alone.
    struct Taller;

    #[layer]
    impl Layer for Taller {
        fn name(&self) -> &'static str {
            "taller"
        }

        fn lookup(
            &self,
            next: Next<'_>,
            cx: &Context<'_>,
            dir: &Node,
            name: Name<'_>,
        ) -> Result<Entry> {
            let mut entry = next.lookup(cx, dir, name)?;
            entry.attr.size += 1;
            Ok(entry)
        }
    }

    /// Takes part in everything, and notes what it saw.
    #[derive(Default)]
    struct Watch {
        seen: Arc<Mutex<Vec<String>>>,
        lower: Mutex<Option<Lower>>,
    }

    #[layer]
    impl Layer for Watch {
        fn name(&self) -> &'static str {
            "watch"
        }

        fn attach(&self, lower: Lower, _: Slot) {
            *locked(&self.lower) = Some(lower);
        }

        fn enter(&self, _: Next<'_>, call: &Call<'_>, visit: &mut Visit<'_>) -> Result<()> {
            if call.op == Op::Unlink {
                return Err(Errno::EPERM);
            }
            visit.mark = 5;
            Ok(())
        }

        fn leave(&self, call: &Call<'_>, visit: &Visit<'_>, outcome: Outcome<'_>) {
            assert_eq!(visit.mark, 5);
            let outcome = match outcome {
                Ok(answer) => {
                    if let Some(attr) = answer.attr_mut() {
                        attr.mode = 0o7;
                    }
                    "ok".to_owned()
                }
                Err(errno) => format!("{errno:?}"),
            };
            locked(&self.seen).push(format!("{call} {outcome}"));
        }
    }

    fn stack(layers: Vec<Box<dyn Layer>>) -> Stack {
        Stack::new(Arc::new(Base), layers).unwrap()
    }

    fn root() -> Node {
        Node::detached(&Entry::new(Attr::new(1, Kind::Directory)))
    }

    #[test]
    fn what_a_layer_takes_part_in_is_read_off_its_code() {
        assert_eq!(Null.intercepts(), OpSet::NONE);
        assert_eq!(Taller.intercepts(), OpSet::NONE.with(Op::Lookup));
        assert_eq!(Watch::default().intercepts(), OpSet::NONE.with_all());
        assert_eq!(Op::ALL.len(), OpSet::NONE.with_all().iter().count());
    }

    #[test]
    fn null_anywhere_changes_no_answer() {
        let cx = Context::internal();
        let x = Name::new(b"x").unwrap();
        let bare = stack(vec![]).lookup(&cx, &root(), x).unwrap();
        let nulls = stack((0..32).map(|_| Box::new(Null) as _).collect());
        assert_eq!(nulls.lookup(&cx, &root(), x).unwrap().attr, bare.attr);
        assert!(nulls.intercepted() == OpSet::NONE, "the base is one step away");
        let mixed = stack(vec![Box::new(Null), Box::new(Taller), Box::new(Null), Box::new(Taller)]);
        assert_eq!(mixed.lookup(&cx, &root(), x).unwrap().attr.size, 2);
        assert_eq!(mixed.getattr(&cx, &root(), None).unwrap().size, 0);
        assert_eq!(mixed.describe(), "base null taller null taller");
    }

    #[test]
    fn stacks_nest() {
        let inner = Arc::new(stack(vec![Box::new(Taller)]));
        let outer = Stack::new(inner, vec![Box::new(Taller) as _, Box::new(Null) as _]).unwrap();
        let x = Name::new(b"x").unwrap();
        assert_eq!(outer.lookup(&Context::internal(), &root(), x).unwrap().attr.size, 2);
        assert_eq!(outer.slots(), 3, "the layers of both have places of their own");
    }

    #[test]
    fn hooks_see_every_operation_and_can_refuse_and_change_it() {
        let watch = Watch::default();
        let seen = watch.seen.clone();
        let stack = stack(vec![Box::new(watch)]);
        let cx = Context::internal();
        let x = Name::new(b"x\n").unwrap();
        assert_eq!(stack.lookup(&cx, &root(), x).unwrap().attr.mode, 0o7);
        assert_eq!(stack.rmdir(&cx, &root(), x), Err(Errno::MISSING));
        assert_eq!(stack.unlink(&cx, &root(), x), Err(Errno::EPERM));
        let expected =
            [r#"lookup dir=node 1 name="x\n" ok"#, r#"rmdir dir=node 1 name="x\n" MISSING"#];
        assert_eq!(*locked(&seen), expected);
    }

    #[test]
    fn a_layer_can_go_down_by_itself_while_the_stack_lives() {
        let watch = Arc::new(Watch::default());
        struct Shared(Arc<Watch>);
        #[layer]
        impl Layer for Shared {
            fn name(&self) -> &'static str {
                "shared"
            }
            fn attach(&self, lower: Lower, slot: Slot) {
                self.0.attach(lower, slot);
            }
        }
        let stack = stack(vec![Box::new(Taller), Box::new(Shared(watch.clone()))]);
        let lower = locked(&watch.lower).clone().unwrap();
        let x = Name::new(b"x").unwrap();
        let down = || lower.with(|next| next.lookup(&Context::internal(), &root(), x));
        assert_eq!(down().unwrap().unwrap().attr.size, 1);
        drop(stack);
        assert!(down().is_none());
    }

    #[test]
    fn too_many_layers_are_refused() {
        let layers = (0..=Stack::MOST_LAYERS).map(|_| Box::new(Null) as Box<dyn Layer>);
        assert!(Stack::new(Arc::new(Base), layers).is_none());
    }
}
