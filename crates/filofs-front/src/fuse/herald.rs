//! `Herald`: carries notices of the file system up to the kernel.
//!
//! A thread of its own, which holds no lock and serves no request: the kernel may have to finish
//! an operation on the very file before it can forget it.

use super::crew::Crew;
use super::mountpoint::Mountpoint;
use filofs::Notice;
use filofs_wire::name::Name;
use filofs_wire::notify;
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::mpsc::Receiver;

/// Delivers notices until the connection ends; then any notice wakes it to leave.
pub(super) fn deliver(notices: &Receiver<Notice>, crew: &Arc<Crew>, mountpoint: &Mountpoint) {
    while let Ok(notice) = notices.recv() {
        if crew.ended() {
            return;
        }
        let face = &crew.dispatch.ledger.face;
        let told = match &notice {
            Notice::Changed { node, offset, len } => {
                crew.device.notify(notify::inval_inode(face.swap(node.0), *offset, *len).parts())
            }
            Notice::Renamed { dir, name } => match Name::new(name) {
                Ok(name) => crew.device.notify(notify::inval_entry(face.swap(dir.0), name).parts()),
                Err(_) => Err(Errno::INVAL),
            },
            Notice::Unmount => {
                if let Err(error) = mountpoint.unmount(true) {
                    log::error!("the file system wants to go, but: {error}");
                }
                Ok(())
            }
        };
        match told {
            // The kernel does not know the node or name: there is nothing to forget.
            Ok(()) | Err(Errno::NOENT) => {}
            Err(Errno::NODEV | Errno::NOTCONN) => return,
            Err(errno) => log::warn!("the kernel refuses a notice ({notice:?}): {errno}"),
        }
    }
}
