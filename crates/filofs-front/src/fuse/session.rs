//! `Session`: one mount, from its beginning to its end.

use super::attendants::Attendants;
use super::buffer::Buffer;
use super::crew::Crew;
use super::device::{Arrival, Device, Outlet};
use super::dispatch::Dispatch;
use super::face::Face;
use super::flight::Flight;
use super::herald;
use super::ledger::Ledger;
use super::mountpoint::Mountpoint;
use super::ring::{Prepared, Ring};
use super::terms::{self, Settled, Terms, most_pages};
use super::transport::Chosen;
use super::{
    Arguments, Complaints, FuseOptions, MountError, Passthrough, ServeState, extension, given,
};
use crate::area::Area;
use filofs::{
    Backed, Cancel, Context, Errno, FileSystem, Mount, Profile, UnmountFlags, Upward, locked,
};
use filofs_wire::abi::{ExtensionOffer, OfferFlags};
use filofs_wire::call;
use filofs_wire::dialect::Dialect;
use filofs_wire::errno::ReplyErrno;
use filofs_wire::reply::{self, Message};
use filofs_wire::request::{Operation, Request};
use rustix::fd::OwnedFd;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, OnceLock, PoisonError};
use zerocopy::{Immutable, IntoBytes};

/// A mount being served. Dropping it while it is mounted unmounts it lazily, so that no dead
/// mount is left behind.
pub struct Session {
    shared: Arc<Shared>,
}

/// What a session has done, and what it was left with.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Requests served.
    pub served: u64,
    /// The sum of the lookup counts that the kernel has not given back. After a plain unmount the
    /// kernel drops what it still had in its caches without a FORGET, so this is not 0 in
    /// general: it is the cached nodes, and ends with the mount.
    pub lookups: u64,
    /// Nodes alive, the root included.
    pub nodes: usize,
    /// Files open.
    pub opens: usize,
    /// Whether the connection was aborted rather than unmounted.
    pub aborted: bool,
    /// How often the core has complained of an answer ([`Complaint`](super::Complaint)).
    pub complaints: u64,
}

struct Shared {
    mount: Arc<Mount>,
    crew: Arc<Crew>,
    mountpoint: Mountpoint,
    up: Upward,
    end: Mutex<Option<Report>>,
    ended: Condvar,
    transport: OnceLock<String>,
}

impl Session {
    /// Mounts and serves. When it returns, INIT has been answered and the mount can be used.
    ///
    /// The mount point may be `/dev/fd/N`: then N is a FUSE descriptor that somebody mounted
    /// already, or a socket whose other end plays the kernel; it is taken over.
    ///
    /// Errors: every [`MountError`]. Nothing stays mounted after one.
    pub fn start(
        mount: Arc<Mount>,
        mountpoint: &Path,
        options: &FuseOptions,
    ) -> Result<Session, MountError> {
        let read_only = options.read_only || mount.profile().read_only;
        // Of a device that somebody mounted already nobody knows who may enter.
        let checked =
            given::number(mountpoint).is_some() || options.kernel_checks(&mount.profile());
        let default_permissions = options.default_permissions.or(Some(checked));
        let options = &FuseOptions { read_only, default_permissions, ..options.clone() };
        let shown = &mount.identity().from;
        let source = if options.fsname.is_empty() { shown.as_str() } else { &options.fsname };
        let source = if source.is_empty() { "filo" } else { source };
        let kind = mount.root().kind();
        let (fd, mountpoint) = Mountpoint::attach(mountpoint, options, kind, source)?;
        Self::begin(mount, fd, mountpoint, options, Complaints::default())
    }

    /// The same over a descriptor at hand: a FUSE device that is mounted already, or a socket of
    /// type SOCK_SEQPACKET whose other end plays the kernel.
    pub fn over(
        mount: Arc<Mount>,
        device: OwnedFd,
        options: &FuseOptions,
    ) -> Result<Session, MountError> {
        Self::over_core(mount, device, options, Complaints::default())
    }

    /// The same, and who hears of what the core finds wrong with answers.
    pub fn over_core(
        mount: Arc<Mount>,
        device: OwnedFd,
        options: &FuseOptions,
        complaints: Complaints,
    ) -> Result<Session, MountError> {
        Self::begin(mount, device, Mountpoint::given(Path::new("")), options, complaints)
    }

