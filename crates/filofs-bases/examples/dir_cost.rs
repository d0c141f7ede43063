//! What `dir` costs: memory for each file that is looked up, processor time for each lookup, and
//! what is left when all are given back. Takes a directory to make the files in, and how many; run
//! with `--release`.

use filofs::{Context, FileSystem, Mount, Name, Stack, Upward};
use filofs_bases::dir::{Dir, DirOptions};
use std::error::Error;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let place = arguments.next().unwrap_or_else(|| "/dev/shm".into());
    let many = arguments.next().map_or(Ok(1_000_000), |many| many.parse::<u32>())?;
    let place = Path::new(&place).join(format!("dir-cost-{}", std::process::id()));
    std::fs::create_dir(&place)?;
    let done = cost(&place, many);
    std::fs::remove_dir_all(&place)?;
    done
}

fn cost(place: &Path, many: u32) -> Result<(), Box<dyn Error>> {
    for i in 0..many {
        std::fs::write(place.join(format!("file{i}")), "")?;
    }
    let dir = Dir::open(place, DirOptions { remember: 0, ..DirOptions::default() })?;
    let identity = filofs::Identity::new("dir:", "filo", "/")?;
    let mount = Mount::new(Stack::new(Arc::new(dir), []).ok_or("no stack")?, identity)?;
    mount.start(&Upward::channel().0)?;
    let cx = Context::internal();
    let top = mount.root().clone();
    let mut nodes = Vec::with_capacity(many as usize);
    let before = resident()?;
    for round in ["first", "again"] {
        nodes.clear();
        let start = processor_time();
        for i in 0..many {
            let entry = mount.lookup(&cx, &top, Name::new(format!("file{i}").as_bytes())?)?;
            nodes.push(mount.adopt(&top, &entry)?);
        }
        let nanos = processor_time().saturating_sub(start).as_nanos() / u128::from(many);
        let bytes = (resident()? - before) / u64::from(many);
        println!("{round}: {nanos} ns and {bytes} bytes of memory for each lookup");
    }
    let start = processor_time();
    drop(nodes);
    let nanos = processor_time().saturating_sub(start).as_nanos() / u128::from(many);
    println!("forget: {nanos} ns each; {} live nodes are left", mount.nodes().len());
    Ok(())
}

/// What this process has used of processors, so that others on the machine do not matter.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Resident memory of this process in bytes, proc_pid_statm(5).
fn resident() -> Result<u64, Box<dyn Error>> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).ok_or("no second field")?;
    Ok(pages.parse::<u64>()? * 4096)
}
