//! The operations on durable names (A85-A104).
//!
//! What a caller may give, and what a server may answer, depends on what the server said of its
//! handles when it was mounted:
//!
//! | | a caller's handle | a server's handle |
//! |---|---|---|
//! | none | EOPNOTSUPP | EOPNOTSUPP |
//! | static | of the size given, else EINVAL | of the size given, else EPROTO |
//! | dynamic | no longer, else EINVAL | no longer, else EPROTO |
//! | passed through | any | any |

use super::fault::Answer;
use super::link::Link;
use super::server::Server;
use filofs::{Context, Entry, Errno, FileHandle, Node, Result};
use filofs_wire::abi::{EntryOut, HandleFlags, HandleOfIn, Opcode};
use filofs_wire::incoming;
use filofs_wire::limits::HANDLE_MAX;
use filofs_wire::request::Operation;

const _: () = assert!(FileHandle::MAX == HANDLE_MAX as usize);

/// What lengths a server's handles have, in bytes.
#[derive(Clone, Copy)]
enum Lengths {
    This(usize),
    UpTo(usize),
    Any,
}

impl Lengths {
    /// EOPNOTSUPP from a server without handles, which is not asked (A85, A94).
    fn of(link: &Link) -> Answer<Lengths> {
        let arguments = link.terms.arguments.as_ref().filter(|said| said.handle_size > 0);
        let arguments = arguments.ok_or(Errno::EOPNOTSUPP)?;
        let size = arguments.handle_size as usize;
        Ok(if arguments.handle_flags.contains(HandleFlags::PASSTHROUGH) {
            Lengths::Any
        } else if arguments.handle_flags.contains(HandleFlags::DYNAMIC) {
            Lengths::UpTo(size)
        } else {
            Lengths::This(size)
        })
    }

    const fn allow(self, len: usize) -> bool {
        match self {
            Lengths::This(size) => len == size,
            Lengths::UpTo(size) => len <= size,
            Lengths::Any => true,
        }
    }
}

impl Server {
    pub(super) fn handle_of(&self, cx: &Context<'_>, node: &Node) -> Result<FileHandle> {
        self.run(cx, |link| {
            let lengths = Lengths::of(link)?;
            let remote = Self::remote(node)?;
            let id = self.id_of(link, cx, &remote)?;
            // Whoever asks can take any handle: the caller of the mount is told the size.
            let arg = HandleOfIn { room: HANDLE_MAX, padding: 0 };
            let reply = self.ask(link, cx, id, &Operation::HandleOf { arg })?;
            let lie = |errno, text| link.connection.lie(Opcode::HandleOf, errno, id, text);
            match incoming::handle_of(reply.body(), arg.room) {
                // A102: no more is copied than there is, and a length that is wrong is told.
                Some((_, Some(bytes))) if lengths.allow(bytes.len()) => {
                    remote.keep_handle(bytes);
                    Ok(FileHandle::new(bytes)?)
                }
                Some((_, Some(_))) => Err(lie(0, "a file handle of another length than it said")),
                // A100
                Some((_, None)) => Err(lie(Errno::E2BIG.raw(), "file handle too big")),
                None => Err(lie(0, "an answer of another size")),
            }
        })
    }

    pub(super) fn node_of(&self, cx: &Context<'_>, handle: &FileHandle) -> Result<Entry> {
        self.run(cx, |link| {
            let handle = handle.bytes();
            if !Lengths::of(link)?.allow(handle.len()) {
                return Err(Errno::EINVAL.into()); // A87
            }
            let reply = self.ask(link, cx, 0, &Operation::NodeOf { handle })?;
            let entry: EntryOut = Self::fixed(link, Opcode::NodeOf, 0, reply.body())?;
            if entry.nodeid == 0 {
                return Err(Errno::ESTALE.into());
            }
            // A91: it counts as a lookup.
            let node = self.vet(link, &entry, None, None, None);
            node.map_err(|wrong| Self::refuse(link, Opcode::NodeOf, 0, &entry, wrong))
        })
    }
}
