//! `Dump`: every message as a line for people, both ways: `--trace-messages`.
//!
//! Names are shown escaped, and of data only how much there is: a log is read by more people than
//! the files are.

use super::MESSAGES;
use filofs::{Errno, locked};
use filofs_wire::abi::{CALL_ID, Opcode};
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming::{Incoming, Notification};
use filofs_wire::request::{Operation, Request};
use std::collections::HashMap;
use std::fmt::{self, Write};
use std::sync::Mutex;
use std::time::Instant;

/// Writes every message to the log.
#[derive(Debug)]
pub(super) struct Dump {
    /// The server's.
    name: String,
    /// What was asked and when, until it is answered.
    asked: Mutex<HashMap<u64, (Opcode, Instant)>>,
}

impl Dump {
    /// Most requests without an answer whose time is taken: more are not on their way.
    const MOST_ASKED: usize = 4096;

    /// Of that server.
    pub(super) fn new(name: &str) -> Dump {
        Dump { name: name.to_owned(), asked: Mutex::default() }
    }

    pub(super) fn sent(&self, message: &[u8], dialect: Dialect) {
        log::info!(target: MESSAGES, "{} <- {}", self.name, self.request(message, dialect));
    }

    pub(super) fn received(&self, message: &[u8], dialect: Dialect) {
        log::info!(target: MESSAGES, "{} -> {}", self.name, self.incoming(message, dialect));
    }

    fn request(&self, message: &[u8], dialect: Dialect) -> String {
        let request = match Request::parse(message, dialect) {
            Ok(request) => request,
            Err(malformed) => return malformed.to_string(),
        };
        let (header, opcode) = (request.header, request.opcode);
        if request.wants_answer() {
            let mut asked = locked(&self.asked);
            if asked.len() < Self::MOST_ASKED {
                asked.insert(header.unique, (opcode, Instant::now()));
            }
        }
        let unique = Id(header.unique);
        let mut line = format!("{unique} {} node {}", opcode.name(), header.nodeid);
        let _ = details(&mut line, &request.operation);
        let _ = write!(line, " (uid {}, pid {})", header.uid, header.pid);
        line
    }

    fn incoming(&self, message: &[u8], dialect: Dialect) -> String {
        match Incoming::parse(message, dialect) {
            Ok(Incoming::Reply { unique, error, body }) => {
                let asked = locked(&self.asked).remove(&unique);
                let mut line = Id(unique).to_string();
                let _ = match error {
                    0 => write!(line, " ok, {} bytes", body.len()),
                    -511..0 => write!(line, " {:?}", Errno::from_raw(-error)),
                    error => write!(line, " error {error}"),
                };
                if let Some((opcode, at)) = asked {
                    let _ = write!(line, ", {} after {:?}", opcode.name(), at.elapsed());
                }
                line
            }
            Ok(Incoming::Notification(notification)) => told(&notification),
            Ok(Incoming::Call { id, call }) => format!("call {} {call:?}", Id(id.unwrap_or(0))),
            Ok(Incoming::BadCall { id, errno }) => {
                format!("call {} that is none: {errno:?}", Id(id.unwrap_or(0)))
            }
            Err(bad) => bad.to_string(),
        }
    }
}

/// The id of a request, or of a server's call.
struct Id(u64);

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let call = if self.0 & CALL_ID == 0 { "#" } else { "@" };
        write!(f, "{call}{}", self.0 & !CALL_ID)
    }
}

/// What a request says beside the header: names, and how much of what.
fn details(line: &mut String, operation: &Operation<'_>) -> fmt::Result {
    match operation {
        Operation::Lookup { name }
        | Operation::Unlink { name }
        | Operation::Rmdir { name }
        | Operation::Mknod { name, .. }
        | Operation::Mkdir { name, .. }
        | Operation::Create { name, .. } => {
            write!(line, " \"{}\"", name.as_bytes().escape_ascii())
        }
        Operation::Symlink { name, target } => {
            let (name, target) = (name.as_bytes().escape_ascii(), target.escape_ascii());
            write!(line, " \"{name}\" to \"{target}\"")
        }
        Operation::Link { arg, new_name } => {
            let name = new_name.as_bytes().escape_ascii();
            write!(line, " \"{name}\" for node {}", arg.oldnodeid)
        }
        Operation::Rename { arg, name, new_name } => {
            let (name, new) = (name.as_bytes().escape_ascii(), new_name.as_bytes().escape_ascii());
            write!(line, " \"{name}\" to node {} \"{new}\"", arg.newdir)
        }
        Operation::Rename2 { arg, name, new_name } => {
            let (name, new) = (name.as_bytes().escape_ascii(), new_name.as_bytes().escape_ascii());
            write!(line, " \"{name}\" to node {} \"{new}\" flags {:#x}", arg.newdir, arg.flags)
        }
        Operation::Getxattr { name, .. }
        | Operation::Removexattr { name }
        | Operation::Setxattr { name, .. } => {
            write!(line, " \"{}\"", name.as_bytes().escape_ascii())
        }
        Operation::Read { arg } | Operation::Readdir { arg } | Operation::Readdirplus { arg } => {
            write!(line, " open {} at {} size {}", arg.open_id, arg.offset, arg.size)
        }
        Operation::Write { arg, .. } => {
            write!(line, " open {} at {} size {}", arg.open_id, arg.offset, arg.size)
        }
        Operation::Open { arg } | Operation::Opendir { arg } => {
            write!(line, " flags {:#o}", arg.flags)
        }
        Operation::Release { arg } | Operation::Releasedir { arg } => {
            write!(line, " open {}", arg.open_id)
        }
        Operation::Forget { arg } => write!(line, " {} times", arg.nlookup),
        Operation::Interrupt { arg } => write!(line, " {}", Id(arg.unique)),
        Operation::Error { arg, text } => {
            write!(line, " {} \"{}\"", arg.errno, text.escape_ascii())
        }
        Operation::Response { arg, data } => {
            write!(line, " error {}, {} bytes", arg.error, data.len())
        }
        Operation::NodeOf { handle } => write!(line, " {} bytes", handle.len()),
        _ => Ok(()),
    }
}

