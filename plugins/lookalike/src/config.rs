//! The options of one lookalike segment.

use kindred_plugin_api::prelude::*;

/// Finds the profiles that behave like the members of a seed segment.
///
/// A logistic regression learns what sets the seed apart, and the profiles outside the seed with the highest scores
/// become the audience.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Segment whose members the audience shall resemble.
    pub seed: String,
    /// Size of the audience as a share of all profiles that are not in the seed, rounded up: `5 %`. Either this or
    /// `count`.
    #[serde(default)]
    pub top: Option<String>,
    /// Size of the audience in profiles. Either this or `top`.
    #[serde(default)]
    pub count: Option<u64>,
    /// Members that the seed must have; with fewer there is no model and the audience is empty.
    #[serde(default = "default_minimum_seed")]
    pub minimum_seed: u64,
    /// Events that the model does not see. Name whatever defines the seed: with a seed of those who did `conversion`,
    /// a model that sees conversions only finds the seed's definition again.
    #[serde(default)]
    pub exclude_events: Vec<String>,
    /// Columns to learn from, `attr.SOURCE.NAME` or `events.PROPERTY`; a `*` at the end stands for anything.
    #[serde(default = "default_features")]
    pub features: Vec<String>,
    /// Columns to leave out of `features`: numbers that count nothing (a shop's number), what defines the seed, and
    /// what must not be used to choose people.
    #[serde(default)]
    pub exclude_features: Vec<String>,
    /// Event property whose values are counted one by one. Default: `category` where events have it, else every
    /// property of text.
    #[serde(default)]
    pub category: Option<String>,
    /// How many values of the category are counted: those that most profiles have.
    #[serde(default = "default_top_categories")]
    pub top_categories: usize,
}

/// Fewer members than this say nothing, whatever `minimum_seed` allows: a quarter of them is held out.
const SMALLEST_SEED: u64 = 10;

fn default_minimum_seed() -> u64 {
    50
}

fn default_features() -> Vec<String> {
    vec!["*".into()]
}

fn default_top_categories() -> usize {
    40
}

impl Config {
    /// What is wrong with the options, before anything is opened.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        match (&self.top, self.count) {
            (None, None) => problems.push(Problem::new("", "`top` or `count` is missing").help(SIZE_HELP)),
            (Some(_), Some(_)) => {
                problems.push(Problem::new("/count", "`top` and `count` are both given").help(SIZE_HELP));
            }
            (None, Some(0)) => problems.push(Problem::new("/count", "`count` is 0, at least 1 is allowed")),
            (Some(text), None) if percent(text).is_none() => problems.push(
                Problem::new("/top", format!("`{text}` is not a share"))
                    .help("a number above 0 and up to 100 with a percent sign: `5 %`"),
            ),
            _ => {}
        }
        if self.minimum_seed < SMALLEST_SEED {
            let found =
                format!("`minimum_seed` is {}, at least {SMALLEST_SEED} is allowed", self.minimum_seed);
            problems.push(Problem::new("/minimum_seed", found));
        }
        if self.features.is_empty() {
            problems.push(
                Problem::new("/features", "`features` is empty").help("leave it out to learn from all"),
            );
        }
        problems
    }

    /// How many of so many candidates become members.
    pub(crate) fn audience(&self, candidates: usize) -> usize {
        let wanted = match (self.count, self.top.as_deref().and_then(percent)) {
            (Some(count), _) => usize::try_from(count).unwrap_or(usize::MAX),
            (None, Some(percent)) => (candidates as f64 * percent / 100.0).ceil() as usize,
            (None, None) => 0,
        };
        wanted.min(candidates)
    }

    /// True for a column that the model may learn from.
    pub(crate) fn reads(&self, column: &str) -> bool {
        let any = |patterns: &[String]| patterns.iter().any(|pattern| matches(pattern, column));
        any(&self.features) && !any(&self.exclude_features)
    }
}

const SIZE_HELP: &str = "give one of `top = \"5 %\"` and `count = 200`";

/// True when a pattern of `features` names this column.
pub(crate) fn matches(pattern: &str, column: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => column.starts_with(start),
        None => column == pattern,
    }
}

fn percent(text: &str) -> Option<f64> {
    let number: f64 = text.trim().strip_suffix('%')?.trim_end().parse().ok()?;
    (number > 0.0 && number <= 100.0).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Config {
        serde_json::from_str(json).unwrap()
    }

    fn paths(json: &str) -> Vec<String> {
        config(json).problems().into_iter().map(|p| p.path).collect()
    }

    #[test]
    fn exactly_one_size_is_wanted() {
        assert_eq!(paths(r#"{"seed": "vip"}"#), [""]);
        assert_eq!(paths(r#"{"seed": "vip", "top": "5 %", "count": 3}"#), ["/count"]);
        assert_eq!(paths(r#"{"seed": "vip", "count": 0, "minimum_seed": 9}"#), ["/count", "/minimum_seed"]);
        for bad in ["5", "0 %", "101 %", "NaN %", "-1 %", "five %", ""] {
            assert_eq!(paths(&format!(r#"{{"seed": "vip", "top": "{bad}"}}"#)), ["/top"], "{bad}");
        }
        for good in ["5 %", "5%", " 0.5 % ", "100 %"] {
            assert!(paths(&format!(r#"{{"seed": "vip", "top": "{good}"}}"#)).is_empty(), "{good}");
        }
    }

    #[test]
    fn a_share_rounds_up_and_never_asks_for_more_than_there_are() {
        let share = config(r#"{"seed": "vip", "top": "5 %"}"#);
        assert_eq!([0, 1, 20, 21, 100].map(|n| share.audience(n)), [0, 1, 1, 2, 5]);
        let count = config(r#"{"seed": "vip", "count": 30}"#);
        assert_eq!([0, 29, 31].map(|n| count.audience(n)), [0, 29, 30]);
    }

    #[test]
    fn exclusions_win() {
        let config = config(
            r#"{"seed": "vip", "count": 1, "features": ["attr.crm.*", "events.amount"], "exclude_features": ["attr.crm.age"]}"#,
        );
        let read = ["attr.crm.income", "attr.crm.age", "attr.web.city", "events.amount", "events.amounts"];
        assert_eq!(read.map(|c| config.reads(c)), [true, false, false, true, false]);
    }
}
