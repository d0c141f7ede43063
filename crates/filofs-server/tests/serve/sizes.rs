//! No message is longer than was agreed on.

use crate::core::Core;
use crate::toy::{FILE, Toy};
use filofs_server::serve::Server;
use filofs_wire::abi::{
    GetxattrIn, MESSAGE_MIN, OpenIn, OpenOut, ROOT_ID, ReadIn, WriteIn, WriteOut,
};
use filofs_wire::name::XattrName;
use filofs_wire::request::Operation;

const RDWR: u32 = 2;

#[test]
fn no_message_exceeds_negotiated_size() {
    // A22, A23: at the smallest limit, whatever the core asks for.
    let (mut core, _session, agreed) = Core::limited(Toy::new().0, &Server::new(), 1);
    assert_eq!(agreed.arguments.unwrap().max_message, MESSAGE_MIN);
    let most = (MESSAGE_MIN - 4096) as usize;
    assert_eq!(agreed.init.max_write as usize, most);
    core.ask(ROOT_ID, &Operation::Lookup { name: crate::core::name("f") }).unwrap();
    let file = core.open(FILE, RDWR);
    let dir: OpenOut = core.get(ROOT_ID, &Operation::Opendir { arg: OpenIn::default() }).unwrap();
    for size in [1, 4096, 4097, 65536, 1 << 20] {
        let arg = ReadIn { open_id: file, size, ..ReadIn::default() };
        let read = core.ask(FILE, &Operation::Read { arg }).unwrap();
        assert_eq!(read.len(), most.min(size as usize));
        let arg = ReadIn { open_id: dir.open_id, size, ..ReadIn::default() };
        for operation in [Operation::Readdir { arg }, Operation::Readdirplus { arg }] {
            match core.ask(ROOT_ID, &operation) {
                Ok(names) => assert!(!names.is_empty() && names.len() <= most),
                Err(errno) => assert_eq!((size, errno), (1, 22), "EINVAL: not one name fits"),
            }
        }
    }
    // The largest write that is allowed is taken whole.
    let data = vec![9; most];
    let arg = WriteIn { open_id: file, size: most as u32, ..WriteIn::default() };
    let out: WriteOut = core.get(FILE, &Operation::Write { arg, data: &data }).unwrap();
    assert_eq!(out.size as usize, most);
    // C.10: an extended attribute that is larger than a message.
    for (len, answer) in [(4096, Ok(4096)), (4097, Err(7)), (65536, Err(7))] {
        let key = len.to_string();
        let name = XattrName::new(key.as_bytes()).unwrap();
        let arg = GetxattrIn { size: 65536, padding: 0 };
        let got = core.ask(FILE, &Operation::Getxattr { arg, name });
        assert_eq!(got.map(|value| value.len()), answer, "{len}");
    }
    // More than was asked for is still ERANGE.
    let name = XattrName::new(b"100").unwrap();
    let arg = GetxattrIn { size: 99, padding: 0 };
    assert_eq!(core.ask(FILE, &Operation::Getxattr { arg, name }), Err(34));
    assert!(core.longest <= MESSAGE_MIN as usize, "{}", core.longest);
}
