//! TC strings of TCF 2.x, all segments.
//!
//! IAB Tech Lab, "Transparency and Consent String with Global Vendor & CMP List Formats", version 2.3 (April 2025),
//! section "TC String Format". `AllowedVendors` is of version 2.0, gone since, and still found in strings.

use crate::{
    bits::{Bits, Reader},
    malformed::{Malformed, Result},
    vendors::{Place, VendorSet},
};

/// Up to 63 numbered yes-or-no answers, from 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flags(u64);

impl Flags {
    fn read(reader: &mut Reader<'_>, count: usize, field: &'static str) -> Result<Self> {
        let (mut flags, mut done) = (0, 0);
        while done < count {
            let part = (count - done).min(32);
            // The first bit is id 1, hence the lowest here.
            flags |= (reader.int(part, field)?.reverse_bits() >> (64 - part)) << done;
            done += part;
        }
        Ok(Self(flags))
    }

    /// These ids; those above 64 are dropped.
    pub fn of(ids: &[u8]) -> Self {
        Self(ids.iter().filter(|id| (1..=64).contains(*id)).fold(0, |flags, id| flags | 1 << (id - 1)))
    }

    /// Whether the answer with this id is yes.
    pub fn has(self, id: u8) -> bool {
        (1..=64).contains(&id) && self.0 >> (id - 1) & 1 == 1
    }

    /// The ids with yes, ascending.
    pub fn ids(self) -> Vec<u8> {
        (1..=64).filter(|id| self.has(*id)).collect()
    }

    pub(crate) fn mask(self) -> u64 {
        self.0
    }
}

/// What a publisher does not let a vendor do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestrictionType {
    /// 0: the purpose is not allowed.
    NotAllowed,
    /// 1: only with consent.
    RequireConsent,
    /// 2: only with legitimate interest.
    RequireLegitimateInterest,
    /// 3, which the standard does not define.
    Undefined,
}

/// One publisher restriction.
#[derive(Clone, Copy, Debug)]
pub struct Restriction<'a> {
    /// The purpose.
    pub purpose: u8,
    /// What holds for it.
    pub kind: RestrictionType,
    /// For these vendors.
    pub vendors: VendorSet<'a>,
}

/// The publisher's own transparency and consent: segment type 3.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PublisherTc {
    /// Purposes that the user consents to.
    pub purposes_consent: Flags,
    /// Purposes with legitimate interest, not objected to.
    pub purposes_li: Flags,
    /// Number of the publisher's own purposes.
    pub custom_purposes: u8,
    /// Of these, consented to.
    pub custom_consent: Flags,
    /// Of these, with legitimate interest.
    pub custom_li: Flags,
}

/// A TC string, checked from end to end; the sets of vendors stay as they are in it.
#[derive(Clone, Debug)]
pub struct TcString {
    /// When it was made, in tenths of a second since 1970.
    pub created_ds: u64,
    /// When it was last updated, in tenths of a second since 1970; of days since December 2021.
    pub last_updated_ds: u64,
    /// The consent management platform.
    pub cmp_id: u16,
    /// Its version.
    pub cmp_version: u16,
    /// The screen on which consent was given.
    pub consent_screen: u8,
    /// ISO 639-1, upper case.
    pub consent_language: [u8; 2],
    /// Version of the Global Vendor List.
    pub vendor_list_version: u16,
    /// Version of the TCF policies: 2 and 3 are TCF 2.0, 4 is 2.2, 5 is 2.3.
    pub policy_version: u8,
    /// Always true since September 2021; a string where it is not is invalid.
    pub service_specific: bool,
    /// Whether the CMP used texts of its own.
    pub non_standard_texts: bool,
    /// Special features opted into.
    pub special_features: Flags,
    /// Purposes consented to.
    pub purposes_consent: Flags,
    /// Purposes with legitimate interest, not objected to.
    pub purposes_li: Flags,
    /// Purpose 1 was not disclosed, as the publisher's country asks no consent for it.
    pub purpose_one_treatment: bool,
    /// The publisher's country, ISO 3166-1, upper case; `AA` is unknown.
    pub publisher_country: [u8; 2],
    /// The publisher's own segment.
    pub publisher_tc: Option<PublisherTc>,
    core: Bits,
    vendors_consent: Place,
    vendors_li: Place,
    restrictions_at: usize,
    disclosed: Option<(Bits, Place)>,
    allowed: Option<(Bits, Place)>,
}

impl TcString {
    /// Reads a TC string.
    ///
    /// # Errors
    /// What is wrong with it, without any of it.
    pub fn parse(text: &str) -> Result<Self> {
        let mut segments = text.split('.');
        let mut tc = Self::core(Bits::decode(segments.next().unwrap_or(""))?)?;
        for segment in segments {
            tc.segment(Bits::decode(segment)?)?;
        }
        Ok(tc)
    }

