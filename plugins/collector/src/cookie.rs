//! The id cookie: 128 random bits and a signature, so that nobody can make one, and none is believed that was not made
//! here.

use crate::options::CookieConfig;
use axum::http::{HeaderMap, HeaderValue, header::COOKIE};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine};
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Characters of an id: 16 bytes in base64.
const ID: usize = 22;
/// Where a cookie is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// With requests of the site's own pages: `SameSite=Lax`.
    Site,
    /// With requests of any page, for cookie sync only: `SameSite=None`, and a name of its own.
    Anywhere,
}

/// Makes and reads id cookies.
pub(crate) struct Cookies {
    name: String,
    name_anywhere: String,
    key: Hmac<Sha256>,
    max_age_s: u64,
}

impl Cookies {
    /// From the options, which were checked.
    pub(crate) fn new(config: &CookieConfig) -> Option<Self> {
        Some(Self {
            name: config.name.clone(),
            name_anywhere: format!("{}_x", config.name),
            key: Hmac::new_from_slice(config.secret.expose().as_bytes()).ok()?,
            max_age_s: config.max_age_s()?,
        })
    }

    /// A new id.
    pub(crate) fn make(&self) -> Option<String> {
        let mut bits = [0; 16];
        getrandom::fill(&mut bits).ok()?;
        Some(BASE64_URL_SAFE_NO_PAD.encode(bits))
    }

    /// The id of the site's own cookie, else of the one for cookie sync; none when it was not made here.
    pub(crate) fn read(&self, headers: &HeaderMap) -> Option<String> {
        self.read_named(headers, &self.name).or_else(|| self.read_named(headers, &self.name_anywhere))
    }

    fn read_named(&self, headers: &HeaderMap, name: &str) -> Option<String> {
        let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
        let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.filter(|(found, _)| *found == name).find_map(|(_, value)| self.verified(value))
    }

    fn verified(&self, value: &str) -> Option<String> {
        let (id, signature) = value.split_once('.')?;
        if id.len() != ID || BASE64_URL_SAFE_NO_PAD.decode(id).ok()?.len() != 16 {
            return None;
        }
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        let mut mac = self.key.clone();
        mac.update(id.as_bytes());
        mac.verify_slice(&signature).ok()?;
        Some(id.to_owned())
    }

    /// The header that takes it away.
    pub(crate) fn forget(&self, reach: Reach, domain: Option<&str>) -> Option<HeaderValue> {
        HeaderValue::from_str(&self.header("", reach, domain, 0)).ok()
    }

    /// The header that sets it.
    pub(crate) fn set(&self, id: &str, reach: Reach, domain: Option<&str>) -> Option<HeaderValue> {
        let mut mac = self.key.clone();
        mac.update(id.as_bytes());
        let signature = BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes());
        let value = format!("{id}.{signature}");
        HeaderValue::from_str(&self.header(&value, reach, domain, self.max_age_s)).ok()
    }

    fn header(&self, value: &str, reach: Reach, domain: Option<&str>, max_age_s: u64) -> String {
        let (name, same_site) = match reach {
            Reach::Site => (&self.name, "Lax"),
            Reach::Anywhere => (&self.name_anywhere, "None"),
        };
        let domain = domain.map(|domain| format!("; Domain={domain}")).unwrap_or_default();
        format!("{name}={value}; Path=/; Max-Age={max_age_s}{domain}; Secure; HttpOnly; SameSite={same_site}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cookies(secret: &str) -> Cookies {
        let json = format!(r#"{{"secret":"{secret}"}}"#);
        Cookies::new(&kindred_plugin_api::options::parse(&json).unwrap()).unwrap()
    }

    fn sent(value: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(COOKIE, HeaderValue::from_str(&format!("a=b; kindred_id={value}; c=d")).unwrap());
        headers
    }

    fn value(cookies: &Cookies, id: &str) -> String {
        let header = cookies.set(id, Reach::Site, None).unwrap();
        header.to_str().unwrap().split_once('=').unwrap().1.split(';').next().unwrap().to_owned()
    }

    #[test]
    fn what_was_set_is_read_and_attributes_are_strict() {
        let cookies = cookies("01234567890123456789012345678901");
        let id = cookies.make().unwrap();
        assert_ne!(id, cookies.make().unwrap());
        assert_eq!(cookies.read(&sent(&value(&cookies, &id))), Some(id.clone()));
        let lax = cookies.set(&id, Reach::Site, Some("shop.example")).unwrap();
        let lax = lax.to_str().unwrap();
        assert!(
            lax.ends_with("Max-Age=33696000; Domain=shop.example; Secure; HttpOnly; SameSite=Lax"),
            "{lax}"
        );
        let none = cookies.set(&id, Reach::Anywhere, None).unwrap();
        let none = none.to_str().unwrap();
        assert!(
            none.starts_with("kindred_id_x=") && none.ends_with("Secure; HttpOnly; SameSite=None"),
            "{none}"
        );
    }

    #[test]
    fn another_secret_makes_another_signature() {
        let (ours, theirs) =
            (cookies("01234567890123456789012345678901"), cookies("x1234567890123456789012345678901"));
        let id = ours.make().unwrap();
        assert_eq!(ours.read(&sent(&value(&theirs, &id))), None);
    }

    proptest! {
        #[test]
        fn no_changed_cookie_is_believed(place in 0_usize..66, letter in "[A-Za-z0-9_.-]") {
            let cookies = cookies("01234567890123456789012345678901");
            let value = value(&cookies, &cookies.make().unwrap());
            let mut forged = value.clone();
            let place = place.min(value.len() - 1);
            forged.replace_range(place..=place, &letter);
            prop_assert_eq!(cookies.read(&sent(&forged)).is_some(), forged == value);
        }

        #[test]
        fn no_made_up_cookie_is_believed(value in "[ -:<-~]{0,100}") {
            prop_assert_eq!(cookies("01234567890123456789012345678901").read(&sent(&value)), None);
        }
    }
}
