//! Those who make the load: processes on the mount, threads in this process.

use crate::ground::wait_until;
use crate::load::{COUNTER, End, LOAD, Load};
use crate::mounted::Mounted;
use crate::user::Inside;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{SystemTime, UNIX_EPOCH};

/// What random numbers begin with: FILO_SEED, or another each time.
pub fn seed() -> u64 {
    let given = std::env::var("FILO_SEED").ok().map(|text| text.parse().unwrap());
    let seed = given.unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_nanos() as u64 % 1_000_000_007
    });
    println!("FILO_SEED={seed}");
    seed
}

/// How often a server is killed: FILO_KILLS, or so often.
pub fn kills(usual: u64) -> u64 {
    std::env::var("FILO_KILLS").map_or(usual, |text| text.parse().unwrap())
}

/// How somebody's load ended.
#[derive(Debug)]
pub struct Ended {
    pub calls: u64,
    pub counted: u64,
    /// The errno of the call that failed, and which it was.
    pub failed: Option<(i32, String)>,
}

/// Somebody who makes a load.
pub enum Loader {
    Process { child: Child, progress: File, directory: PathBuf },
    Thread { thread: Option<JoinHandle<Ended>>, calls: Arc<AtomicU64>, stop: Arc<AtomicBool> },
}

impl Loader {
    /// A process on the mount. With `verified`, what it did must be in the source after a failure.
    pub fn process(mounted: &Mounted, number: u64, seed: u64, verified: bool) -> Loader {
        Loader::program(LOAD, mounted, number, seed, verified)
    }

    /// A process on the mount that plays that role.
    pub fn program(
        role: &str,
        mounted: &Mounted,
        number: u64,
        seed: u64,
        verified: bool,
    ) -> Loader {
        let name = format!("mounted/l{number}");
        let source = mounted.source.join(&name);
        std::fs::create_dir_all(&source).unwrap();
        let counter = source.join(COUNTER);
        drop(File::options().create(true).append(true).open(counter).unwrap());
        let directory = mounted.at.join(&name);
        let progress = mounted.side("progress").join(number.to_string());
        std::fs::write(&progress, 0_u64.to_le_bytes()).unwrap();
        let seed = seed.wrapping_mul(31).wrapping_add(number).to_string();
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.arg(role).arg(&directory).arg(seed).arg(&progress);
        command.arg(if verified { source } else { "-".into() });
        command.arg(mounted.by_name.to_string());
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = command.spawn().unwrap();
        Loader::Process { child, progress: File::open(progress).unwrap(), directory }
    }

    /// A thread of this process, in the mount without FUSE.
    pub fn thread(mounted: &Mounted, number: u64, seed: u64, verified: bool) -> Loader {
        let name = format!("inside/l{number}");
        let source = mounted.source.join(&name);
        std::fs::create_dir_all(&source).unwrap();
        drop(File::options().create(true).append(true).open(source.join(COUNTER)).unwrap());
        let by_name = mounted.by_name;
        let user = Inside(mounted.local.process(), format!("/{name}"));
        let (calls, stop) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (counter, asked) = (calls.clone(), stop.clone());
        let seed = seed.wrapping_mul(31).wrapping_add(number);
        let thread = std::thread::spawn(move || {
            let mut load = Load::new(&user, seed, by_name);
            let end = load.run(&asked, |calls| counter.store(calls, Ordering::Relaxed));
            let failed = match end {
                End::Failed(errno) => {
                    if verified {
                        load.verify(&source);
                    }
                    Some((errno.raw(), load.last().to_owned()))
                }
                End::Asked => load.finish().err().map(|errno| (errno.raw(), "the end".to_owned())),
            };
            Ended { calls: load.calls, counted: load.counted, failed }
        });
        Loader::Thread { thread: Some(thread), calls, stop }
    }

    /// How many calls have succeeded.
    pub fn calls(&self) -> u64 {
        match self {
            Loader::Process { progress, .. } => {
                let mut calls = [0; 8];
                progress.read_exact_at(&mut calls, 0).unwrap();
                u64::from_le_bytes(calls)
            }
            Loader::Thread { calls, .. } => calls.load(Ordering::Relaxed),
        }
    }

    /// Its process, of which it can be told what it waits for.
    pub fn pid(&self) -> u32 {
        match self {
            Loader::Process { child, .. } => child.id(),
            Loader::Thread { .. } => std::process::id(),
        }
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        match self {
            Loader::Process { child, .. } => child.try_wait().unwrap().is_some(),
            Loader::Thread { thread, .. } => thread.as_ref().is_none_or(JoinHandle::is_finished),
        }
    }

    /// Asks it to end.
    pub fn ask_to_end(&mut self) {
        match self {
            Loader::Process { child, .. } => drop(child.stdin.take()),
            Loader::Thread { stop, .. } => stop.store(true, Ordering::Relaxed),
        }
    }

    /// Waits for its end, which must have the reason that it tells.
    pub fn end(mut self) -> Ended {
        wait_until("a caller ends", &[self.pid()], || self.has_ended());
        match &mut self {
            Loader::Process { child, directory, .. } => {
                let mut told = String::new();
                child.stdout.take().unwrap().read_to_string(&mut told).unwrap();
                let status = child.wait().unwrap();
                assert!(status.success(), "{}: {status}: {told}", directory.display());
                let words: Vec<&str> = told.split_whitespace().collect();
                let number = |at: usize| words[at].parse::<u64>().unwrap();
                if words[0] == "done" {
                    return Ended { calls: number(1), counted: number(2), failed: None };
                }
                let failed = Some((number(2) as i32, words[3..].join(" ")));
                Ended { calls: number(1), counted: 0, failed }
            }
            Loader::Thread { thread, .. } => thread.take().unwrap().join().unwrap(),
        }
    }
}

impl Drop for Loader {
    fn drop(&mut self) {
        self.ask_to_end();
        if let Loader::Process { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Waits until each has gone on since it had made so many calls.
pub fn wait_moved(loaders: &mut [Loader], since: &[u64], server: u32) {
    let mut processes: Vec<u32> = loaders.iter().map(Loader::pid).collect();
    processes.push(server);
    for (loader, since) in loaders.iter_mut().zip(since) {
        wait_until("a caller goes on", &processes, || {
            loader.calls() > *since || loader.has_ended()
        });
    }
}

/// How many calls each has made.
pub fn calls(loaders: &[Loader]) -> Vec<u64> {
    loaders.iter().map(Loader::calls).collect()
}
