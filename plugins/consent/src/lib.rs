//! The `consent` enrichment: the raw signals of a row become its consent.
//!
//! ```toml
//! [[enrichments]]
//! plugin = "consent"
//! from = ["web"]
//! [enrichments.config]
//! tcf = "gdpr_consent"
//! gpp = "gpp"
//! gpc = "sec_gpc"
//! policy = { vendor = 21, segment = [1, 3, 5] }
//! ```
//!
//! Column `consent` is `granted`, `denied` or the stages that are allowed; `consent_version` says in a few words what that
//! was derived from. The raw columns go no further unless kept. Where rows have a `consent` already, the stricter of both
//! counts; a `consent_version` of theirs is replaced. docs/consent.md has the rules.

use kindred_plugin_api::{arrow::compute, prelude::*};
use kindred_signals::{Consent, Policy, Signals};
use std::sync::Arc;

/// Options of `consent`. At least one of `tcf`, `gpp`, `us_privacy`, `gcs` and `gpc` is needed.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Column with TC strings: the cookie `euconsent-v2`, the parameter `gdpr_consent`.
    #[serde(default)]
    tcf: Option<String>,
    /// Column with GPP strings.
    #[serde(default)]
    gpp: Option<String>,
    /// Column with US Privacy strings, `1YNN`.
    #[serde(default)]
    us_privacy: Option<String>,
    /// Column with Google consent modes, `G111`: the parameter `gcs`.
    #[serde(default)]
    gcs: Option<String>,
    /// Column with Global Privacy Control: the value of the header `Sec-GPC`, where `1` is on, or a Boolean.
    #[serde(default)]
    gpc: Option<String>,
    /// Keep the raw columns as properties of the event. Default false: a raw signal tells people apart.
    #[serde(default)]
    keep_raw: bool,
    /// How signals become consent.
    #[serde(default)]
    policy: Policy,
}

impl Config {
    /// Option and column of the signals that rows have, in the order of [`Signals`].
    fn columns(&self) -> [(&'static str, Option<&str>); 5] {
        let all = [
            ("tcf", &self.tcf),
            ("gpp", &self.gpp),
            ("us_privacy", &self.us_privacy),
            ("gcs", &self.gcs),
            ("gpc", &self.gpc),
        ];
        all.map(|(option, column)| (option, column.as_deref()))
    }
}

/// Makes the consent of rows of the signals in them.
pub struct ConsentSignals {
    config: Config,
    context: Context,
    /// Where the signals are, in the order of [`Config::columns`].
    signals: [Option<usize>; 5],
    /// The consent that rows came with.
    given: Option<usize>,
    /// Columns that stay.
    kept: Vec<usize>,
    output: SchemaRef,
}

impl Enrichment for ConsentSignals {
    const MANIFEST: Manifest =
        manifest!("consent", "makes the consent of rows of TCF, GPP, US Privacy and GPC");
    type Config = Config;

    fn validate(config: &Config) -> Vec<Problem> {
        let in_policy = |(at, why)| Problem::new(format!("/policy{at}"), why);
        let mut problems: Vec<Problem> = config.policy.problems().into_iter().map(in_policy).collect();
        if config.columns().iter().all(|(_, column)| column.is_none()) {
            let help = "name a column: `tcf`, `gpp`, `us_privacy`, `gcs` or `gpc`";
            problems.push(Problem::new("", "no column with a signal").help(help));
        }
        for (option, column) in config.columns() {
            if let Some(column) = column.filter(|column| columns::is_reserved(column)) {
                let message = format!("`{column}` has a meaning of its own and cannot be a signal");
                problems.push(Problem::new(format!("/{option}"), message));
            }
        }
        problems
    }

