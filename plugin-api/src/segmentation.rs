//! Segmentations say which profiles belong to which segments.

use crate::{Context, Facts, Fault, Manifest, Problem, Result};
use arrow::{
    array::RecordBatch,
    datatypes::{Schema, SchemaRef},
};
use schemars::JsonSchema;
use serde::{de::DeserializeOwned, Deserialize, Serialize};

/// Says which profiles belong to which segments, over profile batches (one row a profile, see
/// [`crate::columns::profile`]).
///
/// Calls, in order: `validate` and `facts` per segment, `open` with all segments of this plugin that can be
/// evaluated together, `plan`, `bind`, then `evaluate` and `explain`; a model (capability `model`) sees all profiles
/// in `observe` or `survey`, then `fit`, before `evaluate` or `recall`. `close`, drop.
///
/// The answer is a function of the batch (and, for a model, of what was fitted): no clock, no memory of earlier
/// batches. That is what keeps live and batch answers equal.
pub trait Segmentation: Sized + Send + 'static {
    /// Who this is.
    const MANIFEST: Manifest;
    /// The options of one segment.
    type Config: DeserializeOwned + JsonSchema;

    /// Checks what types cannot say; touches nothing outside.
    fn validate(_config: &Self::Config) -> Vec<Problem> {
        Vec::new()
    }

    /// What the host must know before it opens anything.
    fn facts(_config: &Self::Config) -> Facts {
        Facts::default()
    }

    /// Opens an instance for these segments; their order gives the ordinals of `evaluate`.
    ///
    /// # Errors
    /// Any; the pipeline does not start.
    fn open(segments: Vec<Segment<Self::Config>>, context: Context) -> Result<Self>;

    /// Shown every column there is, answers with those it reads.
    ///
    /// # Errors
    /// CONFIG when a segment names a column that is not there; paths start with the segment's ordinal.
    fn plan(&mut self, catalog: &Schema) -> Result<Needs>;

    /// The schema of the batches that will come: what `plan` asked for.
    ///
    /// # Errors
    /// As `plan`.
    fn bind(&mut self, input: SchemaRef) -> Result<()>;

    /// Models: one batch of the training pass.
    ///
    /// # Errors
    /// The pass is given up and the last fitted state stays.
    fn observe(&mut self, _batch: &RecordBatch) -> Result<()> {
        Ok(())
    }

    /// Models with the capability `adds`: what this instance was shown in [`Self::observe`] since it was opened or fitted
    /// last, for [`Self::absorb`] of another one. The host then shows everybody to several instances, each a part, and fits one.
    /// Whatever the parts, `fit` must come to the same.
    ///
    /// # Errors
    /// As `observe`.
    fn observed(&mut self) -> Result<Vec<u8>> {
        Err(Fault::unsupported("what instances of this segmentation observed does not add up"))
    }

    /// Models with the capability `adds`: what another instance for the same segments was shown, as if it had been shown here.
    ///
    /// # Errors
    /// As `observe`, and permanent when the bytes are not of [`Self::observed`].
    fn absorb(&mut self, _observed: &[u8]) -> Result<()> {
        Err(Fault::unsupported("what instances of this segmentation observed does not add up"))
    }

    /// Models with the capability `recalls`: as [`Self::observe`], and answers at once for the segments that need nothing
    /// fitted; the others are in no answer, but their next changes are. The batch is the next one, counted from 0 from the
    /// first since this instance was opened or fitted, that [`Self::recall`] may be asked about.
    ///
    /// # Errors
    /// As `observe`.
    fn survey(&mut self, _batch: &RecordBatch) -> Result<Evaluated> {
        Err(Fault::unsupported("this segmentation remembers no batch"))
    }

    /// Models with the capability `recalls`: what another instance for the same segments was fitted to, as if this one had
    /// been opened with it; batches that were surveyed can be recalled.
    ///
    /// # Errors
    /// Permanent when the state is none of [`Self::fit`].
    fn learn(&mut self, _state: &[u8]) -> Result<()> {
        Err(Fault::unsupported("this segmentation remembers no batch"))
    }

    /// Models with the capability `recalls`: which of the segments that [`Self::survey`] left out hold for each row of the
    /// batch of this number, now that everybody was seen; their next changes it told before. What was recalled may be
    /// forgotten.
    ///
    /// # Errors
    /// UNSUPPORTED when the batch is not remembered: the host shows it again then, to `evaluate`, like all others.
    fn recall(&mut self, _batch: u32) -> Result<Evaluated> {
        Err(Fault::unsupported("this segmentation remembers no batch"))
    }

    /// Models: end of the training pass.
    ///
    /// # Errors
    /// As `observe`; DATA when there is too little to learn from, which the summary shows.
    fn fit(&mut self) -> Result<Fitted> {
        Err(Fault::unsupported("this segmentation is not a model"))
    }

    /// Which segments hold for each row.
    ///
    /// # Errors
    /// The step is given up.
    fn evaluate(&mut self, batch: &RecordBatch) -> Result<Evaluated>;

    /// Why the one profile of `batch` is in a segment, or is not; agrees with `evaluate`.
    ///
    /// # Errors
    /// UNSUPPORTED where there is nothing to tell.
    fn explain(&mut self, _batch: &RecordBatch, _segment: usize) -> Result<Reason> {
        Err(Fault::unsupported("this segmentation gives no reasons"))
    }

    /// Last call.
    ///
    /// # Errors
    /// Logged.
    fn close(&mut self) -> Result<()> {
        Ok(())
    }
}

