//! The sections of a GPP string for the United States: national (7) and states (8 to 27).
//!
//! IAB Tech Lab, Global Privacy Platform, Sections/US-National and Sections/US-States. All of them are a version of six
//! bits and then answers of two bits, so a table of names is the whole decoder. A GPC sub-section may follow where the
//! state has one (two bits of type, 1, and the answer).

use crate::{
    bits::Bits,
    malformed::{Malformed, Result},
};
use Field::*;

/// A field of a section. The names are those of the specification.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the specification has a page on each of them")]
pub enum Field {
    SharingNotice,
    ProcessingNotice,
    SaleOptOutNotice,
    SharingOptOutNotice,
    TargetedAdvertisingOptOutNotice,
    SensitiveDataProcessingOptOutNotice,
    SensitiveDataOptOutNotice,
    SensitiveDataLimitUseNotice,
    SaleOptOut,
    SharingOptOut,
    TargetedAdvertisingOptOut,
    SensitiveDataProcessing,
    KnownChildSensitiveDataConsents,
    PersonalDataConsents,
    AdditionalDataProcessingConsent,
    MspaCoveredTransaction,
    MspaOptOutOptionMode,
    MspaServiceProviderMode,
    MspaMode,
}

/// Fields with their number of answers.
type Fields = &'static [(Field, usize)];

struct Layout {
    id: u16,
    name: &'static str,
    versions: &'static [u64],
    core: Fields,
    /// What the second segment holds in place of GPC.
    second: Fields,
}

const STATE: &[u64] = &[1];
/// Of these sections the first number is the version of a contract, the MSPA, which moves without the layout.
const CONTRACT: &[u64] = &[];
const MSPA: [(Field, usize); 3] =
    [(MspaCoveredTransaction, 1), (MspaOptOutOptionMode, 1), (MspaServiceProviderMode, 1)];

const fn state(id: u16, name: &'static str, core: Fields) -> Layout {
    Layout { id, name, versions: STATE, core, second: &[] }
}

/// Notices, opt-outs, sensitive data, children: the form of most states.
macro_rules! fields {
    ($($notice:ident)*; $($opt_out:ident)*; $sensitive:literal, $children:literal $(; $more:ident)*) => {
        &[
            $(($notice, 1),)* $(($opt_out, 1),)*
            (SensitiveDataProcessing, $sensitive), (KnownChildSensitiveDataConsents, $children),
            $(($more, 1),)* MSPA[0], MSPA[1], MSPA[2],
        ]
    };
}

/// States that speak of sharing, and those after them that speak of processing.
macro_rules! shared {
    ($sensitive:literal, $children:literal $(; $more:ident)*) => {
        fields!(SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice;
            SaleOptOut TargetedAdvertisingOptOut; $sensitive, $children $(; $more)*)
    };
}
macro_rules! processed {
    ($sensitive:literal, $children:literal) => {
        fields!(ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice;
            SaleOptOut TargetedAdvertisingOptOut; $sensitive, $children; AdditionalDataProcessingConsent)
    };
}
macro_rules! national {
    ($sensitive:literal, $children:literal) => {
        fields!(SharingNotice SaleOptOutNotice SharingOptOutNotice TargetedAdvertisingOptOutNotice
            SensitiveDataProcessingOptOutNotice SensitiveDataLimitUseNotice;
            SaleOptOut SharingOptOut TargetedAdvertisingOptOut; $sensitive, $children; PersonalDataConsents)
    };
}

const MARYLAND: Fields = &[
    (MspaCoveredTransaction, 1),
    (MspaMode, 1),
    (ProcessingNotice, 1),
    (SaleOptOutNotice, 1),
    (TargetedAdvertisingOptOutNotice, 1),
    (SaleOptOut, 1),
    (TargetedAdvertisingOptOut, 1),
    (AdditionalDataProcessingConsent, 1),
];
const INDIANA: Fields = &[
    (MspaCoveredTransaction, 1),
    (MspaMode, 1),
    (ProcessingNotice, 1),
    (SaleOptOutNotice, 1),
    (TargetedAdvertisingOptOutNotice, 1),
    (SaleOptOut, 1),
    (TargetedAdvertisingOptOut, 1),
    (KnownChildSensitiveDataConsents, 1),
    (AdditionalDataProcessingConsent, 1),
];
const SENSITIVE: Fields = &[(SensitiveDataProcessing, 8)];

const fn contract(id: u16, name: &'static str, core: Fields, second: Fields) -> Layout {
    Layout { id, name, versions: CONTRACT, core, second }
}

const NATIONAL: &[u64] = &[1, 2];
/// The national section before October 2024, with four sensitive categories and one group of children less.
static NATIONAL_BEFORE: Layout =
    Layout { id: 7, name: "usnat", versions: NATIONAL, core: national!(12, 2), second: &[] };

