//! What the parser promises, as a check that the randomised test and the fuzz targets share.

use filofs_wire::abi::{EntryOut, InHeader, InitFlags};
use filofs_wire::compose;
use filofs_wire::dialect::{Dialect, MINOR_MIN};
use filofs_wire::dirent::{
    Dirent, DirentBuffer, DirentPlusBuffer, Full, read_dirents, read_dirents_plus,
};
use filofs_wire::limits::{ERRNO_RANGE, OFFSET_MAX, TRANSFER_MAX, XATTR_SIZE_MAX};
use filofs_wire::name::{Name, XattrName};
use filofs_wire::request::{Malformed, Operation, Request};
use zerocopy::FromBytes;

/// Every dialect whose layouts differ, in all minor versions.
pub(crate) fn dialects() -> impl Iterator<Item = Dialect> {
    let plain = (MINOR_MIN..=45).flat_map(|minor| {
        [InitFlags::empty(), InitFlags::SETXATTR_EXT].map(|flags| {
            Dialect::new(minor, flags).expect("every minor version from the oldest on is spoken")
        })
    });
    plain.flat_map(|dialect| [dialect, dialect.extended()])
}

/// Parses, and panics where a promise is broken. Returns whether the bytes are a request.
pub(crate) fn check_parse(bytes: &[u8], dialect: Dialect) -> bool {
    match Request::parse(bytes, dialect) {
        Ok(request) => {
            check_request(&request, bytes);
            check_compose(&request, bytes, dialect);
            true
        }
        Err(malformed) => {
            check_malformed(&malformed, bytes);
            false
        }
    }
}

fn check_malformed(malformed: &Malformed, bytes: &[u8]) {
    assert!(ERRNO_RANGE.contains(&malformed.errno().number()));
    assert!(!malformed.to_string().is_empty());
    if let Some(unique) = malformed.unique_to_answer() {
        let (header, _) = InHeader::read_from_prefix(bytes).expect("an id comes from a header");
        assert_eq!(unique, header.unique);
        assert_ne!(unique, 0);
    }
}

fn check_request(request: &Request<'_>, bytes: &[u8]) {
    assert_eq!(request.header.len as usize, bytes.len());
    assert_ne!(request.header.unique, 0);
    assert_eq!(request.header.opcode, request.opcode as u32);
    assert_eq!(request.operation.opcode(), request.opcode);
    assert!(!format!("{request:?}").is_empty());
    if let Some(contexts) = request.extensions.security {
        assert_eq!(contexts.iter().count(), contexts.len());
        contexts.iter().for_each(|context| check_xattr_name(context.name));
    }
    if let Some(groups) = request.extensions.groups {
        assert_eq!(groups.iter().count(), groups.len());
    }
    match request.operation {
        Operation::Lookup { name } => check_name(name),
        Operation::Mknod { name, .. }
        | Operation::Mkdir { name, .. }
        | Operation::Unlink { name }
        | Operation::Rmdir { name }
        | Operation::Link { new_name: name, .. }
        | Operation::Create { name, .. } => check_name_but_dots(name),
        Operation::Rename { name, new_name, .. } | Operation::Rename2 { name, new_name, .. } => {
            check_name_but_dots(name);
            check_name_but_dots(new_name);
        }
        Operation::Symlink { name, target } => {
            check_name_but_dots(name);
            assert!((1..=4095).contains(&target.len()) && !target.contains(&0));
        }
        Operation::Setxattr { arg, name, value } => {
            check_xattr_name(name);
            assert_eq!(value.len(), arg.size as usize);
            assert!(arg.size <= XATTR_SIZE_MAX);
        }
        Operation::Getxattr { arg, name } => {
            check_xattr_name(name);
            assert!(arg.size <= XATTR_SIZE_MAX);
        }
        Operation::Listxattr { arg } => assert!(arg.size <= XATTR_SIZE_MAX),
        Operation::Removexattr { name } | Operation::Extattrctl { name: Some(name), .. } => {
            check_xattr_name(name);
        }
        Operation::Read { arg } => {
            assert!(arg.size <= TRANSFER_MAX);
            assert!(arg.offset <= OFFSET_MAX - u64::from(arg.size));
        }
        Operation::Readdir { arg } | Operation::Readdirplus { arg } => {
            assert!(arg.size <= TRANSFER_MAX);
        }
        Operation::Write { arg, data } => {
            assert_eq!(data.len(), arg.size as usize);
            assert!(arg.offset <= OFFSET_MAX - u64::from(arg.size));
        }
        Operation::NotifyReply { arg, data } => assert_eq!(data.len(), arg.size as usize),
        Operation::Ioctl { arg, data } => {
            assert_eq!(data.len(), arg.in_size as usize);
            assert!(arg.out_size <= TRANSFER_MAX);
        }
        Operation::Fallocate { arg } => {
            assert!(arg.offset.checked_add(arg.length).is_some_and(|end| end <= OFFSET_MAX));
        }
        Operation::BatchForget { nodes } => assert_eq!(nodes.iter().count(), nodes.len()),
        Operation::Removemapping { parts } => assert_eq!(parts.iter().count(), parts.len()),
        Operation::NodeOf { handle } => assert!(handle.len() <= 1020),
        Operation::Error { text, .. } => assert!(text.len() <= 256),
        Operation::Response { data, .. } => assert!(data.len() <= 256 << 10),
        _ => {}
    }
}

