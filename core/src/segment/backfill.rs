//! New and changed definitions are evaluated for everybody a part at a time, each part in the commit of a step, so that the
//! other segments go on meanwhile. Until everybody was asked, a changed segment has its old members and a new one none:
//! half an audience is nobody's answer. After a restart it begins anew.

use super::{Segments, pass::Pass};
use crate::{Result, profile::batch::Moment, store::Store};
use roaring::RoaringBitmap;

/// Profiles of a part: some tenths of a second.
pub(super) const PART: u64 = 262_144;

/// One group's new definitions on their way.
#[derive(Debug)]
pub(super) struct Backfill {
    /// The group.
    pub(super) at: usize,
    /// Who was not asked yet.
    pub(super) left: RoaringBitmap,
    /// How many are asked.
    all: u64,
    /// Members so far, of the group's segments by ordinal.
    found: Vec<RoaringBitmap>,
}

impl Backfill {
    /// Takes over the answers of a pass.
    pub(super) fn take(&mut self, profiles: &RoaringBitmap, answers: Vec<RoaringBitmap>) {
        self.left -= profiles;
        for (found, answer) in self.found.iter_mut().zip(answers) {
            *found -= profiles;
            *found |= answer;
        }
    }

    /// Profiles that are none any more.
    pub(super) fn forget(&mut self, profiles: &RoaringBitmap) {
        self.left -= profiles;
        self.found.iter_mut().for_each(|found| *found -= profiles);
    }
}

impl Segments {
    /// How many profiles were asked about new definitions, and how many are; none when none is new.
    pub fn backfilled(&self) -> Option<(u64, u64)> {
        self.backfill.as_ref().map(|backfill| (backfill.all - backfill.left.len(), backfill.all))
    }

    /// Has an evaluation ask so many profiles about new definitions.
    pub fn ask_at_once(&mut self, profiles: u64) {
        self.part = profiles;
    }

    /// Begins with the lowest group that has a new definition, unless one is under way.
    pub(super) fn begin_backfill(&mut self, store: &Store) {
        if self.backfill.is_none()
            && let Some(at) = (0..self.groups.len()).find(|at| self.is_redefined_in(*at))
        {
            let left = store.identity.all();
            let found = vec![RoaringBitmap::new(); self.groups[at].segments.len()];
            self.backfill = Some(Backfill { at, all: left.len(), left, found });
        }
    }

    /// Asks a part of everybody, group by group, and puts in place what is complete.
    pub(super) fn go_on_with_backfill(&mut self, store: &mut Store, moment: &Moment) -> Result<()> {
        let mut part = self.part;
        while let Some(backfill) = &mut self.backfill {
            let asked: RoaringBitmap = backfill.left.iter().take(part as usize).collect();
            part -= asked.len();
            let mut pass = Pass::over(&asked);
            let answers = pass.run(store, &mut self.groups[backfill.at], moment, &self.members)?;
            backfill.take(&asked, answers);
            let done = backfill.left.is_empty();
            let timers = self.timers(store)?;
            for (profile, due) in pass.due() {
                // The other groups' answers are what they were.
                timers.set(profile, timers.of(profile).into_iter().chain(due).min());
            }
            if !done {
                return Ok(());
            }
            self.end_backfill();
            self.begin_backfill(store);
        }
        Ok(())
    }

    fn end_backfill(&mut self) {
        let Some(Backfill { at, found, .. }) = self.backfill.take() else { return };
        for (name, found) in self.groups[at].segments.iter().zip(found) {
            if self.stale.remove(name)
                && let Some(members) = self.members.get_mut(name)
            {
                *self.changed.entry(name.clone()).or_default() |= *members != found;
                *members = found;
            }
        }
    }
}
