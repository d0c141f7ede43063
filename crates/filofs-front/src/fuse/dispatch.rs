//! `Dispatch`: one message, from its bytes to the answer.

use super::FuseOptions;
use super::answer::Answer;
use super::ask::Ask;
use super::caller::{Caller, Source};
use super::calls::Calls;
use super::complaint::{Complaint, Complaints, Desk};
use super::device::Outlet;
use super::flight::{Flight, Yields};
use super::ledger::Ledger;
use super::life::{Life, ServeState};
use filofs::{Context, Errno, FileSystem, Gid, OpSet, Pid, RequestId, Result, Uid, UnmountFlags};
use filofs_wire::abi::{self, Opcode, WriteFlags};
use filofs_wire::reply;
use filofs_wire::request::{Malformed, Operation, Request};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Answers the requests of one connection.
pub(super) struct Dispatch {
    pub(super) ledger: Ledger,
    pub(super) calls: Calls,
    pub(super) complaints: Desk,
    pub(super) life: Life,
    /// The file system has agreed to an unmount, and nothing was asked of it since.
    agreed: AtomicBool,
    /// With `allow_root`: the one user besides root who is let in.
    only: Option<Uid>,
    served: AtomicU64,
}

impl Dispatch {
    pub(super) fn new(ledger: Ledger, options: &FuseOptions, complaints: Complaints) -> Dispatch {
        let only = options.allow_root && !options.allow_other;
        let only = only.then(|| Uid(rustix::process::geteuid().as_raw()));
        Dispatch {
            ledger,
            calls: Calls::default(),
            complaints: Desk::new(complaints),
            life: Life::new(),
            agreed: AtomicBool::new(false),
            only,
            served: AtomicU64::new(0),
        }
    }

    /// Whether the file system has agreed to go and need not be asked again.
    pub(super) fn agreed(&self) -> bool {
        self.agreed.load(Ordering::SeqCst)
    }

    /// Whether whoever serves the message waits for nobody, the file system included.
    pub(super) fn is_quick(opcode: u32) -> bool {
        [Opcode::Response as u32, Opcode::Interrupt as u32].contains(&opcode)
    }

    /// How many requests were served.
    pub(super) fn served(&self) -> u64 {
        self.served.load(Ordering::Relaxed)
    }

    /// Serves one message, whose data may lie apart ([`Request::parse_parts`]). Never panics: a
    /// panic is EIO for this request.
    pub(super) fn serve(
        &self,
        message: [&[u8]; 2],
        window: &mut [u8],
        flight: &Flight,
        outlet: &dyn Outlet,
    ) {
        self.served.fetch_add(1, Ordering::Relaxed);
        let request = match Request::parse_parts(message, self.ledger.terms().dialect) {
            Ok(request) => request,
            Err(malformed) => return refuse(&malformed, outlet),
        };
        let unique = request.header.unique;
        let answer = Answer::new(outlet, unique, None);
        match request.operation {
            Operation::Interrupt { arg } => {
                // Unknown: either not yet begun, and the kernel shall ask again, or already
                // answered, and then the kernel does not know this answer's request either.
                if !self.ledger.flights.interrupt(arg.unique) {
                    answer.error(Errno::EAGAIN);
                }
                return;
            }
            Operation::Forget { arg } => {
                self.ledger.forget(self.ledger.face.cookie(request.header.nodeid), arg.nlookup);
                self.ledger.backings.sweep(outlet);
                return;
            }
            Operation::BatchForget { nodes } => {
                for one in nodes.iter() {
                    self.ledger.forget(self.ledger.face.cookie(one.nodeid), one.nlookup);
                }
                self.ledger.backings.sweep(outlet);
                return;
            }
            // Nothing was asked for.
            Operation::NotifyReply { .. } => return,
            Operation::Response { arg, data } => {
                self.calls.answered(unique, arg.error, data);
                return;
            }
            Operation::Error { arg, text } => {
                let node = self.ledger.face.cookie(arg.nodeid);
                self.complaints.take(&Complaint::new(&arg, node, text));
                return;
            }
            _ => {}
        }
        let request_of_core = self.ledger.terms().dialect.is_extended();
        if !self.ledger.settled() || matches!(request.operation, Operation::Init { .. }) {
            // INIT comes first, and once.
            answer.error(Errno::EIO);
            return;
        }
        // A core lets its callers go by itself, and their numbers need not be ours.
        let waits_alone = !is_for_all(&request.operation) && !request_of_core;
        let caller = if waits_alone { request.header.pid } else { 0 };
        self.ledger.flights.begin(flight, unique, caller, self.yields(&request.operation));
        let answer = Answer::new(outlet, unique, Some(flight));
        // No message is longer than was agreed on (A23).
        let room = window.len().min(outlet.payload(self.ledger.terms().payload));
        let window = window.get_mut(..room).unwrap_or_default();
        let run = AssertUnwindSafe(|| self.run(&request, window, flight, &answer));
        if catch_unwind(run).is_err() {
            log::error!("{} panicked in the front end", request.opcode.name());
            if request.wants_answer() {
                answer.error(Errno::EIO);
            }
        } else if !answer.given() && request.wants_answer() {
            log::error!("{} was left without an answer", request.opcode.name());
            answer.error(Errno::EIO);
        }
        flight.end();
    }

