//! Requests in two parts, and what cannot be composed.
#![expect(clippy::expect_used, reason = "a test may be blunt")]

use filofs_wire::abi::{InHeader, InitFlags, IoctlIn, MkdirIn, SetxattrIn, WriteIn};
use filofs_wire::compose;
use filofs_wire::dialect::Dialect;
use filofs_wire::name::{Name, XattrName};
use filofs_wire::request::{Operation, Request};

/// One supplementary group, 100.
const GROUP: [u8; 16] = [16, 0, 0, 0, 32, 0, 0, 0, 1, 0, 0, 0, 100, 0, 0, 0];

fn dialect(minor: u32) -> Dialect {
    Dialect::new(minor, InitFlags::empty()).expect("it is spoken")
}

fn header() -> InHeader {
    InHeader { unique: 7, ..InHeader::default() }
}

#[test]
fn data_stays_where_it_lies() {
    let data = vec![7; 1 << 20];
    let size = data.len() as u32;
    let write = Operation::Write { arg: WriteIn { size, ..WriteIn::default() }, data: &data };
    let ioctl =
        Operation::Ioctl { arg: IoctlIn { in_size: size, ..IoctlIn::default() }, data: &data };
    let setxattr = Operation::Setxattr {
        arg: SetxattrIn { size, ..SetxattrIn::default() },
        name: XattrName::new(b"user.a").expect("a name"),
        value: &data,
    };
    let mut head = Vec::with_capacity(128);
    let lent = head.as_ptr();
    for (operation, len) in [(write, 40 + 40), (ioctl, 40 + 32), (setxattr, 40 + 8 + 7)] {
        let tail = compose::split(&mut head, header(), &operation, &[], dialect(45));
        assert_eq!(tail.map(<[u8]>::as_ptr_range), Some(data.as_ptr_range()));
        assert_eq!((head.len(), head.as_ptr()), (len, lent), "no other memory was taken");
        let whole = compose::request(header(), &operation, &[], dialect(45)).expect("it fits");
        assert_eq!(whole, [head.as_slice(), &data].concat());
    }
}

#[cfg(target_endian = "little")]
#[test]
fn extensions_follow_what_makes_a_file() {
    let name = Name::new(b"d").expect("a name");
    let mkdir = Operation::Mkdir { arg: MkdirIn::default(), name };
    let bytes = compose::request(header(), &mkdir, &GROUP, dialect(38)).expect("it fits");
    let request = Request::parse(&bytes, dialect(38)).expect("valid");
    assert_eq!(request.operation, mkdir);
    let groups = request.extensions.groups.expect("a group");
    assert_eq!(groups.iter().collect::<Vec<u32>>(), [100]);
    // Before 7.38 nobody could tell them from the body.
    assert_eq!(compose::request(header(), &mkdir, &GROUP, dialect(37)), None);
    // They would have to follow the data.
    let arg = WriteIn { size: 1, ..WriteIn::default() };
    let write = Operation::Write { arg, data: b"x" };
    assert_eq!(compose::request(header(), &write, &GROUP, dialect(45)), None);
    // More than the header can say.
    assert_eq!(compose::request(header(), &mkdir, &vec![0; 8 << 16], dialect(45)), None);
}
