//! GPP strings: a header that names sections, and the sections.
//!
//! IAB Tech Lab, Global Privacy Platform, "Consent String Specification" (header, Fibonacci ranges) and "Section
//! Information" (ids).

use crate::{
    bits::Bits,
    malformed::{Malformed, Result},
    tcf::TcString,
    us::UsSection,
    us_privacy::UsPrivacy,
};

/// A GPP string, split into its sections.
#[derive(Clone, Debug)]
pub struct Gpp<'a> {
    sections: Vec<(u16, &'a str)>,
}

/// A section that is read.
#[derive(Clone, Debug)]
pub enum Section {
    /// 2: a TC string.
    Tcf(Box<TcString>),
    /// 6: a US Privacy string.
    UsPrivacy(UsPrivacy),
    /// 7 to 27: United States.
    Us(UsSection),
}

impl<'a> Gpp<'a> {
    /// Reads the header and splits the string; sections are read one by one with [`Section::parse`].
    ///
    /// # Errors
    /// What is wrong with the header, or that it does not fit to the sections.
    pub fn parse(text: &'a str) -> Result<Self> {
        let mut parts = text.split('~');
        let header = Bits::decode(parts.next().unwrap_or(""))?;
        let texts: Vec<&str> = parts.collect();
        let ids = section_ids(&header, texts.len())?;
        Ok(Self { sections: ids.into_iter().zip(texts).collect() })
    }

    /// Ids and texts of the sections, ascending by id.
    pub fn sections(&self) -> &[(u16, &'a str)] {
        &self.sections
    }
}

impl Section {
    /// Reads a section; none for an id that is not read: deprecated ones, Canada, and ids that are still to come.
    ///
    /// Canada (5) is not read on purpose: older encoders wrote its vendors in another form than the specification
    /// has, and nothing in the string says which one it is.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub fn parse(id: u16, text: &str) -> Result<Option<Self>> {
        Ok(match id {
            2 => Some(Self::Tcf(Box::new(TcString::parse(text)?))),
            6 => Some(Self::UsPrivacy(UsPrivacy::parse(text)?)),
            _ => UsSection::parse(id, text)?.map(Self::Us),
        })
    }
}

/// `Type`, `Version`, `Sections`. Ends as soon as there are more ids than sections, whatever the header claims.
fn section_ids(header: &Bits, sections: usize) -> Result<Vec<u16>> {
    let reader = &mut header.reader(0);
    for (of, allowed, only) in [("the GPP header", "3", 3), ("the GPP string", "1", 1)] {
        let found = reader.int(6, "Version")?;
        if found != only {
            return Err(Malformed::Version { of, found, allowed });
        }
    }
    let (mut ids, mut last) = (Vec::with_capacity(sections), 0_u16);
    for _ in 0..reader.int(12, "Sections")? {
        let group = reader.flag("Sections")?;
        let start = add(last, reader.fibonacci("Sections")?)?;
        last = if group { add(start, reader.fibonacci("Sections")?)? } else { start };
        if ids.len() + usize::from(last - start) >= sections {
            return Err(Malformed::Sections(sections));
        }
        ids.extend(start..=last);
    }
    if ids.len() == sections { Ok(ids) } else { Err(Malformed::Sections(sections)) }
}

fn add(last: u16, offset: u16) -> Result<u16> {
    last.checked_add(offset).ok_or(Malformed::Fibonacci)
}
