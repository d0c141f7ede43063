//! `fault`: makes the Nth call of an operation fail, fall short, or take its time.

mod plan;

use filofs::{
    Call, Context, Definition, Errno, FileSystem, Layer, Next, Node, OpSet, Open, Result, Role,
    ShortSource, Source, Visit, WriteFlags, layer,
};
pub use plan::{Harm, Plan};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Carries out one [`Plan`].
#[derive(Debug)]
pub struct Fault {
    plan: Plan,
    calls: Arc<AtomicU64>,
}

impl Fault {
    /// With that plan.
    pub fn new(plan: Plan) -> Fault {
        Fault { plan, calls: Arc::default() }
    }

    /// How many calls have counted so far; stays readable when the layer is in a stack.
    pub fn calls(&self) -> Arc<AtomicU64> {
        self.calls.clone()
    }

    /// Counts one call and harms it if it is its turn. Answers how many bytes it may write.
    fn strike(&self, cx: &Context<'_>) -> Result<usize> {
        let Plan { nth, times, harm, .. } = self.plan;
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        if nth == 0 || call < nth || (times != 0 && call - nth >= times) {
            return Ok(usize::MAX);
        }
        match harm {
            Harm::Errno(errno) => Err(errno),
            Harm::Short(most) => Ok(most),
            Harm::Delay(time) => delay(cx, time).map(|()| usize::MAX),
        }
    }
}

#[layer]
impl Layer for Fault {
    fn name(&self) -> &'static str {
        "fault"
    }

    fn only(&self) -> OpSet {
        self.plan.op.map_or(OpSet::ALL, |op| OpSet::NONE.with(op))
    }

    fn enter(&self, _: Next<'_>, _: &Call<'_>, visit: &mut Visit<'_>) -> Result<()> {
        self.strike(&visit.cx).map(drop)
    }

    fn write(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        node: &Node,
        open: &Open,
        offset: u64,
        data: &mut dyn Source,
        flags: WriteFlags,
    ) -> Result<usize> {
        let most = self.strike(cx)?;
        next.write(cx, node, open, offset, &mut ShortSource::new(data, most), flags)
    }
}

/// Waits that long, or until the caller gives up.
fn delay(cx: &Context<'_>, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    while let left = end.saturating_duration_since(Instant::now())
        && !left.is_zero()
    {
        if cx.cancelled() {
            return Err(Errno::EINTR);
        }
        cx.cancel.sleep(left);
    }
    Ok(())
}

/// Its line on the command line.
pub const DEFINITION: Definition = Definition {
    name: "fault",
    summary: "makes the Nth call of an operation fail, fall short or take its time",
    argument: None,
    is_command: false,
    options: plan::OPTIONS,
    role: Role::Layer(|options| Ok(Box::new(Fault::new(Plan::read(options)?)))),
};
