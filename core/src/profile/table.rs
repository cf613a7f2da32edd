//! Attributes and consent of all profiles by column, as batches want them. A copy of the records, kept in step with what is
//! edited; read from the database a page at a time when it is first asked for, or column by column from the file of
//! profiles.

use super::{
    Profile,
    base::{Base, CORE, Cells, VOUCHED},
    column::{CellRef, Column},
    source_of,
};
use crate::{Result, consent::Reach, store::columns::ColumnType};
use arrow::array::{ArrayRef, Int64Array};
use roaring::RoaringBitmap;
use serde::Deserialize;
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
};

/// Versions of consents that are known by a number.
const VERSIONS: usize = 256;

/// All profiles by column.
#[derive(Debug, Default)]
pub(super) struct Table {
    columns: BTreeMap<String, Column>,
    reach: Vec<Reach>,
    /// By profile, which of the versions its own consent is of, counted from 1; 0 where that is not known, or it gave none.
    said: Vec<u16>,
    versions: Vec<String>,
    /// Known to be vouched for.
    vouched: Bits,
    /// Profiles that are here.
    here: Vec<bool>,
    /// Profiles from this one on are not in the database, so that all that is known of them is here.
    new: u32,
    /// The file of profiles, as long as anything may be asked of it.
    base: Option<Base>,
    /// There is such a file, and it is of today's types.
    has_file: bool,
    /// Profiles that are here as the file has them, and columns of it that are not here yet.
    based: Vec<bool>,
    unread: BTreeSet<String>,
    /// Sources whose attributes have a second column, which says since when each is so.
    timed: BTreeSet<String>,
}

/// Name of the column that says since when an attribute is so; no source is called like this.
pub(super) fn since(attribute: &str) -> String {
    format!("@{attribute}")
}

pub(super) fn is_since(column: &str) -> bool {
    column.starts_with('@')
}

/// A [`Profile`] as it lies in the database.
#[derive(Deserialize)]
struct Record<'a> {
    #[serde(borrow)]
    _identifiers: Vec<(&'a str, &'a str)>,
    #[serde(borrow)]
    attributes: Vec<(&'a str, AttributeRef<'a>)>,
    #[serde(borrow)]
    consent: Option<ConsentRef<'a>>,
    vouched: bool,
}

/// A [`Consent`](super::Consent) that is not owned.
#[derive(Deserialize)]
struct ConsentRef<'a> {
    reach: Reach,
    _since_us: i64,
    version: &'a str,
}

#[derive(Deserialize)]
struct AttributeRef<'a> {
    #[serde(borrow)]
    value: CellRef<'a>,
    since_us: i64,
}

impl Table {
    /// An empty one; profiles from `new` on are not in the database.
    pub(super) fn new(new: u32, base: Option<Base>) -> Self {
        Self { new, has_file: base.is_some(), base, ..Self::default() }
    }

