//! What a call through a stack costs inside the process, in nanoseconds: through nothing, through
//! layers that take no part in it, and through layers that take part in everything. Run with
//! `--release`.

use filofs::{
    Attr, Call, Context, Entry, Errno, FileSystem, Identity, Kind, Layer, Mount, Next, Node, Open,
    Outcome, Result, Stack, Upward, Visit, layer,
};
use filofs_layers::{null::Null, trace::Trace};
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

    fn enter<'c>(&self, _: Next<'_>, _: &Call<'_>, cx: &Context<'c>) -> Result<Visit<'c>> {
        Ok(Visit::of(cx))
    }

    fn leave(&self, _: &Call<'_>, _: &Visit<'_>, _: Outcome<'_>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Reads the clock twice for each operation, as it must, and writes no line.
fn silent_trace() -> Trace {
    Trace::new(Box::new(std::io::sink()), Duration::MAX)
}

fn layers(count: usize, make: fn() -> Box<dyn Layer>) -> Vec<Box<dyn Layer>> {
    (0..count).map(|_| make()).collect()
}

fn main() -> Result<()> {
    const ROUNDS: usize = 201;
    const CALLS: u32 = 20_000;
    let null: fn() -> Box<dyn Layer> = || Box::new(Null);
    let count: fn() -> Box<dyn Layer> = || Box::new(Count::default());
    let trace: fn() -> Box<dyn Layer> = || Box::new(silent_trace());
    let kinds = [
        ("no layer", layers(0, null)),
        ("1 null", layers(1, null)),
        ("8 null", layers(8, null)),
        ("32 null", layers(32, null)),
        ("1 that hooks everything", layers(1, count)),
        ("8 that hook everything", layers(8, count)),
        ("1 trace that writes nothing", layers(1, trace)),
        ("8 trace that write nothing", layers(8, trace)),
    ];
    let cx = Context::internal();
    let mut mounts = Vec::new();
    for (name, layers) in kinds {
        let stack = Stack::new(Arc::new(Constant), layers).ok_or(Errno::EINVAL)?;
        let mount = Mount::new(stack, Identity::new("constant", "filo", "/")?)?;
        mount.start(&Upward::channel().0)?;
        mounts.push((name, mount, Vec::with_capacity(ROUNDS)));
    }
    // In turn, so that a busy machine disturbs all of them alike.
    for _ in 0..ROUNDS {
        for (_, mount, times) in &mut mounts {
            let root = mount.root();
            let began = Instant::now();
            for _ in 0..CALLS {
                black_box(black_box(&*mount).getattr(&cx, black_box(root), None))?;
            }
            times.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
        }
    }
    println!("getattr through a mount; the median and the smallest of {ROUNDS} rounds");
    for (name, _, times) in &mut mounts {
        times.sort_by(f64::total_cmp);
        let middle = times.get(times.len() / 2).copied().unwrap_or_default();
        let least = times.first().copied().unwrap_or_default();
        println!("{name:<28} {middle:>7.1} ns {least:>7.1} ns");
    }
    Ok(())
}
