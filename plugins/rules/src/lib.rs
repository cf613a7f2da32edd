//! The `rules` segmentation: a segment is a boolean SQL expression over a profile, and all segments are evaluated in
//! one pass.
//!
//! ```sql
//! count(event = 'product_view' AND category = 'winter-coats', '30 days') >= 2
//! AND NOT did(event = 'purchase' AND category = 'winter-coats', '30 days')
//! AND attr('crm.country') IN ('DE', 'AT') AND NOT in_segment('suppressed')
//! ```
//!
//! # What a rule is made of
//!
//! | call | value |
//! |---|---|
//! | `count(p [, w])`, `did(p [, w])` | how many events there are; whether there is one |
//! | `sum`, `min`, `max`, `avg`, `first`, `last`, `count_distinct` `(column, p [, w])` | of a column of the events |
//! | `days_since(p)` | days, whole and fractional, from the last such event to `as_of` |
//! | `attr('source.name')`, `consent()` | an attribute; `granted` or `denied` |
//! | `in_segment('name')`, `has_identifier('namespace')` | membership in another segment; never unknown |
//!
//! A predicate `p` is a condition on the columns of one event; `TRUE` is any event. A window `w` is `'30 days'` (also
//! weeks, hours, minutes, seconds) or `'60 days', '30 days'`, older bound first. Conditions are made with `=`, `<>`, `<`,
//! `<=`, `>`, `>=`, `IN`, `BETWEEN`, `LIKE` (`ESCAPE`), `IS NULL`, `IS TRUE`, `IS FALSE`, `AND`, `OR`, `NOT`, `+`, `-`, `*`, `/`.
//! Text stands in single quotes; `"double quotes"` hold names that are no plain words.
//!
//! # What it means
//!
//! - **Time** is event time. A window is half open: events in `(as_of − w, as_of]`, or `(as_of − older, as_of − newer]`;
//!   without one all events up to `as_of`. Later events never count. A day has 24 hours.
//! - **Truth** is SQL's, with unknown: a segment holds only where its rule is true. Comparing with null is unknown.
//! - **No events**: `count` and `count_distinct` are 0, `did` is false, all others are null, `sum` too.
//! - **Null in a column**: calls over a column skip those events, so `last(column, …)` is the last value known.
//! - **Numbers** are i64 and f64. They are compared exactly. `/` always gives a decimal (7 / 2 = 3.5); a division by zero,
//!   an integer beyond 64 bits and what is not a number are null. Sums of decimals are compensated, in the order of events.
//! - **Text** is compared byte by byte, so case counts, in `LIKE` too (`%` any characters, `_` one).
//! - **Times** are compared with times and with literals such as `'2026-01-31'` (UTC) or `'2026-01-31T12:00:00+02:00'`.
//! - **Ages**: `days_since` is compared with numbers or with another `days_since`, and not calculated with, so that the
//!   moment at which a comparison turns is known.
//! - **Next change** is the earliest moment at which an event that matters leaves or enters a window or an age reaches its
//!   number: never late; early only where the event that leaves does not alter the answer.

mod aggregate;
mod ast;
mod call;
mod check;
mod compile;
mod evaluate;
mod explain;
mod graph;
mod kernel;
mod like;
mod logic;
mod needs;
mod nest;
mod parse;
mod source;
mod time;
mod vector;
mod window;

use check::{Catalog, check};
use compile::Program;
use evaluate::Evaluator;
use kindred_plugin_api::prelude::*;
use parse::Rule;

/// One segment.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Who belongs to the segment, as a boolean SQL expression over a profile:
    /// `count(event = 'purchase', '30 days') >= 2 AND attr('crm.country') = 'DE'`.
    pub rule: String,
}

/// All segments of one instance.
pub struct Rules {
    names: Vec<String>,
    rules: Vec<Rule>,
    /// Ordinals, each after those that it refers to.
    order: Vec<usize>,
    evaluator: Option<Evaluator>,
}

impl Segmentation for Rules {
    const MANIFEST: Manifest = manifest!(
        "rules",
        "segments as boolean SQL expressions over events, attributes and segments",
        ["nests"]
    );
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        match Rule::parse(&config.rule) {
            Ok(rule) => check(&rule.root, Catalog::Unseen),
            Err(problems) => problems,
        }
    }

    fn facts(config: &Config) -> Facts {
        let rule = Rule::parse(&config.rule);
        let names = rule.iter().flat_map(nest::references).map(|(name, _)| name.to_owned());
        let depends_on: std::collections::BTreeSet<String> = names.collect();
        Facts { depends_on: depends_on.into_iter().collect() }
    }

    fn open(segments: Vec<Segment<Config>>, _context: Context) -> Result<Self> {
        let mut problems = Vec::new();
        let mut rules = Vec::with_capacity(segments.len());
        for (ordinal, segment) in segments.iter().enumerate() {
            let found = Self::validate(&segment.config);
            problems.extend(found.into_iter().map(|problem| nest::placed(ordinal, problem)));
            rules.extend(Rule::parse(&segment.config.rule));
        }
        if !problems.is_empty() {
            return Err(Fault::config(problems));
        }
        let names: Vec<String> = segments.into_iter().map(|segment| segment.name).collect();
        let order = nest::order(&names, &rules).map_err(Fault::config)?;
        Ok(Self { names, rules, order, evaluator: None })
    }

    fn plan(&mut self, catalog: &Schema) -> Result<Needs> {
        self.check(catalog)?;
        Ok(needs::needs(&self.rules, &self.names))
    }

    fn bind(&mut self, input: SchemaRef) -> Result<()> {
        self.check(&input)?;
        let mut program = Program::new(&self.names, input);
        for &ordinal in &self.order {
            program.add(ordinal, &self.rules[ordinal].root);
        }
        self.evaluator = Some(Evaluator::new(program));
        Ok(())
    }

    fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        self.evaluator.as_mut().ok_or_else(unbound)?.evaluate(batch)
    }

    fn explain(&mut self, batch: &RecordBatch, segment: usize) -> Result<Reason> {
        let evaluator = self.evaluator.as_mut().ok_or_else(unbound)?;
        if batch.num_rows() != 1 || segment >= self.rules.len() {
            let found =
                format!("{} profiles and segment {segment} of {}", batch.num_rows(), self.rules.len());
            return Err(Fault::permanent(
                "explain",
                format!("a reason is for one profile in one segment, not for {found}"),
            ));
        }
        evaluator.run(batch)?;
        Ok(explain::explain(evaluator, &self.rules, segment))
    }
}

impl Rules {
    fn check(&self, schema: &Schema) -> Result<()> {
        let found = self.rules.iter().enumerate().flat_map(|(ordinal, rule)| {
            let problems = check(&rule.root, Catalog::Seen(schema, &self.names));
            problems.into_iter().map(move |problem| nest::placed(ordinal, problem))
        });
        let problems: Vec<Problem> = found.collect();
        if problems.is_empty() { Ok(()) } else { Err(Fault::config(problems)) }
    }
}

fn unbound() -> Fault {
    Fault::permanent("not-bound", "called before the schema was agreed")
}

register!(segmentation Rules);