    /// Keeps from now on since when attributes of these sources are so.
    pub(super) fn time<'a>(&mut self, sources: impl Iterator<Item = &'a String>) {
        let fresh: Vec<&String> = sources.filter(|source| !self.timed.contains(*source)).collect();
        if fresh.is_empty() {
            return;
        }
        self.timed.extend(fresh.into_iter().cloned());
        let base = self.base.take().filter(|base| self.times(base));
        if !self.here.is_empty() {
            self.retype();
        }
        (self.has_file, self.base) = (base.is_some(), base);
    }

    /// Whether a file says since when the attributes of timed sources are so.
    fn times(&self, base: &Base) -> bool {
        let mut timed = base.names().filter(|name| !is_since(name) && self.timed.contains(source_of(name)));
        timed.all(|name| base.names().any(|other| other == since(name)))
    }

    /// Whether there is a file of profiles that is of use.
    pub(super) fn has_file(&self) -> bool {
        self.has_file
    }

    /// All profiles of the file are here now, but for those that it has as they were before; false where there is no
    /// file or that was so already.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(super) fn arrive_all(&mut self, outdated: &RoaringBitmap) -> Result<bool> {
        let Some(base) = self.base.as_ref().filter(|_| self.based.is_empty()) else { return Ok(false) };
        let Some(core) = base.read(CORE)? else { return Ok(false) };
        let rows = base.rows();
        self.unread = base.names().filter(|name| *name != CORE).map(str::to_owned).collect();
        self.based = vec![true; rows];
        outdated
            .iter()
            .take_while(|row| (*row as usize) < rows)
            .for_each(|row| self.based[row as usize] = false);
        self.here.resize(self.here.len().max(rows), false);
        self.reach.resize(self.reach.len().max(rows), Reach::Nothing);
        for (row, core) in core.values.values().iter().enumerate() {
            // What was read before is as it is now.
            self.based[row] &= !self.here[row];
            if self.based[row] {
                self.here[row] = true;
                self.reach[row] = Reach::ALL.get((core % VOUCHED) as usize).copied().unwrap_or_default();
                self.vouched.set(row as u32, core & VOUCHED != 0);
            }
        }
        Ok(true)
    }

    /// Reads what is still unread of the file.
    ///
    /// # Errors
    /// When the file is damaged.
    pub(super) fn complete(&mut self, types: &BTreeMap<String, ColumnType>) -> Result<()> {
        for (name, kind) in types {
            self.read_column(name, *kind)?;
            if self.timed.contains(source_of(name)) {
                self.read_column(&since(name), ColumnType::Time)?;
            }
        }
        (self.base, self.has_file) = (None, true);
        self.based.clear();
        Ok(())
    }

    fn read_column(&mut self, name: &str, kind: ColumnType) -> Result<()> {
        if self.unread.remove(name)
            && let Some(cells) = self.base.as_ref().map(|base| base.read(name)).transpose()?.flatten()
        {
            let column = self.columns.entry(name.to_owned()).or_insert_with(|| Column::new(kind));
            column.fill(&cells, &self.based);
        }
        Ok(())
    }

    /// Consent and every column of the first profiles, for a file.
    pub(super) fn cells(&self, rows: usize) -> impl Iterator<Item = (String, Cells)> {
        let core = (0..rows).map(|row| {
            let vouched = if self.is_vouched(row as u32) { VOUCHED } else { 0 };
            self.reach(row as u32) as i64 | vouched
        });
        let core = Cells {
            kind: ColumnType::Integer,
            values: Int64Array::from_iter_values(core),
            texts: Vec::new(),
        };
        let columns = self.columns.iter().map(move |(name, column)| (name.clone(), column.cells(rows)));
        [(CORE.to_owned(), core)].into_iter().chain(columns)
    }

    /// Whether a profile is known to be vouched for.
    pub(super) fn is_vouched(&self, profile: u32) -> bool {
        self.vouched.contains(profile)
    }

    /// It is vouched for from now on.
    pub(super) fn vouch(&mut self, profile: u32) {
        self.vouched.set(profile, true);
    }

    /// Whether all that is known of a profile is here.
    pub(super) fn is_here(&self, profile: u32) -> bool {
        profile >= self.new || self.here.get(profile as usize).copied().unwrap_or(false)
    }

    /// Those of which not all is here.
    pub(super) fn missing(&self, profiles: &[u32]) -> Vec<u32> {
        profiles.iter().copied().filter(|profile| !self.is_here(*profile)).collect()
    }

    /// Some profiles were read: all of them that exist were given to [`Self::read`].
    pub(super) fn arrived(&mut self, profiles: Range<u32>) {
        let end = profiles.end as usize;
        if self.here.len() < end {
            self.here.resize(end, false);
        }
        self.here[profiles.start as usize..end].fill(true);
    }

    /// Takes over a profile; types are those that the store declares.
    pub(super) fn set(&mut self, profile: u32, record: &Profile, types: &BTreeMap<String, ColumnType>) {
        let attributes =
            record.attributes.iter().map(|(name, a)| (name.as_str(), CellRef::of(&a.value), a.since_us));
        let version = record.consent.as_ref().map(|consent| consent.version.as_str());
        self.put(profile, (record.reach(), version, record.vouched), attributes, types);
    }

    /// As [`Self::set`], from the record's bytes, with nothing allocated for a text that is known. Answers whether the
    /// profile is vouched for.
    ///
    /// # Errors
    /// When the bytes are not a record.
    pub(super) fn read(
        &mut self,
        profile: u32,
        bytes: &[u8],
        types: &BTreeMap<String, ColumnType>,
    ) -> Result<bool> {
        let record: Record<'_> = postcard::from_bytes(bytes)?;
        let vouched = if record.vouched { Reach::Activate } else { Reach::Nothing };
        let version = record.consent.as_ref().map(|consent| consent.version);
        let reach = record.consent.map_or(vouched, |consent| consent.reach);
        let attributes = record.attributes.into_iter().map(|(name, a)| (name, a.value, a.since_us));
        self.put(profile, (reach, version, record.vouched), attributes, types);
        Ok(record.vouched)
    }

    fn put<'a>(
        &mut self,
        profile: u32,
        (reach, version, vouched): (Reach, Option<&str>, bool),
        attributes: impl Iterator<Item = (&'a str, CellRef<'a>, i64)>,
        types: &BTreeMap<String, ColumnType>,
    ) {
        let row = profile as usize;
        if self.reach.len() <= row {
            self.reach.resize(row + 1, Reach::Nothing);
        }
        self.reach[row] = reach;
        self.say(row, version);
        self.vouched.set(profile, vouched);
        if let Some(based) = self.based.get_mut(row) {
            *based = false;
        }
        self.arrived(profile..profile.saturating_add(1));
        self.columns.values_mut().for_each(|column| column.clear(row));
        for (name, value, since_us) in attributes {
            if self.timed.contains(source_of(name)) {
                let column = self.columns.entry(since(name));
                column.or_insert_with(|| Column::new(ColumnType::Time)).set(row, CellRef::Time(since_us));
            }
            if let Some(column) = self.columns.get_mut(name) {
                column.set(row, value);
            } else if let Some(kind) = types.get(name) {
                self.columns.entry(name.to_owned()).or_insert_with(|| Column::new(*kind)).set(row, value);
            }
        }
    }

    fn say(&mut self, row: usize, version: Option<&str>) {
        let code = version.map_or(0, |version| self.code(version).unwrap_or_else(|| self.learn(version)));
        if self.said.len() <= row && code > 0 {
            self.said.resize(row + 1, 0);
        }
        if let Some(said) = self.said.get_mut(row) {
            *said = code;
        }
    }

    fn code(&self, version: &str) -> Option<u16> {
        self.versions.iter().position(|known| known == version).map(|at| at as u16 + 1)
    }

    /// There are few versions; what comes beyond them is not known again.
    fn learn(&mut self, version: &str) -> u16 {
        if self.versions.len() == VERSIONS {
            return 0;
        }
        self.versions.push(version.to_owned());
        self.versions.len() as u16
    }

    /// Whether a profile is known to have given just this consent, at whatever time.
    pub(super) fn has_said(&self, profile: u32, reach: Reach, version: &str) -> bool {
        let said = self.said.get(profile as usize).copied().filter(|said| *said > 0);
        said.is_some_and(|said| self.versions[usize::from(said) - 1] == version)
            && self.is_here(profile)
            && self.reach(profile) == reach
    }

    /// How far the consent of a profile that is here reaches.
    pub(super) fn reach(&self, profile: u32) -> Reach {
        self.reach.get(profile as usize).copied().unwrap_or_default()
    }

    /// An attribute of some profiles that are here; text is coded.
    ///
    /// # Errors
    /// When the file of profiles is damaged.
    pub(super) fn column(&mut self, name: &str, kind: ColumnType, profiles: &[u32]) -> Result<ArrayRef> {
        let based = |profile: &u32| self.based.get(*profile as usize).is_some_and(|based| *based);
        if self.unread.contains(name) && profiles.iter().any(based) {
            self.read_column(name, kind)?;
        }
        if self.timed.contains(source_of(name)) {
            // A file has both or none.
            self.columns.entry(since(name)).or_insert_with(|| Column::new(ColumnType::Time));
        }
        let column = self.columns.entry(name.to_owned()).or_insert_with(|| Column::new(kind));
        column.show(profiles)
    }

    /// Forgets all attributes because one of them is another now; profiles are read again.
    pub(super) fn retype(&mut self) {
        self.columns.clear();
        self.here.clear();
        self.new = u32::MAX;
        (self.base, self.has_file) = (None, false);
        self.based.clear();
        self.unread.clear();
    }
}

