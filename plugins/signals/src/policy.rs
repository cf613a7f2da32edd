//! Options: what has to be said for what to be allowed.

use crate::{Stage, tcf::Flags};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How signals become stages. The default asks for what the standards ask for; docs/consent.md has the reasons.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Policy {
    /// Your id on the TCF's Global Vendor List. When set, a purpose counts only where this vendor has the consent, too, and
    /// the publisher does not restrict it; from policy version 5 on it also has to be among the disclosed vendors.
    /// Default: no vendor is asked about, purposes alone count.
    pub vendor: Option<u16>,
    /// TCF purposes needed to store anything and to set the id cookie. Default `[1]`: store and/or access information on
    /// a device.
    pub collect: Vec<u8>,
    /// TCF purposes needed to evaluate a profile for audiences. Default `[1, 3]`: 3 is to create profiles for
    /// personalised advertising. Add 5 where content is personalised, too.
    pub segment: Vec<u8>,
    /// TCF purposes needed to send a profile to destinations. Default `[1, 3, 4]`: 4 is to use profiles to select
    /// personalised advertising. Add 7 where destinations report on performance per person.
    pub activate: Vec<u8>,
    /// TCF purposes for which legitimate interest will do in place of consent. Default: none. Never 1, 3, 4, 5 or 6.
    pub legitimate_interest: Vec<u8>,
    /// Countries of publishers, `DE`, whose strings need no purpose 1 where they say that it was not asked for
    /// (`PurposeOneTreatment`). Default: none, purpose 1 is always needed.
    pub purpose_one_countries: Vec<String>,
    /// Oldest version of the TCF policies whose strings count; older ones allow nothing. Default 4, which is TCF 2.2:
    /// strings made under older ones are invalid since October 2023.
    pub minimum_policy: u8,
    /// Whether a string of policy version 5 or later without the segment of disclosed vendors allows nothing to `vendor`.
    /// Default false: a vendor that has the user's consent has been disclosed.
    pub require_disclosed: bool,
    /// The stage from which on an opt-out in the United States denies: of sale, of sharing, of targeted advertising,
    /// Global Privacy Control, and the MSPA's service provider mode. Default `activate`.
    pub us_opt_out: Denies,
    /// Whether a notice that was not given (`…Notice` is 2, US Privacy `1N--`) counts as an opt-out. Default true.
    pub us_notice: bool,
    /// The stage from which on a known child without consent denies. Default `activate`.
    pub us_children: Denies,
    /// The stage from which on sensitive data denies, where a category lacks consent or was opted out of. Default
    /// `activate`; `nothing` where no sensitive data goes into audiences.
    pub us_sensitive: Denies,
    /// What no signal at all allows. Default `denied`.
    pub no_signal: NoSignal,
}

/// From which stage on something is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Denies {
    /// Activation.
    Activate,
    /// Segmentation and activation.
    Segment,
    /// Everything.
    Collect,
    /// Nothing; of `us_sensitive` only.
    Nothing,
}

/// What no signal at all allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum NoSignal {
    /// Nothing.
    #[default]
    Denied,
    /// Everything.
    Granted,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            vendor: None,
            collect: vec![1],
            segment: vec![1, 3],
            activate: vec![1, 3, 4],
            legitimate_interest: Vec::new(),
            purpose_one_countries: Vec::new(),
            minimum_policy: 4,
            require_disclosed: false,
            us_opt_out: Denies::Activate,
            us_notice: true,
            us_children: Denies::Activate,
            us_sensitive: Denies::Activate,
            no_signal: NoSignal::Denied,
        }
    }
}

/// Purposes with numbers in a TC string.
const PURPOSES: std::ops::RangeInclusive<u8> = 1..=24;
/// Purpose 1 is a consent purpose in all of TCF 2; 3 to 6 are since TCF 2.2.
const CONSENT_ONLY: [u8; 5] = [1, 3, 4, 5, 6];

impl Policy {
    /// What is wrong with the options: a JSON pointer into them, and why.
    pub fn problems(&self) -> Vec<(String, String)> {
        let mut problems = Vec::new();
        let mut add = |at: String, why: String| problems.push((at, why));
        if self.vendor == Some(0) {
            add("/vendor".into(), "vendor 0 is none; allowed: 1 to 65535".into());
        }
        if self.collect.is_empty() {
            add(
                "/collect".into(),
                "no purpose is needed to collect; allowed: at least one, such as 1".into(),
            );
        }
        for (name, purposes) in [
            ("collect", &self.collect),
            ("segment", &self.segment),
            ("activate", &self.activate),
            ("legitimate_interest", &self.legitimate_interest),
        ] {
            for (n, purpose) in purposes.iter().enumerate() {
                if !PURPOSES.contains(purpose) {
                    add(format!("/{name}/{n}"), format!("purpose {purpose} is none; allowed: 1 to 24"));
                } else if name == "legitimate_interest" && CONSENT_ONLY.contains(purpose) {
                    let why = format!("purpose {purpose} needs consent; allowed: 2, 7 and higher");
                    add(format!("/{name}/{n}"), why);
                }
            }
        }
        for (n, country) in self.purpose_one_countries.iter().enumerate() {
            if country.len() != 2 || !country.bytes().all(|b| b.is_ascii_uppercase()) {
                let why =
                    format!("`{country}` is no country; allowed: two letters of ISO 3166-1, such as `DE`");
                add(format!("/purpose_one_countries/{n}"), why);
            }
        }
        for (name, denies) in [("us_opt_out", self.us_opt_out), ("us_children", self.us_children)] {
            if denies == Denies::Nothing {
                let why = "`nothing` would ignore the visitor; allowed: `activate`, `segment`, `collect`";
                add(format!("/{name}"), why.into());
            }
        }
        problems
    }

    /// The purposes that a stage needs, those of the stages before it included.
    pub(crate) fn needs(&self, stage: Stage) -> u64 {
        let lists = [&self.collect, &self.segment, &self.activate];
        lists[..=stage as usize].iter().fold(0, |mask, list| mask | Flags::of(list).mask())
    }
}
