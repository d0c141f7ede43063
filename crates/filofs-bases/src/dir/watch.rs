//! `Watch`: tells the front end at once what others change in the directory (`watch=on`).
//!
//! Each directory that somebody looks into is marked with fanotify(7) before it is looked into, so
//! nothing that was believed since is changed without a word. A change comes with the handle of
//! the directory, the name and the process that made it: our own changes are no news. (So two
//! mounts of one process do not hear of each other's; their times still run out.)
//!
//! What is not heard of: a file changed by a name outside of what was looked into, as by a second
//! link; what is written through a shared mapping; file systems that other machines change.

use super::host::{Host, stat_name};
use super::inode::{Identity, Inode};
use super::sys::{self, HostHandle};
use super::up;
use filofs::{Cookie, Errno, Kind, Name, Notice, Result, Upward, locked};
use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};

/// What is watched of one mounted directory.
pub(super) struct Watch {
    /// The fanotify group.
    group: OwnedFd,
    marked: Mutex<HashMap<Place, Weak<Inode>>>,
    /// Written to at the end.
    stop: OwnedFd,
    /// Our own process: what it changes is no news.
    own: i32,
}

/// A directory, as events call it: the file system's id and the handle.
type Place = (u64, HostHandle);

/// Room for events. They wait in the kernel meanwhile, and are told as lost when too many wait.
const BUFFER: usize = 16 * 1024;

impl Watch {
    /// Nothing is watched yet. EOPNOTSUPP where the kernel cannot name what changes (before
    /// Linux 5.9; for processes without CAP_SYS_ADMIN before 5.13).
    pub(super) fn new() -> Result<Watch> {
        let group = sys::fanotify().map_err(|errno| match errno {
            Errno::EINVAL | Errno::EPERM => Errno::EOPNOTSUPP,
            errno => errno,
        })?;
        let stop = eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map_err(up)?;
        let own = rustix::process::getpid().as_raw_nonzero().get();
        Ok(Watch { group, marked: Mutex::default(), stop, own })
    }

    /// From now on changes in the directory are told. Acts with the rights of the thread.
    ///
    /// Errors: EOPNOTSUPP, ENODEV or EXDEV where the file system of the directory tells of none;
    /// ENOSPC at the user's limit (fs.fanotify.max_user_marks).
    pub(super) fn add(&self, inode: &Arc<Inode>, dir: BorrowedFd<'_>) -> Result<()> {
        let (handle, _) = sys::handle_of(dir)?;
        let place = (rustix::fs::fstatvfs(dir).map_err(up)?.f_fsid, handle);
        {
            let mut marked = locked(&self.marked);
            if marked.len().is_power_of_two() {
                marked.retain(|_, inode| inode.strong_count() > 0);
            }
            // Before it is marked: no event may come that nobody knows the directory of.
            marked.insert(place, Arc::downgrade(inode));
        }
        sys::fanotify_mark(self.group.as_fd(), dir)
    }

    /// Ends [`Watch::tell`].
    pub(super) fn end(&self) {
        let _ = rustix::io::write(&self.stop, &1u64.to_ne_bytes());
    }

    /// Tells of changes until the end, or until the host is gone.
    pub(super) fn tell(&self, host: &Weak<Host>, up: &Upward) {
        let mut buffer = vec![0; BUFFER];
        while self.wait() {
            let Some(host) = host.upgrade() else { return };
            match rustix::io::read(&self.group, &mut buffer) {
                Ok(len) => {
                    for event in Events(buffer.get(..len).unwrap_or_default()) {
                        self.hear(&host, up, &event);
                    }
                }
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    log::error!("changes of the directory are no longer seen at once: {errno}");
                    return;
                }
            }
        }
    }

    /// Waits for events; false at the end.
    fn wait(&self) -> bool {
        let mut fds =
            [PollFd::new(&self.group, PollFlags::IN), PollFd::new(&self.stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) => !fds[1].revents().contains(PollFlags::IN),
            Err(errno) => errno == rustix::io::Errno::INTR,
        }
    }

    fn hear(&self, host: &Host, up: &Upward, event: &Event<'_>) {
        if event.mask & libc::FAN_Q_OVERFLOW != 0 {
            up.send(Notice::Everything);
            return;
        }
        let Some((fsid, handle, name)) = &event.place else { return };
        if event.pid == self.own {
            return;
        }
        let place = (*fsid, handle.clone());
        let Some(dir) = locked(&self.marked).get(&place).and_then(Weak::upgrade) else { return };
        let changed = |node: Cookie, offset| Notice::Changed { node, offset, len: 0 };
        // The directory itself: its attributes.
        let Ok(name) = Name::new(name) else {
            up.send(changed(dir.cookie, -1));
            return;
        };
        if event.mask & NAMES != 0 {
            up.send(Notice::renamed(dir.cookie, name));
            // Its times and its link count, and what is cached of its list.
            up.send(changed(dir.cookie, 0));
        }
        // The file under the name, if anybody knows it.
        if event.mask & (libc::FAN_MODIFY | libc::FAN_ATTRIB) != 0
            && let Some(inode) = file(host, &dir, name)
        {
            let data = event.mask & libc::FAN_MODIFY != 0;
            up.send(changed(inode.cookie, if data { 0 } else { -1 }));
        }
    }
}

/// Changes of names.
const NAMES: u64 = libc::FAN_CREATE | libc::FAN_DELETE | libc::FAN_MOVED_FROM | libc::FAN_MOVED_TO;

