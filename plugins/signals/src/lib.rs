//! What a visitor said about their data, read from the signals that a page view carries, and what may be done with it.
//!
//! Signals are read by [`TcString`], [`Gpp`], [`UsPrivacy`], [`GoogleConsent`] and [`gpc`]; [`Policy::decide`] makes a
//! [`Consent`] of them: collect, segment, activate. Whatever cannot be read denies everything, and no error repeats a signal, for a
//! signal tells people apart.
//!
//! ```
//! use kindred_signals::{Policy, Signals};
//!
//! let policy = Policy { vendor: Some(21), ..Policy::default() };
//! let tcf = Some("CQgYw8AQgYw8AEsACBENAHFgALAAAAAAAAAAAKgAACAAAAAA");
//! let consent = policy.decide(&Signals { tcf, ..Signals::default() });
//! assert_eq!(consent.text(), "granted");
//! assert_eq!(consent.version, "tcf2 policy5 list7 cmp300 2026-03-01");
//!
//! let consent = policy.decide(&Signals { tcf, gpc: true, ..Signals::default() });
//! assert_eq!(consent.text(), "collect segment");
//! ```

mod bits;
mod consent;
mod decide;
mod google;
mod gpp;
mod malformed;
mod policy;
mod tcf;
mod us;
mod us_privacy;
mod vendors;

pub use consent::{Consent, Stage};
pub use google::GoogleConsent;
pub use gpp::{Gpp, Section};
pub use malformed::{Malformed, Result};
pub use policy::{Denies, NoSignal, Policy};
pub use tcf::{Flags, PublisherTc, Restriction, RestrictionType, TcString};
pub use us::{Field, UsSection};
pub use us_privacy::UsPrivacy;
pub use vendors::VendorSet;

/// The signals of one page view, as they came. An empty text is no signal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Signals<'a> {
    /// TC string: cookie `euconsent-v2`, parameter `gdpr_consent`.
    pub tcf: Option<&'a str>,
    /// GPP string: parameter `gpp`.
    pub gpp: Option<&'a str>,
    /// US Privacy string: cookie `usprivacy`, parameter `us_privacy`.
    pub us_privacy: Option<&'a str>,
    /// Google consent mode: parameter `gcs`.
    pub gcs: Option<&'a str>,
    /// Global Privacy Control: [`gpc`] of the header `Sec-GPC`.
    pub gpc: bool,
}

/// Whether Global Privacy Control is on, from all lines of the header `Sec-GPC`: any `1` means on, and nothing else does.
///
/// Global Privacy Control, "The Sec-GPC Header Field"; a proxy may have joined lines by commas (RFC 9110, section 5.3).
///
/// ```
/// assert!(kindred_signals::gpc(["0", "1"]));
/// assert!(!kindred_signals::gpc(["true"]));
/// ```
pub fn gpc<'a>(lines: impl IntoIterator<Item = &'a str>) -> bool {
    lines.into_iter().flat_map(|line| line.split(',')).any(|value| value.trim() == "1")
}

#[cfg(test)]
mod tests;
