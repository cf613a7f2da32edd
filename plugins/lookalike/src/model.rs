//! A fitted model: what is stored, and the one way to score with it.

use crate::{config::Config, feature::Feature};
use serde::{Deserialize, Serialize};

/// Standardised values are held within this, so that no single outlier decides.
const REACH: f64 = 10.0;

/// One feature of a model.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Term {
    pub(crate) feature: Feature<String>,
    pub(crate) mean: f64,
    pub(crate) deviation: f64,
    pub(crate) weight: f64,
}

impl Term {
    /// In standard deviations from the mean.
    pub(crate) fn standardise(&self, value: f32) -> f64 {
        ((f64::from(value) - self.mean) / self.deviation).clamp(-REACH, REACH)
    }

    /// The same for a profile that has no value.
    pub(crate) fn absent(&self) -> f64 {
        if self.feature.absent_is_zero() { self.standardise(0.0) } else { 0.0 }
    }
}

/// The last profile that is chosen; of equal scores the lower number comes first.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct CutOff {
    pub(crate) score: f64,
    pub(crate) profile: u32,
}

/// A fitted model. Scores are log-odds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Model {
    pub(crate) terms: Vec<Term>,
    pub(crate) intercept: f64,
    pub(crate) cut_off: CutOff,
}

impl Model {
    /// Log-odds of being in the seed; entries are numbered as the terms and ascending. Summed in one fixed order, so
    /// that the same profile scores the same to the last bit when it is fitted and when it is evaluated.
    pub(crate) fn score(&self, entries: &[(u32, f32)]) -> f64 {
        let absent: f64 = self.terms.iter().map(|term| term.weight * term.absent()).sum();
        let present = entries.iter().map(|&(number, value)| {
            let term = &self.terms[number as usize];
            term.weight * (term.standardise(value) - term.absent())
        });
        self.intercept + absent + present.sum::<f64>()
    }

    /// True when a profile with this score comes no later than the last that was chosen.
    pub(crate) fn reaches(&self, score: f64, profile: u32) -> bool {
        let CutOff { score: least, profile: last } = self.cut_off;
        score > least || (score == least && profile <= last)
    }

    /// What moves the score most, strongest first: feature, its value, and weight times standardised value.
    pub(crate) fn contributions<'a>(&'a self, entries: &[(u32, f32)]) -> Vec<(&'a Term, Option<f32>, f64)> {
        let mut values = vec![None; self.terms.len()];
        entries.iter().for_each(|&(number, value)| values[number as usize] = Some(value));
        let contribution = |(term, value): (&'a Term, Option<f32>)| {
            let deviations = value.map_or_else(|| term.absent(), |value| term.standardise(value));
            (term, value, term.weight * deviations)
        };
        let mut all: Vec<_> = self.terms.iter().zip(values).map(contribution).collect();
        all.sort_by(|a, b| b.2.abs().total_cmp(&a.2.abs()));
        all
    }
}

/// From log-odds to a probability.
pub(crate) fn probability(score: f64) -> f64 {
    1.0 / (1.0 + (-score).exp())
}

/// What the host keeps between `fit` and the next `open`: by segment, the options it was fitted with and the model.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct State {
    pub(crate) segments: Vec<(String, String, Option<Model>)>,
}

/// First byte of a state; another one is not read.
const VERSION: u8 = 1;

impl State {
    pub(crate) fn to_bytes(&self) -> Result<Vec<u8>, postcard::Error> {
        postcard::to_extend(self, vec![VERSION])
    }

    /// None for bytes that are no state of this version.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (version, rest) = bytes.split_first()?;
        if *version != VERSION { None } else { postcard::from_bytes(rest).ok() }
    }

    /// The model of a segment, unless its options have changed since.
    pub(crate) fn model(&self, segment: &str, config: &Config) -> Option<Model> {
        let print = fingerprint(config);
        self.segments.iter().find(|(name, with, _)| name == segment && *with == print)?.2.clone()
    }
}

/// What a model was fitted with.
pub(crate) fn fingerprint(config: &Config) -> String {
    serde_json::json!(config).to_string()
}