    fn open(config: Config, context: Context) -> Result<Self> {
        let output = Arc::new(Schema::empty());
        Ok(Self { config, context, signals: [None; 5], given: None, kept: Vec::new(), output })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<SchemaRef> {
        let (mut problems, columns) = (Vec::new(), self.config.columns());
        self.signals = columns.map(|(option, column)| {
            find(&input, option, column?).map_err(|problem| problems.push(problem)).ok()
        });
        self.given = input.index_of(columns::CONSENT).ok();
        if !problems.is_empty() {
            return Err(Fault::config(problems));
        }
        let made = [columns::CONSENT, columns::CONSENT_VERSION];
        let raw = |index: &usize| !self.config.keep_raw && self.signals.contains(&Some(*index));
        let stays = |index: &usize| !made.contains(&input.field(*index).name().as_str()) && !raw(index);
        self.kept = (0..input.fields().len()).filter(stays).collect();
        let mut fields: Vec<Field> = self.kept.iter().map(|index| input.field(*index).clone()).collect();
        fields.extend(made.map(|name| Field::new(name, DataType::Utf8, false)));
        self.output = Arc::new(Schema::new_with_metadata(fields, input.metadata().clone()));
        Ok(self.output.clone())
    }

    fn process(&mut self, batch: RecordBatch) -> Result<Processed> {
        let column = |index: Option<usize>| index.map(|index| text(batch.column(index))).transpose();
        let [tcf, gpp, us_privacy, gcs, gpc] = self.signals.map(column);
        let (tcf, gpp, us_privacy, gcs, gpc) = (tcf?, gpp?, us_privacy?, gcs?, gpc?);
        let given = column(self.given)?;
        let mut malformed = 0_u32;
        let decide = |row| {
            let (tcf, gpp, us_privacy) = (at(&tcf, row), at(&gpp, row), at(&us_privacy, row));
            let (gcs, gpc) = (at(&gcs, row), kindred_signals::gpc(at(&gpc, row)));
            let signals = Signals { tcf, gpp, us_privacy, gcs, gpc };
            let consent = self.config.policy.evaluate(&signals).unwrap_or_else(|_| {
                malformed += 1;
                Consent::malformed()
            });
            if let Some(given) = at(&given, row) { consent.and(given) } else { consent }
        };
        let found: Vec<Consent> = (0..batch.num_rows()).map(decide).collect();
        if malformed > 0 {
            self.context.count("consent_malformed", malformed.into());
        }
        let mut columns: Vec<ArrayRef> = self.kept.iter().map(|index| batch.column(*index).clone()).collect();
        columns.push(Arc::new(StringArray::from_iter_values(found.iter().map(Consent::text))));
        columns.push(Arc::new(StringArray::from_iter_values(found.iter().map(|consent| &consent.version))));
        Ok(RecordBatch::try_new(self.output.clone(), columns)?.into())
    }
}

register!(enrichment ConsentSignals);

/// Where the column of an option is, if it has a type that is read.
fn find(input: &Schema, option: &str, column: &str) -> Result<usize, Problem> {
    let at = format!("/{option}");
    let allowed = if option == "gpc" { "Utf8, Boolean, Int64" } else { "Utf8" };
    let missing = |_| Problem::new(&at, format!("no column `{column}` in the rows"));
    let index = input.index_of(column).map_err(missing)?;
    match input.field(index).data_type() {
        DataType::Boolean | DataType::Int64 if option == "gpc" => Ok(index),
        found if is_text(found) => Ok(index),
        found => Err(Problem::new(&at, format!("column `{column}` is {found}; allowed: {allowed}"))),
    }
}

fn is_text(found: &DataType) -> bool {
    matches!(found, DataType::Dictionary(_, value) if **value == DataType::Utf8) || *found == DataType::Utf8
}

/// A column as text; true is `1`, as in the header.
fn text(column: &ArrayRef) -> Result<StringArray> {
    let numbers = match column.data_type() {
        DataType::Boolean => compute::cast(column, &DataType::Int64)?,
        _ => column.clone(),
    };
    Ok(compute::cast(&numbers, &DataType::Utf8)?.as_string::<i32>().clone())
}

fn at(column: &Option<StringArray>, row: usize) -> Option<&str> {
    column.as_ref().filter(|column| column.is_valid(row)).map(|column| column.value(row))
}

#[cfg(test)]
mod tests;
