//! A file system with one file, as a file server. Built with `cargo build --example hello`, it can
//! be mounted by filo, `filo mount server:./target/debug/examples/hello /mnt`, and by itself,
//! `./target/debug/examples/hello /mnt`.

use filofs::{Attr, Context, DirOffset, DirSink, Entry, Errno, FileSystem, Name, Node, Open};
use filofs::{Result, Sink};

struct Hello;

impl FileSystem for Hello {
    fn root(&self, _: &Context<'_>) -> Result<Entry> {
        Ok(Entry::new(Attr::directory(1)))
    }
    fn lookup(&self, _: &Context<'_>, _: &Node, name: Name<'_>) -> Result<Entry> {
        if name.bytes() == b"hello" {
            Ok(Entry::new(Attr::regular(2, 6)))
        } else {
            Err(Errno::ENOENT)
        }
    }
    fn getattr(&self, _: &Context<'_>, node: &Node, _: Option<&Open>) -> Result<Attr> {
        Ok(if node.cookie().0 == 1 { Attr::directory(1) } else { Attr::regular(2, 6) })
    }
    #[rustfmt::skip]
    fn readdir(
        &self, _: &Context<'_>, _: &Node, _: &Open, at: DirOffset, out: &mut dyn DirSink,
    ) -> Result<()> {
        out.list(at, [("hello", Attr::regular(2, 6))])
    }
    fn read(&self, _: &Context<'_>, _: &Node, _: &Open, at: u64, out: &mut dyn Sink) -> Result<()> {
        out.put(b"world\n".get(at as usize..).unwrap_or_default());
        Ok(())
    }
}

fn main() -> std::process::ExitCode {
    filofs_server::serve(Hello)
}
