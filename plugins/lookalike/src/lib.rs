//! The `lookalike` segmentation: profiles that behave like the members of a seed segment.
//!
//! ```toml
//! [segments.like-redeemers]
//! plugin = "lookalike"
//! config = { seed = "redeemers", top = "5 %", exclude_events = ["conversion"] }
//! ```
//!
//! From each profile's events and attributes it draws features: how often, how much, how recently and in which
//! categories, on how many days and when in the week, and what the attributes say. A logistic regression learns what
//! sets the seed apart; the profiles outside the seed that score highest are the audience, exactly as many as were
//! asked for on the data that was fitted. Between fits the least score stays, so the audience follows behaviour.
//!
//! **What defines the seed must be excluded** (`exclude_events`, `exclude_features`): a model that sees the definition
//! finds the definition and nothing like it. The report names every feature that alone tells the seed apart (area
//! under its ROC curve above 0.99) as `leak? auc of …`, and the log warns of it.
//!
//! How good a model is the report says on a quarter of the profiles that it did not learn from: `auc` (0.5 is
//! guessing, 1 is perfect) and `lift_at_10` (how many times as dense the seed is in the best tenth).

mod columns;
mod config;
mod extract;
mod feature;
mod fit;
mod measure;
mod model;
mod table;

pub use config::Config;

use columns::Columns;
use extract::{Entries, Extractor};
use kindred_plugin_api::prelude::*;
use model::{Model, State, fingerprint, probability};
use std::collections::BTreeSet;
use table::Table;

/// Contributions that an explanation lists.
const EVIDENCE: usize = 5;

/// The plugin.
pub struct Lookalike {
    context: Context,
    segments: Vec<Lookalikes>,
}

/// One segment.
struct Lookalikes {
    name: String,
    config: Config,
    columns: Option<Columns>,
    training: Option<(Extractor, Table)>,
    fitted: Option<Model>,
    /// Reads what the fitted model knows.
    reader: Option<Extractor>,
}

impl Segmentation for Lookalike {
    const MANIFEST: Manifest =
        manifest!("lookalike", "profiles that behave like the members of a seed segment", ["model"]);
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        config.problems()
    }

    fn facts(config: &Config) -> Facts {
        Facts { depends_on: vec![config.seed.clone()], ..Facts::default() }
    }

    fn open(segments: Vec<Segment<Config>>, context: Context) -> Result<Self> {
        let state = context.state().map(|bytes| {
            State::from_bytes(bytes).unwrap_or_else(|| {
                context.warn("the stored models are of another version and are not used; fit again");
                State::default()
            })
        });
        let open = |Segment { name, config }: Segment<Config>| {
            let fitted = state.as_ref().and_then(|state| state.model(&name, &config));
            Lookalikes { name, config, columns: None, training: None, fitted, reader: None }
        };
        let segments = segments.into_iter().map(open).collect();
        Ok(Self { segments, context })
    }

    fn plan(&mut self, catalog: &Schema) -> Result<Needs> {
        self.check(catalog)?;
        let names: BTreeSet<String> =
            self.segments.iter().flat_map(|s| Columns::choose(catalog, &s.config).names()).collect();
        Ok(Needs { columns: names.into_iter().collect(), look_back_us: None })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<()> {
        for segment in &mut self.segments {
            segment.columns = Some(Columns::choose(&input, &segment.config));
            segment.prepare();
        }
        Ok(())
    }

    fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        self.segments.iter_mut().try_for_each(|segment| segment.observe(batch))
    }

    fn fit(&mut self) -> Result<Fitted> {
        let reports: Vec<Report> = self.segments.iter_mut().map(Lookalikes::fit).collect();
        for (name, auc) in reports.iter().flat_map(|report| &report.figures) {
            if name.starts_with("leak?") {
                self.context.warn(&format!("{name} is {auc:.3}: exclude what defines the seed"));
            }
        }
        let kept = |s: &Lookalikes| (s.name.clone(), fingerprint(&s.config), s.fitted.clone());
        let state = State { segments: self.segments.iter().map(kept).collect() };
        let state = state.to_bytes().map_err(|error| Fault::permanent("state", error.to_string()))?;
        Ok(Fitted { reports, state })
    }

    fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        let mut members = vec![Vec::new(); batch.num_rows()];
        for (segment, ordinal) in self.segments.iter_mut().zip(0_u32..) {
            segment.score(batch, |row, scored| {
                if scored.holds() {
                    members[row].push(ordinal);
                }
            })?;
        }
        let mut evaluated = Evaluated::with_capacity(members.len());
        members.into_iter().for_each(|ordinals| evaluated.push(ordinals, None));
        Ok(evaluated)
    }

    fn explain(&mut self, batch: &RecordBatch, segment: usize) -> Result<Reason> {
        let count = self.segments.len();
        let found = self.segments.get_mut(segment);
        let segment =
            found.ok_or_else(|| Fault::permanent("segment", format!("no segment {segment} of {count}")))?;
        segment.explain(batch)
    }
}