/// What is asked for of each directory: of what is in it, directories too, and of itself.
pub(super) const ASK: u64 =
    NAMES | libc::FAN_MODIFY | libc::FAN_ATTRIB | libc::FAN_EVENT_ON_CHILD | libc::FAN_ONDIR;

/// The live inode under a name.
fn file(host: &Host, dir: &Arc<Inode>, name: Name<'_>) -> Option<Arc<Inode>> {
    let fd = host.descriptor(dir).ok()?;
    host.rights.as_own().ok()?;
    let identity = Identity::of(&stat_name(dir, &fd, name).ok()?).ok()?;
    host.inodes.find(&identity)
}

impl Host {
    /// Has changes in a directory told, before anything in it is believed.
    pub(super) fn watch(&self, inode: &Arc<Inode>, dir: &OwnedFd) {
        let Some(watch) = &self.watch else { return };
        if inode.identity.kind != Kind::Directory || inode.watched.swap(true, RELAXED) {
            return;
        }
        let added = self.rights.as_own().and_then(|()| watch.add(inode, dir.as_fd()));
        if let Err(errno) = added {
            log::warn!("a directory is not watched, changes in it are seen later: {errno}");
        }
    }
}

const RELAXED: std::sync::atomic::Ordering = std::sync::atomic::Ordering::Relaxed;

/// One change: what, by whom, where.
#[derive(Debug, PartialEq, Eq)]
struct Event<'a> {
    mask: u64,
    pid: i32,
    /// The directory and the name in it; `.` is the directory itself.
    place: Option<(u64, HostHandle, &'a [u8])>,
}

/// The events in a buffer, as fanotify(7) lays them out.
struct Events<'a>(&'a [u8]);

impl<'a> Iterator for Events<'a> {
    type Item = Event<'a>;

    fn next(&mut self) -> Option<Event<'a>> {
        // struct fanotify_event_metadata: event_len, vers, reserved, metadata_len (2), mask (8),
        // fd, pid.
        const VERSION: u8 = 3;
        let bytes = self.0;
        let len = number(bytes, 0)? as usize;
        let head = usize::from(u16::from_ne_bytes(bytes.get(6..8)?.try_into().ok()?));
        if *bytes.get(4)? != VERSION {
            return None;
        }
        let mask = u64::from_ne_bytes(bytes.get(8..16)?.try_into().ok()?);
        let pid = number(bytes, 20)? as i32;
        let records = bytes.get(head..len)?;
        self.0 = bytes.get(len..)?;
        Some(Event { mask, pid, place: place(records) })
    }
}

/// The directory and name of an event, from the records that follow its head.
fn place(mut records: &[u8]) -> Option<(u64, HostHandle, &[u8])> {
    const DFID_NAME: u8 = libc::FAN_EVENT_INFO_TYPE_DFID_NAME;
    loop {
        // struct fanotify_event_info_header: type, pad, len (2); then fsid (8), and struct
        // file_handle: length, type, bytes; then the name with a NUL.
        let len = usize::from(u16::from_ne_bytes(records.get(2..4)?.try_into().ok()?));
        let record = records.get(..len)?;
        if *record.first()? == DFID_NAME {
            let fsid = u64::from(number(record, 4)?) | u64::from(number(record, 8)?) << 32;
            let end = 20usize.checked_add(number(record, 12)? as usize)?;
            let bytes = record.get(20..end)?.into();
            let kind = number(record, 16)? as i32;
            let name = record.get(end..)?;
            let name = name.get(..name.iter().position(|b| *b == 0)?)?;
            return Some((fsid, HostHandle { kind, bytes }, name));
        }
        // A record of no length would come again for ever.
        records = records.get(len.max(4)..)?;
    }
}

fn number(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(name: &[u8]) -> Vec<u8> {
        let mut record = vec![libc::FAN_EVENT_INFO_TYPE_DFID_NAME, 0, 0, 0];
        record.extend(7u64.to_ne_bytes());
        record.extend(8u32.to_ne_bytes());
        record.extend(1i32.to_ne_bytes());
        record.extend(*b"12345678");
        record.extend(name);
        record.push(0);
        record.resize(record.len().next_multiple_of(4), 0);
        let len = record.len() as u16;
        record[2..4].copy_from_slice(&len.to_ne_bytes());
        let mut bytes = (24 + u32::from(len)).to_ne_bytes().to_vec();
        bytes.extend([3, 0, 24, 0]);
        bytes.extend(libc::FAN_CREATE.to_ne_bytes());
        bytes.extend((-1i32).to_ne_bytes());
        bytes.extend(42i32.to_ne_bytes());
        bytes.extend(record);
        bytes
    }

    #[test]
    fn events_are_read_one_after_the_other() {
        let bytes = [event(b"name"), event(b".")].concat();
        let handle = HostHandle { kind: 1, bytes: (*b"12345678").into() };
        let said = |name| Event {
            mask: libc::FAN_CREATE,
            pid: 42,
            place: Some((7, handle.clone(), name)),
        };
        assert_eq!(Events(&bytes).collect::<Vec<_>>(), [said(b"name"), said(b".")]);
    }

    #[test]
    fn what_is_cut_short_is_none() {
        let whole = event(b"name");
        for len in 0..whole.len() {
            assert_eq!(Events(&whole[..len]).count(), 0, "{len}");
        }
        // A record of no length, of another type.
        let mut bytes = whole.clone();
        bytes[24..28].fill(0);
        assert!(Events(&bytes).all(|event| event.place.is_none()));
    }
}
