//! Where a visit comes from: the channel, from the page, its campaign and the page before.
//!
//! Media are read as in the default channel groups of Google Analytics 4
//! (<https://support.google.com/analytics/answer/9756891>), because campaigns are tagged for those.

use crate::page::{CLICKS, Page};

/// The class of a visit. Of the page before, there may be none, or none that can be read. `internal` are hosts that count
/// as one's own, each with those below it, as does that of the page.
pub(crate) fn class(
    page: Option<&Page>,
    referrer: Option<Option<&Page>>,
    internal: &[String],
) -> &'static str {
    let from = referrer.flatten().and_then(|referrer| referrer.host.as_deref());
    let own = page.and_then(|page| page.host.as_deref()).map(|own| own.strip_prefix("www.").unwrap_or(own));
    let medium = page.and_then(|page| page.utm[1].as_deref()).unwrap_or_default().to_lowercase();
    let paid_click = page.and_then(|page| page.click.as_ref()).is_some_and(|(at, _)| CLICKS[*at].1);
    let mut all_own = own.into_iter().chain(internal.iter().map(String::as_str));
    if from.is_some_and(|from| all_own.any(|own| below(from, own))) {
        "internal"
    } else if paid_click || is_paid(&medium) {
        "paid"
    } else if ["email", "e-mail", "e_mail", "e mail", "newsletter"].contains(&medium.as_str()) {
        "email"
    } else if ["social", "social-network", "social-media", "sm", "social network", "social media"]
        .contains(&medium.as_str())
    {
        "social"
    } else {
        match from {
            Some(from) => class_of_host(from),
            // One that says no more than that there is one.
            None if referrer.is_some() || !medium.is_empty() => "other",
            None => "direct",
        }
    }
}

fn is_paid(medium: &str) -> bool {
    let display = ["display", "banner", "expandable", "interstitial", "ppc", "retargeting"];
    display.contains(&medium) || medium.starts_with("paid") || medium.contains("cp")
}

fn class_of_host(host: &str) -> &'static str {
    let first = host.split('.').next().unwrap_or_default();
    let known = |list: &[&str]| list.iter().any(|name| is(host, name));
    if known(EMAIL) || ["mail", "webmail", "outlook"].contains(&first) {
        "email"
    } else if known(SOCIAL) {
        "social"
    } else if known(SEARCH) {
        "search"
    } else {
        "other"
    }
}

/// True for `name` and what is below it; `google.*` is Google in any country.
fn is(host: &str, name: &str) -> bool {
    let Some(name) = name.strip_suffix(".*") else { return below(host, name) };
    let labels: Vec<&str> = host.split('.').collect();
    let ends = match labels.as_slice() {
        [.., name, "co" | "com" | "net" | "org" | "gov", country] if country.len() == 2 => *name,
        [.., name, _] => *name,
        _ => return false,
    };
    ends == name
}

/// True for a host and the hosts below it.
fn below(host: &str, name: &str) -> bool {
    host.strip_suffix(name).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// Hosts with an app's name come from `android-app://` referrers.
const EMAIL: &[&str] = &["com.google.android.gm", "com.microsoft.office.outlook"];

const SEARCH: &[&str] = &[
    "aol.com",
    "ask.com",
    "baidu.com",
    "bing.com",
    "com.google.android.googlequicksearchbox",
    "duckduckgo.com",
    "ecosia.org",
    "google.*",
    "lycos.*",
    "metager.org",
    "mojeek.com",
    "naver.com",
    "qwant.com",
    "search.brave.com",
    "seznam.cz",
    "sogou.com",
    "startpage.com",
    "swisscows.com",
    "yahoo.*",
    "yandex.*",
    "ya.ru",
];

const SOCIAL: &[&str] = &[
    "bsky.app",
    "com.facebook.katana",
    "com.instagram.android",
    "facebook.com",
    "fb.me",
    "instagram.com",
    "linkedin.com",
    "lnkd.in",
    "mastodon.social",
    "messenger.com",
    "ok.ru",
    "out.reddit.com",
    "pin.it",
    "pinterest.*",
    "quora.com",
    "reddit.com",
    "snapchat.com",
    "t.co",
    "t.me",
    "threads.com",
    "threads.net",
    "tiktok.com",
    "tumblr.com",
    "twitter.com",
    "vk.com",
    "weibo.com",
    "x.com",
    "xing.com",
    "youtu.be",
    "youtube.com",
];