/// What was parsed can be written again, and gives the same operation; where nothing was dropped,
/// the same bytes. Data is not copied, and a used buffer is as good as a new one.
fn check_compose(request: &Request<'_>, bytes: &[u8], dialect: Dialect) {
    let mut head = vec![0xaa; 3];
    let tail = compose::split(&mut head, request.header, &request.operation, &[], dialect)
        .expect("a request that was read fits into a message");
    let lent = bytes.as_ptr_range();
    assert!(tail.is_empty() || lent.contains(&tail.as_ptr()));
    let composed = compose::request(request.header, &request.operation, &[], dialect)
        .expect("a request that was read fits into a message");
    assert_eq!([head.as_slice(), tail].concat(), composed);
    let again = Request::parse(&composed, dialect).expect("what was composed can be parsed");
    assert_eq!(again.operation, request.operation);
    let dropped = matches!(
        request.operation,
        Operation::Init { .. }
            | Operation::Tmpfile { .. }
            | Operation::BatchForget { .. }
            | Operation::NodeOf { .. }
    );
    if !dropped {
        let body = size_of::<InHeader>()..composed.len();
        assert_eq!(composed.get(body.clone()), bytes.get(body));
    }
}

fn check_name(name: Name<'_>) {
    assert!((1..=255).contains(&name.as_bytes().len()));
    assert!(!name.as_bytes().iter().any(|byte| matches!(byte, 0 | b'/')));
}

fn check_name_but_dots(name: Name<'_>) {
    check_name(name);
    assert!(!matches!(name.as_bytes(), b"." | b".."));
}

fn check_xattr_name(name: XattrName<'_>) {
    assert!((1..=255).contains(&name.as_bytes().len()));
    assert!(!name.as_bytes().contains(&0));
}

/// Reads arbitrary bytes as directory buffers; must not panic, and must end.
pub(crate) fn check_read_dirents(bytes: &[u8]) {
    assert!(read_dirents(bytes).count() <= bytes.len());
    assert!(read_dirents_plus(bytes).count() <= bytes.len());
}

/// Writes as many of the names as fit into a buffer of `size` bytes, in both forms, and reads them
/// back.
pub(crate) fn check_write_dirents(size: usize, names: &[&[u8]]) {
    let dirents: Vec<Dirent<'_>> = names
        .iter()
        .filter_map(|bytes| Name::new(bytes).ok())
        .zip(1..)
        .map(|(name, n)| Dirent { ino: n, next: n + 1, kind: n as u32 % 16, name })
        .collect();

    let mut buffer = vec![0xaa; size];
    let mut writer = DirentBuffer::new(&mut buffer);
    let pushed = dirents.iter().take_while(|dirent| writer.push(dirent).is_ok()).count();
    let len = writer.len();
    check_buffer(&buffer, len);
    let read: Vec<_> = read_dirents(&buffer[..len]).map(|dirent| dirent.expect("valid")).collect();
    assert_eq!(read, dirents[..pushed]);
    if let Some(refused) = dirents.get(pushed) {
        assert!((24 + refused.name.as_bytes().len()).next_multiple_of(8) > size - len);
    }

    let mut buffer = vec![0xaa; size];
    let mut writer = DirentPlusBuffer::new(&mut buffer);
    let mut pushed = 0;
    for dirent in &dirents {
        let entry = EntryOut { nodeid: dirent.ino, ..EntryOut::default() };
        let fits = writer.fits(dirent.name.as_bytes().len());
        let before = writer.len();
        assert_eq!(writer.push(&entry, dirent), if fits { Ok(()) } else { Err(Full) });
        if !fits {
            assert_eq!(writer.len(), before);
            break;
        }
        pushed += 1;
    }
    let len = writer.len();
    check_buffer(&buffer, len);
    let read: Vec<_> =
        read_dirents_plus(&buffer[..len]).map(|dirent| dirent.expect("valid")).collect();
    assert_eq!(read.len(), pushed);
    for ((entry, dirent), expected) in read.iter().zip(&dirents) {
        assert_eq!(dirent, expected);
        assert_eq!(entry.nodeid, expected.ino);
    }
}

/// Nothing is written behind the stated length, which is a multiple of 8.
fn check_buffer(buffer: &[u8], len: usize) {
    assert!(len.is_multiple_of(8));
    assert!(buffer[len..].iter().all(|&byte| byte == 0xaa));
}
