//! `Rights`: whose rights an operation has on the host.
//!
//! Linux keeps file system ids, supplementary groups and capabilities for each thread. An
//! operation of uid 1000 is done by a thread that is uid 1000 to the file system and has no
//! capability that could widen that; what it makes belongs to uid 1000, quotas and reserved
//! blocks count as for uid 1000, and the kernel clears set-id bits as it would for uid 1000.
//!
//! Switching costs a few system calls, and the next request of a thread is mostly of the same
//! user. So a thread stays what it was last made to be: **threads that run operations of this
//! base are lent to it.** What needs the process' own rights on such a thread asks for them
//! first, with [`own_rights`].
//!
//! The kernel does not send supplementary groups with a request. They are found out and put on
//! only when an operation fails for want of rights, or would silently go another way without
//! them. The gap is one-sided: where a group's bits grant less than those of others (mode 0604),
//! a member's refusal is given above, by who checked permissions before.

use super::sys::{self, Capabilities};
use filofs::{Context, Errno, Gid, Result, Uid};
use rustix::fs::Mode;
use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicBool, Ordering};

/// What this process may do, found out when the base is set up.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rights {
    /// Whether it can act as others. If not, it acts as itself, for whomever.
    switches: bool,
    own: Capabilities,
}

/// What a thread was last made to be. `None`: not known yet, or not any more.
#[derive(Default)]
struct Now {
    uid: Option<u32>,
    gid: Option<u32>,
    groups: Option<Vec<u32>>,
    umask: Option<u32>,
    /// Whether the thread has a umask of its own.
    umask_is_own: Option<bool>,
}

thread_local! {
    static NOW: RefCell<Now> = RefCell::default();
    /// Something is being done with a caller's rights.
    static ACTING: Cell<bool> = const { Cell::new(false) };
}

/// Does something with a caller's rights, and sees to it that it stays with them: what lies
/// between (a file that is dropped to make room for a descriptor) must not make the rest of it
/// the process' own.
fn acting<T>(act: &mut impl FnMut() -> Result<T>) -> Result<T> {
    struct Done;
    impl Drop for Done {
        fn drop(&mut self) {
            ACTING.set(false);
        }
    }
    ACTING.set(true);
    let _done = Done;
    act()
}

impl Rights {
    /// Looks at the process (that is, at the calling thread).
    pub(super) fn of_process() -> Rights {
        if NOW.with_borrow(|now| now.uid.is_some()) {
            // The thread has run operations. A failure shows below, as rights that are missing.
            let _ = own_rights();
        }
        let own = sys::capabilities().unwrap_or_default();
        let has = |cap: u32| own.effective >> cap & 1 == 1;
        let root = rustix::process::geteuid().is_root();
        Rights { switches: root && has(sys::CAP_SETUID) && has(sys::CAP_SETGID), own }
    }

    /// Whether it may open by handle.
    pub(super) fn opens_handles(&self) -> bool {
        self.own.effective >> sys::CAP_DAC_READ_SEARCH & 1 == 1
    }

    /// Whether set-id bits survive what the caller does, because it acts with CAP_FSETID: then
    /// they are cleared by hand where the caller may not keep them.
    pub(super) fn keeps_set_id(&self, cx: &Context<'_>) -> bool {
        (!self.switches || is_own(cx)) && self.own.effective >> sys::CAP_FSETID & 1 == 1
    }

    /// Makes the thread what the process is. EPERM while it acts with a caller's rights.
    pub(super) fn as_own(&self) -> Result<()> {
        if !self.switches {
            return Ok(());
        }
        if ACTING.get() { Err(Errno::EPERM) } else { self.become_(0, 0, None) }
    }

    /// Runs `act` with the caller's rights, and again with its supplementary groups if it had
    /// too few. `act` gets no other rights, see [`Rights::as_own`].
    pub(super) fn as_caller<T>(
        &self,
        cx: &Context<'_>,
        mut act: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        if !self.switches {
            return act();
        }
        if cx.uid == Uid::UNKNOWN {
            self.as_own()?;
            return act();
        }
        let (uid, gid) = (cx.uid.0, cx.gid.0);
        if uid == 0 {
            self.become_(uid, gid, None)?;
            return acting(&mut act);
        }
        self.become_(uid, gid, Some(&[]))?;
        let refused = match acting(&mut act) {
            Err(refused @ (Errno::EACCES | Errno::EPERM)) => refused,
            done => return done,
        };
        let groups = self.other_groups(cx)?;
        if groups.is_empty() {
            return Err(refused);
        }
        self.become_(uid, gid, Some(&groups))?;
        acting(&mut act)
    }

    /// Whether what is done for the caller is done with groups of the caller's at all.
    pub(super) fn puts_on_groups(&self, cx: &Context<'_>) -> bool {
        self.switches && !is_own(cx)
    }

    /// As [`Rights::as_caller`], with the supplementary groups from the start when `groups_matter`:
    /// for what goes another way without them, but does not fail.
    pub(super) fn as_member<T>(
        &self,
        cx: &Context<'_>,
        groups_matter: bool,
        mut act: impl FnMut() -> Result<T>,
    ) -> Result<T> {
        if !groups_matter || !self.puts_on_groups(cx) {
            return self.as_caller(cx, act);
        }
        let groups = self.other_groups(cx)?;
        self.become_(cx.uid.0, cx.gid.0, Some(&groups))?;
        acting(&mut act)
    }

