//! What a `getattr` costs that goes through a stack inside the process: through layers that take
//! no part in it, and through layers that take part in everything.

#![allow(missing_docs)] // of what criterion's macros make

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use filofs::{
    Attr, Call, Context, Entry, Errno, FileSystem, Identity, Kind, Layer, Mount, Next, Node, Open,
    Outcome, RequestId, Result, Stack, Upward, Visit, layer,
};
use filofs_layers::idmap::{IdMap, Ranges};
use filofs_layers::{null::Null, trace::Trace};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Answers at once: what is measured is the way.
struct Constant;

impl FileSystem for Constant {
    fn name(&self) -> &'static str {
        "constant"
    }

    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(Attr::new(1, Kind::Directory)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(Attr::new(node.cookie().0, node.kind()))
    }
}

/// Takes part in every operation, and does next to nothing: what hooks themselves cost.
#[derive(Default)]
struct Count(AtomicU64);

#[layer]
impl Layer for Count {
    fn name(&self) -> &'static str {
        "count"
    }

    fn enter(&self, _: Next<'_>, _: &Call<'_>, visit: &mut Visit<'_>) -> Result<()> {
        visit.mark = 1;
        Ok(())
    }

    fn leave(&self, _: &Call<'_>, visit: &Visit<'_>, _: Outcome<'_>) {
        self.0.fetch_add(visit.mark, Ordering::Relaxed);
    }
}

/// Some users and groups, all the same on both sides.
fn idmap() -> IdMap {
    let ranges = Ranges::parse("uid", &["0:0:65536".to_owned()]).ok();
    IdMap { users: ranges.clone(), groups: ranges }
}

/// Reads the clock twice for each operation, as it must, and writes no line.
fn silent_trace() -> Trace {
    Trace::new(Box::new(std::io::sink()), Duration::MAX)
}

fn mount(layers: Vec<Box<dyn Layer>>) -> Result<Mount> {
    let stack = Stack::new(Arc::new(Constant), layers).ok_or(Errno::EINVAL)?;
    let mount = Mount::new(stack, Identity::new("constant", "filo", "/")?)?;
    mount.start(&Upward::channel().0)?;
    Ok(mount)
}

/// Makes one layer.
type Make = fn() -> Box<dyn Layer>;

fn getattr(criterion: &mut Criterion) {
    let kinds: [(&str, Make, &[usize]); 4] = [
        ("null", || Box::new(Null), &[0, 1, 2, 4, 8, 16, 32]),
        ("hooks", || Box::new(Count::default()), &[1, 2, 4, 8, 16]),
        ("idmap", || Box::new(idmap()), &[1, 2, 4, 8, 16]),
        ("trace", || Box::new(silent_trace()), &[1, 8]),
    ];
    // Somebody's: requests of the mount itself are not mapped.
    let cx = Context { request: RequestId(1), ..Context::internal() };
    let mut group = criterion.benchmark_group("getattr");
    for (name, make, depths) in kinds {
        for depth in depths {
            let Ok(mount) = mount((0..*depth).map(|_| make()).collect()) else {
                panic!("{depth} layers of {name} do not stack");
            };
            let root = mount.root();
            group.bench_function(BenchmarkId::new(name, depth), |bencher| {
                bencher.iter(|| black_box(&mount).getattr(&cx, black_box(root), None));
            });
        }
    }
    group.finish();
}

criterion_group!(benches, getattr);
criterion_main!(benches);
