//! What `mem` costs: memory for each empty file, time for each operation, and the speed of
//! sequential data beside that of plain copying. Run with `--release`.
#![allow(clippy::cast_precision_loss)] // figures for a person

use filofs::{
    Context, FileSystem, Kind, MakeHow, Name, Node, Open, OpenFlags, OpenHow, SliceSink,
    SliceSource, WriteFlags,
};
use filofs_bases::mem::{Mem, Settings};
use std::error::Error;
use std::time::Instant;

fn main() -> Result<(), Box<dyn Error>> {
    names()?;
    data()
}

fn names() -> Result<(), Box<dyn Error>> {
    const MANY: u32 = 1_000_000;
    let mem = Mem::new(Settings { inodes: 1 << 24, ..Settings::default() });
    let cx = Context::internal();
    let root = Node::detached(&mem.root(&cx)?);
    let before = resident()?;
    let each = |what: &str, act: &dyn Fn(Name<'_>) -> filofs::Result<()>| -> filofs::Result<()> {
        let start = Instant::now();
        for i in 0..MANY {
            act(Name::new(format!("file{i}").as_bytes())?)?;
        }
        let nanos = start.elapsed().as_nanos() / u128::from(MANY);
        println!("{what:<8} {nanos:>6} ns each, in one directory of {MANY}");
        Ok(())
    };
    let how = MakeHow::mode(0o644);
    each("mknod", &|name| mem.mknod(&cx, &root, name, Kind::Regular, how).map(drop))?;
    let bytes = (resident()? - before) / u64::from(MANY);
    println!("{bytes} bytes of memory for each empty file, its name included");
    each("lookup", &|name| mem.lookup(&cx, &root, name).map(drop))?;
    each("unlink", &|name| mem.unlink(&cx, &root, name))?;
    Ok(())
}

fn data() -> Result<(), Box<dyn Error>> {
    const PIECE: usize = 1 << 20;
    const PIECES: usize = 256;
    let mem = Mem::new(Settings::default());
    let cx = Context::internal();
    let root = Node::detached(&mem.root(&cx)?);
    let how = MakeHow::mode(0o644);
    let node = Node::detached(&mem.mknod(&cx, &root, Name::new(b"f")?, Kind::Regular, how)?);
    let flags = OpenFlags::RDWR;
    let opened = mem.open(&cx, &node, OpenHow { flags, kill_priv: false })?;
    let open = Open::detached(&node, flags, opened);
    let mut buffer = vec![1u8; PIECE];
    let speed = |what: &str, start: Instant| {
        let mib = PIECES as f64 / start.elapsed().as_secs_f64();
        println!("{what:<28} {mib:>7.0} MiB/s");
    };
    for what in ["write 1 MiB pieces, new", "write 1 MiB pieces, again"] {
        let start = Instant::now();
        for i in 0..PIECES {
            let source = &mut SliceSource::new(&buffer);
            mem.write(&cx, &node, &open, (i * PIECE) as u64, source, WriteFlags::empty())?;
        }
        speed(what, start);
    }
    let start = Instant::now();
    for i in 0..PIECES {
        let sink = &mut SliceSink::new(&mut buffer);
        mem.read(&cx, &node, &open, (i * PIECE) as u64, sink)?;
    }
    speed("read 1 MiB pieces", start);
    let (from, mut to) = (vec![1u8; PIECE * PIECES], vec![0u8; PIECE * PIECES]);
    for what in ["plain copy, new memory", "plain copy, again"] {
        let start = Instant::now();
        to.copy_from_slice(&from);
        std::hint::black_box(&to);
        speed(what, start);
    }
    Ok(())
}

/// Resident memory of this process in bytes, proc_pid_statm(5).
fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).ok_or("no second field")?;
    Ok(pages.parse::<u64>()? * 4096)
}
