//! From signals to a decision. Each signal allows a number of stages, 0 to 3; the smallest number counts.

use crate::{
    Consent, Denies, Field, GoogleConsent, Gpp, Malformed, NoSignal, Policy, RestrictionType, Section,
    Signals, Stage, TcString, UsPrivacy, UsSection, tcf::Flags,
};
use std::fmt::Write;

/// The policy version of TCF 2.3, which made the segment of disclosed vendors mandatory.
const DISCLOSING: u8 = 5;

/// What was heard so far.
struct Heard {
    stages: usize,
    version: String,
}

impl Heard {
    /// A signal that allows so many stages; `name` writes what it is.
    fn hear(&mut self, stages: usize, name: impl FnOnce(&mut String)) {
        self.stages = self.stages.min(stages);
        if !self.version.is_empty() {
            self.version.push_str(", ");
        }
        name(&mut self.version);
    }
}

impl Policy {
    /// What these signals allow, the strictest of them counting. A signal that cannot be read denies everything.
    pub fn decide(&self, signals: &Signals<'_>) -> Consent {
        self.evaluate(signals).unwrap_or_else(|_| Consent::malformed())
    }

    /// The same, with the reason why a signal cannot be read.
    ///
    /// # Errors
    /// What is wrong with the first such signal, without any of it.
    pub fn evaluate(&self, signals: &Signals<'_>) -> Result<Consent, Malformed> {
        let mut heard = Heard { stages: 3, version: String::with_capacity(48) };
        if let Some(text) = said(signals.tcf) {
            let tc = TcString::parse(text)?;
            heard.hear(self.tcf(&tc), |version| name_tcf(version, &tc));
        }
        if let Some(text) = said(signals.gpp) {
            self.gpp(&mut heard, &Gpp::parse(text)?)?;
        }
        if let Some(text) = said(signals.us_privacy) {
            heard.hear(self.us_privacy(UsPrivacy::parse(text)?), |version| version.push_str("usprivacy"));
        }
        if let Some(text) = said(signals.gcs) {
            // Who does not tell has said nothing.
            if let Some(stages) = google(GoogleConsent::parse(text)?) {
                heard.hear(stages, |version| version.push_str("gcs"));
            }
        }
        if signals.gpc {
            heard.hear(before(self.us_opt_out), |version| version.push_str("gpc"));
        }
        if heard.version.is_empty() {
            heard.hear(self.unheard(), |version| version.push_str("none"));
        }
        Ok(Consent::up_to(heard.stages, heard.version))
    }

    fn unheard(&self) -> usize {
        match self.no_signal {
            NoSignal::Denied => 0,
            NoSignal::Granted => 3,
        }
    }

    fn gpp(&self, heard: &mut Heard, gpp: &Gpp<'_>) -> Result<(), Malformed> {
        let (mut stages, mut names, mut unread) = (3, String::from("gpp"), false);
        for (id, text) in gpp.sections() {
            names.push(' ');
            match Section::parse(*id, text)? {
                Some(Section::Tcf(tc)) => {
                    stages = stages.min(self.tcf(&tc));
                    name_tcf(&mut names, &tc);
                }
                Some(Section::UsPrivacy(said)) => {
                    stages = stages.min(self.us_privacy(said));
                    names.push_str("usprivacy");
                }
                Some(Section::Us(section)) => {
                    stages = stages.min(self.us(&section));
                    names.push_str(section.name());
                }
                None => {
                    unread |= true;
                    names.pop();
                }
            }
        }
        // What an unread section says is not known, which is what no signal means; the same where there is no section.
        if unread || gpp.sections().is_empty() {
            stages = stages.min(self.unheard());
            names.push_str(" other");
        }
        heard.hear(stages, |version| version.push_str(&names));
        Ok(())
    }

    /// TCF v2.3, "The Core String", "What are publisher restrictions?", "Disclosed Vendors".
    fn tcf(&self, tc: &TcString) -> usize {
        let disclosed = match (self.vendor, tc.vendors_disclosed()) {
            (Some(vendor), Some(disclosed)) if tc.policy_version >= DISCLOSING => disclosed.contains(vendor),
            (Some(_), None) if tc.policy_version >= DISCLOSING => !self.require_disclosed,
            _ => true,
        };
        if !tc.service_specific || tc.policy_version < self.minimum_policy || !disclosed {
            return 0;
        }
        let allowed = self.purposes(tc);
        Stage::ALL.iter().take_while(|stage| self.needs(**stage) & !allowed == 0).count()
    }

