//! Any bytes as what a file server answers: no panic, no hang, and nothing is left over.
#![no_main]

use filofs::{Context, OpenFlags, SyncMode, UnmountFlags, XattrFlags};
use filofs_front::local::{Local, O_CREAT, Process};
use filofs_server::channel::Channel;
use filofs_server::kernel::{KernelHalf, Settings};
use filofs_wire::abi::{EntryOut, InHeader, InitFlags, InitOut, MountArguments, OutHeader};
use libfuzzer_sys::fuzz_target;
use rustix::fd::OwnedFd;
use rustix::net::{RecvFlags, SendFlags, recv, send};
use std::sync::Arc;
use std::time::Duration;
use zerocopy::{FromBytes, IntoBytes};

fuzz_target!(|bytes: &[u8]| {
    let (core, server) = Channel::pair().unwrap();
    let bytes = bytes.to_vec();
    let server = std::thread::spawn(move || serve(&server, &bytes));
    let patience = Duration::from_millis(100);
    let settings = Settings {
        start_patience: patience,
        patience: Some(patience),
        ..Settings::default()
    };
    if let Ok(half) = KernelHalf::over(core, &settings) {
        let half = Arc::new(half);
        if let Ok(local) = Local::over(half.clone()) {
            use_it(&local.process());
            let force = UnmountFlags::FORCE;
            let _ = local.mount().unmount_now(&Context::internal(), force);
            assert_eq!(local.mount().counters().panics(), 0);
        }
        assert_eq!(half.nodes(), 0);
    }
    server.join().unwrap();
});

/// The first byte says whether the extension is spoken; then comes, for each request, how long the
/// answer is, whether its header is put right, and the answer. When there are no more, the server
/// is gone.
fn serve(channel: &OwnedFd, bytes: &[u8]) {
    let (Some((&extended, mut rest)), mut room) = (bytes.split_first(), vec![0; 1 << 18]) else {
        return;
    };
    while let Ok((len, _)) = recv(channel, &mut room[..], RecvFlags::empty()) {
        let Ok((header, _)) = InHeader::read_from_prefix(&room[..len]) else { return };
        if header.opcode == 26 {
            say(channel, header.unique, 0, &greeting(extended & 1 != 0));
            continue;
        }
        let Some(([len, how], after)) = rest.split_first_chunk() else { return };
        let (body, after) = after.split_at(after.len().min(usize::from(*len)));
        rest = after;
        match how & 3 {
            0 => drop(send(channel, body, SendFlags::NOSIGNAL)),
            1 => say(channel, header.unique, -i32::from(how >> 2), &[]),
            _ => say(channel, header.unique, 0, body),
        }
    }
}

fn say(channel: &OwnedFd, unique: u64, error: i32, body: &[u8]) {
    let len = (size_of::<OutHeader>() + body.len()) as u32;
    let mut message = OutHeader { len, error, unique }.as_bytes().to_vec();
    message.extend(body);
    let _ = send(channel, &message, SendFlags::NOSIGNAL);
}

fn greeting(extended: bool) -> Vec<u8> {
    let all = InitFlags::from_bits_retain(!0) - InitFlags::RESERVED;
    let (flags, flags2) = all.halves();
    let init =
        InitOut { major: 7, minor: 45, max_write: 65536, flags, flags2, ..InitOut::default() };
    let mut body = init.as_bytes().to_vec();
    if extended {
        let attr = filofs_wire::abi::Attr { mode: 0o040_755, ..Default::default() };
        let root = EntryOut { nodeid: 1, attr, ..EntryOut::default() };
        let named = MountArguments::named("fuzz", "bytes");
        body.extend(MountArguments { root, handle_size: 64, ..named }.as_bytes());
    }
    body
}

/// Whatever becomes of it.
fn use_it(p: &Process) {
    let rdwr = OpenFlags(O_CREAT.0 | OpenFlags::RDWR.0);
    let _ = p.stat("file");
    let _ = p.readdir("/");
    let _ = p.mkdir("dir", 0o755);
    let _ = p.symlink("target", "link");
    let _ = p.readlink("link");
    if let Ok(fd) = p.open("file", rdwr, 0o644) {
        let _ = p.pwrite(fd, &[7; 3000], 0);
        let _ = p.pread(fd, &mut [0; 5000], 0);
        let _ = p.fstat(fd);
        let _ = p.fsync(fd, false);
        let _ = p.close(fd);
    }
    let _ = p.setxattr("file", "user.a", b"b", XattrFlags::empty());
    let _ = p.getxattr("file", "user.a");
    let _ = p.listxattr("file");
    let _ = p.name_to_handle("file");
    let _ = p.link("file", "second");
    let _ = p.unlink("file");
    let _ = p.statvfs();
    let _ = p.sync(SyncMode::Wait);
}