static LAYOUTS: [Layout; 21] = [
    Layout { id: 7, name: "usnat", versions: NATIONAL, core: national!(16, 3), second: &[] },
    state(
        8,
        "usca",
        fields!(SaleOptOutNotice SharingOptOutNotice SensitiveDataLimitUseNotice;
            SaleOptOut SharingOptOut; 9, 2; PersonalDataConsents),
    ),
    state(9, "usva", shared!(8, 1)),
    state(10, "usco", shared!(7, 1)),
    state(
        11,
        "usut",
        fields!(SharingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SensitiveDataProcessingOptOutNotice;
            SaleOptOut TargetedAdvertisingOptOut; 8, 1),
    ),
    state(12, "usct", shared!(8, 3)),
    state(13, "usfl", processed!(8, 3)),
    state(14, "usmt", shared!(8, 3; AdditionalDataProcessingConsent)),
    state(15, "usor", processed!(11, 3)),
    state(16, "ustx", processed!(8, 1)),
    state(17, "usde", processed!(9, 5)),
    state(
        18,
        "usia",
        fields!(ProcessingNotice SaleOptOutNotice TargetedAdvertisingOptOutNotice SensitiveDataOptOutNotice;
            SaleOptOut TargetedAdvertisingOptOut; 8, 1),
    ),
    state(19, "usne", processed!(8, 1)),
    state(20, "usnh", processed!(8, 3)),
    state(21, "usnj", processed!(10, 5)),
    state(22, "ustn", processed!(8, 1)),
    state(23, "usmn", processed!(8, 1)),
    contract(24, "usmd", MARYLAND, &[]),
    contract(25, "usin", INDIANA, SENSITIVE),
    contract(26, "usky", INDIANA, SENSITIVE),
    contract(27, "usri", INDIANA, SENSITIVE),
];

impl Layout {
    fn answers(&self) -> usize {
        self.core.iter().map(|(_, count)| count).sum()
    }
}

/// No section has more answers: the national one has 32.
const ANSWERS: usize = 32;

/// A section of the United States.
#[derive(Clone)]
pub struct UsSection {
    layout: &'static Layout,
    version: u64,
    answers: [u8; ANSWERS],
    second: bool,
    gpc: Option<bool>,
}

impl UsSection {
    /// Reads the section with this id; none where the id is not one of the United States.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub fn parse(id: u16, text: &str) -> Result<Option<Self>> {
        let Some(layout) = LAYOUTS.iter().find(|layout| layout.id == id) else { return Ok(None) };
        let mut segments = text.split('.');
        let mut core = Bits::decode(segments.next().unwrap_or(""))?;
        // "Section Header" of states from 2025 on: the section's own id, where no version is as high. Encoders leave it out.
        if layout.versions.is_empty() && core.reader(0).int(6, "Version")? == u64::from(id) {
            core = Bits::decode(segments.next().unwrap_or(""))?;
        }
        // The width tells the two national forms apart; the version does not: there are encoders of either with both.
        let narrow = id == 7 && core.len() < 6 + 2 * layout.answers();
        let layout = if narrow { &NATIONAL_BEFORE } else { layout };
        let mut section = Self { layout, version: 0, answers: [0; ANSWERS], second: false, gpc: None };
        section.core(&core)?;
        for segment in segments {
            section.more(&Bits::decode(segment)?)?;
        }
        Ok(Some(section))
    }

    fn core(&mut self, bits: &Bits) -> Result<()> {
        let reader = &mut bits.reader(0);
        self.version = reader.int(6, "Version")?;
        let versions = self.layout.versions;
        if !versions.is_empty() && !versions.contains(&self.version) {
            let allowed = if versions == STATE { "1" } else { "1, 2" };
            return Err(Malformed::Version { of: self.layout.name, found: self.version, allowed });
        }
        for answer in &mut self.answers[..self.layout.answers()] {
            *answer = reader.int(2, "core segment")? as u8;
        }
        Ok(())
    }

    /// Segments of a type that is not known are passed over, as the specification adds sub-sections over time.
    fn more(&mut self, bits: &Bits) -> Result<()> {
        let reader = &mut bits.reader(0);
        let second: usize = self.layout.second.iter().map(|(_, count)| count).sum();
        if second > 0 && !self.second {
            let from = self.layout.answers();
            for answer in &mut self.answers[from..from + second] {
                *answer = reader.int(2, "SensitiveDataProcessing")? as u8;
            }
            self.second = true;
        } else if second == 0 && reader.int(2, "SubsectionType")? == 1 {
            // The strictest of several.
            let on = reader.flag("Gpc")?;
            self.gpc = Some(on || self.gpc == Some(true));
        }
        Ok(())
    }

    /// Section id.
    pub fn id(&self) -> u16 {
        self.layout.id
    }

    /// Client-side API prefix: `usnat`, `usca`.
    pub fn name(&self) -> &'static str {
        self.layout.name
    }

    /// Version of the section; for 24 to 27, of the MSPA.
    pub fn version(&self) -> u8 {
        self.version as u8
    }

    /// Global Privacy Control, where the section has this sub-section.
    pub fn gpc(&self) -> Option<bool> {
        self.gpc
    }

    /// The answers of a field; none where the section does not have it. 0 is not applicable; of notices 1 is yes and 2 no,
    /// of opt-outs 1 is opted out and 2 is not, of consents 1 is no consent and 2 consent; 3 is not defined.
    pub fn answers(&self, field: Field) -> Option<&[u8]> {
        self.fields().find(|(found, _)| *found == field).map(|(_, answers)| answers)
    }

    /// All fields with their answers, in the order of the section.
    pub fn fields(&self) -> impl Iterator<Item = (Field, &[u8])> {
        let second: Fields = if self.second { self.layout.second } else { &[] };
        self.layout.core.iter().chain(second).scan(0, |from, (field, count)| {
            let answers = self.answers.get(*from..*from + count)?;
            *from += count;
            Some((*field, answers))
        })
    }
}

impl std::fmt::Debug for UsSection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut map = f.debug_struct(self.layout.name);
        for (field, answers) in self.fields() {
            map.field(&format!("{field:?}"), &answers);
        }
        map.field("Gpc", &self.gpc).finish()
    }
}
