//! A server with traps, and what it can flood a core with.

use crate::ground::{Inventory, wait_until};
use crate::mounted::{Mounted, settings};
use filofs::{Context, Entry, FileSystem, Layer, Name, Next, Node, Result, Stack, layer};
use filofs_bases::dir::{Dir, DirOptions};
use filofs_server::kernel::OnExit;
use filofs_server::serve::{Server, channel};
use filofs_wire::abi::OutHeader;
use rustix::fd::OwnedFd;
use rustix::net::{SendFlags, send};
use std::process::ExitCode;
use std::sync::Arc;
use zerocopy::IntoBytes;

/// The first word of the command line of a server with traps.
pub const SERVE: &str = "serve-with-traps";

/// Names that do something to whoever looks them up.
struct Traps(Arc<OwnedFd>);

#[layer]
impl Layer for Traps {
    fn name(&self) -> &'static str {
        "traps"
    }

    fn lookup(
        &self,
        next: Next<'_>,
        cx: &Context<'_>,
        dir: &Node,
        name: Name<'_>,
    ) -> Result<Entry> {
        match name.bytes() {
            b"poison" => std::process::abort(),
            b"garbage" => self.flood(&[0xa5; 100]),
            // FUSE_NOTIFY_INVAL_INODE of the root.
            b"notifications" => {
                let header = OutHeader { len: 40, error: 2, unique: 0 };
                let mut message = header.as_bytes().to_vec();
                message.extend([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
                message.resize(40, 0);
                self.flood(&message);
            }
            _ => {}
        }
        next.lookup(cx, dir, name)
    }
}

impl Traps {
    /// Sends that as fast as it goes, until the core is gone.
    fn flood(&self, message: &[u8]) {
        let (channel, message) = (self.0.clone(), message.to_vec());
        std::thread::spawn(move || {
            while send(&*channel, &message, SendFlags::NOSIGNAL).is_ok() {}
            // Nobody reads any more.
            std::process::exit(0);
        });
    }
}

/// The server.
pub fn serve(directory: &str) -> ExitCode {
    let channel = channel().unwrap().unwrap();
    let copy = Arc::new(channel.try_clone().unwrap());
    let dir = Dir::open(directory.as_ref(), DirOptions::default()).unwrap();
    let stack = Stack::new(Arc::new(dir), [Box::new(Traps(copy)) as Box<dyn Layer>]).unwrap();
    Server::new().over(stack, channel).unwrap().wait();
    ExitCode::SUCCESS
}

/// A server that sends garbage at full speed is ended.
pub fn garbage_is_ended() {
    let inventory = Inventory::take();
    let (mounted, other) =
        (Mounted::with_traps(&settings(OnExit::Fail)), Mounted::inside(&settings(OnExit::Fail)));
    let (user, neighbour) = (mounted.local.process(), other.local.process());
    let before = memory();
    let _ = user.stat("/garbage");
    wait_until("it is ended", &[mounted.lives.pid()], || {
        neighbour.stat("/").unwrap();
        user.stat("/").is_err()
    });
    assert!(mounted.lies() > 0);
    assert!(memory() < before + MEMORY_MAX, "{} MiB more", (memory() - before) >> 20);
    drop((user, neighbour));
    mounted.end();
    other.end();
    inventory.check();
}

/// Notifications at full speed cost no memory, and others are served meanwhile; the server is
/// ended, or its callers are served too.
pub fn notifications_are_ended_or_borne() {
    let inventory = Inventory::take();
    let (mounted, other) =
        (Mounted::with_traps(&settings(OnExit::Fail)), Mounted::inside(&settings(OnExit::Fail)));
    let (user, neighbour) = (mounted.local.process(), other.local.process());
    let before = memory();
    let _ = user.stat("/notifications");
    for _ in 0..2000 {
        neighbour.stat("/").unwrap();
        let _ = user.stat("/");
    }
    assert!(memory() < before + MEMORY_MAX, "{} MiB more", (memory() - before) >> 20);
    drop((user, neighbour));
    mounted.end();
    other.end();
    inventory.check();
}

const MEMORY_MAX: u64 = 64 << 20;

/// What this process has in memory, bytes.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().unwrap();
    kib << 10
}