    fn begin(
        mount: Arc<Mount>,
        fd: OwnedFd,
        mountpoint: Mountpoint,
        options: &FuseOptions,
        complaints: Complaints,
    ) -> Result<Session, MountError> {
        let device = Device::new(fd);
        let face = Face::new(mount.root().cookie(), &mount.profile(), options);
        let ledger = Ledger::new(mount.clone(), face, options.most_workers);
        let dispatch = Dispatch::new(ledger, options, complaints);
        let (up, notices) = Upward::channel();
        let ready = handshake(&device, &dispatch, options).and_then(|agreed| {
            mount.start(&up).map_err(|errno| MountError::FileSystem { errno })?;
            Ok(agreed)
        });
        let Agreed { payload, mut chosen, ring, area } = match ready {
            Ok(agreed) => agreed,
            Err(error) => {
                let _ = mountpoint.unmount(true);
                mount.die();
                return Err(error);
            }
        };
        dispatch.life.enter(ServeState::Running);
        let attendants = area.map(|area| Attendants::new(area, options.most_workers));
        let crew = Crew::new(device, dispatch, payload, options.most_workers, attendants);
        let crew = Arc::new(crew);
        let (end, ended) = (Mutex::new(None), Condvar::new());
        let transport = OnceLock::new();
        let shared = Arc::new(Shared { mount, crew, mountpoint, up, end, ended, transport });
        // From here on the session's end unmounts.
        let session = Session { shared: shared.clone() };
        let failed = |error: std::io::Error| MountError::System {
            what: "start a thread",
            errno: error.into(),
        };
        let herald = shared.clone();
        std::thread::Builder::new()
            .name("filo-herald".into())
            .spawn(move || {
                let leave = || herald.leave(true).map_err(|error| error.errno());
                herald::deliver(&notices, &herald.crew, leave);
            })
            .map_err(failed)?;
        let (first, last) = (shared.clone(), shared.clone());
        let started = shared.crew.start(move || first.abort(), move || last.finish());
        started.map_err(|error| {
            // There is nobody to tell, and the herald must not wait for that.
            shared.up.close();
            failed(error)
        })?;
        // Callers wait until the ring is there, or is known not to come.
        if let Some(Err(why)) = ring.map(|ring| ring.enter(&shared.crew)) {
            chosen.fall_back(options, &why);
        }
        log::debug!("transport: {chosen}");
        let _ = shared.transport.set(chosen.to_string());
        Ok(session)
    }

    /// Blocks until the connection has ended and the workers have left.
    pub fn wait(&self) -> Report {
        let mut end = locked(&self.shared.end);
        loop {
            if let Some(report) = *end {
                return report;
            }
            end = self.shared.ended.wait(end).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Unmounts, from any thread. The file system is asked first and may refuse; lazily, it is
    /// not asked: the mount goes out of sight now and ends with its last use.
    ///
    /// A core is asked to unmount, which it does by force as soon as it has answered (A65);
    /// lazily, where it does not answer, and where it does not know filo's extension, the
    /// connection is ended instead, to the same effect (A64).
    ///
    /// Errors: [`MountError::Busy`] while it is in use, [`MountError::FileSystem`] with what the
    /// file system says, [`MountError::System`] with what the core says; the mount then goes on.
    /// A session that has ended is Ok.
    pub fn unmount(&self, lazy: bool) -> Result<(), MountError> {
        let Shared { mount, crew, .. } = &*self.shared;
        if crew.ended() {
            return Ok(());
        }
        if !lazy && crew.dispatch.ledger.terms().dialect.is_extended() {
            return match self.shared.ask_core(|id| call::unmount(Some(id))) {
                Ok(_) => Ok(()),
                // It does not listen, or has just gone.
                Err(Errno::ETIMEDOUT | Errno::ENXIO) => self.shared.leave(true),
                Err(errno) => Err(MountError::System { what: "have the core unmount", errno }),
            };
        }
        if !lazy {
            mount
                .unmount(&Context::internal(), UnmountFlags::empty())
                .map_err(|errno| MountError::FileSystem { errno })?;
        }
        self.shared.leave(lazy)
    }

    /// What is in force with the core (A10). Errors: EOPNOTSUPP where filo's extension is not
    /// spoken; ENXIO when the session has ended; ETIMEDOUT; EPROTO for an answer that is none.
    pub fn arguments(&self) -> filofs::Result<Arguments> {
        let terms = self.shared.crew.dispatch.ledger.terms();
        let max_message = terms.max_message.ok_or(Errno::EOPNOTSUPP)?;
        Arguments::read(&self.shared.ask_core(call::arguments)?, max_message)
    }

    /// The last states it was in, oldest first; the last one is that of now (A45).
    pub fn states(&self) -> Vec<ServeState> {
        self.shared.crew.dispatch.life.trace()
    }

    /// How requests come, for a person: `ring (2 queues)`, or `classic` and why in brackets.
    pub fn transport(&self) -> &str {
        self.shared.transport.get().map_or("", String::as_str)
    }

    /// How it stands now, or stood at the end.
    pub fn report(&self) -> Report {
        let end = *locked(&self.shared.end);
        end.unwrap_or_else(|| self.shared.count())
    }

    /// How many files the kernel knows that it reads and writes by itself; `None` where all data
    /// comes to us.
    pub fn passthrough(&self) -> Option<usize> {
        let backings = &self.shared.crew.dispatch.ledger.backings;
        backings.is_on().then(|| backings.ids())
    }

    #[cfg(test)]
    pub(super) fn crew(&self) -> &Crew {
        &self.shared.crew
    }

    /// What is mounted.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.shared.mount
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if !self.shared.crew.ended()
            && let Err(error) = self.shared.leave(true)
        {
            log::warn!("the session ends, but: {error}");
        }
    }
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?} at {:?}", self.shared.mount, self.shared.mountpoint)
    }
}

