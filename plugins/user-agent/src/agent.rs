//! What a user agent says of itself: the expressions of uap-core, and a kind of device made of what they find.

use kindred_plugin_api::prelude::*;
use std::sync::LazyLock;
use ua_parser::{Extractor, Regexes, device::ValueRef as Device};

/// Longer ones are cut: no browser sends as much, and each byte costs.
const LONGEST: usize = 1024;

/// What became of a user agent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Agent {
    pub(crate) device: &'static str,
    pub(crate) os: Option<String>,
    pub(crate) os_version: Option<String>,
    pub(crate) browser: Option<String>,
    pub(crate) browser_version: Option<String>,
}

/// What uap-core calls a device that is none.
pub(crate) const BOT: &str = "bot";

/// The compiled expressions, one set a process.
pub(crate) fn extractor() -> &'static Extractor<'static> {
    static EXTRACTOR: LazyLock<Extractor<'static>> = LazyLock::new(|| {
        compile(include_str!("../data/regexes.yaml")).unwrap_or_else(|why| panic!("regexes.yaml: {why}"))
    });
    &EXTRACTOR
}

fn compile(table: &str) -> Result<Extractor<'static>, String> {
    let regexes: Regexes<'static> = serde_saphyr::from_str(table).map_err(|error| error.to_string())?;
    regexes.try_into().map_err(|error: ua_parser::Error| error.to_string())
}

/// The part of a user agent that is looked at.
pub(crate) fn cut(agent: &str) -> &str {
    &agent[..agent.floor_char_boundary(LONGEST)]
}

impl Agent {
    /// Reads a user agent.
    pub(crate) fn read(agent: &str) -> Self {
        let (browser, os, device) = extractor().extract(agent);
        let own = |text: Option<&str>| text.filter(|text| !text.is_empty()).map(str::to_owned);
        let os_name = os.as_ref().map_or("", |os| os.os.as_ref());
        Self {
            device: kind(agent, os_name, device.as_ref()),
            os: own(Some(os_name)).filter(|name| name != "Other"),
            os_version: own(os.as_ref().and_then(|os| os.major.as_deref())),
            browser: own(browser.as_ref().map(|browser| browser.family.as_ref())),
            browser_version: own(browser.as_ref().and_then(|browser| browser.major)),
        }
    }
}

/// The kind of a device, which uap-core has no word for; the first that fits.
fn kind(agent: &str, os: &str, device: Option<&Device<'_>>) -> &'static str {
    let family = device.map_or("", |device| device.device.as_ref());
    let brand = device.and_then(|device| device.brand.as_deref()).unwrap_or_default();
    let model = device.and_then(|device| device.model.as_deref()).unwrap_or_default();
    let says = |words: &[&str]| words.iter().any(|word| agent.contains(word));
    let runs = |names: &[&str]| names.iter().any(|name| os.starts_with(name));
    let is = |names: &[&str]| names.iter().any(|name| family.starts_with(name));
    if family == "Spider" {
        BOT
    } else if runs(TV_SYSTEMS) || brand == "Generic_Inettv" || is(TV_DEVICES) || says(TV_WORDS) {
        "tv"
    } else if runs(&["WatchOS", "Chromecast"]) {
        "other"
    } else if is(TABLETS)
        || model == "Tablet"
        || brand == "Generic_Android_Tablet"
        || runs(&["BlackBerry Tablet"])
        // A Windows with "Tablet PC" in it is a PC with a pen.
        || (says(&["Tablet"]) && !runs(&["Windows"]))
        // Of Android, phones say "Mobile", tablets do not.
        || (runs(&["Android"]) && !says(&["Mobile", "Mobi", "Dalvik", "okhttp"]))
    {
        "tablet"
    } else if runs(PHONE_SYSTEMS) || is(&["Generic Smartphone", "Generic Feature Phone", "iPhone", "iPod"]) {
        "mobile"
    } else if runs(DESKTOP_SYSTEMS) {
        "desktop"
    } else if says(&["MIDP", "Mobile"]) {
        "mobile"
    } else {
        "other"
    }
}

const TV_SYSTEMS: &[&str] = &["tvOS", "ATV OS X", "FireHbbTV", "Chromecast Android", "Chromecast Linux"];
const TV_DEVICES: &[&str] = &["AppleTV", "Chromecast", "Roku"];
const TV_WORDS: &[&str] = &[
    "SmartTV",
    "SMART-TV",
    "Smart TV",
    "Smart-TV",
    "HbbTV",
    "HBBTV",
    "GoogleTV",
    "Google TV",
    "Android TV",
    "AndroidTV",
    "BRAVIA",
    "NetCast",
    "Web0S",
    "Viera",
    "CrKey",
    "Roku",
    "AFTB",
    "AFTM",
    "AFTN",
    "AFTR",
    "AFTS",
    "AFTT",
];
const TABLETS: &[&str] = &["iPad", "Generic Tablet", "Kindle", "BlackBerry Playbook", "HP TouchPad"];
const PHONE_SYSTEMS: &[&str] = &[
    "iOS",
    "Android",
    "Windows Phone",
    "Windows Mobile",
    "Windows CE",
    "BlackBerry",
    "Symbian",
    "Firefox OS",
    "KaiOS",
    "Bada",
    "Tizen",
    "Nokia Series",
    "Brew",
    "MeeGo",
    "Maemo",
    "webOS",
];
const DESKTOP_SYSTEMS: &[&str] = &[
    "Windows",
    "Mac OS",
    "Linux",
    "Chrome OS",
    "Ubuntu",
    "Kubuntu",
    "Debian",
    "Fedora",
    "Red Hat",
    "CentOS",
    "SUSE",
    "Gentoo",
    "Slackware",
    "Mandriva",
    "Arch Linux",
    "Mint",
    "PCLinuxOS",
    "Puppy",
    "FreeBSD",
    "OpenBSD",
    "NetBSD",
    "Solaris",
];
