//! Partners of cookie sync, and the URLs that visitors are sent to: from these options only, never from a request.
//!
//! Templates are those of Prebid Server's bidder information, so they can be taken over as they are.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;

/// A partner.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartnerConfig {
    /// Where its sync begins, `https://…`, with the macros of Prebid Server: `{{.RedirectURL}}`, `{{.GDPR}}`,
    /// `{{.GDPRConsent}}`, `{{.USPrivacy}}`, `{{.GPP}}`, `{{.GPPSID}}`; and `{{.UserID}}` for our id of the visitor.
    pub url: String,
    /// What the partner replaces by its id in the URL that it sends the visitor back to: `$UID`.
    #[serde(default)]
    pub user_macro: String,
}

/// What a request fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Macro {
    Gdpr,
    GdprConsent,
    UsPrivacy,
    Gpp,
    GppSid,
    UserId,
    Key,
}

/// A part of a URL.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    /// A value, and how often it is encoded: twice inside a URL that is a parameter itself.
    Value(Macro, u8),
}

/// A URL with holes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Template(Vec<Part>);

/// All but the unreserved characters of RFC 3986, section 2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

const MACROS: [(&str, Macro); 6] = [
    ("GDPR", Macro::Gdpr),
    ("GDPRConsent", Macro::GdprConsent),
    ("USPrivacy", Macro::UsPrivacy),
    ("GPP", Macro::Gpp),
    ("GPPSID", Macro::GppSid),
    ("UserID", Macro::UserId),
];

impl PartnerConfig {
    /// Reads the template.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn compile(&self, name: &str, public_url: &str) -> Result<Template, String> {
        let local = ["http://127.0.0.1", "http://localhost"].iter().any(|local| self.url.starts_with(local));
        let rest = self.url.split_once("://").filter(|(scheme, _)| *scheme == "https" || local);
        let Some((_, rest)) = rest else { return Err("a partner's URL begins with `https://`".to_owned()) };
        let host = rest.split(['/', '?']).next().unwrap_or_default();
        let plain = |b: u8| b.is_ascii_alphanumeric() || b".-:".contains(&b);
        if host.is_empty() || !host.bytes().all(plain) {
            return Err("a partner's host is a fixed name".to_owned());
        }
        if self.url.bytes().any(|b| !b.is_ascii_graphic()) {
            return Err("a partner's URL has neither white space nor control characters".to_owned());
        }
        let mut parts = Vec::new();
        let mut rest = self.url.as_str();
        while let Some((text, behind)) = rest.split_once("{{.") {
            let Some((found, behind)) = behind.split_once("}}") else {
                return Err("a macro is not closed with `}}`".to_owned());
            };
            parts.push(Part::Text(text.to_owned()));
            match MACROS.iter().find(|(name, _)| *name == found) {
                Some((_, value)) => parts.push(Part::Value(*value, 1)),
                None if found == "RedirectURL" => parts.extend(self.back(name, public_url)),
                None => return Err(format!("`{{{{.{found}}}}}` is no macro")),
            }
            rest = behind;
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Template(parts))
    }

    /// The URL that the partner sends visitors back to, encoded once more.
    fn back(&self, name: &str, public_url: &str) -> Vec<Part> {
        let text = |text: &str| Part::Text(encoded(text));
        let mut parts = vec![text(&format!("{public_url}/setuid?bidder={name}"))];
        let values = [
            ("k", Macro::Key),
            ("gdpr", Macro::Gdpr),
            ("gdpr_consent", Macro::GdprConsent),
            ("us_privacy", Macro::UsPrivacy),
            ("gpp", Macro::Gpp),
            ("gpp_sid", Macro::GppSid),
        ];
        for (name, value) in values {
            parts.extend([text(&format!("&{name}=")), Part::Value(value, 2)]);
        }
        parts.push(text(&format!("&uid={}", self.user_macro)));
        parts
    }
}

impl Template {
    /// The URL with its holes filled; whatever the values hold, they stay values.
    pub(crate) fn fill<'a>(&self, value: impl Fn(Macro) -> &'a str) -> String {
        let mut url = String::with_capacity(512);
        for part in &self.0 {
            match part {
                Part::Text(text) => url.push_str(text),
                Part::Value(name, 1) => url.push_str(&encoded(value(*name))),
                Part::Value(name, _) => url.push_str(&encoded(&encoded(value(*name)))),
            }
        }
        url
    }
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn partner(url: &str, user_macro: &str) -> PartnerConfig {
        PartnerConfig { url: url.to_owned(), user_macro: user_macro.to_owned() }
    }

    const OPENX: &str =
        "https://rtb.openx.net/sync/prebid?gdpr={{.GDPR}}&gdpr_consent={{.GDPRConsent}}&r={{.RedirectURL}}";

    #[test]
    fn the_way_back_is_a_parameter() {
        let template = partner(OPENX, "${UID}").compile("openx", "https://c.shop.example").unwrap();
        let url = template.fill(|name| match name {
            Macro::Gdpr => "1",
            Macro::GdprConsent => "CQ&x",
            Macro::Key => "wk_1",
            _ => "",
        });
        assert_eq!(
            url,
            "https://rtb.openx.net/sync/prebid?gdpr=1&gdpr_consent=CQ%26x&r=https%3A%2F%2Fc.shop.example%2Fsetuid\
             %3Fbidder%3Dopenx%26k%3Dwk_1%26gdpr%3D1%26gdpr_consent%3DCQ%2526x%26us_privacy%3D%26gpp%3D%26gpp_sid%3D\
             %26uid%3D%24%7BUID%7D"
        );
    }

    #[test]
    fn urls_that_could_lead_elsewhere_are_refused() {
        for url in [
            "http://a.example/",
            "//a.example/",
            "javascript:alert(1)",
            "https:///x",
            "https://{{.GDPR}}/x",
            "https://a@b/x",
            "https://a.example/{{.Other}}",
            "https://a.example/{{.GDPR",
            "https://a.example/\r\nx",
        ] {
            assert!(partner(url, "").compile("p", "https://c").is_err(), "{url}");
        }
    }

    #[test]
    fn every_template_of_prebid_server_is_read() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/fixtures/cookie-sync/partners.json");
        let Ok(text) = std::fs::read_to_string(path) else {
            eprintln!("skipped: no fixture cookie-sync/partners.json");
            return;
        };
        let all: serde_json::Value = serde_json::from_str(&text).unwrap();
        let all = all["partners"].as_array().unwrap();
        assert_eq!(all.len(), 40);
        for one in all {
            let made = partner(one["url"].as_str().unwrap(), one["user_macro"].as_str().unwrap_or_default());
            let url = made.compile("p", "https://c.example").unwrap().fill(|_| "v");
            assert!(!url.contains("{{") && url.contains("https%3A%2F%2Fc.example%2Fsetuid"), "{url}");
        }
    }

    proptest! {
        /// A value never ends the parameter that it stands in, and never a line.
        #[test]
        fn values_stay_values(value in "\\PC{0,40}|(\r|\n|//|\\.|:|@|%0d%0a|&|#){0,8}") {
            let template = partner(OPENX, "$UID").compile("openx", "https://c.example").unwrap();
            let (filled, empty) = (template.fill(|_| &value), template.fill(|_| ""));
            prop_assert!(filled.starts_with("https://rtb.openx.net/sync/prebid?"));
            let marks = |url: &str| url.matches(['&', '?', '/', '#', '=', '@', ':']).count();
            prop_assert_eq!(marks(&filled), marks(&empty));
            prop_assert!(filled.bytes().all(|b| b.is_ascii_graphic()));
        }
    }
}
