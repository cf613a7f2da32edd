//! Rows that could not be used: kept with their reason until somebody looks, and with the row itself where it may be kept,
//! until it is replayed.

use super::{
    kept::{self, Kept},
    span::Span,
    tables::{self, Change, Tables},
};
use crate::Result;
use arrow::{
    array::{RecordBatch, UInt32Array},
    compute::take_record_batch,
};
use kindred_plugin_api::Reject;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// A rejected row.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadLetter {
    /// Number in this store, from 1.
    pub number: u64,
    /// The source that brought it; empty for rows of a delivery.
    pub source: String,
    /// Stage that rejected it: `source`, `schema`, `enrichment`, `identity`, `destination`.
    pub stage: String,
    /// Instance in the pipeline file.
    pub instance: String,
    /// File, topic or delivery.
    pub origin: String,
    /// Row of the origin.
    pub row: u64,
    /// Why, for machines.
    pub code: String,
    /// Why, for people.
    pub message: String,
    /// The row as found, where it may be kept.
    pub payload: String,
    /// When, microseconds since 1970.
    pub at_us: i64,
    /// Where the row is kept whole; none where it is not, and cannot be replayed.
    pub kept: Option<u64>,
    /// How often it was replayed and rejected again.
    pub replays: u32,
}

/// A row that goes no further.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// Its row as the source handed it out.
    pub at: u32,
    /// Stage that refused it.
    pub stage: &'static str,
    /// Instance in the pipeline file.
    pub instance: String,
    /// Why.
    pub reject: Reject,
    /// The row may be kept: its consent is known, and allows that.
    pub keep: bool,
    /// Its identifiers, by [`kept::who`].
    pub who: Vec<u128>,
}

impl Refused {
    /// A row of which nothing can be kept, because it never was one of the source's.
    pub fn unkept(stage: &'static str, instance: &str, reject: Reject) -> Self {
        Self { at: 0, stage, instance: instance.to_owned(), reject, keep: false, who: Vec::new() }
    }
}

/// Which letters are meant.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The source that brought them.
    pub source: Option<String>,
    /// Stage that rejected them.
    pub stage: Option<String>,
    /// Source or enrichment that rejected them.
    pub instance: Option<String>,
    /// Reason code.
    pub code: Option<String>,
    /// Numbers; none for all.
    pub numbers: Vec<u64>,
}

impl Wanted {
    /// Whether a letter is meant.
    pub fn is(&self, letter: &DeadLetter) -> bool {
        let is = |asked: &Option<String>, is: &str| asked.as_ref().is_none_or(|asked| asked == is);
        is(&self.source, &letter.source)
            && is(&self.stage, &letter.stage)
            && is(&self.instance, &letter.instance)
            && is(&self.code, &letter.code)
            && (self.numbers.is_empty() || self.numbers.contains(&letter.number))
    }
}

/// Adds refused rows to a change; `next` is the store's counter.
pub(super) fn add(
    tables: &Tables,
    change: &mut Change,
    next: &mut u64,
    source: &str,
    refused: &[Refused],
    rows: &RecordBatch,
) -> Result<()> {
    let at_us = crate::clock::now_us();
    for part in refused.chunks(kept::ROWS) {
        let first = *next + 1;
        let keep: Vec<(u64, &Refused)> = (first..).zip(part).filter(|(_, row)| row.keep).collect();
        let letters = keep.iter().map(|(number, row)| (*number, row.who.clone())).unzip();
        let at = UInt32Array::from_iter_values(keep.iter().map(|(_, row)| row.at));
        let rows = take_record_batch(rows, &at)?;
        let kept = Kept::new(source, at_us, &rows, letters)?;
        for Refused { stage, instance, reject, keep, .. } in part {
            *next += 1;
            let letter = DeadLetter {
                number: *next,
                source: source.to_owned(),
                stage: (*stage).to_owned(),
                instance: instance.clone(),
                origin: reject.origin.clone(),
                row: reject.row,
                code: reject.code.clone(),
                message: reject.message.clone(),
                payload: reject.payload.clone(),
                at_us,
                kept: kept.as_ref().filter(|_| *keep).map(Kept::key),
                replays: 0,
            };
            change.put(&tables.dead_letters, next.to_be_bytes(), &letter)?;
        }
        if let Some(kept) = kept {
            kept.put(tables, change)?;
        }
    }
    Ok(())
}

/// What became of letters whose rows were taken once more: those `still` refused stay, with their new reason.
pub(super) fn replayed(
    tables: &Tables,
    change: &mut Change,
    kept: Kept,
    letters: &[u64],
    still: &BTreeMap<u64, &Refused>,
) -> Result<()> {
    let mut gone: BTreeSet<u64> = BTreeSet::new();
    for number in letters {
        let key = number.to_be_bytes();
        let Some(refused) = still.get(number) else {
            change.remove(&tables.dead_letters, key);
            gone.insert(*number);
            continue;
        };
        let Some(mut letter) = tables::read::<DeadLetter>(&tables.dead_letters, key)? else { continue };
        refused.stage.clone_into(&mut letter.stage);
        letter.instance.clone_from(&refused.instance);
        letter.code.clone_from(&refused.reject.code);
        letter.message.clone_from(&refused.reject.message);
        letter.replays += 1;
        if !refused.keep {
            (letter.kept, letter.payload) = (None, String::new());
            gone.insert(*number);
        }
        change.put(&tables.dead_letters, key, &letter)?;
    }
    kept.keep(tables, change, |letter| !gone.contains(&letter))
}

/// Forgets the rows of letters that are older than events of their source may be; true when there were any. The letters
/// stay, with their reason.
pub(super) fn expire(tables: &Tables, change: &mut Change, may_be: &Span) -> Result<bool> {
    let mut any = false;
    for key in kept::list(tables)? {
        let old = |kept: &Kept| kept.at_us < may_be.latest_after_us();
        let Some(kept) = kept::get(tables, key)?.filter(old) else { break };
        if kept.at_us < may_be.of(&kept.source).after_us {
            forget(tables, change, &kept, |_| true)?;
            any = true;
        }
    }
    Ok(any)
}

/// Forgets the rows of some people; true when there were any.
pub(super) fn deny(tables: &Tables, change: &mut Change, who: &BTreeSet<u128>) -> Result<bool> {
    let letters = kept::letters_of(tables, who.iter().copied())?;
    let mut places = BTreeSet::new();
    for letter in &letters {
        places.extend(
            tables::read::<DeadLetter>(&tables.dead_letters, letter.to_be_bytes())?.and_then(|l| l.kept),
        );
    }
    for key in places {
        if let Some(kept) = kept::get(tables, key)? {
            forget(tables, change, &kept, |letter| letters.contains(&letter))?;
        }
    }
    Ok(!letters.is_empty())
}

fn forget(tables: &Tables, change: &mut Change, kept: &Kept, these: impl Fn(u64) -> bool) -> Result<()> {
    for number in kept.letters.iter().filter(|letter| these(**letter)) {
        let key = number.to_be_bytes();
        let Some(mut letter) = tables::read::<DeadLetter>(&tables.dead_letters, key)? else { continue };
        (letter.kept, letter.payload) = (None, String::new());
        change.put(&tables.dead_letters, key, &letter)?;
    }
    kept.keep(tables, change, |letter| !these(letter))
}

/// All of them, oldest first.
pub(super) fn list(tables: &Tables) -> Result<Vec<DeadLetter>> {
    let found = tables::scan(&tables.dead_letters, [])?;
    found.into_iter().map(|(_, value)| Ok(postcard::from_bytes(&value)?)).collect()
}