    fn core(core: Bits) -> Result<Self> {
        let mut reader = core.reader(0);
        let r = &mut reader;
        let found = r.int(6, "Version")?;
        if found != 2 {
            return Err(Malformed::Version { of: "the TC string", found, allowed: "2" });
        }
        Ok(Self {
            created_ds: r.int(36, "Created")?,
            last_updated_ds: r.int(36, "LastUpdated")?,
            cmp_id: r.int(12, "CmpId")? as u16,
            cmp_version: r.int(12, "CmpVersion")? as u16,
            consent_screen: r.int(6, "ConsentScreen")? as u8,
            consent_language: r.letters("ConsentLanguage")?,
            vendor_list_version: r.int(12, "VendorListVersion")? as u16,
            policy_version: r.int(6, "TcfPolicyVersion")? as u8,
            service_specific: r.flag("IsServiceSpecific")?,
            non_standard_texts: r.flag("UseNonStandardTexts")?,
            special_features: Flags::read(r, 12, "SpecialFeatureOptIns")?,
            purposes_consent: Flags::read(r, 24, "PurposesConsent")?,
            purposes_li: Flags::read(r, 24, "PurposesLITransparency")?,
            purpose_one_treatment: r.flag("PurposeOneTreatment")?,
            publisher_country: r.letters("PublisherCC")?,
            publisher_tc: None,
            vendors_consent: Place::read(r, "VendorConsent")?,
            vendors_li: Place::read(r, "VendorLegitimateInterest")?,
            restrictions_at: prove_restrictions(r)?,
            disclosed: None,
            allowed: None,
            core,
        })
    }

    /// Segments after the core come in any order; types that the standard does not name are passed over.
    fn segment(&mut self, bits: Bits) -> Result<()> {
        let mut reader = bits.reader(0);
        let kind = reader.int(3, "SegmentType")?;
        let twice = match kind {
            0 => true,
            1 => {
                let place = Place::read(&mut reader, "DisclosedVendors")?;
                self.disclosed.replace((bits, place)).is_some()
            }
            2 => {
                let place = Place::read(&mut reader, "AllowedVendors")?;
                self.allowed.replace((bits, place)).is_some()
            }
            3 => self.publisher_tc.replace(publisher_tc(&mut reader)?).is_some(),
            _ => false,
        };
        if twice { Err(Malformed::Twice(kind)) } else { Ok(()) }
    }

    /// Vendors consented to.
    pub fn vendors_consent(&self) -> VendorSet<'_> {
        self.vendors_consent.of(&self.core)
    }

    /// Vendors with legitimate interest, not objected to.
    pub fn vendors_li(&self) -> VendorSet<'_> {
        self.vendors_li.of(&self.core)
    }

    /// Vendors that the user was told about, if the string has this segment.
    pub fn vendors_disclosed(&self) -> Option<VendorSet<'_>> {
        self.disclosed.as_ref().map(|(bits, place)| place.of(bits))
    }

    /// Vendors that the publisher allows, if the string has this segment (TCF 2.0 only).
    pub fn vendors_allowed(&self) -> Option<VendorSet<'_>> {
        self.allowed.as_ref().map(|(bits, place)| place.of(bits))
    }

    /// The publisher's restrictions.
    pub fn restrictions(&self) -> impl Iterator<Item = Restriction<'_>> {
        let mut reader = self.core.reader(self.restrictions_at);
        let count = reader.int(12, "NumPubRestrictions").unwrap_or(0);
        // They were read once by `prove_restrictions`, so none of them fails.
        (0..count).map_while(move |_| {
            let (purpose, kind, place) = restriction(&mut reader).ok()?;
            Some(Restriction { purpose, kind, vendors: place.of(&self.core) })
        })
    }
}

/// Where the restrictions start, once all of them are known to be whole.
fn prove_restrictions(reader: &mut Reader<'_>) -> Result<usize> {
    let at = reader.at();
    for _ in 0..reader.int(12, "NumPubRestrictions")? {
        restriction(reader)?;
    }
    Ok(at)
}

fn restriction(reader: &mut Reader<'_>) -> Result<(u8, RestrictionType, Place)> {
    const FIELD: &str = "PubRestrictionEntry";
    let purpose = reader.int(6, FIELD)? as u8;
    let kind = match reader.int(2, FIELD)? {
        0 => RestrictionType::NotAllowed,
        1 => RestrictionType::RequireConsent,
        2 => RestrictionType::RequireLegitimateInterest,
        _ => RestrictionType::Undefined,
    };
    Ok((purpose, kind, Place::ranges(reader, u16::MAX, FIELD)?))
}

fn publisher_tc(reader: &mut Reader<'_>) -> Result<PublisherTc> {
    let purposes_consent = Flags::read(reader, 24, "PubPurposesConsent")?;
    let purposes_li = Flags::read(reader, 24, "PubPurposesLITransparency")?;
    let custom_purposes = reader.int(6, "NumCustomPurposes")? as u8;
    let custom = usize::from(custom_purposes);
    let custom_consent = Flags::read(reader, custom, "CustomPurposesConsent")?;
    let custom_li = Flags::read(reader, custom, "CustomPurposesLITransparency")?;
    Ok(PublisherTc { purposes_consent, purposes_li, custom_purposes, custom_consent, custom_li })
}
