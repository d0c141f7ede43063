//! `Letter`: the request in an entry; `lay`: the answer to it, in the same place.

use super::entry::Entry;
use filofs::Errno;
use filofs_wire::abi::{InHeader, Opcode, OutHeader, ReadIn, UringEntInOut};
use filofs_wire::errno::ReplyErrno;
use filofs_wire::reply;
use std::ops::Range;
use zerocopy::FromBytes;

/// A request as it lies in an entry: the message's header, the structure after it, and apart from
/// both what follows them.
#[derive(Clone, Copy)]
pub(super) struct Letter {
    pub(super) header: InHeader,
    /// What the commit of the answer has to carry: the request's id.
    pub(super) id: u64,
    /// Bytes of structure.
    structure: usize,
    /// Bytes of payload.
    payload: usize,
    /// Data passes through the entry's own memory.
    direct: bool,
}

impl Letter {
    /// What brings or wants more bytes of data than this is served in the entry's own memory,
    /// which spares a copy; the rest in the worker's, so that the entry can be taken away from a
    /// worker that does not come back.
    const SMALL: usize = 16 << 10;

    /// `None` for what is no request.
    pub(super) fn read(entry: &Entry) -> Option<Letter> {
        let (headers, payload) = entry.parts()?;
        let (header, _) = InHeader::read_from_prefix(&headers.in_out).ok()?;
        let UringEntInOut { commit_id, payload_sz, .. } = headers.ring_ent_in_out;
        let body = (header.len as usize).checked_sub(size_of::<InHeader>())?;
        let structure = body.checked_sub(payload_sz as usize)?;
        if structure > headers.op_in.len() || payload_sz as usize > payload.len() {
            return None;
        }
        let opcode = Opcode::from_number(header.opcode);
        let data = match opcode {
            Some(Opcode::Write) => payload_sz as usize,
            Some(Opcode::Read | Opcode::Readdir | Opcode::Readdirplus) => {
                ReadIn::read_from_prefix(&headers.op_in).map_or(0, |(arg, _)| arg.size as usize)
            }
            _ => 0,
        };
        let direct = data > Self::SMALL;
        Some(Letter { header, id: commit_id, structure, payload: payload_sz as usize, direct })
    }

    /// Where data passes through the entry's own memory: whether it does, and whether the request
    /// brings it.
    pub(super) fn direct(&self) -> Option<Direction> {
        let brings = self.header.opcode == Opcode::Write as u32;
        self.direct.then_some(if brings { Direction::In(self.payload) } else { Direction::Out })
    }

    /// Writes the message as it would come from the device, without what stays in the entry. How
    /// long it is; `None` if there is no room.
    pub(super) fn copy(&self, entry: &Entry, room: &mut [u8]) -> Option<usize> {
        let (headers, payload) = entry.parts()?;
        let payload = match self.direct() {
            Some(Direction::In(_)) => &[],
            _ => payload.get(..self.payload)?,
        };
        let parts = [
            headers.in_out.get(..size_of::<InHeader>())?,
            headers.op_in.get(..self.structure)?,
            payload,
        ];
        let mut len = 0;
        for part in parts {
            room.get_mut(len..len + part.len())?.copy_from_slice(part);
            len += part.len();
        }
        Some(len)
    }
}

/// Which way data passes through an entry's own memory.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Direction {
    /// The request brings so many bytes.
    In(usize),
    /// The answer will.
    Out,
}

/// Where the data of an answer is.
#[derive(Clone, Debug)]
pub(super) enum Data<'a> {
    /// In the payload of the entry.
    Here(Range<usize>),
    /// These bytes.
    Bytes(&'a [u8]),
}

/// Writes an answer into an entry: `head` is its header and structure. EIO in its place if it does
/// not fit, which dispatch has seen to.
pub(super) fn lay(entry: &mut Entry, head: &[u8], data: &Data<'_>) {
    if try_lay(entry, head, data).is_none() {
        log::error!("an answer of {} bytes before its data does not fit its entry", head.len());
        lay_error(entry, Errno::EIO);
    }
}

/// Writes an error into an entry. The id of the request that it answers.
pub(super) fn lay_error(entry: &mut Entry, errno: Errno) -> u64 {
    let id = entry.parts().map_or(0, |(headers, _)| headers.ring_ent_in_out.commit_id);
    let error = reply::error(id, ReplyErrno::or_eproto(errno.raw()));
    let _ = try_lay(entry, error.as_bytes(), &Data::Bytes(&[]));
    id
}

