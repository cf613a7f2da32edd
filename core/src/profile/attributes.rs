//! Which attributes there are, and of which types: agreed with the sources that bring them.

use super::Profiles;
use crate::{Error, Result, store::columns::ColumnType};
use std::collections::BTreeMap;

impl Profiles {
    /// Names and types of attributes, sorted.
    pub fn attributes(&self) -> &BTreeMap<String, ColumnType> {
        &self.attributes
    }

    /// Makes sure that an attribute column exists, and answers how it is held. Its type changes only where the source's
    /// schema declares it: values of the type before are not shown until their rows come again.
    ///
    /// # Errors
    /// When it is held with another type and none is declared. Integers go into a decimal attribute.
    pub fn agree(&mut self, name: &str, kind: ColumnType, declared: bool, by: &str) -> Result<ColumnType> {
        let agreed = self.agreed(name, kind, declared, by)?;
        if let Some(held) = self.attributes.get(name).filter(|held| **held != agreed) {
            crate::log::warn(&format!(
                "attribute `{name}` becomes {}: its values that are {} are not shown until their rows come again",
                agreed.name(),
                held.name()
            ));
        }
        self.declare(name.to_owned(), agreed);
        Ok(agreed)
    }

    /// How an attribute would be held.
    fn agreed(&self, name: &str, kind: ColumnType, declared: bool, by: &str) -> Result<ColumnType> {
        match self.attributes.get(name) {
            Some(ColumnType::Decimal) if kind == ColumnType::Integer => Ok(ColumnType::Decimal),
            Some(held) if *held != kind && !declared => Err(Error::Column(format!(
                "attribute `{name}` of {by} is {}, the store holds it as {}: declare its type under \
                 `schema.columns` if it has changed for good",
                kind.name(),
                held.name()
            ))),
            _ => Ok(kind),
        }
    }

    /// Puts other attributes in place for a trial, and answers those that were there.
    pub(crate) fn put_attributes(
        &mut self,
        attributes: BTreeMap<String, ColumnType>,
    ) -> BTreeMap<String, ColumnType> {
        std::mem::replace(&mut self.attributes, attributes)
    }

    /// Gives an attribute its type for a trial; no commit tells of it, and no value is forgotten.
    ///
    /// # Errors
    /// As [`Self::agree`].
    pub(crate) fn try_out(
        &mut self,
        name: &str,
        kind: ColumnType,
        declared: bool,
        by: &str,
    ) -> Result<ColumnType> {
        let agreed = self.agreed(name, kind, declared, by)?;
        self.attributes.insert(name.to_owned(), agreed);
        Ok(agreed)
    }

    /// Gives an attribute column its type.
    pub fn declare(&mut self, name: String, kind: ColumnType) {
        let before = self.attributes.insert(name, kind);
        self.attributes_changed |= before != Some(kind);
        if before.is_some_and(|before| before != kind) {
            self.table.retype();
        }
    }
}
