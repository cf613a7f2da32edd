//! One plugin of each kind that does what its options say: panic at a moment of its life, or send what was not
//! agreed. Written as any plugin is, so what holds it is the SDK and the host.

mod destination;
mod enrichment;
mod segmentation;
mod source;

use kindred_plugin_api::prelude::*;
use std::{path::PathBuf, sync::Arc, time::Duration};

kindred_plugin_api::export!(
    source source::Faulty,
    enrichment enrichment::Faulty,
    segmentation segmentation::Faulty,
    destination destination::Faulty,
);

/// The same options for all four.
#[derive(Clone, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Call in which it panics: the method's name, or `drop`.
    #[serde(default)]
    panic_in: String,
    /// Panics with a payload whose own drop panics.
    #[serde(default)]
    with_bomb: bool,
    /// Call in which it hangs: `process` or `flush`.
    #[serde(default)]
    hang_in: String,
    /// While this file is there, `process` and `flush` say that they are busy, which passes.
    #[serde(default)]
    busy_while: Option<PathBuf>,
    /// What is wrong with its rows.
    #[serde(default)]
    sends: Sends,
}

/// What is sent.
#[derive(Clone, Copy, Default, Deserialize, JsonSchema, PartialEq)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Sends {
    /// What was agreed.
    #[default]
    Agreed,
    /// The rows that came, as they are; of enrichments.
    Passed,
    /// A batch with other columns.
    OtherSchema,
    /// A row less than came.
    RowLess,
    /// A row more than came.
    RowMore,
    /// A reject for a row that also goes on.
    RejectMore,
    /// Strings that are not UTF-8.
    InvalidUtf8,
}

struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("a panic in the drop of a panic");
    }
}

impl Config {
    /// Panics, if this is the call.
    fn at(&self, call: &str) {
        if self.panic_in != call {
            return;
        }
        // The library's own hook: these panics are wanted and need no backtrace on the terminal.
        std::panic::set_hook(Box::new(|_| {}));
        if self.with_bomb {
            std::panic::panic_any(Bomb);
        }
        panic!("as told, in {call}");
    }

    /// Hangs or is busy, if this is the call.
    fn work(&self, call: &str) -> Result<()> {
        while self.hang_in == call {
            std::thread::sleep(Duration::from_secs(1));
        }
        match &self.busy_while {
            Some(path) if path.exists() => Err(Fault::transient("busy", "busy, as told")),
            _ => Ok(()),
        }
    }
}

/// One column `text`.
fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![Field::new("text", DataType::Utf8, true)]))
}

fn texts(rows: usize) -> RecordBatch {
    let texts = StringArray::from_iter_values((0..rows).map(|row| format!("row {row}")));
    RecordBatch::try_new(schema(), vec![Arc::new(texts)]).expect("the column fits the schema")
}

/// The rows of an answer to `rows` rows.
fn answer(rows: usize, sends: Sends) -> RecordBatch {
    match sends {
        Sends::Agreed | Sends::Passed | Sends::RejectMore => texts(rows),
        Sends::RowLess => texts(rows - 1),
        Sends::RowMore => texts(rows + 1),
        Sends::OtherSchema => {
            let column: ArrayRef = Arc::new(StringArray::from(vec!["x"; rows]));
            RecordBatch::try_from_iter([("other", column)]).expect("one column")
        }
        Sends::InvalidUtf8 => invalid(rows),
    }
}

fn invalid(rows: usize) -> RecordBatch {
    use kindred_plugin_api::arrow::buffer::{Buffer, OffsetBuffer};
    let offsets = OffsetBuffer::from_lengths(std::iter::repeat_n(2, rows));
    let bytes = Buffer::from(b"\xff\xfe".repeat(rows));
    // SAFETY: none; text that is not UTF-8 is the fault to be found.
    let texts = unsafe { StringArray::new_unchecked(offsets, bytes, None) };
    RecordBatch::try_new(schema(), vec![Arc::new(texts)]).expect("the column fits the schema")
}

fn reject(row: u64) -> Reject {
    let text = String::new;
    Reject { row, code: "told".into(), message: "as told".into(), payload: text(), origin: text() }
}
