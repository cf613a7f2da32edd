//! A destination of the made-up ad platform Acme: one line a change, `+SEGMENT USER` or `-SEGMENT USER`, in one file a
//! delivery.

use kindred_plugin_api::{columns, prelude::*};
use std::{collections::BTreeMap, fs, io::Write, path::PathBuf};

/// Options of `acme-audiences`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Folder of the files.
    path: PathBuf,
    /// Namespace of the identifiers that Acme knows.
    #[serde(default = "cookie")]
    identifier: String,
    /// Acme's name of a segment, by its name here; others keep theirs.
    #[serde(default)]
    names: BTreeMap<String, String>,
}

fn cookie() -> String {
    "cookie".into()
}

/// Writes audiences for Acme.
pub struct Acme {
    config: Config,
    context: Context,
    delivery: Option<Delivery>,
    lines: Vec<u8>,
    rows: u64,
}

impl Destination for Acme {
    const MANIFEST: Manifest =
        manifest!("acme-audiences", "audiences for the Acme ad platform", ["idempotent"]);
    type Config = Config;

    fn open(config: Config, context: Context) -> Result<Self> {
        Ok(Self { config, context, delivery: None, lines: Vec::new(), rows: 0 })
    }

    fn bind(&mut self, input: SchemaRef) -> Result<()> {
        if input.fields() == columns::activation().fields() {
            return Ok(());
        }
        Err(Fault::unsupported("acme-audiences knows activation rows of boundary 1.0 only"))
    }

    fn begin(&mut self, delivery: &Delivery) -> Result<()> {
        (self.delivery, self.rows) = (Some(delivery.clone()), 0);
        self.lines.clear();
        Ok(())
    }

    fn write(&mut self, batch: RecordBatch) -> Result<()> {
        let text = |column: usize| batch.column(column).as_string::<i32>().clone();
        let (segments, operations) = (text(0), text(1));
        let identifiers = batch.column(3).as_list::<i32>();
        for row in 0..batch.num_rows() {
            let pairs = identifiers.value(row);
            let pairs = pairs.as_struct();
            let (spaces, values) = (pairs.column(0).as_string::<i32>(), pairs.column(1).as_string::<i32>());
            let segment = segments.value(row);
            let name = self.config.names.get(segment).map_or(segment, String::as_str);
            let sign = if operations.value(row) == "add" { '+' } else { '-' };
            for at in (0..pairs.len()).filter(|at| spaces.value(*at) == self.config.identifier) {
                self.lines.extend(format!("{sign}{name} {}\n", values.value(at)).into_bytes());
                self.rows += 1;
            }
        }
        Ok(())
    }

    /// The same delivery writes the same file under the same name, so a second one changes nothing.
    fn flush(&mut self) -> Result<Flushed> {
        let delivery = self.delivery.take().ok_or_else(|| Fault::permanent("order", "flush before begin"))?;
        let folder = self.context.path(&self.config.path);
        let name = format!("acme-{:06}-{}.txt", delivery.sequence, delivery.id);
        let (hidden, shown) = (folder.join(format!(".{name}")), folder.join(&name));
        fs::create_dir_all(&folder)
            .and_then(|()| fs::File::create(&hidden))
            .and_then(|mut file| file.write_all(&self.lines).and_then(|()| file.sync_all()))
            .and_then(|()| fs::rename(&hidden, &shown))
            .map_err(|e| Fault::transient("file", format!("{}: {e}", shown.display())))?;
        Ok(Flushed { rows: self.rows, rejects: Vec::new(), receipts: vec![name] })
    }
}

register!(destination Acme);
kindred_plugin_api::export!(destination Acme);
