//! How far the source is: behind which record, and how many events of the next one were handed out. A request of many
//! events is one record, and a step may take fewer rows than that.

use kindred_plugin_api::{Fault, Result, spool::Position};

/// The position that the host stores.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Place {
    /// The last record that was handed out whole; none at the beginning.
    pub(crate) after: Option<Position>,
    /// Events of the record behind it that were handed out.
    pub(crate) taken: u32,
}

impl Place {
    /// The number of events, and the position where there is one.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let mut bytes = self.taken.to_be_bytes().to_vec();
        bytes.extend(self.after.iter().flat_map(|after| after.to_bytes()));
        bytes
    }

    /// From the bytes of [`Place::to_bytes`].
    ///
    /// # Errors
    /// PERMANENT for other bytes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let strange = || Fault::permanent("position", "the stored position is not one of a collector");
        let (taken, after) = bytes.split_first_chunk().ok_or_else(strange)?;
        let after =
            if after.is_empty() { None } else { Some(Position::from_bytes(after).map_err(|_| strange())?) };
        Ok(Self { after, taken: u32::from_be_bytes(*taken) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_back_and_other_bytes_are_refused() {
        for after in [None, Some(Position { segment: 3, offset: 77 })] {
            let place = Place { after, taken: 9 };
            assert_eq!(Place::from_bytes(&place.to_bytes()), Ok(place));
        }
        assert!(Place::from_bytes(b"{\"files\":{}}").is_err());
    }
}
