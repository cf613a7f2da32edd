//! The columns that are made of URLs.

use crate::{
    origin,
    page::{CLICKS, Page},
};
use kindred_enriching::Distinct;
use kindred_plugin_api::prelude::*;
use std::{collections::BTreeSet, sync::Arc};

/// A new column.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum New {
    /// Host of the page, in lower case.
    Host,
    /// Path of the page, as in the URL.
    Path,
    /// Parameter `utm_source`, and so on.
    UtmSource,
    /// Parameter `utm_medium`.
    UtmMedium,
    /// Parameter `utm_campaign`.
    UtmCampaign,
    /// Parameter `utm_term`.
    UtmTerm,
    /// Parameter `utm_content`.
    UtmContent,
    /// Name of the parameter by which an ad platform knows the click: `gclid`, `fbclid`, `msclkid`, `ttclid`.
    ClickId,
    /// Its value.
    ClickIdValue,
    /// Host of the page before.
    ReferrerHost,
    /// `internal`, `paid`, `email`, `social`, `search`, `direct` or `other`; the first that fits.
    ReferrerClass,
}

/// The rows of a column and, for each of its values, what is in it.
type Pages<'a> = (&'a Distinct<'a>, &'a [Option<Page>]);

impl New {
    pub(crate) fn usual() -> BTreeSet<Self> {
        use New::*;
        let utm = [UtmSource, UtmMedium, UtmCampaign, UtmTerm, UtmContent];
        [Host, Path, ClickId, ReferrerHost, ReferrerClass].into_iter().chain(utm).collect()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Host => "host",
            Self::Path => "path",
            Self::UtmSource => "utm_source",
            Self::UtmMedium => "utm_medium",
            Self::UtmCampaign => "utm_campaign",
            Self::UtmTerm => "utm_term",
            Self::UtmContent => "utm_content",
            Self::ClickId => "click_id",
            Self::ClickIdValue => "click_id_value",
            Self::ReferrerHost => "referrer_host",
            Self::ReferrerClass => "referrer_class",
        }
    }

    /// True for those that need the page before.
    pub(crate) fn of_referrer(self) -> bool {
        matches!(self, Self::ReferrerHost | Self::ReferrerClass)
    }

    /// The column, of pages and the pages before.
    pub(crate) fn column(self, pages: Pages<'_>, before: Option<Pages<'_>>, internal: &[String]) -> ArrayRef {
        match (self, before) {
            (Self::ReferrerHost, Some(before)) => of(before, |page| page.host.as_deref()),
            (Self::ReferrerClass, Some(before)) => {
                let texts = before.0.spread(before.0.values());
                let referrers = before.0.spread(before.1).zip(texts).map(|(referrer, text)| {
                    referrer.filter(|_| text.is_some_and(|text| !text.trim().is_empty())).map(Option::as_ref)
                });
                let class = |(page, referrer): (Option<&Option<Page>>, _)| {
                    Some(origin::class(page?.as_ref(), referrer, internal))
                };
                let both = pages.0.spread(pages.1).zip(referrers);
                Arc::new(both.map(class).collect::<StringArray>())
            }
            _ => of(pages, |page| self.of_page(page)),
        }
    }

    fn of_page(self, page: &Page) -> Option<&str> {
        match self {
            Self::Host => page.host.as_deref(),
            Self::Path => Some(&page.path),
            Self::UtmSource => page.utm[0].as_deref(),
            Self::UtmMedium => page.utm[1].as_deref(),
            Self::UtmCampaign => page.utm[2].as_deref(),
            Self::UtmTerm => page.utm[3].as_deref(),
            Self::UtmContent => page.utm[4].as_deref(),
            Self::ClickId => page.click.as_ref().map(|(at, _)| CLICKS[*at].0),
            Self::ClickIdValue => page.click.as_ref().map(|(_, value)| value.as_str()),
            Self::ReferrerHost | Self::ReferrerClass => None,
        }
    }
}

fn of(pages: Pages<'_>, pick: impl Fn(&Page) -> Option<&str>) -> ArrayRef {
    pages.0.column(pages.1, |page| page.as_ref().and_then(&pick))
}