impl Shared {
    /// Takes the mount away. Of a core the server can only take leave: the end of the channel is
    /// the end of the mount (A64).
    fn leave(&self, lazy: bool) -> Result<(), MountError> {
        if self.crew.device.hang_up() { Ok(()) } else { self.mountpoint.unmount(lazy) }
    }

    /// Asks the core something.
    fn ask_core<T: IntoBytes + Immutable + Copy>(
        &self,
        message: impl FnOnce(u64) -> Message<T>,
    ) -> filofs::Result<Vec<u8>> {
        self.crew.dispatch.calls.ask(&self.crew.device, &Cancel::new(), message)
    }

    fn count(&self) -> Report {
        Report {
            served: self.crew.dispatch.served(),
            lookups: self.mount.nodes().lookups(),
            nodes: self.mount.nodes().len(),
            opens: self.mount.opens().len(),
            aborted: self.crew.aborted(),
            complaints: self.crew.dispatch.complaints.count(),
        }
    }

    /// We have ended the connection by ourselves: the kernel ends it too, so that nobody waits.
    fn abort(&self) {
        if !self.mountpoint.abort() {
            log::error!("whoever waits for an answer waits until this process has ended");
        }
    }

    /// The connection has ended: the last words to the file system.
    fn finish(&self) {
        let report = self.count();
        // A connection that was aborted, by a person or a timeout, stays in the mount table and
        // answers everybody with an error.
        if self.mountpoint.there()
            && let Err(error) = self.mountpoint.unmount(true)
        {
            log::error!("the connection has ended, and a dead mount is left behind: {error}");
        }
        // Nobody can be asked any more: what is open is released, what is written is synced.
        let cx = Context::internal();
        if self.crew.dispatch.agreed() {
            self.mount.unmount_agreed(&cx);
        } else if let Err(errno) = self.mount.unmount_now(&cx, UnmountFlags::FORCE) {
            log::error!("{:?}: {errno}", self.mount);
        }
        self.crew.dispatch.life.enter(ServeState::Unmounted);
        // The herald sees that all is over, and whoever waited for the end has nobody to tell.
        self.up.close();
        *locked(&self.end) = Some(report);
        self.ended.notify_all();
    }
}

/// What INIT has led to.
struct Agreed {
    /// How much data a request may carry.
    payload: usize,
    chosen: Chosen,
    /// All that a ring needs, if there is to be one.
    ring: Option<Prepared>,
    /// The memory that is shared with the core, if it offers some.
    area: Option<Area>,
}

/// Why the kernel does not read and write by itself, for a person.
fn why_not(profile: &Profile, terms: Terms, options: &FuseOptions) -> &'static str {
    if profile.backing == Backed::No {
        "the base keeps its data elsewhere, or a layer takes part in reads or writes"
    } else if terms.writeback || options.direct_io || options.noatime {
        "not together with data that is kept back, direct_io or noatime"
    } else {
        "the kernel does not offer it (Linux 6.9 does)"
    }
}

