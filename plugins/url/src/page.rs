//! One URL taken apart, by the URL Standard of WHATWG.

use percent_encoding::percent_decode_str;
use std::{collections::BTreeSet, sync::LazyLock};
use url::Url;

/// Parameters that name a click at an ad platform, in the order in which they are looked for, and whether a click with one
/// was paid for. Some platforms mark every link that leaves them.
pub(crate) const CLICKS: [(&str, bool); 14] = [
    ("gclid", true),
    ("gbraid", true),
    ("wbraid", true),
    ("dclid", true),
    ("msclkid", true),
    ("ttclid", true),
    ("twclid", true),
    ("li_fat_id", true),
    ("ScCid", true),
    ("rdt_cid", true),
    ("yclid", true),
    ("irclickid", true),
    ("fbclid", false),
    ("epik", false),
];

/// What is in a URL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Page {
    /// In lower case; none where the URL starts with its path.
    pub(crate) host: Option<String>,
    /// As in the URL, percent signs and all.
    pub(crate) path: String,
    /// `source`, `medium`, `campaign`, `term`, `content`.
    pub(crate) utm: [Option<String>; 5],
    /// Place in [`CLICKS`], and the value.
    pub(crate) click: Option<(usize, String)>,
    /// The URL that goes on: without user, password, fragment, and parameters that are not to be kept.
    pub(crate) kept: String,
}

const UTM: [&str; 5] = ["utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content"];

/// Stands where a URL starts with its path; never a real name (RFC 2606, section 2).
const NOWHERE: &str = "nowhere.invalid";

impl Page {
    /// None where the text is no URL of a page: `mailto:`, `data:`, a host that cannot be.
    pub(crate) fn read(text: &str, keep_query: &BTreeSet<String>) -> Option<Self> {
        static BASE: LazyLock<Option<Url>> = LazyLock::new(|| Url::parse(&format!("http://{NOWHERE}/")).ok());
        let mut url = Url::options().base_url(BASE.as_ref()).parse(text).ok()?;
        if url.cannot_be_a_base() || text.trim().is_empty() {
            return None;
        }
        let mut page = Self { path: url.path().to_owned(), ..Self::default() };
        for (name, value) in url.query_pairs().filter(|(_, value)| !value.is_empty()) {
            if let Some(at) = UTM.iter().position(|utm| *utm == name) {
                page.utm[at].get_or_insert_with(|| value.clone().into_owned());
            }
            let click = CLICKS.iter().position(|(click, _)| *click == name);
            if let Some(at) = click.filter(|at| page.click.as_ref().is_none_or(|(first, _)| at < first)) {
                page.click = Some((at, value.into_owned()));
            }
        }
        strip(&mut url, keep_query);
        page.host = url.host_str().map(str::to_lowercase).filter(|host| !host.is_empty() && *host != NOWHERE);
        page.kept = match &url[url::Position::BeforePath..] {
            _ if url.host_str() != Some(NOWHERE) => url.into(),
            // So that the start of the path does not become a host; the URL Standard, section 4.5, does the same.
            path if path.starts_with("//") => format!("/.{path}"),
            path => path.to_owned(),
        };
        Some(page)
    }

    /// The path with its percent signs resolved, as people write it.
    pub(crate) fn readable_path(&self) -> String {
        percent_decode_str(&self.path).decode_utf8_lossy().into_owned()
    }
}

/// Takes out what may tell who somebody is: e-mail addresses and tokens are mostly in these parts.
fn strip(url: &mut Url, keep_query: &BTreeSet<String>) {
    let kept: Vec<(String, String)> =
        url.query_pairs().into_owned().filter(|(name, _)| keep_query.contains(name)).collect();
    url.set_query(None);
    if !kept.is_empty() {
        url.query_pairs_mut().extend_pairs(kept);
    }
    url.set_fragment(None);
    // These two fail only where there is no host, hence no user.
    let _ = url.set_username("");
    let _ = url.set_password(None);
}