/// What a server says unasked.
fn told(notification: &Notification<'_>) -> String {
    match notification {
        Notification::InvalEntry { parent, name, expire_only } => {
            let what = if *expire_only { "EXPIRE_ENTRY" } else { "INVAL_ENTRY" };
            format!("{what} node {parent} \"{}\"", name.as_bytes().escape_ascii())
        }
        Notification::Delete { parent, child, name } => {
            let name = name.as_bytes().escape_ascii();
            format!("DELETE node {parent} \"{name}\", which was node {child}")
        }
        Notification::InvalInode { nodeid, offset, len } => {
            format!("INVAL_INODE node {nodeid} at {offset} size {len}")
        }
        Notification::Store { nodeid, offset, data } => {
            format!("STORE node {nodeid} at {offset} size {}", data.len())
        }
        Notification::Prune { nodeids } => format!("PRUNE {} nodes", nodeids.len()),
        other => format!("{other:?}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs_wire::abi::{InHeader, WriteIn};
    use filofs_wire::compose;
    use filofs_wire::errno::ReplyErrno;
    use filofs_wire::name::Name;
    use filofs_wire::{notify, reply};

    const DIALECT: Dialect = Dialect::BEFORE_INIT;

    fn request(dump: &Dump, operation: &Operation<'_>) -> String {
        let header = InHeader { unique: 8, nodeid: 7, uid: 3, pid: 4, ..InHeader::default() };
        dump.request(&compose::request(header, operation, &[], DIALECT).unwrap(), DIALECT)
    }

    #[test]
    fn names_are_escaped_and_data_is_only_counted() {
        let dump = Dump::new("x");
        let name = Name::new(b"a\nb\"\x1b[2J\xc3\xa4").unwrap();
        assert_eq!(
            request(&dump, &Operation::Lookup { name }),
            r#"#8 LOOKUP node 7 "a\nb\"\x1b[2J\xc3\xa4" (uid 3, pid 4)"#
        );
        let arg = WriteIn { open_id: 5, offset: 9, size: 6, ..WriteIn::default() };
        assert_eq!(
            request(&dump, &Operation::Write { arg, data: b"secret" }),
            "#8 WRITE node 7 open 5 at 9 size 6 (uid 3, pid 4)"
        );
        let store = notify::store(7, 9, b"secret").unwrap().parts().concat();
        assert_eq!(dump.incoming(&store, DIALECT), "STORE node 7 at 9 size 6");
        let entry = notify::inval_entry(7, name).parts().concat();
        assert!(dump.incoming(&entry, DIALECT).is_ascii());
        assert_eq!(dump.incoming(b"x", DIALECT), "message shorter than a header");
    }

    #[test]
    fn an_answer_says_what_to_and_after_how_long() {
        let dump = Dump::new("x");
        request(&dump, &Operation::Statfs);
        let no = reply::error(8, ReplyErrno::ENOSYS);
        let line = dump.incoming(no.as_bytes(), DIALECT);
        assert!(line.starts_with("#8 ENOSYS, STATFS after "), "{line}");
        // Once, and of what was asked.
        assert_eq!(dump.incoming(no.as_bytes(), DIALECT), "#8 ENOSYS");
        assert!(locked(&dump.asked).is_empty());
        let mut lie = no.as_bytes().to_vec();
        lie[4..8].copy_from_slice(&i32::MIN.to_ne_bytes());
        assert_eq!(dump.incoming(&lie, DIALECT), "#8 error -2147483648");
    }
}