    /// The purposes that may be followed, as bits.
    fn purposes(&self, tc: &TcString) -> u64 {
        let restricted = self.vendor.map(|vendor| Restricted::of(tc, vendor)).unwrap_or_default();
        let interest = Flags::of(&self.legitimate_interest).mask() & tc.purposes_li.mask();
        let consented = self.vendor.is_none_or(|vendor| tc.vendors_consent().contains(vendor));
        let interested = interest != 0 && self.vendor.is_none_or(|vendor| tc.vendors_li().contains(vendor));
        let consent = if consented { tc.purposes_consent.mask() } else { 0 };
        let interest = if interested { interest } else { 0 };
        let untold = tc.purpose_one_treatment
            && self.purpose_one_countries.iter().any(|country| country.as_bytes() == tc.publisher_country);
        let both =
            (consent & !restricted.to_interest) | (interest & !restricted.to_consent) | u64::from(untold);
        both & !restricted.forbidden
    }

    fn us_privacy(&self, said: UsPrivacy) -> usize {
        let opted_out = said.opt_out_sale == Some(true) || (self.us_notice && said.notice == Some(false));
        if opted_out { before(self.us_opt_out) } else { 3 }
    }

    fn us(&self, section: &UsSection) -> usize {
        let mut stages = if section.gpc() == Some(true) { before(self.us_opt_out) } else { 3 };
        for (field, answers) in section.fields() {
            if let Some(denies) =
                self.asked(field).filter(|_| answers.iter().any(|answer| refuses(field, *answer)))
            {
                stages = stages.min(before(denies));
            }
        }
        stages
    }

    /// What a refusal in this field denies; none where the field says nothing about the visitor's wish.
    fn asked(&self, field: Field) -> Option<Denies> {
        use Field::*;
        match field {
            SaleOptOut | SharingOptOut | TargetedAdvertisingOptOut | MspaServiceProviderMode | MspaMode => {
                Some(self.us_opt_out)
            }
            SharingNotice
            | ProcessingNotice
            | SaleOptOutNotice
            | SharingOptOutNotice
            | TargetedAdvertisingOptOutNotice => self.us_notice.then_some(self.us_opt_out),
            SensitiveDataProcessingOptOutNotice | SensitiveDataOptOutNotice | SensitiveDataLimitUseNotice => {
                self.us_notice.then_some(self.us_sensitive)
            }
            SensitiveDataProcessing => Some(self.us_sensitive),
            KnownChildSensitiveDataConsents => Some(self.us_children),
            // About use beyond the disclosed purposes, and about a contract between companies.
            PersonalDataConsents
            | AdditionalDataProcessingConsent
            | MspaCoveredTransaction
            | MspaOptOutOptionMode => None,
        }
    }
}

/// Whether an answer refuses. 3 is defined nowhere, so it does.
fn refuses(field: Field, answer: u8) -> bool {
    use Field::*;
    let refusal = match field {
        SharingNotice
        | ProcessingNotice
        | SaleOptOutNotice
        | SharingOptOutNotice
        | TargetedAdvertisingOptOutNotice
        | SensitiveDataProcessingOptOutNotice
        | SensitiveDataOptOutNotice
        | SensitiveDataLimitUseNotice => 2,
        // 1 is opt-out option mode, 2 service provider mode.
        MspaMode => 2,
        _ => 1,
    };
    answer == refusal || answer == 3
}

/// Publisher restrictions on one vendor, as bits of purposes.
#[derive(Default)]
struct Restricted {
    forbidden: u64,
    to_consent: u64,
    to_interest: u64,
}

impl Restricted {
    fn of(tc: &TcString, vendor: u16) -> Self {
        let mut restricted = Self::default();
        for found in tc.restrictions().filter(|found| found.vendors.contains(vendor)) {
            let purposes = match found.kind {
                RestrictionType::RequireConsent => &mut restricted.to_consent,
                RestrictionType::RequireLegitimateInterest => &mut restricted.to_interest,
                RestrictionType::NotAllowed | RestrictionType::Undefined => &mut restricted.forbidden,
            };
            *purposes |= Flags::of(&[found.purpose]).mask();
        }
        restricted
    }
}

/// Nothing is collected where measuring is denied, and nothing handed on where advertising is.
fn google(said: GoogleConsent) -> Option<usize> {
    let measured = said.analytics_storage.map(|granted| if granted { 3 } else { before(Denies::Collect) });
    let advertised = said.ad_storage.map(|granted| if granted { 3 } else { before(Denies::Activate) });
    measured.into_iter().chain(advertised).min()
}

/// The number of stages before the first one denied.
fn before(denies: Denies) -> usize {
    match denies {
        Denies::Collect => 0,
        Denies::Segment => 1,
        Denies::Activate => 2,
        Denies::Nothing => 3,
    }
}

fn said(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn name_tcf(out: &mut String, tc: &TcString) {
    // 36 bits of tenths of a second end in 2187, so there is a date for all of them.
    let seconds = i64::try_from(tc.last_updated_ds / 10).unwrap_or(0);
    let date = jiff::Timestamp::from_second(seconds).unwrap_or_default();
    let date = jiff::tz::TimeZone::UTC.to_datetime(date).date();
    let (policy, list, cmp) = (tc.policy_version, tc.vendor_list_version, tc.cmp_id);
    // Writing to a string does not fail.
    let _ = write!(out, "tcf2 policy{policy} list{list} cmp{cmp} {date}");
}
