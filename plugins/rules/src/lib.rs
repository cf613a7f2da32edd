//! The `rules` segmentation: a segment is a boolean SQL expression over a profile, and all segments are evaluated in
//! one pass.
//!
//! ```sql
//! count(event = 'product_view' AND category = 'winter-coats', '30 days') >= 2
//! AND NOT did(event = 'purchase' AND category = 'winter-coats', '30 days')
//! AND attr('crm.country') IN ('DE', 'AT') AND NOT in_segment('suppressed')
//! ```
//!
//! What rules can say, and what it means, is told by [`mod@reference`], from which `docs/rules.md` is made.

mod aggregate;
mod ast;
mod audience;
mod bits;
mod calendar;
mod call;
mod case;
mod check;
mod columns;
mod compile;
mod evaluate;
mod explain;
mod graph;
mod identifiers;
mod kernel;
mod like;
mod literal;
mod logic;
mod needs;
mod nest;
mod parse;
mod reads;
pub mod reference;
mod rewrite;
mod sequence;
mod source;
mod texts;
mod time;
mod vector;
mod wide;
mod window;

use audience::{Census, Known};
use check::{Catalog, check};
use columns::Columns;
use compile::Program;
use evaluate::Evaluator;
use kindred_plugin_api::prelude::*;
use parse::Rule;
use std::{cell::Cell, collections::HashMap};

/// How many misspelt names are compared with all others.
const GUESSES: usize = 100;

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
    ordinals: HashMap<String, usize>,
    rules: Vec<Rule>,
    /// Ordinals, each after those that it refers to.
    order: Vec<usize>,
    evaluator: Option<Evaluator>,
    /// What everybody gave in an earlier run.
    known: Vec<Known>,
    census: Census,
}

impl Segmentation for Rules {
    const MANIFEST: Manifest = manifest!(
        "rules",
        "segments as boolean SQL expressions over events, attributes and segments",
        ["nests", "narrow", "adds", "recalls"]
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
        let reads = rule.as_ref().ok().and_then(|rule| reads::sources(&rule.root));
        let reads = reads.map(|sources| sources.into_iter().collect());
        let model = rule.is_ok_and(|rule| is_model(&rule));
        Facts { depends_on: depends_on.into_iter().collect(), model, reads }
    }

    fn open(segments: Vec<Segment<Config>>, context: Context) -> Result<Self> {
        let mut problems = Vec::new();
        let mut rules = Vec::with_capacity(segments.len());
        for (ordinal, segment) in segments.iter().enumerate() {
            let found = match Rule::parse(&segment.config.rule) {
                Ok(rule) => {
                    let found = check(&rule.root, Catalog::Unseen);
                    rules.push(rule);
                    found
                }
                Err(found) => found,
            };
            problems.extend(found.into_iter().map(|problem| nest::placed(ordinal, problem)));
        }
        if !problems.is_empty() {
            return Err(Fault::config(problems));
        }
        let names: Vec<String> = segments.into_iter().map(|segment| segment.name).collect();
        let order = nest::order(&names, &rules).map_err(Fault::config)?;
        let ordinals = names.iter().enumerate().map(|(ordinal, name)| (name.clone(), ordinal)).collect();
        // A state that cannot be read is as good as none: everybody is looked at again.
        let known = context.state().and_then(|state| serde_json::from_slice(state).ok()).unwrap_or_default();
        Ok(Self { names, ordinals, rules, order, evaluator: None, known, census: Census::default() })
    }

    fn plan(&mut self, catalog: &Schema) -> Result<Needs> {
        self.check(catalog)?;
        Ok(needs::needs(&self.rules, &self.ordinals))
    }

    fn bind(&mut self, input: SchemaRef) -> Result<()> {
        self.check(&input)?;
        let mut program = Program::new(&self.names, &input);
        for &ordinal in &self.order {
            program.add(ordinal, &self.rules[ordinal].root);
        }
        let mut evaluator = Evaluator::new(program);
        evaluator.known.clone_from(&self.known);
        self.evaluator = Some(evaluator);
        Ok(())
    }

