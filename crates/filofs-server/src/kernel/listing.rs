//! `Listing`: one answer to READDIR or READDIRPLUS on its way up.

use super::connection::Reply;
use super::fault::Answer;
use super::link::Link;
use super::remote::Remote;
use super::server::Server;
use super::told::Wrong;
use filofs::{DirEntry, DirOffset, DirSink, Entry, Kind, Name};
use filofs_wire::abi::{EntryOut, Opcode};
use filofs_wire::dirent::{Dirent, read_dirents, read_dirents_plus};
use std::sync::Arc;

/// The offsets 1 and 2 belong to the front end; a server's own are exchanged for two that no
/// directory has. Twice is nothing, so the same function goes both ways.
pub(super) const fn swap_offset(offset: u64) -> u64 {
    const APART: u64 = 0x7fff_fff0_f110_0000;
    match offset {
        1 | 2 => offset + APART,
        _ if offset == APART + 1 || offset == APART + 2 => offset - APART,
        _ => offset,
    }
}

/// The way of a reader through a directory, entry after entry: it must not come by the same
/// position twice, or it would never end.
///
/// One position is remembered, and exchanged for the present one after 1, 2, 4, 8 ... steps: sooner
/// or later it is one of the circle, and far enough back to go round once (Brent).
#[derive(Clone, Copy, Debug)]
pub(super) struct Walk {
    at: u64,
    remembered: u64,
    steps: u64,
    until: u64,
}

impl Walk {
    /// From a position on.
    pub(super) const fn from(at: u64) -> Walk {
        Walk { at, remembered: at, steps: 0, until: 1 }
    }

    /// Where it is.
    pub(super) const fn at(&self) -> u64 {
        self.at
    }

    /// On to the next entry.
    fn step(&mut self, next: u64) -> Result<(), Wrong> {
        if next == 0 || next > i64::MAX as u64 || next == self.at || next == self.remembered {
            return Err("a directory entry that leads nowhere");
        }
        self.at = next;
        self.steps += 1;
        if self.steps == self.until {
            (self.remembered, self.steps, self.until) = (next, 0, self.until.saturating_mul(2));
        }
        Ok(())
    }
}

/// One answer to READDIR or READDIRPLUS on its way up.
pub(super) struct Listing<'a> {
    pub(super) server: &'a Server,
    pub(super) link: &'a Link,
    pub(super) dir: &'a Arc<Remote>,
    pub(super) opcode: Opcode,
    pub(super) id: u64,
}

/// What became of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Passed {
    /// There was nothing in it: the end of the directory.
    End,
    /// There is no more room.
    Full,
    /// All of it, which was so many names.
    All(usize),
}

impl Listing<'_> {
    /// Passes the entries up, until there is no room.
    pub(super) fn pass(
        &self,
        reply: &Reply,
        walk: &mut Walk,
        out: &mut dyn DirSink,
    ) -> Answer<Passed> {
        let passed = if self.opcode == Opcode::Readdirplus {
            self.pass_plus(reply, walk, out)
        } else {
            Self::pass_names(reply, walk, out)
        };
        passed.map_err(|wrong| self.link.connection.lie(self.opcode, 0, self.id, wrong))
    }

    fn pass_names(reply: &Reply, walk: &mut Walk, out: &mut dyn DirSink) -> Result<Passed, Wrong> {
        let mut passed = Passed::End;
        for record in read_dirents(reply.body()) {
            let dirent = record.map_err(|_| "no directory entry")?;
            passed = passed.and(&dirent, Self::add(&dirent, None, walk, out)?);
            if passed == Passed::Full {
                break;
            }
        }
        Ok(passed)
    }

    /// Each entry counts as looked up, so that all are taken in or given back, also those for
    /// which there is no room, and those after one that is wrong.
    fn pass_plus(
        &self,
        reply: &Reply,
        walk: &mut Walk,
        out: &mut dyn DirSink,
    ) -> Result<Passed, Wrong> {
        let mut passed = Ok(Passed::End);
        for record in read_dirents_plus(reply.body()) {
            let Ok((entry, dirent)) = record else {
                return passed.and(Err("no directory entry"));
            };
            let taken = self.take_in(&entry, &dirent);
            passed = passed.and_then(|passed| {
                let entry = taken?;
                if passed == Passed::Full {
                    return Ok(passed);
                }
                Ok(passed.and(&dirent, Self::add(&dirent, entry, walk, out)?))
            });
        }
        passed
    }

    fn take_in(&self, entry: &EntryOut, dirent: &Dirent<'_>) -> Result<Option<Entry>, Wrong> {
        if entry.nodeid == 0 || dirent.name.is_dots() {
            return Ok(None);
        }
        let name = Name::new(dirent.name.as_bytes()).map_err(|_| "a name that none can have")?;
        let place = super::remote::Place::new(self.dir, name);
        let taken = self.server.vet(self.link, entry, Some(place), None, None);
        taken.map(Some).inspect_err(|_| self.link.connection.give_back(entry))
    }

    /// False when there is no room.
    fn add(
        dirent: &Dirent<'_>,
        entry: Option<Entry>,
        walk: &mut Walk,
        out: &mut dyn DirSink,
    ) -> Result<bool, Wrong> {
        let mut on = *walk;
        on.step(dirent.next)?;
        if !dirent.name.is_dots() {
            let kind = Kind::from_mode(dirent.kind << 12);
            let name = Name::new(dirent.name.as_bytes());
            let name = name.map_err(|_| "a name that none can have")?;
            let next = DirOffset(swap_offset(dirent.next));
            let told = DirEntry { name, ino: dirent.ino, kind, next, entry };
            if out.add(told).is_err() {
                return Ok(false);
            }
        }
        *walk = on;
        Ok(true)
    }
}

impl Passed {
    fn and(self, dirent: &Dirent<'_>, added: bool) -> Passed {
        let before = if let Passed::All(before) = self { before } else { 0 };
        if added { Passed::All(before + usize::from(!dirent.name.is_dots())) } else { Passed::Full }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_the_front_end_are_exchanged_both_ways() {
        for offset in [0, 1, 2, 3, 0x7fff_fff0_f110_0001, 0x7fff_fff0_f110_0002, i64::MAX as u64] {
            assert_eq!(swap_offset(swap_offset(offset)), offset);
        }
        assert!(swap_offset(1) > 2 && swap_offset(2) > 2);
    }

    #[test]
    fn a_circle_of_any_length_is_noticed_and_a_long_way_is_none() {
        for (before, circle) in [(0, 1), (0, 2), (5, 1), (5, 3), (1000, 17), (3, 1000)] {
            let mut walk = Walk::from(0);
            let positions = (1..=before).chain((before + 1..=before + circle).cycle());
            let steps = positions.take(20_000).take_while(|at| walk.step(*at).is_ok()).count();
            let most = 4 * (before + circle) as usize + 4;
            assert!(steps <= most, "{before}, {circle}: only after {steps}");
        }
        let mut walk = Walk::from(7);
        assert!((8..100_000).all(|at| walk.step(at).is_ok()));
        assert_eq!(walk.at(), 99_999);
        let mut walk = Walk::from(0);
        assert!(walk.step(0).is_err() && walk.step(u64::MAX).is_err() && walk.step(5).is_ok());
        assert!(walk.step(5).is_err());
    }
}
