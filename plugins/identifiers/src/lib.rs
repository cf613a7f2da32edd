//! How identifiers are normalised and hashed before anyone matches on them.
//!
//! Two parties find the same person only when both turn the same raw value into the same bytes. [`Kind`] says how a
//! value is written in one way, [`Hash`](enum@Hash) what is made of it, [`apply`] does both. Each rule names its source in
//! [`rules`]. A reason for refusal never holds the value: it is personal data and reasons reach logs.
//!
//! ```
//! use kindred_identifiers::{apply, namespace, Hash, Kind, Rule};
//!
//! let rule = Rule::new(Kind::Email, Hash::None);
//! assert_eq!(apply(&rule, " Jane.Saoirse+work@Gmail.com ").as_deref(), Ok("janesaoirse@gmail.com"));
//! assert_eq!(namespace("email", &Rule::new(Kind::Email, Hash::Sha256)), "email_sha256");
//! ```

pub mod rules;

use base64::prelude::{BASE64_STANDARD, Engine};
use md5::Md5;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use std::borrow::Cow;

/// What a value is, hence how it is written in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// E-mail address by UID2's rule: lower case, and for gmail.com no dots and nothing from `+` on.
    Email,
    /// E-mail address by Google's customer match rule: no white space anywhere, lower case, dots and `+` kept.
    EmailGoogle,
    /// Phone number in E.164: `+4915112345678`.
    Phone,
    /// Phone number by Meta's rule: digits with country code, no `+`, no leading zeros.
    PhoneMeta,
    /// City by Meta's rule: lower-case letters, nothing else.
    CityMeta,
    /// Mobile advertising id in the case that it came in; all upper or all lower, never mixed.
    Maid,
    /// Apple's advertising id: a UUID in upper case.
    Idfa,
    /// Android's advertising id: a UUID in lower case.
    Aaid,
    /// Anything else: white space at both ends is removed.
    Plain,
}

/// What is made of the normalised value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Hash {
    /// The value itself.
    #[default]
    None,
    /// SHA-256, 64 lower-case hexadecimal digits.
    Sha256,
    /// SHA-256, base64 with padding (UID2, The Trade Desk).
    Sha256Base64,
    /// SHA-1, 40 lower-case hexadecimal digits (LiveRamp phones, Xandr device ids).
    Sha1,
    /// MD5, 32 lower-case hexadecimal digits; only where the far side takes nothing better.
    Md5,
}

/// How one column of raw values becomes a column of identifiers.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What the value is.
    pub kind: Kind,
    /// What is made of it.
    #[serde(default)]
    pub hash: Hash,
    /// Country of phone numbers that come without `+` and country code: two letters of ISO 3166-1, `DE`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
}

impl Rule {
    /// A rule with no region.
    pub fn new(kind: Kind, hash: Hash) -> Self {
        Self { kind, hash, region: None }
    }

    /// The same rule for phone numbers written as in `region`.
    #[must_use]
    pub fn region(mut self, region: impl Into<String>) -> Self {
        self.region = Some(region.into());
        self
    }

    /// What is wrong with the rule itself, if anything.
    ///
    /// # Errors
    /// A region that is no ISO country, or one on a kind that is no phone.
    pub fn validate(&self) -> Result<(), String> {
        match (&self.region, self.kind) {
            (None, _) => Ok(()),
            (Some(region), Kind::Phone) if rules::phone::is_region(region) => Ok(()),
            (Some(region), Kind::Phone) => {
                Err(format!("`{region}` is no country; allowed: two letters of ISO 3166-1, such as `DE`"))
            }
            (Some(_), _) => Err("`region` is for kind `phone` only".to_owned()),
        }
    }
}

impl Hash {
    /// The suffix of a namespace whose values are hashed: `sha256`; none for [`Hash::None`].
    pub const fn suffix(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Sha256 => Some("sha256"),
            Self::Sha256Base64 => Some("sha256_base64"),
            Self::Sha1 => Some("sha1"),
            Self::Md5 => Some("md5"),
        }
    }

    /// The hash of a normalised value, as text.
    pub fn of(self, value: &str) -> String {
        match self {
            Self::None => value.to_owned(),
            Self::Sha256 => hex(&Sha256::digest(value)),
            Self::Sha256Base64 => BASE64_STANDARD.encode(Sha256::digest(value)),
            Self::Sha1 => hex(&Sha1::digest(value)),
            Self::Md5 => hex(&Md5::digest(value)),
        }
    }
}

/// The namespace of what a rule makes: `email` and SHA-256 give `email_sha256`.
pub fn namespace(base: &str, rule: &Rule) -> String {
    match rule.hash.suffix() {
        Some(suffix) => format!("{base}_{suffix}"),
        None => base.to_owned(),
    }
}

/// Normalises and hashes one raw value.
///
/// # Errors
/// Why the value is refused, in words that never hold the value.
pub fn apply(rule: &Rule, raw: &str) -> Result<String, String> {
    let normalised = normalise(rule, raw)?;
    Ok(match rule.hash {
        Hash::None => normalised.into_owned(),
        hash => hash.of(&normalised),
    })
}

/// Writes a raw value in the one way of its kind.
///
/// # Errors
/// As [`apply`].
pub fn normalise<'a>(rule: &Rule, raw: &'a str) -> Result<Cow<'a, str>, String> {
    let trimmed = raw.trim();
    if trimmed.is_empty() {
        return Err("empty value".to_owned());
    }
    match rule.kind {
        Kind::Email => rules::email::uid2(trimmed),
        Kind::EmailGoogle => rules::email::google(trimmed),
        Kind::Phone => rules::phone::e164(trimmed, rule.region.as_deref()),
        Kind::PhoneMeta => rules::meta::phone(trimmed),
        Kind::CityMeta => rules::meta::city(trimmed),
        Kind::Maid => return rules::maid::any(trimmed),
        Kind::Idfa => rules::maid::idfa(trimmed),
        Kind::Aaid => rules::maid::aaid(trimmed),
        Kind::Plain => return Ok(Cow::Borrowed(trimmed)),
    }
    .map(Cow::Owned)
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    bytes
        .iter()
        .flat_map(|b| [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]])
        .map(char::from)
        .collect()
}

#[cfg(test)]
mod tests;