/// One segment of the pipeline file.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Segment<C> {
    /// Its name.
    pub name: String,
    /// Its options.
    pub config: C,
}

/// What a segmentation reads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Needs {
    /// Top-level columns of the catalogue (`attr.crm.age`, `in.vip`, `identifiers`) and event columns as
    /// `events.NAME`.
    pub columns: Vec<String>,
    /// How far back events are read, in microseconds before `as_of`; none for all of them.
    pub look_back_us: Option<i64>,
}

/// The answer of [`Segmentation::evaluate`], filled row by row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Evaluated {
    pub(crate) ends: Vec<i32>,
    pub(crate) ordinals: Vec<u32>,
    /// [`Evaluated::NEVER`] for none.
    pub(crate) next_change_us: Vec<i64>,
}

impl Evaluated {
    /// The next change of an answer that only new events can change.
    pub const NEVER: i64 = i64::MAX;

    /// All profiles at once: where the ordinals of each end, the ordinals of one after the other, and the next change of
    /// each, microseconds since 1970 or [`Self::NEVER`].
    ///
    /// # Errors
    /// Permanent when the lists do not fit each other.
    pub fn from_parts(ends: Vec<i32>, ordinals: Vec<u32>, next_change_us: Vec<i64>) -> Result<Self> {
        let last = ends.last().map_or(0, |end| *end);
        let fit = ends.first().is_none_or(|end| *end >= 0)
            && ends.is_sorted()
            && usize::try_from(last) == Ok(ordinals.len())
            && ends.len() == next_change_us.len();
        if !fit {
            return Err(Fault::permanent("answer", "the parts of an answer do not fit each other"));
        }
        Ok(Self { ends, ordinals, next_change_us })
    }

    /// With room for so many profiles.
    pub fn with_capacity(rows: usize) -> Self {
        Self {
            ends: Vec::with_capacity(rows),
            ordinals: Vec::with_capacity(rows),
            next_change_us: Vec::with_capacity(rows),
        }
    }

    /// The next profile: the ordinals of the segments that hold, ascending, and the earliest time after `as_of`
    /// at which the answer can change with no new event.
    pub fn push(&mut self, ordinals: impl IntoIterator<Item = u32>, next_change_us: Option<i64>) {
        self.ordinals.extend(ordinals);
        self.ends.push(self.ordinals.len() as i32);
        self.next_change_us.push(next_change_us.unwrap_or(Self::NEVER));
    }

    /// Rows so far.
    pub fn rows(&self) -> usize {
        self.ends.len()
    }

    /// The ordinals and next change of one row.
    pub fn row(&self, row: usize) -> (&[u32], Option<i64>) {
        let start = if row == 0 { 0 } else { self.ends[row - 1] as usize };
        let next = self.next_change_us[row];
        (&self.ordinals[start..self.ends[row] as usize], (next != Self::NEVER).then_some(next))
    }

    /// The next change of each row, microseconds since 1970 or [`Self::NEVER`].
    pub fn next_changes_us(&self) -> &[i64] {
        &self.next_change_us
    }

    /// The rows that are in a segment at all, and the ordinals of their segments.
    pub fn members(&self) -> impl Iterator<Item = (usize, &[u32])> {
        let mut start = 0;
        self.ends.iter().enumerate().filter_map(move |(row, end)| {
            let own = start..*end as usize;
            start = own.end;
            (!own.is_empty()).then(|| (row, &self.ordinals[own]))
        })
    }
}

/// The answer of [`Segmentation::fit`].
#[derive(Clone, Debug, Default)]
pub struct Fitted {
    /// One per segment, in their order: quality and what drives the model; shown in the summary and stored.
    pub reports: Vec<Report>,
    /// What `open` gets back in [`Context::state`].
    pub state: Vec<u8>,
}

/// What a fitted model is worth.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// The segment.
    pub segment: String,
    /// Named figures in order of importance: `auc`, `lift_at_10`.
    pub figures: Vec<(String, f64)>,
    /// What drives the model: feature and weight, strongest first.
    pub drivers: Vec<(String, f64)>,
    /// Why there is no model, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
}

/// One condition of an explanation.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reason {
    /// The condition, as the operator wrote it.
    pub condition: String,
    /// Whether it holds; none for SQL's unknown.
    pub holds: Option<bool>,
    /// The value found.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
    /// What the value is held against, with the comparison: `>= 750`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub threshold: Option<String>,
    /// Events or attributes behind the value.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub evidence: Vec<String>,
    /// Conditions that this one is made of.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub because: Vec<Reason>,
}