    fn observe(&mut self, batch: &RecordBatch) -> Result<()> {
        let evaluator = self.evaluator.as_mut().ok_or_else(unbound)?;
        evaluator.run_census(batch)?;
        self.census.observe(&evaluator.program, &evaluator.profiles);
        Ok(())
    }

    fn observed(&mut self) -> Result<Vec<u8>> {
        postcard::to_stdvec(&std::mem::take(&mut self.census)).map_err(|error| unreadable(&error))
    }

    fn absorb(&mut self, observed: &[u8]) -> Result<()> {
        self.census.absorb(postcard::from_bytes(observed).map_err(|error| unreadable(&error))?);
        Ok(())
    }

    fn survey(&mut self, batch: &RecordBatch) -> Result<Evaluated> {
        let evaluator = self.evaluator.as_mut().ok_or_else(unbound)?;
        evaluator.survey(batch, |program, profiles| self.census.observe(program, profiles))
    }

    fn learn(&mut self, state: &[u8]) -> Result<()> {
        let evaluator = self.evaluator.as_mut().ok_or_else(unbound)?;
        let unreadable =
            |error| Fault::permanent("state", format!("what was learnt cannot be read: {error}"));
        self.known = serde_json::from_slice(state).map_err(unreadable)?;
        evaluator.known.clone_from(&self.known);
        evaluator.is_seen();
        Ok(())
    }

    fn recall(&mut self, batch: u32) -> Result<Evaluated> {
        self.evaluator.as_mut().ok_or_else(unbound)?.recall(batch as usize)
    }

    fn fit(&mut self) -> Result<Fitted> {
        let evaluator = self.evaluator.as_mut().ok_or_else(unbound)?;
        evaluator.is_seen();
        self.known = std::mem::take(&mut self.census).fit(&evaluator.program);
        evaluator.known.clone_from(&self.known);
        let state = serde_json::to_vec(&self.known)
            .map_err(|error| Fault::permanent("state", format!("what was learnt cannot be kept: {error}")))?;
        let mut places: HashMap<usize, Vec<usize>> = HashMap::new();
        for (place, figure) in evaluator.program.figures.iter().enumerate() {
            places.entry(figure.value()).or_default().push(place);
        }
        let mut reports = Vec::with_capacity(self.rules.len());
        for (name, rule) in self.names.iter().zip(&self.rules) {
            let figures = explain::figures(evaluator, &places, rule);
            reports.push(Report { segment: name.clone(), figures, ..Report::default() });
        }
        Ok(Fitted { reports, state })
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
        Ok(explain::explain(evaluator, batch, &self.rules, segment))
    }
}

impl Rules {
    fn check(&self, schema: &Schema) -> Result<()> {
        let (columns, guesses) = (Columns::new(schema), Cell::new(GUESSES));
        let catalog = Catalog::Seen { columns: &columns, own: &self.ordinals, guesses: &guesses };
        let found = self.rules.iter().enumerate().flat_map(|(ordinal, rule)| {
            let problems = check(&rule.root, catalog);
            problems.into_iter().map(move |problem| nest::placed(ordinal, problem))
        });
        let problems: Vec<Problem> = found.collect();
        if problems.is_empty() { Ok(()) } else { Err(Fault::config(problems)) }
    }
}

/// Whether a rule asks about everybody.
fn is_model(rule: &Rule) -> bool {
    let mut model = false;
    rule.root.walk(&mut |expr| {
        model |= matches!(expr.kind, ast::ExprKind::Percentile(_) | ast::ExprKind::Total(_));
    });
    model
}

fn unreadable(error: &postcard::Error) -> Fault {
    Fault::permanent("observed", format!("what an instance observed cannot be handed on: {error}"))
}

fn unbound() -> Fault {
    Fault::permanent("not-bound", "called before the schema was agreed")
}

register!(segmentation Rules);
