//! The identifiers of profiles, of which rules only see the namespaces.

use crate::{logic::Bools, vector::Vector};
use arrow::{
    array::{Array, AsArray, ListArray, StringArray},
    datatypes::DataType,
};
use kindred_plugin_api::{Fault, Result};

/// The identifiers of a batch.
pub(crate) struct Identifiers<'a> {
    list: &'a ListArray,
    spaces: &'a StringArray,
}

impl<'a> Identifiers<'a> {
    /// Those in a column.
    pub(crate) fn of(column: &'a dyn Array) -> Result<Self> {
        let wrong = || Fault::permanent("schema", "the identifiers are not a list of namespaces and values");
        let list = column.as_list_opt::<i32>().ok_or_else(wrong)?;
        let pairs = list.values().as_struct_opt().ok_or_else(wrong)?;
        let spaces = pairs.columns().first().filter(|c| *c.data_type() == DataType::Utf8);
        Ok(Self { list, spaces: spaces.ok_or_else(wrong)?.as_string::<i32>() })
    }

    /// The namespaces of a profile.
    pub(crate) fn spaces(&self, row: usize) -> impl Iterator<Item = &'a str> {
        let (spaces, offsets) = (self.spaces, self.list.value_offsets());
        let own =
            if self.list.is_valid(row) { offsets[row] as usize..offsets[row + 1] as usize } else { 0..0 };
        own.filter(|pair| spaces.is_valid(*pair)).map(|pair| spaces.value(pair))
    }

    /// Which profiles have one of this namespace.
    pub(crate) fn have(&self, namespace: &str, out: &mut Vector) {
        let Vector::Bools(Bools { yes, no }) = out else {
            unreachable!("having an identifier is a condition")
        };
        yes.pack(self.list.len(), |row| self.spaces(row).any(|space| space == namespace));
        no.copy(yes);
        no.invert();
    }
}