    fn run(&self, request: &Request<'_>, window: &mut [u8], flight: &Flight, answer: &Answer<'_>) {
        let header = &request.header;
        let source = if self.ledger.terms().dialect.is_extended() {
            let (outlet, unique) = (answer.outlet(), header.unique);
            Source::Core { calls: &self.calls, outlet, unique, cancel: &flight.cancel }
        } else {
            Source::Thread(header.pid)
        };
        let caller = Caller::new(source, request.extensions.groups);
        let ask = Ask {
            ledger: &self.ledger,
            nodeid: header.nodeid,
            cx: Context {
                request: RequestId(header.unique),
                uid: Uid(header.uid),
                gid: Gid(header.gid),
                pid: Pid(header.pid),
                groups: &caller,
                cancel: &flight.cancel,
                deadline: None,
            },
            answer,
        };
        let done = if self.turned_away(request) {
            Err(Errno::EACCES)
        } else if let Operation::Unmount { arg } = request.operation {
            self.may_go(&ask, arg.flags.contains(abi::UnmountFlags::FORCE))
        } else {
            // Mostly it is so: then nothing that other CPUs read is written.
            if !matches!(request.opcode, Opcode::Destroy) && self.agreed() {
                self.agreed.store(false, Ordering::SeqCst);
            }
            let mut done = ask.run(&request.operation, window);
            // What was removed before makes room only now, if it is given back by another way. Not
            // asked again where a layer takes part, which may mean just this (`fault`).
            if matches!(done, Err(Errno::ENOSPC | Errno::EDQUOT))
                && !answer.given()
                && self.ledger.mount().stack().intercepted() == OpSet::NONE
                && answer.outlet().catch_up()
            {
                done = ask.run(&request.operation, window);
            }
            done
        };
        match done {
            Ok(()) => {}
            Err(errno) if request.wants_answer() => answer.error(errno),
            // Nobody waits (A79).
            Err(errno) => log::warn!("{}: {errno}", request.opcode.name()),
        }
    }

    /// The unmount question. A refusal does not count when it is forced (A55).
    fn may_go(&self, ask: &Ask<'_>, force: bool) -> Result<()> {
        self.life.enter(ServeState::Unmounting);
        let mut flags = UnmountFlags::empty();
        flags.set(UnmountFlags::FORCE, force);
        let said = self.ledger.mount().unmount(&ask.cx, flags);
        if said.is_err() && !force {
            self.life.enter(ServeState::Running);
            return said;
        }
        self.agreed.store(true, Ordering::SeqCst);
        self.life.enter(ServeState::Unmounted);
        ask.answer.empty();
        Ok(())
    }

    /// Which signals end it. A core that speaks the extension has decided that already.
    fn yields(&self, operation: &Operation<'_>) -> Yields {
        let decided = self.ledger.terms().dialect.is_extended();
        if decided || matches!(operation, Operation::Setlkw { .. }) {
            Yields::ToAny
        } else {
            Yields::ToStopping
        }
    }

    /// Whether `allow_root` keeps the caller out. What is open already, and what the kernel does
    /// by itself, goes on.
    fn turned_away(&self, request: &Request<'_>) -> bool {
        let Some(owner) = self.only else { return false };
        let uid = Uid(request.header.uid);
        uid != owner
            && uid != Uid::ROOT
            && !matches!(
                request.opcode,
                Opcode::Read
                    | Opcode::Write
                    | Opcode::Fsync
                    | Opcode::Flush
                    | Opcode::Release
                    | Opcode::Readdir
                    | Opcode::Readdirplus
                    | Opcode::Fsyncdir
                    | Opcode::Releasedir
                    | Opcode::Syncfs
                    | Opcode::Destroy
            )
    }
}

/// Whether an operation is not only its caller's. A killed caller is let go before its operation
/// ends; but what the kernel writes back in somebody's name is everybody's data, and it keeps an
/// error of it for others.
fn is_for_all(operation: &Operation<'_>) -> bool {
    match operation {
        Operation::Write { arg, .. } => arg.write_flags.contains(WriteFlags::CACHE),
        Operation::Release { .. } | Operation::Releasedir { .. } | Operation::Syncfs { .. } => true,
        _ => false,
    }
}

/// Answers a message that is no request, if it can be answered at all.
fn refuse(malformed: &Malformed, outlet: &dyn Outlet) {
    log::warn!("{malformed}");
    if let Some(unique) = malformed.unique_to_answer() {
        outlet.send(reply::error(unique, malformed.errno()).as_bytes(), &[]);
    }
}

#[cfg(test)]
mod tests;