/// Answers INIT, and what comes before it.
fn handshake(
    device: &Device,
    dispatch: &Dispatch,
    options: &FuseOptions,
) -> Result<Agreed, MountError> {
    let no = |why: String| Err(MountError::Handshake { peer: device.peer(), why });
    let mount = dispatch.ledger.mount();
    let mut profile = mount.profile();
    // A core takes no file that stands on another file system.
    let has_files = profile.backing == Backed::ByFiles
        && mount.stack().passes_data()
        && options.passthrough != Passthrough::Off;
    if device.is_socket() || !mount.stack().passes_data() {
        profile.backing = Backed::No;
    }
    let mut buffer = Buffer::new(Terms::PAYLOAD_MIN);
    let mut chosen = Chosen::choose(options, device);
    loop {
        let (arrival, descriptor) = device.receive_with(buffer.inlet());
        let len = match arrival {
            Arrival::Message(len) => len,
            Arrival::Nothing => continue,
            Arrival::End | Arrival::Aborted => {
                return no("the connection ended before INIT".into());
            }
        };
        let (message, window) = buffer.split(len);
        let Ok(Request { header, operation: Operation::Init { arg }, .. }) =
            Request::parse(message, Dialect::BEFORE_INIT)
        else {
            dispatch.serve([message, &[]], window, &Flight::default(), device);
            continue;
        };
        let offer = terms::offered(&arg);
        let offered = offer.map(|offer| device.max_message(offer.max_message));
        let settle = |queues| Terms::settle(&arg, &profile, options, most_pages(), queues, offered);
        let mut settled = settle(chosen.queues());
        let ring = match (&settled, chosen.queues()) {
            (Settled::Agreed(terms, _), Some(queues)) => {
                let ring = prepare(device, dispatch, options, queues, terms);
                ring.map_err(|why| chosen.fall_back(options, &why)).ok()
            }
            _ => None,
        };
        if ring.is_none() {
            settled = settle(None);
        }
        match settled {
            Settled::AskAgain(out) => {
                device.send(reply::init(header.unique, out).as_bytes(), &[]);
            }
            Settled::Refused => {
                let error = reply::error(header.unique, ReplyErrno::EPROTO);
                device.send(error.as_bytes(), &[]);
                return no(format!(
                    "it speaks FUSE {}.{}, filo 7.31 (Linux 5.4) and later",
                    arg.major, arg.minor
                ));
            }
            Settled::Agreed(terms, out) => {
                // Known before the answer is sent: the next request may be here at once.
                dispatch.ledger.settle(terms);
                if options.passthrough == Passthrough::On && !terms.passthrough {
                    log::warn!("passthrough: not here: {}", why_not(&profile, terms, options));
                }
                let area = offer.and_then(|offer| {
                    let shape = terms::area_of(&offer)?;
                    let slots = shape.slots as usize;
                    Attendants::are_allowed(options.most_workers, slots).then_some(())?;
                    let opened = Area::open(&descriptor?, shape);
                    opened.inspect_err(|errno| log::warn!("no shared memory: {errno}")).ok()
                });
                let sent = if let Some(max_message) = terms.max_message {
                    let ledger = &dispatch.ledger;
                    let takes =
                        |offer: ExtensionOffer| offer.flags.contains(OfferFlags::TAKES_FILES);
                    let gives_files = has_files && offer.is_some_and(takes);
                    if gives_files {
                        ledger.backings.give(profile.read_only);
                    }
                    let takes_area = area.is_some();
                    let arguments =
                        extension::arguments(ledger, max_message, takes_area, gives_files)
                            .map_err(|errno| MountError::FileSystem { errno })?;
                    let answer = reply::init_extended(header.unique, out, arguments);
                    device.send(answer.as_bytes(), &[])
                } else {
                    device.send(reply::init(header.unique, out).as_bytes(), &[])
                };
                if !sent {
                    return no("the answer to INIT was refused".into());
                }
                log::debug!("FUSE 7.{}, {:?}", out.minor, terms.dialect.flags());
                return Ok(Agreed { payload: terms.payload, chosen, ring, area });
            }
        }
    }
}

/// Makes a ring ready, before the kernel is told that there is one. Errors: in words.
fn prepare(
    device: &Device,
    dispatch: &Dispatch,
    options: &FuseOptions,
    queues: usize,
    terms: &Terms,
) -> Result<Prepared, String> {
    if !terms.ring {
        return Err("the kernel does not offer it".into());
    }
    let most = Ring::most_workers(queues, terms.payload, options.most_workers);
    let ring = Ring::prepare(device, queues, terms.payload, most)?;
    // However many wait, each queue must have somebody for the request they wait for.
    dispatch.ledger.flights.limit(most.saturating_sub(queues));
    dispatch.ledger.flights.look_for_signals();
    Ok(ring)
}
