//! What a `getattr` costs that goes through a channel to a file server in another process and
//! back: the time, and how often either side was switched away from. Beside it, the same file
//! system in this process, and two processes that pass each other as many bytes with nothing of
//! ours but the channel. Run with `--release`; `taskset -c 0` puts both sides on one processor.

use filofs::{Attr, Context, Entry, FileSystem, Kind, Mount, Node, Open, Upward};
use filofs_server::channel::{Arrival, Channel};
use filofs_server::kernel::{KernelHalf, Settings};
use filofs_server::serve::Server;
use rustix::fd::{AsFd, OwnedFd};
use std::error::Error;
use std::hint::black_box;
use std::io::IoSlice;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

type Fallible<T> = Result<T, Box<dyn Error>>;

const ROUNDS: usize = 31;
const CALLS: u32 = 5_000;
/// STATX and its answer with their headers, in bytes.
const REQUEST: usize = 64;
const ANSWER: usize = 304;
/// The word that makes this program a file server at its standard input.
const SERVE: &str = "serve";
/// The word that makes it answer messages there with others.
const ECHO: &str = "echo";

/// Answers at once: what is measured is the way.
struct Constant;

impl FileSystem for Constant {
    fn root(&self, _: &Context<'_>) -> filofs::Result<Entry> {
        Ok(Entry::new(Attr::new(1, Kind::Directory)))
    }

    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> filofs::Result<Attr> {
        Ok(Attr::new(node.cookie().0, node.kind()))
    }
}

fn main() -> Fallible<()> {
    match std::env::args().nth(1).as_deref() {
        Some(SERVE) => {
            Server::new().over(Constant, std::io::stdin().as_fd().try_clone_to_owned()?)?.wait();
            Ok(())
        }
        Some(ECHO) => echo(),
        _ => measure(),
    }
}

fn measure() -> Fallible<()> {
    let (server, channel) = Other::start(SERVE)?;
    let far = started(KernelHalf::over(channel, &Settings::default())?)?;
    let near = started(Constant)?;
    let (echo, bare) = Other::start(ECHO)?;
    bare.patience(Duration::from_secs(60))?;

    let cx = Context::internal();
    let ask = |mount: &Mount| -> Fallible<()> {
        black_box(mount.getattr(&cx, black_box(mount.root()), None))?;
        Ok(())
    };
    let (request, mut answer) = ([1; REQUEST], [0; ANSWER]);
    let mut pass = || match bare.send(&[IoSlice::new(&request)]) {
        Ok(()) => match bare.receive(&mut answer, true) {
            Arrival::Message(..) => Ok(()),
            other => Err(format!("{other:?}").into()),
        },
        Err(unsent) => Err(format!("{unsent:?}").into()),
    };
    let mut rows = [
        Row::new("a getattr in this process", None),
        Row::new("two processes and a channel", Some(&echo)),
        Row::new("a getattr in another process", Some(&server)),
    ];
    // In turn, so that a busy machine disturbs all of them alike.
    for _ in 0..ROUNDS {
        let [in_process, channel_alone, through] = &mut rows;
        in_process.round(|| ask(&near))?;
        channel_alone.round(&mut pass)?;
        through.round(|| ask(&far))?;
    }
    println!("the median and the smallest of {ROUNDS} rounds; switches for each call, both sides");
    rows.iter_mut().for_each(Row::print);
    Ok(())
}

fn started(fs: impl FileSystem + 'static) -> Fallible<Mount> {
    let mount = Mount::of(fs, "/")?;
    mount.start(&Upward::channel().0)?;
    Ok(mount)
}

/// Answers each message with another until the other end is closed.
fn echo() -> Fallible<()> {
    let channel = Channel::over(std::io::stdin().as_fd().try_clone_to_owned()?)?;
    channel.patience(Duration::from_secs(60))?;
    let (mut request, answer) = ([0; REQUEST], [1; ANSWER]);
    while let Arrival::Message(..) = channel.receive(&mut request, true) {
        channel.send(&[IoSlice::new(&answer)]).map_err(|unsent| format!("{unsent:?}"))?;
    }
    Ok(())
}

/// This program once more, with one end of a channel as its standard input.
struct Other(Child);

impl Other {
    fn start(word: &str) -> Fallible<(Other, Channel)> {
        let (ours, theirs): (_, OwnedFd) = Channel::pair()?;
        let mut program = Command::new(std::env::current_exe()?);
        let child = program.arg(word).stdin(Stdio::from(theirs)).spawn()?;
        Ok((Other(child), ours))
    }

    /// How often its threads and ours have been switched away from.
    fn switches(&self) -> Fallible<u64> {
        Ok(switches("self")? + switches(&self.0.id().to_string())?)
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn switches(process: &str) -> Fallible<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{process}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let lines = status.lines().filter_map(|line| line.split_once("ctxt_switches:"));
        sum += lines.filter_map(|(_, count)| count.trim().parse::<u64>().ok()).sum::<u64>();
    }
    Ok(sum)
}

struct Row<'a> {
    what: &'static str,
    other: Option<&'a Other>,
    nanos: Vec<f64>,
    switches: Vec<f64>,
}

impl<'a> Row<'a> {
    fn new(what: &'static str, other: Option<&'a Other>) -> Row<'a> {
        Row { what, other, nanos: Vec::new(), switches: Vec::new() }
    }

    fn round(&mut self, mut call: impl FnMut() -> Fallible<()>) -> Fallible<()> {
        let before = self.other.map(Other::switches).transpose()?.unwrap_or_default();
        let began = Instant::now();
        for _ in 0..CALLS {
            call()?;
        }
        self.nanos.push(began.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS));
        let after = self.other.map(Other::switches).transpose()?.unwrap_or_default();
        self.switches.push(f64::from((after - before) as u32) / f64::from(CALLS));
        Ok(())
    }

    fn print(&mut self) {
        let (nanos, least) = middle(&mut self.nanos);
        let (switches, _) = middle(&mut self.switches);
        println!("{:<30} {nanos:>8.0} ns {least:>8.0} ns {switches:>6.2}", self.what);
    }
}

/// The median, and the smallest.
fn middle(values: &mut [f64]) -> (f64, f64) {
    values.sort_by(f64::total_cmp);
    let middle = values.get(values.len() / 2).copied().unwrap_or_default();
    (middle, values.first().copied().unwrap_or_default())
}