fn try_lay(entry: &mut Entry, head: &[u8], data: &Data<'_>) -> Option<()> {
    let (headers, payload) = entry.parts_mut()?;
    let (header, structure) = head.split_at_checked(size_of::<OutHeader>())?;
    let from = structure.len();
    // Data first: it may lie where the structure goes.
    let end = match data {
        Data::Here(range) => {
            let end = from.checked_add(range.len())?;
            if range.end > payload.len() || end > payload.len() {
                return None;
            }
            if range.start != from && !range.is_empty() {
                payload.copy_within(range.clone(), from);
            }
            end
        }
        Data::Bytes(bytes) => {
            let end = from.checked_add(bytes.len())?;
            payload.get_mut(from..end)?.copy_from_slice(bytes);
            end
        }
    };
    payload.get_mut(..from)?.copy_from_slice(structure);
    headers.in_out.get_mut(..header.len())?.copy_from_slice(header);
    headers.ring_ent_in_out.payload_sz = end as u32;
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs_wire::abi::{GetattrIn, WriteIn};
    use zerocopy::IntoBytes;

    /// An entry with that request in it.
    fn entry(opcode: Opcode, structure: &[u8], payload: &[u8]) -> Entry {
        let mut entry = Entry::new(64 << 10).unwrap();
        let (headers, room) = entry.parts_mut().unwrap();
        let len = (size_of::<InHeader>() + structure.len() + payload.len()) as u32;
        let header = InHeader { len, opcode: opcode as u32, unique: 8, ..InHeader::default() };
        headers.in_out[..40].copy_from_slice(header.as_bytes());
        headers.op_in[..structure.len()].copy_from_slice(structure);
        headers.ring_ent_in_out.commit_id = 8;
        headers.ring_ent_in_out.payload_sz = payload.len() as u32;
        room[..payload.len()].copy_from_slice(payload);
        entry
    }

    #[test]
    fn a_message_is_what_the_device_would_have_given() {
        let arg = GetattrIn::default();
        let entry = entry(Opcode::Lookup, arg.as_bytes(), b"name\0");
        let letter = Letter::read(&entry).unwrap();
        assert_eq!((letter.id, letter.direct()), (8, None));
        let mut room = [0; 256];
        let len = letter.copy(&entry, &mut room).unwrap();
        assert_eq!(len, letter.header.len as usize);
        assert_eq!(&room[40..56], arg.as_bytes());
        assert_eq!(&room[56..len], b"name\0");
        assert_eq!(letter.copy(&entry, &mut room[..len - 1]), None);
    }

    #[test]
    fn large_data_stays_where_it_is() {
        let write = WriteIn::default();
        for (len, direct) in [(16 << 10, None), (20_000, Some(Direction::In(20_000)))] {
            let entry = entry(Opcode::Write, write.as_bytes(), &vec![1; len]);
            let letter = Letter::read(&entry).unwrap();
            assert_eq!(letter.direct(), direct);
            let copied = letter.copy(&entry, &mut vec![0; 20_000]).unwrap();
            assert_eq!(copied, 80 + if direct.is_some() { 0 } else { len });
        }
        for (size, direct) in [(16 << 10, None), (17 << 10, Some(Direction::Out))] {
            let arg = ReadIn { size, ..ReadIn::default() };
            let letter = Letter::read(&entry(Opcode::Read, arg.as_bytes(), &[])).unwrap();
            assert_eq!(letter.direct(), direct);
        }
    }

    #[test]
    fn what_is_no_request_is_told_from_one() {
        let mut entry = entry(Opcode::Statfs, &[], &[]);
        assert!(Letter::read(&entry).is_some());
        entry.parts_mut().unwrap().0.ring_ent_in_out.payload_sz = 1;
        assert!(Letter::read(&entry).is_none(), "more payload than message");
        let (headers, _) = entry.parts_mut().unwrap();
        headers.in_out[..4].copy_from_slice(&169u32.to_ne_bytes());
        headers.ring_ent_in_out.payload_sz = 0;
        assert!(Letter::read(&entry).is_none(), "a structure of 129 bytes");
        lay_error(&mut entry, Errno::EIO);
        let (headers, _) = entry.parts().unwrap();
        let (out, _) = OutHeader::read_from_prefix(&headers.in_out).unwrap();
        assert_eq!((out.len, out.error, out.unique), (16, -5, 8));
    }

    #[test]
    fn an_answer_has_its_structure_first_and_its_data_behind() {
        let mut entry = entry(Opcode::Ioctl, &[], &[]);
        let head = [[1; 16], [2; 16]].concat();
        lay(&mut entry, &head, &Data::Bytes(b"data"));
        let (headers, payload) = entry.parts_mut().unwrap();
        assert_eq!(headers.in_out[..16], [1; 16]);
        assert_eq!((&payload[..16], &payload[16..20]), (&[2; 16][..], &b"data"[..]));
        assert_eq!(headers.ring_ent_in_out.payload_sz, 20);
        payload[100..104].copy_from_slice(b"else");
        lay(&mut entry, &head, &Data::Here(100..104));
        assert_eq!(&entry.parts().unwrap().1[16..20], b"else");
        payload_is_refused(&mut entry, &head);
    }

    fn payload_is_refused(entry: &mut Entry, head: &[u8]) {
        let long = vec![0; 65_530];
        for data in [Data::Here(0..long.len()), Data::Bytes(&long)] {
            lay(entry, head, &data);
            let (headers, _) = entry.parts().unwrap();
            let (out, _) = OutHeader::read_from_prefix(&headers.in_out).unwrap();
            assert_eq!((out.error, headers.ring_ent_in_out.payload_sz), (-5, 0));
        }
    }
}
