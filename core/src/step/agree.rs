//! Types of columns are agreed with the store, or tried out on it without a trace.

use crate::{
    Result,
    store::{
        Store,
        columns::{Claims, ColumnType},
    },
};
use std::collections::BTreeMap;

/// What a source's columns are agreed with.
pub trait Agree {
    /// How an attribute is held.
    ///
    /// # Errors
    /// When it is held as another type, and none is declared.
    fn attribute(&mut self, name: &str, kind: ColumnType, declared: bool, by: &str) -> Result<ColumnType>;

    /// How a property of events is held.
    ///
    /// # Errors
    /// When it is held as another type.
    fn property(&mut self, name: &str, kind: ColumnType, by: &str) -> Result<ColumnType>;
}

impl Agree for Store {
    fn attribute(&mut self, name: &str, kind: ColumnType, declared: bool, by: &str) -> Result<ColumnType> {
        self.profiles.agree(name, kind, declared, by)
    }

    fn property(&mut self, name: &str, kind: ColumnType, by: &str) -> Result<ColumnType> {
        if binds_nobody(self, name, (kind, by)) {
            self.columns.forget(name);
        }
        self.columns.declare(name, kind, by)
    }
}

/// Whether no value was ever stored as the type that a column has, and it is to have another: nobody else brings it, or
/// all integers of others are decimals, too.
fn binds_nobody(store: &mut Store, name: &str, (kind, by): (ColumnType, &str)) -> bool {
    let is_others = store.columns.claim(name, by);
    let held = store.columns.types().get(name).copied().filter(|held| *held != kind);
    let widens = held == Some(ColumnType::Integer) && kind == ColumnType::Decimal;
    held.is_some() && (widens || !is_others) && !store.holds(name)
}

type Types = BTreeMap<String, ColumnType>;

/// A store that columns are tried out on: it has them until the trial is over, and no commit tells of them.
pub(super) struct Trial<'a> {
    store: &'a mut Store,
    columns: Types,
    attributes: Types,
    claims: Claims,
}

impl<'a> Trial<'a> {
    pub(super) fn new(store: &'a mut Store) -> Self {
        let (columns, attributes) = (store.columns.types().clone(), store.profiles.attributes().clone());
        let claims = store.columns.put_claims(Claims::new());
        Self { store, columns, attributes, claims }
    }

    /// The store with what was tried out.
    pub(super) fn store(&self) -> &Store {
        self.store
    }
}

impl Agree for Trial<'_> {
    fn attribute(&mut self, name: &str, kind: ColumnType, declared: bool, by: &str) -> Result<ColumnType> {
        self.store.profiles.try_out(name, kind, declared, by)
    }

    fn property(&mut self, name: &str, kind: ColumnType, by: &str) -> Result<ColumnType> {
        if binds_nobody(self.store, name, (kind, by)) {
            let mut types = self.store.columns.types().clone();
            types.remove(name);
            self.store.columns.put_types(types);
        }
        self.store.columns.try_out(name, kind, by)
    }
}

impl Drop for Trial<'_> {
    fn drop(&mut self) {
        self.store.columns.put_claims(std::mem::take(&mut self.claims));
        self.store.columns.put_types(std::mem::take(&mut self.columns));
        self.store.profiles.put_attributes(std::mem::take(&mut self.attributes));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_shows_what_would_be_and_leaves_the_store_as_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let mut store = Store::open(dir.path()).unwrap();
        store.attribute("crm.tier", ColumnType::Text, false, "crm").unwrap();
        store.property("price", ColumnType::Text, "web").unwrap();
        let told = |store: &Store| (store.columns.types().clone(), store.profiles.attributes().clone());
        let before = told(&store);
        let mut trial = Trial::new(&mut store);
        assert!(trial.attribute("crm.tier", ColumnType::Time, false, "crm").is_err(), "it is text");
        assert_eq!(trial.attribute("crm.tier", ColumnType::Time, true, "crm").unwrap(), ColumnType::Time);
        assert_eq!(
            trial.attribute("crm.age", ColumnType::Integer, false, "crm").unwrap(),
            ColumnType::Integer
        );
        // No value was stored as text, and who said so may say something else.
        assert_eq!(trial.property("price", ColumnType::Integer, "web").unwrap(), ColumnType::Integer);
        assert_eq!(trial.property("price", ColumnType::Decimal, "app").unwrap(), ColumnType::Decimal);
        assert_eq!(trial.property("price", ColumnType::Integer, "web").unwrap(), ColumnType::Decimal);
        assert!(trial.property("price", ColumnType::Text, "crm").is_err(), "others bring numbers");
        assert_eq!(trial.property("colour", ColumnType::Text, "web").unwrap(), ColumnType::Text);
        assert_eq!(trial.store().profiles.attributes().len(), 2);
        assert!(trial.store().columns.types().contains_key("colour"));
        drop(trial);
        assert_eq!(told(&store), before);
        let change = store.tables.change();
        store.commit(change, Vec::new()).unwrap();
        drop(store);
        assert_eq!(told(&Store::open(dir.path()).unwrap()), before);
    }
}
