//! A kernel that knows a few requests.

use filofs_server::channel::{Arrival, Channel, MESSAGE_MAX, PAYLOAD_MAX};
use filofs_wire::abi::{
    AttrOut, CreateIn, EntryOut, FlushIn, GetattrIn, InHeader, InitFlags, InitIn, InitOut,
    KERNEL_MINOR, KERNEL_VERSION, OpenIn, OpenOut, ROOT_ID, ReadIn, ReleaseIn, WriteIn, WriteOut,
};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::incoming::{self, Incoming};
use filofs_wire::name::Name;
use filofs_wire::reply::CreateOut;
use filofs_wire::request::Operation;
use std::io::IoSlice;

/// The kernel's side of a channel; `channel` has its patience set.
pub struct Kernel<'a> {
    channel: &'a Channel,
    unique: u64,
    dialect: Dialect,
    /// The most bytes in one WRITE.
    write_max: usize,
}

/// A file that was looked up.
#[derive(Debug)]
pub struct File {
    node: u64,
    pub size: u64,
}

impl<'a> Kernel<'a> {
    /// INIT. Offers what Linux does, as far as it needs no device.
    pub fn start(channel: &'a Channel) -> Result<Kernel<'a>, String> {
        let mut kernel = Kernel { channel, unique: 0, dialect: Dialect::BEFORE_INIT, write_max: 0 };
        let offered = InitFlags::ASYNC_READ
            | InitFlags::BIG_WRITES
            | InitFlags::ATOMIC_O_TRUNC
            | InitFlags::DONT_MASK;
        let init = InitIn {
            major: KERNEL_VERSION,
            minor: KERNEL_MINOR,
            max_readahead: 128 << 10,
            flags: offered.bits() as u32,
            ..InitIn::default()
        };
        let reply = kernel.ask(0, &Operation::Init { arg: init })?;
        let (out, _): (InitOut, _) = incoming::init(&reply).ok_or("odd reply to INIT")?;
        kernel.dialect = Dialect::settled(&out, offered).ok_or("INIT settles nothing")?;
        kernel.write_max = (out.max_write as usize).min(PAYLOAD_MAX);
        Ok(kernel)
    }

    /// LOOKUP in the root, and GETATTR, which have to agree.
    pub fn look_up(&mut self, name: &str) -> Result<File, String> {
        let name = Name::new(name.as_bytes()).unwrap();
        let reply = self.ask(ROOT_ID, &Operation::Lookup { name })?;
        let entry: EntryOut = incoming::fixed(&reply).ok_or("odd reply to LOOKUP")?;
        // An answer that there is nothing, which may be remembered.
        if entry.nodeid == 0 {
            return Err("-2".into());
        }
        let reply = self.ask(entry.nodeid, &Operation::Getattr { arg: GetattrIn::default() })?;
        let attr: AttrOut = incoming::fixed(&reply).ok_or("odd reply to GETATTR")?;
        assert_eq!(attr.attr.size, entry.attr.size);
        Ok(File { node: entry.nodeid, size: attr.attr.size })
    }

    /// OPEN, then one READ.
    pub fn read(&mut self, file: &File, offset: u64, size: u32) -> Result<Vec<u8>, String> {
        let reply = self.ask(file.node, &Operation::Open { arg: OpenIn::default() })?;
        let open: OpenOut = incoming::fixed(&reply).ok_or("odd reply to OPEN")?;
        let arg = ReadIn { open_id: open.open_id, offset, size, ..ReadIn::default() };
        self.ask(file.node, &Operation::Read { arg })
    }

    /// CREATE in the root, as many WRITEs as the server wants, FLUSH and RELEASE.
    pub fn create(&mut self, name: &str, content: &[u8]) -> Result<(), String> {
        let name = Name::new(name.as_bytes()).unwrap();
        let flags = rustix::fs::OFlags::RDWR.bits();
        let arg = CreateIn { flags, mode: 0o100_644, ..CreateIn::default() };
        let reply = self.ask(ROOT_ID, &Operation::Create { arg, name })?;
        let out: CreateOut = incoming::fixed(&reply).ok_or("odd reply to CREATE")?;
        let (node, open_id) = (out.entry.nodeid, out.open.open_id);
        let mut offset = 0;
        for data in content.chunks(self.write_max) {
            let arg =
                WriteIn { open_id, offset, size: data.len() as u32, flags, ..WriteIn::default() };
            let reply = self.ask(node, &Operation::Write { arg, data })?;
            let out: WriteOut = incoming::fixed(&reply).ok_or("odd reply to WRITE")?;
            assert_eq!(out.size as usize, data.len());
            offset += data.len() as u64;
        }
        self.ask(node, &Operation::Flush { arg: FlushIn { open_id, ..FlushIn::default() } })?;
        let arg = ReleaseIn { open_id, flags, ..ReleaseIn::default() };
        self.ask(node, &Operation::Release { arg }).map(drop)
    }

    /// One request, and the body of its reply.
    fn ask(&mut self, nodeid: u64, operation: &Operation<'_>) -> Result<Vec<u8>, String> {
        self.unique += 2;
        let header = InHeader {
            unique: self.unique,
            nodeid,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            pid: std::process::id(),
            ..InHeader::default()
        };
        let request = compose::request(header, operation, &[], self.dialect).unwrap();
        let what = operation.opcode();
        self.channel.send(&[IoSlice::new(&request)]).map_err(|e| format!("{what:?}: {e:?}"))?;
        let mut room = vec![0; MESSAGE_MAX];
        loop {
            let Arrival::Message(len, _) = self.channel.receive(&mut room, true) else {
                return Err(format!("no reply to {what:?}"));
            };
            let incoming = Incoming::parse(&room[..len], self.dialect);
            match incoming
                .map_err(|bad| format!("bad reply of {len} bytes to {what:?}: {bad:?}"))?
            {
                Incoming::Reply { unique, error, body } if unique == self.unique => {
                    return if error == 0 { Ok(body.to_vec()) } else { Err(format!("{error}")) };
                }
                Incoming::Reply { unique, .. } => {
                    return Err(format!("a reply to {unique}, not to {what:?}"));
                }
                _ => {}
            }
        }
    }
}
