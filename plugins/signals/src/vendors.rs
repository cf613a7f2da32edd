//! A set of vendor ids as it stands in the string: asked, not unpacked.
//!
//! TCF v2.3, Consent string and vendor list formats, "The Core String": a bit field of `MaxVendorId` bits, or up to
//! 4,095 single ids and ranges. Whatever a hostile string claims, a set has at most 65,535 ids and is no larger in
//! memory than the string.

use crate::{
    bits::{Bits, Reader},
    malformed::{Malformed, Result},
};

/// Where a set stands, proved to be whole.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    at: usize,
    max: u16,
    /// Number of entries of a set of ranges; none for a bit field.
    entries: Option<u16>,
}

impl Place {
    /// `MaxVendorId`, `IsRangeEncoding`, then the set.
    pub(crate) fn read(reader: &mut Reader<'_>, field: &'static str) -> Result<Self> {
        let max = reader.id(field)?;
        if reader.flag(field)? {
            return Self::ranges(reader, max, field);
        }
        let at = reader.at();
        reader.skip(usize::from(max), field)?;
        Ok(Self { at, max, entries: None })
    }

    /// `NumEntries`, then the entries; of publisher restrictions this is all.
    pub(crate) fn ranges(reader: &mut Reader<'_>, max: u16, field: &'static str) -> Result<Self> {
        let entries = reader.int(12, field)? as u16;
        let at = reader.at();
        for _ in 0..entries {
            let (start, end) = entry(reader, field)?;
            if start > end {
                return Err(Malformed::Backwards { start, end });
            }
        }
        Ok(Self { at, max, entries: Some(entries) })
    }

    pub(crate) fn of(self, bits: &Bits) -> VendorSet<'_> {
        VendorSet { bits, place: self }
    }
}

fn entry(reader: &mut Reader<'_>, field: &'static str) -> Result<(u16, u16)> {
    let range = reader.flag(field)?;
    let start = reader.id(field)?;
    Ok((start, if range { reader.id(field)? } else { start }))
}

/// A set of vendor ids, 1 to 65,535.
#[derive(Clone, Copy, Debug)]
pub struct VendorSet<'a> {
    bits: &'a Bits,
    place: Place,
}

impl<'a> VendorSet<'a> {
    /// Whether this vendor is in it. An id above the set's own maximum never is.
    pub fn contains(&self, vendor: u16) -> bool {
        if vendor == 0 || vendor > self.place.max {
            return false;
        }
        match self.place.entries {
            None => self.bits.bit(self.place.at + usize::from(vendor) - 1),
            Some(_) => self.entries().any(|(start, end)| (start..=end).contains(&vendor)),
        }
    }

    /// All ids, ascending, each once.
    pub fn ids(&self) -> Vec<u16> {
        let ids = 1..=self.place.max;
        if self.place.entries.is_none() {
            return ids.filter(|id| self.contains(*id)).collect();
        }
        let mut seen = vec![false; usize::from(self.place.max) + 1];
        for (start, end) in self.entries() {
            let within = usize::from(start)..=usize::from(end.min(self.place.max));
            if let Some(part) = seen.get_mut(within) {
                part.fill(true);
            }
        }
        ids.filter(|id| seen[usize::from(*id)]).collect()
    }

    fn entries(&self) -> impl Iterator<Item = (u16, u16)> + use<'a> {
        let mut reader = self.bits.reader(self.place.at);
        // They were read once by `Place::ranges`, so none of them fails.
        (0..self.place.entries.unwrap_or(0)).map_while(move |_| entry(&mut reader, "RangeEntry").ok())
    }
}