    /// The caller's groups beyond its first. Whoever finds them out may need the process' rights.
    fn other_groups(&self, cx: &Context<'_>) -> Result<Vec<u32>> {
        // The kernel takes no more than NGROUPS_MAX, which is this.
        const MOST: usize = 65_536;
        self.as_own()?;
        Ok(cx.groups.list().iter().map(|Gid(gid)| *gid).take(MOST).collect())
    }

    /// EPERM when the thread cannot become that: an id that our user namespace does not have.
    fn become_(&self, uid: u32, gid: u32, groups: Option<&[u32]>) -> Result<()> {
        NOW.with_borrow_mut(|now| {
            if let Some(groups) = groups
                && now.groups.as_deref() != Some(groups)
            {
                now.groups = None;
                sys::set_groups(groups)?;
                now.groups = Some(groups.to_vec());
            }
            if now.gid != Some(gid) {
                now.gid = None;
                if !sys::set_fsgid(gid) {
                    return Err(Errno::EPERM);
                }
                now.gid = Some(gid);
            }
            if now.uid != Some(uid) {
                let before = now.uid.take();
                if !sys::set_fsuid(uid) {
                    return Err(Errno::EPERM);
                }
                // Leaving or becoming 0 moves the capabilities that concern files; the others
                // (resources beyond quotas, trusted attributes) are ours to move.
                if uid == 0 || before.is_none_or(|before| before == 0) {
                    sys::set_capabilities(self.capabilities_of(uid))?;
                }
                now.uid = Some(uid);
            }
            Ok(())
        })
    }

    /// Root has the process' own; anybody else only what leads back.
    fn capabilities_of(&self, uid: u32) -> Capabilities {
        const BACK: u64 = 1 << sys::CAP_SETUID | 1 << sys::CAP_SETGID;
        let effective = if uid == 0 { self.own.effective } else { self.own.effective & BACK };
        Capabilities { effective, ..self.own }
    }
}

/// Makes the calling thread what the process is again: for front ends that do privileged work on
/// a thread that has run operations.
pub fn own_rights() -> Result<()> {
    // What the thread is now says nothing of what the process is; ids come from the real ids.
    let uid = rustix::process::getuid().as_raw();
    let gid = rustix::process::getgid().as_raw();
    NOW.with_borrow_mut(|now| {
        *now = Now { umask: now.umask, umask_is_own: now.umask_is_own, ..Now::default() };
    });
    if !sys::set_fsuid(uid) || !sys::set_fsgid(gid) {
        return Err(Errno::EPERM);
    }
    if uid != 0 {
        return Ok(());
    }
    let capabilities = sys::capabilities()?;
    sys::set_capabilities(Capabilities { effective: capabilities.permitted, ..capabilities })
}

/// Whether an operation is done with the process' own capabilities: for the super-user, and for
/// whom the front end cannot name. (That is asked for with the mount, and then the kernel, who
/// knows them, has checked what they may do: see [`filofs::Profile::idmapped`].)
fn is_own(cx: &Context<'_>) -> bool {
    cx.uid == Uid::ROOT || cx.uid == Uid::UNKNOWN
}

/// Whether threads can have a umask each. Where a sandbox forbids that, the process' umask is
/// cleared once and the callers' umasks are applied by hand.
static SHARED_UMASK: AtomicBool = AtomicBool::new(false);

/// Puts on the caller's umask for what is made next on this thread, so that the host itself
/// applies it, or not where the directory has a default ACL. Answers `false` when that is
/// impossible and the mode must be masked by hand.
pub(super) fn put_on_umask(umask: u32) -> bool {
    NOW.with_borrow_mut(|now| {
        let own = *now.umask_is_own.get_or_insert_with(|| {
            let own = sys::own_umask().is_ok();
            if !own && !SHARED_UMASK.swap(true, Ordering::SeqCst) {
                rustix::process::umask(Mode::empty());
            }
            own
        });
        if own && now.umask != Some(umask) {
            rustix::process::umask(Mode::from_raw_mode(umask & 0o777));
            now.umask = Some(umask);
        }
        own
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use filofs::{Gid, Uid};

    #[test]
    fn what_is_done_for_a_caller_stays_the_callers() {
        let rights = Rights::of_process();
        if !rights.switches {
            let required = std::env::var_os("FILO_REQUIRE").is_some_and(|v| v == "1");
            assert!(!required, "this test needs root, and FILO_REQUIRE=1 says it must run");
            println!("skipped: needs root");
            return;
        }
        let groups = vec![Gid(7)];
        let cx = Context { uid: Uid(1000), gid: Gid(1000), groups: &groups, ..Context::internal() };
        let mut tries = 0;
        let done = rights.as_caller(&cx, || {
            tries += 1;
            // As does a file that is dropped meanwhile.
            assert_eq!(rights.as_own(), Err(Errno::EPERM));
            NOW.with_borrow(|now| assert_eq!(now.uid, Some(1000)));
            if tries == 1 { Err(Errno::EACCES) } else { Ok(()) }
        });
        assert_eq!((done, tries), (Ok(()), 2));
        rights.as_own().unwrap();
        NOW.with_borrow(|now| assert_eq!(now.uid, Some(0)));
        let member = rights.as_member(&cx, true, || rights.as_own());
        assert_eq!(member, Err(Errno::EPERM));
        own_rights().unwrap();
    }
}
