//! Which rows of a batch go on: consent and identifiers decide, and of events whether they came before. What does not go on
//! is refused, and kept where it may be.

use super::{
    bound::{Bound, Misfits},
    cells::{Cells, reject},
    content::contents,
    gathering::{Gathering, Taken},
    load::{Aside, Load},
};
use crate::{
    Result,
    consent::{Decision, Reach, decide},
    store::{
        Store,
        dead_letters::Refused,
        ids::{Id, Seen},
        kept::who,
    },
};

const ID_REUSED: (&str, &str) = ("id-reused", "another event came under this id before");

/// A row that goes on.
pub(super) struct Passed {
    pub(super) row: usize,
    /// What it says itself of consent.
    pub(super) said: Option<Reach>,
    pub(super) way: Way,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Way {
    /// Stored.
    Event,
    /// Identifiers and attributes only.
    Attributes,
    /// Only noted on a profile that exists.
    Denial,
}

impl Bound {
    /// The identifiers of a row: namespaces and values.
    pub(super) fn named<'a>(
        &'a self,
        cells: &'a Cells,
        row: usize,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        cells.identifiers(row).map(|(at, value)| (self.identifiers[at].0.as_str(), value))
    }

    /// The identifiers of a row, as it is found by them once it is kept.
    fn who(&self, cells: &Cells, row: usize) -> Vec<u128> {
        self.named(cells, row).map(|(namespace, value)| who(namespace, value)).collect()
    }

    /// Rows that were set aside on the way: whether they may be kept, and denials among them.
    pub(super) fn refuse(
        &self,
        store: &mut Store,
        aside: &Aside,
        gathering: &mut Gathering,
        refused: &mut Vec<Refused>,
    ) -> Result<()> {
        let cells = Cells::new(self, aside.batch.columns())?;
        for (row, set_aside) in aside.rows.iter().enumerate() {
            let decision = set_aside.known.then(|| decide(cells.consent(row), self.default));
            if decision == Some(Decision::Suppress { explicit: true }) {
                let since_us = cells.time(row).unwrap_or_else(crate::clock::now_us);
                let found: Vec<(&str, &str)> = self.named(&cells, row).collect();
                self.deny(store, &found, (since_us, cells.consent_version(row)), gathering)?;
            }
            let keep = matches!(decision, Some(Decision::Pass { .. }));
            let mut reject = set_aside.reject.clone();
            if !keep {
                reject.payload.clear();
            } else if reject.payload.is_empty() {
                reject.payload = cells.name(row);
            }
            let (stage, instance, who) = (set_aside.stage, set_aside.instance.clone(), self.who(&cells, row));
            refused.push(Refused { at: set_aside.at, stage, instance, reject, keep, who });
        }
        Ok(())
    }

    /// The rows that go on: those with an identifier and consent, and of events those that are new; and denials.
    pub(super) fn gate(
        &self,
        store: &mut Store,
        (cells, misfits): (&Cells, Misfits),
        load: &Load,
        taken: &mut Taken,
        refused: &mut Vec<Refused>,
    ) -> Result<Vec<Passed>> {
        let rows = load.batch.num_rows();
        let mut passed = Vec::with_capacity(rows);
        let mut names = Vec::with_capacity(rows);
        let mut refuse = |row: usize, stage, (code, message): (&str, &str), keep| {
            let (at, instance, who) = (load.at(row), self.source.clone(), self.who(cells, row));
            let reject = reject(cells, row, code, message);
            refused.push(Refused { at, stage, instance, reject, keep, who });
        };
        for row in 0..rows {
            let decision = decide(cells.consent(row), self.default);
            if cells.identifiers(row).next().is_none() {
                let keep = matches!(decision, Decision::Pass { .. });
                refuse(
                    row,
                    "identity",
                    ("no-identifier", "no identifier: every `id.` column is empty"),
                    keep,
                );
                continue;
            }
            let (said, way) = match decision {
                Decision::Pass { said } => match (misfits.get(&row), cells.event(row)) {
                    (Some(message), _) => {
                        refuse(row, "schema", ("schema-changed", message), true);
                        continue;
                    }
                    (None, None) => (said, Way::Attributes),
                    (None, Some(Ok(id))) => {
                        names.push((row, id));
                        (said, Way::Event)
                    }
                    (None, Some(Err(why))) => {
                        refuse(row, "identity", why, true);
                        continue;
                    }
                },
                Decision::Suppress { explicit } => {
                    taken.suppressed += 1;
                    if !explicit {
                        continue;
                    }
                    (None, Way::Denial)
                }
            };
            passed.push(Passed { row, said, way });
        }
        if names.is_empty() {
            return Ok(passed);
        }
        let contents = contents(&load.source)?;
        let id = |(row, id): &(usize, &str)| {
            Id::new(&self.source, id.as_bytes(), contents[load.at(*row) as usize])
        };
        let ids: Vec<Id> = names.iter().map(id).collect();
        let mut seen = store.are_new(&ids)?.into_iter();
        passed.retain(|passed| {
            if passed.way != Way::Event {
                return true;
            }
            match seen.next() {
                Some(Seen::Never) => return true,
                Some(Seen::Other) => refuse(passed.row, "identity", ID_REUSED, true),
                _ => taken.duplicates += 1,
            }
            false
        });
        Ok(passed)
    }

    /// Stores a denial on a profile that exists; makes none.
    pub(super) fn deny(
        &self,
        store: &mut Store,
        found: &[(&str, &str)],
        (since_us, version): (i64, &str),
        gathering: &mut Gathering,
    ) -> Result<()> {
        for (namespace, value) in found {
            gathering.denied.insert(who(namespace, value));
            if let Some(profile) = store.identity.find(&store.tables, namespace, value)? {
                gathering.changed |= store.profiles.edit(&store.tables, profile)?.consent_given(
                    Reach::Nothing,
                    since_us,
                    version,
                );
                gathering.touched.insert(profile);
            }
        }
        Ok(())
    }
}