/// A set of dense numbers.
#[derive(Debug, Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn contains(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word >> (number % 64) & 1 == 1)
    }

    fn set(&mut self, number: u32, inside: bool) {
        let at = number as usize / 64;
        if self.0.len() <= at && inside {
            self.0.resize(at + 1, 0);
        }
        if let Some(word) = self.0.get_mut(at) {
            *word = *word & !(1 << (number % 64)) | u64::from(inside) << (number % 64);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{Attribute, Consent, Value};

    fn value() -> impl proptest::strategy::Strategy<Value = Value> {
        use proptest::prelude::*;
        prop_oneof![
            "[a-c]{0,3}".prop_map(Value::Text),
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_map(Value::Decimal),
            any::<bool>().prop_map(Value::Boolean),
            any::<i64>().prop_map(Value::Time),
        ]
    }

    proptest::proptest! {
        /// What the bytes of a record say is what the record says.
        #[test]
        fn records_and_their_bytes_agree(
            values in proptest::collection::vec(proptest::option::of(value()), 5),
            consent in proptest::option::of((0_usize..4, "[a-z ]{0,9}")),
            vouched: bool,
        ) {
            let types: BTreeMap<String, ColumnType> = [
                ColumnType::Text, ColumnType::Integer, ColumnType::Decimal, ColumnType::Boolean, ColumnType::Time,
            ].into_iter().enumerate().map(|(at, kind)| (format!("crm.{at}"), kind)).collect();
            let mut record = Profile { vouched, ..Profile::default() };
            record.identifiers.insert(("cookie".into(), "x".into()));
            record.consent = consent.map(|(at, version)| Consent { reach: Reach::ALL[at], since_us: 7, version });
            for (name, value) in types.keys().zip(values) {
                if let Some(value) = value {
                    record.attributes.insert(name.clone(), Attribute { value, since_us: 3 });
                }
            }
            let (mut one, mut two) = (Table::default(), Table::default());
            one.set(3, &record, &types);
            two.read(3, &postcard::to_stdvec(&record).unwrap(), &types).unwrap();
            proptest::prop_assert_eq!(one.reach(3), record.reach());
            proptest::prop_assert_eq!(two.reach(3), record.reach());
            for (name, kind) in &types {
                let apart = one.column(name, *kind, &[1, 3]).unwrap();
                let (one, two) = (one.column(name, *kind, &[2, 3]).unwrap(), two.column(name, *kind, &[2, 3]).unwrap());
                proptest::prop_assert_eq!(format!("{one:?}"), format!("{two:?}"));
                // Neighbours are copied together, others one by one.
                proptest::prop_assert_eq!(format!("{:?}", one.slice(1, 1)), format!("{:?}", apart.slice(1, 1)));
            }
        }
    }
}