impl Lookalike {
    fn check(&self, catalog: &Schema) -> Result<()> {
        let problems: Vec<Problem> = self
            .segments
            .iter()
            .enumerate()
            .flat_map(|(i, segment)| {
                let found = Columns::check(catalog, &segment.config);
                found
                    .into_iter()
                    .map(move |problem| Problem { path: format!("/{i}{}", problem.path), ..problem })
            })
            .collect();
        if problems.is_empty() { Ok(()) } else { Err(Fault::config(problems)) }
    }
}

impl Lookalikes {
    /// Makes ready to read what the fitted model knows.
    fn prepare(&mut self) {
        self.reader = match (&self.fitted, &self.columns) {
            (Some(model), Some(columns)) => {
                let features = model.terms.iter().map(|term| &term.feature);
                Some(Extractor::knowing(&self.config, columns.clone(), features))
            }
            _ => None,
        };
    }

    fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        let columns = self.columns.clone().ok_or_else(unbound)?;
        let start = || (Extractor::learning(&self.config, columns), Table::default());
        let (extractor, table) = self.training.get_or_insert_with(start);
        extractor.read(batch, |view, row, entries| {
            table.push(view.profile.value(row), view.in_seed(row), &entries)
        })
    }

    fn fit(&mut self) -> Report {
        let fitted = match self.training.take() {
            Some((extractor, table)) => fit::fit(&self.name, &self.config, &extractor, table),
            None => Err("there are no profiles".into()),
        };
        let (model, report) = match fitted {
            Ok((model, report)) => (Some(model), report),
            Err(problem) => {
                (None, Report { segment: self.name.clone(), problem: Some(problem), ..Report::default() })
            }
        };
        self.fitted = model;
        self.prepare();
        report
    }

    /// Calls back with each row; not at all without a model.
    fn score(&mut self, batch: &RecordBatch, mut row: impl FnMut(usize, Scored)) -> Result<()> {
        let (Some(model), Some(reader)) = (&self.fitted, &mut self.reader) else { return Ok(()) };
        reader.read(batch, |view, i, entries| {
            let score = model.score(&entries);
            let reaches = model.reaches(score, view.profile.value(i));
            row(i, Scored { entries, score, reaches, in_seed: view.in_seed(i) });
        })
    }

    fn explain(&mut self, batch: &RecordBatch) -> Result<Reason> {
        let mut found = None;
        self.score(batch, |_, scored| found = Some(scored))?;
        let condition = format!("like the members of `{}`", self.config.seed);
        let (Some(model), Some(scored)) = (&self.fitted, found) else {
            let value = Some("there is no model; its report says why".into());
            return Ok(Reason { condition, holds: Some(false), value, ..Reason::default() });
        };
        let outside = Reason {
            condition: format!("not in `{}`", self.config.seed),
            holds: Some(!scored.in_seed),
            ..Reason::default()
        };
        let reaches = Reason {
            condition: format!("score of at least {:.4}", probability(model.cut_off.score)),
            holds: Some(scored.reaches),
            value: Some(format!("{:.4}", probability(scored.score))),
            threshold: Some(format!(">= {:.4}", probability(model.cut_off.score))),
            evidence: evidence(model, &scored.entries),
            ..Reason::default()
        };
        let because = vec![outside, reaches];
        Ok(Reason { condition, holds: Some(scored.holds()), because, ..Reason::default() })
    }
}

/// One profile, scored.
struct Scored {
    entries: Entries,
    score: f64,
    reaches: bool,
    in_seed: bool,
}

impl Scored {
    fn holds(&self) -> bool {
        self.reaches && !self.in_seed
    }
}

/// What moves the score most, in log-odds.
fn evidence(model: &Model, entries: &Entries) -> Vec<String> {
    let line = |(term, value, moves): (&model::Term, Option<f32>, f64)| match value {
        Some(value) => format!("{moves:+.3} {}: {value:.3}, mean {:.3}", term.feature, term.mean),
        None => format!("{moves:+.3} {}: none, mean {:.3}", term.feature, term.mean),
    };
    model.contributions(entries).into_iter().take(EVIDENCE).map(line).collect()
}

fn unbound() -> Fault {
    Fault::permanent("unbound", "a batch came before bind")
}

register!(segmentation Lookalike);

#[cfg(test)]
mod tests;
